"""Crop-first augmentation against the usual resize-whole-then-crop, from files to uint8 arrays, on one thread.

    python benchmarks/loader.py

Made-up JPEG pictures and PNG masks of 500x375 and 2048x1024 pixels, scale 0.5 to 2, mirror, crop 480. Both ways read
the same files with the same draws, one after the other, picture by picture; printed are medians of processor
time and their ratio.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from structseg.data.labels import default_palette
from structseg.data.loader import place_rng
from structseg.data.read import read_item
from structseg.data.transforms import MEAN_COLOUR, augment
from structseg.types import Item, Labels, UInt8

CROP = 480
CLASSES = 19
LABELS = Labels(tuple(map(str, range(CLASSES))), default_palette(CLASSES), tuple((i, i) for i in range(CLASSES)))


def make(folder: Path, width: int, height: int, count: int) -> list[Item]:
    """Smooth noise as picture, its large blobs as mask."""
    items = []
    for index in range(count):
        rng = np.random.default_rng(index)
        small = rng.random((height // 32, width // 32, 4), dtype=np.float32)
        smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = rng.normal(0, 8, (height, width, 3))
        image, mask = folder / f"{index}.jpg", folder / f"{index}.png"
        Image.fromarray(np.clip(smooth[..., :3] * 255 + noise, 0, 255).astype(np.uint8)).save(image, quality=90)
        Image.fromarray(np.clip(smooth[..., 3] * CLASSES, 0, CLASSES - 1).astype(np.uint8)).save(mask)
        items.append(Item(str(index), image, mask))
    return items


def usual(item: Item, rng: np.random.Generator) -> tuple[UInt8, UInt8]:
    """Resize the whole picture and mask with Pillow, then pad, mirror and crop."""
    assert item.image is not None
    assert item.target is not None
    image, mask = Image.open(item.image).convert("RGB"), Image.open(item.target).convert("L")
    factor = rng.uniform(0.5, 2)
    size = (round(image.width * factor), round(image.height * factor))
    image, mask = image.resize(size, Image.Resampling.BILINEAR), mask.resize(size, Image.Resampling.NEAREST)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mask = mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    right, below = max(size[0], CROP), max(size[1], CROP)
    wide = Image.new("RGB", (right, below), MEAN_COLOUR)
    wide.paste(image)
    wide_mask = Image.new("L", (right, below), 255)
    wide_mask.paste(mask)
    x, y = int(rng.integers(0, right - CROP + 1)), int(rng.integers(0, below - CROP + 1))
    box = (x, y, x + CROP, y + CROP)
    return np.array(wide.crop(box)), np.array(wide_mask.crop(box))


def crop_first(item: Item, rng: np.random.Generator) -> tuple[UInt8, UInt8]:
    sample = read_item(item, LABELS)
    done = augment(sample, rng, crop=(CROP, CROP), scale=(0.5, 2), mirror=True, jitter=0, ignore_index=255)
    assert done.target is not None
    return done.image, done.target


def decode(item: Item, rng: np.random.Generator) -> tuple[UInt8, UInt8]:
    """Reading alone: the floor of both."""
    sample = read_item(item, LABELS)
    assert sample.target is not None
    return sample.image, sample.target


def main() -> None:
    cv2.setNumThreads(0)
    ways: dict[str, Callable[[Item, np.random.Generator], tuple[UInt8, UInt8]]] = {
        "resize whole, crop (Pillow)": usual,
        "crop first (structseg)": crop_first,
        "read alone": decode,
    }
    for width, height, count in ((500, 375, 8), (2048, 1024, 4)):
        with tempfile.TemporaryDirectory() as folder:
            items = make(Path(folder), width, height, count)
            times: dict[str, list[float]] = {name: [] for name in ways}
            for place in range(10 * count):
                for name, way in ways.items():
                    start = time.thread_time()
                    way(items[place % count], place_rng(0, "benchmark", place))
                    times[name].append(time.thread_time() - start)
        slow = float(np.median(times["resize whole, crop (Pillow)"]))
        print(f"{width}x{height}")
        for name, found in times.items():
            middle = float(np.median(found))
            print(f"  {name:28s} {1e3 * middle:7.1f} ms  {1 / middle:6.0f} pictures/s  {slow / middle:4.1f}x")


if __name__ == "__main__":
    main()
