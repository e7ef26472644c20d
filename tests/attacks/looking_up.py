"""A student's code that looks answers up: a table of all recorded inputs and outputs out of cases.npz.

`looked_up(name, fallback)` is the source of a cell; `fallback`, an expression, answers what is not in the table.
What it is not: an attack by itself (test_unearned.py).
"""

TABLE = '''
from course.checking import cases as _cases
from course.checking.recorded import Ref as _Ref


def _same(a, b):
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        alike = isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and a.shape == b.shape
        return alike and a.dtype == b.dtype and bool((a == b).all())
    if isinstance(a, (tuple, list)):
        return isinstance(b, (tuple, list)) and len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


def _put(into, path, value):
    """`value` at a path of a result that is known in parts."""
    if not path:
        return value
    into = into if isinstance(into, dict) else {}
    return into | {path[0]: _put(into.get(path[0]), path[1:], value)}


def _tidy(value):
    numbered = isinstance(value, dict) and value and all(type(key) is int for key in value)
    return tuple(_tidy(value[key]) for key in sorted(value)) if numbered else value


def _wanted(steps, number):
    """What the comparisons expect of a step's result; None where they expect nothing that is written down."""
    found = None
    for step in steps:
        if step.do in ("close", "equal") and isinstance(step.args[0], _Ref) and step.args[0].step == number:
            if not isinstance(step.args[1], _Ref):
                found = _put(found, step.args[0].path, step.args[1])
    return _tidy(found)


def _refused(step):
    return [(list(args), kwargs or {}, step.args[0]) for _, do, args, kwargs in step.args[1] if do == "__call__"]


def looked_up(name, fallback):
    known, raising = [], []
    for case in _cases.load("cases.npz").check(name).cases:
        for number, step in enumerate(case.steps):
            raising += _refused(step) if step.do == "raises" else []
            if step.do == "__call__":
                known.append((list(step.args), step.kwargs or {}, _wanted(case.steps, number)))
    known = [each for each in known if each[2] is not None]

    def answer(*args, **kwargs):
        for given, named, wanted in known:
            if _same(given, list(args)) and named == kwargs:
                return wanted
        for given, named, error in raising:
            if _same(given, list(args)) and named == kwargs:
                raise getattr(__import__("builtins"), error)("looked up")
        return fallback(*args, **kwargs) if callable(fallback) else known[0][2]

    return answer
'''


def looked_up(name: str, fallback: str) -> str:
    """The source of a cell. fallback: an expression; None for the first answer of the table."""
    return f"{TABLE}\n\n{name} = looked_up({name!r}, {fallback})\n"
