"""`structseg download`: public sets and published checkpoints, from their publishers, after a look at the terms."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from structseg.data.download.catalogue import Entry


def download(
    name: Annotated[str, typer.Argument(help="What to fetch; without it, what there is.", show_default=False)] = "",
    *,
    out: Annotated[Path | None, typer.Option(help="The folder to fetch into; default: data/NAME.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="The terms are read and accepted: do not ask.")] = False,
) -> None:
    """Fetch a public set or a published checkpoint. Run again to go on where it stopped."""
    from structseg.data.download import download as fetch
    from structseg.data.download import find, is_done, with_announced_sizes

    if not name:
        print("\n".join(table()))
        return
    entry = find(name)
    folder = out or Path("data") / name
    if is_done(entry, folder):
        print(f"{name} is in {folder} already")
    else:
        asking = sys.stdin.isatty() and sys.stdout.isatty()
        print("\n".join(_described(with_announced_sizes(entry) if yes or asking else entry, folder)), flush=True)
        _confirm(yes=yes, asking=asking)
        fetch(entry, folder, say=_say, watch=_watch)
        print(f"{name} is in {folder}")
    if entry.use:
        print(f"next: {entry.use.replace('FOLDER', str(folder))}")


def table() -> list[str]:
    """A line for each entry: name, size, what it is, licence."""
    from structseg.data.download import catalogue

    entries = catalogue().values()
    width = max(len(entry.name) for entry in entries)
    return [f"{entry.name:{width}}  {entry.said_size:>14}  {entry.about} [{entry.licence}]" for entry in entries]


def _described(entry: Entry, folder: Path) -> list[str]:
    from structseg.data.download.catalogue import readable

    lines = [f"{entry.name}: {entry.about}", f"licence: {entry.licence} ({entry.terms})"]
    lines += [f"  {file.address}  {readable(file.size)}, {file.check}" for file in entry.files]
    return [*lines, f"to {folder}, {entry.said_size}{f', for data.format={entry.format}' * bool(entry.format)}"]


def _confirm(*, yes: bool, asking: bool) -> None:
    from structseg.errors import ConfigError

    if yes:
        return
    if not asking:
        raise ConfigError("nobody can be asked whether these terms are accepted; read them, and give --yes")
    if not typer.confirm("Do you accept these terms, and download?"):
        raise ConfigError("not confirmed, so nothing was downloaded")


def _say(text: str) -> None:
    """A line that stays, in the place of a progress line."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    print(text, flush=True)


def _watch(what: str) -> Callable[[int, int], None]:
    """A line that is rewritten on a terminal, with rate and time left; elsewhere a line for every tenth."""
    unpacking = what.startswith("unpacking ")
    began, last, first, tenth = time.perf_counter(), 0.0, -1, 0

    def show(done: int, whole: int) -> None:
        nonlocal last, first, tenth
        first = done if first < 0 else first
        now = time.perf_counter()
        if sys.stderr.isatty():
            if done == whole or now - last >= 0.2:
                last = now
                line = _line(what, done, whole, (done - first) / max(now - began, 1e-9), files=unpacking)
                print("\r\x1b[K" if done == whole else f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif not unpacking and whole and 10 * done // whole > tenth:
            tenth = 10 * done // whole
            print(_line(what, done, whole, (done - first) / max(now - began, 1e-9), files=False), flush=True)

    return show


def _line(what: str, done: int, whole: int, rate: float, *, files: bool) -> str:
    """`NAME  1.2 GB of 2.0 GB  11 MB/s  72 s left`, or files while unpacking."""
    from structseg.data.download.catalogue import readable

    if files:
        return f"{what}  {done}{f' of {whole}' if whole else ''} files  {rate:.0f}/s"
    text = f"{what}  {readable(done) if done else 'begins'}"
    if whole:
        text += f" of {readable(whole)}"
    if rate:
        text += f"  {readable(rate)}/s"
        text += f"  {(whole - done) / rate:.0f} s left" if whole else ""
    return text
