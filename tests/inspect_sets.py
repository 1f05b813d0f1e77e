"""Tiny data sets with one thing wrong each, for the tests of `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from structseg.config import DataConfig
from structseg.data.inspect import Inspection, inspect

SIZE = (24, 32)  # height, width
TABLE = "0 road 128,64,128\n1 car 0,0,142\n2 sky 70,130,180\n255 void\n"


def picture(path: Path, seed: int, size: tuple[int, int] = SIZE) -> Path:
    """Blocks of noise: unlike any other seed, also to a difference hash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size[::-1], Image.Resampling.BILINEAR).save(path)
    return path


def mask(path: Path, values: tuple[int, ...] = (0, 1, 2, 255), size: tuple[int, int] = SIZE, mode: str = "L") -> Path:
    """Vertical stripes of the values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.array(values)[np.arange(size[1]) * len(values) // size[1]]
    array = np.broadcast_to(stripes, size)
    image = Image.fromarray(np.ascontiguousarray(array.astype(np.uint16 if mode == "I;16" else np.uint8)))
    if mode == "P":
        image.putpalette([channel for value in range(256) for channel in (value, 255 - value, 7)])
    image.save(path)
    return path


def good(root: Path, *, per_split: int = 4, table: str = TABLE) -> Path:
    """images/SPLIT and masks/SPLIT, nothing wrong."""
    for place, split in enumerate(("train", "val", "test")):
        for number in range(per_split):
            picture(root / f"images/{split}/{split}{number}.png", 100 * place + number)
            mask(root / f"masks/{split}/{split}{number}.png")
    if table:
        (root / "classes.txt").write_text(table)
    return root


def look(root: Path, **config: Any) -> Inspection:
    return inspect(DataConfig(root=str(root), **config), guessed=True)


def kinds(found: Inspection, level: str = "") -> list[str]:
    return [finding.kind for finding in found.findings if level in ("", finding.level)]


def only(found: Inspection, kind: str) -> str:
    (text,) = (finding.text for finding in found.findings if finding.kind == kind)
    return text
