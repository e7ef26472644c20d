"""The words of the Triton language that a kernel may use: the allow-lists of the gate, by hand.

What it is not: read off the installed triton. A boundary names what it lets through; `tests/grader_kernels/
test_language.py` compares the lists with triton's own, so that nothing is missing without a reason.
"""

from __future__ import annotations

from grader_kernels.interpreter import libdevice


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DTYPE_NAMES = _words(
    """float64 float32 float16 bfloat16 float8e4nv float8e5 float8e4b15 float8e4b8 float8e5b16
    int64 int32 int16 int8 int1 uint64 uint32 uint16 uint8 void pi32_t"""
)
MATH_NAMES = _words("abs ceil cos div_rn erf exp exp2 fdiv floor fma log log2 rsqrt sin sqrt sqrt_rn umulhi")
TYPE_NAMES = _words("tensor constexpr dtype tuple tensor_descriptor")  # what isinstance and annotations may ask for
LANGUAGE_NAMES = (
    DTYPE_NAMES
    | MATH_NAMES
    | _words(
        """
        program_id num_programs arange zeros zeros_like full cast to_tensor
        broadcast broadcast_to cat expand_dims interleave join permute ravel reshape split trans view squeeze unsqueeze
        load store make_block_ptr advance make_tensor_descriptor load_tensor_descriptor store_tensor_descriptor
        dot dot_scaled where flip gather swizzle2d clamp maximum minimum sigmoid softmax cdiv add sub mul PropagateNan
        max min argmax argmin sum xor_sum reduce_or reduce associative_scan cumsum cumprod sort topk bitonic_merge
        histogram atomic_add atomic_and atomic_cas atomic_max atomic_min atomic_or atomic_xchg atomic_xor
        rand randn randint rand4x randn4x randint4x philox philox_impl pair_uniform_to_normal uint_to_uniform_float
        range static_range condition static_assert static_print device_assert device_print assume debug_barrier
        multiple_of max_contiguous max_constancy constexpr tuple pointer_type block_type TRITON_MAX_TENSOR_NUMEL
        """
    )
)
LIBDEVICE_NAMES = frozenset(libdevice.NAMES)
HOST_NAMES = _words("cdiv next_power_of_2")  # triton.<name> inside a kernel
MATH_CONSTANTS = _words("pi e tau inf nan")  # math.<name> inside a kernel
MATH_FUNCTIONS = _words(  # in a triton.constexpr_function, and in constants
    """acos asin atan atan2 ceil cos cosh erf exp exp2 expm1 fabs floor gcd hypot isqrt log log10 log1p log2 pow prod
    sin sinh sqrt tan tanh trunc"""
)
NAN_MODES = _words("ALL NONE")  # of tl.PropagateNan

# Names of triton that exist and stay refused, and the way out.
REFUSED = {
    "inline_asm_elementwise": "assembly can't be run without a GPU: write it with tl functions",
    "map_elementwise": "tl.map_elementwise can't be run on the CPU: write the function for whole tiles, with tl.where",
    "target_info": "what is asked of the GPU is not known here: leave tl.target_info out",
}

NAMESPACES = {
    "tl": LANGUAGE_NAMES,
    "tl.math": MATH_NAMES,
    "tl.PropagateNan": NAN_MODES,
    "libdevice": LIBDEVICE_NAMES,
    "triton": HOST_NAMES,
    "math": MATH_CONSTANTS,
}
ROOTS = frozenset({"tl", "triton", "libdevice", "math"})  # what `replay.load` has before the source runs

# Where a module of triton is found among NAMESPACES; its inner modules hold the same functions.
MODULES = {
    "triton": "triton",
    "math": "math",
    "triton.language": "tl",
    "triton.language.math": "tl.math",
    **{f"triton.language.{inner}": "tl" for inner in ("core", "standard", "random")},
    **{f"triton.language.extra{inner}": "libdevice" for inner in (".libdevice", ".cuda.libdevice", ".cuda")},
}

# attributes of tiles, pointers to blocks, descriptors, dtypes and constexprs
MEMBERS = _words(
    """
    to cast shape dtype T numel type element_ty scalar value primitive_bitwidth int_bitwidth block_shape strides item
    is_floating is_standard_floating is_int is_int_signed is_int_unsigned is_ptr is_block is_bool is_void is_const
    is_fp64 is_fp32 is_fp16 is_bf16 is_fp8 is_fp8e4nv is_fp8e5 is_fp8e4b15 is_fp8e4b8 is_fp8e5b16
    is_int64 is_int32 is_int16 is_int8 is_int1 is_uint64 is_uint32 is_uint16 is_uint8
    get_int_max_value get_int_min_value bit_length
    abs ceil cos erf exp exp2 floor log log2 rsqrt sin sqrt sqrt_rn sigmoid softmax cdiv logical_and logical_or
    sum max min argmax argmin xor_sum reduce_or reduce associative_scan cumsum cumprod sort flip gather scatter
    reshape trans permute expand_dims broadcast_to ravel view split squeeze unsqueeze histogram advance
    load store atomic_add atomic_and atomic_cas atomic_max atomic_min atomic_or atomic_xchg atomic_xor
    """
)
BUILTINS = _words("range min max abs len float int bool print isinstance")
DROPPED_DECORATORS = _words("triton.autotune triton.heuristics")
JIT_OPTIONS = _words("do_not_specialize do_not_specialize_on_alignment noinline debug")  # the others change no number
