"""Lines for the person, on stderr: what is done, and how far long work is. No torch.

On a terminal the progress line is rewritten in place; elsewhere lines stand one below the other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

LIVE, PLAIN = 0.2, 15.0  # seconds between two lines of a counter, on a terminal and elsewhere


class Console:
    """Says lines that stay and lines of progress; nothing at all with `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = sys.stderr.isatty()
        self._open = False

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            print(f"\n{text}" if self._open else text, file=sys.stderr, flush=True)
            self._open = False

    def progress(self, text: str) -> None:
        """A line that the next one replaces on a terminal."""
        if self.quiet:
            return
        if self.live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._open = True
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line of progress away."""
        if self._open:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._open = False

    def counter(self) -> Callable[[int, int], None]:
        """`show(done, whole)` for work on pictures: how many are done, the rate and the time left, now and then.

        The line goes when all are done. Where there is no terminal, work of less than `PLAIN` seconds says nothing.
        """
        pause = LIVE if self.live else PLAIN
        first, began, last = 0, 0.0, 0.0

        def show(done: int, whole: int) -> None:
            nonlocal first, began, last
            now = time.perf_counter()
            if done == whole:
                self.clear()
            elif not first:  # it also waits for what is compiled and warmed up, so the rate is that of the others
                first, began, last = done, now, now
                if self.live:
                    self.progress(f"{done}/{whole} pictures")
            elif now - last >= pause:
                last, rate = now, (done - first) / (now - began)
                shown = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
                self.progress(f"{done}/{whole} pictures  {shown}/s  {duration((whole - done) / rate)} left")

        return show


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
