"""Scores as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def scores(metrics: Mapping[str, Any]) -> str:
    """The content of metrics.json for a person: means, classes, protocol. Points out of 100."""
    low, high = metrics["ci95"]
    lines = [
        f"mIoU            {_points(metrics['miou'])}  ({_points(low)}-{_points(high)})",
        *(
            f"boundary F      {_points(metrics[key]['f'])}  ({metrics[key]['form']})"
            for key in ("boundary", "boundary_matched", "boundary_distance")
            if key in metrics
        ),
        f"pixel accuracy  {_points(metrics['pixel_accuracy'])}",
        f"mean accuracy   {_points(metrics['mean_accuracy'])}",
    ]
    if metrics.get("instance_miou") is not None:
        lines.append(f"instance mIoU   {_points(metrics['instance_miou'])}")
    if calibration := metrics.get("calibration"):
        lines.append(f"calibration     {_points(calibration['ece'])}  (expected error of confidence)")
    width = max(len(name) for name in metrics["iou"])
    by_class = metrics["boundary"]["by_class"]
    lines += ["", f"{'class':{width}}    IoU  boundary F"]
    lines += [
        f"{name:{width}}  {_points(value):>5}  {_points(by_class[name]['f']):>10}"
        for name, value in metrics["iou"].items()
    ]
    return "\n".join([*lines, "", str(metrics["protocol"])])


def _points(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:.1f}"
