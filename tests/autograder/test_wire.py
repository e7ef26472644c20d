"""Values and frames: what goes in comes out, and whatever is broken is refused with WireError and nothing else."""

import json
import math
import pickle
import socket
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course.checking.subject import Handle
from grader_kernels import wire

torch.set_num_threads(1)
quiet = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
shapes = st.lists(st.integers(0, 4), max_size=4)


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(list(wire.TENSOR_NAMES)))
    shape = draw(shapes)
    seed = draw(st.integers(0, 2**31))
    raw = np.random.default_rng(seed).integers(0, 256, (math.prod(shape) * 2 * dtype.itemsize,), dtype=np.uint8)
    data = torch.tensor(raw.tolist(), dtype=torch.uint8)
    flat = data % 2 == 1 if dtype == torch.bool else data.view(dtype)
    x = flat[: 2 * math.prod(shape)].reshape([*shape, 2])
    layout = draw(st.sampled_from(["gaps", "dense", "turned", "repeated", "offset"]))
    if layout == "gaps":
        return x[..., 0]
    if layout == "offset":
        return x[..., 1].contiguous() if x.dim() < 2 else x[1:]
    if layout == "turned":
        return x.transpose(0, -1)
    return x[..., :1].expand(*shape, 3) if layout == "repeated" else x.contiguous()


arrays = st.builds(
    lambda dtype, shape, seed: np.random.default_rng(seed).integers(0, 2, shape).astype(dtype),
    st.sampled_from(list(wire.ARRAY_DTYPES)),
    shapes,
    st.integers(0, 1000),
)
text = st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x10FFFF), max_size=20)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**300), 2**300),
    st.floats(),
    text,
    st.binary(max_size=20),
    st.sampled_from([torch.float32, torch.bfloat16, torch.bool]),
)
keys = st.one_of(text, st.integers(), st.tuples(st.integers(), text))
values = st.recursive(
    st.one_of(plain, tensors(), arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


def there_and_back(value, **how):
    buffers = []
    spec = json.loads(json.dumps(wire.encode(value, buffers, **how)))
    return wire.decode(spec, bytearray(b"".join(buffers)))


def bits(x):
    dense = x.clone(memory_format=torch.contiguous_format)  # one element may keep any stride otherwise
    return bytes(dense.view(-1).view(torch.uint8).tolist()) if x.numel() else b""


def same(a, b):
    if isinstance(a, torch.Tensor):
        return type(b) is torch.Tensor and (a.dtype, a.shape) == (b.dtype, b.shape) and bits(a) == bits(b)
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


@quiet
@given(values)
def test_every_value_comes_back_as_it_was(value):
    assert same(value, there_and_back(value))


@quiet
@given(tensors())
def test_a_tensor_keeps_its_strides(x):
    back = there_and_back(x)
    if x.numel():
        assert back.stride() == x.stride()


def test_a_tensor_inside_a_larger_storage_starts_inside_one():
    x = torch.arange(10.0)[3:7]
    assert there_and_back(x).storage_offset() == 3


def test_few_columns_of_a_wide_tensor_travel_without_the_rest():
    buffers = []
    wire.encode(torch.zeros(1000, 1000)[:, :1], buffers)
    assert sum(map(len, buffers)) == 4000


def test_size_and_subclasses_arrive_plain():
    class Lying(torch.Tensor):
        @property
        def shape(self):
            return torch.Size([9, 9])

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return True

    class Agreeable(list):
        def __iter__(self):
            return iter([1] * 5)

    assert there_and_back(torch.ones(2, 3).as_subclass(Lying)).shape == (2, 3)
    assert there_and_back(Agreeable([7])) == [7]
    assert type(there_and_back(torch.Size([2]))) is tuple
    assert type(there_and_back(torch.nn.Parameter(torch.ones(2)))) is torch.Tensor
    assert type(there_and_back(torch.max(torch.ones(2, 2), 0))) is tuple
    assert there_and_back(np.float32(2.5)).dtype == np.float32
    back = there_and_back(Handle(3, "Cache"))
    assert (back.id, back.type_name) == (3, "Cache")


@pytest.mark.parametrize(
    "value, word",
    [
        (object(), "object"),
        (lambda: 1, "function"),
        ({1, 2}, "set"),
        (1j, "complex"),
        (torch.ones(2, dtype=torch.complex64), "complex64"),
        (torch.empty(2, device="meta"), "meta"),
        (torch.eye(3).to_sparse(), "sparse"),
        (np.array([object()]), "object"),
        ({frozenset(): 1}, "frozenset"),
        (2 ** (1 << 20), "bits"),
        (list(range(20_000)), "parts"),
        (torch.zeros(1).expand(1 << 30), "larger"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_cross_is_named(value, word):
    with pytest.raises(wire.WireError, match=word):
        wire.encode(value, [])


def test_endless_nesting_is_refused():
    value = []
    value.append(value)
    with pytest.raises(wire.WireError, match="deep"):
        wire.encode(value, [])


def test_functions_cross_only_as_numbers():
    buffers = []
    spec = wire.encode([print], buffers, lambda function: 5)
    assert wire.decode(spec, b"", lambda number: f"function {number}") == ["function 5"]
    with pytest.raises(wire.WireError):
        wire.decode(spec, b"")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from([*wire._READERS, "dtype", "shape", "stride", "start", "at", "scalar"]), inner, max_size=3
        ),
    ),
    max_leaves=20,
)


@settings(quiet, max_examples=400)
@given(json_values, st.binary(max_size=30))
def test_any_spec_decodes_or_raises_wire_error(spec, body):
    try:
        wire.decode(spec, body)
    except wire.WireError:
        pass


def tensor_spec(**changes):
    return {"tensor": {"dtype": "float32", "shape": [2], "stride": [1], "start": 0, "at": [0, 8], **changes}}


def test_the_honest_spec_is_fine():
    assert wire.decode(tensor_spec(), b"\0" * 8).tolist() == [0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [1 << 40], "stride": [0], "at": [0, 4]},
        {"shape": [1 << 28], "stride": [0], "at": [0, 4]},
        {"shape": [3]},
        {"shape": [-2]},
        {"shape": [True, 2]},
        {"shape": [1] * 17, "stride": [1] * 17},
        {"shape": "22"},
        {"stride": [-1]},
        {"stride": [2]},
        {"stride": []},
        {"stride": [1 << 62]},
        {"start": -1},
        {"start": 1 << 30},
        {"at": [0, 16]},
        {"at": [-8, 8]},
        {"at": [8, 8]},
        {"at": [0.0, 8]},
        {"dtype": "object"},
        {"dtype": ["float32"]},
        {"dtype": "complex64"},
    ],
)
def test_a_tensor_that_lies_about_itself_is_refused(changes):
    with pytest.raises(wire.WireError):
        wire.decode(tensor_spec(**changes), b"\0" * 8)


def test_many_claims_of_large_tensors_are_refused_before_anything_is_allocated():
    one = tensor_spec(shape=[1 << 24], stride=[0], at=[0, 4])
    with pytest.raises(wire.WireError, match="too large"):
        wire.decode({"list": [one] * 100}, b"\0" * 8)


def test_a_bool_byte_that_is_no_bool_becomes_one():
    found = wire.decode(tensor_spec(dtype="bool", at=[0, 2]), b"\7\0")
    assert found.view(torch.uint8).tolist() == [1, 0]


# --- frames ---


def frame(header, body=b"", magic=wire.MAGIC, header_size=None, body_size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    sizes = (len(text) if header_size is None else header_size, len(body) if body_size is None else body_size)
    return wire.HEAD.pack(magic, *sizes) + text + body


def read(raw, close=True, seconds=0.3):
    here, there = socket.socketpair()
    with here, there:
        writer = threading.Thread(target=_write, args=(there, raw, close))
        writer.start()
        try:
            return wire.recv(here, time.monotonic() + seconds)
        finally:
            here.close()
            writer.join()


def _write(sock, raw, close):
    try:
        sock.sendall(raw)
        if close:
            sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@quiet
@given(values)
def test_a_frame_carries_header_and_body(value):
    here, there = socket.socketpair()
    with here, there:
        buffers = []
        spec = wire.encode(value, buffers)
        sender = threading.Thread(target=wire.send, args=(there, {"v": spec}, buffers))
        sender.start()
        header, body = wire.recv(here, time.monotonic() + 10)
        sender.join()
    assert same(value, wire.decode(header["v"], body))


@pytest.mark.parametrize(
    "raw",
    [
        frame({}, magic=b"JUNK"),
        frame({}, header_size=wire.MAX_HEADER + 1),
        frame({}, body_size=wire.MAX_BODY + 1),
        frame({}, header_size=50),
        frame({}, body_size=50),
        frame(b"[]"),
        frame(b"{"),
        frame(b'{"a": NaN}'),
        frame(b'{"a": Infinity}'),
        frame(b"\xff\xfe"),
        frame(b'{"a":' + b"[" * 100_000),
        frame(b'{"a":' + b"9" * 100_000 + b"}"),
        pickle.dumps({"id": 1, "ok": 0}),
        frame({})[:5],
    ],
)
def test_a_broken_frame_is_refused(raw):
    with pytest.raises(wire.WireError):
        read(raw)


def test_silence_and_hanging_up_are_told_apart():
    with pytest.raises(EOFError):
        read(b"")
    with pytest.raises(TimeoutError):
        read(frame({"a": 1})[:7], close=False)


def test_a_reader_who_does_not_read_cannot_hold_the_writer():
    here, there = socket.socketpair()
    with here, there, pytest.raises(TimeoutError):
        wire.send(here, {}, [b"x" * (1 << 24)], time.monotonic() + 0.2)


@settings(quiet, max_examples=300)
@given(values, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_raise_nothing_but_wire_errors(value, flips):
    buffers = []
    raw = bytearray(frame({"v": wire.encode(value, buffers)}, b"".join(buffers)))
    for place, byte in flips:
        raw[place % len(raw)] = byte
    try:
        header, body = read(bytes(raw))
        wire.decode(header.get("v"), body)
    except (wire.WireError, EOFError):
        pass
