"""Train every arm of unit 03's experiment on ten seeds and write course/runs/positions.json. Run it by hand:

    python course/units/03_tokens_and_positions/record_runs.py [FIRST_SEED LAST_SEED OUT]

The schemes are written out here, short and apart from the unit's solution, so that the recorded runs do not come from
the code they are compared with. Not shipped to learners.
"""

import json
import math
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from course import data, models

LENGTHS = (64, 128, 256, 512)
OUT = Path(__file__).resolve().parents[2] / "runs" / "positions.json"


def angles(positions, width, base=10000.0):
    return positions.double()[:, None] * base ** (-2 * torch.arange(width // 2).double() / width)


def sinusoidal(T, D):
    table = angles(torch.arange(T), D)
    return torch.stack([table.sin(), table.cos()], -1).flatten(1).float()


def rotary(scale=1.0, base=10000.0):
    def rotate(x, positions):
        turn = angles(positions / scale, x.shape[-1], base)
        turned = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(turned * torch.polar(torch.ones_like(turn), turn).to(turned.dtype)).flatten(-2)

    return models.Positions(rotate=rotate)


def linear_bias(H, T, S):
    slopes = torch.tensor([2 ** (-8 * (h + 1) / H) for h in range(H)])
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    return -slopes[:, None, None] * distance.clamp(min=0)


def numbers(T, D):
    return torch.arange(T).float()[:, None].expand(T, D)


class Learned(torch.nn.Module):
    """A table with a row for each position of the longest window. Training reaches the first 64 of them.

    Kept and scaled like the token embeddings, and half as large at the start, as in GPT-2 (openai/gpt-2, src/model.py:
    wpe 0.01, wte 0.02).
    """

    def __init__(self, seed):
        super().__init__()
        gen = torch.Generator().manual_seed(seed)
        drawn = torch.randn(max(LENGTHS), models.WIDTH, generator=gen)
        self.table = torch.nn.Parameter(0.5 * drawn / math.sqrt(models.WIDTH))

    def forward(self, T, D):
        return self.table[:T] * math.sqrt(D)


ARMS = {
    "none": models.Positions(),
    "integer": models.Positions(add=numbers),
    "normalised": models.Positions(add=lambda T, D: numbers(T, D) / (T - 1)),
    "learned": None,  # made for each seed: it is trained
    "sinusoidal": models.Positions(add=sinusoidal),
    "rope": rotary(),
    "alibi": models.Positions(bias=linear_bias),
}
HEAD = models.WIDTH // models.HEADS
STRETCHED = {  # the trained rope arm, read with changed angles: nothing is trained again
    "rope, interpolated": lambda L: rotary(scale=L / models.TRAIN_LENGTH),
    "rope, ntk": lambda L: rotary(base=10000.0 * (L / models.TRAIN_LENGTH) ** (HEAD / (HEAD - 2))),
}
STEPS = 4 * models.STEPS  # 300 steps are too few for a table: three arms again, trained longer
LONGER = ("none", "learned", "alibi")


def codes(text):
    return torch.tensor(list(data.as_ascii(text).encode()))


def trained(name, text, seed, steps=models.STEPS):
    scheme = ARMS[name] or models.Positions(add=Learned(seed))
    return models.train_small(scheme, text, seed, steps)


def losses(model, held):
    return [round(models.loss_at(model, held, length), 4) for length in LENGTHS]


def main(first=0, last=9, out=OUT):
    torch.set_num_threads(1)
    train, held = map(codes, data.split_prose())
    runs, longer = {name: {} for name in (*ARMS, *STRETCHED)}, {name: {} for name in LONGER}
    about = {"lengths": LENGTHS, "train_length": models.TRAIN_LENGTH, "steps": models.STEPS, "batch": models.BATCH}
    about |= {"nats_per_character": runs, "longer": {"steps": STEPS, "nats_per_character": longer}}
    for seed in range(first, last + 1):
        for name in ARMS:
            model = trained(name, train, seed)
            runs[name][seed] = losses(model, held)
            for other, make in STRETCHED.items() if name == "rope" else ():
                runs[other][seed] = []
                for length in LENGTHS:
                    model.scheme = make(length)
                    runs[other][seed].append(round(models.loss_at(model, held, length), 4))
            print(seed, name, runs[name][seed], flush=True)
        for name in LONGER:
            longer[name][seed] = losses(trained(name, train, seed, STEPS), held)
            print(seed, name, STEPS, longer[name][seed], flush=True)
        Path(out).write_text(json.dumps(about, indent=1) + "\n")
        print({n: runs[n][seed] for n in STRETCHED}, flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*(map(int, words[:2])), *words[2:]) if words else main()
