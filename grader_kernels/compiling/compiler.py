"""Compile a learner's kernels for GPUs that need not be there, and read what came out.

    compile_launches(source, trace_data)                  in this process: a notebook, a test
    with Compiler() as compiler:                          for the judge: a child process, a deadline, a cache
        compiled = compiler.check(source, trace_data)
    judge_compiled(compiled, settings)                    sentences; empty when there is nothing to say

Every distinct specialisation that the trace's launches would get on a GPU is compiled as triton's own launcher does it:
dtypes, constexprs, integers that are 1 or divisible by 16, the alignment of pointers, num_warps and num_stages.
Of launches that a task doesn't ask to compile, `Seen` and `footprint` spare the slow half where it says nothing new.
Compiling asks triton for a target and never for a driver, so nothing of triton is patched, set or left behind, and
kernels can be interpreted before and after in the same process. TRITON_INTERPRET must stay unset.

What it is: the second language gate (the interpreter accepts much that a GPU refuses), and the limits of a device read
from the binary. What it is not: a measurement of speed or correctness, or a sandbox. Source passes `language.extract`
before any of it is executed; time and memory are limited in `Compiler` alone.

A trace says where a view lies in its buffer, not where the buffer lies: every buffer is taken to be aligned.
"""

from __future__ import annotations

import ast
import contextlib
import faulthandler
import functools
import hashlib
import io
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel, make_backend
from triton.compiler.errors import CompilationError
from triton.runtime.jit import JITFunction, create_function_from_signature

from grader_kernels import language, wire
from grader_kernels.compiling import refusals
from grader_kernels.compiling.footprint import Footprint, lowered, room
from grader_kernels.compiling.refusals import Refused
from grader_kernels.evidence import Compiled, device
from grader_kernels.problem import Settings
from grader_kernels.replaying import replay
from grader_kernels.replaying.trace import (
    DTYPES,
    TL_DTYPES,
    DtypeRef,
    FunctionRef,
    Items,
    Launch,
    Node,
    Scalar,
    TensorRef,
    from_data,
    walk,
)

TARGETS = ("sm_80", "sm_90")
RULES = 5  # part of every cache key: raise it when a Built is filled in another way

# Bytes of shared memory that one block may have. NVIDIA: CUDA C++ Programming Guide, "Compute Capabilities", table
# "Technical Specifications per Compute Capability", row "Maximum amount of shared memory per thread block": 64 KB on
# 7.5, 163 KB on 8.0 and 8.7, 99 KB on 8.6, 8.9 and 12.x, 227 KB on 9.0 and 10.0, of 1024 bytes each; the kilobyte that
# is missing from an SM's round number is the system's. AMD: LDS of a workgroup, 64 KB, and 160 KB on CDNA 4.
KB = 1024
SHARED_LIMITS = {"sm_75": 64 * KB, "sm_80": 163 * KB, "sm_86": 99 * KB, "sm_87": 163 * KB, "sm_89": 99 * KB}
SHARED_LIMITS |= {"sm_90": 227 * KB, "sm_100": 227 * KB, "sm_120": 99 * KB}
SHARED_LIMITS |= {"gfx90a": 64 * KB, "gfx942": 64 * KB, "gfx950": 160 * KB, "gfx1100": 64 * KB}

PARKED = 16  # bytes per thread that are no spill: ptxas puts a value or two aside, with registers to spare
PRINTS = ("print", "tl.device_print", "triton.language.device_print")
THREADS_LIMIT = 1024  # in a block, on every one of them

NVIDIA_OPTIONS = frozenset("num_warps num_stages num_ctas maxnreg enable_fp_fusion debug".split())
AMD_OPTIONS = frozenset("num_warps num_stages enable_fp_fusion debug waves_per_eu matrix_instr_nonkdim kpack".split())


# --------------------------------------------------------------------------------------------------------------------
# What is to be compiled


class Job(msgspec.Struct, frozen=True):
    """One kernel with the arguments of one launch, for one target. source: what `language.extract` let through.
    enough: footprints of what was compiled already; within them the front end has the last word."""

    source: str
    launch: Launch
    target: str
    enough: tuple[Footprint, ...] = ()

    def key(self) -> str:
        """Equal for jobs that give the same binary. Comments, empty lines and the place in a file don't count."""
        text, constants = _normal(self.source, self.launch.kernel)
        arguments = [[name, _class_of(node, name in constants)] for name, node in sorted(self.launch.args.items())]
        parts = [RULES, triton.__version__, self.target, self.launch.kernel, text, arguments, sorted(self.options())]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    def kind(self) -> str:
        """The same, but for sizes and strides: constants, dtypes, options and target."""
        _, constants = _normal(self.source, self.launch.kernel)
        arguments = [[name, *_kind_of(node, name in constants)] for name, node in sorted(self.launch.args.items())]
        return repr((self.target, self.launch.kernel, arguments, sorted(self.options())))

    def name(self) -> str:
        """Equal for jobs that give the same answer, with the same lines."""
        return f"{self.key()} {hash(self.source)}"

    def alike(self) -> str:
        """The same for jobs whose footprints can be compared."""
        return repr((self.target, self.launch.kernel, sorted(self.options())))

    def options(self) -> list[tuple[str, int | bool]]:
        """The launch options that a compiler is told; others a trace may name (files, flags) are left out."""
        allowed = AMD_OPTIONS if self.target.startswith("gfx") else NVIDIA_OPTIONS
        given = self.launch.options.items()
        return [(name, node.value()) for name, node in given if name in allowed and node.kind in ("int", "bool")]


class Built(msgspec.Struct):
    """What became of a job. footprint: unless it was refused. whole: not by the front end alone."""

    compiled: Compiled
    footprint: Footprint | None = None
    whole: bool = True

    def within(self, enough: Iterable[Footprint]) -> bool:
        return self.footprint is not None and self.footprint.within(enough)


class Seen:
    """What was compiled for one judgement. sparing: launches that are not new, and those within what was compiled, are
    not compiled whole."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.whole: dict[str, list[Footprint]] = {}
        self.sparing = False

    def add(self, job: Job, built: Built) -> None:
        if built.whole and built.footprint is not None:
            self.whole.setdefault(job.alike(), []).append(built.footprint)

    def spared(self, job: Job) -> Job:
        """The job, told what is enough."""
        enough = self.whole.get(job.alike(), ()) if self.sparing else ()
        return msgspec.structs.replace(job, enough=tuple(enough))


@functools.lru_cache(maxsize=64)
def _normal(source: str, kernel: str) -> tuple[str, frozenset[str]]:
    """The source without comments and layout, and the kernel's parameters that are tl.constexpr."""
    tree = ast.parse(source)
    parameters = [a for f in tree.body if isinstance(f, ast.FunctionDef) and f.name == kernel for a in f.args.args]
    constants = {p.arg for p in parameters if p.annotation is not None and "constexpr" in ast.unparse(p.annotation)}
    return ast.unparse(tree), frozenset(constants)


def _class_of(node: Node, constant: bool) -> list:
    """What a binary may depend on in an argument; at least as fine as triton's own specialisation."""
    if isinstance(node, TensorRef):
        return ["tensor", node.dtype, node.offset % 16 == 0]
    if isinstance(node, Items):
        return ["items", *node.fields, *(_class_of(item, constant) for item in node.items)]
    if not isinstance(node, Scalar):
        return [type(node).__name__, getattr(node, "name", "")]
    if constant or node.kind in ("none", "str"):
        return ["constant", node.kind, node.text]
    return [node.kind, *(_class_of_int(node.value()) if node.kind == "int" else ())]


def _kind_of(node: Node, constant: bool) -> list:
    if isinstance(node, TensorRef):
        return ["tensor", node.dtype]
    if isinstance(node, Scalar) and node.kind == "int" and not constant:
        return [node.kind]
    return _class_of(node, constant)


def _class_of_int(value: int) -> tuple:
    width = 32 if -(1 << 31) <= value < 1 << 31 else 64 if value < 1 << 63 else 65
    return (value == 1, value % 16 == 0, width)


def plan(
    source: str, trace_data: dict[str, Any], targets: tuple[str, ...], seen: Seen | None = None
) -> list[Job | Compiled]:
    """The distinct jobs of the trace's launches; a Compiled with an error for a kernel that isn't even plain Triton.

    seen: is told what is planned. While it is sparing, launches that differ from seen ones in sizes and strides alone
    are left out.

    Raises TraceError for a malformed trace and ValueError for a target that isn't known.
    """
    for target in targets:
        gpu_target(target)
    known = frozenset(seen.kinds) if seen is not None and seen.sparing else frozenset()
    found: dict[tuple, Job | Compiled] = {}
    trace = from_data(trace_data)
    for launch in trace.launches:
        handed = (node for argument in launch.args.values() for node in walk(argument))
        needed = frozenset({launch.kernel, *(n.name for n in handed if isinstance(n, FunctionRef))})
        gated = _gate(source, needed, trace.fields())
        for target in targets:
            if isinstance(gated, Refused):
                found[launch.kernel, target] = _failed(launch.kernel, target, gated)
            else:
                job = Job(gated, launch, target)
                if seen is not None:
                    if (kind := job.kind()) in known:
                        continue
                    seen.kinds.add(kind)
                found.setdefault((job.key(),), job)
    return list(found.values())


@functools.lru_cache(maxsize=16)  # every case of a judgement asks the same
def _gate(source: str, needed: frozenset[str], fields: frozenset[str]) -> str | Refused:
    try:
        return _silent(language.extract(source, needed, fields))
    except language.LanguageError as error:
        return refusals.explain_gate(error, source)


def _silent(source: str) -> str:
    """The source without prints: what a printing kernel puts on the stack is no spill."""
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in PRINTS:
            first, last = node.lineno - 1, node.end_lineno - 1
            if not lines[first][: node.col_offset].strip() and not lines[last][node.end_col_offset :].strip():
                lines[first : last + 1] = [" " * node.col_offset + "pass", *[""] * (last - first)]
    return "\n".join(lines)


def _failed(kernel: str, target: str, why: Refused) -> Compiled:
    limit = SHARED_LIMITS[target]
    return Compiled(kernel, target, error=why.sentence, line=why.line, shared_limit=limit)


def gpu_target(name: str) -> GPUTarget:
    """triton's name for "sm_80", "gfx942" ... Raises ValueError."""
    if name not in SHARED_LIMITS:
        raise ValueError(f"{name} is not a target; there are {', '.join(SHARED_LIMITS)}")
    if name.startswith("sm_"):
        return GPUTarget("cuda", int(name[3:]), 32)
    return GPUTarget("hip", name, 32 if name.startswith("gfx1") else 64)


# --------------------------------------------------------------------------------------------------------------------
# One compilation


class _Pointer:
    """What triton's launcher asks of a tensor, without its memory."""

    def __init__(self, ref: TensorRef) -> None:
        self.dtype, self.ref = DTYPES[ref.dtype], ref

    def data_ptr(self) -> int:
        return self.ref.offset

    def ptr_range(self) -> int:
        return self.ref.offset + self.ref.extent()


def _argument(node: Node, functions: Mapping[str, JITFunction]) -> Any:
    if isinstance(node, TensorRef):
        return _Pointer(node)
    if isinstance(node, Scalar):
        return node.value()
    if isinstance(node, DtypeRef):
        return TL_DTYPES[node.name]
    if isinstance(node, FunctionRef):
        return functions[node.name]
    if isinstance(node, Items):
        return node.tuple_of([_argument(item, functions) for item in node.items])
    raise Refused("the launch hands this kernel something a kernel can't take: tensors, numbers and tl dtypes are fine")


_load = functools.lru_cache(maxsize=8)(replay.load)


def compile_job(job: Job) -> Built:
    """Compile in this process, however long it takes; what is wrong stands in `error`."""
    into = Compiled(job.launch.kernel, job.target, shared_limit=SHARED_LIMITS[job.target])
    try:
        built = _build(job, _load(job.source))
        if isinstance(built, Footprint):
            return Built(into, built, whole=False)
        into.dots = "tt.dot" in built.asm["ttir"]
        read = _read_amd if job.target.startswith("gfx") else _read_nvidia
        compiled = read(built, into)
        return Built(compiled, Footprint.of(built.asm["ttir"], _halves(job.target), _room(job, compiled)))
    except Refused as refused:
        return Built(_failed(job.launch.kernel, job.target, refused))


def _build(job: Job, functions: dict[str, JITFunction]) -> CompiledKernel | Footprint:
    """The kernel, or its footprint when that is enough."""
    target, kernel = gpu_target(job.target), functions[job.launch.kernel]
    given = {"enable_fp_fusion": True, "debug": bool(kernel.debug), **dict(job.options())}
    given = {name: value for name, value in given.items() if name not in job.launch.args}
    _check_warps(given.get("num_warps", 4), target)
    arguments = {name: _argument(node, functions) for name, node in job.launch.args.items()}
    with _diagnostics() as said, _passing_cache():
        try:
            backend = make_backend(target)
            bind = create_function_from_signature(kernel.signature, kernel.params, backend)
            bound, specialisation, options = bind(**arguments, **given)
            packed = kernel._pack_args(backend, given, bound, specialisation, options)
            options, signature, constants, attributes = packed
            source = ASTSource(kernel, signature, constants, attributes)
            if job.enough:
                found = lowered(source, target, options, backend, _halves(job.target))
                if found.within(job.enough):
                    return found
            return triton.compile(source, target=target, options=options.__dict__)
        except CompilationError as error:
            failed = functools.partial(refusals.explain, error, functions)
        except MemoryError:
            raise Refused("the compiler ran out of memory on this kernel: make its tiles smaller") from None
        except Exception as error:
            failed = functools.partial(refusals.explain_late, error, said)
    raise failed()


def _room(job: Job, compiled: Compiled) -> float:
    asked = dict(job.options()).get("maxnreg")
    return room(compiled, asked) if asked else room(compiled)


def _halves(target: str) -> bool:
    """Whether products of bfloat16 are what products of float16 are, as on every device since sm_80."""
    return target != "sm_75"


def _check_warps(warps: int, target: GPUTarget) -> None:
    if warps < 1 or warps & (warps - 1):
        raise Refused(f"num_warps={warps}: the number of warps must be a power of two")
    if warps * target.warp_size > THREADS_LIMIT:
        threads = f"{warps * target.warp_size} threads, and a block has at most {THREADS_LIMIT}"
        raise Refused(f"num_warps={warps} asks for {threads}")


@contextlib.contextmanager
def _passing_cache() -> Iterator[None]:
    """triton's own cache in a folder that is gone afterwards: nothing is taken from and given to anybody else."""
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder, knobs.cache.scope():
        knobs.cache.dir = folder
        yield


@contextlib.contextmanager
def _diagnostics() -> Iterator[Callable[[], str]]:
    """Keeps what the compiler prints (MLIR writes to file descriptor 2) and hands it over as text."""
    sys.stderr.flush()
    kept, text = os.dup(2), ""
    with tempfile.TemporaryFile() as file, contextlib.redirect_stdout(io.StringIO()):
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: text
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            text = file.read(1 << 20).decode(errors="replace")


# --------------------------------------------------------------------------------------------------------------------
# Reading a binary

_PTX = r"\b{}\.global(?:\.[a-zA-Z_][\w:]*)*?(?:\.v([248]))?\.[busf](\d+)\b"
PTX_LOAD, PTX_STORE = re.compile(_PTX.format("ld")), re.compile(_PTX.format("st"))
PTX_COPY = re.compile(r"\bcp\.async\.c[ag]\.shared[\w:]*\.global[\w.:]*\s*\[[^]]*\],\s*\[[^]]*\],\s*(\w+)")
PTX_BULK = re.compile(r"\bcp\.async\.bulk\.(?:tensor\.\w+\.)?shared")
USAGE = re.compile(r"REG:(\d+)\s+STACK:(\d+)")
TF32 = re.compile(r"\bw?g?mma\S*\.(?:tf32|kind::tf32)")
TENSOR_CORES = {"wgmma": "wgmma.mma_async", "tcgen05": "tcgen05.mma", "mma.sync": "mma.sync"}

_AMD_WIDTHS = {"ubyte": 8, "sbyte": 8, "byte": 8, "ushort": 16, "sshort": 16, "short": 16, "dword": 32}
_AMD_WIDTHS |= {f"dwordx{n}": 32 * n for n in (2, 3, 4)}
_AMD_WIDTHS |= {f"{kind}{n}": n for kind in "biu" for n in (8, 16, 32, 64, 96, 128)}
_AMD = r"\b(?:global|buffer|flat)_{}_(?:d16_)?({})\b"
AMD_LOAD, AMD_STORE = (re.compile(_AMD.format(verb, "|".join(_AMD_WIDTHS))) for verb in ("load", "store"))
AMD_USAGE = re.compile(r"^\s*\.(vgpr_count|private_segment_fixed_size):\s*(\d+)", re.M)


def _vectors(pattern: re.Pattern, ptx: str) -> Counter[int]:
    return Counter(int(count or 1) * int(bits) for count, bits in pattern.findall(ptx))


def _sorted(widths: Counter[int]) -> dict[str, int]:
    return {str(bits): widths[bits] for bits in sorted(widths)}


def _read_nvidia(built: CompiledKernel, into: Compiled) -> Compiled:
    ptx = built.asm["ptx"]
    copies = Counter(8 * int(size, 0) for size in PTX_COPY.findall(ptx))
    into.registers, into.stack = _usage(built.asm["cubin"])
    into.shared, into.warps = built.metadata.shared, built.metadata.num_warps
    into.load_bits = _sorted(_vectors(PTX_LOAD, ptx) + copies)
    into.store_bits = _sorted(_vectors(PTX_STORE, ptx))
    into.async_copies = copies.total() + len(PTX_BULK.findall(ptx))
    into.tensor_cores = next((name for name, instruction in TENSOR_CORES.items() if instruction in ptx), "")
    into.tf32 = bool(TF32.search(ptx))
    return into


def _usage(cubin: bytes) -> tuple[int, int]:
    """(registers, bytes of stack) of a thread; spills are stack, whatever the number of registers says."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    found = [(int(registers), int(stack)) for registers, stack in USAGE.findall(done.stdout)]
    return (max(r for r, _ in found), max(s for _, s in found)) if found else (-1, -1)


def _read_amd(built: CompiledKernel, into: Compiled) -> Compiled:
    assembly = built.asm["amdgcn"]
    usage = {name: int(number) for name, number in AMD_USAGE.findall(assembly)}
    into.registers, into.stack = usage.get("vgpr_count", -1), usage.get("private_segment_fixed_size", -1)
    into.shared, into.warps = built.metadata.shared, built.metadata.num_warps
    into.load_bits, into.store_bits = (
        _sorted(Counter(_AMD_WIDTHS[kind] for kind in pattern.findall(assembly))) for pattern in (AMD_LOAD, AMD_STORE)
    )
    into.tensor_cores = next((name for name in ("mfma", "wmma") if f"v_{name}_" in assembly), "")
    return into


# --------------------------------------------------------------------------------------------------------------------
# In this process


def compile_launches(
    source: str,
    trace_data: dict[str, Any],
    targets: tuple[str, ...] = TARGETS,
    cache: Cache | None = None,
    seen: Seen | None = None,
) -> list[Compiled]:
    """Every distinct specialisation of the trace's launches, compiled for every target, in this process.

    cache: what was compiled before; it is read and added to. seen: see `plan`. Raises TraceError for a malformed trace
    and ValueError for a target that isn't known; what is wrong with a kernel stands in `Compiled.error`.
    """
    jobs = plan(source, trace_data, targets, seen)
    cache, seen = cache or Cache(on_disk=False), seen or Seen()
    return [_answer(job, compile_job, cache, seen) for job in jobs]


def _answer(job: Job | Compiled, build: Callable[[Job], Built], cache: Cache, seen: Seen) -> Compiled:
    """What is planned, built where the cache doesn't have it."""
    if isinstance(job, Compiled):
        return job
    job = seen.spared(job)
    built = cache.get(job)
    if built is None:
        built = build(job)
        cache.put(job, built)
    seen.add(job, built)
    return built.compiled


# --------------------------------------------------------------------------------------------------------------------
# In a child, with a deadline and a cache

MAX_MEMORY = 8 << 30  # bytes that the child may allocate
MAX_WAITING = 64 << 10  # characters of source that may lie in its socket
MAX_SECONDS = 300.0  # for one job, should nobody be there to end it


class Cache:
    """What was compiled before, by key, in a folder that nobody else can write. Written whole or not at all.

    folder: by default COURSE_KERNEL_CACHE, or a folder of the user's cache. A folder that can't be made, or that
    others own or may write, is not used: then nothing is remembered beyond this object. Nor is it with on_disk=False.
    """

    def __init__(self, folder: Path | None = None, on_disk: bool = True) -> None:
        self.folder = _private(folder or _default_folder()) if on_disk else None
        self.known: dict[str, Built] = {}

    def get(self, job: Job) -> Built | None:
        """What is known of a job: compiled whole, or as far as is enough for it."""
        key = job.key()
        known = self._known(key)
        if known is None and job.enough:
            known = self._known(f"{key}-front")
            known = known if known is not None and known.within(job.enough) else None
        return known

    def _known(self, key: str) -> Built | None:
        if key not in self.known and self.folder is not None:
            with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
                self.known[key] = msgspec.json.decode((self.folder / f"{key}.json").read_bytes(), type=Built)
        return self.known.get(key)

    def put(self, job: Job, built: Built) -> None:
        """Keep it, unless the compiler refused: an error names a line, and the key does not know where that is."""
        if built.compiled.error:
            return
        key = job.key() if built.whole else f"{job.key()}-front"
        self.known[key] = built
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as file:
                file.write(msgspec.json.encode(built))
            os.replace(file.name, self.folder / f"{key}.json")


HERE = Cache(on_disk=False)  # of this process


def _default_folder() -> Path:
    chosen = os.environ.get("COURSE_KERNEL_CACHE")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else caches / "transformer-course" / "kernels"


def _private(folder: Path) -> Path | None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    safe = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return folder if safe else None


class _Died(Exception):
    """The child is gone; one phrase that says how."""


class Compiler:
    """A compile process that stays warm, is killed and made anew when it crashes or is late, and a cache before it.

    The child is forked at the first kernel that isn't in the cache, or by `start`.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = Cache(cache)
        self.compiled = 0  # how many jobs the child did
        self._child: _Child | None = None
        self._ordered: deque[str] = deque()  # what the child was sent and has not answered yet, by Job.name
        self._done: dict[str, Built] = {}  # answered and not asked for yet

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Fork the child now and let it load its tools meanwhile (about half a second of its own)."""
        self._child = self._child or _Child()

    def close(self) -> None:
        """End the child. The compiler may be used again."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        self._ordered.clear()

    def order(self, source: str, trace_data: dict[str, Any], targets: tuple[str, ...] = TARGETS) -> None:
        """Have compiled in the background what `check` will be asked for. Until then nothing is said."""
        for job in plan(source, trace_data, targets):
            if isinstance(job, Job) and self.cache.get(job) is None and job.name() not in (*self._done, *self._ordered):
                if (1 + len(self._ordered)) * len(job.source) < MAX_WAITING:  # else sending would wait, too
                    try:
                        self._send(job, time.monotonic() + 1)
                    except (_Died, TimeoutError):  # half a job may have been sent
                        self.close()

    def drop(self) -> None:
        """Forget what was ordered, and end the process that still works on it: the next file waits for nobody."""
        if self._ordered:
            self.close()
        self._done.clear()

    def check(
        self,
        source: str,
        trace_data: dict[str, Any],
        targets: tuple[str, ...] = TARGETS,
        seconds: float = 60,
        seen: Seen | None = None,
    ) -> list[Compiled]:
        """As `compile_launches`, from the cache where possible. seconds: for all of it together."""
        deadline = time.monotonic() + seconds
        jobs = plan(source, trace_data, targets, seen)
        seen = seen or Seen()
        return [_answer(job, lambda one: self._ask(one, deadline, seconds), self.cache, seen) for job in jobs]

    def _send(self, job: Job, deadline: float) -> None:
        self.start()
        self._child.send(job, deadline)
        self._ordered.append(job.name())

    def _next(self, deadline: float) -> None:
        self._done[self._ordered[0]] = self._child.answer(deadline)
        self._ordered.popleft()
        self.compiled += 1

    def _ask(self, job: Job, deadline: float, seconds: float) -> Built:
        try:
            if time.monotonic() >= deadline:
                raise Refused("not compiled: the time was used up before")
            name = job.name()
            known = name in self._done or name in self._ordered
            while self._ordered and (not known or name in self._ordered):
                self._next(deadline)
            if not known:
                self._send(job, deadline)
                self._next(deadline)
            return self._done.pop(name)
        except Refused as refused:
            return Built(_failed(job.launch.kernel, job.target, refused))
        except TimeoutError:
            self.close()
            return Built(_failed(job.launch.kernel, job.target, Refused(_too_slow(seconds))))
        except _Died as error:
            self.close()
            crashed = Refused(f"the compiler crashed on this kernel ({error})")
            return Built(_failed(job.launch.kernel, job.target, crashed))


def _too_slow(seconds: float) -> str:
    return (
        f"compiling was not finished after {seconds:g} seconds: unroll less (range instead of tl.static_range) "
        f"and make the tiles smaller"
    )


class _Child:
    """One forked process that compiles what it is sent. It shares this socket, and a folder that goes when it goes."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.folder = tempfile.TemporaryDirectory(prefix="kernels-", ignore_cleanup_errors=True)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be_a_child(theirs, self.folder.name)
        theirs.close()

    def send(self, job: Job, deadline: float) -> None:
        """Jobs are done one after another. Raises TimeoutError after the deadline and _Died."""
        try:
            wire.send(self.socket, {"seconds": MAX_SECONDS}, [msgspec.json.encode(job)], deadline)
        except TimeoutError:
            raise
        except (OSError, wire.WireError):
            raise _Died(self.kill()) from None

    def answer(self, deadline: float) -> Built:
        """To the next job that was sent. Raises TimeoutError after the deadline and _Died when no sensible answer
        comes."""
        try:
            _, body = wire.recv(self.socket, deadline)
            return msgspec.json.decode(body, type=Built)
        except TimeoutError:
            raise
        except (EOFError, OSError, wire.WireError, msgspec.DecodeError, UnicodeDecodeError):
            raise _Died(self.kill()) from None

    def kill(self) -> str:
        """End it and everything it started; says how it had ended, if it had."""
        self.socket.close()
        for end in (os.killpg, os.kill):
            with contextlib.suppress(OSError):
                end(self.pid, signal.SIGKILL)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return signal.Signals(-code).name if code < 0 else f"exit code {code}"
        except ChildProcessError:
            return "it is gone"
        finally:
            self.folder.cleanup()


def _be_a_child(sock: socket.socket, folder: str) -> None:
    code = 1
    try:
        tempfile.tempdir = folder
        _leave_everything(sock.fileno())
        _warm_up()
        _serve(sock)
        code = 0
    finally:
        os._exit(code)


def _leave_everything(mine: int) -> None:
    """A session of its own, no open file of the parent's, no signal handlers, no more memory than MAX_MEMORY."""
    os.setsid()
    faulthandler.disable()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.closerange(3, mine)
    os.closerange(mine + 1, 1 << 16)
    sys.stdin = sys.stdout = sys.stderr = open(os.devnull, "r+")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))


_TINY = "@triton.jit\ndef tiny(x_ptr):\n    tl.store(x_ptr, tl.load(x_ptr) + 1)\n"


def _warm_up() -> None:
    compile_job(Job(_TINY, Launch("tiny", [1, 1, 1], {"x_ptr": TensorRef(0, 0, [1], [1], "float32")}), TARGETS[0]))


def _serve(sock: socket.socket) -> None:
    while True:
        try:
            header, body = wire.recv(sock)
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, float(header["seconds"]))  # should the parent not be there to kill it
        done = compile_job(msgspec.json.decode(body, type=Job))
        signal.setitimer(signal.ITIMER_REAL, 0)
        wire.send(sock, {}, [msgspec.json.encode(done)])


# --------------------------------------------------------------------------------------------------------------------
# What it is worth


def judge_compiled(compiled: list[Compiled], settings: Settings) -> list[str]:
    """What is wrong, one sentence each: refused, spills, shared memory, no tensor cores, narrow loads."""
    sentences = _errors(compiled)
    built = [one for one in compiled if not one.error]
    for one in built:
        sentences += [f"{one.kernel} on {device(one.target)} {says}" for says in _limits(one, settings)]
    for target in dict.fromkeys(one.target for one in built):
        mine = [one for one in built if one.target == target]
        if settings.tensor_cores and target not in WITHOUT_TENSOR_CORES and (plain := _on_plain_units(mine)):
            sentences.append(f"{_kernels(plain)} on {device(target)} {_NO_TENSOR_CORES}")
        if settings.tensor_cores == "half" and (wide := [one for one in mine if one.tf32]):
            sentences.append(f"{_kernels(wide)} on {device(target)} {_WIDE_TILES}")
        for kernel in dict.fromkeys(one.kernel for one in mine):
            sentences += _narrow(kernel, [one for one in mine if one.kernel == kernel], settings.vector_bits)
    return list(dict.fromkeys(sentences))


def exceeds(one: Compiled, settings: Settings, stack: int = 0) -> bool:
    """Whether one compiled kernel is refused, or needs more than its device has or the problem allows. stack: bytes
    that are allowed in any case."""
    return bool(one.error) or any(_limits(one, settings, stack))


def _errors(compiled: list[Compiled]) -> list[str]:
    """A refusal by every target is said once, without naming them."""
    targets = {one.target for one in compiled}
    refusing: dict[tuple, set[str]] = {}
    for one in compiled:
        if one.error:
            refusing.setdefault((one.kernel, one.line, one.error), set()).add(one.target)
    sentences = []
    for (kernel, line, error), where in refusing.items():
        on = "" if where == targets else f" on {', '.join(device(target) for target in sorted(where))}"
        at = f", line {line}" if line else ""
        sentences.append(f"{kernel}{on}{at}: {error}")
    return sentences


def _limits(one: Compiled, settings: Settings, stack: int = 0) -> Iterator[str]:
    allowed = settings.stack.get(one.target, 0) if isinstance(settings.stack, Mapping) else settings.stack
    allowed = max(allowed, stack, PARKED)
    if one.stack > allowed:
        yield (
            f"puts {one.stack} bytes per thread on the stack ({allowed} are allowed): its values don't fit into the "
            f"{one.registers} registers that a thread gets here and travel through memory; besides, a block takes "
            f"{one.shared} bytes of shared memory. Smaller tiles or a larger num_warps help."
        )
    if one.shared > one.shared_limit:
        yield (
            f"needs {one.shared} bytes of shared memory per block, and there are {one.shared_limit}: it would not "
            f"start. Smaller tiles or fewer num_stages help."
        )


WITHOUT_TENSOR_CORES = {"sm_75"}  # a T4 has some, triton doesn't use them
_NO_TENSOR_CORES = (
    "uses no tensor cores: multiply tiles with tl.dot, not with a sum over products, and don't ask for "
    'input_precision="ieee".'
)

_WIDE_TILES = (
    "multiplies float32 tiles, at half the speed: give tl.dot the tiles as they were loaded, in half precision, and "
    "let it add up in float32."
)


def _on_plain_units(built: list[Compiled]) -> list[Compiled]:
    """Those of one target that should use tensor cores and don't: whoever has a tl.dot; all when nobody uses them."""
    using = {one.kernel for one in built if one.tensor_cores}
    return [one for one in built if one.kernel not in using and (one.dots or not using)]


def _kernels(compiled: list[Compiled]) -> str:
    return ", ".join(dict.fromkeys(one.kernel for one in compiled))


def _narrow(kernel: str, built: list[Compiled], wanted: int) -> Iterator[str]:
    widest = max((int(bits) for one in built for bits in one.load_bits), default=wanted)
    if widest < wanted:
        yield (
            f"{kernel} on {device(built[0].target)} loads at most {widest} bits at a time, {wanted} are possible: "
            f"neighbouring lanes must read neighbouring elements from an aligned address."
        )
