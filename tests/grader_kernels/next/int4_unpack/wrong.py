"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="no_sign_extension" loses="right" says="two's complement"
"""Four bits are taken as they are, so -1 becomes 15.

Which number do the bits 1000 stand for?
"""
edit("((byte << 4).to(tl.int8) >> 4)", "(byte & 15)")
edit("(byte >> 4)", "((byte >> 4) & 15)")

# %% wrong="shift_of_unsigned" loses="right" says="two's complement"
"""The sign is shifted in by >>, but the bytes are unsigned: there >> brings zeros.

When does a shift to the right bring the sign along?
"""
edit(".to(tl.int8, bitcast=True)", "")
edit("(byte << 4).to(tl.int8)", "(byte << 4).to(tl.uint8)")
