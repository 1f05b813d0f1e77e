"""TensorFlow checkpoints by their bytes, both kinds: variables by name.

V2 is NAME.index, a sorted table of names to entries (type, shape, shard, place, sum), and NAME.data-00000-of-00001 ...,
the values. V1 is one file, such a table whose values hold everything. The table is LevelDB's: blocks of rows with
shared beginnings of names, and an index block of where blocks lie. Sums (CRC-32C) are checked, so a flipped bit shows.
Source: tensorflow/core/protobuf/tensor_bundle.proto, core/util/saved_tensor_slice.proto, LevelDB's table format.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.errors import CheckpointError
from structseg.models.convert.wire import Broken, message, numbers, part, signed, text, varint, whole, wholes

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
_TYPES = {  # DataType -> NumPy's name and the field of TensorProto that holds values one by one
    1: ("<f4", 5),
    2: ("<f8", 6),
    3: ("<i4", 7),
    4: ("u1", 7),
    9: ("<i8", 10),
    10: ("?", 11),
    19: ("<f2", 13),
}
_TEXT = 7  # DT_STRING: what Keras keeps beside its variables; no weights


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Variables by name; `path` is NAME or NAME.index of a V2 checkpoint, or the file of a V1 one.

    Variables of text are left out. Raises CheckpointError for files that are missing, cut off, damaged or others.
    """
    index = path if path.suffix == ".index" else path.with_name(f"{path.name}.index")
    try:
        if index.is_file():
            return _read_v2(index)
        if not path.is_file():
            raise CheckpointError(f"{path}: there is neither this file nor {index.name}")
        return _read_v1(path)
    except (ValueError, struct.error) as error:
        broken = index if index.is_file() else path
        raise CheckpointError(f"{broken}: not a whole checkpoint of TensorFlow ({error}); copy it again") from None


def _read_v2(index: Path) -> dict[str, NDArray[Any]]:
    entries = dict(table(memoryview(index.read_bytes())))
    if b"" not in entries:
        raise Broken("its header is missing")
    header = message(entries.pop(b""))
    if whole(header.get(2, [0])[0]) != 0:
        raise Broken("it was written on a big-endian machine")
    count = whole(header.get(1, [0])[0])
    shards: dict[int, memoryview] = {}
    found = {}
    for name, value in entries.items():
        entry = message(value)
        if whole(entry.get(1, [0])[0]) == _TEXT:
            continue
        shard = whole(entry.get(3, [0])[0])
        if shard not in shards:
            shards[shard] = _shard(index, shard, count)
        found[name.decode()] = _entry(name.decode(), entry, shards[shard])
    return found


def _shard(index: Path, number: int, count: int) -> memoryview:
    path = index.with_name(f"{index.name.removesuffix('.index')}.data-{number:05d}-of-{count:05d}")
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: it holds the values of {index.name}; copy it there")
    with path.open("rb") as file:
        return (
            memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if path.stat().st_size else memoryview(b"")
        )


def _entry(name: str, entry: dict[int, list[Any]], shard: memoryview) -> NDArray[Any]:
    if 7 in entry:
        raise Broken(f"{name} is kept in slices, which is not supported")
    kind, _ = _type(name, whole(entry.get(1, [0])[0]))
    shape = _shape(entry.get(2, []))
    place, size = (whole(entry.get(field, [0])[0]) for field in (4, 5))
    if size != _count(shape) * np.dtype(kind).itemsize:
        raise Broken(f"{name} has {size} bytes for the shape {shape}")
    if place + size > len(shard):
        raise Broken(f"its data file is cut off within {name}")
    values = np.frombuffer(shard, "u1", size, place)
    if 6 in entry and _sum(values) != struct.unpack("<I", part(entry[6][0]))[0]:
        raise Broken(f"the values of {name} are damaged")
    return values.view(kind).reshape(shape)


def _read_v1(path: Path) -> dict[str, NDArray[Any]]:
    """The first row, of the empty key, tells type and shape of every variable; the others hold values."""
    found: dict[str, NDArray[Any]] = {}
    known: dict[str, tuple[int, tuple[int, ...]]] = {}
    for key, value in table(memoryview(path.read_bytes())):
        saved = message(value)
        if key == b"":
            for variable in message(_only(saved, 1)).get(1, []):
                facts = message(part(variable))
                known[text(_only(facts, 1))] = whole(facts.get(3, [0])[0]), _shape(facts.get(2, []))
            continue
        for row in saved.get(2, []):
            facts = message(part(row))
            name = text(_only(facts, 1))
            kind, shape = known.get(name, (0, ()))
            if kind == _TEXT:
                continue
            values = _values(message(_only(facts, 3)), *_type(name, kind))
            if name in found or values.size != _count(shape):
                raise Broken(f"{name} is kept in slices, which is not supported")
            found[name] = values.reshape(shape)
    if missing := sorted(name for name, (kind, _) in known.items() if name not in found and kind != _TEXT):
        raise Broken(f"the values of {missing[0]} are missing")
    return found


def _only(found: dict[int, list[Any]], field: int) -> Any:
    if field not in found:
        raise Broken(f"field {field} is missing")
    return found[field][0]


def _values(tensor: dict[int, list[Any]], kind: str, field: int) -> NDArray[Any]:
    """Flat values of a TensorProto."""
    if 4 in tensor:
        return numbers(tensor[4], kind)
    if kind in ("<f4", "<f8"):
        return numbers(tensor.get(field, []), kind)
    values = [signed(one) for one in wholes(tensor.get(field, []))]
    if kind == "<f2":  # half floats stand as the integers of their bits
        return np.array([one & 0xFFFF for one in values], "<u2").view("<f2")
    return np.array(values, "<i8").astype(kind)


def _type(name: str, number: int) -> tuple[str, int]:
    if number not in _TYPES:
        raise Broken(f"{name} has the type {number}, which is not supported")
    return _TYPES[number]


def _shape(values: list[Any]) -> tuple[int, ...]:
    """Of a TensorShapeProto."""
    axes = [message(part(axis)) for value in values for axis in message(part(value)).get(2, [])]
    shape = tuple(signed(whole(axis.get(1, [0])[0])) for axis in axes)
    if min(shape, default=0) < 0:
        raise Broken(f"a shape {shape}")
    return shape


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=object)) if shape else 1


# ------------------------------------------------------------------------------------------------ the table


def table(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """(key, value) of every row of a LevelDB table. Raises Broken."""
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise Broken("it does not end as one")
    _, place = _handle(data, len(data) - FOOTER)  # of the meta index, which TensorFlow leaves empty
    index, _ = _handle(data, place)
    for _, value in _rows(_block(data, *index)):
        yield from _rows(_block(data, *_handle(value, 0)[0]))


def _handle(data: memoryview, place: int) -> tuple[tuple[int, int], int]:
    """Where a block lies and its size; where the handle ends."""
    offset, place = varint(data, place)
    size, place = varint(data, place)
    return (offset, size), place


def _block(data: memoryview, place: int, size: int) -> memoryview:
    end = place + size
    if end + 5 > len(data):
        raise Broken("a block is cut off")
    if data[end] != 0:
        raise Broken("it is compressed, which is not supported")
    if _sum(np.frombuffer(data, "u1", size + 1, place)) != struct.unpack("<I", data[end + 1 : end + 5])[0]:
        raise Broken("a block is damaged")
    return data[place:end]


def _rows(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Rows of a block: how much of the last key is shared, how much is new, size of the value, new part, value."""
    if len(block) < 4:
        raise Broken("a block is cut off")
    end = len(block) - 4 * (struct.unpack("<I", block[-4:])[0] + 1)  # places to jump to stand at the end
    place, key = 0, b""
    while place < end:
        shared, place = varint(block, place)
        new, place = varint(block, place)
        size, place = varint(block, place)
        if shared > len(key) or place + new + size > end:
            raise Broken("a row is cut off")
        key = key[:shared] + bytes(block[place : place + new])
        yield key, block[place + new : place + new + size]
        place += new + size


def _sum(values: NDArray[Any]) -> int:
    """CRC-32C, turned and shifted as LevelDB keeps it."""
    from structseg.models.convert.crc_loops import crc32c

    crc = int(crc32c(values))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
