"""Instance-wise mean IoU of Ke et al., Adaptive Affinity Fields (ECCV 2018): small things weigh as much as large.

The IoU U of a class in one picture x weighs as much as there are instances n of the class in it:

    U_c = sum_x n_{c,x} U_{c,x} / sum_x n_{c,x}        mean over the classes that have an instance

Instances are given as a map of ids. Its class is the one that most of the pixels of an instance have in the target; an
instance without a labelled pixel is ignored, and id 0 is no instance. `preset="released"` counts as the released
benchmark does: ids 0 and 255 are instances like all others (with a masked one of class 0), of 256 ids the last is left
out, and classes without instance are 0 in the mean.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError, DataError
from structseg.metrics.arrays import ClassMap, check_num_classes, class_maps, labelled, pictures
from structseg.metrics.confusion import confusion
from structseg.metrics.scores import instance_iou, instance_miou, instance_sums, plain

Preset = Literal["default", "released"]

_DENSE = 1 << 16  # ids below it need no table of which there are
_RELEASED_IDS = 255


def instance_counts(
    target: ClassMap,
    instances: ClassMap,
    *,
    num_classes: int,
    ignore_index: int = 255,
    preset: Preset = "default",
) -> NDArray[np.int64]:
    """(H,W) class ids and (H,W) instance ids of one picture -> (C,) instances of each class.

    Raises DataError where shapes or types do not fit, or an id is below 0.
    """
    check_num_classes(num_classes)
    things, true = class_maps(instances, target, name="instances")
    if preset == "default":
        true, things = true[things != 0], things[things != 0]
    if not things.size:
        return np.zeros(num_classes, np.int64)
    if things.min() < 0:
        raise DataError(f"instance id {things.min()} is below 0; ids are 0 for none, and from 1 on")
    if things.max() >= _DENSE:
        things = np.unique(things, return_inverse=True)[1]
    known = labelled(true, num_classes=num_classes, ignore_index=ignore_index)
    size = int(things.max()) + 1
    pairs = things[known].astype(np.int64) * num_classes + true[known].astype(np.int64)
    pixels = np.bincount(pairs, minlength=size * num_classes).reshape(size, num_classes)
    if preset == "default":
        pixels = pixels[pixels.any(1)]
    else:
        pixels = pixels[np.bincount(things.ravel(), minlength=size) > 0][:_RELEASED_IDS]
    found: NDArray[np.int64] = np.bincount(pixels.argmax(1), minlength=num_classes)
    return found


class InstanceIoU:
    """Instance-wise IoU of each class and their mean.

    `sums` (C,2) are weighted IoU and weight of each class; they add up over pictures and ranks.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, *, preset: Preset = "default") -> None:
        check_num_classes(num_classes)
        if preset not in get_args(Preset):
            raise ConfigError(f"preset '{preset}' of InstanceIoU: choose one of {', '.join(get_args(Preset))}")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.preset: Preset = preset
        self.sums = np.zeros((num_classes, 2))

    def update(self, prediction: ClassMap, target: ClassMap, instances: ClassMap) -> None:
        """Add (H,W) or (B,H,W) class ids and ids of instances. Raises DataError where they do not fit each other."""
        table: dict[str, int] = {"num_classes": self.num_classes, "ignore_index": self.ignore_index}
        things, _ = class_maps(instances, target, name="instances")
        things = things[None] if things.ndim == 2 else things
        for one, truth, ids in zip(*pictures(prediction, target), things, strict=True):
            pixels = confusion(one, truth, **table)
            self.sums += instance_sums(pixels, instance_counts(truth, ids, **table, preset=self.preset))

    def scores(self) -> dict[str, Any]:
        """instance_miou, instance_iou (by class, None = no instance; 0 as released) and instances (by class)."""
        each, mean = instance_iou(self.sums), instance_miou(self.sums)
        if self.preset == "released":
            each, mean = np.nan_to_num(each, nan=0.0), instance_miou(self.sums, absent="zero")
        return {
            "instance_miou": plain(mean),
            "instance_iou": [plain(value) for value in each],
            "instances": self.sums[:, 1].astype(int).tolist(),
        }

    def compute(self) -> dict[str, Any]:
        """`scores` under the name that torchmetrics users expect."""
        return self.scores()

    def merge(self, other: InstanceIoU) -> None:
        """Add the sums of another score. Raises ValueError where the two do not count the same."""
        mine = (self.num_classes, self.ignore_index, self.preset)
        theirs = (other.num_classes, other.ignore_index, other.preset)
        if mine != theirs:
            raise ValueError(f"cannot add sums of {theirs} to sums of {mine}: num_classes, ignore_index, preset differ")
        self.sums += other.sums

    def reset(self) -> None:
        self.sums[:] = 0
