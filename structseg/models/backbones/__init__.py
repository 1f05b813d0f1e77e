"""One family of backbones a file; the file name is the name in a config.

A backbone turns a normalised picture into features from fine to coarse. Feature n has `channels[n]` channels and
ceil(H / strides[n]) x ceil(W / strides[n]) cells, for any H, W >= 1; cell i stands for pixels i * stride and on.
Fresh weights are drawn from torch's global generator: seed it before building.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from structseg.errors import ConfigError

RGB = tuple[float, float, float]
IMAGENET_MEAN: RGB = (123.675, 116.28, 103.53)  # 255 * (0.485, 0.456, 0.406), torchvision's
IMAGENET_STD: RGB = (58.395, 57.12, 57.375)  # 255 * (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """What every backbone has; options are keyword-only parameters of the subclass."""

    channels: tuple[int, ...]  # of each feature, fine to coarse
    strides: tuple[int, ...]  # of each feature, as they are after dilation
    mean: RGB = IMAGENET_MEAN  # of RGB pictures on the 0..255 scale
    std: RGB = IMAGENET_STD
    origins: tuple[str, ...] = ("",)  # of the weight files that mean something here: models/origin.py

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised (B,3,H,W) -> features (B,channels[n],ceil(H/strides[n]),ceil(W/strides[n]))."""
        raise NotImplementedError

    def stages(self) -> list[list[nn.Module]]:
        """The parts in the order of the features: stage n makes feature n of feature n - 1 (stage 0 of the picture).

        Each weight is in one stage. ConfigError where a backbone does not tell them apart.
        """
        raise ConfigError(f"model.freeze_stages: {type(self).__name__} does not name its stages; set it to 0")

    def rename(self, key: str) -> str | None:
        """A published checkpoint's key -> ours; None for a part that a backbone has no use for."""
        return key

    def imagenet_state(self) -> dict[str, Tensor] | None:
        """ImageNet weights by our keys where a library fetches them; None where they are a file, `imagenet_file`."""
        return None

    def imagenet_file(self) -> Path:
        """The file of ImageNet weights that `weights = "imagenet"` means; ConfigError where there is none."""
        name = type(self).__name__
        raise ConfigError(f"model.weights: no 'imagenet' weights come with {name}; give a .safetensors or .pth file")
