"""Old checkpoints are read by their bytes, whole or not at all, and become files that our loaders read."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from convert_fixtures import FIXTURES, GLUON, SLIM, gluon_arrays, tf_variables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from structseg import models
from structseg.config import ModelConfig
from structseg.errors import CheckpointError, ConfigError, UserError
from structseg.models import load_fitting, load_weights
from structseg.models.backbones.resnet import ResNet
from structseg.models.backbones.slim_resnet import SlimResNet
from structseg.models.convert import checkpoint, from_caffe, from_tf, from_torch
from structseg.models.convert.caffe import read_caffemodel
from structseg.models.convert.crc_loops import crc32c
from structseg.models.convert.mxnet import read_params
from structseg.models.convert.names import caffe_key, gluon_key, slim_classes
from structseg.models.convert.tf_checkpoint import read_checkpoint
from structseg.models.segmenter import Segmenter

RELEASED: dict[str, Any] = {"preset": "released", "backbone_options": SLIM}
Read = Callable[[Path], Mapping[str, np.ndarray]]


def assert_same(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array, name)


# ------------------------------------------------------------------------------------------------ readers


@pytest.mark.parametrize("name", ["slim_v2.ckpt", "slim_v2.ckpt.index", "slim_v1.ckpt"])
def test_tensorflows_own_files(name: str) -> None:
    assert_same(read_checkpoint(FIXTURES / name), tf_variables())


def test_mxnets_own_file() -> None:
    assert_same(read_params(FIXTURES / "gluon.params"), gluon_arrays())


def test_sum_is_castagnolis() -> None:
    assert crc32c(np.frombuffer(b"123456789", np.uint8)) == 0xE3069283
    assert crc32c(np.zeros(32, np.uint8)) == 0x8A9136AA  # RFC 3720, B.4


def test_older_forms_of_mxnet(tmp_path: Path) -> None:
    """Shapes of 32 bits without a mark, and of 64 bits under the first one; `arg:` and `aux:` before names."""
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    oldest = struct.pack("<III", 2, 2, 3)
    first = struct.pack("<IIqq", 0xF993FAC8, 2, 2, 3)
    for head in (oldest, first):
        array = head + struct.pack("<iii", 1, 0, 0) + values.tobytes()
        name = b"arg:fc.weight"
        file = tmp_path / "old.params"
        file.write_bytes(
            struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<QQ", 1, len(name)) + name,
        )
        assert_same(read_params(file), {"arg:fc.weight": values})
    file.write_bytes(struct.pack("<QQQ", 0x112, 0, 1) + struct.pack("<Ii", 0xF993FAC9, 1))
    with pytest.raises(CheckpointError, match="sparse"):
        read_params(file)


FILES: dict[str, tuple[Read, str, tuple[str, ...]]] = {
    "tf index": (read_checkpoint, "slim_v2.ckpt.index", ("slim_v2.ckpt.data-00000-of-00001",)),
    "tf data": (read_checkpoint, "slim_v2.ckpt.data-00000-of-00001", ("slim_v2.ckpt.index",)),
    "tf v1": (read_checkpoint, "slim_v1.ckpt", ()),
    "mxnet": (read_params, "gluon.params", ()),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_cut_off_is_refused(case: str, tmp_path: Path) -> None:
    read, name, others = FILES[case]
    for other in others:
        shutil.copy(FIXTURES / other, tmp_path)
    content = (FIXTURES / name).read_bytes()
    asked = tmp_path / ("slim_v2.ckpt" if others else name)
    for size in sorted({0, 1, 8, 47, 48, len(content) // 2, len(content) - 49, len(content) - 4, len(content) - 1}):
        (tmp_path / name).write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=r"cut off|not a whole"):
            read(asked)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError):
        read(asked)


@pytest.mark.parametrize("case", FILES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_harmless(case: str, tmp_path: Path, place: float, byte: int) -> None:
    """Nothing but a CheckpointError, and of TensorFlow's files, which have sums, no wrong value."""
    read, name, others = FILES[case]
    for other in others:
        shutil.copy(FIXTURES / other, tmp_path)
    content = bytearray((FIXTURES / name).read_bytes())
    content[int(place * len(content))] ^= byte
    (tmp_path / name).write_bytes(content)
    try:
        found = read(tmp_path / ("slim_v2.ckpt" if others else name))
    except CheckpointError:
        return
    if case != "mxnet":
        assert_same(found, tf_variables())


@pytest.mark.parametrize("read", [read_checkpoint, read_params, read_caffemodel])
@given(content=st.binary(max_size=300))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_bytes_are_refused(read: Read, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "some"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="some"):
        read(file)


# ------------------------------------------------------------------------------------------------ whole files


@pytest.mark.parametrize("name", ["slim_v1.ckpt", "slim_v2.ckpt"])
def test_a_checkpoint_becomes_a_file_of_ours(tmp_path: Path, name: str) -> None:
    new = tmp_path / "fcn.safetensors"
    report = checkpoint(FIXTURES / name, new, source="tf", model="fcn", options=RELEASED)
    assert set(report.skipped) == {"double", "global_step", "half"}
    assert report.new == ()
    net, wanted = (models.create("fcn", num_classes=3, **RELEASED) for _ in range(2))
    assert load_fitting(net, new).new == ()
    from_tf(wanted, tf_variables())
    assert all(torch.equal(value, wanted.state_dict()[key]) for key, value in net.state_dict().items())
    weight = net.state_dict()["backbone.conv1.weight"]
    assert torch.equal(weight[5, 2], torch.from_numpy(tf_variables()["resnet_v1_101/conv1/weights"][:, :, 2, 5]))


def test_a_backbone_can_be_taken_alone(tmp_path: Path) -> None:
    new = tmp_path / "backbone.safetensors"
    report = checkpoint(FIXTURES / "slim_v2.ckpt", new, source="tf", model="slim_resnet", options=SLIM)
    assert "resnet_v1_101/block5/fc1_voc12/weights" in report.skipped
    backbone = SlimResNet(**SLIM)
    assert load_weights(backbone, new).new == ()
    assert set(load_file(new)) == set(backbone.state_dict())


def test_gluons_names_are_those_of_torchvision(tmp_path: Path) -> None:
    new = tmp_path / "resnet.safetensors"
    report = checkpoint(FIXTURES / "gluon.params", new, source="mxnet", model="resnet", options=GLUON)
    assert set(report.skipped) == {"fc.weight", "fc.bias", "half", "step"}
    found = load_file(new)
    arrays = gluon_arrays()
    np.testing.assert_array_equal(found["layer2.0.conv1.weight"], arrays["layer2.0.conv1.weight"])
    np.testing.assert_array_equal(found["layer2.0.bn2.weight"], arrays["layer2.0.bn2.gamma"])
    np.testing.assert_array_equal(found["bn1.bias"], arrays["bn1.beta"])
    np.testing.assert_array_equal(found["bn1.running_var"], arrays["bn1.running_var"])


def test_gluons_deep_stem() -> None:
    """`*_v1s`: three convolutions of 64, 64 and 128; `*_v1c` is thinner there, `*_v1d` averages before a shortcut."""
    options: dict[str, Any] = {"depth": 50, "width": 2, "stem": "deep"}
    theirs, ours = ResNet(**options), ResNet(**options)
    norms = {name for name, module in theirs.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    state = {}
    for key, value in theirs.state_dict().items():
        start, _, leaf = key.rpartition(".")
        leaf = {"weight": "gamma", "bias": "beta"}.get(leaf, leaf) if start in norms else leaf
        if leaf != "num_batches_tracked":
            state[f"{start}.{leaf}"] = value
    assert {"conv1.0.weight", "conv1.1.gamma", "conv1.4.running_var", "conv1.6.weight", "bn1.beta"} <= set(state)
    assert from_torch(ours, state, source="mxnet").new == ()
    assert torch.equal(ours.conv1[6].weight, theirs.conv1[6].weight)
    with pytest.raises(CheckpointError, match=r"missing \(conv1\.1\.weight"):
        from_torch(
            ResNet(**options), {key: value for key, value in state.items() if "conv1.1" not in key}, source="mxnet"
        )
    assert gluon_key("layer1.0.downsample.1.running_mean") == "layer1.0.downsample.1.running_mean"


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_state_dicts(tmp_path: Path, source: str) -> None:
    theirs = ResNet(depth=10, width=4)
    state = {**theirs.state_dict(), "fc.weight": torch.zeros(10, 32), "fc.bias": torch.zeros(10)}
    old, new = tmp_path / "old.pth", tmp_path / "new.safetensors"
    torch.save({"state_dict": state}, old)
    report = checkpoint(old, new, source=source, model="resnet", options={"depth": 10, "width": 4})
    assert report.skipped == ("fc.weight", "fc.bias")
    assert all(torch.equal(value, state[key]) for key, value in load_file(new).items())
    ours = ResNet(depth=10, width=4)
    assert from_torch(ours, state, source=source) == from_torch(ours, state, source=source)
    assert torch.equal(ours.conv1.weight, theirs.conv1.weight)
    with pytest.raises(CheckpointError, match=f"{source}: .*of another shape .*another network's file"):
        from_torch(ResNet(depth=10, width=8), state, source=source)
    with pytest.raises(CheckpointError, match="its strides stand elsewhere"):
        from_torch(SlimResNet(**SLIM), state, source=source)
    with pytest.raises(ConfigError, match="source: 'keras' is not one of"):
        from_torch(ours, state, source="keras")


class Evil:
    """What a pickle could call when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil"),))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "source": ({"source": "keras"}, "--source: there is no 'keras'"),
    "model": ({"model": "pspnett"}, "--model: there is no 'pspnett'; did you mean 'pspnet'"),
    "name": ({"new": "fcn.pth"}, "fcn.pth: give the new file a name that ends in .safetensors"),
    "option": ({"options": {"presett": "released"}}, "--model: fcn has no option 'presett'; did you mean 'preset'"),
    "default": ({"options": {"backbone_options": {"depth": 10, "width": 2}}}, "preset='released', not for ResNet"),
    "net": ({"model": "pspnet"}, "another network's file"),
    "thicker": ({"options": {"preset": "released"}}, "another network's file"),
    "backbone's source": ({"source": "timm"}, "timm weights are a backbone's; give one of"),
    "absent": ({"old": "absent.ckpt"}, "there is neither this file nor absent.ckpt.index"),
    "the file itself": ({"old": "old.safetensors", "new": "old.safetensors"}, "is the old file"),
    "in the way": ({"new": "evil.pth/new.safetensors"}, "evil.pth"),
    "pickle": (
        {"source": "timm", "model": "resnet", "old": "evil.pth", "options": {}},
        "is a pickle of more than tensors",
    ),
    "pickle as tf": ({"old": "evil.pth"}, "not a whole checkpoint of TensorFlow"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_whole(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(2), "evil": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "old.safetensors").write_bytes(b"")
    changes, words = REFUSED[case]
    given = {"old": FIXTURES / "slim_v2.ckpt", "new": "fcn.safetensors", "source": "tf", "model": "fcn", **changes}
    options = given.pop("options", RELEASED)
    old, new = tmp_path / given.pop("old"), tmp_path / given.pop("new")
    with pytest.raises(UserError, match=words):
        checkpoint(old, new, options=options, **given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth", "old.safetensors"]


def test_a_file_without_a_head_says_what_to_do() -> None:
    variables = {name: array for name, array in tf_variables().items() if "fc1" not in name}
    with pytest.raises(CheckpointError, match="--model slim_resnet"):
        slim_classes(variables)
    net = models.create("fcn", num_classes=3, **RELEASED)
    assert isinstance(net, Segmenter)
    assert from_tf(net.backbone, variables).new == ()


# ------------------------------------------------------------------------------------------------ Caffe

DEEP: dict[str, Any] = {"depth": 101, "width": 2, "stem": "deep", "first_dilation": "own", "output_stride": 8}


def field(number: int, content: bytes | int) -> bytes:
    """A field of a protocol buffer, as Google's encoding has it."""
    if isinstance(content, int):
        return number_of(number << 3) + number_of(content)
    return number_of(number << 3 | 2) + number_of(len(content)) + content


def number_of(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def caffemodel(layers: Mapping[str, list[np.ndarray]], *, old: bool = False) -> bytes:
    """A network of layers with blobs, in the form of today or in that of 2013."""
    net = field(1, b"net")
    for name, blobs in layers.items():
        content = b""
        for array in blobs:
            axes = b"".join(number_of(side) for side in array.shape)
            sides = (1,) * (4 - array.ndim) + array.shape
            shape = (
                b"".join(field(place, side) for place, side in enumerate(sides, 1)) if old else field(7, field(1, axes))
            )
            content += field(6 if old else 7, shape + field(5, array.astype("<f4").tobytes()))
        net += field(2, field(4, name.encode()) + content) if old else field(100, field(1, name.encode()) + content)
    return net


def authors(backbone: ResNet) -> dict[str, list[np.ndarray]]:
    """Layers of PSPNet's authors that hold what `backbone` computes, were its colours theirs."""
    state = {key: value.numpy() for key, value in backbone.state_dict().items()}
    layers: dict[str, list[np.ndarray]] = {}

    def put(name: str, conv: str, bn: str) -> None:
        layers[name] = [state[f"{conv}.weight"]]
        layers[f"{name}/bn"] = [
            state[f"{bn}.{leaf}"].reshape(1, -1, 1, 1) for leaf in ("weight", "bias", "running_mean", "running_var")
        ]

    for name, place in (("conv1_1_3x3_s2", 0), ("conv1_2_3x3", 3), ("conv1_3_3x3", 6)):
        put(name, f"conv1.{place}", "bn1" if place == 6 else f"conv1.{place + 1}")
    for stage in range(1, 5):
        for unit in range(len(list(backbone.get_submodule(f"layer{stage}").children()))):
            start, block = f"conv{stage + 1}_{unit + 1}_", f"layer{stage}.{unit}."
            for part, number in (("1x1_reduce", 1), ("3x3", 2), ("1x1_increase", 3)):
                put(start + part, f"{block}conv{number}", f"{block}bn{number}")
            if f"{block}downsample.0.weight" in state:
                put(f"{start}1x1_proj", f"{block}downsample.0", f"{block}downsample.1")
    layers["conv6"] = [np.zeros((21, 8, 1, 1)), np.zeros(21)]
    return layers


@pytest.mark.parametrize("old", [False, True])
def test_blobs_of_caffe(tmp_path: Path, old: bool) -> None:
    blobs = [np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.array([0.5, -1.5], np.float32)]
    file = tmp_path / "net.caffemodel"
    file.write_bytes(caffemodel({"relu": [], "conv1": blobs}, old=old))
    found = read_caffemodel(file)
    assert list(found) == ["conv1/0", "conv1/1"]
    np.testing.assert_array_equal(found["conv1/0"], blobs[0])
    np.testing.assert_array_equal(found["conv1/1"].ravel(), blobs[1])
    content = file.read_bytes()
    for size in range(content.index(b"conv1"), len(content)):
        file.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="not a whole"):
            read_caffemodel(file)


OWN = {"stem": "deep", "first_dilation": "own"}  # what of the command makes a backbone that of PSPNet's authors
THIN: dict[str, Any] = {"width": 5, "backbone_options": {**OWN, "width": 2}}
CHANNELS = 64  # of its last feature


def authors_head(classes: int = 3) -> dict[str, list[np.ndarray]]:
    """Layers of PSPNet's authors behind conv5_3, thin: a norm in every branch, conv6 with a bias."""
    rng = np.random.default_rng(0)
    layers: dict[str, list[np.ndarray]] = {}
    narrow, width = CHANNELS // 4, THIN["width"]
    sizes = {f"conv5_3_pool{bins}_conv": (narrow, CHANNELS, 1, 1) for bins in (1, 2, 3, 6)}
    for name, size in {**sizes, "conv5_4": (width, 2 * CHANNELS, 3, 3)}.items():
        layers[name] = [rng.normal(size=size)]
        moving = rng.normal(size=(3, 1, size[0], 1, 1)), rng.uniform(0.01, 4, (1, size[0], 1, 1))
        layers[f"{name}/bn"] = [*moving[0], moving[1]]
    layers["conv6"] = [rng.normal(size=(classes, width, 1, 1)), rng.normal(size=classes)]
    return {name: [blob.astype(np.float32) for blob in blobs] for name, blobs in layers.items()}


def their_logits(layers: Mapping[str, list[np.ndarray]], feature: torch.Tensor) -> torch.Tensor:
    """By their prototxt, in float64, but for Interp: theirs aligns the corners of parts and feature, ours centres.

    (1,D,h,w), h and w multiples of 6 -> (1,C,h,w)
    """
    numbers = {name: [torch.from_numpy(blob).double() for blob in blobs] for name, blobs in layers.items()}

    def conv_norm(name: str, of: torch.Tensor) -> torch.Tensor:
        (weight,), norm = numbers[name], numbers[f"{name}/bn"]
        slope, shift, mean, variance = (blob.reshape(1, -1, 1, 1) for blob in norm)
        found = F.conv2d(of, weight, padding=weight.shape[-1] // 2)
        return F.relu(slope * (found - mean) / (variance + 1e-5).sqrt() + shift)

    size = (feature.shape[2], feature.shape[3])
    joined = [feature]
    for bins in (6, 3, 2, 1):
        part = conv_norm(f"conv5_3_pool{bins}_conv", F.avg_pool2d(feature, (size[0] // bins, size[1] // bins)))
        joined.append(F.interpolate(part, size, mode="bilinear", align_corners=False))
    return F.conv2d(conv_norm("conv5_4", torch.cat(joined, 1)), *numbers["conv6"])


@pytest.fixture(scope="module")
def whole_file() -> dict[str, list[np.ndarray]]:
    """All layers of their net, with the second head that is for training."""
    second = {"conv4_24": [np.zeros((4, 32, 3, 3))], "conv6_1": [np.zeros((3, 4, 1, 1)), np.zeros(3)]}
    return {**authors(ResNet(**DEEP)), **second, **authors_head()}


@torch.no_grad()
@pytest.mark.parametrize("old", [False, True])
def test_the_whole_net_of_pspnets_authors(tmp_path: Path, whole_file: dict[str, list[np.ndarray]], old: bool) -> None:
    """Logits of the head are theirs, though ours has no norm in its first branch and another order of the parts."""
    file, new = tmp_path / "pspnet.caffemodel", tmp_path / "pspnet.safetensors"
    file.write_bytes(caffemodel(whole_file, old=old))
    report = checkpoint(file, new, source="caffe", model="pspnet", options=THIN)
    assert report.skipped == ("conv4_24/0", "conv6_1/0", "conv6_1/1")
    assert report.new == ()
    net = models.build(ModelConfig(name="pspnet", options=THIN, init_from=str(new)), 3).eval()
    assert isinstance(net, Segmenter)
    assert {key for key in net.state_dict() if not key.endswith("num_batches_tracked")} == set(report.loaded)
    feature = torch.randn(1, CHANNELS, 12, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).relu()
    logits, _ = net.double().head([feature])
    wanted = their_logits(whole_file, feature)
    assert wanted.std() > 1
    torch.testing.assert_close(logits, wanted, rtol=1e-6, atol=1e-6 * float(wanted.std()))
    listed = {row.name: row for row in report.rows}
    assert len(listed) == len(report.rows)
    assert set(listed) == set(read_caffemodel(file))
    assert {row.key for row in report.rows if row.status == "loaded"} == set(report.loaded)
    assert listed["conv5_3_pool1_conv/bn/3"].key == "head.branches.0.0.bias"  # of which it is made
    alone = ResNet(**DEEP)
    blobs = read_caffemodel(file)
    assert {f"{layer}/0" for layer in authors_head()} <= set(from_caffe(alone, blobs).skipped)
    inside = net.backbone.state_dict()
    for key, value in alone.state_dict().items():
        assert torch.equal(value, inside[key].to(value.dtype)), key


NOT_WHOLE: dict[str, tuple[dict[str, list[np.ndarray] | None], dict[str, Any], str]] = {
    "no norm": ({"conv5_3_pool6_conv/bn": None}, {}, r"4 missing \(head\.branches\.3\.1\.weight"),
    "no norm to fold": ({"conv5_3_pool1_conv/bn": None}, {}, r"1 missing \(head\.branches\.0\.0\.bias\)"),
    "norm cut off": ({"conv5_3_pool1_conv/bn": [np.ones(16)] * 3}, {}, r"1 missing \(head\.branches\.0\.0\.bias\)"),
    "norm of another shape": (
        {"conv5_3_pool1_conv/bn": [np.ones(16), np.ones(16), np.ones(1), np.ones(16)]},
        {},
        r"norm of conv5_3_pool1_conv has 16, 16, 1, 16 numbers for a kernel \(16, 64, 1, 1\)",
    ),
    "no kernel": ({"conv5_4": None}, {}, r"1 missing \(head\.mix\.0\.weight\)"),
    "kernel of another shape": (
        {"conv5_4": [np.zeros((5, 128, 1, 1))]},
        {},
        r"1 of another shape \(head\.mix\.0\.weight \(\(5, 128, 1, 1\), here \(5, 128, 3, 3\)\)\)",
    ),
    "without the parts": ({"conv5_4": [np.zeros((5, 64, 3, 3))]}, {}, r"head\.mix\.0\.weight \(\(5, 64, 3, 3\)"),
    "another width": ({}, {"options": {**THIN, "width": 6}}, r"6 of another shape \(head\.classifier\.weight"),
    "no backbone": ({"conv3_1_3x3": None}, {}, r"1 missing \(backbone\.layer2\.0\.conv2\.weight\)"),
    "no classifier": ({"conv6": None}, {}, "no classifier of PSPNet .* give --model resnet"),
    "no bias": ({"conv6": [np.zeros((3, 5, 1, 1))]}, {}, "no classifier of PSPNet"),
    "plain stem": (
        {},
        {"options": {"backbone_options": {"width": 2}}},
        r'of pspnet: backbone_options=\{stem="deep",first_dilation="own"\}',
    ),
    "released": ({}, {"options": RELEASED}, "pspnet with preset='default'"),
    "another net": ({}, {"model": "fcn", "options": {"backbone_options": {**OWN, "width": 2}}}, "give --model resnet"),
}


@pytest.mark.parametrize("case", NOT_WHOLE)
def test_another_net_than_pspnets_is_refused_in_a_line(
    case: str, tmp_path: Path, whole_file: dict[str, list[np.ndarray]]
) -> None:
    changes, other, words = NOT_WHOLE[case]
    layers = {name: blobs for name, blobs in {**whole_file, **changes}.items() if blobs is not None}
    file = tmp_path / "pspnet.caffemodel"
    file.write_bytes(caffemodel(layers))
    call: dict[str, Any] = {"source": "caffe", "model": "pspnet", "options": THIN, **other}
    with pytest.raises(CheckpointError, match=words) as error:
        checkpoint(file, tmp_path / "new.safetensors", **call)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "name", ["conv1_1_3x3_s2", "conv1_1_3x3_s2/", "conv1_1_3x3_s2/bn", "a/²", "a/-1", "a/" + "9" * 5000]
)
def test_a_name_that_is_no_blobs_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"file\.npz: '.*' is no name of a blob; give LAYER/PLACE"):
        from_caffe(ResNet(**DEEP), {"conv6/0": np.zeros(1), name: np.zeros(1)}, source="file.npz")


@torch.no_grad()
def test_the_backbone_of_pspnets_authors(tmp_path: Path) -> None:
    """BGR without division in their file, RGB with ours: the same features away from the picture's border."""
    theirs, ours = ResNet(**DEEP).eval(), ResNet(**DEEP).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.get_buffer("running_mean"), std=0.1)
            torch.nn.init.uniform_(module.get_buffer("running_var"), 0.5, 1.5)
    theirs.conv1[0].weight.mul_(0.02)  # for colours of 0..255
    old, new = tmp_path / "pspnet.caffemodel", tmp_path / "resnet.safetensors"
    old.write_bytes(caffemodel(authors(theirs)))
    report = checkpoint(old, new, source="caffe", model="resnet", options=DEEP)
    assert report.skipped == ("conv6/0", "conv6/1")
    load_weights(ours, new)
    image = torch.rand(1, 3, 32, 32) * 255
    bgr = (image - torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)).flip(1)
    rgb = (image - torch.tensor(ours.mean).view(1, 3, 1, 1)) / torch.tensor(ours.std).view(1, 3, 1, 1)
    stem = [net.conv1[2](net.conv1[1](net.conv1[0](one))) for net, one in ((theirs, bgr), (ours, rgb))]
    torch.testing.assert_close(stem[0][..., 1:, 1:], stem[1][..., 1:, 1:], rtol=1e-4, atol=1e-4)
    wanted = theirs.state_dict()
    for key, value in ours.state_dict().items():
        if not key.startswith(("conv1.0.", "conv1.1.running_mean")):
            assert torch.equal(value, wanted[key]), key
    for other in ({"stem": "plain"}, {"first_dilation": "last"}, {"depth": 50}):
        with pytest.raises(CheckpointError, match="depth=101, stem='deep' and first_dilation='own'"):
            checkpoint(old, tmp_path / "no.safetensors", source="caffe", model="resnet", options={**DEEP, **other})


def test_every_layer_of_pspnets_authors_has_its_place() -> None:
    """By their prototxt: names, shapes, strides, dilations, and the epsilon of their caffe.proto."""
    with torch.device("meta"):
        net = models.create("pspnet", num_classes=19, backbone_options=OWN)
    filled = set()
    for line in (FIXTURES / "pspnet101_layers.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, *rest = line.split()
        outputs, inputs, kernel, stride, dilation = map(int, rest)
        key = caffe_key(f"{name}/0")
        assert key is not None
        conv = net.get_submodule(key.removesuffix(".weight"))
        assert isinstance(conv, torch.nn.Conv2d)
        assert conv.weight.shape == (outputs, inputs, kernel, kernel), name
        assert conv.stride == (stride, stride), name
        assert conv.dilation == (dilation, dilation), name
        assert conv.padding == ((kernel // 2 * dilation,) * 2), name
        keys = {key, caffe_key(f"{name}/1")}
        if name not in ("conv6", "conv5_3_pool1_conv"):  # a bias, and a norm that becomes one
            assert conv.bias is None
            norms = [caffe_key(f"{name}/bn/{place}") for place in range(4)]
            start = str(norms[0]).removesuffix(".weight")
            assert norms == [f"{start}.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")]
            norm = net.get_submodule(start)
            assert isinstance(norm, torch.nn.BatchNorm2d)
            assert (norm.num_features, norm.eps) == (outputs, 1e-5), name
            keys = {key, *norms}
        assert not filled & keys, name
        filled |= keys
        alone = key.removeprefix("backbone.") if key.startswith("backbone.") else None
        assert caffe_key(f"{name}/0", whole=False) == alone
    assert filled == {key for key in net.state_dict() if not key.endswith("num_batches_tracked")}
    for rest in ("conv4_24/0", "conv4_24/bn/0", "conv6_1/0", "conv6_1/1"):  # their second head, which files still hold
        assert caffe_key(rest) is None
