"""Forbidden shortcuts: a library call where the exercise asks to write the thing.

What an answer earns in a class is decided by running it where `Family.operators` raise (course.worker.poison). In a
notebook `watching` sees which of them an answer calls, in itself or through others; nothing is made to fail there.
`read_source` finds the words: it reads the definition of the exercise and of everything it uses, through import aliases
and assignments. It does not guess: what it can't follow it leaves alone.

Building softmax from exp and sum is the exercise, not a shortcut.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.util
import symtable
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from itertools import islice
from typing import Any, NamedTuple

from course.checking import library
from course.checking.cells import (
    COMPREHENSIONS,
    SCOPES,
    Reading,
    read,
    statements,
    used_names,
)
from course.checking.verdict import ExerciseVerdict, without_points


class Family(NamedTuple):
    """Library calls that answer an exercise outright.

    rule: the sentence that the docstring of an exercise says where they are forbidden.
    paths: dotted names. methods: methods and attributes of tensors and of what they lead to. operators: what
    `course.worker.poison` takes: aten operators, every overload of them, and Python functions of the
    library that are composed of operators which an exercise may need.
    """

    what: str
    rule: str
    paths: frozenset[str]
    methods: frozenset[str]
    operators: tuple[str, ...]


def _family(what: str, rule: str, paths: str, methods: str, operators: str) -> Family:
    return Family(what, rule, frozenset(paths.split()), frozenset(methods.split()), tuple(operators.split()))


_ATTENTION = """torch.nn.functional.scaled_dot_product_attention torch.nn.functional.multi_head_attention_forward
        torch.nn.MultiheadAttention torch.nn.Transformer torch.nn.TransformerEncoder torch.nn.TransformerEncoderLayer
        torch.nn.TransformerDecoder torch.nn.TransformerDecoderLayer torch.nn.attention
        torch.scaled_dot_product_attention torch._native_multi_head_attention torch._scaled_dot_product_attention_math
        torch._scaled_dot_product_flash_attention_for_cpu torch._transformer_encoder_layer_fwd"""
_ATTENTION_OPERATORS = (
    "scaled_dot_product_attention _scaled_dot_product_attention_math "
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_fused_attention_overrideable "
    "_native_multi_head_attention _transformer_encoder_layer_fwd torch.nn.functional.multi_head_attention_forward "
    "torch._higher_order_ops.flex_attention.math_attention course.widgets.attention_explorer._attend"
)
_OF_THE_COURSE = " course.models.MultiHeadAttention.forward"
_MODEL = "course.gpt course.gemma course.heads"
_OF_THE_MODEL = "course.gpt.rotate course.gpt.Attention.forward course.gpt.FeedForward.forward course.gpt.Layer.forward"


def _attention(more: str = "", operators: str = "") -> Family:
    rule = "Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer)."
    methods = "scaled_dot_product_attention"
    return _family("a library attention", rule, f"{_ATTENTION} {more}", methods, _ATTENTION_OPERATORS + operators)


FAMILIES = {
    "softmax": _family(
        "a library softmax",
        "Not allowed: library softmax functions and losses (torch.softmax, log_softmax, logsumexp, cross_entropy).",
        """torch.softmax torch.log_softmax torch.logsumexp torch.special.softmax torch.special.log_softmax
        torch.special.logsumexp torch.nn.functional.softmax torch.nn.functional.log_softmax
        torch.nn.functional.softmin torch.nn.functional.gumbel_softmax torch.nn.functional.cross_entropy
        torch.nn.Softmax torch.nn.LogSoftmax torch.nn.Softmin torch.nn.Softmax2d torch.nn.CrossEntropyLoss
        course.models.masked_softmax torch.logcumsumexp torch._softmax torch._log_softmax torch._safe_softmax
        torch.nn.functional.scaled_dot_product_attention torch.sparse.softmax scipy.special.softmax
        scipy.special.log_softmax scipy.special.logsumexp torch.distributions.SoftmaxTransform
        torch.distributions.transform_to torch.distributions.biject_to triton.language.softmax
        torch.nn.functional.ctc_loss torch.ctc_loss torch.nn.CTCLoss torch.nn.functional.linear_cross_entropy
        torch.nn.LinearCrossEntropyLoss numpy.logaddexp numpy.logaddexp2""",
        "softmax log_softmax logsumexp logcumsumexp",
        "_softmax _log_softmax logsumexp _logcumsumexp logcumsumexp _safe_softmax _masked_softmax _sparse_softmax "
        "_sparse_log_softmax _nested_tensor_softmax_with_shape _scaled_dot_product_flash_attention_for_cpu "
        "_ctc_loss ctc_loss torch.distributions.transforms.SoftmaxTransform._call "
        "numpy.logaddexp numpy.logaddexp2",
    ),
    "attention": _attention("course.models", _OF_THE_COURSE),
    "attention_of_torch": _attention(),  # where the course's own layer may stand in an answer
    "recurrence": _family(
        "a library recurrent network",
        "Not allowed: library recurrent layers and cells (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell and the like).",
        """torch.rnn_tanh_cell torch.rnn_relu_cell torch.lstm_cell torch.gru_cell torch.rnn_tanh torch.rnn_relu
        torch.lstm torch.gru torch.nn.RNN torch.nn.RNNCell torch.nn.LSTM torch.nn.LSTMCell torch.nn.GRU torch.nn.GRUCell
        torch.nn.RNNBase torch.nn.RNNCellBase torch.nn.modules.rnn torch.mkldnn_rnn_layer""",
        "",
        "rnn_tanh_cell rnn_relu_cell lstm_cell gru_cell rnn_tanh rnn_relu lstm gru mkldnn_rnn_layer quantized_gru "
        "quantized_gru_cell quantized_lstm quantized_lstm_cell quantized_rnn_relu_cell quantized_rnn_tanh_cell",
    ),
    "autograd": _family(
        "autograd",
        "Not allowed: autograd in any form (.backward(), torch.autograd, torch.func).",
        """torch.autograd torch.func torch._functorch functorch torch.Tensor.backward torch.Tensor.grad_fn
        torch.distributions.ExponentialFamily torch.distributions.kl_divergence""",
        "backward grad_fn next_functions",
        "Autograd _softmax_backward_data _log_softmax_backward_data _masked_softmax_backward "
        "_scaled_dot_product_flash_attention_for_cpu_backward "
        "_scaled_dot_product_fused_attention_overrideable_backward torch.autograd.graph._engine_run_backward",
    ),
    "normalisation": _family(
        "a library normalisation",
        "Not allowed: library normalisations (F.layer_norm, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d and the like).",
        """torch.layer_norm torch.native_layer_norm torch.rms_norm torch.batch_norm torch.native_batch_norm
        torch.group_norm torch.native_group_norm torch.instance_norm torch.nn.functional.layer_norm
        torch.nn.functional.rms_norm torch.nn.functional.batch_norm torch.nn.functional.group_norm
        torch.nn.functional.instance_norm torch.nn.LayerNorm torch.nn.RMSNorm torch.nn.BatchNorm1d torch.nn.BatchNorm2d
        torch.nn.BatchNorm3d torch.nn.LazyBatchNorm1d torch.nn.SyncBatchNorm torch.nn.GroupNorm torch.nn.InstanceNorm1d
        torch.nn.InstanceNorm2d torch.nn.InstanceNorm3d torch.nn.LazyBatchNorm2d torch.nn.LazyBatchNorm3d
        torch.nn.LazyInstanceNorm1d torch.nn.LazyInstanceNorm2d torch.nn.LazyInstanceNorm3d torch.nn.LocalResponseNorm
        torch.nn.CrossMapLRN2d torch.nn.functional.local_response_norm torch.nn.functional.normalize torch.renorm
        torch.nn.functional.cosine_similarity torch.cosine_similarity torch.nn.CosineSimilarity torch.embedding_renorm_
        torch.nn.functional.cosine_embedding_loss torch.cosine_embedding_loss torch.nn.CosineEmbeddingLoss
        torch.norm_except_dim torch.nn.utils.weight_norm torch.nn.utils.spectral_norm torch.nn.utils.parametrizations
        torch.nn.modules.normalization torch.nn.modules.batchnorm torch.nn.modules.instancenorm torch._fused_rms_norm
        torch._weight_norm torch._weight_norm_interface course.models course.gpt""",
        "renorm renorm_",
        "layer_norm native_layer_norm rms_norm _fused_rms_norm batch_norm native_batch_norm _batch_norm_impl_index "
        "_native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training "
        "_batch_norm_with_update _batch_norm_with_update_functional _batch_norm_no_update group_norm "
        "native_group_norm instance_norm quantized_batch_norm renorm renorm_ _weight_norm _weight_norm_interface "
        "embedding_renorm_ cosine_similarity cosine_embedding_loss torch.nn.modules._functions.CrossMapLRN2d.forward "
        "torch._refs._normalize torch._decomp.decompositions.native_batch_norm_helper "
        "torch.nn.functional.local_response_norm torch.nn.functional.normalize course.models.RMSNorm.forward",
    ),
    "given": _family(  # what later units are given, where it is an exercise
        "what the course gives to later units",
        "Not allowed: the course's own functions, layers and models (course.models, course.gpt).",
        f"course.models {_MODEL}",
        "",
        "course.models.sinusoidal_encoding course.models.apply_rope course.models.RMSNorm.forward "
        f"course.models.SwiGLU.forward {_OF_THE_MODEL}",
    ),
    "model": _family(
        "the course's language model",
        "Not allowed: the course's language model (course.gpt).",
        _MODEL,
        "",
        _OF_THE_MODEL,
    ),
}
SPARED = (  # in torch.autograd, for who writes both ways: no derivative comes of it
    "torch.autograd.Function", "torch.autograd.function.FunctionCtx", "torch.autograd.function.once_differentiable",
)  # fmt: skip
WRITE_IT, LOOKED_AT = "this exercise asks you to write it", "your instructor will look at it"
MOST_STATEMENTS = 20_000  # of the student's; an answered notebook has a few hundred
MOST_STARS = 50  # imports of everything that are followed
LONGEST_WAY = 50  # assignments from one name to the next
LOOKED_INTO = 500  # definitions of one name, and parts of an answer, that are looked at
PATCHED = ("torch", "triton", "course", "grader_kernels")
IMPORTED = (*PATCHED, "autograder")  # where a notebook runs, whatever module it writes


class Finding(NamedTuple):
    """A forbidden call. `line` counts in its cell; 0 where it was seen and not found."""

    says: str
    line: int
    within: str = ""  # the name whose definition holds it, where that is not the exercise itself

    def sentence(self) -> str:
        """What was found, and where."""
        if not self.line:
            return self.says
        return f"{self.says} (line {self.line}{f' of the cell of `{self.within}`' if self.within else ''})"


def refuse(verdict: ExerciseVerdict, findings: Sequence[Finding]) -> ExerciseVerdict:
    """The verdict, without its points where its source calls what should be written."""
    return without(verdict, "forbidden", f"{findings[0].sentence()}; {WRITE_IT}") if findings else verdict


def without(verdict: ExerciseVerdict, state: str, reason: str) -> ExerciseVerdict:
    """A verdict without points in the place of `verdict`."""
    return without_points(verdict.name, verdict.max_score, state, reason, hints=verdict.hints)


def poisons(forbids: Iterable[str]) -> tuple[str, ...]:
    """The aten operators to poison for these families."""
    return tuple(dict.fromkeys(op for f in forbids for op in FAMILIES[f].operators))


@contextlib.contextmanager
def watching(forbids: Iterable[str]) -> Iterator[list[str]]:
    """Gathers the names of functions and operators of these families that are called inside."""
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    families, seen = [FAMILIES[f] for f in forbids if f != "autograd"], []
    functions = "torch.nn.functional."
    named = {name.removeprefix(functions) for family in families for name in (*family.operators, *family.methods)}
    names = {name for name in named if "." not in name}

    def note(name: str) -> None:
        if name in names:
            seen.append(name)

    class Functions(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            note(getattr(function, "__name__", ""))
            return function(*args, **(kwargs or {}))

    class Operators(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            note(function._schema.name.rpartition("::")[2])
            return function(*args, **(kwargs or {}))

    if not names:
        yield seen
        return
    with Operators(), Functions():
        yield seen


def sure(findings: Sequence[Finding], forbids: Iterable[str], seen: Sequence[str]) -> list[Finding]:
    """What a notebook can say: the findings where a call was seen, and those that can't be watched.

    seen: of `watching`. Where it saw a call that nobody finds in the source, that is the finding.
    """
    if seen:
        what = " or ".join(FAMILIES[f].what for f in forbids)
        return list(findings) or [Finding(f"it uses {what}, `{seen[0]}`", 0)]
    return [each for each in findings if "autograd" in forbids or "`course." in each.says]


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

    Of several definitions of a name that stand at the top of cells the last one counts, as when the cells are run.
    """

    def __init__(self, cells: Sequence[Reading], given: Sequence[Reading] = ()) -> None:
        self.definitions: dict[str, list[ast.AST]] = {}
        self.changes: dict[str, list[ast.AST]] = {}
        self.aliases: dict[str, str] = {}
        self.attributes: set[str] = set()  # that its own classes define
        self.modules = {cell.module: statements(cell.python) for cell in cells if cell.module}
        self.own = {name for name in self.modules if not (_is_library(name) or name in IMPORTED)}
        inside = {cell.module: cell._replace(module="") for cell in cells if cell.module in self.own}
        self._modules = {name: Notebook([text]) for name, text in inside.items()}
        self._set: list[tuple[ast.expr, ast.stmt]] = []  # whose attributes a statement sets
        self._paths: dict[str, str] = {}  # what names stand for, as far as it was asked
        self._starred_yet = 0  # imports of everything
        self._followed = 0  # names on the way from one to what it stands for
        self._free: dict[int, list[str]] = {}  # names that a node takes from the notebook, by its id
        self._found: dict[tuple[int, tuple[str, ...]], list[Finding]] = {}  # by a node's id and what is forbidden
        self.cells = cells
        self._learn_lesson(given)
        self.statements = [[] if cell.module else statements(cell.python) for cell in cells]
        everything = (*self.modules.values(), *self.statements)
        self.too_large = sum(map(len, everything)) > MOST_STATEMENTS
        self.patches: list[ast.stmt] = []
        with self._or_unread():
            for inside in () if self.too_large else everything:
                self._learn_all(inside)
            self.patches = [statement for target, statement in self._set if self._is_patch(target)]

    @contextlib.contextmanager
    def _or_unread(self) -> Iterator[None]:
        """What the reader fails on counts as too much to be read: nothing is said of it."""
        try:
            yield
        except Exception:
            self.too_large = True

    def _learn_lesson(self, given: Iterable[Reading]) -> None:
        """What the cells of the release define: functions, classes and plain names."""
        self._learn_all(node for cell in given for node in statements(cell.python))
        self.changes, self._set = {}, []
        for name, nodes in self.definitions.items():
            self.definitions[name] = [node for node in nodes if _defines(node, name)]

    def findings(self, exercise: str, forbids: tuple[str, ...]) -> list[Finding]:
        """Forbidden calls in `exercise` and what it uses, as far as they can be read."""
        families, found = [FAMILIES[f] for f in forbids], []
        with self._or_unread():
            for name, node in self.reachable(exercise):
                within = "" if name == exercise else name
                key = id(node), forbids
                if key not in self._found:
                    self._found[key] = list(_findings(node, self, families))
                found += [each._replace(within=within) for each in self._found[key]]
        return list(dict.fromkeys(found))

    def digest(self, exercise: str) -> str:
        """Of the definitions of `exercise` and of what it uses: the same while nothing that it is made of changes; ""
        when that can't be said."""
        try:
            parts = sorted(f"{name} {ast.dump(node)}" for name, node in islice(self.reachable(exercise), LOOKED_INTO))
        except Exception:
            return ""
        if self.too_large or len(parts) == LOOKED_INTO:
            return ""
        return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16] if parts else ""

    def _binds(self, node: ast.stmt) -> set[str]:
        """Names that a statement binds, or whose value it may change."""
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return {node.name}
        found = set()
        for inner in ast.walk(node):
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(inner.name)
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                found.add(inner.id)
            elif isinstance(inner, (ast.Attribute, ast.Subscript)) and isinstance(inner.ctx, ast.Store):
                found |= _root(inner)
            elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
                found |= _root(inner.func)
        return found - self.aliases.keys()

    def _learn_all(self, nodes: Iterable[ast.stmt]) -> None:
        for node in nodes:
            self._learn(node)

    def _learn(self, node: ast.stmt) -> None:
        is_definition = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        for inner in ast.walk(node):
            self._learn_import(inner, local=is_definition)
            self.attributes |= set(_attributes_of(inner))
        if is_definition:
            self.definitions[node.name] = [node]
            self.aliases.pop(node.name, None)  # one's own, whatever an import called so before
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
        """`tools.append(...)` says what `tools` is; `setattr(...)` may say it of anything."""
        if isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr") and call.args:
            self._set.append((call.args[0], statement))
        for name in _root(call.func) if isinstance(call.func, ast.Attribute) else ():
            self.changes.setdefault(name, []).append(statement)

    def _is_patch(self, target: ast.expr) -> bool:
        """Of the library, which concerns whoever uses it."""
        return self.dotted(target).split(".")[0] in PATCHED

    def _learn_import(self, node: ast.AST, local: bool) -> None:
        """local: in a function or a class, where it says nothing of a name that the notebook has."""
        found = {}
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.split(".")[0]
                found[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                for one in self._starred(node.module) if name.name == "*" else [name.name]:
                    found[name.asname or one] = f"{node.module}.{one}"
        for name, path in found.items():
            if not (local and (name in self.aliases or name in self.definitions)):
                self.aliases[name] = path

    def _starred(self, module: str) -> list[str]:
        """What `from module import *` brings."""
        self._starred_yet += 1
        if module in self.own and self._starred_yet <= MOST_STARS:
            return [name for node in self.modules[module] for name in self._binds(node)]
        return library.starred(module) if self._starred_yet <= MOST_STARS else []

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
            self._set.append((part.value, statement))
        for name in _root(part):
            if name not in self.aliases and not any(map(_is_function, self.definitions.get(name, ()))):
                self.changes.setdefault(name, []).append(node)

    def reachable(self, exercise: str) -> Iterator[tuple[str, ast.AST]]:
        """Definitions of `exercise` and of every name they mention, each once, with that name."""
        yield from (("torch", node) for node in self.patches)
        yield from self._used([exercise, *(name for node in self.patches for name in self._names_in(node))])

    def uses(self, exercise: str) -> set[str]:
        """`exercise` and all names of the notebook that it uses, as far as they can be read."""
        with self._or_unread():
            return {exercise, *(name for name, _ in islice(self.reachable(exercise), LOOKED_INTO))}
        return {exercise}

    def _names_in(self, node: ast.AST) -> list[str]:
        """`free_names`, once for each node."""
        if id(node) not in self._free:
            self._free[id(node)] = free_names(node)
        return self._free[id(node)]

    def mentions(self, name: str) -> list[str]:
        """The names that the definitions of `name` take from the notebook, each once; none where they can't be read."""
        try:
            return list(dict.fromkeys(each for node in self.definitions.get(name, ()) for each in self._names_in(node)))
        except Exception:
            return []

    def _used(self, names: list[str]) -> Iterator[tuple[str, ast.AST]]:
        todo, seen, given = list(names), set(), set()
        modules = dict(self.modules)
        while todo:
            current = todo.pop()
            if current in seen:
                continue
            seen.add(current)
            module = modules.pop(self.aliases.get(current, "").split(".")[0], ())
            changes = () if current in self.aliases else self.changes.get(current, ())
            for node in (*module, *self.definitions.get(current, ()), *changes):
                if id(node) not in given:
                    given.add(id(node))
                    todo += self._names_in(node)
                    yield current, node

    def dotted(self, node: ast.AST, local: Scopes = ()) -> str:
        """The library path an expression stands for, through aliases; "" when it stands for none. local: the names of
        the functions in which it stands."""
        parts: list[str] = []
        while (step := _step(node)) is not None:
            node, part = step
            parts.append(part)
        base = self._path(node.id) if isinstance(node, ast.Name) and not _is_local(node, local) else ""
        return self._through(".".join([base, *reversed(parts)])) if base else ""

    def _through(self, path: str) -> str:
        """A path by way of modules that cells write, as what its name stands for in there."""
        for _ in range(LONGEST_WAY):
            root, name, *rest = [*path.split(".", 2), ""][:3]
            meant = self._modules[root]._path(name) if root in self._modules else ""
            if not meant:
                break
            path = ".".join(filter(None, (meant, *rest)))
        return path

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


def _attributes_of(node: ast.AST) -> Iterator[str]:
    """Attributes that a node may give to objects of one's own: those of a class, those set, fields and keywords."""
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield part.name
            for target in getattr(part, "targets", [getattr(part, "target", None)]):
                if isinstance(target, ast.Name):
                    yield target.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "namedtuple"):
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        yield from " ".join(texts).replace(",", " ").split()


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def _defines(node: ast.AST, name: str) -> bool:
    """False for `name.part = ...` and `name[...] = ...`, which only change what the name stands for."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    stored = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return any(n.id == name for n in stored)


def free_names(node: ast.AST) -> list[str]:
    """Names a statement takes from the notebook: parameters and locals are its own."""
    return list(used_names(symtable.symtable(ast.unparse(node), "<cell>", "exec")))


def _findings(root: ast.AST, module: Notebook, families: list[Family]) -> Iterator[Finding]:
    followed = _followed(root)
    for node, local in _with_locals(root):
        is_path = isinstance(node, (ast.Attribute, ast.Name, ast.Call)) and id(node) not in followed
        path = module.dotted(node, local) if is_path else ""
        place = library.place(path) if path else None
        attribute = _attribute_of(node)
        says = _shortcut(place, "" if attribute in module.attributes else attribute, families)
        if says:
            yield Finding(says, node.lineno)


def _shortcut(place: library.Place | None, attribute: str, families: list[Family]) -> str:
    """The words for a call that answers the exercise, else ""."""
    for family in families:
        if place is not None and is_of(family, place.path):
            return f"it uses {family.what}, `{place.path}`"
        if attribute in family.methods and (place is None or place.path.startswith("torch.")):
            return f"it uses {family.what}, `.{attribute}`"
    return ""


def _lies_in(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(root + ".") for root in roots)


def is_of(family: Family, path: str) -> bool:
    """Whether a library path answers an exercise that forbids this family."""
    return _lies_in(path, family.paths | _documented_paths(family)) and not _lies_in(path, SPARED)


@functools.lru_cache(maxsize=16)
def _documented_paths(family: Family) -> frozenset[str]:
    return frozenset(library.place(path).path for path in family.paths)


def _followed(root: ast.AST) -> set[int]:
    """Ids of expressions whose path goes on, and of `getattr` where it is called as it should be."""
    nodes = list(ast.walk(root))
    found = {id(step[0]) for node in nodes if (step := _step(node)) is not None}
    return found | {id(node.func) for node in nodes if _is_getattr(node)}


def _step(node: ast.AST) -> tuple[ast.AST, str] | None:
    """An attribute's object and its name, however it is written."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if _is_getattr(node) and isinstance(node.args[1], ast.Constant):
        return node.args[0], str(node.args[1].value)
    return None


def _attribute_of(node: ast.AST) -> str:
    step = _step(node)
    return step[1] if step else ""


def _root(node: ast.AST) -> set[str]:
    """The name at the root of `a.b[c].d`, else nothing."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


Scopes = tuple[frozenset[str], ...]  # the names of each function around an expression that are its own


def _is_local(node: ast.Name, scopes: Scopes) -> bool:
    return any(node.id in names for names in scopes)


def _with_locals(root: ast.AST) -> Iterator[tuple[ast.AST, Scopes]]:
    """All nodes below, each with what is local where it stands: that stands for nothing of the notebook's."""
    todo: list[tuple[ast.AST, Scopes]] = [(root, ())]
    while todo:
        node, scopes = todo.pop()
        yield node, scopes
        inner, outside = scopes, set()
        if isinstance(node, SCOPES):
            shared = _globals(node)
            inner = (*((names - shared for names in scopes) if shared else scopes), _locals(node))
            outside = set(map(id, _outside(node)))
        for child in _parts(node):
            todo.append((child, scopes if id(child) in outside else inner))


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes right below, without annotations; of a comprehension also those of its loops, of which the first begins
    outside."""
    said = {id(getattr(node, part, None)) for part in ("annotation", "returns")}
    for child in (child for child in ast.iter_child_nodes(node) if id(child) not in said):
        yield from ast.iter_child_nodes(child) if isinstance(child, ast.comprehension) else (child,)


def _outside(node: ast.AST) -> list[ast.AST]:
    """Parts of a function or a comprehension that belong to where it stands."""
    if isinstance(node, COMPREHENSIONS):
        return [node.generators[0].iter]
    return [node.args, *getattr(node, "decorator_list", ())]


def _globals(scope: ast.AST) -> frozenset[str]:
    """Names that a function says are the notebook's."""
    body = scope.body if isinstance(getattr(scope, "body", None), list) else []
    return frozenset(name for node in _of_this_scope(body) if isinstance(node, ast.Global) for name in node.names)


def _of_this_scope(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a function's body without those of functions and classes in it, nor what comprehensions bind."""
    todo = list(body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.comprehension):
            todo += [node.iter, *node.ifs]
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)


def _locals(scope: ast.AST) -> frozenset[str]:
    """Names that a function or a comprehension binds for itself; what it imports goes by its path."""
    if isinstance(scope, COMPREHENSIONS):
        return frozenset(name for each in scope.generators for name in _bound_by(each.target))
    args = scope.args
    found = {a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if a}
    imported = set()
    for node in _of_this_scope(scope.body if isinstance(scope.body, list) else [scope.body]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(node.id)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= {a.asname or a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.Global):
            imported |= set(node.names)
    return frozenset(found - imported)


def _bound_by(target: ast.AST) -> list[str]:
    """The names that an assignment to this target binds."""
    found, todo = [], [target]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            found.append(node.id)
        elif isinstance(node, (ast.Tuple, ast.List, ast.Starred)):
            todo += ast.iter_child_nodes(node)
    return found


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


def _is_getattr(node: ast.AST) -> bool:
    """getattr(..., ...)"""
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr"
    return named and len(node.args) >= 2
