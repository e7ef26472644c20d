"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="stale_entry" loses="safe" says="are outside"
"""The new token is taken to be number n, so a sequence that fills its page asks for a page that it does not have: the
entry is left from another sequence.

Which entries of the block table may be read for a sequence of 8 tokens in pages of 8?
"""
edit("newest = tl.load(lengths_ptr + sequence) - 1", "newest = tl.load(lengths_ptr + sequence)")

# %% wrong="table_of_first_sequence" loses="safe" says="with another value, in the same launch"
"""All sequences use the first row of the table, so two of them write into one slot.

How far apart do the rows of the table lie?
"""
edit("table_ptr + sequence * W + newest // T", "table_ptr + newest // T")
