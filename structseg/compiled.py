"""Loops that Numba compiles: the one decorator, so that caching, threads and messages are the same everywhere.

A file with such loops imports Numba when it is loaded; so it is loaded inside the function that needs it first, never
by the face of a room. Rules that each cost a factor of five when broken: every computed index of a hot loop is wrapped
in `uintp`, or the loop stays scalar; the inner loop of a `parallel` function stands in its `prange` body.

`parallel=True` runs inside `threads`, on Numba's own work queue, which outlives a fork. What loader workers call is
compiled without it. The result is kept on disk beside the file, or in the user's cache where that cannot be written.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import numba
from numba.core import event

F = TypeVar("F", bound=Callable[..., Any])

uintp: Any = numba.uintp
prange: Any = numba.prange


def compiled(*, parallel: bool = False, fastmath: bool | Set[str] = False, inline: bool = False) -> Callable[[F], F]:
    """A function of plain loops over arrays -> the same, compiled for each kind of arguments on first use.

    `fastmath`: all liberties with float arithmetic, or LLVM's names of those that are taken. A division by zero gives
    what NumPy gives: a check would keep the loop scalar.
    """
    flags = fastmath if isinstance(fastmath, bool) else set(fastmath)
    made: Any = numba.njit(
        cache=True, nogil=True, parallel=parallel, fastmath=flags, error_model="numpy", forceinline=inline
    )
    decorate: Callable[[F], F] = made
    return decorate


@cache
def _start_threads() -> None:
    """Numba sets OpenMP's number of threads when it starts its own, for the calling thread, and torch reads it too.

    So this is done in a thread that ends: the number of threads that the user gave torch stays.
    """
    starter = threading.Thread(target=numba.get_num_threads)
    starter.start()
    starter.join()


_TURN = threading.Lock()
_CONFIG: Any = numba.config
if _CONFIG.THREADING_LAYER == "default":  # unless the user chose one: GNU OpenMP's threads end a process that forks
    _CONFIG.THREADING_LAYER = "workqueue"


@contextmanager
def threads(wanted: int) -> Iterator[int]:
    """Inside, parallel loops of this thread use `wanted` threads or, where that is less, all that Numba may start.

    Gives their number. One caller at a time: not every threading layer of Numba stands two.
    """
    with _TURN:
        _start_threads()
        before = numba.get_num_threads()
        count = max(1, min(wanted, _CONFIG.NUMBA_NUM_THREADS))
        numba.set_num_threads(count)
        try:
            yield count
        finally:
            numba.set_num_threads(before)


class _Announce(event.Listener):
    """Says on a terminal that something is compiled, once a process: the first time takes some seconds."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, started: Any) -> None:
        if not self.said and sys.stderr.isatty():
            print("compiling loops (once after installation, some seconds) ...", file=sys.stderr, flush=True)
        self.said = True

    def on_end(self, ended: Any) -> None:
        """Nothing to say."""


event.register("numba:compile", _Announce())
