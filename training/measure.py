"""Measure the trained models and what they are compared with; write measured.json, curve.svg and the model card.

    python -m training.measure          # some minutes, after both models are trained

Every number of the card comes from here. What each one is stands at the function that measures it, and in the card.
Where a function takes a model, anything will do that maps ids (B, T) to logits (B, T, V).
"""

from __future__ import annotations

import io
import json
import lzma
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from course import data, gpt, plots, vocabulary
from course.errors import CourseError, InputError
from course.files import write_whole
from training import card, corpus, ngram, text
from training.train import attend_causally

PROMPTS = ("torch.nn.functional.", "The ", "Args:\n    input (Tensor): ")
TEMPERATURES = (0.5, 0.8, 1.0)
Model = Callable[[Tensor], Tensor]


def batches(rows: Tensor, tokens: int = 4096) -> list[Tensor]:
    return list(rows.split(max(1, tokens // rows.shape[1])))


# what text costs


@torch.no_grad()
def nats(model: Model, ids: Tensor, context: int, stride: int | None = None) -> Tensor:
    """(T,) float64: what each token costs. The byte 0 stands before the first, as it does between documents.

    Windows of `context` tokens, each `stride` further on (half the context if it is left out); a window counts only
    what none before it has read, so a token is read behind context - stride others at least, but for the first ones.
    """
    stride = stride or context // 2
    if stride > context:
        raise ValueError(f"a stride of {stride} leaves tokens out between windows of {context}")
    ids = torch.cat((torch.tensor([vocabulary.END]), ids))
    T = len(ids) - 1
    costs = torch.zeros(T, dtype=torch.float64)
    starts = [*range(0, max(0, T - context), stride), max(0, T - context)]  # the last window ends where the text does
    places = torch.tensor(starts)[:, None] + torch.arange(min(context, T))  # (windows, context)
    # Backwards, so that of two windows the earlier one, which read a token first, has the last word.
    for part in reversed(batches(places)):
        found = model(ids[part]).float().log_softmax(-1).gather(-1, ids[part + 1][..., None])[..., 0]
        for row, cost in zip(part.flip(0), found.flip(0)):
            costs[row] = -cost.double()
    return costs


def bits_per_byte(model: Model, words: vocabulary.Vocabulary, raw: bytes, context: int) -> float:
    """Bits that `raw` costs, for each of its bytes."""
    ids = torch.tensor(words.encode(raw))
    return float(nats(model, ids, context).sum()) / math.log(2) / len(raw)


def sample_bytes() -> bytes:
    """The committed sample, as the models read it."""
    return b"".join(document.encode() + b"\0" for document in data.held_out())


def xz(train: bytes, held: bytes) -> dict[str, float]:
    """Bits per byte of `xz -9e`: of the held-out text alone, and of what it adds to the training text before it."""
    alone, before, both = (
        len(lzma.compress(part, lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME)) for part in (held, train, train + held)
    )
    return {"alone": 8 * alone / len(held), "behind the training text": 8 * (both - before) / len(held)}


def five_gram(found: text.Text, size: int) -> float:
    """Bits per byte of the 5-gram model of the training tokens."""
    return ngram.NGram(found.train_ids.numpy(), size).bits(found.held_ids.numpy()) / len(found.held)


# what the pair does


@torch.no_grad()
def agreement(target: Model, draft: Model, ids: Tensor, context: int, most: int = 128) -> dict[str, float]:
    """Mean over positions of held-out windows, at temperature 1: sum min(p, q), KL(p || q), and equal first choices.

    The first is the share of the draft's tokens that speculative decoding accepts, Leviathan et al. 2023, section 3.2.
    """
    rows = ids[: len(ids) // context * context].view(-1, context)
    rows = rows[:: max(1, len(rows) // most)][:most]
    sums, positions = np.zeros(3), 0
    for part in batches(rows):
        log_p, log_q = (model(part).double().log_softmax(-1) for model in (target, draft))
        p, q = log_p.exp(), log_q.exp()
        same = log_p.argmax(-1) == log_q.argmax(-1)
        sums += [float(torch.minimum(p, q).sum()), float((p * (log_p - log_q)).sum()), int(same.sum())]
        positions += part.numel()
    overlap, divergence, first = (sums / positions).tolist()
    return {"overlap": overlap, "divergence": divergence, "same_first_choice": first}


@torch.no_grad()
def copying(model: Model, vocabulary_size: int, length: int = 24, rows: int = 128, seed: int = 0) -> dict[str, float]:
    """A run of random tokens, twice. How often is the next token of the second run the model's first choice?

    Beside it the same of the first run, where nothing can be known, and the cost of a token in each. Tokens are drawn
    from those that are not single bytes; the first token of a run is not asked for.
    """
    gen = torch.Generator().manual_seed(seed)
    run = torch.randint(256, vocabulary_size, (rows, length), generator=gen)
    ids = torch.cat((run, run), 1)
    logs = torch.cat([model(part).float().log_softmax(-1) for part in batches(ids)])[:, :-1]
    right = (logs.argmax(-1) == ids[:, 1:]).float().mean(0)
    cost = -logs.gather(-1, ids[:, 1:, None])[..., 0].mean(0)
    first, second = slice(0, length - 1), slice(length, 2 * length - 1)
    return {
        "second_run": right[second].mean().item(), "first_run": right[first].mean().item(),
        "chance": 1 / (vocabulary_size - 256), "length": length,
        "nats_second_run": cost[second].mean().item(), "nats_first_run": cost[first].mean().item(),
    }  # fmt: skip


def loop_in(ids: list[int], times: int = 4) -> int | None:
    """The length of the run that the end of `ids` repeats at least `times` times, over 12 tokens or more; or None."""
    for period in range(1, len(ids) // times + 1):
        covered = max(times * period, 12)
        if len(ids) >= covered and all(ids[-i] == ids[-i - period] for i in range(1, covered - period + 1)):
            return period
    return None


@torch.no_grad()
def continued(model: Model, rows: Tensor, tokens: int, context: int, temperature: float = 0.0, seed: int = 0) -> Tensor:
    """`rows` (B, T) with `tokens` more, greedily at temperature 0; the model sees the last `context` tokens."""
    gen = torch.Generator().manual_seed(seed)
    for _ in range(tokens):
        logits = model(rows[:, -context:])[:, -1].float()
        if temperature == 0:
            chosen = logits.argmax(-1, keepdim=True)
        else:
            chosen = torch.multinomial((logits / temperature).softmax(-1), 1, generator=gen)
        rows = torch.cat((rows, chosen), 1)
    return rows


def loops(model: Model, words: vocabulary.Vocabulary, ids: Tensor, context: int, prompts: int = 16,
          given: int = 32, tokens: int = 160) -> dict[str, Any]:  # fmt: skip
    """Greedy decoding from pieces of held-out text: how many end in a loop, and the first that does."""
    rows = ids[: len(ids) // given * given].view(-1, given)
    rows = continued(model, rows[:: max(1, len(rows) // prompts)][:prompts], tokens, context)
    found = [(row, loop_in(row[given:])) for row in rows.tolist()]
    looping = [(row, period) for row, period in found if period]
    told: dict[str, Any] = {"prompts": len(found), "looping": len(looping)}
    if looping:
        row, period = looping[0]
        told |= {"prompt": words.decode(row[:given]), "text": words.decode(row[given:]), "period": period}
    return told


@torch.no_grad()
def by_position(model: Model, ids: Tensor, context: int, times: int = 4, most: int = 48) -> list[dict[str, float]]:
    """Perplexity of held-out tokens by how much text stands before them, beyond the trained context as well.

    Windows of `times` contexts; each row is a stretch of a quarter of the context.
    """
    length = times * context
    starts = torch.arange(0, len(ids) - length - 1, max(1, (len(ids) - length - 1) // most))[:most]
    rows = ids[starts[:, None] + torch.arange(length + 1)]
    costs = [
        -model(part[:, :-1]).float().log_softmax(-1).gather(-1, part[:, 1:, None])[..., 0] for part in batches(rows)
    ]
    mean = torch.cat(costs).double().mean(0).view(-1, context // 4).mean(1)
    return [{"from": n * context // 4, "perplexity": math.exp(cost)} for n, cost in enumerate(mean.tolist())]


@torch.no_grad()
def outliers(model: gpt.GPT, ids: Tensor, most: int = 32, factor: float = 6.0) -> list[dict[str, Any]]:
    """What each layer reads of the stream: the channels with a root mean square above `factor` times the median one's.

    And the largest absolute value beside the median channel's root mean square: a few tokens can be large as well.
    """
    rows = ids[: len(ids) // model.config.context * model.config.context].view(-1, model.config.context)[:most]
    seen: list[Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda _, given: seen.append(given[0])) for layer in model.layers]
    try:
        model.states(rows)
    finally:
        for hook in hooks:
            hook.remove()
    told = []
    for number, stream in enumerate(seen):
        size = stream.double().pow(2).mean((0, 1)).sqrt()  # (D,)
        ratio = size / size.median()
        channels = [int(c) for c in ratio.argsort(descending=True) if ratio[c] > factor]
        told.append({"layer": number, "channels": channels, "largest_ratio": float(ratio.max()),
                     "largest_value": float(stream.abs().max() / size.median())})  # fmt: skip
    return told


def samples(model: Model, words: vocabulary.Vocabulary, context: int, tokens: int = 80) -> list[dict[str, Any]]:
    """Continuations of PROMPTS at three temperatures, up to where the model ends the document."""
    told = []
    for temperature in TEMPERATURES:
        for number, prompt in enumerate(PROMPTS):
            ids = words.encode(prompt)
            rows = continued(model, torch.tensor([ids]), tokens, context, temperature, seed=number)
            made = rows[0, len(ids) :].tolist()
            made = made[: made.index(vocabulary.END)] if vocabulary.END in made else made
            told.append({"temperature": temperature, "prompt": prompt, "text": words.decode(made)})
    return told


# all of it


def measure(found: text.Text, records: dict[str, Any]) -> dict[str, Any]:
    """Everything that the card says. records: what `training.train` wrote of each model."""
    words, sample = vocabulary.load(), sample_bytes()
    for name, kept in records.items():
        if kept["text"] != found.digest():
            raise InputError(f"the {name} was trained on another text than the one that is here: train it anew")
    models = {name: gpt.load(name, gpt.Parts(attend=attend_causally)) for name in ("target", "draft")}
    context = models["target"].config.context
    told: dict[str, Any] = {
        "text": {
            "digest": found.digest(), "train_bytes": len(found.train), "held_bytes": len(found.held),
            "sample_bytes": len(sample), "train_tokens": len(found.train_ids), "held_tokens": len(found.held_ids),
            "stretch": corpus.STRETCH, "vocabulary": len(words),
        },
        "models": {name: dict(records[name]) for name in models},
    }  # fmt: skip
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("xz", lambda: xz(found.train, found.held)),
        ("ngram", lambda: five_gram(found, len(words))),
        ("pair", lambda: agreement(models["target"], models["draft"], found.held_ids, context)),
        ("loops", lambda: loops(models["target"], words, found.held_ids, context)),
        ("by_position", lambda: by_position(models["target"], found.held_ids, context)),
        ("samples", lambda: samples(models["target"], words, context)),
    ]
    of_each: list[tuple[str, Callable[[gpt.GPT], Any]]] = [
        ("bits_per_byte", lambda model: bits_per_byte(model, words, found.held, context)),
        ("bits_per_byte_of_sample", lambda model: bits_per_byte(model, words, sample, context)),
        ("copying", lambda model: copying(model, len(words))),
        ("outliers", lambda model: outliers(model, found.held_ids)),
    ]
    with tqdm(total=len(steps) + 2 * len(of_each), dynamic_ncols=True) as progress:
        for name, step in steps:
            progress.set_description(name)
            told[name] = step()
            progress.update()
        for model_name, model in models.items():
            for name, of in of_each:
                progress.set_description(f"{name} of the {model_name}")
                told["models"][model_name][name] = of(model)
                progress.update()
    return told


def curve(told: dict[str, Any]) -> bytes:
    """Bits per byte of held-out text against tokens read, of both models, beside the 5-gram model, as SVG."""
    figure, axes = plots.new(6.6, 3.4)
    for (name, model), colour, marker in zip(told["models"].items(), plots.COLOURS, plots.MARKERS):
        each = model["recipe"]["batch"] * model["recipe"]["config"]["context"] / 1e6
        points = [(line["step"] * each, line["bits_per_byte"]) for line in model["history"] if "bits_per_byte" in line]
        axes.plot(*zip(*points), color=colour, marker=marker, markersize=4, label=name)
    axes.axhline(told["ngram"], color="0.4", linestyle="--", label="5-gram, Kneser-Ney")
    axes.set(xlabel="million tokens read", ylabel="bits per byte, held out")
    plots.legend(axes)
    with matplotlib.rc_context({**plots.STYLE, "svg.hashsalt": "curve", "svg.fonttype": "path"}):
        packed = io.BytesIO()
        figure.savefig(packed, format="svg", metadata={"Date": None})
    return packed.getvalue()


def main(folder: Path = text.BUILD) -> None:
    records = {}
    for name in ("target", "draft"):
        if not (folder / f"{name}.json").is_file():
            raise InputError(f"{folder / name}.json is not there: train it first, python -m training.train {name}")
        records[name] = json.loads((folder / f"{name}.json").read_text())
    told = measure(text.read(folder), records)
    write_whole(gpt.WEIGHTS / "measured.json", (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
    write_whole(gpt.WEIGHTS / "curve.svg", curve(told))
    card.write(told)


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        raise SystemExit(str(error)) from None
