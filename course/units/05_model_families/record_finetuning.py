"""Fine-tune MiniLM on ten seeds beside the same encoder from scratch, and write course/runs/finetuning.json. By hand:

    python course/units/05_model_families/record_finetuning.py [FIRST_SEED LAST_SEED OUT]

The task: which of five subjects does a sentence of Python's documentation come from? Three arms see the same labels for
the same number of steps: MiniLM with all of its weights trained, MiniLM frozen under a trained head, and the same
encoder from random weights. The encoder is transformers' own, so that the recorded runs do not come from the code they
are compared with. Needs MiniLM (course.minilm). Not shipped to learners.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from course import data, minilm

LABELS = (2, 8, 32)  # labelled sentences of each subject
BATCH, STEPS, LONGEST, HELD = 16, 60, 40, 40  # HELD sentences of each subject to test on
RATES = {"fine-tuned": 1e-4, "frozen": 1e-3, "from scratch": 1e-3}  # the best of three on seed 100: rates()
OUT = Path(__file__).resolve().parents[2] / "runs" / "finetuning.json"


def examples(seed):
    """(training sentences and labels, LABELS[-1] of each subject in turn; those to test on) in an order of the seed."""
    gen = torch.Generator().manual_seed(seed)
    by_subject = []
    for sentences in data.subjects().values():
        order = torch.randperm(len(sentences), generator=gen).tolist()
        by_subject.append([sentences[i] for i in order[: LABELS[-1] + HELD]])
    few, held = ([(text, label) for some in zip(*(s[part] for s in by_subject), strict=True)
                  for label, text in enumerate(some)]
                 for part in (slice(HELD, None), slice(HELD)))  # fmt: skip
    return few, held


class Classifier(nn.Module):
    """The mean of the last states, BERT's pooler and a linear map."""

    def __init__(self, arm, classes):
        super().__init__()
        config = BertConfig(**minilm.config(), attn_implementation="sdpa")
        self.encoder = BertModel(config, add_pooling_layer=False)
        if arm != "from scratch":
            self.encoder.load_state_dict(minilm.weights(), strict=False)
        self.pooler, self.classifier = (nn.Linear(config.hidden_size, n) for n in (config.hidden_size, classes))
        self.frozen = arm == "frozen"

    def vectors(self, texts):
        ids, keep = minilm.encode(texts, longest=LONGEST)
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(not self.frozen and torch.is_grad_enabled()):
            states = self.encoder(input_ids=ids, attention_mask=keep.long()).last_hidden_state.float()
        return (states * keep[:, :, None]).sum(1) / keep.sum(1, keepdim=True)

    def forward(self, vectors):
        return self.classifier(torch.tanh(self.pooler(vectors)))


def train(arm, few, seed, rate, steps=STEPS):
    torch.manual_seed(seed)
    model = Classifier(arm, 1 + max(label for _, label in few))
    texts, labels = [text for text, _ in few], torch.tensor([label for _, label in few])
    head = [*model.pooler.parameters(), *model.classifier.parameters()]
    optimiser = torch.optim.AdamW(head if model.frozen else model.parameters(), lr=rate, weight_decay=0.01, fused=True)
    known = model.eval().vectors(texts) if model.frozen else None
    model.train()
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * min((step + 1) / 10, (steps - step) / (steps - 10))
        some = torch.randint(0, len(texts), (BATCH,))
        vectors = known[some] if model.frozen else model.vectors([texts[i] for i in some])
        loss = F.cross_entropy(model(vectors), labels[some])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


@torch.no_grad()
def accuracy(model, held):
    right = 0
    for start in range(0, len(held), 50):
        texts, labels = zip(*held[start : start + 50], strict=True)
        right += (model(model.vectors(texts)).argmax(-1) == torch.tensor(labels)).sum().item()
    return right / len(held)


def run(arm, labels, seed, rate=None):
    few, held = examples(seed)
    some = few[: labels * len(data.subjects())]
    return round(accuracy(train(arm, some, seed, rate or RATES[arm]), held), 4)


def rates(seed=100, labels=32):
    """What RATES comes from: each arm's accuracy at three rates, on a seed that no recorded run has."""
    for arm, tried in {"fine-tuned": (3e-5, 1e-4, 3e-4), "frozen": (1e-3, 3e-3, 1e-2),
                       "from scratch": (1e-4, 3e-4, 1e-3)}.items():  # fmt: skip
        print(arm, {rate: run(arm, labels, seed, rate) for rate in tried}, flush=True)


def main(first=0, last=9, out=OUT):
    torch.set_num_threads(1)
    out = Path(out)
    runs = json.loads(out.read_text())["runs"] if out.exists() else {}  # goes on where it was stopped
    about = {"batch": BATCH, "steps": STEPS, "held": HELD, "subjects": list(data.subjects()), "rates": RATES}
    for seed in range(first, last + 1):
        for arm in RATES:
            for labels in LABELS:
                found = runs.setdefault(arm, {}).setdefault(str(labels), {})
                if str(seed) not in found:
                    found[str(seed)] = run(arm, labels, seed)
                    print(seed, arm, labels, found[str(seed)], flush=True)
                    out.write_text(json.dumps({**about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*(map(int, words[:2])), *words[2:]) if words else main()
