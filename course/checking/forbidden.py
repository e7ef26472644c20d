"""Forbidden shortcuts: a library call where the exercise asks to write the thing.

Two pieces of evidence, both outside the student's control. `read_source` reads the submitted code of the exercise and
of everything it uses, through import aliases and assignments. `Family.operators` are poisoned below Python before any
student code ran (course.worker.worker); a wrong number there and a right one elsewhere means the shortcut carries the
answer.

What this does not do: it does not guess. Code that can call anything under a computed name holds the exercise for the
instructor. Building softmax from exp and sum is the exercise, not a shortcut.
Does not stop: a family member nobody listed that is built from operators the exercise needs too.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import symtable
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from itertools import islice
from typing import NamedTuple

from course.checking.cells import UNREADABLE, Reading, read, statements, used_names
from course.checking.verdict import ExerciseVerdict, without_points


class Family(NamedTuple):
    """Library calls that answer an exercise outright.

    rule: the sentence that the docstring of an exercise says where they are forbidden.
    paths: dotted names. methods: tensor methods. operators: aten operators to poison, with their siblings, and Python
    functions of the library that are composed of operators which an exercise may need.
    """

    what: str
    rule: str
    paths: frozenset[str]
    methods: frozenset[str]
    operators: tuple[str, ...]


def _family(what: str, rule: str, paths: str, methods: str, operators: str) -> Family:
    return Family(what, rule, frozenset(paths.split()), frozenset(methods.split()), tuple(operators.split()))


FAMILIES = {
    "softmax": _family(
        "a library softmax",
        "Not allowed: library softmax functions and losses (torch.softmax, log_softmax, logsumexp, cross_entropy).",
        """torch.softmax torch.log_softmax torch.logsumexp torch.special.softmax torch.special.log_softmax
        torch.special.logsumexp torch.nn.functional.softmax torch.nn.functional.log_softmax
        torch.nn.functional.softmin torch.nn.functional.gumbel_softmax torch.nn.functional.cross_entropy
        torch.nn.Softmax torch.nn.LogSoftmax torch.nn.Softmin torch.nn.Softmax2d torch.nn.CrossEntropyLoss
        torch.logcumsumexp torch._softmax torch._log_softmax torch._safe_softmax
        torch.nn.functional.scaled_dot_product_attention torch.sparse.softmax scipy.special.softmax
        scipy.special.log_softmax scipy.special.logsumexp""",
        "softmax log_softmax logsumexp logcumsumexp",
        "_softmax _softmax.out _log_softmax _log_softmax.out logsumexp logsumexp.out _logcumsumexp logcumsumexp "
        "_safe_softmax _scaled_dot_product_flash_attention_for_cpu",
    ),
    "attention": _family(
        "a library attention",
        "Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).",
        """torch.nn.functional.scaled_dot_product_attention torch.nn.functional.multi_head_attention_forward
        torch.nn.MultiheadAttention torch.nn.Transformer torch.nn.TransformerEncoder torch.nn.TransformerEncoderLayer
        torch.nn.TransformerDecoder torch.nn.TransformerDecoderLayer torch.nn.attention
        torch.scaled_dot_product_attention torch._native_multi_head_attention torch._scaled_dot_product_attention_math
        torch._scaled_dot_product_flash_attention_for_cpu torch._transformer_encoder_layer_fwd""",
        "scaled_dot_product_attention",
        "scaled_dot_product_attention _scaled_dot_product_attention_math "
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_fused_attention_overrideable "
        "_native_multi_head_attention _transformer_encoder_layer_fwd torch.nn.functional.multi_head_attention_forward",
    ),
    "recurrence": _family(
        "a library recurrent network",
        "Not allowed: library recurrent layers and cells (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell and the like).",
        """torch.rnn_tanh_cell torch.rnn_relu_cell torch.lstm_cell torch.gru_cell torch.rnn_tanh torch.rnn_relu
        torch.lstm torch.gru torch.nn.RNN torch.nn.RNNCell torch.nn.LSTM torch.nn.LSTMCell torch.nn.GRU torch.nn.GRUCell
        torch.nn.RNNBase torch.nn.RNNCellBase torch.nn.modules.rnn torch.mkldnn_rnn_layer""",
        "",
        "rnn_tanh_cell rnn_relu_cell lstm_cell gru_cell rnn_tanh.input rnn_relu.input lstm.input gru.input "
        "mkldnn_rnn_layer",
    ),
    "autograd": _family(
        "autograd",
        "Not allowed: autograd in any form (.backward(), torch.autograd, torch.func).",
        "torch.autograd torch.func torch._functorch functorch torch.Tensor.backward",
        "backward",
        "",
    ),
    "normalisation": _family(
        "a library normalisation",
        "Not allowed: library normalisations (F.layer_norm, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d and the like).",
        """torch.layer_norm torch.native_layer_norm torch.rms_norm torch.batch_norm torch.native_batch_norm
        torch.group_norm torch.native_group_norm torch.instance_norm torch.nn.functional.layer_norm
        torch.nn.functional.rms_norm torch.nn.functional.batch_norm torch.nn.functional.group_norm
        torch.nn.functional.instance_norm torch.nn.LayerNorm torch.nn.RMSNorm torch.nn.BatchNorm1d torch.nn.BatchNorm2d
        torch.nn.BatchNorm3d torch.nn.LazyBatchNorm1d torch.nn.SyncBatchNorm torch.nn.GroupNorm torch.nn.InstanceNorm1d
        torch.nn.InstanceNorm2d torch.nn.modules.normalization torch.nn.modules.batchnorm
        torch.nn.modules.instancenorm torch._fused_rms_norm""",
        "",
        "layer_norm native_layer_norm rms_norm _fused_rms_norm batch_norm native_batch_norm _batch_norm_impl_index "
        "_native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training "
        "_batch_norm_with_update _batch_norm_with_update_functional _batch_norm_no_update group_norm "
        "native_group_norm instance_norm",
    ),
}
HOLDING_NAMES = frozenset(
    "exec eval compile __import__ globals locals vars breakpoint __builtins__ __loader__ get_ipython".split()
)
HOLDING_ROOTS = ("torch._C", "torch.library", "torch.ops", "torch._ops", "torch.jit", "torch.compile", "torch._dynamo")
HOLDING_MODULES = frozenset(
    """ctypes gc importlib inspect sys builtins pickle marshal types cffi subprocess operator runpy code codeop os posix
    multiprocessing concurrent socket""".split()
)
ANYWHERE_NAMES = frozenset("exec eval compile __import__ get_ipython".split())
ANYWHERE_ROOTS = ("torch._C", "torch.library", "course.worker", "ctypes", "cffi", "sys.modules",
                  "sys._getframe", "gc.get_objects", "gc.get_referrers", "gc.get_referents")  # fmt: skip
WAYS = frozenset("ops aten prims nn functional special library jit compile _C _ops _dynamo".split())
WRITE_IT, LOOKED_AT = "this exercise asks you to write it", "your instructor will look at it"
MOST_STATEMENTS = 20_000  # of the student's; an answered notebook has a few hundred
LONGEST_WAY = 50  # assignments from one name to the next
LOOKED_INTO = 500  # statements that may change what they don't name: with more of them, none is trusted
PATCHED = ("torch", "triton", "course", "grader_kernels")


class Finding(NamedTuple):
    """kind "shortcut" names a forbidden call; kind "hold" names what can't be read; kind "absent" a package that is not
    installed here. `line` counts in its cell."""

    kind: str
    says: str
    line: int
    within: str = ""  # the name whose definition holds it, where that is not the exercise itself

    def sentence(self) -> str:
        """What was found, and where."""
        if not self.line:
            return self.says
        return f"{self.says} (line {self.line}{f' of the cell of `{self.within}`' if self.within else ''})"


class LeftOut(NamedTuple):
    """A statement outside of an exercise that could change it unread. cell: its number from 0. text: its first line."""

    cell: int
    text: str


def refuse(verdict: ExerciseVerdict, findings: Sequence[Finding]) -> ExerciseVerdict:
    """The verdict, without its points where its source calls what should be written, or can't be read."""
    for kind in ("shortcut", "hold", "absent"):
        first = next((each for each in findings if each.kind == kind), None)
        if first:
            state, why = ("forbidden", WRITE_IT) if kind == "shortcut" else ("held", LOOKED_AT)
            return without(verdict, state, f"{first.sentence()}; {why}")
    return verdict


def without(verdict: ExerciseVerdict, state: str, reason: str) -> ExerciseVerdict:
    """A verdict without points in the place of `verdict`."""
    return without_points(verdict.name, verdict.max_score, state, reason, hints=verdict.hints)


def poisons(forbids: Iterable[str]) -> tuple[str, ...]:
    """The aten operators to poison for these families."""
    return tuple(dict.fromkeys(op for f in forbids for op in FAMILIES[f].operators))


def read_source(
    cells: Sequence[Reading | str], exercise: str, forbids: Iterable[str], given: Sequence[Reading | str] = ()
) -> list[Finding]:
    """Findings in the definition of `exercise` and everything it uses, over all code cells of the hand-in.

    given  cells of the release, restored: what they define counts where it is used; what they do changes nothing of the
           student's. A lesson may compare an exercise with the library, right below it.
    """
    families = tuple(forbids)
    return read_notebook(cells, given).findings(exercise, families) if families else []


def read_notebook(cells: Sequence[Reading | str], given: Sequence[Reading | str] = ()) -> Notebook:
    """The reading of a hand-in, one for all its exercises. cells, given: as `read_source` takes them."""
    return _notebook(*(tuple(read(c) if isinstance(c, str) else c for c in group) for group in (cells, given)))


@functools.lru_cache(maxsize=1)
def _notebook(cells: tuple[Reading, ...], given: tuple[Reading, ...]) -> Notebook:
    return Notebook(cells, given)


class Notebook:
    """The names a notebook defines at its top level, and what they stand for.

    Of several definitions of a name that stand at the top of cells the last one counts, as when the cells are run; what
    it replaced is left out (`left_out`) where it can't be trusted.
    """

    def __init__(self, cells: Sequence[Reading], given: Sequence[Reading] = ()) -> None:
        self.definitions: dict[str, list[ast.AST]] = {}
        self.changes: dict[str, list[ast.AST]] = {}
        self.aliases: dict[str, str] = {}
        self.modules = {cell.module: statements(cell.python) for cell in cells if cell.module}
        self.loose: dict[int, ast.stmt] = {}  # by id: may change what they don't name
        self.replaced: dict[int, ast.stmt] = {}
        self._set: list[tuple[ast.expr, ast.stmt]] = []  # whose attributes a statement sets
        self._paths: dict[str, str] = {}  # what names stand for, as far as it was asked
        self._followed = 0  # names on the way from one to what it stands for
        self._trusted: dict[tuple[str, ...], tuple[list[list[str]], list[LeftOut]]] = {}
        self.cells = cells
        self._learn_lesson(given)
        self.statements = [[] if cell.module else statements(cell.python) for cell in cells]
        everything = (*self.modules.values(), *self.statements)
        self.too_large = sum(map(len, everything)) > MOST_STATEMENTS
        for inside in () if self.too_large else everything:
            self._learn_all(inside)
        self.patches = [statement for target, statement in self._set if self._is_patch(target)]

    def _learn_lesson(self, given: Iterable[Reading]) -> None:
        """What the cells of the release define: functions, classes and plain names."""
        self._learn_all(node for cell in given for node in statements(cell.python))
        self.changes, self.loose, self.replaced, self._set = {}, {}, {}, []
        for name, nodes in self.definitions.items():
            self.definitions[name] = [node for node in nodes if _defines(node, name)]

    def findings(self, exercise: str, forbids: tuple[str, ...]) -> list[Finding]:
        """Forbidden calls, and what can't be read, in `exercise` and what it uses."""
        families = [FAMILIES[f] for f in forbids]
        found = [Finding("hold", "the notebook has too many statements to be read", 0)] if self.too_large else []
        try:
            for name, node in self.reachable(exercise):
                within = "" if name == exercise else name
                found += [each._replace(within=within) for each in _findings(node, self, families)]
        except UNREADABLE:
            found.append(Finding("hold", "its source can't be read", 0))
        return list(dict.fromkeys(found))

    def digest(self, exercise: str) -> str:
        """Of the definitions of `exercise` and of what it uses: the same while nothing that it is made of changes; ""
        when that can't be said."""
        try:
            parts = sorted(f"{name} {ast.dump(node)}" for name, node in islice(self.reachable(exercise), LOOKED_INTO))
        except UNREADABLE:
            return ""
        if self.too_large or len(parts) == LOOKED_INTO:
            return ""
        return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16] if parts else ""

    def trusted(self, forbids: tuple[str, ...]) -> tuple[list[list[str]], list[LeftOut]]:
        """The cells as they were read, without what could change an exercise from outside unread; and what that is.

        Each cell is a list of texts to run one after another, in case one of them needs what was left out.
        """
        if forbids not in self._trusted:
            families, left_out = [FAMILIES[f] for f in forbids], []
            texts = [self._trusted_texts(number, families, left_out) for number in range(len(self.cells))]
            self._trusted[forbids] = texts, left_out
        return self._trusted[forbids]

    def _trusted_texts(self, number: int, families: list[Family], left_out: list[LeftOut]) -> list[str]:
        """The texts of one cell; what is not among them is put into `left_out`."""
        cell, inside = self.cells[number], self.statements[number]
        if cell.module:
            return [f"%%writefile {cell.module}.py\n{cell.python.removeprefix(chr(10))}"]
        out = [node for node in inside if self.too_large or self._acts_unread(node, families)]
        if not out:
            return [cell.python]
        lines = cell.python.split("\n")
        left_out += [LeftOut(number, _quoted(lines[node.lineno - 1])) for node in out[:LOOKED_INTO]]
        gone = set(map(id, out))
        return list(filter(None, (_unparsed(node) for node in inside if id(node) not in gone)))

    def _acts_unread(self, statement: ast.stmt, families: list[Family]) -> bool:
        """Whether a statement can change the library, or names of the notebook, in ways that reading does not show."""
        if any(self._opens(node) for node in ast.walk(statement)):
            return True
        if id(statement) not in self.loose and id(statement) not in self.replaced:
            return False
        if len(self.loose) + len(self.replaced) > LOOKED_INTO:
            return True
        try:
            told = (statement, *(node for _, node in self._used(free_names(statement))))
            return any(True for node in told for _ in _findings(node, self, families))
        except UNREADABLE:
            return True

    def _opens(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name) and node.id in ANYWHERE_NAMES:
            return node.id not in self.definitions
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return any(root not in self.modules and not _is_library(root) for root in _imported(node))
        if isinstance(node, (ast.Name, ast.Attribute)):
            path = self.dotted(node)
            return any(path == root or path.startswith(root + ".") for root in ANYWHERE_ROOTS)
        return False

    def _learn_all(self, nodes: Iterable[ast.stmt]) -> None:
        for node in nodes:
            self._learn(node)

    def _learn(self, node: ast.stmt) -> None:
        for inner in ast.walk(node):
            self._learn_import(inner)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.replaced |= {id(n): n for n in self.definitions.get(node.name, ()) if isinstance(n, ast.stmt)}
            self.definitions[node.name] = [node]
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            self._learn_assignment(node, node)
        else:
            for inner in ast.walk(node):
                if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
                    self.definitions.setdefault(inner.name, []).append(inner)
                elif isinstance(inner, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
                    self._learn_assignment(inner, node)
                elif isinstance(inner, ast.Call):
                    self._learn_change(inner, node)

    def _learn_change(self, call: ast.Call, statement: ast.stmt) -> None:
        """`tools.append(...)` says what `tools` is; `setattr(...)` and `tools().append(...)` may say it of anything."""
        if isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr") and call.args:
            self._learn_set(call.args[0], statement)
        root, results = call.func, False
        while isinstance(root, (ast.Attribute, ast.Subscript, ast.Call)):
            results = results or isinstance(root, ast.Call)
            root = root.func if isinstance(root, ast.Call) else root.value
        if not isinstance(root, ast.Name) or root is call.func:
            return
        if results:
            self.loose[id(statement)] = statement
        else:
            self.changes.setdefault(root.id, []).append(statement)

    def _learn_set(self, target: ast.expr, statement: ast.stmt) -> None:
        """Attributes of `target` are set."""
        self._set.append((target, statement))
        self.loose[id(statement)] = statement

    def _is_patch(self, target: ast.expr) -> bool:
        """Of the library, which concerns whoever uses it."""
        return self.dotted(target).split(".")[0] in PATCHED

    def _learn_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.split(".")[0]
                self.aliases[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                for one in _starred(node.module) if name.name == "*" else [name.name]:
                    self.aliases[name.asname or one] = f"{node.module}.{one}"

    def _learn_assignment(self, node: ast.AST, statement: ast.stmt) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for inner in (part for target in targets for part in ast.walk(target)):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self.definitions.setdefault(inner.id, []).append(node)
            elif isinstance(inner, (ast.Attribute, ast.Subscript)) and isinstance(inner.ctx, ast.Store):
                self._learn_part(inner, node, statement)

    def _learn_part(self, part: ast.Attribute | ast.Subscript, node: ast.AST, statement: ast.stmt) -> None:
        """`tools[0] = ...` and `settings.softmax = ...` say what a name stands for, unless that is a function."""
        if isinstance(part, ast.Attribute):
            self._learn_set(part.value, statement)
        root = part.value
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        functions = isinstance(root, ast.Name) and any(map(_is_function, self.definitions.get(root.id, ())))
        if not isinstance(root, ast.Name) or root.id in self.aliases or functions:
            self.loose[id(statement)] = statement
        else:
            self.changes.setdefault(root.id, []).append(node)

    def reachable(self, exercise: str) -> Iterator[tuple[str, ast.AST]]:
        """Definitions of `exercise` and of every name they mention, each once, with that name."""
        yield from (("torch", node) for node in self.patches)
        yield from self._used([exercise, *(name for node in self.patches for name in free_names(node))])

    def mentions(self, name: str) -> list[str]:
        """The names that the definitions of `name` take from the notebook, each once; none where they can't be read."""
        try:
            return list(dict.fromkeys(each for node in self.definitions.get(name, ()) for each in free_names(node)))
        except UNREADABLE:
            return []

    def _used(self, names: list[str]) -> Iterator[tuple[str, ast.AST]]:
        todo, seen, given = list(names), set(), set()
        while todo:
            current = todo.pop()
            if current in seen:
                continue
            seen.add(current)
            module = self.modules.get(self.aliases.get(current, "").split(".")[0], ())
            changes = () if current in self.aliases else self.changes.get(current, ())
            for node in (*module, *self.definitions.get(current, ()), *changes):
                if id(node) not in given:
                    given.add(id(node))
                    todo += free_names(node)
                    yield current, node

    def dotted(self, node: ast.AST) -> str:
        """The library path an expression stands for, through aliases; "" when it stands for none."""
        parts: list[str] = []
        while True:
            if isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            elif isinstance(node, ast.Call) and _is_getattr(node) and isinstance(node.args[1], ast.Constant):
                parts.append(str(node.args[1].value))
                node = node.args[0]
            else:
                break
        base = self._path(node.id) if isinstance(node, ast.Name) else ""
        return ".".join([base, *reversed(parts)]) if base else ""

    def _path(self, name: str) -> str:
        """What a name stands for. A name that leads back to itself stands for nothing."""
        if name in self.aliases:
            return self.aliases[name]
        if name not in self._paths and self._followed < LONGEST_WAY:
            self._paths[name], self._followed = "", self._followed + 1
            values = (d.value for d in self.definitions.get(name, ())[:LOOKED_INTO] if isinstance(d, ast.Assign))
            followed = (v for v in values if isinstance(v, (ast.Attribute, ast.Name, ast.Call)))
            self._paths[name] = next(filter(None, map(self.dotted, followed)), "")
            self._followed -= 1
        return self._paths.get(name, "")


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def _defines(node: ast.AST, name: str) -> bool:
    """False for `name.part = ...` and `name[...] = ...`, which only change what the name stands for."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    stored = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return any(n.id == name for n in stored)


def _starred(module: str) -> list[str]:
    """What `from module import *` brings, where it may bring a forbidden call."""
    if module not in ("torch", "torch.nn", "torch.nn.functional", "torch.special"):
        return []
    return [name for name in dir(importlib.import_module(module)) if not name.startswith("_")]


def free_names(node: ast.AST) -> list[str]:
    """Names a statement takes from the notebook: parameters and locals are its own."""
    return list(used_names(symtable.symtable(ast.unparse(node), "<cell>", "exec")))


def _unparsed(node: ast.stmt) -> str:
    try:
        return ast.unparse(node)
    except UNREADABLE:
        return ""


def _quoted(line: str) -> str:
    line = line.strip()
    return line if len(line) <= 60 else line[:57] + "..."


def _findings(root: ast.AST, module: Notebook, families: list[Family]) -> Iterator[Finding]:
    for node in ast.walk(root):
        if isinstance(node, (ast.Attribute, ast.Name, ast.Call)):
            yield from _shortcuts(node, module, families)
        yield from _holds(node, module, families)


def _shortcuts(node: ast.AST, module: Notebook, families: list[Family]) -> Iterator[Finding]:
    path = module.dotted(node)
    for family in families:
        if path in family.paths or any(path.startswith(p + ".") for p in family.paths):
            yield Finding("shortcut", f"it uses {family.what}, `{path}`", node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr in family.methods and not path:
            yield Finding("shortcut", f"it uses {family.what}, `.{node.attr}`", node.lineno)


def _holds(node: ast.AST, module: Notebook, families: list[Family]) -> Iterator[Finding]:
    if isinstance(node, ast.Name) and node.id in HOLDING_NAMES and node.id not in module.definitions:
        yield Finding("hold", f"it uses `{node.id}`, which can run what can't be read", node.lineno)
    if isinstance(node, ast.Call) and _is_getattr(node) and _may_name(node.args[1], families):
        yield Finding("hold", "it reads an attribute under a computed name", node.lineno)
    if isinstance(node, (ast.Attribute, ast.Name)):
        path = module.dotted(node)
        root = path.split(".")[0]
        if root in HOLDING_MODULES:
            yield Finding("hold", f"it uses `{path}`", node.lineno)
        elif root and root not in module.modules and not _is_library(root):
            yield Finding(_unread(root), f"it uses `{root}`, which can't be read", node.lineno)
        elif any(path == root or path.startswith(root + ".") for root in HOLDING_ROOTS):
            yield Finding("hold", f"it uses `{path}`", node.lineno)
        elif isinstance(node, ast.Attribute) and _internal(node.attr):
            yield Finding("hold", f"it uses `.{node.attr}`", node.lineno)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        for root in _imported(node):
            if root in HOLDING_MODULES:
                yield Finding("hold", f"it imports `{root}`", node.lineno)
            elif root not in module.modules and not _is_library(root):
                yield Finding(_unread(root), f"it imports `{root}`, which can't be read", node.lineno)


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The packages that a statement imports from."""
    names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or "."]
    return [name.split(".")[0] for name in names]


def _unread(package: str) -> str:
    """The kind of finding for a package that is no library."""
    return "hold" if package in sys.modules or _spec(package) else "absent"


def _spec(package: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None


@functools.lru_cache(maxsize=1024)
def _is_library(package: str) -> bool:
    """Whether a package is installed here: not a file beside the notebook, nor one that some cell wrote."""
    if package in sys.stdlib_module_names or package in PATCHED:
        return True
    found = _spec(package)
    places = [found.origin, *(found.submodule_search_locations or ())] if found else []
    return any(str(place).startswith(sysconfig.get_path(kind)) for place in places for kind in ("purelib", "platlib"))


def _may_name(name: ast.expr, families: list[Family]) -> bool:
    """Whether a computed name may be one that matters: f"w_{i}" begins as no forbidden call does, nor a way to one."""
    if isinstance(name, ast.Constant):
        return False
    parts = name.values if isinstance(name, ast.JoinedStr) else [name]
    if isinstance(name, ast.BinOp) and isinstance(name.op, ast.Add):
        parts = [name.left, name.right]
    ends = (part.value if isinstance(part, ast.Constant) else "" for part in (parts[0], parts[-1]))
    first, last = (end if isinstance(end, str) else "" for end in ends)
    words = {word for family in families for path in family.paths for word in path.split(".")} | WAYS
    words |= {word for family in families for word in family.methods}
    return any(word.startswith(first) and word.endswith(last) for word in words) or "__" in (first[:2], last[-2:])


_ALLOWED_DUNDER = frozenset(
    "__init__ __call__ __class__ __name__ __doc__ __len__ __iter__ __next__ __getitem__".split()
)


def _internal(attribute: str) -> bool:
    return attribute.startswith("__") and attribute.endswith("__") and attribute not in _ALLOWED_DUNDER


def _is_getattr(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) >= 2
