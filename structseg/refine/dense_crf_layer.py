"""Dense CRF as the last layer of a network in training: the steps of mean field unrolled, with their gradient.

The messages are linear in the probabilities, and their gradient is the transposed filter: the same lattice with the
blurs in the other order. All else is torch's own. A picture's lattice is made anew in each call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from structseg.errors import DataError
from structseg.refine.dense_crf import DenseCRF, Kernel, check_kernels, check_steps


class DenseCRFLayer(nn.Module):
    """logits (B,C,H,W) and pictures (B,3,H,W) uint8 RGB of the same size -> logits (B,C,H,W) after the CRF.

    Their softmax is what `DenseCRF.infer` gives for the energies -log softmax of the logits; `dense_crf` bounds these
    at p = 1e-5, which leaves more to the CRF where the network is surer than that. Options as there. The CRF has no
    weights of its own; gradients flow to the logits, in their precision. The filter runs on the CPU, wherever they are.
    """

    def __init__(
        self,
        *,
        steps: int = 5,
        gaussian: Kernel | None = (3.0, 3.0),
        bilateral: Kernel | None = (80.0, 13.0, 10.0),
    ) -> None:
        super().__init__()
        check_steps(steps)
        check_kernels(gaussian, bilateral)
        self.steps, self.gaussian, self.bilateral = steps, gaussian, bilateral

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        if image.dtype != torch.uint8 or image.shape != (len(logits), 3, *logits.shape[2:]):
            shape = (len(logits), 3, *logits.shape[2:])
            raise DataError(f"the pictures are {image.dtype} {tuple(image.shape)}; give uint8 {shape} for these logits")
        if not len(logits):
            return logits
        return torch.stack([self._one(*pair) for pair in zip(logits, image.cpu(), strict=True)])

    def _one(self, logits: Tensor, image: Tensor) -> Tensor:
        """(C,H,W) and (3,H,W) -> (C,H,W)."""
        crf = DenseCRF(image.permute(1, 2, 0).contiguous().numpy(), gaussian=self.gaussian, bilateral=self.bilateral)
        start = logits.flatten(1).T  # (N,C)
        start = start.float() if start.dtype != torch.float64 else start
        found = start
        for _ in range(self.steps):
            found = start + messages(found.softmax(1), crf)
        return found.T.reshape(logits.shape).to(logits.dtype)


class _Messages(torch.autograd.Function):
    """Probabilities (N,C) -> messages (N,C)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, crf: DenseCRF) -> Tensor:
        ctx.crf = crf
        return _run(crf, values, reverse=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _run(ctx.crf, gradients[0], reverse=True), None


messages: Callable[[Tensor, DenseCRF], Tensor] = _Messages.apply


def _run(crf: DenseCRF, values: Tensor, *, reverse: bool) -> Tensor:
    found = crf.messages(values.detach().cpu().contiguous().numpy(), reverse=reverse)
    return torch.from_numpy(found).to(values.device)
