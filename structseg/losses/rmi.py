"""How much does the prediction of a window say about its truth? Region mutual information.

A window of kernel_size x kernel_size pixels is a point of K = kernel_size^2 numbers, for each class one point of truth
y and one of probability p. With S the sums of products of their deviations from the mean over the windows of a picture
(N times the covariances), what p leaves unknown of y is

    M = S_yy - S_yp (S_pp + alpha I)^-1 S_yp^T         loss = mean 1/(2K) log det(I + M / alpha)

a lower bound of the mutual information, turned round. Mean over the classes that occur in a picture, then over the
pictures.
Source: Zhao, Wang, Yang, Cai, "Region Mutual Information Loss for Semantic Segmentation", NeurIPS 2019, and their code
(ZJULearning/RMI, losses/rmi/rmi.py) for alpha, which it adds to the sums, not to covariances, in float64. There it is
log det(M + alpha I): the constant between the two makes absent classes 0; a right prediction, M = alpha I, has
log(2) / 2. Windows are of the logits' own cells (their code averages full-size maps by 4), p is the softmax (theirs is
a sigmoid), and the mean over classes is their sum: for their weight multiply by the number of classes in a picture.
Pixels without a label are 0 in p and y; windows around one do not count, which theirs do. It needs cross-entropy beside
it; they weigh the two alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from structseg.losses.checks import check_number
from structseg.losses.pictures import PictureMean
from structseg.losses.regions import Masks
from structseg.losses.sampling import without_autocast


class RMI(PictureMean):
    """Region mutual information loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 = sigmoid.

    Options: `ignore_index`; `kernel_size` of the windows, odd from 3 on; `alpha` above 0. Raises ConfigError for
    others. It decomposes, by pictures: `parts`, `counts`. Maps smaller than a window give 0.
    """

    def __init__(self, *, ignore_index: int = 255, kernel_size: int = 3, alpha: float = 5e-4) -> None:
        super().__init__(ignore_index=ignore_index, kernel_size=kernel_size)
        check_number("alpha", alpha, above=0)
        self.alpha = alpha

    def values(self, masks: Masks) -> Tensor:
        """(B,) the mean over the classes that occur."""
        return torch.stack([self._value(*picture) for picture in zip(*masks, strict=True)])

    def _value(self, soft: Tensor, true: Tensor, labels: Tensor) -> Tensor:
        """soft, true (C,h,w), labels (h,w) of one picture -> its value."""
        present = true.sum((1, 2)) > 0
        counted = self.centres(labels[None])[0]
        scatter = _scatter(_double(soft[present]), _double(true[present]), counted, self.kernel_size)  # (c,2K,2K)
        size = self.kernel_size**2
        pp, yp, yy = scatter[:, :size, :size], scatter[:, size:, :size], scatter[:, size:, size:]
        eye = torch.eye(size, dtype=pp.dtype, device=pp.device)
        left = yy - yp @ torch.linalg.solve(pp + self.alpha * eye, yp.mT)
        losses: Tensor = torch.linalg.slogdet(eye + left / self.alpha).logabsdet / (2 * size)
        return losses.sum().to(soft) / max(len(losses), 1)


def _double(masks: Tensor) -> Tensor:
    """Float64, on the CPU where the device has none: M is a small difference of large sums."""
    return (masks.cpu() if masks.device.type == "mps" else masks).double()


def _scatter(soft: Tensor, true: Tensor, counted: Tensor, size: int) -> Tensor:
    """soft, true (c,h,w), counted (h-k+1,w-k+1) bool -> (c,2K,2K), rows of soft first: N times the covariance."""
    moments = _moments(soft, true, counted.to(soft.device), size)
    sums, number = moments[:, :-1, -1:], moments[:, -1:, -1:]
    return moments[:, :-1, :-1] - sums * sums.mT / number.clamp(min=1)


class _Moments(torch.autograd.Function):
    """soft, true (c,h,w) -> (c,2K+1,2K+1): sums over the windows of the products of any two of soft, true and 1.

    The windows are made again for the gradient, which only soft gets: K times the map is never kept.
    """

    @staticmethod
    def forward(ctx: Any, soft: Tensor, true: Tensor, counted: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(soft, true, counted)
        ctx.size = size
        points = _points(soft, true, counted, size)
        return points @ points.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        soft, true, counted = ctx.saved_tensors
        rows = (gradient + gradient.mT)[:, : ctx.size**2]
        with without_autocast(gradient):
            slopes = rows @ _points(soft, true, counted, ctx.size)  # (c,K,N)
        slope = torch.zeros_like(soft)
        for place, window in zip(slopes.unflatten(2, counted.shape).unbind(1), _windows(slope, ctx.size), strict=True):
            window += place
        return slope, None, None, None


_moments: Callable[..., Tensor] = _Moments.apply


def _points(soft: Tensor, true: Tensor, counted: Tensor, size: int) -> Tensor:
    """(c,2K+1,N) of each window its K values of soft, its K of true, and 1; 0 where it does not count."""
    values = [window for masks in (soft, true) for window in _windows(masks, size)]
    points = torch.stack([*values, torch.ones_like(values[0])], dim=1) * counted
    return points.flatten(2)


def _windows(masks: Tensor, size: int) -> Iterator[Tensor]:
    """(c,h,w) -> K views (c,h-k+1,w-k+1): the same place of every window."""
    rows, columns = masks.shape[1] - size + 1, masks.shape[2] - size + 1
    return (masks[:, y : y + rows, x : x + columns] for y in range(size) for x in range(size))
