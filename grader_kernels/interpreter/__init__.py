"""Triton's language on the CPU."""
