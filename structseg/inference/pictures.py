"""Small copies of a few predictions, for the comparison page: picture, truth and prediction of one size.

The same pictures are kept for every run on a split: an even spread over it. Masks are grey PNGs of class ids, reduced
by nearest pixel; the page draws everything else from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from structseg import runs
from structseg.data.fingerprint import spread
from structseg.types import Item, Sample, UInt8

WIDTH, HEIGHT = 384, 1536  # pixels, at most


class Pictures:
    """Keeps the small copies of up to `limit` of `items` in memory until `write`."""

    def __init__(self, items: Sequence[Item], limit: int) -> None:
        self._chosen = {item.name for item in spread(items, limit)} if limit else set()
        self._kept: list[tuple[str, float, UInt8, UInt8, UInt8]] = []

    def see(self, sample: Sample, prediction: UInt8) -> None:
        """Keep the sample and its (H,W) prediction if it is a chosen one."""
        if sample.name not in self._chosen or sample.target is None:
            return
        height, width = prediction.shape
        reduce = min(1.0, WIDTH / width, HEIGHT / height)
        size = (max(1, round(width * reduce)), max(1, round(height * reduce)))
        self._kept.append(
            (
                sample.name,
                size[0] / width,
                np.asarray(cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA), np.uint8),
                np.asarray(cv2.resize(sample.target, size, interpolation=cv2.INTER_NEAREST), np.uint8),
                np.asarray(cv2.resize(prediction, size, interpolation=cv2.INTER_NEAREST), np.uint8),
            )
        )

    def write(self, folder: Path) -> None:
        """`NNN.jpg`, `NNN.target.png`, `NNN.prediction.png` of each, and index.json that names them."""
        rows = []
        for place, (name, scale, image, target, prediction) in enumerate(self._kept):
            row = {
                "image": f"{place:03d}.jpg",
                "target": f"{place:03d}.target.png",
                "prediction": f"{place:03d}.prediction.png",
            }
            _save(folder / row["image"], image, "JPEG")
            _save(folder / row["target"], target, "PNG")
            _save(folder / row["prediction"], prediction, "PNG")
            rows.append({"name": name, **row, "scale": round(scale, 4)})
        if rows:
            runs.write_json(folder / "index.json", rows)


def _save(path: Path, array: UInt8, kind: str) -> None:
    runs.write_file(path, lambda file: Image.fromarray(array).save(file, kind, quality=85, optimize=True))
