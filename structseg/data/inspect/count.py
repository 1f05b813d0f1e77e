"""From what was seen of each picture to tables: splits, sizes, values of the masks, classes, strays, depth.

Everything returned is plain (numbers, texts, lists, dicts), for the page and for JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from structseg.data.inspect.findings import MOST_FILES, shown
from structseg.data.inspect.look import Look, Numbers, by_class, packed
from structseg.types import Item, Labels

MOST_ROWS = 40  # of values, sizes and strays


def is_colour(look: Look) -> bool:
    return look.mask_kind == "RGB"


def name_of(value: int, *, colour: bool) -> str:
    """A raw value as a label table writes it."""
    return f"#{value:06x}" if colour else str(value)


def table_of(labels: Labels, *, colour: bool) -> dict[int, int]:
    """Raw value, colours packed, -> class id or ignore index."""
    return {packed(raw): index for raw, index in labels.colours} if colour else dict(labels.values)


def class_pixels(look: Look, labels: Labels) -> Numbers:
    """(256,) pixels by class id."""
    if look.ids is not None:
        return look.ids
    return by_class(look.values, look.counts, labels, colours=is_colour(look))


def splits(items: dict[str, tuple[Item, ...]], looks: Sequence[Look]) -> list[dict[str, Any]]:
    looked = Counter(split for one in looks for split in one.splits)
    masks = Counter(split for one in looks for split in one.splits if one.mask_size)
    return [
        {
            "name": split,
            "pictures": len(listed),
            "looked_at": looked[split],
            "masks": masks[split],
            "groups": len({item.group for item in listed if item.group}),
        }
        for split, listed in items.items()
    ]


def sizes(looks: Sequence[Look]) -> dict[str, Any]:
    """Width x height, the most frequent first."""
    found = Counter(one.size for one in looks if one.size)
    if not found:
        return {"distinct": 0, "rows": [], "smallest": None, "largest": None}
    by_area = sorted(found, key=lambda size: (size[0] * size[1], size))
    return {
        "distinct": len(found),
        "rows": [{"size": list(size), "pictures": count} for size, count in found.most_common(MOST_ROWS)],
        "smallest": list(by_area[0]),
        "largest": list(by_area[-1]),
        "sides": _quartiles([min(size) for size in found.elements()]),
    }


def _quartiles(sides: Sequence[int]) -> list[int]:
    """Least, lower quartile, median, upper quartile and greatest of the shorter sides."""
    return [int(value) for value in np.percentile(sides, (0, 25, 50, 75, 100))]


def kinds(looks: Sequence[Look]) -> dict[str, int]:
    return dict(Counter(one.mask_kind for one in looks if one.mask_kind).most_common())


def values(looks: Sequence[Look], labels: Labels | None) -> list[dict[str, Any]]:
    """Raw values of all masks: meaning, pixels, pictures; in the order of the table, strays last."""
    pixels: Counter[tuple[bool, int]] = Counter()
    pictures: Counter[tuple[bool, int]] = Counter()
    for one in looks:
        for value, count in zip(one.values.tolist(), one.counts.tolist(), strict=True):
            pixels[is_colour(one), value] += count
            pictures[is_colour(one), value] += 1
    rows: list[dict[str, Any]] = [
        {
            "value": name_of(value, colour=colour),
            "meaning": _meaning(value, labels, colour=colour),
            "pixels": count,
            "pictures": pictures[colour, value],
        }
        for (colour, value), count in sorted(pixels.items())
    ]
    return rows if len(rows) <= 4 * MOST_ROWS else sorted(rows, key=lambda row: -row["pixels"])[: 4 * MOST_ROWS]


def _meaning(value: int, labels: Labels | None, *, colour: bool) -> str | None:
    """Class name, "ignored", or None where the table does not have it."""
    if labels is None:
        return None
    index = table_of(labels, colour=colour).get(value)
    return None if index is None else "ignored" if index == labels.ignore_index else labels.names[index]


def classes(looks: Sequence[Look], labels: Labels, names: Sequence[str]) -> list[dict[str, Any]]:
    """For each class and split: share of the labelled pixels, pictures that have it."""
    by_split = {split: [class_pixels(one, labels) for one in looks if split in one.splits] for split in names}
    rows: list[dict[str, Any]] = [
        {"name": name, "colour": list(colour), "thin": name in labels.thin, "share": {}, "pictures": {}}
        for name, colour in zip(labels.names, labels.palette, strict=True)
    ]
    for split, counted in by_split.items():
        table = np.stack(counted)[:, : labels.num_classes] if counted else np.zeros((0, labels.num_classes), np.int64)
        whole = max(1, int(table.sum()))
        for row, pixels, pictures in zip(rows, table.sum(0).tolist(), (table > 0).sum(0).tolist(), strict=True):
            row["share"][split] = pixels / whole
            row["pictures"][split] = pictures
    return rows


def ignored(looks: Sequence[Look], labels: Labels, names: Sequence[str]) -> dict[str, float]:
    """Split -> share of the pixels without label."""
    found = {}
    for split in names:
        table = sum((class_pixels(one, labels) for one in looks if split in one.splits), np.zeros(256, np.int64))
        found[split] = float(table[labels.ignore_index] / max(1, table.sum()))
    return found


def strays(looks: Sequence[Look], labels: Labels, root: Path) -> list[dict[str, Any]]:
    """Values outside the table, the most frequent MOST_ROWS first, and the files that have most of each."""
    pixels: Counter[tuple[bool, int]] = Counter()
    pictures: Counter[tuple[bool, int]] = Counter()
    for one in looks:
        for value, count in _outside(one, labels):
            pixels[is_colour(one), value] += count
            pictures[is_colour(one), value] += 1
    most = [key for key, _ in pixels.most_common(MOST_ROWS)]
    files: dict[tuple[bool, int], list[tuple[int, str]]] = {key: [] for key in most}
    for one in looks:
        for value, count in _outside(one, labels):
            if (key := (is_colour(one), value)) in files:
                files[key].append((count, shown(one.item.target, root)))
    return [
        {
            "value": name_of(key[1], colour=key[0]),
            "pixels": pixels[key],
            "pictures": pictures[key],
            "files": [
                {"file": file, "pixels": count}
                for count, file in sorted(files[key], key=lambda place: (-place[0], place[1]))[:MOST_FILES]
            ],
        }
        for key in most
    ]


def _outside(one: Look, labels: Labels) -> list[tuple[int, int]]:
    """Values of a mask that are not in the table, and their pixels; a table without colours is another finding."""
    known = table_of(labels, colour=is_colour(one))
    if is_colour(one) and not known:
        return []
    pairs = zip(one.values.tolist(), one.counts.tolist(), strict=True)
    return [(value, count) for value, count in pairs if value not in known]


def depth(looks: Sequence[Look]) -> dict[str, Any] | None:
    """Range in metres and share without measurement, over the pictures that have depth."""
    found = [one.depth for one in looks if one.depth is not None]
    if not found:
        return None
    least = [low for low, _, void in found if void < 1]
    return {
        "pictures": len(found),
        "least": min(least, default=0.0),
        "greatest": max(high for _, high, _ in found),
        "median_greatest": float(np.median([high for _, high, _ in found])),
        "void": float(np.mean([void for _, _, void in found])),
        "empty": sum(void == 1 for _, _, void in found),
    }


def instances(looks: Sequence[Look]) -> dict[str, Any] | None:
    found = [one.instances for one in looks if one.instances is not None]
    if not found:
        return None
    return {"pictures": len(found), "things": sum(found), "most": max(found), "none": found.count(0)}


def tags(looks: Sequence[Look], labels: Labels, root: Path) -> dict[str, Any] | None:
    """Tags against classes of the masks; classes that are never a tag (background) are left out of it."""
    tagged = [one for one in looks if one.tags]
    if not tagged:
        return None
    ever = {tag for one in tagged for tag in one.tags}
    extra: list[str] = []
    missing: list[str] = []
    for one in tagged:
        counts = class_pixels(one, labels)
        if not counts.sum():
            continue
        there = {name for name, count in zip(labels.names, counts.tolist(), strict=False) if count} & ever
        name = shown(one.item.image, root) or one.item.name
        extra += [f"{name} ({tag})" for tag in one.tags if tag not in there]
        missing += [f"{name} ({tag})" for tag in sorted(there - set(one.tags))]
    return {
        "pictures": len(tagged),
        "unknown": sorted(ever - set(labels.names)),
        "not_in_mask": len(extra),
        "not_tagged": len(missing),
        "files": [*extra[: MOST_FILES // 2], *missing[: MOST_FILES // 2]],
    }
