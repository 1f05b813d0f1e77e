"""How the files of a data set are read: the largest picture, and the folder that keeps decoded labels.

`open_format` hangs a `Reading` on a data set; `formats.read_sample` makes it hold for the time of one read, so that the
functions that open files, and the formats that call them, need not pass it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The keys of [data] that say how files are read."""

    max_pixels: int = 100_000_000  # a picture with more is refused by its header; 0 = no limit
    cache: str = ""  # folder of decoded labels; "" = none


_DEFAULT = Reading()
_CURRENT: ContextVar[Reading] = ContextVar("reading", default=_DEFAULT)


def current() -> Reading:
    """What holds now."""
    return _CURRENT.get()


@contextmanager
def reading(settings: Reading) -> Iterator[None]:
    """`settings` hold in this block, in this thread."""
    token = _CURRENT.set(settings)
    try:
        yield
    finally:
        _CURRENT.reset(token)
