"""The instructor's side: build, checks, sandbox, judge, record, report. Machinery only; it knows no unit by name."""
