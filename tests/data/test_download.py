"""Downloads against a server of this test: what is cut goes on, what changed begins anew, what is wrong is refused.

No test goes to the network; that the published addresses answer is not tested here.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, listing, refused

from structseg import build, runs
from structseg.cli.download import download as command
from structseg.data.download import catalogue, download, find, is_done, transfer, with_announced_sizes
from structseg.data.download.catalogue import Entry, File, readable
from structseg.data.download.unpack import unpack
from structseg.errors import ConfigError, DataError

CONTENT = bytes(range(256)) * 4000  # 1 MB, so that blocks and cuts matter
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass
class Server:
    """What lies on the server, how it behaves, and what it was asked for."""

    address: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    ranges: bool = True  # it can send a rest
    honest: bool = True  # it looks at If-Range
    cut: int = 0  # so many bytes of an answer, then the line is cut
    stall: bool = False  # where the line would be cut it falls silent
    length: bool = True  # it says how long the answer is
    kind: str = "application/octet-stream"
    status: int = 200
    asked: list[str | None] = field(default_factory=list)  # the Range of each request
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def entry(self, path: str = "set.bin", **values: Any) -> Entry:
        file = File(f"{self.address}/{path}", **values)
        return Entry("made_up", "a test", "none", "nowhere", files=(file,))


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(0)

        def do_GET(self) -> None:
            server.asked.append(self.headers["Range"])
            if self.path.startswith("/away"):
                self.send_response(302)
                self.send_header("Location", "file:///etc/hostname" if "local" in self.path else "/set.bin")
                self.end_headers()
                return
            start = self.start()
            if start >= len(server.content):
                self.send_response(416)
                self.end_headers()
                return
            self.answer(start)

        def start(self) -> int:
            wanted = self.headers["Range"]
            same = not server.honest or self.headers["If-Range"] in (None, server.etag)
            return int(wanted[6:-1]) if wanted and server.ranges and same else 0

        def answer(self, start: int) -> None:
            rest = server.content[start:]
            self.send_response(server.status if server.status != 200 else 206 if start else 200)
            if start:
                whole = len(server.content)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            if server.etag:
                self.send_header("ETag", server.etag)
            if server.length:
                self.send_header("Content-Length", str(len(rest)))
            self.send_header("Content-Type", server.kind)
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(rest[: server.cut] if server.cut else rest)
            if server.stall:
                server.stop.wait(10)
            if server.cut:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    state.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    state.stop.set()
    http.shutdown()
    http.server_close()
    thread.join()


def quiet(entry: Entry, folder: Path, **options: Any) -> list[str]:
    """Download and give back what was said."""
    said: list[str] = []
    download(entry, folder, say=said.append, **options)
    return said


def refusal(entry: Entry, folder: Path, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        quiet(entry, folder, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------ whole files


def test_a_file_is_fetched_checked_and_noted_once(server: Server, tmp_path: Path) -> None:
    entry = server.entry(size=len(CONTENT), sha256=server.sha256)
    assert not is_done(entry, tmp_path)
    said = quiet(entry, tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT
    assert (tmp_path / "set.bin.sha256").read_text() == f"{server.sha256}  set.bin\n"
    assert names(tmp_path) == {"set.bin", "set.bin.sha256"}
    assert "is right" in said[0]
    before = listing(tmp_path)
    assert quiet(entry, tmp_path) == ["set.bin: there already"]
    assert is_done(entry, tmp_path)
    assert listing(tmp_path) == before
    assert server.asked == [None]


@pytest.mark.parametrize("length", [True, False])
def test_progress_counts_every_byte_and_knows_the_whole_if_it_is_said(
    server: Server, tmp_path: Path, length: bool
) -> None:
    server.length = length
    seen: list[tuple[int, int]] = []
    quiet(server.entry(), tmp_path, watch=lambda what: lambda done, whole: seen.append((done, whole)))
    assert seen[0][0] == 0
    assert seen[-1][0] == len(CONTENT)
    assert sorted(seen) == seen
    assert {whole for _, whole in seen} == {len(CONTENT) if length else 0}


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"md5": hashlib.md5(CONTENT).hexdigest()}, "md5"),
        ({"sha256": hashlib.sha256(CONTENT).hexdigest()[:8]}, "…"),
        ({"sha256": hashlib.sha256(CONTENT).hexdigest().upper()}, "sha256"),
        ({}, "no checksum is published"),
    ],
)
def test_any_published_check_is_held_and_its_absence_is_said(
    server: Server, tmp_path: Path, check: dict[str, str], said: str
) -> None:
    (line,) = quiet(server.entry(**check), tmp_path)
    assert said in line
    assert server.sha256 in line
    assert ("is right" in line) == bool(check)


@pytest.mark.parametrize(
    "check", [{"sha256": "0" * 64}, {"sha256": "01234567"}, {"md5": "0" * 32}, {"sha256": "a" * 64, "md5": "b" * 32}]
)
def test_a_wrong_file_is_removed(server: Server, tmp_path: Path, check: dict[str, str]) -> None:
    message = refusal(server.entry(**check), tmp_path / "out")
    assert server.address in message
    assert f"not {check.get('sha256') or check['md5']}" in message
    assert "removed" in message
    assert names(tmp_path) == set()


def test_a_file_that_the_user_brought_is_taken_or_refused_but_never_deleted(server: Server, tmp_path: Path) -> None:
    entry = server.entry(sha256=server.sha256)
    (tmp_path / "set.bin").write_bytes(CONTENT[1:])
    assert "move it away" in refusal(entry, tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT[1:]
    (tmp_path / "set.bin").write_bytes(CONTENT)
    quiet(entry, tmp_path)
    assert is_done(entry, tmp_path)
    assert server.asked == []


def test_another_size_than_the_catalogues_is_refused_before_it_is_fetched(server: Server, tmp_path: Path) -> None:
    message = refusal(server.entry(size=7), tmp_path / "out")
    assert str(len(CONTENT)) in message
    assert "says 7" in message
    assert not (tmp_path / "out").exists()


def test_a_size_that_the_server_does_not_say_is_checked_afterwards(server: Server, tmp_path: Path) -> None:
    server.length = False
    assert f"has {len(CONTENT)} bytes, not 7" in refusal(server.entry(size=7), tmp_path / "out")
    assert names(tmp_path) == set()


# ------------------------------------------------------------------------------------------------ going on


def cut_off(server: Server, folder: Path, at: int = 300_000) -> Entry:
    """A download whose line was cut after `at` bytes."""
    entry = server.entry(sha256=server.sha256)
    server.cut = at
    message = refusal(entry, folder)
    assert "cut off after 300 kB of 1.0 MB" in message
    assert "run again to go on" in message
    server.cut = 0
    assert (folder / "set.bin.part").read_bytes() == CONTENT[:at]
    assert not (folder / "set.bin").exists()
    return entry


def test_a_cut_line_keeps_the_part_and_the_next_call_fetches_the_rest(server: Server, tmp_path: Path) -> None:
    entry = cut_off(server, tmp_path)
    quiet(entry, tmp_path)
    assert server.asked == [None, "bytes=300000-"]
    assert names(tmp_path) == {"set.bin", "set.bin.sha256"}
    assert (tmp_path / "set.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_mark_the_rest_is_taken_where_the_size_is_the_same(
    server: Server, tmp_path: Path, etag: str
) -> None:
    server.etag = etag
    quiet(cut_off(server, tmp_path), tmp_path)
    assert server.asked == [None, "bytes=300000-"]


def test_a_server_that_cannot_send_a_rest_sends_all(server: Server, tmp_path: Path) -> None:
    entry = cut_off(server, tmp_path)
    server.ranges = False
    quiet(entry, tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("what", ["mark", "size"])
def test_a_file_that_changed_meanwhile_begins_anew(server: Server, tmp_path: Path, what: str, honest: bool) -> None:
    """An honest server answers 200 by itself; another sends the rest of the new file, which is not taken."""
    entry = cut_off(server, tmp_path)
    server.content = CONTENT[::-1] if what == "mark" else CONTENT[::-1] + b"more"
    server.honest = honest
    if what == "mark" or honest:
        server.etag = '"two"'
    entry = replace(entry, files=(replace(entry.files[0], sha256=server.sha256),))
    quiet(entry, tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == server.content
    assert server.asked == [None, "bytes=300000-"] + [None] * (not honest)


def test_a_file_that_became_shorter_than_its_part_begins_anew(server: Server, tmp_path: Path) -> None:
    entry = cut_off(server, tmp_path)
    server.content, server.honest = CONTENT[:1000], False
    quiet(replace(entry, files=(replace(entry.files[0], sha256=server.sha256),)), tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT[:1000]


def test_a_part_of_another_address_or_without_its_note_is_not_used(server: Server, tmp_path: Path) -> None:
    for spoil in ("note", "address"):
        entry = cut_off(server, tmp_path / spoil)
        note = tmp_path / spoil / "set.bin.part.json"
        if spoil == "note":
            note.write_text("{")
        else:
            note.write_text(json.dumps({**json.loads(note.read_text()), "address": "http://elsewhere/set.bin"}))
        quiet(entry, tmp_path / spoil)
    assert server.asked == [None] * 4


def test_a_part_that_is_whole_is_checked_without_asking_again(server: Server, tmp_path: Path) -> None:
    entry = cut_off(server, tmp_path)
    (tmp_path / "set.bin.part").write_bytes(CONTENT)  # killed after the last byte
    quiet(entry, tmp_path)
    assert server.asked == [None]


def test_a_part_longer_than_the_file_begins_anew(server: Server, tmp_path: Path) -> None:
    entry = cut_off(server, tmp_path)
    (tmp_path / "set.bin.part").write_bytes(CONTENT + b"more")
    quiet(entry, tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT


def test_a_damaged_part_is_found_out_by_the_checksum(server: Server, tmp_path: Path) -> None:
    entry = cut_off(server, tmp_path)
    (tmp_path / "set.bin.part").write_bytes(b"x" * 300_000)
    assert "removed" in refusal(entry, tmp_path)
    quiet(entry, tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT


def test_of_several_files_those_that_are_done_are_not_fetched_again(server: Server, tmp_path: Path) -> None:
    first, second = (server.entry(name).files[0] for name in ("a.bin", "b.bin"))
    entry = replace(server.entry(), files=(first, replace(second, sha256="0" * 64)))
    assert "b.bin" in refusal(entry, tmp_path)
    assert names(tmp_path) == {"a.bin", "a.bin.sha256"}
    said = quiet(replace(entry, files=(first, second)), tmp_path)
    assert said[0] == "a.bin: there already"
    assert len(server.asked) == 3


# ------------------------------------------------------------------------------------------------ no answer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": 404}, "the server answers 404"),
        ({"status": 503}, "the server answers 503"),
        ({"kind": "text/html; charset=utf-8"}, "a page, not the file"),
    ],
)
def test_other_answers_are_one_line_and_leave_nothing(
    server: Server, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    message = refusal(server.entry(), tmp_path / "out")
    assert words in message
    assert f"{server.address}/set.bin" in message
    assert not (tmp_path / "out").exists()


def test_silence_is_a_cut_line(server: Server, tmp_path: Path) -> None:
    server.cut, server.stall = 200_000, True
    message = refusal(server.entry(), tmp_path, timeout=0.2)
    assert "cut off after 200 kB" in message
    assert "it took too long" in message


def test_nobody_at_the_address(tmp_path: Path, server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/a"
        message = refusal(replace(server.entry(), files=(File(address),)), tmp_path / "out")
    assert "no answer (Connection refused)" in message
    assert not (tmp_path / "out").exists()


def test_a_proxy_of_the_environment_is_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "")
    entry = replace(server.entry(), files=(File("http://no.such.host.invalid/set.bin"),))
    quiet(entry, tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT


def test_redirects_are_followed_on_the_network_only(server: Server, tmp_path: Path) -> None:
    quiet(server.entry("away", name="set.bin"), tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT
    assert "302" in refusal(server.entry("away-local"), tmp_path)


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://host/a", "/etc/hostname"])
def test_only_http_and_https(address: str, tmp_path: Path) -> None:
    entry = Entry("a", "", "", "", files=(File(address),))
    assert "only http and https" in refusal(entry, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------ the disk


def test_room_is_looked_for_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=transfer.SPARE + len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    message = refusal(server.entry(size=len(CONTENT)), tmp_path / "out")
    assert "1.0 MB are needed" in message
    assert server.asked == []
    assert "1.0 MB are needed" in refusal(server.entry(), tmp_path / "out")  # the server's word where we have none
    assert not (tmp_path / "out").exists()


def test_an_archive_needs_room_twice_and_a_part_counts(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=transfer.SPARE + 1_500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    entry = server.entry("set.zip", size=len(CONTENT), unpack=True)
    assert "2.0 MB are needed" in refusal(entry, tmp_path)
    (tmp_path / "set.zip.part").write_bytes(CONTENT[:600_000])
    assert "is damaged or no archive" in refusal(entry, tmp_path)


def test_a_full_disk_keeps_the_part(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, block: Any) -> int:
            if self.tell():
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(block)

    monkeypatch.setattr(Path, "open", lambda self, mode="r", **_: Full(self, mode.replace("b", "")), raising=True)
    with pytest.raises(DataError, match=r"the disk is full; free some space and run again"):
        transfer.fetch(f"{server.address}/a", tmp_path / "a.part", progress=lambda done, whole: None)
    assert 0 < (tmp_path / "a.part").stat().st_size < len(CONTENT)


def test_a_folder_that_cannot_be_written_or_is_in_use(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "file" in refusal(server.entry(), tmp_path / "file")
    with runs.locked(tmp_path):
        assert "in use by another process" in refusal(server.entry(), tmp_path)


# ------------------------------------------------------------------------------------------------ archives


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes | tarfile.TarInfo], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


TREE = {"top/a.txt": b"a", "top/deep/b.txt": b"b", "__MACOSX/top/._a.txt": b"junk", "other/c.txt": b"c"}
MAKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "set.zip": zipped,
    "set.tar": tarred,
    "set.tgz": lambda members: tarred(dict(members), "w:gz"),
    "set.tar.bz2": lambda members: tarred(dict(members), "w:bz2"),
    "set.tar.xz": lambda members: tarred(dict(members), "w:xz"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_archives_are_unpacked_once_and_taken_away(server: Server, tmp_path: Path, name: str) -> None:
    server.content = MAKERS[name](TREE)
    entry = server.entry(name, sha256=server.sha256, unpack=True, into="sub")
    said = quiet(entry, tmp_path)
    assert names(tmp_path) == {"sub/top/a.txt", "sub/top/deep/b.txt", "sub/other/c.txt", f"{name}.sha256"}
    assert (tmp_path / "sub/top/deep/b.txt").read_bytes() == b"b"
    assert "3 files unpacked" in said[1]
    assert (tmp_path / f"{name}.sha256").read_text().endswith(f"{server.sha256}  {name}\n")
    assert quiet(entry, tmp_path) == [f"{name}: there already"]
    shutil.rmtree(tmp_path / "sub")  # deleted by the user: it is not there, whatever the note says
    assert not is_done(entry, tmp_path)


@pytest.mark.parametrize("name", MAKERS)
def test_only_a_folder_of_an_archive(server: Server, tmp_path: Path, name: str) -> None:
    server.content = MAKERS[name](TREE)
    quiet(server.entry(name, unpack=True, inside="top"), tmp_path)
    assert names(tmp_path) == {"a.txt", "deep/b.txt", f"{name}.sha256"}
    server.content = MAKERS[name](TREE)
    assert "holds no file in nothing" in refusal(server.entry(name, unpack=True, inside="nothing"), tmp_path / "b")


def test_archives_of_one_set_share_folders(server: Server, tmp_path: Path) -> None:
    files = []
    for name in ("1.zip", "2.zip"):
        server.content = zipped({f"images/{name}.png": b"x", "both.txt": name.encode()})
        quiet(server.entry(name, unpack=True), tmp_path)
        files.append(server.entry(name, unpack=True).files[0])
    assert {"images/1.zip.png", "images/2.zip.png", "both.txt"} < names(tmp_path)
    assert (tmp_path / "both.txt").read_text() == "2.zip"
    assert is_done(replace(server.entry(), files=tuple(files)), tmp_path)


BAD = {
    "up": tarred({"good.txt": b"g", "../evil.txt": b"e"}),
    "deep up": tarred({"good.txt": b"g", "a/../../evil.txt": b"e"}),
    "absolute": tarred({"good.txt": b"g", "/tmp/structseg_evil.txt": b"e"}),
    "link outside": tarred({"good.txt": b"g", "l": special("l", tarfile.SYMTYPE, ".."), "l/evil.txt": b"e"}),
    "link inside": tarred({"good.txt": b"g", "l": special("l", tarfile.SYMTYPE, "good.txt")}),
    "hard link": tarred({"good.txt": b"g", "l": special("l", tarfile.LNKTYPE, "/etc/hostname")}),
    "device": tarred({"good.txt": b"g", "d": special("d", tarfile.CHRTYPE)}),
    "pipe": tarred({"good.txt": b"g", "d": special("d", tarfile.FIFOTYPE)}),
    "zip up": zipped({"good.txt": b"g", "../evil.txt": b"e"}),
    "zip absolute": zipped({"good.txt": b"g", "/evil.txt": b"e"}),
    "zip of another system": zipped({"good.txt": b"g", "..\\evil.txt": b"e"}),
    "zip drive": zipped({"good.txt": b"g", "C:\\evil.txt": b"e"}),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_of_an_archive_that_leads_outside_is_unpacked(case: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(BAD[case])
    with pytest.raises(DataError, match=r"member '.*' is a .*, so nothing was unpacked"):
        unpack(archive, tmp_path / "a" / "out")
    assert names(tmp_path) == {"archive"}


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("l")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "archive", "w") as opened:
        opened.writestr(link, "/etc/hostname")
    with pytest.raises(DataError, match="'l' is a link"):
        unpack(tmp_path / "archive", tmp_path / "out")


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_damaged_archive_leaves_nothing(name: str, part: float, tmp_path: Path) -> None:
    whole = MAKERS[name]({f"{n}.bin": hashlib.sha256(bytes([n])).digest() * 99 for n in range(40)})
    archive = tmp_path / name
    archive.write_bytes(whole[: int(part * len(whole))] or b"no archive at all")
    with pytest.raises(DataError, match="is damaged or no archive"):
        unpack(archive, tmp_path / "out")
    assert names(tmp_path) == {name}


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "set.tar"])
@pytest.mark.parametrize("place", ["content", "end"])
def test_an_archive_with_one_wrong_byte_leaves_nothing(name: str, place: str, tmp_path: Path) -> None:
    """At the end stand the checksums of gzip and xz, which nobody reads who stops after the last member."""
    archive = tmp_path / name
    damaged = bytearray(MAKERS[name]({f"{n}.bin": random.Random(n).randbytes(3000) for n in range(9)}))
    damaged[len(damaged) // 2 if place == "content" else -6] ^= 0x55
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match=f"{name}: is damaged or no archive .*; delete it and run again"):
        unpack(archive, tmp_path / "out")
    assert names(tmp_path) == {name}


def test_a_zip_that_points_before_its_beginning_is_damaged(tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    whole = zipped({"a": b"a"})
    archive.write_bytes(whole[:-6] + b"\xff" * 3 + whole[-3:])  # where its list of members begins
    with pytest.raises(DataError, match=r"set\.zip: is damaged or no archive"):
        unpack(archive, tmp_path / "out")


def test_what_a_killed_process_had_unpacked_goes(server: Server, tmp_path: Path) -> None:
    left, others = tmp_path / "sub" / ".set.zip.x1_y2z3a.unpacking", tmp_path / "sub" / ".other.zip.x1_y2z3a.unpacking"
    for folder in (left, others):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "half.png").write_bytes(b"h")
    server.content = zipped(TREE)
    quiet(server.entry("set.zip", unpack=True, into="sub"), tmp_path)
    assert not left.exists()
    assert names(others) == {"deep/half.png"}


UNFIT: dict[str, tuple[bytes, str]] = {
    "file, then folder": (zipped({"a": b"a", "a/b": b"b"}), "what is a file in it is a folder elsewhere"),
    "file, then folders": (zipped({"a": b"a", "a/b/c": b"c"}), "what is a file in it is a folder elsewhere"),
    "folder, then file": (zipped({"a/b": b"b", "a": b"a"}), "what is a file in it is a folder elsewhere"),
    "file where a folder is": (zipped({"mine": b"a"}), "choose an empty folder"),
    "folder where a file is": (zipped({"mine/own.txt/b": b"a"}), "choose an empty folder"),
    "long name": (zipped({"n" * 300: b"a"}), "holds a name that is too long"),
    "damaged": (tarred({"a": b"a"}, "w:bz2").replace(b"1AY&SY", b"1AY&Sy"), "is damaged or no archive"),
}


@pytest.mark.smoke
@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_archive_through_the_command(server: Server, tmp_path: Path, case: str) -> None:
    content, said = UNFIT[case]
    out = tmp_path / "out"
    (out / "mine").mkdir(parents=True)
    (out / "mine" / "own.txt").write_text("own")
    (out / "set.archive").write_bytes(content)
    cli = partial(in_a_process, server, hashlib.sha256(content).hexdigest(), name="set.archive")
    words = (f"error: {out / 'set.archive'}: ", said)
    line = refused(cli, "download", "made_up", "--yes", "--out", out, out=out, words=words)
    assert ".unpacking" not in line
    assert server.asked == []


def test_a_disk_that_fills_while_unpacking_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.tar").write_bytes(tarred({"a": b"a"}))
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"the disk is full while unpacking a\.tar"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert names(tmp_path) == {"a.tar"}


# ------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def made_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """An entry of the test's server that the command finds by any name."""
    entry = replace(server.entry(sha256=server.sha256), licence="CC0", use="look into FOLDER")
    monkeypatch.setattr("structseg.data.download.find", lambda name: entry)
    return entry


def test_the_command_shows_asks_and_fetches(
    server: Server, made_up: Entry, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for answer in (False, True):
        monkeypatch.setattr("typer.confirm", lambda question, answer=answer: answer)
        if answer:
            command(made_up.name, out=tmp_path / "out")
        else:
            with pytest.raises(ConfigError, match="nothing was downloaded"):
                command(made_up.name, out=tmp_path / "out")
            assert not (tmp_path / "out").exists()
        shown = capsys.readouterr().out
        for word in ("CC0", server.address, server.sha256, "1.0 MB"):  # the size is what the server announces
            assert word in shown
    assert f"next: look into {tmp_path / 'out'}" in shown
    command(made_up.name, out=tmp_path / "out")  # done: nothing is asked, nothing fetched
    assert "already" in capsys.readouterr().out
    assert server.asked == [None]


def test_without_a_terminal_there_is_a_line_for_every_tenth(
    server: Server, made_up: Entry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(made_up.name, out=tmp_path, yes=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("set.bin  ")]
    assert 1 < len(lines) <= 10
    assert "1.0 MB of 1.0 MB" in lines[-1]
    assert all("/s" in line and "s left" in line for line in lines)


@pytest.mark.parametrize("change", [{"status": 404}, {"kind": "text/html"}, {"length": False}])
def test_a_size_that_nobody_says_is_not_known(server: Server, change: dict[str, Any]) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    assert with_announced_sizes(server.entry()).said_size == "size not known"
    known = server.entry(size=5).files[0]
    assert (
        with_announced_sizes(replace(server.entry(), files=(known, File(server.address)))).said_size == "over 5 bytes"
    )


COMMAND = """
import sys
import structseg.data.download
from structseg.cli import main
from structseg.data.download.catalogue import Entry, File

address = sys.argv.pop(1)
unpack = not address.endswith(".bin")
entry = Entry("made_up", "a test", "none", "nowhere", files=(File(address, sha256=sys.argv.pop(1), unpack=unpack),))
structseg.data.download.SETS += (entry,)
main()
"""


def in_a_process(
    server: Server, sha256: str, *args: str | Path, name: str = "set.bin", **_: Any
) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it, with an entry more in the catalogue."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, f"{server.address}/{name}", sha256, *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.smoke
def test_a_wrong_hash_through_the_command(server: Server, tmp_path: Path) -> None:
    cli, out = partial(in_a_process, server, "0" * 64), tmp_path / "out"
    out.mkdir()  # its own folder stays, and nothing in it
    refused(cli, "download", "made_up", "--yes", "--out", out, out=out, words=(server.address, "not 0000", "removed"))


@pytest.mark.smoke
def test_a_cut_line_through_the_command(server: Server, tmp_path: Path) -> None:
    words = (server, server.sha256, "download", "made_up", "--yes", "--out", tmp_path)
    server.cut = 300_000
    done = in_a_process(*words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert f"{server.address}/set.bin: cut off after 300 kB of 1.0 MB" in line
    assert "run again to go on" in line
    assert not (tmp_path / "set.bin").exists()
    server.cut = 0
    assert in_a_process(*words).returncode == 0
    assert server.asked == [None, "bytes=300000-"]
    assert names(tmp_path) == {"set.bin", "set.bin.sha256"}


# ------------------------------------------------------------------------------------------------ the catalogue


def test_every_entry_says_what_a_user_must_know() -> None:
    formats = build.names("data.formats")
    for name, entry in catalogue().items():
        assert name == entry.name
        assert name.replace("_", "").isalnum()
        assert entry.about
        assert entry.licence
        assert entry.terms.startswith(("http://", "https://"))
        assert bool(entry.files) != bool(entry.register and entry.layout)
        assert not entry.format or entry.format in formats
        assert len({file.filename for file in entry.files}) == len(entry.files)
        for file in entry.files:
            assert file.address.startswith(("http://", "https://"))
            assert "/" not in file.filename
            assert "." in file.filename
            assert len(file.md5) in (0, 32)
            assert len(file.sha256) in (0, *range(8, 65))
            assert file.size >= 0
            assert not set(file.sha256 + file.md5) - set("0123456789abcdef")


def test_the_four_systems_and_the_public_sets_are_there() -> None:
    known = set(catalogue())
    assert {"voc2012", "sbd", "camvid", "gta5", "coco2017", "nyuv2", "cityscapes", "mapillary", "scannet"} <= known
    for system in ("slim_resnet101", "psa_resnet38_affinity", "advsemi_start", "adapnetpp_forest_rgb"):
        assert system in known
    assert catalogue()["ssma_sun_rgbd_rgb_hha"].files[0].address.endswith("/sun_rgbd/sun_ssma_rgb_hha.zip")


def test_no_address_that_its_owner_has_left() -> None:
    """VOC moved in 2025 (torchvision, #9216), NYU closed its port 80 in 2023, the page of SBD is a homepage now."""
    known = catalogue()
    addresses = [address for entry in known.values() for address in (entry.terms, *(f.address for f in entry.files))]
    for left in (
        "//host.robots.ox.ac.uk",
        "http://horatio.cs.nyu.edu",
        "home.bharathh.info",
        "//www.eecs.berkeley.edu",
    ):
        assert not [address for address in addresses if left in address]
    assert known["voc2012"].files[0].filename == "VOCtrainval_11-May-2012.tar"
    assert {file.filename for file in known["nyuv2"].files} == {"nyu_depth_v2_labeled.mat", "splits.mat"}
    assert known["pspnet101_cityscapes"].files[0].filename == "pspnet101_cityscapes.caffemodel"


def test_find() -> None:
    assert find("voc2012").format == "voc"
    with pytest.raises(ConfigError, match="did you mean 'voc2012'"):
        find("voc212")
    with pytest.raises(DataError, match=r"register at https://www\.cityscapes-dataset\.com"):
        find("cityscapes")


def test_readable() -> None:
    said = [readable(size) for size in (0, 12, 1_234, 815_585_330, 1_999_639_040, 19_336_861_798)]
    assert said == ["size not known", "12 bytes", "1.2 kB", "816 MB", "2.0 GB", "19 GB"]
