"""One survey of a picture gives the counts of each metric alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structseg.errors import ConfigError, DataError
from structseg.metrics import boundary_counts, boundary_distance_counts, trimap_counts
from structseg.metrics.borders import filled
from structseg.metrics.confusion import confusion
from structseg.metrics.survey import survey


def maps(seed: int, classes: int = 5, shape: tuple[int, int] = (37, 45)) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, classes, (8, 8))
    target = np.kron(coarse, np.ones((6, 6), int))[: shape[0], : shape[1]].astype(np.uint8)
    prediction = np.roll(target, 1, 0)
    noise = generator.random(shape) < 0.1
    prediction[noise] = generator.integers(0, classes, noise.sum())
    target[generator.random(shape) < 0.1] = 255
    prediction[target == 255] = 77
    return prediction, target


@given(st.integers(0, 2**16), st.sampled_from([np.uint8, np.int64]), st.sampled_from([255, 0]))
def test_each_metric_alone(seed: int, dtype: type, ignore: int) -> None:
    prediction, target = (map_.astype(dtype) for map_ in maps(seed))
    table = {"num_classes": 5, "ignore_index": ignore}
    prediction[target == 255] = 77
    found = survey(prediction, target, **table, tolerance=2.0, distances=(1, 3, 9))
    np.testing.assert_array_equal(found.confusion, confusion(prediction, target, **table))
    np.testing.assert_array_equal(found.bands, trimap_counts(prediction, target, **table, distances=(1, 3, 9)))
    near = boundary_distance_counts(prediction, target, **table, tolerance=2.0)
    pairs = boundary_counts(prediction, target, **table, tolerance=2.0)
    np.testing.assert_array_equal(found.distance, near)
    np.testing.assert_array_equal(found.matched, pairs)
    less = survey(prediction, target, **table, tolerance=2.0, matched=False)
    assert less.matched is None
    assert less.bands.shape == (0, 5, 5)
    np.testing.assert_array_equal(less.confusion, found.confusion)
    np.testing.assert_array_equal(survey(prediction, target, **table, tolerance=2.0, distance=False).matched, pairs)
    thinned = survey(prediction, target, **table, tolerance=2.0, distances=(1, 3, 9), thin=True)
    np.testing.assert_array_equal(thinned.bands, found.bands)  # bands lie around the whole border
    near = boundary_distance_counts(prediction, target, **table, tolerance=2.0, thin=True)
    np.testing.assert_array_equal(thinned.distance, near)
    pairs = boundary_counts(prediction, target, **table, tolerance=2.0, thin=True)
    np.testing.assert_array_equal(thinned.matched, pairs)


def test_many_classes() -> None:
    prediction, target = (map_.astype(np.int64) for map_ in maps(1))
    far = survey(np.where(target < 5, prediction + 300, 0), np.where(target < 5, target + 300, -1), num_classes=305)
    near = survey(prediction, target, num_classes=5)
    np.testing.assert_array_equal(far.confusion[300:, 300:], near.confusion)
    np.testing.assert_array_equal(far.matched[300:], near.matched)
    bands = trimap_counts(
        np.where(target < 5, prediction + 300, 0), np.where(target < 5, target + 300, -1), num_classes=305
    )
    np.testing.assert_array_equal(bands[:, 300:, 300:], trimap_counts(prediction, target, num_classes=5))


def test_large_and_uniform_maps_are_exact() -> None:
    """More equal pixels than a 16-bit counter holds, and an odd number of them."""
    flat = np.zeros((531, 1001), np.uint8)
    flat[0, 0] = 1
    found = survey(np.zeros_like(flat), flat, num_classes=2, distances=(1, 4))
    assert found.confusion.tolist() == [[531 * 1001 - 1, 0], [1, 0]]
    assert found.bands[0].sum() == 3  # the lone pixel and its two neighbours


def test_bad_input() -> None:
    prediction, target = maps(0)
    with pytest.raises(DataError, match="class 9 at a labelled pixel"):
        survey(np.full_like(target, 9), target, num_classes=5)
    with pytest.raises(ConfigError, match="ascending"):
        survey(prediction, target, num_classes=5, distances=(2, 1))
    with pytest.raises(ConfigError, match="tolerance is -1"):
        survey(prediction, target, num_classes=5, tolerance=-1)


@given(st.integers(0, 2**16))
def test_contours_drawn_as_void_take_the_nearest_label(seed: int) -> None:
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 4, (9, 11)).astype(np.uint8)
    target[generator.random(target.shape) < 0.7] = 255
    made = filled(target, 2.5, num_classes=3)
    places = np.argwhere(target < 3)
    for place in np.ndindex(*target.shape):
        squares = ((places - place) ** 2).sum(1)
        if target[place] < 3 or not squares.size or squares.min() > 2.5**2:
            assert made[place] == target[place]
        else:
            assert made[place] in {target[tuple(near)] for near in places[squares == squares.min()]}


def test_borders_in_contours_drawn_as_void() -> None:
    target = np.zeros((20, 40), np.uint8)
    target[:, 20:] = 1
    prediction = target.copy()
    target[:, 18:23] = 255  # VOC's five pixels
    target[:8, 30:] = 255  # a thing that has no label: its edge is no border
    options: dict[str, Any] = {"num_classes": 2, "tolerance": 1.0}
    assert not survey(prediction, target, **options).distance.any()
    found = survey(prediction, target, **options, fill=5.0)
    assert found.distance.tolist() == found.matched.tolist() == [[20, 20, 20, 20]] * 2
    shifted = survey(np.roll(prediction, 3, 1), target, **options, fill=5.0)
    assert shifted.distance[:, 1].tolist() == [0, 0]
    np.testing.assert_array_equal(found.confusion, survey(prediction, target, **options).confusion)
