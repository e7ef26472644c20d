"""Source of unit 00. Run as a script it solves itself from top to bottom; `course build` makes the notebooks.

What it teaches: how checks, hints and hand-ins work; what a GPU program is; bytes, FLOPs and the roofline.
What it does not: anything about attention, or how to make a kernel fast on a particular GPU.
"""

# %% [markdown]
r"""
# 00 Orientation: checks, GPU programs, and why bytes matter

In an hour or two you will write your first two GPU kernels, find the mistake in a third, and be able to say of an
operation, before running it, whether arithmetic or memory limits its speed. Python and the basics of PyTorch are
enough. You do not need a GPU.

## How this notebook works

- **Exercise.** A cell with a docstring and a line `raise NotImplementedError`. Replace that line. Keep the name and
  the arguments; add helper functions and cells wherever you like.
- **Check.** The cell below it runs your code on prepared inputs and shows what already holds and what does not, with
  your numbers beside the expected ones. Run it as often as you want; nothing is counted.
- **Hint.** Two or three folded hints stand above each check. Each says more than the one before.
- **Rules that hold for every exercise**, unless its docstring says otherwise. The arguments belong to the caller and
  stay as they are. Computing in the dtype of the inputs is precise enough. Vectors have one element or more.
- **Explain.** At the end are questions without a check. A person reads your answer.
- **Handing in.** Save the notebook and hand in the `.ipynb` file the way your instructor asked for. Points come from
  the same properties on *new* inputs, so an answer that fits only the numbers shown here earns little.
- **Learning alone.** In a terminal, `course check NOTEBOOK` judges the whole notebook, `course hint NAME` gives the
  hints one by one, `course progress` shows where you are, and `course reveal NAME` shows a solution.

Every exercise states its difficulty (1 to 5) and the minutes to plan for it. A wrong first answer is normal and costs
nothing. *Run All* works at any time: a cell that needs an exercise you have not written yet says so in one line.
"""

# %% tags=["parameters"]
profile = "fast"  # "full" repeats the timings more often
seed = 0
device = "cpu"

# %%
import math
import time

import torch
from IPython.display import Markdown, display
from torch.utils.flop_counter import FlopCounterMode

from course import check, plots, ready
from course.kernels import show_accesses, tl, triton
from course.widgets.roofline import panel

torch.set_num_threads(1)  # one thread, so that times are comparable
_ = torch.manual_seed(seed)

# %% [markdown]
r"""
## 1. Why

Two operations with **exactly the same number of floating point operations** (FLOPs):

- a product of two $192 \times 192$ matrices: $192^2$ results, each the sum of 192 products, $2 \cdot 192^3$ =
  14,155,776 FLOPs;
- the sum of two vectors of 14,155,776 numbers: one FLOP each.

If arithmetic were the cost of a program, both would take the same time. This cell measures it on the machine in front
of you.
"""

# %%
def seconds(run):
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def fastest(run, repeats):
    """Seconds of the fastest of `repeats` runs."""
    return min(seconds(run) for _ in range(repeats))


repeats = 5 if profile == "fast" else 25
n = 2 * 192**3
a, b, product = (torch.ones(192, 192) for _ in range(3))
x, y, total = (torch.ones(n) for _ in range(3))
matrix_seconds = fastest(lambda: torch.mm(a, b, out=product), repeats)
vector_seconds = fastest(lambda: torch.add(x, y, out=total), repeats)
del x, y, total

labels = ["product of two 192 x 192 matrices", f"sum of two vectors of {n:,} numbers"]
title = f"The same {n:,} FLOPs, here: {vector_seconds / matrix_seconds:.0f} times the time"
milliseconds = [1e3 * matrix_seconds, 1e3 * vector_seconds]
plots.show(plots.bars(labels, milliseconds, title=title, unit="milliseconds"), alt=title)
print(title)

# %% [markdown]
r"""
FLOPs do not explain the difference. What does? The product reads $2 \cdot 192^2$ numbers and writes $192^2$. The sum
reads $2 \cdot 2 \cdot 192^3$ and writes $2 \cdot 192^3$: it moves $2 \cdot 192$ = **384 times as many bytes**, and
waits for them.

On a GPU the gap is wider still: from one generation to the next its arithmetic grows faster than its memory (the
table in section 5 shows it). So this course judges kernels **on the bytes they move**, from the first one on. This
unit gives you the tools: how a GPU program finds its elements, how bytes are counted, and the *roofline*, the picture
that turns both into a prediction.
"""

# %% [markdown]
r"""
## 2. A first green check

Run the check below before you change anything, and look at the card. Then write the function and run both cells
again.
"""

# %% exercise="fix_the_stub"
def fix_the_stub(x):
    """Twice every number of a tensor, as a new tensor.

    x        (...)  float tensor of any shape; it belongs to the caller and stays as it is
    returns  (...)  same shape and dtype, 2 x

    Difficulty 1 of 5, about 2 minutes.
    """
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% check="fix_the_stub" points=1

# %% [markdown]
r"""
## 3. What a GPU program is

A GPU runs **one** function, the *kernel*, many times at once. Each run is a **program**, and a program gets exactly
one thing that differs from the others: its number, `pid` (program id). From it, it works out which elements are its
own.

For a vector of `n` elements and programs that handle `block` elements each, program 0 takes the first `block`
elements, program 1 the next `block`, and so on. The picture shows `n = 10` and `block = 4`.
"""

# %%
lanes = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
alt = "Three programs of four lanes each; the last two lanes of program 2 lie beyond n."
plots.show(plots.programs(lanes, n=10), alt=alt)

# %% [markdown]
r"""
The last program has more lanes than elements: elements 10 and 11 do not exist. Whatever lies in memory there belongs
to somebody else. A program must not read it and above all must not write it. So each program has two vectors of
length `block`:

- the **offsets**: the element numbers its lanes stand for, including those that do not exist;
- the **mask**: true where the element exists.

In Triton the length of such a vector is fixed when the kernel is compiled, and must be a power of two. That is why
the surplus lanes are masked and not cut off. Here you write both with torch, one program at a time.
"""

# %% exercise="program_offsets"
def program_offsets(pid, block, n):
    """Element numbers of the lanes of one program, and which of them exist.

    pid      int, number of the program, counted from 0
    block    int, lanes per program
    n        int, elements there are; any number, also smaller than `block`
    returns  offsets (block,) int64: program `pid` holds the `pid`-th run of `block` consecutive element numbers
             mask    (block,) bool:  True where the lane's element exists (element numbers are 0 ... n-1)

    Source: Triton tutorial 01, "Vector Addition".
    Difficulty 1 of 5, about 6 minutes.
    """
    ### BEGIN SOLUTION
    offsets = pid * block + torch.arange(block)
    return offsets, offsets < n
    ### END SOLUTION


# %% check="program_offsets" points=2

# %% [markdown]
r"""
## 4. Bytes

An elementwise operation such as `x + bias` has to read each of its inputs once and write its result once. Less is
impossible, so this is the **floor**, and a good kernel meets it. Two details decide the number:

- *What is stored, not what is seen.* A bias of shape `(1, 1024)` added to `(512, 1024)` is used 512 times, but it is
  stored, and read, once.
- *The dtype of each tensor.* fp32 has 4 bytes, bf16 has 2, a bool has 1. `dtype.itemsize` tells.
"""

# %% exercise="count_bytes"
def count_bytes(inputs, out_dtype):
    """Fewest bytes an elementwise operation can move: every input element read once, every result written once.

    inputs     list of (shape, dtype), one per input tensor; a shape is a tuple of ints, and () is one number.
               The shapes broadcast against each other by torch's rules.
    out_dtype  torch.dtype of the result; its shape is the broadcast of all input shapes
    returns    int, bytes read + bytes written. An input counts at the size it is stored in.

    Useful: `torch.broadcast_shapes(*shapes)`, `math.prod(shape)`, `dtype.itemsize`.
    Difficulty 2 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)
    out_shape = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    return read + math.prod(out_shape) * out_dtype.itemsize
    ### END SOLUTION


# %% check="count_bytes" points=3

# %% [markdown]
r"""
## 5. The roofline

A GPU has two limits: `peak`, the FLOPs it can do in a second, and `bandwidth`, the bytes it can move in a second.
Arithmetic and transfers run at the same time. While the next bytes arrive, the last ones are computed on; the slower
of the two decides.

What an operation asks for is one number, its **arithmetic intensity**

$$ I = \frac{\text{FLOPs}}{\text{bytes moved}} \qquad \text{in FLOP per byte.} $$

Every byte that arrives allows $I$ FLOPs, so the memory can feed at most $I \cdot \text{bandwidth}$ FLOPs a second. No
operation gets more than that, and none gets more than `peak`. If the memory sets the limit the operation is
**memory-bound**, otherwise **compute-bound**.
"""

# %% exercise="roofline"
def roofline(intensity, peak, bandwidth):
    """The most FLOP/s an operation can reach.

    intensity  (...)  float tensor, FLOP per byte, >= 0
    peak       float, FLOP/s of the arithmetic units
    bandwidth  float, byte/s of the memory
    returns    (...)  FLOP/s, same shape and dtype as `intensity`

    Source: Williams, Waterman and Patterson 2009, "Roofline: An Insightful Visual Performance Model for Multicore
    Architectures", Communications of the ACM 52(4).
    Difficulty 1 of 5, about 5 minutes.
    """
    ### BEGIN SOLUTION
    return (intensity * bandwidth).clamp(max=peak)
    ### END SOLUTION


# %% check="roofline" points=2

# %% [markdown]
r"""
These are two GPUs as their data sheets state them (NVIDIA A100 80GB SXM and NVIDIA H100 SXM). `vector` is the fp32
rate of the ordinary arithmetic units; `tensor` is the bf16 rate of the tensor cores, which do nothing but matrix
products. The H100 sheet prints the tensor rate *with sparsity*; dense matrices get half of it, which is the number
here.

Where the two limits are equal lies the **ridge**: an operation needs that many FLOPs per byte before arithmetic
starts to matter.
"""

# %%
GPUS = {
    "A100 SXM 80GB": {"bandwidth": 2.039e12, "vector": 19.5e12, "tensor": 312e12},
    "H100 SXM": {"bandwidth": 3.35e12, "vector": 67e12, "tensor": 989e12},
}
rows = ["| GPU | bandwidth | vector units, ridge | tensor cores, ridge |", "| --- | --- | --- | --- |"]
for name, gpu in GPUS.items():
    cells = [f"{gpu[u] / 1e12:g} TFLOP/s, {gpu[u] / gpu['bandwidth']:.1f} FLOP/byte" for u in ("vector", "tensor")]
    rows.append(f"| {name} | {gpu['bandwidth'] / 1e12:g} TB/s | {' | '.join(cells)} |")
display(Markdown("\n".join(rows)))

# %% [markdown]
r"""
A sum of two fp32 vectors does 1 FLOP for 12 bytes: 0.083 FLOP/byte. Compare that with the table before you go on.

### The machine behind the two numbers

The `bandwidth` of the table is that of the largest and slowest memory, the **HBM** (high-bandwidth memory). Between it
and the arithmetic lie smaller and faster ones:

- A GPU has about a hundred **streaming multiprocessors** (SMs). A program of a kernel runs on one of them from start to
  end, and several share an SM. The SM runs it as **warps** of 32 threads each.
- **Registers** hold what a program computes with: offsets, masks, tiles. They belong to one program.
- **Shared memory**, on the same SM and of the same store as its L1 cache, lets the threads of one program exchange
  numbers. Triton uses it for you, in a `tl.sum` for example.
- The **L2** cache serves all SMs. What one program has read another one may find there.

Programs on different SMs meet in L2 and HBM only. That is why a kernel that hands its result to the next one goes
through memory, and why doing two steps in *one* program saves the way.
"""

# %%
KB, MB = 2**10, 2**20
MACHINES = {  # per SM: registers, shared memory at most, fp32 units; for all: L2 and what it delivers in a clock
    "A100 SXM 80GB": {"sms": 108, "registers": 256 * KB, "shared": 164 * KB, "units": 64, "l2": 40 * MB, "clock": 5120},
    "H100 SXM": {"sms": 132, "registers": 256 * KB, "shared": 228 * KB, "units": 128, "l2": 50 * MB, "clock": None},
}


def rates(name):
    """Bytes per second of shared memory (all SMs together), of L2 (None where no figure is published) and of HBM."""
    machine, gpu = MACHINES[name], GPUS[name]
    hertz = gpu["vector"] / (machine["sms"] * machine["units"] * 2)  # every unit does 2 FLOPs in a clock
    shared = machine["sms"] * 32 * 4 * hertz  # 32 banks of 4 bytes
    return shared, machine["clock"] and machine["clock"] * hertz, gpu["bandwidth"]


rows = ["| GPU | registers, all SMs | shared memory, all SMs | L2 | HBM |", "| --- | --- | --- | --- | --- |"]
for name, machine in MACHINES.items():
    shared, l2, hbm = (f"{rate / 1e12:.1f} TB/s" if rate else "-" for rate in rates(name))
    registers, together = (machine["sms"] * machine[kind] / MB for kind in ("registers", "shared"))
    cells = [f"{registers:.0f} MB", f"{together:.0f} MB, {shared}"]
    cells += [f"{machine['l2'] / MB:.0f} MB, {l2}", f"80 GB, {hbm}"]
    rows.append(f"| {name}, {machine['sms']} SMs | {' | '.join(cells)} |")
display(Markdown("\n".join(rows)))

shared, l2, hbm = rates("A100 SXM 80GB")
figure = plots.machine(
    "A100 SXM 80GB", 108,
    {"registers": "256 KB", "shared memory": "164 KB", "L2": "40 MB", "HBM": "80 GB"},
    {"SM": f"{shared / 1e12:.1f} TB/s, all SMs", "L2": f"{l2 / 1e12:.1f} TB/s", "HBM": f"{hbm / 1e12:.1f} TB/s"},
)  # fmt: skip
plots.show(figure, alt="SMs with registers and shared memory above one L2 cache and the HBM; each level is slower.")

# %% [markdown]
r"""
(Sizes: NVIDIA A100 and H100 Tensor Core GPU Architecture, white papers; shared memory per SM and its banks: CUDA C++
Programming Guide, compute capabilities 8.0 and 9.0; the A100's L2 reads 5120 bytes in a clock by its white paper. The
clock is what the fp32 rate of the data sheet implies.) The registers of all SMs hold more than their shared memory. And
each level down is several times slower: a number that comes from HBM should be used as often as possible before it is
let go.

## 6. Your first kernels in Triton

Triton is a language inside Python for what one program does. What you need today:

| in a kernel | does |
| --- | --- |
| `tl.program_id(0)` | the number of this program |
| `tl.arange(0, BLOCK)` | the vector 0, 1, ..., BLOCK-1 |
| `x_ptr + offsets` | the addresses of the elements with these numbers, as a vector |
| `tl.load(addresses, mask=mask)` | read them; lanes whose mask is False read nothing, their value is *undefined* |
| `tl.store(addresses, values, mask=mask)` | write them; lanes whose mask is False write nothing |

The **launcher** is ordinary Python. It makes room for the result, chooses the number of programs (the *grid*) and
starts them: `kernel[grid](arguments)`. On a machine without a GPU this course runs your kernels on the CPU, one
program after another, so keep vectors short. With a CUDA tensor the same cell runs on the GPU.

One thing is new compared with `program_offsets`. A vector need not lie densely in memory: `x[::2]` shares its memory
with `x` and takes every second number. The distance from one element to the next, counted in elements, is the
**stride** (`x.stride(0)`). Element `i` lies at `x_ptr + i * stride`. The launchers below pass the strides; use them.
"""

# %% exercise="vector_add"
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    """One program of out = x + y.

    x_ptr, y_ptr        addresses of element 0 of the inputs; element i lies i * stride further on
    out_ptr             address of element 0 of the result, which is dense (stride 1)
    n                   elements in each
    x_stride, y_stride  elements from one input element to the next
    BLOCK               lanes of a program

    The launcher below starts one program for each BLOCK results. Nothing is written beyond element n-1.
    Difficulty 2 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)
    ### END SOLUTION


def vector_add(x, y, block=256):
    """x + y by `vector_add_kernel`. x, y (n,) of one dtype, any stride; block: a power of two; returns (n,), dense.

    It is given, and you may write another one.

    One launch; copies, conversions and fills by torch count as launches. At least one program for every four blocks.
    """
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)  # cdiv rounds up: the last program may be only partly full
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out


# %% check="vector_add" points=3

# %% [markdown]
r"""
The check did not only compare numbers. It looked at every address: is it inside its tensor, did somebody write what is
read here, do two programs write the same element? It counted bytes, and it compiled the kernel for two GPUs that need
not be in this machine. Below is what it saw of one program: each bar is one `tl.load` or `tl.store`. Change the
vectors, to `long[::2]` for example, and look again.
"""

# %%
long = torch.arange(40, dtype=torch.float32, device=device)
show_accesses(vector_add, long, long[:20].repeat(2), block=16)

# %% [markdown]
r"""
### What a stride costs

The 32 threads of a warp load together. Memory does not deliver single numbers, it delivers **sectors**: 32 bytes that
begin at a multiple of 32. The hardware fetches every sector that the warp touches, once (CUDA C++ Best Practices Guide,
"Coalesced Access to Global Memory"). The load is **coalesced** when the lanes are neighbours in memory: 32 floats are
128 bytes, 4 sectors, and nothing is wasted. With a stride between the elements the same 128 useful bytes lie in more
sectors.
"""

# %%
def sectors_of_a_warp(stride, itemsize=4, threads=32, sector=32):
    """Sectors that one load touches: thread i reads element i * stride, and the first one begins a sector."""
    first_bytes = torch.arange(threads) * stride * itemsize
    return len(torch.unique(first_bytes // sector))  # an element of 4 bytes lies in one sector


strides = list(range(1, 33))
sectors = [sectors_of_a_warp(stride) for stride in strides]
title = "Sectors that a warp fetches for 32 floats"
figure = plots.curves(strides, {"32-byte sectors": sectors}, title=title, x_label="stride, elements", y_label="sectors")
plots.show(figure, alt="Sectors over stride: 4 at stride 1, rising to 32 at stride 8, and 32 from there on.")
for stride in (1, 2, 4, 8, 32):
    fetched = 32 * sectors_of_a_warp(stride)
    print(f"stride {stride:2}: {fetched:5} bytes fetched for 128 useful ones, {128 / fetched:.1%}")

# %% [markdown]
r"""
From stride 8 on every float brings a sector of its own. The kernel asks for the same bytes and the memory moves eight
times as many, unless somebody uses the rest of a sector while a cache still holds it. A column of a row-major matrix is
such a vector. So neighbouring lanes should read neighbouring addresses: `tl.arange` along the axis with stride 1.

### Fusion

`alpha * x + y` written with torch is two operations, hence two kernels: the first writes `alpha * x` to memory, the
second reads it back. A **fused** kernel does both while the numbers are at hand, and the intermediate result never
exists in memory. This time you also write the launch.
"""

# %% exercise="fused_scale_add"
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    """One program of out = alpha * x + y, in one pass over memory. alpha: a number; the rest as for vector_add."""
    ### BEGIN SOLUTION
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)
    ### END SOLUTION


def fused_scale_add(x, y, alpha, block=256):
    """alpha * x + y in one kernel.

    x, y     (n,)  one float dtype, any stride; n need not be a multiple of `block`
    alpha    float; for float16 the kernel may round alpha * x to float16 or keep it in float32
    block    int, lanes per program, a power of two
    returns  (n,)  same dtype, dense

    Launch enough programs for all n elements. One launch; copies, conversions and fills by torch count as launches. At
    least one program for every four blocks.
    Difficulty 2 of 5, about 8 minutes.
    """
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    ### BEGIN SOLUTION
    grid = (triton.cdiv(n, block),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    ### END SOLUTION
    return out


# %% check="fused_scale_add" points=3

# %% [markdown]
r"""
How much did fusing save? Count it with your own `count_bytes`.
"""

# %% exercise="fusion_bytes"
def fusion_bytes(n, dtype):
    """Bytes moved by alpha * x + y for dense vectors, in two kernels and in one.

    n        int, elements of x and of y
    dtype    torch.dtype of x, y, the intermediate result and the result
    returns  (unfused, fused), a tuple of two ints. Unfused: one kernel computes t = alpha * x, a second one t + y.
             alpha travels with the launch and costs no memory traffic.

    Difficulty 2 of 5, about 3 minutes.
    """
    ### BEGIN SOLUTION
    vector = ((n,), dtype)
    scale, add = count_bytes([vector], dtype), count_bytes([vector, vector], dtype)
    return scale + add, add  # the fused kernel reads and writes what the second one does
    ### END SOLUTION


# %% check="fusion_bytes" points=1

# %% [markdown]
r"""
## 7. Experiment: do bytes predict seconds?

**First question.** Fused and unfused do the same 2 n FLOPs. If FLOPs set the time, fusing changes nothing (ratio 1).
If bytes do, the times have the ratio of your `fusion_bytes`. torch has this very operation fused, `torch.add(y, x,
alpha=alpha)`, so it can be timed on this machine without an interpreter in between. Ten seeds, once with vectors too
large for the caches (32 MiB each), once with vectors that stay in the cache (16 KiB each).
"""

# %%
def time_ratio(n, seed, repeats):
    """Seconds of unfused over seconds of fused alpha * x + y on n fp32 numbers."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(4096, generator=generator).repeat(n // 4096) for _ in range(2))
    between, out = torch.empty(n), torch.empty(n)

    def unfused():
        torch.mul(x, 1.7, out=between)
        torch.add(between, y, out=out)

    def fused():
        torch.add(y, x, alpha=1.7, out=out)

    times = [(seconds(unfused), seconds(fused)) for _ in range(repeats)]  # in turn, so that both meet the same noise
    return min(u for u, _ in times) / min(f for _, f in times)


if ready(lambda: sum(fusion_bytes(4, torch.float32))):
    large = 2**23 if profile == "fast" else 2**24
    unfused, fused = fusion_bytes(large, torch.float32)
    print(f"predicted by FLOPs: 1.00    predicted by your bytes: {unfused / fused:.2f}")
    for count, repetitions in ((large, 3), (2**12, 200)):
        measured = sorted(time_ratio(count, seed + s, repetitions) for s in range(10))
        middle = (measured[4] + measured[5]) / 2
        spread = f"median {middle:.2f}, from {measured[0]:.2f} to {measured[-1]:.2f}"
        print(f"{4 * count >> 10:6} KiB a vector, ten seeds:  {spread}")

# %% [markdown]
r"""
The large vectors come out near the ratio of the bytes, not near 1. (A wide spread means that something else is using
the memory right now: run the cell again. A CPU may come out a little above, because it reads a cache line before it
writes into it.) The small ones never leave the cache: there the number of operations that were *started* counts, two
against one, because starting one costs more than its work. That is the third limit, overhead, and no roofline shows
it.

**Second question, graded.** Below are eight operations. FLOPs of an addition, a multiplication, an exponential or a
tanh are counted as one each. Find out which of them are memory-bound on each of the two GPUs. Use your `roofline`.
"""

# %%
def linear_layer(rows, width=4096, dtype=torch.bfloat16):
    """FLOPs, bytes and unit of a (rows, width) x (width, width) product: both matrices read, the result written."""
    moved = (2 * rows * width + width * width) * dtype.itemsize
    return 2 * rows * width * width, moved, "tensor"


def list_operations(elements=2**24):
    """name -> (FLOPs, bytes moved, which unit computes it)"""
    single, half = ((elements,), torch.float32), ((elements,), torch.bfloat16)
    return {
        "add two vectors, fp32": (elements, count_bytes([single, single], torch.float32), "vector"),
        "scale and add, fused, fp32": (2 * elements, count_bytes([single, single], torch.float32), "vector"),
        "GELU (tanh form, 9 FLOPs), bf16": (9 * elements, count_bytes([half], torch.bfloat16), "vector"),
        "polynomial of degree 30 (60 FLOPs), bf16": (60 * elements, count_bytes([half], torch.bfloat16), "vector"),
        "linear layer, 1 row": linear_layer(1),
        "linear layer, 64 rows": linear_layer(64),
        "linear layer, 256 rows": linear_layer(256),
        "linear layer, 4096 rows": linear_layer(4096),
    }


# %% exercise="memory_bound"
def find_memory_bound(operations, gpu):
    """Names of the memory-bound operations, in the order of the table.

    operations  dict name -> (FLOPs, bytes moved, unit), unit "vector" or "tensor"
    gpu         dict with "bandwidth" in byte/s and, for each unit, its peak in FLOP/s
    returns     list of names. Memory-bound: what the operation can reach is below the peak of *its* unit. On
                the ridge it reaches the peak.

    The check reads `memory_bound` below, and calls this function with other operations and another GPU.
    Difficulty 2 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    names = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            names.append(name)
    return names
    ### END SOLUTION


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))


# %% check="memory_bound" points=3

# %% [markdown]
r"""
Look at the linear layer with 1 row. That is what a language model does when it writes one token for one reader: it
reads the whole matrix to use each number once. And some operations change sides from one GPU to the other. Which
ones, and in which direction? A GPU with more arithmetic for the same bandwidth makes *more* operations memory-bound.
"""

# %% [markdown]
r"""
## 8. Explore: move the points

The panel draws with your `roofline`. `k` is the amount of work: the number of elementwise operations in a row on each
element, and the rows of a linear layer with a 4096 x 4096 matrix, all in bf16. Before you move the slider, predict:

1. Which of the three points does not move sideways when `k` grows, and why?
2. From which `k` on is the fused chain compute-bound on the A100? And the linear layer?
3. What happens to both numbers on the H100?
"""

# %%
explorer = panel(roofline, GPUS)

# %% [markdown]
r"""
## 9. Bug hunt

This kernel comes with a test below it that passes. It has **two** real mistakes, and the first one hides the second.
Repair it in place, or write both functions again below. Then say to yourself which input the author's test would have
needed.
"""

# %% exercise="leaky_relu"
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    """One program of out = x where x > 0, slope * x elsewhere."""
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value))


def leaky_relu(x, slope=0.01, block=256):
    """Leaky ReLU of a dense vector.

    x        (n,)  float, stride 1; n any number from 1 on
    slope    float, factor for negative numbers; any number, also above 1 or below 0
    block    int, lanes per program, a power of two
    returns  (n,)  same dtype

    One launch; copies, conversions and fills by torch count as launches. At least one program for every four blocks.
    A program that finds no element to do is no mistake.

    Source: Maas, Hannun and Ng 2013, "Rectifier Nonlinearities Improve Neural Network Acoustic Models".
    Difficulty 2 of 5, about 6 minutes.
    """
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(n // block,)](x, out, n, slope, BLOCK=block)
    return out


### BEGIN SOLUTION
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    """The repaired kernel: the store is masked like the load."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside)
    tl.store(out_ptr + offsets, tl.where(x > 0, x, slope * x), mask=inside)


def leaky_relu(x, slope=0.01, block=256):
    """The repaired launcher: the number of programs is rounded up."""
    out = torch.empty_like(x)
    leaky_relu_kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), slope, BLOCK=block)
    return out


### END SOLUTION


# %%
sample = torch.linspace(-2, 2, 1024, device=device)  # the author's test
if ready(lambda: leaky_relu(sample).sum()):
    agrees = torch.allclose(leaky_relu(sample), torch.nn.functional.leaky_relu(sample))
    print("the author's test:", "passed" if agrees else "failed")

# %% check="leaky_relu" points=2

# %% [markdown]
r"""
Such code is in circulation. The review of pull request 186 in `ypapadop-amd/ggml` (2026) found a vector addition whose
mask was commented out, with the question "do we need?" beside it.

## 10. Widely repeated, and wrong

> *"Activations, normalisation and residual additions cost next to nothing: they are far below 1 % of the FLOPs."*

The conclusion is drawn wherever a model's cost is given in FLOPs alone. torch's own `torch.utils.flop_counter` goes one
step further: it counts matrix products, convolutions and attention, and reports **zero** for everything else. The
share of the FLOPs is right. Whether the cost follows from it, the next cell
computes: it shows the counter, then lists the operations of a Transformer layer (the width of BERT-large, 8 sequences
of 512 tokens, bf16, one kernel per operation) and gives each the time that *your* roofline predicts on an A100.
"""

# %%
with FlopCounterMode(display=False) as counter:
    hidden = torch.nn.functional.layer_norm(torch.nn.functional.gelu(torch.ones(64, 128)) + 1, (128,))
print(f"torch's counter for GELU, an addition and a layer norm of 64 x 128 numbers: {counter.get_total_flops()} FLOPs")


def layer_operations(batch=8, tokens=512, width=1024, heads=16):
    """name -> (FLOPs, bytes, unit, kind) of one Transformer encoder layer, forward, each operation its own kernel."""
    dtype, t = torch.bfloat16, batch * tokens
    model, wide, bias = ((t, width), dtype), ((t, 4 * width), dtype), ((1, width), dtype)
    scores = ((batch, heads, tokens, tokens), dtype)

    def product(m, k, n, times=1):
        return 2 * times * m * k * n, 2 * times * (m * k + k * n + m * n), "tensor", "matrix products"

    def elementwise(flops, *inputs):
        size = torch.Size(torch.broadcast_shapes(*(shape for shape, _ in inputs))).numel()
        return flops * size, count_bytes(list(inputs), dtype), "vector", "everything else"

    return {
        "query, key, value": product(t, width, 3 * width),
        "scores": product(tokens, width // heads, tokens, batch * heads),
        "scale scores": elementwise(1, scores),
        "softmax": elementwise(5, scores),
        "weighted sum": product(tokens, tokens, width // heads, batch * heads),
        "output projection": product(t, width, width),
        "bias, 1": elementwise(1, model, bias),
        "residual, 1": elementwise(1, model, model),
        "layer norm, 1": elementwise(7, model, bias, bias),
        "feed-forward, up": product(t, width, 4 * width),
        "bias, 2": elementwise(1, wide, ((1, 4 * width), dtype)),
        "GELU": elementwise(9, wide),
        "feed-forward, down": product(t, 4 * width, width),
        "bias, 3": elementwise(1, model, bias),
        "residual, 2": elementwise(1, model, model),
        "layer norm, 2": elementwise(7, model, bias, bias),
    }


def shares(gpu):
    """kind -> (% of FLOPs, % of predicted time)"""
    flops, needed = {}, {}
    for work, moved, unit, kind in layer_operations().values():
        rate = roofline(torch.tensor(work / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"]).item()
        flops[kind] = flops.get(kind, 0) + work
        needed[kind] = needed.get(kind, 0) + work / rate
    return {k: (100 * flops[k] / sum(flops.values()), 100 * needed[k] / sum(needed.values())) for k in flops}


if ready(lambda: shares(GPUS["A100 SXM 80GB"])):
    found = shares(GPUS["A100 SXM 80GB"])
    in_flops, in_time = zip(*found.values())
    groups = {"% of the FLOPs": in_flops, "% of the predicted time": in_time}
    title = "One Transformer layer on an A100: FLOPs against time"
    plots.show(plots.grouped_bars(list(found), groups, title=title, unit="per cent"), alt=title)
    for kind, (work, share) in found.items():
        print(f"{kind}: {work:.2f} % of the FLOPs, {share:.1f} % of the predicted time")

# %% [markdown]
r"""
The conclusion of the sentence does not follow: what is almost nothing in FLOPs takes well over a third of the time.
Measurements agree in kind. Over 16 models, operations other than matrix products took on average between 11.3 % and
73.6 % of the latency, depending on the platform (Karami et al. 2024, "Understanding the Performance Horizon of the
Latest ML Workloads with NonGEMM Workloads", arXiv 2404.11788). Fusion is the remedy, and it saves **bytes, not
FLOPs**: unit 08 does it to the `scores`, `scale`, `softmax` and `weighted sum` rows and calls the result
FlashAttention.

## 11. Explain

Answer in your own words, two to six sentences each. A person reads them.
"""

# %% [markdown] explain="one_per_cent_of_peak" points=2
r"""
**Is this kernel bad?** A colleague measures an elementwise kernel on an A100. It reaches 1 % of the peak FLOP/s, and
the colleague wants to rewrite it. Which two numbers do you ask for before you agree, and how do you decide from them?
Name one change that would make the program containing this kernel faster, and one that would not.

=== BEGIN MARK SCHEME ===
1 point: asks for the arithmetic intensity (or FLOPs and bytes moved) of the kernel and compares the achieved rate, or
the achieved bandwidth in byte/s, with what the roofline allows at that intensity (intensity x bandwidth). 1 % of peak
can be the ceiling: an fp32 vector addition has 1/12 FLOP/byte, at most 0.17 of 19.5 TFLOP/s, under 1 %.
Also accepted: asks for bytes moved and time, and compares byte/s with the data sheet's bandwidth.
1 point: a change that moves fewer bytes (fusing it with its neighbours, a smaller dtype, not writing an intermediate)
helps; fewer or cheaper FLOPs (a faster approximation of exp, tensor cores) does not while it is memory-bound. Half a
point if only one of the two is named.
No point for "use a faster GPU" without reference to bandwidth, or for "1 % is always bad".
=== END MARK SCHEME ===
"""

# %% [markdown] explain="tests_that_pass" points=2
r"""
**A test that always passes.** The kernel of the bug hunt passed its author's test at n = 1024 with blocks of 256.
Explain for each of its two mistakes why that test cannot see it. Which sizes would you test, and what would you do to
the output buffer before the launch so that a forgotten element can't pass by luck?

=== BEGIN MARK SCHEME ===
1 point: 1024 is a multiple of 256, so n // 256 and the rounded-up quotient are equal and no tail exists; and no lane
lies beyond n, so the missing mask on the store never writes outside. Both must be explained; half a point for one.
Worth praise: with n // block, the last partial program is never started, so the unmasked store shows only after the
grid is repaired.
1 point: sizes that are not multiples of the block (also n = 1 or n < block, and a power of two plus one), and filling
the output with NaN (or another value the right answer can't contain) before the launch; guarding the memory behind
the buffer and looking whether it changed is as good. Half a point for the sizes alone.
=== END MARK SCHEME ===
"""

# %% [markdown]
r"""
## What you have now

Program ids, offsets and masks; bytes, intensity and the roof; two kernels that respect the end of their data. Every
later unit adds one idea to this: unit 01 fuses the gates of an LSTM (and finds what fusing can't remove), unit 02
brings reductions, unit 05 matrix products, unit 08 all of it together.

Sources: Williams, Waterman and Patterson 2009 (roofline); NVIDIA A100 and H100 Tensor Core GPU data sheets and white
papers; NVIDIA, CUDA C++ Programming Guide and Best Practices Guide (shared memory, sectors); the Triton documentation,
tutorial 01; Karami et al. 2024 (NonGEMM). The counts in sections 7 and 10 are computed by the cells above them.
"""
