"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="empty_part_divides_by_zero" loses="right" says="A part without keys"
"""A part without keys divides 0 by 0, and its weight 0 does not take the NaN away.

What is 0 * NaN?
"""
edit("o / tl.where(total > 0, total, 1.0)", "o / total")

# %% wrong="empty_part_not_written" loses="safe" says="which nobody wrote before"
"""A part without keys returns and writes nothing, but the second launch reads what it should have written.

What does torch.empty hold?
"""
edit("""
    tl.store(parts_ptr + at * D + d, o / tl.where(total > 0, total, 1.0))
    tl.store(lse_ptr + at, largest + tl.log(total))
""", """
    if total > 0:
        tl.store(parts_ptr + at * D + d, o / total)
        tl.store(lse_ptr + at, largest + tl.log(total))
""")

# %% wrong="log2_and_natural" loses="right" says="in the logarithm in which lse was written"
"""The parts write their lse in powers of two, the merge takes it for a natural logarithm.

What is exp of a number that counts powers of two?
"""
edit("largest + tl.log(total)", "largest * 1.4426950408889634 + tl.log2(total)")
