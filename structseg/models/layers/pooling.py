"""Adaptive average pooling as two matrix products, one along the rows and one along the columns.

Bin i of n along an axis of H cells is the mean of the cells floor(i H / n) .. ceil((i + 1) H / n) - 1, as in torch's
AdaptiveAvgPool2d, to which the result is equal. An exporter has no operator for that where n does not divide H, or
writes one that holds for one size only; products with matrices made from the size work for every size.
"""

from __future__ import annotations

import torch
from torch import Tensor


def adaptive_mean(feature: Tensor, bins: int) -> Tensor:
    """(B,D,h,w) -> (B,D,bins,bins), any h, w >= 1."""
    rows, columns = (_mean_matrix(size, bins, feature) for size in feature.shape[2:])
    return rows @ feature @ columns.T


def _mean_matrix(size: int, bins: int, like: Tensor) -> Tensor:
    """(bins,size): row i has 1 / count on the cells of bin i and 0 elsewhere."""
    first = torch.arange(bins, device=like.device)[:, None]
    cell = torch.arange(size, device=like.device)[None]
    inside = (cell >= first * size // bins) & (cell < ((first + 1) * size + bins - 1) // bins)
    return (inside / inside.sum(1, keepdim=True)).to(like.dtype)
