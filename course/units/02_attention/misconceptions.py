"""Wrong answers to the exercises of unit 02 that learners really give.

A cell is an edit of the solution, or a whole answer where a mistake is no small edit. Its docstring is what learners
read: an explanation, then a next step. Only these sentences ship, never the code.
"""

# %% exercise="stable_softmax" wrong="no_maximum"
"""What goes into the exponential is too far from 0: near 300 it becomes infinite, near -500 every one of them zero.

Which constant can you subtract from a whole row without changing its softmax?
"""
edit("(x - x.amax(dim=dim, keepdim=True)).exp()", "x.exp()")

# %% exercise="stable_softmax" wrong="one_maximum_for_all_rows"
"""One maximum is taken over the whole tensor: a row far below it underflows to zero over zero.

Take the maximum along `dim` and keep that dimension, so that every row has its own.
"""
edit("x.amax(dim=dim, keepdim=True)", "x.max()")

# %% exercise="stable_softmax" wrong="maximum_starts_at_zero"
"""The number that is subtracted never goes below zero, so rows that are negative everywhere still underflow.

What is exp(-500), and what would you have to subtract so that one entry of such a row becomes exp(0)?
"""
edit("x.amax(dim=dim, keepdim=True)", "x.amax(dim=dim, keepdim=True).clamp(min=0)")

# %% exercise="stable_softmax" wrong="always_the_last_dimension"
"""The argument `dim` is not used: the weights always sum to one along the last dimension.

Call it with dim=1 on a tensor of shape (2, 3, 4) and add the result up along dim 1.
"""
edit("dim=dim", "dim=-1", times=2)

# %% exercise="stable_softmax" wrong="divides_by_the_grand_total"
"""The sum runs over the whole tensor, so all rows together sum to one instead of each.

What must add up to one: the tensor, or every row of it?
"""
edit("shifted.sum(dim=dim, keepdim=True)", "shifted.sum()")

# %% exercise="stable_softmax" wrong="subtracts_the_mean"
"""The mean is subtracted instead of the maximum: one large entry still overflows, and one of -inf makes it -inf.

How large can x - mean(x) get? How large can x - max(x) get?
"""
edit("x.amax(dim=dim, keepdim=True)", "x.mean(dim=dim, keepdim=True)")

# %% exercise="stable_softmax" wrong="changes_its_argument"
"""The maximum is subtracted in place (`-=`): the caller's scores are changed.

Look at x before and after the call. Which operator makes a new tensor?
"""
edit(
    "shifted = (x - x.amax(dim=dim, keepdim=True)).exp()",
    """
    x -= x.amax(dim=dim, keepdim=True).detach()
    shifted = x.exp()
    """,
)

# %% exercise="stable_softmax" wrong="cut_off_from_autograd"
"""The weights are right, but they are computed from a detached copy, so no gradient can flow back.

Which of your operations leaves the graph: `.detach()`, `.data`, `.numpy()`, `torch.no_grad()`?
"""
edit("(x - x.amax(dim=dim, keepdim=True)).exp()", "(x - x.amax(dim=dim, keepdim=True)).detach().exp()")

# %% exercise="stable_softmax" wrong="always_float32"
"""The scores become float32 on the way: float64 comes back with half of its digits, and with another dtype.

Which dtype has x, and which has your result?
"""
edit("(x - x.amax(dim=dim, keepdim=True)).exp()", "(x.float() - x.float().amax(dim=dim, keepdim=True)).exp()")

# %% exercise="stable_softmax" wrong="mean_of_the_finite_entries"
"""The mean of the finite entries is subtracted instead of the maximum: one large entry still overflows.

How large can x - mean(x) get? How large can x - max(x) get?
"""
edit(
    "shifted = (x - x.amax(dim=dim, keepdim=True)).exp()",
    """
    finite = x > -math.inf
    mean = torch.where(finite, x, 0.0).sum(dim=dim, keepdim=True) / finite.sum(dim=dim, keepdim=True)
    shifted = (x - mean).exp()
    """,
)

# %% exercise="stable_softmax" wrong="divides_by_the_maximum"
"""The scores are divided by their maximum instead of being lowered by it: the distances between them shrink, and the
weights come out nearly even.

Take the scores 1 and 2. What is exp(2) / exp(1), and what becomes of it when you halve both, or take 2 from both?
"""
edit("(x - x.amax(dim=dim, keepdim=True)).exp()", "(x / x.amax(dim=dim, keepdim=True)).exp()")

# %% exercise="stable_softmax" wrong="maximum_along_the_last_dimension"
"""The maximum is always taken along the last dimension, the sum along `dim`: entries that are summed together were
lowered by different numbers.

What may differ from row to row, and must be the same within a row? Give both reductions the same `dim`.
"""
edit("x.amax(dim=dim, keepdim=True)", "x.amax(dim=-1, keepdim=True)")

# %% exercise="scaled_dot_product_attention" wrong="no_scale"
"""The scores are not divided by sqrt(d_k): the wider the head, the sharper its softmax.

What is the variance of a sum of d_k products of independent numbers with variance 1?
"""
edit("q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])", "q @ k.transpose(-2, -1)")

# %% exercise="scaled_dot_product_attention" wrong="divides_by_d"
"""The scores are divided by d_k instead of sqrt(d_k): the weights become nearly even.

A sum of d_k independent products has variance d_k. How large is it typically: d_k, or sqrt(d_k)?
"""
edit("math.sqrt(q.shape[-1])", "q.shape[-1]")

# %% exercise="scaled_dot_product_attention" wrong="scale_by_value_width"
"""The scale uses the width of the values. The dot product runs over the width of queries and keys.

Over which dimension does q k^T sum? Its size goes under the root.
"""
edit("math.sqrt(q.shape[-1])", "math.sqrt(v.shape[-1])")

# %% exercise="scaled_dot_product_attention" wrong="softmax_over_queries"
"""The softmax runs over the queries: columns of the weights sum to one instead of rows.

For one query, what must add up to one?
"""
edit("stable_softmax(scores)", "stable_softmax(scores, dim=-2)")
edit(
    "stable_softmax(scores.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)",
    "stable_softmax(scores, dim=-2).nan_to_num()",
)

# %% exercise="scaled_dot_product_attention" wrong="scores_transposed"
"""The scores are K Q^T: row i belongs to key i instead of query i.

Write down the shape of the scores for 3 queries and 7 keys.
"""
edit("q @ k.transpose(-2, -1)", "k @ q.transpose(-2, -1)")

# %% exercise="scaled_dot_product_attention" wrong="weights_transposed"
"""The weights are transposed before they mix the values.

Set v to the identity matrix. What should come out? What comes out?
"""
edit("weights @ v", "weights.transpose(-2, -1) @ v", times=2)

# %% exercise="scaled_dot_product_attention" wrong="mask_after_softmax"
"""The mask is applied after the softmax, so the rows no longer sum to one and hidden keys still count in the
denominator.

When do you hide the future: before the weights are made, or after?
"""
edit(
    """
    scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)  # (..., T, 1) queries with nothing to read
    weights = stable_softmax(scores.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)
    """,
    """
    if mask.dtype != torch.bool:
        scores = scores + mask.clamp(min=-50.0)
    weights = stable_softmax(scores) * (mask if mask.dtype == torch.bool else mask > -math.inf)
    """,
)

# %% exercise="scaled_dot_product_attention" wrong="polarity_inverted"
"""The boolean mask is read the wrong way round: keys with True are hidden, keys with False are read.

In this unit True means "may look". What does row 0 of a causal mask look like?
"""
edit("masked_fill(~mask, -math.inf)", "masked_fill(mask, -math.inf)")

# %% exercise="scaled_dot_product_attention" wrong="zero_times_infinity"
"""The boolean mask becomes (1 - mask) * -inf, and 0 * -inf is NaN: every allowed key is poisoned.

What is 0 times infinity? Use masked_fill or torch.where instead of a product.
"""
edit("scores.masked_fill(~mask, -math.inf)", "scores + (1 - mask.to(scores.dtype)) * -math.inf")

# %% exercise="scaled_dot_product_attention" wrong="nan_in_an_empty_row"
"""A query that may look at nothing gets NaN: its softmax divides zero by zero, and the NaN spreads.

What should a query with nothing to read return? Treat these rows separately.
"""
edit("stable_softmax(scores.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)", "stable_softmax(scores)")

# %% exercise="scaled_dot_product_attention" wrong="nan_only_covered_up"
"""The NaN of an empty row is replaced after the softmax: the output looks right, but under a float mask the gradient
is still NaN.

The backward pass goes through the softmax of that row. Give it finite numbers before the softmax, zeros after it.
"""
edit("stable_softmax(scores.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)", "stable_softmax(scores).nan_to_num()")

# %% exercise="scaled_dot_product_attention" wrong="even_weights_in_an_empty_row"
"""Hidden scores become a large negative number such as -1e9: a row without any allowed key then attends to all of them.

All scores of such a row are equal. What does a softmax make of equal scores?
"""
edit("masked_fill(~mask, -math.inf)", "masked_fill(~mask, -1e9)")
edit("scores + mask", "scores + mask.clamp(min=-1e9)")

# %% exercise="scaled_dot_product_attention" wrong="scores_times_mask"
"""Hidden scores are multiplied by zero: a score of 0 still gets the weight exp(0) = 1 before normalising.

Which score has no weight at all after the exponential?
"""
edit("scores.masked_fill(~mask, -math.inf)", "scores * mask")
edit("scores + mask", "scores + mask.clamp(min=-1e4)")

# %% exercise="scaled_dot_product_attention" wrong="bias_taken_for_a_switch"
"""A float mask is only asked whether it is -inf; its finite numbers, which are biases, are lost.

A float mask is added to the scaled scores, all of it.
"""
edit("scores + mask", "scores.masked_fill(mask == -math.inf, -math.inf)")

# %% exercise="scaled_dot_product_attention" wrong="scale_after_the_mask"
"""The float mask is added before the division, so biases are divided by sqrt(d_k) too.

A float mask is added to the scaled scores. In which order do the two operations come?
"""
edit("scores + mask", "scores + mask / math.sqrt(q.shape[-1])")

# %% exercise="scaled_dot_product_attention" wrong="changes_the_query"
"""The scale is applied to q in place (`q /= ...`): the caller's queries shrink at every call.

Which operator makes a new tensor: `q /= s`, or `q = q / s`?
"""
edit(
    "scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])",
    """
    with torch.no_grad():
        q /= math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1)
    """,
)

# %% exercise="scaled_dot_product_attention" wrong="nan_covered_up_under_every_mask"
"""The NaN of an empty row is replaced after the softmax: the output looks right, but the gradient of queries and keys
is still NaN.

The backward pass goes through the softmax of that row. Give it finite numbers before the softmax, zeros after it.
"""
edit("scores.masked_fill(~mask, -math.inf)", "scores + torch.zeros(mask.shape).masked_fill(~mask, -math.inf)")
edit("stable_softmax(scores.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)", "stable_softmax(scores).nan_to_num()")

# %% exercise="scaled_dot_product_attention" wrong="empty_rows_of_boolean_masks_only"
"""Rows that may look at nothing are treated under a boolean mask only: under a float mask of -inf they are still NaN.

Ask the scores after the mask has acted, not the mask: which rows are -inf everywhere?
"""
edit("(scores == -math.inf)", "(~mask if mask.dtype == torch.bool else mask.isnan())")

# %% exercise="causal_mask" wrong="cannot_see_itself"
"""A token may not look at itself: the diagonal is blocked, and the first token has nothing to read at all.

May token 0 look at token 0?
"""
edit("positions <= positions", "positions < positions")

# %% exercise="causal_mask" wrong="one_future_token"
"""Off by one: position t may see token t + 1, one token of the future.

Which is the last key that query 0 may read in causal_mask(5, 5)?
"""
edit("positions[n_keys - n_queries :, None]", "positions[n_keys - n_queries :, None] + 1")

# %% exercise="causal_mask" wrong="queries_start_at_zero"
"""With fewer queries than keys the diagonal starts at key 0, as if the queries were the first positions.

The queries are the last ones: causal_mask(2, 6) must equal the last two rows of causal_mask(6, 6).
"""
edit("positions[n_keys - n_queries :, None]", "positions[:n_queries, None]")

# %% exercise="causal_mask" wrong="true_means_hide"
"""The mask says True where a query may NOT look. In this unit True means "may look".

Print the first row of causal_mask(4, 4): how many True should it have?
"""
edit("positions <= positions", "positions > positions")

# %% exercise="causal_mask" wrong="sees_only_the_future"
"""The triangle is upside down: each token sees itself and what comes after it.

tril or triu? Rows are queries, columns are keys.
"""
edit("positions <= positions", "positions >= positions")

# %% exercise="causal_mask" wrong="additive_mask"
"""This is an additive mask of 0 and -inf; the exercise asks for a boolean one, True = may look.

Which dtype has the result? Compare positions instead of filling in -inf.
"""
edit(
    "return positions <= positions[n_keys - n_queries :, None]",
    "return torch.where(positions <= positions[n_keys - n_queries :, None], 0.0, -math.inf)",
)

# %% exercise="padding_mask" wrong="hides_queries"
"""The mask stands on the query axis, so it hides what padding asks instead of hiding padding from everybody.

Who must not be looked at: keys or queries? Which axis of (B, H, T, S) is that?
"""
edit("real[:, None, None, :]", "real[:, None, :, None]")

# %% exercise="padding_mask" wrong="true_means_padding"
"""The mask is True on padding. In this unit True means "may look".

Which keys may be read: those before `length`, or those from `length` on?
"""
edit("torch.arange(n_keys) < lengths", "torch.arange(n_keys) >= lengths")

# %% exercise="padding_mask" wrong="one_pad_too_many"
"""Off by one: a row of length n also reads key n, which is the first padding token.

A row of length 3 has the keys 0, 1 and 2. Is it < or <=?
"""
edit("torch.arange(n_keys) < lengths", "torch.arange(n_keys) <= lengths")

# %% exercise="padding_mask" wrong="padding_on_the_left"
"""The real tokens are taken from the end of the row, as if the padding stood on the left.

Real tokens stand first here. Which key is the last real one of a row of length 2?
"""
edit("torch.arange(n_keys) < lengths", "torch.arange(n_keys) >= n_keys - lengths")

# %% exercise="padding_mask" wrong="no_axes_for_heads_and_queries"
"""The shape is (B, S): against (B, H, T, S) it lines up with queries and keys instead of with the batch.

Broadcasting aligns shapes from the right. Where do you need axes of size 1?
"""
edit("real[:, None, None, :]", "real")

# %% exercise="padding_mask" wrong="longest_row_for_all"
"""Every row gets the length of the longest one, so the shorter rows read their padding.

Compare every key's number with the length of its own row: (S,) against (B, 1).
"""
edit("lengths[:, None]", "lengths.max().expand(len(lengths), 1)")

# %% exercise="combine_masks" wrong="any_mask_is_enough"
"""A key is allowed when one mask allows it; it must be allowed by all of them.

May a query read a padding token because it lies in the past? And, or or?
"""
edit("both & mask", "both | mask")

# %% exercise="combine_masks" wrong="masks_added_up"
"""The masks are added, which counts how many allow a key; the result is no longer a yes or no.

True + True is 2. Which operator on booleans says "both"?
"""
edit("both = given[0]", "both = given[0].int()")
edit("both & mask", "both + mask.int()")

# %% exercise="combine_masks" wrong="equal_is_not_both"
"""The masks are compared with ==, so a key that both of them hide counts as allowed.

What is False == False? What should it be here?
"""
edit("both & mask", "both == mask")

# %% exercise="combine_masks" wrong="last_mask_wins"
"""Only the last mask counts, the earlier ones are overwritten.

What happens to the first mask when the loop meets the second?
"""
edit("both & mask", "mask")

# %% exercise="combine_masks" wrong="none_hides_everything"
"""None is treated as a mask that hides everything; it means "no restriction".

A mask of None allows every key. What is it to the others then?
"""
edit(
    "given = [mask for mask in masks if mask is not None]",
    "given = [torch.tensor(True), *(torch.tensor(False) if mask is None else mask for mask in masks)]",
)

# %% exercise="combine_masks" wrong="two_masks_only"
"""Only the first two masks are combined: a third one has no effect.

How many masks may be handed over? Walk through all of them.
"""
edit("given[1:]", "given[1:2]")

# %% exercise="split_heads" wrong="no_transpose"
"""The memory is only cut anew, without moving an axis: tokens and heads are scrambled although the shape is right.

Number the entries with arange and print which token ends up in head 1, position 2.
"""
edit("x.reshape(B, T, num_heads, D // num_heads).transpose(1, 2)", "x.reshape(B, num_heads, T, D // num_heads)")

# %% exercise="split_heads" wrong="every_hth_column"
"""Head h gets every H-th column instead of d columns side by side. Together with an equally wrong merge the round
trip looks right.

Two wrongs make a round trip. Which columns of x are head 0: 0, 1, 2, ... or 0, H, 2H, ...?
"""
edit(
    "return x.reshape(B, T, num_heads, D // num_heads).transpose(1, 2)",
    "return x.reshape(B, T, D // num_heads, num_heads).permute(0, 3, 1, 2)",
)

# %% exercise="split_heads" wrong="heads_behind_tokens"
"""The heads are cut out rightly but still stand behind the tokens: (B, T, H, d) instead of (B, H, T, d).

A matrix product works on the last two axes. Which two must those be?
"""
edit("x.reshape(B, T, num_heads, D // num_heads).transpose(1, 2)", "x.reshape(B, T, num_heads, D // num_heads)")

# %% exercise="split_heads" wrong="num_heads_taken_for_width"
"""num_heads is used as the width of a head: you get d heads of width H.

For D = 12 and 3 heads, how wide is one head?
"""
edit("x.reshape(B, T, num_heads, D // num_heads)", "x.reshape(B, T, D // num_heads, num_heads)")

# %% exercise="split_heads" wrong="view_of_a_strided_tensor"
"""`view` refuses a tensor that is not laid out row by row, for example one that was transposed before.

reshape copies where it must; view never does.
"""
edit(
    "return x.reshape(B, T, num_heads, D // num_heads).transpose(1, 2)",
    "return x.view(B, T * num_heads, D // num_heads).view(B, T, num_heads, -1).transpose(1, 2)",
)

# %% exercise="merge_heads" wrong="no_transpose_back"
"""The heads are flattened where they stand, without bringing them next to d first: parts of different tokens are
glued together.

Which axis must be next to d before you flatten?
"""
edit("x.transpose(1, 2).reshape(B, T, H * d)", "x.reshape(B, T, H * d)")

# %% exercise="merge_heads" wrong="columns_interleaved"
"""Each head's columns are dealt out in turns instead of side by side. With an equally wrong split the round trip is
the identity.

A round trip proves little. Where must head 1, column 0 of token 0 land?
"""
edit("x.transpose(1, 2)", "x.permute(0, 2, 3, 1)")

# %% exercise="merge_heads" wrong="view_after_transpose"
"""`view` can't flatten a tensor whose axes were just swapped: its numbers no longer lie in that order.

reshape, or contiguous() before view.
"""
edit("reshape(B, T, H * d)", "view(B, T, H * d)")

# %% exercise="merge_heads" wrong="heads_averaged"
"""The heads are averaged into one, so the result is d wide and no longer D.

Concatenation keeps every number. How wide is the result?
"""
edit("x.transpose(1, 2).reshape(B, T, H * d)", "x.mean(dim=1)")

# %% exercise="MultiHeadAttention" wrong="scale_by_d_model"
"""The scale is 1/sqrt(d_model). The dot product was taken over one head's width, d_model / num_heads.

Over which dimension does the product of one head sum?
"""
edit(
    "scaled_dot_product_attention(q, k, v, mask)",
    "scaled_dot_product_attention(q / math.sqrt(self.num_heads), k, v, mask)",
)

# %% exercise="MultiHeadAttention" wrong="one_projection_for_all"
"""Queries, keys and values all come from w_q: the other two linear maps are never called.

Which three maps did you call? Set w_k to zero: does anything change?
"""
edit("(self.w_q, self.w_k, self.w_v)", "(self.w_q, self.w_q, self.w_q)")

# %% exercise="MultiHeadAttention" wrong="values_not_projected"
"""The values are the input itself; w_v is never called.

Set w_v to zero: the output must become the bias of w_o.
"""
edit("(self.w_q, self.w_k, self.w_v)", "(self.w_q, self.w_k, nn.Identity())")

# %% exercise="MultiHeadAttention" wrong="mask_ignored"
"""The mask is accepted and never used.

Trace the argument `mask` through forward: who reads it?
"""
edit("scaled_dot_product_attention(q, k, v, mask)", "scaled_dot_product_attention(q, k, v)")

# %% exercise="MultiHeadAttention" wrong="dropout_in_evaluation"
"""Dropout stays active in evaluation: two calls of the same model give two answers.

Call model.eval() and run it twice. nn.Dropout knows whether the module trains; the functional form must be told.
"""
edit("self.dropout(weights)", "nn.functional.dropout(weights, self.dropout.p)")

# %% exercise="MultiHeadAttention" wrong="dropout_on_scores"
"""Dropout is applied to the scores before the softmax: a dropped score of 0 still gets weight, often a large one.

Which numbers should become zero: scores or weights?
"""
edit(
    "mixed = self.dropout(weights) @ v",
    """
    scores = self.dropout(q @ k.mT / q.shape[-1] ** 0.5)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    mixed = stable_softmax(scores) @ v
    """,
)

# %% exercise="MultiHeadAttention" wrong="dropout_forgotten"
"""The argument `dropout` is accepted and never used.

With dropout=1.0 in training every weight is dropped. What is left of the output?
"""
edit("self.dropout(weights) @ v", "weights @ v")

# %% exercise="MultiHeadAttention" wrong="dropout_on_the_mixed_values"
"""Dropout does not act on the weights as nn.Dropout does: single numbers of the mixed values are dropped instead, or
the weights that stay do not grow by 1 / (1 - p).

A query that reads 400 keys alike loses about half of its weights with dropout 0.5. What should its mean over values
that are all 1 be?
"""
edit("self.dropout(weights) @ v", "self.dropout(weights @ v)")

# %% exercise="MultiHeadAttention" wrong="weights_after_dropout"
"""The weights that come back are those after dropout. The docstring asks for the ones before it: rows that sum to 1.

Which of the two would you plot to see where a head looks?
"""
edit(
    "mixed = self.dropout(weights) @ v",
    """
    weights = self.dropout(weights)
    mixed = weights @ v
    """,
)

# %% exercise="MultiHeadAttention" wrong="nan_in_an_empty_row"
"""A query that may look at nothing gets NaN: its softmax divides zero by zero, and w_o spreads the NaN.

What does your scaled_dot_product_attention do with such a row? Use it, or treat these rows separately here too.
"""
edit(
    "_, weights = scaled_dot_product_attention(q, k, v, mask)  # (B, H, T, T)",
    """
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    weights = torch.softmax(scores, dim=-1)
    """,
)

# %% exercise="MultiHeadAttention" wrong="float_mask_taken_for_a_boolean"
"""A float mask is turned into a boolean one: its -inf becomes True, "may look", and its zeros become False.

What does `torch.tensor([0.0, -torch.inf]).bool()` give? A float mask is added to the scores.
"""
edit(
    "scaled_dot_product_attention(q, k, v, mask)",
    "scaled_dot_product_attention(q, k, v, None if mask is None else mask.bool())",
)

# %% exercise="MultiHeadAttention" wrong="any_number_of_heads"
"""MultiHeadAttention(10, 3) is accepted: the docstring asks for a ValueError when the heads do not divide the width.

How wide would each of 3 heads be, and which columns would be left over?
"""
edit(
    """
    if d_model % num_heads:
        raise ValueError(f"d_model={d_model} is not a multiple of num_heads={num_heads}")
    """,
    "",
)

# %% exercise="MultiHeadAttention" wrong="no_output_projection"
"""The merged heads are returned as they are; w_o is never called.

What mixes the heads with each other?
"""
edit("self.w_o(merge_heads(mixed))", "merge_heads(mixed)")

# %% exercise="MultiHeadAttention" wrong="one_wide_head"
"""There is one head of full width: the projections are never split.

How many sets of weights has a layer with three heads? Look at the shape of the weights.
"""
edit("split_heads(linear(x), self.num_heads)", "linear(x)[:, None]")
edit("self.w_o(merge_heads(mixed)), weights", "self.w_o(mixed[:, 0]), weights.expand(-1, self.num_heads, -1, -1)")

# %% exercise="MultiHeadAttention" wrong="heads_scrambled"
"""The projections are viewed as (B, H, T, d) without moving an axis: heads read pieces of the wrong tokens.

Use your split_heads, or look at which token ends up in which head.
"""
edit("split_heads(linear(x), self.num_heads)", "linear(x).reshape(len(x), self.num_heads, x.shape[1], -1)")
edit("merge_heads(mixed)", "mixed.reshape(x.shape)")

# %% exercise="MultiHeadAttention" wrong="merged_without_transposing_back"
"""The heads are flattened without bringing them next to d first: the output mixes parts of different tokens.

Use your merge_heads. Which axis must be next to d before you flatten?
"""
edit("merge_heads(mixed)", "mixed.reshape(x.shape)")

# %% exercise="MultiHeadAttention" wrong="no_scale"
"""The scores are not divided by sqrt(d), the width of a head: the weights are too sharp.

Your scaled_dot_product_attention divides. If you wrote the product again here, what is missing?
"""
edit(
    "scaled_dot_product_attention(q, k, v, mask)",
    "scaled_dot_product_attention(q * math.sqrt(q.shape[-1]), k, v, mask)",
)

# %% exercise="MultiHeadAttention" wrong="split_without_moving_an_axis"
"""The projections are viewed as (B, H, T, d) without moving an axis: each head reads pieces of the wrong tokens. The
way back is right, so the shapes hide it.

Use your split_heads, or cut the last dimension only and let two axes change places.
"""
edit("split_heads(linear(x), self.num_heads)", "linear(x).reshape(len(x), self.num_heads, x.shape[1], -1)")

# %% exercise="MultiHeadAttention" wrong="values_by_w_k"
"""The values are made with w_k: w_v is never called, so what is found and what is delivered are the same.

Set w_v to zero: does anything change?
"""
edit("(self.w_q, self.w_k, self.w_v)", "(self.w_q, self.w_k, self.w_k)")

# %% exercise="MultiHeadAttention" wrong="queries_and_keys_exchanged"
"""w_k makes the queries and w_q the keys: the scores are transposed, and row t says who looks for token t, not what
token t looks for.

Which map makes the question of a token, and which one that by which it is found?
"""
edit("(self.w_q, self.w_k, self.w_v)", "(self.w_k, self.w_q, self.w_v)")

# %% exercise="MultiHeadAttention" wrong="softmax_over_heads"
"""The softmax runs over the heads: at each pair of tokens the heads share a weight of 1, and no row sums to 1.

In scores of shape (B, H, T, T), which axis holds the keys?
"""
edit(
    "_, weights = scaled_dot_product_attention(q, k, v, mask)  # (B, H, T, T)",
    """
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), dim=1).masked_fill(empty, 0.0)
    """,
)

# %% exercise="MultiHeadAttention" wrong="softmax_over_queries"
"""The softmax runs over the queries: columns of the weights sum to one instead of rows.

For one query, what must add up to one?
"""
edit(
    "_, weights = scaled_dot_product_attention(q, k, v, mask)  # (B, H, T, T)",
    """
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), dim=-2).masked_fill(empty, 0.0)
    """,
)

# %% exercise="MultiHeadAttention" wrong="dropout_on_the_output"
"""Dropout is applied to the layer's output, behind w_o. The docstring asks for it on the weights.

With probability 1 no weight is left. What does w_o make of values that are all 0?
"""
edit("self.dropout(weights) @ v", "weights @ v")
edit("self.w_o(merge_heads(mixed))", "self.dropout(self.w_o(merge_heads(mixed)))")

# %% exercise="CrossAttention" wrong="memory_ignored"
"""Keys and values come from the decoder: this is self-attention, and the encoder's output is never read.

Change the memory: does the output change? Who asks, and who answers?
"""
edit("self.w_k(memory)", "self.w_k(x)")
edit("self.w_v(memory)", "self.w_v(x)")

# %% exercise="CrossAttention" wrong="encoder_asks"
"""Queries and keys come from the encoder and values from the decoder, as a widely read tutorial has it. It is the
other way round.

Who needs something from whom? The one who needs it asks: that is the query.
"""
edit("self.w_q(x)", "self.w_q(memory)")
edit("self.w_v(memory)", "self.w_v(x)")

# %% exercise="CrossAttention" wrong="roles_swapped"
"""The two sequences have changed places: the encoder asks and the decoder answers, so the output has the encoder's
length.

The output has one row for each query. Whose length should it have?
"""
edit("self.w_q(x)", "self.w_q(memory)")
edit("self.w_k(memory)", "self.w_k(x)")
edit("self.w_v(memory)", "self.w_v(x)")

# %% exercise="CrossAttention" wrong="values_from_the_decoder"
"""The decoder's queries find the right places in the encoder, and then take the values from the decoder itself.

A key and its value belong together: both come from the sequence that is being read.
"""
edit("self.w_v(memory)", "self.w_v(x)")

# %% exercise="CrossAttention" wrong="keys_from_the_decoder"
"""The keys come from the decoder: the weights say where the decoder should look in itself, and are then used on the
encoder.

A key and its value belong together: both come from the sequence that is being read.
"""
edit("self.w_k(memory)", "self.w_k(x)")

# %% exercise="CrossAttention" wrong="target_mask_on_the_source"
"""A causal mask is laid over the source: early words of the translation may not read the end of the sentence.

Is any part of the source in the future of the translation?
"""
edit(
    "out, weights = scaled_dot_product_attention(q, k, v, memory_mask)",
    """
    causal = torch.ones(x.shape[1], memory.shape[1], dtype=torch.bool).tril()
    out, weights = scaled_dot_product_attention(q, k, v, combine_masks(causal, memory_mask))
    """,
)

# %% exercise="CrossAttention" wrong="memory_mask_ignored"
"""The mask of the source is accepted and never used: the decoder reads padding.

Overwrite the padding of the memory with 1000. Does the output move?
"""
edit("scaled_dot_product_attention(q, k, v, memory_mask)", "scaled_dot_product_attention(q, k, v)")

# %% exercise="CrossAttention" wrong="memory_mask_turned_round"
"""memory_mask is turned round: only the padding of the source is read. nn.MultiheadAttention wants True = hidden; here
True = may look.

Hide all keys but one. Which one does a query read?
"""
edit("(q, k, v, memory_mask)", "(q, k, v, None if memory_mask is None else ~memory_mask)")

# %% exercise="CrossAttention" wrong="columns_dealt_to_the_heads_in_turn"
"""Head h gets every H-th column of the projections. A head is a run of neighbours: columns h d to (h + 1) d.

Which columns does split_heads give to head 0?
"""
edit(
    """
    q = split_heads(self.w_q(x), self.num_heads)  # (B, H, T, d)
    k = split_heads(self.w_k(memory), self.num_heads)  # (B, H, S, d)
    v = split_heads(self.w_v(memory), self.num_heads)
    """,
    """
    parts = (self.w_q(x), self.w_k(memory), self.w_v(memory))
    q, k, v = (part.unflatten(-1, (-1, self.num_heads)).movedim(-1, 1) for part in parts)
    """,
)
edit("self.w_o(merge_heads(out))", "self.w_o(out.movedim(1, -1).flatten(2))")

# %% exercise="CrossAttention" wrong="nan_for_a_source_of_padding"
"""When all of a source is padding, the softmax divides zero by zero: the whole sentence becomes NaN.

What does your scaled_dot_product_attention do with a row without any allowed key? Use it, or do the same here.
"""
edit(
    "out, weights = scaled_dot_product_attention(q, k, v, memory_mask)",
    """
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if memory_mask is not None:
        scores = scores.masked_fill(~memory_mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    out = weights @ v
    """,
)

# %% exercise="CrossAttention" wrong="one_wide_head"
"""There is one head of full width: queries, keys and values are never split.

Look at the shape and the number of sets of weights: one for each head.
"""
edit("split_heads(self.w_q(x), self.num_heads)", "self.w_q(x)[:, None]")
edit("split_heads(self.w_k(memory), self.num_heads)", "self.w_k(memory)[:, None]")
edit("split_heads(self.w_v(memory), self.num_heads)", "self.w_v(memory)[:, None]")
edit("self.w_o(merge_heads(out)), weights", "self.w_o(out[:, 0]), weights.expand(-1, self.num_heads, -1, -1)")

# %% exercise="CrossAttention" wrong="decoder_read_as_well"
"""Keys and values are made of both sequences, one behind the other: the decoder reads itself as well as the encoder.

How many keys does each query of cross-attention have: S, or S + T?
"""
edit("self.w_k(memory)", "self.w_k(torch.cat([memory, x], dim=1))")
edit("self.w_v(memory)", "self.w_v(torch.cat([memory, x], dim=1))")
edit(
    "out, weights = scaled_dot_product_attention(q, k, v, memory_mask)",
    """
    if memory_mask is not None:
        own = torch.ones(*memory_mask.shape[:-1], x.shape[1], dtype=torch.bool)
        memory_mask = torch.cat([memory_mask, own], dim=-1)
    out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
    weights = weights[..., : memory.shape[1]]
    """,
)

# %% exercise="CrossAttention" wrong="key_and_value_maps_exchanged"
"""w_v makes the keys and w_k the values. Both read the memory, so every shape fits.

Which map says what a word is found by, and which one what it delivers?
"""
edit(
    """
    k = split_heads(self.w_k(memory), self.num_heads)  # (B, H, S, d)
    v = split_heads(self.w_v(memory), self.num_heads)
    """,
    """
    k = split_heads(self.w_v(memory), self.num_heads)  # (B, H, S, d)
    v = split_heads(self.w_k(memory), self.num_heads)
    """,
)

# %% exercise="CrossAttention" wrong="queries_by_w_k"
"""The queries are made with w_k: w_q is never called.

Set w_q to zero: all scores of a query must become equal. Do they?
"""
edit("self.w_q(x)", "self.w_k(x)")

# %% exercise="CrossAttention" wrong="values_by_w_k"
"""The values are made with w_k: w_v is never called, so what is found and what is delivered are the same.

Set w_v to zero: does anything change?
"""
edit("self.w_v(memory)", "self.w_k(memory)")

# %% exercise="CrossAttention" wrong="values_made_of_the_keys"
"""The values are made from the keys: the memory goes through w_k first, and only then through w_v.

From which tensor do both maps start? If a name is used again, what does it hold by then?
"""
edit("self.w_v(memory)", "self.w_v(self.w_k(memory))")

# %% exercise="CrossAttention" wrong="scale_by_d_model"
"""The scale is 1/sqrt(d_model). The dot product was taken over one head's width, d_model / num_heads.

Over which dimension does the product of one head sum?
"""
edit(
    "scaled_dot_product_attention(q, k, v, memory_mask)",
    "scaled_dot_product_attention(q / math.sqrt(self.num_heads), k, v, memory_mask)",
)

# %% exercise="CrossAttention" wrong="softmax_over_queries"
"""The softmax runs over the decoder's positions: columns of the weights sum to one instead of rows.

For one word of the translation, what must add up to one?
"""
edit(
    "out, weights = scaled_dot_product_attention(q, k, v, memory_mask)",
    """
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if memory_mask is not None:
        scores = scores.masked_fill(~memory_mask, -math.inf)
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), dim=-2).masked_fill(empty, 0.0)
    out = weights @ v
    """,
)

# %% exercise="CrossAttention" wrong="even_weights_for_a_source_of_padding"
"""Hidden scores become a large negative number such as -1e9: when all of a source is padding they are all equal, and
the decoder reads the padding evenly.

What does a softmax make of equal scores? Use -inf, and treat a row without any allowed key separately.
"""
edit(
    "scaled_dot_product_attention(q, k, v, memory_mask)",
    "scaled_dot_product_attention(q, k, v, None if memory_mask is None else ~memory_mask * -1e9)",
)

# %% exercise="CrossAttention" wrong="split_without_moving_an_axis"
"""The projections are viewed as (B, H, T, d) without moving an axis: each head reads pieces of the wrong tokens. The
way back is right, so the shapes hide it.

Use your split_heads, or cut the last dimension only and let two axes change places.
"""
edit("split_heads(self.w_q(x), self.num_heads)", "self.w_q(x).reshape(len(x), self.num_heads, x.shape[1], -1)")
edit(
    "split_heads(self.w_k(memory), self.num_heads)",
    "self.w_k(memory).reshape(len(x), self.num_heads, memory.shape[1], -1)",
)
edit(
    "split_heads(self.w_v(memory), self.num_heads)",
    "self.w_v(memory).reshape(len(x), self.num_heads, memory.shape[1], -1)",
)

# %% exercise="CrossAttention" wrong="no_output_projection"
"""The merged heads are returned as they are; w_o is never called.

What mixes the heads with each other?
"""
edit("self.w_o(merge_heads(out))", "merge_heads(out)")

# %% exercise="CrossAttention" wrong="decoder_states_added"
"""The decoder's states are added to the output. That residual connection belongs to the block around this layer (unit
04), not into it.

What does the formula give when all values are 0: x, or only the bias of w_o?
"""
edit("self.w_o(merge_heads(out)), weights", "x + self.w_o(merge_heads(out)), weights")

# %% exercise="attention_entropy" wrong="log_of_zero"
"""A weight of exactly zero gives 0 * ln 0 = 0 * -inf = NaN.

A key that is never read adds nothing: 0 ln 0 counts as 0. Which torch function knows that?
"""
edit("torch.xlogy(weights, weights)", "(weights * weights.log())")

# %% exercise="attention_entropy" wrong="in_bits"
"""The logarithm has base 2: this is the entropy in bits, the exercise asks for nats.

What is the entropy of an even spread over two keys: 1, or ln 2?
"""
edit(
    "return -torch.xlogy(weights, weights).sum(dim=-1)",
    "return -torch.xlogy(weights, weights).sum(dim=-1) / math.log(2)",
)

# %% exercise="attention_entropy" wrong="sign_forgotten"
"""The sign is missing: the logarithm of a weight below one is negative.

Can an entropy be negative?
"""
edit("-torch.xlogy(weights, weights)", "torch.xlogy(weights, weights)")

# %% exercise="attention_entropy" wrong="mean_over_keys"
"""The terms are averaged over the keys instead of added.

An even spread over S keys has entropy ln S. What do you get?
"""
edit(".sum(dim=-1)", ".mean(dim=-1)")

# %% exercise="attention_entropy" wrong="sum_over_queries"
"""The sum runs over the queries: a column of the weights is not a distribution.

Rows sum to one. Along which axis does a row run?
"""
edit(".sum(dim=-1)", ".sum(dim=-2)")

# %% exercise="attention_entropy" wrong="large_epsilon"
"""A constant is added inside the logarithm to avoid ln 0; it is large enough to change the result.

0 ln 0 can be had exactly: torch.xlogy, or a logarithm of the positive weights only.
"""
edit("torch.xlogy(weights, weights)", "(weights * (weights + 1e-3).log())")

# %% exercise="attention_entropy" wrong="share_of_the_maximum"
"""The entropy is divided by ln S. The exercise asks for nats.

What should an even spread over 7 keys give: 1, or ln 7?
"""
edit(
    "return -torch.xlogy(weights, weights).sum(dim=-1)",
    "return -torch.xlogy(weights, weights).sum(dim=-1) / math.log(weights.shape[-1])",
)

# %% exercise="attention_entropy" wrong="logarithms_not_weighted"
"""The logarithms are averaged over the keys as if all of them counted alike; each has to be weighted by its own w.

A key that is hardly read has a large -ln w. How much should it add?
"""
edit("torch.xlogy(weights, weights).sum(dim=-1)", "weights.log().nan_to_num(neginf=0.0).mean(dim=-1)")

# %% exercise="attention_entropy" wrong="logarithm_of_the_sum_of_squares"
"""This is -ln of the sum of squares, another entropy (Rényi's of order 2). Where all weights that are not 0 are equal
the two agree, elsewhere it is smaller.

Shannon's is a weighted mean of -ln w. What comes first there, the logarithm or the sum?
"""
edit("torch.xlogy(weights, weights).sum(dim=-1)", "weights.square().sum(dim=-1).log()")

# %% exercise="attention_entropy" wrong="nan_replaced_after_the_sum"
"""The NaN is replaced after the sum: every query with one weight of exactly 0 gets entropy 0.

One NaN spoils the whole sum. Where do you have to catch it, before or after you add?
"""
edit("-torch.xlogy(weights, weights).sum(dim=-1)", "-(weights * weights.log()).sum(dim=-1).nan_to_num()")

# %% exercise="sink_mass" wrong="early_queries_counted"
"""The first queries are counted too. They have nothing but the sink to look at, which inflates the number.

In a causal model, how much of its attention can query 0 spend outside the first four keys?
"""
edit("weights[:, :, first:, :first]", "weights[:, :, :, :first]")

# %% exercise="sink_mass" wrong="heads_and_batch_mixed"
"""(B, H, ...) is reshaped to (H, B, ...): a reshape moves no axis, so the sums of several heads come together.

Which numbers share a row of torch.arange(6).reshape(2, 3).reshape(3, 2), and which of its transpose?
"""
edit("return on_sink.mean(dim=(0, 2))", "return on_sink.reshape(on_sink.shape[1], -1).mean(dim=1)")

# %% exercise="sink_mass" wrong="divided_by_all_queries"
"""The sums of the queries from `first` on are divided by the number of all queries. The mean is over those that count.

How many queries have you added up?
"""
edit("on_sink.mean(dim=(0, 2))", "on_sink.sum(dim=(0, 2)) / (weights.shape[0] * weights.shape[2])")

# %% exercise="sink_mass" wrong="queries_are_the_last_positions"
"""Where there are fewer queries than keys, you take them for the last positions, as causal_mask does. Here t counts the
rows of `weights`.

With 7 queries, 11 keys and first = 2, which rows count?
"""
edit("weights[:, :, first:, :first]", "weights[:, :, max(first - weights.shape[3] + weights.shape[2], 0) :, :first]")

# %% exercise="sink_mass" wrong="mean_over_sink_keys"
"""The weights of the sink's keys are averaged, so the result is the mass of one key, not of the sink.

If a query spends all its attention on the first four keys, what is its sink mass?
"""
edit(".sum(dim=-1)", ".mean(dim=-1)")

# %% exercise="sink_mass" wrong="heads_averaged_too"
"""The heads are averaged into one number. Heads differ: that is what the measure is for.

Which axes may disappear: batch, heads, queries, keys?
"""
edit("on_sink.mean(dim=(0, 2))", "on_sink.mean()")

# %% exercise="sink_mass" wrong="last_keys"
"""The mass of the last keys is taken instead of the first.

Which keys are the sink: weights[..., :first], or weights[..., -first:]?
"""
edit("weights[:, :, first:, :first]", "weights[:, :, first:, -first:]")

# %% exercise="sink_mass" wrong="sum_over_queries"
"""The queries are added up instead of averaged: longer sequences get a larger number.

A fraction lies between 0 and 1.
"""
edit("on_sink.mean(dim=(0, 2))", "on_sink.sum(dim=2).mean(dim=0)")

# %% exercise="sink_mass" wrong="starts_one_query_late"
"""Off by one: query number `first` is left out. It is the first that can look past the sink.

Query t = first has the keys 0 to first before it. Is it t > first, or t >= first?
"""
edit("weights[:, :, first:, :first]", "weights[:, :, first + 1 :, :first]")

# %% exercise="sink_mass" wrong="always_four"
"""The argument `first` is not used: the sink always has four keys.

Call it with first=1 and first=2.
"""
edit("weights[:, :, first:, :first]", "weights[:, :, 4:, :4]")

# %% exercise="sink_mass" wrong="one_sink_key_too_many"
"""Off by one: the sink has one key too many, number `first`.

Four leading keys are 0, 1, 2 and 3. Where does the slice have to end?
"""
edit("weights[:, :, first:, :first]", "weights[:, :, first:, : first + 1]")

# %% exercise="sink_mass" wrong="largest_sink_key"
"""The largest weight on the sink is taken instead of the sum of all its weights.

A query that spends a quarter of its attention on each of the first four keys: what is its sink mass?
"""
edit(".sum(dim=-1)", ".amax(dim=-1)")

# %% exercise="sink_mass" wrong="first_sequence_only"
"""Only the first sequence of the batch is looked at.

Change the second sequence: does the result change? Over which axes does the docstring ask for a mean?
"""
edit("on_sink.mean(dim=(0, 2))", "on_sink[0].mean(dim=-1)")

# %% exercise="sink_mass" wrong="median_over_queries"
"""The median over the queries is taken; the docstring asks for the mean over batch and queries.

Two queries look at nothing but the sink, three never look there. What is the median, and what is the mean?
"""
edit("on_sink.mean(dim=(0, 2))", "on_sink.median(dim=2).values.mean(dim=0)")

# %% exercise="sink_mass" wrong="median_over_batch_and_queries"
"""The median over batch and queries is taken; the docstring asks for their mean.

Two queries look at nothing but the sink, three never look there. What is the median, and what is the mean?
"""
edit("on_sink.mean(dim=(0, 2))", "on_sink.transpose(0, 1).flatten(1).median(dim=1).values")

# %% exercise="sink_mass" wrong="always_four_keys"
"""The queries begin at `first`, but the sink always has four keys.

Call it with first=1 and first=2: how many keys do you add?
"""
edit("weights[:, :, first:, :first]", "weights[:, :, first:, :4]")

# %% exercise="sink_mass" wrong="queries_and_keys_exchanged"
"""The two slices have changed places: the first queries and the later keys. Under a causal mask that is always 0.

In (B, H, T, S), which axis holds the queries and which the keys?
"""
edit("weights[:, :, first:, :first]", "weights[:, :, :first, first:]")

# %% exercise="attention_cost" wrong="one_flop_per_term"
"""A multiplication and the addition after it are counted as one operation; by the convention here they are two.

How many FLOPs has a dot product of two vectors of length 3?
"""
edit("4 * 2 * n * d_model * d_model", "4 * n * d_model * d_model")
edit("2 * n * n * d_model", "n * n * d_model", times=2)

# %% exercise="attention_cost" wrong="every_head_full_width"
"""Each head is counted with the full width D; a head is only D / H wide, so more heads do not cost more products.

What is H times (D / H)?
"""
edit("2 * n * n * d_model", "2 * n * n * d_model * num_heads", times=2)

# %% exercise="attention_cost" wrong="one_matrix_of_weights"
"""Only one n x n matrix of weights is counted; every head has its own.

What is the shape of the weights of a layer with H heads?
"""
edit("num_heads * n * n * bytes_per_number", "n * n * bytes_per_number")

# %% exercise="attention_cost" wrong="three_projections"
"""The output projection is missing: there are four products with a D x D matrix, not three.

Which linear maps has your MultiHeadAttention?
"""
edit("4 * 2 * n * d_model * d_model", "3 * 2 * n * d_model * d_model")

# %% exercise="attention_cost" wrong="keys_without_values"
"""Only the keys are counted; the values are stored as well.

How many tensors of shape (n, D) does attention read besides the queries?
"""
edit("2 * n * d_model * bytes_per_number", "n * d_model * bytes_per_number")

# %% exercise="attention_cost" wrong="bytes_always_four"
"""The bytes are always counted for float32: the argument bytes_per_number is not used.

How large are the weights in float16?
"""
edit("* bytes_per_number", "* 4", times=2)

# %% exercise="attention_cost" wrong="floats_for_ints"
"""The numbers are floats: a division by the number of heads makes them so, and large ones lose their last digits.

FLOPs and bytes are counted. Which division gives an int, or can you do without it?
"""
edit("2 * n * n * d_model", "2 * n * n * num_heads * (d_model / num_heads)", times=2)

# %% exercise="attention_cost" wrong="linear_in_n"
"""The scores are counted as if each query met one key: their number grows with n squared.

How many entries has q k^T for n queries and n keys?
"""
edit("n * n", "n", times=3)

# %% exercise="permutation_finding" wrong="orders_never_compared"
"""The two sentences are compared as sets of the same order, so every difference is zero: the words never changed
places.

Which of the two calls of attention gets x[ORDER]?
"""
edit(
    'gaps = {"same_place": [], "same_word": [], "causal_word": []}',
    """
    ORDER = list(range(len(WORDS)))
    gaps = {"same_place": [], "same_word": [], "causal_word": []}
    """,
)

# %% exercise="permutation_finding" wrong="places_and_words_swapped"
"""The two comparisons have changed names: word by word means that the first result is reordered as well.

A(x)[ORDER] puts the outputs of the first sentence in the order of the second. Which name does that comparison have?
"""
edit(
    """
    gaps["same_place"].append((attend(x[ORDER]) - attend(x)).abs().max().item())
    gaps["same_word"].append((attend(x[ORDER]) - attend(x)[ORDER]).abs().max().item())
    """,
    """
    gaps["same_word"].append((attend(x[ORDER]) - attend(x)).abs().max().item())
    gaps["same_place"].append((attend(x[ORDER]) - attend(x)[ORDER]).abs().max().item())
    """,
)

# %% exercise="permutation_finding" wrong="mask_of_the_future"
"""The mask of the third number looks at the future: each word sees itself and what comes after it.

tril or triu? Row i of a causal mask belongs to query i, and its last True stands on the diagonal.
"""
edit("causal_mask(len(WORDS), len(WORDS))", "causal_mask(len(WORDS), len(WORDS)).mT")

# %% exercise="permutation_finding" wrong="not_rounded"
"""The medians are right, but they are not rounded to four decimals.

What does `round(2.718281828, 4)` give?
"""
edit("round(sorted(found)[len(found) // 2], 4)", "sorted(found)[len(found) // 2]")

# %% exercise="permutation_finding" wrong="mean_of_the_runs"
"""The mean over the runs is taken; the docstring asks for their median.

Which number stands in the middle when the values are sorted?
"""
edit("sorted(found)[len(found) // 2]", "sum(found) / len(found)")

# %% exercise="permutation_finding" wrong="first_run_only"
"""Only the first run counts: the numbers of the others are made and not looked at.

How many numbers does each list hold for 11 runs, and which of them stands in the middle when they are sorted?
"""
edit("sorted(found)[len(found) // 2]", "found[0]")

# %% exercise="permutation_finding" wrong="causal_mask_forgotten"
"""The third number is zero like the second: the causal mask is missing there, or it was reordered together with the
words. It belongs to positions, not to words.

Who may look at whom in the second sentence? Hand the same mask to both calls of the third comparison.
"""
edit("attend(x[ORDER], causal) - attend(x, causal)[ORDER]", "attend(x[ORDER]) - attend(x)[ORDER]")

# %% exercise="permutation_finding" wrong="causal_compared_by_place"
"""The third number compares position by position; the docstring asks for word by word there, too.

Which sentence's outputs have to be put in the order of the other before you subtract?
"""
edit("attend(x, causal)[ORDER]", "attend(x, causal)")

# %% exercise="permutation_finding" wrong="order_applied_twice"
"""ORDER is applied to the outputs of the second sentence, which are in that order already. Going twice does not lead
back: ORDER is not its own inverse.

Word ORDER[0] stands first in the second sentence. In which row of A(x) is its output?
"""
edit("attend(x[ORDER]) - attend(x)[ORDER]", "attend(x[ORDER])[ORDER] - attend(x)")
edit("attend(x[ORDER], causal) - attend(x, causal)[ORDER]", "attend(x[ORDER], causal)[ORDER] - attend(x, causal)")

# %% exercise="permutation_finding" wrong="mask_on_the_second_sentence_only"
"""The third number compares a sentence with a causal mask to one without: it measures what the mask does, not what the
order does.

C is the attention with the mask. How often does it stand in the docstring's third line?
"""
edit("attend(x, causal)[ORDER]", "attend(x)[ORDER]")

# %% exercise="permutation_finding" wrong="mean_of_the_differences"
"""The differences are averaged over the elements; the docstring asks for the largest.

One element of 64 is off by 3, all others agree. What is the mean of the differences, and which is the largest?
"""
edit(".abs().max()", ".abs().mean()", times=3)

# %% exercise="permutation_finding" wrong="sign_kept"
"""The largest difference is taken without the absolute value: one of -3 is overlooked beside one of 0.5.

What is max(-3, 0.5), and which of the two differences is larger?
"""
edit(".abs().max()", ".max()", times=3)

# %% exercise="permutation_finding" wrong="weights_instead_of_outputs"
"""The weights are compared instead of the outputs: scaled_dot_product_attention returns both, the output first.

What is the shape of A(x): (T, 16), or (T, T)?
"""
edit("scaled_dot_product_attention(x, x, x, mask)[0]", "scaled_dot_product_attention(x, x, x, mask)[1]")

# %% exercise="attention_backward" wrong="no_scale_on_the_way_back"
"""The scores were divided by sqrt(d_k) on the way forward; dq and dk are missing that factor.

If S = c q k^T, what is the gradient of q k^T, given that of S?
"""
edit("(grad_weights - row_sums) / math.sqrt(q.shape[-1])", "(grad_weights - row_sums)")

# %% exercise="attention_backward" wrong="scale_missing_in_dk"
"""dq has the factor 1 / sqrt(d_k), dk lacks it. The scale stands between the product and the scores: whatever flows
back into the product has it.

Write the scores as s q k^T. What is their derivative by k?
"""
edit("grad_products.transpose(-2, -1) @ q", "grad_products.transpose(-2, -1) @ q * math.sqrt(q.shape[-1])")

# %% exercise="attention_backward" wrong="scale_missing_in_dq"
"""dk has the factor 1 / sqrt(d_k), dq lacks it. The scale stands between the product and the scores: whatever flows
back into the product has it.

Write the scores as s q k^T. What is their derivative by q?
"""
edit("return grad_products @ k", "return grad_products @ k * math.sqrt(q.shape[-1])")

# %% exercise="attention_backward" wrong="scaled_by_the_width_of_v"
"""dq and dk are scaled by 1 / sqrt(d_v). The forward pass divides by the root of the width of queries and keys.

Which width do q and k have in common?
"""
edit("math.sqrt(q.shape[-1])  # of", "math.sqrt(v.shape[-1])  # of")

# %% exercise="attention_backward" wrong="scaled_twice"
"""dq and dk are divided by d_k: the scale acts once, where the products become scores, and not on the weights as well.

How many times does 1 / sqrt(d_k) stand in the forward pass?
"""
edit("math.sqrt(q.shape[-1])", "q.shape[-1]")

# %% exercise="attention_backward" wrong="weights_times_their_gradient"
"""dS is P times dP alone: a score is taken to move its own weight and no other, and the softmax to be an exponential.

A row of weights sums to 1. What happens to the others when one goes up?
"""
edit("weights * (grad_weights - row_sums)", "weights * grad_weights")

# %% exercise="attention_backward" wrong="diagonal_of_the_jacobian"
"""Only the diagonal of the softmax's Jacobian is used, P (1 - P): what a score does to the other weights is lost.

Write the sum over j out for two keys. How many terms has it?
"""
edit("weights * (grad_weights - row_sums)", "weights * (1 - weights) * grad_weights")

# %% exercise="attention_backward" wrong="summed_over_queries"
"""The sum in the softmax's gradient runs over the queries. A softmax acts on the keys of one query.

Over which axis do the weights sum to 1?
"""
edit("(weights * grad_weights).sum(dim=-1, keepdim=True)", "(weights * grad_weights).sum(dim=-2, keepdim=True)")

# %% exercise="attention_backward" wrong="mean_without_weights"
"""What is subtracted from dP is its plain mean over the keys. The softmax's Jacobian weighs each of them by P.

Which factor stands before the sum over j, and which one inside of it?
"""
edit("(weights * grad_weights).sum(dim=-1, keepdim=True)", "grad_weights.mean(dim=-1, keepdim=True)")

# %% exercise="attention_backward" wrong="mask_forgotten"
"""The weights are computed again without the mask, so gradients reach keys that were hidden.

Which P was it that made the output?
"""
edit("scaled_dot_product_attention(q, k, v, mask)", "scaled_dot_product_attention(q, k, v)")

# %% exercise="attention_backward" wrong="nan_in_an_empty_row"
"""The softmax is computed again, and a query that may look at nothing makes NaN there: it spreads to every key.

What are the weights of such a query in your scaled_dot_product_attention?
"""
edit(
    "_, weights = scaled_dot_product_attention(q, k, v, mask)  # (..., T, S)",
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    weights = torch.softmax(scores, dim=-1)
    """,
)

# %% exercise="attention_backward" wrong="even_weights_in_an_empty_row"
"""Hidden scores become a large negative number such as -1e9. A query that may look at nothing then looks at all keys
alike, and sends them gradients.

Such a query has the output 0, whatever the values are. What is the gradient of a constant?
"""
edit(
    "_, weights = scaled_dot_product_attention(q, k, v, mask)  # (..., T, S)",
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9) if mask.dtype == torch.bool else scores + mask.clamp(min=-1e9)
    weights = torch.softmax(scores, dim=-1)
    """,
)

# %% exercise="attention_backward" wrong="weights_not_transposed"
"""dv is P dO. That sums over keys; a value gathers from all queries that read it.

Which index of P does dv keep, and over which one does it sum?
"""
edit("weights.transpose(-2, -1) @ grad_out", "weights @ grad_out")

# %% exercise="attention_backward" wrong="queries_and_keys_swapped"
"""The gradients of queries and keys have changed places: dS k belongs to the queries.

Which shape has dS k, and which of q and k has that shape?
"""
edit(
    "return grad_products @ k, grad_products.transpose(-2, -1) @ q, grad_v",
    "return grad_products.transpose(-2, -1) @ q, grad_products @ k, grad_v",
)

# %% exercise="attention_backward" wrong="values_scaled_too"
"""dv carries the factor 1 / sqrt(d_k). The scale acts on the scores; the values are mixed without it.

Does the scale stand between V and the output?
"""
edit("weights.transpose(-2, -1) @ grad_out", "weights.transpose(-2, -1) @ grad_out / math.sqrt(q.shape[-1])")

# %% exercise="attention_backward" wrong="changes_the_gradient_it_was_given"
"""The caller's grad_out is scaled in place: the layer that hands it down still needs it.

Look at grad_out before and after the call. Which operator makes a new tensor?
"""
edit(
    "grad_weights = grad_out @ v.transpose(-2, -1)  # (..., T, S)",
    """
    grad_out /= math.sqrt(q.shape[-1])
    grad_weights = grad_out @ v.transpose(-2, -1)
    """,
)
edit("(grad_weights - row_sums) / math.sqrt(q.shape[-1])", "(grad_weights - row_sums)")

# %% exercise="attention_backward" wrong="always_float32"
"""The inputs become float32 on the way: float64 comes back with half of its digits.

Which dtype has q, and which have your results?
"""
edit(
    "_, weights = scaled_dot_product_attention(q, k, v, mask)  # (..., T, S)",
    """
    q, k, v, grad_out = (x.float() for x in (q, k, v, grad_out))
    _, weights = scaled_dot_product_attention(q, k, v, mask)
    """,
)

# %% exercise="saturation_finding" wrong="scaled_by_the_width"
"""The scores are divided by d instead of sqrt(d): then the weights become even, and the entropy approaches 1.

By what must a number with variance d be divided to have variance 1?
"""
edit("products / math.sqrt(width)", "products / width")

# %% exercise="saturation_finding" wrong="entropy_in_nats"
"""The entropies are in nats: they are not divided by ln(64), so they do not lie between 0 and 1.

What is the largest entropy that 64 keys allow? Divide by it.
"""
edit("attention_entropy(drawn).mean(dim=-1) / math.log(64)", "attention_entropy(drawn).mean(dim=-1)")

# %% exercise="saturation_finding" wrong="raw_and_scaled_swapped"
"""The tables have changed names: "raw" is the one without any scale, and it is the sharp one.

Which of the two should fall as heads get wider?
"""
edit(
    'for kind, logits in (("raw", products), ("scaled", products / math.sqrt(width))):',
    'for kind, logits in (("scaled", products), ("raw", products / math.sqrt(width))):',
)

# %% exercise="saturation_finding" wrong="sum_of_squares_itself"
"""The gradient tables hold the sum of the squared weights; the trace of the Jacobian is 1 minus that.

The Jacobian's diagonal is w (1 - w). What does it add up to?
"""
edit("1 - drawn.square()", "drawn.square()")

# %% exercise="saturation_finding" wrong="uniform_numbers"
"""The numbers are drawn evenly from 0 to 1 (torch.rand), not from a normal distribution (torch.randn): all dot products
are large and differ little.

What are mean and variance of a number from torch.rand? The square root is derived for mean 0 and variance 1.
"""
edit("torch.randn", "torch.rand", times=2)

# %% exercise="saturation_finding" wrong="keys_are_the_queries"
"""The keys are the same numbers as the queries, for example from a generator seeded again: every query finds itself,
with a score of about d.

The argument for sqrt(d) needs independent q and k. What does the second draw from one generator give?
"""
edit(
    "@ torch.randn(64, width, generator=gen).mT for gen",
    "@ torch.randn(64, width, generator=torch.Generator().manual_seed(gen.initial_seed())).mT for gen",
)

# %% exercise="saturation_finding" wrong="largest_of_the_queries"
"""The largest value of the 64 queries is taken instead of their mean.

Which one does the text above the tables ask for?
"""
edit("attention_entropy(drawn).mean(dim=-1)", "attention_entropy(drawn).amax(dim=-1)")
edit("1 - drawn.square().sum(dim=-1).mean(dim=-1)", "(1 - drawn.square().sum(dim=-1)).amax(dim=-1)")

# %% exercise="saturation_finding" wrong="largest_gradient_of_the_queries"
"""The gradient tables hold the largest value of the 64 queries instead of their mean.

Which one does the text above the tables ask for? The entropies have it.
"""
edit("1 - drawn.square().sum(dim=-1).mean(dim=-1)", "(1 - drawn.square().sum(dim=-1)).amax(dim=-1)")

# %% exercise="saturation_finding" wrong="last_query_only"
"""Each number is that of one query; it should be the mean over all 64.

What happens to the result of the first query when the second comes? Collect them, or average along their axis.
"""
edit("attention_entropy(drawn).mean(dim=-1)", "attention_entropy(drawn)[:, -1]")
edit("drawn.square().sum(dim=-1).mean(dim=-1)", "drawn.square().sum(dim=-1)[:, -1]")

# %% exercise="saturation_finding" wrong="squares_averaged_over_keys"
"""The squares are averaged over the keys instead of added, so 1 minus them is near 1 whatever the weights are.

The Jacobian's diagonal is w (1 - w), one entry for each key. Its trace is their sum: along which axis?
"""
edit("drawn.square().sum(dim=-1).mean(dim=-1)", "drawn.square().mean(dim=-1).mean(dim=-1)")

# %% exercise="saturation_finding" wrong="rows_are_seeds"
"""The tables have a row for each seed and a number for each width. It should be the other way round: four rows of ten.

What should len(saturation_finding["raw_entropy"]) be? Exchange your two loops, or transpose the tables.
"""
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for run in range(10):
    rows = {name: [] for name in saturation_finding}
    for width in DIMS:
        gen = torch.Generator().manual_seed(run)
        products = torch.randn(64, width, generator=gen) @ torch.randn(64, width, generator=gen).mT
        for kind, logits in (("raw", products), ("scaled", products / math.sqrt(width))):
            drawn = stable_softmax(logits)
            rows[f"{kind}_entropy"].append((attention_entropy(drawn).mean() / math.log(64)).item())
            rows[f"{kind}_gradient"].append((1 - drawn.square().sum(dim=-1).mean()).item())
    for name, row in rows.items():
        saturation_finding[name].append(row)

# %% exercise="repaired_cross_attention" wrong="as_published"
"""This is still the published version: the encoder asks, and the values come from the decoder.

Go through the three lines one by one. Who needs something? Who has it?
"""
edit(
    "return scaled_dot_product_attention(q, k, v)[0]",
    "return published_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v)",
)

# %% exercise="repaired_cross_attention" wrong="query_and_key_maps_on_the_wrong_sequence"
"""The encoder's states go through w_q and the decoder's through w_k; transposing the scores makes the shapes fit. w_q
makes queries, and the decoder asks.

Which sequence should w_q multiply?
"""
edit(
    "q, k, v = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v",
    "q, k, v = decoder_states @ w_k, encoder_states @ w_q, encoder_states @ w_v",
)

# %% exercise="repaired_cross_attention" wrong="only_the_query_repaired"
"""The queries are right now, but the values still come from the decoder.

A key and its value belong together. Whose keys do you compare with?
"""
edit("encoder_states @ w_v", "decoder_states @ w_v")

# %% exercise="repaired_cross_attention" wrong="only_the_value_repaired"
"""The values come from the encoder now, but the encoder still asks: the decoder is not read at all.

The output must have one row for each position of the decoder. Who must ask?
"""
edit("decoder_states @ w_q", "encoder_states @ w_q")

# %% exercise="repaired_cross_attention" wrong="sequences_exchanged"
"""The two sequences have been exchanged everywhere: now the encoder asks and the decoder answers.

Only one of the three comes from the decoder. Which?
"""
edit(
    "q, k, v = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v",
    "q, k, v = encoder_states @ w_q, decoder_states @ w_k, decoder_states @ w_v",
)

# %% exercise="repaired_cross_attention" wrong="scale_lost"
"""The suppliers are right, but the scale 1/sqrt(d) got lost in the repair.

Compare with the formula of section 3: what stands below QK^T?
"""
edit("scaled_dot_product_attention(q, k, v)[0]", "stable_softmax(q @ k.mT) @ v")

# %% exercise="repaired_cross_attention" wrong="no_maximum"
"""The exponential is taken of the scores as they are: scores in the hundreds overflow. The published code subtracts the
largest one of each row first, and is right there.

What is torch.exp(torch.tensor(100.0))? Which of your functions is safe?
"""
edit(
    "return scaled_dot_product_attention(q, k, v)[0]",
    """
    powers = (q @ k.mT / math.sqrt(q.shape[-1])).exp()
    return powers / powers.sum(-1, keepdim=True) @ v
    """,
)

# %% exercise="repaired_cross_attention" wrong="encoder_rows_cut_off"
"""The encoder asks and reads itself, and the result is cut to the decoder's length: the shape fits, the decoder is not
read at all.

Change decoder_states: does the output change? Whose needs are the queries?
"""
edit("decoder_states @ w_q", "encoder_states @ w_q")
edit(
    "scaled_dot_product_attention(q, k, v)[0]",
    "scaled_dot_product_attention(q, k, v)[0][:, : decoder_states.shape[1]]",
)

# %% exercise="repaired_cross_attention" wrong="key_and_value_maps_exchanged"
"""w_v makes the keys and w_k the values. Both read the encoder, so every shape fits.

Which map says what a word is found by, and which one what it delivers?
"""
edit("encoder_states @ w_k, encoder_states @ w_v", "encoder_states @ w_v, encoder_states @ w_k")

# %% exercise="repaired_cross_attention" wrong="maps_transposed"
"""The maps are applied transposed, states @ w.T, as nn.Linear keeps its weight. Here they are meant from the right.

What does the docstring say about w_q, w_k and w_v? For square matrices no shape gives it away.
"""
edit(
    "decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v",
    "decoder_states @ w_q.mT, encoder_states @ w_k.mT, encoder_states @ w_v.mT",
)

# %% exercise="repaired_cross_attention" wrong="causal_mask_added"
"""A causal mask is laid over the source: early words of the translation may not read the end of the sentence.

Is any part of the source in the future of the translation?
"""
edit(
    "return scaled_dot_product_attention(q, k, v)[0]",
    """
    causal = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril()
    return scaled_dot_product_attention(q, k, v, causal)[0]
    """,
)

# %% exercise="repaired_cross_attention" wrong="scale_by_the_number_of_keys"
"""The scores are divided by the root of the number of keys, not of the width D.

Over which dimension does q k^T sum: the keys, or the columns of a query?
"""
edit("scaled_dot_product_attention(q, k, v)[0]", "stable_softmax(q @ k.mT / math.sqrt(k.shape[1])) @ v")

# %% exercise="repaired_cross_attention" wrong="softmax_over_queries"
"""The weights are normalised over the decoder's positions: columns sum to one instead of rows.

For one word of the translation, what must add up to one?
"""
edit("scaled_dot_product_attention(q, k, v)[0]", "stable_softmax(q @ k.mT / math.sqrt(q.shape[-1]), dim=1) @ v")

# %% exercise="repaired_cross_attention" wrong="sum_over_queries"
"""The maximum is taken of each row, but the sum runs over the decoder's positions: no row of the weights sums to one.

The published code is right there. Which `dim` do maximum and sum share?
"""
edit(
    "return scaled_dot_product_attention(q, k, v)[0]",
    """
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-2, keepdim=True) @ v
    """,
)

# %% exercise="repaired_cross_attention" wrong="one_maximum_for_all_rows"
"""One maximum is subtracted from all scores: a row hundreds below it underflows to zero over zero.

The published code takes the largest score of each row, and is right there. Which `dim` does that need?
"""
edit(
    "return scaled_dot_product_attention(q, k, v)[0]",
    """
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    powers = (scores - scores.max()).exp()
    return powers / powers.sum(-1, keepdim=True) @ v
    """,
)

# %% exercise="repaired_masking" wrong="as_published"
"""This is still the published version: it hides the keys where the mask is 0, and in an additive mask these are the
allowed ones.

What does 0 mean in each of the two conventions?
"""
def repaired_masking(logits, mask):
    return published_weights(logits, mask)

# %% exercise="repaired_masking" wrong="nonzero_hides"
"""Every key where the mask is not 0 is hidden. That suits an additive mask of 0 and -inf, and turns a boolean one
upside down.

In a boolean mask, what does True say?
"""
def repaired_masking(logits, mask):
    filled = logits.masked_fill(mask != 0, -torch.inf)
    return torch.nan_to_num(torch.softmax(filled, -1))

# %% exercise="repaired_masking" wrong="always_added"
"""Every mask is added. A boolean mask then adds 1 to the allowed scores and hides nothing.

exp(s + 1) is only 2.7 times exp(s). Which number hides a key?
"""
def repaired_masking(logits, mask):
    return torch.nan_to_num(torch.softmax(logits + mask.to(logits.dtype), -1))

# %% exercise="repaired_masking" wrong="biases_lost"
"""A float mask is only asked which keys it hides: its finite numbers, which are biases, are lost.

A float mask is added, all of it.
"""
edit("bias = mask", "bias = torch.zeros_like(mask).masked_fill(mask.isneginf(), -math.inf)")

# %% exercise="repaired_masking" wrong="nan_in_an_empty_row"
"""A row that may look at nothing is NaN: its softmax divides zero by zero.

Such a row should be all zero. Fill it with finite scores before the softmax, with zeros after it.
"""
edit("stable_softmax(biased.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)", "stable_softmax(biased)")

# %% exercise="repaired_masking" wrong="empty_rows_of_boolean_masks_only"
"""Rows that may look at nothing are treated under a boolean mask only: under a float mask of -inf they are still NaN.

Ask the scores after the mask has acted, not the mask: which rows are -inf everywhere?
"""
edit("biased.isneginf()", "(biased.isneginf() & torch.tensor(mask.dtype == torch.bool))")

# %% exercise="repaired_masking" wrong="integers_guessed"
"""An integer mask is taken for one of the two conventions: nobody can tell which one its author meant.

Which dtypes may a mask have? The docstring asks for a TypeError for all others.
"""
edit(
    """
    elif mask.is_floating_point():
        bias = mask.to(logits.dtype)
    else:
        raise TypeError(f"a mask is bool (True = may look) or float (added), this one is {mask.dtype}")
    """,
    """
    else:
        bias = mask.to(logits.dtype)
    """,
)

# %% exercise="repaired_masking" wrong="one_float_dtype_only"
"""A float mask is refused when its dtype is not that of the logits; the docstring allows narrower ones too.

Which question do you ask: is it this dtype, or is it a float?
"""
edit("mask.is_floating_point()", "mask.dtype == logits.dtype")

# %% exercise="repaired_masking" wrong="writes_into_the_mask"
"""The logits are added into the mask (`+=` or `.add_`): the caller's mask is changed, and wrong at the next call.

Look at the mask before and after the call. Which operator makes a new tensor?
"""
edit("biased = logits + bias", "biased = bias.add_(logits) if bias.shape == logits.shape else logits + bias")

# %% exercise="repaired_masking" wrong="no_maximum"
"""The exponential is taken of the scores as they are: logits of several hundred overflow to infinity.

Which number can be subtracted from a whole row without changing its softmax?
"""
edit(
    "return stable_softmax(biased.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)",
    """
    powers = biased.masked_fill(empty, 0.0).exp()
    return (powers / powers.sum(-1, keepdim=True)).masked_fill(empty, 0.0)
    """,
)

# %% exercise="repaired_masking" wrong="true_means_hide"
"""The boolean mask is read the wrong way round: keys with True are hidden. The additive one is right.

In this unit True means "may look". What does row 0 of a causal mask look like?
"""
edit("masked_fill(~mask, -math.inf)", "masked_fill(mask, -math.inf)")

# %% exercise="repaired_masking" wrong="softmax_over_queries"
"""The softmax runs over the queries: columns of the weights sum to one instead of rows.

For one query, what must add up to one?
"""
edit("stable_softmax(biased.masked_fill(empty, 0.0))", "stable_softmax(biased.masked_fill(empty, 0.0), dim=-2)")
