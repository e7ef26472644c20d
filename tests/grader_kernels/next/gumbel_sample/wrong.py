"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="same_noise_in_every_row" loses="right" says="random number of its own"
"""The random numbers are counted by column, so all rows draw the same ones.

What do two rows with the same logits draw?
"""
edit("tl.rand(seed, row * V + column)", "tl.rand(seed, column)")

# %% wrong="noise_by_lane" loses="right" says="random number of its own"
"""The random numbers are counted within a block, so they come again in the next one.

Does what is drawn depend on how large a block is?
"""
edit("tl.rand(seed, row * V + column)", "tl.rand(seed, row * V + tl.arange(0, BLOCK))")
