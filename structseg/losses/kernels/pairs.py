"""Which pairs of pixels an affinity kernel compares, in which channels, and how many of them there are.

A kernel of size 2s + 1 compares the centre i with its eight neighbours i + d at distance s. Rules of what counts:

- "mirrored" (released code): i, i + d and the mirrored pixel i - d are inside and labelled;
- "simple" (paper): i and i + d are inside and labelled.

Labels here are class ids with -1 where there is none. A pair of two classes is an edge in the channels of these two
classes and interior in all others; with one channel (sigmoid) it is an edge in that channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from structseg.errors import ConfigError, did_you_mean
from structseg.neighbours import DIRECTIONS, reach

Offset = tuple[int, int]

CLIP = 1e-4  # of P and of 1 - P, each by itself: the released code


def shifted(values: Tensor, offset: Offset) -> Tensor:
    """(...,h,w) -> (...,h,w): at every place what stands `offset` = (dy, dx) further; 0 outside."""
    height, width = values.shape[-2:]
    dy, dx = offset
    out = torch.zeros_like(values)
    if abs(dy) < height and abs(dx) < width:
        rows = slice(max(-dy, 0), height - max(dy, 0))
        columns = slice(max(-dx, 0), width - max(dx, 0))
        there = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
        out[..., rows, columns] = values[..., there[0], there[1]]
    return out


def _simple(known: Tensor, offset: Offset) -> Tensor:
    return known & shifted(known, offset)


def _mirrored(known: Tensor, offset: Offset) -> Tensor:
    return known & shifted(known, offset) & shifted(known, (-offset[0], -offset[1]))


PAIR_RULES: dict[str, Callable[[Tensor, Offset], Tensor]] = {"mirrored": _mirrored, "simple": _simple}


def check_pairs(kernel_sizes: Sequence[int], pair_rule: str) -> None:
    """Raise ConfigError for sizes that are not different odd numbers from 3 on, or an unknown rule."""
    if not isinstance(kernel_sizes, Sequence) or isinstance(kernel_sizes, str):
        raise ConfigError(f"kernel_sizes {kernel_sizes!r} is not a list of sizes; use e.g. (3, 5, 7)")
    if not kernel_sizes:
        raise ConfigError("kernel_sizes is empty; give at least one odd size from 3 on")
    for size in kernel_sizes:
        if not isinstance(size, int) or size < 3 or size % 2 == 0:
            raise ConfigError(f"kernel size {size!r} is not an odd number from 3 on; use 3, 5, 7, ...")
        if kernel_sizes.count(size) > 1:
            raise ConfigError(f"kernel_sizes {tuple(kernel_sizes)} holds {size} twice; name each size once")
    if pair_rule not in PAIR_RULES:
        raise ConfigError(f"pair_rule '{pair_rule}' is unknown{did_you_mean(pair_rule, PAIR_RULES)}")


def directions(kernel_size: int) -> list[Offset]:
    """The eight (dy, dx) of a kernel in row-major order."""
    distance = reach(kernel_size)
    return [(distance * dy, distance * dx) for dy, dx in DIRECTIONS]


def valid_pairs(labels: Tensor, offset: Offset, pair_rule: str) -> Tensor:
    """labels (B,h,w), -1 = none -> (B,h,w) bool: does the pair (i, i + offset) with the centre i count?"""
    return PAIR_RULES[pair_rule](labels >= 0, offset)


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """(B,h,w) -> (B,C,h,w) bool; one channel (sigmoid) stands for label 1."""
    channels = torch.arange(num_classes, device=labels.device) if num_classes > 1 else labels.new_ones(1)
    return labels[:, None] == channels[:, None, None]


def pair_counts(labels: Tensor, *, kernel_sizes: tuple[int, ...], pair_rule: str) -> Tensor:
    """labels (B,h,w), -1 = none -> (K,2) int64: pairs of two classes, all pairs."""
    rows = []
    for size in kernel_sizes:
        unequal, total = labels.new_zeros(()), labels.new_zeros(())
        for offset in directions(size):
            valid = valid_pairs(labels, offset, pair_rule)
            unequal += (valid & (labels != shifted(labels, offset))).sum()
            total += valid.sum()
        rows.append(torch.stack((unequal, total)))
    return torch.stack(rows)


def element_counts(pairs: Tensor, num_classes: int) -> Tensor:
    """pairs (K,2) as of `pair_counts` -> (K,2): elements (pair, channel) that are edge, that are interior."""
    edge = pairs[:, 0] * min(num_classes, 2)
    return torch.stack((edge, pairs[:, 1] * num_classes - edge), dim=1)
