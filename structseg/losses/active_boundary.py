"""Which way must the predicted border move? The active boundary loss.

The `share` of the pixels where the prediction changes most to the right or downwards, grown by one pixel, is the
predicted border. Of each of its pixels i, the eight neighbours j compete: the true direction is the neighbour that is
nearest to the true border, and the predicted one follows

    q_i(j) = softmax_j KL(P_j || P_i)        loss = mean_i min(d_i, max_distance) / max_distance CE(q_i, direction)

with d_i the distance to the true border. It lets the jump of the prediction wander to the true border. P_j has no
gradient (`detach`), and the neighbours off the direction share `smoothing`. Of neighbours equally near, one straight
ahead goes before the diagonal ones. Pixels without a label are border, as they often lie on one. Pixels of which no
neighbour is nearer take no part, so that the loss is 0 where no border is predicted or true.
Source: Wang, Zhang, Cui, Ren, Yang, Xie, Hua, Bao, Xu, "Active Boundary Loss for Semantic Segmentation", AAAI 2022,
eq. 1-5, and their code (wangchi95/active-boundary-loss, abl.py) for the order of the two in KL, which the paper writes
KL(P_i, P_j), ties and unlabelled pixels. Odd in the code and not so here: it adds the changes to the right and
downwards (the paper has either), takes the share of one picture from the whole batch, counts distances in whole cells
less one, and weighs the other directions by 1/8 (the paper by 1/7). It needs cross-entropy beside it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from structseg.losses.checks import check_number, check_whole
from structseg.losses.kernels.pairs import shifted
from structseg.losses.sampling import raise_precision, read_target, without_autocast
from structseg.neighbours import DIRECTIONS, FOUR

FORWARD = ((0, 1), (1, 0))
STRAIGHT_FIRST = (*FOUR, *(offset for offset in DIRECTIONS if offset not in FOUR))
LEAST_CHANGE = 1e-5  # of a border, in nats: their code


class ActiveBoundary(nn.Module):
    """Active boundary loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Options: `ignore_index`; `share` of a picture's labelled pixels, above 0, up to 1; `max_distance` in cells of the
    logits, above 0; `smoothing` from 0 to 1; `detach`. Raises ConfigError for others. The border follows the
    prediction, so the loss does not decompose: no `parts`. The distances are computed on the CPU (SciPy).
    """

    def __init__(
        self,
        *,
        ignore_index: int = 255,
        share: float = 0.01,
        max_distance: float = 20.0,
        smoothing: float = 0.2,
        detach: bool = True,
    ) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        check_number("share", share, above=0, most=1)
        check_number("max_distance", max_distance, above=0)
        check_number("smoothing", smoothing, least=0, most=1)
        self.ignore_index = ignore_index
        self.share = share
        self.max_distance = max_distance
        self.smoothing = smoothing
        self.detach = detach

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the pixels of the predicted border that have somewhere to go; 0 where there is none."""
        with without_autocast(logits):
            labels = read_target(logits, target, ignore_index=self.ignore_index)
            log = _log_probabilities(logits)
            distance = border_distance(labels)
            near, known = _neighbours(distance, math.inf), _neighbours(labels, -1) >= 0  # (B,h,w,8)
            least, direction = near.masked_fill(~known, math.inf).min(-1)
            moves = predicted_border(log.detach(), labels, self.share) & (labels >= 0) & (least < distance)
            batch, y, x = moves.nonzero(as_tuple=True)  # S pixels
            cost = self._cost(_divergences(log, batch, y, x, self.detach), known[moves], direction[moves])
            weight = distance[moves].clamp(max=self.max_distance).to(cost) / self.max_distance
            return (weight * cost).sum() / max(len(cost), 1)

    def _cost(self, divergences: Tensor, known: Tensor, direction: Tensor) -> Tensor:
        """divergences (S,8), known (S,8) bool, direction (S,) -> (S,) smoothed cross-entropy over the known ones."""
        others = (known.sum(1) - 1).clamp(min=1)
        log = divergences.masked_fill(~known, -math.inf).log_softmax(1).masked_fill(~known, 0)
        right = log.gather(1, direction[:, None])[:, 0]
        return -(1 - self.smoothing) * right - self.smoothing * (log.sum(1) - right) / others


def predicted_border(log: Tensor, labels: Tensor, share: float) -> Tensor:
    """log probabilities (B,C,h,w), labels (B,h,w) -> (B,h,w) bool: where they change most, grown by one pixel.

    As many pixels of each picture as `share` of its labelled ones, at least one; none where hardly anything changes.
    """
    known, probabilities = labels >= 0, log.exp()
    change = torch.zeros_like(log[:, 0])
    for offset in FORWARD:
        divergence = (probabilities * (log - shifted(log, offset))).sum(1)
        change = change.maximum(divergence.masked_fill(~(known & shifted(known, offset)), 0))
    border = torch.zeros_like(known)
    for picture, number in enumerate(known.sum((1, 2)).tolist()):
        if number:
            bound = change[picture].flatten().topk(math.ceil(share * number)).values[-1]
            border[picture] = (change[picture] >= bound) & (change[picture] > LEAST_CHANGE)
    return F.max_pool2d(border.to(log), 3, 1, 1) > 0


def border_distance(labels: Tensor) -> Tensor:
    """labels (B,h,w), -1 = none -> (B,h,w) float32: Euclidean distance to the true border in cells; 0 without one.

    The border holds the pixels whose right or lower neighbour has another label, and those without one.
    """
    from scipy.ndimage import distance_transform_edt

    known = labels >= 0
    border = ~known
    for offset in FORWARD:
        border |= known & shifted(known, offset) & (labels != shifted(labels, offset))
    distances = torch.zeros(labels.shape)
    for picture, here in enumerate(border.cpu()):
        if here.any():
            distances[picture] = torch.from_numpy(distance_transform_edt(~here.numpy()))
    return distances.to(labels.device)


def _log_probabilities(logits: Tensor) -> Tensor:
    """(B,C,h,w), for sigmoid those of labels 0 and 1."""
    logits = raise_precision(logits).contiguous()
    return F.logsigmoid(torch.cat((-logits, logits), 1)) if logits.shape[1] == 1 else logits.log_softmax(1)


def _neighbours(values: Tensor, outside: float) -> Tensor:
    """(B,h,w) -> (B,h,w,8), `outside` where there is none."""
    height, width = values.shape[1:]
    padded = F.pad(values, (1, 1, 1, 1), value=outside)
    return torch.stack([padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in STRAIGHT_FIRST], dim=-1)


def _divergences(log: Tensor, batch: Tensor, y: Tensor, x: Tensor, detach: bool) -> Tensor:
    """log probabilities (B,C,h,w), places (S,) -> (S,8) KL(P_j || P_i); meaningless outside."""
    height, width = log.shape[2:]
    offsets = torch.tensor(STRAIGHT_FIRST, device=log.device)  # (8,2)
    rows, columns = (
        (place[:, None] + offset).clamp(0, length - 1)
        for place, offset, length in ((y, offsets[:, 0], height), (x, offsets[:, 1], width))
    )
    own = log[batch, :, y, x][:, None]  # (S,1,C)
    other = log[batch[:, None], :, rows, columns]  # (S,8,C)
    other = other.detach() if detach else other
    return (other.exp() * (other - own)).sum(-1)
