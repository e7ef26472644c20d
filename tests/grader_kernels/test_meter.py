"""Meter: bytes, sectors and arithmetic of a launch agree with what can be counted by hand."""

import time

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings

from grader_kernels.replaying.memory import Arena, Books, Touch, last_of_each
from grader_kernels.replaying.replay import replay
from grader_kernels.replaying.trace import record_with_kernels

torch.set_num_threads(1)


def traffic(launcher, *args, **options):
    trace, functions = record_with_kernels(launcher, args, {})
    done = replay(trace, functions, (args, {}), **options)
    assert done.problems == []
    return done.evidence.traffic


def rows(launcher, *args, **options):
    return {row.name: row for row in traffic(launcher, *args, **options).tensors}


def numbers(*shape):
    return torch.arange(np.prod(shape), dtype=torch.float32).reshape(shape)


@triton.jit
def copy_kernel(x_ptr, o_ptr, n, stride, first, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + (first + offsets) * stride, mask=offsets < n)
    tl.store(o_ptr + offsets, x, mask=offsets < n)


@triton.jit
def three_pass_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    top = tl.max(tl.load(x_ptr + row * n + offsets, mask=offsets < n, other=-float("inf")))
    total = tl.sum(tl.exp(tl.load(x_ptr + row * n + offsets, mask=offsets < n, other=-float("inf")) - top))
    x = tl.load(x_ptr + row * n + offsets, mask=offsets < n, other=-float("inf"))
    tl.store(o_ptr + row * n + offsets, tl.exp(x - top) / total, mask=offsets < n)


@triton.jit
def tile_kernel(x_ptr, o_ptr, row_stride, column_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    rows, columns = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    x = tl.load(x_ptr + rows * row_stride + columns * column_stride)
    tl.store(o_ptr + rows * COLUMNS + columns, x)


@triton.jit
def scale_kernel(x_ptr, w_ptr, o_ptr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    w = tl.load(w_ptr + offsets * 0)
    tl.store(o_ptr + row * BLOCK + offsets, tl.load(x_ptr + row * BLOCK + offsets) * w)


@triton.jit
def count_kernel(ids_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.atomic_add(o_ptr + tl.load(ids_ptr + offsets, mask=offsets < n, other=0), 1, mask=offsets < n)


@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        acc = tl.dot(tl.load(a_ptr + m[:, None] * K + k[None, :]), tl.load(b_ptr + k[:, None] * N + n[None, :]), acc)
    tl.store(c_ptr + m[:, None] * N + n[None, :], acc)


def copy(x, n=None, stride=1, first=0, block=64):
    n = n or x.numel()
    out = torch.empty(n, dtype=x.dtype)
    copy_kernel[(triton.cdiv(n, block),)](x, out, n, stride, first, BLOCK=block)
    return out


def test_a_copy_moves_every_byte_once():
    seen = traffic(copy, numbers(200))
    assert (seen.launches, seen.programs, seen.moved, seen.dot_flops) == (1, 4, 1600, 0)
    x, out = seen.tensors
    assert msgspec.to_builtins(x) == {
        "name": "x", "role": "input", "loaded": 800, "stored": 0, "unique_loaded": 800, "unique_stored": 0,
        "program_loaded": 800, "load_sectors": 25, "store_sectors": 0,
    }  # fmt: skip
    assert (out.name, out.role, out.loaded, out.stored) == ("returned tensor 0", "output", 0, 800)
    assert (out.unique_stored, out.store_sectors) == (800, 25)


@pytest.mark.parametrize("dtype, size", [(torch.float16, 2), (torch.bfloat16, 2), (torch.float64, 8), (torch.int8, 1)])
def test_bytes_depend_on_the_dtype(dtype, size):
    seen = rows(copy, torch.ones(200, dtype=dtype))
    assert seen["x"].loaded == seen["returned tensor 0"].stored == 200 * size


def test_a_row_read_three_times_by_its_program():
    def launcher(x):
        out = torch.empty_like(x)
        three_pass_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=64)
        return out

    x = rows(launcher, numbers(5, 50) / 250)["x"]
    assert (x.loaded, x.program_loaded, x.unique_loaded) == (3000, 1000, 1000)


def test_a_row_read_by_every_program_and_by_every_lane():
    def launcher(x, w):
        out = torch.empty_like(x)
        scale_kernel[(4,)](x, w, out, BLOCK=32)
        return out

    w = rows(launcher, numbers(4, 32), numbers(1))["w"]
    assert (w.loaded, w.program_loaded, w.unique_loaded, w.load_sectors) == (4 * 32 * 4, 4 * 4, 4, 4)


def test_sectors_are_the_price_of_strides_and_of_a_shifted_start():
    wide = numbers(64 * 16)
    for stride, sectors in [(1, 8), (2, 16), (4, 32), (8, 64), (16, 64)]:
        assert rows(copy, wide, 64, stride)["x"].load_sectors == sectors
    assert rows(copy, wide, 64, 1, 1)["x"].load_sectors == 9
    assert rows(copy, wide, 64, 1, 8)["x"].load_sectors == 8


@pytest.mark.parametrize("strides, sectors", [((16, 1), 32), ((1, 16), 32), ((32, 1), 32), ((128, 8), 256)])
def test_sectors_of_a_tile(strides, sectors):
    def launcher(x):
        out = torch.empty(16, 16)
        tile_kernel[(1,)](x, out, *strides, ROWS=16, COLUMNS=16)
        return out

    x = rows(launcher, numbers(15 * sum(strides) + 1))["x"]
    assert (x.loaded, x.unique_loaded, x.load_sectors) == (1024, 1024, sectors)


def test_memory_between_kernels():
    def launcher(x):
        return copy(copy(copy(x)))

    seen = traffic(launcher, numbers(64))
    assert [(r.name, r.role, r.loaded, r.stored) for r in seen.tensors] == [
        ("x", "input", 256, 0),
        ("returned tensor 0", "output", 0, 256),
        ("a float32 buffer of shape (64,)", "scratch", 256, 256),
        ("a float32 buffer of shape (64,) (2)", "scratch", 256, 256),
    ]
    assert seen.launches == 3 and seen.moved == 6 * 256


def test_unique_bytes_are_counted_in_each_launch():
    x = rows(lambda x: (copy(x), copy(x)), numbers(64))["x"]
    assert (x.loaded, x.unique_loaded, x.program_loaded) == (512, 512, 512)


def test_tensors_that_are_never_touched_have_a_line_too():
    seen = rows(lambda x, y: copy(x), numbers(64), numbers(3))
    assert seen["y"].role == "input" and seen["y"].loaded == 0


def test_an_atomic_reads_and_writes():
    def launcher(ids):
        out = torch.zeros(40, dtype=torch.int32)
        count_kernel[(1,)](ids, out, ids.numel(), BLOCK=8)
        return out

    out = rows(launcher, torch.tensor([3, 3, 39, 1, 3]))["returned tensor 0"]
    zeros = 4 * 40  # torch writes them
    assert (out.loaded, out.stored, out.unique_loaded, out.unique_stored) == (20, 20 + zeros, 12, 12 + zeros)
    assert (out.program_loaded, out.load_sectors, out.store_sectors) == (12, 2, 2 + zeros // 32)


def test_a_matmul():
    def launcher(a, b):
        out = torch.empty(a.shape[0], b.shape[1])
        matmul_kernel[(2, 4)](a, b, out, b.shape[1], a.shape[1], BM=32, BN=16, BK=16)
        return out

    seen = traffic(launcher, torch.ones(64, 48, dtype=torch.bfloat16), torch.ones(48, 64, dtype=torch.bfloat16))
    assert seen.dot_flops == 2 * 64 * 48 * 64 and seen.dot_dtypes == ["bf16"]
    a, b, out = seen.tensors
    assert (a.loaded, a.program_loaded, a.unique_loaded) == (4 * 64 * 48 * 2,) * 2 + (64 * 48 * 2,)
    assert (b.loaded, b.program_loaded, b.unique_loaded) == (2 * 48 * 64 * 2,) * 2 + (48 * 64 * 2,)
    assert (out.stored, out.unique_stored) == (64 * 64 * 4,) * 2


def test_a_buffer_read_in_another_width():
    def launcher(x):
        out = torch.empty(80, dtype=torch.int32)
        copy_kernel[(1,)](x, out, 80, 1, 0, BLOCK=128)
        halves = torch.empty(160, dtype=torch.int16)
        copy_kernel[(2,)](out.view(torch.int16), halves, 160, 1, 0, BLOCK=128)
        whole = torch.empty(80, dtype=torch.int32)
        copy_kernel[(1,)](halves.view(torch.int32), whole, 80, 1, 0, BLOCK=128)
        return out, whole

    seen = rows(launcher, torch.arange(80, dtype=torch.int32))
    for row in seen.values():
        assert row.loaded in (0, 320) and row.unique_loaded == row.loaded
        assert row.stored in (0, 320) and row.unique_stored == row.stored
        assert row.load_sectors == row.loaded // 32


def test_the_pattern_of_a_middle_program():
    seen = traffic(lambda x: copy(x, 200, 2, 3), numbers(500))
    assert seen.pattern_program == [2, 0, 0]
    load, store = seen.pattern
    assert (load.kind, load.tensor) == ("load", "x") and (store.kind, store.tensor) == ("store", "returned tensor 0")
    assert load.elements == [2 * (3 + 128 + i) for i in range(64)]
    assert store.elements == list(range(128, 192)) and store.line == load.line + 1


def test_the_pattern_is_of_the_widest_launch_and_bounded():
    seen = traffic(lambda x: (copy(x, 8192, block=8192), copy(x, 20, block=8)), numbers(9000))
    assert seen.pattern_program == [1, 0, 0] and seen.pattern[0].elements == list(range(8, 16))
    seen = traffic(lambda x: copy(x, 8192, block=8192), numbers(9000))
    assert seen.pattern[0].elements == list(range(4096))


def test_shuffling_changes_no_number():
    def launcher(x, w):
        out = torch.empty_like(x)
        scale_kernel[(4,)](x, w, out, BLOCK=32)
        return out

    x, w = numbers(4, 32), numbers(1)
    assert traffic(launcher, x, w) == traffic(launcher, x, w, order="shuffled:3")


def test_nothing_is_metered_unwatched():
    assert traffic(copy, numbers(64), watch=False).tensors == []


@settings(max_examples=200, deadline=None)
@given(offsets=st.lists(st.integers(0, 99), min_size=1, max_size=40), size=st.sampled_from([1, 2, 4, 8]))
def test_a_touch_agrees_with_counting(offsets, size):
    arena = Arena(808, torch.float32, 4)
    arena.books = Books(arena)
    touch = Touch(arena, np.array(offsets, np.uint64) * np.uint64(size) + np.uint64(arena.low), size, 1, 1, (None, ()))
    entries = np.arange(arena.books.read.size)
    unit = 1 << arena.books.shift
    touched = {(offset * size + byte) // unit for offset in offsets for byte in range(size)}
    assert set(entries[touch.at].tolist()) == touched
    assert sorted(entries[touch.distinct].tolist()) == sorted(touched)
    assert touch.apart or len(set(offsets)) < len(offsets) or offsets != sorted(offsets)
    assert touch.sectors() == len({offset * size // 32 for offset in offsets})
    assert touch.element(0) == min(offset * size // 4 for offset in offsets[:1])


@given(st.lists(st.integers(0, 10) | st.integers(0, 10**9), min_size=1, max_size=50))
def test_last_of_each(values):
    keep = last_of_each(np.array(values))
    assert [i for i in range(len(values)) if keep[i]] == [i for i, v in enumerate(values) if v not in values[i + 1 :]]


@pytest.mark.slow
def test_watching_costs_less_than_the_replay_itself():
    def launcher(x):
        out = torch.empty_like(x)
        three_pass_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=1024)
        return out

    x = numbers(64, 1000) / 64000
    trace, functions = record_with_kernels(launcher, (x,), {})

    def seconds(watch):
        start = time.process_time()
        replay(trace, functions, ((x,), {}), watch=watch)
        return time.process_time() - start

    seconds(True)
    assert min(seconds(True) for _ in range(5)) < 2 * min(seconds(False) for _ in range(5))


def test_what_torch_copies_between_launches_is_moved_and_is_a_launch():
    def launcher(x):
        out = torch.empty(x.numel())
        copy_kernel[(1,)](x.T.contiguous(), out, x.numel(), 1, 0, BLOCK=64)
        return out

    seen = traffic(launcher, numbers(8, 8))
    x, out, copy = seen.tensors
    assert (seen.launches, seen.copies) == (2, 1)
    assert (x.loaded, x.unique_loaded, x.load_sectors) == (256, 256, 8)
    assert (copy.role, copy.stored, copy.loaded, out.stored) == ("scratch", 256, 256, 256)
    assert [access.kind for access in seen.pattern] == ["load", "store"]


def test_a_copy_of_an_expanded_row_reads_one_row():
    def launcher(x):
        out = torch.empty(64)
        copy_kernel[(1,)](x.expand(8, 8).contiguous(), out, 64, 1, 0, BLOCK=64)
        return out

    x = rows(launcher, numbers(1, 8))["x"]
    assert (x.loaded, x.unique_loaded) == (256, 32)
