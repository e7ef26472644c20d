"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="tail_tile_missing" loses="right" says="never written by a kernel"
"""`M // block_m` times `N // block_n` tiles: the ragged last ones have no program and are never computed.

How many tiles cover 37 rows when block_m is 16?
"""
edit("(triton.cdiv(M, block_m), triton.cdiv(N, block_n))", "(max(M // block_m, 1), max(N // block_n, 1))")

# %% wrong="no_mask_along_k" loses="right" says="are outside"
"""The last step along K is not masked: it goes on behind the end of K and adds products that belong to nothing.

How many of the BLOCK_K lanes of the last step still lie inside K?
"""
edit("mask=(rows < M) & (across < K)", "mask=rows < M")
edit("mask=(down < K) & (columns < N)", "mask=columns < N")

# %% wrong="no_other" loses="safe" says="other"
"""Masked lanes have no `other`, so they hold whatever was there, and tl.dot adds it to the sum.

Which number must a lane past the end hold, so that its product adds nothing?
"""
edit(", other=0.0", "", times=2)

# %% wrong="wrong_stride" loses="right" says="strides"
"""Both matrices are taken to be contiguous, whatever their strides.

Where does element [0, 1] of a transposed matrix lie?
"""
edit("*a.stride(), *b.stride()", "K, 1, N, 1")

# %% wrong="bf16_accumulate" loses="right" says="Keep the sum in float32"
"""The sum is kept in bfloat16, which has 8 binary digits: beside a large sum, small terms no longer count.

What is 1 + 0.003 in bfloat16?
"""
edit("tl.zeros((BLOCK_M, BLOCK_N), tl.float32)", "tl.zeros((BLOCK_M, BLOCK_N), tl.bfloat16)")
edit("total = tl.dot(a, b, total)", "total += tl.dot(a, b).to(tl.bfloat16)")

# %% wrong="fp16_accumulate" loses="right" says="Keep the sum in float32"
"""The sum is kept in float16, which has 11 binary digits and ends at 65504.

Which dtype has room for a long sum, and for its last digits?
"""
edit("tl.zeros((BLOCK_M, BLOCK_N), tl.float32)", "tl.zeros((BLOCK_M, BLOCK_N), tl.float16)")
edit("total = tl.dot(a, b, total)", "total += tl.dot(a, b).to(tl.float16)")

# %% wrong="split_k_race" loses="safe" says="atomic"
"""Programs that share a tile of c add to it by a load and a store: when two of them load the same number, what one of
them adds is lost.

What may happen to an element between your load and your store?
"""
edit("range(0, K, BLOCK_K)", "range(tl.program_id(2) * BLOCK_K, K, tl.num_programs(2) * BLOCK_K)")
edit("tl.store(c_ptr + rows * c_row + columns, c, mask=(rows < M) & (columns < N))", """
    at, inside = c_ptr + rows * c_row + columns, (rows < M) & (columns < N)
    tl.store(at, tl.load(at, mask=inside, other=0.0) + c, mask=inside)
""")
edit("torch.empty((M, N)", "torch.zeros((M, N)")
edit("triton.cdiv(N, block_n))", "triton.cdiv(N, block_n), triton.cdiv(K, block_k))")

# %% wrong="uninitialised_sum" loses="safe" says="nobody wrote"
"""The sum starts with what its scratch memory happened to hold: torch.empty writes nothing.

Who writes the first number into your scratch tensor?
"""
edit("tl.zeros((BLOCK_M, BLOCK_N), tl.float32)",
     "tl.load(sum_ptr + rows * N + columns, mask=(rows < M) & (columns < N), other=0.0)")  # fmt: skip
edit("a_ptr, b_ptr, c_ptr", "a_ptr, b_ptr, sum_ptr, c_ptr")
edit("c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)", """
    total = torch.empty((M, N), dtype=torch.float32, device=a.device)
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
""")
edit("a, b, c, M, N, K", "a, b, total, c, M, N, K")

# %% wrong="small_tiles" loses="lean" says="times the bytes"
"""Tiles are 16 by 16 whatever was asked for, so every row of a and every column of b is read several times as often.

How many programs read the same row of a when block_n is 64, and how many when it is 16?
"""
edit("(triton.cdiv(M, block_m), triton.cdiv(N, block_n))", "(triton.cdiv(M, 16), triton.cdiv(N, 16))")
edit("BLOCK_M=block_m, BLOCK_N=block_n", "BLOCK_M=16, BLOCK_N=16")

# %% wrong="float32_products" loses="compiles" says="tensor cores"
"""The products are taken in float32, which tensor cores don't do: the plain units work through them one by one.

In which dtype do a and b come out of tl.load, and what does tl.dot accept?
"""
edit("tl.dot(a, b, total)", 'tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision="ieee")')

# %% wrong="ones_in_the_tail" loses="right" says="must add nothing"
"""Masked lanes load 1: the last step along K adds 1 times 1 for each lane past the end.

Which number adds nothing to a sum of products?
"""
edit("other=0.0", "other=1.0", times=2)

# %% wrong="last_step_only" loses="right" says="add every step to the sum"
"""Every step along K puts its product in the place of the one before, so only the last step is left.

What has to become of the sum so far when the next product arrives?
"""
edit("tl.dot(a, b, total)", "tl.dot(a, b)")

# %% wrong="first_step_only" loses="right" says="add every step to the sum"
"""The tile is stored after the first step along K, before the loop has come to its end.

How many steps does a K of 100 need when block_k is 32?
"""
edit("range(0, K, BLOCK_K)", "range(0, tl.minimum(K, BLOCK_K), BLOCK_K)")

# %% wrong="swapped_strides" loses="right" says="are outside"
"""The two strides of b are swapped: b[k, n] is read where b[n, k] would lie.

How far is it in memory from one row of b to the next, and which index counts rows?
"""
edit("down * b_row + columns * b_col", "down * b_col + columns * b_row")

# %% wrong="stays_at_the_first_step" loses="right" says="Move along K"
"""Every step loads the first BLOCK_K columns of a and rows of b again.

Which index has to grow by BLOCK_K from step to step?
"""
edit("across = start + tl.arange(0, BLOCK_K)[None, :]", "across = tl.arange(0, BLOCK_K)[None, :]")
edit("down = start + tl.arange(0, BLOCK_K)[:, None]", "down = tl.arange(0, BLOCK_K)[:, None]")

# %% wrong="whole_product_by_torch" loses="right" says="torch computed it"
"""torch multiplies, and the kernel only copies the result.

Which instruction of Triton multiplies two tiles?
"""
edit("total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)",
     "c = tl.load(a_ptr + rows * a_row + columns * a_col, mask=(rows < M) & (columns < N), other=0.0)")  # fmt: skip
edit("""
    for start in range(0, K, BLOCK_K):
        across = start + tl.arange(0, BLOCK_K)[None, :]
        down = start + tl.arange(0, BLOCK_K)[:, None]
        a = tl.load(a_ptr + rows * a_row + across * a_col, mask=(rows < M) & (across < K), other=0.0)
        b = tl.load(b_ptr + down * b_row + columns * b_col, mask=(down < K) & (columns < N), other=0.0)
        total = tl.dot(a, b, total)
    c = total.to(c_ptr.dtype.element_ty)
""", "")
edit("a, b, c, M, N, K, *a.stride()", "a @ b, b, c, M, N, K, *(a @ b).stride()")
