"""Tiles cover a picture evenly and leave no trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from structseg.inference.tiles import probabilities, starts


@given(length=st.integers(1, 300), tile=st.integers(1, 120), overlap=st.floats(0, 0.95))
def test_tiles_cover_and_overlap(length: int, tile: int, overlap: float) -> None:
    found = starts(length, tile, overlap)
    size = min(tile, length)
    assert found[0] == 0
    assert found[-1] + size == length
    gaps = np.diff(found)
    assert (gaps >= 1).all()
    assert (gaps <= max(1, int(tile * (1 - overlap)))).all()
    assert not gaps.size or gaps.max() - gaps.min() <= 1


def test_positions_are_those_of_the_released_code(golden: Path) -> None:
    with np.load(golden / "aaf" / "crop_positions.npz") as file:
        cases = sorted({key.rsplit("/", 1)[0] for key in file})
        assert cases
        for case in cases:
            size, crop, stride = (part.lstrip("imgnstrde") for part in case.split("_"))
            for axis, length in zip(("ends_h", "ends_w"), map(int, size.split("x")), strict=True):
                tile = int(crop)
                if length < tile:  # the released code pads
                    continue
                # the smallest overlap above that of the stride, so that rounding cannot enlarge it
                found = starts(length, tile, 1 - (int(stride) + 0.5) / tile)
                np.testing.assert_array_equal(np.array(found) + tile, file[f"{case}/{axis}"], case)


def pointwise(image: Tensor) -> Tensor:
    return image * 0.7  # one operation, so that it rounds alike in vectors of any length


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    tile=st.integers(3, 20),
    overlap=st.floats(0, 0.9),
    batch=st.integers(1, 5),
)
def test_tiles_of_a_pointwise_model_are_the_whole(
    height: int, width: int, tile: int, overlap: float, batch: int
) -> None:
    image = torch.rand(2, 3, height, width) * 255
    found = probabilities(pointwise, image, tile=tile, overlap=overlap, batch=batch)
    assert torch.equal(found, pointwise(image))


@given(height=st.integers(1, 40), width=st.integers(1, 40), value=st.floats(0, 1, width=32))
def test_a_constant_stays_exactly_constant(height: int, width: int, value: float) -> None:
    found = probabilities(lambda x: torch.full_like(x, value), torch.rand(1, 3, height, width), tile=7, overlap=0.5)
    assert torch.equal(found, torch.full_like(found, value))


def test_the_blend_is_the_weighted_mean() -> None:
    calls: list[Tensor] = []

    def numbered(image: Tensor) -> Tensor:
        calls.append(image)
        return torch.full((1, 2, *image.shape[-2:]), float(len(calls)))

    found = probabilities(numbered, torch.zeros(1, 3, 4, 10), tile=6, overlap=0.25)
    assert len(calls) == 2
    rising, falling = torch.tensor([1.0, 3]), torch.tensor([3.0, 1])  # both tiles at pixels 4 and 5
    wanted = torch.tensor([1.0] * 4 + ((falling + 2 * rising) / 4).tolist() + [2.0] * 4)
    torch.testing.assert_close(found, wanted.expand(1, 2, 4, 10))


def test_at_most_a_batch_of_tiles_is_given_to_the_model() -> None:
    seen: list[tuple[int, ...]] = []

    def look(image: Tensor) -> Tensor:
        seen.append(tuple(image.shape))
        return image

    probabilities(look, torch.rand(1, 3, 50, 33), tile=16, overlap=0.25, batch=3)
    assert {shape[1:] for shape in seen} == {(3, 16, 16)}
    assert max(shape[0] for shape in seen) == 3


def test_a_picture_smaller_than_a_tile_on_one_axis() -> None:
    seen: list[tuple[int, ...]] = []

    def look(image: Tensor) -> Tensor:
        seen.append(tuple(image.shape[-2:]))
        return image

    image = torch.rand(1, 3, 5, 40)
    assert torch.equal(probabilities(look, image, tile=16), image)
    assert set(seen) == {(5, 16)}
