"""The code under judgement, seen from outside: a handful of operations on named objects.

`LocalSubject` performs them on objects of this process: in a learner's notebook, or inside a sandboxed worker. The
judge's RemoteSubject asks a worker to. Checks are written against the operations, so the verdict is the same.

Not here: any judgement. A subject returns what the code returned, or raises SubjectError.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from grader_kernels import NO_TRITON
from grader_kernels.wire import Handle

if TYPE_CHECKING:
    from grader_kernels.judging.judgement import Hands

KEPT = "kept "  # before the name of an argument that came back as the result
SHOWN, LONGEST = 4, 60  # names in a sentence, and their characters
KINDS = (
    "raised",
    "not_attempted",
    "missing",
    "bad_value",
    "killed",
    "timed_out",
    "out_of_memory",
    "channel",
)

_MOCKS_FILE = Path(__file__).resolve().parent.parent / "mocks.py"
_MOCKS = compile(_MOCKS_FILE.read_text("utf-8"), str(_MOCKS_FILE), "exec", dont_inherit=True)
_MOCKED = frozenset(name for name in _MOCKS.co_names if name.startswith("Scripted"))
_RENAMED: WeakKeyDictionary[type, dict[str, str]] = WeakKeyDictionary()  # of a class: from checks' names to its own


class SubjectError(Exception):
    """The code under judgement gave no usable value.

    kind: one of KINDS. message: one sentence for the learner. exception: the exception's class name when it raised.
    """

    def __init__(self, kind: str, message: str, exception: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.exception = kind, message, exception


class Subject(Protocol):
    """The operations. Tensors among arguments and results are ordinary torch tensors on the CPU."""

    mutated: list[str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def call(self, name: str, *args: Any, **kwargs: Any) -> Any: ...
    def value(self, name: str | None = None) -> Any: ...
    def construct(self, *args: Any, name: str | None = None, **kwargs: Any) -> Handle: ...
    def load_state(self, handle: Handle, state: dict[str, torch.Tensor]) -> str: ...
    def method(self, handle: Handle, method: str, *args: Any, **kwargs: Any) -> Any: ...
    def grad(self, *args: Any, cotangents: Any, wrt: tuple[int, ...], **kwargs: Any) -> tuple[Any, tuple]: ...
    def grad_method(
        self,
        handle: Handle,
        method: str,
        *args: Any,
        cotangents: Any,
        wrt: tuple[int, ...] = (),
        params: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> tuple[Any, tuple, dict]: ...
    def iterate(self, *args: Any, limit: int = 100, **kwargs: Any) -> list: ...
    def hands(self) -> Hands: ...
    def release(self, handle: Handle) -> None: ...


class LocalSubject:
    """The subject operations on a namespace of this process.

    namespace: the notebook's globals. name: the exercise's object in it.
    After a call, `mutated` lists the arguments it changed in place ("argument 1", "mask"), and with `KEPT` in front the
    one that it returned, where it did.

    A module may hold its parameters and buffers under other names than a check's: where their shapes and order fit,
    `load_state` loads them and says so; from then on the check's names stand for those of its class.
    """

    def __init__(self, namespace: dict[str, Any], name: str) -> None:
        self.namespace, self.name = namespace, name
        self.mutated: list[str] = []
        self._objects: dict[int, Any] = {}
        self._ids = itertools.count(1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._named(self.name), args, kwargs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._named(name), args, kwargs)

    def value(self, name: str | None = None) -> Any:
        found = self._named(name or self.name)
        if found is None or found is NotImplemented or found is ...:
            raise SubjectError("not_attempted", f"`{name or self.name}` has no value yet")
        return found

    def construct(self, *args: Any, name: str | None = None, **kwargs: Any) -> Handle:
        built = self._run(_mock(name) or self._named(name or self.name), args, kwargs)
        handle = Handle(next(self._ids), type(built).__name__)
        self._objects[handle.id] = built
        return handle

    def load_state(self, handle: Handle, state: dict[str, torch.Tensor]) -> str:
        module = self._object(handle)
        renamed = self._run(lambda given: _load(module, given), (state,), {})
        if renamed:
            _RENAMED.setdefault(type(module), {}).update(renamed)
        return f"{'; '.join(_listed_pairs(renamed))}; loaded by shape and order" if renamed else ""

    def method(self, handle: Handle, method: str, *args: Any, **kwargs: Any) -> Any:
        own = self._own_names(handle)
        args = tuple(own.get(arg, arg) if type(arg) is str else arg for arg in args)
        result = self._run(self._bound(handle, method), args, kwargs)
        if own and isinstance(result, dict):
            theirs = {name: ours for ours, name in own.items()}
            result = {theirs.get(key, key): value for key, value in result.items()}
        return handle if result is self._object(handle) else result  # model.eval() returns the model

    def grad(self, *args: Any, cotangents: Any, wrt: tuple[int, ...], **kwargs: Any) -> tuple[Any, tuple]:
        outputs, grads, _ = self._vjp(self._named(self.name), None, args, kwargs, cotangents, wrt, ())
        return outputs, grads

    def grad_method(
        self,
        handle: Handle,
        method: str,
        *args: Any,
        cotangents: Any,
        wrt: tuple[int, ...] = (),
        params: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> tuple[Any, tuple, dict]:
        bound, own = self._bound(handle, method), self._own_names(handle)
        args, asked = (tuple(own.get(x, x) if type(x) is str else x for x in given) for given in (args, params))
        outputs, grads, found = self._vjp(bound, self._object(handle), args, kwargs, cotangents, wrt, asked)
        return outputs, grads, {name: found[own.get(name, name)] for name in params}

    def iterate(self, *args: Any, limit: int = 100, **kwargs: Any) -> list:
        function = self._named(self.name)
        return self._run(lambda *a, **k: list(itertools.islice(iter(function(*a, **k)), limit)), args, kwargs)

    def hands(self) -> Hands:
        """What judges a Triton launcher (grader_kernels.judging.judgement)."""
        launcher = self._named(self.name)
        if not callable(launcher):
            raise SubjectError("missing", f"`{self.name}` is a {type(launcher).__name__}, not something to call")
        try:
            import triton  # noqa: F401
        except Exception:  # not only ImportError: a broken install must not break a notebook either
            raise SubjectError("not_attempted", NO_TRITON, "NotImplementedError") from None
        from grader_kernels.judging.hands import LocalHands

        return LocalHands(launcher)

    def release(self, handle: Handle) -> None:
        self._objects.pop(handle.id, None)

    def _named(self, name: str) -> Any:
        if name not in self.namespace:
            raise SubjectError("missing", f"`{name}` is not defined: run the cell that defines it")
        return self.namespace[name]

    def _object(self, handle: Handle) -> Any:
        if not isinstance(handle, Handle) or handle.id not in self._objects:
            raise SubjectError("bad_value", "the object was released or never made")
        return self._objects[handle.id]

    def _own_names(self, handle: Handle) -> dict[str, str]:
        """From the names of a check to those that this module has instead."""
        module = self._object(handle)
        known = _RENAMED.get(type(module)) if isinstance(module, nn.Module) else None
        if not known:
            return {}
        own = module.state_dict()
        return {name: theirs for name, theirs in known.items() if name not in own and theirs in own}

    def _opened(self, value: Any) -> Any:
        """An argument that is a handle stands for its object: a model that a function is called with."""
        return self._object(value) if isinstance(value, Handle) else value

    def _bound(self, handle: Handle, method: str) -> Callable:
        target = self._object(handle)
        if method == "__call__":
            if not callable(target):
                raise SubjectError("missing", f"the {type(target).__name__} object can't be called")
            return target
        if not hasattr(target, method):
            raise SubjectError("missing", f"the {type(target).__name__} object has no `{method}`")
        return getattr(target, method)

    def _run(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        self.mutated = []
        args, kwargs = tuple(map(self._opened, args)), {k: self._opened(v) for k, v in kwargs.items()}
        mine, names = _copies(args, kwargs)
        if not callable(function):
            raise SubjectError("missing", f"`{self.name}` is a {type(function).__name__}, not something to call")
        before = _settings(mine[0])
        try:
            result = _guarded(function, *mine)
        finally:
            changed = _restored(before, mine[0])
        self.mutated = [n for n, (ours, theirs) in names.items() if not _same(ours, theirs)] + changed
        self.mutated += [KEPT + name for name, (_, theirs) in names.items() if _is_one(result, theirs)]
        return result

    def _vjp(
        self,
        function: Callable,
        module: Any,
        args: tuple,
        kwargs: dict,
        cotangents: Any,
        wrt: tuple[int, ...],
        params: tuple[str, ...],
    ) -> tuple[Any, tuple, dict]:
        self.mutated = []
        args, kwargs = tuple(map(self._opened, args)), {k: self._opened(v) for k, v in kwargs.items()}
        (args, kwargs), names = _copies(args, kwargs)
        leaves = {i: clone_with_layout(args[i]).requires_grad_() for i in wrt}
        names |= {f"argument {i + 1}": (args[i], leaf) for i, leaf in leaves.items()}
        fed = tuple(leaves.get(i, a) for i, a in enumerate(args))
        before = _settings(fed)
        try:
            outputs = _guarded(function, fed, kwargs)
        finally:
            self.mutated = _restored(before, fed)
        weights = dict(module.named_parameters(remove_duplicate=False)) if params else {}
        absent = [p for p in params if p not in weights]
        if absent:
            raise SubjectError("missing", f"the module has no parameter `{absent[0]}`")
        inputs = [leaves[i] for i in wrt] + [weights[p] for p in params]
        self.mutated += [f"grad of argument {i + 1}" for i, leaf in leaves.items() if leaf.grad is not None]
        found = _guarded(_pull_back, (outputs, _copy(cotangents), inputs), {})
        self.mutated = [n for n, (ours, theirs) in names.items() if not _same(ours, theirs)] + self.mutated
        grads = tuple(torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True))
        return _detached(outputs), grads[: len(wrt)], dict(zip(params, grads[len(wrt) :], strict=True))


def _mock(name: str | None) -> type | None:
    """A class of course.mocks, made anew: what a notebook patched or put in its place is another one. None for another
    name.

    It does not stop who patches torch.nn.Module itself, or this process: a mock's mode and its counts come out of the
    process that a learner's code ran in.
    """
    if name not in _MOCKED:
        return None
    made: dict[str, Any] = {"__name__": "course.mocks"}
    exec(_MOCKS, made)
    return made[name]


def _load(module: Any, state: dict[str, Tensor]) -> dict[str, str]:
    """Loads `state`; returns from its names to the module's own where these are other ones."""
    if not isinstance(module, nn.Module):
        module.load_state_dict(state)
        return {}
    own = module.state_dict()
    renamed = _renamed(module, own, state)
    named = {renamed.get(name, name): tensor for name, tensor in state.items()}
    given = named | _forgiven(module, named)
    _refuse_other_entries(own, named, given)
    module.load_state_dict(given)
    return renamed


def _renamed(module: nn.Module, own: dict[str, Any], state: dict[str, Tensor]) -> dict[str, str]:
    """From names in `state` that `own` lacks to names in `own` that `state` lacks, those of each shape in order, and of
    the same ends; none where their numbers differ, as then nobody can say which is which."""
    parameters = {id(each) for each in module.parameters()}
    loaded = {id(each) for name, each in module.named_parameters(remove_duplicate=False) if name in state}
    entries = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    lacks: dict[tuple, list[str]] = {}
    spare: dict[tuple, list[str]] = {}
    for name in (each for each in state if each not in own):
        lacks.setdefault(tuple(state[name].shape), []).append(name)
    seen = set(loaded)
    for name, tensor in own.items():
        entry = entries.get(name)
        if name in state or not isinstance(tensor, Tensor) or (id(entry) in parameters and id(entry) in seen):
            continue
        seen.add(id(entry))
        spare.setdefault(tuple(tensor.shape), []).append(name)
    if any(len(names) != len(spare.get(shape, ())) for shape, names in lacks.items()):
        return {}
    return {name: other for shape, names in lacks.items() for name, other in _paired(names, spare[shape])}


def _paired(names: list[str], others: list[str]) -> Iterator[tuple[str, str]]:
    """Each name with one of as many others, in order: `a.weight` with `b.weight` where the numbers of ends agree."""
    for length in (3, 2, 1, 0):
        ends = [".".join(name.split(".")[-length:]) if length else "" for name in (*names, *others)]
        mine, theirs = ends[: len(names)], ends[len(names) :]
        if sorted(mine) == sorted(theirs):
            for end in dict.fromkeys(mine):
                pair = ([n for n, e in zip(group, part, strict=True) if e == end]
                        for group, part in ((names, mine), (others, theirs)))  # fmt: skip
                yield from zip(*pair, strict=True)
            return


def _listed_pairs(renamed: dict[str, str]) -> list[str]:
    """The first few names, each with the one that it should be; of names with dots, the parts that differ."""
    pairs = list(dict.fromkeys(_apart(other, name) for name, other in renamed.items()))
    says = [f"`{other[:LONGEST]}` should be called `{name[:LONGEST]}`" for other, name in pairs]
    return says[:SHOWN] + ([f"and {len(says) - SHOWN} more"] if len(says) > SHOWN else [])


def _apart(one: str, other: str) -> tuple[str, str]:
    """Two names with dots, without the parts at the end that both have."""
    while "." in one and "." in other and one.rpartition(".")[2] == other.rpartition(".")[2]:
        one, other = one.rpartition(".")[0], other.rpartition(".")[0]
    return one, other


def _forgiven(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `module` has and `state` may lack: buffers, and second names of parameters that `state` holds."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    buffers = dict(module.named_buffers(remove_duplicate=False))
    loaded = {id(parameters[name]) for name in state if name in parameters}
    own = module.state_dict()
    spare = [name for name in own if name in buffers or id(parameters.get(name)) in loaded]
    return {name: own[name] for name in spare if name not in state}


def _refuse_other_entries(own: dict[str, Any], state: dict[str, Tensor], given: dict[str, Tensor]) -> None:
    """Raises SubjectError when a module's state has other names or shapes than what it should hold, in words of who
    wrote the module. The exception says which: two modules count as alike only where the same entries differ. given:
    `state` with what may be missing in it; of that, what has the shape of an entry that is missing may be renamed."""
    lacks = [name for name in given if name not in own]
    wanted = {tuple(given[name].shape) for name in lacks}
    spare = [n for n in own if n not in given or (n not in state and tuple(getattr(own[n], "shape", ())) in wanted)]
    shapes = [
        (name, tuple(own[name].shape), tuple(given[name].shape))
        for name in given
        if isinstance(own.get(name), torch.Tensor) and own[name].shape != given[name].shape
    ]
    says = [f"it has no {_listed(lacks)}"] if lacks else []
    says += [f"it has {_listed(spare)}, which should not be there"] if spare else []
    says += [f"`{name}` has shape {got} in it, expected {want}" for name, got, want in shapes[:SHOWN]]
    if says:
        signs = [*(f"-{name}" for name in sorted(lacks)), *(f"+{name}" for name in sorted(spare))]
        signs += [f"{name} {got}" for name, got, _ in sorted(shapes)]
        digest = " ".join(signs) if len(signs) <= SHOWN else hashlib.sha256(" ".join(signs).encode()).hexdigest()[:16]
        entries = "the parameters and buffers of your module are other ones than expected: "
        raise SubjectError("raised", entries + "; ".join(says), f"other entries: {digest}")


def _listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(f"`{str(name)[:LONGEST]}`" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _pull_back(outputs: Any, cotangents: Any, inputs: list[torch.Tensor]) -> tuple:
    outs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    cots = list(cotangents) if isinstance(cotangents, (tuple, list)) else [cotangents]
    pairs = [(o, c) for o, c in zip(outs, cots, strict=False) if c is not None]
    for out, cotangent in pairs:
        if not isinstance(out, torch.Tensor) or not out.requires_grad:
            raise SubjectError("bad_value", "no gradient can flow: the result is cut off from its inputs")
        if out.shape != cotangent.shape:
            want, got = tuple(cotangent.shape), tuple(out.shape)
            raise SubjectError("bad_value", f"the result has shape {got}, expected {want}")
    if not inputs:
        return ()
    return torch.autograd.grad([o for o, _ in pairs], inputs, [c for _, c in pairs], allow_unused=True)


def _guarded(function: Callable, args: tuple, kwargs: dict) -> Any:
    try:
        return function(*args, **kwargs)
    except SubjectError:
        raise
    except NotImplementedError as error:
        raise SubjectError("not_attempted", str(error) or "not written yet", "NotImplementedError") from error
    except MemoryError as error:
        raise SubjectError("out_of_memory", "it asked for more memory than there is", "MemoryError") from error
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())[:300]
        kind = "not_attempted" if type(error).__name__ == "NotImplementedError" else "raised"
        raise SubjectError(kind, f"it raised {type(error).__name__}: {text}", name_of(error)) from error


def name_of(error: BaseException) -> str:
    """The name of an exception's class; of one that a notebook made, that of the builtin that it is."""
    kinds = type(error).__mro__
    own = kinds[0].__module__ == "__main__"
    return next(kind.__name__ for kind in kinds if not own or kind.__module__ == "builtins")


def _settings(args: tuple) -> dict[str, Any]:
    """What a call should leave as it was, beside its arguments' numbers."""
    modes = {
        f"the mode (train or eval) of argument {i + 1}": [part.training for part in arg.modules()]
        for i, arg in enumerate(args)
        if isinstance(arg, nn.Module)
    }
    switches = {"torch's gradient switch": torch.is_grad_enabled(), "torch's default dtype": torch.get_default_dtype()}
    return switches | modes


def _restored(before: dict[str, Any], args: tuple) -> list[str]:
    """The settings that changed; those of torch are set back."""
    changed = [name for name, value in _settings(args).items() if value != before.get(name)]
    switch, dtype = list(before.values())[:2]
    torch.set_grad_enabled(switch)
    torch.set_default_dtype(dtype)
    return changed


def _copies(args: tuple, kwargs: dict) -> tuple[tuple[tuple, dict], dict[str, tuple]]:
    """Fresh copies of arguments that could be changed (layout kept), and by name the pair (original, copy)."""
    names: dict[str, tuple] = {}

    def fresh(value: Any, name: str) -> Any:
        if isinstance(value, (Tensor, np.ndarray, list, dict, tuple)):
            names[name] = (value, _copy(value))
            return names[name][1]
        return value

    positional = tuple(fresh(a, f"argument {i + 1}") for i, a in enumerate(args))
    return (positional, {k: fresh(v, k) for k, v in kwargs.items()}), names


def changed_and_kept(mutated: list[str]) -> tuple[list[str], list[str]]:
    """What `mutated` says: the arguments that were changed, and those that came back as the result."""
    kept = [name.removeprefix(KEPT) for name in mutated if name.startswith(KEPT)]
    return [name for name in mutated if not name.startswith(KEPT)], kept


def _is_one(result: Any, given: Any) -> bool:
    """Is the result what was given itself, or a tensor on its memory?"""
    if isinstance(result, Tensor) and isinstance(given, Tensor):
        if result.layout is not torch.strided:  # a sparse tensor has no memory of this kind
            return False
        with torch._C.DisableTorchFunctionSubclass():  # a learner's subclass may say what it likes
            return result.numel() > 0 and result.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
    return result is given and isinstance(result, (list, dict))


def _copy(value: Any) -> Any:
    """A copy of tensors and arrays, also of those in lists, tuples and dicts; what stands there besides is as new, too:
    equal numbers and words are not one object, here as behind a wire."""
    if isinstance(value, Tensor):
        return clone_with_layout(value)
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(_copy(v) for v in value)
    if type(value) is dict:
        return {key: _copy(v) for key, v in value.items()}
    if type(value) in (bytes, str):
        return value[:1] + value[1:]
    if type(value) is int:
        return value + 1 - 1
    return float(str(value)) if type(value) is float else value


def clone_with_layout(x: torch.Tensor) -> torch.Tensor:
    """A copy of `x` with the same strides (overlapping strides become contiguous)."""
    if x.is_contiguous() or any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape, strict=True)):
        return x.detach().clone(memory_format=torch.contiguous_format)
    copy = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)
    return copy.copy_(x.detach())


def _same(ours: Any, theirs: Any) -> bool:
    """Is the copy still what it was made from?"""
    if isinstance(ours, Tensor):
        return isinstance(theirs, Tensor) and _same_numbers(ours, theirs)
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, np.ndarray):
        return np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
    if type(ours) in (list, tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if type(ours) is dict:
        return list(ours) == list(theirs) and all(map(_same, ours.values(), theirs.values()))
    if not isinstance(ours, (int, float, str, bytes)):
        return True
    return ours == theirs or (ours != ours and theirs != theirs)  # NaN


def _same_numbers(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    if not ours.is_floating_point():
        return torch.equal(ours, theirs)
    return bool(((ours == theirs) | (ours.isnan() & theirs.isnan())).all())


def _detached(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, (tuple, list)):
        return type(value)(_detached(v) for v in value)
    return value
