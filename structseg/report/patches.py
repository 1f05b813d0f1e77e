"""What does a learned kernel look at? A patch of a kept picture for each class, with its kernel drawn at a border.

As in Fig. 3 of the AAF paper (right). A square of side k * cell stands for a kernel of size k, in pixels of the
picture: solid between classes (edge), dashed inside the class (interior), both around a pixel at the class's border.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from structseg.report.compare import Comparison, Row
from structseg.report.curves import Kernels, kernels
from structseg.report.pictures import UInt8, read_image, read_mask
from structseg.report.read import Picture

SIDE = 72  # pixels of a kept picture
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Patch:
    """All in pixels of the patch."""

    name: str  # of the class
    size: float  # effective kernel size at borders, in cells
    image: str  # data address
    width: int  # at most SIDE, less where the kept picture is smaller
    height: int
    x: float  # the pixel that the kernels stand at
    y: float
    edge: float  # side of the square
    interior: float


def patches(comparison: Comparison) -> tuple[Patch, ...]:
    """One for each class with a border, from the smallest kernel to the largest.

    Of B, or else of the first row that learned kernels; empty where the size of a cell or of the kept pictures is
    unknown.
    """
    rows = [row for row in (comparison.b, comparison.a, *comparison.finished) if row is not None]
    for row in rows:
        if learned := kernels(row):
            places = _places(row) if learned.cell else {}
            order = sorted(places, key=lambda place: learned.edge[place])
            return tuple(_patch(row, learned, learned.cell or 0, place, *places[place]) for place in order)
    return ()


def _places(row: Row) -> dict[int, tuple[Picture, int, int]]:
    """Class -> the kept picture with most of its border, and the border pixel (y, x) nearest to the middle of them.

    Pixels nearer to the picture's edge than half a patch are taken only where the picture has no others.
    """
    most: dict[int, int] = {}
    found: dict[int, tuple[Picture, int, int]] = {}
    for picture in row.run.pictures:
        if picture.scale is None:
            continue
        target = read_mask(picture.target)
        for place in range(len(row.classes)):
            border = _border(target, place, len(row.classes))
            inner = _inner(border)
            points = np.argwhere(inner if inner.any() else border)
            if len(points) > most.get(place, 0):
                y, x = points[np.square(points - points.mean(0)).sum(1).argmin()]
                most[place], found[place] = len(points), (picture, int(y), int(x))
    return found


def _patch(row: Row, learned: Kernels, cell: float, place: int, picture: Picture, y: int, x: int) -> Patch:
    image = read_image(picture.image)
    top, left = _start(y, image.shape[0]), _start(x, image.shape[1])
    file = io.BytesIO()
    cut = image[top : top + SIDE, left : left + SIDE]
    Image.fromarray(cut).save(file, "JPEG", quality=88)
    address = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    pixels = cell * (picture.scale or 1)  # of the kept picture, one cell
    edge, interior = learned.edge[place] * pixels, learned.interior[place] * pixels
    (height, width), at = cut.shape[:2], (x - left + 0.5, y - top + 0.5)
    return Patch(row.classes[place], learned.edge[place], address, width, height, *at, edge, interior)


def _start(at: int, full: int) -> int:
    """Where a patch around `at` begins, inside 0..full."""
    return min(max(0, at - SIDE // 2), max(0, full - SIDE))


def _border(target: UInt8, place: int, classes: int) -> Mask:
    """(H,W) -> pixels of the class beside a labelled pixel of another one."""
    own: Mask = np.equal(target, place)
    other: Mask = ~own & np.less(target, classes)
    found: Mask = np.zeros(target.shape, np.bool_)
    found[1:] |= own[1:] & other[:-1]
    found[:-1] |= own[:-1] & other[1:]
    found[:, 1:] |= own[:, 1:] & other[:, :-1]
    found[:, :-1] |= own[:, :-1] & other[:, 1:]
    return found


def _inner(border: Mask) -> Mask:
    half = SIDE // 2
    inside: Mask = np.zeros_like(border)
    inside[half:-half, half:-half] = border[half:-half, half:-half]
    return inside
