"""A picture of any size -> logits: backbone + head, or anybody's module behind the same call.

Every model here takes RGB pictures 0..255, (B,3,H,W) uint8 or float, normalises them itself and returns `Output` with
logits at its own stride; cell (i, j) of a `Segmenter`'s logits stands for pixels from (i, j) * stride on, and there are
ceil(H / stride) rows. Nothing here knows the ignore id or the picture's final size.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from structseg import build as registry
from structseg.errors import ConfigError
from structseg.models.backbones import Backbone
from structseg.models.heads import Head
from structseg.models.layers.checks import within
from structseg.models.weights import load_fitting, load_weights
from structseg.types import Output

if TYPE_CHECKING:
    from structseg.config import ModelConfig

log = logging.getLogger(__name__)


class Normalised(nn.Module):
    """What both kinds of model share: pictures 0..255 -> (x - mean) / std."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """(B,3,H,W) uint8 or float, 0..255 -> the same in the module's own float type."""
        return (image.to(self.mean.dtype) - self.mean) / self.std


class Segmenter(Normalised):
    """Backbone and head.

    `freeze_norm` keeps the backbone's batch norms at their running statistics while training (their scale and shift
    still learn): right for small batches and short fine-tuning. It may be set at any time and acts from the next
    `train()` on. Norms that do learn statistics need more than one cell of the coarsest feature in a batch: at output
    stride 32 two pictures, or one of more than 32x32.

    `freeze_stages` = n keeps the stages that make the n finest features as they start: their weights want no gradient
    and are in no optimizer, so autograd records nothing of them and the backward pass ends above; norms and dropout in
    them act as in evaluation. Raises ConfigError for more stages than the backbone has.

    `pad=False`, for networks as released, shows the backbone the picture as it is (see `_padded`).
    """

    def __init__(
        self, backbone: Backbone, head: Head, *, freeze_norm: bool = False, freeze_stages: int = 0, pad: bool = True
    ) -> None:
        super().__init__(backbone.mean, backbone.std)
        self.pad = pad
        within("model.freeze_stages", freeze_stages, 0, len(backbone.strides))
        self.backbone, self.head = backbone, head
        self.freeze_norm = freeze_norm
        stages = backbone.stages()[:freeze_stages] if freeze_stages else []
        self.frozen = tuple(module for stage in stages for module in stage)
        for module in self.frozen:
            module.requires_grad_(False)
        self.train(self.training)

    @property
    def stride(self) -> int:
        """Of the logits."""
        return self.head.stride

    @property
    def head_modules(self) -> tuple[nn.Module, ...]:
        """What starts from random weights and is trained with the head's learning rate."""
        return (self.head,)

    def forward(self, image: Tensor) -> Output:
        """RGB (B,3,H,W), 0..255, any H, W >= 1 -> logits (B,C,ceil(H/stride),ceil(W/stride)) and last feature."""
        height, width = image.shape[-2:]
        logits, feature = self.head(self.backbone(self._padded(self.normalise(image))))
        rows, columns = -(-height // self.stride), -(-width // self.stride)
        return Output(logits[..., :rows, :columns], features=feature[..., :rows, :columns])

    def _padded(self, image: Tensor) -> Tensor:
        """The picture continued at its right and lower border to multiples of the coarsest stride.

        Without it the convolutions of SAME padding shift with the parity of every level's size: EfficientNet-Lite0
        trained on crops of 128x160 lost 8 points of mIoU on CamVid at 180x240.
        """
        return _continued(image, self.backbone.strides[-1] if self.pad else 1)

    def train(self, mode: bool = True) -> Segmenter:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        if mode and self.freeze_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
                    module.eval()
        return self


class Outside(Normalised):
    """Any module that maps normalised pictures to logits: smp's, Hugging Face's, torchvision's, your own.

    `mean` and `std` are what the module was trained with, for RGB on the 0..255 scale. Most decoders want sides that
    are multiples of 32, so the module is shown pictures that are continued to such, and what it says beyond the picture
    is cut off. A module with an attribute `multiple` has its own: 14, or 1 for none.
    """

    stride: int | None = None  # of the logits, as the last picture showed it; None = no whole number
    head_modules: tuple[nn.Module, ...] = ()  # unknown: all of it is trained at one learning rate

    def __init__(self, module: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(mean, std)
        self.module = module
        self.multiple = int(getattr(module, "multiple", 32))

    def forward(self, image: Tensor) -> Output:
        """RGB (B,3,H,W), 0..255 -> Output of whatever the module returns."""
        whole = _continued(self.normalise(image), self.multiple)
        found = as_output(self.module(whole))
        height, width = image.shape[-2:]
        whole_height, whole_width = whole.shape[-2:]

        def cut(array: Tensor) -> Tensor:
            rows, columns = array.shape[-2:]
            return array[..., : -(-rows * height // whole_height), : -(-columns * width // whole_width)]

        rows, columns = found.logits.shape[-2:]
        step = whole_height // rows
        self.stride = step if (rows * step, columns * step) == (whole_height, whole_width) else None
        features = None if found.features is None else cut(found.features)
        return Output(cut(found.logits), tuple(map(cut, found.aux)), features)


def _continued(image: Tensor, multiple: int) -> Tensor:
    """(B,3,H,W) with its right and lower border repeated until both sides are multiples."""
    below, right = -image.shape[-2] % multiple, -image.shape[-1] % multiple
    return F.pad(image, (0, right, 0, below), mode="replicate") if below or right else image


def as_output(result: Any) -> Output:
    """What a model returned -> Output.

    Takes Output, a (B,C,h,w) tensor, an object with `.logits`, a dict with "out" or "logits" or the logits first, and a
    tuple or list with the logits first. Raises ConfigError for anything else.
    """
    if isinstance(result, Output):
        return result
    logits = result
    if not isinstance(result, Tensor) and hasattr(result, "logits"):  # before dicts: Hugging Face's results are both
        logits = result.logits
    elif isinstance(result, Mapping) and result:
        logits = next((result[key] for key in ("out", "logits") if key in result), next(iter(result.values())))
    elif isinstance(result, tuple | list) and result:
        logits = result[0]
    if not isinstance(logits, Tensor) or logits.dim() != 4:
        shape = f" of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else ""
        raise ConfigError(
            f"model: it returned {type(result).__name__}{shape}; return logits (B,C,h,w), a dict with 'out' or a tuple"
        )
    return Output(logits)


def build(config: ModelConfig, num_classes: int, *, names: Sequence[str] = ()) -> nn.Module:
    """The model that a config names, with its starting weights; `names` of the classes help `init_from` to keep rows.

    Returns a Segmenter (`name` ""), a net of `models/nets`, or an Outside around `my_code:Net`. What became of the
    weights' keys is logged. Raises ConfigError, CheckpointError, MissingExtra.
    """
    if config.name and config.freeze_stages:
        raise ConfigError("model.freeze_stages is for a backbone and head, not for model.name; set it to 0")
    if not config.name:
        model = _backbone_and_head(config, num_classes)
    else:
        model = registry.create("models.nets", config.name, config.options, key="model.name", num_classes=num_classes)
        if not isinstance(model, nn.Module):
            raise ConfigError(f"model.name: {config.name} gave {type(model).__name__}, not a torch.nn.Module")
        _freeze_norm(model, config)
        if config.weights:
            part = model.backbone if isinstance(model, Segmenter) else model
            log.info("%s", load_weights(part, config.weights))
        if ":" in config.name and not isinstance(model, Normalised):
            model = Outside(model, config.mean, config.std)
    if config.init_from:
        report = load_fitting(model, config.init_from, names=names)
        log.log(logging.WARNING if report.new or report.carried is not None else logging.INFO, "%s", report.start())
    return model


def _freeze_norm(model: nn.Module, config: ModelConfig) -> None:
    """What `model.freeze_norm` means for a net that was built by name."""
    if isinstance(model, Segmenter):
        model.freeze_norm = config.freeze_norm
        model.train(model.training)  # where it acts
    elif config.freeze_norm:
        raise ConfigError(f"model.freeze_norm is for a backbone and head, which {config.name} is not; set it to false")


def _backbone_and_head(config: ModelConfig, num_classes: int) -> Segmenter:
    backbone: Backbone = registry.create(
        "models.backbones", config.backbone, config.backbone_options, key="model.backbone"
    )
    if config.weights:
        log.info("%s", load_weights(backbone, config.weights))
    context = {"channels": backbone.channels, "strides": backbone.strides, "num_classes": num_classes}
    head: Head = registry.create("models.heads", config.head, config.head_options, key="model.head", **context)
    return Segmenter(backbone, head, freeze_norm=config.freeze_norm, freeze_stages=config.freeze_stages)
