"""Counting and scoring: pixels, borders, bands around borders, instances, confidence, and how sure a score is.

Each metric is a function from maps to counts and a thin class that adds counts up; `scores` divides counts and
`bootstrap` resamples them. Names load on first use, so that the report, which needs `scores` and `bootstrap` alone,
loads nothing heavier than NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structseg.metrics.boundary import BoundaryScore, boundary_counts
    from structseg.metrics.boundary_distance import BoundaryDistanceScore, boundary_distance_counts
    from structseg.metrics.calibration import Calibration
    from structseg.metrics.confusion import ConfusionMatrix
    from structseg.metrics.instance import InstanceIoU
    from structseg.metrics.trimap import trimap_counts

__all__ = [
    "BoundaryDistanceScore",
    "BoundaryScore",
    "Calibration",
    "ConfusionMatrix",
    "InstanceIoU",
    "boundary_counts",
    "boundary_distance_counts",
    "trimap_counts",
]

_FILES = {
    "BoundaryDistanceScore": "boundary_distance",
    "BoundaryScore": "boundary",
    "Calibration": "calibration",
    "ConfusionMatrix": "confusion",
    "InstanceIoU": "instance",
    "boundary_counts": "boundary",
    "boundary_distance_counts": "boundary_distance",
    "trimap_counts": "trimap",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
