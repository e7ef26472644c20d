"""The card: no script, everything escaped, readable as text, the same facts in both."""

import re

import pytest

from course.checking import card
from course.checking.verdict import STATES, ExerciseVerdict, Named, TrialResult, without_points

EVIL = '<script>alert(1)</script>" onload="x'


def verdict(**changes):
    trials = [
        TrialResult("keeps the diagonal", 1, True),
        TrialResult("position 3 must not see position 4", 2, False, "row 3 is wrong", "1 1 1 1 1", "1 1 1 1 0"),
    ]
    named = Named("one_future_token", "off by one: you allowed one token of the future", "Who can see token t+1?")
    return ExerciseVerdict("causal_mask", 1, 3, "partial", "", named, trials, 2)


def test_text_says_what_holds_what_not_and_what_next():
    shown = card.text(verdict())
    for part in ("1 of 3 points", "ok   keeps", "no   position 3", "yours:    1 1 1 1 1", "expected: 1 1 1 1 0",
                 "looks like: off by one", "next: Who can see", "hint 1 of 2: course hint causal_mask"):  # fmt: skip
        assert part in shown
    assert max(map(len, shown.splitlines())) <= 78


def test_html_carries_the_same_facts_without_script_or_class():
    shown = card.html(verdict())
    for part in ("1 of 3 points", "<b>no</b>", "1 1 1 1 0", "off by one", "Who can see"):
        assert part in shown
    assert "<script" not in shown and " class=" not in shown


def test_everything_from_outside_is_escaped():
    v = verdict()
    v.reason = v.name = v.misconception.sentence = v.misconception.next = EVIL
    v.trials = [TrialResult(EVIL, 1, False, EVIL, EVIL, EVIL)]
    shown = card.html(v)
    assert "<script" not in shown
    assert all("onload" not in tag for tag in re.findall(r"<[^>]*>", shown))


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_word(state):
    shown = without_points("x", 2, state, "because")
    assert "because" in card.text(shown) and card.STATE_WORDS[state] in card.html(shown)
