"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="last_split_adds" loses="safe" says="in the same launch"
"""The program with the highest number adds up, and takes for granted that the others are done.

In which order do the programs of a launch run?
"""
edit("if tl.atomic_add(arrived_ptr + tile, 1) == SPLITS - 1:", "if split == SPLITS - 1:")

# %% wrong="float_atomics" loses="safe" says="the order in which the programs run"
"""Every program adds to c by a float atomic: safe, and in another order every time, so the last bits change.

Is (a + b) + c the same as a + (b + c) in float32?
"""
edit("tl.debug_barrier()", "tl.atomic_add(c_ptr + m * N + n, total, mask=inside)")
edit("if tl.atomic_add(arrived_ptr + tile, 1) == SPLITS - 1:", "if split < 0:")
edit("tl.store(parts_ptr + (split * M + m) * N + n, total, mask=inside)", "")
edit("c = torch.empty((M, N)", "c = torch.zeros((M, N)")

# %% wrong="no_barrier_before_the_counter" loses="safe" says="tl.debug_barrier()"
"""The program counts itself before all of its threads have stored: the atomic is done by one thread, which does not
wait for the others.

Which of a program's threads does tl.atomic_add on one number, and what do the others do meanwhile?
"""
edit("tl.debug_barrier()", "")

# %% wrong="waits_for_all_splits" loses="safe" says="it waits for ever"
"""Every program waits until all splits of its tile have counted themselves. Those that find no room on the GPU start
when others have ended, and these wait for them.

What becomes of a tile whose splits do not all run at the same time?
"""
edit("if tl.atomic_add(arrived_ptr + tile, 1) == SPLITS - 1:", """
    tl.atomic_add(arrived_ptr + tile, 1)
    while tl.atomic_add(arrived_ptr + tile, 0) < SPLITS:
        pass
    if split == 0:
""")
