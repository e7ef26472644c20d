"""Unit 05, part C, beside transformers: T5, ViT, CLIP's loss and Whisper's front end, with equal random weights.

The learner's classes are the notebook's solutions; the way from transformers' names to ours is a table of the notebook.
Oracles of the checks that are a definition written out are compared here with the library once more.
"""

import ast
import runpy
from functools import cache

import pytest
import torch

from autograder.authoring.unit import Unit, find_unit

transformers = pytest.importorskip("transformers")


@cache
def unit():
    return Unit.load(find_unit("model_families"))


@cache
def solved(*names):
    """These exercises, solved, and given definitions, in the notebook's order."""
    namespace = {"__name__": "solved", "Mask": torch.Tensor | None, "transformers": transformers}
    exec("import math, torch\nfrom typing import NamedTuple\nfrom torch import Tensor, nn", namespace)
    exec("from course.models import MultiHeadAttention", namespace)
    for cell in unit().cells:
        if cell.kind == "exercise" and cell.name in names:
            exec(compile(cell.source, cell.name, "exec"), namespace)
        elif cell.kind == "code" and set(names) & set(bound(cell.source)):
            only = [s for s in ast.parse(cell.source).body if set(names) & set(bound(ast.unparse(s)))]
            exec(compile(ast.Module(only, []), "given", "exec"), namespace)
    assert set(names) <= set(namespace)
    return namespace


def bound(source):
    """The names that the statements of a cell define."""
    for statement in ast.parse(source).body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))


@cache
def oracles():
    return runpy.run_path(str(find_unit("model_families") / "checks.py"))


# T5


@pytest.mark.parametrize("bidirectional", (True, False))
def test_rows_are_those_of_transformers(bidirectional):
    """Ours, the slow definition of the checks, and the library's float32, wherever float32 can't decide."""
    from transformers.models.t5.modeling_t5 import T5Attention

    ours, rows = solved("t5_relative_bucket")["t5_relative_bucket"], oracles()["t5_rows"]
    for buckets, most in ((32, 128), (64, 300), (12, 40)):
        settings = bidirectional, buckets, most
        relative = torch.tensor([n for n in range(-600, 601) if oracles()["t5_settled"](n, *settings)])
        assert len(relative) > 1150
        theirs = T5Attention._relative_position_bucket(relative, *settings)
        assert torch.equal(ours(relative, *settings), theirs)
        assert torch.equal(rows(relative, *settings), theirs)


def test_the_table_of_the_published_thread():
    places = torch.arange(10)
    table = solved("t5_relative_bucket")["t5_relative_bucket"](places - places[:, None])
    assert table[0].tolist() == [0, *range(17, 25), 24] and table[:, 0].tolist() == [*range(9), 8]


def t5_pair(seed=1):
    made = solved("t5_relative_bucket", "T5Attention", "T5Layer", "T5", "T5_NAMES", "renamed", "shaken")
    config = transformers.T5Config(vocab_size=50, d_model=24, d_kv=7, d_ff=40, num_layers=3, num_heads=4)
    theirs = made["shaken"](transformers.T5ForConditionalGeneration(config), seed)
    ours = made["T5"](50, 24, 4, 7, 40, 3)
    left_out = ("encoder.embed", "decoder.embed", "lm_head")
    ours.load_state_dict(made["renamed"](theirs.state_dict(), made["T5_NAMES"], left_out))
    return ours.double(), theirs.double()


@torch.no_grad()
def t5_logits(ours, theirs, T=40):
    gen = torch.Generator().manual_seed(3)
    source, target = (torch.randint(1, 50, (2, n), generator=gen) for n in (35, T))
    keep = torch.arange(35) < torch.tensor([[35], [21]])
    return ours(source, target, keep), theirs(
        input_ids=source, attention_mask=keep.long(), decoder_input_ids=target
    ).logits


def test_a_t5_around_the_attention_gives_transformers_logits():
    got, want = t5_logits(*t5_pair())
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)  # its norms work in float32
    assert want.std() > 0.1


@pytest.mark.parametrize("weight", ("encoder.layers.0.self_attention.relative_bias.weight",
                                    "decoder.layers.0.self_attention.relative_bias.weight"))  # fmt: skip
def test_every_row_of_both_tables_counts(weight):
    """The comparison is no comparison of models without positions: a table that is 0 gives other logits."""
    ours, theirs = t5_pair()
    with torch.no_grad():
        ours.get_parameter(weight).zero_()
    got, want = t5_logits(ours, theirs)
    assert (got - want).abs().max() > 0.05


def test_the_slow_attention_of_the_checks_is_transformers():
    from transformers.models.t5.modeling_t5 import T5Attention

    config = transformers.T5Config(d_model=10, d_kv=4, num_heads=3, relative_attention_num_buckets=8,
                                   relative_attention_max_distance=20)  # fmt: skip
    theirs = solved("shaken")["shaken"](T5Attention(config, has_relative_attention_bias=True, layer_idx=0)).double()
    state = {name.replace("relative_attention_bias", "relative_bias"): w for name, w in theirs.state_dict().items()}
    x = torch.randn(2, 11, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    bias = oracles()["t5_bias"](state, 11, (True, 8, 20))
    with torch.no_grad():
        want = theirs(x, cache_position=torch.arange(11), output_attentions=True)
    torch.testing.assert_close(oracles()["t5_by_head"](x, state, 3, bias=bias)[0], want[0], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(bias, want[1])


# ViT


def test_patches_are_those_of_a_convolution_and_of_unfold():
    images = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(2))
    ours = solved("patchify")["patchify"](images, 4)
    kernel = torch.randn(7, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    convolved = torch.nn.functional.conv2d(images, kernel, stride=4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours @ kernel.flatten(1).T, convolved, rtol=1e-5, atol=1e-5)
    assert torch.equal(ours, torch.nn.functional.unfold(images, 4, stride=4).transpose(1, 2))
    assert torch.equal(ours, oracles()["cut"](images, 4))


@torch.no_grad()
def test_a_vit_is_transformers():
    """Ours and the slow one of the checks, both with the weights of a ViTModel."""
    made = solved("patchify", "PreNormLayer", "ViT", "VIT_NAMES", "renamed", "vit_weights", "shaken")
    config = transformers.ViTConfig(hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
                                    image_size=(12, 20), patch_size=4, layer_norm_eps=1e-6)  # fmt: skip
    theirs = made["shaken"](transformers.ViTModel(config, add_pooling_layer=False), 5)
    ours = made["ViT"]((12, 20), 4, 3, 24, 4, 3, 40, 10)
    ours.load_state_dict(made["vit_weights"](theirs, ours))
    images = torch.randn(2, 3, 12, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    want = theirs.double()(images).last_hidden_state
    torch.testing.assert_close(ours.double().tokens(images), want, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(oracles()["vit_tokens"](images, ours.state_dict(), 4, 4, 3), want)
    assert want.std(1).mean() > 0.3  # the tokens differ


# CLIP


def test_the_loss_is_clips():
    """Of a CLIPModel with random weights; ours, the slow one of the checks, and the mean of two devices."""
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
    config = transformers.CLIPConfig(
        text_config=small | {"vocab_size": 40, "max_position_embeddings": 9, "eos_token_id": 39},
        vision_config=small | {"image_size": 8, "patch_size": 4},
        projection_dim=12,
    )
    theirs = solved("shaken")["shaken"](transformers.CLIPModel(config), 4)
    gen = torch.Generator().manual_seed(0)
    ids, pixels = torch.randint(1, 39, (6, 9), generator=gen), torch.randn(6, 3, 8, 8, generator=gen)
    ids[:, -1] = 39
    with torch.no_grad():
        theirs.logit_scale.fill_(4.0)
        want = theirs(input_ids=ids, pixel_values=pixels, return_loss=True).loss
        vectors = theirs.get_image_features(pixel_values=pixels), theirs.get_text_features(input_ids=ids)
        given = *vectors, theirs.logit_scale
        loss = solved("clip_contrastive_loss")["clip_contrastive_loss"]
        torch.testing.assert_close(loss(*given), want, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(oracles()["clip_row_by_row"](*given), want, rtol=1e-4, atol=1e-4)
        halves = torch.stack([loss(*given, rank, 2) for rank in (0, 1)])
        torch.testing.assert_close(halves.mean(), want, rtol=1e-4, atol=1e-4)
        assert abs(halves[0] - halves[1]) > 0.01 and abs(want - torch.log(torch.tensor(6.0))) > 0.05


def test_the_gradient_of_all_devices_is_that_of_one():
    loss = solved("clip_contrastive_loss")["clip_contrastive_loss"]
    gen = torch.Generator().manual_seed(0)
    given = [torch.randn(8, 5, generator=gen, dtype=torch.float64).requires_grad_() for _ in range(2)]
    given.append(torch.tensor(1.7, dtype=torch.float64, requires_grad=True))
    whole = torch.autograd.grad(loss(*given), given)
    parts = torch.autograd.grad(sum(loss(*given, rank, 4) for rank in range(4)) / 4, given)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)


# Whisper


def voice(n=24_000):
    seconds = torch.arange(n, dtype=torch.float64) / 16_000
    made = (2 * torch.pi * 300 * seconds).sin() + 0.3 * (2 * torch.pi * 2500 * seconds).sin()
    made += 0.05 * torch.randn(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (made * ((seconds % 0.5) < 0.35)).float()


def test_filters_are_whispers():
    theirs = torch.tensor(transformers.WhisperFeatureExtractor().mel_filters.T, dtype=torch.float32)
    torch.testing.assert_close(solved("mel_filters")["mel_filters"](), theirs, rtol=1e-6, atol=1e-8)


def test_the_front_end_is_whispers():
    made = solved("mel_filters", "log_mel")
    extractor = transformers.WhisperFeatureExtractor(chunk_length=2)
    padded = torch.nn.functional.pad(voice(), (0, 8000))
    theirs = extractor(voice().numpy(), sampling_rate=16_000, return_tensors="pt").input_features[0]
    ours = made["log_mel"](padded, made["mel_filters"]())
    slow = oracles()["whisper_steps"](padded, made["mel_filters"]())
    assert theirs.shape == ours.shape == (80, 200)
    torch.testing.assert_close(slow, theirs, rtol=0, atol=1e-4)  # theirs works in float32
    torch.testing.assert_close(ours, slow, rtol=0, atol=1e-4)
    assert theirs.max() - theirs.min() > 1.9  # the floor is reached
