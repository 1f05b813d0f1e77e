"""Joint random geometry for every array of a sample, crop first; photometric jitter of the picture.

    scale s ~ U[lo, hi], or log s ~ U[log lo, log hi]
      -> mirror with probability 1/2 -> jitter -> pad right and below -> crop at a random place

The crop window is chosen in the frame of the resized picture, and only the window is computed (for a 2048x1024 picture
an order of magnitude cheaper than resizing it whole; a picture that is hardly larger is resized whole). The rule of
pixels is OpenCV's: labels, instances and depth take source pixel floor(i * scale); the picture is bilinear with half-
pixel centres, x_src = (x + 1/2) * scale - 1/2, borders repeated. So labels equal those of resize-whole-then-crop
exactly and the picture equals it within rounding. With s = 1 pixels are copied. Where the resized picture is smaller
than the crop, the rest is the mean colour of natural pictures, `ignore_index` in the target, 0 in instances and depth.
Depth values are not changed by s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.types import Sample, UInt8

MEAN_COLOUR = (124, 116, 104)  # of ImageNet, RGB, rounded


WHOLE = 3  # a resized picture of up to this many windows is resized whole: cheaper than warping the window


class Focus(NamedTuple):
    """What a crop must show: a pixel of class `number`, the one at `share` (0..1) of all of them in reading order."""

    number: int
    share: float


class Window(NamedTuple):
    """Rows y..y+height, columns x..x+width of a picture resized to `size`."""

    size: tuple[int, int]  # height, width of the whole resized picture
    y: int
    x: int
    height: int
    width: int


def augment(
    sample: Sample,
    rng: np.random.Generator,
    *,
    crop: tuple[int, int],
    scale: tuple[float, float],
    mirror: bool,
    jitter: float,
    ignore_index: int,
    scale_draw: str = "uniform",
    focus: Focus | None = None,
) -> Sample:
    """A random crop (height, width) of the randomly resized, mirrored and jittered sample.

    `scale` is the range of the resize factor, which is drawn uniformly or ("log") with a uniform logarithm; `jitter`
    the strength of photometric change (0 = none). With `focus` the crop is one that shows its pixel, where the target
    has its class and the resize leaves a pixel of it. The same number of draws is taken from `rng` whatever the
    options are.
    """
    share = rng.random(7)
    factor = _factor(scale, float(share[0]), scale_draw)
    window = choose_window(sample.image.shape[:2], factor, crop, float(share[1]), float(share[2]))
    if focus is not None and sample.target is not None:
        window = window_on(sample.target, focus, window, float(share[1]), float(share[2]))
    flip = mirror and bool(share[3] < 0.5)
    image = warp_image(sample.image, window)
    if jitter > 0:
        image = photometric(image, *(1 + jitter * (2 * share[4:] - 1)))

    def nearest(array: NDArray[Any], fill: int) -> NDArray[Any]:
        return _place(warp_nearest(array, window), crop, flip, (fill,))

    return Sample(
        name=sample.name,
        image=_place(image, crop, flip, MEAN_COLOUR),
        target=None if sample.target is None else nearest(sample.target, ignore_index),
        instances=None if sample.instances is None else nearest(sample.instances, 0),
        depth=None if sample.depth is None else nearest(sample.depth, 0),
        tags=sample.tags,
        group=sample.group,
    )


def _factor(scale: tuple[float, float], share: float, draw: str) -> float:
    low, high = scale
    return low * (high / low) ** share if draw == "log" else low + (high - low) * share


def choose_window(size: tuple[int, ...], factor: float, crop: tuple[int, int], top: float, left: float) -> Window:
    """The window of `crop` in the picture of `size` resized by `factor`; `top`, `left` in [0,1) say where."""
    height, width = (max(1, round(side * factor)) for side in size)
    rows, columns = min(height, crop[0]), min(width, crop[1])
    return Window((height, width), int(top * (height - rows + 1)), int(left * (width - columns + 1)), rows, columns)


def window_on(target: UInt8, focus: Focus, window: Window, top: float, left: float) -> Window:
    """The window moved so that it shows a pixel of the class of `focus`; as it is where the resized target has none.

    Of all such places the one that `top`, `left` in [0,1) say.
    """
    rows, first_row = np.unique(_source(target.shape[0], window.size[0], 0, window.size[0]), return_index=True)
    columns, first_column = np.unique(_source(target.shape[1], window.size[1], 0, window.size[1]), return_index=True)
    shown = target[np.ix_(rows, columns)] if (len(rows), len(columns)) != target.shape else target
    found = np.flatnonzero(shown == focus.number)  # of the pixels that nearest takes, those of the class
    if not len(found):
        return window
    row, column = divmod(int(found[int(focus.share * len(found))]), len(columns))
    y = _showing(int(first_row[row]), window.size[0], window.height, top)
    x = _showing(int(first_column[column]), window.size[1], window.width, left)
    return window._replace(y=y, x=x)


def _showing(place: int, side: int, length: int, share: float) -> int:
    """Where a window of `length` may begin on `side` so that `place` is in it."""
    low, high = max(0, place - length + 1), min(place, side - length)
    return low + int(share * (high - low + 1))


def warp_nearest(array: NDArray[Any], window: Window) -> NDArray[Any]:
    """The window of an (H,W) array resized by nearest: source pixel floor(i * scale), as cv2.INTER_NEAREST.

    Nothing outside the window's own box of the array is looked at.
    """
    rows = _source(array.shape[0], window.size[0], window.y, window.height)
    columns = _source(array.shape[1], window.size[1], window.x, window.width)
    box = array[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    result: NDArray[Any] = np.take(np.take(box, rows - rows[0], axis=0), columns - columns[0], axis=1)
    return result


def _source(old: int, new: int, start: int, count: int) -> NDArray[np.intp]:
    step = 1.0 / (new / old)  # the same roundings as in OpenCV, so that ties fall alike
    places = (np.arange(start, start + count) * step).astype(np.intp)  # floor: nothing is negative
    return np.minimum(places, old - 1)


def warp_image(image: UInt8, window: Window) -> UInt8:
    """The window of an (H,W,3) picture resized by half-pixel bilinear; exact pixels where the size stays."""
    if image.shape[:2] == window.size:
        return image[window.y : window.y + window.height, window.x : window.x + window.width]
    if window.size[0] * window.size[1] <= WHOLE * window.height * window.width:
        whole = np.asarray(cv2.resize(image, window.size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
        return whole[window.y : window.y + window.height, window.x : window.x + window.width]
    sy, sx = image.shape[0] / window.size[0], image.shape[1] / window.size[1]
    back = np.array([[sx, 0, (window.x + 0.5) * sx - 0.5], [0, sy, (window.y + 0.5) * sy - 0.5]])
    warped = cv2.warpAffine(
        image,
        back,
        (window.width, window.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, np.uint8)


def photometric(image: UInt8, brightness: float, contrast: float, saturation: float) -> UInt8:
    """(H,W,3) with three factors, 1 = as it is: all values times `brightness`, their distance from the picture's mean
    grey times `contrast`, their distance from the pixel's own grey times `saturation`."""
    middle = float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean()) * brightness
    table = (np.arange(256) * brightness - middle) * contrast + middle
    lit = cv2.LUT(image, np.clip(table + 0.5, 0, 255).astype(np.uint8))
    grey = cv2.cvtColor(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(lit, saturation, grey, 1 - saturation, 0), np.uint8)


def _place(array: NDArray[Any], crop: tuple[int, int], flip: bool, fill: tuple[int, ...]) -> NDArray[Any]:
    """An array of size `crop` of its own memory: `array`, mirrored if `flip`, at the top left, the rest `fill`."""
    turned = cv2.flip(array, 1) if flip else array
    below, right = crop[0] - array.shape[0], crop[1] - array.shape[1]
    return np.asarray(cv2.copyMakeBorder(turned, 0, below, 0, right, cv2.BORDER_CONSTANT, value=fill), array.dtype)
