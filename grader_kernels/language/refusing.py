"""How the gate says no: one sentence, the line, and the way out.

What it is not: a decision. `functions`, `names` and `constants` decide.
"""

from __future__ import annotations

import ast


class LanguageError(ValueError):
    """Source that is not plain Triton. `line` counts in the source that was given, 0 when there is no line."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {sentence}" if line else sentence)
        self.sentence, self.line = sentence, line


class NotWritten(LanguageError):
    """A kernel that still raises NotImplementedError, as it was released."""


ADVICE = {
    ast.Import: "imports do not belong into a kernel",
    ast.ImportFrom: "imports do not belong into a kernel",
    ast.Lambda: "lambda is not part of the Triton language: write a @triton.jit function",
    ast.FunctionDef: "a function inside a kernel is not possible: give it its own @triton.jit",
    ast.NamedExpr: "`:=` is not allowed here: write an assignment",
    ast.JoinedStr: "an f-string may stand only in a call, as in tl.static_print and tl.static_assert",
    ast.Break: "`break` is not part of the Triton language: use a mask or a bounded loop",
    ast.Continue: "`continue` is not part of the Triton language: use a mask",
    ast.MatMult: "`@` is not part of the Triton language: use tl.dot",
    ast.Starred: "`*` unpacks only a tuple in a call: write the names out",
    ast.Global: "a kernel can't change globals",
    ast.ListComp: "a comprehension runs over a tuple, without `if`: for a count use tl.static_range",
    ast.GeneratorExp: "comprehensions are not part of the Triton language: use tl.static_range",
    ast.Dict: "dicts are not part of the Triton language",
    ast.Try: "try is not part of the Triton language",
    ast.With: "with is not part of the Triton language",
    ast.Raise: "raise is not part of the Triton language: use tl.device_assert",
}


def refuse(node: ast.AST, sentence: str | None = None) -> LanguageError:
    """The error for a node, to be raised. sentence: None takes the advice for nodes of this kind."""
    kind = type(node)
    if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
        return NotWritten("the kernel is not written yet", node.lineno)
    sentence = sentence or ADVICE.get(kind) or f"{kind.__name__} is not part of the Triton language"
    return LanguageError(sentence, getattr(node, "lineno", 0))
