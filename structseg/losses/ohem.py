"""Is every pixel's class right, where it is not easily so? Cross-entropy with online hard example mining.

The mean over the labelled pixels whose true class has a probability of at most `threshold`; where these are fewer than
`min_kept`, over the `min_kept` pixels with the smallest one.
Source: Shrivastava, Gupta, Girshick, "Training Region-based Object Detectors with Online Hard Example Mining", CVPR
2016; for pixels, with a threshold: Wu, Shen, van den Hengel, "High-performance Semantic Segmentation Using Very Deep
Fully Convolutional Networks", 2016, as the field's toolboxes have it: threshold 0.7 and 100000 pixels kept in HRNet's
(lib/core/criterion.py) and mmsegmentation (ohem_pixel_sampler.py), of crops of 512 x 1024; a share goes with any size.
The mean is over the kept pixels as in HRNet's; mmsegmentation divides by all.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from structseg.losses.checks import check_number, check_whole
from structseg.losses.sampling import pixel_cross_entropy, read_target, without_autocast


class OHEM(nn.Module):
    """Cross-entropy of the hard pixels of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 = sigmoid.

    Options: `ignore_index`; `threshold` above 0, up to 1 (plain cross-entropy); `min_kept`: up to 1 a share of the
    labelled pixels of the batch, above 1 a number of pixels. Raises ConfigError for others. What is kept depends on the
    whole batch, so it does not decompose: no `parts`.
    """

    def __init__(self, *, ignore_index: int = 255, threshold: float = 0.7, min_kept: float = 0.1) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        check_number("threshold", threshold, above=0, most=1)
        check_number("min_kept", min_kept, least=0)
        self.ignore_index = ignore_index
        self.threshold = threshold
        self.min_kept = min_kept

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the pixels that are kept; 0 without labels."""
        with without_autocast(logits):
            labels = read_target(logits, target, ignore_index=self.ignore_index)
            surprise = pixel_cross_entropy(logits, labels)  # (B,h,w)
            keep = self._hard(surprise.detach(), labels >= 0)
            return (surprise * keep).sum() / keep.sum().clamp(min=1)

    def _hard(self, surprise: Tensor, known: Tensor) -> Tensor:
        """(B,h,w) bool: the pixels that count."""
        bound = surprise.new_tensor(-math.log(self.threshold))
        labelled = surprise[known]
        wanted = self.min_kept * len(labelled) if self.min_kept <= 1 else self.min_kept
        if kept := min(math.ceil(wanted), len(labelled)):
            bound = torch.minimum(bound, labelled.kthvalue(len(labelled) - kept + 1).values)
        return known & (surprise >= bound)
