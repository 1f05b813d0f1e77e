"""Where the objects of a COCO file stand, found in one walk, so that a picture's objects can be read alone.

The file of COCO's training pictures has half a gigabyte; parsed whole it takes several times that in every loader
process. Walked once, some 24 bytes an object are kept. Ids are checked in the walk: each once, none unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.errors import DataError

_SPACE = re.compile(r"[ \t\r\n]*")
_KEYS = {"images": ("id", "file_name", "height", "width"), "categories": ("id", "name")}
_KEYS["annotations"] = ("id", "image_id", "category_id", "segmentation")


@dataclass(frozen=True)
class Index:
    """What is kept of a file with A objects."""

    file: Path
    images: tuple[tuple[str, int, int], ...]  # file name, height, width
    categories: tuple[tuple[int, str], ...]  # id, name, by id
    objects: NDArray[np.int64]  # (A,3) place of the picture in `images`, first and one past last byte in the file

    def read(self, place: int) -> list[dict[str, Any]]:
        """The objects of picture number `place`, in the order of the file."""
        first, last = np.searchsorted(self.objects[:, 0], (place, place + 1))
        found = []
        try:
            with self.file.open("rb") as file:
                for _, start, end in self.objects[first:last].tolist():
                    file.seek(start)
                    found.append(json.loads(file.read(end - start)))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.file}: was changed while it was in use ({error}); start again") from error
        return found


def read_index(file: Path) -> Index:
    """Walk a file. Raises DataError where it is no COCO file, an id stands twice, or one is unknown."""
    try:
        stat = file.stat()
        return _read_index(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error


@lru_cache(maxsize=4)
def _read_index(file: Path, size: int, changed: int) -> Index:
    found: dict[str, dict[int, Any]] = {key: {} for key in _KEYS}  # list -> id -> what is kept
    text = file.read_bytes().decode("latin-1")  # a byte is a letter, so places in the text are places in the file
    try:
        for key, entry, start, end in _walk(text):
            if key in found:
                _keep(found[key], key, entry, (start, end), file)
    except (ValueError, IndexError) as error:
        raise DataError(f"{file}: not valid JSON ({error}); copy it again") from error
    if not found["images"]:
        raise DataError(f"{file}: lists no picture under 'images'; is it a COCO file?")
    places = {image: place for place, image in enumerate(found["images"])}
    objects = []
    for number, (image, category, start, end) in found["annotations"].items():
        for id_, kind, known in ((image, "image_id", places), (category, "category_id", found["categories"])):
            if id_ not in known:
                listed = "images" if kind == "image_id" else "categories"
                raise DataError(f"{file}: annotation {number}: {kind} {id_} is not among the {len(known)} {listed}")
        objects.append((places[image], start, end))
    table = np.array(objects, np.int64).reshape(-1, 3)
    return Index(
        file,
        tuple(found["images"].values()),
        tuple(sorted(found["categories"].items())),
        table[np.argsort(table[:, 0], kind="stable")],
    )


def _keep(known: dict[int, Any], key: str, entry: Any, place: tuple[int, int], file: Path) -> None:
    """Take an entry of one of the lists into what is known of it."""
    missing = [name for name in _KEYS[key] if not isinstance(entry, dict) or name not in entry]
    where = f"{file}: {key} number {len(known) + 1}"
    if missing:
        raise DataError(f"{where} has no {missing[0]!r}")
    numbers = [name for name in _KEYS[key] if name not in ("file_name", "name", "segmentation")]
    if wrong := [name for name in numbers if type(entry[name]) is not int]:
        raise DataError(f"{where}: {wrong[0]} = {entry[wrong[0]]!r} is not a whole number")
    if entry["id"] in known:
        raise DataError(f"{where}: id {entry['id']} stands already for another one; ids must differ")
    if key == "images":
        known[entry["id"]] = (_text(entry["file_name"]), entry["height"], entry["width"])
    elif key == "categories":
        known[entry["id"]] = _text(entry["name"])
    else:
        known[entry["id"]] = (entry["image_id"], entry["category_id"], *place)


def _text(value: Any) -> str:
    """A string of the file, which was read a byte a letter, as UTF-8."""
    try:
        return str(value).encode("latin-1").decode("utf-8")
    except UnicodeError:  # written with escapes
        return str(value)


def _walk(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """(key, entry, first and one past last place) of all entries of the lists at the top of a JSON object."""
    decode = json.JSONDecoder().raw_decode
    place = _after(text, 3 if text.startswith("\xef\xbb\xbf") else 0, "{")
    while text[place] != "}":
        key, place = decode(text, place)
        place = _after(text, _blank(text, place), ":")
        if text[place] == "[":
            place = _after(text, place, "[")
            while text[place] != "]":
                entry, end = decode(text, place)
                yield key, entry, place, end
                place = _next(text, end, "]")
            place += 1
        else:
            _, place = decode(text, place)
        place = _next(text, place, "}")


def _blank(text: str, place: int) -> int:
    """The place of the next letter that is no white space."""
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _after(text: str, place: int, sign: str) -> int:
    """Past `sign`, which must come next, and white space."""
    place = _blank(text, place)
    if text[place : place + 1] != sign:
        raise ValueError(f"no {sign!r} at byte {place}")
    return _blank(text, place + 1)


def _next(text: str, place: int, end: str) -> int:
    """Past a comma, or at `end`."""
    place = _blank(text, place)
    return place if text[place : place + 1] == end else _after(text, place, ",")
