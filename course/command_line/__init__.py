"""The command `course`: what learners type."""
