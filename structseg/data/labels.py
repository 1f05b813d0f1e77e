"""Label tables: read from files, classes ignored by name, applied to raw masks.

A table says which raw values (and, for colour masks, which RGB colours) of a mask file mean which class:

    [[class]]
    name = "road"
    values = [7, 8]            # raw values that mean this class (a merge); where no class has any: 0, 1, 2 ...
    colour = [128, 64, 128]    # to draw it, and to read it from RGB masks; "#804080" is the same
    colours = ["#804081"]      # further colours that mean it
    thin = true                # poles, wires, spokes: scored apart
    ignore = true              # its pixels have no label

and, before the first class, `ignore = ["void", 254, "#e0e0c0"]` lists classes, raw values and colours without label.
A text table has a class a line: `index name r,g,b` (commas, spaces or tabs), `name,r,g,b`, `r g b name` or the name
alone; a line without index continues from the line before, the first is 0. Its first line may be a heading, such as
`name,r,g,b` or `class`. The names void, ignore, unlabeled and unlabelled are ignored in it, so `255 void` says that 255
is no label. A name has a letter: lines of numbers alone are refused.

Class ids are 0..C-1 in the order of the file; classes behind an ignored one move up. A value or colour that is not in
the table is an error, never a guess: a mask of 0 and 255 read with a table of 0 and 1 must not train on nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError, DataError, did_you_mean
from structseg.types import Colour, Labels, UInt8

Raw = TypeVar("Raw", int, Colour)  # what stands in a mask file
VOID = ("void", "ignore", "unlabeled", "unlabelled")
MAX_VALUE = 65535  # of a raw value: masks have up to 16 bits
UNKNOWN = 254  # class id of a stray value while a table is applied; where 255 classes use it, strays are looked up
_KINDS = "give (height, width) of whole numbers, or (height, width, 3) of 8-bit colours"
_CLASS_KEYS = ("name", "value", "values", "colour", "colours", "thin", "ignore")
_HEADER = frozenset(("id", "index", "value", "name", "class", "label"))  # of a text table's heading, with
_HEADER_ALONE = frozenset(("name", "class", "label"))
_HEADER |= frozenset(("r", "g", "b", "red", "green", "blue", "rgb", "colour", "color"))
_RGB = r"(?P<r>\d+)[\s,;]+(?P<g>\d+)[\s,;]+(?P<b>\d+)"
_COLOUR_FIRST = re.compile(rf"{_RGB}[\s,;]+(?P<name>\D.*)")
_INDEX_FIRST = re.compile(
    rf"(?:(?P<index>\d+)[\s,;:]+)?(?P<name>.*?)(?:[\s,;]+(?:{_RGB}|(?P<hex>#[0-9a-fA-F]{{6}})))?[\s,;]*"
)


@dataclass(frozen=True)
class _Entry:
    """One class of a file before ids are given."""

    name: str
    values: tuple[int, ...] = ()
    colours: tuple[Colour, ...] = ()  # the first one draws the class
    thin: bool = False
    ignore: bool = False


# ------------------------------------------------------------------------------------------------ reading


def read_labels(path: Path | str) -> Labels:
    """The table of a TOML (`.toml`) or text file.

    Raises DataError for a file that cannot be read, a line or key that means nothing, and a raw value or colour that
    stands for two classes.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"label table {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"label table {path}: cannot be read ({error})") from error
    entries = tuple(_from_toml(text, path) if path.suffix.lower() == ".toml" else _from_text(text, path))
    if not any(entry.name for entry in entries):
        raise DataError(f"label table {path}: no class in it; write one name a line, or [[class]] tables in TOML")
    return _number(entries, str(path))


def _from_toml(text: str, path: Path) -> Iterator[_Entry]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"label table {path}: not valid TOML: {error}") from error
    _known(table, ("class", "ignore"), f"label table {path}")
    classes = table.get("class", [])
    if not isinstance(classes, list) or not all(isinstance(entry, dict) for entry in classes):
        raise DataError(f"label table {path}: 'class' must be written as [[class]] tables")
    names = [_class_name(entry, number, path) for number, entry in enumerate(classes, 1)]
    ignored = _ignored(table.get("ignore", []), names, f"label table {path}: ignore")
    by_place = not any("value" in entry or "values" in entry for entry in classes)
    for place, entry in enumerate(classes):
        yield _class(entry, place if by_place else None, ignored[0], path)
    yield _Entry("", ignored[1], ignored[2], ignore=True)


def _class_name(entry: dict[str, Any], number: int, path: Path) -> str:
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        found = f" (name = {name!r})" if "name" in entry else ""
        raise DataError(f'label table {path}: [[class]] number {number} has no name{found}; write name = "..."')
    return name


def _class(entry: dict[str, Any], place: int | None, ignored: frozenset[str], path: Path) -> _Entry:
    name = entry["name"]
    where = f"label table {path}: class '{name}'"
    _known(entry, _CLASS_KEYS, where)
    if "value" in entry and "values" in entry:
        raise DataError(f"{where}: has both value and values; list them all in values = [...]")
    for key in ("thin", "ignore"):
        if not isinstance(entry.get(key, False), bool):
            raise DataError(f"{where}: {key} = {entry[key]!r}; write true or false")
    values = [_value(entry["value"], f"{where}: value")] if "value" in entry else [] if place is None else [place]
    values += [_value(value, f"{where}: values") for value in _listed(entry, "values", where)]
    colours = [_colour(entry["colour"], f"{where}: colour")] if "colour" in entry else []
    colours += [_colour(colour, f"{where}: colours") for colour in _listed(entry, "colours", where)]
    if not values and not colours:
        raise DataError(f"{where} has no value and no colour; write values = [...]")
    ignore = entry.get("ignore", False) or name in ignored
    return _Entry(name, tuple(values), tuple(colours), entry.get("thin", False), ignore)


def _listed(entry: dict[str, Any], key: str, where: str) -> list[Any]:
    listed = entry.get(key, [])
    if not isinstance(listed, list):
        raise DataError(f"{where}: {key} = {listed!r}; write a list, {key} = [...]")
    return listed


def _ignored(listed: Any, names: list[str], where: str) -> tuple[frozenset[str], tuple[int, ...], tuple[Colour, ...]]:
    """The names, raw values and colours of the list `ignore`."""
    chosen: set[str] = set()
    values, colours = [], []
    for entry in listed if isinstance(listed, list) else [listed]:
        if isinstance(entry, int):
            values.append(_value(entry, where))
        elif isinstance(entry, list) or (isinstance(entry, str) and entry.startswith("#")):
            colours.append(_colour(entry, where))
        elif entry in names:
            chosen.add(entry)
        else:
            raise DataError(f"{where} lists {entry!r}, which is no class{did_you_mean(str(entry), names)}")
    return frozenset(chosen), tuple(values), tuple(colours)


def _known(table: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    if stray := sorted(set(table) - set(keys)):
        raise DataError(f"{where}: unknown key {stray[0]!r}{did_you_mean(stray[0], keys)}")


def _value(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_VALUE:
        raise DataError(f"{where}: raw value {value!r} is not a whole number from 0 to {MAX_VALUE}")
    return value


def _colour(colour: Any, where: str) -> Colour:
    if isinstance(colour, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
    if isinstance(colour, list | tuple) and len(colour) == 3 and all(type(c) is int and 0 <= c <= 255 for c in colour):
        return colour[0], colour[1], colour[2]
    raise DataError(f'{where}: {colour!r} is not a colour; write [r, g, b] from 0 to 255, or "#rrggbb"')


def _from_text(text: str, path: Path) -> Iterator[_Entry]:
    index = -1
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    for place, (number, line) in enumerate(lines):
        words = re.split(r"[\s,;]+", line.lower().strip(",;"))
        if place == 0 and (_HEADER if len(words) > 1 else _HEADER_ALONE).issuperset(words):
            continue
        where = f"label table {path}, line {number}"
        match = _COLOUR_FIRST.fullmatch(line) or _INDEX_FIRST.fullmatch(line)
        found = match.groupdict() if match else {}
        name = found.get("name", "").strip("\"' \t,;")
        if not any(letter.isalpha() for letter in name):
            raise DataError(f"{where}: {line!r} is not 'index name r,g,b' or a name; a name has a letter")
        index = int(found.get("index") or index + 1)
        colours = [_colour(found["hex"], where)] if found.get("hex") else []
        colours += [_colour([int(found[c]) for c in "rgb"], where)] if found["r"] else []
        yield _Entry(name, (_value(index, where),), tuple(colours), ignore=name.lower() in VOID)


def _number(entries: tuple[_Entry, ...], source: str) -> Labels:
    """Class ids in the order of the entries, ignored ones left out."""
    kept = [entry for entry in entries if not entry.ignore]
    if not kept:
        raise DataError(f"label table {source}: every class is ignored; leave at least one")
    given = {colour for entry in entries for colour in entry.colours}
    spare = [colour for colour in default_palette(len(kept) + len(given)) if colour not in given]
    ids = {entry.name: index for index, entry in enumerate(kept)}
    table = Labels(
        names=tuple(entry.name for entry in kept),
        palette=tuple(entry.colours[0] if entry.colours else spare[i] for i, entry in enumerate(kept)),
        values=(),
        thin=tuple(entry.name for entry in kept if entry.thin),
        source=source,
    )
    pairs = [(entry, table.ignore_index if entry.ignore else ids[entry.name]) for entry in entries]
    return replace(
        table,
        values=_unambiguous(((value, index) for entry, index in pairs for value in entry.values), "value", table),
        colours=_unambiguous(((colour, index) for entry, index in pairs for colour in entry.colours), "colour", table),
    )


def _unambiguous(pairs: Iterable[tuple[Raw, int]], what: str, labels: Labels) -> tuple[tuple[Raw, int], ...]:
    seen: dict[Raw, int] = {}
    for raw, index in pairs:
        if seen.setdefault(raw, index) != index:
            both = " and ".join(_name(labels, i) for i in (seen[raw], index))
            raise DataError(f"label table {labels.source}: {what} {raw} stands for {both}; it can mean only one class")
    return tuple(seen.items())


def _name(labels: Labels, index: int) -> str:
    return "ignore" if index == labels.ignore_index else f"'{labels.names[index]}'"


def default_palette(count: int) -> tuple[Colour, ...]:
    """Well separated colours: the bits of the index, least first, fill r, g, b from the highest bit (PASCAL VOC)."""

    def colour(index: int) -> Colour:
        r, g, b = (sum((index >> 3 * place + channel & 1) << 7 - place for place in range(8)) for channel in range(3))
        return r, g, b

    return tuple(colour(index) for index in range(count))


# ------------------------------------------------------------------------------------------------ ignoring


def with_ignored(labels: Labels, names: Iterable[str]) -> Labels:
    """`labels` without the classes `names`: their pixels have no label, later classes move up.

    A name of `VOID` that the table no longer has is already ignored and passes. Raises ConfigError for other names.
    """
    chosen = set(names)
    for name in sorted(chosen - set(labels.names)):
        if name.lower() not in VOID:
            raise ConfigError(
                f"data.ignore: label table {labels.source} has no class '{name}'{did_you_mean(name, labels.names)}"
            )
    kept = [index for index, name in enumerate(labels.names) if name not in chosen]
    if not kept:
        raise ConfigError(f"data.ignore: every class of label table {labels.source} is ignored; leave at least one")
    new = {old: place for place, old in enumerate(kept)}
    return replace(
        labels,
        names=tuple(labels.names[index] for index in kept),
        palette=tuple(labels.palette[index] for index in kept),
        values=tuple((raw, new.get(index, labels.ignore_index)) for raw, index in labels.values),
        colours=tuple((raw, new.get(index, labels.ignore_index)) for raw, index in labels.colours),
        thin=tuple(name for name in labels.thin if name not in chosen),
    )


# ------------------------------------------------------------------------------------------------ applying


def apply(mask: NDArray[Any], labels: Labels, path: Path | str) -> UInt8:
    """(H,W) raw whole numbers or (H,W,3) RGB uint8 -> (H,W) uint8 class ids or `ignore_index`.

    `path` names the mask in messages. Raises DataError for an array of another kind or without pixels, and with up to
    five strays and how many pixels have them.
    """
    grey = mask.ndim == 2 and mask.dtype.kind in "biu"
    if not mask.size or not (grey or (mask.shape[2:] == (3,) and mask.dtype == np.uint8)):
        raise DataError(f"{path}: a mask of shape {mask.shape} and type {mask.dtype}; {_KINDS}")
    if mask.ndim == 3:
        return _apply_colours(mask, labels, path)
    if mask.dtype not in (np.uint8, np.uint16):
        inside = (mask >= 0) & (mask <= MAX_VALUE)
        if not inside.all():
            raise _stray(mask[~inside], labels, path)
        mask = mask.astype(np.uint16)
    ids, known = _value_tables(labels)
    result = np.asarray(cv2.LUT(mask, ids[:256]) if mask.dtype == np.uint8 else ids[mask], np.uint8)
    if (result == UNKNOWN).any() and not (found := known[mask]).all():
        raise _stray(mask[~found], labels, path)
    return result


@lru_cache(maxsize=16)
def _value_tables(labels: Labels) -> tuple[UInt8, NDArray[np.bool_]]:
    """(65536,) raw value -> class id, `UNKNOWN` where the table lacks it, and (65536,) whether the table has it."""
    ids, known = np.full(MAX_VALUE + 1, UNKNOWN, np.uint8), np.zeros(MAX_VALUE + 1, np.bool_)
    for raw, index in labels.values:
        ids[raw], known[raw] = index, True
    return ids, known


@lru_cache(maxsize=2)  # 32 MiB each, of which the system keeps only the few pages that are written
def _colour_tables(labels: Labels) -> tuple[NDArray[np.uint16], UInt8]:
    """(2^24,) packed colour 0xrrggbb -> place, 0 where the table lacks it, and (N + 1,) place -> class id."""
    places = np.zeros(1 << 24, np.uint16)
    for place, ((r, g, b), _) in enumerate(labels.colours, 1):
        places[r << 16 | g << 8 | b] = place
    return places, np.array([0, *(index for _, index in labels.colours)], np.uint8)


def _apply_colours(mask: NDArray[Any], labels: Labels, path: Path | str) -> UInt8:
    if not labels.colours:
        raise DataError(
            f"{path}: an RGB mask, but the label table {labels.source} has no colours; "
            f"add a colour to each class, or save the mask as grey or palette picture"
        )
    wide = mask.astype(np.uint32)
    packed = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    table, ids = _colour_tables(labels)
    places = table[packed]
    if np.count_nonzero(places) < places.size:
        raise _stray(packed[places == 0], labels, path, colours=True)
    result: UInt8 = ids[places]
    return result


def _brightnesses(labels: Labels) -> set[int]:
    """What the colours of the table become when a picture is converted to grey (ITU-R 601), in Pillow and in OpenCV."""
    colours = [*labels.palette, *(colour for colour, _ in labels.colours)]
    exact = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in colours]
    return {round(value + shift) for value in exact for shift in (-0.01, 0.01)}


def _stray(raw: NDArray[Any], labels: Labels, path: Path | str, *, colours: bool = False) -> DataError:
    values, counts = np.unique(raw, return_counts=True)
    first = np.argsort(-counts, kind="stable")[:5]
    names = [f"#{values[i]:06x}" if colours else f"{values[i]}" for i in first]
    listed = ", ".join(f"{name} ({counts[i]} pixels)" for name, i in zip(names, first, strict=True))
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    what = ("colour" if colours else "value") + ("s" if len(values) > 1 else "")
    them = "them" if len(values) > 1 else "it"
    advice = f"add {them}, or list {them} under ignore"
    if not colours and {int(value) for value in values} <= _brightnesses(labels):
        advice += (
            "; if a palette or colour mask was converted to grey (its colours have such brightnesses), use that one"
        )
    return DataError(f"{path}: {what} {listed}{more} not in the label table {labels.source}; {advice}")
