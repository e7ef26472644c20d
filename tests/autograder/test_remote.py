"""Every operation through a real sandbox gives what LocalSubject gives; a worker that lies gains nothing."""

import pickle
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from autograder.authoring.recording import execute
from autograder.judging.judge import Replays, the_compiler
from autograder.judging.remote import RemoteSubject, _word
from autograder.judging.words import Words
from autograder.sandbox.sandbox import Limits, Sandbox, why_not
from course.checking.subject import Handle, LocalSubject, SubjectError
from grader_kernels import language, wire
from grader_kernels.judging import agree
from grader_kernels.judging.judgement import Failed, Judgement
from grader_kernels.judging.task import Posed, Task
from grader_kernels.problem import Settings

if sys.platform != "linux":
    pytest.skip("the sandbox needs Linux", allow_module_level=True)

torch.set_num_threads(1)
NOTEBOOK = """
import collections, os, time
import torch
import torch.nn.functional as F

def scale(x, factor=2): return x * factor
def spoil(x, y=None):
    x += 1
    return y
def stub(x): raise NotImplementedError("write stub here")
def fails(x): raise KeyError("missing key")
def odd(x): return object()
def echo(*args, **kwargs): return args, kwargs
def attention(q, k, v):
    w = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    return w @ v, w
def count(n):
    for i in range(n): yield torch.tensor(i)
def sample(model, prompt, n):
    for _ in range(n):
        prompt = prompt + [model(torch.tensor(prompt))]
    return prompt
def retry(model, times=3):
    for i in range(times):
        try: return i, model()
        except TimeoutError: pass
def library(x): return F.softmax(x, -1)
def own(x):
    e = (x - x.max(-1, keepdim=True).values).exp()
    return e / e.sum(-1, keepdim=True)
findings = {"loss": 1.5, "steps": [1, 2]}
class Scale(torch.nn.Module):
    def __init__(self, n, start=1.0):
        super().__init__()
        self.w = torch.nn.Parameter(torch.full((n,), start))
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        return x * self.w
    def counted(self): return self.calls
"""


@pytest.fixture(scope="module")
def box():
    missing = why_not()
    if missing:
        pytest.skip(missing)
    with Sandbox(limits=Limits(cell=20, call=4, exercise=30, submission=600, memory=900 << 20)) as box:
        yield box


@pytest.fixture(scope="module")
def runner(box):
    runner, results = box.run_notebook([("a", NOTEBOOK)])
    assert results[0].error is None, results[0]
    return runner


@pytest.fixture
def exercise(runner):
    with runner.exercise() as exercise:
        yield exercise


@pytest.fixture(scope="module")
def namespace():
    namespace = {}
    exec(NOTEBOOK, namespace)
    return namespace


@pytest.fixture
def both(exercise, namespace):
    def make(name):
        return RemoteSubject(exercise, name, words=Words([NOTEBOOK])), LocalSubject(namespace, name)

    return make


def equal(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


X = torch.arange(6.0).reshape(2, 3)


def test_a_call_gives_what_a_local_call_gives(both):
    for subject in both("scale"):
        equal(subject(X), X * 2)
        equal(subject(X, factor=3.0), X * 3)
        equal(subject.call("own", X), torch.softmax(X, -1))


def test_every_kind_of_value_crosses_both_ways(both):
    remote, _ = both("echo")
    plain = (None, True, 2**80, 1.5, float("inf"), "text", b"raw", [1, (2,)])
    sent = (*plain, {"a": X, (1, 2): 3}, X.mT, X.to(torch.bfloat16))
    args, kwargs = remote(*sent, dtype=torch.float16, array=np.eye(2, dtype=np.int16))
    assert args[:8] == plain and args[8][(1, 2)] == 3 and args[9].stride() == (1, 3)
    assert kwargs["dtype"] is torch.float16 and kwargs["array"].dtype == np.int16
    assert args[10].dtype is torch.bfloat16


def test_arguments_changed_in_place_are_named(both):
    for subject in both("spoil"):
        subject(X.clone(), y=1)
        assert subject.mutated == ["argument 1"]
        subject.call("scale", X)
        assert subject.mutated == []


@pytest.mark.parametrize("name", ["stub", "fails", "nothing", "findings"])
def test_failures_are_the_same(both, name):
    seen = []
    for subject in both(name):
        with pytest.raises(SubjectError) as caught:
            subject(X)
        seen.append((caught.value.kind, str(caught.value), caught.value.exception))
    assert seen[0] == seen[1]


def test_a_result_that_is_no_value_is_named(both):
    with pytest.raises(SubjectError) as caught:
        both("odd")[0](X)
    assert caught.value.kind == "bad_value" and "a object can't be sent" in str(caught.value)


def test_objects_stay_there_and_answer(both):
    for subject in both("Scale"):
        handle = subject.construct(3, start=2.0)
        assert isinstance(handle, Handle) and handle.type_name == "Scale"
        equal(subject.method(handle, "__call__", X), X * 2)
        subject.load_state(handle, {"w": torch.zeros(3)})
        equal(subject.method(handle, "forward", X), X * 0)
        assert subject.method(handle, "counted") == 2
        subject.release(handle)
        with pytest.raises(SubjectError, match="released"):
            subject.method(handle, "counted")
    remote, _ = both("scale")
    assert remote.construct(1, name="Scale").type_name == "Scale"


def test_gradients_are_the_same(both):
    q, k, v = (torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(i)) for i in range(3))
    cotangents = (torch.ones(2, 4, 3), None)
    remote, local = (s.grad(q, k, v, cotangents=cotangents, wrt=(0, 2)) for s in both("attention"))
    equal(remote, local)
    found = []
    for subject in both("Scale"):
        handle = subject.construct(3)
        found.append(subject.grad_method(handle, "forward", X, cotangents=X, wrt=(0,), params=("w",)))
    equal(*found)
    assert set(found[0][2]) == {"w"}


def test_generators_and_plain_values(both):
    for subject in both("count"):
        assert subject.iterate(10**9, limit=3) == [torch.tensor(i) for i in range(3)]
        assert subject.value("findings") == {"loss": 1.5, "steps": [1, 2]}
        with pytest.raises(SubjectError, match="not defined"):
            subject.value("absent")


def test_functions_of_the_judge_are_called_back(both):
    for subject in both("sample"):
        seen = []

        def model(tokens, seen=seen):
            seen.append(tokens.tolist())
            return len(tokens)

        assert subject(model, [7], 3) == [7, 1, 2, 3]
        assert seen == [[7], [7, 1], [7, 1, 2]]


def test_a_callback_may_ask_the_subject_in_turn(both):
    for subject in both("sample"):

        def model(tokens, subject=subject):
            return int(subject.call("scale", tokens).sum())

        assert subject(model, [1], 2) == [1, 2, 6]


def test_what_a_callback_raises_arrives_as_itself(both):
    for subject in both("retry"):
        answers = iter([TimeoutError("slow"), 5])

        def model(answers=answers):
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert subject(model) == (1, 5)


def test_poison_changes_the_library_and_not_ones_own(box, runner):
    poisoned = box.runner(poison=["_softmax"])
    list(poisoned.run_cells([("a", NOTEBOOK)]))
    right = torch.softmax(X, -1)
    with poisoned.exercise() as exercise:
        equal(RemoteSubject(exercise, "own")(X), right)
        assert RemoteSubject(exercise, "own").grad(X, cotangents=X, wrt=(0,))[1][0].shape == X.shape
        for ask in (lambda s: s(X), lambda s: s.grad(X, cotangents=X, wrt=(0,))):
            with pytest.raises(SubjectError, match="not for this exercise: `_softmax`"):
                ask(RemoteSubject(exercise, "library"))
    poisoned.close()


def test_a_call_that_was_refused_is_told_though_it_was_caught(box):
    both = "def caught(x):\n    try: return F.softmax(x, -1)\n    except RuntimeError: return own(x)\n"
    both += "caught(torch.ones(2))"
    for names in ([], ["_softmax"]):
        found = box.runner(names)
        list(found.run_cells([("a", NOTEBOOK), ("b", both)]))
        with found.exercise() as exercise:
            own, caught = RemoteSubject(exercise, "own"), RemoteSubject(exercise, "caught")
            equal(own(X), torch.softmax(X, -1))
            assert own.refused == ""  # what a cell called is not the exercise's
            equal(caught(X), torch.softmax(X, -1))
            assert caught.refused == "".join(names)
        found.close()


@pytest.mark.parametrize("said", [None, "_softmax", [1], ["a b"], ["x" * 61], [["_softmax"]], {"0": "a"}])
def test_only_a_word_is_taken_for_what_was_refused(said):
    assert _word(said) == ""


def test_cells_that_switch_gradients_off_do_not_break_gradients(box):
    runner, _ = box.run_notebook([("a", NOTEBOOK), ("b", "torch.set_grad_enabled(False); torch.set_num_threads(2)")])
    with runner.exercise() as exercise:
        assert RemoteSubject(exercise, "scale").grad(X, cotangents=X, wrt=(0,))[1][0].shape == X.shape
    runner.close()


# --- hostile exercises ---


def attack(box, source, seconds=None):
    """Call `f` of a notebook; the SubjectError it ends in. The runner must survive."""
    runner, results = box.run_notebook([("a", "import torch\n" + textwrap.dedent(source))])
    assert results[0].error is None, results[0]
    start = time.monotonic()
    with runner.exercise(seconds) as exercise, pytest.raises(SubjectError) as caught:
        for _ in range(3):
            RemoteSubject(exercise, "f")(X)
    assert time.monotonic() - start < 20
    with runner.exercise() as exercise:
        assert RemoteSubject(exercise, "fine")() == 1
    runner.close()
    return caught.value


FINE = "\ndef fine(): return 1\n"


@pytest.mark.parametrize(
    "body, kind, words",
    [
        ("import os; os._exit(4)", "killed", "exit code 4"),
        ("import ctypes; ctypes.string_at(0)", "killed", "segmentation"),
        ("import os\n    if os.fork() == 0:\n        while True: pass\n    os._exit(0)", "killed", "exit code 0"),
        ("raise SystemExit(1)", "raised", "SystemExit"),
        ("return f(x)", "raised", "RecursionError"),
        ("input()", "raised", "NoKeyboard"),
        ("while True: pass", "timed_out", "longer than 4 s"),
        ("import time; time.sleep(100)", "timed_out", "longer than 4 s"),
        ("return torch.empty(25_000_000_000)", "out_of_memory", "memory"),
        ("return torch.zeros(100_000_000)", "bad_value", "larger than 16 MiB"),
        ("return list(range(20_000))", "bad_value", "parts"),
        ("import os\n    while True: os.fork()", None, ""),
    ],
)
def test_a_call_that_misbehaves_costs_its_exercise_only(box, body, kind, words):
    error = attack(box, f"def f(x):\n    {body}\n{FINE}")
    assert (kind is None or error.kind == kind) and words in str(error), (error.kind, str(error))


def test_growing_memory_in_a_call_spares_the_runner(box):
    source = """
    import os, time
    def f(x):
        for _ in range(8):
            if not os.fork():
                held = b"x" * (200 << 20)
                time.sleep(30)
        time.sleep(30)
    def fine(): return 1
    """
    error = attack(box, textwrap.dedent(source))
    assert error.kind in ("out_of_memory", "timed_out")


def test_all_calls_together_have_a_limit(box):
    error = attack(box, "import time\ndef f(x):\n    time.sleep(1)\n    return x\n" + FINE, seconds=1.5)
    assert error.kind == "timed_out" and "together" in str(error)


LIAR = """
import json, os, struct
import gc, socket
def frame(header, body=b"", magic=b"CRS1", sizes=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<4sIQ", magic, *(sizes or (len(text), len(body)))) + text + body
def say(*frames):
    [desk] = [o for o in gc.get_objects() if type(o).__name__ == "Exercise"]
    for raw in frames: desk.sock.sendall(raw)
OK = {"ok": 1, "mutated": []}
def fine(): return 1
"""


def lies(box, statement):
    return attack(box, LIAR + f"\ndef f(x):\n    {statement}\n    return x\n")


@pytest.mark.parametrize(
    "statement",
    [
        "say(frame({'id': 9, **OK}))",
        "say(frame({'id': 1, **OK}), frame({'id': 1, **OK}))",
        "say(frame({'id': True, **OK}))",
        "say(frame({'id': 1}))",
        "say(frame({'id': 1, 'ok': {'pickle': 'x'}, 'mutated': []}))",
        "say(frame({'id': 1, 'ok': 1, 'mutated': 'all'}))",
        "say(frame({'id': 1, 'failed': {'kind': 'killed', 'message': 'x', 'exception': ''}, 'mutated': []}))",
        "say(frame({'id': 1, 'failed': 'no', 'mutated': []}))",
        "say(frame({}, sizes=(1 << 30, 0)))",
        "say(frame({}, sizes=(2, 1 << 40)))",
        "say(frame({}, sizes=(500, 0))); os._exit(0)",
        "say(frame({'id': 1, **OK}, magic=b'EVIL'))",
        "say(frame(b'{\"id\": NaN}'))",
        "say(frame(b'[' * 100000))",
        "import pickle; say(pickle.dumps({'id': 1, 'ok': 1}))",
        "say(frame({'ask': 1, 'callback': 5, 'args': {'tuple': [{'tuple': []}, {'dict': []}]}}))",
        "say(frame({'id': 1, 'ok': {'tensor': {'dtype': 'float32', 'shape': [1 << 40], 'stride': [0], 'start': 0,"
        " 'at': [0, 4]}}, 'mutated': []}, b'abcd'))",
        "say(frame({'id': 1, 'ok': {'callback': 1}, 'mutated': []}))",
    ],
)
def test_a_worker_that_breaks_the_protocol_loses_the_exercise(box, statement):
    assert lies(box, statement).kind == "channel"


def test_an_answer_of_a_wrong_shape_is_not_an_answer(box):
    runner, _ = box.run_notebook([("a", LIAR + "\ndef f(x):\n    say(frame({'id': 1, **OK}))\n    return x")])
    for ask in (
        lambda s: s.grad(X, cotangents=X, wrt=(0,)),
        lambda s: s.construct(X),
        lambda s: s.iterate(X),
    ):
        with runner.exercise() as exercise, pytest.raises(SubjectError) as caught:
            ask(RemoteSubject(exercise, "f"))
        assert caught.value.kind == "channel"
    runner.close()


def test_numbers_that_are_not_numbers_arrive_as_they_are(box):
    runner, _ = box.run_notebook([("a", "import torch\ndef f(x): return torch.tensor([float('nan'), float('inf')])")])
    with runner.exercise() as exercise:
        found = RemoteSubject(exercise, "f")(X)
    runner.close()
    assert found.isnan().tolist() == [True, False]


def test_objects_that_always_agree_arrive_as_what_they_store(box):
    source = """
    import torch
    class Yes(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None): return True
        def __eq__(self, other): return True
        shape = property(lambda self: torch.Size([2, 3]))
    def f(x): return torch.zeros(5).as_subclass(Yes)
    """
    runner, _ = box.run_notebook([("a", textwrap.dedent(source))])
    with runner.exercise() as exercise:
        found = RemoteSubject(exercise, "f")(X)
    runner.close()
    assert type(found) is torch.Tensor and found.tolist() == [0.0] * 5


def test_after_the_end_every_question_fails_at_once(box):
    runner, _ = box.run_notebook([("a", "import os\ndef f(x): os._exit(0)")])
    with runner.exercise() as exercise:
        subject = RemoteSubject(exercise, "f")
        for _ in range(3):
            with pytest.raises(SubjectError) as caught:
                subject(X)
            assert caught.value.kind == "killed"
    runner.close()


# --- launches ---

triton = pytest.importorskip("triton")

KERNEL = """
@triton.jit
def add_one_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=mask, other=0.0) + 1, mask=mask)
"""
LAUNCHER = """
def add_one(x):
    out = torch.empty_like(x)
    add_one_kernel[(triton.cdiv(x.numel(), 4),)](x, out, x.numel(), BLOCK=4)
    return out
"""
IN_PLACE = """
def add_one_here(x):
    add_one_kernel[(triton.cdiv(x.numel(), 4),)](x, x, x.numel(), BLOCK=4)
    return x
"""
CHEAT = """
def cheat(x):
    out = add_one(x)
    out.numpy()[...] = 99
    return out
"""
IMPORTS = "import torch\nfrom course.kernels import tl, triton\n"


@pytest.fixture(scope="module")
def launchers(box):
    runner, results = box.run_notebook([("i", IMPORTS), ("k", KERNEL), ("l", LAUNCHER), ("h", IN_PLACE), ("c", CHEAT)])
    assert not any(r.error for r in results), results
    return runner


def posed(x, expected=None):
    """One case that shows a launcher tensors like x."""
    return Posed("x", (x,), {}, [(None,), {}], agree.expect(x + 1 if expected is None else expected, x + 1))


def hands_of(exercise, name, replays, source=KERNEL):
    of = lambda needed: language.extract(source, needed)  # noqa: E731
    return RemoteSubject(exercise, name, of, replays, the_compiler()).hands()


@pytest.mark.parametrize("name", ["add_one", "cheat"])
def test_outputs_of_a_launch_come_from_the_replay(launchers, name):
    with launchers.exercise() as exercise, Replays("bwrap") as replays:
        hands, case = hands_of(exercise, name, replays), posed(X)
        found = hands.replay(hands.trace(case), case)
        equal(found.outputs, X + 1)
        assert found.evidence.traffic.launches == 1 and found.evidence.findings == []
    Replays.close()


@pytest.mark.parametrize("where", ["here", "in a sandbox"])
def test_a_launch_may_change_what_the_exercise_says_and_nothing_else(launchers, where):
    with launchers.exercise() as exercise, Replays("bwrap") as replays:
        hands = hands_of(exercise, "add_one_here", replays)
        if where == "here":
            subject = LocalSubject({"__name__": "__main__"}, "add_one_here")
            for source in (IMPORTS, KERNEL, IN_PLACE):
                execute(source, subject.namespace, f"in place, {len(source)}")
            hands = subject.hands()
        x = X.clone()
        for allowed, findings in (([], ["input_changed"]), (["x"], [])):
            settings = Settings(may_change=tuple(allowed))
            judged = Judgement(Task("add_one_here", ["x"], settings, [posed(x)]), hands)
            found = judged.verdict()
            assert [finding.kind for finding in found.findings] == findings
            assert found.cases[0].passed == bool(allowed)
        equal(x, X)
    Replays.close()


OUTSIDE = KERNEL.replace("tl.load(x_ptr + offsets, mask=mask", "tl.load(x_ptr + 9 + offsets, mask=mask")


def test_a_launch_that_ends_is_told_and_the_next_one_is_replayed(launchers):
    """The judge's own replays: a failed one takes nothing along."""
    with launchers.exercise() as exercise, Replays("bwrap") as replays:
        for source, fails in ((KERNEL, False), (OUTSIDE, True), (OUTSIDE, True), (KERNEL, False)):
            hands, case = hands_of(exercise, "add_one", replays, source), posed(X)
            traced = hands.trace(case)
            if not fails:
                equal(hands.replay(traced, case).outputs, X + 1)
                continue
            with pytest.raises(Failed, match="reads element") as caught:
                hands.replay(traced, case)
            assert (caught.value.kind, caught.value.finding.kind) == ("fault", "out_of_bounds")
    Replays.close()


def test_a_kernel_outside_the_language_is_refused(launchers):
    loops = KERNEL.replace("    mask =", "    import os\n    mask =")
    with launchers.exercise() as exercise, Replays("bwrap") as replays:
        for source in ("import os\nos._exit(0)", loops):
            hands, case = hands_of(exercise, "add_one", replays, source), posed(X)
            with pytest.raises(Failed) as caught:
                hands.replay(hands.trace(case), case)
            assert caught.value.kind == "language"
        direct = {"may_change": [], "reorder": False}
        with pytest.raises(Failed) as caught:  # the replaying process reads the source for itself
            replays.replay("import os\nos._exit(0)", hands.trace(case), ((X,), {}), direct)
        assert caught.value.kind == "language"
    Replays.close()


def test_a_launcher_that_could_not_is_a_case_and_a_dead_one_ends_the_exercise(box):
    cells = [("i", IMPORTS), ("l", "import os\ndef odd(x): raise KeyError('x')\ndef gone(x): os._exit(3)")]
    runner, _ = box.run_notebook(cells)
    with runner.exercise() as exercise, Replays("bwrap") as replays:
        with pytest.raises(Failed, match="KeyError") as caught:
            hands_of(exercise, "odd", replays).trace(posed(X))
        assert caught.value.kind == "raised"
        with pytest.raises(Failed) as caught:
            hands_of(exercise, "missing_one", replays).trace(posed(X))
        assert caught.value.kind == "missing"
        with pytest.raises(SubjectError) as caught:
            hands_of(exercise, "gone", replays).trace(posed(X))
        assert caught.value.kind == "killed"
    runner.close()


def test_pickle_is_nowhere():
    import course.worker.worker
    import grader_kernels.wire

    for module in (grader_kernels.wire, course.worker.worker):
        assert not any(value is pickle for value in vars(module).values())
    assert wire.MAGIC == b"CRS1"
