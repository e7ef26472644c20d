"""Numbers of four bits, unpacked and scaled.

int4_unpack(packed, scales, block=64) -> w

packed  (R, C / 2) uint8, contiguous: byte [r, i] holds number 2 i of row r in its low four bits and number 2 i + 1 in
        its high ones, as two's complement: 0 .. 7 are themselves, 8 .. 15 stand for -8 .. -1
scales  (R, C / 32) float32: one for 32 neighbouring numbers
w       (R, C) float16, new and contiguous: number times scale

C is a multiple of 32. Every byte is read once. One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings

settings = Settings(launches=1)

SIGN = "Four bits in two's complement: subtract 16 from what is 8 or more."


def cases(rng, sizes):
    def draw(r, c):
        packed = torch.from_numpy(rng.integers(0, 256, (r, c // 2), dtype="uint8"))
        return packed, torch.from_numpy(rng.random((r, c // 32)) + 0.1).float()

    def between(low, high):
        return int(sizes.integers(low, high))

    packed, scales = draw(3, 64)
    return [
        Case("only 7 and -8", (torch.where(packed > 99, 0x87, 0x78).to(torch.uint8), scales), points_to=SIGN),
        Case("any numbers", draw(between(2, 5), 32 * between(5, 9)), points_to=SIGN, weight=2),
        Case("whole blocks", draw(4, 256), lean=True, compile=True, points_to=SIGN),
    ]


def reference(packed, scales, block=64):
    rows = [[v for byte in row for v in (byte & 15, byte >> 4)] for row in packed.tolist()]
    whole = torch.tensor([[v - 16 if v > 7 else v for v in row] for row in rows], dtype=scales.dtype)
    return whole * scales.repeat_interleave(32, 1)


def baseline(packed, scales, block=64):
    return reference(packed, scales).half()


def floor(packed, scales, block=64):
    n = packed.numel()
    why = "every byte is read once and becomes two numbers of 16 bits; a scale serves 32 of them"
    return Floor({"packed": n, "scales": 4 * scales.numel()}, {"out": 4 * n}, why, resident=("scales",))
