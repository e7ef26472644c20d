"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="no_maximum" loses="right" says="subtract the row's maximum first"
"""The maximum is not subtracted: exp(300) is infinite, exp(-500) is zero, and the loss is infinite or NaN.

You wrote a stable softmax in unit 02. Which walk is missing here?
"""
edit("largest = tl.max(x, axis=0)", "largest = 0.0")
edit("higher = tl.maximum(largest, tl.max(x, axis=0))", "higher = 0.0")

# %% wrong="running_sum_not_rescaled" loses="right" says="A maximum found later"
"""When a later block raises the maximum, the sum so far is not rescaled to it.

The old sum was relative to the old maximum. By which factor does it change?
"""
edit("total * tl.exp(largest - higher) + tl.sum", "total + tl.sum")

# %% wrong="zero_in_the_tail" loses="right" says="must lose every maximum"
"""The lanes past the end of the row hold 0: each of them adds exp(0 - maximum) to the sum, and in a row that is
negative everywhere they win the maximum.

What value can never win a maximum, and adds nothing to a sum of exponentials?
"""
edit('other=-float("inf")', "other=0.0", times=3)

# %% wrong="softmax_as_gradient" loses="right" says="minus 1 at the target"
"""The gradient is the softmax alone: the 1 of the target is not subtracted.

The derivative of -logits[target] is missing. Where is it not zero?
"""
edit("e / total - tl.where(hit, 1.0, 0.0)", "e / total")
edit("tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)", "tl.exp(x - largest) / total")

# %% wrong="target_sought_within_the_block" loses="right" says="the target may stand in any block"
"""The target is compared with the lane, so it is found once in every block.

What is the number of the class in lane 3 of the second block?
"""
edit("at == target", "lanes == target", times=2)

# %% wrong="maximum_left_out_of_the_loss" loses="right" says="loss = maximum + log(sum)"
"""The loss is log(sum) - logit: the maximum that was subtracted is not added again.

sum(exp(z - m)) = sum(exp(z)) * exp(-m). What does its logarithm need to become logsumexp?
"""
edit("largest + tl.log(total) - at_target", "tl.log(total) - at_target", times=2)

# %% wrong="half_precision_sum" loses="right" says="Add up in float32"
"""The sum is kept in the dtype of the logits: next to a float16 sum of 16 the small terms are rounded away.

Which dtype has your accumulator?
"""
edit("total = tl.sum(e, axis=0)", "total = tl.sum(e, axis=0).to(logits_ptr.dtype.element_ty).to(tl.float32)")
edit(
    "total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)",
    """
    total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
    total = total.to(logits_ptr.dtype.element_ty).to(tl.float32)
    """,
)

# %% wrong="ignored_rows_keep_their_gradient" loses="right" says="loss 0 and gradient 0"
"""The loss of ignored rows is 0, but their gradient is written as if they counted: padding is trained on.

What is the gradient of a loss that is 0 whatever the logits are?
"""
edit("(e / total - tl.where(hit, 1.0, 0.0)) * kept", "e / total - tl.where(hit, 1.0, 0.0)")
edit("grad * kept", "grad")

# %% wrong="ignored_rows_keep_their_loss" loses="right" says="loss 0 and gradient 0"
"""Ignored rows get gradient 0, but their logsumexp still counts as a loss.

Append a row of padding. What should the sum of the losses do?
"""
edit("(largest + tl.log(total) - at_target) * kept", "largest + tl.log(total) - at_target", times=2)

# %% wrong="ignored_target_is_a_column" loses="safe" says="reads element -"
"""The logit of the target is fetched by its number, also when the target is -100: an address before the row.

Which load needs a mask that depends on the target?
"""
edit(
    "at_target = tl.sum(tl.where(hit, x, 0.0), axis=0)",
    "at_target = tl.load(logits_ptr + target * class_stride).to(tl.float32)",
)
edit("at_target = 0.0", "at_target = tl.load(logits_ptr + target * class_stride).to(tl.float32)")
edit("at_target += tl.sum(tl.where(at == target, x, 0.0), axis=0)", "")

# %% wrong="gradient_of_the_mean" loses="right" says="the gradient is the softmax"
"""The gradient is divided by the number of rows, as for the mean loss; here every row has a loss and a gradient of its
own.

Double the number of rows. Does the gradient of the first row's loss change?
"""
edit("kept, mask", "kept / tl.num_programs(0), mask", times=2)

# %% wrong="one_subtracted_through_memory" loses="safe" says="tl.debug_barrier"
"""The softmax is stored, and then 1 is subtracted from it in memory: without a barrier the second load may come before
the first store.

Where is the probability of the target before it is stored?
"""
edit("(e / total - tl.where(hit, 1.0, 0.0)) * kept", "e / total * kept")
edit(
    """
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(grad_ptr + at, grad * kept, mask=at < n_classes)
        tl.store(loss_ptr + row, (largest + tl.log(total) - at_target) * kept)
    """,
    """
            tl.store(grad_ptr + at, tl.exp(x - largest) / total * kept, mask=at < n_classes)
        tl.store(loss_ptr + row, (largest + tl.log(total) - at_target) * kept)
    old = tl.load(grad_ptr + target, mask=kept > 0, other=0.0).to(tl.float32)
    tl.store(grad_ptr + target, old - 1, mask=kept > 0)
    """,
)

# %% wrong="third_walk" loses="lean" says="logits is read three times"
"""Maximum and sum are found in two walks, so a wide row is read three times.

Can the sum be kept while the maximum is still unknown? See the formula of the online logsumexp.
"""
edit(
    """
        higher = tl.maximum(largest, tl.max(x, axis=0))
        total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
        at_target += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        largest = higher
    """,
    """
        largest = tl.maximum(largest, tl.max(x, axis=0))
        at_target += tl.sum(tl.where(at == target, x, 0.0), axis=0)
    for start in range(0, n_classes, BLOCK):
        at = start + lanes
        x = tl.load(logits_ptr + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    """,
)

# %% wrong="row_read_again_though_it_fits" loses="lean" says="logits is read twice"
"""A row that fits into a block is loaded again for the gradient, although it is still in registers.

How many times must a row of 100 travel when a block holds 128?
"""
edit(
    "hit = lanes == target",
    """
    x = tl.load(logits_ptr + lanes * class_stride, mask=inside, other=-float("inf")).to(tl.float32)
    e = tl.exp(x - largest)
    hit = lanes == target
    """,
)

# %% wrong="softmax_as_a_tensor" loses="lean" says="where one is enough" of="one_pair_of_walks"
"""The softmax is written to memory by one launch and read back by another one to become the gradient: two matrices of N
x V more on their way.

When is the softmax of a row known, and who needs it?
"""
edit("tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)", "tl.exp(z - m) / s")
edit(
    "def cross_entropy(",
    """
    @triton.jit
    def minus_one_kernel(p_ptr, t_ptr, grad_ptr, V, ignore, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        t = tl.load(t_ptr + row)
        for c in range(0, V, BLOCK):
            at = c + tl.arange(0, BLOCK)
            p = tl.load(p_ptr + row * V + at, mask=at < V, other=0.0)
            hit = (at == t) & (t != ignore)
            tl.store(grad_ptr + row * V + at, p - tl.where(hit, 1.0, 0.0), mask=at < V)


    def cross_entropy(""",
)
edit(
    "logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)",
    "logits, target, loss, p, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)",
)
edit(
    "loss = torch.empty(N, dtype=torch.float32, device=logits.device)",
    """
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    p = torch.empty((N, V), dtype=torch.float32, device=logits.device)
    """,
)
edit(
    "return loss, grad",
    """
    minus_one_kernel[(N,)](p, target, grad, V, ignore, BLOCK=block)
    return loss, grad
    """,
)

# %% wrong="no_masks" loses="safe" says="are outside"
"""A load has no mask: the last block takes numbers of the next row into the sum, and at the last row it leaves the
tensor. What is stored needs one, too.

Which lanes of the last block lie behind the last class?
"""
edit(', mask=inside, other=-float("inf")', "")
edit(', mask=at < n_classes, other=-float("inf")', "", times=2)
edit(", mask=inside", "")
edit(", mask=at < n_classes", "")

# %% wrong="rows_assumed_contiguous" loses="right" says="Ask logits for both of its strides"
"""Addresses are row * V + column, which is right for contiguous logits only.

Ask the logits for both of their strides.
"""
edit("logits.stride(0), logits.stride(1)", "n_classes, 1")

# %% wrong="torch_instead_of_a_kernel" loses="right" says="torch computed it"
"""torch makes the loss and its gradient; no kernel of yours is launched.

Which line launches your kernel?
"""
def cross_entropy(logits, target, block=256, ignore=-100):
    logs = logits.float().log_softmax(1)
    keep = target != ignore
    index = target.where(keep, 0)[:, None]
    loss = -logs.gather(1, index)[:, 0] * keep
    grad = logs.exp().scatter_add(1, index, torch.full(index.shape, -1.0)) * keep[:, None]
    return loss, grad.to(logits.dtype)
