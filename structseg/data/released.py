"""Resize, mirror and crop as the released code of adaptive affinity fields draws them, for its numbers.

Ke et al., Adaptive Affinity Fields for Semantic Segmentation, ECCV 2018, the authors' reader. It differs from
`transforms.py`, which is the default, in this:

- both picture and mask are resized whole to floor(H s), reading at src = dst in/out ("legacy"), in float32: the
  picture is never rounded to whole grey levels;
- what is too small is continued below and to the right with the mean colour that the network takes off, and only then
  cropped, so that a crop can lie anywhere on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.types import Float32, Sample

MEAN_COLOUR = (122.675, 116.669, 104.008)  # RGB


def augment(
    sample: Sample,
    rng: np.random.Generator,
    *,
    crop: tuple[int, int],
    scale: tuple[float, float],
    mirror: bool,
    ignore_index: int,
) -> Sample:
    """A random crop (height, width) of the sample resized by s ~ U[scale) and mirrored for half of the draws.

    The picture is float32, 0..255. Instances and depth are not carried along. Four draws are taken from `rng`.
    """
    share = rng.random(4)
    factor = scale[0] + (scale[1] - scale[0]) * float(share[0])
    size = resized(sample.image.shape[:2], factor)
    spare = [max(side, length) - length for side, length in zip(size, crop, strict=True)]
    top, left = (int(part * (room + 1)) for part, room in zip(share[2:], spare, strict=True))
    flip = mirror and bool(share[1] < 0.5)

    def window(array: NDArray[Any], fill: Any) -> NDArray[Any]:
        return cut(array[:, ::-1] if flip else array, (top, left), crop, fill)

    target = None if sample.target is None else window(nearest(sample.target, size), ignore_index)
    picture = window(bilinear(sample.image, size), MEAN_COLOUR)
    return Sample(sample.name, picture, target, tags=sample.tags, group=sample.group)


def resized(size: tuple[int, ...], factor: float) -> tuple[int, int]:
    """Height and width below `factor`, computed in float32 as TensorFlow does."""
    height, width = (max(1, int(np.float32(side) * np.float32(factor))) for side in size)
    return height, width


def bilinear(image: NDArray[Any], size: tuple[int, int]) -> Float32:
    """(H,W,3) -> float32 (*size,3): weights of the two nearest pixels along each axis, the last one held."""
    if image.shape[:2] == size:
        return image.astype(np.float32)
    top, below, down = _places(image.shape[0], size[0])
    left, right, across = _places(image.shape[1], size[1])
    across = across[:, None]

    def row(of: NDArray[np.intp]) -> NDArray[Any]:
        near = image[of][:, left].astype(np.float32)
        return near + (image[of][:, right] - near) * across

    upper = row(top)
    return np.asarray(upper + (row(below) - upper) * down[:, None, None], np.float32)


def nearest(array: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """(H,W) -> size: pixel floor(dst in/out)."""
    rows, columns = (_places(old, new)[0] for old, new in zip(array.shape, size, strict=True))
    picked: NDArray[Any] = array[rows[:, None], columns]
    return picked


def _places(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Float32]:
    """For each of `new` pixels: the one before, the one after, and how far between."""
    place = np.arange(new, dtype=np.float32) * (np.float32(old) / np.float32(new))
    before = np.minimum(place.astype(np.intp), old - 1)
    return before, np.minimum(before + 1, old - 1), place - before.astype(np.float32)


def cut(array: NDArray[Any], corner: tuple[int, int], crop: tuple[int, int], fill: Any) -> NDArray[Any]:
    """The window of size `crop` from `corner` on of an array that goes on with `fill` below and to the right."""
    window = np.empty((*crop, *array.shape[2:]), array.dtype)
    window[:] = fill
    part = array[corner[0] : corner[0] + crop[0], corner[1] : corner[1] + crop[1]]
    window[: part.shape[0], : part.shape[1]] = part
    return window
