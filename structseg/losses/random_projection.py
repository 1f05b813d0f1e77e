"""Do prediction and truth have the same texture under random filters? The random projection loss.

Fixed random filters phi, kernel_size x kernel_size from C to C channels, are applied to the probabilities P and to the
one-hot truth Y. Of each result the Gram matrix over the N windows of a picture says which filters answer together:

    G(X)_ab = 1/N sum_i phi_a(X)_i phi_b(X)_i          loss = mean over pictures |G(P) - G(Y)|_F^2

Source: Ke, Hwang, Liu, Yu, "Adaptive Affinity Field for Semantic Segmentation", ECCV 2018, eq. 4: 5x5 filters, weight
0.01. The paper says nothing about the filters' distribution and the scale of G, and there is no released code. Here the
filters are normal with variance 1 / (C kernel_size^2), which gives a truth of one class a Gram matrix of norm about 1,
and stay as `seed` draws them. Pixels without a label are 0 in P and Y; windows around one do not count.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from structseg.errors import ConfigError
from structseg.losses.checks import check_count, check_number
from structseg.losses.pictures import PictureMean
from structseg.losses.regions import Masks
from structseg.losses.sampling import as_counts


class RandomProjection(PictureMean):
    """Random projection loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Options: `num_classes`; `ignore_index`; `kernel_size` odd from 3 on; `seed` of the filters, from 0 on. Raises
    ConfigError for others or logits of other classes. It decomposes, by pictures: `parts`, `counts`. Maps smaller than
    the kernel give 0.
    """

    filters: Tensor  # (C,C,k,k)

    def __init__(self, *, num_classes: int, ignore_index: int = 255, kernel_size: int = 5, seed: int = 0) -> None:
        super().__init__(ignore_index=ignore_index, kernel_size=kernel_size)
        check_count("num_classes", num_classes, least=1)
        check_count("seed", seed, least=0)
        check_number("seed", seed, most=2**63 - 1)
        self.num_classes = num_classes
        generator = torch.Generator().manual_seed(seed)
        filters = torch.randn(num_classes, num_classes, kernel_size, kernel_size, generator=generator)
        scale = math.sqrt(num_classes) * kernel_size
        self.register_buffer("filters", filters / scale, persistent=False)

    def read(self, logits: Tensor, target: Tensor) -> Masks:
        masks = super().read(logits, target)
        if logits.shape[1] != self.num_classes:
            raise ConfigError(f"the logits have {logits.shape[1]} channels, but num_classes is {self.num_classes}")
        return masks

    def values(self, masks: Masks) -> Tensor:
        """(B,) squared distance of the two Gram matrices."""
        counted = self.centres(masks.labels)
        difference = self._gram(masks.soft, counted) - self._gram(masks.true, counted)
        return difference.square().sum((1, 2)).to(masks.soft.dtype)

    def _gram(self, masks: Tensor, counted: Tensor) -> Tensor:
        """masks (B,C,h,w), counted (B,h-k+1,w-k+1) -> (B,C,C)."""
        answers = F.conv2d(masks, self.filters.to(masks)) * counted[:, None]
        answers = as_counts(answers.flatten(2))  # (B,C,N)
        return answers @ answers.mT / counted.sum((1, 2)).clamp(min=1)[:, None, None]
