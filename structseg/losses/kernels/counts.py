"""How many pairs are there: one function for every device, one operator to torch.compile (see `affinity.py`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from structseg.losses.kernels import pairs
from structseg.losses.kernels.pairs import directions

_LIBRARY = torch.library.Library("structseg", "FRAGMENT")
_LIBRARY.define(
    "pair_counts(Tensor labels, int[] kernel_sizes, str pair_rule) -> Tensor", tags=torch.Tag.pt2_compliant_tag
)


def pair_counts(labels: Tensor, *, kernel_sizes: tuple[int, ...], pair_rule: str) -> Tensor:
    """labels (B,h,w) int64, -1 = none -> (K,2) int64: pairs of two classes, all pairs."""
    counts: Tensor = torch.ops.structseg.pair_counts(labels, kernel_sizes, pair_rule)
    return counts


def _count(labels: Tensor, kernel_sizes: Sequence[int], pair_rule: str) -> Tensor:
    if labels.device.type != "cpu":
        return pairs.pair_counts(labels, kernel_sizes=tuple(kernel_sizes), pair_rule=pair_rule)
    from structseg.losses.kernels.count_loops import count_pairs  # loads Numba

    offsets = np.array([directions(size) for size in kernel_sizes], dtype=np.int64)
    counts = np.zeros((len(offsets), 2), np.int64)
    count_pairs(labels.contiguous().numpy(), offsets, int(pair_rule == "mirrored"), counts)
    return torch.from_numpy(counts)


def _shape(labels: Tensor, kernel_sizes: Sequence[int], pair_rule: str) -> Tensor:
    return labels.new_empty((len(kernel_sizes), 2))


_LIBRARY.impl("pair_counts", _count, "CompositeExplicitAutograd")
torch.library.register_fake("structseg::pair_counts", _shape, lib=_LIBRARY)
