"""The built-in scenes: same bytes everywhere, labels that agree with each other, a world that looks like a street."""

from __future__ import annotations

import hashlib
import multiprocessing
from dataclasses import fields

import numpy as np
import pytest

from structseg.data.scenes import CLASSES, PALETTE, SIZE, THIN, Scene, labels, render
from structseg.errors import DataError

SHARES = (0.1789, 0.2064, 0.235, 0.0997, 0.0599, 0.1107, 0.0098, 0.0351, 0.0154, 0.0087, 0.0251, 0.0062, 0.009)
COUNTED = ("tree", "car", "person", "bicycle", "pole", "sign")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render(0, index) for index in range(60)]


def digest(place: tuple[int, int]) -> str:
    scene = render(*place)
    arrays = (getattr(scene, field.name) for field in fields(scene) if field.name != "tags")
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays) + repr(scene.tags).encode()).hexdigest()


def test_shapes_and_kinds() -> None:
    scene = render(3, 4)
    assert scene.image.shape == (*SIZE, 3)
    assert scene.image.dtype == np.uint8
    arrays = (scene.target, scene.instances, scene.depth, scene.true_depth)
    assert all(array.shape == SIZE for array in arrays)
    assert [array.dtype for array in arrays] == [np.uint8, np.int32, np.float32, np.float32]


def test_same_in_any_order_and_process() -> None:
    places = [(0, 0), (5, 17), (2**40, 3)]
    here = [digest(place) for place in reversed(places)][::-1]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.map(digest, places)
    assert here == there
    assert len(set(here)) == len(places)


def test_seed_and_index_are_not_interchangeable() -> None:
    assert digest((1, 2)) != digest((2, 1))


def test_every_pixel_has_a_class_and_every_class_occurs(scenes: list[Scene]) -> None:
    targets = np.stack([scene.target for scene in scenes])
    shares = np.bincount(targets.ravel(), minlength=len(CLASSES)) / targets.size
    assert len(shares) == len(CLASSES)
    assert shares.min() > 0.0005
    assert shares.max() < 0.4
    thin = [CLASSES.index(name) for name in THIN]
    assert shares[thin].max() < 0.05


def test_class_shares_are_pinned(scenes: list[Scene]) -> None:
    """A change of the world's look changes published scores: it must be meant."""
    targets = np.stack([scene.target for scene in scenes])
    shares = np.bincount(targets.ravel(), minlength=len(CLASSES)) / targets.size
    np.testing.assert_allclose(shares, SHARES, atol=1e-3)


def test_tags_name_what_is_in_the_picture(scenes: list[Scene]) -> None:
    for scene in scenes:
        counts = np.bincount(scene.target.ravel(), minlength=len(CLASSES))
        assert scene.tags == tuple(
            name for name, n in zip(CLASSES, counts, strict=True) if n >= 0.001 * scene.target.size
        )


def test_instances_are_counted_without_gaps_and_have_one_class(scenes: list[Scene]) -> None:
    counted = [CLASSES.index(name) for name in COUNTED]
    for scene in scenes:
        numbers = np.unique(scene.instances)
        numbers = numbers[numbers > 0]
        np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))
        assert np.isin(scene.target[scene.instances > 0], counted).all()
        for number in numbers:
            assert len(np.unique(scene.target[scene.instances == number])) == 1
        loose = np.isin(scene.target, counted) & (scene.instances == 0)
        assert set(np.unique(scene.target[loose])) <= {CLASSES.index("tree")}  # the backdrop's trees are not counted


def test_true_depth_is_that_of_flat_ground(scenes: list[Scene]) -> None:
    """1 / z on the ground is affine in the row, and the same in all columns."""
    ground = [CLASSES.index(name) for name in ("road", "pavement", "grass")]
    for scene in scenes:
        rows, columns = np.nonzero(np.isin(scene.target, ground))
        inverse = 1 / scene.true_depth[rows, columns].astype(np.float64)
        near = inverse > 0.01
        fit = np.polyfit(rows[near], inverse[near], 1)
        np.testing.assert_allclose(np.polyval(fit, rows[near]), inverse[near], atol=2e-5)
        assert fit[0] > 0


def test_depth_is_zero_in_the_sky_only(scenes: list[Scene]) -> None:
    for scene in scenes:
        np.testing.assert_array_equal(scene.true_depth == 0, scene.target == CLASSES.index("sky"))


def test_sensor_error_grows_with_the_square_of_the_distance(scenes: list[Scene]) -> None:
    true = np.concatenate([scene.true_depth[scene.depth > 0] for scene in scenes])
    measured = np.concatenate([scene.depth[scene.depth > 0] for scene in scenes])
    for low, high in ((3, 5), (8, 12), (18, 22)):
        band = (true > low) & (true < high)
        error = (measured[band] - true[band]) / true[band] ** 2
        assert abs(error.mean()) < 2e-4
        assert error.std() == pytest.approx(0.002, rel=0.05)


def test_sensor_has_holes_in_the_sky_far_away_and_at_edges(scenes: list[Scene]) -> None:
    hole = np.stack([scene.depth == 0 for scene in scenes])
    true = np.stack([scene.true_depth for scene in scenes])
    assert hole[true == 0].all()
    assert hole[true > 50].all()
    jump = np.abs(np.diff(true, axis=2, prepend=true[:, :, :1])) > 0.3 * np.maximum(true, 1)
    seen = (true > 0) & (true < 30)
    assert hole[seen & jump].mean() > 0.4
    assert hole[seen & ~jump].mean() < 0.2


def test_wires_hang_in_scenes_with_poles(scenes: list[Scene]) -> None:
    wired = [scene for scene in scenes if "wire" in scene.tags]
    assert wired
    assert np.mean(["pole" in scene.tags for scene in wired]) > 0.9


@pytest.mark.parametrize("index", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("size", [(48, 64), (360, 480)])
def test_another_size_shows_the_same_world(index: int, size: tuple[int, int]) -> None:
    base, other = render(0, index), render(0, index, size=size)
    rows = np.arange(48) * size[0] // 48, np.arange(48) * SIZE[0] // 48
    columns = np.arange(64) * size[1] // 64, np.arange(64) * SIZE[1] // 64
    same = other.target[np.ix_(rows[0], columns[0])] == base.target[np.ix_(rows[1], columns[1])]
    assert same.mean() > 0.8
    assert abs(other.image.mean() - base.image.mean()) < 6


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (64, 200), (700, 530)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    scene = render(1, 1, size=size)
    assert scene.image.shape == (*size, 3)
    assert scene.target.max() < len(CLASSES)
    assert np.isfinite(scene.depth).all()


@pytest.mark.parametrize(("seed", "index", "size"), [(-1, 0, SIZE), (0, -1, SIZE), (0, 0, (8, 64)), (2**64, 0, SIZE)])
def test_bad_numbers_are_named(seed: int, index: int, size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="scenes: seed"):
        render(seed, index, size=size)


def test_label_table() -> None:
    table = labels()
    assert table.names == CLASSES
    assert table.palette == PALETTE
    assert table.thin == THIN
    assert dict(table.values)[3] == 3
    assert dict(table.values)[255] == table.ignore_index
