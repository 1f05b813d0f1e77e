"""What the painter paints on: a pinhole camera, a map of part numbers, and what each part is.

Nothing is drawn in colour. Every primitive writes the number of its part into one map `ids`, nearer things over
farther ones; class, instance, colour, texture and depth are then looked up by part number. So the five pictures of a
scene cannot disagree, and a primitive is drawn once.

The map has two cells a pixel: cell (2i, 2j) is the centre of pixel (i, j). Labels and depth are read at the centres;
colours are averaged over the cells around them. A part lies on a plane, and inverse depth on a plane seen by a pinhole
camera is affine in the cell: 1/z = a + b u + c v.

World axes in metres: x to the right, y up from the ground, z forward. The street runs along z; a camera that looks to
the side of it only moves the principal point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.types import Float32, Int32, UInt8

CLASSES: tuple[str, ...] = (
    "sky", "building", "road", "pavement", "grass", "tree", "fence", "car", "person", "bicycle", "pole", "sign", "wire",
)  # fmt: skip
SKY, BUILDING, ROAD, PAVEMENT, GRASS, TREE, FENCE, CAR, PERSON, BICYCLE, POLE, SIGN, WIRE = range(len(CLASSES))

Colour = tuple[float, float, float]  # RGB, 0..255, what is outside is cut off when it is looked up
Plane = tuple[float, float, float]
Grain = tuple[float, float]
Frame = tuple[float, float, float, float, float, float]  # x z of the origin, x z of "along", y z of "up"
Ids = NDArray[np.unsignedinteger[Any]]
Points = NDArray[np.float64]  # (N,2) on a face: metres along, metres up
PointsLike = Points | tuple[tuple[float, float], ...]
Extra = Any  # of a mark: a thickness, or a part and a radius for each ball
Mark = tuple[int, int, PointsLike, Frame, int, Extra]  # kind, part, points, frame, corners, extra
Veil = tuple[int, NDArray[np.intp], Ids]  # part, flat places in the map, parts that were there
T = TypeVar("T")

FILL, LINE, RING, VEIL, BALLS = range(5)  # kinds of marks
FAR_OUT = 1 << 14  # cells; drawing calls take no larger coordinates
NEAREST = 0.8  # metres; nothing is projected from nearer


class Dice:
    """Uniform numbers drawn in blocks: a single draw from a NumPy generator costs more than the primitive it places."""

    def __init__(self, rng: np.random.Generator) -> None:
        blocks: Iterator[list[float]] = iter(lambda: rng.random(1024).tolist(), None)
        self._next = chain.from_iterable(blocks).__next__

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def chance(self, probability: float) -> bool:
        return self._next() < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int((high - low + 1) * self._next())

    def choice(self, options: Sequence[T]) -> T:
        return options[int(len(options) * self._next())]

    def colour(self, base: Colour, spread: float = 15.0) -> Colour:
        """A colour near `base`: brighter or darker as a whole, and a little off in hue."""
        roll, hue = self._next, spread
        shift = 2 * spread * roll() - 1.5 * spread  # the hue adds half a spread on average
        return base[0] + shift + hue * roll(), base[1] + shift + hue * roll(), base[2] + shift + hue * roll()


@dataclass(frozen=True)
class Camera:
    """A pinhole over flat ground; u to the right, v down, in cells."""

    focal: float
    u: float  # principal point
    v: float  # horizon
    height: float  # metres
    left: float  # x / z at the picture's edges
    right: float

    def sees(self, x: float, z: float, reach: float) -> bool:
        """Whether something `reach` metres wide to either side of (x, z) may be in the picture."""
        return self.left * z < x + reach and x - reach < self.right * z


class Canvas:
    """The map of part numbers, the table of parts, and the list of marks still to be drawn.

    Things are entered as marks (polygons, lines, balls on some face) from far to near; `finish` projects the points of
    all marks at once and draws them in that order. Part 0 is the sky and fills the map at the start.
    """

    def __init__(self, size: tuple[int, int], camera: Camera) -> None:
        self.size = size
        self.camera = camera
        self.ids: Ids = np.zeros((0, 0), np.uint8)  # (2H-1,2W-1) once finished
        self.shade: UInt8 = np.zeros(size, np.uint8)  # shadow on the ground, 255 = full
        self.veils: list[Veil] = []
        self.parts: list[tuple[float, ...]] = []
        self.instances = 0
        self._marks: list[Mark] = []
        self.part(SKY, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), grain=(0.0, 0.0))

    def part(
        self,
        class_id: int,
        colour: Colour,
        plane: Plane,
        *,
        instance: int = 0,
        grain: Grain = (0.04, 0.04),
        glass: bool = False,
        glow: bool = False,
    ) -> int:
        """A new part and its number. grain = strength of coarse and fine texture; glass blinds the depth sensor;
        what glows is not darkened by the light."""
        self.parts.append((*colour, *plane, *grain, class_id, instance, glass, glow))
        return len(self.parts) - 1

    def table(self) -> Float32:
        """(12,P) columns of the parts: red green blue, plane a b c, coarse and fine grain, class, instance, glass,
        glow."""
        return np.ascontiguousarray(np.array(self.parts, np.float32).T)

    def instance(self) -> int:
        """A fresh number for a counted thing."""
        self.instances += 1
        return self.instances

    def ground(self) -> Plane:
        scale = 1 / (self.camera.focal * self.camera.height)
        return (-self.camera.v * scale, 0.0, scale)

    def strips(self, part: int, strips: Iterable[tuple[float, float, float, float]]) -> None:
        """Paint the ground; each strip from x = left to right and from z = near to far."""
        corners = [
            corner
            for left, right, near, far in strips
            for corner in ((left, near), (left, far), (right, far), (right, near))
        ]
        self.mark(FILL, part, np.array(corners), (0.0, 0.0, 1.0, 0.0, 0.0, 1.0), corners=4)

    def strip(self, part: int, left: float, right: float, near: float, far: float) -> None:
        self.strips(part, ((left, right, near, far),))

    def shadow(self, x: float, z: float, half_width: float, half_length: float, strength: int) -> None:
        """Darken an ellipse of the ground."""
        camera = self.camera
        k = camera.focal / (2 * max(z, NEAREST))  # pixels a metre
        centre = round(camera.u / 2 + k * x), round(camera.v / 2 + k * camera.height)
        axes = max(round(k * half_width), 1), max(round(k * camera.height * half_length / max(z, NEAREST)), 1)
        cv2.ellipse(self.shade, centre, axes, 0, 0, 360, strength, -1)

    def mark(
        self, kind: int, part: int, points: PointsLike, frame: Frame, *, corners: int = 0, extra: Extra = 0
    ) -> None:
        """Enter a mark: `points` (N,2) in the frame of a face; `corners` points a polygon or line, 0 = all of them;
        `extra` is the thickness in cells of lines and veils, (part, radius in cells) of each of the balls."""
        self._marks.append((kind, part, points, frame, corners, extra))

    def finish(self) -> None:
        """Project and draw all marks."""
        counts = [len(mark[2]) for mark in self._marks]
        cells = self._project(counts)
        shape = 2 * self.size[0] - 1, 2 * self.size[1] - 1
        ids: Ids = np.zeros(shape, np.uint8) if len(self.parts) <= 256 else np.zeros(shape, np.uint16)
        self.ids = ids  # bytes where they suffice: they are faster to fill
        stop = 0
        for (kind, part, _, _, corners, extra), count in zip(self._marks, counts, strict=True):
            start, stop = stop, stop + count
            places = cells[start:stop]
            if kind == BALLS:
                for centre, (tone, radius) in zip(places.tolist(), extra, strict=True):
                    cv2.circle(ids, centre, radius, tone, -1)
                continue
            shapes = list(places.reshape(-1, corners, 2)) if corners else [places]
            if kind == FILL:
                cv2.fillPoly(ids, shapes, part)
            elif kind == VEIL:
                self._veil(part, shapes, extra)
            else:
                cv2.polylines(ids, shapes, kind == RING, part, extra)

    def _project(self, counts: list[int]) -> Int32:
        """(N,2) cells of the points of all marks."""
        points = np.concatenate([mark[2] for mark in self._marks], dtype=np.float32, casting="same_kind")
        frames = np.array([mark[3] for mark in self._marks], np.float32)
        x, z, ax, az, ty, tz = np.repeat(frames.T, counts, axis=1)
        along, up = points[:, 0], points[:, 1]
        camera = self.camera
        k = camera.focal / np.maximum(z + along * az + up * tz, NEAREST)
        cells = np.empty_like(points)
        cells[:, 0] = camera.u + k * (x + along * ax)
        cells[:, 1] = camera.v + k * (camera.height - up * ty)
        return np.rint(np.clip(cells, -FAR_OUT, FAR_OUT)).astype(np.int32)

    def _veil(self, part: int, shapes: list[Int32], thickness: int) -> None:
        """Draw lines and keep what was there before: they are thinner than they are drawn, so it shows through."""
        x, y, wide, high = cv2.boundingRect(shapes[0])
        left, top = max(x - thickness, 0), max(y - thickness, 0)
        box = self.ids[top : max(y + high + thickness, 0), left : max(x + wide + thickness, 0)]
        before = box.copy()
        cv2.polylines(self.ids, shapes, False, part, thickness)
        rows, columns = np.nonzero(box == part)
        self.veils.append((part, (rows + top) * self.ids.shape[1] + columns + left, before[rows, columns]))


class Face:
    """A vertical plane through (x, z) that runs along (ax, az); points on it are (metres along, metres up).

    `tall` stretches what is drawn on it upwards."""

    def __init__(
        self, canvas: Canvas, x: float, z: float, *, ax: float = 1.0, az: float = 0.0, tall: float = 1.0
    ) -> None:
        self.canvas = canvas
        self.scale = canvas.camera.focal / max(z, NEAREST)  # cells a metre
        self.frame: Frame = (x, z, ax, az, tall, 0.0)
        camera = canvas.camera
        offset = az * x - ax * z
        if abs(offset) < 0.05:  # seen edge on: any depth of the face will do
            self.plane: Plane = (1 / max(z, NEAREST), 0.0, 0.0)
        else:
            slope = az / (camera.focal * offset)
            self.plane = (-ax / offset - slope * camera.u, slope, 0.0)

    def polygon(self, part: int, points: PointsLike, *, corners: int = 0) -> None:
        """One polygon, or many of `corners` corners each."""
        self.canvas.mark(FILL, part, points, self.frame, corners=corners)

    def line(self, part: int, points: PointsLike, metres: float, *, corners: int = 0, least: int = 2) -> None:
        """A line `metres` thick. `least` cells: 2 = one pixel, so that a thin line is labelled without gaps."""
        self.canvas.mark(LINE, part, points, self.frame, corners=corners, extra=max(round(self.scale * metres), least))

    def ring(self, part: int, points: PointsLike, metres: float) -> None:
        self.canvas.mark(RING, part, points, self.frame, extra=max(round(self.scale * metres), 2))

    def veil(self, part: int, points: PointsLike, *, corners: int = 0) -> None:
        """Lines one pixel wide that let half of what is behind show through."""
        self.canvas.mark(VEIL, part, points, self.frame, corners=corners, extra=2)

    def balls(self, tones: Iterable[tuple[int, float]], points: PointsLike) -> None:
        """Discs that face the camera, whatever way the face runs; for each a part and a radius in metres."""
        scale = self.scale
        cells = [(part, max(int(scale * radius + 0.5), 1)) for part, radius in tones]
        self.canvas.mark(BALLS, 0, points, self.frame, extra=cells)


def circle(along: float, up: float, radius: float) -> Points:
    """(14,2) corners of a round thing."""
    return CIRCLE * radius + (along, up)


CIRCLE: Points = np.stack((np.cos(np.arange(14) * np.pi / 7), np.sin(np.arange(14) * np.pi / 7)), -1)
