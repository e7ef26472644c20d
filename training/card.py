"""Write course/weights/MODEL_CARD.md out of measured.json. No figure of the card stands here.

python -m training.card
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from course import gpt
from course.files import write_whole

FENCE = "````"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def of_both(told: dict[str, Any], rows: dict[str, Any]) -> str:
    """A table with a column for each model; rows: what it says -> how to read it from a model's measurements."""
    models = told["models"]
    return table(["", *models], [[what, *(read(model) for model in models.values())] for what, read in rows.items()])


def trained(told: dict[str, Any]) -> str:
    return of_both(told, {
        "parameters": lambda m: f"{m['parameters']:,}",
        "layers, width, hidden": lambda m: "{layers}, {width}, {hidden}".format(**m["recipe"]["config"]),
        "heads, key heads, their width": lambda m: "{heads}, {kv_heads}, {head_width}".format(**m["recipe"]["config"]),
        "context": lambda m: m["recipe"]["config"]["context"],
        "steps": lambda m: f"{m['recipe']['steps']:,}",
        "tokens read": lambda m: f"{m['tokens']:,} ({m['tokens'] / told['text']['train_tokens']:.1f} times the text)",
        "seed": lambda m: m["recipe"]["seed"],
        "weight of the target's distribution in the loss": lambda m: m["recipe"]["distilled"],
        "precision of matrix products": lambda m: m["recipe"]["precision"],
        "minutes": lambda m: f"{m['seconds'] / 60:.0f} on {m['threads']} threads",
    })  # fmt: skip


def compared(told: dict[str, Any]) -> str:
    """Everything that reads the same held-out bytes, the best first."""
    names = {
        f"{name} ({model['parameters'] / 1e6:.1f} million parameters)": model["bits_per_byte"]
        for name, model in told["models"].items()
    }
    names["5-gram of the same tokens, modified Kneser-Ney"] = told["ngram"]
    names |= {f"`xz -9e`, {how}": bits for how, bits in told["xz"].items()}
    return table(
        ["", "bits per byte"], [[name, f"{bits:.3f}"] for name, bits in sorted(names.items(), key=lambda n: n[1])]
    )


def beside(told: dict[str, Any]) -> str:
    """A sentence on each comparison that was promised, whichever way it went."""
    own = told["models"]["target"]["bits_per_byte"]
    others = {
        "The 5-gram model": told["ngram"],
        "`xz -9e` behind the training text": told["xz"]["behind the training text"],
    }
    return " ".join(
        f"{name} needs {bits / own - 1:.0%} more than the target." if bits > own
        else f"The target needs {own / bits - 1:.0%} more than {name[0].lower() + name[1:]}: it was not reached."
        for name, bits in others.items()
    )  # fmt: skip


def looped(told: dict[str, Any]) -> str:
    found = told["loops"]
    said = f"Greedy decoding ends in a loop from {found['looping']} of {found['prompts']} pieces of held-out text."
    if not found["looping"]:
        return said
    shown = f"{found['prompt']} >>> {found['text']}"
    said += f" One that repeats a run of {found['period']} tokens (`>>>` is where the model begins):"
    return f"{said}\n\n{fenced(shown)}"


def fenced(text: str) -> str:
    return f"{FENCE}text\n{text}\n{FENCE}"


def positions(told: dict[str, Any]) -> str:
    context = told["models"]["target"]["recipe"]["config"]["context"]
    width = context // 4
    rows = [[f"{row['from']} to {row['from'] + width - 1}", f"{row['perplexity']:.1f}"] for row in told["by_position"]]
    return table(["tokens before it", "perplexity of a token"], rows)


def outlying(told: dict[str, Any]) -> str:
    """Which channels stand out, or that none does."""
    lines = []
    for name, model in told["models"].items():
        found = {row["layer"]: row["channels"] for row in model["outliers"] if row["channels"]}
        largest = max(row["largest_ratio"] for row in model["outliers"])
        value = max(row["largest_value"] for row in model["outliers"])
        where = "; ".join(f"layer {layer}: {', '.join(map(str, channels))}" for layer, channels in found.items())
        said = f"it has these: {where}" if found else "it has none"
        lines.append(
            f"- {name}: {said}. The largest channel is {largest:.1f} times the median one, the largest value "
            f"{value:.0f} times."
        )
    return "\n".join(lines)


def sampled(told: dict[str, Any]) -> str:
    parts = []
    for each in told["samples"]:
        shown = f"{each['prompt']} >>> {each['text']}"
        parts.append(f"Temperature {each['temperature']}:\n\n{fenced(shown)}")
    return "\n\n".join(parts)


def copied(told: dict[str, Any]) -> str:
    return of_both(told, {
        "first choice is right, second run": lambda m: f"{m['copying']['second_run']:.1%}",
        "first choice is right, first run": lambda m: f"{m['copying']['first_run']:.1%}",
        "chance": lambda m: f"{m['copying']['chance']:.2%}",
        "nats a token, second run": lambda m: f"{m['copying']['nats_second_run']:.2f}",
        "nats a token, first run": lambda m: f"{m['copying']['nats_first_run']:.2f}",
    })  # fmt: skip


def written(told: dict[str, Any]) -> str:
    """The whole card."""
    size, pair = told["text"], told["pair"]
    target = told["models"]["target"]
    versions = ", ".join(f"{name} {version}" for name, version in target["versions"].items())
    return f"""# The course GPT pair

Two small language models of documentation: `target.safetensors`, and `draft.safetensors`, which was distilled from it.
Written by `python -m training.card` out of `measured.json`: every figure here was measured on the files beside it.

Llama-style decoders: RMSNorm, rotary positions (halves, as in transformers), grouped-query attention, SwiGLU, no
biases, head and embedding tied. Byte-level BPE of {size["vocabulary"]:,} tokens (`merges.json`); the byte 0 ends a
document. Half precision. `course.gpt.load("target")` and `course.vocabulary.load()` read them, and so does the Llama of
transformers.

## Data and licences

Documentation that arrives with packages: `pydoc_data.topics` and the docstrings of Python's standard library (PSF
License Agreement), numpy and torch (BSD 3-Clause) and transformers (Apache License 2.0). Versions: {versions}.
{size["train_bytes"]:,} bytes to train on, {size["held_bytes"]:,} held out by topic, module and model of transformers.
Repeated paragraphs count once, and no {size["stretch"]} characters in a row, white space collapsed, stand on both
sides. A sample of {size["sample_bytes"]:,} bytes of what is held out is `held_out.json`.

## Training

{trained(told)}

![Bits per byte of held-out text while training](curve.svg)

On the way held-out text is read in separate windows, so the curve lies a little above the table below.

## How good

All of these read the same held-out bytes. The models read windows of the trained context with a stride of half of it.

{compared(told)}

{beside(told)} On the committed sample the target needs {target["bits_per_byte_of_sample"]:.3f} and the draft
{told["models"]["draft"]["bits_per_byte_of_sample"]:.3f}.

## What the pair does

**Draft against target**, mean over held-out positions at temperature 1: the sum of min(p, q) is {pair["overlap"]:.3f},
the share of the draft's tokens that speculative sampling accepts. KL(p || q) is {pair["divergence"]:.3f} nats; the
first choices are equal at {pair["same_first_choice"]:.1%} of the positions.

**Copying.** A run of {target["copying"]["length"]} random tokens, twice: how often is the next one the first choice?

{copied(told)}

**Loops.** {looped(told)}

**Beyond the trained context**, the target on held-out text:

{positions(told)}

**Outlier channels** (of what a layer reads: root mean square more than six times the median channel's):

{outlying(told)}

## Samples of the target

`>>>` is where the model begins.

{sampled(told)}

## What it can't do

It writes what looks like documentation: names, types and defaults are made up. It follows no instructions, knows no
facts that one could rely on, and reads little but English. It was not filtered, and is made for experiments only.

## How to retrain

In a clone of the repository, with the versions above: `python -m training.vocabulary`, `python -m training.corpus`,
`python -m training.train target`, `python -m training.train draft`, `python -m training.measure`. Both trainings can be
stopped at any moment and go on. Other versions have other text, so the figures will be others, too.
"""


def write(told: dict[str, Any]) -> None:
    write_whole(gpt.WEIGHTS / "MODEL_CARD.md", written(told).encode())


if __name__ == "__main__":
    write(json.loads((gpt.WEIGHTS / "measured.json").read_text(encoding="utf-8")))
