"""The gate for kernel source: what may be executed in a trusted process, by an allow-list of the Triton language.

`extract(source, needed)` takes the jitted functions named in `needed`, the jitted functions, constants and other names
that they use, and nothing else, out of a student's source. What it returns is executed by `replay.load`, in a process
that holds the judge's secrets, and read by triton's compiler, which runs what stands in a kernel while it reads. So
this is a boundary, and it is an ALLOW-list: a piece of syntax, a name, an attribute or a keyword that isn't listed here
is refused, whatever it would do. Within that it takes what triton takes: functions under any name and at any depth of
the source, words of the language under any import, constants worked out from constants.

Text of the source is kept only inside of functions. Constants are worked out here (`constants`) and written down as
numbers; of decorators only triton.jit and its options that change numbers are left, of annotations tl.constexpr and
dtypes. What `@triton.autotune` and `@triton.heuristics` choose stands in the launch trace.

What it stops: imports, any attribute but those of the lists (`tl.core`, `x.handle`, dunders), calls of anything but
listed names, strings outside of arguments and comparisons, code in decorators, defaults, annotations, constants.
What it does not stop: endless loops and large tiles (limits of the process do), wrong kernels (that is the judge's
work), things only the compiler refuses (compiling is the second gate).
"""

from grader_kernels.language.extracting import extract
from grader_kernels.language.refusing import LanguageError, NotWritten
from grader_kernels.language.words import (
    DTYPE_NAMES,
    JIT_OPTIONS,
    LANGUAGE_NAMES,
    LIBDEVICE_NAMES,
    MATH_NAMES,
    NAMESPACES,
)

__all__ = [
    "DTYPE_NAMES",
    "JIT_OPTIONS",
    "LANGUAGE_NAMES",
    "LIBDEVICE_NAMES",
    "MATH_NAMES",
    "NAMESPACES",
    "LanguageError",
    "NotWritten",
    "extract",
]
