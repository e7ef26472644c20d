"""Unit 05, part A beside transformers 4.57.1: parameters counted by its classes on the meta device, BertModel's states
and weights through the notebook's own table of names, its heads' losses, its collator's shares.

The oracles of the unit's checks (course/units/05_model_families/checks.py) are compared with the library here, too.
"""

import re
from functools import cache

import pytest
import torch
import transformers

from autograder.authoring import checks
from autograder.authoring.unit import Unit, find_unit

WRITTEN = (
    "count_parameters", "mlm_corrupt", "corruption_shares", "BertEncoder", "masked_mean_pool", "ClassificationHead",
    "tagging_loss", "span_loss", "best_span",
)  # fmt: skip
GIVEN = ("BERT_BASE = {", "BERT_NAMES = {")  # how the code cells begin whose definitions are needed here


@cache
def solved():
    """The solved exercises' names, and what the notebook's given cells define before they print."""
    unit = Unit.load(find_unit("model_families"))
    namespace = {"__name__": "solved"}
    exec("import math, torch\nfrom torch import Tensor, nn\nfrom course.models import MultiHeadAttention", namespace)
    for cell in unit.cells:
        if cell.kind == "exercise" and cell.name in WRITTEN:
            exec(compile(cell.source, cell.name, "exec"), namespace)
        elif cell.source.startswith(GIVEN):
            exec(cell.source.split("\nif ready(")[0], namespace)
    return namespace


@cache
def oracles():
    """checks.py as a module's names."""
    file = find_unit("model_families") / "checks.py"
    found = checks.load(file)
    return found["BertEncoder"].specs[0].function.__globals__


def on_meta(kind, config):
    with torch.device("meta"):
        model = kind(config)
    return sum(parameter.numel() for parameter in model.parameters())  # a tied parameter comes once


GPT_3 = {"n_embd": 12288, "n_layer": 96, "n_head": 96, "n_positions": 2048}
CLASSES = {
    "BERT-base": (109_482_240, lambda: on_meta(transformers.BertModel, transformers.BertConfig())),
    "GPT-2": (124_439_808, lambda: on_meta(transformers.GPT2LMHeadModel, transformers.GPT2Config())),
    "ViT-base": (
        85_798_656,
        lambda: on_meta(lambda c: transformers.ViTModel(c, add_pooling_layer=False), transformers.ViTConfig()),
    ),
    "LLaMA-7B": (6_738_415_616, lambda: on_meta(transformers.LlamaForCausalLM, transformers.LlamaConfig())),
    "GPT-3": (174_604_259_328, lambda: on_meta(transformers.GPT2LMHeadModel, transformers.GPT2Config(**GPT_3))),
}


@pytest.mark.parametrize("name", CLASSES)
def test_the_librarys_class_has_as_many_parameters(name):
    expected, of_the_class = CLASSES[name]
    settings = solved()["PUBLISHED"][name]
    assert of_the_class() == expected
    assert solved()["count_parameters"](settings) == expected
    assert oracles()["encoder_sizes"](settings) == expected


def test_grouped_keys_are_counted_as_mistral_has_them():
    config = transformers.MistralConfig()  # 32 query heads, 8 of keys
    narrow = config.num_key_value_heads * config.hidden_size // config.num_attention_heads
    settings = solved()["LLAMA_7B"] | {"hidden": config.intermediate_size, "kv_width": narrow}
    expected = on_meta(transformers.MistralForCausalLM, config)
    assert solved()["count_parameters"](settings) == expected == 7_241_732_096
    assert oracles()["encoder_sizes"](settings) == expected


SIZES = {"vocab_size": 40, "width": 24, "heads": 3, "layers": 3, "hidden": 50}


@cache
def berts(dtype=torch.float32, spread=1.0):
    """(ours, theirs): the same random weights, far from initial ones; theirs from the library's config."""
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=24, num_attention_heads=3, num_hidden_layers=3, intermediate_size=50,
        max_position_embeddings=20, attn_implementation="eager",
    )  # fmt: skip
    theirs = transformers.BertModel(config).to(dtype).eval()
    gen = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.dim() == 2 else 0.4
            scale = spread if "embeddings.weight" in name else scale
            drawn = torch.randn(parameter.shape, generator=gen, dtype=torch.float64) * scale
            parameter.copy_(drawn + ("LayerNorm.weight" in name))
    ours = solved()["BertEncoder"](**SIZES, max_length=20).to(dtype)
    ours.load_state_dict(solved()["from_bert"](theirs.state_dict()))
    return ours, theirs


def batch():
    gen = torch.Generator().manual_seed(3)
    ids, segments = torch.randint(0, 40, (4, 9), generator=gen), torch.randint(0, 2, (4, 9), generator=gen)
    return ids, torch.arange(9) < torch.tensor([9, 6, 2, 1])[:, None], segments


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 3e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("spread", [1.0, 1e-3])  # small embeddings show eps
def test_all_states_and_weights_are_berts(dtype, tolerance, spread):
    ours, theirs = berts(dtype, spread)
    ids, keep, segments = batch()
    with torch.no_grad():
        expected = theirs(
            ids, attention_mask=keep.long(), token_type_ids=segments, output_hidden_states=True, output_attentions=True
        )
        states, weights = ours.inspect(ids, keep, segments)
    assert len(states) == len(expected.hidden_states) == 4
    for mine, his in zip(states, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine[keep], his[keep], atol=tolerance, rtol=tolerance)
    for mine, his in zip(weights, expected.attentions, strict=True):
        torch.testing.assert_close(mine.transpose(1, 2)[keep], his.transpose(1, 2)[keep], atol=tolerance, rtol=0)
    last = ours(ids, keep, segments)[keep]
    torch.testing.assert_close(last, expected.last_hidden_state[keep], atol=tolerance, rtol=0)


def test_without_masks_and_segments_too():
    ours, theirs = berts()
    ids, _, _ = batch()
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).last_hidden_state, atol=3e-5, rtol=0)


def test_the_checks_oracle_is_bert():
    ours, theirs = berts(torch.float64, 1e-3)
    ids, keep, segments = batch()
    states, weights = oracles()["bert_inside"](ids, ours.state_dict(), 3, keep, segments)
    with torch.no_grad():
        expected = theirs(
            ids, attention_mask=keep.long(), token_type_ids=segments, output_hidden_states=True, output_attentions=True
        )
    for mine, his in zip(states, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine[keep], his[keep], atol=1e-11, rtol=0)
    for mine, his in zip(weights, expected.attentions, strict=True):
        torch.testing.assert_close(mine.transpose(1, 2)[keep], his.transpose(1, 2)[keep], atol=1e-11, rtol=0)


def test_the_table_takes_every_tensor_of_the_checkpoint_but_the_pooler():
    _, theirs = berts()
    state = theirs.state_dict()
    made = solved()["from_bert"](state)
    assert len(made) == len(solved()["BertEncoder"](**SIZES).state_dict())
    left = {name for name in state if not any(state[name] is tensor for tensor in made.values())}
    assert {re.sub(r"\..*", "", name) for name in left} == {"pooler"}
    headed = transformers.BertForSequenceClassification(theirs.config).state_dict()
    assert solved()["from_bert"](headed).keys() == made.keys()


def test_shares_of_the_librarys_own_collator():
    """The counting function says 80 / 10 / 10 of what transformers 4.57.1 makes."""

    class Tokenizer:
        mask_token, mask_token_id, pad_token, pad_token_id, padding_side = "[MASK]", 3, "[PAD]", 0, "right"

        def __len__(self):
            return 30_000

        def get_special_tokens_mask(self, row, already_has_special_tokens):
            return [int(token < 4) for token in row]

        def convert_tokens_to_ids(self, token):
            return 3

        def __getattr__(self, name):
            raise AttributeError(name)

    collator = transformers.DataCollatorForLanguageModeling(Tokenizer(), mlm_probability=0.15)
    torch.manual_seed(5)
    ids = torch.randint(0, 30_000, (200, 5_000))
    special = ids < 400  # a share that shows
    corrupted, labels = collator.torch_mask_tokens(ids.clone(), special_tokens_mask=special.long())
    shares = solved()["corruption_shares"](corrupted, labels, 3)
    assert shares == pytest.approx((0.8, 0.1, 0.1), abs=0.004)
    draws = torch.rand(3, *ids.shape, dtype=torch.float64)
    ours = solved()["mlm_corrupt"](ids, special, *draws, 3, 30_000)
    assert solved()["corruption_shares"](*ours, 3) == pytest.approx((0.8, 0.1, 0.1), abs=0.004)
    for found in (labels, ours[1]):
        assert (found != -100).double()[~special].mean().item() == pytest.approx(0.15, abs=0.002)
        assert not (found != -100)[special].any()


def headed(kind, **options):
    """(ours, theirs): BertForX with random weights in evaluation, and our encoder with the same."""
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=50,
        max_position_embeddings=20, **options,
    )  # fmt: skip
    torch.manual_seed(4)
    theirs = kind(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    ours = solved()["BertEncoder"](**SIZES | {"layers": 2}, max_length=20)
    ours.load_state_dict(solved()["from_bert"](theirs.state_dict()))
    return ours, theirs


def test_the_classification_head_is_berts():
    ours, theirs = headed(transformers.BertForSequenceClassification, num_labels=5)
    head = solved()["ClassificationHead"](24, 5).eval()
    state = theirs.state_dict()
    names = {"pooler": "bert.pooler.dense", "classifier": "classifier"}
    given = {f"{name}.{part}": state[f"{names[name]}.{part}"] for name in names for part in ("weight", "bias")}
    head.load_state_dict(given)
    ids, keep, segments = batch()
    with torch.no_grad():
        expected = theirs(ids, attention_mask=keep.long(), token_type_ids=segments).logits
        states = ours(ids, keep, segments)
        torch.testing.assert_close(head(states), expected, atol=3e-5, rtol=0)
        torch.testing.assert_close(oracles()["head_logits"](states, given), expected, atol=3e-5, rtol=0)


def test_the_tagging_loss_is_the_librarys_where_first_pieces_have_labels():
    _, theirs = headed(transformers.BertForTokenClassification, num_labels=6)
    ids, keep, segments = batch()
    word_of = torch.full((4, 9), -1)
    word_of[0, 1:8], word_of[1, 1:5], word_of[2, 1] = torch.tensor([0, 0, 1, 2, 2, 2, 3]), torch.tensor([0, 1, 1, 2]), 0
    tags = torch.tensor([[3, 0, 5, 1], [2, 2, 4, -100], [1, -100, 0, 0], [0, 0, 0, 0]])
    labels = torch.full((4, 9), -100)
    for row, place, word in ((0, 1, 0), (0, 3, 1), (0, 4, 2), (0, 7, 3), (1, 1, 0), (1, 2, 1), (1, 4, 2), (2, 1, 0)):
        labels[row, place] = tags[row, word]
    with torch.no_grad():
        expected = theirs(ids, attention_mask=keep.long(), token_type_ids=segments, labels=labels)
    for function in (solved()["tagging_loss"], oracles()["tagging_by_hand"]):
        torch.testing.assert_close(function(expected.logits, tags, word_of), expected.loss, atol=1e-6, rtol=1e-6)


def test_the_span_loss_is_the_librarys_where_all_tokens_are_allowed():
    _, theirs = headed(transformers.BertForQuestionAnswering)
    ids, keep, segments = batch()
    start, end = torch.tensor([2, 0, 1, 8]), torch.tensor([5, 0, 7, 8])
    with torch.no_grad():
        expected = theirs(
            ids, attention_mask=keep.long(), token_type_ids=segments, start_positions=start, end_positions=end
        )
    logits = torch.stack([expected.start_logits, expected.end_logits], dim=-1)
    allowed = torch.ones(4, 9, dtype=torch.bool)
    for function in (solved()["span_loss"], oracles()["span_loss_by_hand"]):
        torch.testing.assert_close(function(logits, allowed, start, end), expected.loss, atol=1e-6, rtol=1e-6)


def test_spans_and_means_of_the_oracles_beside_torch():
    gen = torch.Generator().manual_seed(8)
    logits, keep = torch.randn(5, 12, 2, generator=gen), torch.rand(5, 12, generator=gen) < 0.6
    keep[:, 3] = True
    states = torch.randn(5, 12, 7, generator=gen)
    nested = torch.stack([torch.masked_select(row, may[:, None]).view(-1, 7).mean(0) for row, may in zip(states, keep)])
    for function in (solved()["masked_mean_pool"], oracles()["pooled_by_hand"]):
        torch.testing.assert_close(function(states, keep), nested, atol=1e-6, rtol=1e-6)
    for limit in (1, 4, 12):
        spans = solved()["best_span"](logits, keep, limit)
        assert torch.equal(spans, oracles()["best_by_hand"](logits, keep, limit))
        start, end = spans.T
        assert (start <= end).all() and (end - start < limit).all()
        assert keep.gather(1, spans).all()
