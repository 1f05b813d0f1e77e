"""What would the intersection over union lose? The Lovasz-softmax loss.

For a class c, every labelled pixel i has the error e_i = |y_i - p_i|; sorted downwards, each weighs what its mistake
adds to the Jaccard loss of the pixels before it:

    mean_c sum_k e_(k) (J(k) - J(k-1)),     J(k) = 1 - (n - n_k) / (n + k - n_k)

n pixels of the class in the batch, n_k of them among the first k. This is the convex extension of 1 - IoU. The mean is
over the classes that occur in the batch.
Source: Berman, Rannen Triki, Blaschko, "The Lovasz-Softmax loss", CVPR 2018, sections 2 and 3, and their code
(bermanmaxim/LovaszSoftmax, pytorch/lovasz_losses.py), where the mean over the classes that occur is an option. One
channel has the errors of the sigmoid, not the hinge of their loss of two classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseg.losses.checks import check_whole
from structseg.losses.kernels.pairs import one_hot
from structseg.losses.sampling import as_counts, probabilities_of, read_target, without_autocast


class Lovasz(nn.Module):
    """Lovasz-softmax loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Option: `ignore_index`. Raises ConfigError for others. It sorts all pixels of the batch together and does not
    decompose: no `parts`.
    """

    def __init__(self, *, ignore_index: int = 255) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the classes that occur; 0 where none does."""
        with without_autocast(logits):
            labels = read_target(logits, target, ignore_index=self.ignore_index)
            known = labels >= 0
            true = one_hot(labels, logits.shape[1]).movedim(1, 0)[:, known]  # (C,N)
            soft = probabilities_of(logits).movedim(1, 0)[:, known]
            present = true.any(1)
            true, soft = true[present], soft[present]
            errors, order = (true.to(soft) - soft).abs().sort(dim=1, descending=True)
            losses = (errors * _slopes(true.gather(1, order)).to(errors)).sum(1)  # (classes that occur,)
            return losses.sum() / max(len(losses), 1)


def _slopes(true: Tensor) -> Tensor:
    """true (C,N) bool, the worst error first -> (C,N): by how much each pixel raises the Jaccard loss."""
    found = true.cumsum(1)  # int64: exact for any number of pixels
    size = true.sum(1, keepdim=True)
    place = torch.arange(1, true.shape[1] + 1, device=true.device)
    jaccard = 1 - as_counts(size - found) / as_counts(size + place - found)
    return jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
