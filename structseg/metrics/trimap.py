"""Confusion near borders: the same counts within 1, 2, 4 ... pixels of a true border.

A band (trimap) holds the labelled pixels whose Euclidean distance to the nearest true border pixel is below d. A
border pixel is at distance 0 and its four neighbours at 1, so d = 1 is the border itself, on both of its sides, and
d = 2 adds a line (the diagonal, at 1.41, included) on each. Bands are nested: each ring is counted once and summed up.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError
from structseg.metrics.arrays import ClassMap, labelled, picture
from structseg.metrics.borders import border_mask
from structseg.metrics.confusion import confusion

DISTANCES = (1, 2, 4, 8, 16, 32)


def trimap_counts(
    prediction: ClassMap,
    target: ClassMap,
    *,
    num_classes: int,
    ignore_index: int = 255,
    distances: Sequence[float] = DISTANCES,
) -> NDArray[np.int64]:
    """(H,W) class ids of one picture -> (T,C,C) counts, row = truth, for each of T ascending distances in pixels.

    Border as in `borders.py`. Raises ConfigError where distances do not ascend, DataError where maps do not fit.
    """
    if not distances or list(distances) != sorted(set(distances)) or distances[0] <= 0:
        raise ConfigError(f"trimap distances are {tuple(distances)}; give ascending pixels above 0, e.g. {DISTANCES}")
    predicted, true = picture(prediction, target)
    known = labelled(true, num_classes=num_classes, ignore_index=ignore_index)
    border = border_mask(true, known)
    counts = np.zeros((len(distances), num_classes, num_classes), np.int64)
    if not border.any():
        return counts
    away = cv2.distanceTransform((~border).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # squared distances are whole numbers: rounded, one that equals d is not below it
    ring = np.searchsorted(np.square(np.asarray(distances, float)), np.rint(away.astype(float) ** 2), side="right")
    for place in range(len(distances)):
        band = ring == place
        counts[place] = confusion(
            predicted[band][None], true[band][None], num_classes=num_classes, ignore_index=ignore_index
        )
    return counts.cumsum(0)
