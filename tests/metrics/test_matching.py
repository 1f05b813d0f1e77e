"""One-to-one matching against SciPy's maximum flow, thinning against a slow loop, and properties of both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import label
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow
from scipy.spatial import cKDTree

from structseg.metrics import BoundaryScore, boundary_counts, boundary_distance_counts
from structseg.metrics.borders import PREDICTED, TRUE, find_borders

EIGHT = np.ones((3, 3), int)


def scene(kind: str, seed: int, height: int = 72, width: int = 90, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Maps whose matching is hard in its own way: shifted blocks, ragged lines, stripes, pure noise."""
    generator = np.random.default_rng(seed)
    size = (height // 8 + 1, width // 8 + 1)
    target = np.kron(generator.integers(0, classes, size), np.ones((8, 8), int))[:height, :width].astype(np.uint8)
    if kind == "noise":
        target = generator.integers(0, classes, target.shape).astype(np.uint8)
    if kind == "stripes":
        target = np.broadcast_to((np.arange(width) // 3 % 2).astype(np.uint8), target.shape).copy()
    prediction = np.roll(target, tuple(generator.integers(-3, 4, 2)), (0, 1))
    if kind == "ragged":
        rows, columns = np.mgrid[:height, :width]
        rows = np.clip(rows + generator.integers(-2, 3, rows.shape), 0, height - 1)
        prediction = prediction[rows, np.clip(columns + generator.integers(-2, 3, rows.shape), 0, width - 1)]
    noise = generator.random(target.shape) < 0.02
    prediction[noise] = generator.integers(0, classes, noise.sum())
    target[generator.random(target.shape) < 0.02] = 255
    return prediction, target


def border(classes: np.ndarray, known: np.ndarray) -> np.ndarray:
    found = np.zeros(classes.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        meet = (classes[here] != classes[there]) & known[here] & known[there]
        found[here] |= meet
        found[there] |= meet
    return found


def most_pairs(one: np.ndarray, other: np.ndarray, pixels: float) -> int:
    """Maximum flow of unit capacities between two sets of points."""
    if not len(one) or not len(other):
        return 0
    near = cKDTree(one).sparse_distance_matrix(cKDTree(other), pixels + 1e-6, output_type="ndarray")
    left, right = np.unique(near["i"]), np.unique(near["j"])
    source, sink = len(one) + len(other), len(one) + len(other) + 1
    begin = np.concatenate([near["i"], np.full_like(left, source), len(one) + right]).astype(np.int32)
    end = np.concatenate([len(one) + near["j"], left, np.full_like(right, sink)]).astype(np.int32)
    network = csr_array((np.ones(len(begin), np.int32), (begin, end)), shape=(sink + 1, sink + 1))
    return int(maximum_flow(network, source, sink).flow_value)


@pytest.mark.parametrize("kind", ["blocks", "ragged", "stripes", "noise"])
@pytest.mark.parametrize("tolerance", [1.0, 1.5, 2.0, 4.5, 9.0])
def test_counts_are_those_of_maximum_flow(kind: str, tolerance: float) -> None:
    for seed in range(3):
        prediction, target = scene(kind, seed)
        known = target < 4
        found = boundary_counts(prediction, target, num_classes=4, tolerance=tolerance)
        mine, truth = border(prediction, known), border(target, known)
        for c in range(4):
            one, other = np.argwhere(mine & (prediction == c)), np.argwhere(truth & (target == c))
            matched = most_pairs(one, other, tolerance)
            assert found[c].tolist() == [len(one), matched, len(other), matched]


@given(st.integers(0, 2**16), st.sampled_from(["blocks", "ragged", "noise"]), st.sampled_from([1.0, 1.5, 3.0, 7.5]))
def test_symmetry(seed: int, kind: str, tolerance: float) -> None:
    """Where all is labelled, prediction and target may change places, and the picture may be mirrored or turned."""
    prediction, target = scene(kind, seed, 40, 56)
    target[target == 255] = 0
    for count in (boundary_counts, boundary_distance_counts):
        found = count(prediction, target, num_classes=4, tolerance=tolerance)
        np.testing.assert_array_equal(
            count(target, prediction, num_classes=4, tolerance=tolerance), found[:, [2, 3, 0, 1]]
        )
        for turned in (np.fliplr, np.flipud, np.transpose):
            again = count(turned(prediction), turned(target), num_classes=4, tolerance=tolerance)
            np.testing.assert_array_equal(again, found)
    one_to_one = boundary_counts(prediction, target, num_classes=4, tolerance=tolerance)
    assert (one_to_one <= found).all()
    assert (one_to_one[:, 1] <= one_to_one[:, [0, 2]].min(1)).all()


def test_a_perfect_map_and_every_type() -> None:
    prediction, target = scene("ragged", 0)
    own = boundary_counts(target, target, num_classes=4, tolerance=0)
    assert (own == own[:, :1]).all()
    expected = boundary_counts(prediction, target, num_classes=4)
    frozen, spread = prediction.copy(), np.repeat(target, 2, 1)[:, ::2]
    frozen.flags.writeable = False
    np.testing.assert_array_equal(boundary_counts(frozen, spread, num_classes=4), expected)
    for dtype in (np.int16, np.int64, np.uint16):
        np.testing.assert_array_equal(
            boundary_counts(prediction.astype(dtype), target.astype(dtype), num_classes=4), expected
        )
    wide = boundary_counts(
        prediction.astype(int) + 400, np.where(target < 4, target.astype(int) + 400, -1), num_classes=404
    )
    np.testing.assert_array_equal(wide[400:], expected)


def test_any_class() -> None:
    prediction, target = scene("blocks", 3)
    known = target < 4
    for count in (boundary_counts, boundary_distance_counts):
        found = count(prediction, target, num_classes=4, tolerance=2.0, any_class=True)
        assert found.shape == (1, 4)
        assert found[0, [0, 2]].tolist() == [border(prediction, known).sum(), border(target, known).sum()]
        each = count(prediction, target, num_classes=4, tolerance=2.0)
        assert (found[0] >= each.sum(0)).all()  # a partner of any class will do
    two = np.where(target == 255, 255, target % 2).astype(np.uint8)
    other_names = np.where(two == 255, 255, 1 - two).astype(np.uint8)
    swapped = BoundaryScore(2, any_class=True)
    swapped.update(np.where(two == 255, 0, other_names).astype(np.uint8), two)
    assert swapped.scores()["f"] == 1  # right borders, wrong classes
    assert swapped.counts.shape == (1, 4)
    with pytest.raises(ValueError, match="thin, any_class"):
        swapped.merge(BoundaryScore(2))


def slow_thin(line: np.ndarray) -> np.ndarray:
    """Guo and Hall's two sub-steps on a mask, from their tables of C, N and m."""
    line = np.pad(line, 1)
    while True:
        before = line.copy()
        for side in (0, 1):
            gone = []
            for y, x in np.argwhere(line):
                p2, p3, p4, p5 = line[y - 1, x], line[y - 1, x + 1], line[y, x + 1], line[y + 1, x + 1]
                p6, p7, p8, p9 = line[y + 1, x], line[y + 1, x - 1], line[y, x - 1], line[y - 1, x - 1]
                pieces = sum(
                    bool(not a and (b or c)) for a, b, c in ((p2, p3, p4), (p4, p5, p6), (p6, p7, p8), (p8, p9, p2))
                )
                n1 = sum(bool(a or b) for a, b in ((p9, p2), (p3, p4), (p5, p6), (p7, p8)))
                n2 = sum(bool(a or b) for a, b in ((p2, p3), (p4, p5), (p6, p7), (p8, p9)))
                m = (p6 or p7 or not p9) and p8 if side else (p2 or p3 or not p5) and p4
                if pieces == 1 and 2 <= min(n1, n2) <= 3 and not m:
                    gone.append((y, x))
            for place in gone:
                line[place] = False
        if (line == before).all():
            return line[1:-1, 1:-1]


@pytest.mark.parametrize("kind", ["blocks", "ragged", "noise"])
def test_thinning(kind: str) -> None:
    prediction, target = scene(kind, 1, 30, 37)
    table = {"num_classes": 4, "ignore_index": 255}
    plain, thinned = (find_borders(prediction, target, **table, thin=thin) for thin in (False, True))
    for bit, classes, lines in ((PREDICTED, prediction, thinned.predicted), (TRUE, target, thinned.true)):
        before, after = ((one.bits[:, :37] & bit) > 0 for one in (plain, thinned))
        for c in range(4):
            np.testing.assert_array_equal(after & (classes == c), slow_thin(before & (classes == c)))
            pieces = [label(mask & (classes == c), EIGHT)[1] for mask in (before, after)]
            assert pieces[0] == pieces[1]  # nothing falls apart or away
        assert lines.sizes().tolist() == [int((after & (classes == c)).sum()) for c in range(4)]
    counts = boundary_counts(prediction, target, num_classes=4, tolerance=2.0, thin=True)
    assert counts[:, 0].tolist() == thinned.predicted.sizes().tolist()


def test_thinning_makes_a_border_of_any_class_one_pixel_wide() -> None:
    target = np.zeros((20, 30), np.uint8)
    target[10:] = 1
    wide = boundary_counts(target, target, num_classes=2, any_class=True)
    thin = boundary_counts(target, target, num_classes=2, any_class=True, thin=True)
    assert wide.tolist() == [[60] * 4]
    assert thin[0, 0] in range(28, 31)


def test_tolerance_beyond_the_picture() -> None:
    prediction, target = scene("ragged", 2, 24, 31)
    found = boundary_counts(prediction, target, num_classes=4, tolerance=1e6)
    assert found[:, 1].tolist() == found[:, [0, 2]].min(1).tolist()
    assert math.isfinite(found.sum())
