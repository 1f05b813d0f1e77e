"""Timm: any backbone of the package timm that gives features, by its name there.

`model.backbone_options = { name = "convnext_tiny" }`; `model.weights = "imagenet"` takes the pretrained weights of that
name (`"resnet50.a1_in1k"` picks among several) from the Hugging Face hub, a file is one of timm's or of this package.
Channels, strides, mean and std are what timm says of the network. The picture is continued to a multiple of the
coarsest stride, so that networks that cut it into patches take any size; features in channels-last order (swin) are
turned. Needs the extra `timm`, which is imported here only.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from structseg.errors import CheckpointError, ConfigError, MissingExtra, did_you_mean, first_line
from structseg.models.backbones import RGB, Backbone

ANY_SIZE: tuple[dict[str, Any], ...] = ({"strict_img_size": False}, {"dynamic_img_size": True})
"""How families of timm that are made for one size are told to take any."""


class Timm(Backbone):
    """All features that timm names for `name`; `output_stride` 0 leaves the strides as they are.

    Raises MissingExtra without timm, ConfigError for a name that timm does not know or a net that gives no features,
    takes one size only or cannot be dilated to `output_stride`.
    """

    def __init__(self, *, name: str, output_stride: int = 0) -> None:
        super().__init__()
        self.name = name
        self.options = _options(name, output_stride)
        self.net = _create(name, self.options)
        info, facts = self.net.feature_info, self.net.pretrained_cfg
        self.channels, self.strides = tuple(info.channels()), tuple(info.reduction())
        self.mean, self.std = _rgb(facts["mean"]), _rgb(facts["std"])
        layout = getattr(self.net, "output_fmt", "NCHW")
        self.turn = str(getattr(layout, "value", layout)) == "NHWC"
        if output_stride and self.strides[-1] != output_stride:
            raise ConfigError(
                f"model.backbone_options.output_stride: {name} has {self.strides[-1]} and cannot have {output_stride}"
            )

    def forward(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        below, right = -height % self.strides[-1], -width % self.strides[-1]
        if below or right:
            image = F.pad(image, (0, right, 0, below), mode="replicate")
        features = []
        for stride, feature in zip(self.strides, self.net(image), strict=True):
            feature = feature.permute(0, 3, 1, 2) if self.turn else feature
            features.append(feature[..., : -(-height // stride), : -(-width // stride)])
        return features

    def stages(self) -> list[list[nn.Module]]:
        names = self.net.feature_info.module_name()
        ends = [name.replace(".", "_") for name in names]
        stages: list[list[nn.Module]] = [[] for _ in ends]
        level = 0
        for name, module in _parts(self.net, {name.split(".")[0] for name in names if "." in name}):
            stages[min(level, len(ends) - 1)].append(module)
            level += level < len(ends) and name == ends[level]
        return stages if level == len(ends) else super().stages()

    def rename(self, key: str) -> str | None:
        """A key of ours, or of a file for the whole network, where a stage `layers.0` is not yet `layers_0`."""
        ours = self.state_dict()
        flat = re.sub(r"^(\w+)\.(\w+)\.", r"\1_\2.", key)
        return next((one for one in (key, f"net.{key}", f"net.{flat}") if one in ours), None)

    def imagenet_state(self) -> dict[str, Tensor]:
        hub = logging.getLogger("huggingface_hub")
        level = hub.level
        hub.setLevel(logging.ERROR)  # else one line a try, for a minute
        try:
            net = _timm().create_model(self.name, features_only=True, pretrained=True, **self.options)
        except (OSError, RuntimeError) as error:  # no network, no such file on the hub, no weights of that name
            raise CheckpointError(
                f"model.weights: timm cannot get pretrained weights of {self.name} ({first_line(error)}); "
                "go online once, or give a file"
            ) from error
        finally:
            hub.setLevel(level)
        return {f"net.{key}": value for key, value in net.state_dict().items()}


def _timm() -> Any:
    """The package; MissingExtra where it, or torchvision which it imports, is absent or broken."""
    try:
        import timm
    except ImportError:
        raise MissingExtra("model.backbone: timm needs an optional package: pip install 'structseg[timm]'") from None
    except Exception as error:  # a torchvision that was built for another torch raises RuntimeError and others
        raise MissingExtra(
            f"model.backbone: timm cannot be imported ({first_line(error)}); its torchvision must fit torch: "
            "pip install 'structseg[timm]'"
        ) from error
    return timm


def _options(name: str, output_stride: int) -> dict[str, Any]:
    """What `name` must be created with; ConfigError where timm does not know the name."""
    timm = _timm()
    family, known = name.split(".")[0], timm.list_models()
    if family not in known:
        hint = did_you_mean(family, known)
        hint = hint if "did you mean" in hint else "; timm.list_models() has all names"
        raise ConfigError(f"model.backbone_options.name: timm has no '{name}'{hint}")
    try:
        one_size = timm.models.get_pretrained_cfg(name).fixed_input_size
    except RuntimeError as error:  # the part after the dot is wrong
        raise ConfigError(f"model.backbone_options.name: {first_line(error)}") from error
    options = {"output_stride": output_stride} if output_stride else {}
    return {**options, **_any_size(name)} if one_size else options


def _any_size(name: str) -> dict[str, Any]:
    """The first of `ANY_SIZE` that a network takes."""
    for options in ANY_SIZE:
        try:
            with torch.device("meta"):
                _timm().create_model(name, **options)
        except TypeError:
            continue
        return options
    raise ConfigError(f"model.backbone_options.name: timm's {name} takes pictures of one size only; choose another")


def _create(name: str, options: dict[str, Any]) -> Any:
    try:
        return _timm().create_model(name, features_only=True, **options)
    except (RuntimeError, TypeError, NotImplementedError, AssertionError, AttributeError) as error:
        given = "".join(f" with {key} = {value}" for key, value in options.items() if key == "output_stride")
        raise ConfigError(
            f"model.backbone: timm's {name} gives no features{given} ({first_line(error)}); choose another"
        ) from error


def _rgb(values: tuple[float, float, float]) -> RGB:
    """Of pictures 0..1 -> of pictures 0..255."""
    red, green, blue = (255 * value for value in values)
    return red, green, blue


def _parts(net: nn.Module, parents: set[str]) -> list[tuple[str, nn.Module]]:
    """The children in order, those named in `parents` replaced by their own: ("blocks_0", module), ..."""
    parts = []
    for name, module in net.named_children():
        inner = [(f"{name}_{child}", one) for child, one in module.named_children()] if name in parents else []
        parts.extend(inner or [(name, module)])
    return parts
