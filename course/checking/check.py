"""`check("name")`: judge an exercise of the notebook it is called from, and show the verdict as a card.

The learner's side: it plays the recorded cases beside the notebook. Trials and secret seeds belong to the judge.
`check` displays and returns None. `check(name, hidden=True)` returns points for plain nbgrader, and only where the
instructor has said that student code may run with the instructor's rights (COURSE_TRUSTED=1).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from course.checking import card, cases, forbidden, foundations, texts
from course.checking.cells import read_all
from course.checking.subject import LocalSubject
from course.checking.verdict import ExerciseVerdict, encodable

_loaded: dict[tuple[str, float], cases.Cases] = {}
ran_here = texts.Ran()


def check(name: str, *, hidden: bool = False) -> float | None:
    """Judge exercise `name` with the objects of the calling notebook and show what holds and what does not.

    hidden: return a float from 0 to the check's points instead, with secret trials; needs COURSE_TRUSTED=1.
    """
    namespace = sys._getframe(1).f_globals
    if hidden:
        return _hidden(name, namespace)
    card.show(judge(name, namespace))
    return None


def ready(probe: Callable[[], Any]) -> bool:
    """True when `probe()` runs without NotImplementedError; else False, after one line that says what is missing."""
    try:
        with quiet():
            probe()
    except NotImplementedError as error:
        print(f"Waiting for an exercise above: {error}.")
        return False
    except Exception as error:
        print(f"An exercise above is not right yet ({type(error).__name__}): fix it first, then run this cell again.")
        return False
    return True


def judge(name: str, namespace: dict[str, Any]) -> ExerciseVerdict:
    """The verdict of the recorded cases on `namespace[name]`. KeyError or FileNotFoundError in one sentence."""
    recorded = find_cases(name)
    with quiet():
        verdict = judge_with(recorded, name, namespace, ran_here.cells)
        said = texts.warning(name, ran_here, namespace) if verdict.state not in ("not_attempted", "missing") else ""
    verdict.reason = "; ".join(filter(None, (verdict.reason, said)))
    return verdict


def judge_with(
    recorded: cases.Cases, name: str, namespace: dict[str, Any], cells: Sequence[str] = ()
) -> ExerciseVerdict:
    """The verdict; where something is wrong, the other exercises that the answer uses are played too.

    cells: the sources that made the namespace, in the order in which they ran; they are read for forbidden calls, and
    for what the answer uses.
    """
    verdict = _judged(recorded, name, namespace, cells)
    if verdict.state in ("passed", "forbidden", "held"):
        return verdict

    def right(other: str) -> bool:
        return other not in recorded.checks or _judged(recorded, other, namespace, cells).state == "passed"

    mentions = forbidden.read_notebook(read_all(cells)).mentions
    return foundations.explain(verdict, foundations.shaky(name, mentions, right))


def _judged(recorded: cases.Cases, name: str, namespace: dict[str, Any], cells: Sequence[str]) -> ExerciseVerdict:
    check = recorded.check(name)
    with forbidden.watching(check.forbids) as seen:
        verdict = cases.play(check, LocalSubject(namespace, name))
    return refused(check, verdict, cells, seen)


def refused(
    check: cases.CheckCases, verdict: ExerciseVerdict, cells: Sequence[str], seen: Sequence[str] = ()
) -> ExerciseVerdict:
    """The verdict, without points where the answer called what the exercise asks to write. seen: calls of that."""
    if check.forbids and verdict.score:
        found = forbidden.read_source(read_all(cells), check.name, check.forbids)
        verdict = forbidden.refuse(verdict, forbidden.sure(found, check.forbids, seen))
        verdict.optional = check.optional
    return encodable(verdict)


def find_cases(name: str) -> cases.Cases:
    """The unit that holds check `name`: `cases.npz` here, else in a clone's assignments."""
    tried = []
    for path in _places():
        found = load_once(path)
        if name in found.checks:
            return found
        tried.append(str(path.parent.name))
    if not tried:
        raise FileNotFoundError("cases.npz is not beside this notebook: open the notebook in its own folder")
    raise KeyError(f"no check is named {name!r} in {', '.join(tried)}")


def load_once(path: Path) -> cases.Cases:
    """Cases, read again only when the file changed."""
    key = str(path.resolve()), path.stat().st_mtime
    if key not in _loaded:
        _loaded[key] = cases.load(path)
    return _loaded[key]


def _places() -> Iterator[Path]:
    here = Path.cwd() / "cases.npz"
    if here.is_file():
        yield here
    clone = Path(__file__).resolve().parents[2] / "assignments"
    yield from sorted(clone.glob("*/cases.npz"))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what the code under judgement prints and warns: only the card is shown."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(io.StringIO()):
            yield


def _hidden(name: str, namespace: dict[str, Any]) -> float:
    if os.environ.get("COURSE_TRUSTED") != "1":
        raise PermissionError(
            "hidden checks run student code with your rights: use `course grade`, or set COURSE_TRUSTED=1 if you "
            "trust every hand-in"
        )
    found = list(metadata.entry_points(group="course.judge"))
    if not found:
        raise ModuleNotFoundError("hidden checks need the instructor package; only the learner library is installed")
    with quiet():
        return float(found[0].load()(name, namespace))
