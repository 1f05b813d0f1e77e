"""Protocol buffers by their bytes: a message is a row of (number of a field, value), and that is all that is needed.

A value is an integer (varint), 4 or 8 bytes, or a run of bytes: text, packed numbers or a message inside. Source:
protobuf.dev, Encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5


class Broken(ValueError):
    """The bytes are no message: cut off, or of something else."""


def varint(data: memoryview, place: int) -> tuple[int, int]:
    """The unsigned number that begins at `place`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise Broken("it ends within a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise Broken("a number is longer than 10 bytes")


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of a message: an int for a varint, else the bytes."""
    place = 0
    while place < len(data):
        tag, place = varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, place = varint(data, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = varint(data, place)
        elif kind in (EIGHT, FOUR):
            size = 8 if kind == EIGHT else 4
        else:
            raise Broken(f"field {number} is of a kind {kind} that there is not")
        if size > len(data) - place:
            raise Broken(f"field {number} is cut off")
        yield number, data[place : place + size]
        place += size


def message(data: memoryview) -> dict[int, list[Any]]:
    """All values of a message by field number."""
    found: dict[int, list[Any]] = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)
    return found


def part(value: Any) -> memoryview:
    """A value that must be a run of bytes."""
    if not isinstance(value, memoryview):
        raise Broken("a number stands where a message or text is expected")
    return value


def text(value: Any) -> str:
    """A value that must be text."""
    try:
        return bytes(part(value)).decode()
    except UnicodeDecodeError:
        raise Broken("a name is no text") from None


def whole(value: Any) -> int:
    """A value that must be a varint."""
    if not isinstance(value, int):
        raise Broken("bytes stand where a number is expected")
    return value


def wholes(values: list[Any]) -> list[int]:
    """The numbers of a repeated varint, packed or one by one."""
    found = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        place = 0
        while place < len(value):
            number, place = varint(value, place)
            found.append(number)
    return found


def numbers(values: list[Any], kind: str) -> NDArray[Any]:
    """The floats of a repeated field, packed or one by one; `kind` is a NumPy type such as "<f4"."""
    parts = [part(value) for value in values]
    if any(len(one) % np.dtype(kind).itemsize for one in parts):
        raise Broken("a run of floats is cut off")
    return np.concatenate([np.frombuffer(one, kind) for one in parts]) if parts else np.empty(0, kind)
