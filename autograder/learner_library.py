"""Which files the learner library is made of. The list stands here and nowhere else.

The sandbox mounts exactly these, the learner wheel contains exactly these, the leak test reads exactly these.
Nothing but the standard library is imported: the wheel's build runs this file by itself.
"""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".py", ".json", ".npz", ".css", ".js", ".svg", ".html", ".txt", ".csv")
NOT_FOR_LEARNERS = ("units",)  # below course/: the sources of the units, solutions and checks among them
KERNELS = "__init__ run recipes trace replay language evidence memory sanitizer meter lean".split()
KERNELS += "problem compiler refusals verdict picture".split()
KERNEL_FILES = tuple(f"{name}.py" for name in KERNELS)


def paths(root: Path | str) -> list[tuple[Path, str]]:
    """(absolute path, path inside the library) of every file, sorted by the latter.

    root: a clone of the course. Links are left out; kernel files that don't exist yet too.
    """
    root = Path(root).resolve()
    course = [p for p in (root / "course").rglob("*") if _belongs(p.relative_to(root / "course"), p)]
    kernels = [root / "grader_kernels" / name for name in KERNEL_FILES]
    found = [p for p in (*course, *kernels) if p.is_file() and not p.is_symlink()]
    return sorted(((p, p.relative_to(root).as_posix()) for p in found), key=lambda pair: pair[1])


def _belongs(inside: Path, path: Path) -> bool:
    top = inside.parts[0]
    hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
    return top not in NOT_FOR_LEARNERS and not hidden and path.suffix in SUFFIXES
