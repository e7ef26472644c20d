"""Train unit 05's three families on ten seeds and write course/runs/objectives.json. Run it by hand:

    python course/units/05_model_families/record_runs.py [FIRST_SEED LAST_SEED OUT]

The same text, the same number of steps, layers of the same width, three objectives: an encoder that fills blanks, a
decoder that continues, an encoder with a decoder that translates. The models are torch's own layers, so that the
recorded runs do not come from the code they are compared with. Not shipped to learners.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from course import data

WIDTH, HEADS, HIDDEN = 64, 4, 256
BATCH, STEPS, WARMUP, RATE, CHOSEN = 96, 350, 40, 6e-3, 0.15
LONGEST, WRITTEN = 24, 200
OUT = Path(__file__).resolve().parents[2] / "runs" / "objectives.json"
ARMS = {  # family, and how many times the steps
    "encoder": ("encoder", 1),
    "decoder": ("decoder", 1),
    "encoder-decoder": ("encoder-decoder", 1),
    "encoder, 3 x as long": ("encoder", 3),
}
PAD, BOS, EOS = data.PAD, data.BOS, data.EOS


def tagged(pair):
    return f"<{pair.language}>{pair.source}"


TRAIN, HELD = data.split_dates(styles=("medium", "long"))
HELD = [p for p in HELD if p.day.day % 3 == 1]
PIECES = data.Pieces([*map(tagged, TRAIN), *(p.target for p in TRAIN)])
SEP, MASK = len(PIECES), len(PIECES) + 1
WORDS = len(PIECES) + 2


def padded(rows):
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def whole(pair):
    """One line: the date, a separator, its translation."""
    return [BOS, *PIECES.encode(tagged(pair)), SEP, *PIECES.encode(pair.target), EOS]


LINES = padded([whole(p) for p in TRAIN])
SOURCES = padded([PIECES.encode(tagged(p)) for p in TRAIN])
TARGETS = padded([[*PIECES.encode(p.target), EOS] for p in TRAIN])


class Model(nn.Module):
    """Four layers: all of an encoder, all of a decoder, or two and two. The head is the table of embeddings."""

    def __init__(self, family):
        super().__init__()
        made = {"dropout": 0.0, "batch_first": True, "norm_first": True, "activation": "gelu"}
        encoding, decoding = (2, 2) if family == "encoder-decoder" else (4, 0)
        make = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
        self.first, self.second = (
            nn.ModuleList(layer(WIDTH, HEADS, HIDDEN, **made) for _ in range(count))
            for layer, count in zip(make, (encoding, decoding), strict=True)
        )
        self.norm, self.memory_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.table, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(64, WIDTH)
        for each in (self.table, self.places):
            nn.init.normal_(each.weight, std=0.02)
        self.causal = family == "decoder"

    def embedded(self, ids):
        return self.table(ids) + self.places(torch.arange(ids.shape[1]))

    def forward(self, ids):
        """Logits of an encoder or a decoder. ids (B, T)."""
        x, T = self.embedded(ids), ids.shape[1]
        future = torch.ones(T, T).triu(1).bool() if self.causal else None
        for layer in self.first:
            x = layer(x, src_mask=future, src_key_padding_mask=ids == PAD)
        return self.norm(x) @ self.table.weight.T

    def encode(self, source):
        x = self.embedded(source)
        for layer in self.first:
            x = layer(x, src_key_padding_mask=source == PAD)
        return self.memory_norm(x), source == PAD

    def decode(self, target, memory, hidden):
        x, T = self.embedded(target), target.shape[1]
        for layer in self.second:
            future = torch.ones(T, T).triu(1).bool()
            x = layer(x, memory, tgt_mask=future, memory_key_padding_mask=hidden)
        return self.norm(x) @ self.table.weight.T


def corrupted(ids, gen):
    """(input, labels) of masked language modelling; labels are -100 where nothing is asked."""
    may = (ids > EOS) & (ids != SEP)
    chosen = (torch.rand(ids.shape, generator=gen) < CHOSEN) & may
    how, words = torch.rand(ids.shape, generator=gen), torch.randint(EOS + 1, SEP, ids.shape, generator=gen)
    given = torch.where(chosen & (how < 0.8), MASK, torch.where(chosen & (how >= 0.9), words, ids))
    return given, ids.masked_fill(~chosen, -100)


def loss_of(family, model, some, gen):
    if family == "encoder":
        given, labels = corrupted(LINES[some], gen)
        return F.cross_entropy(model(given).flatten(0, 1), labels.flatten())
    if family == "decoder":
        line = LINES[some]
        return F.cross_entropy(model(line[:, :-1]).flatten(0, 1), line[:, 1:].flatten(), ignore_index=PAD)
    target = TARGETS[some]
    logits = model.decode(F.pad(target[:, :-1], (1, 0), value=BOS), *model.encode(SOURCES[some]))
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)


def train(family, seed, steps=STEPS):
    torch.manual_seed(seed)
    gen, model = torch.Generator().manual_seed(seed), Model(family)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), fused=True)
    for step in range(1, steps + 1):
        optimiser.param_groups[0]["lr"] = RATE * min(step / WARMUP, (steps - step + 1) / (steps - WARMUP))
        loss = loss_of(family, model, torch.randint(0, len(LINES), (BATCH,), generator=gen), gen)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval(), loss.item()


@torch.no_grad()
def filled(family, model):
    """Share of hidden pieces of English dates that are found: of the months, of the figures, and of all.

    The encoder sees the rest of the line, the translation included. The decoder sees what stands to the left. The third
    has no way to be asked: its answer is a translation.
    """
    if family == "encoder-decoder":
        return {"fill": None, "months": None, "figures": None}
    found = {"fill": [], "months": [], "figures": []}
    for pair in HELD:
        line = torch.tensor(whole(pair))
        places = torch.arange(2, line.tolist().index(SEP))
        rows = line.repeat(len(places), 1)
        if family == "encoder":
            rows[torch.arange(len(places)), places] = MASK
            logits = model(rows)[torch.arange(len(places)), places]
        else:
            logits = model(line[None])[0, places - 1]
        right = (logits.argmax(-1) == line[places]).tolist()
        found["fill"] += right
        found["months"] += right[:1]  # an English date begins with its month
        found["figures"] += [each for each, at in zip(right, places, strict=True) if PIECES.pieces[line[at]].isdigit()]
    return {kind: sum(each) / len(each) for kind, each in found.items()}


@torch.no_grad()
def translations(family, model):
    """What each makes of the held-out dates, always the likeliest piece. The encoder is told the length, too."""
    pairs, said = HELD, []
    if family == "encoder":  # a blank for each piece, filled from left to right
        for pair in pairs:
            target = PIECES.encode(pair.target)
            head = [BOS, *PIECES.encode(tagged(pair)), SEP]
            line = torch.tensor([[*head, *[MASK] * len(target), EOS]])
            for place in range(len(head), len(head) + len(target)):
                line[0, place] = model(line)[0, place].argmax()
            said.append(PIECES.decode(i for i in line[0, len(head) :].tolist() if i < SEP))
        return said
    by_length = {}
    for at, pair in enumerate(pairs):
        by_length.setdefault(len(PIECES.encode(tagged(pair))), []).append(at)
    answers = {}
    for group in by_length.values():
        sources = torch.tensor([PIECES.encode(tagged(pairs[at])) for at in group])
        start = torch.full((len(group), 1), BOS)
        if family == "decoder":
            rows = torch.cat([start, sources, torch.full((len(group), 1), SEP)], 1)
            step = model
        else:
            rows, memory = start, model.encode(sources)
            step = lambda rows, memory=memory: model.decode(rows, *memory)  # noqa: E731
        head = rows.shape[1]
        for _ in range(LONGEST):
            rows = torch.cat([rows, step(rows)[:, -1].argmax(-1, keepdim=True)], 1)
        for at, row in zip(group, rows[:, head:].tolist(), strict=True):
            answers[at] = PIECES.decode(i for i in row if i < SEP)
    return [answers[at] for at in range(len(pairs))]


@torch.no_grad()
def written(family, model, seed):
    """Share of lines, begun by the language alone and drawn piece by piece, that are a day and its translation.

    The encoder fills blanks from left to right in lines as long as real ones. The third can't begin without a source.
    """
    if family == "encoder-decoder":
        return None
    gen = torch.Generator().manual_seed(seed)
    real = {(tagged(p), p.target) for side in data.split_dates(styles=("medium", "long"), one_in=1) for p in side}
    good = 0
    tags = [PIECES.encode(f"<{language}>")[0] for language in ("fr", "de")]
    for number in range(WRITTEN):
        if family == "encoder":
            like = whole(HELD[torch.randint(len(HELD), (1,), generator=gen).item()])
            line = torch.tensor([[MASK if i > EOS and i != SEP else i for i in like]])
            line[0, 1] = tags[number % 2]
            for place in (line[0] == MASK).nonzero().flatten().tolist():
                line[0, place] = torch.multinomial(model(line)[0, place].softmax(-1), 1, generator=gen)
            row = line[0].tolist()
        else:
            row = [BOS, tags[number % 2]]
            while len(row) < 60 and row[-1] != EOS:
                row.append(torch.multinomial(model(torch.tensor([row]))[0, -1].softmax(-1), 1, generator=gen).item())
        if SEP in row and MASK not in row:
            at = row.index(SEP)
            good += (PIECES.decode(row[:at]), PIECES.decode(i for i in row[at + 1 :] if i != SEP)) in real
    return good / WRITTEN


def run(arm, seed, steps=STEPS):
    family, times = ARMS[arm]
    model, loss = train(family, seed, steps * times)
    said = translations(family, model)
    scores = filled(family, model) | {
        "continue": written(family, model, seed),
        "translate": sum(text == p.target for text, p in zip(said, HELD, strict=True)) / len(HELD),
    }
    about = {"parameters": sum(p.numel() for p in model.parameters()), "loss": round(loss, 4)}
    rounded = {name: None if share is None else round(share, 4) for name, share in scores.items()}
    return {**rounded, **about, "first": f"{tagged(HELD[5])} -> {said[5]}"}


def main(first=0, last=9, out=OUT):
    torch.set_num_threads(1)
    before = json.loads(Path(out).read_text())["runs"] if Path(out).exists() else {}  # goes on where it was stopped
    runs = {name: before.get(name, {}) for name in ARMS}
    about = {"width": WIDTH, "hidden": HIDDEN, "steps": STEPS, "batch": BATCH, "warmup": WARMUP, "rate": RATE}
    about |= {"lines": len(TRAIN), "pairs": len(HELD), "pieces": WORDS, "written": WRITTEN}
    for seed in range(first, last + 1):
        for arm in ARMS:
            if str(seed) not in runs[arm]:
                runs[arm][str(seed)] = run(arm, seed)
                print(seed, arm, runs[arm][str(seed)], flush=True)
                Path(out).write_text(json.dumps({**about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*(map(int, words[:2])), *words[2:]) if words else main()
