"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="gelu_of_each_partial_sum" loses="right" says="belong to the whole sum"
"""gelu is applied in every step along K, to a sum that is not complete yet.

Is gelu(p + q) the same as gelu(p) + gelu(q)?
"""
edit("total = tl.dot(x, w, total)", """
    p = tl.dot(x, w)
    total += p * tl.sigmoid(2 * 0.7978845608028654 * (p + 0.044715 * p * p * p))
""")
edit("y = z * tl.sigmoid(2 * u)", "y = z")

# %% wrong="bias_in_every_step" loses="right" says="belong to the whole sum"
"""The bias is added in every step along K.

How often does the loop run?
"""
edit("total = tl.dot(x, w, total)", """
    total = tl.dot(x, w, total)
    total += tl.load(bias_ptr + columns, mask=columns < N, other=0.0)
""")
edit("z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)", "z = total")

# %% wrong="bias_behind_gelu" loses="right" says="the bias to the column"
"""The bias is added to the result of gelu; it belongs inside.

What does the formula take gelu of?
"""
edit("z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)", "z = total")
edit("y = z * tl.sigmoid(2 * u)",
     "y = z * tl.sigmoid(2 * u) + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)")  # fmt: skip

# %% wrong="no_bias" loses="right" says="the bias to the column"
"""The bias is left out.

Which of the launcher's arguments does your kernel never load?
"""
edit("z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)", "z = total")

# %% wrong="bias_by_row" loses="right" says="the bias to the column"
"""The bias is taken by the number of the row: every token gets one bias, instead of every output.

Which of M and N is the length of the bias?
"""
edit("tl.load(bias_ptr + columns, mask=columns < N, other=0.0)", "tl.load(bias_ptr + rows % N)")

# %% wrong="exact_gelu" loses="right" says="the tanh form"
"""This is the exact GELU, with erf. The docstring writes the tanh form, and a checkpoint of GPT-2 wants that one.

At z = -2.2 the two differ in the third digit. Which formula stands in the docstring?
"""
edit("u = 0.7978845608028654 * (z + 0.044715 * z * z * z)  # sqrt(2 / pi)", "")
edit("y = z * tl.sigmoid(2 * u)", "y = 0.5 * z * (1.0 + tl.erf(z * 0.7071067811865476))")

# %% wrong="sigmoid_without_the_two" loses="right" says="w[n, k] belongs to output n"
"""sigmoid(u) stands for (1 + tanh(u)) / 2: a factor 2 is missing inside.

What is tanh(u) in exponentials of 2u, and what is sigmoid in exponentials of u?
"""
edit("tl.sigmoid(2 * u)", "tl.sigmoid(u)")

# %% wrong="tanh_overflows" loses="right" says="divides infinity by infinity"
"""tanh is written as (e^u - e^-u) / (e^u + e^-u): beyond 88 both are infinite, and the quotient is NaN.

sigmoid(2u) is the same number. What does it give for u = 1000?
"""
edit("y = z * tl.sigmoid(2 * u)", "y = 0.5 * z * (1.0 + (tl.exp(u) - tl.exp(-u)) / (tl.exp(u) + tl.exp(-u)))")

# %% wrong="rounded_before_the_bias" loses="right" says="may take back most of the sum"
"""The sum is rounded to half precision before the bias is added. Where the bias takes back most of it, what is left has
few right digits.

At which single place does the result become half precision?
"""
edit("z = total + tl.load", "z = total.to(x_ptr.dtype.element_ty).to(tl.float32) + tl.load")

# %% wrong="bias_in_half_precision" loses="right" says="may take back most of the sum"
"""The float32 bias is rounded to the dtype of x before it is added.

In which dtype does the bias come, and in which is the sum?
"""
edit("z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)",
     "z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0).to(x_ptr.dtype.element_ty)")  # fmt: skip

# %% wrong="gelu_in_half_precision" loses="right" says="round once"
"""z is rounded to half precision, and gelu works on the rounded number: the result is rounded twice.

At which single place does the result become half precision?
"""
edit("u = 0.7978845608028654", """
    z = z.to(x_ptr.dtype.element_ty).to(tl.float32)
    u = 0.7978845608028654""")

# %% wrong="half_precision_sum" loses="right" says="Keep the sum in float32"
"""The sum is kept in the dtype of x: beside a large sum, small terms no longer count.

What is 1 + 0.003 in bfloat16, which has 8 binary digits?
"""
edit("tl.zeros((BLOCK_M, BLOCK_N), tl.float32)", "tl.zeros((BLOCK_M, BLOCK_N), x_ptr.dtype.element_ty)")
edit("total = tl.dot(x, w, total)", "total += tl.dot(x, w).to(x_ptr.dtype.element_ty)")
edit("z = total + tl.load", "z = total.to(tl.float32) + tl.load")

# %% wrong="weight_not_transposed" loses="right" says="belongs to output n"
"""w is read as if it were (K, N): its strides are swapped. nn.Linear holds one row for each output.

In x @ w.T, which index of w runs along K?
"""
edit("columns * w_row + down * w_col", "columns * w_col + down * w_row")

# %% wrong="strides_of_x_for_w" loses="right" says="two strides of their own"
"""w is read with the strides of x.

Which tensor do you have to ask for the way w lies in memory?
"""
edit("*x.stride(), *w.stride()", "*x.stride(), *x.stride()")

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
edit("& (across < K), other=0.0", "& (across < K)")
edit("& (columns < N), other=0.0", "& (columns < N)")

# %% wrong="ones_in_the_tail" loses="right" says="must add nothing"
"""Masked lanes load 1: the last step along K adds 1 times 1 for each lane past the end.

Which number adds nothing to a sum of products?
"""
edit("& (across < K), other=0.0", "& (across < K), other=1.0")
edit("& (columns < N), other=0.0", "& (columns < N), other=1.0")

# %% wrong="tail_tile_missing" loses="right" says="never written by a kernel"
"""`M // block_m` times `N // block_n` tiles: the ragged last ones have no program and are never computed.

How many tiles cover 37 rows when block_m is 16?
"""
edit("(triton.cdiv(M, block_m), triton.cdiv(N, block_n))", "(max(M // block_m, 1), max(N // block_n, 1))")

# %% wrong="float32_products" loses="compiles" says="tensor cores"
"""The products are taken in float32, which tensor cores don't do: the plain units work through them one by one.

In which dtype do x and w come out of tl.load, and what does tl.dot accept?
"""
edit("tl.dot(x, w, total)", 'tl.dot(x.to(tl.float32), w.to(tl.float32), total, input_precision="ieee")')

# %% wrong="small_tiles" loses="lean" says="times the bytes"
"""Tiles are 16 by 16 whatever was asked for, so every row of x and of w is read several times as often.

How many programs read the same row of x when block_n is 64, and how many when it is 16?
"""
edit("(triton.cdiv(M, block_m), triton.cdiv(N, block_n))", "(triton.cdiv(M, 16), triton.cdiv(N, 16))")
edit("BLOCK_M=block_m, BLOCK_N=block_n", "BLOCK_M=16, BLOCK_N=16")

# %% wrong="gelu_in_a_second_launch" loses="lean" says="between the kernels"
"""The product is stored and a second launch applies bias and gelu: right numbers, and the wide matrix travels twice
more.

Where is a tile of sums when its last step is done?
"""
edit("""
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)  # sqrt(2 / pi)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + columns, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (columns < N))
""", "tl.store(y_ptr + rows * y_row + columns, total, mask=(rows < M) & (columns < N))")
edit("def linear_gelu(x", """
    @triton.jit
    def gelu_kernel(z_ptr, bias_ptr, y_ptr, N, BLOCK: tl.constexpr):
        columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        at, inside = tl.program_id(0) * N + columns, columns < N
        z = tl.load(z_ptr + at, mask=inside, other=0.0) + tl.load(bias_ptr + columns, mask=inside, other=0.0)
        u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
        tl.store(y_ptr + at, z * tl.sigmoid(2 * u), mask=inside)


    def linear_gelu(x""")
edit("y = torch.empty((M, N), dtype=x.dtype, device=x.device)", """
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    z = torch.empty((M, N), dtype=torch.float32, device=x.device)
""")
edit("x, w, bias, y, M, N, K", "x, w, bias, z, M, N, K")
edit("return y", """
    gelu_kernel[(M, triton.cdiv(N, 64))](z, bias, y, N, BLOCK=64)
    return y
""")
