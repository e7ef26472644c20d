"""Train the course's language models.

    python -m training.train target            # then
    python -m training.train draft             # learns from the target, too
    python -m training.train target --steps 2000    # a shorter schedule, also of a run that has begun

Stop it whenever you like, also with SIGKILL: the same command goes on where the last saved state was (a minute ago at
most), bit for bit as if nothing had happened. States lie in build/training/; weights go to course/weights/ at the end.

The recipe: Muon and AdamW (see `optimisers`), batches of 4,096 tokens, gradient norm clipped at 1, the rate warmed up,
held, and brought down to 0 in a straight line. Held-out text is never trained on. Which windows step n reads follows
from the seed and n alone, and nothing else is random, so a state is parameters, optimiser and a number.

The draft is distilled: its loss is a mixture of the cross entropy of the text and the divergence KL(p || q) of its
distribution q from the target's p, both at temperature 1. Source: Hinton et al. 2015, "Distilling the Knowledge in a
Neural Network", section 2.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from course import gpt
from course.errors import CourseError, InputError
from course.files import write_whole
from training import text

TARGET = gpt.Config(vocabulary=4096, width=256, layers=6, heads=4, kv_heads=2, head_width=64, hidden=640, context=256)
DRAFT = gpt.Config(vocabulary=4096, width=128, layers=2, heads=4, kv_heads=1, head_width=32, hidden=256, context=256)
SAVE_EVERY = 60.0  # seconds
LOG_EVERY, MEASURE_EVERY = 20, 200  # steps


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run computes, but the text."""

    config: gpt.Config
    steps: int
    batch: int = 16  # windows of config.context tokens
    rate: float = 4e-3  # of embeddings and norms
    matrix_rate: float = 6e-3  # of the matrices in the layers
    weight_decay: float = 0.1  # on these matrices only
    warmup: float = 0.02  # share of the steps
    cooldown: float = 0.4  # share of the steps, in which the rate falls to 0
    clip: float = 1.0
    distilled: float = 0.0  # weight of the divergence from the teacher; 1 - distilled is the text's
    precision: str = "float32"  # of matrix products; parameters, norms and losses stay in float32
    seed: int = 0


RECIPES = {"target": Recipe(TARGET, 3600), "draft": Recipe(DRAFT, 2400, distilled=0.8)}


# what a step is made of


def rate_at(step: int, recipe: Recipe) -> float:
    """The factor on the learning rate of a step, counted from 0: up, level, down."""
    up = (step + 1) / max(1, round(recipe.warmup * recipe.steps))
    down = (recipe.steps - step) / max(1, round(recipe.cooldown * recipe.steps))
    return max(0.0, min(1.0, up, down))


def windows(ids: Tensor, step: int, recipe: Recipe) -> Tensor:
    """(batch, context + 1): what a step reads. Windows side by side in each epoch, every one once, in random order.

    An epoch begins at a random place, so its windows are cut elsewhere than those of the last one.
    """
    length = recipe.config.context
    count = (len(ids) - length) // length - 1  # whole windows wherever an epoch begins
    if count < 1:
        raise InputError(f"the text has {len(ids)} tokens, too few for windows of {length}")
    numbers = range(step * recipe.batch, (step + 1) * recipe.batch)
    starts = [_order(recipe.seed, number // count, count, length)[number % count] for number in numbers]
    return ids[torch.tensor(starts)[:, None] + torch.arange(length + 1)]


@cache
def _order(seed: int, epoch: int, count: int, length: int) -> list[int]:
    gen = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:7], "big"))
    offset = int(torch.randint(length, (), generator=gen))
    return (torch.randperm(count, generator=gen) * length + offset).tolist()


def attend_causally(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """What `gpt.attend` computes where the mask is causal, in less time: nothing above the diagonal is computed."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])


def new_model(config: gpt.Config, seed: int) -> gpt.GPT:
    """Normal weights of deviation 0.02; what writes to the stream is smaller by the root of the number of writers.

    Source: Radford et al. 2019, section 2.3.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = gpt.GPT(config, gpt.Parts(attend=attend_causally))
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                writes = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * config.layers) ** 0.5 if writes else 0.02)
    return model.train()


def optimisers(model: gpt.GPT, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms.

    Tried on the target's sizes: 80 steps of 2,048 tokens with Muon took held-out loss to 5.51 nats a token, 100 steps
    of 4,096 with AdamW alone (rate 2e-3) to 6.10. Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in
    neural networks"; updates are scaled to the size of AdamW's, Liu et al. 2025, "Muon is Scalable for LLM Training",
    section 2.2.
    """
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and name.startswith("layers.")]
    others = [p for name, p in model.named_parameters() if not (p.dim() == 2 and name.startswith("layers."))]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.matrix_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=recipe.rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def loss_of(model: gpt.GPT, rows: Tensor, teacher: gpt.GPT | None, distilled: float) -> tuple[Tensor, Tensor]:
    """(what is minimised, cross entropy of the text in nats a token), over rows (B, T + 1)."""
    inputs, targets = rows[:, :-1], rows[:, 1:].flatten()
    log_q = model(inputs).flatten(0, 1).float().log_softmax(-1)  # (B * T, V)
    cross_entropy = F.nll_loss(log_q, targets)
    if teacher is None:
        return cross_entropy, cross_entropy.detach()
    with torch.no_grad():
        log_p = teacher(inputs).flatten(0, 1).float().log_softmax(-1)
    divergence = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return (1 - distilled) * cross_entropy + distilled * divergence, cross_entropy.detach()


@torch.no_grad()
def bits_per_byte(model: gpt.GPT, ids: Tensor, lengths: Tensor, most: int = 64) -> float:
    """A quick measure on the way: at most `most` windows spread over the text, each read without what came before it.

    `training.measure` gives every token its context, and comes out lower.
    """
    rows = ids[: len(ids) // (length := model.config.context + 1) * length].view(-1, length)
    rows = rows[:: max(1, len(rows) // most)][:most]
    logs = [model(part[:, :-1]).flatten(0, 1).float().log_softmax(-1) for part in rows.split(16)]
    targets = rows[:, 1:].flatten()
    nats = -torch.cat(logs).gather(1, targets[:, None]).double().sum()
    return float(nats / torch.tensor(2.0, dtype=torch.float64).log() / lengths[targets].sum())


# a run


@dataclass
class Run:
    """A training run between two steps. Nothing else decides how it goes on."""

    recipe: Recipe
    text: str  # digest of the text
    model: gpt.GPT
    optimisers: list[torch.optim.Optimizer]
    step: int = 0
    seconds: float = 0.0  # of this process and those before it, in training
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @classmethod
    def begin(cls, recipe: Recipe, digest: str) -> Run:
        model = new_model(recipe.config, recipe.seed)
        return cls(recipe, digest, model, optimisers(model, recipe))

    def save(self, path: Path) -> None:
        """Whole or not at all: who is killed while saving finds the state before."""
        state = {
            "recipe": dataclasses.asdict(self.recipe),
            "text": self.text,
            "model": self.model.state_dict(),
            "optimisers": [each.state_dict() for each in self.optimisers],
            **{name: getattr(self, name) for name in ("step", "seconds", "history")},
        }
        packed = io.BytesIO()
        torch.save(state, packed)
        write_whole(path, packed.getvalue())

    @classmethod
    def resume(cls, path: Path, recipe: Recipe, digest: str) -> Run:
        """The run in `path`, with the steps that `recipe` says; all else must be what it was begun with."""
        state = torch.load(path, weights_only=True)
        wanted, found = (dict(each, steps=0) for each in (dataclasses.asdict(recipe), state["recipe"]))
        differing = [name for name in wanted if wanted[name] != found[name]]
        if state["text"] != digest:
            differing.append("text")
        if differing:
            raise InputError(f"{path} was begun with other values of {', '.join(differing)}: delete it to begin anew")
        run = cls.begin(recipe, digest)
        run.model.load_state_dict(state["model"])
        for each, kept in zip(run.optimisers, state["optimisers"]):
            each.load_state_dict(kept)
        run.step, run.seconds, run.history = (state[name] for name in ("step", "seconds", "history"))
        return run

    def advance(self, ids: Tensor, teacher: gpt.GPT | None = None) -> Tensor:
        """One step; the cross entropy of its text before it, in nats a token."""
        rows = windows(ids, self.step, self.recipe)
        half = self.recipe.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss, cross_entropy = loss_of(self.model, rows, teacher, self.recipe.distilled)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        rates = (self.recipe.matrix_rate, self.recipe.rate)
        for each, rate in zip(self.optimisers, rates):
            each.param_groups[0]["lr"] = rate * rate_at(self.step, self.recipe)
            each.step()
            each.zero_grad()
        self.step += 1
        return cross_entropy


def finish(
    run: Run,
    found: text.Text,
    path: Path,
    teacher: gpt.GPT | None = None,
    lengths: Tensor | None = None,
    until: int | None = None,
    save_every: float = SAVE_EVERY,
) -> None:
    """Take the steps that are left, or those before step `until`; save to `path` now and then, and at the end."""
    lengths = text.lengths() if lengths is None else lengths
    last = min(run.recipe.steps, until or run.recipe.steps)
    begun = time.monotonic()
    losses: list[float] = []
    with tqdm(total=run.recipe.steps, initial=run.step, unit="step", dynamic_ncols=True) as progress:
        while run.step < last:
            losses.append(float(run.advance(found.train_ids, teacher)))
            progress.update()
            if run.step % LOG_EVERY and run.step != last:
                continue  # states are saved between two lines of the history
            run.history.append({"step": run.step, "loss": sum(losses) / len(losses)})
            losses.clear()
            progress.set_postfix(loss=f"{run.history[-1]['loss']:.3f}")
            if run.step % MEASURE_EVERY == 0 or run.step == last:
                run.history[-1]["bits_per_byte"] = bits = bits_per_byte(run.model, found.held_ids, lengths)
                progress.write(
                    f"step {run.step}: loss {run.history[-1]['loss']:.3f}, {bits:.3f} bits per byte held out"
                )
            if time.monotonic() - begun > save_every or run.step == last:
                run.seconds, begun = run.seconds + time.monotonic() - begun, time.monotonic()
                run.save(path)


def record(run: Run) -> dict[str, Any]:
    """What the model card says of a run."""
    tokens = run.step * run.recipe.batch * run.recipe.config.context
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    return {
        "recipe": dataclasses.asdict(run.recipe), "parameters": parameters, "tokens": tokens, "text": run.text,
        "seconds": round(run.seconds), "threads": torch.get_num_threads(), "versions": text.versions(),
        "history": run.history,
    }  # fmt: skip


def faster_precision() -> str:
    """bfloat16 where the CPU multiplies matrices of it in hardware (AMX): half the time of float32, the same loss."""
    return "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"


def begun_with(path: Path) -> str:
    """The precision of the run in `path`."""
    return torch.load(path, weights_only=True, mmap=True)["recipe"]["precision"]


def main(arguments: list[str] | None = None, folder: Path = text.BUILD) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.train", description="Train a model of the course.")
    parser.add_argument("model", choices=RECIPES)
    parser.add_argument("--steps", type=int, help="length of the schedule, if not the recipe's; for this call on")
    parser.add_argument("--until", type=int, help="stop at this step and keep the state")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), help="the run's own, or else what is faster here"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    path = folder / f"{given.model}.pt"
    recipe = RECIPES[given.model]
    precision = given.precision or (begun_with(path) if path.is_file() else faster_precision())
    recipe = dataclasses.replace(recipe, precision=precision, steps=given.steps or recipe.steps)
    found = text.read(folder)
    run = Run.resume(path, recipe, found.digest()) if path.is_file() else Run.begin(recipe, found.digest())
    teacher = gpt.load("target", gpt.Parts(attend=attend_causally)) if recipe.distilled else None
    finish(run, found, path, teacher, until=given.until)
    if run.step >= recipe.steps:
        gpt.save(run.model, gpt.WEIGHTS / f"{given.model}.safetensors")
        write_whole(folder / f"{given.model}.json", (json.dumps(record(run), indent=1) + "\n").encode())
        print(f"Written: {gpt.WEIGHTS / f'{given.model}.safetensors'}. Next: python -m training.measure")


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        raise SystemExit(str(error)) from None
