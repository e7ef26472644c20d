"""The course's model beside transformers' Llama and Gemma 3 with the same random weights, and its seams one by one.

The library's logits are compared once with a slow float64 version written out here, so an error that both shared would
show.
"""

import dataclasses
import math
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from course import gpt
from course.errors import EnvironmentLacking

SMALL = gpt.Config(
    vocabulary=50, width=24, layers=3, heads=6, kv_heads=2, head_width=8, hidden=40, context=16, base=500.0,
    epsilon=0.03,
)  # fmt: skip
GEMMA = dataclasses.replace(
    SMALL, activation="gelu_tanh", qk_norm=True, four_norms=True, window=5, full_layers=(1,), local_base=70.0,
    scaled_embedding=True, epsilon=0.05,
)  # fmt: skip
IDS = torch.randint(0, 50, (3, 19), generator=torch.Generator().manual_seed(5))


def shaken(config, parts=None, seed=3):
    """A model with every parameter random, so that no convenient initial value hides a mistake."""
    model, gen = gpt.GPT(config, parts), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.4 if parameter.dim() == 2 else 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=gen) * spread + (parameter.dim() == 1))
    return model.eval()


def sizes(config):
    """The same sizes in the words of transformers."""
    return {
        "vocab_size": config.vocabulary, "hidden_size": config.width, "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers, "num_attention_heads": config.heads, "head_dim": config.head_width,
        "num_key_value_heads": config.kv_heads, "rms_norm_eps": config.epsilon, "rope_theta": config.base,
        "tie_word_embeddings": True, "attn_implementation": "eager", "pad_token_id": None,
    }  # fmt: skip


def llama(model):
    from transformers import LlamaConfig, LlamaForCausalLM

    theirs = LlamaForCausalLM(LlamaConfig(**sizes(model.config))).eval()
    theirs.model.load_state_dict(model.state_dict())
    return theirs


def gemma(model):
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = model.config
    kinds = ["sliding_attention" if config.window_of(n) else "full_attention" for n in range(config.layers)]
    theirs = Gemma3ForCausalLM(Gemma3TextConfig(
        **sizes(config), sliding_window=config.window, layer_types=kinds, rope_local_base_freq=config.local_base,
        query_pre_attn_scalar=config.head_width,
    )).eval()  # fmt: skip
    stored = {name: t - 1 if t.dim() == 1 else t for name, t in model.state_dict().items()}  # they add 1 to norms
    theirs.model.load_state_dict(stored)
    return theirs


@pytest.mark.parametrize("config, library", [(SMALL, llama), (GEMMA, gemma)], ids=["llama", "gemma3"])
def test_logits_are_those_of_transformers(config, library):
    model = shaken(config)
    with torch.no_grad():
        ours, theirs = model(IDS), library(model)(IDS).logits
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=2e-4)
    assert ours.std() > 1


@pytest.mark.parametrize(
    "change",
    [{"window": 6}, {"full_layers": (2,)}, {"local_base": 500.0}, {"activation": "silu"}, {"scaled_embedding": False}],
    ids=str,
)
def test_each_flag_of_gemma_is_seen_by_the_comparison(change):
    model, other = shaken(GEMMA), shaken(dataclasses.replace(GEMMA, **change))
    with torch.no_grad():
        assert (other(IDS) - gemma(model)(IDS).logits).abs().max() > 0.01


# the library beside the definitions, one number after another


def normed(x, weight, epsilon):
    mean_square = sum(float(a) ** 2 for a in x) / len(x)
    return torch.stack([a * w / math.sqrt(mean_square + epsilon) for a, w in zip(x, weight)])


def turned(x, position, base):
    """The complex numbers x_j + i x_(j + d/2), each turned by its angle."""
    d = len(x)
    pairs = [complex(x[j], x[j + d // 2]) * complex(math.cos(a), math.sin(a))
             for j in range(d // 2) for a in [position * base ** (-2 * j / d)]]  # fmt: skip
    return torch.tensor([z.real for z in pairs] + [z.imag for z in pairs], dtype=torch.float64)


def slow(model, ids):
    """Logits (T, V) of one sequence in float64, by the formulas of the papers."""
    c, state = model.config, {name: t.double() for name, t in model.state_dict().items()}
    stream = [state["embed_tokens.weight"][i] * (math.sqrt(c.width) if c.scaled_embedding else 1) for i in ids]
    inner = {
        "silu": lambda a: a / (1 + torch.exp(-a)),
        "gelu_tanh": lambda a: a / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))),
    }
    for n in range(c.layers):
        own = {name.removeprefix(f"layers.{n}."): t for name, t in state.items() if name.startswith(f"layers.{n}.")}
        local = c.window is not None and n not in c.full_layers
        base = c.local_base if local and c.local_base else c.base

        def norm(x, name, own=own):
            return normed(x, own[f"{name}.weight"], c.epsilon)

        def heads(x, which, own=own):
            return (own[f"self_attn.{which}_proj.weight"] @ x).view(-1, c.head_width)

        def placed(x, which, t, base=base, norm=norm):
            rows = [norm(row, f"self_attn.{which}_norm") if c.qk_norm else row for row in x]
            return [turned(row, t, base) for row in rows]

        seen = [norm(x, "input_layernorm") for x in stream]
        q = [placed(heads(x, "q"), "q", t) for t, x in enumerate(seen)]
        k = [placed(heads(x, "k"), "k", t) for t, x in enumerate(seen)]
        v = [heads(x, "v") for x in seen]
        for t in range(len(ids)):
            mixed = []
            for h in range(c.heads):
                g = h // (c.heads // c.kv_heads)
                keys = range(max(0, t - c.window + 1) if local else 0, t + 1)
                weights = [math.exp(float(q[t][h] @ k[s][g]) / math.sqrt(c.head_width)) for s in keys]
                mixed.append(sum(w * v[s][g] for w, s in zip(weights, keys)) / sum(weights))
            out = own["self_attn.o_proj.weight"] @ torch.cat(mixed)
            stream[t] = stream[t] + (norm(out, "post_attention_layernorm") if c.four_norms else out)
            x = norm(stream[t], "pre_feedforward_layernorm" if c.four_norms else "post_attention_layernorm")
            gate, up = own["mlp.gate_proj.weight"] @ x, own["mlp.up_proj.weight"] @ x
            out = own["mlp.down_proj.weight"] @ (inner[c.activation](gate) * up)
            stream[t] = stream[t] + (norm(out, "post_feedforward_layernorm") if c.four_norms else out)
    rows = [state["embed_tokens.weight"] @ normed(x, state["norm.weight"], c.epsilon) for x in stream]
    return torch.stack(rows)


@pytest.mark.parametrize("config, library", [(SMALL, llama), (GEMMA, gemma)], ids=["llama", "gemma3"])
def test_the_library_is_the_formulas(config, library):
    model = shaken(config)
    with torch.no_grad():
        theirs, written = library(model)(IDS[:1]).logits[0], slow(model, IDS[0].tolist())
    torch.testing.assert_close(theirs.double(), written, atol=2e-4, rtol=2e-4)


# seams


class Concatenated:
    """The plainest cache: what came so far, side by side. Beside it an empty slot, to see that nobody looks there."""

    def __init__(self):
        self.held, self.length = {}, 0

    def positions(self, tokens):
        self.length += tokens
        return torch.arange(self.length - tokens, self.length)

    def append(self, layer, k, v, positions):
        old = self.held.get(layer, (k[..., :0, :], v[..., :0, :], positions[:0]))
        k, v, where = torch.cat((old[0], k), 2), torch.cat((old[1], v), 2), torch.cat((old[2], positions))
        self.held[layer] = k, v, where
        return F.pad(k, (0, 0, 0, 1), value=9.0), F.pad(v, (0, 0, 0, 1), value=9.0), F.pad(where, (0, 1), value=-1)


@pytest.mark.parametrize("config", [SMALL, GEMMA], ids=["llama", "gemma3"])
@torch.no_grad()
def test_a_cache_changes_nothing(config):
    model, cache = shaken(config), Concatenated()
    whole = model(IDS)
    pieces = [model(piece, cache) for piece in IDS.split([7, 1, 1, 4, 6], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-4, rtol=1e-4)
    assert sorted(cache.held) == [0, 1, 2] and cache.held[0][0].shape == (3, 2, 19, 8)


@torch.no_grad()
def test_sequences_of_one_batch_may_stand_elsewhere():
    model = shaken(SMALL)
    positions = torch.arange(19) + torch.tensor([[0], [100], [7]])
    torch.testing.assert_close(model(IDS, positions=positions), model(IDS), atol=1e-3, rtol=1e-3)  # distances count
    stretched = model(IDS, positions=positions * torch.tensor([[1], [2], [1]]))
    assert [torch.allclose(a, b, atol=1e-2) for a, b in zip(stretched, model(IDS))] == [True, False, True]


@torch.no_grad()
def test_padding_in_front_is_a_position_of_minus_one():
    model = shaken(GEMMA)
    padded = F.pad(IDS, (4, 0), value=1)
    positions = torch.cat((torch.full((3, 4), -1), torch.arange(19).expand(3, 19)), 1)
    out = model(padded, positions=positions)
    assert out.isfinite().all()
    torch.testing.assert_close(out[:, 4:], model(IDS), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_each_part_is_the_one_that_was_given():
    calls = []

    def attending(q, k, v, mask):
        calls.append(("attend", tuple(q.shape), tuple(k.shape), tuple(mask.shape)))
        scores = q @ k.repeat_interleave(3, 1).mT / 8**0.5
        return scores.masked_fill(~mask, -math.inf).softmax(-1) @ v.repeat_interleave(3, 1)

    def rotating(x, positions, base):
        calls.append(("rotate", x.shape[1], positions.tolist() == list(range(19)), base))
        return gpt.rotate(x, positions, base)

    class Linear(torch.nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.empty(outputs, inputs))

        def forward(self, x):
            calls.append(("linear", *self.weight.shape))
            return x @ self.weight.T

    out = shaken(GEMMA, gpt.Parts(attending, rotating, Linear))(IDS)
    torch.testing.assert_close(out, shaken(GEMMA)(IDS), atol=1e-4, rtol=1e-4)
    q, k, v, o, gate, up, down = (48, 24), (16, 24), (16, 24), (24, 48), (40, 24), (40, 24), (24, 40)
    before = [("linear", *size) for size in (q, k, v)]
    after = [("attend", (3, 6, 19, 8), (3, 2, 19, 8), (19, 19)), *(("linear", *size) for size in (o, gate, up, down))]
    turns = [[("rotate", heads, True, base) for heads in (6, 2)] for base in (70.0, 500.0, 70.0)]
    assert calls == [call for turn in turns for call in before + turn + after]


@torch.no_grad()
def test_logits_come_from_states():
    model = shaken(SMALL)
    states = model.states(IDS)
    assert states.shape == (3, 19, 24)
    torch.testing.assert_close(model.logits(states[:, -1:]), model(IDS)[:, -1:])


def test_a_query_sees_its_window_and_nothing_later():
    assert gpt.visible(torch.tensor([3, 4]), torch.tensor([4, 2, -1, 3, 1]), 3).int().tolist() == [
        [0, 1, 0, 1, 1],
        [1, 1, 0, 1, 0],
    ]
    two = gpt.visible(torch.tensor([[0], [2]]), torch.tensor([0, 1, 2]))
    assert two.int().tolist() == [[[[1, 0, 0]]], [[[1, 1, 1]]]]


@pytest.mark.parametrize(
    "change, words",
    [({"kv_heads": 4}, "multiple of kv"), ({"head_width": 7}, "even"), ({"activation": "relu"}, "silu, gelu_tanh")],
)
def test_sizes_that_do_not_fit_are_a_sentence(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SMALL, **change)


# files


@pytest.mark.parametrize("config", [SMALL, GEMMA], ids=["llama", "gemma3"])
def test_a_saved_model_comes_back(config, tmp_path, monkeypatch):
    model = shaken(config)
    gpt.save(model, tmp_path / "draft.safetensors", torch.float32)
    monkeypatch.setattr(gpt, "WEIGHTS", tmp_path)
    again = gpt.load("draft")
    assert again.config == config and not again.training
    with torch.no_grad():
        assert torch.equal(again(IDS), model(IDS))
    assert all(torch.equal(t, gpt.weights_of("draft")[name]) for name, t in model.state_dict().items())
    gpt.save(model, tmp_path / "draft.safetensors")
    assert gpt.weights_of("draft")["norm.weight"].dtype == torch.float16
    assert {t.dtype for t in gpt.load("draft").state_dict().values()} == {torch.float32}


def test_transformers_reads_the_file(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    model = shaken(SMALL)
    gpt.save(model, tmp_path / "model.safetensors", torch.float32)
    LlamaConfig(**sizes(SMALL)).save_pretrained(tmp_path)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(IDS).logits, model(IDS), atol=2e-4, rtol=2e-4)


def test_weights_that_are_not_there_are_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(gpt, "WEIGHTS", tmp_path)
    for read in (gpt.load, gpt.weights_of):
        with pytest.raises(EnvironmentLacking, match=r"python -m training\.train draft"):
            read("draft")
    with pytest.raises(ValueError, match="no 'big'"):
        gpt.load("big")


def test_safetensors_comes_with_the_weights_and_not_before():
    told = "import sys, course.models, course.gpt; print([m for m in sys.modules if m.startswith('safetensors')])"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True).stdout == "[]\n"


TIMED = """
import sys, time, torch
from pathlib import Path
from course import gpt
before, begun = torch.get_rng_state(), time.process_time()
gpt.open_model(Path(sys.argv[1]))
print(time.process_time() - begun, torch.equal(before, torch.get_rng_state()))
"""


def test_a_model_as_large_as_the_target_loads_in_a_moment_and_draws_no_numbers(tmp_path):
    config = gpt.Config(4096, width=256, layers=6, heads=4, kv_heads=2, head_width=64, hidden=640, context=256)
    gpt.save(gpt.GPT(config), tmp_path / "target.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", TIMED, str(tmp_path / "target.safetensors")], capture_output=True, text=True
    )
    seconds, untouched = done.stdout.split()
    assert float(seconds) < 0.3 and untouched == "True"  # processor time behind `import torch`; here 0.06 s
