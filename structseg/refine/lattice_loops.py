"""The loops that build a permutohedral lattice: which corners each point stands between, which corners are neighbours.

A point of d features lies in a simplex of d + 1 corners. A corner's d + 1 coordinates have the sum 0 and are congruent
modulo d + 1, so its key is their residue r and the quotients m of the first d of them, in fields of one whole number:

    coordinate_i = (d + 1) m_i + r        key = r 2^(B d) + sum over i < d of (m_i + 2^(B - 1)) 2^(B i)

Moves on the lattice are then additions. Corner k of a simplex is corner k - 1 with r + 1 and, in the one coordinate
whose remainder ranks d + 1 - k, m - 1. The neighbour along axis j is -1 in every coordinate and d + 1 more in
coordinate j. Corners are numbered from 1 as they are found; 0 is none. The table of keys is open: a key stands at
the place that its product with MIX names, or at the next free one; a place without a key holds 0.
Source: Adams, Baek, Davis, "Fast high-dimensional filtering using the permutohedral lattice", 2010.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from structseg.compiled import compiled, uintp

BLOCK = 64  # points that are placed together: fixed here, so that none are left over beside the vectors
START = 1 << 12  # places of the first table
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


@compiled()
def build(features: Any, scale: Any, bits: int, corners: Any, weights: Any) -> Any:
    """features (d,N) float32, N a multiple of BLOCK -> corners (n,d+1) int32 and weights (n,d+1) of the first n points.

    Weights are barycentric: they are at least 0 and have the sum 1. `scale` are d numbers. Gives the keys (M+1,) of all
    corners by number, and the table: its keys and their numbers.
    """
    d, points = len(scale), len(corners)
    quotient, rest = np.empty((d + 1, BLOCK), np.int32), np.empty((d + 1, BLOCK), np.float32)
    rank, moved = np.empty((d + 1, BLOCK), np.int32), np.empty(BLOCK, np.int32)
    axes = np.empty(d + 1, np.int64)  # by rank
    before = np.zeros(d + 1, np.int64)  # the keys of the point before: often the same
    keys, numbers, count = np.zeros(START, np.int64), np.zeros(START, np.int32), 0
    share, residue = ONE / np.float32(d + 1), 1 << (bits * d)
    for first in range(0, points, BLOCK):
        place(features, first, scale, quotient, rest, rank, moved)
        while 2 * (count + BLOCK * (d + 1)) > len(keys):
            keys, numbers = enlarge(keys, numbers)
        shift = shift_of(keys)
        for p in range(min(BLOCK, points - first)):
            point = uintp(first + p)
            key = np.int64(0)
            for i in range(d + 1):
                axes[uintp(rank[i, uintp(p)])] = i
            for i in range(d):
                key += (np.int64(quotient[i, uintp(p)]) + (1 << (bits - 1))) << (bits * i)
            above = rest[uintp(axes[0]), uintp(p)] - np.float32(d + 1)
            for k in range(d + 1):
                if k > 0:
                    axis = axes[uintp(d + 1 - k)]
                    above = rest[uintp(axis), uintp(p)]
                    key += residue - (1 << (bits * axis) if axis < d else 0)
                weights[point, uintp(k)] = (rest[uintp(axes[uintp(d - k)]), uintp(p)] - above) * share
                if before[uintp(k)] == key:
                    corners[point, uintp(k)] = corners[uintp(point - uintp(1)), uintp(k)]
                    continue
                before[uintp(k)] = key
                slot = slot_of(key, keys, shift)
                if keys[slot] == 0:
                    count += 1
                    keys[slot], numbers[slot] = key, count
                corners[point, uintp(k)] = numbers[slot]
    found = np.zeros(count + 1, np.int64)
    for slot in range(len(keys)):
        found[numbers[slot]] = keys[slot]
    return found, keys, numbers


@compiled()
def find_neighbours(found: Any, keys: Any, numbers: Any, d: int, bits: int, neighbours: Any) -> None:
    """neighbours (d+1, M+1, 2) int32, 0 at the start: the corners on both sides of each corner along each axis."""
    shift, residue, all_fields = shift_of(keys), 1 << (bits * d), 0
    for i in range(d):
        all_fields += 1 << (bits * i)
    for axis in range(d + 1):
        step = 1 << (bits * axis) if axis < d else 0
        for corner in range(1, len(found)):
            key = found[corner]
            down = -residue if key >= residue else d * residue - all_fields  # -1 in every coordinate
            slot = slot_of(key + down + step, keys, shift)
            if keys[slot] != 0:
                neighbours[axis, corner, 0] = numbers[slot]
                neighbours[axis, numbers[slot], 1] = corner


@compiled()
def place(features: Any, first: int, scale: Any, quotient: Any, rest: Any, rank: Any, moved: Any) -> None:
    """Where the points first .. first + BLOCK of features (d,N) stand, as d + 1 rows of BLOCK numbers each.

    `quotient`: of the corner with residue 0; `rest`: from it to the point, along each axis; `rank`: the place of each
    rest among them, the largest first. `moved` is scratch.
    """
    d, share = len(scale), ONE / np.float32(len(scale) + 1)
    for p in range(BLOCK):
        rest[0, uintp(p)], moved[uintp(p)] = ZERO, 0
    for j in range(d, 0, -1):  # onto the plane of sum 0
        for p in range(BLOCK):
            value = features[uintp(j - 1), uintp(first + p)] * scale[j - 1]
            rest[uintp(j), uintp(p)] = rest[0, uintp(p)] - np.float32(j) * value
            rest[0, uintp(p)] += value
    for i in range(d + 1):  # the nearest multiples of d + 1, whose sum may be off
        for p in range(BLOCK):
            value = rest[uintp(i), uintp(p)] * share
            near = np.int32(value + (HALF if value >= ZERO else -HALF))
            quotient[uintp(i), uintp(p)], rank[uintp(i), uintp(p)] = near, 0
            rest[uintp(i), uintp(p)] -= np.float32(near) * np.float32(d + 1)
            moved[uintp(p)] += near
    for i in range(d):
        for j in range(i + 1, d + 1):
            for p in range(BLOCK):
                less = np.int32(1 if rest[uintp(i), uintp(p)] < rest[uintp(j), uintp(p)] else 0)
                rank[uintp(i), uintp(p)] += less
                rank[uintp(j), uintp(p)] += np.int32(1) - less
    for i in range(d + 1):  # as many coordinates as the sum is off go one multiple up or down, the farthest first
        for p in range(BLOCK):
            value = rank[uintp(i), uintp(p)] + moved[uintp(p)]
            step = np.int32(1 if value < 0 else 0) - np.int32(1 if value > d else 0)
            quotient[uintp(i), uintp(p)] += step
            rank[uintp(i), uintp(p)] = value + np.int32(d + 1) * step
            rest[uintp(i), uintp(p)] -= np.float32(d + 1) * np.float32(step)


@compiled(inline=True)
def slot_of(key: Any, keys: Any, shift: Any) -> Any:
    """The place of a key in the table, or the free one where it would stand."""
    slot = uintp((np.uint64(key) * MIX) >> shift)
    while keys[slot] != key and keys[slot] != 0:
        slot = uintp(slot + uintp(1)) & uintp(len(keys) - 1)
    return slot


@compiled()
def shift_of(keys: Any) -> Any:
    """64 less the bits of a place in the table."""
    bits = 0
    while (1 << bits) < len(keys):
        bits += 1
    return np.uint64(64 - bits)


@compiled()
def enlarge(keys: Any, numbers: Any) -> Any:
    """The same table with twice as many places."""
    larger, moved = np.zeros(2 * len(keys), np.int64), np.zeros(2 * len(keys), np.int32)
    shift = shift_of(larger)
    for old in range(len(keys)):
        if keys[old] != 0:
            slot = slot_of(keys[old], larger, shift)
            larger[slot], moved[slot] = keys[old], numbers[old]
    return larger, moved
