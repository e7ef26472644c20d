"""`course kernel PROBLEM FILE.py`, and how its verdict looks in a terminal and in a notebook."""

import builtins
import json

import pytest

from autograder.authoring import kernels
from course.command_line import cli
from grader_kernels import problem
from grader_kernels.evidence import Compiled, Finding
from grader_kernels.judging import card
from grader_kernels.judging.verdict import CaseResult, Group, KernelVerdict, Named, TrafficRow


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Where a right and a wrong kernel stand."""
    folder = tmp_path_factory.mktemp("files")
    rights, wrongs = kernels.files("row_softmax")
    (folder / "right.py").write_text(rights["solution"])
    (folder / "no_maximum.py").write_text(kernels.as_file(wrongs["no_maximum"].source))
    return folder


@pytest.fixture(scope="module")
def right(files):
    return files / "right.py"


@pytest.fixture(scope="module")
def no_maximum(files):
    return files / "no_maximum.py"


@pytest.fixture
def course(capsys):
    def run(*words):
        code = cli.run(["kernel", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


# --- the command ---


def test_all_points_is_exit_code_0_and_reads_well(course, right):
    code, out, _ = course("row_softmax", right, "--target", "sm_80")
    assert code == 0 and "10 of 10 points" in out
    assert "right     4 of 4  numbers against a float64 reference" in out
    assert "A100 (sm_80)" in out and "Speed was not measured" in out
    assert "Cases that fail" not in out


def test_missing_points_are_exit_code_1_and_say_why(course, no_maximum):
    code, out, _ = course("row_softmax", no_maximum, "--target", "sm_80")
    assert code == 1
    assert "Looks like: " + kernels.files("row_softmax")[1]["no_maximum"].sentence[:40] in out and "Next: " in out
    assert "rows near -12,000, near 300 and below -10^9" in out and "NaN where a number is expected" in out


def test_json_is_exactly_one_object_with_every_figure(course, no_maximum):
    code, out, err = course("row_softmax", no_maximum, "--target", "sm_80", "--json", "--seed", "7")
    found = json.loads(out)
    assert code == 1 and err == ""
    assert (found["schema"], found["problem"], found["seed"], found["max_score"]) == (1, "row_softmax", 7, 10)
    assert {group["name"] for group in found["groups"]} == set(problem.GROUPS)
    assert all({"title", "passed", "says", "error", "allowed"} <= set(case) for case in found["cases"])
    assert found["traffic"][0]["moved"] and found["traffic"][0]["floor"] and found["traffic"][0]["tensors"]
    assert found["compiled"][0]["registers"] > 0 and found["seconds"] > 0


def test_bad_usage_is_one_sentence_and_exit_code_2(course, right, tmp_path):
    (tmp_path / "broken.py").write_text("def f(:")
    for words, sentence in (
        (("nothing", right), "there is no problem called nothing; there are"),
        (("row_softmax", tmp_path / "none.py"), "none.py can't be read (No such file or directory)"),
        (("row_softmax", tmp_path / "broken.py"), "broken.py is not Python: invalid syntax (line 1)"),
        (("row_softmax", right, "--target", "sm_1"), "sm_1 is not a target; there are sm_75"),
        (("row_softmax",), "Missing argument 'FILE.py'"),
    ):
        code, out, err = course(*words)
        assert (code, out) == (2, "") and sentence in err and len(err.strip().splitlines()) == 1


def test_without_triton_it_is_exit_code_3(course, right, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "triton":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    code, out, err = course("row_softmax", right)
    assert (code, out) == (3, "") and "needs triton" in err


# --- the card ---


def poor() -> KernelVerdict:
    """A verdict that has everything."""
    line = "x = tl.load(x_ptr + at)  # <b>"
    finding = Finding(
        "out_of_bounds",
        f"k, program 3, line 12 `{line}`: reads element 9 of x_ptr, which has 9 elements.",
        "Mask off the lanes that have no element.",
        "k",
        12,
        line,
        "x_ptr",
    )
    return KernelVerdict(
        "row_softmax",
        "mine.py",
        score=2.5,
        groups=[
            Group("right", 4, 2.5, ["5 of 8 cases are right"]),
            Group("safe", 2, 0, [finding.sentence]),
            Group("lean", 2, 0, ["you move 3.0 times the bytes that are needed: x is read three times (wide rows)"]),
            Group("compiles", 2, 2),
        ],
        cases=[
            *(CaseResult(f"case {i}", False, [f"off by 0.{i}"], "Look at the end.", 0.1, 1e-6) for i in range(5)),
            CaseResult("<i>plain</i>", False, ["the launcher raised ValueError: [bold]no[/bold]"]),
            CaseResult("fine", True),
        ],
        findings=[finding],
        traffic=[TrafficRow("[b]wide[/b] rows", 300, 100, 3.0, 1.0, 1, says="x is read three times", why="2 R C")],
        compiled=[
            Compiled("k", "sm_80", registers=40, stack=16, shared=2048, shared_limit=166912, load_bits={"128": 2}),
            Compiled("k", "sm_90", error="N must be a tl.constexpr"),
        ],
        misconception=Named("no_mask", "the tail is not masked"),
        speed="speed was not measured: there is no CUDA device here",
    )


def test_the_terminal_says_what_where_and_what_to_do():
    shown = card.text(poor())
    for words in (
        "2.5 of 10 points",
        "safe      0 of 2    memory, races, order of the programs: line 12 reads element 9 of x_ptr",
        "x is read three times",
        "Looks like: the tail is not masked.",
        "case 0; case 1; case 2; and 2 more",
        "off by 0.0.",
        "[bold]no[/bold]",
        "[b]wide[/b] rows",
        "k, line 12: x = tl.load(x_ptr + at)  # <b>",
        "Mask off the lanes",
        "2.0 of 163 KiB",
        "128 bits",
        "does not compile",
        "N must be a tl.constexpr",
    ):
        assert words in " ".join(shown.split()) or words in shown, words
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert repr(card.Card(poor())) == shown


def test_the_usual_cause_is_told_until_the_real_one_is_known():
    known, unknown = poor(), poor()
    unknown.misconception = None
    assert "Look at the end." in card.text(unknown) and "Look at the end." in card.html(unknown)
    assert "Look at the end." not in card.text(known) and "Look at the end." not in card.html(known)


def test_a_narrow_terminal_loses_no_words():
    assert "there is no CUDA device here" in " ".join(card.text(poor(), 60).split())


def test_the_html_card_is_escaped_and_has_no_script():
    page = card.Card(poor())._repr_html_()
    assert "&lt;i&gt;plain&lt;/i&gt;" in page and "# &lt;b&gt;" in page
    assert "<script" not in page and "class=" not in page
    for words in ("2.5 of 10 points", "Looks like", "x is read three times", "A100", "off by 0.0", "Mask off"):
        assert words in page


def test_a_reason_stands_alone():
    found = KernelVerdict("row_softmax", "mine.py", reason="it is not written yet", groups=[Group("right", 4, 0)])
    assert card.text(found).splitlines()[-1] == "It is not written yet."
    assert "It is not written yet." in card.html(found) and "Speed" not in card.html(found)
