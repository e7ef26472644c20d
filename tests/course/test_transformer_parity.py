"""Unit 04's layers and model beside torch's own encoder and decoder layers, with the same weights.

The oracles of the unit's checks are torch's layers too; here the way from our state dict to torch's modules is written
a second time, through load_state_dict, and the modules run in float32 and in evaluation, as a user would run them.
"""

from functools import cache

import pytest
import torch
from torch import nn

from autograder.authoring.unit import Unit, find_unit
from course import models

WIDTH, HEADS, HIDDEN, LAYERS = 20, 4, 30, 3
WRITTEN = ("LayerNorm", "RMSNorm", "BatchNorm", "FeedForward", "SwiGLU", "EncoderLayer", "DecoderLayer", "Transformer")
PARTS = {f"norm{n}": f"norm{n}" for n in (1, 2, 3)} | {"linear1": "feed_forward.up", "linear2": "feed_forward.down"}


@cache
def solved():
    """The solved exercises' names."""
    unit = Unit.load(find_unit("transformer"))
    namespace = {"__name__": "solved", "PAD": 0, "Mask": torch.Tensor | None}
    exec("import math, torch\nfrom torch import Tensor, nn\nfrom course.models import *", namespace)
    for cell in unit.cells:
        if cell.kind == "exercise" and cell.name in WRITTEN:
            exec(compile(cell.source, cell.name, "exec"), namespace)
    return namespace


def shaken(module):
    """Every parameter random, so that nothing keeps its convenient initial value."""
    gen = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = 1 / parameter.shape[-1] ** 0.5 if parameter.dim() == 2 else 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=gen) * spread + (parameter.dim() == 1))
    return module.eval()


def give(ours, theirs):
    """Our layer's weights into torch's layer."""
    state = ours.state_dict()
    made = {}
    attentions = {"self_attn": "attention" if hasattr(ours, "attention") else "self_attention",
                  "multihead_attn": "cross_attention"}  # fmt: skip
    for name in theirs.state_dict():
        part, _, end = name.rpartition(".")
        if end.startswith("in_proj"):
            kind = end.removeprefix("in_proj_")
            made[name] = torch.cat([state[f"{attentions[part]}.{w}.{kind}"] for w in ("w_q", "w_k", "w_v")])
        elif part.endswith("out_proj"):
            made[name] = state[f"{attentions[part.split('.')[0]]}.w_o.{end}"]
        else:
            made[name] = state[f"{PARTS[part]}.{end}"]
    theirs.load_state_dict(made)
    return theirs.eval()


def theirs_of(kind, norm, activation):
    return kind(WIDTH, HEADS, HIDDEN, 0.1, activation, batch_first=True, norm_first=norm == "pre")


EACH = [("pre", "relu"), ("pre", "gelu"), ("post", "relu"), ("post", "gelu")]
ARRANGEMENTS = pytest.mark.parametrize("norm, activation", EACH)


@ARRANGEMENTS
def test_the_encoder_layer_is_torchs(norm, activation):
    ours = shaken(solved()["EncoderLayer"](WIDTH, HEADS, HIDDEN, norm, activation, dropout=0.1))
    theirs = give(ours, theirs_of(nn.TransformerEncoderLayer, norm, activation))
    x, keep = torch.randn(3, 7, WIDTH), torch.arange(7) < torch.tensor([7, 4, 2])[:, None]
    ours_out = ours(x, keep[:, None, None, :])
    theirs_out = theirs(x, src_key_padding_mask=~keep)
    torch.testing.assert_close(ours_out[keep], theirs_out[keep], atol=2e-5, rtol=1e-5)


@ARRANGEMENTS
def test_the_decoder_layer_is_torchs(norm, activation):
    ours = shaken(solved()["DecoderLayer"](WIDTH, HEADS, HIDDEN, norm, activation, dropout=0.1))
    theirs = give(ours, theirs_of(nn.TransformerDecoderLayer, norm, activation))
    x, memory = torch.randn(3, 5, WIDTH), torch.randn(3, 7, WIDTH)
    keep, causal = torch.arange(7) < torch.tensor([7, 4, 2])[:, None], torch.ones(5, 5, dtype=torch.bool).tril()
    ours_out = ours(x, memory, causal, keep[:, None, None, :])
    theirs_out = theirs(x, memory, tgt_mask=~causal, memory_key_padding_mask=~keep)
    torch.testing.assert_close(ours_out, theirs_out, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_model_is_torchs_transformer(norm):
    """nn.Transformer between our embeddings and our head; without its closing norms for post-norm."""
    ours = shaken(solved()["Transformer"](11, 13, WIDTH, HEADS, LAYERS, HIDDEN, norm, "gelu"))
    closing = [nn.LayerNorm(WIDTH) if norm == "pre" else None for _ in range(2)]
    if norm == "pre":
        for theirs, mine in zip(closing, (ours.encoder_norm, ours.decoder_norm)):
            theirs.load_state_dict(mine.state_dict())
    encoder = nn.TransformerEncoder(theirs_of(nn.TransformerEncoderLayer, norm, "gelu"), LAYERS, closing[0], False)
    decoder = nn.TransformerDecoder(theirs_of(nn.TransformerDecoderLayer, norm, "gelu"), LAYERS, closing[1])
    for stack, mine in ((encoder, ours.encoder), (decoder, ours.decoder)):
        for layer, own in zip(stack.layers, mine):
            give(own, layer)
    source, target = torch.randint(1, 11, (3, 8)), torch.randint(1, 13, (3, 6))
    source[1, 5:] = source[2, 2:] = 0

    def read(ids, table):
        return table.weight[ids] * WIDTH**0.5 + models.sinusoidal_encoding(ids.shape[1], WIDTH)

    hidden = source == 0
    memory = encoder.eval()(read(source, ours.source_embedding), src_key_padding_mask=hidden)
    future = torch.ones(6, 6, dtype=torch.bool).triu(1)
    out = decoder.eval()(read(target, ours.target_embedding), memory, future, memory_key_padding_mask=hidden)
    expected = out @ ours.target_embedding.weight.T
    torch.testing.assert_close(ours(source, target), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.encode(source)[0][~hidden], memory[~hidden], atol=5e-5, rtol=1e-5)


def test_the_norms_are_torchs_over_many_batches():
    ours, theirs = solved()["BatchNorm"](WIDTH, momentum=0.3), nn.BatchNorm1d(WIDTH, momentum=0.3)
    for _ in range(5):
        x = 3 * torch.randn(6, 4, WIDTH) + 1
        torch.testing.assert_close(ours(x).flatten(0, 1), theirs(x.flatten(0, 1)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    for name, reference in (("LayerNorm", nn.LayerNorm(WIDTH)), ("RMSNorm", nn.RMSNorm(WIDTH, eps=1e-6))):
        made = shaken(solved()[name](WIDTH))
        reference.load_state_dict(made.state_dict())
        torch.testing.assert_close(made(x), reference(x), atol=1e-5, rtol=1e-5)


def test_the_feed_forward_layers_are_those_of_transformers():
    llama = pytest.importorskip(
        "transformers.models.llama.modeling_llama", reason="transformers is not installed: pip install -e '.[dev]'"
    )
    from transformers import LlamaConfig

    x = torch.randn(2, 5, WIDTH)
    ours = shaken(solved()["SwiGLU"](WIDTH, HIDDEN))
    theirs = llama.LlamaMLP(LlamaConfig(hidden_size=WIDTH, intermediate_size=HIDDEN, hidden_act="silu"))
    theirs.load_state_dict({name.replace(".", "_proj."): tensor for name, tensor in ours.state_dict().items()})
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    norm = shaken(solved()["RMSNorm"](WIDTH))
    reference = llama.LlamaRMSNorm(WIDTH, eps=1e-6)
    reference.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(x), reference(x), atol=1e-5, rtol=1e-5)
