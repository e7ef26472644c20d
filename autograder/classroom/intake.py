"""Untrusted hand-in to canonical notebook: what every later step sees instead of the student's file.

What it is: the reader of whatever lies in `submitted/STUDENT/UNIT`. Order, metadata, points and all locked cells come
from the release; from the student come only the text of exercise cells, of answer cells, and of extra cells, kept in
place. Whatever the file holds, the result is a notebook or one sentence; no exception leaves `take_in`.

What it is not: it runs nothing, follows no symbolic link, unpacks nothing, and copies no file of the student's.

    file choice    the only notebook, or the newest of several, else a reason that names what was handed in instead
    parsing        JSON under limits on size, nesting and count; nbformat 3 and 4
    matching       grade_id, then cell id, then the same text, then the defined name, then the place between neighbours
    canonical      release cells in release order, fragments of one exercise joined, duplicates collapsed
    markdown       kept, but unable to carry a tag, a script or a link other than http(s) and mailto, or to load a thing
    pages          a cell that takes too long to show is shown plain (`rendering`)

What was taken in is noted in a hidden file beside the canonical folder: a hand-in that is still the same, byte for
byte, under the same release and the same intake is hashed and neither parsed nor written again.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import nbformat
from nbformat import NotebookNode

from autograder.classroom import clock, markdown, rendering
from autograder.classroom.markdown import Pictures, harmless_markdown
from autograder.classroom.names import visible
from course.files import notebook_text, write_whole

MAX_FILE_BYTES = 20_000_000
MAX_CELLS = 2_000
MAX_BRACKETS = 1_000_000  # lists and objects in the JSON, before anything is allocated for them
MAX_CODE_CHARACTERS = 2_000_000
MAX_MARKDOWN_CHARACTERS = 200_000  # per cell
MAX_TOLD = 5  # pictures of a cell in the notes
MAX_VERSIONS = 10  # notebooks in one hand-in
COPIED = datetime.timedelta(seconds=60)  # files of a folder that was copied have times at most so far apart
SIDE_FILES = ("cases.npz",)  # always the release's own copy
ARCHIVES = (".zip", ".rar", ".7z", ".gz", ".tgz", ".tar", ".xz", ".bz2")

_MAKERS = (Path(__file__), Path(markdown.__file__), Path(rendering.__file__))
_OWN = [*(hashlib.sha256(path.read_bytes()).hexdigest() for path in _MAKERS), nbformat.__version__]


class Unreadable(Exception):
    """The hand-in gives no notebook; the message is the reason, one sentence for student and instructor."""


class OtherUnit(Unreadable):
    """The notebook can be read, and none of its cells belongs to the unit."""


@dataclass(frozen=True)
class Intake:
    """What was taken in.

    reason     one sentence, "" when there is a notebook
    digest     see `code_digest`; an unreadable hand-in has one too, which depends on the reason
    answers    see `answers_digest`
    notes      sentences about what was put right, for the feedback
    timestamp  when it was handed in, by the collector's clock, UTC
    path       the canonical notebook on disk; for an unreadable hand-in a release copy that states the reason
    """

    reason: str
    digest: str
    answers: str
    notes: list[str]
    timestamp: datetime.datetime
    path: Path

    @cached_property
    def notebook(self) -> NotebookNode | None:
        """The canonical notebook, None when the hand-in could not be read."""
        return None if self.reason else nbformat.read(self.path, as_version=4)


class _Noted(msgspec.Struct):
    """An Intake on disk. `key` says what it was made from, `page` is the sha256 of the canonical notebook's bytes."""

    key: str
    page: str
    reason: str
    digest: str
    answers: str
    notes: list[str]
    timestamp: datetime.datetime


class _Version(NamedTuple):
    """One of several notebooks in a hand-in. `work`: 3 has some, 2 can't be read, 1 is an untouched release, 0 is of
    another unit. `number`: the numbers in its name, as in "attention (2).ipynb"."""

    name: str
    data: bytes
    problem: str
    written: datetime.datetime
    work: int
    number: list[int]


@dataclass
class _Cell:
    """One cell as the student left it, reduced to what is used. `at` is the release cell it belongs to."""

    kind: str
    source: str
    id: str = ""
    grade_id: str = ""
    locked: bool = False
    attachments: Any = None
    at: int | None = None


def take_in(
    student_dir: Path | str,
    release_notebook: Path | str,
    unit: str,
    out_dir: Path | str,
    *,
    timestamps: Path | str | None = None,
    zip_collected: bool = False,
) -> Intake:
    """Read `student_dir` (submitted/STUDENT/UNIT) and write the canonical notebook, side files and timestamp.txt.

    `unit` is the unit's full name (02_attention); the student is the folder above; `timestamps` is the collector's
    timestamps.csv (see `clock`). `zip_collected` says that nbgrader's zip_collect filled the folder: then timestamp.txt
    holds the time it knows of, and is not the student's. Never raises for anything the hand-in contains; ClockError for
    a clock that is not plain, and OSError when the release can't be read or `out_dir` not be written.
    """
    student_dir, release_notebook, out_dir = Path(student_dir), Path(release_notebook), Path(out_dir)
    notes: list[str] = []
    data, reason, written = _receive(student_dir, release_notebook, notes)
    told = clock.read(timestamps).of(student_dir.parent.name, unit)
    timestamp = told or (_zip_collectors_time(student_dir) if zip_collected else None) or written
    key = _sha256([*_OWN, _hash(release_notebook.read_bytes()), _hash(data), reason, notes, timestamp.isoformat()])
    path = out_dir / release_notebook.name
    noted = _noted(out_dir)
    known = noted is not None and noted.key == key and path.is_file() and noted.page == _hash(path.read_bytes())
    if not known:
        notebook, reason = _read(data, reason, read_release(release_notebook), notes)
        page = nbformat.writes(notebook, version=4).encode() + b"\n"
        write_whole(path, page)
        digests = code_digest(notebook), answers_digest(notebook)
        noted = _Noted(key, _hash(page), reason, *digests, notes, timestamp)
    _surround(release_notebook.parent, path, timestamp)
    if not known:
        write_whole(_note_file(out_dir), msgspec.json.encode(noted))
    return _intake(noted, path)


def recall(path: Path) -> Intake | None:
    """What was taken in to this canonical notebook, from its note alone; None when there is none."""
    noted = _noted(path.parent)
    return _intake(noted, path) if noted is not None else None


def _intake(noted: _Noted, path: Path) -> Intake:
    return Intake(noted.reason, noted.digest, noted.answers, noted.notes, noted.timestamp, path)


def _noted(out_dir: Path) -> _Noted | None:
    try:
        return msgspec.json.decode(_note_file(out_dir).read_bytes(), type=_Noted)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _note_file(out_dir: Path) -> Path:
    """Beside the folder that nbgrader copies from, not in it."""
    return out_dir.parent / f".{out_dir.name}.json"


def _receive(student_dir: Path, release: Path, notes: list[str]) -> tuple[bytes, str, datetime.datetime]:
    """The hand-in's bytes, or none and the reason; and when it was written."""
    try:
        data, written = _read_hand_in(student_dir, release, notes)
        return data, "", written
    except Unreadable as problem:
        return b"", str(problem), _folder_time(student_dir)


def _read(data: bytes, reason: str, release: NotebookNode, notes: list[str]) -> tuple[NotebookNode, str]:
    """The canonical notebook and "", or what stands in for it and the reason."""
    try:
        if not reason:
            notebook = canonical(data, release, notes)
            rendering.lighten(notebook, release, notes)
            return notebook, ""
    except Unreadable as problem:
        reason = str(problem)
    except (RecursionError, MemoryError):
        reason = "The notebook is nested too deeply or too large to be read; clear its outputs."
    return unreadable_notebook(release, reason), reason


def read_release(path: Path | str) -> NotebookNode:
    """The released notebook; every cell has an id, also when the file comes from before there were ids.

    It is parsed once and shared: whoever wants to change it copies it first.
    """
    return _parsed_release(Path(path).read_bytes())


@lru_cache(maxsize=8)
def _parsed_release(data: bytes) -> NotebookNode:
    release = nbformat.reads(data.decode(), as_version=4)
    for index, cell in enumerate(release.cells):
        cell.setdefault("id", f"cell-{index}")
    release.nbformat_minor = max(5, release.nbformat_minor)
    return release


def canonical(data: bytes, release: NotebookNode, notes: list[str] | None = None) -> NotebookNode:
    """The canonical notebook of the bytes of an .ipynb file. Raises `Unreadable`; adds sentences to `notes`."""
    notes = notes if notes is not None else []
    cells = list(_cells(_parse(data, notes), notes))
    _match(cells, release.cells)
    _free_copies(cells, release.cells)
    cells = [cell for cell in cells if cell.at is not None or not _of_older_release(cell)]
    if not any(cell.at is not None for cell in cells):
        raise OtherUnit("None of the notebook's cells belongs to this unit; hand in the unit's own notebook.")
    notebook = _assemble(cells, release, notes)
    size = sum(len(cell.source) for cell in notebook.cells if cell.cell_type == "code")
    if size > MAX_CODE_CHARACTERS:
        raise Unreadable(f"The notebook holds {size:,} characters of code, at most {MAX_CODE_CHARACTERS:,} are read.")
    return notebook


def unreadable_notebook(release: NotebookNode, reason: str) -> NotebookNode:
    """What stands in for a hand-in that could not be read: the untouched release under one cell with the reason."""
    notebook = _blank(release)
    notebook.cells = [copy.deepcopy(cell) for cell in release.cells]
    first = nbformat.v4.new_markdown_cell(f"**This hand-in could not be read.** {harmless_markdown(reason)}")
    first.id = _fresh_id(notebook.cells, "unreadable", 1)
    notebook.cells.insert(0, first)
    notebook.metadata["course"] = {"unreadable": reason}
    return notebook


def unreadable_reason(notebook: NotebookNode) -> str:
    """Why there is no readable hand-in behind this canonical notebook; "" when there is one."""
    return notebook.metadata.get("course", {}).get("unreadable", "")


def code_digest(notebook: NotebookNode) -> str:
    """sha256 of a canonical notebook's solution and extra code, in order; two hand-ins with one digest run alike."""
    code = [[_grade_id(cell), cell.source] for cell in notebook.cells if cell.cell_type == "code" and not _locked(cell)]
    return _sha256([unreadable_reason(notebook), code])


def answers_digest(notebook: NotebookNode) -> str:
    """sha256 of the student's own markdown (written answers and extra cells) in a canonical notebook."""
    return _sha256([cell.source for cell in notebook.cells if cell.cell_type == "markdown" and not _locked(cell)])


# The file


def _read_hand_in(student_dir: Path, release: Path, notes: list[str]) -> tuple[bytes, datetime.datetime]:
    """Bytes and modification time of the notebook to grade. Opens regular files only, and no link on the way."""
    folder = _open_folder(student_dir)
    try:
        names = _notebooks(folder, release.name)
        if len(names) > 1:
            return _newest([_version(folder, name, release) for name in names], release.name, notes)
        if names[0] != release.name:
            notes.append(f"The notebook was called {_shown(names[0])}; expected {release.name}.")
        return _read_regular(folder, names[0])
    finally:
        os.close(folder)


def _open_folder(student_dir: Path) -> int:
    for path in (student_dir.parent, student_dir):
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            raise Unreadable("Nothing was handed in for this unit.") from None
        if not stat.S_ISDIR(mode):
            raise Unreadable(f"The hand-in folder {_shown(path.name)} is {_kind(mode)}; expected a folder of its own.")
    try:
        return os.open(student_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise Unreadable(f"The hand-in folder can't be opened: {error.strerror}.") from None


def _notebooks(folder: int, name: str) -> list[str]:
    """The notebooks of a hand-in, one or more. Links, pipes and devices are never among them."""
    entries = [entry for entry in visible(os.listdir(folder)) if entry not in SIDE_FILES]
    kinds = {entry: os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode for entry in entries}
    named = {entry: mode for entry, mode in kinds.items() if entry.lower().endswith(".ipynb")}
    regular = [entry for entry, mode in named.items() if stat.S_ISREG(mode)]
    if len(regular) > MAX_VERSIONS:
        regular = [entry for entry in regular if name.removesuffix(".ipynb").lower() in entry.lower()]
        if not 0 < len(regular) <= MAX_VERSIONS:
            raise Unreadable(f"The hand-in holds more than {MAX_VERSIONS} notebooks; hand in one, called {name}.")
    if regular:
        return regular
    for entry, mode in named.items():
        raise Unreadable(f"{_shown(entry)} is {_kind(mode)}, which is not followed; hand in the file itself.")
    found = sorted((_instead(entry, mode) for entry, mode in kinds.items()), key=lambda said: ("(" not in said, said))
    instead = f" and found {', '.join(found[:3])}{' and more' if found[3:] else ''}" if found else ""
    raise Unreadable(f"There is no notebook in the hand-in; expected {name}{instead}.")


def _instead(entry: str, mode: int) -> str:
    """What was handed in instead of a notebook, and what is wrong with it where that is plain."""
    if not stat.S_ISREG(mode):
        return f"{_shown(entry)} ({_kind(mode)})"
    if entry.lower().endswith(ARCHIVES):
        return f"{_shown(entry)} (an archive, which is not unpacked)"
    return f"{_shown(entry)}{' (its name must end in .ipynb)' if '.ipynb' in entry.lower() else ''}"


def _version(folder: int, name: str, release: Path) -> _Version:
    numbers = [int(number) for number in re.findall(r"\d+", _without_unit(name, release.stem))]
    try:
        data, written = _read_regular(folder, name)
    except Unreadable as problem:
        return _Version(name, b"", str(problem), datetime.datetime.min.replace(tzinfo=datetime.UTC), 2, numbers)
    return _Version(name, data, "", written, _work(data, release), numbers)


def _without_unit(name: str, topic: str) -> str:
    """What stands in a file's name beside the unit's own: " (1)" of "02_attention (1).ipynb"."""
    return re.sub(rf"^\d*[\W_]*{re.escape(topic)}", "", os.path.splitext(name)[0], flags=re.IGNORECASE)


def _work(data: bytes, release: Path) -> int:
    """See `_Version`."""
    published = read_release(release)
    try:
        return 3 if _has_work(canonical(data, published), published) else 1
    except OtherUnit:
        return 0
    except (Unreadable, RecursionError, MemoryError):
        return 2


def _has_work(notebook: NotebookNode, release: NotebookNode) -> bool:
    """Is there more than in the release, or in an earlier one, whose exercises had other words and the same stubs?"""
    given = {cell.id: cell for cell in release.cells}
    if any(cell.id not in given for cell in notebook.cells):
        return True
    own = ((cell.source, given[cell.id].source) for cell in notebook.cells if not _locked(given[cell.id]))
    return any(_written(mine, released) for mine, released in own)


def _written(mine: str, released: str) -> bool:
    """Is a stub gone? Where there was none: is the text another?"""
    stubs = {line.strip() for line in released.splitlines() if "raise NotImplementedError" in line}
    if stubs:
        return not stubs <= {line.strip() for line in mine.splitlines()}
    return harmless_markdown(mine).strip() != harmless_markdown(released).strip()


def _newest(versions: list[_Version], name: str, notes: list[str]) -> tuple[bytes, datetime.datetime]:
    """The version that counts: one with work in it, saved last, with the highest number, with the expected name.

    A copy of a folder gives all its files nearly the same time, in any order: such times say nothing.
    """
    worked = [each for each in versions if each.work == max(v.work for v in versions)]
    last = max(each.written for each in worked)
    late = [each for each in worked if last - each.written <= COPIED]
    numbered = [each for each in late if each.number == max(v.number for v in late)]
    chosen = max(numbered, key=lambda each: (each.name == name, each.name))
    others = ", ".join(_shown(each.name) for each in versions if each is not chosen)
    why = _why(chosen, (worked, late, numbered), name)
    notes.append(f"{_shown(chosen.name)} was graded, because it {why}; beside it lay {others}, which did not count.")
    if chosen.problem:
        raise Unreadable(chosen.problem)
    return chosen.data, chosen.written


def _why(chosen: _Version, left: tuple[list[_Version], ...], name: str) -> str:
    """What set it apart: the first sign that left no other."""
    work = ("", "alone is of this unit", "alone may have work in it", "alone has work in it")[chosen.work]
    signs = zip(left, (work, "was saved last", "has the highest number in its name"))
    last = "has the expected name" if chosen.name == name else "comes last by its name"
    return next((sign for versions, sign in signs if len(versions) == 1), last)


def _read_regular(folder: int, name: str) -> tuple[bytes, datetime.datetime]:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise Unreadable(f"{_shown(name)} can't be opened: {error.strerror}.") from None
    with os.fdopen(file, "rb") as handle:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(f"{_shown(name)} is {_kind(status.st_mode)}; expected a file.")
        if status.st_size > MAX_FILE_BYTES:
            raise Unreadable(
                f"{_shown(name)} has {status.st_size / 1e6:,.0f} MB, at most {MAX_FILE_BYTES / 1e6:.0f} MB are read; "
                "clear its outputs and hand it in again."
            )
        data = handle.read(MAX_FILE_BYTES + 1)
    return data, _time(status)


def _zip_collectors_time(student_dir: Path) -> datetime.datetime | None:
    try:
        folder = _open_folder(student_dir)
        try:
            return clock.time_of(_read_regular(folder, "timestamp.txt")[0].decode())
        finally:
            os.close(folder)
    except (Unreadable, ValueError, OverflowError):
        return None


def _folder_time(student_dir: Path) -> datetime.datetime:
    try:
        return _time(os.lstat(student_dir))
    except OSError:
        return datetime.datetime.now(datetime.UTC)


def _time(status: os.stat_result) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(status.st_mtime, datetime.UTC)
    except (ValueError, OverflowError, OSError):  # a date no calendar has
        return datetime.datetime.now(datetime.UTC)


def _kind(mode: int) -> str:
    names = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a device",
        stat.S_IFCHR: "a device",
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a plain file",
    }
    return names.get(stat.S_IFMT(mode), "not a regular file")


def _shown(name: str) -> str:
    """A student's file name in a sentence: printable, short, in quotes."""
    clean = "".join(c if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF else "?" for c in name)
    return f'"{clean[:80]}"'


# The JSON


def _parse(data: bytes, notes: list[str]) -> list[Any]:
    """The raw list of cells, of whatever type they are. Raises Unreadable."""
    if not data.strip():
        raise Unreadable("The notebook file is empty.")
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
        raise Unreadable(f"The notebook holds more than {MAX_BRACKETS:,} lists and objects; clear its outputs.")
    try:
        document = json.loads(_text(data, notes), strict=False)
    except RecursionError:
        raise Unreadable("The notebook's JSON is nested too deeply.") from None
    except ValueError:
        raise Unreadable("The file is not a notebook: it is not valid JSON, perhaps cut off.") from None
    if not isinstance(document, dict):
        raise Unreadable("The file is not a notebook: its JSON is not an object.")
    cells = document.get("cells")
    if not isinstance(cells, list):
        cells = _version_3_cells(document)
    if len(cells) > MAX_CELLS:
        raise Unreadable(f"The notebook has {len(cells):,} cells, at most {MAX_CELLS:,} are read.")
    return cells


def _text(data: bytes, notes: list[str]) -> str:
    text, replaced = notebook_text(data)
    if replaced:
        notes.append("The file had bytes that are not UTF-8; they were replaced.")
    return text


def _version_3_cells(document: dict[str, Any]) -> list[Any]:
    """Cells of the old format, which kept them in worksheets and called code `input`."""
    sheets = document.get("worksheets")
    if not isinstance(sheets, list):
        raise Unreadable("The file is not a notebook: it has no list of cells.")
    found: list[Any] = []
    for sheet in sheets[:100]:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        found += cells if isinstance(cells, list) else []
    return found


def _cells(raw: list[Any], notes: list[str]) -> Iterator[_Cell]:
    skipped = 0
    for cell in raw:
        if isinstance(cell, dict):
            yield _cell(cell)
        else:
            skipped += 1
    if skipped:
        notes.append(f"{skipped} of the notebook's cells were not cells and were left out.")


def _cell(raw: dict[str, Any]) -> _Cell:
    kind = raw.get("cell_type")
    metadata = raw.get("metadata") if isinstance(raw.get("metadata"), dict) else {}
    nbgrader = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    source = _source(raw.get("source", raw.get("input")))
    kind = "code" if kind == "code" else "markdown"
    if kind == "markdown":
        source = source[:MAX_MARKDOWN_CHARACTERS]
    identity = raw.get("id", metadata.get("id"))  # Colab moves the cell's id into its metadata
    locked = nbgrader.get("solution") is not True and (nbgrader.get("locked") is True or nbgrader.get("grade") is True)
    return _Cell(kind, source, _string(identity), _string(nbgrader.get("grade_id")), locked, raw.get("attachments"))


def _source(value: Any) -> str:
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    text = value if isinstance(value, str) else ""
    text = re.sub("[\ud800-\udfff]|\x00", "\ufffd", text)  # no lone surrogate, no NUL: neither can be compiled or saved
    return text.replace("\r\n", "\n")


def _string(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 200 else ""


# Matching


def _match(cells: list[_Cell], release: list[NotebookNode]) -> None:
    """Say for each student cell which release cell it is; the surest sign first, each sign only for what is left."""
    by_grade_id = {_grade_id(cell): index for index, cell in enumerate(release) if _grade_id(cell)}
    by_id = {cell.id: index for index, cell in enumerate(release)}
    for cell in cells:
        cell.at = by_grade_id.get(cell.grade_id)
    taken = {cell.at for cell in cells}
    for cell in cells:
        if cell.at is None and by_id.get(cell.id) not in taken:
            cell.at = by_id.get(cell.id)
    _match_same_text(cells, release)
    _match_defined_names(cells, release)
    if any(cell.at is not None for cell in cells):
        _match_places(cells, release)


def _match_same_text(cells: list[_Cell], release: list[NotebookNode]) -> None:
    taken = {cell.at for cell in cells}
    places: dict[str, list[int]] = {}
    for index, cell in enumerate(release):
        if index not in taken:
            places.setdefault(cell.source.strip(), []).append(index)
    for cell in cells:
        if cell.at is None and places.get(cell.source.strip()):
            cell.at = places[cell.source.strip()].pop(0)


def _match_defined_names(cells: list[_Cell], release: list[NotebookNode]) -> None:
    """An exercise cell without metadata is known by the first thing it defines."""
    taken = {cell.at for cell in cells}
    wanted = {
        name: index
        for index, cell in enumerate(release)
        if index not in taken and _solution(cell) and (name := _defined(cell.source))
    }
    for cell in cells:
        if cell.at is None and cell.kind == "code":
            cell.at = wanted.get(_defined(cell.source))


def _match_places(cells: list[_Cell], release: list[NotebookNode]) -> None:
    """What is still missing (answers, findings) is the first loose cell of its kind between the same neighbours."""
    for index, target in enumerate(release):
        if any(cell.at == index for cell in cells) or _locked(target):
            continue
        for cell in _between(cells, index):
            if cell.kind == target.cell_type:
                cell.at = index
                break


def _between(cells: list[_Cell], index: int) -> list[_Cell]:
    """Loose cells directly after the last cell that belongs before `index`, up to the next known one."""
    before = [place for place, cell in enumerate(cells) if cell.at is not None and cell.at < index]
    start = before[-1] + 1 if before else 0
    loose = []
    for cell in cells[start:]:
        if cell.at is not None:
            break
        loose.append(cell)
    return loose


def _free_copies(cells: list[_Cell], release: list[NotebookNode]) -> None:
    """A copy that a student made into something of her own is an extra cell, not the cell it was copied from.

    That is an edited copy of a locked code cell, and a text cell copied from an exercise that still has its code.
    """
    known = [cell for cell in cells if cell.at is not None]
    intact = {cell.at for cell in known if cell.source.strip() == release[cell.at].source.strip()}
    coded = {cell.at for cell in known if cell.kind == "code"}
    for cell in known:
        target = release[cell.at]
        edited = cell.at in intact and cell.source.strip() != target.source.strip()
        if cell.kind == "code" and _plain_locked_code(target) and edited:
            cell.at, cell.grade_id = None, ""
        elif cell.kind == "markdown" and _solution(target) and cell.at in coded:
            cell.at, cell.grade_id = None, ""


def _of_older_release(cell: _Cell) -> bool:
    """A locked cell that this release no longer has: its text was never the student's."""
    return cell.locked and bool(cell.grade_id)


def _plain_locked_code(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and _locked(cell) and not cell.metadata.nbgrader.get("grade")


def _defined(source: str) -> str:
    found = re.search(r"^(?:async\s+def|def|class)\s+(\w+)", source, re.MULTILINE)
    return found.group(1) if found else ""


# Putting it together


def _assemble(cells: list[_Cell], release: NotebookNode, notes: list[str]) -> NotebookNode:
    notebook = _blank(release)
    owned, extras = _sort(cells, release.cells)
    taken_ids = [cell.id for cell in release.cells]
    count = 0
    for index in range(-1, len(release.cells)):
        if index >= 0:
            notebook.cells.append(_restored(release.cells[index], owned.get(index, []), notes))
        for extra in extras.get(index, []):
            count += 1
            notebook.cells.append(_extra(extra, taken_ids, count, notes))
    return notebook


def _sort(cells: list[_Cell], release: list[NotebookNode]) -> tuple[dict[int, list[_Cell]], dict[int, list[_Cell]]]:
    """Cells by the release cell they are, and extra cells by the known cell before them (-1: none).

    A loose code cell between two fragments of one exercise joins them, so that a cell split around it runs as before.
    """
    owned: dict[int, list[_Cell]] = {}
    extras: dict[int, list[_Cell]] = {}
    last = -1
    for place, cell in enumerate(cells):
        if cell.at is not None:
            last = cell.at
            owned.setdefault(last, []).append(cell)
            extras.setdefault(last, []).extend(_added_below(cell, release[last]))
        elif cell.source.strip():
            joins = cell.kind == "code" and last >= 0 and _solution(release[last]) and _continues(cells, place, last)
            (owned if joins else extras).setdefault(last, []).append(cell)
    return owned, extras


def _continues(cells: list[_Cell], place: int, index: int) -> bool:
    following = next((cell.at for cell in cells[place + 1 :] if cell.at is not None), None)
    return following == index


def _added_below(cell: _Cell, release: NotebookNode) -> list[_Cell]:
    """An answer typed into the locked question itself is kept, as a cell below it."""
    if not release.metadata.get("nbgrader", {}).get("task") or cell.source.strip() == release.source.strip():
        return []
    if cell.source.startswith(release.source.rstrip()):
        added = cell.source[len(release.source.rstrip()) :]
    else:
        added = "\n".join(_lines_added(release.source.splitlines(), cell.source.splitlines()))
    return [_Cell("markdown", added.strip(), attachments=cell.attachments)] if added.strip() else []


def _lines_added(given: list[str], lines: list[str]) -> Iterator[str]:
    """Lines that stand in `lines` more often than in `given`; where others stood between them, an empty line."""
    left, between = Counter(line for line in given if line.strip()), False
    for line in lines:
        if not line.strip() or left[line]:
            left[line] -= 1
            between = True
            continue
        if between:
            yield ""
        between = False
        yield line


def _restored(release: NotebookNode, mine: list[_Cell], notes: list[str]) -> NotebookNode:
    """One release cell with the student's text in it, if it is one that students write."""
    cell = copy.deepcopy(release)
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    if _locked(release):
        return cell
    if _solution(release):
        cell.source = _joined(release, mine, notes)
    elif mine:
        if cell.cell_type == "markdown":
            _written_out(cell, mine, notes)
        else:
            cell.source = "\n\n".join(dict.fromkeys(part.source for part in mine))
    return cell


def _written_out(cell: NotebookNode, parts: list[_Cell], notes: list[str]) -> None:
    """The student's text in a cell of ours, with its pictures."""
    kept: dict[str, dict[str, str]] = {}
    texts: list[str] = []
    for part in parts:
        pictures = Pictures(part.attachments, kept)
        texts.append(pictures.put_into(part.source))
        notes += [told for told in pictures.left_out.values() if told not in notes][:MAX_TOLD]
    cell.source = harmless_markdown("\n\n".join(dict.fromkeys(texts)), kept)
    if kept:
        cell.attachments = NotebookNode(kept)


def _joined(release: NotebookNode, mine: list[_Cell], notes: list[str]) -> str:
    """Fragments in order, exact duplicates and untouched copies dropped; the release's stub when nothing is left."""
    name = _grade_id(release)
    parts = list(dict.fromkeys(part.source for part in mine))
    written = [part for part in parts if part.strip() != release.source.strip() and part.strip()]
    if not mine:
        notes.append(f"The cell of exercise {name} was missing; the empty one was put back.")
    elif len(written) > 1:
        notes.append(f"Exercise {name} came in {len(written)} cells; they were joined in order.")
    return "\n\n".join(written) if written else release.source


def _extra(cell: _Cell, taken: list[str], count: int, notes: list[str]) -> NotebookNode:
    if cell.kind == "code":
        made = nbformat.v4.new_code_cell(cell.source)
    else:
        made = nbformat.v4.new_markdown_cell()
        _written_out(made, [cell], notes)
    made.id = _fresh_id(taken, "extra", count)
    return made


def _fresh_id(taken: list[Any], stem: str, count: int) -> str:
    ids = {cell if isinstance(cell, str) else cell.id for cell in taken}
    made = f"{stem}-{count}"
    while made in ids:
        made = f"x-{made}"
    return made


def _blank(release: NotebookNode) -> NotebookNode:
    notebook = copy.deepcopy(release)
    notebook.cells = []
    return notebook


def _grade_id(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _solution(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def _locked(cell: NotebookNode) -> bool:
    """Does the text of this cell come from the release whatever the student did?"""
    nbgrader = cell.metadata.get("nbgrader", {})
    restored = nbgrader.get("locked") or nbgrader.get("grade") or nbgrader.get("task")
    return bool(restored and not nbgrader.get("solution"))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=True).encode()).hexdigest()


# The folder nbgrader sees


def _surround(release_dir: Path, path: Path, timestamp: datetime.datetime) -> None:
    """Side files of the release and the timestamp; nothing else stays beside the notebook. Safe to kill and repeat."""
    wanted = {path.name, "timestamp.txt"}
    for name in SIDE_FILES:
        if (release_dir / name).is_file():
            wanted.add(name)
            _link(release_dir / name, path.parent / name)
    for entry in os.scandir(path.parent):
        if entry.name not in wanted and not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
    stamp = timestamp.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    write_whole(path.parent / "timestamp.txt", stamp.encode() + b"\n")


def _link(source: Path, target: Path) -> None:
    """The release's file under another name: a hard link where the disk can, so a class of a thousand holds it once."""
    if target.exists() and (os.path.samefile(source, target) or source.read_bytes() == target.read_bytes()):
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        partial.write_bytes(source.read_bytes())
    os.replace(partial, target)
