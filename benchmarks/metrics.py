"""How fast are the metrics? Ratios on one thread, measured in turns within one run.

    python benchmarks/metrics.py

Confusion matrix of 1024x2048 pixels and 19 classes against the usual masked bincount (`fast_hist`), and what a picture
costs in each border metric. Ratios travel between machines, milliseconds do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.metrics import boundary_counts, boundary_distance_counts, trimap_counts
from structseg.metrics.confusion import confusion

CLASSES = 19
Map = NDArray[np.uint8]


def smooth_maps(height: int, width: int, *, seed: int) -> tuple[Map, Map]:
    """A prediction and a target of smooth regions whose borders differ by a few pixels, 5 % void."""
    generator = np.random.default_rng(seed)

    def field(blur: float) -> NDArray[np.float32]:
        noise = generator.standard_normal((CLASSES, height, width)).astype(np.float32)
        smooth = np.stack([cv2.GaussianBlur(plane, (0, 0), blur) for plane in noise]).astype(np.float32)
        return smooth / np.float32(smooth.std())

    scene = field(height / 16)
    target = scene.argmax(0).astype(np.uint8)
    prediction = (scene + 0.1 * field(3)).argmax(0).astype(np.uint8)
    target[field(height / 32)[0] > 1.645] = 255
    return prediction, target


def masked_bincount(prediction: Map, target: Map) -> NDArray[np.int64]:
    """The form of most training codes."""
    known = (target >= 0) & (target < CLASSES)
    pairs = CLASSES * target[known].astype(np.int64) + prediction[known]
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def in_turns(forms: dict[str, Callable[[], Any]], *, rounds: int) -> dict[str, float]:
    """Median milliseconds of each form, run one after the other in every round."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            start = time.perf_counter()
            form()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def report(title: str, times: dict[str, float]) -> None:
    print(title)
    first = next(iter(times.values()))
    for name, value in times.items():
        print(f"  {name:<28} {value:8.1f} ms  {first / value:5.2f}x")


def time_borders(prediction: Map, target: Map) -> None:
    borders: dict[str, Callable[[], Any]] = {
        "boundary, one to one": lambda: boundary_counts(prediction, target, num_classes=CLASSES),
        "boundary by distance": lambda: boundary_distance_counts(prediction, target, num_classes=CLASSES),
        "trimap, six bands": lambda: trimap_counts(prediction, target, num_classes=CLASSES),
    }
    report(f"borders, {target.shape[0]}x{target.shape[1]}", in_turns(borders, rounds=5))


def main() -> None:
    cv2.setNumThreads(1)
    prediction, target = smooth_maps(1024, 2048, seed=0)
    assert (confusion(prediction, target, num_classes=CLASSES) == masked_bincount(prediction, target)).all()
    counting: dict[str, Callable[[], Any]] = {
        "masked bincount": lambda: masked_bincount(prediction, target),
        "confusion": lambda: confusion(prediction, target, num_classes=CLASSES),
    }
    report("confusion matrix, 1024x2048, 19 classes", in_turns(counting, rounds=15))
    for height, width in ((360, 480), (720, 960)):
        time_borders(*smooth_maps(height, width, seed=1))


if __name__ == "__main__":
    main()
