"""How much does the prediction of a window say about its truth? Region mutual information.

A window of kernel_size x kernel_size pixels is a point of K = kernel_size^2 numbers, for each class one point of truth
y and one of probability p. With their covariances S over the windows of a picture, what p leaves unknown of y is

    M = S_yy - S_yp (S_pp + alpha I)^-1 S_yp^T         loss = mean 1/(2K) log det(I + M / alpha)

a lower bound of the mutual information, turned round. Mean over the classes that occur in a picture, then over the
pictures.
Source: Zhao, Wang, Yang, Cai, "Region Mutual Information Loss for Semantic Segmentation", NeurIPS 2019, where it is
log det(M + alpha I): the constant between the two makes the loss of a right prediction about 0 and absent classes
0. Windows are of the logits' own cells (the paper pools full-size maps by 4), p is the softmax (the paper's is a
sigmoid), and the mean over classes is the paper's sum. Pixels without a label are 0 in p and y; windows around one do
not count. It needs cross-entropy beside it; the paper weighs the two alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from structseg.losses.checks import check_number
from structseg.losses.pictures import PictureMean
from structseg.losses.regions import Masks, mean_of_present
from structseg.losses.sampling import as_counts


class RMI(PictureMean):
    """Region mutual information loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 = sigmoid.

    Options: `ignore_index`; `kernel_size` of the windows, odd from 3 on; `alpha` above 0. Raises ConfigError for
    others. It decomposes, by pictures: `parts`, `counts`. Maps smaller than a window give 0. Memory is some
    2 kernel_size^2 times the probabilities.
    """

    def __init__(self, *, ignore_index: int = 255, kernel_size: int = 3, alpha: float = 5e-4) -> None:
        super().__init__(ignore_index=ignore_index, kernel_size=kernel_size)
        check_number("alpha", alpha, above=0)
        self.alpha = alpha

    def values(self, masks: Masks) -> Tensor:
        """(B,) the mean over the classes that occur."""
        counted = self.centres(masks.labels).flatten(1)[:, None, None]  # (B,1,1,N)
        number = counted.sum(-1, keepdim=True).clamp(min=1)
        soft, true = (self._points(mask, counted, number) for mask in (masks.soft, masks.true))  # (B,C,K,N)
        pp, yp, yy = (a @ b.mT / number for a, b in ((soft, soft), (true, soft), (true, true)))
        eye = torch.eye(pp.shape[-1], dtype=pp.dtype, device=pp.device)
        left = yy - yp @ torch.linalg.solve(pp + self.alpha * eye, yp.mT)  # (B,C,K,K)
        values = torch.linalg.slogdet(eye + left / self.alpha).logabsdet / (2 * len(eye))
        return mean_of_present(values.to(masks.soft.dtype), masks.true.sum((2, 3)))

    def _points(self, mask: Tensor, counted: Tensor, number: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,C,K,N) the windows, less their mean; 0 where they do not count."""
        size = self.kernel_size
        rows, columns = mask.shape[2] - size + 1, mask.shape[3] - size + 1
        places = [(y, x) for y in range(size) for x in range(size)]
        points = torch.stack([mask[..., y : y + rows, x : x + columns] for y, x in places], dim=2).flatten(3)
        points = points * counted
        return as_counts((points - points.sum(-1, keepdim=True) / number) * counted)
