"""Scales and mirror are averaged at the picture's own size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from structseg.inference.scales import probabilities


def soft(image: Tensor) -> Tensor:
    """Looks to the left: a model that is not symmetric."""
    return ((image + 0.3 * image.roll(1, -1)) / 40).softmax(1)


@pytest.mark.parametrize("size", [(7, 10), (13, 5), (1, 1)])
def test_the_mean_over_scales(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size) * 255
    wanted = torch.zeros(2, 3, *size)
    for scale in (0.5, 1.0, 1.75):
        scaled = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        found = soft(F.interpolate(image, scaled, mode="bilinear"))
        wanted += F.interpolate(found, size, mode="bilinear") / 3
    torch.testing.assert_close(probabilities(soft, image, scales=(0.5, 1.0, 1.75)), wanted)


@pytest.mark.parametrize("scales", [(1.0,), (0.75, 1.5)])
def test_mirror_makes_any_model_symmetric(scales: tuple[float, ...]) -> None:
    image = torch.rand(1, 3, 9, 12) * 255
    plain = probabilities(soft, image, scales=scales)
    assert not torch.allclose(probabilities(soft, image.flip(-1), scales=scales).flip(-1), plain)
    found = probabilities(soft, image, scales=scales, mirror=True)
    torch.testing.assert_close(probabilities(soft, image.flip(-1), scales=scales, mirror=True).flip(-1), found)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 9, 12))


def test_one_scale_is_the_model_itself() -> None:
    image = torch.rand(1, 3, 6, 6) * 255
    assert torch.equal(probabilities(soft, image), soft(image))


def test_the_order_of_scales_changes_no_bit() -> None:
    image = torch.rand(1, 3, 11, 14) * 255
    wanted = probabilities(soft, image, scales=(0.5, 0.75, 1.0, 1.25, 1.75), mirror=True)
    assert torch.equal(probabilities(soft, image, scales=(1.75, 0.75, 1.25, 0.5, 1.0), mirror=True), wanted)


def test_one_version_at_a_time() -> None:
    sizes: list[tuple[int, ...]] = []

    def look(image: Tensor) -> Tensor:
        sizes.append(tuple(image.shape))
        return image.softmax(1)

    probabilities(look, torch.rand(2, 3, 10, 7), scales=(2.0, 0.5), mirror=True)
    assert sizes == [(2, 3, 5, 4)] * 2 + [(2, 3, 20, 14)] * 2
