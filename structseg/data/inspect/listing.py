"""What is in a folder: which layout, which splits, which items, and which files have no partner?

A format refuses a split at its first fault, which is right for training. An inspection wants all faults: so of folders
of pairs the files without partner are listed here, and a layout that no format knows is matched by `loose`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from structseg import build
from structseg.config import DataConfig
from structseg.data import open_format
from structseg.data.formats import Format
from structseg.data.formats.pairs import LAYOUTS, TABLES, Pairs
from structseg.data.inspect import loose
from structseg.data.inspect.findings import BREAKS, WARNING, Finding, about, counted, shown
from structseg.errors import ConfigError, DataError
from structseg.types import Item

LOOSE = "files"  # the name of the split where there is none


@dataclass(frozen=True)
class Listing:
    """The items of a folder. `source` is None where no label table makes masks readable."""

    format: str  # "" where no layout fits
    source: Format | None
    splits: dict[str, tuple[Item, ...]]
    findings: tuple[Finding, ...]
    plain: bool = False  # without splits: --make-split can make them


def guess(root: Path) -> str:
    """The name of the first format whose layout fits, the most special first; "" where none does."""
    for name, fits in _layouts().items():
        if fits(root):
            return name
    return "pairs" if Pairs.fits(root) and _pairs(root, DataConfig()).splits() else ""


@cache
def _layouts() -> dict[str, Callable[[Path], bool]]:
    """Format -> whether a folder is laid out like it, for all but the most general one."""
    names = (name for name in build.names("data.formats") if name != "pairs")
    found: dict[str, Any] = {name: build.find("data.formats", name) for name in names}
    return {name: layout.fits for name, layout in found.items()}


def list_items(config: DataConfig, *, guessed: bool) -> Listing:
    """The items of `config.root`, format by name or ("" and `guessed`) by layout.

    Raises DataError where there is nothing to inspect, ConfigError for a wrong format or option.
    """
    root = Path(config.root)
    name = guess(root) if guessed else config.format
    if name in ("", "pairs") and guessed and (inner := _inner(root)):
        raise DataError(f"{root}: data sets lie below it: {', '.join(inner)}; inspect one of these folders")
    if not name:
        return _loose(root, loose.find(root))
    config = replace(config, format=name)
    findings: list[Finding] = []
    source: Format | None
    try:
        source = open_format(config)
    except DataError as error:
        if name != "pairs" or config.labels or "no label table" not in str(error):
            raise
        source = None
        findings.append(_no_table(root))
    lister = source or _pairs(root, config)
    splits: dict[str, tuple[Item, ...]] = {}
    for split in lister.splits():
        splits[split], found = _items(lister, split, root)
        findings += found
    splits = {split: items for split, items in splits.items() if items}
    if guessed and not any(item.target for items in splits.values() for item in items):
        found_loose = loose.find(root)
        if found_loose.pairs:  # what looked like the layout has its masks elsewhere
            return _loose(root, found_loose)
    if not splits and not findings:
        raise DataError(f"{root}: laid out as {name}, but no split in it has a picture")
    return Listing(name, source, splits, tuple(findings))


def _items(source: Format, split: str, root: Path) -> tuple[tuple[Item, ...], list[Finding]]:
    if isinstance(source, Pairs) and not source.listed(split):
        return _matched(source, split, root)
    try:
        items = source.items(split)
    except (DataError, ConfigError) as error:
        return (), [Finding(BREAKS, "list", f"split '{split}': {error}")]
    bare = [shown(item.image, root) for item in items if item.image is not None and item.target is None]
    if not bare or any(_made(source, item) for item in items[:1]):
        return items, []
    level = WARNING if len(bare) == len(items) else BREAKS
    text = (
        f"split '{split}': {counted(len(bare), 'picture')} of {len(items)} without mask: fine to predict, not to train"
    )
    return items, [about(level, "bare", text, bare)]


def _made(source: Format, item: Item) -> bool:
    """Whether the format makes a mask of something other than a file of its own for the item."""
    try:
        return source.read(item).target is not None
    except DataError:
        return True


def _matched(source: Pairs, split: str, root: Path) -> tuple[tuple[Item, ...], list[Finding]]:
    """The pairs of a split's folders that match, and what does not."""
    try:
        images, masks = source.found(split)
    except DataError as error:
        return (), [Finding(BREAKS, "list", f"split '{split}': {error}")]
    both = sorted(set(images) & set(masks))
    items = tuple(Item(name, images[name], masks[name], index=place) for place, name in enumerate(both))
    findings = _lonely(
        split, [images[name] for name in sorted(set(images) - set(masks))], root, "picture", "mask", len(images)
    ) + _lonely(split, [masks[name] for name in sorted(set(masks) - set(images))], root, "mask", "picture", len(masks))
    return (source.grouped(items) if items else ()), findings


def _lonely(split: str, paths: Sequence[Path], root: Path, what: str, other: str, of: int) -> list[Finding]:
    if not paths:
        return []
    where = f"split '{split}': " if split != LOOSE else ""
    advice = "add or remove, or set image_suffix and mask_suffix in data.options"
    text = f"{where}{counted(len(paths), what)} of {of} without a {other} of the same name; {advice}"
    return [about(BREAKS, f"no {other}", text, [shown(path, root) for path in paths])]


def _no_table(root: Path) -> Finding:
    names = ", ".join(TABLES[:1] + TABLES[2:3])
    text = f"no label table ({names}): nothing says what the values of the masks mean; a suggestion is below"
    return Finding(BREAKS, "no table", text)


def _pairs(root: Path, config: DataConfig) -> Any:
    """The layout `pairs` with a label table that is never used."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "classes.txt"
        table.write_text("0 any\n")
        return build.create(
            "data.formats", "pairs", config.options, key="data.options", root=root, labels=str(config.labels or table)
        )


# ------------------------------------------------------------------------------------------------ no layout


def _loose(root: Path, found: loose.Loose) -> Listing:
    if not found.pairs:
        raise DataError(_nothing(root, found))
    items = tuple(Item(name, image, mask, index=i) for i, (name, (image, mask)) in enumerate(found.pairs.items()))
    where = f"{found.images}/ and {found.masks}/" if found.images != found.masks else f"{found.images}/"
    text = f"no splits: {counted(len(items), 'pair')} in {where}; --make-split val=0.1 writes lists of them"
    findings = [Finding(BREAKS, "no splits", text)]
    findings += _lonely(LOOSE, found.bare_images, root, "picture", "mask", len(found.bare_images) + len(items))
    findings += _lonely(LOOSE, found.bare_masks, root, "mask", "picture", len(found.bare_masks) + len(items))
    source: Format | None = None
    if any((root / name).is_file() for name in TABLES):
        source = build.create("data.formats", "pairs", {}, root=root, labels="")
    else:
        findings.append(_no_table(root))
    return Listing("", source, {LOOSE: items}, tuple(findings), plain=True)


def _nothing(root: Path, found: loose.Loose) -> str:
    """One line for a folder in which nothing can be inspected."""
    if not found.pictures:
        return f"{root}: no pictures in it or below it; looked for {_looked_for()}"
    if not found.bare_masks:
        return (
            f"{root}: {counted(found.pictures, 'picture')} but no masks; structseg predict works on them, training "
            f"needs a mask for each; looked for {_looked_for()}"
        )
    if not found.bare_images:
        return f"{root}: {counted(found.pictures, 'mask')} but no pictures; give the folder that holds both"
    return (
        f"{root}: pictures such as {shown(found.bare_images[0], root)} and masks such as "
        f"{shown(found.bare_masks[0], root)}, but no names match; looked for {_looked_for()}"
    )


def _inner(root: Path) -> list[str]:
    """Up to five folders one or two levels below that a format other than pairs fits."""
    places = sorted(path for pattern in ("*", "*/*") for path in root.glob(pattern) if path.is_dir())
    found = [(path, guess(path)) for path in places[:500]]
    outer = [path for path, name in found if name not in ("", "pairs")]
    return [
        f"{shown(path, root)} ({name})"
        for path, name in found
        if path in outer and not any(parent in outer for parent in path.parents)
    ][:5]


def _looked_for() -> str:
    names = [name for name in _layouts() if name != "scenes"]
    return f"{LAYOUTS}, and the layouts of {', '.join(names)}"
