"""Which files the learner library is made of. The list stands here and nowhere else.

The sandbox mounts exactly these, the learner wheel contains exactly these, the leak test reads exactly these.
Nothing but the standard library is imported: the wheel's build runs this file by itself.
"""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".py", ".json", ".npz", ".css", ".js", ".svg", ".html", ".txt", ".csv", ".safetensors", ".md")
NOT_FOR_LEARNERS = ("units",)  # below course/: the sources of the units, solutions and checks among them
NOT_OF_KERNELS = ("problems", "child.py", "judge.py", "timing.py")  # in grader_kernels/


def paths(root: Path | str) -> list[tuple[Path, str]]:
    """(absolute path, path inside the library) of every file, sorted by the latter.

    root: a clone of the course. Links are left out.
    """
    root = Path(root).resolve()
    packages = (("course", NOT_FOR_LEARNERS), ("grader_kernels", NOT_OF_KERNELS))
    found = [path for name, left_out in packages for path in _files(root / name, left_out)]
    return sorted(((p, p.relative_to(root).as_posix()) for p in found), key=lambda pair: pair[1])


def _files(folder: Path, left_out: tuple[str, ...]) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if _belongs(path.relative_to(folder), left_out)]


def _belongs(inside: Path, left_out: tuple[str, ...]) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
    return not hidden and not set(left_out) & set(inside.parts) and inside.suffix in SUFFIXES
