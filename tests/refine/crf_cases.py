"""Small pictures with probabilities, and the exact Gaussian messages of a CRF, written out over all pairs of pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.data import scenes
from structseg.types import Float32, UInt8

Float64 = NDArray[np.float64]


def scene(height: int, width: int, seed: int = 3) -> UInt8:
    large = scenes.render(0, seed, size=(max(height, 24), max(width, 24))).image
    return np.ascontiguousarray(large[-height:, -width:])


def guess(height: int, width: int, classes: int, seed: int = 0) -> Float32:
    """Probabilities (C,H,W) of smooth regions."""
    noise = np.random.default_rng(seed).standard_normal((classes, 6, 6))
    logits = 2 * np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in noise])
    return softmax(logits).astype(np.float32)


def softmax(logits: Float64, axis: int = 0) -> Float64:
    powers: Float64 = np.exp(logits - logits.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def exact_messages(image: UInt8, values: Float64, *kernels: tuple[float, ...]) -> Float64:
    """values (N,C) -> sum over kernels of w n K n values, K the matrix (N,N) of Gaussians, n = 1 / sqrt(row sums)."""
    total = np.zeros_like(values)
    for kernel in kernels:
        features = features_of(image, *kernel[:-1])
        gaussians = np.exp(-0.5 * ((features[:, :, None] - features[:, None]) ** 2).sum(0))
        norm = 1 / np.sqrt(gaussians.sum(1, keepdims=True))
        total += kernel[-1] * norm * (gaussians @ (norm * values))
    return total


def features_of(image: UInt8, sxy: float, srgb: float | None = None) -> Float64:
    """(2,N) or (5,N) in units of the widths."""
    height, width, _ = image.shape
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    parts: list[Any] = [x / sxy, y / sxy]
    return np.stack(parts if srgb is None else [*parts, *(image.reshape(-1, 3).T / srgb)]).astype(np.float64)
