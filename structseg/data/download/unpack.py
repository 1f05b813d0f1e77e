"""Archives into a folder, all or nothing, without trusting what they say.

A member with an absolute path, a `..`, a link or a device is refused, and with it the archive. Everything is written
into a folder beside the target first and moved there file by file at the end, so that a damaged archive leaves nothing.
All formats but plain .tar carry checksums of their content, which are looked at to the last byte.
"""

from __future__ import annotations

import errno
import glob
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from structseg.errors import DataError, first_line

_JUNK = "__MACOSX"  # a folder that archives made by macOS carry
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


def unpack(
    archive: Path,
    target: Path,
    *,
    inside: str = "",
    progress: Callable[[int, int], None] = lambda done, whole: None,
) -> tuple[Path, ...]:
    """Unpack a .zip or .tar into a folder; the files written there, relative to it.

    `inside`: only what lies in this folder of the archive, without the folder. `progress(done, whole)` counts files;
    whole is 0 where an archive must be read to know. Files that are there already are replaced.
    Raises DataError where the archive is damaged, holds a path or link that leads outside, or cannot be written here.
    """
    target.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{archive.name}.", suffix=".unpacking", dir=target))
    try:
        written = tuple(dict.fromkeys(_extract(archive, scratch, inside, progress)))  # a name may come twice
        if not written:
            raise DataError(f"{archive}: holds no file{f' in {inside}' if inside else ''}; it is not what was expected")
        for path in written:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch / path, target / path)
    except (*_DAMAGED, OSError) as error:
        if not (wrong := _wrong(error, archive, target)):
            raise
        raise DataError(wrong) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return written


def remove_leftovers(archive: Path, target: Path) -> None:
    """Remove what a killed process left while it unpacked; only where no other one can be at it."""
    for scratch in target.glob(f".{glob.escape(archive.name)}.*.unpacking"):
        shutil.rmtree(scratch, ignore_errors=True)


def _wrong(error: Exception, archive: Path, target: Path) -> str:
    """What the user can mend, as one line; "" for an error of the system that no archive causes."""
    match getattr(error, "errno", None):
        case None | errno.EINVAL if not getattr(error, "filename", None):  # also OSErrors of gzip, bz2 and zip's seek
            return f"{archive}: is damaged or no archive ({first_line(error)}); delete it and run again"
        case errno.ENOSPC:
            return f"{target}: the disk is full while unpacking {archive.name}; free some space"
        case errno.ENAMETOOLONG:
            return f"{archive}: holds a name that is too long for the disk of {target}; choose a folder on another one"
        case errno.EEXIST | errno.ENOTDIR | errno.EISDIR:
            return (
                f"{archive}: what is a file in it is a folder elsewhere in it or in {target}, or the other way round; "
                "choose an empty folder, or get the archive elsewhere"
            )
    return ""


def _extract(archive: Path, scratch: Path, inside: str, progress: Callable[[int, int], None]) -> Iterator[Path]:
    zipped = zipfile.is_zipfile(archive)
    for done, (name, source, whole) in enumerate(_zip(archive) if zipped else _tar(archive), 1):
        path = _within(archive, name, inside)
        if path is None:
            continue
        place = scratch / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with source, place.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        progress(done, whole)
        yield path


def _zip(archive: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    """Name, content and number of files of each file."""
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        need, free = sum(member.file_size for member in members), shutil.disk_usage(archive.parent).free
        if need > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for member in members:
            if (member.external_attr >> 16) & 0o170000 == 0o120000:
                raise _refused(archive, member.filename, "a link")
            yield member.filename, opened.open(member), len(members)


def _tar(archive: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isdir():
                continue
            content = opened.extractfile(member) if member.isfile() else None
            if content is None:
                raise _refused(archive, member.name, "a link" if member.issym() or member.islnk() else "a device")
            yield member.name, content, 0
        while opened.fileobj and opened.fileobj.read(1 << 20):  # gzip and xz have their checksums after the last member
            pass


def _within(archive: Path, name: str, inside: str) -> Path | None:
    """Where a member goes below the target; None for what is left out."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise _refused(archive, name, "a path that leads outside")
    if not path.parts or path.parts[0] == _JUNK or (inside and not path.is_relative_to(inside)):
        return None
    return Path(path.relative_to(inside))


def _refused(archive: Path, name: str, why: str) -> DataError:
    return DataError(f"{archive}: member {name!r} is {why}, so nothing was unpacked; get the archive elsewhere")
