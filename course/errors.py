"""What can go wrong at the command line, and the exit code each kind ends with.

    CourseError
    +-- InputError             2  a word, a file or a setting that does not fit
    +-- EnvironmentLacking     3  this machine or installation can't do it

The message is one sentence: what was expected, what came, what to do. Findings (points missing) are no error: exit 1.
Code under judgement raises course.checking.subject.SubjectError instead.
"""

from __future__ import annotations

OK, FINDINGS, BAD_INPUT, LACKING = 0, 1, 2, 3


class CourseError(Exception):
    """A failure that is told in one sentence, without a traceback."""

    exit_code = BAD_INPUT


class InputError(CourseError):
    """Bad usage or bad input."""

    exit_code = BAD_INPUT


class EnvironmentLacking(CourseError):
    """The machine or the installation lacks something."""

    exit_code = LACKING
