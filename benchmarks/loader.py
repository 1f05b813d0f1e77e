"""The loader's way from files to uint8 arrays against the usual one, on one thread.

    python benchmarks/loader.py

Made-up pictures (JPEG, then PNG) and PNG masks of 500x375 and 2048x1024 pixels, scale 0.5 to 2, mirror, crop 480. The
usual way resizes the whole picture and mask, then crops, once with Pillow and once the same in OpenCV. All read the
same files with the same draws, one after the other, picture by picture; printed are medians of processor time and
ratios to Pillow. Checked on the way: with and without the label cache the same crop comes out; labels are those of the
OpenCV way, and the picture is within one grey level of it.
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
from structseg.data.reading import Reading, reading
from structseg.data.transforms import MEAN_COLOUR, augment
from structseg.types import Item, Labels, UInt8

CROP = 480
CLASSES = 19
LABELS = Labels(tuple(map(str, range(CLASSES))), default_palette(CLASSES), tuple((i, i) for i in range(CLASSES)))
Crop = tuple[UInt8, UInt8]


def make(folder: Path, width: int, height: int, count: int, suffix: str = ".jpg") -> list[Item]:
    """Smooth noise as picture, its large blobs as mask."""
    items = []
    for index in range(count):
        rng = np.random.default_rng(index)
        small = rng.random((height // 32, width // 32, 4), dtype=np.float32)
        smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = rng.normal(0, 8, (height, width, 3))
        image, mask = folder / f"{index}{suffix}", folder / f"{index}_mask.png"
        Image.fromarray(np.clip(smooth[..., :3] * 255 + noise, 0, 255).astype(np.uint8)).save(image, quality=90)
        Image.fromarray(np.clip(smooth[..., 3] * CLASSES, 0, CLASSES - 1).astype(np.uint8)).save(mask)
        items.append(Item(str(index), image, mask))
    return items


def with_pillow(item: Item, rng: np.random.Generator) -> Crop:
    """Resize the whole picture and mask with Pillow, then pad, mirror and crop."""
    assert item.image is not None
    assert item.target is not None
    image, mask = Image.open(item.image).convert("RGB"), Image.open(item.target).convert("L")
    share = rng.random(7)
    factor = 0.5 + 1.5 * share[0]
    size = (round(image.width * factor), round(image.height * factor))
    image, mask = image.resize(size, Image.Resampling.BILINEAR), mask.resize(size, Image.Resampling.NEAREST)
    if share[3] < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mask = mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    right, below = max(size[0], CROP), max(size[1], CROP)
    wide = Image.new("RGB", (right, below), MEAN_COLOUR)
    wide.paste(image)
    wide_mask = Image.new("L", (right, below), 255)
    wide_mask.paste(mask)
    x, y = int(share[2] * (right - CROP + 1)), int(share[1] * (below - CROP + 1))
    box = (x, y, x + CROP, y + CROP)
    return np.array(wide.crop(box)), np.array(wide_mask.crop(box))


def with_opencv(item: Item, rng: np.random.Generator) -> Crop:
    """The same in OpenCV, window and mirror as `augment` draws them."""
    image = cv2.cvtColor(cv2.imread(str(item.image)), cv2.COLOR_BGR2RGB)
    mask = cv2.imread(str(item.target), cv2.IMREAD_UNCHANGED)
    share = rng.random(7)
    factor = 0.5 + 1.5 * float(share[0])
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    rows, columns = min(size[1], CROP), min(size[0], CROP)
    y, x = int(share[1] * (size[1] - rows + 1)), int(share[2] * (size[0] - columns + 1))
    image, mask = image[y : y + rows, x : x + columns], mask[y : y + rows, x : x + columns]
    if share[3] < 0.5:
        image, mask = cv2.flip(image, 1), cv2.flip(mask, 1)
    edges = (0, CROP - rows, 0, CROP - columns, cv2.BORDER_CONSTANT)
    image, mask = cv2.copyMakeBorder(image, *edges, value=MEAN_COLOUR), cv2.copyMakeBorder(mask, *edges, value=255)
    return np.asarray(image, np.uint8), np.asarray(mask, np.uint8)


def ours(item: Item, rng: np.random.Generator) -> Crop:
    sample = read_item(item, LABELS)
    done = augment(sample, rng, crop=(CROP, CROP), scale=(0.5, 2), mirror=True, jitter=0, ignore_index=255)
    assert done.target is not None
    return done.image, done.target


def ours_cached(folder: Path) -> Callable[[Item, np.random.Generator], Crop]:
    settings = Reading(cache=str(folder))

    def way(item: Item, rng: np.random.Generator) -> Crop:
        with reading(settings):
            return ours(item, rng)

    return way


def check(usual: Crop, plain: Crop, cached: Crop) -> None:
    assert np.array_equal(plain[0], cached[0])
    assert np.array_equal(plain[1], cached[1])
    assert np.array_equal(plain[1], usual[1])
    assert np.abs(plain[0].astype(int) - usual[0]).max() <= 1


def compare(folder: Path, width: int, height: int, count: int, suffix: str) -> None:
    items = make(folder, width, height, count, suffix)
    ways: dict[str, Callable[[Item, np.random.Generator], Crop]] = {
        "whole, Pillow": with_pillow,
        "whole, OpenCV": with_opencv,
        "structseg": ours,
        "structseg, label cache": ours_cached(folder / "cache"),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for place in range(-count, 10 * count):  # the first round fills the caches and is not counted
        crops = []
        for name, way in ways.items():
            rng = place_rng(0, "benchmark", place)
            start = time.thread_time()
            crops.append(way(items[place % count], rng))
            if place >= 0:
                times[name].append(time.thread_time() - start)
        check(*crops[1:])
    middle = {name: float(np.median(found)) for name, found in times.items()}
    print(f"{width}x{height}, pictures {suffix[1:].upper()}")
    for name, seconds in middle.items():
        ratio = middle["whole, Pillow"] / seconds
        print(f"  {name:24s} {1e3 * seconds:7.1f} ms  {1 / seconds:6.0f} pictures/s  {ratio:4.1f}x")


def main() -> None:
    cv2.setNumThreads(0)
    for suffix in (".jpg", ".png"):
        for width, height, count in ((500, 375, 8), (2048, 1024, 4)):
            with tempfile.TemporaryDirectory() as folder:
                compare(Path(folder), width, height, count, suffix)


if __name__ == "__main__":
    main()
