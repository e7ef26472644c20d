"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="bias_in_every_step" loses="right" says="add it once"
"""The bias is added in every step along K.

How often does the loop run?
"""
edit("total += tl.load(bias_ptr + columns, mask=columns < N, other=0.0)", "")
edit("total = tl.dot(x, w, total)", """
    total = tl.dot(x, w, total)
    total += tl.load(bias_ptr + columns, mask=columns < N, other=0.0)
""")

# %% wrong="fp16_accumulate" loses="right" says="float16 ends at 65504"
"""The sum is kept in float16.

Which numbers does bfloat16 hold that float16 does not?
"""
edit("tl.zeros((BLOCK_M, BLOCK_N), tl.float32)", "tl.zeros((BLOCK_M, BLOCK_N), tl.float16)")
edit("total = tl.dot(x, w, total)", "total += tl.dot(x, w).to(tl.float16)")
edit("y = total * tl.sigmoid(total)", "y = total * tl.sigmoid(total.to(tl.float32))")

# %% wrong="products_on_plain_units" loses="compiles" says="uses no tensor cores"
"""The tiles become float32 before they are multiplied.

Which dtypes do tensor cores multiply?
"""
edit("tl.dot(x, w, total)", 'tl.dot(x.to(tl.float32), w.to(tl.float32), total, input_precision="ieee")')
