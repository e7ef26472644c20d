"""Train every arm of unit 04's experiment on ten seeds and write course/runs/dates.json. Run it by hand:

    python course/units/04_transformer/record_runs.py [FIRST_SEED LAST_SEED OUT]

The model is made of torch's own layers, and loss, schedule, decoding and BLEU are written out here, short and apart
from the unit's solution, so that the recorded runs do not come from the code they are compared with. Not shipped to
learners.
"""

import json
import math
import sys
from collections import Counter
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from course import data

WIDTH, HEADS, LAYERS, HIDDEN = 48, 4, 2, 192
BATCH, STEPS, WARMUP, FACTOR, SMOOTHING = 128, 350, 40, 0.28, 0.1
EVERY, LONGEST, KEPT, APART = 70, 16, 5, 20
OUT = Path(__file__).resolve().parents[2] / "runs" / "dates.json"
ARMS = {
    "pre-norm": {},
    "not shifted": {"shifts": 0},
    "shifted twice": {"shifts": 2},
    "post-norm": {"norm": "post"},
}


def tagged(pair):
    return f"<{pair.language}>{pair.source}"


def chosen(pairs):
    """Days 1, 4, 7 ... 31 of each month: a third of the held-out pairs, both centuries of every short date."""
    return [p for p in pairs if p.day.day % 3 == 1]


TRAIN, HELD = data.split_dates(styles=("short", "medium", "long"))
ENGLISH, FOREIGN = data.Pieces(map(tagged, TRAIN)), data.Pieces(p.target for p in TRAIN)
HELD = chosen(HELD)
RIGHT = {}
for each in HELD:
    RIGHT.setdefault(tagged(each), set()).add(each.target)


def rows(texts, pieces, end):
    return nn.utils.rnn.pad_sequence([torch.tensor(pieces.encode(t) + end) for t in texts], batch_first=True)


SOURCES = rows(map(tagged, TRAIN), ENGLISH, [])
TARGETS = rows([p.target for p in TRAIN], FOREIGN, [data.EOS])
ASKED = rows(map(tagged, HELD), ENGLISH, [])
ANSWERS = rows([p.target for p in HELD], FOREIGN, [data.EOS])


class Reference(nn.Module):
    """Torch's layers, wired like the unit's Transformer: scaled embeddings, sinusoids, tied head."""

    def __init__(self, norm):
        super().__init__()
        same = {"dropout": 0.0, "batch_first": True, "norm_first": norm == "pre"}
        self.source, self.target = nn.Embedding(len(ENGLISH), WIDTH), nn.Embedding(len(FOREIGN), WIDTH)
        make = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
        self.encoder, self.decoder = (
            nn.ModuleList(layer(WIDTH, HEADS, HIDDEN, **same) for _ in range(LAYERS)) for layer in make
        )
        last = nn.LayerNorm if norm == "pre" else nn.Identity
        self.encoder_norm, self.decoder_norm = last(WIDTH), last(WIDTH)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, std=WIDTH**-0.5)
        turn = torch.arange(64.0)[:, None] * 10000 ** (-torch.arange(0, WIDTH, 2) / WIDTH)
        self.places = torch.stack([turn.sin(), turn.cos()], -1).flatten(1)

    def encode(self, source):
        x = self.source(source) * math.sqrt(WIDTH) + self.places[: source.shape[1]]
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=source == data.PAD)
        return self.encoder_norm(x), source != data.PAD

    def decode(self, target, memory, keep):
        T = target.shape[1]
        x, future = self.target(target) * math.sqrt(WIDTH) + self.places[:T], torch.ones(T, T).triu(1).bool()
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=future, memory_key_padding_mask=~keep)
        return self.decoder_norm(x) @ self.target.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))


def shifted(target):
    return F.pad(target[:, :-1], (1, 0), value=data.BOS)


def train(seed, norm="pre", shifts=1, watched=False):
    """A trained model (the mean of its last KEPT checkpoints, APART steps apart, as in section 6.1 of the paper), and,
    when watched, at every EVERY steps [token accuracy, exact match] on every seventh held-out pair."""
    torch.manual_seed(seed)
    gen, model, curve, kept = torch.Generator().manual_seed(seed), Reference(norm), [], []
    optimiser = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9, fused=True)
    for step in range(1, STEPS + 1):
        optimiser.param_groups[0]["lr"] = FACTOR * WIDTH**-0.5 * min(step**-0.5, step * WARMUP**-1.5)
        some = torch.randint(0, len(SOURCES), (BATCH,), generator=gen)
        given, labels = fed(TARGETS[some], shifts)
        logits = model(SOURCES[some], given).flatten(0, 1)
        loss = F.cross_entropy(logits, labels.flatten(), ignore_index=data.PAD, label_smoothing=SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step > STEPS - KEPT * APART and step % APART == 0:
            kept.append([p.detach().clone() for p in model.parameters()])
        if watched and step % EVERY == 0:
            part = slice(0, None, 7)
            wrong = sum(t != p.target for t, p in zip(translations(model, ASKED[part]), HELD[part], strict=True))
            exact = 1 - wrong / len(HELD[part])
            curve.append([round(token_accuracy(model, ASKED[part], ANSWERS[part], shifts), 4), round(exact, 4)])
    with torch.no_grad():
        for p, *versions in zip(model.parameters(), *kept, strict=True):
            p.copy_(torch.stack(versions).mean(0))
    return model, curve, loss.item()


def fed(target, shifts):
    """What goes into the decoder and what should come out of it, shifted as often as an arm does it."""
    given = target if shifts == 0 else shifted(target)
    return (given[:, :-1], target[:, 1:]) if shifts == 2 else (given, target)


@torch.no_grad()
def token_accuracy(model, asked, answers, shifts):
    given, labels = fed(answers, shifts)
    real = labels != data.PAD
    return (model(asked, given).argmax(-1) == labels)[real].float().mean().item()


@torch.no_grad()
def translations(model, asked):
    memory, keep = model.encode(asked)
    out, done = torch.full((len(asked), 1), data.BOS), torch.zeros(len(asked), dtype=torch.bool)
    while out.shape[1] <= LONGEST and not done.all():
        token = model.decode(out, memory, keep)[:, -1].argmax(-1).masked_fill(done, data.PAD)
        out, done = torch.cat([out, token[:, None]], 1), done | (token == data.EOS)
    return [FOREIGN.decode(row) for row in out[:, 1:].tolist()]


cut = data.Pieces.PATTERN.findall


def bleu(candidates, references):
    matched, total, c, r = Counter(), Counter(), 0, 0
    for text, allowed in zip(candidates, references, strict=True):
        c, r = c + len(text), r + min((abs(len(a) - len(text)), len(a)) for a in allowed)[1]
        for n in range(1, 5):
            grams = [Counter(zip(*(x[i:] for i in range(n)))) for x in (text, *allowed)]
            ceiling = grams[1]
            for other in grams[2:]:
                ceiling = ceiling | other
            matched[n] += (grams[0] & ceiling).total()
            total[n] += grams[0].total()
    if not all(matched[n] for n in range(1, 5)):
        return 0.0
    mean = math.exp(sum(math.log(matched[n] / total[n]) for n in range(1, 5)) / 4)
    return mean * min(1.0, math.exp(1 - r / c))



def run(seed, **settings):
    model, curve, loss = train(seed, watched=not settings, **settings)
    model.eval()
    got = translations(model, ASKED)
    exact = [text == p.target for text, p in zip(got, HELD, strict=True)]
    right = [text in RIGHT[tagged(p)] for text, p in zip(got, HELD, strict=True)]
    groups = Counter(f"{p.language} {p.style}" for p, ok in zip(HELD, exact, strict=True) if not ok)
    kinds = Counter(f"{p.language} {p.style}" for p, ok in zip(HELD, right, strict=True) if not ok)
    return {
        "exact": round(sum(exact) / len(exact), 4),
        "right": round(sum(right) / len(right), 4),
        "tokens": round(token_accuracy(model, ASKED, ANSWERS, settings.get("shifts", 1)), 4),
        "bleu": round(bleu(map(cut, got), [[cut(p.target)] for p in HELD]), 4),
        "loss": round(loss, 4),
        "first": f"{tagged(HELD[3])} -> {got[3]}",
        "curve": curve,
        "not_exact": dict(groups.most_common()),
        "not_right": dict(kinds.most_common()),
    }


def main(first=0, last=9, out=OUT):
    torch.set_num_threads(1)
    before = json.loads(Path(out).read_text())["runs"] if Path(out).exists() else {}  # goes on where it was stopped
    runs = {name: before.get(name, {}) for name in ARMS}
    about = {"width": WIDTH, "hidden": HIDDEN, "steps": STEPS, "batch": BATCH, "warmup": WARMUP, "factor": FACTOR}
    about |= {"kept": KEPT, "apart": APART, "every": EVERY, "pairs": len(HELD)}
    ceiling = sum(1 / len(RIGHT[tagged(p)]) for p in HELD) / len(HELD)
    jobs = [(name, seed) for seed in range(first, last + 1) for name in ARMS]
    jobs.sort(key=lambda job: job[0] != "pre-norm")  # the arm that is graded comes first
    for name, seed in (job for job in jobs if str(job[1]) not in runs[job[0]]):
        runs[name][str(seed)] = run(seed, **ARMS[name])
        shown = {k: v for k, v in runs[name][str(seed)].items() if k != "not_exact"}
        print(seed, name, shown, flush=True)
        Path(out).write_text(json.dumps({**about, "ceiling": round(ceiling, 4), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*(map(int, words[:2])), *words[2:]) if words else main()
