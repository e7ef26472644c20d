"""What a right answer is, for every exercise of unit 03.

Tokenizers are compared with slow references that count every pair of every piece again, one piece after another;
positions with float64 formulas, one pair of coordinates after another. `condition` is the largest position where an
angle is involved: a float32 angle t * theta is wrong by about t roundings.
"""

import itertools
import math
import re

import torch

from autograder.authoring import oracle
from autograder.authoring.checks import Check, Kernel
from course import data

INF = math.inf
F64 = torch.float64
IN_FLOAT32 = 2.0**29  # the condition of a float64 result that may be computed in float32: that rounds so much coarser

# the slow tokenizer ---------------------------------------------------------------------------------------------------

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+(?!\S)|\s+"


def slow_merge(symbols, pair, merged):
    result = []
    i = 0
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] == pair[0] and symbols[i + 1] == pair[1]:
            result.append(merged)
            i += 2
        else:
            result.append(symbols[i])
            i += 1
    return result


def cut(text):
    """Every piece as a list of single bytes."""
    return [[part.encode()[i : i + 1] for i in range(len(part.encode()))] for part in re.findall(PATTERN, text)]


def slow_train(text, num_merges, order=None):
    """All pairs of all pieces counted again at each step. order: what decides between pairs of equal count."""
    everything, learned = cut(text), []
    for _ in range(num_merges):
        seen = {}
        for symbols in everything:
            for i in range(len(symbols) - 1):
                key = symbols[i], symbols[i + 1]
                seen[key] = seen.get(key, 0) + 1
        if not seen:
            return learned
        most = max(seen.values())
        winner = max((key for key in seen if seen[key] == most), key=order or (lambda key: key))
        learned.append(winner)
        everything = [slow_merge(symbols, winner, winner[0] + winner[1]) for symbols in everything]
    return learned


def slow_vocabulary(learned, specials=()):
    known = [bytes([i]) for i in range(256)]
    for left, right in learned:
        if left + right not in known:
            known.append(left + right)
    return known + [special.encode() for special in specials]


def slow_encode(text, learned, specials=(), merging=None):
    """Rule after rule, in the order learned, over the whole piece; special tokens found character by character."""
    known = slow_vocabulary(learned)
    result, plain, at = [], "", 0
    while at <= len(text):
        here = [s for s in specials if text.startswith(s, at)]
        if at == len(text) or here:
            for symbols in cut(plain):
                result += [known.index(symbol) for symbol in (merging or merged_by_rank)(symbols, learned)]
            plain = ""
        if at == len(text):
            break
        if here:
            longest = max(here, key=len)
            result.append(len(known) + specials.index(longest))
            at += len(longest)
        else:
            plain += text[at]
            at += 1
    return result


def merged_by_rank(symbols, learned):
    changed = True
    while changed:
        changed = False
        for left, right in learned:
            if any(symbols[i] == left and symbols[i + 1] == right for i in range(len(symbols) - 1)):
                symbols, changed = slow_merge(symbols, (left, right), left + right), True
                break
    return symbols


def merged_as_found(symbols, learned):
    """Wrong: the first known pair from the left, whenever it was learned."""
    while pair := next((pair for pair in zip(symbols, symbols[1:]) if pair in learned), None):
        symbols = slow_merge(symbols, pair, pair[0] + pair[1])
    return symbols


def longest_first(symbols, learned):
    """Wrong: the longest known token from the left."""
    known, rest, result = slow_vocabulary(learned), b"".join(symbols), []
    while rest:
        result.append(next(rest[:n] for n in range(len(rest), 0, -1) if rest[:n] in known))
        rest = rest[len(result[-1]) :]
    return result


def telling(draw):
    """(text, merges) of `draw` on which the order of the merges shows, whatever the seed."""
    while True:
        text, learned = draw()
        wrong = (slow_encode(text, learned, merging=merging) for merging in (merged_as_found, longest_first))
        if slow_encode(text, learned) not in wrong:
            return text, learned


def excerpt(trial, size=700):
    """Some prose from a random place."""
    text = data.split_prose()[0]
    start = trial.integers(0, len(text) - size)
    return text[start : start + size]


def letters(trial, count):
    """So many different letters, as bytes."""
    return [bytes([97 + i]) for i in trial.permutation(26)[:count].tolist()]


def babble(trial, letters, words):
    """Random words over a few letters: pairs of equal count are everywhere."""
    made = []
    for _ in range(words):
        made.append("".join(letters[trial.integers(0, len(letters))] for _ in range(trial.integers(1, 6))))
    return " ".join(made)


merge = Check(
    "bpe_merge",
    new=True,
    hints=(
        "Walk with an index. When the token here and the next one are the pair, append the merged token and step over "
        "both.",
        "The last token has no neighbour: compare slices, tokens[i:i+2], or stop one short and append what is left.",
    ),
)


@merge.case("every occurrence is replaced, the rest stays")
def _(subject, trial):
    trial.equal(subject([5, 1, 2, 7, 1, 2], (1, 2), 9), [5, 9, 7, 9], "[5, 1, 2, 7, 1, 2], where (1, 2) becomes 9")


@merge.case("overlapping occurrences: each token is used once, from the left")
def _(subject, trial):
    trial.equal(subject([1, 1, 1], (1, 1), 9), [9, 1], "[1, 1, 1], where (1, 1) becomes 9")
    trial.equal(subject([2, 1, 1, 1, 1, 1], (1, 1), 9), [2, 9, 9, 1], "[2, 1, 1, 1, 1, 1], where (1, 1) becomes 9")


@merge.case("what was merged is not merged again")
def _(subject, trial):
    trial.equal(subject([1, 2, 2, 3], (1, 2), 1), [1, 2, 3], "[1, 2, 2, 3], where (1, 2) becomes 1")


@merge.case("the order of the pair matters, and the last token may stand alone")
def _(subject, trial):
    trial.equal(subject([2, 1, 3, 1], (1, 2), 9), [2, 1, 3, 1], "[2, 1, 3, 1] does not hold the pair (1, 2)")
    trial.equal(subject([1], (1, 1), 9), [1], "[1] holds no pair at all")
    trial.equal(subject([], (1, 1), 9), [], "the empty list")


@merge.case("works on bytes as well as on ids")
def _(subject, trial):
    trial.equal(subject([b"t", b"h", b"e", b"t", b"h"], (b"t", b"h"), b"th"), [b"th", b"e", b"th"])
    trial.equal(subject([b"th", b"e", b"th", b"en"], (b"th", b"en"), b"then"), [b"th", b"e", b"then"])
    trial.equal(subject([400, 1000, 7, 400], (400, 1000), 70000), [70000, 7, 400])
    trial.equal(subject([400, 7], (400, 1000), 70000), [400, 7], "[400, 7] does not hold the pair (400, 1000)")


@merge.case("right for random lists of few symbols", weight=5)
def _(subject, trial):
    for same in (True, False, True, False):
        tokens, left = trial.integers(0, 3, (17,)).tolist(), trial.integers(0, 3)
        other = (left + 1) % 3
        tokens += [other] + [left] * (3 + 2 * trial.integers(0, 2)) + [other, other]  # a run of odd length
        pair = (left, left if same else other)
        for merged in (9, left):
            trial.equal(subject(tokens, pair, merged), slow_merge(tokens, pair, merged))


train = Check(
    "bpe_train",
    hints=(
        "Three loops: over merges, over distinct pieces, over neighbours in a piece. What do you keep between merges?",
        "Keep each piece as a list of bytes objects. Counter over zip(tokens, tokens[1:]) counts its pairs; multiply "
        "by how often the piece occurs.",
        "max(counts, key=lambda pair: (counts[pair], pair)) takes the most frequent pair and, on a tie, the greater "
        "one. Then bpe_merge every piece.",
    ),
)


@train.case("the most frequent pair comes first")
def _(subject, trial):
    text = "low low low lower lower newest newest newest newest"
    trial.equal(subject(text, 6), slow_train(text, 6), f"six merges of '{text}'")


@train.case("a tie goes to the greater pair of byte strings", weight=2)
def _(subject, trial):
    text = "ab\ncd\nzb"
    trial.equal(subject(text, 4), slow_train(text, 4), r"four merges of 'ab\ncd\nzb', every pair once")
    text = "BA BA AB AB AA AA"  # pairs that begin with a space are the smallest
    trial.equal(subject(text, 5), slow_train(text, 5), "five merges of 'BA BA AB AB AA AA'")


@train.case("a run of one letter counts every neighbourhood, and is merged without overlap")
def _(subject, trial):
    text = "aaaaa aaa bc bc bc bc"
    trial.equal(subject(text, 5), slow_train(text, 5), "five merges of 'aaaaa aaa bc bc bc bc'")


@train.case("no token crosses a piece: letters, space, letters stay apart")
def _(subject, trial):
    text = "to be to be to be to be"
    trial.equal(subject(text, 9), slow_train(text, 9), "nine merges asked of 'to be to be to be to be'")


@train.case("characters of several bytes are merged like everything else")
def _(subject, trial):
    text = "naïve naïve 5 € 6 € 7 €"
    trial.equal(subject(text, 7), slow_train(text, 7), "seven merges of 'naïve naïve 5 € 6 € 7 €'")


@train.case("stops when no pair is left, and learns nothing from nothing")
def _(subject, trial):
    trial.equal(subject("ab", 5), [(b"a", b"b")], "five merges asked of 'ab', which has one pair")
    trial.equal(subject("", 3), [], "three merges asked of the empty string")
    trial.equal(subject("low low", 0), [], "no merges asked of 'low low'")


@train.case("random words over three letters: full of ties", weight=6)
def _(subject, trial):
    text = babble(trial, "abc", 40)
    trial.equal(subject(text, 80), slow_train(text, 80))  # until no pair is left


@train.trial("real prose", weight=4)
def _(subject, trial):
    text = excerpt(trial, 3000)
    trial.equal(subject(text, 90), slow_train(text, 90))


@train.trial("random words with accents and digits", weight=4)
def _(subject, trial):
    text = babble(trial, "éß7a€", 60)
    trial.equal(subject(text, 60), slow_train(text, 60))


encode = Check(
    "bpe_encode",
    hints=(
        "Give each merge its rank, its place in the list. In a piece look at all pairs of neighbours, take the one "
        "with the smallest rank, merge it, look again.",
        "re.split with the special tokens in one group keeps them: sort them by length, longest first, and re.escape "
        "them. What lies between is ordinary text.",
    ),
    legal=lambda text, merges, specials=(): len(set(merges)) == len(merges),  # each is learned once
)
ABC = [(b"b", b"c"), (b"a", b"b"), (b"a", b"bc")]


@encode.case("no merges: one id for each byte")
def _(subject, trial):
    trial.equal(subject("hi €", []), list("hi €".encode()))


@encode.case("merges apply in the order learned, not in the order of the text", weight=2)
def _(subject, trial):
    trial.equal(subject("abc", ABC[:2]), [97, 256], "'abc' with the merges bc (token 256), then ab (257)")
    trial.equal(subject("abcabab", ABC), slow_encode("abcabab", ABC), "'abcabab' with bc, then ab, then a + bc")


@encode.case("a pair is merged wherever it stands, overlaps from the left")
def _(subject, trial):
    learned = [(b"a", b"a"), (b"aa", b"aa")]
    trial.equal(subject("aaaaa aaa", learned), slow_encode("aaaaa aaa", learned), "'aaaaa aaa', a + a, then aa + aa")


@encode.case("a merge may make a pair that was learned before it", weight=5)
def _(subject, trial):
    a, b, c, d = letters(trial, 4)
    learned, text = [(a + b, c), (a, b)], b" ".join([a + b + c, d + a + b, b + c]).decode()
    says = f"{text!r} with the merges {(a + b).decode()} + {c.decode()}, then {a.decode()} + {b.decode()}"
    trial.equal(subject(text, learned), slow_encode(text, learned), says)


@encode.case("all places of a pair are merged before the next pair is looked for", weight=3)
def _(subject, trial):
    a, b, c, d = letters(trial, 4)
    learned, text = [(a + b, a), (a, b)], b" ".join([a + b + a + b, c + a + b, b + a + b + a, d]).decode()
    says = f"{text!r} with the merges {(a + b).decode()} + {a.decode()}, then {a.decode()} + {b.decode()}"
    trial.equal(subject(text, learned), slow_encode(text, learned), says)


@encode.case("two merges with the same result share one id", weight=3)
def _(subject, trial):
    a, b, c, x = letters(trial, 4)
    learned = [(a, b), (a + b, c), (b, c), (a, b + c), (x, x)]
    text = b" ".join([a + b + c, x + x, b + c, x + x + x]).decode()
    trial.equal(subject(text, learned), slow_encode(text, learned), "a + b, ab + c, b + c, a + bc: abc comes twice")
    text, says = text + "<e>", "abc comes twice among the merges, and <e> is a special token"
    trial.equal(subject(text, learned, ("<e>",)), slow_encode(text, learned, ("<e>",)), says)


@encode.case("a special token is one id, never cut")
def _(subject, trial):
    learned = [(b"e", b"n"), (b"<", b"|")]
    trial.equal(subject("then<|end|>the", learned, ("<|end|>",)), slow_encode("then<|end|>the", learned, ("<|end|>",)))


@encode.case("a special token spelled like an ordinary token has an id of its own")
def _(subject, trial):
    a, b, c = letters(trial, 3)
    learned, special = [(a, b)], (a + b).decode()
    text = (c + b"%" + c + b"%" + a).decode().replace("%", special)
    says = f"{text!r} with the merge {a.decode()} + {b.decode()} and the special token {special}"
    trial.equal(subject(text, learned, (special,)), slow_encode(text, learned, (special,)), says)


@encode.case("of two special tokens at one place the longer one wins", weight=3)
def _(subject, trial):
    specials, says = ("<e>", "<e><e>"), "'a<e><e>b<e>' with the special tokens <e> (256) and <e><e> (257)"
    trial.equal(subject("a<e><e>b<e>", [], specials), slow_encode("a<e><e>b<e>", [], specials), says)


@encode.case("the empty string has no tokens, and special text without a registration is ordinary text")
def _(subject, trial):
    trial.equal(subject("", ABC), [])
    trial.equal(subject("<e>", ABC), list(b"<e>"))


@encode.case("merges never cross pieces", weight=3)
def _(subject, trial):
    a, b, c, d = letters(trial, 4)
    learned = [(a, b" "), (b" ", b), (a, b" " + b)]
    text = (a + b" " + b + b" " + c + a + b" " + b + d).decode()
    trial.equal(subject(text, learned), slow_encode(text, learned), f"{text!r}, and merges that would join words")


@encode.case("random words, with merges learned from other random words", weight=8)
def _(subject, trial):
    def draw():
        learned = slow_train(babble(trial, "abc", 60), 24)
        return babble(trial, "abcé", 20) + " " + babble(trial, "abc", 80), learned

    text, learned = telling(draw)
    trial.equal(subject(text, learned), slow_encode(text, learned))


@encode.trial("real prose, with special tokens in it", weight=6)
def _(subject, trial):
    text, learned = telling(lambda: (excerpt(trial, 900), slow_train(excerpt(trial, 3000), 60)))
    text += "<|end|>" + excerpt(trial, 600) + "<|endoftext|><|end|>"
    specials = ("<|", "<|end|>", "<|endoftext|>")
    trial.equal(subject(text, learned, specials), slow_encode(text, learned, specials))


decode = Check(
    "bpe_decode",
    hints=(
        "Which ids does '€' have without any merges, and what is each of them as text?",
        "vocabulary(merges, specials) maps every id to bytes. What do you have to do before decoding?",
        'b"".join(...) of all tokens first, then one .decode("utf-8", errors="replace").',
    ),
)


def slow_decode(ids, learned, specials=()):
    known = slow_vocabulary(learned, specials)
    joined = bytearray()
    for i in ids:
        joined += known[i]
    return bytes(joined).decode("utf-8", "replace")


@decode.case("merged tokens and bytes")
def _(subject, trial):
    trial.equal(subject([97, 256, 32, 257], ABC), slow_decode([97, 256, 32, 257], ABC), "256 is bc, 257 is ab")


@decode.case("a character spread over several tokens", weight=2)
def _(subject, trial):
    learned = [(b"\xe2", b"\x82")]
    trial.equal(subject([53, 32, 256, 0xAC, 33], learned), "5 €!")


@decode.case("bytes that are no text become U+FFFD")
def _(subject, trial):
    trial.equal(subject([104, 0xFF, 105, 0xE2, 0x82], []), slow_decode([104, 0xFF, 105, 0xE2, 0x82], []))


@decode.case("special tokens come behind the merges")
def _(subject, trial):
    learned = [(b"a", b"b"), (b"ab", b"c"), (b"b", b"c"), (b"a", b"bc")]  # the last result is there already
    trial.equal(subject([258, 259, 97], learned, ("<e>", "<f>")), slow_decode([258, 259, 97], learned, ("<e>", "<f>")))


@decode.case("nothing gives the empty string")
def _(subject, trial):
    trial.equal(subject([], ABC), "")


@decode.case("random ids, and letters cut into bytes", weight=6)
def _(subject, trial):
    learned = slow_train(babble(trial, "abcé€", 40), 15)
    ids = trial.integers(0, 200, (30,)).tolist() + trial.integers(256, len(slow_vocabulary(learned)), (20,)).tolist()
    ids += list(babble(trial, "abcé€", 8).encode())  # letters in pieces
    trial.equal(subject(ids, learned), slow_decode(ids, learned))


@decode.trial("any string comes back", weight=3)
def _(subject, trial):
    learned = slow_train(excerpt(trial, 1000), 30)
    text = excerpt(trial, 400) + "".join(chr(c) for c in trial.integers(160, 0x2FFF, (40,)).tolist()) + "🦁"
    end = len(slow_vocabulary(learned))
    trial.equal(subject(slow_encode(text, learned) + [end], learned, ("<e>",)), text + "<e>")


# The ten samples gave 3.48 to 3.89 for Hindi; the range is a little wider.
language = Check(
    "language_finding",
    hints=(
        "The first column of numbers is the median of ten samples. Which row has the smallest one, and which the "
        "largest?",
        "The table is relative to English already: the largest median is the answer to the third question.",
    ),
    kind="value",
)


@language.case("the cheapest language")
def _(subject, trial):
    trial.equal(subject.value()["cheapest"], "en", "which row has the smallest median?")


@language.case("the dearest language")
def _(subject, trial):
    trial.equal(subject.value()["dearest"], "hi", "which row has the largest median?")


@language.case("how many times as many tokens the dearest needs")
def _(subject, trial):
    trial.between(subject.value()["times"], 3.4, 3.8, "the median of the dearest language, English = 1")


# padding and embeddings -----------------------------------------------------------------------------------------------

def named(compare, got, want, names, **options):
    """A tuple, part by part: a verdict says which part is wrong."""
    for place, name in enumerate(names):
        compare(got[place], want[place], name, **options)


pad = Check(
    "pad_batch",
    hints=(
        "Fill a (B, T) tensor with pad_id, then write each row to its place: row[:n] on the right side means the first "
        "n columns, on the left side the last n.",
        "Positions count real tokens only: mask.cumsum(1) - 1, and 0 where the mask is False.",
    ),
)


PARTS = ("the ids are wrong", "the mask is wrong", "the positions are wrong")


def slow_pad(rows, pad_id, side):
    longest = max(len(row) for row in rows)
    ids, mask, positions = [], [], []
    for row in rows:
        gap = longest - len(row)
        fill, real = [pad_id] * gap, list(row)
        ids.append(real + fill if side == "right" else fill + real)
        counted = list(range(len(row)))
        positions.append(counted + [0] * gap if side == "right" else [0] * gap + counted)
        mask.append([True] * len(row) + [False] * gap if side == "right" else [False] * gap + [True] * len(row))
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(positions)


@pad.case("padding on the right")
def _(subject, trial):
    rows = [[5, 6, 7, 8], [9], [3, 4]]
    named(trial.equal, subject(rows, 0), slow_pad(rows, 0, "right"), PARTS)


@pad.case("padding on the left: positions still begin at the first real token", weight=2)
def _(subject, trial):
    rows = [[5, 6, 7], [1, 2, 3, 4, 5]]
    named(trial.equal, subject(rows, 0, side="left"), slow_pad(rows, 0, "left"), PARTS)


@pad.case("a token that looks like padding is real")
def _(subject, trial):
    rows = [[0, 4, 0], [7, 0, 0, 0]]
    named(trial.equal, subject(rows, 0, "right"), slow_pad(rows, 0, "right"), PARTS)
    named(trial.equal, subject(rows, 0, "left"), slow_pad(rows, 0, "left"), PARTS)


@pad.case("random rows, both sides", weight=6)
def _(subject, trial):
    rows = [trial.integers(0, 9, (n,)).tolist() for n in (3, 6, 1, 5)]
    rows[1].append(4)  # real, and the same as the padding
    named(trial.equal, subject(rows, 4, "left"), slow_pad(rows, 4, "left"), PARTS)
    named(trial.equal, subject(rows, -1, "right"), slow_pad(rows, -1, "right"), PARTS)


@pad.case("another side raises ValueError instead of being guessed")
def _(subject, trial):
    trial.raises("ValueError", lambda: subject([[1], [2, 3]], 0, "centre"), "side='centre' must raise ValueError")
    says = "side='centre' must raise ValueError also where all rows are equally long"
    trial.raises("ValueError", lambda: subject([[1, 4], [2, 3]], 0, "centre"), says)


embedding = Check(
    "embed",
    hints=(
        "Indexing a (V, D) tensor with ids of any shape gives (..., D).",
        "One-hot: compare ids[..., None] with torch.arange(V), convert to the table's dtype, and multiply: "
        "(..., V) @ (V, D).",
    ),
    legal=lambda ids, table, one_hot=False: bool(((ids >= 0) & (ids < len(table))).all()),
)


def rows_of(ids, table):
    return torch.stack([table[i] for i in ids.flatten().tolist()]).reshape(*ids.shape, table.shape[1])


@embedding.case("looks rows up, for ids of any shape")
def _(subject, trial):
    table, ids = trial.normal((9, 5)), trial.integers(0, 9, (2, 3, 4))
    trial.close(subject(ids, table), rows_of(ids, table))


@embedding.case("dimensions of size one stay, and no ids give no rows")
def _(subject, trial):
    table = trial.normal((5, 3))
    for shape in ((1, 4), (1,), (2, 1, 1), (0,), (3, 0)):
        ids = trial.integers(0, 5, shape)
        for one_hot in (False, True):
            want = table[ids]  # torch's own lookup: there is nothing to stack where there are no ids
            trial.close(subject(ids, table, one_hot), want, f"ids of shape {shape}, one_hot={one_hot}")


@embedding.case("a large table of float16: every id is its own")
def _(subject, trial):
    table = trial.normal((2100, 2), dtype=torch.float16)
    ids = torch.tensor([2049, 2048, 2051, 2099, 0])
    for one_hot in (False, True):
        trial.close(subject(ids, table, one_hot), rows_of(ids, table), f"one_hot={one_hot}")


@embedding.case("the one-hot product gives the same rows")
def _(subject, trial):
    table, ids = trial.normal((11, 4)), trial.integers(0, 11, (3, 5))
    trial.close(subject(ids, table, one_hot=True), rows_of(ids, table))


@embedding.case("as many tokens as columns: rows and columns are not confused")
def _(subject, trial):
    table, ids = trial.normal((6, 6)), trial.integers(0, 6, (6,))
    trial.close(subject(ids, table), rows_of(ids, table))
    trial.close(subject(ids, table, True), rows_of(ids, table))


@embedding.case("a token that stands in several places collects their gradients", weight=2)
def _(subject, trial):
    table, ids, cotangent = trial.normal((7, 3)), torch.tensor([2, 0, 5, 2, 6, 2, 0]), trial.normal((7, 3))
    expected = torch.zeros(7, 3, dtype=torch.float64)
    for i, row in zip(ids.tolist(), cotangent.double(), strict=True):
        expected[i] += row
    for one_hot in (False, True):
        _, (grad,) = subject.grad(ids, table, one_hot, cotangents=(cotangent,), wrt=(1,))
        trial.close(grad, expected.float(), f"gradient of the table, one_hot={one_hot}")


@embedding.case("float64 tables stay float64")
def _(subject, trial):
    table, ids = trial.normal((8, 3), dtype=torch.float64), trial.integers(0, 8, (5,))
    for one_hot in (False, True):
        trial.close(subject(ids, table, one_hot), rows_of(ids, table))


tied = Check(
    "TiedEmbedding",
    hints=(
        "How many parameters may the model have? Both methods read the same one.",
        "One nn.Parameter named weight, of shape (V, D), used in both methods.",
        "embed: self.weight[ids] * math.sqrt(D). logits: states @ self.weight.T, without the factor.",
    ),
    kind="class",
)


def tied_model(subject, trial, V=7, D=4):
    weight = trial.normal((V, D))
    model = subject.construct(V, D)
    subject.load_state(model, {"weight": weight})
    return model, weight


@tied.case("embeds with the factor sqrt(D)")
def _(subject, trial):
    model, weight = tied_model(subject, trial, 9, 6)
    ids = trial.integers(0, 9, (2, 5))
    trial.close(subject.method(model, "embed", ids), (rows_of(ids, weight).double() * math.sqrt(6)).float())


@tied.case("scores every token with the same matrix, without factor or bias")
def _(subject, trial):
    model, weight = tied_model(subject, trial)
    states = trial.normal((3, 2, 4))
    expected = torch.einsum("...d,vd->...v", states.double(), weight.double()).float()
    trial.close(subject.method(model, "logits", states), expected, condition=4)


@tied.case("both ends push on one parameter", weight=2)
def _(subject, trial):
    model, weight = tied_model(subject, trial)
    states, cotangent = trial.normal((3, 4), (3, 7))
    _, _, params = subject.grad_method(model, "logits", states, cotangents=(cotangent,), params=("weight",))
    through_logits = (cotangent.double().T @ states.double()).float()
    trial.close(params["weight"], through_logits, "gradient through logits", condition=4)
    ids, back = torch.tensor([1, 1, 6]), trial.normal((3, 4))
    _, _, params = subject.grad_method(model, "embed", ids, cotangents=(back,), params=("weight",))
    expected = torch.zeros(7, 4, dtype=torch.float64)
    for i, row in zip(ids.tolist(), back.double(), strict=True):
        expected[i] += 2.0 * row
    trial.close(params["weight"], expected.float(), "gradient through embed")


@tied.trial("a new model's weight has the shape (V, D), and different rows")
def _(subject, trial):
    model = subject.construct(11, 16)
    rows = subject.method(model, "embed", torch.arange(11))
    trial.true(tuple(rows.shape) == (11, 16), "embed(torch.arange(V)) should have the shape (V, D)")
    trial.true(len(rows.unique(dim=0)) == 11, "all tokens start with the same vector: nothing can tell them apart")


# positions ------------------------------------------------------------------------------------------------------------


def angle(t, i, d, base=10000.0):
    """Of pair i at position t."""
    return t * base ** (-2.0 * i / d)


sinusoids = Check(
    "sinusoidal_encoding",
    hints=(
        "Make a (T, D/2) table of angles first: positions from 0 against D/2 frequencies 10000^(-2i/D), i = 0, 1, 2...",
        "torch.stack([sin, cos], dim=-1).flatten(1) interleaves the columns.",
    ),
    forbids=("given",),
)


def slow_sinusoids(length, d):
    table = torch.zeros(length, d, dtype=torch.float64)
    for t in range(length):
        for i in range(d // 2):
            table[t, 2 * i], table[t, 2 * i + 1] = math.sin(angle(t, i, d)), math.cos(angle(t, i, d))
    return table.float()


@sinusoids.case("sines in even columns, cosines in odd ones, from position 0")
def _(subject, trial):
    trial.close(subject(11, 6), slow_sinusoids(11, 6), condition=11)


@sinusoids.case("two columns: one clock")
def _(subject, trial):
    trial.close(subject(5, 2), slow_sinusoids(5, 2), condition=5)


@sinusoids.case("one position is still a table")
def _(subject, trial):
    trial.close(subject(1, 6), slow_sinusoids(1, 6))


@sinusoids.case("more positions than most texts have")
def _(subject, trial):
    trial.close(subject(1100, 2), slow_sinusoids(1100, 2), condition=1100)


@sinusoids.case("other lengths and widths", weight=3)
def _(subject, trial):
    for _ in range(3):
        length, d = trial.integers(2, 30), 2 * trial.integers(2, 12)
        trial.close(subject(length, d), slow_sinusoids(length, d), condition=20)


@sinusoids.trial("positions far beyond any training length", weight=2)
def _(subject, trial):
    length = 3000 + trial.integers(0, 100)
    got = subject(length, 8)
    trial.close(got[-5:], slow_sinusoids(length, 8)[-5:], condition=8000)


frequencies = Check(
    "rope_frequencies",
    hints=(
        "For d = 4 there are two: 1 and 1 / sqrt(base). What are they for d = 6?",
        "There are d/2 of them. The exponents are 0, -2/d, -4/d ... : torch.arange(0, d, 2) / d, with a minus.",
        "base ** (-torch.arange(0, d, 2) / d). The first is 1, and each is smaller than the one before by one factor.",
    ),
)


def slow_frequencies(d, base=10000.0):
    return torch.tensor([base ** (-2.0 * i / d) for i in range(d // 2)], dtype=torch.float64).float()


@frequencies.case("base^(-2i/d) for each pair")
def _(subject, trial):
    trial.close(subject(8), slow_frequencies(8))
    trial.close(subject(6), slow_frequencies(6))


@frequencies.case("another base")
def _(subject, trial):
    trial.close(subject(10, base=500000.0), slow_frequencies(10, 500000.0))


@frequencies.case("random widths and bases", weight=3)
def _(subject, trial):
    for _ in range(3):
        d, base = 2 * trial.integers(2, 40), float(trial.integers(100, 100_000))
        trial.close(subject(d, base), slow_frequencies(d, base))


rope = Check(
    "apply_rope",
    hints=(
        "Angles are positions[:, None] * frequencies, (T, d/2). Take the two coordinates of all pairs as two tensors a "
        "and b, (..., T, d/2), and turn them: a cos - b sin, a sin + b cos.",
        "interleaved: a = x[..., 0::2], b = x[..., 1::2], put back with stack(..., -1).flatten(-2). half: the first "
        "and the second half of the last dimension, put back with cat.",
    ),
    legal=lambda x, *_, **__: x.shape[-1] % 2 == 0,
    forbids=("given",),
)


def slow_rope(x, positions, pairing="interleaved", base=10000.0):
    """One vector and one pair after another, in float64."""
    d = x.shape[-1]
    flat = x.double().reshape(-1, x.shape[-2], d)
    out = torch.zeros_like(flat)
    for n, t in ((n, t) for n in range(flat.shape[0]) for t in range(flat.shape[1])):
        for i in range(d // 2):
            j, k = (2 * i, 2 * i + 1) if pairing == "interleaved" else (i, i + d // 2)
            phi = angle(float(positions[t]), i, d, base)
            a, b = float(flat[n, t, j]), float(flat[n, t, k])
            out[n, t, j], out[n, t, k] = a * math.cos(phi) - b * math.sin(phi), a * math.sin(phi) + b * math.cos(phi)
    return out.reshape(x.shape).to(x.dtype)


@rope.case("interleaved pairs: unit vectors show which two coordinates turn, and how far")
def _(subject, trial):
    x, at = torch.eye(6)[:, None, :].expand(6, 2, 6).contiguous(), torch.tensor([1, 3])
    trial.close(subject(x, at), slow_rope(x, at), condition=3)


@rope.case("half pairs: unit vectors again", weight=2)
def _(subject, trial):
    x, at = torch.eye(8)[:, None, :].expand(8, 2, 8).contiguous(), torch.tensor([1, 3])
    trial.close(subject(x, at, "half"), slow_rope(x, at, "half"), condition=3)


@rope.case("many heads, random vectors", weight=2)
def _(subject, trial):
    x, at = trial.normal((2, 3, 7, 10), spread=2), torch.arange(7)
    trial.close(subject(x, at), slow_rope(x, at), condition=10)
    trial.close(subject(x, at, pairing="half"), slow_rope(x, at, "half"), condition=10)


@rope.case("positions are used as they are given: gaps, repeats, fractions, a start that is not 0", weight=2)
def _(subject, trial):
    x = trial.normal((2, 4, 6))
    at = torch.tensor([9, 2, 9, 17])
    trial.close(subject(x, at), slow_rope(x, at), "positions 9, 2, 9, 17", condition=20)
    at = torch.tensor([0.5, 1.25, 7.75, 8.0])
    trial.close(subject(x, at, "half"), slow_rope(x, at, "half"), "fractions: interpolated positions", condition=10)
    at = torch.tensor([-3, 0, -1, 2])
    trial.close(subject(x, at), slow_rope(x, at), "positions -3, 0, -1, 2", condition=6)


@rope.case("another base", weight=2)
def _(subject, trial):
    x, at = trial.normal((3, 5, 8)), torch.arange(5)
    trial.close(subject(x, at, base=300.0), slow_rope(x, at, base=300.0), condition=6)


@rope.case("gradients turn back")
def _(subject, trial):
    x, cotangent = trial.normal((2, 4, 6), (2, 4, 6))
    at = torch.arange(4)
    for pairing in ("interleaved", "half"):
        _, (grad,) = subject.grad(x, at, pairing, cotangents=(cotangent,), wrt=(0,))
        trial.close(grad, slow_rope(cotangent, -at, pairing), pairing, condition=6)


@rope.case("float16 vectors at positions that float16 can't hold")
def _(subject, trial):
    x, at = trial.normal((2, 3, 8), dtype=torch.float16), torch.tensor([2049, 2051, 4099])
    for pairing in ("interleaved", "half"):
        trial.close(subject(x, at, pairing), slow_rope(x, at, pairing), condition=2)


@rope.case("float64 vectors stay float64")
def _(subject, trial):
    x, at = trial.normal((2, 4, 6), dtype=torch.float64), torch.arange(4)
    trial.close(subject(x, at), slow_rope(x, at), condition=4 * IN_FLOAT32)


@rope.case("any memory layout: heads that were split and transposed, too")
def _(subject, trial):
    x, at = trial.normal((2, 5, 3, 8)), torch.arange(5)
    heads = x.transpose(1, 2)  # (B, H, T, d), not contiguous
    for pairing in ("interleaved", "half"):
        trial.close(subject(heads, at, pairing), slow_rope(heads, at, pairing), condition=6)
    for layout, pairing in itertools.product(("transposed", "every_other"), ("interleaved", "half")):
        x = trial.normal((3, 5, 8))
        trial.close(subject(trial.strided(x, layout), at, pairing), slow_rope(x, at, pairing), condition=6)


@rope.case("an unknown pairing raises ValueError")
def _(subject, trial):
    x, at = trial.normal((3, 5, 8)), torch.arange(5)
    trial.raises("ValueError", lambda: subject(x, at, "quarter"), "pairing='quarter' must raise ValueError")


def score_of(turned):
    """The score of a query and a key, and the size of its terms: what a rounding error of it is compared with."""
    (q, k) = turned
    return torch.stack([(q * k).sum(), q.norm() * k.norm()])


@rope.trial("scores depend on the distance, and they do change with it", weight=3)
def _(subject, trial):
    for pairing in ("interleaved", "half"):
        m, n, (q, k) = trial.integers(5, 30), trial.integers(40, 60), trial.normal((1, 1, 12), (1, 1, 12), dtype=F64)

        def score(m, n, turn=subject, q=q, k=k, pairing=pairing):
            return score_of((turn(q, torch.tensor([m]), pairing), turn(k, torch.tensor([n]), pairing)))

        closely = (n + 11) * IN_FLOAT32  # an angle of n + 11 may be wrong by as many roundings
        trial.close(score(m, n), score(m, n, slow_rope), condition=closely)
        shifted = "the same shift of both positions must change nothing"
        trial.close(score(m + 11, n + 11), score(m, n), shifted, condition=closely)
        moved = (score(m + 3, n, slow_rope) - score(m, n, slow_rope))[0].abs()
        if moved > 0.01:  # as good as always
            changed = (score(m + 3, n) - score(m, n))[0].abs()
            trial.true(changed > moved / 2, "another distance must change the score")


qkv = Check(
    "rotary_qkv",
    hints=(
        "Project, split the heads as in unit 02, then turn: apply_rope works on (B, H, T, d) as it is.",
        "Queries and keys are turned by the same positions; values stay as they are.",
    ),
)


QKV = ("the queries are wrong", "the keys are wrong", "the values are wrong")


def slow_qkv(x, w_q, w_k, w_v, heads, positions):
    def project(w):
        y = torch.einsum("btd,de->bte", x.double(), w.double())
        return torch.stack(y.split(y.shape[-1] // heads, dim=-1), dim=1)

    turned = [slow_rope(project(w), positions) for w in (w_q, w_k)]
    return tuple(part.to(x.dtype) for part in (*turned, project(w_v)))


def qkv_inputs(trial, B, T, D, spread=1.0):
    return trial.normal((B, T, D), spread=spread), *trial.normal((D, D), (D, D), (D, D), spread=1 / math.sqrt(D))


@qkv.case("queries and keys turned in each head, values untouched", weight=3)
def _(subject, trial):
    inputs, at = qkv_inputs(trial, 2, 5, 12), torch.arange(5)
    named(trial.close, subject(*inputs, 3, at), slow_qkv(*inputs, 3, at), QKV, condition=20)


@qkv.case("positions that do not start at 0: a chunk of a longer text")
def _(subject, trial):
    inputs, at = qkv_inputs(trial, 1, 3, 8), torch.tensor([11, 12, 13])
    named(trial.close, subject(*inputs, 2, at), slow_qkv(*inputs, 2, at), QKV, condition=40)


@qkv.case("gradients reach the input and all three maps")
def _(subject, trial):
    inputs, at = qkv_inputs(trial, 2, 4, 8), torch.arange(3, 7)
    cotangents = trial.normal((2, 2, 4, 4), (2, 2, 4, 4), (2, 2, 4, 4))
    _, grads = subject.grad(*inputs, 2, at, cotangents=cotangents, wrt=(0, 1, 2, 3))
    x, *weights = (part.double() for part in inputs)
    back = (slow_rope(cotangents[0].double(), -at), slow_rope(cotangents[1].double(), -at), cotangents[2].double())
    back = [torch.cat(part.unbind(1), dim=-1) for part in back]  # heads side by side: (B, T, D), of the projections
    expected = [sum(part @ w.T for part, w in zip(back, weights, strict=True))]
    expected += [torch.einsum("btd,bte->de", x, part) for part in back]
    trial.close(grads, tuple(part.float() for part in expected), condition=40)


@qkv.trial("a shift of all positions changes no score", weight=2)
def _(subject, trial):
    inputs = [part.double() for part in qkv_inputs(trial, 2, 4, 12)]
    shift = trial.integers(3, 50)
    one, other = (subject(*inputs, 2, torch.arange(4) + start) for start in (0, shift))
    size = torch.stack([slow_qkv(*inputs, 2, torch.arange(4))[part].norm(dim=-1).max() for part in (0, 1)]).prod()
    before, after = (torch.cat([(q @ k.mT).flatten(), size[None]]) for q, k, _ in (one, other))
    trial.close(after, before, "scores before and after the shift", condition=(shift + 4) * IN_FLOAT32)
    trial.close(one, slow_qkv(*inputs, 2, torch.arange(4)), condition=8 * IN_FLOAT32)


slopes = Check(
    "alibi_slopes",
    hints=(
        "For H a power of two: 2 ** (-8 * h / H) for h from 1 to H. For 8 heads 1/2, 1/4 ... 1/256.",
        "Otherwise take P = 2 ** floor(log2(H)), all slopes for P heads, then every second slope for 2P heads, "
        "starting with the first, until there are H.",
    ),
)


def slow_slopes(heads):
    power = 1
    while power * 2 <= heads:
        power *= 2
    found = []
    for h in range(power):
        found.append(2.0 ** (-8.0 * (h + 1) / power))
    while len(found) < heads:
        found.append(2.0 ** (-4.0 * (2 * (len(found) - power) + 1) / power))
    return torch.tensor(found, dtype=torch.float64).float()


@slopes.case("eight heads: from 1/2 down to 1/256")
def _(subject, trial):
    trial.close(subject(8), slow_slopes(8))


@slopes.case("other powers of two, one head among them")
def _(subject, trial):
    for heads in (1, 2, 4, 16):
        trial.close(subject(heads), slow_slopes(heads))


@slopes.case("twelve heads: eight slopes, then four from between", weight=2)
def _(subject, trial):
    trial.close(subject(12), slow_slopes(12))
    trial.close(subject(3), slow_slopes(3))


@slopes.case("any number of heads", weight=5)
def _(subject, trial):
    powers = (2 ** (5 + trial.permutation(6)[:2])).tolist()
    for heads in (*(trial.integers(5, 80) for _ in range(4)), *powers):
        trial.close(subject(heads), slow_slopes(heads))


bias = Check(
    "alibi_bias",
    hints=(
        "Which position does the first query have when there are 2 queries and 6 keys?",
        "Query row i is position S - T + i. Distance is the query's position minus the key's, a (T, S) table.",
        "-slopes[:, None, None] * distance, then masked_fill where the distance is negative with -inf.",
    ),
)


def slow_bias(heads, T, S):
    out = torch.full((heads, T, S), -INF, dtype=torch.float64)
    for h, slope in enumerate(slow_slopes(heads).double().tolist()):
        for i in range(T):
            for j in range(S - T + i + 1):
                out[h, i, j] = -slope * (S - T + i - j)
    return out.float()


@bias.case("near keys are favoured, the future is hidden", weight=2)
def _(subject, trial):
    trial.close(subject(4, 5, 5), slow_bias(4, 5, 5))


@bias.case("fewer queries than keys: the queries are the last positions")
def _(subject, trial):
    trial.close(subject(2, 2, 6), slow_bias(2, 2, 6))


@bias.case("one new query")
def _(subject, trial):
    trial.close(subject(12, 1, 7), slow_bias(12, 1, 7))  # twelve slopes, some of them no powers of two


@bias.case("every distance is its own beyond 2048")
def _(subject, trial):
    trial.close(subject(2, 1, 2060), slow_bias(2, 1, 2060))


@bias.case("random sizes", weight=4)
def _(subject, trial):
    for _ in range(3):
        S = trial.integers(6, 20)
        heads, T = trial.integers(2, 13), trial.integers(2, S)
        trial.close(subject(heads, T, S), slow_bias(heads, T, S))


@bias.trial("inside a softmax, a constant added to a row changes nothing: the keys' own positions do as well")
def _(subject, trial):
    scores = trial.normal((4, 6, 6))
    by_key = (scores + slow_slopes(4)[:, None, None] * torch.arange(6)).masked_fill(~oracle.causal_mask(6, 6), -INF)
    trial.close(oracle.softmax(scores + subject(4, 6, 6)), oracle.softmax(by_key), condition=8)


interpolation = Check(
    "position_interpolation",
    hints=(
        "With L = 64 and L' = 512 position 511 should land just below 64.",
        "Multiply by train_length / length, but by 1 when the text is not longer than in training.",
    ),
)


@interpolation.case("a long text is squeezed into the trained range")
def _(subject, trial):
    at = torch.arange(30)
    trial.close(subject(at, 7, 30), (at.double() * 7 / 30).float())


@interpolation.case("a short text stays as it is", weight=2)
def _(subject, trial):
    T = trial.integers(5, 200)
    at = torch.arange(T)
    trial.close(subject(at, T + trial.integers(1, 400), T), at.float())


@interpolation.case("random lengths", weight=3)
def _(subject, trial):
    L = trial.integers(5, 40)
    longer, at = L + trial.integers(3, 100), trial.integers(0, 40, (9,))
    trial.close(subject(at, L, longer), (at.double() * L / longer).float())


ntk = Check(
    "ntk_scaled_base",
    hints=(
        "It is one line: a power of the scale, times the base.",
        "The exponent is d / (d - 2), a little above 1.",
    ),
)


@ntk.case("eight times as long, heads of 12")
def _(subject, trial):
    trial.close(subject(10000.0, 8.0, 12), 10000.0 * 8.0 ** (12 / 10), condition=10)


@ntk.case("scale 1 changes nothing")
def _(subject, trial):
    trial.close(subject(500.0, 1.0, 8), 500.0, condition=10)


@ntk.case("nothing is rounded")
def _(subject, trial):
    base, scale = float(trial.uniform((1,), low=2.1, high=2.2)), float(trial.uniform((1,), low=1.4, high=1.45))
    got, want, says = subject(base, scale, 6), base * scale**1.5, f"base {base:.3f}, scale {scale:.3f}, d = 6"
    trial.close(got, want, says, condition=10)
    trial.between(got, want * (1 - 1e-12), want * (1 + 1e-12), says + ": a float has 16 digits, and a float32 only 7")


@ntk.case("random bases, scales and widths", weight=3)
def _(subject, trial):
    drawn = [(trial.integers(100, 10_000), trial.integers(2, 30), 2 * trial.integers(2, 64)) for _ in range(2)]
    for base, scale, d in ((trial.integers(100, 200), 3, 8), *drawn):  # the first is small, and no whole number
        base, scale = float(base), float(scale)
        trial.close(subject(base, scale, d), base * scale * scale ** (2 / (d - 2)), condition=10)


@ntk.trial("the slowest pair is squeezed by the scale, the fastest not at all")
def _(subject, trial):
    scale, d = trial.integers(8, 120) / 4, 2 * trial.integers(2, 64)
    new = subject(10000.0, scale, d)
    slowest = (new / 10000.0) ** ((d - 2) / d)
    trial.between(slowest / scale, 0.99999, 1.00001, "base'^(-(d-2)/d) should be base^(-(d-2)/d) / scale")


# kernels --------------------------------------------------------------------------------------------------------------

gather = Kernel(
    "embedding_gather",
    hints=(
        "One program for each token, grid (N,). It loads its id, a whole number, and adds id * table.stride(0) to the "
        "table's pointer.",
        "Mask the columns past the width, in the load and in the store. The output has strides of its own.",
    ),
)


inplace = Kernel(
    "rope_inplace",
    hints=(
        "One program for each vector: grid (N * T,), batch = pid // T, position = pid % T. Load both numbers of every "
        "pair before you store anything.",
        "Column i lies at i * x.stride(2), column i + d/2 at (i + d/2) * x.stride(2). The tables are read at the "
        "position, t * cos.stride(0) + i. Mask i < d/2.",
    ),
)


# findings and repairs -------------------------------------------------------------------------------------------------

# Ten seeds: RoPE rises by 0.45 to 0.68 nats, ALiBi by -0.01 to 0.00; at 512 ALiBi has 2.27 to 2.33, the next best 2.51.
extrapolation = Check(
    "extrapolation_finding",
    hints=(
        "The first number of each column is the median of ten seeds. For the first two questions look for the smallest "
        "in the first and in the second column, among the names without a comma.",
        "Subtract 0.1 from the median of \"none\" at 512: which arms lie below that?",
    ),
    kind="value",
)


@extrapolation.case("the best arm in windows of 64")
def _(subject, trial):
    trial.equal(subject.value()["best_at_64"], "rope", "which median is the smallest in windows of 64?")


@extrapolation.case("the best arm in windows of 512")
def _(subject, trial):
    trial.equal(subject.value()["best_at_512"], "alibi", "which median is the smallest in windows of 512?")


@extrapolation.case("how much the losses of rope and alibi rise", weight=2)
def _(subject, trial):
    trial.between(subject.value()["rope_rises"], 0.55, 0.65, "the median of 512 minus 64, for rope")
    trial.between(subject.value()["alibi_rises"], -0.05, 0.05, "the median of 512 minus 64, for alibi")


@extrapolation.case("which arms beat having no positions")
def _(subject, trial):
    trial.equal(subject.value()["beats_none"], ["alibi"], "which medians at 512 lie 0.1 or more below that of none?")


choice = Check(
    "repaired_choice",
    hints=(
        "Sort the three pairs of the first tie by hand, once as bytes and once as `show` writes them.",
        "Python compares bytes by their values and tuples from the left: no table is needed.",
        "max(counts, key=lambda pair: (counts[pair], pair))",
    ),
)


def slow_choice(counts):
    best = None
    for key, n in counts.items():
        if best is None or n > counts[best] or (n == counts[best] and key > best):
            best = key
    return best


@choice.case("the most frequent pair wins, whatever its bytes")
def _(subject, trial):
    counts = {(b"z", b"z"): 3, (b"a", b"b"): 4, (b" ", b"t"): 2}
    trial.equal(subject(counts), slow_choice(counts))


@choice.case("a tie between letters and spaces goes to the letters")
def _(subject, trial):
    counts = {(b" ", b"t"): 7, (b"t", b"h"): 7, (b"\n", b"\n"): 7, (b"h", b"e"): 7}
    trial.equal(subject(counts), slow_choice(counts))


@choice.case("a tie is decided by the left token, then by the right one", weight=2)
def _(subject, trial):
    counts = {(b"a", b"bd"): 2, (b"ab", b"b"): 2, (b"ab", b"c"): 2, (b"aa", b"zzz"): 2}
    trial.equal(subject(counts), slow_choice(counts))


@choice.case("a short token can be the greater one", weight=2)
def _(subject, trial):
    low, high = sorted(letters(trial, 2))
    most = trial.integers(3, 900)
    counts = {(low, high * 4): most, (high, low): most, (low + high, low * 3): most}
    trial.equal(subject(counts), slow_choice(counts), f"{counts}")


@choice.case("bytes that are no text are compared as bytes")
def _(subject, trial):
    counts = {(b"\xff", b"a"): 2, (b"\x80", b"z"): 2, (b"\xc3\xa9", b"b"): 2}
    trial.equal(subject(counts), slow_choice(counts), f"{counts}")


WRONG_CHOICES = (
    lambda counts, pair: counts[pair],  # the first one seen
    lambda counts, pair: pair,
    lambda counts, pair: (counts[pair], pair[0]),
    lambda counts, pair: (counts[pair], pair[0] + pair[1]),
    lambda counts, pair: (counts[pair], len(pair[0] + pair[1]), pair),
    lambda counts, pair: (counts[pair], repr(pair)),
    lambda counts, pair: (counts[pair], [[b + 256 * (b <= 32) for b in side] for side in pair]),  # printable stand-ins
)


def full_of_ties(trial):
    """Counts of pairs of short words over two letters and the space; each wrong choice is wrong in one of them."""
    letters = [32, *sorted(97 + i for i in trial.permutation(26)[:2].tolist())]

    def word():
        return bytes(letters[i] for i in trial.integers(0, 3, (trial.integers(1, 4),)).tolist())

    while True:
        drawn = [{(word(), word()): trial.integers(1, 4) for _ in range(14)} for _ in range(6)]
        right = [slow_choice(counts) for counts in drawn]
        if all(right != [max(c, key=lambda pair: wrong(c, pair)) for c in drawn] for wrong in WRONG_CHOICES):
            return drawn


@choice.case("random counts over short random words", weight=5)
def _(subject, trial):
    for counts in full_of_ties(trial):
        trial.equal(subject(counts), slow_choice(counts))


rotations = Check(
    "repaired_rotations",
    hints=(
        "Print t, the frequencies and their product in bfloat16 beside float64, for t around 300. Where do they part?",
        "Which step can bfloat16 not represent: the position, the frequency, their product, or the cosine?",
        "Compute positions, frequencies and the product in float64, take cos and sin there, and convert last.",
    ),
)


def slow_rotations(length, d, dtype, base=10000.0):
    turn = torch.tensor([[angle(t, i, d, base) for i in range(d // 2)] for t in range(length)], dtype=torch.float64)
    return turn.cos().to(dtype), turn.sin().to(dtype)


@rotations.case("bfloat16: every position has its own rotation", weight=2)
def _(subject, trial):
    trial.close(subject(600, 4, torch.bfloat16), slow_rotations(600, 4, torch.bfloat16))


@rotations.case("far positions of fast pairs: angles in the hundreds keep their digits")
def _(subject, trial):
    trial.close(subject(1500, 4, torch.bfloat16, 7.0), slow_rotations(1500, 4, torch.bfloat16, 7.0))


@rotations.case("float32, small and exact")
def _(subject, trial):
    trial.close(subject(20, 6, torch.float32), slow_rotations(20, 6, torch.float32))
    trial.close(subject(20, 6, torch.float64), slow_rotations(20, 6, torch.float64), "float64", condition=20)


@rotations.case("float32, far positions: an angle in the hundreds has no digits to lose")
def _(subject, trial):
    trial.close(subject(700, 4, torch.float32, 1.5), slow_rotations(700, 4, torch.float32, 1.5))


@rotations.case("another base, other sizes", weight=4)
def _(subject, trial):
    for _ in range(2):
        length, d, base = trial.integers(400, 600), 2 * trial.integers(3, 6), float(trial.integers(100, 5000))
        trial.close(subject(length, d, torch.bfloat16, base), slow_rotations(length, d, torch.bfloat16, base))
        trial.close(subject(30, d, torch.float32, base), slow_rotations(30, d, torch.float32, base))


@rotations.trial("far positions keep their digits in every dtype, for another base")
def _(subject, trial):
    length, d, base = trial.integers(1200, 1500), 2 * trial.integers(2, 5), float(trial.integers(100, 5000))
    for dtype in (torch.bfloat16, torch.float32):
        trial.close(subject(length, d, dtype, base), slow_rotations(length, d, dtype, base))
