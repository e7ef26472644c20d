"""`make gpu`, as far as it goes without a card: the sentence, the comparison, lost processes, the table."""

import os
import time

import pytest
import torch

from autograder.proof import gpu
from grader_kernels.interpreter.context import on_cpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")


def test_without_a_card_there_is_one_sentence(capsys):
    assert gpu.main([]) == 1
    assert capsys.readouterr().out == f"{gpu.NO_CARD}\n"


def test_a_right_kernel_agrees_with_the_judge():
    with on_cpu():
        row = gpu.examine("row_softmax", "solution", 7, "cpu")
    assert (row.kind, row.score, row.right, row.trouble) == ("right", 10, row.cases, "")
    assert 0 < row.worst <= 1 and row.apart == 0


def test_a_wrong_kernel_is_wrong_where_it_runs_too():
    with on_cpu():
        row = gpu.examine("vector_add", "grid_without_the_tail", 7, "cpu")
    assert row.kind == "wrong" and row.score < 10 and row.right < row.cases and row.says


def test_numbers_that_lie_apart_are_told():
    with on_cpu():
        judged = gpu.OnCard("x", "y", "right", cases=1)
        case = gpu.pose(gpu.problems.load("vector_add"), 7).cases[1]
        exact = case.expected.outputs[0].exact.float()
        gpu._compare(judged, exact + 1, exact, case)
    assert judged.right == 0 and judged.apart == pytest.approx(1 / float(exact.abs().max()), rel=1e-4)


def serve_badly(pipe):
    action, args = pipe.recv()
    if action == "dies":
        os._exit(3)
    time.sleep(60)


@pytest.mark.parametrize("action, says", [("dies", "its process died"), ("hangs", "it did not end within 0 seconds")])
def test_a_lost_process_is_told_and_replaced(monkeypatch, action, says):
    monkeypatch.setattr(gpu, "_serve", serve_badly)
    monkeypatch.setattr(gpu, "PATIENCE", 30.0 if action == "dies" else 0.3)
    worker = gpu.Worker()
    assert worker.ask(action) == says
    assert worker.process is None


def test_what_had_no_time_is_left_out_and_said():
    text = gpu.report("no card", ["vector_add"], 7, "cpu", deadline=0.0, workers=2)
    rights, wrongs = gpu.questions(["vector_add"], 7, "cpu")
    assert f"No time was left for {len(rights) + len(wrongs)}: " in text and "vector_add solution" in text


def test_a_process_that_raises_leaves_its_words_in_the_table():
    worker = gpu.Worker()
    try:
        found = worker.ask("examine", "vector_add", "no such answer", 7, "cpu")
    finally:
        worker.end()
    assert found == "KeyError: 'no such answer'"


def test_the_table_holds_every_row():
    rows = [
        gpu.OnCard("b", "solution", "right", 10, "", 3, 3, 0.5, 1e-7),
        gpu.OnCard("b", "bad", "wrong", 4, "a | race", 3, 1),
    ]
    times = [gpu.OnClock("b", "", 2e-5, 3e-5, 4096, 0.5), gpu.OnClock("c", "it fails")]
    text = gpu.render("a card", rows, times, [])
    assert "# Kernels on a card" in text and "| b | solution | 10 | 3 of 3 | 0.50 | 1e-07 |  |" in text
    assert "| b | 20.0 | 30.0 | 4,096 | 50% |" in text and "| c | it fails | | | |" in text
    assert "| b | bad | 4 | 1 of 3 | a / race |  |" in text
