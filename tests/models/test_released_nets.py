"""The networks of the adaptive affinity fields as released, number by number, and their default form.

Golden: a thin PSPNet through the original builder, evaluated and in training mode; names of all variables of the three
full networks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_files import tf_variable
from torch import Tensor, nn

from structseg import models
from structseg.errors import CheckpointError, ConfigError
from structseg.losses.sampling import sample_target
from structseg.models.backbones.slim_resnet import SlimResNet
from structseg.models.convert import from_tf
from structseg.models.convert.names import slim_key
from structseg.models.layers.pooling import adaptive_mean
from structseg.models.layers.tf1 import BiasedBatchNorm2d, legacy_resize
from structseg.models.segmenter import Segmenter

TINY = {"units": (2, 2, 3, 2), "planes": (4, 6, 8, 10)}  # of the golden PSPNet
THIN = {"units": (1, 1, 1, 1), "planes": (2, 3, 4, 5)}
NETS = {"pspnet": "pspnet", "fcn": "fcn", "deeplab": "deeplabv2"}  # name in the manifest -> ours


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, Any]:
    with np.load(golden / "aaf" / "pspnet_tiny.npz") as file:
        return dict(file)


@pytest.fixture
def pspnet(golden: Path) -> Segmenter:
    """The golden thin PSPNet, filled by the converter."""
    shapes = json.loads((golden / "aaf" / "pspnet_tiny_variables.json").read_text())
    variables = {name: tf_variable(name, shape) for name, shape in shapes.items()}
    net = models.create("pspnet", num_classes=7, preset="released", backbone_options=TINY)
    assert isinstance(net, Segmenter)
    report = from_tf(net, variables)
    assert len(report.loaded) == len(variables)
    assert report.new == report.skipped == ()
    return net


def test_the_rule_is_the_golden_one() -> None:
    start = tf_variable("net/conv1/weights", [7, 7, 3, 4]).ravel()[:3]
    np.testing.assert_allclose(start, [-0.06540601, 0.10693195, 0.01034636], rtol=1e-6)


def forward(net: Segmenter, x: np.ndarray) -> tuple[Tensor, Tensor]:
    """Backbone's last feature and logits, channel last, of what is already without the mean colour."""
    features = net.backbone(torch.from_numpy(x).permute(0, 3, 1, 2))
    return features[-1].permute(0, 2, 3, 1), net.head(features)[0].permute(0, 2, 3, 1)


@torch.no_grad()
@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 1e-5), ("train", 1e-3)])
def test_pspnet_is_the_released_one(pspnet: Segmenter, arrays: dict[str, Any], mode: str, tolerance: float) -> None:
    pspnet.train(mode == "train")
    for found, name in zip(forward(pspnet, arrays["x"]), ("backbone", "logits"), strict=True):
        wanted = arrays[f"{mode}/{name}"]
        assert np.abs(found.numpy() - wanted).max() <= tolerance * np.abs(wanted).max()
    assert tuple(arrays[f"{mode}/conv1_shape"]) == (2, 48, 48, 64)
    assert pspnet.backbone(torch.zeros(2, 3, 96, 96))[0].permute(0, 2, 3, 1).shape == (2, 48, 48, 64)


@torch.no_grad()
def test_running_statistics_are_the_released_ones(pspnet: Segmenter, arrays: dict[str, Any]) -> None:
    forward(pspnet.train(), arrays["x"])
    state = pspnet.state_dict()
    names = [name for name in arrays if name.startswith("train/after/")]
    assert len(names) == 6
    for name in names:
        key = slim_key(name.removeprefix("train/after/"))
        assert key is not None
        np.testing.assert_allclose(state[key], arrays[name], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_picture_goes_through_as_it_is(pspnet: Segmenter, arrays: dict[str, Any]) -> None:
    """The mean colour is taken off, nothing is divided and nothing is padded; stride 8, at any size."""
    pspnet.eval()
    image = torch.from_numpy(arrays["x"]).permute(0, 3, 1, 2) + pspnet.mean
    wanted = arrays["eval/logits"]
    found = pspnet(image).logits.permute(0, 2, 3, 1).numpy()
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()  # mean added and taken off again
    assert pspnet.mean.flatten().tolist() == pytest.approx([122.675, 116.669, 104.008])
    odd = image[..., :75, :57]
    assert pspnet(odd).logits.shape == (2, 7, 10, 8)
    features = pspnet.backbone(odd - pspnet.mean)
    assert torch.equal(pspnet(odd).logits, pspnet.head(features)[0])


@pytest.mark.parametrize("name", NETS)
def test_every_variable_of_the_released_networks_has_its_place(golden: Path, name: str) -> None:
    """Names and shapes of the manifest are those of our networks, one to one."""
    manifest = json.loads((golden / "aaf" / "tf_variable_manifest.json").read_text())
    assert set(manifest) == set(NETS)
    with torch.device("meta"):
        net = models.create(NETS[name], num_classes=21, preset="released")
    ours = {key: tuple(value.shape) for key, value in net.state_dict().items() if "num_batches" not in key}
    theirs = {}
    for variable, shape in manifest[name].items():
        key = slim_key(variable)
        assert key is not None, variable
        theirs[key] = (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else tuple(shape)
    assert len(theirs) == len(manifest[name])
    assert theirs == ours


@pytest.mark.parametrize(("name", "millions"), [("pspnet", 65.70), ("fcn", 42.65), ("deeplabv2", 44.15)])
def test_parameter_counts(name: str, millions: float) -> None:
    """With the statistics of batch norms, 21 classes."""
    with torch.device("meta"):
        state = models.create(name, num_classes=21, preset="released").state_dict()
    count = sum(value.numel() for key, value in state.items() if "num_batches" not in key)
    assert round(count / 1e6, 2) == millions


# ------------------------------------------------------------------------------------------------ parts


def test_strides_and_dilations_are_slims() -> None:
    with torch.device("meta"):
        backbone = SlimResNet()
        coarse = SlimResNet(output_stride=32)
    convs = {key: conv for key, conv in backbone.named_modules() if isinstance(conv, nn.Conv2d)}
    strided = {key for key, conv in convs.items() if conv.stride != (1, 1)}
    assert strided == {"conv1", "layer1.2.conv2"}
    for number, dilation in ((1, 1), (2, 1), (3, 2), (4, 4)):
        found = {
            conv.dilation[0] for key, conv in convs.items() if key.startswith(f"layer{number}.") and "conv2" in key
        }
        assert found == {dilation}
    assert backbone.strides == (2, 8, 8, 8, 8)
    assert coarse.strides == (2, 8, 16, 32, 32)
    assert {m.dilation for m in coarse.modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(isinstance(one, BiasedBatchNorm2d) for one in norms)
    assert {one.eps for one in norms} == {1e-3}
    assert {round(one.momentum or 0, 9) for one in norms} == {3e-4}


def test_dilation_computes_the_strided_function() -> None:
    """The dilated net's features at every second, fourth cell are the strided net's."""
    options = {"units": (2, 2, 2, 1), "planes": (2, 3, 4, 5)}
    strided, dilated = (SlimResNet(**options, output_stride=stride).double().eval() for stride in (32, 8))
    dilated.load_state_dict(strided.state_dict())
    image = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    for half, full, coarse, fine in zip(strided(image), dilated(image), strided.strides, dilated.strides, strict=True):
        every = coarse // fine
        torch.testing.assert_close(full[:, :, ::every, ::every], half)


def test_the_head_of_the_released_pspnet_learns_faster_than_its_backbone() -> None:
    net = models.create("pspnet", num_classes=3, preset="released", width=8, backbone_options=THIN)
    assert isinstance(net, Segmenter)
    norms = [module for module in net.head.modules() if isinstance(module, BiasedBatchNorm2d)]
    assert len(norms) == 5
    assert {one.momentum for one in norms} == {0.01}
    assert net.head_modules == (net.head,)
    deeplab = models.create("deeplabv2", num_classes=3, preset="released", backbone_options=THIN)
    assert deeplab.head_modules == ()  # the published optimizer does not know its head


@pytest.mark.parametrize("name", NETS.values())
def test_fresh_kernels_are_drawn_as_on_one_gpu(name: str) -> None:
    """Glorot-uniform, biases zero; the authors' multi-GPU script has MSRA-uniform, which is not kept."""
    net = models.create(name, num_classes=40, preset="released", backbone_options={"units": (1, 1, 1, 1)})
    convs = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) > 17
    for conv in convs:
        fan = conv.kernel_size[0] * conv.kernel_size[1] * (conv.in_channels + conv.out_channels)
        bound = (6 / fan) ** 0.5
        kernel = conv.weight.detach()
        assert float(kernel.abs().max()) <= bound * (1 + 1e-6)  # float32
        assert float(kernel.std()) == pytest.approx(bound / 3**0.5, rel=0.05)
        assert conv.bias is None or not conv.bias.any()


@torch.no_grad()
def test_deeplabv2_is_a_sum_of_four_rates() -> None:
    net = models.create("deeplabv2", num_classes=3, preset="released", backbone_options=THIN).eval()
    image = torch.rand(1, 3, 56, 64) * 255
    feature = net.backbone(net.normalise(image))[-1]
    weights = [net.head.classifier[place].weight for place in range(4)]
    expected = sum(F.conv2d(feature, w, padding=r, dilation=r) for w, r in zip(weights, (6, 12, 18, 24), strict=True))
    torch.testing.assert_close(net(image).logits, expected)


def test_parts_are_those_of_average_pooling_where_the_released_code_runs() -> None:
    feature = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    for bins in (1, 2, 3, 6):
        torch.testing.assert_close(adaptive_mean(feature, bins), F.avg_pool2d(feature, 12 // bins))


def test_resizing_is_tensorflows(golden: Path) -> None:
    with np.load(golden / "aaf" / "resize_legacy.npz") as file:
        cases = sorted({key.split("/")[0] for key in file})
        assert len(file.files) == 3 * len(cases)
        for case in cases:
            given = torch.from_numpy(file[f"{case}/x"]).permute(0, 3, 1, 2)
            size = file[f"{case}/bilinear"].shape[1:3]
            found = legacy_resize(given, size).permute(0, 2, 3, 1)
            np.testing.assert_allclose(found, file[f"{case}/bilinear"], rtol=0, atol=2e-6)
            places = torch.arange(given.shape[2] * given.shape[3]).view(1, *given.shape[2:])
            nearest = given.flatten(2)[:, :, sample_target(places, size)[0]].permute(0, 2, 3, 1)
            np.testing.assert_array_equal(nearest, file[f"{case}/nearest"])


@pytest.mark.parametrize("count", [1, 2, 35])
def test_running_variance_is_biased(count: int) -> None:
    norm = BiasedBatchNorm2d(3, eps=1e-3, momentum=0.25).double()
    nn.init.normal_(norm.bias)
    before = norm.running_var.clone()
    feature = torch.randn(1, 3, count, 1, dtype=torch.float64, requires_grad=True)
    found = norm(feature)
    mean, variance = feature.mean((0, 2, 3)), feature.var((0, 2, 3), correction=0)
    torch.testing.assert_close(norm.running_var, 0.75 * before + 0.25 * variance.detach())
    torch.testing.assert_close(norm.running_mean, 0.25 * mean.detach())
    expected = (feature - mean.view(1, 3, 1, 1)) / (variance + 1e-3).sqrt().view(1, 3, 1, 1) + norm.bias.view(
        1, 3, 1, 1
    )
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected.square().sum(), feature)[0]
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), feature)[0], wanted)
    norm.eval()
    assert torch.equal(
        norm(feature), F.batch_norm(feature, norm.running_mean, norm.running_var, None, norm.bias, eps=1e-3)
    )


# ------------------------------------------------------------------------------------------------ both presets


@pytest.mark.parametrize("preset", ["default", "released"])
@pytest.mark.parametrize("name", sorted(NETS.values()))
def test_networks_learn_at_any_size_and_on_one_picture(name: str, preset: str) -> None:
    options = THIN if preset == "released" else {"depth": 10, "width": 8}
    net = models.create(name, num_classes=4, preset=preset, backbone_options=options).train()
    assert net.stride == 8
    for height, width in ((56, 75), (48, 48), (9, 9)):
        found = net(torch.rand(1, 3, height, width) * 255)
        assert found.logits.shape == (1, 4, -(-height // 8), -(-width // 8))
        assert found.logits.isfinite().all()
    net.zero_grad()
    net(torch.rand(2, 3, 64, 64) * 255).logits.square().mean().backward()
    assert not [key for key, weight in net.named_parameters() if weight.grad is None]


def test_default_is_the_resnet_of_torchvision() -> None:
    with torch.device("meta"):
        net = models.create("pspnet", num_classes=19)
    assert isinstance(net, Segmenter)
    assert type(net.backbone).__name__ == "ResNet"
    assert net.backbone.strides[-1] == 8
    assert net.pad
    assert not any(isinstance(module, BiasedBatchNorm2d) for module in net.modules())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("pspnet", {"preset": "relased"}, "model.options.preset: 'relased' is not one of default, released"),
        ("pspnet", {"num_classes": 0}, "num_classes: 0 is not a number at least 1"),
        ("pspnet", {"width": 0}, "width: 0 is not a number at least 1"),
        ("fcn", {"width": 8}, "fcn has no option 'width'"),
        ("fcn", {"preset": "released", "backbone_options": {"depth": 50}}, "slim_resnet has no option 'depth'"),
        ("fcn", {"preset": "released", "backbone_options": {"units": (3, 4)}}, "are not 4 numbers, one a stage"),
        ("deeplabv2", {"rates": (0,)}, "model.options.rates"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words), torch.device("meta"):
        models.create(name, **{"num_classes": 3, **options})


def test_weights_of_another_network_are_refused() -> None:
    net = models.create("fcn", num_classes=3, preset="released", backbone_options=THIN)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    variables = {f"a/{name}": array for name, array in _variables(net).items()}
    assert len(from_tf(net, {**variables, "global_step": np.array(3)}).skipped) == 1
    wrong = {
        "classifier": {**variables, "a/block5/fc1_voc12/weights": np.zeros((1, 1, 20, 5), np.float32)},
        "missing": {name: array for name, array in variables.items() if "conv1/weights" not in name},
        "are both": {**variables, **{name.replace("a/", "b/"): array for name, array in variables.items()}},
    }
    for words, given in wrong.items():
        with pytest.raises(CheckpointError, match=words):
            from_tf(net, {name: array + 1 for name, array in given.items()})
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    plain = models.create("fcn", num_classes=3, backbone_options={"depth": 10, "width": 8})
    with pytest.raises(CheckpointError, match="not for ResNet"):
        from_tf(plain, variables)


def _variables(net: nn.Module) -> dict[str, np.ndarray]:
    """The weights of a released FCN as its authors' names have them."""
    leaves = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    found = {}
    for key, value in net.state_dict().items():
        start, leaf = key.rsplit(".", 1)
        path = start.removeprefix("backbone.").replace("head.classifier", "block5/fc1_voc12")
        if path.startswith("layer"):
            layer, unit, rest = path.split(".", 2)
            path = f"block{layer[5:]}/unit_{int(unit) + 1}/bottleneck_v1/{rest}"
        path = path.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut/BatchNorm")
        if "bn" in path:
            path = path.replace("bn", "conv") + "/BatchNorm"
        norm = path.endswith("BatchNorm")
        name = leaves.get(leaf) or {"weight": "gamma" if norm else "weights", "bias": "beta" if norm else "biases"}.get(
            leaf
        )
        if name:
            array = value.numpy()
            found[f"{path}/{name}"] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    return found
