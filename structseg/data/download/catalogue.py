"""What is known of something to download: address, size, checksum, licence, and what to do with it.

The entries are tables: sets in `public_sets.py`, weights in `published_weights.py`. Nothing is passed on by us: every
file comes from its publisher, and the user agrees to its terms. A size of 0 and a checksum of "" mean that the
publisher names none; then what was received is said and written down, and nothing is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class File:
    """A file of an entry, and what to do with it."""

    address: str
    size: int = 0  # bytes; 0 = not published
    sha256: str = ""  # whole, or the first digits where the publisher gives only these; "" = none published
    md5: str = ""
    name: str = ""  # on the disk; "" = the last part of the address
    unpack: bool = False  # a .zip or .tar(.gz …), which is taken away once it is unpacked
    into: str = ""  # unpack into this folder below the target
    inside: str = ""  # unpack only what lies in this folder of the archive, without the folder

    @property
    def filename(self) -> str:
        return self.name or unquote(PurePosixPath(urlsplit(self.address).path).name)

    @property
    def check(self) -> str:
        """What a download is held against, to be read."""
        if self.sha256:
            return f"sha256 {self.sha256}{'…' if len(self.sha256) < 64 else ''}"
        return f"md5 {self.md5}" if self.md5 else "no checksum is published"


@dataclass(frozen=True)
class Entry:
    """A set or checkpoint that can be asked for by name."""

    name: str
    about: str
    licence: str
    terms: str  # address of the licence or terms
    files: tuple[File, ...] = ()
    format: str = ""  # the data.format that reads it; "" = not a set, or no reader yet
    use: str = ""  # what to do with it then; FOLDER stands for the folder it is in
    register: str = ""  # where to get an account, for what cannot be fetched without
    layout: str = ""  # what data.root must hold, said where the user fetches it himself

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(file.size for file in self.files)

    @property
    def said_size(self) -> str:
        """`2.0 GB`, `over 3.0 GB` where some sizes are not known, `by hand` where an account is needed."""
        if self.register:
            return "by hand"
        some = bool(self.size) and not all(file.size for file in self.files)
        return f"{'over ' * some}{readable(self.size)}"


def readable(size: float) -> str:
    """`2.0 GB`, `815 MB`, `12 kB`; "size not known" for 0."""
    if not size:
        return "size not known"
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:.0f} {name}"
    return f"{size:.0f} bytes"
