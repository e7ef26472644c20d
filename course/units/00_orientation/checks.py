"""What a right answer is in unit 00. Expected values come from torch in float64, or from what torch itself stores."""

import torch

from autograder.authoring.checks import Check, Kernel

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
A100 = {"bandwidth": 2.039e12, "vector": 19.5e12, "tensor": 312e12}
H100 = {"bandwidth": 3.35e12, "vector": 67e12, "tensor": 989e12}


# fix_the_stub

fix_the_stub = Check(
    "fix_the_stub",
    new=True,
    hints=(
        "The expression 2 * x makes a new tensor with every number doubled.",
        "Replace the line `raise NotImplementedError(...)` by a `return` with that expression.",
    ),
)


@fix_the_stub.case("doubles every number, negative ones too")
def _(subject, trial):
    x = trial.normal((3, 5), spread=4)
    trial.close(subject(x), (2 * x.double()).float())


@fix_the_stub.case("keeps shape and dtype, and leaves x as it was")
def _(subject, trial):
    x = trial.normal((2, 1, 7), spread=40, dtype=F64)
    trial.close(subject(x), x + x)


@fix_the_stub.case("any shape: a vector, a single number, four axes, nothing at all")
def _(subject, trial):
    for shape in ((7,), (), (2, 3, 1, 4), (0, 3)):
        x = trial.normal(shape, spread=3)
        trial.close(subject(x), (2 * x.double()).float(), f"x has the shape {shape}")


@fix_the_stub.case("works on a tensor whose rows do not lie densely in memory")
def _(subject, trial):
    x = trial.strided(trial.normal((6, 11), spread=3), "transposed")
    trial.close(subject(x), (2 * x.double()).float())


@fix_the_stub.trial("float16 and bfloat16 stay what they are")
def _(subject, trial):
    for dtype in (torch.float16, BF16):
        x = trial.normal((4, 9), spread=3, dtype=dtype)
        trial.close(subject(x), (2 * x.double()).to(dtype))


# program_offsets

program_offsets = Check(
    "program_offsets",
    hints=(
        "Write the element numbers of programs 0, 1 and 2 down for block = 4 and n = 10. Which of them exist?",
        "The programs before this one took pid * block elements; torch.arange(block) numbers the lanes of this one.",
        "Add pid * block to torch.arange(block). An element exists when its number is smaller than n, so compare the "
        "offsets, not the lanes, with n.",
    ),
)


def expected_offsets(pid: int, block: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = list(range(pid * block, (pid + 1) * block))
    return torch.tensor(numbers), torch.tensor([number in range(n) for number in numbers])


@program_offsets.case("program 0 takes the first elements")
def _(subject, trial):
    trial.equal(subject(0, 8, 100), expected_offsets(0, 8, 100))


@program_offsets.case("a program in the middle starts where the one before it stopped")
def _(subject, trial):
    trial.equal(subject(3, 8, 100), expected_offsets(3, 8, 100))


@program_offsets.case("the last program keeps all its lanes and masks those without an element", weight=2)
def _(subject, trial):
    trial.equal(subject(2, 8, 19), expected_offsets(2, 8, 19))


@program_offsets.case("a vector shorter than one block")
def _(subject, trial):
    trial.equal(subject(0, 16, 5), expected_offsets(0, 16, 5))


@program_offsets.trial("every element belongs to exactly one lane of one program", weight=4)
def _(subject, trial):
    block = 2 ** trial.integers(2, 6)
    n = block * trial.integers(2, 5) + trial.integers(1, block)
    seen = torch.zeros(n, dtype=torch.int64)
    for pid in range(-(-n // block)):
        offsets, mask = subject(pid, block, n)
        trial.equal((offsets, mask), expected_offsets(pid, block, n))
        seen[offsets[mask]] += 1
    trial.true(bool((seen == 1).all()), "some element belongs to no program, or to two")


@program_offsets.case("the last program of full blocks keeps all its elements", weight=2)
def _(subject, trial):
    block, blocks = 2 ** trial.integers(2, 6), trial.integers(2, 90_000)
    trial.equal(subject(blocks - 1, block, block * blocks), expected_offsets(blocks - 1, block, block * blocks))


@program_offsets.case("numbers beyond 2^24, and beyond 2^31", weight=2)
def _(subject, trial):
    for bits in (24, 31):
        pid = 2 ** (bits - 3) + trial.integers(1, 1000)
        trial.equal(subject(pid, 8, 8 * pid + 5), expected_offsets(pid, 8, 8 * pid + 5))


@program_offsets.case("a program that lies wholly behind the end has nothing to do")
def _(subject, trial):
    pid, n = trial.integers(400, 900), trial.integers(3, 3_000)
    trial.equal(subject(pid, 8, n), expected_offsets(pid, 8, n))


# count_bytes

count_bytes = Check(
    "count_bytes",
    hints=(
        "How many numbers does a bias of shape (1, 24) store, and how many has its sum with a (9, 24) tensor?",
        "Work out elements times bytes per element for each input, and once more for the result; then add everything.",
        "math.prod(shape) * dtype.itemsize is the size of one stored tensor. The result has the shape "
        "torch.broadcast_shapes(...) of all input shapes and the dtype out_dtype; inputs keep their own shapes.",
    ),
)


def stored_bytes(inputs: list, out_dtype: torch.dtype) -> int:
    """What torch really stores for these inputs and for a result of their broadcast shape."""
    tensors = [torch.zeros(shape, dtype=dtype) for shape, dtype in inputs]
    result = torch.broadcast_tensors(*tensors)[0].to(out_dtype).contiguous()
    return sum(t.untyped_storage().nbytes() for t in tensors) + result.untyped_storage().nbytes()


def compare_bytes(subject, trial, inputs: list, out_dtype: torch.dtype) -> None:
    trial.equal(subject(inputs, out_dtype), stored_bytes(inputs, out_dtype))


@count_bytes.case("the sum of two fp32 vectors")
def _(subject, trial):
    compare_bytes(subject, trial, [((37,), F32), ((37,), F32)], F32)


@count_bytes.case("one input, bf16")
def _(subject, trial):
    compare_bytes(subject, trial, [((5, 12), BF16)], BF16)


@count_bytes.case("each tensor counts in its own dtype")
def _(subject, trial):
    compare_bytes(subject, trial, [((5, 12), BF16), ((5, 12), F64)], F32)


@count_bytes.case("a broadcast bias is read once, and the result is as large as the broadcast", weight=2)
def _(subject, trial):
    compare_bytes(subject, trial, [((1, 24), BF16), ((9, 24), BF16)], BF16)


@count_bytes.case("shapes are aligned at their last dimension", weight=2)
def _(subject, trial):
    rows, columns = trial.integers(2, 60), trial.integers(60, 900)  # so many that nobody draws recorded ones
    compare_bytes(subject, trial, [((rows, columns), F32), ((columns,), BF16)], F32)
    compare_bytes(subject, trial, [((columns,), F32), ((rows, 1, 1), BF16)], BF16)


@count_bytes.case("a tensor without elements has no bytes")
def _(subject, trial):
    compare_bytes(subject, trial, [((trial.integers(2, 900), 0, trial.integers(2, 900)), F32), ((1,), BF16)], F32)


@count_bytes.case("a comparison with a single number writes bools")
def _(subject, trial):
    compare_bytes(subject, trial, [((6, 11), F32), ((), F32)], torch.bool)


@count_bytes.case("one number and one number give one number")
def _(subject, trial):
    compare_bytes(subject, trial, [((), F32), ((), BF16)], F64)


@count_bytes.case("any shapes that broadcast, any dtypes, one to three inputs", weight=6)
def _(subject, trial):
    dtypes = [F32, F64, BF16, torch.float16, torch.int8, torch.int64, torch.bool]
    for _ in range(6):
        full = tuple(trial.integers(2, 9) for _ in range(trial.integers(1, 5)))
        inputs = [(thinned(trial, full), dtypes[trial.integers(0, 7)]) for _ in range(trial.integers(1, 4))]
        compare_bytes(subject, trial, inputs, dtypes[trial.integers(0, 7)])
    rows, columns = trial.integers(2, 9), trial.integers(2, 9)
    compare_bytes(subject, trial, [((1, columns), BF16), ((rows, columns), F32)], torch.int8)


@count_bytes.case("an odd number of bytes beyond 2^24")
def _(subject, trial):
    rows, columns = (2 * trial.integers(2050, 2200) + 1 for _ in range(2))
    compare_bytes(subject, trial, [((rows, 1), torch.int8), ((1, columns), BF16)], torch.bool)


@count_bytes.case("two inputs that are both broadcast: a column and a row")
def _(subject, trial):
    rows, columns = trial.integers(3, 60), trial.integers(60, 900)
    compare_bytes(subject, trial, [((rows, 1), F32), ((1, columns), BF16)], F32)


def thinned(trial, full: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to `full`: some leading dimensions missing, some of the others 1."""
    kept = full[trial.integers(0, len(full) + 1) :]
    return tuple(1 if trial.integers(0, 3) == 0 else size for size in kept)


# roofline

roofline = Check(
    "roofline",
    hints=(
        "If arithmetic were infinitely fast, how many FLOPs a second could the arriving bytes keep busy?",
        "FLOP/byte times byte/s gives FLOP/s: what the memory can feed. The answer is never more than that.",
        "The answer is never more than peak either. Take the smaller of the two, number by number: "
        "`clamp(max=...)` or torch.minimum.",
    ),
)


def expected_rate(intensity: torch.Tensor, gpu: dict, unit: str) -> torch.Tensor:
    """FLOPs over the longer of the two times, number by number, in Python floats (float64)."""
    rates = []
    for i in intensity.double().reshape(-1).tolist():
        seconds = max(i / gpu[unit], 1.0 / gpu["bandwidth"])  # of i FLOPs on 1 byte
        rates.append(i / seconds)
    return torch.tensor(rates, dtype=F64).reshape(intensity.shape).to(intensity.dtype)


def compare_rate(subject, trial, intensity: torch.Tensor, gpu: dict, unit: str) -> None:
    got = subject(intensity, gpu[unit], gpu["bandwidth"])
    trial.close(got, expected_rate(intensity, gpu, unit))


@roofline.case("left of the ridge the memory decides")
def _(subject, trial):
    compare_rate(subject, trial, trial.uniform((3, 4), low=0.4, high=9.0), A100, "vector")


@roofline.case("right of the ridge the arithmetic decides")
def _(subject, trial):
    compare_rate(subject, trial, trial.uniform((5,), low=11, high=40), A100, "vector")


@roofline.case("both sides at once, float64", weight=2)
def _(subject, trial):
    compare_rate(subject, trial, torch.tensor([0.25, 3.0, 60.0, 290.0, 300.0, 4000.0], dtype=F64), H100, "tensor")


@roofline.case("close to the ridge, on both sides of it")
def _(subject, trial):
    compare_rate(subject, trial, torch.tensor([9.1, 9.5, 9.6, 9.9]), A100, "vector")  # 19.5 / 2.039 = 9.564


@roofline.trial("any GPU, intensities from far left to far right", weight=2)
def _(subject, trial):
    for _ in range(4):
        gpu = {"bandwidth": 10 ** trial.rng.uniform(9, 13), "vector": 10 ** trial.rng.uniform(11, 15)}
        ridge = gpu["vector"] / gpu["bandwidth"]
        spread = torch.from_numpy(10.0 ** trial.rng.uniform(-3, 3, (4, 7)))
        compare_rate(subject, trial, ridge * spread, gpu, "vector")


@roofline.case("no FLOPs, no FLOP/s; and a tensor without dimensions stays one")
def _(subject, trial):
    compare_rate(subject, trial, torch.tensor(0.0), A100, "vector")
    compare_rate(subject, trial, torch.tensor(156.0, dtype=F64), A100, "tensor")


# vector_add

vector_add = Kernel(
    "vector_add",
    hints=(
        "Which elements does program 1 stand for, and where in memory does element 5 of x[::2] lie?",
        "The first two lines are program_offsets in Triton: tl.program_id(0) is pid, tl.arange(0, BLOCK) the lanes.",
        "Load x from x_ptr + offsets * x_stride and y from its own pointer and stride, both with mask=offsets < n; "
        "store the sum at out_ptr + offsets with the same mask.",
    ),
)

# fused_scale_add

fused_scale_add = Kernel(
    "fused_scale_add",
    hints=(
        "How many programs do 10 elements need with blocks of 4? And what does one element need to be read, once?",
        "The kernel is vector_add's with one more multiplication. The grid is a tuple with one number: n / block, "
        "rounded up.",
        "Launch as vector_add does, with the same grid and with alpha behind n; the kernel's parameter list gives the "
        "order. The stored value is alpha * x + y.",
    ),
)

# fusion_bytes

fusion_bytes = Check(
    "fusion_bytes",
    hints=(
        "How often does the intermediate result t travel between memory and the chip when there are two kernels?",
        "Write down what each kernel reads and writes: the first x and t, the second t, y and the result.",
        "count_bytes with one input gives the first kernel, with two inputs the second. The fused kernel reads x and y "
        "and writes the result: again count_bytes with two inputs.",
    ),
)


def counted(n: int, dtype: torch.dtype) -> tuple[int, int]:
    """Sizes of torch's own tensors, in the order in which they are read and written."""
    x, y = torch.zeros(n, dtype=dtype), torch.zeros(n, dtype=dtype)
    t = 2 * x
    out = t + y
    first, second, fused = (x, t), (t, y, out), (x, y, out)
    return sum(v.nbytes for v in (*first, *second)), sum(v.nbytes for v in fused)


@fusion_bytes.case("fp32")
def _(subject, trial):
    trial.equal(subject(1000, F32), counted(1000, F32))


@fusion_bytes.case("bf16")
def _(subject, trial):
    trial.equal(subject(37, BF16), counted(37, BF16))


@fusion_bytes.case("any length, any dtype", weight=2)
def _(subject, trial):
    for dtype in (F64, torch.float16, F32):
        n = trial.integers(1, 5000)
        trial.equal(subject(n, dtype), counted(n, dtype))


# memory_bound

memory_bound = Check(
    "memory_bound",
    kind="value",
    hints=(
        "What do you have to know of an operation, and what of a GPU, to place it left or right of the ridge?",
        "An operation's intensity is FLOPs divided by bytes. Ask roofline how far it gets with its own unit's peak.",
        "Keep the name when roofline(intensity, gpu[unit], gpu['bandwidth']) < gpu[unit]. roofline wants a tensor, "
        "so make one of flops / moved, in float64.",
    ),
)


def slower_in_memory(table: dict, gpu: dict) -> list[str]:
    """Names whose bytes take longer than their FLOPs."""
    return [name for name, (flops, moved, unit) in table.items() if moved / gpu["bandwidth"] > flops / gpu[unit]]


def published_table() -> dict[str, tuple[int, int, str]]:
    """The notebook's eight operations; bytes are what torch would store."""
    n, wide = 2**24, 4096
    table = {
        "add two vectors, fp32": (n, 3 * 4 * n, "vector"),
        "scale and add, fused, fp32": (2 * n, 3 * 4 * n, "vector"),
        "GELU (tanh form, 9 FLOPs), bf16": (9 * n, 2 * 2 * n, "vector"),
        "polynomial of degree 30 (60 FLOPs), bf16": (60 * n, 2 * 2 * n, "vector"),
    }
    for rows in (1, 64, 256, 4096):
        stored = torch.empty(rows, wide, dtype=BF16).nbytes * 2 + torch.empty(wide, wide, dtype=BF16).nbytes
        name = "linear layer, 1 row" if rows == 1 else f"linear layer, {rows} rows"
        table[name] = (2 * rows * wide * wide, stored, "tensor")
    return table


@memory_bound.case("the A100's list")
def _(subject, trial):
    trial.equal(subject.value("memory_bound")["A100 SXM 80GB"], slower_in_memory(published_table(), A100))


@memory_bound.case("the H100's list, which is another one", weight=2)
def _(subject, trial):
    trial.equal(subject.value("memory_bound")["H100 SXM"], slower_in_memory(published_table(), H100))


@memory_bound.case("the function that found them holds for other operations and another GPU", weight=2)
def _(subject, trial):
    gpu = {"bandwidth": 0.9e12, "vector": 15.7e12, "tensor": 125e12}
    table = {}
    # Intensity over that of the unit's ridge. The first ones lie between this ridge and the other unit's or the A100's;
    # the next two are nearer than whole FLOPs per byte can tell (the ridges lie at 17.44 and 138.89).
    distances = [0.7, 0.3, 3.0, 0.998, 1.002]
    distances += [10 ** (trial.rng.uniform(0.05, 2.5) * sign) for sign in (1, -1, 1)]
    for i, distance in enumerate(each for each in distances for _ in range(2)):
        unit = ("vector", "tensor")[i % 2]
        moved = trial.integers(10**6, 10**9)
        table[f"operation {i}"] = (round(moved * distance * gpu[unit] / gpu["bandwidth"]), moved, unit)
    trial.equal(subject.call("find_memory_bound", table, gpu), slower_in_memory(table, gpu))


@memory_bound.case("an operation on the ridge reaches its peak")
def _(subject, trial):
    gpu = {"bandwidth": 2.0**40, "vector": 2.0**43, "tensor": 2.0**47}  # ridges at 8 and 128, in exact numbers
    moved = 1024 * trial.integers(10, 1000)
    table = {"below": (7 * moved, moved, "vector"), "on it": (8 * moved, moved, "vector")}
    table |= {"on the other": (128 * moved, moved, "tensor"), "below the other": (127 * moved, moved, "tensor")}
    trial.equal(subject.call("find_memory_bound", table, gpu), ["below", "below the other"])


# leaky_relu

leaky_relu = Kernel(
    "leaky_relu",
    hints=(
        "Choose lengths that the author did not test and compare every element of the result with torch's own "
        "leaky_relu.",
        "Work through n = 5 with block = 4 on paper: how many programs does n // block start, and which elements does "
        "each write?",
        "The grid has to be rounded up, (triton.cdiv(n, block),). Then the last program has lanes beyond n, and the "
        "store needs the mask that the load has.",
    ),
)
