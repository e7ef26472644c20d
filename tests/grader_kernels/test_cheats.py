"""Every file in cheats/ is refused by the judge, for its own reason, and honest kernels are not.

The first lines of a cheat say what must happen to it:

    # refused: words that stand in the verdict
    # problem: NAME          the problem it answers; row_softmax without this line
    # keeps: N cases         so many cases may still be right (an answer that is always 1.0 is right in a row of one)
    # loses: GROUP           it loses this group, and its numbers may be right; without this line nothing else counts
    # awaits: WHAT           it is not refused yet, and what has to come first

Without `keeps` and `loses` its score is 0.
"""

import dataclasses
import shutil
import time
from pathlib import Path

import pytest
import torch

from autograder.authoring import kernels
from grader_kernels.judging.judge import Judge

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "cheats"
STALLING = {"catches_the_deadline", "stops_itself", "closes_the_pipe", "leaves_a_child_behind"}
SECRET = 0x5EC2E7_0F_7415_7E57  # graders draw theirs; a file can guess small ones
QUICK = set("torch_softmax numpy_writes_the_output cached_by_shape cached_when_large identity patched_record".split())
QUICK |= set("race_hidden_by_a_bell one_program_does_it_all tf32_by_default result_is_not_contiguous".split())
QUICK |= set("torch_modes_disabled carried_as_integers only_powers_of_two patched_data_ptr".split())


@dataclasses.dataclass
class Cheat:
    """A file and what its first lines ask for."""

    path: Path
    words: str
    problem: str = "row_softmax"
    keeps: int = 0
    loses: str = ""
    awaits: str = ""


def read(path: Path) -> Cheat:
    said = {}
    for line in path.read_text().splitlines():
        if not line.startswith("# "):
            break
        key, _, words = line[2:].partition(": ")
        said[key] = words
    keeps = int(said.get("keeps", "0").split()[0])
    asked = (said.get(key, "") for key in ("loses", "awaits"))
    return Cheat(path, said["refused"], said.get("problem", "row_softmax"), keeps, *asked)


CHEATS = {path.stem: read(path) for path in sorted(FOLDER.glob("*.py"))}


@pytest.fixture(scope="module")
def judge():
    with Judge() as patient:
        yield patient


@pytest.fixture(scope="module")
def impatient():
    """For files that never answer: the deadline is what is tested."""
    with Judge(seconds=2.0, total=6.0) as judge:
        yield judge


@pytest.fixture(scope="module")
def table():
    """Printed at the end: `pytest -s`."""
    rows = []
    yield rows
    print(f"\n\n{'file':36} {'score':>5}  {'right cases':11}  says")
    for name, score, cases, says in rows:
        print(f"{name:36} {score:5.1f}  {cases:11}  {says[:150]}")


def note(table, name, verdict, words=""):
    says = next((s for s in verdict.sentences() if words and words in s), "")
    right = sum(case.passed for case in verdict.cases)
    table.append((name, verdict.score, f"{right} of {len(verdict.cases)}", says))


def judged(judge, table, name, folder):
    """The verdict on a copy of the file: a cheat may write over the file it came from."""
    cheat = CHEATS[name]
    copy = Path(shutil.copy(cheat.path, folder))
    before = time.monotonic()
    verdict = judge.judge(cheat.problem, copy, seed=SECRET)
    assert time.monotonic() - before < 60, "it held the judge up"
    note(table, name, verdict, cheat.words)
    return verdict


def refused(verdict, cheat):
    said = "\n".join(verdict.sentences())
    assert cheat.words in said, f"expected `{cheat.words}` in:\n{said}"
    assert verdict.score < verdict.max_score
    if cheat.loses:
        assert verdict.group(cheat.loses).won == 0
        return
    assert sum(case.passed for case in verdict.cases) <= cheat.keeps, "too many cases count as right"
    if not cheat.keeps:
        assert verdict.score == 0


def honest(judge, table):
    verdict = judge.judge("row_softmax", kernels.files("row_softmax")[0]["solution"])
    note(table, "our own kernel", verdict)
    assert verdict.full, verdict.sentences()


def marked(names):
    """Most run with `make test-all` only."""
    awaited = {name: [pytest.mark.xfail(reason=CHEATS[name].awaits)] if CHEATS[name].awaits else [] for name in names}
    slow = {name: [] if name in QUICK else [pytest.mark.slow] for name in names}
    return [pytest.param(name, marks=awaited[name] + slow[name]) for name in sorted(names)]


def test_there_are_enough_of_them():
    assert len(CHEATS) >= 30
    for name, cheat in CHEATS.items():
        assert len(cheat.words) > 5, name
        assert '"""' in cheat.path.read_text(), f"{name} does not say how it cheats"


def test_the_honest_kernel_has_all_points(judge, table):
    honest(judge, table)


@pytest.mark.parametrize("name", marked(set(CHEATS) - STALLING))
def test_refused(judge, table, name, tmp_path):
    refused(judged(judge, table, name, tmp_path), CHEATS[name])


def test_the_honest_kernel_still_has_all_points(judge, table):
    """After all of them, with the same judge: nothing was left behind."""
    honest(judge, table)


def test_an_honest_launcher_may_name_its_parameters_itself(judge):
    """What `parameters_renamed` abuses: bytes are counted by the problem's names, not by the learner's."""
    source = kernels.files("rmsnorm_forward")[0]["solution"]
    source = source.replace("forward(x, weight,", "forward(x, w,").replace("(x, weight, out,", "(x, w, out,")
    verdict = judge.judge("rmsnorm_forward", source)
    assert verdict.full, verdict.sentences()


@pytest.mark.parametrize("name", marked(STALLING))
def test_refused_in_time(impatient, table, name, tmp_path):
    refused(judged(impatient, table, name, tmp_path), CHEATS[name])


def test_the_file_that_rewrites_itself_did_so(judge, table, tmp_path):
    """Or the test above shows nothing."""
    copy = Path(shutil.copy(CHEATS["rewrites_its_file"].path, tmp_path))
    judge.judge("row_softmax", copy)
    assert "own_path" not in copy.read_text()
