"""The course's language model: a Llama-style decoder, and the two sets of weights trained for it.

    model = load("target")                                     # or "draft", the same kind of model and much smaller
    logits = model(ids)                                        # (B, T) int64 -> (B, T, V)
    model = load("target", Parts(attend=my_attention))         # the learner's attention, every other part as it was
    logits = model(ids[:, -1:], cache)                         # one more token; `cache` is anything that is a `Cache`

RMSNorm before each sublayer, rotary positions, grouped-query attention, SwiGLU, no biases, and a head that is the
embedding once more. With the flags of `Config` the same class is Gemma 3. Tensors are named as in `LlamaModel` and
`Gemma3TextModel` of transformers, which read the same files.

Not here: caches, samplers and quantizers, which later units write; tokens (`course.vocabulary`); training (`training/`,
in the repository).

Sources: Touvron et al. 2023, "LLaMA", section 2.2; Ainslie et al. 2023, "GQA", section 2.2; Shazeer 2020, "GLU Variants
Improve Transformer"; Gemma Team 2025, "Gemma 3 Technical Report", section 2.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course.errors import EnvironmentLacking
from course.files import whole_file

WEIGHTS = Path(__file__).parent / "weights"
ACTIVATIONS = {"silu": F.silu, "gelu_tanh": partial(F.gelu, approximate="tanh")}


@dataclass(frozen=True)
class Config:
    """The sizes of a model, and in the second half what Gemma 3 has and Llama has not."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int  # each serves heads / kv_heads query heads, neighbours of each other
    head_width: int
    hidden: int  # of the feed-forward layer
    context: int  # tokens it was trained on; it reads more, if worse
    base: float = 10000.0  # of the rotary frequencies
    epsilon: float = 1e-5  # inside the root of every norm

    activation: str = "silu"
    qk_norm: bool = False  # RMSNorm on each query and each key, before they are rotated
    four_norms: bool = False  # a norm behind each sublayer too, before it is added to the stream
    window: int | None = None  # a query sees this many positions, its own among them ...
    full_layers: tuple[int, ...] = ()  # ... except in these layers (counted from 0), where it sees all before it
    local_base: float | None = None  # of the rotary frequencies in the layers with a window; None: `base` there too
    scaled_embedding: bool = False  # embeddings times the root of the width

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads must be a multiple of kv_heads; {self.heads} is not one of {self.kv_heads}")
        if self.head_width % 2:
            raise ValueError(f"head_width must be even, coordinates are rotated in pairs; it is {self.head_width}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; it is {self.activation!r}")

    def window_of(self, layer: int) -> int | None:
        return None if layer in self.full_layers else self.window

    def base_of(self, layer: int) -> float:
        return self.base if self.window_of(layer) is None else self.local_base or self.base


# where later units plug in their own


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """q (B, H, T, d), k and v (B, G, S, d), mask (T, S) or (B, 1, T, S) bool, True = may look -> (B, H, T, d).

    Scores are divided by the root of d. Query heads h * H / G to (h + 1) * H / G - 1 share key head h. A query that may
    look at nothing gets 0.
    """
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def rotate(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """x (B, H, T, d), positions (T,) or (B, T) -> (B, H, T, d): coordinate i turns with coordinate i + d / 2.

    By the angle position * base^(-2i/d). These are the halves of Llama in transformers; the paper pairs 2i with 2i + 1.
    Source: Su et al. 2021, "RoFormer", section 3.4.2.
    """
    half = x.shape[-1] // 2
    frequencies = base ** -(torch.arange(half, dtype=torch.float32, device=x.device) / half)
    angles = positions[..., None, :, None] * frequencies  # (1, T, d / 2) or (B, 1, T, d / 2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


@dataclass(frozen=True)
class Parts:
    """What a model is made of. Give another function of the same signature to see what changes."""

    attend: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = attend
    rotate: Callable[[Tensor, Tensor, float], Tensor] = rotate
    linear: Callable[[int, int], nn.Module] = partial(nn.Linear, bias=False)  # (in, out), holds .weight (out, in)


class Cache(Protocol):
    """What the model asks of a cache: contiguous, windowed, paged or compressed, it is all the same to the model."""

    def positions(self, tokens: int) -> Tensor:
        """(T,) or (B, T) int64: where the next `tokens` tokens of each sequence stand. Asked once, before layer 0."""

    def append(self, layer: int, k: Tensor, v: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take k and v (B, G, T, d) of `positions`, k rotated already; return all that the new queries may look at.

        That is k (B, G, S, d), v (B, G, S, d) and where they stand, (S,) or (B, S), -1 for a slot with nothing in it.
        The model hides what lies after a query or outside its window.
        """


def visible(queries: Tensor, keys: Tensor, window: int | None = None) -> Tensor:
    """Positions (T,) or (B, T), and (S,) or (B, S) -> bool (T, S) or (B, 1, T, S), True = may look.

    A query sees the keys at its own position and before it, the last `window` of them; a key at -1 nobody sees.
    """
    back = queries[..., :, None] - keys[..., None, :]  # how far the key lies behind the query
    mask = (back >= 0) & (keys[..., None, :] >= 0)
    if window is not None:
        mask &= back < window
    return mask if mask.dim() == 2 else mask[:, None]


# the model


class Attention(nn.Module):
    """Grouped-query attention over this call's tokens, and over what a cache holds."""

    def __init__(self, config: Config, layer: int, parts: Parts) -> None:
        super().__init__()
        D, H, G, d = config.width, config.heads, config.kv_heads, config.head_width
        self.layer, self.parts, self.head_width = layer, parts, d
        self.window, self.base = config.window_of(layer), config.base_of(layer)
        self.q_proj, self.o_proj = parts.linear(D, H * d), parts.linear(H * d, D)
        self.k_proj, self.v_proj = parts.linear(D, G * d), parts.linear(D, G * d)
        norm = partial(nn.RMSNorm, d, config.epsilon) if config.qk_norm else nn.Identity
        self.q_norm, self.k_norm = norm(), norm()

    def forward(self, x: Tensor, positions: Tensor, cache: Cache | None = None) -> Tensor:
        q, k, v = (self._heads(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        q = self.parts.rotate(self.q_norm(q), positions, self.base)  # (B, H, T, d)
        k = self.parts.rotate(self.k_norm(k), positions, self.base)  # (B, G, T, d)
        keys = positions
        if cache is not None:
            k, v, keys = cache.append(self.layer, k, v, positions)  # (B, G, S, d)
        mixed = self.parts.attend(q, k, v, visible(positions, keys, self.window))
        return self.o_proj(mixed.transpose(1, 2).flatten(2))  # (B, T, H * d) -> (B, T, D)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)  # (B, T, H * d) -> (B, H, T, d)


class FeedForward(nn.Module):
    """SwiGLU, or GeGLU where the activation is GELU: down(f(gate(x)) * up(x))."""

    def __init__(self, config: Config, parts: Parts) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = (parts.linear(config.width, config.hidden) for _ in range(2))
        self.down_proj = parts.linear(config.hidden, config.width)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention, then feed-forward, each behind a norm and added to the stream.

    With four norms `post_attention_layernorm` stands behind the attention, as it is called; with two it is Llama's name
    for the norm before the feed-forward layer.
    """

    def __init__(self, config: Config, layer: int, parts: Parts) -> None:
        super().__init__()
        norm = partial(nn.RMSNorm, config.width, config.epsilon)
        self.four_norms = config.four_norms
        self.self_attn, self.mlp = Attention(config, layer, parts), FeedForward(config, parts)
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()
        if config.four_norms:
            self.pre_feedforward_layernorm, self.post_feedforward_layernorm = norm(), norm()

    def forward(self, x: Tensor, positions: Tensor, cache: Cache | None = None) -> Tensor:
        mixed = self.self_attn(self.input_layernorm(x), positions, cache)
        if self.four_norms:
            x = x + self.post_attention_layernorm(mixed)
            return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))
        x = x + mixed
        return x + self.mlp(self.post_attention_layernorm(x))


class GPT(nn.Module):
    """Causal language model: token ids (B, T) -> logits (B, T, V).

    Its parts may be replaced after loading, too: `model.layers[i]` is called with (x, positions, cache).
    """

    def __init__(self, config: Config, parts: Parts | None = None) -> None:
        super().__init__()
        parts = parts or Parts()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config, number, parts) for number in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.epsilon)
        self.scale = math.sqrt(config.width) if config.scaled_embedding else 1.0

    def forward(self, ids: Tensor, cache: Cache | None = None, positions: Tensor | None = None) -> Tensor:
        return self.logits(self.states(ids, cache, positions))

    def states(self, ids: Tensor, cache: Cache | None = None, positions: Tensor | None = None) -> Tensor:
        """What the head reads, (B, T, D): the stream behind the last layer and the last norm.

        positions  (T,) or (B, T) int64; left out, the cache says where the tokens stand, and without one 0 to T - 1
        """
        T = ids.shape[1]
        if positions is None:
            positions = torch.arange(T, device=ids.device) if cache is None else cache.positions(T)
        x = self.embed_tokens(ids) * self.scale
        for layer in self.layers:
            x = layer(x, positions, cache)
        return self.norm(x)

    def logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.embed_tokens.weight)  # the head is the embedding: tied


# files


def load(name: str, parts: Parts | None = None, dtype: torch.dtype = torch.float32) -> GPT:
    """The trained "target" or "draft", in evaluation mode, its parameters in `dtype` (half precision in the file)."""
    return open_model(_file(name), parts, dtype)


def weights_of(name: str) -> dict[str, Tensor]:
    """The tensors of "target" or "draft" as they lie in the file, in half precision, by the names of transformers."""
    from safetensors.torch import load_file

    return load_file(_file(name))


def open_model(path: Path, parts: Parts | None = None, dtype: torch.dtype = torch.float32) -> GPT:
    """The model that `save` wrote to `path`."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        state = {key: file.get_tensor(key).to(dtype) for key in file.keys()}
    with torch.random.fork_rng(devices=[]):  # initial values are drawn and dropped: 30 ms, where torch's meta device
        model = GPT(Config(**config | {"full_layers": tuple(config["full_layers"])}), parts)  # imports for a second
    model.load_state_dict(state, assign=True)
    return model.eval()


def save(model: GPT, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Tensors and config as one safetensors file, whole or not at all."""
    from safetensors.torch import save as packed

    state = {name: tensor.detach().to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(path) as file:
        file.write(packed(state, {"format": "pt", "config": json.dumps(dataclasses.asdict(model.config))}))


def _file(name: str) -> Path:
    if name not in ("target", "draft"):
        raise ValueError(f'the course has two models, "target" and "draft"; there is no {name!r}')
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        raise EnvironmentLacking(
            f"The weights {path} are not there: bring them back with git, or train them with "
            f"`python -m training.train {name}` in a clone of the course."
        )
    return path
