"""What every pixel loss reads: the target at the size of the logits, which pixels count, and probabilities.

A target of any size is sampled by nearest, y[floor(i H / h)], never the logits enlarged, so that the neighbours of an
affinity kernel are the cells of the network's output, as in the paper. Everything is computed in float32, or float64
where the logits are float64.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def without_autocast(logits: Tensor) -> torch.autocast:
    """A context in which half precision of the surrounding training step is off."""
    return torch.autocast(device_type=logits.device.type, enabled=False)


def read_target(logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
    """logits (B,C,h,w), target (B,H,W) -> labels (B,h,w) int64 at the size of the logits, -1 where there is none.

    Raises ValueError for shapes that do not fit together.
    """
    labels = sample_for(logits, target)
    return keep_labels(labels, num_classes=logits.shape[1], ignore_index=ignore_index)


def sample_for(values: Tensor, target: Tensor) -> Tensor:
    """values (B,C,h,w), target (B,H,W) -> (B,h,w) int64 at the size of the values.

    Raises ValueError for shapes that do not fit together.
    """
    if values.ndim != 4 or len(values) != len(target):
        raise ValueError(f"logits {tuple(values.shape)} are not (B,C,h,w) for a target {tuple(target.shape)}")
    return sample_target(target, (values.shape[2], values.shape[3]))


def sample_target(target: Tensor, size: tuple[int, int]) -> Tensor:
    """target (B,H,W) integer -> (B,h,w) int64: y[floor(i H / h), floor(j W / w)]."""
    if target.ndim != 3 or target.is_floating_point():
        raise ValueError(f"target {tuple(target.shape)} {target.dtype} is not (B,H,W) of integers")
    rows, columns = (
        torch.arange(length, device=target.device) * full // length
        for length, full in zip(size, target.shape[1:], strict=True)
    )
    return target.long() if target.shape[1:] == size else target[:, rows[:, None], columns].long()


def keep_labels(labels: Tensor, *, num_classes: int | None, ignore_index: int) -> Tensor:
    """labels (B,h,w) -> the same with -1 for every label that is `ignore_index` or outside 0..num_classes-1.

    One class means sigmoid: labels 0 and 1. Without `num_classes` every other label from 0 on is kept.
    """
    drop = (labels < 0) | (labels == ignore_index)
    if num_classes is not None:
        drop = drop | (labels >= max(num_classes, 2))
    return labels.masked_fill(drop, -1)


def raise_precision(logits: Tensor) -> Tensor:
    """Float64 stays; every other type becomes float32."""
    return logits if logits.dtype == torch.float64 else logits.float()


def probabilities_of(logits: Tensor) -> Tensor:
    """logits (B,C,h,w) -> probabilities over C; one channel means sigmoid."""
    logits = raise_precision(logits).contiguous()
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def pixel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """logits (B,C,h,w), labels (B,h,w) with -1 for none -> (B,h,w) -log P of the label, 0 where there is none."""
    logits = raise_precision(logits)
    if logits.shape[1] > 1:
        return F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
    return F.binary_cross_entropy_with_logits(
        logits[:, 0], labels.to(logits), (labels >= 0).to(logits), reduction="none"
    )


def as_counts(values: Tensor) -> Tensor:
    """Counts as float64, exact to 2^53; float32 on the devices (MPS) that have nothing wider."""
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def inverse(counts: Tensor) -> Tensor:
    """1 / counts; 0 where there is nothing to count, so that an empty mean is 0 and has no gradient."""
    return torch.where(counts > 0, 1 / counts.clamp(min=torch.finfo(counts.dtype).tiny), 0)
