"""`@triton.autotune` on the CPU: which configuration a launch takes, and which of the tuner's hooks are called.

What it is not: tuning. Nothing is measured.
"""

from __future__ import annotations

import ast
import textwrap
import weakref
from typing import Any

from triton.runtime.autotuner import Autotuner, Config
from triton.runtime.jit import JITFunction

from grader_kernels.interpreter.interpreted import ordinary


def launch(tuner: Autotuner, args: tuple, kwargs: dict[str, Any]) -> Any:
    """An autotuned kernel on CPU tensors: nothing is measured. The first configuration counts that
    `prune_configs_by` leaves and that no `tl.static_assert` on block sizes refuses; whether it would be the fastest, or
    fit into a GPU's shared memory, is not asked.

    Hooks are called as a GPU run calls them around the launch that counts: `pre_hook` and `reset_to_zero` once for
    each new value of `key` (and never with a single configuration), a configuration's own `pre_hook` every time.
    `post_hook` and `restore_value` belong to the measuring and have nothing to do here.
    """
    tuner.nargs = dict(zip(tuner.arg_names, args, strict=False))
    config = tuner.best_config = _pick_config(tuner, args, kwargs)
    everything = {**tuner.nargs, **kwargs, **config.all_kwargs()}
    if _is_new_key(tuner, kwargs):
        tuner.pre_hook(everything, reset_only=True)
    if config.pre_hook is not None:
        config.pre_hook(everything)
    try:
        return tuner.fn.run(*args, **kwargs, **config.all_kwargs())
    finally:
        tuner.nargs = None


def _pick_config(tuner: Autotuner, args: tuple, kwargs: dict[str, Any]) -> Config:
    name = tuner.base_fn.__name__
    configs = tuner.prune_configs(kwargs) if len(tuner.configs) > 1 else tuner.configs
    for config in configs:
        twice = sorted(config.all_kwargs().keys() & {*kwargs, *tuner.arg_names[: len(args)]})
        if twice:
            raise ValueError(f"{name}: {', '.join(twice)} is given by the launch and by triton.autotune: drop one")
        if _asserts_hold(tuner, {**tuner.nargs, **kwargs, **config.kwargs}):
            return config
    raise ValueError(f"{name}: a tl.static_assert of the kernel refuses every configuration of triton.autotune")


def _asserts_hold(tuner: Autotuner, arguments: dict[str, Any]) -> bool:
    """Whether the `tl.static_assert`s at the top of the kernel's body that speak of its constants alone are true."""
    kernel = ordinary(tuner.fn)
    while not isinstance(kernel, JITFunction):
        kernel = ordinary(kernel.fn)
    fn = kernel.fn
    known = {param.name for param in kernel.params if param.is_constexpr} & arguments.keys()
    unknown = set(fn.__code__.co_varnames) - known
    for statement in ast.parse(textwrap.dedent("".join(kernel.raw_src))).body[0].body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not (isinstance(call, ast.Call) and ast.unparse(call.func).endswith("static_assert") and call.args):
            continue
        if unknown.isdisjoint(node.id for node in ast.walk(call.args[0]) if isinstance(node, ast.Name)):
            code = compile(ast.Expression(call.args[0]), fn.__code__.co_filename, "eval")
            if not eval(code, {**fn.__globals__, **{name: arguments[name] for name in known}}):
                return False
    return True


_keys_seen: weakref.WeakKeyDictionary[Autotuner, set[tuple]] = weakref.WeakKeyDictionary()


def _is_new_key(tuner: Autotuner, kwargs: dict[str, Any]) -> bool:
    """Whether a GPU run would measure now. Remembered apart from the tuner's own cache, which real launches use."""
    if len(tuner.configs) < 2:
        return False
    given = {name: value for name, value in {**tuner.nargs, **kwargs}.items() if name in tuner.arg_names}
    dtypes = [str(value.dtype) for value in given.values() if hasattr(value, "dtype")]
    key = (*(given[name] for name in tuner.keys if name in given), *dtypes)
    seen = _keys_seen.setdefault(tuner, set())
    new = key not in seen
    seen.add(key)
    return new
