"""The weight of every element, out of a small table: by the label of the centre, or by the channel.

A table (K,R) has a column for each class, or one for all (R = 1: alike, or sigmoid, where it serves both labels).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def _by_label(table: Tensor, labels: Tensor) -> Tensor:
    return table[:, _columns(table, labels)][:, :, None]


def _by_channel(table: Tensor, labels: Tensor) -> Tensor:
    return table[:, None, :, None, None]


def _columns(table: Tensor, labels: Tensor) -> Tensor:
    return labels.clamp(min=0, max=table.shape[1] - 1)


WEIGHTS_BY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"label": _by_label, "channel": _by_channel}


def weight_maps(table: Tensor, labels: Tensor, weight_by: str) -> Tensor:
    """table (K,R), labels (B,h,w) -> what broadcasts to (K,B,C,h,w): (K,B,1,h,w) or (K,1,C,1,1); alike (K,1,1,1,1)."""
    return (_by_channel if table.shape[1] == 1 else WEIGHTS_BY[weight_by])(table, labels)


def table_sums(maps: Tensor, table: Tensor, labels: Tensor, weight_by: str) -> Tensor:
    """Numbers by element in the shape of `weight_maps`, summed into the columns they belong to: (K,R)."""
    if table.shape[1] == 1 or weight_by == "channel":
        return maps.flatten(1)
    sums = maps.new_zeros(table.T.shape, dtype=torch.float32 if maps.device.type == "mps" else torch.float64)
    values = maps.flatten(1).to(sums.dtype).T
    sums.index_put_((_columns(table, labels).flatten(),), values, accumulate=True)  # in the same order every time
    return sums.T.contiguous().to(maps.dtype)
