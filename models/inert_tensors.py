"""Makes tensors and arrays of inert values, once their sizes are known to fit the bytes that are there.

Storages are parsed here instead of by `torch.load`, which allocates what a size claims before it
looks for the bytes, and needs two more copies. Here a storage goes once from the file into its tensor.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor

from models.inert_pickle import (
    Budget,
    Global,
    MalformedPickle,
    Object,
    Pairs,
    PersistentId,
    Span,
    quoted,
    read_value,
)


class WeightReader:
    """Reads the tensors and arrays of one open file. What several values share is read once."""

    def __init__(
        self, file: BinaryIO, budget: Budget, bytes_were_read: Callable[[int], None]
    ) -> None:
        """Keep `file` open as long as this is used.

        Args:
            file: The file that the inert values were read from.
            budget: What reading the storages' headers may spend.
            bytes_were_read: Called often, with the number of bytes read since; may raise to cancel.
        """
        self._file, self._budget, self._bytes_were_read = file, budget, bytes_were_read
        self._bytes: dict[Span, bytes] = {}
        self._storages: dict[Span, Tensor] = {}
        self._tensors: dict[int, Tensor] = {}  # by the id of the inert value

    def tensor(self, value: Object) -> Tensor:
        """Read a tensor on the CPU that does not require gradients. `is_tensor(value)` must hold.

        Raises:
            MalformedPickle: Its sizes do not fit its bytes, or networks do not have its kind.
        """
        if id(value) not in self._tensors:
            layout = _tensor_layout(value)
            storage = self._storage(layout.storage)
            layout.check(len(storage))
            # Without elements the offset means nothing, and may lie anywhere.
            offset = 0 if 0 in layout.size else layout.offset
            self._tensors[id(value)] = storage.as_strided(layout.size, layout.stride, offset)
        return self._tensors[id(value)]

    def array(self, value: Object) -> np.ndarray:
        """Read a NumPy array, or a NumPy scalar as one of no dimensions. `is_array(value)` must hold.

        It is not writable: several arrays may share their bytes.

        Raises:
            MalformedPickle: Its shape does not fit its bytes, or it does not hold numbers.
        """
        raw, dtype, shape, order = _array_layout(value)
        numbers = self.raw(raw)
        if len(numbers) != math.prod(shape) * dtype.itemsize:
            raise _sizes_lie()
        return np.ndarray(shape, dtype, buffer=numbers, order=order)

    def raw(self, value: object) -> bytes:
        """Read a byte string, once however many values share it.

        Raises:
            MalformedPickle: `value` is none.
        """
        match value:
            case Span(start, length):
                if value not in self._bytes:
                    self._file.seek(start)
                    self._bytes[value] = self._file.read(length)
                    self._bytes_were_read(length)
                return self._bytes[value]
            case Object(Global("_codecs", "encode"), (str(text), "latin1")):  # as protocol 2 has it
                self._budget.spend(text=len(text))
                return text.encode("latin1", errors="replace")
        raise MalformedPickle(f"holds {describe(value)} where bytes should be. {_USE}")

    def _storage(self, call: object) -> Tensor:
        """Read the storage that a tensor looks into, as one long tensor."""
        if not isinstance(call, Object) or _name(call.maker) != "torch.storage._load_from_bytes":
            raise MalformedPickle(f"holds a tensor whose numbers are {describe(call)}. {_USE}")
        span = call.args[0] if call.args else None
        if not isinstance(span, Span):
            raise MalformedPickle(f"holds a tensor whose numbers are {describe(span)}. {_USE}")
        if span not in self._storages:
            self._file.seek(span.start)
            is_zip = self._file.read(2) == b"PK"
            self._storages[span] = (
                self._zipped_storage(span) if is_zip else self._plain_storage(span)
            )
        return self._storages[span]

    def _plain_storage(self, span: Span) -> Tensor:
        """Read what `torch.save` wrote before it wrote zip files, and still writes in pickles.

        Five pickles (a magic number, a version, the byte order, a reference to the storage, a list
        of keys), then the number of elements in 8 bytes, then the elements.
        """
        file, end = self._file, span.start + span.length
        file.seek(span.start)

        def next_value() -> object:
            return read_value(file, end, self._budget, allow_persistent_ids=True)

        if next_value() != _MAGIC_NUMBER or next_value() != _PROTOCOL_VERSION:
            raise MalformedPickle(f"holds weights in an unknown layout. {_USE}")
        system = next_value()
        if isinstance(system, Pairs) and ("little_endian", False) in system.pairs:
            raise MalformedPickle(f"was written on a big-endian machine. {_USE}")
        dtype, key, count = _storage_reference(next_value())
        keys = next_value()
        if keys != [key] or file.read(8) != count.to_bytes(8, "little"):
            raise _sizes_lie()
        if file.tell() + count * dtype.itemsize != end:
            raise _sizes_lie()
        return _as_elements(self._read_into_tensor(file, count * dtype.itemsize), dtype)

    def _zipped_storage(self, span: Span) -> Tensor:
        """Read what `torch.save` writes now: a zip with `NAME/data.pkl` and `NAME/data/KEY`."""
        try:
            self._file.seek(span.start)
            with zipfile.ZipFile(io.BytesIO(self._file.read(span.length))) as archive:
                pickled = _stored(archive, "/data.pkl")
                reference = read_value(
                    io.BytesIO(pickled), len(pickled), self._budget, allow_persistent_ids=True
                )
                dtype, key, count = _storage_reference(reference)
                elements = _stored(archive, f"/data/{key}")
        except _ZIP_ERRORS as error:
            raise MalformedPickle("holds damaged weights. Download it again.") from error
        if len(elements) != count * dtype.itemsize:
            raise _sizes_lie()
        return _as_elements(self._read_into_tensor(io.BytesIO(elements), len(elements)), dtype)

    def _read_into_tensor(self, file: BinaryIO, length: int) -> Tensor:
        """Read `length` bytes, which the caller knows to be there. [length] uint8"""
        try:
            tensor = torch.empty(length, dtype=torch.uint8)
        except RuntimeError as error:  # torch's way to say that memory is exhausted
            raise MalformedPickle("does not fit into memory. Close other programs.") from error
        destination = tensor.numpy().data
        for start in range(0, length, _CHUNK):
            part = destination[start : start + _CHUNK]
            if file.readinto(part) < len(part):  # type: ignore[attr-defined]  # BinaryIO lacks it
                raise MalformedPickle("became shorter while it was read. Open it again.")
            self._bytes_were_read(len(part))
        return tensor


def is_tensor(value: object) -> bool:
    """Say whether an inert value is meant to be a tensor or a parameter."""
    return isinstance(value, Object) and _name(value.maker) in _TENSOR_MAKERS


def is_array(value: object) -> bool:
    """Say whether an inert value is meant to be a NumPy array or scalar."""
    return isinstance(value, Object) and _name(value.maker) in _ARRAY_MAKERS


def is_array_scalar(value: object) -> bool:
    """Say whether an inert value is meant to be a NumPy scalar."""
    return isinstance(value, Object) and _name(value.maker) in _SCALAR_MAKERS


def describe(value: object) -> str:
    """Name an inert value in a sentence: "a dict", "a call of posix.system"."""
    if isinstance(value, Global):
        return f"the name {quoted(value.dotted)}"
    if isinstance(value, Object):
        return f"a call of {quoted(_name(value.maker) or 'something computed')}"
    names = {Pairs: "a dict", Span: "a byte string", type(None): "nothing", str: "a text"}
    names |= {int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")


@dataclass(frozen=True)
class _TensorLayout:
    """Where in a storage a tensor's elements lie; in elements, not bytes."""

    storage: object
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def check(self, available: int) -> None:
        """Raise unless all elements lie among the `available` ones and are no more than these."""
        numbers = (self.offset, *self.size, *self.stride)
        if not all(type(number) is int and 0 <= number < _LARGEST for number in numbers):
            raise _sizes_lie()
        if len(self.size) != len(self.stride) or len(self.size) > 16:
            raise _sizes_lie()
        # A tensor of no elements may still have sizes whose product overflows.
        if math.prod(max(length, 1) for length in self.size) >= _LARGEST:
            raise _sizes_lie()
        if 0 in self.size:
            return
        steps = ((length - 1) * step for length, step in zip(self.size, self.stride, strict=True))
        if self.offset + sum(steps) >= available or math.prod(self.size) > available:
            raise _sizes_lie()


def _tensor_layout(value: Object) -> _TensorLayout:
    """Look through the calls that wrap a tensor (a parameter, a subclass) at its description."""
    name, args = _name(value.maker), value.args
    for _ in range(3):
        if name in _PARAMETER_MAKERS and args and isinstance(args[0], Object):
            name, args = _name(args[0].maker), args[0].args
        elif name == "torch._tensor._rebuild_from_type_v2" and len(args) == 4:
            name, args = _name(args[0]), args[2] if isinstance(args[2], tuple) else ()
    if name != "torch._utils._rebuild_tensor_v2" or len(args) < 4:
        raise MalformedPickle(f"holds a tensor of a kind that is not known ({name}). {_USE}")
    storage, offset, size, stride = args[:4]
    size, stride = _as_size(size), _as_size(stride)
    if not isinstance(offset, int) or size is None or stride is None:
        raise _sizes_lie()
    return _TensorLayout(storage, offset, size, stride)


def _as_size(value: object) -> tuple | None:
    """Unwrap a tuple, written as such or as a `torch.Size`."""
    if isinstance(value, Object) and _name(value.maker) == "torch.Size" and len(value.args) == 1:
        value = value.args[0]
    return value if isinstance(value, tuple) else None


def _storage_reference(reference: object) -> tuple[torch.dtype, str, int]:
    """Take apart what torch writes for a storage: its element type, key and element count."""
    match reference:
        case PersistentId(
            (
                "storage",
                Global("torch" | "torch.cuda" | "torch.storage", kind),
                str(key),
                str(),
                int(count),
                *rest,
            )
        ) if kind in _DTYPES and rest in ([], [None]) and 0 <= count < _LARGEST:
            return _DTYPES[kind], key, count
    raise MalformedPickle(f"holds weights in an unknown layout. {_USE}")


def _as_elements(raw: Tensor, dtype: torch.dtype) -> Tensor:
    """Read bytes as numbers. Booleans are made anew: a byte that is not 0 or 1 is undefined."""
    return raw != 0 if dtype == torch.bool else raw.view(dtype)


def _stored(archive: zipfile.ZipFile, ending: str) -> bytes:
    """Read an uncompressed member: one that cannot be larger than the archive."""
    for member in archive.infolist():
        if member.filename.endswith(ending) and member.compress_type == zipfile.ZIP_STORED:
            return archive.read(member)
    raise KeyError(ending)


def _array_layout(value: Object) -> tuple[object, np.dtype, tuple[int, ...], Literal["C", "F"]]:
    """Take apart the three ways in which NumPy pickles: raw bytes, element type, shape, order."""
    name = _name(value.maker)
    match (value.args, value.state):
        case ((dtype, raw), _) if name in _SCALAR_MAKERS:
            return raw, _dtype(dtype), (), "C"
        case (_, (int(), shape, dtype, bool(fortran), raw)) if name in _RECONSTRUCTORS:
            return raw, _dtype(dtype), _shape(shape), "F" if fortran else "C"
        case ((raw, dtype, shape, "C" | "F" as order, *_), _) if name in _FROM_BUFFER:
            return raw, _dtype(dtype), _shape(shape), order
    raise MalformedPickle(f"holds an array in an unknown layout. {_USE}")


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > 16:
        raise _sizes_lie()
    if not all(type(length) is int and 0 <= length < _LARGEST for length in value):
        raise _sizes_lie()
    if math.prod(max(length, 1) for length in value) >= _LARGEST:
        raise _sizes_lie()
    return value


def _dtype(value: object) -> np.dtype:
    """Rebuild an element type: numbers only, never objects, texts or records."""
    if isinstance(value, Object) and _name(value.maker) == "numpy.dtype" and value.args:
        code, state = value.args[0], value.state
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        if isinstance(code, str) and code in _ARRAY_CODES and order in ("<", ">", "=", "|"):
            return np.dtype(f"{order}{code}")
    raise MalformedPickle(f"holds an array of something other than numbers. {_USE}")


def _name(maker: object) -> str | None:
    return maker.dotted if isinstance(maker, Global) else None


def _sizes_lie() -> MalformedPickle:
    return MalformedPickle(
        "holds a tensor whose sizes do not fit the numbers that are there. Download it again."
    )


_USE = "Only published CGS-GAN files can be opened."
_CHUNK = 8 << 20  # bytes; small enough to cancel between two, large enough to cost nothing
_LARGEST = 1 << 48  # elements or bytes; sums and products of a few stay far from overflow in torch
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # of torch.save's older layout
_PROTOCOL_VERSION = 1001
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    ValueError,
    EOFError,
    OverflowError,  # an offset beyond what a seek can take
    RuntimeError,  # "is encrypted"; also NotImplementedError
    OSError,
)

_PARAMETER_MAKERS = {
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
}
_TENSOR_MAKERS = {
    "torch._utils._rebuild_tensor_v2",
    "torch._tensor._rebuild_from_type_v2",
    *_PARAMETER_MAKERS,
}
_SCALAR_MAKERS = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}
_RECONSTRUCTORS = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"}
_FROM_BUFFER = {"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"}
_ARRAY_MAKERS = _SCALAR_MAKERS | _RECONSTRUCTORS | _FROM_BUFFER
_ARRAY_CODES = {"b1", "f2", "f4", "f8", "c8", "c16"} | {
    f"{sign}{n}" for sign in "iu" for n in (1, 2, 4, 8)
}
_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
