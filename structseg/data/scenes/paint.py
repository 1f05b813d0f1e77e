"""From the map of parts to the light that reaches the camera: colour, sky, texture, shadow, haze.

A part's colour is its own colour times the light. Colours are averaged over the cells around a pixel's centre, so that
edges are soft and what is thinner than a pixel mixes with what is behind it. Texture is one fixed field of noise, cut
at a random place; on the ground it is laid out in perspective. Haze follows the depth: exp(-z / visibility).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.data.scenes.canvas import GRASS, ROAD, Camera, Canvas, Dice
from structseg.types import Float32, UInt8

Light3 = tuple[float, float, float]
TILE = 512
BOX = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Weather:
    """What the light is like; colours 0..255 as they reach the camera, gains are factors."""

    name: str
    gain: Light3
    zenith: Light3
    horizon: Light3
    clouds: float  # 0..1
    visibility: float  # metres to a contrast of 1/e
    shadow: float  # 0..1
    noise: float  # read noise of the camera, grey levels


def weather(dice: Dice) -> Weather:
    """Clear, overcast, fog or dusk, each with its own spread."""
    kind = dice.choice(("clear", "clear", "clear", "clear", "overcast", "overcast", "fog", "dusk", "dusk"))
    warm, bright = dice.between(-0.08, 0.08), dice.between(0.88, 1.1)
    tint = (bright * (1 + warm), bright, bright * (1 - warm))
    if kind == "clear":
        gain, zenith, horizon = (1.32, 1.27, 1.15), (82, 132, 196), (186, 208, 226)
        clouds, visibility = dice.between(0.0, 0.9), dice.between(250, 600)
        shadow, noise = dice.between(0.4, 0.62), dice.between(1, 4)
    elif kind == "overcast":
        gain, zenith, horizon = (1.03, 1.05, 1.09), (158, 166, 176), (200, 204, 208)
        clouds, visibility = dice.between(0.3, 0.8), dice.between(120, 300)
        shadow, noise = 0.3, dice.between(1.5, 5)
    elif kind == "fog":
        gain, zenith, horizon = (1.0, 1.02, 1.04), (190, 194, 198), (202, 205, 207)
        clouds, visibility = 0.1, dice.between(14, 45)
        shadow, noise = 0.15, dice.between(1.5, 5)
    else:
        gain, zenith, horizon = (0.62, 0.54, 0.58), (44, 54, 98), (214, 138, 98)
        clouds, visibility = dice.between(0.2, 0.9), dice.between(120, 300)
        shadow, noise = 0.2, dice.between(3, 7)
    return Weather(
        kind, scaled(tint, gain), scaled(tint, zenith), scaled(tint, horizon), clouds, visibility, shadow, noise
    )


def scaled(tint: Light3, light: Light3) -> Light3:
    return tint[0] * light[0], tint[1] * light[1], tint[2] * light[2]


@cache
def noise_tiles() -> tuple[Float32, Float32]:
    """(TILE,TILE) coarse and fine noise of mean 0, deviation 1 and 1/2; the coarse one repeats without a seam."""
    rng = np.random.Generator(np.random.Philox(key=[7, 7]))
    coarse = np.zeros((TILE, TILE), np.float32)
    for step, weight in ((2, 0.55), (4, 0.8), (8, 0.8), (32, 0.6)):
        small = rng.standard_normal((TILE // step, TILE // step), np.float32)
        pad = cv2.copyMakeBorder(small, 2, 2, 2, 2, cv2.BORDER_WRAP)
        big = cv2.resize(pad, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        coarse += weight * big[2 * step : 2 * step + TILE, 2 * step : 2 * step + TILE]
    fine = rng.standard_normal((TILE, TILE), np.float32)
    return np.clip(coarse / coarse.std(), -3, 3), np.clip(0.5 * fine, -3, 3)


@cache
def cloud_tile() -> Float32:
    """(TILE,TILE) soft noise of large grain, of mean 0 and deviation 1."""
    rng = np.random.Generator(np.random.Philox(key=[7, 8]))
    total = np.zeros((TILE, TILE), np.float32)
    for step, weight in ((8, 0.25), (16, 0.45), (32, 0.7), (64, 1.0)):
        small = rng.standard_normal((TILE // step, TILE // step), np.float32)
        total += weight * cv2.resize(small, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(total / total.std(), np.float32)


def expose(
    canvas: Canvas, dice: Dice, sky: Weather, table: Float32, part: NDArray[np.intp], target: UInt8, depth: Float32
) -> Float32:
    """(3,H,W) float32 0..255, the light on the sensor. `depth` in metres, 0 = sky."""
    things, open_sky = colours(canvas, sky, table)
    coarse, fine = textures(canvas, dice, target)
    light = 1 + table[6].take(part, mode="clip") * coarse + table[7].take(part, mode="clip") * fine
    light *= shadows(canvas, sky, target)
    reach = cv2.max(depth, cv2.dilate(depth, BOX) * (depth == 0))  # in the sky, of what stands before it
    clear = np.asarray(cv2.exp(reach * np.float32(-1 / sky.visibility)), np.float32)
    things *= light * clear
    things += (1 - clear) * (1 - open_sky) * planes(sky.horizon)
    blue = heaven(canvas, dice, sky)
    rows = blue.shape[1]
    things[:, :rows] += open_sky[:rows] * blue
    return things


def planes(colour: Light3) -> Float32:
    """(3,1,1)"""
    return np.array(colour, np.float32)[:, None, None]


def colours(canvas: Canvas, sky: Weather, table: Float32) -> tuple[Float32, Float32]:
    """(3,H,W) part colours under the light, the sky black, and (H,W) how much of the sky a pixel sees."""
    light = np.where(table[11] > 0, np.float32(1), np.array(sky.gain, np.float32)[:, None])
    paint = np.zeros((table.shape[1], 4), np.uint8)
    paint[:, :3] = np.clip(table[:3] * light, 0, 255).T
    paint[0] = 0, 0, 0, 255
    flat = paint.view(np.uint32)[:, 0].take(canvas.ids, mode="clip").view(np.uint8).reshape(*canvas.ids.shape, 4)
    cells = flat.reshape(-1, 4)
    for wire, places, behind in canvas.veils:
        seen = canvas.ids.ravel()[places] == wire
        cells[places[seen]] = paint[wire] // 2 + paint[behind[seen]] // 2
    soft = cv2.pyrDown(flat)  # binomial weights 1 4 6 4 1 around each pixel's centre
    layers = np.array(cv2.split(soft), np.float32)
    return layers[:3], layers[3] * np.float32(1 / 255)


def textures(canvas: Canvas, dice: Dice, target: UInt8) -> tuple[Float32, Float32]:
    """(H,W) coarse and fine noise of mean 0, deviation 1 and 1/2; the coarse one lies flat where the ground is."""
    height, width = canvas.size
    coarse_tile, fine_tile = noise_tiles()
    x, y = dice.whole(0, 255), dice.whole(0, 255)
    wide = min(round(96 * width / height), 256)
    coarse = cv2.resize(coarse_tile[y : y + 96, x : x + wide], (width, height), interpolation=cv2.INTER_LINEAR)
    top = min(max(int(canvas.camera.v / 2) + 1, 0), height)  # first row of ground
    if top < height:
        flat = lie(canvas.camera, coarse_tile, top, (height, width), x, y)
        cv2.copyTo(flat, is_ground(target[top:]), coarse[top:])
    repeats = (-(-(height + y) // TILE), -(-(width + x) // TILE))
    fine = (np.tile(fine_tile, repeats) if max(repeats) > 1 else fine_tile)[y : y + height, x : x + width]
    return np.asarray(coarse, np.float32), fine


def lie(camera: Camera, tile: Float32, top: int, size: tuple[int, int], x: int, y: int) -> Float32:
    """(H - top,W) the tile laid on the ground, 12 cells a metre, seen by the camera from row `top` down."""
    rows = np.arange(top, size[0], dtype=np.float32)[:, None]
    columns = np.arange(size[1], dtype=np.float32)
    z = 12 * camera.focal * camera.height / np.maximum(2 * rows - camera.v, 1)
    map_x = z * ((2 * columns - camera.u) / camera.focal) + x
    map_y = np.ascontiguousarray(np.broadcast_to(z + y, map_x.shape))
    return np.asarray(cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def is_ground(target: UInt8) -> UInt8:
    """255 on the ground, 0 elsewhere."""
    return np.asarray(cv2.inRange(target, ROAD, GRASS), np.uint8)


def shadows(canvas: Canvas, sky: Weather, target: UInt8) -> Float32:
    """(H,W) factor of the light on the ground."""
    dark = cv2.bitwise_and(cv2.blur(canvas.shade, (3, 3)), is_ground(target))
    return 1 - dark * np.float32(sky.shadow / 255)


def heaven(canvas: Canvas, dice: Dice, sky: Weather) -> Float32:
    """(3,h,W) the rows above the horizon: from the zenith's colour to the horizon's, with clouds."""
    height, width = canvas.size
    x, y = dice.whole(0, 255), dice.whole(0, 255)
    rows = min(max(int(canvas.camera.v / 2) + 2, 1), height)
    rise = (np.arange(rows, 0, -1, dtype=np.float32)[:, None] / rows) ** np.float32(0.8)
    zenith, horizon = planes(sky.zenith), planes(sky.horizon)
    colour = horizon + rise * (zenith - horizon)  # (3,h,1)
    tile = cv2.resize(cloud_tile()[y : y + 75, x : x + 100], (width, rows), interpolation=cv2.INTER_LINEAR)
    cloud = np.clip(0.7 * tile + np.float32(2.17 * sky.clouds - 1.5), 0, 0.85)
    white: Float32 = np.minimum(1.12 * np.maximum(zenith, horizon), 250)
    return np.asarray(colour + cloud * (white - colour), np.float32)
