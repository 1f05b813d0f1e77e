"""What the camera and the depth sensor make of the light and the true distances.

Camera: colour at half the resolution (as in JPEG and Bayer sensors), a slight blur, noise that grows with the light,
a colour cast and a tone curve. Depth sensor: an error that grows with the square of the distance (as stereo has:
dz = z^2 / (f b) dd), and no measurement beyond its range, on glass, beside depth edges, and here and there.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

import cv2
import numpy as np

from structseg.data.scenes.canvas import Dice
from structseg.types import Float32, UInt8

BOX = np.ones((3, 3), np.uint8)
RANGE = 50.0  # metres
ERROR = 0.002  # metres at one metre: 5 cm at 5 m, 0.8 m at 20 m


@cache
def normal_table() -> Float32:
    """(256,) a byte drawn evenly -> a number drawn from the normal distribution."""
    return np.array([NormalDist().inv_cdf((step + 0.5) / 256) for step in range(256)], np.float32)


def random_bytes(rng: np.random.Generator, shape: tuple[int, ...]) -> UInt8:
    count = math.prod(shape)
    words = np.asarray(rng.bit_generator.random_raw(-(-count // 8)))
    return words.astype("<u8").view(np.uint8)[:count].reshape(shape)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Float32:
    """Normal numbers in 256 steps; far cheaper than exact ones."""
    drawn = random_bytes(rng, (math.prod(shape), 1))
    return np.asarray(cv2.LUT(drawn, normal_table()), np.float32).reshape(shape)


def photograph(light: Float32, noise: float, dice: Dice, rng: np.random.Generator) -> UInt8:
    """(H,W,3) uint8 RGB of (3,H,W) light 0..255; `noise` in grey levels."""
    height, width = light.shape[1:]
    blur = dice.between(0.0, 0.55)
    exposure, gamma = dice.between(0.85, 1.12), dice.between(0.85, 1.2)
    cast = np.array([dice.between(0.93, 1.07) for _ in range(3)], np.float32)[:, None, None] * np.float32(exposure)
    grain = normal(rng, light.shape)
    light = light * cast
    grain *= light * np.float32(noise / 160) + np.float32(noise / 2)
    noisy = cv2.add(light.reshape(-1, width), grain.reshape(-1, width), dtype=cv2.CV_8U)  # cut off at 0 and 255
    picture = cv2.merge(list(noisy.reshape(3, height, width)))
    if blur > 0.25:
        picture = cv2.GaussianBlur(picture, (3, 3), blur)
    raw = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    small = cv2.resize(raw, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
    raw[..., 1:] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)[..., 1:]
    curve = (255 * (np.arange(256) / 255) ** gamma + 0.5).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.cvtColor(raw, cv2.COLOR_YCrCb2RGB), curve), np.uint8)


def measure(depth: Float32, glass: Float32, rng: np.random.Generator) -> Float32:
    """(H,W) what the sensor says of the true `depth`, metres, 0 = nothing; `glass` is 1 on glass."""
    luck = random_bytes(rng, depth.shape)
    measured = depth + normal(rng, depth.shape) * (ERROR * depth * depth)
    sky = depth == 0
    filled = depth + sky * np.float32(1000)
    edge = cv2.dilate(filled, BOX) > cv2.erode(filled, BOX) * np.float32(1.15)
    lost = sky | (depth > RANGE) | (luck < 4) | (edge & (luck < 150)) | ((glass > 0) & (luck < 210))
    return np.asarray(measured * ~(lost | (measured < 0.1)), np.float32)
