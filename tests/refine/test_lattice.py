"""The lattice against its definition in integer coordinates and float64, against exact Gaussians, and its transpose."""

from __future__ import annotations

import platform
import re
import types
from collections import defaultdict
from typing import Any

import numba
import numpy as np
import pytest
from crf_cases import Float64, exact_messages, features_of, guess, scene

from structseg.errors import ConfigError
from structseg.refine import DenseCRF, mean_field_loops
from structseg.refine.lattice import Lattice, build_lattice, filtered, side_by_side
from structseg.refine.lattice_loops import BLOCK, START

VECTORS = {  # whole-number parts of several float32 at once, which only the exponentials take; by kind of processor
    "x86_64": r"vcvttps2dq\s.*%[yz]mm",
    "AMD64": r"vcvttps2dq\s.*%[yz]mm",
    "aarch64": r"fcvtzs\s.*\.4s",
    "arm64": r"fcvtzs\s.*\.4s",
}
Corner = tuple[int, ...]


def embed(point: Float64) -> Float64:
    """d features -> the point on the plane of sum 0 in d + 1 coordinates, where a blur of the lattice has width 1."""
    d = len(point)
    scaled = [point[i] * (d + 1) * np.sqrt(2 / 3) / np.sqrt((i + 1) * (i + 2)) for i in range(d)]
    return np.array([sum(scaled[k:]) - (k * scaled[k - 1] if k else 0.0) for k in range(d + 1)])


def surround(place: Float64) -> dict[Corner, float]:
    """The corners of the simplex around a place, and the barycentric weight of each."""
    d = len(place) - 1
    corner = (d + 1) * np.round(place / (d + 1)).astype(int)
    off = int(corner.sum()) // (d + 1)
    order = np.argsort(-(place - corner), kind="stable")  # the farthest above its multiple first
    for axis in order[::-1][:off] if off > 0 else order[: -off if off else 0]:
        corner[axis] -= (d + 1) * np.sign(off)
    order = np.argsort(-(place - corner), kind="stable")
    rest = (place - corner)[order] / (d + 1)
    found = {}
    for k in range(d + 1):  # corner k lies k above in all coordinates, less d + 1 in the k of least rest
        moved = corner + k
        moved[order[d + 1 - k :]] -= d + 1
        weight = rest[d - k] - rest[d + 1 - k] if k else 1 - (rest[0] - rest[d])
        found[tuple(int(value) for value in moved)] = float(weight)
    return found


def slow_filter(features: Float64, values: Float64, reverse: bool = False) -> Float64:
    """S^T B S values / (1 + 2^-d), by dictionaries of corners."""
    d, points = features.shape
    around = [surround(embed(features[:, n])) for n in range(points)]
    table: dict[Corner, Any] = defaultdict(lambda: np.zeros(values.shape[1]))
    for corners, value in zip(around, values, strict=True):
        for corner, weight in corners.items():
            table[corner] = table[corner] + weight * value
    for axis in range(d, -1, -1) if reverse else range(d + 1):
        step = np.full(d + 1, -1)
        step[axis] = d
        beside = {corner: [tuple(map(int, corner + sign * step)) for sign in (1, -1)] for corner in table}
        table = {
            corner: value + sum(0.5 * table[other] for other in beside[corner] if other in table)
            for corner, value in table.items()
        }
    read = [sum(weight * table[corner] for corner, weight in corners.items()) for corners in around]
    return np.array(read) / (1 + 2.0**-d)


def slow_normalised(features: Float64, values: Float64, reverse: bool = False) -> Float64:
    norm = 1 / np.sqrt(slow_filter(features, np.ones((features.shape[1], 1))))
    return norm * slow_filter(features, norm * values, reverse)


def run(lattice: Lattice, values: Any, reverse: bool = False) -> Any:
    return filtered(values, lattice, np.ones(lattice.corners.shape[1]), workers=1, reverse=reverse)


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_it_is_the_lattice(d: int, reverse: bool) -> None:
    generator = np.random.default_rng(d)
    features = generator.uniform(-3, 3, (d, 150)).astype(np.float32)
    values = generator.standard_normal((150, 2))
    lattice = build_lattice(features)
    wanted = slow_normalised(features.astype(np.float64), values, reverse)
    np.testing.assert_allclose(run(lattice, values, reverse), wanted, rtol=0, atol=2e-5)
    np.testing.assert_allclose(run(lattice, values.astype(np.float32), reverse), wanted, rtol=0, atol=2e-5)


def test_corners_of_a_picture() -> None:
    """Exactly the corners of the definition, more than the first table of keys holds."""
    features = np.random.default_rng(0).uniform(-40, 40, (3, BLOCK * 20 + 1)).astype(np.float32)
    lattice = build_lattice(features)
    places = [surround(embed(features[:, n].astype(np.float64))) for n in range(features.shape[1])]
    assert lattice.rows - 1 == len({corner for corners in places for corner in corners}) > START / 2
    assert lattice.corners.min() == 1
    assert lattice.corners.max() == lattice.rows - 1


def test_reverse_is_the_transpose() -> None:
    image = scene(18, 25)
    both = [build_lattice(features_of(image, *widths).astype(np.float32)) for widths in ((3.0,), (20.0, 13.0))]
    lattice = side_by_side(both)
    one, other = np.random.default_rng(0).standard_normal((2, 18 * 25, 2))
    strength = np.repeat([2.0, 5.0], [3, 6])
    forth = filtered(one, lattice, strength, workers=1)
    back = filtered(other, lattice, strength, workers=1, reverse=True)
    assert (forth * other).sum() == pytest.approx((one * back).sum(), rel=1e-12)
    assert np.abs(forth - filtered(one, lattice, strength, workers=1, reverse=True)).max() > 1e-3
    np.testing.assert_allclose(forth, 2 * run(both[0], one) + 5 * run(both[1], one), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", [(3.0, 1.0), (20.0, 30.0, 1.0), (80.0, 13.0, 1.0)])
def test_it_is_near_exact_gaussians(kernel: tuple[float, ...]) -> None:
    """As near as the lattice gets: no bound on the worst pixel, which may stand alone."""
    image, values = scene(24, 32), guess(24, 32, 3).reshape(3, -1).T.astype(np.float64)
    crf = DenseCRF(image, **{"gaussian": None, "bilateral": None, ("gaussian", "bilateral")[len(kernel) - 2]: kernel})
    found, exact = crf.messages(values), exact_messages(image, values, kernel)
    assert np.abs(found - exact).mean() < 0.012
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.99
    assert found.sum() == pytest.approx(exact.sum(), rel=0.01)


@pytest.mark.parametrize(("d", "most"), [(2, 1e7), (5, 1e2)])
def test_points_too_far_away_are_refused(d: int, most: float) -> None:
    points = np.stack([np.full(d, most), np.full(d, -most)], 1).astype(np.float32)
    lattice = build_lattice(points)
    assert lattice.rows == 1 + 2 * len(np.unique(lattice.corners[0]))
    with pytest.raises(ConfigError, match="widths of a dense CRF are too small for this picture: it spans"):
        build_lattice(points * 100)
    with pytest.raises(ConfigError, match="it spans nan of them"):
        build_lattice(np.full((d, 2), np.nan, np.float32))


@pytest.mark.smoke
def test_the_step_is_vectorised() -> None:
    """In a copy that is compiled here: what comes out of the cache shows no machine code."""
    loop: Any = mean_field_loops.mean_field
    own = types.FunctionType(loop.py_func.__code__, vars(mean_field_loops), "fresh")
    fresh: Any = numba.njit(parallel=True, fastmath=set(mean_field_loops.FAST), error_model="numpy")(own)
    floats, rows = np.zeros((64, 24), np.float32), np.zeros((9, 24), np.float32)
    fresh(
        floats, np.zeros((64, 9), np.int32), np.zeros((64, 9), np.float32), np.zeros(9, np.float32), rows, rows[None],
        np.zeros((1, 32 * 24), np.float32), True, np.zeros((0, 0), np.float32),
    )  # fmt: skip
    code = "\n".join(fresh.inspect_asm().values())
    assert re.search(VECTORS.get(platform.machine(), ""), code)  # on a processor not listed any text will do
