"""Public sets and published checkpoints, fetched by the user from their publishers.

    files of an entry -> NAME.part (resumed) -> size and checksum -> NAME, or unpacked   + NAME.sha256

A file appears under its name only when it is whole and checked. Its sha256 is written beside it as `sha256sum` reads
it, whether one is published or not; that note also marks what is done, so that a second call does nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from structseg import published, runs
from structseg.data.download import transfer
from structseg.data.download.catalogue import Entry, File, readable
from structseg.data.download.public_sets import SETS
from structseg.data.download.published_weights import WEIGHTS
from structseg.data.download.unpack import remove_leftovers, unpack
from structseg.errors import ConfigError, DataError, did_you_mean

Say = Callable[[str], None]
Watch = Callable[[str], transfer.Progress]  # what is being done -> what counts it


def catalogue() -> dict[str, Entry]:
    """All there is by name: sets first, then checkpoints."""
    return {entry.name: entry for entry in (*SETS, *WEIGHTS)}


def find(name: str) -> Entry:
    """The entry of a name; raises ConfigError where there is none, DataError where it needs an account."""
    known = catalogue()
    if name not in known:
        hint = published.where(name) or f"{did_you_mean(name, known)} (structseg list downloads)"
        raise ConfigError(f"there is no download '{name}'{hint}")
    entry = known[name]
    if entry.register:
        reader = f", then give data.format={entry.format} and data.root" if entry.format else ""
        raise DataError(
            f"{name} needs an account, so fetch it yourself: register at {entry.register}, and unpack so that one "
            f"folder holds {entry.layout}{reader}"
        )
    return entry


def with_announced_sizes(entry: Entry) -> Entry:
    """The entry, to be shown, with what servers say where no size is published; one that is silent is asked once."""
    files, silent = [], set[str]()
    for file in entry.files:
        host = urlsplit(file.address).netloc
        size = file.size or (0 if host in silent else transfer.announced(file.address))
        silent |= {host} if not size else set()
        files.append(replace(file, size=size))
    return replace(entry, files=tuple(files))


def is_done(entry: Entry, folder: Path) -> bool:
    """Whether everything of an entry lies in the folder, as noted when it was checked."""
    return all(_is_done(file, folder) for file in entry.files)


def download(
    entry: Entry,
    folder: Path,
    *,
    say: Say = print,
    watch: Watch = lambda what: lambda done, whole: None,
    timeout: float = transfer.TIMEOUT,
) -> None:
    """Fetch, check and unpack all files of an entry into `folder`; go on where an earlier call stopped.

    Raises DataError, one line that says what to do, where something cannot be had or is not what it should be.
    """
    with runs.fresh_folder(folder), runs.locked(folder):
        for file in entry.files:
            remove_leftovers(folder / file.filename, folder / file.into)
        _check_space(entry, folder)
        for file in entry.files:
            if _is_done(file, folder):
                say(f"{file.filename}: there already")
            else:
                _one(file, folder, say, watch, timeout)


def _check_space(entry: Entry, folder: Path) -> None:
    """Room for all that is to come, and for the largest archive beside its content; sizes not known count as 0."""
    left = [file for file in entry.files if not _is_done(file, folder)]
    arrived = sum(path.stat().st_size for file in left for path in _arrived(file, folder))
    twice = max((file.size for file in left if file.unpack), default=0)
    transfer.check_space(folder, sum(file.size for file in left) + twice - arrived)


def _arrived(file: File, folder: Path) -> list[Path]:
    """What is there of a file that is not done."""
    return [path for path in (folder / file.filename, folder / f"{file.filename}.part") if path.is_file()]


def _one(file: File, folder: Path, say: Say, watch: Watch, timeout: float) -> None:
    place = folder / file.filename
    if not place.is_file():
        part = place.with_name(f"{place.name}.part")
        transfer.fetch(file.address, part, size=file.size, progress=watch(file.filename), timeout=timeout)
        digest = _checked(file, part, say, ours=True)
        part.replace(place)
        transfer.forget(part)
    else:
        digest = _checked(file, place, say, ours=False)
    note = f"{digest}  {file.filename}\n"
    if file.unpack:
        written = unpack(place, folder / file.into, inside=file.inside, progress=watch(f"unpacking {file.filename}"))
        last = (Path(file.into) / written[-1]).as_posix()
        note = f"# unpacked, {len(written)} files, the last one: {last}\n{note}"
        say(f"{file.filename}: {len(written)} files unpacked, the archive is taken away")
    runs.write_text(_note(file, folder), note)
    if file.unpack:
        place.unlink()


def _note(file: File, folder: Path) -> Path:
    return folder / f"{file.filename}.sha256"


def _is_done(file: File, folder: Path) -> bool:
    try:
        lines = _note(file, folder).read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    witness = lines[0].partition("the last one: ")[2] if file.unpack and lines else file.filename
    return bool(witness) and (folder / witness).is_file()


def _checked(file: File, path: Path, say: Say, *, ours: bool) -> str:
    """The sha256 of a file that is as published. Of what was fetched (`ours`), nothing that is not is left behind."""
    size = path.stat().st_size
    sha256, md5 = digests(path)
    found, expected = (sha256, file.sha256) if file.sha256 else (md5, file.md5)
    wrong = ""
    if file.size and size != file.size:
        wrong = f"has {size} bytes, not {file.size}"
    elif not found.startswith(expected.lower()):
        wrong = f"has the {'sha256' if file.sha256 else 'md5'} {found}, not {expected}"
    if wrong and ours:
        transfer.forget(path)
        raise DataError(
            f"{file.address}: what arrived {wrong}, and was removed; run again, or look at the publisher's page"
        )
    if wrong:
        raise DataError(f"{path}: {wrong}, so it is not the published file; move it away and run again")
    say(f"{file.filename}: {readable(size)}, {file.check}{' is right' * bool(expected)}; its sha256 is {sha256}")
    return sha256


def digests(path: Path) -> tuple[str, str]:
    """sha256 and md5 of a file, hexadecimal."""
    sums = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            for each in sums:
                each.update(block)
    return sums[0].hexdigest(), sums[1].hexdigest()
