"""A label table for masks that have none: values and colours that stand in them, names from a list of names if there is
one, else class_0, class_1 ...

255 beside small values means "no label" in most sets, and so it is suggested; in masks of 0 and 255 alone it is the
foreground. Of colour masks, colours of few pixels are blurred borders and are left out, which the text says.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from structseg.data.formats import read_lines
from structseg.data.inspect.count import is_colour
from structseg.data.inspect.look import Look
from structseg.data.labels import MAX_VALUE, VOID, default_palette
from structseg.errors import DataError
from structseg.types import Colour

MOST_CLASSES = 255
SMALL = 1e-4  # share of the pixels below which a colour of an RGB mask is taken for a blurred border
TAKEN_AS_VOID = 200  # 255 is taken for "no label" where the next smaller value is below this


def table(looks: Sequence[Look], root: Path) -> str:
    """TOML of a table that reads these masks; "" where there is no value to name."""
    colours = [one for one in looks if is_colour(one) and one.values.size]
    greys = [one for one in looks if not is_colour(one) and one.values.size]
    if colours and len(colours) >= len(greys):
        return _of_colours(colours)
    return _of_values(greys, root) if greys else ""


def _counted(looks: Sequence[Look]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for one in looks:
        counts.update(dict(zip(one.values.tolist(), one.counts.tolist(), strict=True)))
    return counts


def _of_values(looks: Sequence[Look], root: Path) -> str:
    counts = _counted(looks)
    values = sorted(value for value in counts if 0 <= value <= MAX_VALUE)
    void = [255] if len(values) > 2 and values[-1] == 255 and values[-2] < TAKEN_AS_VOID else []
    kept = [value for value in values if value not in void][:MOST_CLASSES]
    if not kept:
        return ""
    palette = _palette(looks)
    if not palette:
        palette = dict(enumerate(default_palette(max(kept) + 1 if max(kept) <= 255 else 0)))
    spare = [colour for colour in default_palette(len(kept) + len(palette)) if colour not in palette.values()]
    names, source = _names(root, max(kept))
    head = [f"# Made from the values in {len(looks)} masks; check every name{source}."]
    head += ["ignore = [255]  # no label"] if void else []
    rows, drawn = [], set[Colour]()
    for place, value in enumerate(kept):
        name = names.get(value) or _plain(value, kept)
        colour = palette.get(value, spare[place])
        colour = spare[place] if colour in drawn else colour  # palettes are filled up with one colour
        drawn.add(colour)
        rows.append(_class(name, colour, f"values = [{value}]", void=name.lower().split()[0] in VOID))
    return "\n".join([*head, *rows]) + "\n"


def _plain(value: int, kept: Sequence[int]) -> str:
    if len(kept) == 2 and kept[0] == 0:
        return "foreground" if value else "background"
    return f"class_{value}"


def _class(name: str, colour: Colour, raw: str, *, void: bool = False) -> str:
    lines = ["", "[[class]]", f"name = {json.dumps(name, ensure_ascii=False)}", raw]
    lines.append(f'colour = "#{colour[0]:02x}{colour[1]:02x}{colour[2]:02x}"')
    return "\n".join([*lines, *(["ignore = true"] if void else [])])


def _of_colours(looks: Sequence[Look]) -> str:
    counts = _counted(looks)
    whole = sum(counts.values())
    kept = sorted(value for value, count in counts.items() if count / whole >= SMALL)[:MOST_CLASSES]
    left = len(counts) - len(kept)
    head = [f"# Made from the colours in {len(looks)} masks; give every class its name."]
    head += [f"# {left} colours of few pixels are left out: blurred borders, or rare classes."] if left else []
    rows = [
        "\n".join(["", "[[class]]", f'name = "class_{place}"', f'colour = "#{value:06x}"'])
        for place, value in enumerate(kept)
    ]
    return "\n".join([*head, *rows]) + "\n"


def _palette(looks: Sequence[Look]) -> dict[int, Colour]:
    """Value -> colour of the palette that most palette masks share."""
    found = Counter(one.palette for one in looks if one.palette)
    return dict(enumerate(found.most_common(1)[0][0])) if found else {}


def _names(root: Path, greatest: int) -> tuple[dict[int, str], str]:
    """Names by value from a text file of the folder with a name a line that is long enough, and which file it is."""
    for file in sorted(root.glob("*.txt")):
        if not re.search(r"(?i)class|label|name|categor", file.stem):
            continue
        try:
            lines = [line.strip() for line in read_lines(file)]
        except DataError:
            continue
        lines = [line for line in lines if line]
        named = _numbered(lines) or dict(enumerate(lines))
        if max(named, default=-1) >= greatest and len(set(named.values())) == len(named):
            return named, f" (from {file.name})"
    return {}, ""


def _numbered(lines: Sequence[str]) -> dict[int, str]:
    """The names of a list of `index name` lines; empty where it is another kind of list."""
    found = [re.fullmatch(r"(\d+)[\s,;:]+(.*?[a-zA-Z].*?)(?:[\s,;]+\d+[\s,;]+\d+[\s,;]+\d+)?", line) for line in lines]
    return {int(match[1]): match[2] for match in found if match} if all(found) else {}
