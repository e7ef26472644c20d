"""THREATS.md, lines 4, 10, 14, 20 to 22, 24 to 26: attacks by somebody who has read the grader and the class folder.

Many of them win under plain nbgrader, which runs them beside its gradebook and in one process with the checks.
"""

# ruff: noqa: E501 - attacks are programs in strings

import nbformat
import pytest
from attack_class import (
    ORIENTATION,
    RIGHT,
    WRONG,
    Attack,
    Class,
    check_nothing_outside_changed,
    check_verdict,
    controls,
    unit_of,
)

from autograder.classroom import record, report

PLAIN = {"fix_the_stub": "def fix_the_stub(x):\n    return x + 1\n"}
SOLVED, TWO = ("program_offsets",), {"program_offsets": 2.0}
POINTS = {name: float(points) for name, points in unit_of(ORIENTATION).points.items()}
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def beside(name, line, why, *before, **more):
    """An attack from cells, beside one exercise that is solved and one that is wrong."""
    return Attack(name, line, why, write=PLAIN, solved=SOLVED, scores=TWO, before=before, **more)


ATTACKS = [
    *controls(ORIENTATION, ("fix_the_stub", "program_offsets", "count_bytes"), PLAIN),
    Attack(
        "exact_displayhook", 4, "the tested function hands nbgrader exactly its points and fails",
        write={
            "fix_the_stub": "def fix_the_stub(x):\n    get_ipython().displayhook(1.0)\n    raise ValueError\n",
            "count_bytes": "def count_bytes(inputs, out_dtype):\n    get_ipython().displayhook(3.0)\n    raise ValueError\n",
            "roofline": "def roofline(i, peak, bandwidth):\n    get_ipython().displayhook(2.0)\n    raise ValueError\n",
        },
    ),
    Attack(
        "exact_check", 14, "course.checking.check replaced before the notebook imports it: it gives each exercise its points",
        before=(f"import course\nPOINTS = {POINTS}\ncourse.checking.check = lambda name, hidden=False: POINTS[name]\n",),
    ),
    Attack(
        "exact_judge", 14, "the judge's own function replaced, where it can be imported",
        before=(
            "from course.checking.verdict import ExerciseVerdict\n"
            "def judged(check, recorded, *rest):\n"
            "    return ExerciseVerdict(check.name, recorded.points, recorded.points, 'passed')\n"
            "try:\n    import autograder.judging.trials\n    autograder.judging.trials.judge_exercise = judged\nexcept ImportError:\n    pass\n",
        ),
        write=PLAIN,
    ),
    Attack(
        "imports_the_solutions", 10, "takes the solutions from the instructor package, where it can be imported",
        write={
            name: "try:\n    from autograder.authoring.unit import UNITS, Unit\n"
            f"    code = Unit.load(UNITS / {ORIENTATION!r}).solution_source({name!r})\nexcept ImportError:\n    code = ''\nexec(code)\n"
            for name in POINTS
        },
        states=dict.fromkeys(POINTS, "missing"),
    ),
    Attack(
        "copies_others", 20, "runs what others handed in",
        write={"fix_the_stub":
            "import glob, json\ncode = []\n"
            "for place in ('CLASS/submitted', 'CLASS/canonical', 'CLASS/autograded', '..', '../..', '/tmp'):\n"
            "    for path in glob.glob(place + '/*/*/*.ipynb'):\n"
            "        cells = json.load(open(path))['cells']\n        texts = [''.join(c['source']) for c in cells]\n"
            "        code += [t for t in texts if 'def fix_the_stub' in t and 'NotImplementedError' not in t and 'CLASS' not in t]\n"
            "def fix_the_stub(x):\n    return x + 1\n"
            "for text in code:\n    exec(text)\n",
        },
    ),
    beside(
        "rewrites_others", 20, "empties what others handed in and what they got",
        "import glob\nfor place in ('submitted', 'canonical', 'verdicts', 'autograded'):\n"
        "    for path in glob.glob(f'CLASS/{place}/**/*.*', recursive=True):\n        try:\n"
        "            if '/rewrites_others' not in path:\n                open(path, 'w').write('{}')\n"
        "        except OSError:\n            pass\n",
    ),
    beside(
        "configures_nbgrader", 21, "code added to nbgrader's configuration, shell files and the user's site-packages",
        "import os\ncode = '\\nimport os; open(\"attack-marker\", \"w\").write(\"x\")\\n'\n"
        "places = ['CLASS/nbgrader_config.py', '~/.bashrc', '~/.jupyter/nbgrader_config.py', '~/.ipython/profile_default/startup/0.py',\n"
        "          '~/.local/lib/python3.11/site-packages/usercustomize.py', '/env/lib/python3.11/site-packages/attack-marker.pth']\n"
        "for place in map(os.path.expanduser, places):\n    try:\n        os.makedirs(os.path.dirname(place), exist_ok=True)\n"
        "        open(place, 'a').write(code)\n    except OSError:\n        pass\n",
    ),
    beside(
        "network", 22, "asks the network and the machine's sockets for answers",
        "import glob, socket\nfound = []\n"
        "def ask(family, kind, address, protocol=0):\n    try:\n        with socket.socket(family, kind, protocol) as line:\n"
        "            line.settimeout(0.3)\n            line.connect(address)\n            line.send(b'x')\n            found.append(address)\n"
        "    except OSError:\n        pass\n"
        "for address in (('1.1.1.1', 53), ('8.8.8.8', 443), ('127.0.0.1', 22), ('169.254.169.254', 80), ('10.0.0.1', 80)):\n"
        "    for kind in (1, 2, 3):\n        ask(2, kind, address, 1 if kind == 3 else 0)\n"
        "for path in glob.glob('/run/**/*.sock', recursive=True) + glob.glob('/tmp/**/*', recursive=True) + ['\\0dbus']:\n"
        "    ask(1, 1, path)\n"
        "try:\n    found += socket.getaddrinfo('example.org', 80)\nexcept OSError:\n    pass\n"
        "assert not found, found\n",
    ),
    Attack(
        "markup", 24, "markup that runs, in outputs, names, errors, answers and metadata",
        before=(
            f"MARKUP = {MARKUP!r}\nprint(MARKUP)\nfrom IPython.display import HTML, SVG, Javascript, Markdown, display\n"
            "display(HTML(MARKUP), Javascript('alert(1)'), Markdown('[x](javascript:alert(1))'))\n"
            "Marked = type(MARKUP, (ValueError,), {})\n",
            f"raise type({MARKUP!r}, (Exception,), {{}})({MARKUP!r})",
        ),
        write={
            "fix_the_stub": "def fix_the_stub(x):\n    raise Marked(MARKUP)\n",
            "program_offsets": "def program_offsets(pid, block, n):\n    return MARKUP, MARKUP\n",
            "memory_bound": "memory_bound = {MARKUP: MARKUP}\n",
            "vector_add": "@triton.jit\ndef vector_add_kernel(x_ptr, n):\n    tl.store(x_ptr, '" + MARKUP + "')\n"
            "def vector_add(x, y, block=256):\n    vector_add_kernel[(1,)](x, 1)\n    return x\n",
        },
        files={"<img src=x onerror=alert(1)>.txt": b"x"},
    ),
    beside("earlier", 25, "a timestamp.txt that claims to be early", files={"timestamp.txt": b"2000-01-01 00:00:00 UTC"}),
    beside(
        "rights", 26, "system calls that gain rights or look into others",
        "import ctypes, glob, os\nlibc = ctypes.CDLL(None)\n"
        "calls = {'ptrace': 101, 'mount': 165, 'setuid': 105, 'unshare': 272, 'keyctl': 250, 'bpf': 321, 'userfaultfd': 323,\n"
        "         'perf_event_open': 298, 'io_uring_setup': 425, 'process_vm_readv': 310, 'kexec_load': 246, 'setns': 308}\n"
        "for number in calls.values():\n    libc.syscall(number, 0, 0, 0, 0, 0, 0)\n"
        "assert libc.unshare(0x10000000) != 0\n"
        "assert not [p for p in glob.glob('/tmp/*') if os.stat(p).st_uid == 0 and os.stat(p).st_mode & 0o4000]\n"
        "try:\n    os.setuid(0)\n    raise SystemExit('root')\nexcept PermissionError:\n    pass\n",
    ),
    beside(
        "names_of_the_class", 13, "side files with the names that the class folder gives its own",
        files={
            name: b'{"score": 58}'
            for name in (".secret", ".lock", ".stamp", "gradebook.db", f".{ORIENTATION}.json", "names_of_the_class.json",
                         "timestamps.csv", "checks.py", "misconceptions.py", "cases.npz", "orientation.json")
        },
    ),
]  # fmt: skip


def cards(path):
    """The HTML of a graded notebook: of its outputs and of its text."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output.get("data", {}).get("text/html") for cell in cells for output in cell.get("outputs", ())]
    return [html for html in outputs if html] + [cell.source for cell in cells if cell.cell_type == "markdown"]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("knows"), ORIENTATION, ATTACKS)
    for attack in ATTACKS:
        group.hand_in(attack)
    group.before = group.files()
    group.secret = group.folder.secret()
    group.again()
    assert group.record() == {}
    return group


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.line}-{a.name}")
def test_the_score_is_what_the_code_deserves(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)
    assert graded.folder.secret() == graded.secret


def test_the_controls_stand_apart(graded):
    assert graded.verdicts[RIGHT].score == 6 and graded.verdicts[WRONG].score == 0


def test_no_page_holds_markup_that_runs(graded):
    """What a hand-in printed, raised, returned and named, in nbgrader's pages and in the class report."""
    assert record.generate_feedback(graded.folder, ORIENTATION, ["markup"]) == {}
    [feedback] = (graded.folder.feedback / "markup" / ORIENTATION).glob("*.html")
    [page] = (graded.folder.autograded / "markup" / ORIENTATION).glob("*.ipynb")
    html = [*cards(page), *(p.read_text("utf-8") for p in (feedback, report.write(graded.folder, ORIENTATION)))]
    assert len(html) > 5 and "&lt;script&gt;alert" in "".join(html)
    assert not [text for text in html if "<script>alert" in text or "<img src=x" in text]


def test_the_clock_is_the_collectors(graded):
    with graded.folder.gradebook() as book:
        assert book.find_submission(ORIENTATION, "earlier").timestamp.year > 2020
