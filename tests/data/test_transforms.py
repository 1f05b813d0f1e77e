"""Crop-first geometry is resize-whole-then-crop; jitter and padding do what they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structseg.data.loader import place_rng
from structseg.data.transforms import MEAN_COLOUR, augment, choose_window, photometric, warp_image, warp_nearest
from structseg.types import Sample

SIDE = st.integers(1, 90)


def sample(height: int, width: int, seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    return Sample(
        "s",
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        rng.integers(0, 5, (height, width), dtype=np.uint8),
        rng.integers(0, 9999, (height, width), dtype=np.int32),
        rng.random((height, width), dtype=np.float32) + 0.5,
        ("tag",),
        "g",
    )


@given(
    SIDE, SIDE, st.floats(0.3, 3), st.tuples(SIDE, SIDE), st.floats(0, 0.999), st.floats(0, 0.999), st.integers(0, 99)
)
def test_window_equals_resize_then_crop(
    height: int, width: int, factor: float, crop: tuple[int, int], top: float, left: float, seed: int
) -> None:
    source = sample(height, width, seed)
    assert source.target is not None
    assert source.depth is not None
    window = choose_window((height, width), factor, crop, top, left)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    assert window.size == size
    assert (window.height, window.width) == (min(size[0], crop[0]), min(size[1], crop[1]))
    inside = np.s_[window.y : window.y + window.height, window.x : window.x + window.width]
    for array in (source.target, source.depth):
        whole = cv2.resize(array, size[::-1], interpolation=cv2.INTER_NEAREST)
        np.testing.assert_array_equal(warp_nearest(array, window), whole[inside])
    whole = cv2.resize(source.image, size[::-1], interpolation=cv2.INTER_LINEAR)[inside].astype(int)
    assert np.abs(warp_image(source.image, window) - whole).max() <= 1


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_nearest_is_floor(factor: float) -> None:
    array = np.arange(24 * 32, dtype=np.int32).reshape(24, 32)
    window = choose_window(array.shape, factor, (999, 999), 0, 0)
    expected = [[array[int(i / factor), int(j / factor)] for j in range(window.width)] for i in range(window.height)]
    np.testing.assert_array_equal(warp_nearest(array, window), expected)


@given(st.integers(0, 10**6))
def test_scale_one_copies(place: int) -> None:
    source = sample(40, 50, 0)
    rng = place_rng(0, "t", place)
    result = augment(source, rng, crop=(16, 20), scale=(1, 1), mirror=False, jitter=0, ignore_index=255)
    assert result.depth is not None
    corner = np.argwhere((source.image == result.image[0, 0]).all(2) & (source.depth == result.depth[0, 0]))[0]
    inside = np.s_[corner[0] : corner[0] + 16, corner[1] : corner[1] + 20]
    for name in ("image", "target", "instances", "depth"):
        np.testing.assert_array_equal(getattr(result, name), getattr(source, name)[inside])
    assert (result.name, result.tags, result.group) == ("s", ("tag",), "g")
    assert result.image.base is None  # does not keep the whole picture alive


def test_every_window_and_both_mirrors_are_drawn() -> None:
    source = sample(6, 7, 0)
    seen = set()
    for place in range(400):
        result = augment(
            source, place_rng(1, "t", place), crop=(4, 5), scale=(1, 1), mirror=True, jitter=0, ignore_index=255
        )
        seen.add(result.image.tobytes())
    assert len(seen) == 3 * 3 * 2


def test_arrays_stay_aligned() -> None:
    """Picture, target, instances and depth that say the same before the warp say the same after it."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(1, 200, (5, 6), dtype=np.uint8), np.ones((12, 12), np.uint8))
    source = Sample("s", np.repeat(blocks[..., None], 3, 2), blocks, blocks.astype(np.int32), blocks.astype(np.float32))
    for place in range(20):
        result = augment(
            source, place_rng(0, "t", place), crop=(50, 50), scale=(0.5, 2), mirror=True, jitter=0, ignore_index=255
        )
        assert result.target is not None
        labelled = result.target != 255
        np.testing.assert_array_equal(np.where(labelled, result.target, 0), result.instances)
        np.testing.assert_array_equal(result.instances, result.depth)
        flat = cv2.dilate(result.target, np.ones((5, 5))) == cv2.erode(result.target, np.ones((5, 5)))
        assert (np.abs(result.image[..., 0].astype(int) - result.target)[flat & labelled] <= 1).all()


def test_smaller_pictures_are_padded_right_and_below() -> None:
    source = sample(10, 12, 0)
    result = augment(
        source, place_rng(0, "t", 0), crop=(16, 16), scale=(1, 1), mirror=False, jitter=0.5, ignore_index=254
    )
    outside = np.ones((16, 16), bool)
    outside[:10, :12] = False
    assert (result.image[outside] == MEAN_COLOUR).all()
    for array, value in ((result.target, 254), (result.instances, 0), (result.depth, 0)):
        assert array is not None
        assert (array[outside] == value).all()
    assert result.target is not None
    np.testing.assert_array_equal(result.target[:10, :12], source.target)


def test_only_what_is_there_comes_out() -> None:
    source = Sample("s", np.zeros((8, 8, 3), np.uint8))
    result = augment(source, place_rng(0, "t", 0), crop=(4, 4), scale=(0.5, 2), mirror=True, jitter=0, ignore_index=255)
    assert result.target is None
    assert result.instances is None
    assert result.depth is None


def test_photometric_factors() -> None:
    image = sample(20, 20, 3).image
    np.testing.assert_array_equal(photometric(image, 1, 1, 1), image)
    np.testing.assert_allclose(photometric(image // 2, 1.5, 1, 1), (image // 2) * 1.5, atol=1)
    grey = photometric(image, 1, 1, 0)
    assert (grey.max(2) == grey.min(2)).all()
    flat = photometric(image, 1, 0, 1)
    assert np.ptp(flat) <= 1
    middle = float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean())
    soft = photometric(image, 1, 0.5, 1)
    np.testing.assert_allclose(soft, (image.astype(float) - middle) * 0.5 + middle, atol=1)


def test_options_do_not_shift_draws() -> None:
    """With and without mirror and jitter the same windows are cut."""
    source = sample(30, 30, 0)
    plain = augment(source, place_rng(0, "t", 5), crop=(9, 9), scale=(0.5, 2), mirror=False, jitter=0, ignore_index=255)
    other = augment(
        source, place_rng(0, "t", 5), crop=(9, 9), scale=(0.5, 2), mirror=True, jitter=0.4, ignore_index=255
    )
    assert plain.target is not None
    assert other.target is not None
    assert any(np.array_equal(plain.target, candidate) for candidate in (other.target, other.target[:, ::-1]))
