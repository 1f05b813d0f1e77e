"""A Gaussian filter over points of a few features, in time that grows with their number and not with its square.

Points are spread onto the corners of the simplices that they lie in, by barycentric weights; along each of the d + 1
axes of the lattice every corner takes half of its two neighbours; points read their corners. With S the spreading and
B the blurs, and normalised on both sides as fully connected CRFs are,

    filter(v) = n S^T B S n v / (1 + 2^-d)        n = (S^T B S 1 / (1 + 2^-d))^(-1/2)

A lattice has only those corners that some point stands beside; what is blurred off them is lost. So the filter differs
from an exact Gaussian (of standard deviation 1 in each feature), in the way of all programs with which results of
dense CRFs have been published.
Source: Adams, Baek, Davis, "Fast high-dimensional filtering using the permutohedral lattice", 2010.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError
from structseg.types import Float32, Int32

FIELDS = 60  # bits of a key for the quotients of d coordinates


class Lattice(NamedTuple):
    """N points between the corners of one lattice, or of several side by side, with K corners a point in all.

    What stands at corners is a table of R rows; row 0 is nobody's and holds zeros. The M corners of a lattice of d
    features are the rows from its first one on, and d + 1 axes lead to their neighbours.
    """

    corners: Int32  # (N,K) rows
    weights: Float32  # (N,K) barycentric, times the factors beside S in the filter
    beside: Int32  # (sum of (d+1) M, 2) rows on both sides along the first axis, then the second ...; 0 = none
    parts: NDArray[np.int64]  # (L,4) of each lattice: its first row, M, d + 1, where its axes begin in `beside`

    @property
    def rows(self) -> int:
        """R."""
        return 1 + int(self.parts[:, 1].sum())


def build_lattice(features: Float32, *, workers: int = 1) -> Lattice:
    """features (d,N), up to d = 20 -> the lattice of N points. Raises ConfigError for points too far from 0.

    `workers`: how many threads `compiled.threads` gave.
    """
    from structseg.refine.lattice_loops import BLOCK, build, find_neighbours  # loads Numba

    check_range(features)
    d, points = features.shape
    scale, bits = _scale(d), FIELDS // d
    padded = np.zeros((d, -(-points // BLOCK) * BLOCK), np.float32)
    padded[:, :points] = features
    corners, weights = np.empty((points, d + 1), np.int32), np.empty((points, d + 1), np.float32)
    found, keys, numbers = build(padded, scale, bits, corners, weights)
    count = len(found) - 1
    neighbours = np.zeros((d + 1, count + 1, 2), np.int32)
    find_neighbours(found, keys, numbers, d, bits, neighbours)
    beside = neighbours[:, 1:].reshape(-1, 2)
    weights *= np.float32((1 + 2.0**-d) ** -0.5)
    lattice = Lattice(corners, weights, beside, np.array([[1, count, d + 1, 0]]))
    sums = filtered(np.ones((points, 1), np.float32), lattice, np.ones(d + 1), workers=workers)
    weights *= 1 / np.sqrt(sums)
    return lattice


def side_by_side(lattices: Sequence[Lattice]) -> Lattice:
    """Several lattices of the same points as one."""
    corners, beside, parts = [], [], []
    rows = axes = 0  # of those before
    for each in lattices:
        corners.append(each.corners + np.int32(rows))
        beside.append(np.where(each.beside > 0, each.beside + np.int32(rows), 0))
        parts.append(each.parts + np.array([rows, 0, 0, axes]))
        rows, axes = rows + each.rows - 1, axes + len(each.beside)
    weights = np.concatenate([each.weights for each in lattices], 1)
    return Lattice(np.concatenate(corners, 1), weights, np.concatenate(beside), np.concatenate(parts))


def filtered(
    values: NDArray[Any],
    lattice: Lattice,
    strength: NDArray[Any],
    *,
    workers: int,
    reverse: bool = False,
    mix: Callable[[NDArray[Any]], None] | None = None,
) -> NDArray[Any]:
    """values (N,width) of a float type -> the sum of what the lattices filter, times the strength (K,) of its corner.

    Where corners are missing the axes do not commute: `reverse` takes them from the last to the first, which gives the
    transposed filter. `mix` changes the blurred table in place.
    """
    from structseg.refine.mean_field_loops import blur, read, splat

    weights, strength = (each.astype(values.dtype, copy=False) for each in (lattice.weights, strength))
    tables = np.zeros((workers, lattice.rows, values.shape[1]), values.dtype)
    splat(values, lattice.corners, weights, tables)
    table, spare = np.zeros((2, *tables.shape[1:]), values.dtype)
    blur(tables, table, spare, lattice.beside, lattice.parts, reverse)
    if mix:
        mix(table)
    found = np.zeros_like(values)
    read(table, lattice.corners, weights, strength, found, workers)
    return found


def _scale(d: int) -> tuple[np.float32, ...]:
    return tuple(np.float32((d + 1) * np.sqrt(2 / 3 / (i + 1) / (i + 2))) for i in range(d))


def check_range(features: Float32) -> None:
    """features (d,N): raise ConfigError where the quotient of a coordinate might not fit into its field of a key."""
    d, farthest = len(features), np.abs(features).max(1)
    reach = sum((i + 1) * float(factor) * float(farthest[i]) for i, factor in enumerate(_scale(d))) / (d + 1)
    if not reach <= 2 ** (FIELDS // d - 1) - 2:  # also where one is NaN
        raise ConfigError(
            f"the widths of a dense CRF are too small for this picture: it spans {farthest.max():.0f} of them; "
            "raise sxy or srgb, or refine a smaller picture"
        )
