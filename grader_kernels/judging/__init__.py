"""The verdict on a kernel file."""
