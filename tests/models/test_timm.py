"""The adapter to timm: geometry, layout, facts, stages, weights and what is refused. Runs with timm or its stand-in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from structseg import models
from structseg.config import ModelConfig
from structseg.errors import CheckpointError, ConfigError, MissingExtra
from structseg.models.backbones.timm import Timm
from structseg.models.weights import load_weights

SWIN = "swin_tiny_patch4_window7_224"


@pytest.mark.parametrize("name", ["resnet18", SWIN, "vit_tiny_patch16_224", "tf_efficientnet_lite0"])
@torch.no_grad()
def test_any_size(name: str, timm: ModuleType) -> None:
    """Also nets that cut the picture into patches, are made for 224x224 or give channels last."""
    backbone = Timm(name=name).eval()
    assert list(backbone.strides) == sorted(backbone.strides)
    for height, width in ((96, 64), (65, 97), (1, 1)):
        features = backbone(torch.randn(2, 3, height, width))
        for feature, depth, stride in zip(features, backbone.channels, backbone.strides, strict=True):
            assert feature.shape == (2, depth, -(-height // stride), -(-width // stride))
    facts = timm.create_model(name, features_only=True).pretrained_cfg
    assert backbone.mean == pytest.approx([255 * one for one in facts["mean"]])
    assert backbone.std == pytest.approx([255 * one for one in facts["std"]])


@torch.no_grad()
def test_the_net_is_timms(timm: ModuleType) -> None:
    backbone = Timm(name=SWIN).eval()
    image = torch.randn(1, 3, 64, 96)
    for ours, theirs in zip(backbone(image), backbone.net(image), strict=True):
        assert torch.equal(ours, theirs.permute(0, 3, 1, 2))
    torch.manual_seed(0)
    plain = timm.create_model("resnet18", features_only=True).eval()
    torch.manual_seed(0)
    backbone = Timm(name="resnet18").eval()
    assert all(torch.equal(a, b) for a, b in zip(backbone(image), plain(image), strict=True))


def test_a_segmenter_of_it_freezes_and_trains() -> None:
    config = ModelConfig(backbone="timm", backbone_options={"name": "resnet18", "output_stride": 16}, freeze_stages=2)
    model = models.build(config, 3)
    logits = model(torch.rand(2, 3, 64, 64) * 255).logits
    assert logits.shape == (2, 3, 4, 4)
    logits.sum().backward()
    learned = {key for key, one in model.named_parameters() if one.grad is not None}
    assert not [key for key in learned if key.startswith(("backbone.net.conv1", "backbone.net.layer1"))]
    assert [key for key in learned if key.startswith("backbone.net.layer2")]


@pytest.mark.parametrize("name", ["resnet18", SWIN, "tf_efficientnet_lite0"])
def test_stages_hold_every_weight_once(name: str) -> None:
    backbone = Timm(name=name)
    held = [id(one) for stage in backbone.stages() for module in stage for one in module.parameters()]
    assert len(backbone.stages()) == len(backbone.channels)
    assert sorted(held) == sorted(id(one) for one in backbone.parameters())


def test_stages_that_cannot_be_told_apart() -> None:
    backbone = Timm(name="resnet18")
    backbone.net.feature_info.module_name = lambda: ["act1", "layer1", "layer9"]
    with pytest.raises(ConfigError, match=r"model\.freeze_stages: Timm does not name its stages"):
        backbone.stages()


# ------------------------------------------------------------------------------------------------ weights


@pytest.mark.parametrize("name", ["resnet18", SWIN])
def test_files_with_keys_of_ours_and_of_the_whole_net(name: str, tmp_path: Path) -> None:
    """`layers_0.x` of a net that gives features is `layers.0.x` in timm's own files."""
    source = Timm(name=name)
    ours = {key: torch.rand_like(one) if one.is_floating_point() else one for key, one in source.state_dict().items()}
    whole = {key.removeprefix("net.").replace("layers_", "layers."): one for key, one in ours.items()}
    for place, content in enumerate((ours, {**whole, "head.fc.weight": torch.zeros(9, 3)})):
        file = tmp_path / f"{place}.safetensors"
        save_file(content, file)
        backbone = Timm(name=name)
        report = load_weights(backbone, file)
        assert set(report.loaded) == set(ours)
        assert report.skipped == ("head.fc.weight",) * place
        assert all(torch.equal(one, ours[key]) for key, one in backbone.state_dict().items())


@pytest.mark.usefixtures("fake_timm")
def test_imagenet_comes_from_timm() -> None:
    backbone = Timm(name="resnet18")
    report = load_weights(backbone, "imagenet")
    assert not report.missing + report.shape + report.skipped
    assert all((one == 0.25).all() for one in backbone.parameters())


@pytest.mark.usefixtures("fake_timm")
def test_no_network() -> None:
    words = r"model\.weights: timm cannot get pretrained weights of resnet50 \(An error .* Hub\.\); go online once"
    with pytest.raises(CheckpointError, match=words) as caught:
        load_weights(Timm(name="resnet50"), "imagenet")
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "resnett18"}, r"name: timm has no 'resnett18'; did you mean 'resnet18'"),
        ({"name": "qqqqqqqq"}, r"name: timm has no 'qqqqqqqq'; timm\.list_models\(\) has all names"),
        ({"name": "resnet18.nonsense"}, r"name: Invalid pretrained tag \(nonsense\)"),
        ({"name": "maxvit_tiny_tf_224"}, "takes pictures of one size only"),
        ({"name": SWIN, "output_stride": 8}, f"timm's {SWIN} gives no features with output_stride = 8"),
        ({"name": "resnet18", "output_stride": 64}, "output_stride"),
    ],
)
def test_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Timm(**options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


class Broken(ModuleType):
    """What a torchvision of another build does to `import timm`."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "timm":
            raise RuntimeError("operator torchvision::nms does not exist\nmore")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda patch: patch.setitem(sys.modules, "timm", None), "timm needs an optional package"),
        (lambda patch: patch.setattr(sys, "meta_path", [Broken("broken"), *sys.meta_path]), r"\(operator .* exist\)"),
    ],
    ids=["absent", "broken"],
)
def test_without_the_package(
    break_it: Callable[[pytest.MonkeyPatch], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "timm")
    break_it(monkeypatch)
    with pytest.raises(MissingExtra, match=words) as caught:
        Timm(name="resnet18")
    assert "pip install 'structseg[timm]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_net_without_features(fake_timm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> nn.Module:
        raise RuntimeError("features_only not implemented for this model")

    monkeypatch.setattr(fake_timm, "create_model", refuse)
    with pytest.raises(ConfigError, match=r"timm's resnet18 gives no features \(features_only not implemented"):
        Timm(name="resnet18")
