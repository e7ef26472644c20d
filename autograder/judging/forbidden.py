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
import importlib
import symtable
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from autograder.judging.needed import used_names


class Family(NamedTuple):
    """Library calls that answer an exercise outright.

    paths: dotted names. methods: tensor methods. operators: aten operators to poison, with their siblings.
    """

    what: str
    paths: frozenset[str]
    methods: frozenset[str]
    operators: tuple[str, ...]


def _family(what: str, paths: str, methods: str, operators: str) -> Family:
    return Family(what, frozenset(paths.split()), frozenset(methods.split()), tuple(operators.split()))


FAMILIES = {
    "softmax": _family(
        "a library softmax",
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
        """torch.nn.functional.scaled_dot_product_attention torch.nn.functional.multi_head_attention_forward
        torch.nn.MultiheadAttention torch.nn.Transformer torch.nn.TransformerEncoder torch.nn.TransformerEncoderLayer
        torch.nn.TransformerDecoder torch.nn.TransformerDecoderLayer torch.nn.attention
        torch.scaled_dot_product_attention torch._native_multi_head_attention torch._scaled_dot_product_attention_math
        torch._scaled_dot_product_flash_attention_for_cpu torch._transformer_encoder_layer_fwd""",
        "scaled_dot_product_attention",
        "scaled_dot_product_attention _scaled_dot_product_attention_math "
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_fused_attention_overrideable "
        "_native_multi_head_attention _transformer_encoder_layer_fwd",
    ),
    "recurrence": _family(
        "a library recurrent network",
        """torch.rnn_tanh_cell torch.rnn_relu_cell torch.lstm_cell torch.gru_cell torch.rnn_tanh torch.rnn_relu
        torch.lstm torch.gru torch.nn.RNN torch.nn.RNNCell torch.nn.LSTM torch.nn.LSTMCell torch.nn.GRU torch.nn.GRUCell
        torch.nn.RNNBase torch.nn.RNNCellBase torch.nn.modules.rnn torch.mkldnn_rnn_layer""",
        "",
        "rnn_tanh_cell rnn_relu_cell lstm_cell gru_cell rnn_tanh.input rnn_relu.input lstm.input gru.input "
        "mkldnn_rnn_layer",
    ),
    "normalisation": _family(
        "a library normalisation",
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


class Finding(NamedTuple):
    """kind "shortcut" names a forbidden call; kind "hold" names what can't be read. `line` counts in the cell."""

    kind: str
    says: str
    line: int


def poisons(forbids: Iterable[str]) -> tuple[str, ...]:
    """The aten operators to poison for these families."""
    return tuple(dict.fromkeys(op for f in forbids for op in FAMILIES[f].operators))


def read_source(cells: list[str], exercise: str, forbids: Iterable[str], given: Iterable[str] = ()) -> list[Finding]:
    """Findings in the definition of `exercise` and everything it uses, over all code cells of the hand-in.

    given  cells of the release, restored: what they define counts where it is used; what they do changes nothing of the
           student's. A lesson may compare an exercise with the library, right below it.
    """
    families = [FAMILIES[f] for f in forbids]
    if not families:
        return []
    found: list[Finding] = []
    try:
        module = _module(tuple(cells), tuple(given))
        for node in module.reachable(exercise):
            found += _findings(node, module, families)
        found += module.tampering
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found.append(Finding("hold", "its source can't be read", 0))
    return list(dict.fromkeys(found))


@functools.lru_cache(maxsize=1)
def _module(cells: tuple[str, ...], given: tuple[str, ...]) -> _Module:
    """One reading of a hand-in serves all its exercises."""
    return _Module(cells, given)


class _Module:
    """The names a notebook defines at its top level, and what they stand for."""

    def __init__(self, cells: Iterable[str], given: Iterable[str] = ()) -> None:
        self.definitions: dict[str, list[ast.AST]] = {}
        self.changes: dict[str, list[ast.AST]] = {}
        self.aliases: dict[str, str] = {}
        self.loose: list[ast.AST] = []
        self._learn_lesson(given)
        self.statements = [node for source in cells for node in _statements(source)]
        for node in self.statements:
            self._learn(node)

    def _learn_lesson(self, given: Iterable[str]) -> None:
        """What the cells of the release define: functions, classes and plain names."""
        for node in (node for source in given for node in _statements(source)):
            self._learn(node)
        self.changes, self.loose = {}, []
        for name, nodes in self.definitions.items():
            self.definitions[name] = [node for node in nodes if _defines(node, name)]

    @functools.cached_property
    def tampering(self) -> list[Finding]:
        """What any cell does to the library below the exercises."""
        return list(_tampering(self))

    def _learn(self, node: ast.stmt) -> None:
        for inner in ast.walk(node):
            self._learn_import(inner)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            self._learn_assignment(node)
        else:
            for inner in ast.walk(node):
                if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
                    self.definitions.setdefault(inner.name, []).append(inner)
                elif isinstance(inner, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
                    self._learn_assignment(inner)
                elif isinstance(inner, ast.Call):
                    self._learn_change(inner, node)

    def _learn_change(self, call: ast.Call, statement: ast.stmt) -> None:
        """`tools.append(...)` says what `tools` is; `setattr(...)` may say it of anything."""
        if isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr"):
            self.loose.append(statement)
        root = call.func
        while isinstance(root, (ast.Attribute, ast.Subscript, ast.Call)):
            root = root.func if isinstance(root, ast.Call) else root.value
        if isinstance(root, ast.Name) and root is not call.func:
            self.changes.setdefault(root.id, []).append(statement)

    def _learn_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.split(".")[0]
                self.aliases[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                for one in _starred(node.module) if name.name == "*" else [name.name]:
                    self.aliases[name.asname or one] = f"{node.module}.{one}"

    def _learn_assignment(self, node: ast.AST) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for inner in ast.walk(target):
                if isinstance(inner, ast.Name):
                    self.definitions.setdefault(inner.id, []).append(node)
                elif isinstance(inner, ast.Attribute):
                    self.loose.append(node)

    def reachable(self, name: str) -> Iterator[ast.AST]:
        """Definitions of `name` and of every name they mention, each once; monkey patches count as used."""
        todo, seen, given = [name], set(), set()
        for node in self.loose:
            given.add(id(node))
            todo += _free_names(node)
            yield node
        while todo:
            current = todo.pop()
            if current in seen:
                continue
            seen.add(current)
            changes = () if current in self.aliases else self.changes.get(current, ())
            for node in (*self.definitions.get(current, ()), *changes):
                if id(node) not in given:
                    given.add(id(node))
                    todo += _free_names(node)
                    yield node

    def dotted(self, node: ast.AST, depth: int = 0) -> str:
        """The library path an expression stands for, through aliases; "" when it stands for none."""
        if depth > 20:
            return ""
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value, depth + 1)
            return f"{base}.{node.attr}" if base else ""
        if isinstance(node, ast.Call) and _is_getattr(node) and isinstance(node.args[1], ast.Constant):
            base = self.dotted(node.args[0], depth + 1)
            return f"{base}.{node.args[1].value}" if base else ""
        if isinstance(node, ast.Name):
            if node.id in self.aliases:
                return self.aliases[node.id]
            for value in self.definitions.get(node.id, ()):
                if isinstance(value, ast.Assign) and isinstance(value.value, (ast.Attribute, ast.Name, ast.Call)):
                    found = self.dotted(value.value, depth + 1)
                    if found:
                        return found
        return ""


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


def _free_names(node: ast.AST) -> list[str]:
    """Names a statement takes from the notebook: parameters and locals are its own."""
    return list(used_names(symtable.symtable(ast.unparse(node), "<cell>", "exec")))


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
        try:
            return ast.parse("\n".join(lines)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []


def _findings(root: ast.AST, module: _Module, families: list[Family]) -> Iterator[Finding]:
    for node in ast.walk(root):
        if isinstance(node, (ast.Attribute, ast.Name, ast.Call)):
            yield from _shortcuts(node, module, families)
        yield from _holds(node, module)


def _tampering(module: _Module) -> Iterator[Finding]:
    """What in any cell can change the library below the exercise: it is held, since nobody can tell what it did."""
    for node in (inner for statement in module.statements for inner in ast.walk(statement)):
        if isinstance(node, ast.Name) and node.id in ANYWHERE_NAMES and node.id not in module.definitions:
            yield Finding("hold", f"a cell uses `{node.id}`, which can run what can't be read", node.lineno)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            path = module.dotted(node)
            if any(path == root or path.startswith(root + ".") for root in ANYWHERE_ROOTS):
                yield Finding("hold", f"a cell uses `{path}`", node.lineno)


def _shortcuts(node: ast.AST, module: _Module, families: list[Family]) -> Iterator[Finding]:
    path = module.dotted(node)
    for family in families:
        if path in family.paths or any(path.startswith(p + ".") for p in family.paths):
            yield Finding("shortcut", f"it uses {family.what}, `{path}`", node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr in family.methods and not path:
            yield Finding("shortcut", f"it uses {family.what}, `.{node.attr}`", node.lineno)


def _holds(node: ast.AST, module: _Module) -> Iterator[Finding]:
    if isinstance(node, ast.Name) and node.id in HOLDING_NAMES and node.id not in module.definitions:
        yield Finding("hold", f"it uses `{node.id}`, which can run what can't be read", node.lineno)
    if isinstance(node, ast.Call) and _is_getattr(node) and not isinstance(node.args[1], ast.Constant):
        yield Finding("hold", "it reads an attribute under a computed name", node.lineno)
    if isinstance(node, (ast.Attribute, ast.Name)):
        path = module.dotted(node)
        if path.split(".")[0] in HOLDING_MODULES:
            yield Finding("hold", f"it uses `{path}`", node.lineno)
        elif any(path == root or path.startswith(root + ".") for root in HOLDING_ROOTS):
            yield Finding("hold", f"it uses `{path}`", node.lineno)
        elif isinstance(node, ast.Attribute) and _internal(node.attr):
            yield Finding("hold", f"it uses `.{node.attr}`", node.lineno)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for name in names:
            if name.split(".")[0] in HOLDING_MODULES:
                yield Finding("hold", f"it imports `{name}`", node.lineno)


_ALLOWED_DUNDER = frozenset(
    "__init__ __call__ __class__ __name__ __doc__ __len__ __iter__ __next__ __getitem__".split()
)


def _internal(attribute: str) -> bool:
    return attribute.startswith("__") and attribute.endswith("__") and attribute not in _ALLOWED_DUNDER


def _is_getattr(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) >= 2
