"""What a right answer is, for every exercise of unit 02.

All dimensions of an input differ and none is a multiple of a block, numbers are spread, and each invariant stands
beside a trial that identity, constants and copies fail. `condition` is the largest |score|: a softmax magnifies the
rounding errors of its scores by it.
"""

import math

import torch

from autograder.authoring import oracle
from autograder.authoring.checks import Check, Kernel

INF = math.inf


def irregular_mask(trial, *shape):
    """Boolean, about half True, and at least one True in every row."""
    mask = trial.uniform(shape) < 0.5
    first = trial.integers(0, shape[-1], shape[:-1])
    return mask.scatter(-1, first[..., None], True)


def attention_inputs(trial, T, S, d=8, e=5, spread=2.0, lead=(3,)):
    """q (*lead, T, d), k (*lead, S, d), v (*lead, S, e)."""
    return trial.normal((*lead, T, d), (*lead, S, d), (*lead, S, e), spread=spread)


# ----------------------------------------------------------------------------------------------------------------------

stable_softmax = Check(
    "stable_softmax",
    hints=(
        "Take the row [300, 299] and the row [-500, -501]. What does exp make of each entry, and which weights should "
        "come out?",
        "Subtracting the same number from every entry of a row does not change its softmax. Which number makes the "
        "largest exponential exactly 1?",
        "x.amax(dim=dim, keepdim=True) gives each row its own maximum in a shape that broadcasts; the sum needs the "
        "same dim and keepdim.",
    ),
    forbids=("softmax",),
)


@stable_softmax.case("rows sum to one, each entry in proportion to its exponential")
def _(subject, trial):
    x = trial.normal((6, 11), spread=3)
    trial.close(subject(x), oracle.softmax(x), condition=12)


@stable_softmax.case("works along any dimension", weight=4)
def _(subject, trial):
    x = trial.normal((3, 5, 7), spread=2)
    trial.close(subject(x, dim=1), oracle.softmax(x, 1), "dim=1 of a tensor of shape (3, 5, 7)", condition=8)
    trial.close(subject(x, dim=0), oracle.softmax(x, 0), "dim=0 of a tensor of shape (3, 5, 7)", condition=8)
    says = "no dim given for a tensor of shape (3, 5, 7): the last one"
    trial.close(subject(x), oracle.softmax(x), says, condition=8)


@stable_softmax.case("scores near 300 do not overflow", weight=3)
def _(subject, trial):
    x = trial.normal((4, 9), spread=3, mean=300)
    trial.close(subject(x), oracle.softmax(x), condition=10)


@stable_softmax.case("scores near -500 do not underflow to zero over zero", weight=3)
def _(subject, trial):
    x = trial.normal((4, 9), spread=3, mean=-500)
    trial.close(subject(x), oracle.softmax(x), condition=10)


@stable_softmax.case("rows at very different levels do not disturb each other", weight=5)
def _(subject, trial):
    x = trial.normal((4, 9), spread=2) + torch.tensor([[-400.0], [-20.0], [0.0], [350.0]])
    trial.close(subject(x), oracle.softmax(x), condition=10)


@stable_softmax.case("an entry of -inf gets weight zero")
def _(subject, trial):
    x = trial.normal((5, 8), spread=2).masked_fill(~irregular_mask(trial, 5, 8), -INF)
    trial.close(subject(x), oracle.softmax(x), condition=8)


@stable_softmax.case("the weight of -inf is exactly 0, also beside scores near -20000")
def _(subject, trial):
    x, hidden = trial.normal((3, 6), mean=-20000), trial.integers(0, 6)
    x[:, hidden] = -INF
    got = subject(x)
    trial.close(got, oracle.softmax(x), condition=2e4)  # whoever subtracts a logarithm of the sum has no more digits
    for row in range(3):
        trial.equal(got[row][hidden], torch.tensor(0.0), "the weight of an entry of -inf is exactly 0")


@stable_softmax.case("float16 stays float16, bfloat16 stays bfloat16")
def _(subject, trial):
    for dtype in (torch.float16, torch.bfloat16):
        x = trial.normal((4, 9), spread=2, dtype=dtype)
        trial.close(subject(x), oracle.softmax(x), condition=8)


@stable_softmax.case("one huge entry in a row takes all the weight", weight=2)
def _(subject, trial):
    x = trial.normal((3, 10))
    x[:, trial.integers(0, 10)] = 400.0
    trial.close(subject(x), oracle.softmax(x))


@stable_softmax.case("gradients flow back through it")
def _(subject, trial):
    x, cotangent = trial.normal((4, 6), (4, 6), spread=2)
    _, (grad,) = subject.grad(x, cotangents=(cotangent,), wrt=(0,))
    trial.close(grad, oracle.gradients(oracle.softmax, [x], [cotangent])[1][0], condition=8)


@stable_softmax.case("a single row without any other axis, and dimensions counted from the end")
def _(subject, trial):
    x = trial.normal((9,), spread=3)
    trial.close(subject(x), oracle.softmax(x), "x has the shape (9,)", condition=12)
    x = trial.normal((2, 4, 3, 5), spread=3)
    trial.close(subject(x, dim=-3), oracle.softmax(x, -3), "dim=-3 of a tensor of shape (2, 4, 3, 5)", condition=12)


@stable_softmax.case("the memory layout of the scores does not matter")
def _(subject, trial):
    x = trial.normal((6, 10), spread=3)
    for layout in ("transposed", "every_other", "offset"):
        trial.close(subject(trial.strided(x, layout)), oracle.softmax(x), condition=12)


@stable_softmax.case("float64 stays float64 and keeps its precision")
def _(subject, trial):
    x = trial.normal((5, 12), spread=4, dtype=torch.float64)
    trial.close(subject(x), oracle.softmax(x), condition=16)


@stable_softmax.trial("the order of the entries does not matter, and a constant in all of them neither")
def _(subject, trial):
    x, order = trial.normal((3, 13), spread=3), trial.permutation(13)
    trial.close(subject(x[:, order]), oracle.softmax(x)[:, order], condition=12)
    trial.close(subject(x + 64), oracle.softmax(x), condition=80)


# ----------------------------------------------------------------------------------------------------------------------

sdpa = Check(
    "scaled_dot_product_attention",
    hints=(
        "Write down the shape after each step: which of T, S, d_k and d_v are left after q k^T, and after the weights "
        "meet v?",
        "Scores are q @ k.transpose(-2, -1) / sqrt(d_k), shape (..., T, S). Only after the mask has acted on them do "
        "they become weights, along the last dimension.",
        "Find the rows in which every score is -inf before the softmax, fill them with 0, and set their weights to 0 "
        "afterwards: then no NaN ever arises, in the gradient neither.",
    ),
    forbids=("attention",),
)


@sdpa.case("queries and keys of different number, values of another width", weight=2)
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=7, S=9, d=16, e=5, lead=(2, 3))
    trial.close(subject(q, k, v), oracle.attention(q, k, v), condition=40)


@sdpa.case("rows belong to queries, columns to keys, also when there are as many of both")
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=6, S=6)
    trial.close(subject(q, k, v), oracle.attention(q, k, v), condition=40)


@sdpa.case("a boolean mask hides keys before the softmax: True may be looked at", weight=2)
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=6, S=6)
    mask = irregular_mask(trial, 6, 6)
    trial.close(subject(q, k, v, mask), oracle.attention(q, k, v, mask), condition=40)


@sdpa.case("a boolean mask of shape (B, 1, 1, S), or of shape (S,), acts on keys in all heads")
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=5, S=7, lead=(2, 3))
    for shape in ((2, 1, 1, 7), (7,)):
        mask = irregular_mask(trial, *shape)
        expected = oracle.attention(q, k, v, mask)
        trial.close(subject(q, k, v, mask=mask), expected, f"a mask of shape {shape}", condition=40)


@sdpa.case("a float mask is added to the scaled scores; -inf hides", weight=2)
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=6, S=6)
    bias = trial.normal((3, 6, 6), spread=3).masked_fill(~irregular_mask(trial, 3, 6, 6), -INF)
    trial.close(subject(q, k, v, bias), oracle.attention(q, k, v, bias), condition=40)


@sdpa.case("a bias of -1e9 or less on every key is no -inf: the largest is read")
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=3, S=6)
    q = torch.zeros_like(q)  # beside -1e9 a score would be lost
    bias = torch.full((3, 6), -2e9)
    bias[torch.arange(3), trial.permutation(6)[:3]] = -1e9  # the key that is read; exact also by exp(s - logsumexp(s))
    trial.close(subject(q, k, v, bias), oracle.attention(q, k, v, bias))


@sdpa.case("a query that may look at nothing returns zeros, and so do its weights", weight=2)
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=5, S=7)
    mask = irregular_mask(trial, 5, 7)
    mask[trial.integers(0, 5)] = False
    trial.close(subject(q, k, v, mask), oracle.attention(q, k, v, mask), "boolean mask", condition=40)
    bias = torch.zeros(5, 7).masked_fill(~mask, -INF)
    trial.close(subject(q, k, v, bias), oracle.attention(q, k, v, bias), "float mask", condition=40)


@sdpa.case("gradients reach queries, keys and values, and stay finite beside an empty row", weight=2)
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=5, S=7, d=4, e=6, spread=1.5)
    mask = irregular_mask(trial, 5, 7)
    mask[trial.integers(0, 5)] = False
    cotangents = trial.normal((3, 5, 6), (3, 5, 7))
    for kind, given in (("boolean", mask), ("float", torch.zeros(5, 7).masked_fill(~mask, -INF))):
        _, grads = subject.grad(q, k, v, given, cotangents=cotangents, wrt=(0, 1, 2))
        expected = oracle.gradients(lambda *qkv: oracle.attention(*qkv, mask), [q, k, v], cotangents)
        trial.close(grads, expected[1], f"gradients under a {kind} mask", condition=40)


@sdpa.case("large scores are safe")
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=4, S=6, spread=12)
    # pairs of keys nearly alike: no key is alone at the top, so the scale matters
    k[..., 1::2, :] = k[..., ::2, :] + trial.normal(tuple(k[..., ::2, :].shape), spread=0.05)
    trial.close(subject(q, k, v), oracle.attention(q, k, v), condition=1000)


@sdpa.case("a value behind a mask has no effect at all")
def _(subject, trial):
    q, k, v = attention_inputs(trial, T=5, S=7)
    mask = irregular_mask(trial, 5, 7)
    hidden = trial.integers(0, 7)
    mask[:, hidden] = False
    expected = oracle.attention(q, k, v, mask)
    k[..., hidden, :], v[..., hidden, :] = 1e3, -1e3
    trial.close(subject(q, k, v, mask), expected, condition=40)


@sdpa.trial("with the identity for values, the output is the weights")
def _(subject, trial):
    q, k, _ = attention_inputs(trial, T=5, S=7)
    identity = torch.eye(7).expand(3, 7, 7)
    expected = oracle.attention(q, k, identity)[1]
    trial.close(subject(q, k, identity), (expected, expected), condition=40)


@sdpa.case("works without batch and heads, and for any memory layout")
def _(subject, trial):
    q, k, v = trial.normal((5, 12), (7, 12), (7, 3), spread=2)
    expected = oracle.attention(q, k, v)
    trial.close(subject(q, k, v), expected, condition=40)
    layouts = (trial.strided(q, "transposed"), trial.strided(k, "every_other"), trial.strided(v, "offset"))
    trial.close(subject(*layouts), expected, condition=40)


@sdpa.case("equals torch's own attention in float64")
def _(subject, trial):
    q, k, v = (x.double() for x in attention_inputs(trial, T=6, S=10))
    mask = irregular_mask(trial, 3, 6, 10)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)
    trial.close(subject(q, k, v, mask)[0], expected, condition=40)


# ----------------------------------------------------------------------------------------------------------------------

causal = Check(
    "causal_mask",
    hints=(
        "Write the mask for 2 queries and 6 keys on paper, and the position of each query beside its row.",
        "Give every query its position in the sequence: with T queries and S keys, row i is position S - T + i. It may "
        "look at key j when j <= its position.",
        "Compare torch.arange(S) with a column of query positions, or use tril with a diagonal that depends on S - T.",
    ),
)


@causal.case("keeps the diagonal, hides everything above it", weight=2)
def _(subject, trial):
    trial.equal(subject(5, 5), oracle.causal_mask(5, 5))


@causal.case("two queries and six keys: the last two rows of the full mask", weight=2)
def _(subject, trial):
    trial.equal(subject(2, 6), oracle.causal_mask(2, 6))


@causal.case("one new query sees all stored keys")
def _(subject, trial):
    trial.equal(subject(1, 4), oracle.causal_mask(1, 4))


@causal.case("a single token sees itself")
def _(subject, trial):
    trial.equal(subject(1, 1), oracle.causal_mask(1, 1))


@causal.case("any number of the last queries, an odd number of keys")
def _(subject, trial):
    for queries in (2, 3, 6, 7):
        trial.equal(subject(queries, 7), oracle.causal_mask(queries, 7), f"{queries} queries and 7 keys")


@causal.trial("every chunk of a long sequence gets its rows of the full mask", weight=7)
def _(subject, trial):
    size = trial.integers(9, 24)
    for queries in range(1, size + 1):
        trial.equal(subject(queries, size), oracle.causal_mask(queries, size))


# ----------------------------------------------------------------------------------------------------------------------

padding = Check(
    "padding_mask",
    hints=(
        "Take one row of length 3 among 5 keys. Which comparison is True for its real keys and False for the others?",
        "Number the keys from 0 and compare each number with the length of its row: (S,) against (B, 1).",
        "Insert two axes of size 1 between batch and keys, so that the mask spreads over heads and queries: "
        "mask[:, None, None, :].",
    ),
)


@padding.case("the first `length` keys of each row are real, with axes for heads and queries", weight=2)
def _(subject, trial):
    lengths = torch.tensor([4, 1, 6])
    trial.equal(subject(lengths, 6), oracle.padding_mask(lengths, 6))


@padding.case("a row of length zero hides all its keys, and keys may outnumber every length")
def _(subject, trial):
    lengths = torch.tensor([0, 3, 2, 5])
    trial.equal(subject(lengths, 7), oracle.padding_mask(lengths, 7))


@padding.case("a single row, and a single key")
def _(subject, trial):
    for lengths, size in (([3], 5), ([1], 1), ([1, 0, 1], 1)):
        expected = oracle.padding_mask(torch.tensor(lengths), size)
        trial.equal(subject(torch.tensor(lengths), size), expected, f"lengths {lengths}, {size} keys")


@padding.trial("right for random lengths", weight=3)
def _(subject, trial):
    for size in (1, 5, 13):
        lengths = trial.integers(0, size + 1, (8,))
        trial.equal(subject(lengths, size), oracle.padding_mask(lengths, size))


@padding.trial("padding has no effect on what the queries read")
def _(subject, trial):
    q, k, v = trial.normal((3, 2, 4, 6), (3, 2, 5, 6), (3, 2, 5, 3))
    lengths = torch.tensor([5, 2, 3])
    mask = subject(lengths, 5)
    k2, v2 = k.clone(), v.clone()
    for row, length in enumerate(lengths.tolist()):
        k2[row, :, length:], v2[row, :, length:] = 1e3, 1e3
    trial.equal(mask, oracle.padding_mask(lengths, 5))
    trial.close(oracle.attention(q, k2, v2, mask), oracle.attention(q, k, v, oracle.padding_mask(lengths, 5)))


# ----------------------------------------------------------------------------------------------------------------------

combine = Check(
    "combine_masks",
    hints=(
        "A key may be read when the first mask allows it and the second does too, and the third...",
        "The operator & works element by element on booleans and broadcasts (T, S) against (B, 1, 1, S). Skip None.",
    ),
)


@combine.case("causal and padding: a key must be allowed by both", weight=2)
def _(subject, trial):
    causal_part, padding_part = oracle.causal_mask(5, 5), oracle.padding_mask(torch.tensor([2, 5, 3]), 5)
    trial.equal(subject(causal_part, padding_part), oracle.all_of(causal_part, padding_part))


@combine.case("three masks of different shapes")
def _(subject, trial):
    masks = irregular_mask(trial, 4, 6), irregular_mask(trial, 2, 1, 1, 6), irregular_mask(trial, 3, 4, 6)
    trial.equal(subject(*masks), oracle.all_of(*masks))


@combine.case("None means no restriction")
def _(subject, trial):
    mask = irregular_mask(trial, 4, 6)
    trial.equal(subject(None, mask), mask)
    trial.equal(subject(mask, None), mask)


@combine.case("a mask that allows everything restricts nothing, and its shape counts")
def _(subject, trial):
    mask, everything = irregular_mask(trial, 4, 6), torch.ones(2, 1, 1, 6, dtype=torch.bool)
    trial.equal(subject(mask, everything), oracle.all_of(mask, everything))
    trial.equal(subject(everything), everything)


@combine.case("a mask that allows nothing is a restriction")
def _(subject, trial):
    mask, nothing = irregular_mask(trial, 4, 6), torch.zeros(2, 1, 1, 6, dtype=torch.bool)
    trial.equal(subject(mask, nothing), oracle.all_of(mask, nothing))
    trial.equal(subject(nothing), nothing)


@combine.case("no mask at all gives None")
def _(subject, trial):
    trial.equal(subject(None, None), None)
    trial.equal(subject(), None)


@combine.case("the masks that were handed over stay as they were, in any number and order")
def _(subject, trial):
    masks = [irregular_mask(trial, 5, 7) for _ in range(4)] + [irregular_mask(trial, 2, 1, 1, 7)]
    for count in range(1, 6):
        trial.equal(subject(*masks[:count]), oracle.all_of(*masks[:count]))
        trial.equal(subject(*masks[:count][::-1]), oracle.all_of(*masks[:count]))


# ----------------------------------------------------------------------------------------------------------------------

split = Check(
    "split_heads",
    hints=(
        "Which numbers of x[b, t] belong to head 1 when D = 6 and H = 3? They have to stay together.",
        "Cut the last dimension only: (B, T, D) becomes (B, T, H, d). Then two axes have to change places.",
        "Check one number by hand: result[0, 1, 2, 0] must be x[0, 2, d].",
    ),
)


@split.case("every number lands in its head, at its token", weight=2)
def _(subject, trial):
    x = torch.arange(2 * 5 * 12).reshape(2, 5, 12).float()
    trial.equal(subject(x, 3), oracle.split_heads(x, 3))


@split.case("one head keeps everything in place")
def _(subject, trial):
    x = trial.normal((3, 4, 6))
    trial.equal(subject(x, 1), oracle.split_heads(x, 1))


@split.case("every dtype stays what it is")
def _(subject, trial):
    for x in (trial.normal((2, 3, 8), dtype=torch.float64), trial.normal((2, 3, 8), dtype=torch.float16)):
        trial.equal(subject(x, 2), oracle.split_heads(x, 2))


@split.case("works on a tensor that is not contiguous")
def _(subject, trial):
    x = trial.strided(trial.normal((2, 7, 8)), "transposed")
    trial.equal(subject(x, 4), oracle.split_heads(x, 4))


@split.case("right for other shapes, and gradients find their way back")
def _(subject, trial):
    for B, T, H, d in ((1, 1, 2, 3), (2, 6, 5, 4), (3, 9, 2, 7)):
        x, cotangent = trial.normal((B, T, H * d), (B, H, T, d))
        out, (grad,) = subject.grad(x, H, cotangents=(cotangent,), wrt=(0,))
        trial.equal(out, oracle.split_heads(x, H))
        trial.equal(grad, oracle.merge_heads(cotangent))


merge = Check(
    "merge_heads",
    hints=(
        "In memory, which axis stands next to d: the tokens or the heads? Which one has to, in the result?",
        "Bring the heads next to d first: (B, H, T, d) becomes (B, T, H, d). Then the last two can be flattened.",
        "After a transpose the numbers do not lie in order any more: view refuses, reshape copies.",
    ),
)


@merge.case("every number lands at its token, heads side by side", weight=2)
def _(subject, trial):
    x = torch.arange(2 * 3 * 5 * 4).reshape(2, 3, 5, 4).float()
    trial.equal(subject(x), oracle.merge_heads(x))


@merge.case("every dtype stays what it is")
def _(subject, trial):
    for x in (trial.normal((2, 2, 3, 4), dtype=torch.float64), trial.normal((2, 2, 3, 4), dtype=torch.float16)):
        trial.equal(subject(x), oracle.merge_heads(x))


@merge.case("undoes a right split")
def _(subject, trial):
    x = trial.normal((2, 7, 12))
    trial.equal(subject(x.reshape(2, 7, 3, 4).transpose(1, 2)), x)


@merge.case("right for other shapes, and gradients find their way back")
def _(subject, trial):
    for B, H, T, d in ((1, 2, 1, 3), (2, 5, 6, 4), (3, 2, 9, 7)):
        x, cotangent = trial.normal((B, H, T, d), (B, T, H * d))
        out, (grad,) = subject.grad(x, cotangents=(cotangent,), wrt=(0,))
        trial.equal(out, oracle.merge_heads(x))
        trial.equal(grad, oracle.split_heads(cotangent, H))


# ----------------------------------------------------------------------------------------------------------------------

LINEARS = ("w_q", "w_k", "w_v", "w_o")
PARAMETERS = tuple(f"{name}.{part}" for name in LINEARS for part in ("weight", "bias"))


def random_state(trial, D):
    """Weights and biases of the four linear maps; scores come out a few units large."""
    state = {}
    for name in LINEARS:
        state[f"{name}.weight"] = trial.normal((D, D), spread=1.6 / math.sqrt(D))
        state[f"{name}.bias"] = trial.normal((D,), spread=0.5)
    return state


def loaded(subject, state, D, heads, **options):
    layer = subject.construct(D, heads, **options)
    subject.load_state(layer, state)
    return layer


mha = Check(
    "MultiHeadAttention",
    hints=(
        "Four linear maps of width D: three before the heads are split, one after they are merged. Your own functions "
        "do the rest.",
        "scaled_dot_product_attention returns the weights too: nn.Dropout acts on them, then they mix the values, then "
        "come merge_heads and w_o.",
    ),
    forbids=("attention",),
    kind="class",
)


@mha.case("equals the formula, head by head: output and weights", weight=3)
def _(subject, trial):
    x, state = trial.normal((2, 5, 12)), random_state(trial, 12)
    layer = loaded(subject, state, 12, 3)
    trial.close(subject.method(layer, "__call__", x), oracle.multi_head_attention(x, x, state, 3), condition=30)


@mha.case("respects a causal mask in every head", weight=2)
def _(subject, trial):
    x, state, mask = trial.normal((2, 5, 12)), random_state(trial, 12), oracle.causal_mask(5, 5)
    layer = loaded(subject, state, 12, 2)
    got = subject.method(layer, "__call__", x, mask)
    trial.close(got, oracle.multi_head_attention(x, x, state, 2, mask), condition=30)


@mha.case("a mask of shape (heads, T, T) is each head's own")
def _(subject, trial):
    x, state, mask = trial.normal((2, 5, 12)), random_state(trial, 12), irregular_mask(trial, 3, 5, 5)
    got = subject.method(loaded(subject, state, 12, 3), "__call__", x, mask)
    trial.close(got, oracle.multi_head_attention(x, x, state, 3, mask), condition=30)


@mha.case("hides padding in rows of different length")
def _(subject, trial):
    x, state = trial.normal((3, 6, 8)), random_state(trial, 8)
    mask = oracle.padding_mask(torch.tensor([6, 2, 4]), 6)
    layer = loaded(subject, state, 8, 4)
    got = subject.method(layer, "__call__", x, mask=mask)
    trial.close(got, oracle.multi_head_attention(x, x, state, 4, mask), condition=30)


@mha.case("a float mask is added, for each head its own: biases, and -inf hides")
def _(subject, trial):
    x, state = trial.normal((2, 5, 12)), random_state(trial, 12)
    bias = trial.normal((1, 3, 5, 5), spread=2).masked_fill(~irregular_mask(trial, 1, 3, 5, 5), -INF)
    got = subject.method(loaded(subject, state, 12, 3), "__call__", x, bias)
    trial.close(got, oracle.multi_head_attention(x, x, state, 3, bias), condition=30)


@mha.case("a query that may look at nothing has weights 0, and only the bias of w_o is left of it")
def _(subject, trial):
    x, state, mask = trial.normal((2, 5, 8)), random_state(trial, 8), irregular_mask(trial, 5, 5)
    mask[trial.integers(0, 5)] = False
    expected = oracle.multi_head_attention(x, x, state, 2, mask)
    layer = loaded(subject, state, 8, 2)
    trial.close(subject.method(layer, "__call__", x, mask), expected, "boolean mask", condition=30)
    bias = torch.zeros(5, 5).masked_fill(~mask, -INF)
    trial.close(subject.method(layer, "__call__", x, bias), expected, "float mask", condition=30)


@mha.case("in training, dropout acts on the weights: with probability 1 only the bias of w_o is left")
def _(subject, trial):
    x, state = trial.normal((2, 5, 6)), random_state(trial, 6)
    layer = loaded(subject, state, 6, 2, dropout=1.0)
    out, weights = subject.method(layer, "__call__", x)
    trial.close(out, state["w_o.bias"].expand(2, 5, 6).contiguous())
    expected = oracle.multi_head_attention(x, x, state, 2)[1]
    trial.close(weights, expected, "the weights that come back are those before dropout", condition=30)


@mha.case("in training, a mean over 400 values that are all 1 stays close to 1 with dropout 0.5")
def _(subject, trial):
    size = 400  # even weights: the mean has a standard deviation of 0.05 when weights are dropped
    state = {f"{name}.weight": torch.eye(2) if name == "w_o" else torch.zeros(2, 2) for name in LINEARS}
    state |= {f"{name}.bias": torch.full((2,), float(name == "w_v")) for name in LINEARS}
    layer = loaded(subject, state, 2, 1, dropout=0.5)
    out = subject.method(layer, "__call__", torch.zeros(1, size, 2))[0]
    for query in range(0, size, 100):
        says = "weights should be dropped, or grow by 1 / (1 - p), before they mix the values"
        trial.likely(out[0][query][0], 0.7, 1.3, says)
        trial.likely(out[0][query][0], 0.4, 1.6, says)  # 0 or 2 where the mixed values are dropped


@mha.case("in evaluation, dropout is off")
def _(subject, trial):
    x, state = trial.normal((2, 5, 6)), random_state(trial, 6)
    layer = loaded(subject, state, 6, 2, dropout=1.0)
    subject.method(layer, "eval")
    out = subject.method(layer, "__call__", x)[0]
    trial.close(out, oracle.multi_head_attention(x, x, state, 2)[0], condition=30)


@mha.case("gradients reach the input and all eight parameters", weight=2)
def _(subject, trial):
    x, state = trial.normal((2, 4, 6)), random_state(trial, 6)
    cotangents = (*[trial.normal((2, 4, 6))], None)
    layer = loaded(subject, state, 6, 3)
    _, grads, params = subject.grad_method(layer, "__call__", x, cotangents=cotangents, wrt=(0,), params=PARAMETERS)
    tensors = [x, *(state[name] for name in PARAMETERS)]
    expected = oracle.gradients(
        lambda x, *p: oracle.multi_head_attention(x, x, dict(zip(PARAMETERS, p, strict=True)), 3), tensors, cotangents
    )[1]
    trial.close(grads, expected[:1], "gradient of the input", condition=60)
    for name, want in zip(PARAMETERS, expected[1:], strict=True):
        if name != "w_k.bias":  # its true gradient is 0: a constant added to all scores of a row changes nothing
            trial.close(params[name], want, f"gradient of {name}", condition=60)


@mha.trial("equals torch's nn.MultiheadAttention with the same weights")
def _(subject, trial):
    x, state, mask = trial.normal((3, 7, 20)), random_state(trial, 20), oracle.causal_mask(7, 7)
    theirs = torch.nn.MultiheadAttention(20, 5, batch_first=True, dtype=torch.float64)
    packed = {f"in_proj_{part}": torch.cat([state[f"{n}.{part}"] for n in LINEARS[:3]]) for part in ("weight", "bias")}
    packed |= {f"out_proj.{part}": state[f"w_o.{part}"] for part in ("weight", "bias")}
    theirs.load_state_dict(packed)
    with torch.no_grad():
        wide = x.double()
        expected = theirs(wide, wide, wide, attn_mask=~mask, average_attn_weights=False)
    layer = loaded(subject, state, 20, 5)
    got = subject.method(layer, "__call__", x, mask)
    trial.close(got, tuple(e.to(x.dtype) for e in expected), condition=30)


@mha.trial("no position can read the future")
def _(subject, trial):
    x, state, mask = trial.normal((2, 6, 8)), random_state(trial, 8), oracle.causal_mask(6, 6)
    layer = loaded(subject, state, 8, 2)
    before = subject.method(layer, "__call__", x, mask)[0]
    changed = x.clone()
    changed[:, 4:] = trial.normal((2, 2, 8), spread=5)
    after = subject.method(layer, "__call__", changed, mask)[0]
    trial.close(after[:, :4], before[:, :4], "earlier outputs moved when a later token changed")
    moved = not torch.allclose(after[:, 4:], before[:, 4:])
    trial.true(moved, "later outputs did not move when their own token changed")


@mha.trial("each projection does its own work: switching one off has the effect the formula says")
def _(subject, trial):
    x, state = trial.normal((2, 5, 8)), random_state(trial, 8)
    for name in LINEARS[:3]:
        off = {key: torch.zeros_like(t) if key.startswith(name) else t for key, t in state.items()}
        got = subject.method(loaded(subject, off, 8, 4), "__call__", x)
        trial.close(got, oracle.multi_head_attention(x, x, off, 4), condition=30)


@mha.trial("in training, each weight is dropped or grows by 1 / (1 - p)")
def _(subject, trial):
    size, p = 40, 0.25
    eye, nothing = torch.eye(size), torch.zeros(size)
    state = {f"{n}.weight": trial.normal((size, size), spread=0.2) for n in ("w_q", "w_k")}
    state |= {"w_v.weight": eye, "w_o.weight": eye} | {f"{n}.bias": nothing for n in LINEARS}
    layer = loaded(subject, state, size, 1, dropout=p)
    out, weights = subject.method(layer, "__call__", eye[None])  # values are one-hot: the output is the dropped weights
    kept = out != 0
    trial.close(out, torch.where(kept, weights[:, 0] / (1 - p), 0.0), condition=30)
    trial.fits([int((~kept).sum()), int(kept.sum())], [p, 1 - p], "the share of dropped weights is not p")


@mha.trial("two calls in evaluation give the same answer")
def _(subject, trial):
    x, state = trial.normal((2, 5, 8)), random_state(trial, 8)
    layer = loaded(subject, state, 8, 2, dropout=0.5)
    subject.method(layer, "eval")
    first, second = (subject.method(layer, "__call__", x)[0] for _ in range(2))
    trial.equal(second, first)
    trial.close(first, oracle.multi_head_attention(x, x, state, 2)[0], condition=30)


@mha.case("a width that the heads do not divide raises ValueError")
def _(subject, trial):
    trial.raises("ValueError", lambda: subject.construct(10, 3), "MultiHeadAttention(10, 3) must raise ValueError")


# ----------------------------------------------------------------------------------------------------------------------

cross = Check(
    "CrossAttention",
    hints=(
        "Which length has the output: that of x or that of memory? One row belongs to each query.",
        "The one who needs something asks: queries are made from x. The one who is read is found by its keys and "
        "delivers its values: both are made from memory.",
        "Only the arguments of the linear maps differ from MultiHeadAttention: w_q(x), w_k(memory), w_v(memory).",
    ),
    forbids=("attention",),
    kind="class",
)


@cross.case("the decoder asks, the encoder's keys and values answer", weight=3)
def _(subject, trial):
    (x, memory), state = trial.normal((2, 4, 12), (2, 7, 12)), random_state(trial, 12)
    layer = loaded(subject, state, 12, 3)
    got = subject.method(layer, "__call__", x, memory)
    trial.close(got, oracle.multi_head_attention(x, memory, state, 3), condition=30)


@cross.case("right also when both sequences have the same length", weight=2)
def _(subject, trial):
    (x, memory), state = trial.normal((2, 5, 8), (2, 5, 8)), random_state(trial, 8)
    layer = loaded(subject, state, 8, 2)
    got = subject.method(layer, "__call__", x, memory)
    trial.close(got, oracle.multi_head_attention(x, memory, state, 2), condition=30)


@cross.case("padding of the source is hidden from every query")
def _(subject, trial):
    (x, memory), state = trial.normal((3, 4, 8), (3, 6, 8)), random_state(trial, 8)
    mask = oracle.padding_mask(torch.tensor([3, 6, 1]), 6)
    layer = loaded(subject, state, 8, 4)
    got = subject.method(layer, "__call__", x, memory, mask)
    trial.close(got, oracle.multi_head_attention(x, memory, state, 4, mask), condition=30)


@cross.case("a mask may be another one for each query and each head")
def _(subject, trial):
    (x, memory), state = trial.normal((2, 4, 12), (2, 6, 12)), random_state(trial, 12)
    layer = loaded(subject, state, 12, 3)
    for shape in ((2, 1, 4, 6), (2, 3, 4, 6)):
        mask = irregular_mask(trial, *shape)
        expected = oracle.multi_head_attention(x, memory, state, 3, mask)
        trial.close(subject.method(layer, "__call__", x, memory, mask), expected, f"a mask of {shape}", condition=30)


@cross.case("gradients reach both sequences")
def _(subject, trial):
    (x, memory), state = trial.normal((2, 3, 6), (2, 5, 6)), random_state(trial, 6)
    cotangents = (trial.normal((2, 3, 6)), None)
    layer = loaded(subject, state, 6, 2)
    _, grads, _ = subject.grad_method(layer, "__call__", x, memory, cotangents=cotangents, wrt=(0, 1))
    want = oracle.gradients(lambda a, b: oracle.multi_head_attention(a, b, state, 2), [x, memory], cotangents)[1]
    trial.close(grads, want, condition=60)


@cross.case("a source of padding only has weights 0, and only the bias of w_o is left")
def _(subject, trial):
    (x, memory), state = trial.normal((3, 4, 8), (3, 6, 8)), random_state(trial, 8)
    mask = oracle.padding_mask(torch.tensor([2, 0, 6]), 6)
    got = subject.method(loaded(subject, state, 8, 2), "__call__", x, memory, mask)
    trial.close(got, oracle.multi_head_attention(x, memory, state, 2, mask), condition=30)


@cross.case("what stands in the source's padding does not matter")
def _(subject, trial):
    (x, memory), state = trial.normal((2, 5, 8), (2, 6, 8)), random_state(trial, 8)
    mask = oracle.padding_mask(torch.tensor([2, 4]), 6)
    expected = oracle.multi_head_attention(x, memory, state, 2, mask)
    memory[0, 2:], memory[1, 4:] = 1e3, -1e3
    trial.close(subject.method(loaded(subject, state, 8, 2), "__call__", x, memory, mask), expected, condition=30)


@cross.case("a longer source than target, and the other way round")
def _(subject, trial):
    state = random_state(trial, 10)
    for T, S in ((1, 9), (9, 1), (3, 8)):
        x, memory = trial.normal((2, T, 10), (2, S, 10))
        got = subject.method(loaded(subject, state, 10, 5), "__call__", x, memory)
        trial.close(got, oracle.multi_head_attention(x, memory, state, 5), condition=30)


# ----------------------------------------------------------------------------------------------------------------------


def weights_like(trial, *shape, spread=2.0):
    """Attention weights: rows sum to 1."""
    return oracle.softmax(trial.normal(shape, spread=spread))


entropy = Check(
    "attention_entropy",
    hints=(
        "Work out the entropy of [0.5, 0.5, 0] by hand, then let torch do it. Which term differs?",
        "Add -w ln w along the keys. A weight of exactly 0 adds nothing, but 0 * ln 0 is NaN in floating point.",
        "torch.xlogy(w, w) computes w ln w and knows that 0 ln 0 is 0.",
    ),
)


@entropy.case("the entropy of each query's weights, in nats", weight=2)
def _(subject, trial):
    weights = weights_like(trial, 2, 3, 5, 7)
    trial.close(subject(weights), oracle.attention_entropy(weights), condition=4)


@entropy.case("rows from one key only (0) to an even spread (ln S)", weight=2)
def _(subject, trial):
    rows = torch.zeros(4, 8)
    rows[0, 0], rows[1, :2], rows[2], rows[3, 2], rows[3, 3] = 1, 0.5, 0.125, 0.75, 0.25
    weights = rows[trial.permutation(4)][:, trial.permutation(8)]
    trial.close(subject(weights), oracle.attention_entropy(weights))


@entropy.case("as many queries as keys: the rows are summed, not the columns")
def _(subject, trial):
    weights = weights_like(trial, 6, 6)
    trial.close(subject(weights), oracle.attention_entropy(weights), condition=4)


@entropy.case("very small weights count with their own logarithm")
def _(subject, trial):
    weights = weights_like(trial, 4, 3, 40, spread=8.0)
    trial.close(subject(weights), oracle.attention_entropy(weights), condition=8)


sink = Check(
    "sink_mass",
    hints=(
        "Take one head and one query: which weights do you add up? Then: which queries count, and over what is the "
        "mean?",
        "Add the weights of the first keys for each query: that is the query's sink mass. Then average, but not over "
        "the heads.",
        "Queries before `first` can see nothing but the sink: leave them out with weights[:, :, first:].",
    ),
)


@sink.case("one number for each head, from the queries that can look past the sink", weight=2)
def _(subject, trial):
    weights = weights_like(trial, 2, 3, 9, 9).tril()
    weights = weights / weights.sum(-1, keepdim=True)
    trial.close(subject(weights), oracle.sink_mass(weights))


@sink.case("another size of sink")
def _(subject, trial):
    weights = weights_like(trial, 3, 2, 7, 11)
    trial.close(subject(weights, first=2), oracle.sink_mass(weights, 2))
    trial.close(subject(weights, 1), oracle.sink_mass(weights, 1))


@sink.case("a head that looks at the first key only has mass 1, a head that looks at the last has 0")
def _(subject, trial):
    weights = torch.zeros(2, 2, 6, 8)
    weights[:, 0, :, 0] = 1.0
    weights[:, 1, :, 7] = 1.0
    trial.close(subject(weights), torch.tensor([1.0, 0.0]))


@sink.case("right for other shapes and sinks")
def _(subject, trial):
    for shape, first in (((1, 4, 12, 12), 4), ((3, 1, 5, 9), 3), ((2, 5, 6, 6), 5)):
        weights = weights_like(trial, *shape)
        trial.close(subject(weights, first), oracle.sink_mass(weights, first))


# ----------------------------------------------------------------------------------------------------------------------

cost = Check(
    "attention_cost",
    hints=(
        "Write down the shapes of each product: (n, D) x (D, D) four times; for each head (n, d) x (d, n) and "
        "(n, n) x (n, d). Then 2abc each.",
        "Adding up H heads of width D / H gives D again in the FLOPs. The weights have no width: there H stays.",
    ),
)


@cost.case("every term, for a small layer", weight=2)
def _(subject, trial):
    trial.equal(subject(10, 12, 3), oracle.attention_cost(10, 12, 3))


@cost.case("half as many bytes in float16, the same FLOPs")
def _(subject, trial):
    trial.equal(subject(7, 20, 5, bytes_per_number=2), oracle.attention_cost(7, 20, 5, 2))


@cost.case("GPT-2's small width at 1024 tokens")
def _(subject, trial):
    trial.equal(subject(1024, 768, 12), oracle.attention_cost(1024, 768, 12))


@cost.case("exact where a float is not: a hundred million tokens")
def _(subject, trial):
    trial.equal(subject(100_000_001, 40, 5), oracle.attention_cost(100_000_001, 40, 5))


@cost.trial("right for any layer, and exact where a float is not", weight=5)
def _(subject, trial):
    for _ in range(10):
        heads, width = trial.integers(1, 9), trial.integers(1, 33)
        args = (trial.integers(1, 5000), heads * width, heads, 2 ** trial.integers(0, 4))
        trial.equal(subject(*args), oracle.attention_cost(*args))
    trial.equal(subject(100_000_003, 40, 5)["score_flops"], 2 * 100_000_003**2 * 40)


# ----------------------------------------------------------------------------------------------------------------------

row_softmax = Kernel(
    "row_softmax",
    hints=(
        "Two numbers must be known of a whole row before its first weight can be written. What must a lane behind the "
        "end hold, so that it changes neither of them?",
        "Walk three times along the row: for its maximum, for the sum of exponentials, and to write. Lanes past the "
        "end hold -inf, which loses every maximum and adds exp(-inf) = 0.",
        "The address of column c of row r is x_ptr + r * x.stride(0) + c * x.stride(1), and the same with the output's "
        "own strides. One program for each row: grid (R,).",
    ),
)

masked = Kernel(
    "masked_scaled_softmax",
    hints=(
        "What has to come out of a column that is blocked, of one behind the end, and of a row in which all are "
        "blocked?",
        "Start from your row_softmax. A column counts when it lies in the row and the mask allows it: combine both in "
        "one tile of booleans, and use tl.where to give all other columns -inf.",
        "In a row without any allowed column the maximum is -inf and the sum 0: replace the maximum by 0 and the sum "
        "by 1 with tl.where, then every weight is 0 / 1.",
    ),
)


# ----------------------------------------------------------------------------------------------------------------------

# Ranges: 2000 runs, in groups of eleven, gave medians of 2.7 to 4.0 (same place) and 0.24 to 0.68 (causal).
permutation = Check(
    "permutation_finding",
    hints=(
        "x[ORDER] is the second sentence; A(x)[ORDER] are the outputs of the first sentence, put in the order of the "
        "second. Compare the right pair under each name.",
        "The causal mask is the same for both sentences: it belongs to positions, not to words.",
    ),
    legal=lambda runs: len(runs) % 2 == 1,  # one median
)


@permutation.case("position by position, the two sentences give different outputs")
def _(subject, trial):
    trial.between(subject(list(range(11)))["same_place"], 2.0, 5.0)


@permutation.case("word by word, the outputs are the same: attention is equivariant")
def _(subject, trial):
    trial.equal(subject(list(range(11)))["same_word"], 0.0, "each word should take its output along when it moves")


@permutation.case("with a causal mask, the outputs differ even word by word")
def _(subject, trial):
    trial.between(subject(list(range(11)))["causal_word"], 0.1, 1.0)


@permutation.trial("the finding holds for other word vectors", weight=3)
def _(subject, trial):
    found = subject([int(run) for run in trial.integers(100, 100_000, (15,))])
    trial.between(found["same_place"], 2.0, 5.0)
    trial.equal(found["same_word"], 0.0)
    trial.between(found["causal_word"], 0.1, 1.0)


def medians(runs, causal=None, names=("same_place", "same_word", "causal_word")):
    """The three medians, from the reference attention on the notebook's words. causal: its mask, or a wrong one."""
    order, found = [2, 3, 1, 0], []
    causal = oracle.causal_mask(4, 4) if causal is None else causal
    for run in runs:
        x = torch.randn(4, 16, generator=torch.Generator().manual_seed(run)).double()
        (before, after), (hidden, moved) = [
            [oracle.attention(y, y, y, mask)[0] for y in (x, x[order])] for mask in (None, causal)
        ]
        pairs = (after, before), (after, before[order]), (moved, hidden[order])
        found.append([(a - b).abs().max() for a, b in pairs])
    return dict(zip(names, torch.tensor(found).median(dim=0).values.tolist(), strict=True))


def clear_runs(trial, count):
    """Runs and their medians, rounded. They lie well away from where rounding to four decimals jumps, and masks that
    look at the future, all of it or one token, give another one."""
    wrong_masks = oracle.causal_mask(4, 4).mT, oracle.causal_mask(4, 5)[:, :-1]
    while True:
        runs = [int(run) for run in trial.integers(100, 100_000, (count,))]
        found, others = medians(runs), [medians(runs, mask)["causal_word"] for mask in wrong_masks]
        others += [medians(runs[:1])["causal_word"], medians(runs[-1:])["causal_word"]] if count > 1 else []
        seen = all(abs(found["causal_word"] - other) > 1e-3 for other in others)
        if seen and all(abs(1e4 * value % 1 - 0.5) > 0.05 for value in found.values()):
            return runs, {name: round(value, 4) for name, value in found.items()}


@permutation.case("each number is the median of the largest differences, rounded to four decimals")
def _(subject, trial):
    for count in (1, 5, 9):
        runs, expected = clear_runs(trial, count)
        found = subject(runs)
        for name, number in expected.items():
            trial.equal(found[name], number, f"{name} of {count} run{'s' if count > 1 else ''}")


@permutation.trial("each number is the median over the runs of the largest difference, to four decimals")
def _(subject, trial):
    for count in (1, 7, 9):
        runs, expected = clear_runs(trial, count)
        found = subject(runs)
        for name, number in expected.items():
            trial.between(found[name], number - 1e-4, number + 1e-4, f"{name} of {count} runs")
            trial.equal(found[name], round(float(found[name]), 4), f"{name} should be rounded to four decimals")


backward = Check(
    "attention_backward",
    hints=(
        "Walk backwards: from out = P V to P and V, from P to the scores S, from S to q and k. After each step compare "
        "the shape of a gradient with the shape of what it belongs to.",
        "Put the softmax's Jacobian into the sum over j. The delta leaves one term, the other one is the same sum for "
        "every score of a row: keep it with keepdim.",
        "S is q k^T times 1 / sqrt(d_k), plus the mask. A factor of the forward pass is a factor of the backward pass, "
        "so it reaches dq and dk. It does not stand between V and the output.",
    ),
    forbids=("autograd",),
)

NAMES = ("dq", "dk", "dv")


def compare_gradients(subject, trial, inputs, mask=None, condition=60, says="", only=NAMES):
    """inputs: q, k, v, grad_out. Expected: autograd in float64, through the attention that visits query by query."""
    found = subject(*inputs) if mask is None else subject(*inputs, mask)
    _, expected = oracle.gradients(lambda *qkv: oracle.attention(*qkv, mask)[0], inputs[:3], [inputs[3]])
    for number, name in enumerate(NAMES):
        if name in only:
            trial.close(found[number], expected[number], f"{name}{says}", condition=condition)


def backward_inputs(trial, T, S, d=8, e=5, spread=1.5, lead=(3,)):
    """q, k, v as for attention, and a gradient of the output."""
    return (*attention_inputs(trial, T, S, d, e, spread, lead), trial.normal((*lead, T, e)))


@backward.case("dv: each value gets what the queries that read it are told, by their weights")
def _(subject, trial):
    compare_gradients(subject, trial, backward_inputs(trial, 6, 9), only=("dv",))


@backward.case("dq, for fewer queries than keys", weight=2)
def _(subject, trial):
    compare_gradients(subject, trial, backward_inputs(trial, 6, 9), only=("dq",))


@backward.case("dk, for fewer queries than keys", weight=2)
def _(subject, trial):
    compare_gradients(subject, trial, backward_inputs(trial, 6, 9), only=("dk",))


@backward.case("as many queries as keys, values as wide as queries, batch and heads", weight=2)
def _(subject, trial):
    compare_gradients(subject, trial, backward_inputs(trial, 6, 6, d=7, e=7, lead=(2, 3)))


@backward.case("wide heads: the scale of the scores is in dq and dk, and not in dv")
def _(subject, trial):
    compare_gradients(subject, trial, backward_inputs(trial, 5, 7, d=40, e=3, spread=1.0))


@backward.case("a boolean mask: hidden keys get nothing, and the others what they get without them", weight=2)
def _(subject, trial):
    inputs = backward_inputs(trial, 6, 9, lead=(2, 3))
    for shape in ((6, 9), (2, 1, 1, 9)):
        compare_gradients(subject, trial, inputs, irregular_mask(trial, *shape), says=f" under a mask of shape {shape}")


@backward.case("a float mask: biases, and -inf hides")
def _(subject, trial):
    inputs = backward_inputs(trial, 6, 6)
    bias = trial.normal((3, 6, 6), spread=2).masked_fill(~irregular_mask(trial, 3, 6, 6), -INF)
    compare_gradients(subject, trial, inputs, bias)


@backward.case("a query that may look at nothing adds nothing, and its row of dq is 0", weight=2)
def _(subject, trial):
    inputs, mask = backward_inputs(trial, 5, 7), irregular_mask(trial, 5, 7)
    mask[trial.integers(0, 5)] = False
    compare_gradients(subject, trial, inputs, mask, says=" under a boolean mask")
    bias = torch.zeros(5, 7).masked_fill(~mask, -INF)
    compare_gradients(subject, trial, inputs, bias, says=" under a float mask")


@backward.case("large scores are safe")
def _(subject, trial):
    q, k, v, grad_out = backward_inputs(trial, 4, 6, spread=12)
    # pairs of keys nearly alike: no key is alone at the top, so gradients pass
    k[..., 1::2, :] = k[..., ::2, :] + trial.normal(tuple(k[..., ::2, :].shape), spread=0.05)
    compare_gradients(subject, trial, (q, k, v, grad_out), condition=5000)  # dq is a sum of nearly opposite terms


@backward.case("a mask of shape (heads, T, S), or of shape (S,), acts as in the forward pass")
def _(subject, trial):
    inputs = backward_inputs(trial, 5, 5, lead=(3, 3))
    compare_gradients(subject, trial, inputs, irregular_mask(trial, 3, 5, 5), says=" under a mask of (3, 5, 5)")
    keys = torch.tensor([True, False, True, True, False])[trial.permutation(5)]
    compare_gradients(subject, trial, inputs, keys, says=" under a mask of (5,)")


@backward.case("heads that were split and transposed")
def _(subject, trial):
    made = trial.normal((2, 5, 3, 8), (2, 7, 3, 8), (2, 7, 3, 4), (2, 5, 3, 4), spread=1.5)
    compare_gradients(subject, trial, tuple(x.transpose(1, 2) for x in made))


@backward.case("one query only, and the values of one key")
def _(subject, trial):
    compare_gradients(subject, trial, backward_inputs(trial, 1, 5, lead=()), says=" for one query")
    compare_gradients(subject, trial, backward_inputs(trial, 4, 1), says=" for one key", only=("dv",))


@backward.trial("one key only: nothing to choose, so dq and dk are 0")
def _(subject, trial):
    q, k, v, grad_out = backward_inputs(trial, 4, 1)
    dq, dk, _ = subject(q, k, v, grad_out)
    trial.close(torch.cat([dq, q]), torch.cat([torch.zeros_like(q), q]), "dq for one key", condition=60)
    trial.close(torch.cat([dk, k]), torch.cat([torch.zeros_like(k), k]), "dk for one key", condition=60)


@backward.case("no batch and no heads, and any memory layout")
def _(subject, trial):
    inputs = backward_inputs(trial, 6, 10, d=12, e=4, lead=())
    compare_gradients(subject, trial, inputs)
    layouts = ("transposed", "every_other", "offset", "transposed")
    laid = tuple(trial.strided(x, layout) for x, layout in zip(inputs, layouts, strict=True))
    compare_gradients(subject, trial, laid, says=" for inputs that are not contiguous")


@backward.case("float64 stays float64 and keeps its precision: torch's own attention, differentiated by torch")
def _(subject, trial):
    inputs, mask = [x.double() for x in backward_inputs(trial, 6, 10)], irregular_mask(trial, 3, 6, 10)
    attend = torch.nn.functional.scaled_dot_product_attention
    _, expected = oracle.gradients(lambda *qkv: attend(*qkv, mask), inputs[:3], inputs[3:])
    trial.close(subject(*inputs, mask), expected, condition=60)


# 500 seeds for each width; the ranges are a little wider than what came out.
SATURATION = {
    "raw_entropy": ((0.24, 0.47), (0.07, 0.23), (0.02, 0.14), (0.005, 0.08)),
    "raw_gradient": ((0.42, 0.73), (0.15, 0.45), (0.05, 0.30), (0.01, 0.19)),
    "scaled_entropy": ((0.85, 0.92),) * 4,
    "scaled_gradient": ((0.94, 0.975),) * 4,
}

saturation = Check(
    "saturation_finding",
    hints=(
        "For each seed draw queries (64, d) and keys (64, d); their products (64, 64) are the scores. One softmax as "
        "they are, one after dividing by sqrt(d).",
        "attention_entropy gives nats: divide by math.log(64). The trace of the Jacobian is the sum of w (1 - w), "
        "which is 1 - sum w^2.",
    ),
    kind="value",
)


def in_ranges(subject, trial, name, says):
    found = subject.value()
    for width, (low, high) in enumerate(SATURATION[name]):
        for run in range(10):
            trial.between(found[name][width][run], low, high, says)


@saturation.case("without the scale, wide heads read almost a single key")
def _(subject, trial):
    in_ranges(subject, trial, "raw_entropy", "raw_entropy should fall from about 0.3 to below 0.1")


@saturation.case("with the scale, the entropy does not depend on the width")
def _(subject, trial):
    in_ranges(subject, trial, "scaled_entropy", "scaled_entropy should be nearly the same, below 1, for all widths")


@saturation.case("without the scale, the gradient dies with the width")
def _(subject, trial):
    in_ranges(subject, trial, "raw_gradient", "raw_gradient should fall from above 0.4 to below 0.2")


@saturation.case("with the scale, the gradient passes at every width")
def _(subject, trial):
    in_ranges(subject, trial, "scaled_gradient", "scaled_gradient should be close to 1, but not 1, for all widths")


@saturation.case("ten seeds give ten different numbers")
def _(subject, trial):
    found = subject.value()
    for name in SATURATION:
        for width in range(4):
            says = f"{name}: each seed has draws of its own"
            trial.different([found[name][width][run] for run in range(10)], says)


@saturation.trial("in all four tables each width has the numbers of ten seeds, all different")
def _(subject, trial):
    found = subject.value()
    for name in SATURATION:
        in_ranges(subject, trial, name, f"{name} is out of range")
        different = [(len(row), len({float(number) for number in row})) for row in found[name]]
        trial.true(different == [(10, 10)] * 4, f"{name} should have four rows of ten different numbers")


# ----------------------------------------------------------------------------------------------------------------------

repaired_cross = Check(
    "repaired_cross_attention",
    hints=(
        "Print the shapes of queries, keys and values for five words and three words. Which pair does not fit, and "
        "why does it fit for five and five?",
        "The output needs one row for each decoder position. Which of queries, keys and values sets that number?",
        "Whoever is read supplies both what it is found by (the key) and what it delivers (the value).",
    ),
    forbids=("attention",),
)


def reference_cross(decoder_states, encoder_states, w_q, w_k, w_v):
    pairs = (decoder_states, w_q), (encoder_states, w_k), (encoder_states, w_v)
    q, k, v = (states.double() @ w.double() for states, w in pairs)
    return oracle.attention(q, k, v)[0].to(decoder_states.dtype)


@repaired_cross.case("five words into three words: one row for each decoder position", weight=2)
def _(subject, trial):
    inputs = trial.normal((2, 3, 8), (2, 5, 8), (8, 8), (8, 8), (8, 8), spread=0.8)
    trial.close(subject(*inputs), reference_cross(*inputs), condition=30)


@repaired_cross.case("right also when both sentences have the same length", weight=2)
def _(subject, trial):
    inputs = trial.normal((2, 4, 6), (2, 4, 6), (6, 6), (6, 6), (6, 6), spread=0.8)
    trial.close(subject(*inputs), reference_cross(*inputs), condition=30)


@repaired_cross.case("gradients reach both sequences and all three maps")
def _(subject, trial):
    inputs, cotangent = trial.normal((2, 3, 6), (2, 5, 6), (6, 6), (6, 6), (6, 6), spread=0.8), trial.normal((2, 3, 6))
    _, grads = subject.grad(*inputs, cotangents=(cotangent,), wrt=(0, 1, 2, 3, 4))
    trial.close(grads, oracle.gradients(reference_cross, inputs, (cotangent,))[1], condition=100)


@repaired_cross.case("scores in the hundreds are safe")
def _(subject, trial):
    inputs = trial.normal((2, 3, 8), (2, 5, 8), (8, 8), (8, 8), (8, 8), spread=3)
    trial.close(subject(*inputs), reference_cross(*inputs), condition=3000)


@repaired_cross.trial("changing the source changes the output, changing one decoder row changes that row only")
def _(subject, trial):
    x, memory, *maps = trial.normal((2, 4, 6), (2, 7, 6), (6, 6), (6, 6), (6, 6), spread=0.8)
    before = subject(x, memory, *maps)
    other = x.clone()
    other[:, 2] = trial.normal((2, 6), spread=2)
    after = subject(other, memory, *maps)
    trial.close(after[:, [0, 1, 3]], before[:, [0, 1, 3]], "another decoder position moved too")
    trial.close(subject(x, memory.flip(-1), *maps), reference_cross(x, memory.flip(-1), *maps), condition=30)


repaired_mask = Check(
    "repaired_masking",
    hints=(
        "What does 0 say in a mask that is added, and what does it say in one that is asked for truth?",
        "The two conventions can be told apart by dtype: bool says True = may look, float is added. Anything else is a "
        "question only its author can answer.",
        "Turn a boolean mask into 0 and -inf with masked_fill, add, and treat rows that are -inf everywhere as in "
        "scaled_dot_product_attention.",
    ),
    forbids=("attention",),
)


@repaired_mask.case("an additive causal mask hides the future", weight=2)
def _(subject, trial):
    logits = trial.normal((2, 5, 5), spread=2)
    mask = torch.zeros(5, 5).masked_fill(~oracle.causal_mask(5, 5), -INF)
    trial.close(subject(logits, mask), oracle.masked_softmax(logits, mask), condition=8)


@repaired_mask.case("a boolean mask hides where it is False", weight=2)
def _(subject, trial):
    logits, mask = trial.normal((2, 5, 7), spread=2), irregular_mask(trial, 5, 7)
    trial.close(subject(logits, mask), oracle.masked_softmax(logits, mask), condition=8)


@repaired_mask.case("a finite bias is added")
def _(subject, trial):
    logits, bias = trial.normal((2, 4, 6), (4, 6), spread=2)
    trial.close(subject(logits, bias), oracle.masked_softmax(logits, bias), condition=12)


@repaired_mask.case("a row that may look at nothing is all zero")
def _(subject, trial):
    logits, mask = trial.normal((2, 4, 6), spread=2), irregular_mask(trial, 4, 6)
    mask[1] = False
    trial.close(subject(logits, mask), oracle.masked_softmax(logits, mask), "boolean mask", condition=8)
    bias = torch.zeros(4, 6).masked_fill(~mask, -INF)
    trial.close(subject(logits, bias), oracle.masked_softmax(logits, bias), "float mask", condition=8)


@repaired_mask.case("logits near -100,000 and below -10^9 hide nothing: only -inf does")
def _(subject, trial):
    logits, mask = trial.normal((2, 4, 6), spread=3, mean=-1e5), irregular_mask(trial, 4, 6)
    trial.close(subject(logits, mask), oracle.masked_softmax(logits, mask), condition=30)
    logits = trial.normal((2, 4, 6), spread=1e8, mean=-5e9)
    trial.close(subject(logits, mask), oracle.masked_softmax(logits, mask), "logits near -5 * 10^9")


@repaired_mask.case("gradients reach the logits")
def _(subject, trial):
    (logits, cotangent), mask = trial.normal((2, 4, 6), (2, 4, 6), spread=2), irregular_mask(trial, 4, 6)
    expected = oracle.gradients(lambda x: _softmax_of_allowed(x, mask), [logits], (cotangent,))[1]
    for kind, given in (("boolean", mask), ("float", torch.zeros(4, 6).masked_fill(~mask, -INF))):
        _, grads = subject.grad(logits, given, cotangents=(cotangent,), wrt=(0,))
        trial.close(grads, expected, f"gradients under a {kind} mask", condition=12)


def _softmax_of_allowed(logits, mask):
    """By its formula: exponentials of what is allowed, over their sum."""
    terms = logits.exp() * mask
    return terms / terms.sum(-1, keepdim=True)


@repaired_mask.case("logits of several hundred are safe")
def _(subject, trial):
    logits, mask = trial.normal((2, 5, 7), spread=150), irregular_mask(trial, 5, 7)
    trial.close(subject(logits, mask), oracle.masked_softmax(logits, mask), condition=600)


@repaired_mask.case("a float mask of the full shape, and of another float dtype than the logits")
def _(subject, trial):
    logits, bias = trial.normal((2, 4, 6), (2, 4, 6), spread=2)
    trial.close(subject(logits, bias), oracle.masked_softmax(logits, bias), condition=12)
    wide = logits.double()
    expected = oracle.masked_softmax(wide, bias)
    trial.close(subject(wide, bias), expected, "float64 logits, float32 mask", condition=12)
    for given, dtype in ((wide, torch.float64), (logits, torch.float16), (logits, torch.bfloat16)):
        mask = trial.normal((4, 6), dtype=dtype)
        expected = oracle.masked_softmax(given, mask.to(given.dtype))
        trial.close(subject(given, mask), expected, f"{given.dtype} logits, {dtype} mask", condition=12)


@repaired_mask.case("an integer mask raises TypeError instead of being guessed")
def _(subject, trial):
    logits, mask = trial.normal((4, 6)), irregular_mask(trial, 4, 6)
    for dtype in (torch.int64, torch.uint8):
        says = f"a mask of {dtype} must raise TypeError"
        trial.raises("TypeError", lambda dtype=dtype: subject(logits, mask.to(dtype)), says)
