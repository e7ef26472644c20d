"""The walls around student code: bubblewrap, the zygote, limits, and what is let in."""
