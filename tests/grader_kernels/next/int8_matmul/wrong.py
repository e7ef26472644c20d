"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="sum_in_float16" loses="right" says="Keep the sum in int32"
"""Each step's product becomes float16, which is whole up to 2048 and ends at 65504.

How large is the product of 32 pairs of numbers near 127?
"""
edit("tl.zeros((BLOCK_M, BLOCK_N), tl.int32)", "tl.zeros((BLOCK_M, BLOCK_N), tl.float16)")
edit("total = tl.dot(a, b, total, out_dtype=tl.int32)", "total += tl.dot(a, b, out_dtype=tl.int32).to(tl.float16)")

# %% wrong="products_in_int8" loses="right" says="Keep the sum in int32"
"""The numbers are multiplied as int8, where a product wraps around at 128.

Which type has the product of two int8 tiles?
"""
edit("total = tl.dot(a, b, total, out_dtype=tl.int32)",
     "total += tl.sum((a[:, :, None] * b[None, :, :]).to(tl.int32), 1)")

# %% wrong="products_in_float32" loses="compiles" says="uses no tensor cores"
"""The numbers are multiplied as float32: right, and one by one.

What do tensor cores do with int8 tiles?
"""
edit("tl.zeros((BLOCK_M, BLOCK_N), tl.int32)", "tl.zeros((BLOCK_M, BLOCK_N), tl.float32)")
edit("total = tl.dot(a, b, total, out_dtype=tl.int32)",
     'total = tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision="ieee")')
