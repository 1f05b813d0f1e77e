"""Offset tables shared by losses, affinity networks and walks.

An affinity kernel of size k = 2s + 1 compares a pixel with the eight pixels at distance s: the corners and edge
midpoints of the k x k square (a dilated 3x3), in row-major order of (dy, dx), as in the released code of Adaptive
Affinity Fields (ECCV 2018).
"""

from __future__ import annotations

DIRECTIONS: tuple[tuple[int, int], ...] = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
FOUR: tuple[tuple[int, int], ...] = ((-1, 0), (0, -1), (0, 1), (1, 0))
HALF: tuple[tuple[int, int], ...] = ((0, 1), (1, -1), (1, 0), (1, 1))  # one direction of each opposite pair


def reach(kernel_size: int) -> int:
    """Distance of a kernel's neighbours from its centre: 3 -> 1, 5 -> 2, 7 -> 3."""
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size {kernel_size} is not odd and at least 3")
    return kernel_size // 2
