"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="no_delta" loses="right" says="second term"
"""The gradient of the scores is p * dp: what all weights of a query share is not subtracted.

What do the weights of one query sum to, whatever the scores are?
"""
edit(" - delta[:, None]", "")

# %% wrong="lse_in_log2" loses="right" says="natural logarithm"
"""Scores are multiplied with log2(e) for exp2, lse is not.

In which logarithm is lse given?
"""
edit("tl.exp(s - lse[:, None])", "tl.exp2(s * 1.4426950408889634 - lse[:, None])")

# %% wrong="programs_add_to_dq" loses="safe" says="use tl.atomic_add"
"""Whoever owns keys adds to the gradient of all queries, by a load and a store.

Which programs add to one row of dq, and when?
"""
edit("dk_ptr, dv_ptr, N, scale", "dk_ptr, dv_ptr, dq_ptr, N, scale")
edit("dk, dv, N, D**-0.5", "dk, dv, dq, N, D**-0.5")
edit("dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))", "dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))")
edit("queries_kernel[grid](q, k, v, o, lse, do, dq, N, D**-0.5, D=D, BLOCK=block)", "")
edit("dk = tl.dot(tl.trans(ds).to(q.dtype), q, dk, input_precision=\"ieee\")", """
    dk = tl.dot(tl.trans(ds).to(q.dtype), q, dk, input_precision="ieee")
    dq = tl.load(dq_ptr + at, mask=at_in, other=0.0) + tl.dot(ds.to(k.dtype), k, input_precision="ieee")
    tl.store(dq_ptr + at, dq.to(dq_ptr.dtype.element_ty), mask=at_in)
""")

# %% wrong="queries_on_plain_units" loses="compiles" says="queries_kernel on A100 (sm_80) uses no tensor cores"
"""The second launch turns its tiles into float32 before it multiplies them; that the first one does not is no help.

Which products does each of your kernels take, and in which dtype?
"""
edit("_, ds = scores_of(q, k, v, o, lse, do, own_in & (n < N)[None, :], scale)", """
    k, v = k.to(tl.float32), v.to(tl.float32)
    _, ds = scores_of(q.to(tl.float32), k, v, o, lse, do.to(tl.float32), own_in & (n < N)[None, :], scale)
""")
