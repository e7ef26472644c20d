"""What the grading is held against: gates, mutants, other graders, the clock."""
