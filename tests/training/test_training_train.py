"""A training run: what a step reads and minimises, and that a killed run ends where one in one piece ends."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from course import gpt
from course.errors import InputError
from training import text, train

ROOT = Path(__file__).resolve().parents[2]
SMALL = gpt.Config(vocabulary=260, width=16, layers=2, heads=2, kv_heads=1, head_width=8, hidden=24, context=16)
RECIPE = train.Recipe(SMALL, steps=12, batch=4, warmup=0.2)
IDS = (torch.arange(2000) ** 2 // 7) % 97
FOUND = text.Text(b"train", b"held", IDS, IDS[:400])
LENGTHS = torch.ones(260, dtype=torch.float64)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(train, "LOG_EVERY", 1)
    yield
    torch.set_num_threads(before)


def finished(path, recipe=RECIPE, **options):
    run = train.Run.resume(path, recipe, FOUND.digest()) if path.exists() else train.Run.begin(recipe, FOUND.digest())
    train.finish(run, FOUND, path, lengths=LENGTHS, save_every=0, **options)
    return run


def same(one, other):
    states = [
        (run.model.state_dict(), *(each.state_dict()["state"] for each in run.optimisers)) for run in (one, other)
    ]
    flat = [torch.cat([t.flatten().float() for t in leaves(state)]) for state in states]
    return torch.equal(*flat) and one.history == other.history and one.step == other.step


def leaves(tree):
    parts = tree.values() if isinstance(tree, dict) else tree
    return [leaf for part in parts for leaf in ([part] if isinstance(part, torch.Tensor) else leaves(part))]


# killed and resumed


def test_a_run_in_pieces_is_the_run_in_one(tmp_path):
    whole = finished(tmp_path / "whole.pt")
    for until in (3, 4, 9, 12):
        pieces = finished(tmp_path / "pieces.pt", until=until)
        assert pieces.step == until
    pieces.history = [line if line["step"] == 12 else {k: line[k] for k in ("step", "loss")} for line in pieces.history]
    assert same(whole, pieces)
    other = finished(tmp_path / "other.pt", dataclasses.replace(RECIPE, seed=1))
    assert not same(whole, other)


KILLED = """
import time, torch
from tests_training_module import train, FOUND, LENGTHS, RECIPE
torch.set_num_threads(1)
advance = train.Run.advance
train.Run.advance = lambda *args: (time.sleep(0.05), advance(*args))[1]
train.LOG_EVERY = 1
run = train.Run.begin(RECIPE, FOUND.digest())
train.finish(run, FOUND, __import__("pathlib").Path(PATH), lengths=LENGTHS, save_every=0)
"""


def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(tmp_path):
    path = tmp_path / "killed.pt"
    here = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {here!r}); PATH = {str(path)!r}" + KILLED.replace(
        "tests_training_module", Path(__file__).stem
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    for _ in range(600):
        if path.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    time.sleep(0.12)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    at = train.Run.resume(path, RECIPE, FOUND.digest()).step
    assert 0 < at < RECIPE.steps
    assert same(finished(path), finished(tmp_path / "whole.pt"))


def test_a_state_that_was_cut_off_while_saving_is_not_seen(tmp_path, monkeypatch):
    run = finished(tmp_path / "run.pt", until=2)
    before = (tmp_path / "run.pt").read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    run.step += 1
    with pytest.raises(OSError):
        run.save(tmp_path / "run.pt")
    assert (tmp_path / "run.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_schedule_may_be_shortened_and_nothing_else_changed(tmp_path):
    path = tmp_path / "run.pt"
    finished(path, until=5)
    for change in ({"batch": 2}, {"rate": 1.0}, {"config": dataclasses.replace(SMALL, base=9.0)}):
        with pytest.raises(InputError, match=next(iter(change))):
            train.Run.resume(path, dataclasses.replace(RECIPE, **change), FOUND.digest())
    with pytest.raises(InputError, match="text"):
        train.Run.resume(path, RECIPE, "another")
    short = finished(path, dataclasses.replace(RECIPE, steps=8))
    assert short.step == 8
    assert short.optimisers[0].param_groups[0]["lr"] == pytest.approx(RECIPE.matrix_rate / 3)  # 8 * 0.4 is 3 steps


def test_the_digest_tells_texts_apart():
    assert (
        len({found.digest() for found in (FOUND, FOUND._replace(train=b"x"), FOUND._replace(train_ids=IDS + 1))}) == 3
    )


# what a step reads


def test_every_window_is_read_once_in_an_epoch():
    count = (len(IDS) - 16) // 16 - 1
    ids = torch.arange(len(IDS))
    recipe = dataclasses.replace(RECIPE, batch=1)
    epochs = [torch.cat([train.windows(ids, e * count + s, recipe) for s in range(count)]) for e in range(3)]
    for rows in epochs:
        assert rows.shape == (count, 17) and (rows.diff() == 1).all()
        starts = rows[:, 0].sort().values
        assert (starts.diff() == 16).all() and starts[0] < 16 and rows.max() < len(ids)
    assert len({int(rows[:, 0].min()) for rows in epochs}) > 1
    assert not torch.equal(epochs[0].argsort(0), epochs[1].argsort(0))


def test_a_batch_is_a_function_of_seed_and_step():
    again = train.windows(IDS, 70, RECIPE)
    torch.manual_seed(99)
    assert torch.equal(train.windows(IDS, 70, RECIPE), again) and again.shape == (4, 17)
    assert not torch.equal(train.windows(IDS, 71, RECIPE), again)
    assert not torch.equal(train.windows(IDS, 70, dataclasses.replace(RECIPE, seed=1)), again)
    with pytest.raises(InputError, match="too few"):
        train.windows(IDS[:40], 0, RECIPE)


def test_the_rate_goes_up_stays_and_comes_down_to_nothing():
    recipe = train.Recipe(SMALL, steps=100, warmup=0.05, cooldown=0.4)
    rates = [train.rate_at(step, recipe) for step in range(101)]
    assert rates[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1]) and set(rates[5:61]) == {1.0}
    assert rates[61:] == pytest.approx([1 - n / 40 for n in range(1, 41)])


# what a step minimises


def test_attention_is_the_models_own():
    plain = gpt.GPT(SMALL).eval()
    plain.load_state_dict(train.new_model(SMALL, 3).state_dict())
    rows = IDS[:34].view(2, 17)
    torch.testing.assert_close(train.new_model(SMALL, 3)(rows), plain(rows))


def test_the_loss_is_the_mixture_of_cross_entropy_and_divergence():
    model, teacher, rows = train.new_model(SMALL, 0), train.new_model(SMALL, 1), IDS[:51].view(3, 17)
    for each in (model, teacher):
        each.embed_tokens.weight.data *= 40
    loss, reported = train.loss_of(model, rows, teacher, 0.7)
    q, p = (each(rows[:, :-1]).detach().double().softmax(-1) for each in (model, teacher))
    places = [(b, t) for b in range(3) for t in range(16)]
    cross_entropy = -sum(math.log(q[b, t, rows[b, t + 1]]) for b, t in places) / 48
    divergence = sum(float((p[b, t] * (p[b, t] / q[b, t]).log()).sum()) for b, t in places) / 48
    assert float(reported) == pytest.approx(cross_entropy, rel=1e-5)
    assert loss.item() == pytest.approx(0.3 * cross_entropy + 0.7 * divergence, rel=1e-5)
    assert divergence > 0.1
    assert train.loss_of(model, rows, None, 0.0)[0].item() == pytest.approx(cross_entropy, rel=1e-5)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_bits_per_byte_counts_the_bytes_of_what_is_predicted():
    model, lengths = train.new_model(SMALL, 0), torch.arange(260, dtype=torch.float64) % 5 + 1
    rows = IDS[: 17 * 5].view(5, 17)
    with torch.no_grad():
        logs = model(rows[:, :-1]).double().log_softmax(-1)
    bits = -sum(float(logs[b, t, rows[b, t + 1]]) for b in range(5) for t in range(16)) / math.log(2)
    bytes_read = sum(int(lengths[i]) for row in rows for i in row[1:])
    assert train.bits_per_byte(model, IDS[: 17 * 5 + 3], lengths) == pytest.approx(bits / bytes_read, rel=1e-5)


def test_a_run_learns():
    run = train.Run.begin(dataclasses.replace(RECIPE, steps=60), "")
    losses = [float(run.advance(IDS)) for _ in range(60)]
    assert losses[0] == pytest.approx(math.log(260), abs=0.1) and sum(losses[-5:]) / 5 < losses[0] - 0.8


# the course's two


@pytest.mark.parametrize("name, parameters", [("target", 5_180_672), ("draft", 803_456)])
def test_sizes(name, parameters):
    config = train.RECIPES[name].config
    with torch.device("meta"):
        model = gpt.GPT(config)
    assert sum(p.numel() for p in model.parameters()) == parameters and config.context == 256
    assert config.vocabulary == len(train.text.lengths())


def test_the_command_trains_the_target_and_then_the_draft_from_it(tmp_path, monkeypatch, capsys):
    draft = dataclasses.replace(RECIPE, config=dataclasses.replace(SMALL, layers=1), distilled=0.5)
    monkeypatch.setattr(train, "RECIPES", {"target": RECIPE, "draft": draft})
    monkeypatch.setattr(train.text, "read", lambda folder: FOUND)
    monkeypatch.setattr(train.text, "lengths", lambda: LENGTHS)
    monkeypatch.setattr(gpt, "WEIGHTS", tmp_path / "weights")
    threads = ["--threads", "1", "--precision", "float32"]
    train.main(["target", "--until", "5", *threads], tmp_path)
    assert not (tmp_path / "weights").exists()
    monkeypatch.setattr(train, "faster_precision", lambda: "bfloat16")
    train.main(["target", "--threads", "1"], tmp_path)  # on in the precision that it was begun with
    whole = finished(tmp_path / "whole.pt")
    half = {name: tensor.half() for name, tensor in whole.model.state_dict().items()}
    assert all(torch.equal(tensor, half[name]) for name, tensor in gpt.weights_of("target").items())
    train.main(["draft", "--steps", "6", *threads], tmp_path)
    assert gpt.load("draft").config == draft.config
    told = json.loads((tmp_path / "draft.json").read_text())
    assert told["tokens"] == 6 * 4 * 16 and told["recipe"]["steps"] == 6 and told["history"][-1]["bits_per_byte"] > 0
    assert "training.measure" in capsys.readouterr().out
