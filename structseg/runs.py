"""Run folders: their names, atomic writes, metadata. No torch.

A file is written beside its place, flushed to the disk and renamed over it, so a reader or a killed run never sees
half of it. What a run folder holds:

    config.toml  log.jsonl  metrics.json  per_image.npz  model.safetensors  ema.safetensors  meta.json  last/  pictures/
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from structseg.errors import CheckpointError, DataError

CONFIG = "config.toml"
LOG = "log.jsonl"
METRICS = "metrics.json"
PER_IMAGE = "per_image.npz"
MODEL = "model.safetensors"
EMA = "ema.safetensors"
META = "meta.json"
STATE = "last/state.pt"
PICTURES = "pictures"
REPORT = "report.html"
LOCK = ".lock"


def write_file(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Make `path` from what `write(file)` writes: all of it or, if anything fails, nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise DataError(f"cannot write {path}: {error.strerror or error}") from error
        raise
    _sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write UTF-8. `errors` is for names of files that are none: "backslashreplace" writes their bytes as \\udcXX."""
    write_file(path, lambda file: file.write(text.encode(errors=errors)))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", errors="backslashreplace")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; is {path.parent} the folder of a finished run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); train or evaluate again") from None


def read_log(run: Path) -> list[dict[str, Any]]:
    """The rows of `log.jsonl`; a last line cut by a kill is left out."""
    path = run / LOG
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def leftovers(folder: Path) -> list[Path]:
    """Half-written files and the lock that a killed process left below `folder`; they were never part of it."""
    return sorted(path for pattern in (".*.part", LOCK) for path in folder.rglob(pattern) if path.is_file())


def is_run(path: Path) -> bool:
    return (path / CONFIG).is_file()


def check_writable(path: Path) -> None:
    """Raise DataError if nothing can be written into a folder `path`; called before long work."""
    place = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not place.is_dir():
        raise DataError(f"cannot write {path}: {place} is not a folder")
    if not os.access(place, os.W_OK):
        raise DataError(f"cannot write {path}: no permission in {place}")


def check_file(path: Path) -> None:
    """Raise DataError if no file can be written at `path`; called before long work."""
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder; name a file in it")
    check_writable(path.parent if path.exists() else path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time trains in `folder`; raises DataError where another one does."""
    path = folder / LOCK
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(f"{folder} is in use by another process; wait for it or choose another --out") from None
            if not _lies_at(path, file):  # its last owner took it away after we opened it: this lock keeps nobody out
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _lies_at(path: Path, file: IO[str]) -> bool:
    """Whether the open `file` is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """A new folder for a run's output; taken away again if the block fails before it wrote anything worth keeping."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise DataError(f"no permission to write in {path}; choose another --out")
    try:
        yield path
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
