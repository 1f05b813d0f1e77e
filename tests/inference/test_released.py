"""Tiles, scales and mirror as the released AAF scripts have them, number by number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from inference_stubs import Pointwise, Tiny, paint, squares, table
from torch import Tensor, nn

from structseg.config import InferenceConfig
from structseg.errors import ConfigError
from structseg.inference import released, whole
from structseg.inference.predictor import Predictor
from structseg.inference.tiles import spread
from structseg.models.backbones import IMAGENET_MEAN
from structseg.types import Float32, Labels

CROP, STRIDE = 48, 32
FIVE = Labels(tuple("abcde"), ((0, 0, 0),) * 5, ())
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
MODES: dict[str, dict[str, Any]] = {
    "single": {},
    "msc_plain": {},
    "msc_flip": {"mirror": True},
    "msc_flip_scale": {"mirror": True, "scales": SCALES},
}


class Stub(nn.Module):
    """The golden network: cell means, a linear map, and ramps that tell the places in a tile apart."""

    stride = 8

    def __init__(self, arrays: dict[str, Any]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([122.675, 116.669, 104.008]).view(1, 3, 1, 1))
        self.weight, self.bias, self.down, self.right = (
            torch.from_numpy(arrays[f"stub_{name}"]) for name in ("W", "bias", "ramp_y", "ramp_x")
        )

    def forward(self, image: Tensor) -> Tensor:
        cells = F.avg_pool2d(image - self.get_buffer("mean"), self.stride)
        place = torch.arange(cells.shape[-1])
        logits = torch.einsum("bihw,ic->bchw", cells, self.weight) + self.bias.view(-1, 1, 1)
        return logits + self.down.view(-1, 1, 1) * place.view(1, -1, 1) + self.right.view(-1, 1, 1) * place


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, Any]:
    with np.load(golden / "aaf" / "inference.npz") as file:
        return dict(file)


def pictures(arrays: dict[str, Any]) -> Iterator[tuple[int, np.ndarray]]:
    for place in range(5):
        yield place, arrays[f"image{place}"]


def centred(scores: Any) -> Float32:
    """(H,W,C) without what is the same for all classes of a pixel, such as the offset of the released scores."""
    values = np.asarray(scores, np.float64)
    return np.asarray(values - values.mean(-1, keepdims=True), np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch", [1, 3])
def test_labels_are_those_of_the_released_code(arrays: dict[str, Any], mode: str, batch: int) -> None:
    options = {"tiling": "released", "tile": CROP, "stride": STRIDE, "batch": batch, **MODES[mode]}
    predictor = Predictor(Stub(arrays), FIVE, **options)
    for place, image in pictures(arrays):
        np.testing.assert_array_equal(predictor.classes([image])[0], arrays[f"{mode}/pred{place}"])


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "single"])
def test_scores_are_those_of_the_released_code(arrays: dict[str, Any], mode: str) -> None:
    options = {"tiling": "released", "tile": CROP, "stride": STRIDE, **MODES[mode]}
    predictor = Predictor(Stub(arrays), FIVE, **options)
    versions = len(predictor.scales) * (1 + predictor.mirror)  # the released scores are their sum
    for place, image in pictures(arrays):
        (found,) = predictor.predict([image])
        torch.testing.assert_close(found.sum(0), torch.ones(found.shape[1:]))
        wanted = centred(arrays[f"{mode}/score{place}"])
        np.testing.assert_allclose(centred(found.permute(1, 2, 0) * versions), wanted, rtol=0, atol=1e-3)


def test_sums_of_one_scale_are_those_of_the_released_code(arrays: dict[str, Any]) -> None:
    stub = Stub(arrays)
    colour = stub.get_buffer("mean").flatten()
    for place, image in pictures(arrays):
        given = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        sums, visits = released.slide(
            lambda part: whole.probabilities(stub, part), given, tile=CROP, stride=STRIDE, colour=colour
        )
        wanted = arrays[f"single/score{place}"]
        np.testing.assert_allclose(centred(sums[0].permute(1, 2, 0)), centred(wanted), rtol=0, atol=1e-3)
        np.testing.assert_allclose(visits, wanted.sum(-1) - 5 * 255, rtol=0, atol=1e-3)  # each tile's softmax sums to 1


def test_tiles_of_every_version_end_where_they_did(arrays: dict[str, Any]) -> None:
    checked = 0
    for place, image in pictures(arrays):
        for mode, options in MODES.items():
            scales = [scale for _ in range(1 + options.get("mirror", False)) for scale in options.get("scales", (1.0,))]
            for version, scale in enumerate(scales):
                scaled = released.rescale(torch.zeros(1, 3, *image.shape[:2]), scale)
                for axis, length in zip("hw", scaled.shape[-2:], strict=True):
                    found = np.array(spread(max(length, CROP), CROP, STRIDE)) + CROP
                    np.testing.assert_array_equal(found, arrays[f"{mode}/ends{place}_{version}_{axis}"])
                    checked += 1
    assert checked == len([name for name in arrays if "/ends" in name])


def test_positions_at_published_sizes(golden: Path) -> None:
    with np.load(golden / "aaf" / "crop_positions.npz") as file:
        assert len(file.files) == 14
        for name in file.files:
            size, tile, stride = (part.lstrip("imgnstrde") for part in name.split("/")[0].split("_"))
            length = int(size.split("x")[name.endswith("_w")])
            found = spread(max(length, int(tile)), int(tile), int(stride))
            np.testing.assert_array_equal(np.array(found) + int(tile), file[name], name)


def test_a_small_picture_is_continued_with_the_mean_colour() -> None:
    seen: list[Tensor] = []

    def look(image: Tensor) -> Tensor:
        seen.append(image)
        return image.softmax(1)

    image = torch.rand(1, 3, 5, 7) * 255
    colour = torch.tensor([10.0, 20.0, 30.0])
    found = released.probabilities(look, image, tile=8, stride=4, colour=colour)
    assert [tuple(part.shape) for part in seen] == [(1, 3, 8, 8)]
    assert torch.equal(seen[0][..., :5, :7], image)
    assert torch.equal(seen[0][..., 5:, :], colour.view(1, 3, 1, 1).expand(1, 3, 3, 8))
    assert torch.equal(seen[0][..., 7:], colour.view(1, 3, 1, 1).expand(1, 3, 8, 1))
    torch.testing.assert_close(found, image.softmax(1))


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    tile=st.integers(1, 20),
    share=st.floats(0, 1),
    batch=st.integers(1, 5),
    mirror=st.booleans(),
)
def test_tiles_of_a_pointwise_model_are_the_whole(
    height: int, width: int, tile: int, share: float, batch: int, mirror: bool
) -> None:
    image = torch.rand(2, 3, height, width) * 255
    stride = max(1, round(share * tile))
    found = released.probabilities(
        lambda part: (part / 40).softmax(1),
        image,
        tile=tile,
        stride=stride,
        colour=torch.zeros(3),
        mirror=mirror,
        batch=batch,
    )
    torch.testing.assert_close(found, (image / 40).softmax(1))


def test_every_tile_counts_alike() -> None:
    calls: list[Tensor] = []

    def numbered(image: Tensor) -> Tensor:
        calls.append(image)
        return torch.full((1, 2, *image.shape[-2:]), float(len(calls)))

    found = released.probabilities(numbered, torch.zeros(1, 3, 6, 10), tile=6, stride=5, colour=torch.zeros(3))
    assert len(calls) == 2
    wanted = torch.tensor([1.0] * 4 + [1.5] * 2 + [2.0] * 4)
    torch.testing.assert_close(found, wanted.expand(1, 2, 6, 10))


def test_squares_come_back_and_the_protocol_says_how() -> None:
    target = squares(20, 31)
    predictor = Predictor(Pointwise(), table(), tiling="released", tile=16, stride=8, mirror=True)
    np.testing.assert_array_equal(predictor.classes([paint(target)])[0], target)
    assert predictor.describe() == "scale 1, flip, tiles 16 px every 8 px as released, float32"
    config = InferenceConfig(tiling="released", tile=16, overlap=0.5)
    same = Predictor.from_config(Pointwise(), table(), config)
    assert same.describe() == "scale 1, no flip, tiles 16 px with overlap 0.5 as released, float32"
    image = [paint(squares(30, 41))]
    first, second = (Predictor(Tiny().eval(), table(), tiling="released", tile=16, **step) for step in _STEPS)
    second.model = first.model
    assert torch.equal(first.predict(image)[0], second.predict(image)[0])


_STEPS: tuple[dict[str, Any], ...] = ({"stride": 8}, {"overlap": 0.5})


def test_a_model_that_names_no_mean_colour_gets_imagenets() -> None:
    seen: list[Tensor] = []

    class Look(Pointwise):
        def forward(self, image: Tensor) -> Tensor:
            seen.append(image)
            return super().forward(image)

    Predictor(Look(), table(), tiling="released", tile=16, stride=8).classes([paint(squares(9, 9))])
    assert seen[0][0, :, -1, -1].tolist() == pytest.approx(IMAGENET_MEAN)


def test_blended_tiles_may_have_a_stride_too() -> None:
    image = [paint(squares(40, 50))]
    model = Tiny()
    first = Predictor(model, table(), tile=16, stride=4)
    assert first.describe() == "scale 1, no flip, tiles 16 px every 4 px, float32"
    assert torch.equal(first.predict(image)[0], Predictor(model, table(), tile=16, overlap=0.75).predict(image)[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tiling": "released"}, "inference.tiling = 'released' needs inference.tile, e.g. 480"),
        ({"tiling": "slided"}, "inference.tiling = 'slided'; choose one of blended, released"),
        ({"tile": 32, "stride": 0}, "inference.stride = 0; give pixels from 1 to inference.tile = 32"),
        ({"tile": 32, "stride": 33}, "inference.stride = 33; give pixels from 1 to inference.tile = 32"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Predictor(Tiny(), table(), **options)
