"""THREATS.md, line 18: the verdict channel. What a worker may put on the wire, and what no comparison may trip over.

Frames that break the rules are in tests/autograder/test_remote.py and test_wire.py; here are answers that keep them and
are meant to break the judge behind, and a runner that talks out of turn while it is asked to run cells.
"""

# ruff: noqa: E501 - attacks are programs in strings

import pytest
import torch
from attack_class import ORIENTATION, SMALL

from autograder.classroom import grade as grading
from autograder.judging.judge import judge
from autograder.judging.needed import Cell
from autograder.judging.rules import HandIn
from autograder.judging.trials import judge_exercise
from autograder.sandbox.sandbox import why_not
from course.checking.subject import Handle, SubjectError

DEEP = []
for _ in range(25):
    DEEP = [DEEP]
ANSWERS = {
    "none": None,
    "huge_int": 10**4000,
    "negative_huge_int": -(10**4000),
    "nan": float("nan"),
    "text": "passed",
    "surrogates": "\ud800" * 5,
    "bytes": b"\x80\x04\x95pickle.",
    "deep": DEEP,
    "pairs": (10**4000, float("inf")),
    "lists": [torch.zeros(0)] * 3,
    "odd_keys": {(1, (2,)): None, 1.5: 10**400, None: DEEP},
    "empty_tensor": torch.zeros(0),
    "many_axes": torch.zeros((1,) * 16),
    "wide_view": torch.zeros(1).expand(1 << 17),
    "bool_tensor": torch.ones(3, 5, dtype=torch.bool),
    "nan_tensor": torch.full((3, 5), float("nan")),
    "infinite_pair": (torch.full((8,), float("inf")), torch.ones(8, dtype=torch.bool)),
    "dtype": torch.float32,
    "handle": Handle(1 << 60),
}


class Liar:
    """A worker that answers every question with the same value, well formed."""

    def __init__(self, answer):
        self.answer, self.mutated = answer, ["x"] if answer is None else []

    def __call__(self, *args, **kwargs):
        return self.answer

    def __getattr__(self, operation):
        if operation == "construct":
            return lambda *a, **k: Handle(1)
        if operation == "hands":
            return lambda: LyingHands(self.answer)
        if operation == "load_state" or operation == "release":
            return lambda *a, **k: None
        if operation in ("grad", "grad_method"):
            return self._grads
        if operation == "iterate":
            return lambda *a, limit=100, **k: [self.answer] * min(limit, 5)
        return lambda *a, **k: self.answer

    def _grads(self, *args, wrt=(), params=(), **kwargs):
        zeros = tuple(torch.zeros(1) for _ in wrt)
        return (self.answer, zeros, dict.fromkeys(params, torch.zeros(1)))[: 3 if params else 2]


class LyingHands:
    """The same of a launcher: no trace is one, and no replay gives what it should."""

    deadline = float("inf")

    def __init__(self, answer):
        self.answer = answer

    def begin(self):
        return self.answer

    def __getattr__(self, operation):
        return lambda *a, **k: self.answer


@pytest.mark.parametrize("unit", [ORIENTATION, "02_attention"])
@pytest.mark.parametrize("name", ANSWERS)
def test_no_answer_ends_the_judge_and_none_earns_full_points(unit, name):
    rules = grading.rules_for(unit)
    for exercise, check in rules.checks.items():
        verdict = judge_exercise(check, rules.recorded.check(exercise), lambda: Liar(ANSWERS[name]), lambda title: 7)
        assert verdict.score <= 0.5 * verdict.max_score, (exercise, name, verdict.score)


def test_the_failures_a_worker_may_claim_are_only_words():
    rules = grading.rules_for(ORIENTATION)

    class Failing(Liar):
        def __call__(self, *args, **kwargs):
            raise SubjectError("raised", "\x1b]0;passed\x07" * 50, "TypeError")

    for exercise, check in rules.checks.items():
        verdict = judge_exercise(check, rules.recorded.check(exercise), lambda: Failing("x"), lambda title: 7)
        assert verdict.score < verdict.max_score


RUNNER_LIES = """
import gc, json, os, struct
def frame(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<4sIQ", b"CRS1", len(text), len(body)) + text + body
[desk] = [o for o in gc.get_objects() if type(o).__name__ == "Runner"]
"""
TURNS = [
    "desk.sock.sendall(frame({'cell': 'c1', 'error': None, 'error_name': '', 'seconds': 0.1, 'line': 0}, b'x') * 3)",
    "desk.sock.sendall(frame({'ended': 1, 'code': 0}) * 1000)",
    "desk.sock.sendall(frame({'cell': 'lies', 'error': 5, 'error_name': {}, 'seconds': 'x'}))",
    "desk.sock.sendall(b'CRS1' + bytes(100)); os._exit(0)",
    "desk.sock.sendall(frame({'cell': 'c1', 'error': None, 'error_name': '', 'seconds': float('1e308'), 'line': 0}, b'y' * 9_000_000))",
    "desk.sock.close()",
]


@pytest.mark.parametrize("turn", TURNS)
def test_a_runner_that_talks_out_of_turn_costs_itself(turn):
    missing = why_not()
    if missing:
        pytest.skip(missing)
    rules = grading.rules_for(ORIENTATION)
    bad = "def fix_the_stub(x):\n    return x + 1\n"
    cells = [Cell("lies", "", RUNNER_LIES + turn), Cell("c1", "fix_the_stub", "import torch\n" + bad)]
    verdict = judge(rules, HandIn("liar", cells, "d"), b"s" * 32, SMALL)
    assert verdict.score == 0 and verdict.state == "graded"
