"""How far do the borders of a class's regions differ? Boundary difference over union.

    mean_c sum (p - y)^2 / (sum p^2 + sum y - (1 + a_c) sum p y),     a_c = 1 - 2 length_c / size_c, within 0 and 0.8

p probabilities, y one-hot truth, sums over all labelled pixels of the batch. For a large region a is large: taking most
of the overlap out of the union leaves the difference to the border. length_c counts the pixels of the class with one of
four neighbours that is not; outside and without a label are not. The mean is over the classes that occur in the batch.
Source: Sun, Luo, Li, "Boundary Difference over Union Loss for Medical Image Segmentation", MICCAI 2023, and their code
(sunfan-bvb/BoundaryDoULoss, TransUNet/utils.py) for the squares and the bound 0.8. The paper has a from 0 on, the code
lets it fall to -1 for thin regions; the code's mean is over all classes, absent ones having a constant 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from structseg.losses.checks import check_whole
from structseg.losses.kernels.pairs import shifted
from structseg.losses.regions import above_zero, mean_of_present, read_masks
from structseg.losses.sampling import without_autocast
from structseg.neighbours import FOUR

MOST = 0.8  # of a: their code


class BoundaryDoU(nn.Module):
    """Boundary DoU loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Option: `ignore_index`. Raises ConfigError for others. It is a ratio of sums over the batch and does not decompose:
    no `parts`.
    """

    def __init__(self, *, ignore_index: int = 255) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the classes that occur; 0 where none does."""
        with without_autocast(logits):
            soft, true, _ = read_masks(logits, target, ignore_index=self.ignore_index)
            size = true.sum((0, 2, 3))  # (C,)
            shares = 1 - 2 * _border(true > 0).sum((0, 2, 3)) / above_zero(size)
            both = (soft * true).sum((0, 2, 3))
            difference = (soft - true).square().sum((0, 2, 3))
            union = difference + (1 - shares.clamp(0, MOST)) * both  # sum p^2 + sum y = difference + 2 both
            return mean_of_present(difference / above_zero(union), size)


def _border(true: Tensor) -> Tensor:
    """(B,C,h,w) bool -> the same: pixels of a class with one of four neighbours that is not."""
    inside = true
    for offset in FOUR:
        inside = inside & shifted(true, offset)
    return true & ~inside
