"""From tables to findings: what would stop training, what should be known before it, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from structseg.data.check import only_class
from structseg.data.inspect.count import MOST_ROWS, class_pixels, is_colour
from structseg.data.inspect.findings import BREAKS, NOTE, WARNING, Finding, about, counted, shown
from structseg.data.inspect.look import Look
from structseg.data.labels import VOID, default_palette
from structseg.types import Labels

RARE_SHARE = 1e-3  # of the labelled pixels: a class below it needs weights, crops or luck
RARE_PICTURES = 5
MANY_VOID = 0.4  # share of pixels without label
FARTHEST = 200.0  # metres: beyond it the unit is wrong
MANY_VALUES = 64  # distinct values of a grey mask that was smoothed or is a picture


def files(looks: Sequence[Look], root: Path) -> list[Finding]:
    """Damaged files, sizes that differ, masks that cannot be read."""
    found = []
    for kind, one, many in (
        ("image", "picture cannot be read", "pictures cannot be read"),
        ("mask", "mask cannot be read", "masks cannot be read"),
        ("size", "mask of another size than its picture", "masks of another size than their pictures"),
        ("other", "picture cannot be used", "pictures cannot be used"),
    ):
        hit = [(look, text) for look in looks for sort, text in look.problems if sort == kind]
        if kind == "other":  # told better by the strays
            hit = [(look, text) for look, text in hit if "not in the label table" not in text]
        if hit:
            named = [shown(look.item.image if kind == "image" else look.item.target, root) for look, _ in hit]
            text = f"{len(hit)} {one if len(hit) == 1 else many}: {hit[0][1].replace(f'{root}/', '')}"
            found.append(about(BREAKS, kind, text, named))
    return found


def strays(rows: Sequence[dict[str, Any]], labels: Labels, looks: Sequence[Look], root: Path) -> list[Finding]:
    if not rows:
        return []
    listed = ", ".join(f"{row['value']} ({row['pixels']} pixels in {row['pictures']})" for row in rows[:5])
    more = f" and {'at least ' * (len(rows) == MOST_ROWS)}{len(rows) - 5} more" if len(rows) > 5 else ""
    named = sorted({place["file"] for row in rows for place in row["files"]})
    text = (
        f"{'value' if len(rows) == 1 else 'values'} not in the label table {shown(Path(labels.source), root)}: "
        f"{listed}{more}; add them as classes, or list them under ignore{_why(rows, looks)}"
    )
    return [about(BREAKS, "strays", text, named)]


def _why(rows: Sequence[dict[str, Any]], looks: Sequence[Look]) -> str:
    if any(one.distinct > MANY_VALUES for one in looks if not is_colour(one)):
        return "; so many values come from smoothing or from saving masks as pictures"
    if [row["value"] for row in rows] == ["255"]:
        return "; 255 is often 'no label', or the foreground of masks of 0 and 255"
    return ""


def masks(looks: Sequence[Look], root: Path, labels: Labels | None) -> list[Finding]:
    """Masks that were saved in the wrong way."""
    found = []
    grey = [one for one in looks if one.mask_kind.startswith("grey")]
    values = {int(value) for one in grey for value in one.values.tolist()}
    luma = {round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in default_palette(64)}
    unknown = values - {value for value, _ in labels.values} if labels else values
    if len(values) > 2 and max(values) > 2 * len(values) and unknown - {255} and values - {255} <= luma:
        text = "grey masks hold the brightness of palette colours: a palette mask was read as a picture and saved; "
        text += "save the palette's indices (or the colours as RGB) instead"
        found.append(about(WARNING, "palette as grey", text, [shown(one.item.target, root) for one in grey]))
    blurred = [
        one for one in looks if one.distinct > MANY_VALUES and not (labels and one.distinct <= len(labels.values))
    ]
    if blurred:
        text = (
            f"{counted(len(blurred), 'mask')} with {max(one.distinct for one in blurred)} distinct values or colours: "
        )
        text += "resized with smoothing, saved lossily, or instances instead of classes"
        found.append(about(WARNING, "blurred", text, [shown(one.item.target, root) for one in blurred]))
    kinds = {one.mask_kind for one in looks if one.mask_kind}
    if len(kinds) > 1:
        text = f"masks of {len(kinds)} kinds: {', '.join(sorted(kinds))}; one kind is safer"
        found.append(Finding(NOTE, "mask kinds", text))
    return found


def classes(
    rows: Sequence[dict[str, Any]], looks: Sequence[Look], labels: Labels, root: Path, train: str, *, whole: bool
) -> list[Finding]:
    """Absent and rare classes of the split that is trained on, and masks without any label."""
    found: list[Finding] = []
    found += _unlabelled(looks, labels, root)
    if not train or not any(row["pictures"][train] for row in rows):
        return found
    among = "" if whole else " of those looked at"
    absent = [row["name"] for row in rows if not row["pictures"][train]]
    if absent:
        text = f"{_listed(absent)} in no mask of split '{train}'{among}: nothing to learn from; its IoU will be 0"
        found.append(Finding(WARNING, "absent class", text, tuple(absent), len(absent)))
    few = min(RARE_PICTURES, sum(one.mask_size is not None and train in one.splits for one in looks) // 10)
    rare = [
        row
        for row in rows
        if row["pictures"][train] and (row["share"][train] < RARE_SHARE or row["pictures"][train] < few)
    ]
    if rare:
        rare.sort(key=lambda row: row["share"][train])
        named = [
            f"{row['name']} ({100 * row['share'][train]:.2g} % in {counted(row['pictures'][train], 'picture')})"
            for row in rare
        ]
        text = f"{_listed(named)}: rare in split '{train}'; class weights help"
        found.append(Finding(WARNING, "rare class", text, tuple(row["name"] for row in rare), len(rare)))
    return found


def _unlabelled(looks: Sequence[Look], labels: Labels, root: Path) -> list[Finding]:
    counted_pixels = [(one, class_pixels(one, labels)) for one in looks if one.values.size or one.ids is not None]
    bare = [one for one, pixels in counted_pixels if not pixels[: labels.num_classes].sum()]
    if not bare:
        return []
    named = [shown(one.item.target, root) or one.item.name for one in bare]
    if len(bare) == len(counted_pixels):
        text = f"no mask has a pixel with a label: check table {shown(Path(labels.source), root)} and what is ignored"
        return [about(BREAKS, "no labels", text, named)]
    return [about(WARNING, "empty mask", f"{counted(len(bare), 'mask')} without a single labelled pixel", named)]


def table(labels: Labels) -> list[Finding]:
    """A class alone; classes that look like "no label" by their name, and are learned like any other."""
    if only := only_class(labels):
        return [Finding(BREAKS, "one class", only.replace(labels.source, Path(labels.source).name))]
    words = re.compile(rf"(?i)\b({'|'.join(VOID)})\b")
    named = [name for name in labels.names if words.search(name)]
    if not named:
        return []
    text = f"class {_listed([repr(name) for name in named])} is learned like any other; if it means 'no label', "
    text += f"list it under ignore in {Path(labels.source).name}"
    return [Finding(WARNING, "void class", text, tuple(named), len(named))]


def void(shares: dict[str, float]) -> list[Finding]:
    much = [f"{split} {100 * share:.0f} %" for split, share in shares.items() if share > MANY_VOID]
    return [Finding(NOTE, "void", f"many pixels have no label: {', '.join(much)}")] if much else []


def names_of_splits(names: Sequence[str]) -> tuple[str, list[Finding]]:
    """The split that would be trained on, and what is missing for a run with the defaults."""
    train = next((name for name in names if name == "train"), "")
    if not train:
        train = next((name for name in names if name.startswith("train")), "")
        text = f"no split 'train' (splits here: {', '.join(names[:6])}): "
        text += f"set data.train={train}" if train else "fine to score and predict; to train, give lists of splits"
        return train, [Finding(WARNING, "other train" if train else "no train", text)]
    if len(names) == 1:
        text = f"'{names[0]}' is the only split: nothing to evaluate on; --make-split val=0.1 writes lists"
        return train, [Finding(WARNING, "one split", text)]
    if "test" not in names and "val" in names:
        text = "no split 'test': scores come from val (evaluation.split=val), on which weights are chosen, too"
        return train, [Finding(NOTE, "no test", text)]
    if "val" not in names and "test" in names:
        text = "no split 'val': cut one off train, or set evaluation.every=0 and take the last weights"
        return train, [Finding(NOTE, "no val", text)]
    return train, []


def absent_elsewhere(rows: Sequence[dict[str, Any]], names: Sequence[str], train: str) -> list[Finding]:
    """Classes that a split of scores lacks: they count as nothing there."""
    found = []
    for split in names:
        absent = [row["name"] for row in rows if not row["pictures"][split] and row["pictures"].get(train)]
        if split in ("val", "test") and absent and len(absent) < len(rows):
            text = f"{_listed(absent)} in no mask of split '{split}', which says nothing about such a class"
            found.append(Finding(NOTE, "absent class in scores", text, tuple(absent), len(absent)))
    return found


def depth(found: dict[str, Any] | None) -> list[Finding]:
    if found is None:
        return []
    listed = []
    if found["greatest"] > FARTHEST:
        text = f"depth up to {found['greatest']:.0f} m: the unit is perhaps millimetres read as metres"
        listed.append(Finding(WARNING, "depth unit", text))
    elif 0 < found["greatest"] < 0.2:
        text = f"no depth beyond {100 * found['greatest']:.1f} cm: the unit is perhaps wrong"
        listed.append(Finding(WARNING, "depth unit", text))
    if found["empty"]:
        listed.append(
            Finding(WARNING, "empty depth", f"{counted(found['empty'], 'depth map')} without any measurement")
        )
    return listed


def tags(found: dict[str, Any] | None) -> list[Finding]:
    if found is None:
        return []
    listed = []
    if found["unknown"]:
        text = f"{_listed(found['unknown'])} among the tags, but no class of the label table has that name"
        listed.append(Finding(BREAKS, "unknown tag", text))
    if found["not_in_mask"] or found["not_tagged"]:
        text = (
            f"tags against masks: {found['not_in_mask']} tags without a pixel, {found['not_tagged']} classes untagged"
        )
        listed.append(Finding(WARNING, "tags", text, tuple(found["files"]), found["not_in_mask"] + found["not_tagged"]))
    return listed


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
