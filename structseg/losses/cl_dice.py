"""Are thin things whole? The Dice coefficient of centre lines, which one gap in a pole or a vessel lowers.

With soft skeletons S(p) of the probabilities and S(y) of the truth, for each class

    precision = (sum S(p) y + 1) / (sum S(p) + 1)      recall = (sum S(y) p + 1) / (sum S(y) + 1)
    loss = mean_c 1 - 2 precision recall / (precision + recall)

A soft skeleton is what greyscale opening removes, gathered over `iterations` erosions: enough of them for half the
width of the thickest thing. Mean over the classes that occur in the batch, of those in `classes`.
Source: Shit et al., "clDice - a Novel Topology-Preserving Loss Function for Tubular Structure Segmentation", CVPR 2021,
eq. 1-2 and algorithms 1-2; the ones are those of their code.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from structseg.errors import ConfigError
from structseg.losses.checks import check_count, check_whole
from structseg.losses.regions import mean_of_present, read_masks
from structseg.losses.sampling import without_autocast


class ClDice(nn.Module):
    """Soft centre line Dice of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Options: `ignore_index`; `iterations` from 0 on; `classes`, ids of the thin classes (() = all). Raises ConfigError
    for others. It is a ratio of sums over the batch and does not decompose: no `parts`.
    """

    def __init__(self, *, ignore_index: int = 255, iterations: int = 3, classes: tuple[int, ...] = ()) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        check_count("iterations", iterations, least=0)
        for index in classes:
            check_count("classes: id", index, least=0)
        self.ignore_index = ignore_index
        self.iterations = iterations
        self.classes = tuple(classes)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the classes that occur; 0 where none does."""
        with without_autocast(logits):
            soft, true, _ = read_masks(logits, target, ignore_index=self.ignore_index)
            if self.classes:
                if max(self.classes) >= logits.shape[1]:
                    raise ConfigError(f"classes: id {max(self.classes)} is no class; there are {logits.shape[1]}")
                soft, true = soft[:, self.classes], true[:, self.classes]
            precision = _share(soft_skeleton(soft, self.iterations), true)
            recall = _share(soft_skeleton(true, self.iterations), soft)
            return mean_of_present(1 - 2 * precision * recall / (precision + recall), true.sum((0, 2, 3)))


def soft_skeleton(masks: Tensor, iterations: int) -> Tensor:
    """masks (B,C,h,w) of 0..1 -> the same: ridges that openings of growing size remove (algorithm 1)."""
    skeleton = _ridges(masks)
    for _ in range(iterations):
        masks = _erode(masks)
        skeleton = skeleton + (1 - skeleton) * _ridges(masks)
    return skeleton


def _ridges(masks: Tensor) -> Tensor:
    """What opening removes."""
    return F.relu(masks - F.max_pool2d(_erode(masks), 3, 1, 1))


def _erode(masks: Tensor) -> Tensor:
    """The least of the pixel and its four neighbours; outside counts for nothing."""
    return -F.max_pool2d(-masks, (3, 1), 1, (1, 0)).maximum(F.max_pool2d(-masks, (1, 3), 1, (0, 1)))


def _share(skeleton: Tensor, masks: Tensor) -> Tensor:
    """(C,) how much of the skeleton lies inside the masks."""
    return ((skeleton * masks).sum((0, 2, 3)) + 1) / (skeleton.sum((0, 2, 3)) + 1)
