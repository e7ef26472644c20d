"""Features of the language, three ways: replayed from source through the gate, interpreted, and compiled for two GPUs.

At least 95 of 100 must be judged: the gate lets them through, and replay and run context both give the numbers that
were found without Triton. REASONS says of each other one why. The counts are written to tests/gates/features.md. What
is no feature is refused by Triton's own compiler. Not here: what the features are; `features` holds them.
"""

import contextlib
import copy
import dataclasses
import functools
import io
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
import torch
import triton
from features import FEATURES, THEMES
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import create_function_from_signature

from grader_kernels.compiling.compiler import Cache, _passing_cache, compile_launches, gpu_target
from grader_kernels.interpreter.context import on_cpu
from grader_kernels.language import LanguageError, words
from grader_kernels.replaying.replay import replay_source
from grader_kernels.replaying.trace import TraceError, record

TABLE = Path(__file__).parents[1] / "gates" / "features.md"
TARGETS = ("sm_80", "sm_90")
LEAST, LEAST_JUDGED = 300, 0.95
SECONDS = 20  # for one feature
EVERY = 50  # so many features apart are those that every run of the tests compiles

WRAPS = "a 32-bit result that wraps around is a finding, also where the kernel means it"
SECOND_KIND = "the Bessel functions of the second kind have no counterpart on the CPU here"
FOREIGN = "a trace carries the dtypes that the course's launchers hand over, and {} is none of them"
REASONS = {  # where it stops, and why
    "int32 product wraps": ("finding", WRAPS),
    "tl.add without a check of overflow": ("finding", WRAPS),
    "libdevice.y0": ("gate", SECOND_KIND),
    "libdevice.y1": ("gate", SECOND_KIND),
    "libdevice.yn": ("gate", SECOND_KIND),
    "libdevice.rcp64h": ("gate", "an approximation whose digits are published nowhere"),
    "a tensor of uint16": ("trace", FOREIGN.format("uint16")),
    "a tensor of uint32": ("trace", FOREIGN.format("uint32")),
    "a tensor of uint64": ("trace", FOREIGN.format("uint64")),
    "a tensor of float8e5": ("trace", FOREIGN.format("float8e5")),
    "tl.reduce with if inside": ("run", "a reduction combines whole tiles here, and an `if` decides about one number"),
    "a kernel made for a number": ("gate", "what the function around the kernel was given is known only when it runs"),
    "tl.inline_asm_elementwise": ("gate", "assembly can't be run without a GPU"),
    "tl.map_elementwise": ("gate", "it runs its function number by number, and the CPU here runs whole tiles"),
    "N.value + 1 of int32": ("run", "a constexpr of a launch is a plain number here, which has no `.value`"),
}

torch.set_num_threads(1)


class TookTooLong(Exception):
    pass


@contextlib.contextmanager
def at_most(seconds):
    def stop(*_):
        raise TookTooLong(f"it runs for more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# numbers --------------------------------------------------------------------------------------------------------------


def traced(feature):
    return record(feature.launch, tuple(feature.arguments().values())).to_data()


def replayed(feature):
    """(where it stops, in words); two empty strings when the replay from source gives the right numbers."""
    try:
        data = traced(feature)
    except TraceError as error:
        return "trace", str(error)
    try:
        done = replay_source(feature.source, data, (tuple(feature.arguments().values()), {}))
    except LanguageError as error:
        return "gate", error.sentence
    except Exception as error:
        return "run", f"{type(error).__name__}: {error}"
    wrong = feature.wrong(done["outputs"])
    return ("numbers", wrong) if wrong else ("finding" if done["problems"] else "", "; ".join(done["problems"]))


def interpreted(feature):
    """The same of a launch in the run context."""
    try:
        with on_cpu(quiet=True):
            outputs = feature.launch(*copy.deepcopy(tuple(feature.arguments().values())))
    except Exception as error:
        return "run", f"{type(error).__name__}: {error}"
    wrong = feature.wrong(outputs)
    return ("numbers", wrong) if wrong else ("", "")


@functools.cache
def judged(name):
    """(where a feature stops, in words); two empty strings when it is judged."""
    with contextlib.redirect_stdout(io.StringIO()), at_most(SECONDS):
        first = replayed(FEATURES[name])
        return first if first[0] else interpreted(FEATURES[name])


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_is_judged_or_there_is_a_reason(name):
    where, says = judged(name)
    assert where == REASONS.get(name, ("", ""))[0], says


def test_nearly_all_are_judged_and_the_table_says_which():
    done = {name for name in FEATURES if not judged(name)[0]}
    write_table(done)
    assert set(REASONS) <= set(FEATURES)
    assert len(FEATURES) >= LEAST and len(done) >= LEAST_JUDGED * len(FEATURES)


def write_table(done):
    """Deterministic: counts by theme, then what is not judged."""
    total, good = (Counter(FEATURES[name].theme for name in names) for names in (FEATURES, done))
    rows = [f"| {theme} | {total[theme]} | {good[theme]} |" for theme in THEMES]
    rows.append(f"| together | {len(FEATURES)} | {len(done)} |")
    others = [name for name in FEATURES if name not in done]
    reasons = [f"| {name} | {FEATURES[name].theme} | {' | '.join(REASONS.get(name, ('', '')))} |" for name in others]
    without = Counter(target for feature in FEATURES.values() for target in lacking(feature))
    text = f"""# Features of the Triton language

Written by `make test`. A feature is a kernel of a few lines, its inputs and the numbers it must give, which are found
without Triton. It is judged when the gate lets it through, and the replay from source and the run context both give
these numbers. `make test-all` compiles every feature for sm_80 and sm_90. {without["sm_80"]} of them, with float8e4nv,
are not for sm_80, and {without["sm_90"]} that gather or scatter rows through a descriptor are not for sm_90.

| theme | features | judged |
|---|---|---|
"""
    text += "\n".join(rows) + "\n\n## Not judged\n\n| feature | theme | stops at | why |\n|---|---|---|---|\n"
    TABLE.write_text(text + "\n".join(reasons) + "\n")


# nothing is left out --------------------------------------------------------------------------------------------------


def test_every_word_of_the_language_is_in_a_feature():
    sources = "\n".join(feature.source for feature in FEATURES.values())
    used, members = set(re.findall(r"\btl\.(\w+)", sources)), set(re.findall(r"\.(\w+)", sources))
    assert words.LANGUAGE_NAMES - used <= {"float8e4b8", "float8e5b16", "pi32_t", "void"}  # of AMD; of the compiler
    assert words.MEMBERS - members <= {"is_void"}  # which Triton has not written


# compiled -------------------------------------------------------------------------------------------------------------


def lacking(feature):
    """The targets that have no such instruction, of which Triton's compiler says so."""
    later = {"sm_80"} if "float8e4nv" in feature.source else set()
    return later | ({"sm_90"} if re.search(r"\bd\.(gather|scatter)\(", feature.source) else set())


def compiled_without_the_gate(feature, target):
    """Triton's compiler on the kernel as its module has it: raises what the compiler raises."""
    given = {}
    with on_cpu(recorder=lambda kernel, grid, args, kwargs: given.update(kernel=kernel, arguments=kwargs)):
        feature.launch(*feature.arguments().values())
    kernel, target = given["kernel"], gpu_target(target)
    backend = make_backend(target)
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    with _passing_cache():
        bound, specialisation, options = bind(**given["arguments"], debug=bool(kernel.debug))
        options, signature, constants, attributes = kernel._pack_args(backend, {}, bound, specialisation, options)
        triton.compile(ASTSource(kernel, signature, constants, attributes), target=target, options=options.__dict__)


@functools.cache
def cache():
    return Cache()


def refusals(name):
    """What the compiler says, by target."""
    feature = FEATURES[name]
    if REASONS.get(name, ("",))[0] in ("", "finding", "run"):
        built = compile_launches(feature.source, traced(feature), TARGETS, cache())
        return {one.target: one.error for one in built if one.error}
    for target in TARGETS:
        compiled_without_the_gate(feature, target)
    return {}


SOME = [name if i % EVERY == 0 else pytest.param(name, marks=pytest.mark.slow) for i, name in enumerate(FEATURES)]


@pytest.mark.parametrize("name", SOME)
def test_the_compiler_takes_a_feature(name):
    assert set(refusals(name)) == lacking(FEATURES[name]), refusals(name)


def test_running_kernels_leaves_the_compiler_its_language():
    judged("max and min of scalars")
    from triton.compiler.code_generator import CodeGenerator  # not above: who imports it first is the question

    assert CodeGenerator.builtin_namespace["max"] is triton.language.core.builtin_max


def test_what_is_no_feature_is_refused_by_the_compiler():
    """So that a feature that compiles says something."""
    source = FEATURES["tl.exp"].source.replace("tl.exp(x)", "tl.exp(x, 1)")
    wrong = dataclasses.replace(FEATURES["tl.exp"], source=source)
    with pytest.raises(triton.CompilationError):
        compiled_without_the_gate(wrong, "sm_80")
