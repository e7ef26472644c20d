"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="id_without_the_stride" loses="right" says="multiply it with the stride of a row"
"""The id is added to the table's pointer as it is: it counts elements, not rows.

How many elements lie between row 4 and row 5 of the table?
"""
edit("table_ptr + row * table_row", "table_ptr + row")

# %% wrong="program_number_instead_of_id" loses="right" says="The id decides which row is read"
"""Row p of the table is copied for token p: the ids are never used.

Which number says what row token p needs?
"""
edit("row = tl.load(ids_ptr + token * ids_stride)", "row = token")

# %% wrong="one_block_only" loses="right" says="never written by a kernel"
"""Only the first block of each row is copied.

How often must a program step when a row is wider than a block?
"""
edit("range(0, width, BLOCK)", "range(0, BLOCK, BLOCK)")

# %% wrong="tail_forgotten" loses="right" says="never written by a kernel"
"""Only whole blocks are copied: the columns of the last, partial block are never written.

How many blocks does a row of 70 columns need with blocks of 32?
"""
edit("range(0, width, BLOCK)", "range(0, width // BLOCK * BLOCK, BLOCK)")

# %% wrong="no_masks" loses="safe" says="are outside"
"""A load has no mask, so the last step reads past the end of the row. The store needs one, too.

Which lanes of the last block lie behind the width?
"""
edit(", mask=at < width", "", times=2)

# %% wrong="table_assumed_contiguous" loses="right" says="stride"
"""The columns of the table are taken for neighbours in memory.

How far is the next column in a transposed table?
"""
edit("at * table_col", "at")

# %% wrong="ids_assumed_contiguous" loses="right" says="stride"
"""The ids are taken for neighbours in memory.

Where is the next id when the ids are every other number of a tensor?
"""
edit("token * ids_stride", "token")

# %% wrong="whole_table_searched" loses="lean" says="times the bytes"
"""The whole table is read and compared with the id, as in the one-hot product: right numbers, far too many bytes.

Which row does a program need, and how does it get there at once?
"""
edit("ids_ptr, table_ptr, out_ptr, width", "ids_ptr, table_ptr, out_ptr, rows, width")
edit(
    "values = tl.load(table_ptr + row * table_row + at * table_col, mask=at < width)",
    """
    values = tl.zeros((BLOCK,), tl.float32)
    for other in range(0, rows):
        found = tl.load(table_ptr + other * table_row + at * table_col, mask=at < width, other=0.0).to(tl.float32)
        values += tl.where(row == other, found, 0.0)
    """,
)
edit("ids, table, out, table.shape[1]", "ids, table, out, *table.shape")

# %% wrong="torch_instead_of_a_kernel" loses="right" says="torch computed it"
"""torch looks the rows up; no kernel of yours writes a number.

Which line launches your kernel?
"""
def embedding_gather(ids, table, block=128):
    return table[ids]
