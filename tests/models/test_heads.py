"""Every head keeps its word on stride, sizes and the last feature."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from structseg import build
from structseg.errors import ConfigError
from structseg.models.backbones.resnet import ResNet
from structseg.models.heads import Head
from structseg.models.heads.aspp import ASPP
from structseg.models.heads.deeplabv3plus import DeepLabV3Plus
from structseg.models.heads.fcn import FCN
from structseg.models.heads.psp import PSP
from structseg.models.heads.top_down import TopDown
from structseg.models.layers.blocks import enlarge
from structseg.models.layers.pooling import adaptive_mean

CHANNELS = (4, 6, 8, 10, 12)
STRIDES = {8: (2, 4, 8, 8, 8), 16: (2, 4, 8, 16, 16), 32: (2, 4, 8, 16, 32)}
SMALL = {
    "deeplabv3plus": {"width": 8, "skip_width": 4},
    "top_down": {"width": 8},
    "fcn": {"hidden": 8},
    "psp": {"width": 8, "bins": (1, 2)},
    "aspp": {"width": 8, "rates": [2]},
}


def features(strides: tuple[int, ...], height: int, width: int, batch: int = 2) -> list[Tensor]:
    sizes = [(-(-height // stride), -(-width // stride)) for stride in strides]
    return [torch.randn(batch, depth, *size) for depth, size in zip(CHANNELS, sizes, strict=True)]


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", sorted(build.names("models.heads")))
def test_contract(name: str, output_stride: int) -> None:
    strides = STRIDES[output_stride]
    context: dict[str, Any] = {"channels": CHANNELS, "strides": strides, "num_classes": 5}
    for options in ({}, SMALL.get(name, {})):
        head: Head = build.create("models.heads", name, options, **context).eval()
        for height, width in ((65, 97), (64, 32), (1, 1), (2, 33)):
            given = features(strides, height, width)
            logits, feature = head(given)
            assert logits.shape == (2, 5, -(-height // head.stride), -(-width // head.stride))
            assert feature.shape[2:] == logits.shape[2:]
            torch.testing.assert_close(head.get_submodule("classifier")(feature), logits)
            assert torch.equal(head(given)[0], logits)
        last = [one.to(memory_format=torch.channels_last) for one in given]
        torch.testing.assert_close(head(last)[0], logits, rtol=1e-4, atol=1e-5)
    assert logits.abs().max() < 1  # starts near uniform
    head.train()
    head(features(strides, 128, 128))[0].square().mean().backward()
    assert not [key for key, weight in head.named_parameters() if weight.grad is None]
    with pytest.raises(ConfigError, match="has no option 'widht'"):
        build.create("models.heads", name, {"widht": 3}, **context)
    with pytest.raises(ConfigError, match=r"dropout: 1\.5 is not a number from 0 to 1"):
        build.create("models.heads", name, {"dropout": 1.5}, **context)


def test_fcn_is_a_classifier() -> None:
    head = FCN(channels=CHANNELS, strides=STRIDES[8], num_classes=3).eval()
    given = features(STRIDES[8], 33, 40)
    weight, bias = head.classifier.weight[:, :, 0, 0], head.get_parameter("classifier.bias")
    expected = torch.einsum("cd,bdhw->bchw", weight, given[-1]) + bias[:, None, None]
    torch.testing.assert_close(head(given)[0], expected)
    assert head.stride == 8
    assert sum(one.numel() for one in head.parameters()) == 3 * (12 + 1)


@pytest.mark.parametrize("name", sorted(build.names("models.heads")))
def test_logits_keep_full_precision_under_autocast(name: str) -> None:
    context: dict[str, Any] = {"channels": CHANNELS, "strides": STRIDES[16], "num_classes": 5}
    head: Head = build.create("models.heads", name, SMALL.get(name, {}), **context).eval()
    with torch.autocast("cpu", torch.bfloat16):
        logits, feature = head(features(STRIDES[16], 64, 64))
    assert logits.dtype == torch.float32
    assert torch.equal(head.get_submodule("classifier")(feature.float()), logits)
    logits.sum().backward()
    assert not [key for key, weight in head.named_parameters() if weight.grad is None]


def test_dropout_acts_in_training_only_and_spares_the_feature() -> None:
    head = FCN(channels=CHANNELS, strides=STRIDES[8], num_classes=3, dropout=0.5).train()
    given = features(STRIDES[8], 64, 64)
    first, second = head(given), head(given)
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("kind", [DeepLabV3Plus, PSP, ASPP, partial(TopDown, bins=(1, 2))])
def test_one_picture_trains(kind: Callable[..., Head]) -> None:
    """The branch of the whole picture has one cell: with batch norm a batch of one would fail there."""
    head = kind(channels=CHANNELS, strides=STRIDES[16], num_classes=3).train()
    head(features(STRIDES[16], 32, 32, batch=1))[0].sum().backward()
    assert not [key for key, weight in head.named_parameters() if weight.grad is None]


@pytest.mark.parametrize(("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))])
def test_deeplab_rates_follow_the_stride(output_stride: int, rates: tuple[int, ...]) -> None:
    head = DeepLabV3Plus(channels=CHANNELS, strides=STRIDES[output_stride], num_classes=3, width=8)
    found = {module.dilation[0] for module in head.aspp.modules() if isinstance(module, nn.Conv2d)}
    assert found == {1, *rates}


@pytest.mark.parametrize(("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))])
def test_aspp_rates(output_stride: int, rates: tuple[int, ...]) -> None:
    options: dict[str, Any] = {"channels": CHANNELS, "strides": STRIDES[output_stride], "num_classes": 3, "width": 8}
    for given, expected in (({}, {1, *rates}), ({"rates": (2, 5)}, {1, 2, 5})):
        convs = [one for one in ASPP(**options, **given).modules() if isinstance(one, nn.Conv2d)]
        assert {one.dilation[0] for one in convs} == expected
        assert all(one.padding == one.dilation for one in convs if one.kernel_size == (3, 3))


@torch.no_grad()
def test_aspp_is_views_side_by_side() -> None:
    head = ASPP(channels=CHANNELS, strides=STRIDES[16], num_classes=3, width=4, rates=(2,)).eval()
    given = features(STRIDES[16], 96, 64)
    one, three = head.pyramid.branches
    assert head.pyramid.pooled is not None
    mean = head.pyramid.pooled(F.adaptive_avg_pool2d(given[-1], 1)).expand(-1, -1, 6, 4)
    expected = head.pyramid.mix(torch.cat([one(given[-1]), three(given[-1]), mean], dim=1))
    torch.testing.assert_close(head(given)[1], expected)
    plain = ASPP(channels=CHANNELS, strides=STRIDES[16], num_classes=3, width=4, rates=(2,), pool=False)
    assert not [key for key in plain.state_dict() if "pooled" in key]
    assert plain.eval()(given)[0].shape == (2, 3, 6, 4)


# ------------------------------------------------------------------------------------------------ pyramid pooling


@pytest.mark.parametrize("bins", [1, 2, 3, 6, 7])
def test_adaptive_mean_is_torchs_pooling(bins: int) -> None:
    """For every size, divisible or not, larger than the bins or smaller, with its gradient."""
    for height in range(1, 21):
        for width in (1, 5, 12, 13, 19):
            feature = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
            ours, torchs = adaptive_mean(feature, bins), F.adaptive_avg_pool2d(feature, bins)
            torch.testing.assert_close(ours, torchs)
            upstream = torch.randn_like(ours)
            (first,), (second,) = (torch.autograd.grad(one, feature, upstream) for one in (ours, torchs))
            torch.testing.assert_close(first, second)
    last = torch.randn(1, 4, 9, 10).to(memory_format=torch.channels_last)
    torch.testing.assert_close(adaptive_mean(last, bins), F.adaptive_avg_pool2d(last, bins))
    assert adaptive_mean(last.bfloat16(), bins).dtype == torch.bfloat16


@torch.no_grad()
def test_psp_is_means_beside_cells() -> None:
    head = PSP(channels=CHANNELS, strides=STRIDES[8], num_classes=3, bins=(1, 2, 3), width=8).eval()
    given = features(STRIDES[8], 88, 64)
    feature = given[-1]  # (2,12,11,8)
    parts = [feature]
    for branch, bins in zip(head.branches, (1, 2, 3), strict=True):
        part = branch(F.adaptive_avg_pool2d(feature, bins))
        assert part.shape[1] == 12 // 3
        parts.append(F.interpolate(part, size=(11, 8), mode="bilinear", align_corners=False))
    torch.testing.assert_close(head(given)[1], head.mix(torch.cat(parts, dim=1)))
    assert head.stride == 8
    norms = [any(isinstance(one, nn.BatchNorm2d) for one in branch.modules()) for branch in head.branches]
    assert norms == [False, True, True]


@pytest.mark.smoke
@torch.no_grad()
def test_psp_is_exported_for_every_size() -> None:
    """One exported graph gives the right answer at sizes that no bin divides."""
    head = PSP(channels=(4,), strides=(8,), num_classes=3, width=8).eval()
    free = {2: torch.export.Dim("h", min=2, max=99), 3: torch.export.Dim("w", min=2, max=99)}
    exported = torch.export.export(head, ([torch.randn(1, 4, 12, 18)],), dynamic_shapes=([free],)).module()
    for height, width in ((12, 18), (40, 41), (7, 5), (2, 3)):
        feature = torch.randn(1, 4, height, width)
        torch.testing.assert_close(exported([feature])[0], head([feature])[0])


@pytest.mark.parametrize(("kind", "key"), [("psp", "bins"), ("aspp", "rates")])
@pytest.mark.parametrize("value", [[0], [1, -2], [1.5], 3, ["2"], "1 2"])
def test_lists_of_counts(kind: str, key: str, value: Any) -> None:
    context: dict[str, Any] = {"channels": CHANNELS, "strides": STRIDES[8], "num_classes": 2}
    with pytest.raises(ConfigError, match=rf"model\.head_options\.{key}: .* is not a list of whole numbers"):
        build.create("models.heads", kind, {key: value}, **context)
    with pytest.raises(ConfigError, match=r"bins: \[\] is not a list"):
        build.create("models.heads", "psp", {"bins": []}, **context)


def test_deeplab_needs_stride_4() -> None:
    with pytest.raises(ConfigError, match="stride-4"):
        DeepLabV3Plus(channels=(8,), strides=(16,), num_classes=2)


@pytest.mark.parametrize("stride", [2, 4, 8, 16, 32])
def test_top_down_strides(stride: int) -> None:
    head = TopDown(channels=CHANNELS, strides=STRIDES[32], num_classes=3, width=8, stride=stride).eval()
    assert head(features(STRIDES[32], 70, 50))[0].shape[2:] == (-(-70 // stride), -(-50 // stride))
    with pytest.raises(ConfigError, match="stride: 3 is not one of 2, 4, 8, 16, 32"):
        TopDown(channels=CHANNELS, strides=STRIDES[32], num_classes=3, stride=3)


@torch.no_grad()
def test_top_down_is_a_sum_of_enlarged_laterals() -> None:
    head = TopDown(channels=CHANNELS, strides=STRIDES[32], num_classes=3, width=8).double().eval()
    given = [one.double() for one in features(STRIDES[32], 64, 96)]
    total = torch.zeros(())
    for lateral, one in zip(reversed(head.laterals), reversed(given[1:]), strict=True):
        if total.dim():
            total = F.interpolate(total, size=one.shape[2:], mode="bilinear", align_corners=False)
        total = total + lateral(one)
    torch.testing.assert_close(head(given)[1], head.mix(total))


@pytest.mark.parametrize("ratio", [1, 2, 4])
def test_enlarge_keeps_cells_in_place(ratio: int) -> None:
    """Enlarged to a cut size, the cells that are left are those of the uncut size."""
    coarse = torch.randn(1, 2, 4, 5)
    whole = enlarge(coarse, ratio, torch.empty(1, 1, 4 * ratio, 5 * ratio))
    assert torch.equal(whole, F.interpolate(coarse, size=(4 * ratio, 5 * ratio), mode="bilinear", align_corners=False))
    cut = enlarge(coarse, ratio, torch.empty(1, 1, 4 * ratio - (ratio > 1), 4 * ratio + 1))
    assert torch.equal(cut, whole[:, :, : cut.shape[2], : cut.shape[3]])


@torch.no_grad()
def test_a_longer_picture_does_not_move_what_is_far_from_its_end() -> None:
    """Cells far from the lower edge are the same for 965 and 1024 rows: the pyramid does not stretch."""
    backbone = ResNet(depth=10, width=4).eval()
    head = TopDown(channels=backbone.channels, strides=backbone.strides, num_classes=3, width=8).eval()
    image = torch.randn(1, 3, 1024, 32)
    rows = 30 * 32 + 5
    whole, part = (head(backbone(one))[0] for one in (image, image[:, :, :rows]))
    torch.testing.assert_close(part[:, :, :128], whole[:, :, :128], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_top_down_with_bins_sees_the_whole_picture() -> None:
    """One corner of the coarsest feature moves the logits of the opposite corner with bins, and not without them."""
    given = features(STRIDES[32], 256, 256)
    moved = [*given[:-1], given[-1].clone()]
    moved[-1][:, :, -1, -1] += 100
    context: dict[str, Any] = {"channels": CHANNELS, "strides": STRIDES[32], "num_classes": 3, "width": 8}
    far = {}
    for bins in ((), (1, 2, 4)):
        torch.manual_seed(0)
        head = TopDown(**context, bins=bins).eval()
        far[bins] = (head(given)[0] - head(moved)[0])[:, :, 0, 0].abs().max()
    assert far[()] == 0
    assert far[(1, 2, 4)] > 0
    for wrong in (0, (0,), "2"):
        with pytest.raises(ConfigError, match=r"model\.head_options\.bins"):
            TopDown(**context, bins=wrong)
