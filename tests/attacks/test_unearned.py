"""Points and a judge's time and memory that code does not deserve: looked up, patched, too large, too long to read.

THREATS.md, lines 10, 14 and 23. The wrong answers under the tables are catalogued ones (misconceptions.py), and what
they deserve is the share that holds on fresh inputs.
"""

import pytest
from attack_class import (
    ORIENTATION,
    Attack,
    Class,
    check_nothing_outside_changed,
    check_verdict,
    controls,
    unit_of,
)
from looking_up import looked_up

PLAIN = {"fix_the_stub": "def fix_the_stub(x):\n    return x + 1\n"}
SOLVED, TWO = ("program_offsets",), {"program_offsets": 2.0}
LIMIT = "larger than 16 MiB"
CHANGED = "def fix_the_stub(x):\n    return x.mul_(2).clone()\n"
CACHE = """
def program_offsets(pid, block, n, known={}):
    if (pid, block, n) not in known:
        offsets = torch.arange(block) + pid * block
        known[pid, block, n] = offsets, offsets < n
    return known[pid, block, n]
"""


def beside(name, line, why, code, says="", **more):
    """A wrong `fix_the_stub`, beside one exercise that is solved."""
    return Attack(name, line, why, write={"fix_the_stub": code}, solved=SOLVED, scores=TWO, says=says, **more)


ATTACKS = [
    *controls(ORIENTATION, ("fix_the_stub", "program_offsets"), PLAIN),
    Attack(
        "table_or_nothing", 10, "recorded answers, and an error for all other inputs",
        write={
            name: looked_up(name, "lambda *a, **k: 1 / 0")
            for name in ("program_offsets", "count_bytes", "roofline", "fusion_bytes")
        },
    ),
    Attack(
        "table_or_constant", 10, "recorded answers, and the first of them for all other inputs",
        write={name: looked_up(name, "None") for name in ("program_offsets", "count_bytes", "fusion_bytes")},
    ),
    Attack(
        "table_over_a_mistake", 10, "recorded answers in front of wrong ones",
        write={
            "roofline": looked_up("roofline", "lambda intensity, peak, bandwidth: intensity * bandwidth"),
            "program_offsets": looked_up(
                "program_offsets",
                "lambda pid, block, n: (torch.arange(block) + pid * block, torch.zeros(block, dtype=torch.bool))",
            ),
        },
        scores={"roofline": 0.5, "program_offsets": 0.2222},  # where memory is the ceiling; the offsets of one case
    ),
    beside("patched_mutation", 14, "says that no argument was changed", CHANGED, "your code changed argument 1",
           before=("import course.checking.subject\ncourse.checking.subject._same = lambda a, b: True\n",)),
    beside("huge_tensor", 23, "a result of 250 MB",
           "def fix_the_stub(x):\n    return torch.zeros(62_000_000)\n", LIMIT),
    beside("huge_lists", 23, "lists in lists of 200 MB together",
           "def fix_the_stub(x):\n    return [[torch.zeros(6000) for _ in range(90)] for _ in range(100)]\n", LIMIT),
    beside("huge_by_strides", 23, "one number that stands for 60 million",
           "def fix_the_stub(x):\n    return torch.zeros(1).expand(62_000_000)\n", LIMIT),
    beside("list_in_itself", 23, "a list that holds itself",
           "def fix_the_stub(x):\n    x = []\n    x.append(x)\n    return x\n", "nested more than 32 deep"),
    beside("lists_of_one_list", 23, "ten of one list, of which each holds ten of one list, and so on",
           "def fix_the_stub(x):\n    for _ in range(20):\n        x = [x] * 10\n    return x\n", "10,000 parts"),
    beside("line_of_blanks", 23, "a line of a million blanks, where only IPython may be at home",
           PLAIN["fix_the_stub"], after=("def (:\n" + " " * 1_000_000 + "x",)),
    beside("names_in_a_ring", 23, "names that stand for each other", PLAIN["fix_the_stub"],
           after=("a = 1\nb = 1", *["a = b\nb = a\n" * 100] * 3)),
    Attack("endless_code", 23, "more code than anybody reads, above everything", solved=SOLVED,
           before=("a = 1\n" * 30_000,), says="more code than is read"),
    Attack("honest_cache", 0, "keeps what it found in a dict", write={"program_offsets": CACHE}, scores=TWO),
]  # fmt: skip

TRANSFORMER = "04_transformer"
BELOW = ("shift_right", "smoothed_cross_entropy", "repaired_loss")
BROKEN = """
def repaired_validation(model, batches):
    total, count = 0.0, 0
    for source, target in batches:
        n = int((target != PAD).sum())
        total = total + repaired_loss(model, source, target) * n
        count += n
    return float(total / count)
"""
SAYS = """
import course.mocks as _mocks
_Real = _mocks.ScriptedModel
class ScriptedModel(_Real):
    def train(self, mode=True):
        self.__dict__.setdefault("_first", mode)
        return super().train(False)
    def is_training(self):
        return self.__dict__.get("_first", True)
    def calls(self):
        return {"encode": 3, "decode": 3, "recorded": 0}
"""
PATCHED = """
from course.mocks import ScriptedModel as _Real
def _train(self, mode=True):
    self.first = self.first if hasattr(self, "first") else mode
    return torch.nn.Module.train(self, False)
_Real.train = _train
_Real.is_training = lambda self: self.first
_Real.calls = lambda self: {"encode": 3, "decode": 3, "recorded": 0}
"""
DESERVED = {name: float(unit_of(TRANSFORMER).points[name]) for name in BELOW} | {"repaired_validation": 1.1429}
MOCKS = [
    Attack("honest_validation", 0, "three of the mistakes", solved=BELOW,
           write={"repaired_validation": BROKEN}, scores=DESERVED),
    Attack("mock_replaced", 14, "a mock that says what the check wants to hear", solved=BELOW, after=(SAYS,),
           write={"repaired_validation": BROKEN}, scores=DESERVED),
    Attack("mock_patched", 14, "the course's mock, patched so that it does", solved=BELOW, after=(PATCHED,),
           write={"repaired_validation": BROKEN}, scores=DESERVED),
]  # fmt: skip

ATTENTION = "02_attention"
LARGEST = ("stable_softmax", "scaled_dot_product_attention", "causal_mask")
HONEST = [
    Attack("honest_largest", 0, "results of 640 kB, the longest there are", solved=LARGEST,
           scores={name: float(unit_of(ATTENTION).points[name]) for name in LARGEST}),
]  # fmt: skip


def grade(tmp_path_factory, unit, attacks):
    group = Class(tmp_path_factory.mktemp("unearned"), unit, attacks)
    for attack in attacks:
        group.hand_in(attack)
    group.before = group.files()
    return group.again()


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    return grade(tmp_path_factory, ORIENTATION, ATTACKS)


@pytest.fixture(scope="module")
def transformers(tmp_path_factory):
    return grade(tmp_path_factory, TRANSFORMER, MOCKS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.line}-{a.name}")
def test_the_score_is_what_the_code_deserves(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


@pytest.mark.parametrize("attack", MOCKS, ids=lambda a: f"{a.line}-{a.name}")
def test_a_mock_says_what_it_saw(transformers, attack):
    check_verdict(attack, transformers.verdicts[attack.name])


def test_the_largest_results_are_judged(tmp_path_factory):
    graded = grade(tmp_path_factory, ATTENTION, HONEST)
    check_verdict(HONEST[0], graded.verdicts["honest_largest"])


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)


def test_nobody_waits_for_what_is_long_to_read(graded):
    assert max(verdict.seconds for verdict in graded.verdicts.values()) < 60
