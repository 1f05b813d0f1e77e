"""Are thin things whole? The Dice coefficient of centre lines, which one gap in a pole or a vessel lowers.

With soft skeletons S(p) of the probabilities and S(y) of the truth, for each class

    precision = (sum S(p) y + 1) / (sum S(p) + 1)      recall = (sum S(y) p + 1) / (sum S(y) + 1)
    loss = mean_c 1 - 2 precision recall / (precision + recall)

A soft skeleton is what greyscale opening removes, gathered over `iterations` erosions: enough of them for half the
width of the thickest thing. Mean over the classes that occur in the batch, of those in `classes`.
Source: Shit et al., "clDice - a Novel Topology-Preserving Loss Function for Tubular Structure Segmentation", CVPR 2021,
eq. 1-2 and algorithms 1-2; the ones and the erosion by four neighbours are those of their code (jocpae/clDice,
cldice_loss/pytorch), which pools the classes in one ratio and adds half of it to half of a Dice loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from structseg.errors import ConfigError
from structseg.losses.checks import check_count, check_whole
from structseg.losses.kernels.pairs import Offset
from structseg.losses.regions import read_masks
from structseg.losses.sampling import without_autocast
from structseg.neighbours import DIRECTIONS, FOUR

Place = tuple[EllipsisType, slice, slice]


class ClDice(nn.Module):
    """Soft centre line Dice of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Options: `ignore_index`; `iterations` from 0 on; `classes`, ids of the thin classes (() = all). Raises ConfigError
    for others. It is a ratio of sums over the batch and does not decompose: no `parts`.
    """

    def __init__(self, *, ignore_index: int = 255, iterations: int = 3, classes: tuple[int, ...] = ()) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        check_count("iterations", iterations, least=0)
        if not isinstance(classes, Sequence) or isinstance(classes, str):
            raise ConfigError(f"classes {classes!r} are no class ids; write [{classes!r}] for a single one")
        for index in classes:
            check_count("classes: id", index, least=0)
        self.ignore_index = ignore_index
        self.iterations = iterations
        self.classes = tuple(classes)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the classes that occur; 0 where none does."""
        with without_autocast(logits):
            soft, true, _ = read_masks(logits, target, ignore_index=self.ignore_index)
            if self.classes:
                if max(self.classes) >= logits.shape[1]:
                    raise ConfigError(f"classes: id {max(self.classes)} is no class; there are {logits.shape[1]}")
                soft, true = soft[:, self.classes], true[:, self.classes]
            present = true.sum((0, 2, 3)) > 0
            soft, true = soft[:, present], true[:, present]
            precision = _share(soft_skeleton(soft, self.iterations), true)
            recall = _share(soft_skeleton(true.to(torch.int8), self.iterations), soft)
            losses = 1 - 2 * precision * recall / (precision + recall)  # (classes that occur,)
            return losses.sum() / max(len(losses), 1)


def soft_skeleton(masks: Tensor, iterations: int) -> Tensor:
    """masks (B,C,h,w) of 0..1, or int8 of 0 and 1 -> the same: ridges that openings of growing size remove."""
    skeleton = torch.zeros_like(masks)
    for _ in range(iterations + 1):
        eroded = _erode(masks)
        skeleton = skeleton + (1 - skeleton) * (masks - _dilate(eroded)).relu()
        masks = eroded
    return skeleton


def _erode(masks: Tensor) -> Tensor:
    """The least of a pixel and its four neighbours; outside counts for nothing."""
    return _extreme(masks, FOUR, torch.minimum)


def _dilate(masks: Tensor) -> Tensor:
    """The most of a pixel and its eight neighbours."""
    return _extreme(masks, DIRECTIONS, torch.maximum)


class _Extreme(torch.autograd.Function):
    """The least or most of every pixel and its neighbours; the gradient goes to the first that is it.

    It takes a third of the time of max_pool2d on the CPU, and keeps no indices.
    """

    @staticmethod
    def forward(ctx: Any, masks: Tensor, offsets: tuple[Offset, ...], pick: Callable[..., Tensor]) -> Tensor:
        best = masks.clone()
        for here, there in _overlaps(masks, offsets):
            pick(best[here], masks[there], out=best[here])
        ctx.save_for_backward(masks, best)
        ctx.offsets = offsets
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        masks, best = ctx.saved_tensors
        found = masks == best
        slope, waiting = gradient * found, ~found
        for here, there in _overlaps(masks, ctx.offsets):
            found = (masks[there] == best[here]) & waiting[here]
            slope[there] += gradient[here] * found
            waiting[here] &= ~found
        return slope, None, None


_extreme: Callable[..., Tensor] = _Extreme.apply


def _overlaps(masks: Tensor, offsets: tuple[Offset, ...]) -> Iterator[tuple[Place, Place]]:
    """For each offset the pixels that have a neighbour there, and these neighbours."""
    height, width = masks.shape[-2:]
    for dy, dx in offsets:
        here = ..., slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0))
        there = ..., slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
        yield here, there


def _share(skeleton: Tensor, masks: Tensor) -> Tensor:
    """(C,) how much of the skeleton lies inside the masks."""
    return ((skeleton * masks).sum((0, 2, 3)) + 1) / (skeleton.sum((0, 2, 3)) + 1)
