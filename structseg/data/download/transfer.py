"""One file over HTTP, going on where an earlier try stopped.

What has arrived lies in NAME.part, and beside it NAME.part.json says of which state of the file it is a part (ETag or
Last-Modified, and the whole size). A later try asks for the rest (RFC 9110, section 14) and takes it only where the
server says that the file is still the same; in every other case it starts from the beginning.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from structseg import runs
from structseg.data.download.catalogue import readable
from structseg.errors import DataError

Progress = Callable[[int, int], None]
HEADERS = {"User-Agent": "structseg", "Accept-Encoding": "identity"}
TIMEOUT = 60.0  # seconds without a byte
BLOCK = 1 << 18
SPARE = 1 << 24  # bytes that stay free on the disk


@dataclass(frozen=True)
class State:
    """Which state of a file a part belongs to; "" and 0 = the server did not say."""

    address: str
    mark: str = ""  # ETag, else Last-Modified
    total: int = 0


def fetch(address: str, part: Path, *, size: int = 0, progress: Progress, timeout: float = TIMEOUT) -> None:
    """Complete `part` with what lies at `address`; `progress(done, whole)` in bytes, whole 0 = not known.

    `size` is what the file must have, 0 = any. Raises DataError where there is no answer, the answer is not the file,
    the line is cut (what arrived is kept) or the disk is too small.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        raise DataError(f"{address}: only http and https addresses can be downloaded")
    known = _known(part, address)
    start = part.stat().st_size if known else 0
    if known and known.total and start == known.total:
        return
    answer = _ask(address, known, start, timeout)
    with answer:
        state = State(address, _mark(answer), _total(answer))
        if start and not _continues(answer, state, known, start):
            if answer.status == 200:
                start = 0  # the server sends all of it
            else:
                forget(part)
                return fetch(address, part, size=size, progress=progress, timeout=timeout)
        _check_answer(answer, state, size)
        check_space(part.parent, state.total - start)
        if not start:
            forget(part)
        runs.write_json(_side(part), asdict(state))
        _receive(answer, part, start, state, progress)


def announced(address: str, *, timeout: float = 10.0) -> int:
    """The size that the server says the file has; 0 where it does not answer, or not with a file."""
    try:
        with _opener().open(request.Request(address, headers=HEADERS, method="HEAD"), timeout=timeout) as answer:
            return 0 if answer.headers.get_content_type() == "text/html" else _total(answer)
    except HTTPError as error:
        error.close()
    except (OSError, HTTPException):
        pass
    return 0


def forget(part: Path) -> None:
    """Take away a part and what is known of it."""
    part.unlink(missing_ok=True)
    _side(part).unlink(missing_ok=True)


def _side(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _known(part: Path, address: str) -> State | None:
    """What the part at hand is a part of; None where there is none, or it is another file's."""
    try:
        state = State(**json.loads(_side(part).read_text(encoding="utf-8")))
        arrived = part.stat().st_size
    except (OSError, ValueError, TypeError):
        return None
    return state if arrived and state.address == address else None


def _opener() -> request.OpenerDirector:
    """As urllib's own, with proxies of the environment, but for http and https only, also where a server redirects."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _ask(address: str, known: State | None, start: int, timeout: float) -> HTTPResponse:
    headers = dict(HEADERS)
    if known and start:
        headers["Range"] = f"bytes={start}-"
        if known.mark and not known.mark.startswith("W/"):
            headers["If-Range"] = known.mark
    try:
        answer: HTTPResponse = _opener().open(request.Request(address, headers=headers), timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # there is no rest: the file is shorter now
            return _ask(address, None, 0, timeout)
        raise DataError(
            f"{address}: the server answers {error.code} {error.reason}; the file may have moved or need an account, "
            "so look at the publisher's page"
        ) from error
    except (OSError, HTTPException) as error:
        raise DataError(f"{address}: no answer ({_why(error)}); check the network or proxy and run again") from error
    return answer


def _mark(answer: HTTPResponse) -> str:
    return answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""


def _total(answer: HTTPResponse) -> int:
    """The size of the whole file as the server says, 0 where it does not."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        return int(found[1]) if found else 0
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else 0


def _continues(answer: HTTPResponse, state: State, known: State | None, start: int) -> bool:
    """Whether the answer is the rest, from byte `start`, of the same state of the file."""
    begins = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    return answer.status == 206 and begins and state == known


def _check_answer(answer: HTTPResponse, state: State, size: int) -> None:
    if answer.headers.get_content_type() == "text/html":
        raise DataError(
            f"{state.address}: the server answers with a page, not the file (a login, a quota or a question); open the "
            "address in a browser"
        )
    if size and state.total and state.total != size:
        raise DataError(
            f"{state.address}: the file has {state.total} bytes now, the catalogue says {size}; it was changed, so its "
            "checksum means nothing: look at the publisher's page"
        )


def check_space(folder: Path, need: int) -> None:
    """Raise DataError where a folder's disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if max(need, 0) + SPARE > free:
        raise DataError(
            f"{folder}: {readable(max(need, 1))} are needed, {readable(max(free, 1))} are free on the disk; free some "
            "space or choose another --out"
        )


def _receive(answer: HTTPResponse, part: Path, start: int, state: State, progress: Progress) -> None:
    done = start
    with part.open("ab" if start else "wb") as file:
        progress(done, state.total)
        while block := _read(answer, part, done, state):
            _write(file, block, part)
            done += len(block)
            progress(done, state.total)
        file.flush()
        os.fsync(file.fileno())
    if state.total and done != state.total:
        raise _cut(part, done, state, "the server closed the connection")


def _read(answer: HTTPResponse, part: Path, done: int, state: State) -> bytes:
    try:
        return answer.read1(BLOCK)  # what is there, so that nothing is lost where the line is cut
    except (OSError, HTTPException) as error:
        raise _cut(part, done, state, _why(error)) from error


def _write(file: IO[bytes], block: bytes, part: Path) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"{part}: the disk is full; free some space and run again to go on") from error


def _cut(part: Path, done: int, state: State, why: str) -> DataError:
    whole = f" of {readable(state.total)}" if state.total else ""
    return DataError(f"{state.address}: cut off after {readable(done)}{whole} ({why}); run again to go on")


def _why(error: Any) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return "it took too long"
    if isinstance(reason, socket.gaierror):
        return "its name cannot be found"
    return str(getattr(reason, "strerror", None) or reason or type(reason).__name__)
