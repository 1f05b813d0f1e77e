"""What a data format is: one layout of files a module, found by its name.

A format lists the items of a split without opening them and reads one item. Its keyword-only parameters are the keys of
`data.options`; `root` (folder) and `labels` (label table file, "" = its own) come from the configuration. Formats are
plain objects that can be pickled: loader processes get a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from structseg.data.reading import Reading, reading
from structseg.errors import DataError, did_you_mean
from structseg.types import Item, Labels, Sample


class Format(Protocol):
    """What the rest of the package knows of a data set."""

    labels: Labels
    origin: str  # what made-up data is made of; "" where the items are files
    reading: Reading  # largest picture and cache, which `read_sample` heeds; `open_format` sets it

    @staticmethod
    def fits(root: Path) -> bool:
        """Whether a folder looks like this layout. Looks at names only; several formats may fit one folder."""
        ...

    def splits(self) -> tuple[str, ...]:
        """Names of the splits that exist."""
        ...

    def items(self, split: str) -> tuple[Item, ...]:
        """The items of a split, in a fixed order. Raises DataError for a split that is missing, empty or faulty."""
        ...

    def read(self, item: Item) -> Sample:
        """Everything that belongs to an item, raw mask values already turned into class ids."""
        ...


def as_set(source: Format) -> Reading:
    """How the files of a data set are read; the defaults where it was not opened from a configuration."""
    found: Reading = getattr(source, "reading", Reading())
    return found


def read_sample(source: Format, item: Item) -> Sample:
    """`source.read(item)`, its files read as the data set says."""
    with reading(as_set(source)):
        return source.read(item)


def missing_split(root: Path | str, split: str, known: Sequence[str]) -> DataError:
    """The error for a split that is not there."""
    near = did_you_mean(split, known)
    listed = f" (splits here: {', '.join(known)})" if near.startswith("; did") else ""
    return DataError(f"{root}: there is no split '{split}'{listed}{near.replace('known:', 'splits here:')}")


def refuse_void(labels: Labels, value: int, what: str) -> None:
    """Raise DataError where a user's label table makes a class of the raw value that here means "no label"."""
    index = dict(labels.values).get(value, labels.ignore_index)
    if index != labels.ignore_index:
        raise DataError(
            f"label table {labels.source}: class '{labels.names[index]}' has the raw value {value}, which is {what}, "
            f"no class; list {value} under ignore, or call it void"
        )


def all_or_none(items: Iterable[Item], split: str, masks: Path | str) -> tuple[Item, ...]:
    """`items`; raises DataError where some have a mask and some have none: a split without masks has none at all."""
    items = tuple(items)
    bare = [item for item in items if item.target is None]
    if bare and len(bare) < len(items):
        raise DataError(
            f"split '{split}': {len(bare)} of {len(items)} pictures have no mask in {masks}, first {bare[0].image}; "
            f"add the masks or take these pictures out"
        )
    return items


def read_lines(file: Path) -> list[str]:
    """The lines of a list, with any line ends, with or without byte order mark. Raises DataError where unreadable."""
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: cannot be read ({error}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
