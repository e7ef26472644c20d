"""What a self-paced learner has done: one small JSON file in the workspace, written whole or not at all.

It is the learner's own record and counts for nothing in a class. Keys are "unit/exercise".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from course.checking.manifest import Exercise
from course.checking.verdict import ExerciseVerdict
from course.command_line.lab import Unit, workspace
from course.errors import InputError
from course.files import write_whole

FILE = ".progress.json"


class Entry(msgspec.Struct):
    """One exercise: the best score so far, the newest state, hints seen, and whether the solution was revealed."""

    score: float = 0.0
    max_score: float = 0.0
    state: str = ""
    hints: int = 0
    revealed: bool = False


class Progress(msgspec.Struct):
    """The whole file."""

    schema: int = 1
    exercises: dict[str, Entry] = {}

    def entry(self, unit: Unit, exercise: str) -> Entry:
        """The entry of an exercise, made when there is none."""
        return self.exercises.setdefault(f"{unit.name}/{exercise}", Entry())

    def note(self, unit: Unit, verdict: ExerciseVerdict) -> None:
        """Remember a verdict; a score never falls."""
        entry = self.entry(unit, verdict.name)
        better = verdict.score >= entry.score or verdict.max_score != entry.max_score
        entry.score = verdict.score if better else entry.score
        entry.max_score = verdict.max_score
        entry.state = verdict.state


def points(entries: Mapping[str, Entry], exercises: Mapping[str, Exercise]) -> tuple[float, float]:
    """What these exercises gave, and what optional ones gave on top."""
    won = {name: min(entry.score, exercises[name].points) for name, entry in entries.items()}
    extra = sum(score for name, score in won.items() if exercises[name].optional)
    return sum(won.values()) - extra, extra


def load(root: Path) -> Progress:
    """What is remembered, or nothing yet. InputError when the file can't be read as progress."""
    path = workspace(root) / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress()
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} can't be read as progress ({error}): rename or delete it to start anew") from error


def save(root: Path, progress: Progress) -> None:
    """Write the file whole."""
    workspace(root).mkdir(parents=True, exist_ok=True)
    write_whole(workspace(root) / FILE, msgspec.json.format(msgspec.json.encode(progress), indent=1))
