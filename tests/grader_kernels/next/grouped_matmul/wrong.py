"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="rows_of_the_neighbour" loses="safe" says="with another value, in the same launch"
"""The last tile of a group is masked by the end of all rows, so it writes the first rows of the next group.

Which rows of the last tile belong to the group?
"""
edit("end = tl.load(ends_ptr + group)", """
    end = tl.load(ends_ptr + group)
    all_rows = tl.load(ends_ptr + tl.num_programs(0) - 1)
""")
edit("(rows < end)", "(rows < all_rows)", times=2)

# %% wrong="end_before_the_first" loses="safe" says="reads element -1 of ends_ptr"
"""Group 0 takes its beginning from the end of the group before it, and there is none.

Where does group 0 begin?
"""
edit("tl.load(ends_ptr + group - 1, mask=group > 0, other=0)", "tl.load(ends_ptr + group - 1)")

# %% wrong="matrix_by_tile" loses="right" says="belong to the next group"
"""Tiles are cut from all rows and get the matrix of the group in which they begin, also where they reach into the next.

To how many groups may 16 neighbouring rows belong?
"""
edit("range(first, end, BLOCK_M)", "range(tl.cdiv(first, BLOCK_M) * BLOCK_M, end, BLOCK_M)")
edit("end = tl.load(ends_ptr + group)", """
    end = tl.load(ends_ptr + group)
    all_rows = tl.load(ends_ptr + tl.num_programs(0) - 1)
""")
edit("(rows < end)", "(rows < all_rows)", times=2)
