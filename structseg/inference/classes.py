"""The class of every pixel, straight from logits at the head's stride.

The largest logit is the largest probability, so neither the softmax nor the logits at the picture's size are made: a
compiled loop enlarges and compares in one pass over 2C rows, by the rule of `whole.resize`. Labels differ from those of
the two steps only where two classes are equal but for rounding. On other devices than the CPU the logits are enlarged.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from structseg.inference.whole import covered, enlarge
from structseg.types import UInt8


def enlarged_classes(logits: Tensor, size: tuple[int, int], *, stride: int | None = None) -> UInt8:
    """(B,C,h,w) float, C up to 256 -> (B,*size) class ids on the CPU; the first of equals.

    `stride` as for `whole.enlarge`.
    """
    if logits.device.type != "cpu":
        return most_probable(enlarge(logits, size, stride=stride))
    from structseg.inference.argmax_loops import largest  # loads Numba

    rows, columns = logits.shape[-2:]
    height, width = covered(logits, size, stride)
    cells = np.ascontiguousarray(logits.detach().float().numpy())
    out = np.empty((len(logits), *size), np.uint8)
    largest(cells, out, np.float32(rows / height), np.float32(columns / width))
    return out


def most_probable(probabilities: Tensor) -> UInt8:
    """(B,C,H,W) -> (B,H,W) class ids on the CPU; the first of equals."""
    best = probabilities.max(1).indices  # argmax is the same and six times slower on a CPU
    return np.asarray(best.to(torch.uint8).cpu().numpy(), np.uint8)
