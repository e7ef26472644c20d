"""What a compiler refuses, in a learner's words and with the line of the learner's source.

`explain` is for triton's front end, `explain_late` for what comes behind it (MLIR, LLVM, ptxas), `explain_gate` for
`language.extract`. A message that WORDS doesn't know is passed on in one line, without addresses and excerpts.

Not here: compiling (`compiler`) and what may stand in a kernel at all (`language`).
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import re
from collections.abc import Callable, Mapping

from triton.compiler.errors import CompilationError, CompileTimeAssertionFailure
from triton.runtime.jit import JITFunction, get_jit_fn_file_line

from grader_kernels import language


class Refused(Exception):
    """What the compiler refuses, in a learner's words, with the line of the learner's source (0: no line)."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(sentence)
        self.sentence, self.line = sentence, line


POWER_OF_TWO = (
    "every axis of a tile must be a power of two: round it up with triton.next_power_of_2 before the launch "
    "and mask the lanes beyond the end"
)
WORDS: list[tuple[str, str]] = [
    (
        r"Cannot access global variable (\w+) from",
        "`{0}` is a plain global variable, and a kernel sees only globals that are tl.constexpr: write "
        "{0} = tl.constexpr(...), or pass it as a parameter",
    ),
    (
        r"^(\w+) is not defined$",
        "`{0}` is not defined here{near}; a name that is set only inside an if or a loop does not exist after it",
    ),
    (
        r"Loop.carried variable (\w+) has initial type (.+?) but is re-assigned to (.+?) in loop",
        "`{0}` is {1} before the loop and becomes {2} in it, but a variable of a loop keeps its type: start it as {2}, "
        "or convert with .to(...) what the loop assigns",
    ),
    (
        r"Loop.carried variable (\w+) changed type.* constexpr$|[Cc]annot reassign constexpr (\w+) in the loop",
        "`{0}{1}` is a constant (tl.constexpr), and the loop assigns it: give the loop a variable of its own",
    ),
    (
        r"Loop.carried variable (\w+) changed type",
        "`{0}` is a tile on one side of the loop and something else on the other: start it as what the loop makes it",
    ),
    (r"(\w+) is already defined\. constexpr cannot be", "`{0}` is assigned twice, and a tl.constexpr is assigned once"),
    (
        r"Mismatched type for (\w+) between then block \((.+?)\) and else block \((.+?)\)",
        "`{0}` becomes {1} in the if and {2} in the else: make both the same with .to(...)",
    ),
    (
        r"[Ii]nitial value for `(\w+)` is of type (.+?), but the (\w+) block redefines it as (.+)$",
        "`{0}` is {1} before the if and becomes {3} in it: make both the same with .to(...)",
    ),
    (
        r"Input shapes should have M >= (\d+), N >= (\d+) and K >= (\d+)",
        "tl.dot needs K >= {2} here, where K is the axis that both tiles share: make the block larger and fill up with "
        "zeros (mask and other=0)",
    ),
    (r"arange's range must be a power of 2|must be a power of 2", POWER_OF_TWO),
    (
        r"arange's arguments must be of type tl\.constexpr",
        "tl.arange needs sizes that are known when the kernel is compiled: pass the size as a tl.constexpr parameter",
    ),
    (
        r"Shape element \d+ must have type `constexpr",
        "the shape of a tile must be known when the kernel is compiled: pass its sizes as tl.constexpr parameters",
    ),
    (
        r"numel \((\d+)\) exceeds triton maximum tensor numel \((\d+)\)",
        "a tile of {0} elements is too large, the most is {1}: let more programs share the work",
    ),
    (
        r"incompatible dimensions at index (\d+): (\d+) and (\d+)",
        "these tiles do not fit together: axis {0} has {1} elements in one and {2} in the other",
    ),
    (
        r"must have equal reduction dimensions|[Ff]irst input shape .* are not compatible for matmul",
        "tl.dot can't multiply these tiles: the last axis of the first must be as long as the first axis of the second",
    ),
    (
        r"Both operands must be same dtype\. Got (.+?) and (.+)$",
        "tl.dot multiplies tiles of one dtype, and these are {0} and {1}: convert one with .to(...)",
    ),
    (
        r"Unsupported ptr type (.+?) in `tl\.(\w+)`",
        "tl.{1} needs an address and got {0}: an address is a pointer parameter plus offsets",
    ),
    (
        r"cannot convert .* of type (.+?) to tensor",
        "a Python value of type {0} can't take part in a kernel's arithmetic: only tiles and numbers can",
    ),
    (
        r"Mask must have boolean scalar type|operand #\d must be 1-bit signless integer",
        "a mask must hold True or False for every lane, as a comparison does, not numbers",
    ),
    (r"[Ii]nvalid operands of type (.+?) and (.+)$", "this operator doesn't work on {0} and {1}"),
    (
        r"Expected dtype \[(.+?)\] but got (\w+)",
        "this function takes {0} and got {1}: convert with .to(tl.float32)",
    ),
    (r"type of return operand \d", "a kernel returns nothing: write its result to memory with tl.store"),
    (
        r"unsupported tensor index",
        "a tile can't be indexed with numbers: load the elements you need, or reduce the tile",
    ),
    (r"'NoneType' object has no attribute", "None takes part in arithmetic here"),
    (
        r"^(?:(int|float)\(\) argument must be|object of type 'tensor' has no (len)\(\))",
        "{0}{1}() is Python's and can't look into a tile: use .to(...) or .shape",
    ),
    (r"static assertion: (.*)$", "tl.static_assert failed{0}"),
    (r"type (\w+) not supported in this architecture", "this GPU has no {0}"),
    (
        r"num_ctas > 1 requires NVIDIA SM90",
        "num_ctas above 1 needs an H100 (sm_90) or newer: leave it out for this GPU",
    ),
    (r"Boolean value of Tensor with more than one value", "an `if` can't ask a whole tile: use tl.where, or reduce it"),
    (r"cannot add pointers together", "two addresses are added here: an address is one pointer plus offsets"),
]

HOST_MODULES = {"torch": "tl", "F": "tl", "np": "tl", "numpy": "tl", "math": "tl.math"}
_WRAPPED = re.compile(r"^(\w+(?:Error|Exception|Impl))\((['\"])(.*)\2,?\)$", re.S)
_TILE = re.compile(r"<\[([\d', ]*)\], ([\w<>*]+)>")


def _say(message: str, near: str = "", where: str = "line") -> str:
    """A compiler's message in a learner's words."""
    wrapped = _WRAPPED.match(message.strip())
    message = _plain_types(re.sub(r"\s+", " ", wrapped[3] if wrapped else message).strip())
    for pattern, words in WORDS:
        found = re.search(pattern, message)
        if found:
            return words.format(*(group or "" for group in found.groups()), near=near)
    return f"the compiler refuses this {where}: {message[:300] or 'it gives no reason'}"


def _plain_types(message: str) -> str:
    """`<['64', '32'], fp32>` is a (64, 32) tile of fp32."""
    message = _TILE.sub(lambda m: f"a ({m[1].replace(chr(39), '')}) tile of {m[2]}", message)
    message = re.sub(r"\b(\w+)\[((?:constexpr\[\d+\](?:, )?)+)\]", r"a (\2) tile of \1", message)
    message = re.sub(r"constexpr\[(\d+)\]", r"\1", message)
    message = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", message)
    return re.sub(r"\btriton\.language\.|(?<=\w)\[\]", "", message)


def explain(error: CompilationError, functions: Mapping[str, JITFunction]) -> Refused:
    """The innermost place in the learner's own functions, with the innermost reason."""
    reason, place = "", None
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, CompilationError):
            owner = next((f for f in functions.values() if f.src == link.src), None)
            place = (owner, link.node) if owner is not None else place
        reason = _reason(link) or reason
        link = link.__cause__
    if place is None:
        return Refused(_say(reason, where="kernel"))
    function, node = place
    first = get_jit_fn_file_line(function)[1]
    line = _blamed_line(reason, function, getattr(node, "lineno", 1))
    return Refused(_say(reason, _near(reason, function)), first + line - 1)


def _reason(error: BaseException) -> str:
    if not isinstance(error, CompilationError):
        return str(error)
    message = error.error_message or ""
    if isinstance(error, CompileTimeAssertionFailure):
        return f"static assertion: {': ' if message else ''}{message}"
    return message


def _blamed_line(reason: str, function: JITFunction, line: int) -> int:
    """A loop-carried variable is blamed on the loop; the learner wants the line that assigns it last."""
    found = re.search(r"Loop.carried variable (\w+)|constexpr (\w+) in the loop", reason)
    if not found:
        return line
    name, tree = found[1] or found[2], function.parse()
    loops = [n for n in ast.walk(tree) if isinstance(n, (ast.For, ast.While)) and n.lineno <= line <= n.end_lineno]
    inside = [n for loop in loops for n in ast.walk(loop) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    lines = [n.lineno for n in inside if n.id == name and n.lineno >= line]
    return max(lines, default=line)


def _near(reason: str, function: JITFunction) -> str:
    found = re.search(r"(\w+) is not defined", reason)
    return _meant(found[1], function.parse()) if found else ""


def _meant(name: str, tree: ast.AST) -> str:
    """Which name of the function was perhaps meant."""
    known = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id != name and isinstance(n.ctx, ast.Store)}
    known |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    close = difflib.get_close_matches(name, sorted(known), 1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def explain_late(error: Exception, said: Callable[[], str]) -> Refused:
    """A refusal behind the front end: what MLIR or ptxas printed, with the line it names."""
    found = re.search(r"<kernels \w+>\"?:(\d+):\d+\)*: error: (.*)", said())
    if found:
        return Refused(_say(found[2]), int(found[1]))
    named = re.search(r"error\s*: (.*)", said() + str(error))
    return Refused(_say(named[1] if named else str(error), where="kernel"))


def explain_gate(error: language.LanguageError, source: str) -> Refused:
    """What `language.extract` refuses, with more about the two things learners do most."""
    if isinstance(error, language.NotWritten):
        return Refused(error.sentence, error.line)
    names = _host_calls(source, error.line)
    if names:
        root, name = names[0].split(".", 1)
        inside = f"{HOST_MODULES[root]}.{name}"
        known = name in (language.MATH_NAMES if root == "math" else language.LANGUAGE_NAMES)
        instead = f"use {inside}" if known else "use the functions of tl"
        return Refused(f"`{names[0]}` runs in Python on the host, and a kernel can't call it: {instead}", error.line)
    return Refused(_gate_words(error.sentence, source, error.line), error.line)


def _host_calls(source: str, line: int) -> list[str]:
    """`torch.exp` and the like on that line."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    return [m[0] for m in re.finditer(rf"(?<![\w.])(?:{'|'.join(HOST_MODULES)})\.\w+(?:\.\w+)*", text)]


def _gate_words(sentence: str, source: str, line: int) -> str:
    found = re.match(r"`(\w+)` is not known in a kernel", sentence)
    if found:
        return _say(f"{found[1]} is not defined", _meant(found[1], _function_at(source, line)))
    found = re.match(r"`(\w+)` is neither a @triton\.jit function nor a literal constant", sentence)
    if found:
        return (
            f"`{found[1]}` is a global variable, and a kernel sees only its parameters, @triton.jit functions and "
            f"NAME = tl.constexpr(number): pass it as a parameter"
        )
    return sentence


def _function_at(source: str, line: int) -> ast.AST:
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.lineno <= line <= node.end_lineno:
                return node
    return ast.Module([], [])
