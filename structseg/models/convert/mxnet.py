"""MXNet's .params files by their bytes: a list of arrays and their names.

    u64 0x112, u64 0, u64 count, arrays, u64 count, names (u64 length and text each)
    array: u32 0xF993FAC9 (or CA), i32 storage (0 = dense), u32 ndim, ndim x i64, i32 device, i32 its number,
           i32 type, values
    older: u32 0xF993FAC8, u32 ndim, ndim x i64, ...; oldest: u32 ndim, ndim x u32, ...

Little-endian, as MXNet writes them. Source: NDArray::Save of Apache MXNet 1.9.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.errors import CheckpointError

_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}
_MOST_AXES = 32


class _Bytes:
    def __init__(self, data: memoryview) -> None:
        self.data, self.place = data, 0

    def take(self, size: int) -> memoryview:
        if size > len(self.data) - self.place:
            raise ValueError("it is cut off")
        self.place += size
        return self.data[self.place - size : self.place]

    def read(self, form: str) -> Any:
        values = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))
        return values[0] if len(values) == 1 else values


def read_params(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays by name. Raises CheckpointError for a file that is cut off, is something else or has no names."""
    try:
        data = _Bytes(memoryview(path.read_bytes()))
        if data.read("QQ")[0] != _LIST:
            raise ValueError("it does not begin as one")
        arrays = [_array(data) for _ in range(data.read("Q"))]
        texts = [bytes(data.take(data.read("Q"))).decode() for _ in range(data.read("Q"))]
        if len(texts) != len(arrays) or data.place != len(data.data):
            raise ValueError(f"{len(arrays)} arrays, {len(texts)} names, {len(data.data) - data.place} bytes too many")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not a whole .params file of MXNet ({error}); copy it again") from None
    return dict(zip(texts, arrays, strict=True))


def _array(data: _Bytes) -> NDArray[Any]:
    first = data.read("I")
    if first in (_V2, _V3) and data.read("i") > 0:
        raise ValueError("it holds sparse arrays")
    axes = data.read("I") if first in (_V1, _V2, _V3) else first
    if axes > _MOST_AXES:
        raise ValueError(f"an array of {axes} axes")
    shape = [data.read("q" if first in (_V1, _V2, _V3) else "I") for _ in range(axes)]
    if axes == 0 and first != _V3:  # an array that was never filled
        return np.empty(0, np.float32)
    data.read("ii")  # the device
    kind = data.read("i")
    if kind not in _TYPES or min(shape, default=1) < 0:
        raise ValueError(f"an array of type {kind} and shape {shape}")
    count = int(np.prod(shape, dtype=object)) if shape else 1
    return np.frombuffer(data.take(count * np.dtype(_TYPES[kind]).itemsize), _TYPES[kind]).reshape(shape)
