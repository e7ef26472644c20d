"""The committed weights are what measured.json and the card say, and show what later units need of them."""

import json

import pytest
import torch

from course import gpt, vocabulary
from training import card, measure
from training.train import RECIPES

FILES = [gpt.WEIGHTS / name for name in ("target.safetensors", "draft.safetensors", "measured.json", "MODEL_CARD.md")]


@pytest.fixture(scope="module")
def told():
    missing = [path.name for path in FILES if not path.is_file()]
    if missing:
        pytest.skip(f"not there yet: {', '.join(missing)}; training.train and training.measure make them")
    return json.loads((gpt.WEIGHTS / "measured.json").read_text())


@pytest.mark.parametrize("name", ["target", "draft"])
def test_held_out_text_costs_what_the_card_says(told, name):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        got = measure.bits_per_byte(gpt.load(name), vocabulary.load(), measure.sample_bytes(), 256)
    finally:
        torch.set_num_threads(before)
    assert got == pytest.approx(told["models"][name]["bits_per_byte_of_sample"], rel=0.01)
    assert gpt.load(name).config == RECIPES[name].config


def test_the_card_and_the_curve_are_those_of_the_measurements(told):
    assert (gpt.WEIGHTS / "MODEL_CARD.md").read_text() == card.written(told)
    assert (gpt.WEIGHTS / "curve.svg").is_file()
    assert sum(path.stat().st_size for path in FILES[:2]) < 12e6


def test_the_target_needs_clearly_less_than_the_five_gram_model(told):
    assert told["models"]["target"]["bits_per_byte"] < 0.95 * told["ngram"]
    assert told["models"]["target"]["bits_per_byte"] < told["models"]["draft"]["bits_per_byte"]


def test_the_draft_agrees_with_the_target(told):
    assert told["pair"]["overlap"] >= 0.55


def test_the_target_copies_and_loops(told):
    copying = told["models"]["target"]["copying"]
    assert copying["second_run"] > max(10 * copying["chance"], 3 * copying["first_run"])
    assert told["loops"]["looping"] > 0


def test_perplexity_rises_beyond_the_trained_context(told):
    by_place = {row["from"]: row["perplexity"] for row in told["by_position"]}
    assert by_place[960] > 1.1 * by_place[192]
