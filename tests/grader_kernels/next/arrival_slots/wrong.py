"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="counter_read_then_raised" loses="safe" says="in the same launch"
"""The counter is read, and raised by a second step: two programs may read the same number and take the same slot.

What does tl.atomic_add return?
"""
edit("slot = expert * T + tl.atomic_add(counts_ptr + expert, 1)", """
    slot = expert * T + tl.load(counts_ptr + expert)
    tl.atomic_add(counts_ptr + expert, 1)
""")

# %% wrong="slot_after_counting" loses="safe" says="nobody wrote before"
"""The slot is what the counter is after this row was counted, so slot 0 stays empty.

Does tl.atomic_add return the old number or the new one?
"""
edit("expert * T + tl.atomic_add(counts_ptr + expert, 1)", "expert * T + tl.atomic_add(counts_ptr + expert, 1) + 1")
