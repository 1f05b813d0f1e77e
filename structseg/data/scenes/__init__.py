"""The built-in procedural data set: street scenes with masks, instances, depth and tags, made from two numbers.

`render(seed, index)` draws a street, a suburb or a park as a camera at eye height would see it: houses, trees, cars,
people, and many thin things (poles, spokes, wires, fences), in sun, cloud, fog and dusk, with a camera's noise and a
depth sensor's errors and holes. Nothing is read from disk. What is likely beside what, how large things are and how
noisy a sensor is come from the world and from looking at the pictures; no constant was chosen by the score of any
method but a plain cross-entropy baseline.

canvas.py   camera, map of parts        world.py   what stands where        things.py   how each thing is drawn
paint.py    light, texture, haze        sensor.py  noise of the camera, holes of the depth sensor
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from structseg.data.scenes import world
from structseg.data.scenes.canvas import CLASSES, Canvas, Dice
from structseg.data.scenes.paint import expose, weather
from structseg.data.scenes.sensor import measure, photograph
from structseg.errors import DataError
from structseg.types import Colour, Float32, Int32, Labels, UInt8

__all__ = ["CLASSES", "PALETTE", "SIZE", "THIN", "Scene", "labels", "render"]

PALETTE: tuple[Colour, ...] = (
    (112, 168, 214), (142, 110, 98), (96, 88, 112), (196, 164, 176), (148, 190, 96), (60, 122, 62), (206, 158, 88),
    (44, 84, 190), (212, 50, 72), (150, 40, 160), (84, 92, 96), (240, 206, 50), (20, 170, 170),
)  # fmt: skip
THIN: tuple[str, ...] = ("fence", "bicycle", "pole", "sign", "wire")
SIZE = (96, 128)
TAG_SHARE = 0.001  # of the picture's pixels; a class that covers less is not named
SMALLEST = 16  # pixels; a side shorter than this shows no street


@dataclass
class Scene:
    """One picture and all that is known about it."""

    image: UInt8  # (H,W,3) RGB
    target: UInt8  # (H,W) class ids; every pixel has one, 255 never occurs
    instances: Int32  # (H,W) 1..n for trees, cars, people, bicycles, poles, signs; 0 elsewhere
    depth: Float32  # (H,W) metres as the sensor measured them, 0 = hole
    true_depth: Float32  # (H,W) metres along the optical axis, 0 = sky
    tags: tuple[str, ...]  # names of the classes that cover at least 0.1 % of the pixels


def labels() -> Labels:
    """The label table: a mask holds class ids."""
    values = tuple((index, index) for index in range(len(CLASSES)))
    return Labels(CLASSES, PALETTE, (*values, (255, 255)), thin=THIN, source="built-in scenes")


def render(seed: int, index: int, *, size: tuple[int, int] = SIZE) -> Scene:
    """Scene number `index` of the set `seed`, `size` = (H, W) pixels.

    The same seed, index and size give the same scene in any process and any order; another size of the same shape
    (H : W) gives the same world seen at another resolution. Labels are crisp: a pixel has the class of what is at
    its centre. The picture is soft: a pixel mixes what is around its centre. Things thinner than a pixel are drawn one
    pixel wide so that they are labelled without gaps, save spokes and twigs, which are labelled only where they
    hit a centre. Raises DataError for a negative seed or index and for a size below 16 pixels.
    """
    if not (0 <= seed < 2**64 and 0 <= index < 2**64 and min(size) >= SMALLEST):
        raise DataError(
            f"scenes: seed {seed}, index {index}, size {size}: give numbers from 0 to 2^64 - 1 and sides of at least "
            f"{SMALLEST} pixels"
        )
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64)))
    dice = Dice(rng)
    sky = weather(dice)
    plan = world.street(dice, night=sky.name == "dusk")
    canvas = Canvas(size, world.camera(dice, size))
    world.paint(canvas, dice, plan)
    table = canvas.table()
    part = canvas.ids[::2, ::2].astype(np.intp)  # at the pixels' centres
    pixels = np.bincount(part.ravel(), minlength=table.shape[1])  # that each part covers
    target = table[8].astype(np.uint8).take(part, mode="clip")
    depth = distances(table, part)
    light = expose(canvas, dice, sky, table, part, target, depth)
    return Scene(
        image=photograph(light, sky.noise, dice, rng),
        target=target,
        instances=counted(table, pixels).take(part, mode="clip"),
        depth=measure(depth, table[10].take(part, mode="clip"), rng),
        true_depth=depth,
        tags=tags(table, pixels),
    )


def distances(table: Float32, part: NDArray[np.intp]) -> Float32:
    """(H,W) metres, 0 = sky: each part's plane 1/z = a + b u + c v, u and v in cells."""
    height, width = part.shape
    a, b, c = (table[column].take(part, mode="clip") for column in (3, 4, 5))
    b *= np.arange(0, 2 * width, 2, dtype=np.float32)
    c *= np.arange(0, 2 * height, 2, dtype=np.float32)[:, None]
    a += b
    a += c
    inverse = np.clip(a, np.float32(1 / 400), np.float32(2))
    return np.asarray((part > 0) / inverse, np.float32)


def counted(table: Float32, pixels: NDArray[np.intp]) -> Int32:
    """(P,) each part's instance number, without gaps: things that nobody sees take none."""
    drawn = table[9].astype(np.intp)
    seen = np.bincount(drawn, weights=pixels) > 0
    seen[0] = False
    numbers = np.where(seen, np.cumsum(seen, dtype=np.int32), np.int32(0))
    return np.asarray(numbers[drawn], np.int32)


def tags(table: Float32, pixels: NDArray[np.intp]) -> tuple[str, ...]:
    counts = np.bincount(table[8].astype(np.intp), weights=pixels, minlength=len(CLASSES))
    least = TAG_SHARE * pixels.sum()
    return tuple(name for name, count in zip(CLASSES, counts.tolist(), strict=True) if count >= least)
