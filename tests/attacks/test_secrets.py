"""THREATS.md, lines 10, 19 and 20: nothing a worker can read holds a line of a solution, a check or a misconception."""



import pytest
from attack_class import ORIENTATION, ROOT, SMALL

from autograder.authoring.leak import normalise, secret_lines
from autograder.authoring.unit import UNITS, Unit
from autograder.sandbox.sandbox import Sandbox, why_not

LONG = 30  # shorter lines also stand in other people's code
WALK = r"""
import glob, os, sys, zipfile

WANTED = set(open("wanted.txt", encoding="utf-8").read().split("\n"))
SKIP = ("/sys/", "/dev/")
seen, read_bytes, hits = set(), 0, []

def look(where, text):
    for line in text.split("\n"):
        if len(line) >= 30:  # shorter ones are not wanted
            parts = line.split("\\n") if "\\n" in line else (line,)  # a program inside a string
            for part in parts:
                part = " ".join(part.split())
                if WANTED & {part, part.split(" #")[0], part.lstrip("\"' ")}:
                    hits.append((where, part))

def readable(path):
    try:
        with open(path, "rb") as file:
            return file.read(4 << 20)
    except OSError:
        return b""

def walk(top, kinds=None):
    global read_bytes
    for folder, names, files in os.walk(top):
        names[:] = [n for n in names if os.path.join(folder, n) + "/" not in SKIP]
        for name in files:
            path = os.path.join(folder, name)
            if name == "wanted.txt" or path in seen or kinds and not name.endswith(kinds):
                continue
            seen.add(path)
            raw = readable(path)
            read_bytes += len(raw)
            if raw[:2] == b"PK":
                try:
                    for part in (z := zipfile.ZipFile(path)).namelist():
                        look(path + "!" + part, z.read(part)[:4 << 20].decode("utf-8", "ignore").replace("\\n", "\n"))
                except Exception:
                    pass
            look(path, raw.decode("utf-8", "ignore"))

for top in ("/tmp", "/library", "/etc", "/home", "/root", "/work", "/opt", "/srv", "/var", "/mnt", "/run", ".."):
    walk(top)
for top in [*sys.path, "/env", "/python", "/usr"]:
    walk(top, (".py", ".ipynb", ".npz", ".json", ".txt", ".pth", ".md", ".toml"))
for pid in glob.glob("/proc/[0-9]*"):
    for name in ("environ", "cmdline", "maps", "status", "mountinfo", "stat"):
        raw = readable(f"{pid}/{name}")
        read_bytes += len(raw)
        look(f"{pid}/{name}", raw.replace(b"\0", b"\n").decode("utf-8", "ignore"))
    for inner in ("root", "cwd", "fd"):
        try:
            os.listdir(f"{pid}/{inner}")
        except OSError:
            pass
for name, value in list(os.environ.items()):
    look("environ", value)
for module in list(sys.modules.values()):
    path = getattr(module, "__file__", None) or ""
    if path.endswith(".py") and path not in seen:
        look(path, readable(path).decode("utf-8", "ignore"))
names = sorted({top for top in os.listdir("/")})
print("FILES", len(seen), "BYTES", read_bytes)
print("TOP", *names)
for hit in hits[:20]:
    print("HIT", *hit)
"""


@pytest.fixture(scope="module")
def walked():
    missing = why_not()
    if missing:
        pytest.skip(missing)
    units = [Unit.load(path) for path in sorted(UNITS.iterdir()) if (path / "notebook.py").exists()]
    wanted = {line for unit in units for line in secret_lines(unit, LONG)}
    cases = (ROOT / "assignments" / ORIENTATION / "cases.npz").read_bytes()
    side = {"cases.npz": cases, "wanted.txt": "\n".join(sorted(wanted)).encode()}
    planted = f"    {next(line for line in sorted(wanted) if line[0].isalpha())}  # as it stands in a file\n"
    limits = type(SMALL)(cell=400, submission=900)
    with Sandbox(side, limits) as box:
        runner = box.runner()
        results = list(
            runner.run_cells(
                [("walk", WALK), ("plant", f"open('planted.py', 'w').write({planted!r})"), ("again", WALK_TMP)]
            )
        )
    return wanted, results


WALK_TMP = 'hits.clear(); seen.clear(); walk("/tmp"); print("HITS", len(hits))'


def test_a_worker_finds_no_secret_line_anywhere(walked):
    wanted, (result, *_) = walked
    assert len(wanted) > 300 and result.error is None, result
    hits = [line for line in result.output.splitlines() if line.startswith("HIT")]
    assert [line for line in hits if "/site-packages/torch/" not in line] == []  # torch may say a line of ours, too
    files = int(result.output.split("FILES ")[1].split()[0])
    assert files > 3000, result.output


def test_the_walk_finds_a_planted_line(walked):
    """The search must be able to find what it looks for."""
    _, (_, planted, again) = walked
    assert planted.error is None and again.error is None, again
    assert "HITS 0" not in again.output and "HITS" in again.output


def test_the_clone_is_not_there(walked):
    _, (result, *_) = walked
    top = result.output.split("TOP ")[1].split("\n")[0].split()
    assert not {"home", "root", "work"} & set(top) or str(ROOT) not in result.output


def test_lines_are_compared_as_the_builder_compares_them():
    assert normalise("  a   =  b ") == "a = b"
