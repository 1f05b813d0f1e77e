"""Probabilities of a whole picture, at its own size.

Logits come at the head's stride. Cell i of h was trained on the label of pixel floor(i H/h) (`Output`, losses), the
first pixel that it covers, so pixel y of H reads the logits at

    y h/H     between cells, the last cell held to the border      ("legacy" bilinear of TensorFlow 1)

and not at the half-pixel place (y + 1/2) h/H - 1/2, which would shift every border by half a cell. Measured with exact
labels as logits on every eighth CamVid test mask, 480x360, mIoU: stride 4 86.9 here, 82.0 half-pixel; stride 8 78.7
and 70.0; stride 16 68.1 and 57.0; boundary F at stride 8 88.2 and 67.9.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseg.errors import CheckpointError
from structseg.models.layers.tf1 import legacy_resize, legacy_resize_and_more
from structseg.models.segmenter import as_output


def resize(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B,C,h,w) -> (B,C,*size), bilinear at src = dst h/H; differentiable, in the type of `logits`."""
    return legacy_resize(logits, size)


def logits(model: nn.Module, image: Tensor, *, precision: str = "float32") -> Tensor:
    """RGB (B,3,H,W), 0..255 -> float32 logits (B,C,h,w) at the model's own stride.

    `model` is any module that `as_output` understands. A model of one logit is a sigmoid: (B,2,h,w), background (0) and
    foreground. With precision "bfloat16" the network runs under autocast, but for the last layer of our heads. Raises
    CheckpointError where it gives NaN or infinity: a map made of that would look like an answer.
    """
    image = image.contiguous(memory_format=torch.channels_last)  # what convolutions on processors like best
    with torch.autocast(image.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        found = as_output(model(image)).logits.float().contiguous()  # softmax is slow on channels last
    if not found.isfinite().all():
        raise CheckpointError(
            "the model gives NaN or infinity: its training diverged or its weights are damaged; take another "
            "checkpoint, or train again with a lower optim.lr"
        )
    if found.shape[1] == 1:
        found = torch.cat([torch.zeros_like(found), found], 1)  # softmax of (0, x) is sigmoid of x
    return found


def probabilities(model: nn.Module, image: Tensor, *, precision: str = "float32") -> Tensor:
    """RGB (B,3,H,W), 0..255 -> float32 probabilities (B,C,H,W), summing to 1 over C; model and precision as above."""
    found = logits(model, image, precision=precision)
    height, width = image.shape[-2:]
    full = legacy_resize_and_more(found, covered(found, (height, width), stride_of(model)))
    return full.softmax(1)[..., :height, :width]  # cut last: a cut picture is copied by softmax


def stride_of(model: nn.Module) -> int | None:
    """The stride of a model's logits, where it says so; that of a layer of torch's is a pair, and its own."""
    stride = getattr(model, "stride", None)
    return stride if isinstance(stride, int) else None


def enlarge(logits: Tensor, size: tuple[int, int], *, stride: int | None) -> Tensor:
    """(B,C,h,w) -> (B,C,*size). With a known stride, cell i stands at pixel i * stride whatever the size: the last
    cell may reach over the picture's border, and what does is cut off."""
    return resize(logits, covered(logits, size, stride))[..., : size[0], : size[1]]


def covered(logits: Tensor, size: tuple[int, int], stride: int | None) -> tuple[int, int]:
    """Height and width that the cells of (B,C,h,w) stand for: h and w times the stride, or `size` if it is unknown."""
    return size if stride is None else (logits.shape[-2] * stride, logits.shape[-1] * stride)
