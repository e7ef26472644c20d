"""Programs that talk to each other by atomics: what is ordered and what is not, who waits for ever, and what a fault
says of its cause. Next to them philox, bit for bit.

Not here: the sanitizer's other rules (test_sanitizer), and what atomics compute (test_operations).
"""

import msgspec
import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from grader_kernels.interpreter.context import on_cpu
from grader_kernels.interpreter.faults import KernelFault
from grader_kernels.judging.hands import failure, in_words, recorded, replayed
from grader_kernels.judging.judgement import Failed
from grader_kernels.replaying.replay import replay, source_of
from grader_kernels.replaying.trace import record_with_kernels

torch.set_num_threads(1)
X = torch.arange(64, dtype=torch.float32) + 1
IDS = (torch.arange(64) % 4).to(torch.int32)


def watched(launcher, *args, **options):
    trace, functions = record_with_kernels(launcher, args, {})
    return replay(trace, functions, (args, {}), **options)


def says(launcher, *args, **options):
    return [f"{found.sentence} {found.advice}" for found in watched(launcher, *args, **options).evidence.findings]


# who counts atomically ------------------------------------------------------------------------------------------------


@triton.jit
def count_kernel(x_ptr, o_ptr, seen_ptr, T, PEEK: tl.constexpr, BLOCK: tl.constexpr):
    for start in range(tl.program_id(0) * BLOCK, T, BLOCK * tl.num_programs(0)):
        if PEEK:
            tl.store(seen_ptr + tl.program_id(0), tl.load(o_ptr))
        tl.atomic_add(o_ptr + tl.load(x_ptr + start + tl.arange(0, BLOCK)), 1)


def counted(peek):
    def launcher(x):
        out, seen = torch.zeros(4, dtype=torch.int32), torch.empty(2, dtype=torch.int32)
        count_kernel[(2,)](x, out, seen, x.numel(), PEEK=peek, BLOCK=16)
        return out

    return launcher


def test_a_program_may_count_atomically_as_often_as_it_likes():
    done = watched(counted(False), IDS)
    assert torch.equal(done.outputs, torch.full((4,), 16, dtype=torch.int32))
    assert done.evidence.findings == []


def test_a_plain_look_at_what_others_count_is_still_a_race():
    found = says(counted(True), IDS)
    assert any("reads element 0 of o_ptr, which program 0 writes" in sentence for sentence in found)


# one thread does an atomic on a number --------------------------------------------------------------------------------


@triton.jit
def last_adds_kernel(
    x_ptr, part_ptr, count_ptr, o_ptr, HOW: tl.constexpr, BARRIER: tl.constexpr, P: tl.constexpr, BLOCK: tl.constexpr
):
    p, at = tl.program_id(0), tl.arange(0, BLOCK)
    if HOW == "store":
        tl.store(part_ptr + p * BLOCK + at, tl.load(x_ptr + p * BLOCK + at) * 2)
    else:
        x = tl.load(x_ptr + p * BLOCK + at) * 2
        tl.debug_barrier()
        tl.atomic_xchg(part_ptr + p * BLOCK + at, x)
    if BARRIER == "before":
        tl.debug_barrier()
    count = tl.atomic_add(count_ptr, 1)
    if BARRIER == "after":
        tl.debug_barrier()
    if count == P - 1:
        for i in range(P):
            tl.store(o_ptr + i * BLOCK + at, tl.load(part_ptr + i * BLOCK + at))


@triton.jit
def last_adds_numbers_kernel(x_ptr, part_ptr, count_ptr, o_ptr, P: tl.constexpr, BLOCK: tl.constexpr):
    p, at = tl.program_id(0), tl.arange(0, BLOCK)
    tl.store(part_ptr + p, tl.sum(tl.load(x_ptr + p * BLOCK + at)))
    if tl.atomic_add(count_ptr, 1) == P - 1:
        for i in range(P):
            tl.store(o_ptr + i, tl.load(part_ptr + i))


def merged(kernel, size, **constants):
    def launcher(x):
        parts, count, out = torch.zeros(size), torch.zeros(1, dtype=torch.int32), torch.empty(size)
        kernel[(4,)](x, parts, count, out, P=4, BLOCK=16, **constants)
        return out

    return launcher


@pytest.mark.parametrize(("how", "barrier"), [("store", "nowhere"), ("store", "after"), ("atomic", "nowhere")])
def test_a_tile_is_not_there_before_all_threads_have_stored(how, barrier):
    [sentence] = says(merged(last_adds_kernel, 64, HOW=how, BARRIER=barrier), X)
    assert "reads element 0 of part_ptr, which program 0 writes in the same launch" in sentence
    assert "not all of its threads were done with that when one of them did the atomic" in sentence
    assert "put tl.debug_barrier() before the atomic" in sentence


@pytest.mark.parametrize("how", ["store", "atomic"])
def test_a_barrier_before_the_atomic_orders_the_tile(how):
    done = watched(merged(last_adds_kernel, 64, HOW=how, BARRIER="before"), X)
    assert torch.equal(done.outputs, 2 * X) and done.evidence.findings == []


def test_one_number_is_stored_by_the_thread_that_does_the_atomic():
    done = watched(merged(last_adds_numbers_kernel, 4), X)
    assert torch.equal(done.outputs, X.view(4, 16).sum(1)) and done.evidence.findings == []


@triton.jit
def half_ordered_kernel(x_ptr, flag_ptr, o_ptr, GIVES: tl.constexpr, TAKES: tl.constexpr):
    if tl.program_id(0) == 0:
        tl.store(o_ptr, tl.load(x_ptr))
        tl.atomic_xchg(flag_ptr, 1, sem=GIVES)
    elif tl.atomic_add(flag_ptr, 0, sem=TAKES) == 1:
        tl.store(o_ptr + 1, tl.load(o_ptr))


@pytest.mark.parametrize(("gives", "takes", "ordered"), [
    ("acq_rel", "acq_rel", True), ("release", "acquire", True),
    ("relaxed", "acquire", False), ("release", "relaxed", False), ("acquire", "acquire", False),
])  # fmt: skip
def test_an_atomic_orders_as_its_semantics_say(gives, takes, ordered):
    def launcher(x):
        out, flag = torch.empty(2), torch.zeros(1, dtype=torch.int32)
        half_ordered_kernel[(2,)](x, flag, out, GIVES=gives, TAKES=takes)
        return out

    kinds = [found.kind for found in watched(launcher, X).evidence.findings]
    assert kinds == ([] if ordered else ["race"])


@triton.jit
def locked_tile_kernel(x_ptr, lock_ptr, o_ptr, BARRIER: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + tl.program_id(0) * BLOCK + at)
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    if tl.load(lock_ptr + 1) == 0:  # the first one here has nothing to add to
        tl.atomic_xchg(lock_ptr + 1, 1)
    else:
        x += tl.load(o_ptr + at)
    tl.store(o_ptr + at, x)
    if BARRIER:
        tl.debug_barrier()
    tl.atomic_xchg(lock_ptr, 0)


@pytest.mark.parametrize("barrier", [True, False])
def test_a_tile_behind_a_lock_needs_a_barrier_before_the_lock_opens(barrier):
    def launcher(x):
        out, lock = torch.empty(16), torch.zeros(2, dtype=torch.int32)
        locked_tile_kernel[(4,)](x, lock, out, BARRIER=barrier, BLOCK=16)
        return out

    done = watched(launcher, X)
    assert torch.equal(done.outputs, X.view(4, 16).sum(0))
    assert [found.kind for found in done.evidence.findings] == ([] if barrier else ["race"] * 2)
    assert all("not all of its threads were done" in found.sentence for found in done.evidence.findings)


@triton.jit
def places_kernel(x_ptr, count_ptr, o_ptr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(o_ptr + at, tl.atomic_add(count_ptr + tl.load(x_ptr + at), 1))
    tl.atomic_max(count_ptr + 4 + tl.load(x_ptr + at), at)


def test_the_lanes_of_a_tiles_atomic_come_in_any_order():
    def launcher(x):
        counts, out = torch.zeros(8, dtype=torch.int32), torch.empty(8, dtype=torch.int32)
        places_kernel[(1,)](x, counts, out, BLOCK=8)
        return out, counts

    done = watched(launcher, IDS)
    assert done.evidence.atomics and done.outputs[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    turned = watched(launcher, IDS, order="shuffled:1", watch=False).outputs
    assert turned[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert torch.equal(turned[1], done.outputs[1]) and done.outputs[1].tolist() == [2, 2, 2, 2, 4, 5, 6, 7]


# waiting --------------------------------------------------------------------------------------------------------------


@triton.jit
def chain_kernel(x_ptr, ready_ptr, o_ptr, ticket_ptr, TICKET: tl.constexpr, PLAIN: tl.constexpr):
    p = tl.atomic_add(ticket_ptr, 1) if TICKET else tl.program_id(0)
    before = 0.0
    if p > 0:
        if PLAIN:
            while tl.load(ready_ptr + p - 1, volatile=True) == 0:
                pass
        else:
            while tl.atomic_cas(ready_ptr + p - 1, 0, 0) == 0:
                pass
        before = tl.load(o_ptr + p - 1)
    tl.store(o_ptr + p, before + tl.load(x_ptr + p))
    tl.atomic_xchg(ready_ptr + p, 1)


def chained(ticket, plain=False):
    def launcher(x):
        out, known = torch.empty(4), torch.zeros(5, dtype=torch.int32)
        chain_kernel[(4,)](x, known, out, known[4:], TICKET=ticket, PLAIN=plain)
        return out

    return launcher


@pytest.mark.parametrize("plain", [False, True])
def test_who_waits_for_a_program_that_has_not_started_waits_for_ever(plain):
    assert torch.equal(watched(chained(False, plain), X).outputs, X[:4].cumsum(0))
    with pytest.raises(KernelFault) as caught:
        watched(chained(False, plain), X, order="reversed", watch=False)
    finding = caught.value.finding
    assert finding.kind == "waiting" and finding.tensor == "ready_ptr" and finding.program == [3, 0, 0]
    assert "waits for ever: it looks at element 2 of ready_ptr again and again" in finding.sentence
    assert "give their numbers out with tl.atomic_add" in finding.advice


@pytest.mark.parametrize("order", [None, "reversed", "shuffled:3"])
def test_with_tickets_nobody_waits_for_ever(order):
    done = watched(chained(True), X, order=order)
    assert torch.equal(done.outputs, X[:4].cumsum(0)) and done.evidence.findings == []


@triton.jit
def never_unlocks_kernel(lock_ptr, o_ptr):
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    tl.store(o_ptr + tl.program_id(0), 1.0)


def test_a_lock_that_nobody_lets_go_of_is_named_also_in_a_notebook():
    with pytest.raises(KernelFault, match="program 1, .*: it looks at element 0 of lock_ptr again and again"), on_cpu():
        never_unlocks_kernel[(2,)](torch.zeros(1, dtype=torch.int32), torch.empty(2))


@triton.jit
def patient_kernel(x_ptr, o_ptr, n):
    total = 0.0
    for _ in range(n):
        total += tl.load(x_ptr)
    for _ in range(n):
        tl.atomic_add(o_ptr, 1.0)
    tl.store(o_ptr + 1, total)


def test_reading_and_counting_often_is_no_waiting():
    out = torch.zeros(2)
    with on_cpu():
        patient_kernel[(1,)](torch.ones(1), out, 3000)
    assert out.tolist() == [3000, 3000]


@triton.jit
def raise_flag_kernel(flag_ptr):
    tl.atomic_or(flag_ptr, 1)


def test_many_launches_and_many_programs_that_find_the_same_do_not_wait():
    flag = torch.zeros(1, dtype=torch.int32)
    with on_cpu():
        raise_flag_kernel[(1100,)](flag)
        for _ in range(1100):
            raise_flag_kernel[(1,)](flag)
    assert flag.item() == 1


# addresses from memory ------------------------------------------------------------------------------------------------


@triton.jit
def follow_kernel(ids_ptr, x_ptr, o_ptr):
    at = tl.arange(0, 8)
    tl.store(o_ptr + at, tl.load(x_ptr + tl.load(ids_ptr + at)))


def followed(x):
    out = torch.empty(8)
    follow_kernel[(1,)](torch.empty(8, dtype=torch.int64), x, out)
    return out


def test_a_fault_by_an_address_that_nobody_wrote_tells_its_cause_across_processes():
    trace = recorded(followed, (X,), {})
    with pytest.raises(Failed) as caught:
        replayed(source_of({"follow_kernel": follow_kernel}), trace, (X,), {}, {})
    again = failure(msgspec.json.decode(msgspec.json.encode(in_words(caught.value))))
    for failed in (caught.value, again):
        assert failed.finding.kind == "out_of_bounds"
        [cause] = failed.causes
        assert cause.kind == "uninitialised" and "reads element 0 of ids_ptr" in cause.sentence


@triton.jit
def sum_and_store_kernel(x_ptr, o_ptr, at):
    tl.store(o_ptr + at, tl.load(x_ptr) + tl.load(o_ptr))


def test_numbers_that_nobody_wrote_are_no_cause_of_an_address():
    def launcher(x):
        sum_and_store_kernel[(1,)](x, out := torch.empty(8), 8)
        return out

    with pytest.raises(KernelFault) as caught:
        watched(launcher, X)
    assert [found.kind for found in caught.value.earlier] == ["uninitialised"] and caught.value.causes == []


# in place, in part ----------------------------------------------------------------------------------------------------


@triton.jit
def put_kernel(x_ptr, at):
    if at >= 0:
        tl.store(x_ptr + at, 0.0)


def put(x, at):
    put_kernel[(1,)](x, at)
    return x


def test_what_the_task_leaves_as_it_is_need_not_be_written():
    done = watched(put, X, 5, may_change=["x"])
    assert done.evidence.unwritten == [] and done.outputs[5] == 0 and torch.equal(done.outputs[6:], X[6:])
    nothing = watched(put, X, -1, may_change=["x"])
    assert nothing.evidence.unwritten == ["64 of 64 elements of the returned tensor were never written by a kernel"]


# random numbers -------------------------------------------------------------------------------------------------------

WORD = 2**32


def philox(seed, number):
    """The four words of philox4x32-10 for one counter, in Python's whole numbers: Salmon et al., SC 2011."""
    c, k = [number % WORD, number // WORD % WORD, 0, 0], [seed % WORD, seed // WORD % WORD]
    for _ in range(10):
        low, high = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [high // WORD ^ c[1] ^ k[0], high % WORD, low // WORD ^ c[3] ^ k[1], low % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return c


def uniform(word):
    """A word as a float32 in [0, 1): its number as a signed one, -x - 1 of a negative one, times 0.99999988 / 2**31."""
    number = word - WORD if word >= WORD // 2 else word
    return np.float32(-number - 1 if number < 0 else number) * np.float32(4.6566127342e-10)


@triton.jit
def draws_kernel(i_ptr, u_ptr, one_ptr, seed, start, stride, R: tl.constexpr, C: tl.constexpr):
    place = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    number = start + tl.arange(0, R)[:, None] * stride + tl.arange(0, C)[None, :]
    words, floats = tl.randint4x(seed, number), tl.rand4x(seed, number)
    for i in tl.static_range(4):
        tl.store(i_ptr + i * R * C + place, words[i])
        tl.store(u_ptr + i * R * C + place, floats[i])
    tl.store(one_ptr + place, tl.rand(seed, number))
    tl.store(i_ptr + 4 * R * C + place, tl.randint(seed, number))


@pytest.mark.parametrize("start", [0, 2**31 - 100, 2**33 + 5])
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**40 + 17, -3])
def test_random_numbers_by_row_and_column_are_philox_bit_for_bit(seed, start):
    R, C, stride = 4, 8, 11
    words, floats = torch.empty(5, R, C, dtype=torch.int32), torch.empty(4, R, C)
    one = torch.empty(R, C)
    with on_cpu():
        draws_kernel[(1,)](words, floats, one, seed, start, stride, R=R, C=C)
    want = np.array([[philox(seed % 2**64, start + r * stride + c) for c in range(C)] for r in range(R)])
    want = np.moveaxis(want, -1, 0)
    assert np.array_equal(words.numpy().view(np.uint32), np.concatenate([want, want[:1]]))
    exact = np.vectorize(uniform, otypes=[np.float32])(want)
    assert np.array_equal(floats.numpy().view(np.uint32), exact.view(np.uint32))
    assert np.array_equal(one.numpy().view(np.uint32), exact[0].view(np.uint32))
    assert 0 <= exact.min() and exact.max() < 1 and len(np.unique(want[0])) == R * C
