"""Open a spread of a split before step 0, so that what is wrong with the data is known in seconds, not after hours."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from structseg.data.formats import Format, read_sample
from structseg.errors import DataError
from structseg.types import Labels


class SplitCheck:
    """Reads samples of a split that is to be trained on or scored, a few at a time, in a fixed order.

    Raises DataError for a table of one class, a picture without mask, whatever reading a sample raises (values outside
    the table, sizes that differ, damaged files), and masks in which every pixel is ignored.
    """

    def __init__(self, source: Format, split: str) -> None:
        self.source, self.split = source, split
        if only := only_class(source.labels):
            raise DataError(only)
        self.items = source.items(split)
        bare = [item for item in self.items if item.image is not None and item.target is None]
        if bare:
            raise DataError(
                f"split '{split}': {len(bare)} of {len(self.items)} pictures have no mask, first {bare[0].image}; "
                f"training and evaluation need a mask for each (in a list: 'image mask' on each line)"
            )
        self.looked = 0
        self.pixels = np.zeros(256, np.int64)  # by class id
        self.largest = (0, 0)  # height, width of the picture with most pixels
        self._places = halving(len(self.items))

    def look(self, limit: int, *, until: float = math.inf) -> None:
        """Read up to `limit` more samples, none after the time `until` of `time.perf_counter`."""
        for _ in range(limit):
            place = next(self._places, None) if time.perf_counter() < until else None
            if place is None:
                return
            item = self.items[place]
            sample = read_sample(self.source, item)
            if sample.target is None:
                raise DataError(f"split '{self.split}': '{item.name}' has no mask; training and evaluation need one")
            self.looked += 1
            self.pixels += np.bincount(sample.target.ravel(), minlength=256)
            height, width = sample.target.shape
            self.largest = max(self.largest, (height, width), key=lambda size: size[0] * size[1])

    def refuse_unlabelled(self) -> None:
        """Raise DataError where no pixel of what was looked at has a label."""
        labels, first = self.source.labels, self.items[0]
        if not self.pixels[: labels.num_classes].any():
            raise DataError(
                f"split '{self.split}': every pixel of the {self.looked} masks looked at is ignored, e.g. in "
                f"{first.target or first.name}; check label table {labels.source} and data.ignore"
            )


def only_class(labels: Labels) -> str:
    """What is wrong with a table of one class; "" where there are more."""
    if labels.num_classes > 1:
        return ""
    return (
        f"label table {labels.source}: '{labels.names[0]}' is its only class, with nothing to tell it from; "
        f"make the rest a class, too, such as background, instead of ignoring it"
    )


def check_split(source: Format, split: str, *, limit: int = 64) -> None:
    """Read at most `limit` samples of a split; raises DataError as `SplitCheck` does."""
    check = SplitCheck(source, split)
    check.look(limit)
    check.refuse_unlabelled()


def halving(count: int) -> Iterator[int]:
    """Each of 0 to count - 1 once: the ends, the middle, the middles between these, and so on; any beginning of it is
    an even spread."""
    yield from range(min(count, 1))
    if count > 1:
        yield count - 1
    gaps = [(0, count - 1)]
    while gaps:
        inner = [(low, (low + high) // 2, high) for low, high in gaps if high - low > 1]
        yield from (middle for _, middle, _ in inner)
        gaps = [gap for low, middle, high in inner for gap in ((low, middle), (middle, high))]
