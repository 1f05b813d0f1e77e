"""A stand-in for the package timm where it is not installed: the few calls that `backbones/timm.py` makes, tiny nets.

Names, names of parts, layouts and errors are those of timm 1.0.31; widths are not.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

FIXED = {
    "swin_tiny_patch4_window7_224": "strict_img_size",
    "vit_tiny_patch16_224": "dynamic_img_size",
    "maxvit_tiny_tf_224": "",
}
NAMES = ("resnet18", "resnet50", "tf_efficientnet_lite0", *FIXED)
MEAN = {"resnet18": (0.485, 0.456, 0.406)}


class Info:
    def __init__(self, channels: list[int], strides: list[int], names: list[str]) -> None:
        self._facts = channels, strides, names

    def channels(self) -> list[int]:
        return self._facts[0]

    def reduction(self) -> list[int]:
        return self._facts[1]

    def module_name(self) -> list[str]:
        return self._facts[2]


def block(inputs: int, outputs: int, stride: int, kernel_size: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=(kernel_size - 1) // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU())


class Features(nn.Module):
    """Parts by name; the results of those in `info` are the features."""

    def __init__(self, name: str, parts: dict[str, nn.Module], info: Info) -> None:
        super().__init__()
        for key, part in parts.items():
            self.add_module(key.replace(".", "_"), part)
        self.feature_info = info
        self.output_fmt = SimpleNamespace(value="NHWC" if "swin" in name else "NCHW")
        facts = {"mean": MEAN.get(name.split(".")[0], (0.5, 0.5, 0.5)), "std": (0.5, 0.25, 0.125)}
        self.pretrained_cfg = {**facts, "fixed_input_size": name in FIXED}

    def forward(self, image: Tensor) -> list[Tensor]:
        found, names = [], [name.replace(".", "_") for name in self.feature_info.module_name()]
        for name, part in self.named_children():
            image = part(image)
            if name in names:
                found.append(image.permute(0, 2, 3, 1) if self.output_fmt.value == "NHWC" else image)
        return found


def list_models() -> list[str]:
    return sorted(NAMES)


def _config(name: str) -> SimpleNamespace:
    if name.endswith(".nonsense"):
        raise RuntimeError(f"Invalid pretrained tag (nonsense) for {name.split('.')[0]}.")
    return SimpleNamespace(fixed_input_size=name in FIXED)


models = SimpleNamespace(get_pretrained_cfg=_config)


def create_model(
    name: str, *, features_only: bool = False, pretrained: bool = False, output_stride: int = 32, **options: Any
) -> Features:
    family = name.split(".")[0]
    if stray := [key for key in options if key != FIXED.get(family)]:
        raise TypeError(f"{family}.__init__() got an unexpected keyword argument '{stray[0]}'")
    if pretrained and family == "resnet50":
        raise OSError("An error happened while trying to locate the file on the Hub.\nOffline.")
    if family in FIXED:
        if output_stride != 32:
            raise TypeError("__init__() got an unexpected keyword argument 'output_stride'")
        first = 16 if "vit" in family else 4
        strides = [16, 16, 16] if "vit" in family else [4, 8, 16, 32]
        names = [f"layers.{n}" for n in range(len(strides))]
        parts: dict[str, nn.Module] = {"patch_embed": block(3, 4, first, first)}
    else:
        strides = [min(stride, output_stride) for stride in (2, 4, 8, 16, 32)]
        names = ["act1", "layer1", "layer2", "layer3", "layer4"]
        parts = {"conv1": nn.Conv2d(3, 4, 3, 2, padding=1, bias=False), "bn1": nn.BatchNorm2d(4), "act1": nn.ReLU()}
    last, width = (first, 4) if family in FIXED else (2, 4)
    for key, stride in zip(names, strides, strict=True):
        if key != "act1":
            parts[key] = block(width, width + 2, stride // last)
            last, width = stride, width + 2
    channels = list(range(4 if "act1" in names else 6, width + 1, 2))
    net = Features(family, parts, Info(channels, strides, names))
    if pretrained:
        with torch.no_grad():
            for one in net.parameters():
                one.fill_(0.25)
    return net
