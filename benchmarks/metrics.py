"""How fast are the metrics? Ratios of processor time on one thread, measured in turns within one run.

    python benchmarks/metrics.py

Confusion matrix of 1024x2048 pixels and 19 classes against the usual masked bincount (`fast_hist`) and torchmetrics;
one-to-one matching of thinned borders against the cost-scaling assignment of the contour benchmark (pyEdgeEval) and
SciPy's maximum flow; bands around borders against a distance transform; instance-wise IoU against sorting; and what a
picture costs in all counts of an evaluation. torchmetrics and pyEdgeEval (extra `oracle`, needs a compiler) take part
where they are installed. Ratios travel between machines, milliseconds do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow
from scipy.spatial import cKDTree

from structseg.inference.counts import Counter
from structseg.metrics import boundary_counts, boundary_distance_counts, trimap_counts
from structseg.metrics.border_loops import count_most_pairs, find_points
from structseg.metrics.borders import PREDICTED, TRUE, find_borders, tolerance_widths
from structseg.metrics.calibration import calibration_counts
from structseg.metrics.confusion import confusion
from structseg.metrics.instance import instance_counts
from structseg.metrics.trimap import DISTANCES
from structseg.types import Labels

CLASSES = 19
TOLERANCE = 0.0075
INSTALL = '.venv/bin/python -m pip install -c constraints.txt -e ".[oracle]"'
Map = NDArray[np.uint8]
Forms = dict[str, Callable[[], Any]]


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


def in_turns(forms: Forms, *, rounds: int) -> dict[str, float]:
    """Least milliseconds of processor time of each form, run one after the other in every round."""
    for form in forms.values():
        form()  # compiles
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            start = time.process_time()
            form()
            times[name].append(1000 * (time.process_time() - start))
    return {name: min(values) for name, values in times.items()}


def report(title: str, times: dict[str, float]) -> None:
    """Each form with its time as a multiple of the last one's, which is ours."""
    print(title)
    *_, ours = times.values()
    for name, value in times.items():
        print(f"  {name:<44} {value:9.2f} ms  {value / ours:7.1f}x")


def time_confusion() -> None:
    prediction, target = smooth_maps(1024, 2048, seed=0)
    assert (confusion(prediction, target, num_classes=CLASSES) == masked_bincount(prediction, target)).all()
    forms: Forms = {"masked bincount": lambda: masked_bincount(prediction, target)}
    if oracle := _torchmetrics():
        tensors = torch.from_numpy(prediction).long(), torch.from_numpy(target).long()
        forms["torchmetrics (int64 tensors)"] = lambda: oracle(*tensors)
        assert (oracle(*tensors).numpy() == masked_bincount(prediction, target)).all()
    forms["structseg"] = lambda: confusion(prediction, target, num_classes=CLASSES)
    report("confusion matrix, 1024x2048, 19 classes", in_turns(forms, rounds=9))


def _torchmetrics() -> Callable[..., Any] | None:
    try:
        from torchmetrics.functional.classification import multiclass_confusion_matrix
    except Exception:  # not there, or a torchvision beside it that does not load
        print(f"torchmetrics is not installed: left out; to compare with it: {INSTALL}")
        return None
    return lambda prediction, target: multiclass_confusion_matrix(prediction, target, CLASSES, ignore_index=255)


def maximum_flow_pairs(predicted: NDArray[np.bool_], true: NDArray[np.bool_], radius: float) -> int:
    """The same number from a k-d tree and SciPy's flow of unit capacities."""
    one, other = np.argwhere(predicted), np.argwhere(true)
    near = cKDTree(one).sparse_distance_matrix(cKDTree(other), radius, output_type="ndarray")
    left, right = np.unique(near["i"]), np.unique(near["j"])
    source, sink = len(one) + len(other), len(one) + len(other) + 1
    begin = np.concatenate([near["i"], np.full_like(left, source), len(one) + right]).astype(np.int32)
    end = np.concatenate([len(one) + near["j"], left, np.full_like(right, sink)]).astype(np.int32)
    network = csr_array((np.ones(len(begin), np.int32), (begin, end)), shape=(sink + 1, sink + 1))
    return int(maximum_flow(network, source, sink, method="dinic").flow_value)


def time_matching(height: int, width: int, *, seed: int) -> None:
    prediction, target = smooth_maps(height, width, seed=seed)
    borders = find_borders(prediction, target, num_classes=CLASSES, ignore_index=255, thin=True, any_class=True)
    masks = [np.ascontiguousarray((borders.bits[:, :width] & bit) > 0) for bit in (PREDICTED, TRUE)]
    widths, flat = tolerance_widths(TOLERANCE, target.shape), np.zeros_like(target)

    def ours() -> int:
        lines = (find_points(flat, borders.bits, bit, 1) for bit in (PREDICTED, TRUE))
        return int(count_most_pairs(*(array for line in lines for array in line), widths)[0])

    radius = TOLERANCE * float(np.hypot(height, width))
    counts = {"SciPy maximum flow": maximum_flow_pairs(*masks, radius)}
    forms: Forms = {}
    if oracle := _assignment():
        counts = {"cost-scaling assignment": int((oracle(*masks, TOLERANCE)[0] > 0).sum()), **counts}
        forms["cost-scaling assignment (pyEdgeEval)"] = lambda: oracle(*masks, TOLERANCE)
    forms["SciPy k-d tree and maximum flow"] = lambda: maximum_flow_pairs(*masks, radius)
    forms["structseg"] = ours
    counts["structseg"] = ours()
    sizes = " and ".join(str(int(mask.sum())) for mask in masks)
    matched = ", ".join(f"{name} {count}" for name, count in counts.items())
    report(f"one-to-one matching, {height}x{width}, {sizes} border pixels; pairs: {matched}", in_turns(forms, rounds=3))


def _assignment() -> Callable[..., Any] | None:
    try:
        from pyEdgeEval._lib import correspond_pixels
    except ImportError:
        print(f"pyEdgeEval is not installed: left out; to compare with it: {INSTALL}")
        return None
    found = correspond_pixels
    return found if callable(found) else found.correspond_pixels


def bands_by_transform(prediction: Map, target: Map, border: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """OpenCV's exact distance transform and a masked bincount for each band."""
    away = cv2.distanceTransform((~border).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return [masked_bincount(prediction[away < d], target[away < d]) for d in DISTANCES]


def instances_by_sorting(target: Map, instances: NDArray[np.int32]) -> list[int]:
    """A histogram for each id that `np.unique` finds."""
    found = (np.bincount(target[instances == each], minlength=256)[:CLASSES] for each in np.unique(instances) if each)
    return [int(pixels.argmax()) for pixels in found if pixels.any()]


def time_picture(height: int, width: int) -> None:
    """What the counts of an evaluation cost."""
    prediction, target = smooth_maps(height, width, seed=1)
    names = tuple(map(str, range(CLASSES)))
    labels = Labels(names, ((0, 0, 0),) * CLASSES, tuple((index, index) for index in range(CLASSES)))
    counter = Counter(labels, tolerance=TOLERANCE, size=1)
    things = (cv2.connectedComponents((target == 3).astype(np.uint8))[1]).astype(np.int32)
    sure = np.random.default_rng(0).random(target.shape, np.float32)
    border = (find_borders(prediction, target, num_classes=CLASSES, ignore_index=255).bits[:, :width] & TRUE) > 0
    table = {"num_classes": CLASSES}
    size = f"{height}x{width}"
    forms: Forms = {
        "transform and bincounts": lambda: bands_by_transform(prediction, target, border),
        "structseg": lambda: trimap_counts(prediction, target, **table),
    }
    report(f"six bands around borders, {size}", in_turns(forms, rounds=5))
    forms = {
        "histograms by id": lambda: instances_by_sorting(target, things),
        "structseg": lambda: instance_counts(target, things, **table),
    }
    report(f"instances of {things.max()} ids, {size}", in_turns(forms, rounds=5))
    parts: Forms = {
        "boundary by distance": lambda: boundary_distance_counts(prediction, target, **table),
        "boundary one to one": lambda: boundary_counts(prediction, target, **table),
        "calibration": lambda: calibration_counts(sure, prediction, target, **table),
        "everything of an evaluation": lambda: counter.add(
            "", "", prediction, target, instances=things, confidence=sure
        ),
    }
    report(f"one picture, {size}", in_turns(parts, rounds=5))


def main() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    time_confusion()
    for height, width in ((321, 481), (375, 500), (480, 640)):
        time_matching(height, width, seed=1)
    for height, width in ((360, 480), (1024, 2048)):
        time_picture(height, width)


if __name__ == "__main__":
    main()
