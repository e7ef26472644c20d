"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="fp16_accumulate" loses="right" says="in float32"
"""The sum of the weights is kept in the dtype of q: beside a large weight, small ones are rounded away.

Which dtype has your accumulator when q is float16?
"""
edit("total = tl.zeros((ROWS,), tl.float32)", "total = tl.zeros((ROWS,), q.dtype)")
edit("total = total * before + tl.sum(p, axis=1)", "total = (total * before + tl.sum(p, axis=1)).to(q.dtype)")

# %% wrong="heads_by_remainder" loses="right" says="h // (H // G)"
"""Query head h uses head h % G of k and v. Query heads that share a head of k and v lie next to each other.

With six query heads and two heads of k and v: which three belong to head 0?
"""
edit("head = group * SHARED + row", "head = row * G + group")

# %% wrong="ignores_the_table" loses="right" says="block_table[b, t // T]"
"""The pages of a sequence are taken to follow each other in memory.

Which tensor says where page w of sequence b lies?
"""
edit("page = tl.load(table_ptr + sequence * W + start // T).to(tl.int64)", "page = sequence * W + start // T")

# %% wrong="table_of_first_sequence" loses="right" says="block_table[b, t // T]"
"""All sequences use the first row of the table, so they attend to the tokens of sequence 0.

How far apart do the rows of the table lie, and in which row does this program read?
"""
edit("table_ptr + sequence * W + start // T", "table_ptr + start // T")

# %% wrong="last_page_unmasked" loses="right" says="behind a sequence's length"
"""Slots behind the end of a sequence take part: their keys get weights, and their values are summed.

How many slots of the last page belong to the sequence?
"""
edit(", mask=inside[None, :], other=0.0", "")
edit(", mask=inside[:, None], other=0.0", "")
edit('s = tl.where(inside[None, :], s, -float("inf"))', "")

# %% wrong="values_unmasked" loses="right" says="0 * NaN"
"""Values behind the end are loaded, and their weights are 0. But a slot may hold anything, and 0 * NaN is NaN.

Which of the two loads may bring a NaN that a later mask cannot take away?
"""
edit(", mask=inside[:, None], other=0.0", "")

# %% wrong="one_token_short" loses="right" says="length"
"""The newest token is left out: a sequence of n tokens ends with token n - 1, and that one belongs to it.

Which tokens does a sequence of length 1 have?
"""
edit("start + slot < length", "start + slot < length - 1")

# %% wrong="no_maximum" loses="right" says="maximum"
"""No maximum is subtracted, so exp overflows for scores above 88.

Which number may be subtracted from all scores of a query without changing their softmax?
"""
edit("higher = tl.maximum(largest, tl.max(s, axis=1))", "higher = tl.zeros((ROWS,), tl.float32)")

# %% wrong="no_rescale" loses="right" says="scale the sums"
"""What was summed before a new maximum is not rescaled: the sums then mix exponentials of two different shifts.

By which factor do the sums change when the maximum rises from old to new?
"""
edit("total = total * before + tl.sum(p, axis=1)", "total = total + tl.sum(p, axis=1)")
edit("o * before[:, None]", "o")

# %% wrong="padding_rows_stored" loses="safe" says="with another value, in the same launch"
"""The rows that only pad the tile are stored, too, over the results of the next heads.

How many rows of the tile are query heads of this program?
"""
edit("tl.store(o_ptr + q_at, o, mask=row[:, None] < SHARED)",
     "tl.store(o_ptr + q_at, o, mask=sequence * H + head[:, None] < tl.num_programs(0) * H)")

# %% wrong="one_program_per_query_head" loses="lean" says="four times"
"""Every query head has a program of its own, so keys and values are read once for each of the heads that share them.

Which query heads need the same keys? Put them into one program.
"""
edit("tl.program_id(0), tl.program_id(1)", "tl.program_id(0), tl.program_id(1) // SHARED")
edit("head = group * SHARED + row", "head = tl.program_id(1) + row")
edit("mask=row[:, None] < SHARED", "mask=row[:, None] < 1", times=2)
edit("paged_decode_attention_kernel[(B, G)]", "paged_decode_attention_kernel[(B, H)]")
