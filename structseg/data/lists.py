"""List files: names or `image mask` lines, with any line ends, with or without a last one.

Every error names the file and the line. A list is read as it stands: a line that stands twice, a file that is not
there and a wrong number of columns are errors.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from structseg.data.formats import read_lines
from structseg.data.read import SUFFIXES
from structseg.errors import DataError
from structseg.types import Item


def read_names(file: Path) -> tuple[tuple[int, str], ...]:
    """(line number, name) of a list with a name a line.

    Raises DataError for a line of several columns, a name that stands twice, and a list without names.
    """
    first_line: dict[str, int] = {}
    for number, line in enumerate(read_lines(file), 1):
        if not (name := line.strip()):
            continue
        if (columns := len(name.split())) > 1:
            raise DataError(f"{file}, line {number}: {columns} columns in a list of names; write one name on each line")
        if name in first_line:
            raise DataError(f"{file}, line {number}: picture '{name}' stands already in line {first_line[name]}")
        first_line[name] = number
    if not first_line:
        raise DataError(f"{file}: lists no picture; write one name on each line")
    return tuple((number, name) for name, number in first_line.items())


def is_pair_list(file: Path) -> bool:
    """Whether the first line that is not blank begins with a picture's file name."""
    try:
        lines = [line for line in read_lines(file)[:20] if line.strip()]
    except DataError:
        return False
    return bool(lines) and PurePosixPath(_columns(lines[0])[0]).suffix.lower() in SUFFIXES


def read_pairs(file: Path, root: Path) -> tuple[Item, ...]:
    """The items of a list with `image mask` or `image` on each line, relative to root or whole paths."""
    first_line: dict[str, int] = {}
    items: list[Item] = []
    for number, line in enumerate(read_lines(file), 1):
        if not line.strip():
            continue
        columns = _columns(line)
        if not 1 <= len(columns) <= 2:
            raise DataError(
                f"{file}, line {number}: {len(columns)} columns; write 'image mask', names with spaces in double quotes"
            )
        image, *target = [_existing(column, root, file, number) for column in columns]
        name = _item_name(image, root)
        if name in first_line:
            raise DataError(f"{file}, line {number}: picture '{name}' stands already in line {first_line[name]}")
        first_line[name] = number
        items.append(Item(name, image, target[0] if target else None, index=len(items)))
    if not items:
        raise DataError(f"{file}: lists no picture; write 'image mask' on each line")
    return tuple(items)


def _columns(line: str) -> list[str]:
    """Split at tabs, else at commas, else at spaces, outside double quotes."""
    bare = re.sub(r'"[^"]*"', "", line)
    delimiter = "\t" if "\t" in bare else "," if "," in bare else " "
    row: Iterable[str] = next(csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True))
    return [column.strip() for column in row if column.strip()] or [""]


def _existing(column: str, root: Path, file: Path, number: int) -> Path:
    """Below root, also where the list writes a leading slash; else a whole path, never below the working folder."""
    below = root / column.lstrip("/")
    for path in (below, Path(column)):
        if (path is below or path.is_absolute()) and os.path.isfile(path):  # unlike Path.is_file, on any length of name
            return path
    raise DataError(f"{file}, line {number}: there is no file {below}")


def _item_name(image: Path, root: Path) -> str:
    relative = image.relative_to(root) if image.is_relative_to(root) else image.relative_to(image.anchor)
    parts = [part for part in relative.with_suffix("").parts if part != ".."]
    return "/".join(parts)
