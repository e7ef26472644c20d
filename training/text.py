"""The corpus as tokens, kept in build/training/ so that only the first run pays for reading the packages.

Not here: where the text comes from (`training.corpus`), and in which order a run reads it (`training.train`).
"""

from __future__ import annotations

import hashlib
import io
import platform
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course import vocabulary
from course.files import write_whole
from training import corpus

BUILD = Path(__file__).resolve().parents[1] / "build" / "training"


class Text(NamedTuple):
    """Both sides of the corpus, as bytes and as tokens."""

    train: bytes
    held: bytes
    train_ids: Tensor  # (tokens,) int64
    held_ids: Tensor

    def digest(self) -> str:
        """Says which text it is: equal for equal bytes and tokens."""
        ids = hashlib.sha256(self.train_ids.numpy().tobytes())
        return hashlib.sha256(hashlib.sha256(self.train + self.held).digest() + ids.digest()).hexdigest()[:16]


def read(folder: Path = BUILD) -> Text:
    """The text of the installed packages, from `folder` where it was read before, with the same versions and code."""
    path = folder / f"text-{_key()}.npz"
    if not path.is_file():
        print(
            "Reading the documentation of the installed packages: a minute or two, the first time only ...", flush=True
        )
        found = corpus.corpus()
        kept = io.BytesIO()
        sides = {side: np.frombuffer(corpus.joined(documents), np.uint8) for side, documents in found._asdict().items()}
        np.savez_compressed(kept, **sides)
        write_whole(path, kept.getvalue())
    with np.load(path) as kept:
        return of(*(kept[side].tobytes() for side in ("train", "held")))


def of(train: bytes, held: bytes, words: vocabulary.Vocabulary | None = None) -> Text:
    """These bytes, and their tokens in the course's vocabulary or another."""
    words = words or vocabulary.load()
    return Text(train, held, *(torch.tensor(words.encode(side), dtype=torch.int64) for side in (train, held)))


def versions() -> dict[str, str]:
    """What the text was made of."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in corpus.PACKAGES}}


def lengths(words: vocabulary.Vocabulary | None = None) -> Tensor:
    """(V,) float64: how many bytes each token stands for."""
    return torch.tensor([len(piece) for piece in (words or vocabulary.load()).pieces], dtype=torch.float64)


def _key() -> str:
    code = Path(corpus.__file__).read_bytes()
    return hashlib.sha256(repr(sorted(versions().items())).encode() + code).hexdigest()[:12]
