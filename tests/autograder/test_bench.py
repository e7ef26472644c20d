"""The bench runs both graders in a copy of this clone, and stops where their scores are not what they should be."""

import pytest

from autograder.proof import bench

KIND = bench.Kind("tiny", bench.TINY)


def test_both_graders_give_the_points():
    with bench.copied_clone() as clone:
        theirs = bench.plain_nbgrader(clone, KIND, 1)
        ours, stages = bench.ours(clone, KIND, 1, 1)
    assert theirs.hand_ins == ours.hand_ins == 1 and theirs.wall > 0 < ours.wall and stages["cells"] > 0


def test_other_scores_stop_it():
    with pytest.raises(RuntimeError, match="expected 2 times 6.5 points"):
        bench._expect([6.5, 6.0], 6.5, 2, "someone")
