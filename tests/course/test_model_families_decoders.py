"""Unit 05's decoders beside those of transformers, with the same random weights: Llama, Qwen3, GPT-2, Gemma 3.

The solved classes get the library's weights by the mapping tables of the notebook. The oracles of the unit's checks,
slow and in float64, are compared with the library here, too: once, on what the exercises grade. Not here: what a wrong
answer is told.
"""

import importlib.util
import math
from functools import cache

import pytest
import torch
from torch.nn import functional

from autograder.authoring.unit import Unit, find_unit

transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[dev]'")
WRITTEN = ("grouped_query_attention", "LlamaBlock", "GPT", "GemmaBlock")
FOLDER = find_unit("model_families")


@cache
def solved():
    """The solved exercises' names, and those of the mapping cell of the notebook."""
    namespace = {"__name__": "solved", "Mask": torch.Tensor | None}
    exec("import math, torch\nfrom torch import Tensor, nn\nfrom course.models import *", namespace)
    for cell in Unit.load(FOLDER).cells:
        if cell.kind == "exercise" and cell.name in WRITTEN:
            exec(compile(cell.source, cell.name, "exec"), namespace)
        elif cell.source.startswith("def as_gpt2"):
            exec(compile(cell.source.split("\n\n\nif ready")[0], "as_gpt2", "exec"), namespace)
    return namespace


@cache
def checks():
    """The unit's checks.py: its oracles."""
    spec = importlib.util.spec_from_file_location("checks_of_05", FOLDER / "checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shaken(module):
    """Every parameter random, so that nothing keeps its convenient initial value."""
    gen = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = 1 / parameter.shape[-1] ** 0.5 if parameter.dim() == 2 else 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=gen) * spread + 0.8 * (parameter.dim() == 1))
    return module.eval()


LLAMA = {"norm1": "input_layernorm", "norm2": "post_attention_layernorm", "w_q": "self_attn.q_proj",
         "w_k": "self_attn.k_proj", "w_v": "self_attn.v_proj", "w_o": "self_attn.o_proj",
         "feed_forward.gate": "mlp.gate_proj", "feed_forward.up": "mlp.up_proj",
         "feed_forward.down": "mlp.down_proj"}  # fmt: skip
QK = {"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}
GEMMA = {"norm1": "input_layernorm", "norm2": "post_attention_layernorm", "norm3": "pre_feedforward_layernorm",
         "norm4": "post_feedforward_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
         "down": "mlp.down_proj", "w_q": LLAMA["w_q"], "w_k": LLAMA["w_k"], "w_v": LLAMA["w_v"], "w_o": LLAMA["w_o"],
         **QK}  # fmt: skip


def named(theirs, table):
    """The library's weights under our names."""
    weights = theirs.state_dict()
    assert len(weights) == len(table), "every weight of the library has a name here"
    return {f"{ours}.weight": weights[f"{path}.weight"] for ours, path in table.items()}


def additive(T, window=None):
    """(1, 1, T, T) mask as the library wants it: 0 may look, the lowest number may not."""
    back = torch.arange(T)[:, None] - torch.arange(T)
    may = (back >= 0) & (back < (window or T))
    return torch.zeros(1, 1, T, T).masked_fill(~may, torch.finfo(torch.float32).min)


def rotary(kind, config, x, positions):
    return kind(config=config)(x, positions[None])


LLAMA_SIZES = {"hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 40,
               "rms_norm_eps": 1e-5, "rope_theta": 500.0, "attn_implementation": "eager"}  # fmt: skip


def theirs_llama(qk_norm, head_width):
    """(the library's layer, its rotary embedding's class, its config)"""
    if qk_norm:
        from transformers.models.qwen3 import modeling_qwen3 as m

        config = transformers.Qwen3Config(**LLAMA_SIZES, head_dim=head_width, layer_types=["full_attention"],
                                          num_hidden_layers=1)  # fmt: skip
        return shaken(m.Qwen3DecoderLayer(config, 0)), m.Qwen3RotaryEmbedding, config
    from transformers.models.llama import modeling_llama as m

    config = transformers.LlamaConfig(**LLAMA_SIZES, head_dim=head_width)
    return shaken(m.LlamaDecoderLayer(config, 0)), m.LlamaRotaryEmbedding, config


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("head_width", [4, 10])
def test_the_llama_block_is_that_of_transformers(qk_norm, head_width):
    theirs, rotations, config = theirs_llama(qk_norm, head_width)
    ours = solved()["LlamaBlock"](24, 6, 2, 40, head_width=head_width, base=500.0, eps=1e-5, qk_norm=qk_norm)
    state = named(theirs, LLAMA | (QK if qk_norm else {}))
    ours.load_state_dict(state)
    x, positions = 2 * torch.randn(2, 9, 24), torch.tensor([0, 1, 2, 3, 5, 8, 13, 21, 34])
    out = theirs(x, attention_mask=additive(9), position_embeddings=rotary(rotations, config, x, positions))
    expected = out[0] if isinstance(out, tuple) else out
    torch.testing.assert_close(ours(x, positions), expected, atol=2e-5, rtol=1e-5)
    oracle = checks().llama_block(x, state, head_width, 500.0, 1e-5, positions)
    torch.testing.assert_close(oracle, expected, atol=2e-5, rtol=1e-5)


def test_gpt_is_gpt2_of_transformers():
    """Through the mapping table of the notebook; GPT2LMHeadModel ties its head itself."""
    config = transformers.GPT2Config(vocab_size=37, n_positions=12, n_embd=20, n_layer=3, n_head=4,
                                     resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config)
    ours = shaken(solved()["GPT"](37, 12, 20, 4, 3))
    made = solved()["as_gpt2"](ours.state_dict(), 3)
    missing, unexpected = theirs.load_state_dict(made, strict=False)
    assert not unexpected and all("bias" in name and "attn" in name for name in missing), (missing, unexpected)
    ids = torch.randint(0, 37, (3, 12))
    expected = theirs.eval()(ids).logits
    torch.testing.assert_close(ours(ids), expected, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(checks().gpt_logits(ids, ours.state_dict(), 4), expected, atol=2e-4, rtol=1e-4)
    assert theirs.lm_head.weight.data_ptr() == theirs.transformer.wte.weight.data_ptr()


def test_a_new_gpt_starts_as_gpt2_does():
    """The deviations of transformers' own initialisation, and a first loss near ln V."""
    config = transformers.GPT2Config(vocab_size=200, n_positions=32, n_embd=64, n_layer=6, n_head=4)
    theirs, ours = transformers.GPT2LMHeadModel(config), solved()["GPT"](200, 32, 64, 4, 6)
    mine = solved()["as_gpt2"](ours.state_dict(), 6)
    for name, tensor in theirs.state_dict().items():
        if tensor.dim() == 2:
            assert mine[name].std().item() == pytest.approx(tensor.std().item(), rel=0.1), name
    ids = torch.randint(0, 200, (4, 32))
    loss = functional.cross_entropy(ours(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert abs(loss.item() - math.log(200)) < 0.3


@pytest.mark.parametrize("window", [None, 3])
def test_the_gemma_block_is_that_of_transformers(window):
    from transformers.models.gemma3 import modeling_gemma3 as m

    kind = "sliding_attention" if window else "full_attention"
    config = transformers.Gemma3TextConfig(
        hidden_size=24, num_attention_heads=4, num_key_value_heads=2, head_dim=10, intermediate_size=40,
        rms_norm_eps=1e-5, rope_theta=700.0, rope_local_base_freq=700.0, query_pre_attn_scalar=10,
        sliding_window=window or 4096, layer_types=[kind], num_hidden_layers=1, attn_implementation="eager",
    )  # fmt: skip
    theirs = shaken(m.Gemma3DecoderLayer(config, 0))
    state = {name: tensor + (tensor.dim() == 1) for name, tensor in named(theirs, GEMMA).items()}
    ours = solved()["GemmaBlock"](24, 4, 2, 10, 40, base=700.0, window=window, eps=1e-5)
    ours.load_state_dict(state)
    x, positions = 2 * torch.randn(2, 9, 24), torch.arange(9)
    turned = rotary(m.Gemma3RotaryEmbedding, config, x, positions)
    expected = theirs(x, turned, turned, attention_mask=additive(9, window))[0]
    torch.testing.assert_close(ours(x), expected, atol=2e-5, rtol=1e-5)
    oracle = checks().gemma_block(x, state, 10, 700.0, window, 1e-5)
    torch.testing.assert_close(oracle, expected, atol=2e-5, rtol=1e-5)


def test_the_window_is_that_of_transformers():
    """A window of w sees w tokens, itself among them; our additive mask above is the library's own."""
    from transformers.masking_utils import sliding_window_overlay

    sees = sliding_window_overlay(3)
    back = torch.arange(9)[:, None] - torch.arange(9)
    theirs = torch.tensor([[bool(sees(0, 0, t, s)) and s <= t for s in range(9)] for t in range(9)])
    assert torch.equal(theirs, (back >= 0) & (back < 3)) and theirs[8].sum() == 3


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_the_oracle_of_grouped_queries_is_torchs(kv_heads):
    """F.scaled_dot_product_attention(enable_gqa=True), with an explicit mask and lengths that differ."""
    q = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    k, v = torch.randn(2, kv_heads, 8, 4, dtype=q.dtype), torch.randn(2, kv_heads, 8, 3, dtype=q.dtype)
    mask = torch.rand(2, 1, 5, 8) < 0.7
    mask[..., 0] = True
    expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(checks().grouped_attention(q, k, v, mask), expected)
    torch.testing.assert_close(solved()["grouped_query_attention"](q, k, v, mask), expected)


def test_the_oracle_of_perplexity_scores_every_token_once_whatever_the_stride():
    for N in (2, 5, 8, 13):
        for context in range(1, 7):
            for stride in range(1, context + 1):
                windows = checks().scored_windows(N, context, stride)
                assert [token for _, scored in windows for token in scored] == list(range(1, N))
                assert all(len(read) <= context and read[-1] + 1 == scored[-1] for read, scored in windows)
    assert checks().scored_windows(8, 4, 2) == [
        ([0, 1, 2, 3], [1, 2, 3, 4]), ([2, 3, 4, 5], [5, 6]), ([4, 5, 6], [7]),
    ]  # fmt: skip


def test_a_short_first_window_gives_other_contexts_only_where_the_stride_is_no_divisor():
    """transformers #18887: windows that end at multiples of the stride and grow first. For a stride that divides the
    context every token has the same past either way; only the number of calls differs. Else the pasts differ."""

    def pasts(N, context, stride, short):
        found, begin, done = {}, 0, 0
        while done < N - 1:
            if short:
                end = min(done + stride, N - 1)
                begin = max(end - context, 0)
            else:
                end = min(begin + context, N - 1)
            found |= {token: token - begin for token in range(done + 1, end + 1)}
            begin, done = begin + stride, end
        return found

    assert pasts(41, 8, 4, True) == pasts(41, 8, 4, False)
    assert pasts(41, 8, 3, True) != pasts(41, 8, 3, False)
