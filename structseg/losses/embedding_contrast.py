"""Are features alike inside a class and apart across its border? A contrastive loss on pairs of near pixels.

With features f of length 1 and D = |f_i - f_j|, for pairs of pixels (i, j)

    interior  mean 1/2 D^2                          where both have one label
    edge      mean 1/2 max(0, margin - D)^2         where their labels differ

and loss = edge_weight edge + interior_weight interior, the two means taken apart as in the affinity field. `pairs`
pixels of a picture, each with another from the kernel_size x kernel_size square around it, are drawn by `seed`: the
same for every picture and step.
Source: Hadsell, Chopra, LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006, eq. 4, on the
last feature before the classifier, as compared with in Ke et al., "Adaptive Affinity Field for Semantic Segmentation",
ECCV 2018; margin, pairs and scale of the features are not stated there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseg.losses.checks import check_affinity, check_count, check_kernel, check_number, check_whole
from structseg.losses.sampling import (
    as_counts,
    inverse,
    keep_labels,
    raise_precision,
    sample_for,
    sample_target,
    without_autocast,
)
from structseg.neighbours import reach

LEAST = 1e-6  # squared length below which a feature has no direction


class EmbeddingContrast(nn.Module):
    """Contrastive loss of features (B,D,h,w) against a target (B,H,W) sampled at (h,w).

    Options: `num_classes`, from which on labels are ignored (1 means labels 0 and 1, None all labels count);
    `ignore_index`; `kernel_size` odd from 3 on; `pairs` of a picture, from 1 on; `margin` of distances, above 0, up to
    2; `edge_weight`, `interior_weight`; `seed` from 0 on. Raises ConfigError for others. It decomposes: `parts`,
    `counts`.
    """

    takes = "features"

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        ignore_index: int = 255,
        kernel_size: int = 7,
        pairs: int = 4096,
        margin: float = 1.0,
        edge_weight: float = 1.0,
        interior_weight: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        if num_classes is not None:
            check_count("num_classes", num_classes, least=1)
        check_kernel("kernel_size", kernel_size)
        check_count("pairs", pairs, least=1)
        check_number("margin", margin, above=0, most=2)
        check_affinity(margin=margin, edge_weight=edge_weight, interior_weight=interior_weight)
        check_count("seed", seed, least=0)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.kernel_size = kernel_size
        self.pairs = pairs
        self.margin = margin
        self.edge_weight = edge_weight
        self.interior_weight = interior_weight
        self.seed = seed

    def forward(self, features: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """The two means over this batch, or over a larger one whose summed `counts` are given; 0 for an empty set."""
        with without_autocast(features):
            sums, own = self._sums(features, target)
            scale = inverse(own if counts is None else counts.to(own.device)).to(sums.dtype)
            return self.edge_weight * scale[0] * sums[0] + self.interior_weight * scale[1] * sums[1]

    def counts(self, target: Tensor, size: tuple[int, int], *, num_classes: int | None = None) -> Tensor:
        """(2,) float64: pairs across borders and inside classes at `size` (h,w).

        `num_classes`, which other losses need here, is an option of this one: the argument is not read.
        """
        labels = self._labels(sample_target(target, size))
        return _count(*self._kinds(labels, *self.places(size, labels.device)))

    def parts(self, features: Tensor, target: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        """[(weight, sum, count)] of the edge and the interior pairs."""
        with without_autocast(features):
            sums, counts = self._sums(features, target)
            return [(self.edge_weight, sums[0], counts[0]), (self.interior_weight, sums[1], counts[1])]

    def _labels(self, labels: Tensor) -> Tensor:
        return keep_labels(labels, num_classes=self.num_classes, ignore_index=self.ignore_index)

    def _sums(self, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """(2,) sums and (2,) counts of the edge and the interior pairs."""
        labels = self._labels(sample_for(features, target))
        here, there = self.places((features.shape[2], features.shape[3]), labels.device)
        edge, interior = self._kinds(labels, here, there)
        rows = raise_precision(features).permute(0, 2, 3, 1).flatten(1, 2)  # (B,N,D)
        one, other = (_unit(rows.index_select(1, places)) for places in (here, there))
        squared = (one - other).square().sum(2)  # (B,pairs)
        hinge = (self.margin - (squared + LEAST**2).sqrt()).relu().square()
        sums = torch.stack(((hinge * edge).sum(), (squared * interior).sum())) / 2
        return sums, _count(edge, interior)

    def _kinds(self, labels: Tensor, here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """labels (B,h,w) -> (B,pairs) bool: across a border, inside a class."""
        one, other = (labels.flatten(1)[:, places] for places in (here, there))
        known = (one >= 0) & (other >= 0)
        return known & (one != other), known & (one == other)

    def places(self, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
        """The two ends of the pairs on the flattened map; pairs that leave it are left out."""
        height, width = size
        generator = torch.Generator().manual_seed(self.seed)
        here = torch.randint(height * width, (self.pairs,), generator=generator)
        step = torch.randint(self.kernel_size**2 - 1, (self.pairs,), generator=generator)
        step += step >= self.kernel_size**2 // 2  # never the pixel itself
        rim = reach(self.kernel_size)
        y, x = here // width + step // self.kernel_size - rim, here % width + step % self.kernel_size - rim
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        return here[inside].to(device), (y * width + x)[inside].to(device)


def _unit(features: Tensor) -> Tensor:
    """(...,D) at length 1; shorter where they are about 0."""
    return features / (features.square().sum(-1, keepdim=True) + LEAST).sqrt()


def _count(edge: Tensor, interior: Tensor) -> Tensor:
    return as_counts(torch.stack((edge.sum(), interior.sum())))
