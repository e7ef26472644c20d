"""The reader of GGUF files: every kind of block against the definition number by number, headers, parts, and errors.

The blocks are random bytes, so all bits of all fields are in play. Where the package `gguf` is installed, its numpy
dequantiser has to give the same bits.
"""

import hashlib
import struct

import numpy as np
import pytest
import torch

from course import gguf
from course.errors import InputError

CODES = {kind.name: code for code, kind in gguf.KINDS.items()}
TEXT, ARRAY = 8, 9


def half(block: bytes, at: int) -> float:
    return struct.unpack_from("<e", block, at)[0]


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def slow_q8_0(block):
    return [half(block, 0) * signed(block[2 + i]) for i in range(32)]


def slow_q5_0(block):
    fifth = int.from_bytes(block[2:6], "little")
    nibbles = [block[6 + i] % 16 for i in range(16)] + [block[6 + i] // 16 for i in range(16)]
    return [half(block, 0) * (nibbles[i] + 16 * (fifth >> i & 1) - 16) for i in range(32)]


def slow_q4_k(block):
    def scale_and_minimum(j):
        packed = block[4:16]
        if j < 4:
            return packed[j] % 64, packed[j + 4] % 64
        return packed[j + 4] % 16 + 16 * (packed[j - 4] // 64), packed[j + 4] // 16 + 16 * (packed[j] // 64)

    numbers = []
    for i in range(256):
        group, inside = divmod(i, 32)
        byte = block[16 + 32 * (group // 2) + inside]
        scale, minimum = scale_and_minimum(group)
        numbers.append(half(block, 0) * scale * (byte // 16 if group % 2 else byte % 16) - half(block, 2) * minimum)
    return numbers


def slow_q6_k(block):
    numbers = []
    for i in range(256):
        part, run, inside = i // 128, i % 128 // 32, i % 32
        byte = block[64 * part + 32 * (run % 2) + inside]
        lower = byte // 16 if run >= 2 else byte % 16
        upper = block[128 + 32 * part + inside] // 4**run % 4
        numbers.append(half(block, 208) * signed(block[192 + i // 16]) * (lower + 16 * upper - 32))
    return numbers


def slow_bf16(block):
    return [struct.unpack("<f", b"\0\0" + block)[0]]


SLOW = {
    "F32": lambda block: [struct.unpack("<f", block)[0]],
    "F16": lambda block: [half(block, 0)],
    "BF16": slow_bf16,
    "Q8_0": slow_q8_0,
    "Q5_0": slow_q5_0,
    "Q4_K": slow_q4_k,
    "Q6_K": slow_q6_k,
}
SCALES_AT = {"F16": (0,), "Q8_0": (0,), "Q5_0": (0,), "Q4_K": (0, 2), "Q6_K": (208,)}  # of float16


def made_up(kind: gguf.Kind, blocks: int, seed: int) -> np.ndarray:
    """Random bytes; only scales that are infinite or no number are replaced. Subnormal ones stay."""
    gen = np.random.default_rng(seed)
    found = gen.integers(0, 256, (blocks, kind.stored), dtype=np.uint8)
    for at in SCALES_AT.get(kind.name, ()):
        found[:, at + 1] &= 0b10111111  # not all bits of the exponent
    if kind.name in ("F32", "BF16"):
        found[:, -1] &= 0b10111111
    return found


@pytest.mark.parametrize("name", CODES)
def test_each_kind_is_read_as_defined(name):
    kind = gguf.KINDS[CODES[name]]
    blocks = made_up(kind, 40, seed=1)
    blocks[:4] = 255 * (np.arange(4)[:, None] % 2)  # all zero, all one but for what would be no number
    for at in SCALES_AT.get(name, ()):
        blocks[:4, at + 1] &= 0b10111111
    if name in ("F32", "BF16"):
        blocks[:4, -1] &= 0b10111111
    found = kind.read(torch.from_numpy(blocks))
    expected = torch.tensor([SLOW[name](block.tobytes()) for block in blocks], dtype=torch.float64)
    assert found.dtype == torch.float32 and found.shape == (40, kind.size)
    assert torch.equal(found, expected.float())


@pytest.mark.parametrize("name", CODES)
def test_each_kind_is_what_the_package_makes_of_it(name):
    quants = pytest.importorskip("gguf.quants", reason="the package gguf is not installed: pip install gguf")
    from gguf.constants import GGMLQuantizationType

    blocks = made_up(gguf.KINDS[CODES[name]], 300, seed=2)
    expected = quants.dequantize(blocks.reshape(1, -1), GGMLQuantizationType(CODES[name]))
    found = gguf.KINDS[CODES[name]].read(torch.from_numpy(blocks)).reshape(1, -1)
    assert torch.equal(found, torch.from_numpy(np.asarray(expected, np.float32)))


# files


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words.encode())) + words.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor_line(name: str, shape, kind: int, offset: int) -> bytes:
    sizes = tuple(reversed(shape))
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


PAIRS = {
    "a.byte": (0, b"\xff", 255),
    "a.signed": (1, b"\xff", -1),
    "a.short": (2, b"\x01\x02", 513),
    "a.count": (4, struct.pack("<I", 7), 7),
    "a.minus": (5, struct.pack("<i", -7), -7),
    "a.real": (6, struct.pack("<f", 0.5), 0.5),
    "a.yes": (7, b"\x01", True),
    "a.word": (TEXT, text("größe"), "größe"),
    "a.long": (10, struct.pack("<Q", 2**40), 2**40),
    "a.double": (12, struct.pack("<d", 1e-300), 1e-300),
    "a.words": (ARRAY, struct.pack("<IQ", TEXT, 2) + text("▁a") + text(""), ["▁a", ""]),
    "a.numbers": (ARRAY, struct.pack("<IQ3f", 6, 3, 1, 2, 3), [1.0, 2.0, 3.0]),
    "a.lists": (ARRAY, struct.pack("<IQ", ARRAY, 1) + struct.pack("<IQ2h", 3, 2, -1, 5), [[-1, 5]]),
}
SHAPES = {"F32": (5, 3), "F16": (7,), "BF16": (2, 2, 2), "Q8_0": (3, 64), "Q5_0": (5, 96), "Q4_K": (3, 512)} | {
    "Q6_K": (2, 256)
}


def written(unit: int = 32, version: int = 3, change=lambda name, shape, code: (shape, code)) -> tuple[bytes, dict]:
    """A GGUF file with every kind of pair and of tensor, and what stands in its tensors."""
    lines, data, stored = b"", b"", {}
    for seed, (name, shape) in enumerate(SHAPES.items()):
        kind = gguf.KINDS[CODES[name]]
        stored[f"t.{name}"] = made_up(kind, int(np.prod(shape)) // kind.size, seed)
        lines += tensor_line(f"t.{name}", *change(name, shape, CODES[name]), len(data))
        data += stored[f"t.{name}"].tobytes()
        data += bytes(-len(data) % unit)
    pairs = [pair(key, kind, value) for key, (kind, value, _) in PAIRS.items()]
    pairs.append(pair("general.alignment", 4, struct.pack("<I", unit)))
    header = b"GGUF" + struct.pack("<IQQ", version, len(SHAPES), len(pairs)) + b"".join(pairs) + lines
    return header + bytes(-len(header) % unit) + data, stored


def saved(folder, content: bytes, *cuts: int):
    """The content in as many files as there are cuts, and one more."""
    ends = (0, *cuts, len(content))
    paths = [folder / f"part{n}" for n in range(len(cuts) + 1)]
    for path, start, end in zip(paths, ends, ends[1:]):
        path.write_bytes(content[start:end])
    return paths


def plain(value):
    return [plain(each) for each in value] if isinstance(value, (list, np.ndarray)) else value


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("unit", [32, 64, 8])
def test_header_and_tensors_of_a_file(tmp_path, unit, version):
    content, stored = written(unit, version)
    file = gguf.GgufFile(*saved(tmp_path, content))
    assert {key: plain(value) for key, value in file.metadata.items() if key != "general.alignment"} == {
        key: value for key, (_, _, value) in PAIRS.items()
    }
    assert {name: entry.shape for name, entry in file.tensors.items()} == {f"t.{n}": s for n, s in SHAPES.items()}
    for name, blocks in stored.items():
        expected = [number for block in blocks for number in SLOW[name[2:]](block.tobytes())]
        assert torch.equal(file.tensor(name), torch.tensor(expected).view(SHAPES[name[2:]])), name
    assert file.sha256() == hashlib.sha256(content).hexdigest()


def test_parts_and_stretches_change_nothing(tmp_path, monkeypatch):
    content, _ = written()
    whole = gguf.GgufFile(*saved(tmp_path, content))
    expected = {name: whole.tensor(name) for name in whole.tensors}
    begin = min(entry.offset for entry in whole.tensors.values())
    (tmp_path / "parts").mkdir()
    cuts = (begin + 1, begin + 100, begin + 101, begin + 1000)
    parts = gguf.GgufFile(*saved(tmp_path / "parts", content, *cuts))
    monkeypatch.setattr(gguf, "STRETCH", 256)
    assert all(torch.equal(parts.tensor(name), expected[name]) for name in expected)
    assert parts.sha256() == whole.sha256()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_numbers_are_rounded_once(tmp_path, dtype):
    file = gguf.GgufFile(*saved(tmp_path, written()[0]))
    for name in file.tensors:
        found = file.tensor(name, dtype)
        assert found.dtype == dtype and torch.equal(found, file.tensor(name).to(dtype))


def test_a_tensor_is_the_callers_own(tmp_path):
    (path,) = saved(tmp_path, content := written()[0])
    file = gguf.GgufFile(path)
    before = file.tensor("t.F32")
    file.tensor("t.F32").zero_()
    assert torch.equal(file.tensor("t.F32"), before) and path.read_bytes() == content


CONTENT = written()[0]
NOT_READ = {
    "does not begin with GGUF": b"GGML" + CONTENT[4:],
    "version 1 of GGUF; versions 2 and 3": CONTENT[:4] + struct.pack("<I", 1) + CONTENT[8:],
    "cut off: its header ends after 0 bytes": b"",
    "cut off: its header ends after 200 bytes": CONTENT[:200],
    "bytes are needed": CONTENT[:-64],
    "metadata of type 13": CONTENT.replace(pair("a.byte", 0, b"\xff"), pair("a.byte", 13, b"\xff")),
    "t.Q8_0 as ggml's type 2; what can be read is F32": written(
        change=lambda name, shape, code: (shape, 2 if name == "Q8_0" else code)
    )[0],
    "its rows are not whole blocks": written(
        change=lambda name, shape, code: ((16, 96) if name == "Q4_K" else shape, code)
    )[0],
}


@pytest.mark.parametrize("says", NOT_READ)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path, says):
    (path,) = saved(tmp_path, NOT_READ[says])
    with pytest.raises(InputError, match=says) as caught:
        gguf.GgufFile(path)
    assert str(path) in str(caught.value)
