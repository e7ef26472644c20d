"""Each measurement on models whose answer is known, and a card in which every figure is a measured one."""

import json
import lzma
import math
import re

import pytest
import torch

from course import gpt, vocabulary
from course.errors import InputError
from training import card, measure, text, train

SMALL = gpt.Config(vocabulary=300, width=16, layers=2, heads=2, kv_heads=1, head_width=8, hidden=24, context=16)


def lively(config=SMALL, seed=0):
    model = train.new_model(config, seed).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter *= 12
    return model


def ids_of(length, seed=1, size=300):
    return torch.randint(0, size, (length,), generator=torch.Generator().manual_seed(seed))


# what text costs


@pytest.mark.parametrize("length", [1, 5, 16, 17, 24, 61, 64])
def test_every_token_is_counted_once_behind_the_first_window_that_reads_it(length, monkeypatch):
    monkeypatch.setattr(measure, "batches", lambda rows: list(rows.split(2)))
    model, ids, context, stride = lively(), ids_of(length), 16, 6
    before = [0, *ids.tolist()]
    starts = sorted({*range(0, max(0, length - context), stride), max(0, length - context)})
    expected = []
    for at in range(length):  # the token ids[at] is predicted from before[start] to before[at]
        start = next(s for s in starts if s <= at < s + context)
        logits = model(torch.tensor([before[start : at + 1]]))[0, -1].double()
        expected.append(-float(logits.detach().log_softmax(-1)[ids[at]]))
    got = measure.nats(model, ids, context, stride)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), atol=1e-4, rtol=1e-4)


def test_a_stride_that_leaves_tokens_out_is_refused():
    with pytest.raises(ValueError, match="leaves tokens out"):
        measure.nats(lively(), ids_of(50), 16, 17)


def test_a_uniform_model_needs_the_logarithm_of_the_vocabulary():
    words = vocabulary.load()
    raw = "a little text, ünd\0so on".encode()
    bits = measure.bits_per_byte(lambda ids: torch.zeros(*ids.shape, 4096), words, raw, 256)
    assert bits == pytest.approx(12 * len(words.encode(raw)) / len(raw))


def test_xz_with_the_training_text_before_it():
    train_side, held = bytes(range(256)) * 8 + b"some text" * 40, b"some text" * 50 + bytes(range(255, -1, -1))
    told = measure.xz(train_side, held)
    sizes = [len(lzma.compress(part, preset=9 | lzma.PRESET_EXTREME)) for part in (held, train_side, train_side + held)]
    assert told == {"alone": 8 * sizes[0] / 706, "behind the training text": 8 * (sizes[2] - sizes[1]) / 706}
    assert told["behind the training text"] < told["alone"]


# what the pair does


def test_agreement_is_the_sum_of_the_smaller_probabilities():
    p, q = lively(), lively(seed=5)
    told = measure.agreement(p, q, ids_of(70), 16)
    pairs = [(a.double().softmax(-1), b.double().softmax(-1)) for row in ids_of(70)[:64].view(4, 16)
             for a, b in zip(p(row[None])[0].detach(), q(row[None])[0].detach())]  # fmt: skip
    assert told["overlap"] == pytest.approx(sum(sum(map(min, a.tolist(), b.tolist())) for a, b in pairs) / 64, rel=1e-4)
    assert told["divergence"] == pytest.approx(sum(float((a * (a / b).log()).sum()) for a, b in pairs) / 64, rel=1e-4)
    assert told["same_first_choice"] == sum(int(a.argmax() == b.argmax()) for a, b in pairs) / 64
    assert measure.agreement(p, p, ids_of(70), 16)["overlap"] == pytest.approx(1) and told["overlap"] < 0.95


def induction(ids):
    """Logits for what stood behind the last earlier place of the same token."""
    logits = torch.zeros(*ids.shape, 300)
    for row, out in zip(ids.tolist(), logits):
        for at, token in enumerate(row):
            for earlier in range(at - 1, -1, -1):
                if row[earlier] == token:
                    out[at, row[earlier + 1]] = 20.0
                    break
    return logits


def test_copying_is_seen_in_a_model_that_copies_and_not_in_one_that_does_not():
    told = measure.copying(induction, 300, length=8, rows=20)
    assert (
        told["second_run"] > 0.75 and told["first_run"] < 0.2 and told["nats_second_run"] < 4 < told["nats_first_run"]
    )
    told = measure.copying(lambda ids: torch.zeros(*ids.shape, 300), 300, length=8, rows=20)
    assert told["second_run"] == told["first_run"] == 0 and told["chance"] == 1 / 44
    assert told["nats_second_run"] == pytest.approx(math.log(300))


@pytest.mark.parametrize(
    "ids, period",
    [
        ([9, 8, *[1, 2, 3] * 4], 3),
        ([9, 8, *[1, 2, 3] * 3], None),
        ([5] * 12, 1),
        ([5] * 11, None),
        ([*[1, 2, 3] * 4, 9], None),
        ([*[7, 1, 7, 2] * 5], 4),
        ([], None),
    ],
)
def test_loops(ids, period):
    assert measure.loop_in(ids) == period


def counting(ids):
    """The next number, up to 9 and round again."""
    return torch.nn.functional.one_hot((ids + 1) % 10, 300).float() * 50


def test_greedy_decoding_and_its_loops():
    rows = measure.continued(counting, torch.tensor([[3, 4]]), 4, 16)
    assert rows.tolist() == [[3, 4, 5, 6, 7, 8]]
    told = measure.loops(counting, vocabulary.load(), ids_of(64, size=9), 16, prompts=4, given=8, tokens=40)
    assert (told["prompts"], told["looping"], told["period"]) == (4, 4, 10)
    told = measure.loops(lambda ids: counting(ids) * 0 + torch.arange(300.0) * (ids[..., None] == 1), vocabulary.load(),
                         torch.ones(64, dtype=torch.int64), 16, prompts=1, given=8, tokens=6)  # fmt: skip
    assert told == {"prompts": 1, "looping": 0}


def test_sampling_follows_the_temperature_and_the_seed():
    model, start = lively(), torch.tensor([[1, 2, 3]])
    drawn = [measure.continued(model, start, 30, 16, temperature, seed) for temperature, seed in
             ((1.0, 0), (1.0, 0), (1.0, 1), (1e-3, 1), (0, 0))]  # fmt: skip
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[3], drawn[4])


def test_perplexity_by_position_is_that_of_each_place():
    def model(ids):  # sure of the token 7, and less so the more stands before
        return torch.nn.functional.one_hot(torch.full_like(ids, 7), 300) * (
            8.0 - torch.arange(ids.shape[1])[:, None] / 8
        )

    told = measure.by_position(model, torch.full((200,), 7), 16)
    assert [row["from"] for row in told] == list(range(0, 64, 4))
    costs = [math.log(1 + 299 * math.exp(at / 8 - 8)) for at in range(64)]
    expected = [math.exp(sum(costs[at : at + 4]) / 4) for at in range(0, 64, 4)]
    assert [row["perplexity"] for row in told] == pytest.approx(expected, rel=1e-4)


def test_a_large_channel_is_found_and_even_ones_are_none():
    model = lively()
    assert measure.outliers(model, ids_of(64))[0]["channels"] == []
    model.embed_tokens.weight.data[:, 5] *= 40
    told = measure.outliers(model, ids_of(64))
    assert told[0]["channels"] == [5] and told[0]["largest_ratio"] > 20 and told[0]["largest_value"] > 40
    assert [row["layer"] for row in told] == [0, 1]


# all of it


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Both models untrained, measured on a small text as the real ones are."""
    configs = {"target": {}, "draft": {"layers": 1}}
    found = text.of(*("\0".join(measure.data.held_out()[a:b]).encode() + b"\0" for a, b in ((0, 30), (60, 75))))
    monkeypatch.setattr(gpt, "WEIGHTS", tmp_path / "weights")
    for name, change in configs.items():
        config = gpt.Config(**{**train.dataclasses.asdict(SMALL), "vocabulary": 4096, "context": 32, **change})
        recipe = train.Recipe(config, steps=2, batch=2, distilled=0.5 * (name == "draft"))
        run = train.Run.begin(recipe, found.digest())
        train.finish(run, found, tmp_path / f"{name}.pt")
        gpt.save(run.model, gpt.WEIGHTS / f"{name}.safetensors")
        (tmp_path / f"{name}.json").write_text(json.dumps(train.record(run)))
    monkeypatch.setattr(text, "read", lambda folder: found)
    return tmp_path


def test_the_card_says_what_was_measured(measured):
    measure.main(measured)
    weights = measured / "weights"
    told = json.loads((weights / "measured.json").read_text())
    assert told["models"]["target"]["bits_per_byte_of_sample"] == pytest.approx(12 / 3.4, rel=0.1)
    written = (weights / "MODEL_CARD.md").read_text()
    assert (weights / "curve.svg").read_text().startswith("<?xml") and "(curve.svg)" in written
    wanted = [f"{bits:.3f}" for bits in (told["ngram"], *told["xz"].values(), told["pair"]["overlap"])]
    wanted += [f"{model[key]:.3f}" for model in told["models"].values() for key in
               ("bits_per_byte", "bits_per_byte_of_sample")]  # fmt: skip
    wanted += [f"{row['perplexity']:.1f}" for row in told["by_position"]]
    wanted += [f"Temperature {t}" for t in measure.TEMPERATURES] + [told["models"]["target"]["versions"]["numpy"]]
    assert [figure for figure in wanted if figure not in written] == []
    assert "it was not reached" in written  # xz knows more than an untrained model, and the card says so
    card.write(told | {"ngram": 77.125})
    changed = (weights / "MODEL_CARD.md").read_text()
    assert "77.125" in changed and f"{told['ngram']:.3f}" not in changed


def test_no_figure_stands_in_the_cards_own_words():
    source = (train.text.Path(card.__file__)).read_text().split('return f"""')[1].split('"""')[0]
    words = re.sub(r"\{[^{}]*\}", "", source)
    assert re.findall(r"\d[\d.,]*", words.replace("byte 0", "").replace("BSD 3-Clause", "").replace("2.0", "")
                      .replace("temperature 1", "")) == []  # fmt: skip


def test_another_text_or_no_training_is_a_sentence(measured, monkeypatch):
    other = text.of(b"another" * 99, b"text" * 99)
    monkeypatch.setattr(text, "read", lambda folder: other)
    with pytest.raises(InputError, match="another text"):
        measure.main(measured)
    (measured / "draft.json").unlink()
    with pytest.raises(InputError, match=r"training\.train draft"):
        measure.main(measured)
