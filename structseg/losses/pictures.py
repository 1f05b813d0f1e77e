"""A loss that looks at whole pictures and is their mean: `forward`, `counts` and `parts` from one value a picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseg.losses.checks import check_kernel, check_whole
from structseg.losses.regions import Masks, read_masks
from structseg.losses.sampling import as_counts, inverse, keep_labels, sample_target, without_autocast


class PictureMean(nn.Module):
    """The mean of `values` over the pictures with a labelled centre of a window of `kernel_size` inside.

    Windows lie wholly inside the picture; those whose centre has no label do not count.
    """

    def __init__(self, *, ignore_index: int, kernel_size: int) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        check_kernel("kernel_size", kernel_size)
        self.ignore_index = ignore_index
        self.kernel_size = kernel_size

    def values(self, masks: Masks) -> Tensor:
        """(B,) one value a picture; 0 without gradient where nothing counts."""
        raise NotImplementedError

    def forward(self, logits: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """The mean over the pictures that count: over these, or divided by `counts` (1,) of a larger batch."""
        with without_autocast(logits):
            masks = self.read(logits, target)
            total = self._sum(masks)
            counts = self._count(masks.labels) if counts is None else counts.to(total.device)
            return (total * inverse(counts).to(total.dtype)).sum()

    def counts(self, target: Tensor, size: tuple[int, int], *, num_classes: int | None = None) -> Tensor:
        """(1,) float64: the number of pictures that count at `size` (h,w).

        Without `num_classes`, the channels of the logits, labels that are no class must be `ignore_index`.
        """
        labels = sample_target(target, size)
        return self._count(keep_labels(labels, num_classes=num_classes, ignore_index=self.ignore_index))

    def parts(self, logits: Tensor, target: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        """[(1, sum, number of pictures that count)]."""
        with without_autocast(logits):
            masks = self.read(logits, target)
            return [(1.0, self._sum(masks), self._count(masks.labels)[0])]

    def read(self, logits: Tensor, target: Tensor) -> Masks:
        return read_masks(logits, target, ignore_index=self.ignore_index)

    def centres(self, labels: Tensor) -> Tensor:
        """labels (B,h,w) -> (B,h-k+1,w-k+1) bool: the windows that count; nothing where they do not fit."""
        rim = self.kernel_size // 2
        height, width = (max(length - rim, 0) for length in labels.shape[1:])
        return labels[:, rim:height, rim:width] >= 0

    def _count(self, labels: Tensor) -> Tensor:
        return as_counts(self.centres(labels).flatten(1).any(1)).sum().reshape(1)

    def _sum(self, masks: Masks) -> Tensor:
        """Of the pictures' values; maps smaller than a window have none."""
        if min(masks.labels.shape[1:]) < self.kernel_size:
            return torch.zeros_like(masks.soft).mul(masks.soft).sum()
        return self.values(masks).sum()
