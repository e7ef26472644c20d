"""THREATS.md, lines 2 to 12 and 14: forging a score from inside the notebook."""

# ruff: noqa: E501 - attacks are programs in strings

import pytest
from attack_class import (
    LEFT_BEHIND,
    ORIENTATION,
    RIGHT,
    WRONG,
    Attack,
    Class,
    check_nothing_outside_changed,
    check_verdict,
    controls,
)

BAD = "def fix_the_stub(x):\n    return x + 1\n"
BAD_OFFSETS = "def program_offsets(pid, block, n):\n    return torch.zeros(block), torch.zeros(block)\n"
PLAIN = {"fix_the_stub": BAD}
ONE = {"fix_the_stub": 1.0}
DETACH = """
import ctypes, os, time

def detach(work):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    ctypes.CDLL(None).prctl(15, b"left-behind", 0, 0, 0)
    for _ in range(4):
        time.sleep(0.5)
        try:
            work()
        except Exception:
            pass
    while True:
        time.sleep(0.01)
""".replace("left-behind", LEFT_BEHIND)

ATTACKS = [
    *controls(ORIENTATION, ("fix_the_stub", "program_offsets", "count_bytes"), PLAIN),
    Attack(
        "transformer_pass", 2, "turns every later cell into `pass`: then there is nothing to judge",
        before=('get_ipython().input_transformers_cleanup.append(lambda lines: ["pass\\n"])',),
        solved=("program_offsets",),
        write=PLAIN,
        states={"fix_the_stub": "missing", "program_offsets": "missing"},
    ),
    Attack(
        "ast_without_asserts", 3, "an AST transformer removes asserts; honest work beside it counts",
        before=(
            "import ast\nclass Gone(ast.NodeTransformer):\n    def visit_Assert(self, node):\n        return ast.Pass()\n"
            "    def visit_Raise(self, node):\n        return ast.Pass()\n"
            "get_ipython().ast_transformers.append(Gone())",
        ),
        write=PLAIN,
        solved=("program_offsets",),
        scores={"program_offsets": 2},
    ),
    Attack(
        "displayhook", 4, "the tested function hands nbgrader a number and fails",
        write={
            "fix_the_stub": "def fix_the_stub(x):\n    get_ipython().displayhook(5.0)\n    raise ValueError\n",
            "program_offsets": "import sys\ndef program_offsets(pid, block, n):\n    sys.displayhook(2.0)\n    print(2.0)\n"
            "    return 2.0\n",
        },
        after=("get_ipython().displayhook(58.0)\n58.0",),
    ),
    Attack(
        "strange_numbers", 5, "NaN, negative, infinite and too large numbers as scores and as answers",
        write={
            "fix_the_stub": "def fix_the_stub(x):\n    get_ipython().displayhook(float('nan'))\n    return x * float('nan')\n",
            "program_offsets": "def program_offsets(pid, block, n):\n    get_ipython().displayhook(-1e9)\n    return -1e9\n",
            "count_bytes": "def count_bytes(inputs, out_dtype):\n    get_ipython().displayhook(1e9)\n    return float('inf')\n",
            "fusion_bytes": "def fusion_bytes(n, dtype):\n    return (10**4000, -(10**4000))\n",
            "roofline": "def roofline(i, peak, bandwidth):\n    return torch.full_like(i, float('inf'))\n",
        },
    ),
    Attack(
        "always_agrees", 6, "objects that are equal to everything",
        before=(
            "import torch\nclass Yes:\n    shape, dtype, requires_grad = (), torch.float32, False\n"
            "    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
            "    def __bool__(self): return True\n    def __hash__(self): return 0\n"
            "    def __array__(self, *a, **k): raise ValueError\n    def __len__(self): return 2\n"
            "    def __getattr__(self, name): return lambda *a, **k: Yes()\n"
            "    @classmethod\n    def __torch_function__(cls, f, t, a=(), k=None): return cls()\n"
            "class Text(str):\n    __eq__ = Yes.__eq__\n    __hash__ = str.__hash__\n"
            "class Whole(int):\n    __eq__ = Yes.__eq__\n    __hash__ = int.__hash__\n    __index__ = lambda self: 0\n"
            "class Pair(tuple):\n    __eq__ = Yes.__eq__\n    __hash__ = tuple.__hash__\n    __len__ = lambda self: 2\n"
            "    __iter__ = lambda self: iter((Yes(), Yes()))\n"
            "class Table(dict):\n    __eq__ = Yes.__eq__\n    __getitem__ = lambda self, key: Yes()\n",
        ),
        write={
            "fix_the_stub": "def fix_the_stub(x):\n    return Yes()\n",
            "program_offsets": "def program_offsets(pid, block, n):\n    return Pair((Yes(), Yes()))\n",
            "count_bytes": "def count_bytes(inputs, out_dtype):\n    return Whole(1)\n",
            "fusion_bytes": "def fusion_bytes(n, dtype):\n    return Pair()\n",
            "memory_bound": "memory_bound = Table(a=Text('b'))\nfind_memory_bound = lambda *a: Text('x')\n",
            "roofline": "def roofline(i, peak, bandwidth):\n    return [Yes()]\n",
        },
    ),
    Attack(
        "lying_tensors", 6, "tensor subclasses that lie about shape, values, dtype",
        before=(
            "import torch\nclass Liar(torch.Tensor):\n"
            "    shape = property(lambda self: torch.Size((3, 5)))\n    dtype = torch.float32\n"
            "    def __eq__(self, other): return torch.ones(())\n"
            "    def detach(self): return torch.ones(3, 5)\n    def numpy(self): return 1\n"
            "    def size(self, *a): return torch.Size((3, 5))\n"
            "    @classmethod\n    def __torch_function__(cls, f, t, a=(), k=None): return torch.ones((), dtype=torch.bool)\n"
            "class Dispatch(torch.Tensor):\n"
            "    @staticmethod\n    def __new__(cls): return torch.Tensor._make_wrapper_subclass(cls, (3, 5))\n"
            "    @classmethod\n    def __torch_dispatch__(cls, f, t, a=(), k=None): return torch.ones((), dtype=torch.bool)\n",
        ),
        write={
            "fix_the_stub": "def fix_the_stub(x):\n    return torch.zeros(3).as_subclass(Liar)\n",
            "program_offsets": "def program_offsets(pid, block, n):\n    return Dispatch(), Dispatch()\n",
            "roofline": "def roofline(i, p, b):\n    return torch.empty(i.shape, device='meta', dtype=i.dtype)\n",
            "count_bytes": "def count_bytes(i, o):\n    return torch.zeros(()).as_subclass(Liar)\n",
            "fusion_bytes": "def fusion_bytes(n, dtype):\n    return torch.sparse_coo_tensor(size=(2,)), torch.zeros(2).to_mkldnn()\n",
        },
    ),
    Attack(
        "patched_kernel", 7, "execution results and the kernel's own methods replaced",
        before=(
            "from IPython.core.interactiveshell import ExecutionResult, InteractiveShell\n"
            "ExecutionResult.success = property(lambda self: True)\n"
            "ExecutionResult.error_in_exec = property(lambda self: None, lambda self, value: None)\n"
            "InteractiveShell.showtraceback = lambda *a, **k: None\n"
            "get_ipython().run_cell = lambda *a, **k: ExecutionResult(None)\n"
            "import course.worker.session, course.worker.worker\n"
            "course.worker.session.describe = lambda error: ''\ncourse.worker.session.Session.run = lambda *a: course.worker.session.CellResult('58')\n"
            "course.worker.worker._failure = lambda error: {'kind': 'passed', 'message': '', 'exception': ''}\n",
        ),
        write=PLAIN,
        solved=("program_offsets",),
    ),
    Attack(
        "looks_around", 8, "expected values searched in In, frames, closures and every object there is",
        write={
            "fix_the_stub": "import gc, sys\ndef fix_the_stub(x):\n    found = []\n    frame = sys._getframe()\n"
            "    while frame:\n        found += [v for v in frame.f_locals.values() if isinstance(v, torch.Tensor)]\n"
            "        frame = frame.f_back\n    found += [o for o in gc.get_objects() if isinstance(o, torch.Tensor)]\n"
            "    found += [c.cell_contents for o in gc.get_objects() if callable(o)\n"
            "              for c in (getattr(o, '__closure__', None) or ()) if c != c]\n"
            "    same = [t for t in found if t.shape == x.shape and t is not x and not torch.equal(t, x)]\n"
            "    return same[0] if same else eval(get_ipython().user_ns['In'][-1])\n",
        },
    ),
    Attack(
        "patched_torch", 9, "comparisons and random numbers of torch and of the course replaced",
        before=(
            "import torch, numpy, random, builtins\n"
            "torch.allclose = torch.isclose = torch.equal = torch.testing.assert_close = lambda *a, **k: True\n"
            "torch.manual_seed = lambda *a, **k: None\ntorch.randn = torch.rand = lambda *a, **k: torch.zeros(3, 5)\n"
            "numpy.random.Generator = numpy.random.Philox = None\nnumpy.allclose = lambda *a, **k: True\n"
            "import course.checking.compare, course.checking.cases, grader_kernels.wire\n"
            "course.checking.compare.close = course.checking.compare.equal = course.checking.cases.play = lambda *a, **k: None\n",
        ),
        write=PLAIN,
        solved=("program_offsets",),
        scores={"program_offsets": 2},
    ),
    Attack(
        "lying_wire", 9, "the encoder in its own process patched: it sends what it likes, which is still no right answer",
        before=("import grader_kernels.wire, torch\ngrader_kernels.wire.encode = lambda value, buffers, c=None: True\n",),
        write=PLAIN,
        solved=("program_offsets",),
    ),
    Attack(
        "reads_answers", 10, "solutions searched in files, packages, environment and memory of other processes",
        before=(
            "import glob, os, sys\nloot = [repr(os.environ), repr(sys.argv)]\n"
            "for pattern in ('/proc/*/environ', '/proc/*/cmdline', '/proc/*/maps', '/proc/*/mem', '/home/*/*', '/root/*',\n"
            "                '/work/*', 'CLASS/*', '../*', '*', '/library/course/units/*', '/*', '/tmp/*', '/etc/*'):\n"
            "    for path in glob.glob(pattern):\n        try:\n            loot.append(open(path, errors='replace').read(100_000))\n"
            "        except (OSError, ValueError):\n            pass\n"
            "try:\n    import autograder.authoring.oracle\n    import course.units\nexcept ImportError:\n    pass\n"
            "code = [t for t in loot if 'def fix_the_stub' in t]\n",
        ),
        write={"fix_the_stub": "exec(code[0]) if code else None\nif not code:\n    def fix_the_stub(x): return x\n"},
    ),
    Attack(
        "recorded_answers", 10, "looks inputs up in cases.npz: the judge asks with other numbers",
        write={
            "fix_the_stub": "from course import cases\nTABLE = cases.load('cases.npz').check('fix_the_stub')\n"
            "def fix_the_stub(x):\n    for case in TABLE.cases:\n        for step in case.steps:\n"
            "            if isinstance(step.args[0], torch.Tensor) and torch.equal(step.args[0], x):\n"
            "                return case.steps[-1].args[1]\n    return x\n",
        },
    ),
    Attack(
        "writes_recorded_answers", 10, "cases.npz and the working folder spoilt before the exercises run",
        before=("import os, shutil\nopen('cases.npz', 'wb').write(b'no')\nshutil.rmtree('/tmp/work')\n"
                "os.makedirs('/tmp/work', exist_ok=True)\nos.symlink('/etc/passwd', '/tmp/work/cases.npz')\n",),
        write=PLAIN,
        solved=("program_offsets",),
        scores={"program_offsets": 2},
    ),
    Attack(
        "writes_gradebook", 11, "a detached process looks for the gradebook and the verdicts and edits them",
        before=(
            DETACH,
            "def edit():\n    import glob, sqlite3\n"
            "    for path in ['CLASS/gradebook.db', *glob.glob('/**/gradebook.db', recursive=True)[:5]]:\n"
            "        base = sqlite3.connect(path)\n        base.execute('UPDATE grade SET auto_score = 58')\n        base.commit()\n"
            "    open('CLASS/verdicts/attack-marker', 'w').write('x')\n"
            "detach(edit)\n"
            "import os\nfor place in ('CLASS', 'CLASS/verdicts', '/', '/work', '/library', '/env', '/home', '/root', '/usr'):\n"
            "    try:\n        os.makedirs(place, exist_ok=True)\n        open(place + '/attack-marker', 'w').write('x')\n"
            "    except OSError:\n        pass\n",
        ),
        write=PLAIN,
        solved=("program_offsets",),
        scores={"program_offsets": 2},
    ),
    Attack(
        "shadowing_files", 12, "modules shipped beside the notebook and written into the working folder",
        files={name: b"raise SystemExit('shadow')" for name in ("numpy.py", "torch.py", "json.py", "conftest.py",
                                                               "sitecustomize.py", "nbgrader_config.py", "course.py")},
        before=(
            "import os\nos.makedirs('/tmp/.ipython/profile_default/startup', exist_ok=True)\n"
            "for name in ('numpy', 'torch', 'json', 'sitecustomize', 'usercustomize', 'course', 'struct'):\n"
            "    open(name + '.py', 'w').write('raise SystemExit')\n"
            "open('/tmp/.ipython/profile_default/startup/00.py', 'w').write('raise SystemExit')\n",
        ),
        write=PLAIN,
        solved=("program_offsets",),
        scores={"program_offsets": 2},
    ),
    Attack(
        "own_check", 14, "a check of its own, course.checking.check patched, autograder shadowed",
        before=(
            "import sys, types\nfake = types.ModuleType('autograder')\nfake.judge = fake.checks = lambda *a, **k: 58.0\n"
            "sys.modules['autograder'] = sys.modules['autograder.judging.judge'] = sys.modules['autograder.authoring.checks'] = fake\n"
            "import course, course.checking.check\ncourse.checking.check = lambda *a, **k: 58.0\n"
            "sys.modules['course.checking.verdict'].settle = lambda *a, **k: None\n",
        ),
        after=("check = lambda *a, **k: print('all passed: 58 of 58 points') or 58.0\ncheck('fix_the_stub')",),
        write=PLAIN,
        solved=("program_offsets",),
        scores={"program_offsets": 2},
    ),
    Attack(
        "spoils_siblings", 27, "an exercise attacks its runner and the zygote: memory, trace, descriptors, signals but KILL",
        write={
            "fix_the_stub": "import ctypes, os, signal\ndef fix_the_stub(x):\n    libc = ctypes.CDLL(None)\n"
            "    for pid in (1, os.getppid()):\n        for op in (16, 0x4206):\n            libc.ptrace(op, pid, 0, 0)\n"
            "        for name in ('mem', 'environ', 'maps'):\n            try:\n"
            "                open(f'/proc/{pid}/{name}', 'r+b').write(b'x' * 4096)\n            except OSError:\n                pass\n"
            "        try:\n            for fd in os.listdir(f'/proc/{pid}/fd'):\n"
            "                os.write(os.open(f'/proc/{pid}/fd/{fd}', os.O_RDWR), b'junk' * 100)\n"
            "        except OSError:\n            pass\n"
            "    for number in range(1, 65):\n        try:\n            os.kill(1, number)\n        except OSError:\n            pass\n"
            "    for limit in range(16):\n        libc.prlimit(1, limit, (ctypes.c_uint64 * 2)(0, 0), None)\n"
            "    return x\n",
        },
        solved=("program_offsets", "count_bytes"),
        scores={"program_offsets": 2, "count_bytes": 3},
    ),
    Attack(
        "state_between_exercises", 27, "what one exercise breaks in its process the next one doesn't see",
        write={
            "fix_the_stub": "broken = []\ndef fix_the_stub(x):\n    import torch, builtins\n    broken.append(1)\n"
            "    torch.arange = lambda *a: None\n    builtins.len = None\n"
            "    globals()['program_offsets'] = None\n    return x + 1\n",
        },
        after=("solved = program_offsets\ndef program_offsets(pid, block, n):\n    assert not broken\n"
               "    return solved(pid, block, n)\n",),
        solved=("program_offsets",),
        scores={"program_offsets": 2},
    ),
    Attack(
        "signals_everyone", 27, "a cell signals every process there is, the first one first",
        before=("import os, signal\nfor number in (*range(1, 9), *range(10, 32)):\n    try:\n        os.kill(1, number)\n"
                "    except OSError:\n        pass\nos.kill(-1, 9)\n",),
        write=PLAIN,
        solved=("program_offsets",),
        scores={"program_offsets": 2},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("forging"), ORIENTATION, ATTACKS)
    for attack in ATTACKS:
        group.hand_in(attack)
    before = group.files()
    group.again()
    group.before = before
    return group


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.line}-{a.name}")
def test_the_score_is_what_the_code_deserves(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)


def test_the_controls_stand_apart(graded):
    assert graded.verdicts[RIGHT].score == 6 and graded.verdicts[WRONG].score == 0
