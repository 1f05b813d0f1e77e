"""Are features alike inside a class and apart across its border? A contrastive loss on pairs of near pixels.

With features f of length 1 and D = |f_i - f_j|, for pairs of pixels (i, j)

    interior  mean 1/2 D^2                          where both have one label
    edge      mean 1/2 max(0, margin - D)^2         where their labels differ

and loss = edge_weight edge + interior_weight interior, the two means taken apart as in the affinity field. Each pixel
is paired with `pairs` others, drawn by `seed` from the kernel_size x kernel_size square around it: the same for every
picture and step.
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
    `ignore_index`; `kernel_size` odd from 3 on; `pairs` of a pixel, from 1 on; `margin` of distances, above 0, up to 2;
    `edge_weight`, `interior_weight`; `seed` from 0 on. Raises ConfigError for others. It decomposes: `parts`, `counts`.
    """

    takes = "features"

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        ignore_index: int = 255,
        kernel_size: int = 7,
        pairs: int = 4,
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
        labels = self._labels(sample_target(target, size)).flatten(1)
        return torch.stack(
            [_count(*self._kinds(labels, *pairs)) for pairs in self._all_pairs(size, labels.device)]
        ).sum(0)

    def parts(self, features: Tensor, target: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        """[(weight, sum, count)] of the edge and the interior pairs."""
        with without_autocast(features):
            sums, counts = self._sums(features, target)
            return [(self.edge_weight, sums[0], counts[0]), (self.interior_weight, sums[1], counts[1])]

    def _labels(self, labels: Tensor) -> Tensor:
        return keep_labels(labels, num_classes=self.num_classes, ignore_index=self.ignore_index)

    def _sums(self, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """(2,) sums and (2,) counts of the edge and the interior pairs."""
        labels = self._labels(sample_for(features, target)).flatten(1)  # (B,N)
        features = raise_precision(features)
        size = (features.shape[2], features.shape[3])
        length = (features.square().sum(1, keepdim=True) + LEAST).sqrt()
        features = (features / length).flatten(2)  # (B,D,N)
        sums, counts = [], []
        for here, there in self._all_pairs(size, labels.device):
            edge, interior = self._kinds(labels, here, there)
            squared = (features[:, :, here] - features[:, :, there]).square().sum(1)  # (B,pairs)
            distance = (squared + LEAST**2).sqrt()
            hinge = (self.margin - distance).relu().square()
            sums.append(torch.stack(((hinge * edge).sum(), (squared * interior).sum())) / 2)
            counts.append(_count(edge, interior))
        return torch.stack(sums).sum(0), torch.stack(counts).sum(0)

    def _kinds(self, labels: Tensor, here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """labels (B,N) -> (B,pairs) bool: across a border, inside a class."""
        one, other = labels[:, here], labels[:, there]
        known = (one >= 0) & (other >= 0)
        return known & (one != other), known & (one == other)

    def _all_pairs(self, size: tuple[int, int], device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """`pairs` times: places of the two ends on the flattened map; pairs that leave it are left out."""
        height, width = size
        rim = reach(self.kernel_size)
        generator = torch.Generator().manual_seed(self.seed)
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        found = []
        for _ in range(self.pairs):
            draw = torch.randint(self.kernel_size**2 - 1, (height, width), generator=generator)
            draw += draw >= self.kernel_size**2 // 2  # never the pixel itself
            y, x = rows + draw // self.kernel_size - rim, columns + draw % self.kernel_size - rim
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            here = inside.flatten().nonzero()[:, 0]
            found.append((here.to(device), (y * width + x)[inside].to(device)))
        return found


def _count(edge: Tensor, interior: Tensor) -> Tensor:
    return as_counts(torch.stack((edge.sum(), interior.sum())))
