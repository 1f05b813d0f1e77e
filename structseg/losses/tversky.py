"""How well do the regions of a class overlap, a miss counting more than a false alarm?

    1 - mean_c T_c,    T = sum p y / (sum p y + alpha sum p (1 - y) + beta sum (1 - p) y)

p probabilities, y one-hot truth, sums over all labelled pixels of the batch, mean over the classes that occur in it.
Source: Salehi, Erdogmus, Gholipour, "Tversky loss function for image segmentation using 3D fully convolutional deep
networks", MLMI 2017; their best weights are 0.3 and 0.7.
"""

from __future__ import annotations

from torch import Tensor, nn

from structseg.losses.checks import check_number, check_whole
from structseg.losses.regions import above_zero, mean_of_present, read_masks
from structseg.losses.sampling import without_autocast


class Tversky(nn.Module):
    """Tversky loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Options: `ignore_index`; `alpha`, the weight of false positives, and `beta`, of false negatives, both above 0.
    Raises ConfigError for others. It is a ratio of sums over the batch and does not decompose: no `parts`.
    """

    def __init__(self, *, ignore_index: int = 255, alpha: float = 0.3, beta: float = 0.7) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        check_number("alpha", alpha, above=0)
        check_number("beta", beta, above=0)
        self.ignore_index = ignore_index
        self.alpha = alpha
        self.beta = beta

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the classes that occur; 0 where none does."""
        with without_autocast(logits):
            soft, true, _ = read_masks(logits, target, ignore_index=self.ignore_index)
            soft_size, size = soft.sum((0, 2, 3)), true.sum((0, 2, 3))  # (C,)
            both = (soft * true).sum((0, 2, 3))
            # (1 - T) with its numerator written out: exact where p = y
            wrong = self.alpha * (soft_size - both) + self.beta * (size - both)
            return mean_of_present(wrong / above_zero(both + wrong), size)
