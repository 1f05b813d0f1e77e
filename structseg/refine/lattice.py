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


class Blurs(NamedTuple):
    """The axes of one lattice: its M corners are the rows `first` .. `first` + M of a table."""

    first: int
    neighbours: Int32  # (d+1,M,2): the rows of the corners on both sides along each axis, 0 = none


class Lattice(NamedTuple):
    """N points between the corners of one lattice, or of several side by side, with K corners a point in all.

    What stands at corners is a table of R rows; row 0 is nobody's and holds zeros.
    """

    corners: Int32  # (N,K) rows
    weights: Float32  # (N,K) barycentric, times the factors beside S in the filter
    blurs: tuple[Blurs, ...]

    @property
    def rows(self) -> int:
        """R."""
        corners: list[int] = [each.neighbours.shape[1] for each in self.blurs]
        return 1 + sum(corners)


def build_lattice(features: Float32, *, workers: int = 1) -> Lattice:
    """features (d,N), up to d = 20 -> the lattice of N points. Raises ConfigError for points too far from 0.

    `workers`: how many threads `compiled.threads` gave.
    """
    from structseg.refine.lattice_loops import BLOCK, build, find_neighbours  # loads Numba

    d, points = features.shape
    scale = tuple(np.float32((d + 1) * np.sqrt(2 / 3 / (i + 1) / (i + 2))) for i in range(d))
    bits = FIELDS // d
    _check_range(features, scale, bits)
    padded = np.zeros((d, -(-points // BLOCK) * BLOCK), np.float32)
    padded[:, :points] = features
    corners, weights = np.empty((points, d + 1), np.int32), np.empty((points, d + 1), np.float32)
    found, keys, numbers = build(padded, scale, bits, corners, weights)
    neighbours = np.zeros((d + 1, len(found), 2), np.int32)
    find_neighbours(found, keys, numbers, d, bits, neighbours)
    weights *= np.float32((1 + 2.0**-d) ** -0.5)
    lattice = Lattice(corners, weights, (Blurs(1, np.ascontiguousarray(neighbours[:, 1:])),))
    sums = filtered(np.ones((points, 1), np.float32), lattice, np.ones(d + 1, np.float32), workers=workers)
    weights *= 1 / np.sqrt(sums)
    return lattice


def side_by_side(lattices: Sequence[Lattice]) -> Lattice:
    """Several lattices of the same points as one."""
    blurs: list[Blurs] = []
    corners: list[Int32] = []
    rows = 1
    for each in lattices:
        (own,) = each.blurs
        shift = np.int32(rows - own.first)
        blurs.append(Blurs(rows, np.where(own.neighbours > 0, own.neighbours + shift, 0)))
        corners.append(each.corners + shift)
        rows += own.neighbours.shape[1]
    return Lattice(np.concatenate(corners, 1), np.concatenate([each.weights for each in lattices], 1), tuple(blurs))


def blur_rows(
    table: NDArray[Any], spare: NDArray[Any], lattice: Lattice, *, workers: int, reverse: bool = False
) -> None:
    """Blur the table (R,width) in place. `spare` is of the same shape, its row 0 holds zeros.

    Where corners are missing the axes do not commute: `reverse` takes them from the last to the first, which is the
    transposed blur.
    """
    from structseg.refine.mean_field_loops import blur

    for first, neighbours in lattice.blurs:
        source, to = table, spare
        for axis in neighbours[::-1] if reverse else neighbours:
            blur(source, to, axis, first, workers)
            source, to = to, source
        if source is not table:
            mine = slice(first, first + neighbours.shape[1])
            table[mine] = source[mine]


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

    `reverse` gives the transposed filter; `mix` changes the blurred table in place.
    """
    from structseg.refine.mean_field_loops import collect, read, splat

    weights, strength = (each.astype(values.dtype, copy=False) for each in (lattice.weights, strength))
    tables = np.zeros((workers, lattice.rows, values.shape[1]), values.dtype)
    splat(values, lattice.corners, weights, tables)
    table, spare = np.zeros((2, *tables.shape[1:]), values.dtype)
    collect(tables, table)
    blur_rows(table, spare, lattice, workers=workers, reverse=reverse)
    if mix:
        mix(table)
    found = np.zeros_like(values)
    read(table, lattice.corners, weights, strength, found, workers)
    return found


def _check_range(features: Float32, scale: tuple[np.float32, ...], bits: int) -> None:
    """Raise ConfigError where the quotient of a coordinate might not fit into its field of a key."""
    farthest = np.abs(features).max(1)
    reach = sum((i + 1) * float(factor) * float(farthest[i]) for i, factor in enumerate(scale)) / (len(scale) + 1)
    if reach > 2 ** (bits - 1) - 2:
        raise ConfigError(
            f"the widths of a dense CRF are too small for this picture: it spans {farthest.max():.0f} of them; "
            "raise sxy or srgb, or refine a smaller picture"
        )
