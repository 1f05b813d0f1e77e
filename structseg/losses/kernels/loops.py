"""The affinity sums with their slopes, as loops that Numba compiles: float32, on the CPU.

With p = clip(P), n = clip(1 - P), the divergence at the centre i from its neighbour j is

    KL(j || i) = p_j (ln p_j - ln p_i) + n_j (ln n_j - ln n_i)

A pixel i is the centre of eight pairs (i, j) of a kernel and the neighbour in the eight pairs (j, i). Let c_ij be the
slope of the loss in KL(j || i): the weight of an interior element, minus that of an edge element below the margin, else
0. The slope in P_i gathers both kinds, and each pixel writes its own only:

    d/dp_i = sum_j  c_ji (1 - ln p_j + ln p_i)  -  c_ij p_j / p_i          d/dP_i = d/dp_i - d/dn_i,

without the term of p or n where that is clipped. Blocks of rows are the tasks; the order of every sum is fixed by the
shapes, so the number of threads changes nothing. Each worker lays a block out as one line of cells: rows of `width` =
w + reach cells, where the step (dy, dx) is dy width + dx for every cell, and a step that leaves the picture ends in a
cell without a label. Whether a pair counts is a number by cell, 0 or 1.

The inner loop runs over cells and must stay vectorised (`compiled.py` has the rules; a test reads its machine code):
arrays of all workers go whole into every function, with the worker's place `t`: a slice of one would make LLVM give up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from structseg.compiled import compiled, prange, uintp
from structseg.losses.kernels.pairs import CLIP

CHUNK = 64  # cells of the inner loop: fixed here, so that none are left over beside the vectors
LEAST = np.float32(CLIP)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
LOG_2 = np.float32(np.log(2))
TWO_THIRDS = np.int32(np.float32(2 / 3).view(np.int32))
# (ln(1 + f) - f + f^2 / 2) / f^3 for f from -1/3 to 1/3: the polynomial of least relative error, 5e-9
L0, L1, L2, L3 = map(np.float32, (0.333332157, -0.249997971, 0.200104262, -0.166805147))
L4, L5, L6, L7 = map(np.float32, (0.140054954, -0.121838333, 0.139864565, -0.128937516))
CONTRACT = frozenset({"contract"})  # a b + c in one step; nothing that would lose a NaN


@compiled(fastmath=CONTRACT, inline=True)
def logarithm(x: Any) -> Any:
    """ln x of a positive float32, to 1e-7 of the result: x = 2^e (1 + f) with 1 + f from 2/3 to 4/3."""
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(np.int32(bits - TWO_THIRDS) >> np.int32(23))
    f = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - ONE
    s = f * f
    rest = (L0 + f * L1) + s * ((L2 + f * L3) + s * ((L4 + f * L5) + s * (L6 + f * L7)))
    return np.float32(exponent) * LOG_2 + (f - s * HALF + s * f * rest)


@compiled()
def lay_labels(labels: Any, image: int, first: int, base: int, width: int, t: int, line: Any) -> None:
    """labels (B,h,w) -> line: row `first` begins at the cell `base`; -1 where there is no pixel."""
    _, height, columns = labels.shape
    cells = line.shape[1]
    for cell in range(cells):
        line[t, uintp(cell)] = -1
    for row in range(height):
        start = base + (row - first) * width
        if start >= 0 and start + columns <= cells:
            for column in range(columns):
                line[t, uintp(start + column)] = labels[image, row, column]


@compiled()
def lay_valid(line: Any, steps: Any, mirrored: int, low: int, high: int, t: int, valid: Any) -> None:
    """valid (8 K, cells): 1 where the pair (cell, cell + step) counts with this cell as its centre, else 0."""
    for which in range(len(steps)):
        step = steps[which]
        for cell in range(low, high):
            known = line[t, uintp(cell)] | line[t, uintp(cell + step)] | line[t, uintp(cell - step * mirrored)]
            valid[t, uintp(which), uintp(cell)] = ZERO if known < 0 else ONE


@compiled()
def lay_weights(line: Any, tables: Any, channel: int, low: int, high: int, t: int, weights: Any) -> None:
    """weights (2 K, cells) out of the tables (2 K, R): the row of the label, or of `channel` where that is not -1."""
    for which in range(len(tables)):
        for cell in range(low, high):
            row = channel if channel >= 0 else min(max(line[t, uintp(cell)], 0), tables.shape[1] - 1)
            weights[t, uintp(which), uintp(cell)] = tables[which, row]


@compiled(fastmath=CONTRACT)
def lay_channel(
    probabilities: Any, image: int, channel: int, first: int, base: int, width: int, low: int, high: int, t: int, q: Any
) -> None:
    """A channel of the probabilities -> q (6, cells): p, n, ln p, ln n, 1/p, 1/n; the last two 0 where clipped."""
    _, _, height, columns = probabilities.shape
    for cell in range(low, high):
        q[t, 4, uintp(cell)] = HALF
    for row in range(height):
        start = base + (row - first) * width
        if start >= low and start + columns <= high:
            for column in range(columns):
                q[t, 4, uintp(start + column)] = probabilities[image, channel, row, column]
    for cell in range(low, high):
        i = uintp(cell)
        p, n = q[t, 4, i], ONE - q[t, 4, i]
        q[t, 0, i] = LEAST if p < LEAST else p  # so a NaN stays one
        q[t, 1, i] = LEAST if n < LEAST else n
        q[t, 2, i] = logarithm(LEAST if p < LEAST else p)
        q[t, 3, i] = logarithm(LEAST if n < LEAST else n)
        q[t, 4, i] = ZERO if p < LEAST else ONE / p
        q[t, 5, i] = ZERO if n < LEAST else ONE / n


@compiled(fastmath=CONTRACT, inline=True)
def add_pair(here: Any, there: Any, same: bool, valid: Any, back: Any, margin: Any, sums: Any) -> Any:
    """Add to `sums` = (edge, interior, a, b, c, d, e) of a cell i what its pair with a neighbour j gives.

    `here`, `there`: (p, n, ln p, ln n, weight as edge, weight as interior) of i and of j, numbers that are loaded
    already: a load that depends on a choice would keep the loop scalar. `same`: are i and j alike in this channel?
    `valid`, `back`: do (i, j) and (j, i) count? edge, interior: values without weights; a, b: of c_ij p_j, c_ij n_j;
    c, d, e: of c_ji, c_ji (ln p_j - ln p_i), c_ji (ln n_j - ln n_i).
    """
    p_i, n_i, ln_p_i, ln_n_i, edge_i, interior_i = here
    p_j, n_j, ln_p_j, ln_n_j, edge_j, interior_j = there
    edge, interior, a, b, c, d, e = sums
    change_p, change_n = ln_p_j - ln_p_i, ln_n_j - ln_n_i
    kl_ij, kl_ji = p_j * change_p + n_j * change_n, -(p_i * change_p + n_i * change_n)
    c_ij = valid * (interior_i if same else (-edge_i if kl_ij < margin else ZERO))
    c_ji = back * (interior_j if same else (-edge_j if kl_ji < margin else ZERO))
    hinge = margin - kl_ij
    value = valid * (kl_ij if same else (ZERO if hinge < ZERO else hinge))
    edge, interior = edge + (ZERO if same else value), interior + (value if same else ZERO)
    return edge, interior, a + c_ij * p_j, b + c_ij * n_j, c + c_ji, d + c_ji * change_p, e + c_ji * change_n


@compiled()
def collect(
    line: Any, base: int, width: int, rows: Any, channel: int, row: int, t: int, values: Any, slope: Any, sums: Any,
    gradient: Any, task: int, image: int,
) -> None:  # fmt: skip
    """Move the slopes of a channel into `rows` (first, end) of the gradient, and the values into `sums`; both become 0.

    The values go to the row `row` of the sums or, where that is -1, after the last channel to the row of the label.
    """
    first, end = rows
    for y in range(first, end):
        for x in range(gradient.shape[3]):
            gradient[image, channel, y, x] = slope[t, uintp((y - first) * width + x)]
    for cell in range(slope.shape[1]):
        slope[t, uintp(cell)] = ZERO
    if row >= 0 or channel == gradient.shape[1] - 1:
        for which in range(sums.shape[1]):
            for cell in range((end - first) * width):
                label = min(max(line[t, uintp(base + cell)], 0), sums.shape[2] - 1)
                sums[task, which, label if row < 0 else row] += values[t, uintp(which), uintp(cell)]
            for cell in range(values.shape[2]):
                values[t, uintp(which), uintp(cell)] = ZERO


@compiled(parallel=True, fastmath=CONTRACT)
def affinity_blocks(
    probabilities: Any,  # (B,C,h,w) float32
    labels: Any,  # (B,h,w) int64, -1 = none
    tables: Any,  # (2 K, R) float32: weights of edges, of interiors
    steps: Any,  # (8 K,) int64, of the line; the last of eight is the opposite of the first, and so on
    by_channel: bool,
    mirrored: int,  # 0, 1
    margin: Any,  # float32
    rows: int,  # of a block
    base: int,  # the cell where a block starts
    width: int,
    line: Any,  # (workers, cells) int32
    valid: Any,  # (workers, 8 K, cells) float32, as all below but `sums`
    w: Any,  # (workers, 2 K, cells) weights
    q: Any,  # (workers, 6, cells)
    values: Any,  # (workers, 2 K, cells of a block), 0 at the start and at the end
    slope: Any,  # (workers, cells of a block), so too
    gradient: Any,  # (B,C,h,w)
    sums: Any,  # (tasks, 2 K, R) float64, 0 at the start
) -> None:
    """Fill `gradient` with the slopes in the probabilities, `sums` with the values of each block without weights."""
    _, channels, height, columns = probabilities.shape
    kernels, blocks, around = len(tables) // 2, -(-height // rows), (width - columns) * (width + 1)
    for worker in prange(len(line)):
        t = uintp(worker)
        for task in range(worker, len(sums), len(line)):
            image, first = task // blocks, task % blocks * rows
            end = min(first + rows, height)
            chunks = ((end - first) * width + CHUNK - 1) // CHUNK
            low, high = base - around, base + chunks * CHUNK + around
            lay_labels(labels, image, first, base, width, t, line)
            lay_valid(line, steps, mirrored, low, high, t, valid)
            for channel in range(channels):
                row = channel if by_channel else -1
                if by_channel or channel == 0:
                    lay_weights(line, tables, row, low, high, t, w)
                lay_channel(probabilities, image, channel, first, base, width, low, high, t, q)
                label = np.int32(1 if channels == 1 else channel)
                # fmt: off
                for four in range(0, len(steps), 4):  # pairs at once: all eight would compile much longer
                    kernel = four // 8
                    k_e, k_i, opposite = uintp(kernel), uintp(kernels + kernel), 16 * kernel + 7 - four
                    s0, s1, s2, s3 = steps[four], steps[four + 1], steps[four + 2], steps[four + 3]
                    v0, v1, v2, v3 = uintp(four), uintp(four + 1), uintp(four + 2), uintp(four + 3)
                    u0, u1, u2, u3 = uintp(opposite), uintp(opposite - 1), uintp(opposite - 2), uintp(opposite - 3)
                    for chunk in range(chunks):
                        start = chunk * CHUNK
                        for cell in range(CHUNK):
                            i, own = uintp(base + start + cell), uintp(start + cell)
                            j0, j1 = uintp(base + start + cell + s0), uintp(base + start + cell + s1)
                            j2, j3 = uintp(base + start + cell + s2), uintp(base + start + cell + s3)
                            mine = line[t, i] == label
                            here = (q[t, 0, i], q[t, 1, i], q[t, 2, i], q[t, 3, i], w[t, k_e, i], w[t, k_i, i])
                            found = (ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)
                            there = (q[t, 0, j0], q[t, 1, j0], q[t, 2, j0], q[t, 3, j0], w[t, k_e, j0], w[t, k_i, j0])
                            same = (line[t, j0] == label) == mine
                            found = add_pair(here, there, same, valid[t, v0, i], valid[t, u0, j0], margin, found)
                            there = (q[t, 0, j1], q[t, 1, j1], q[t, 2, j1], q[t, 3, j1], w[t, k_e, j1], w[t, k_i, j1])
                            same = (line[t, j1] == label) == mine
                            found = add_pair(here, there, same, valid[t, v1, i], valid[t, u1, j1], margin, found)
                            there = (q[t, 0, j2], q[t, 1, j2], q[t, 2, j2], q[t, 3, j2], w[t, k_e, j2], w[t, k_i, j2])
                            same = (line[t, j2] == label) == mine
                            found = add_pair(here, there, same, valid[t, v2, i], valid[t, u2, j2], margin, found)
                            there = (q[t, 0, j3], q[t, 1, j3], q[t, 2, j3], q[t, 3, j3], w[t, k_e, j3], w[t, k_i, j3])
                            same = (line[t, j3] == label) == mine
                            found = add_pair(here, there, same, valid[t, v3, i], valid[t, u3, j3], margin, found)
                            edge, interior, a, b, c, d, e = found
                            values[t, k_e, own] += edge
                            values[t, k_i, own] += interior
                            slope_p = ZERO if q[t, 4, i] == ZERO else c - d - q[t, 4, i] * a
                            slope_n = ZERO if q[t, 5, i] == ZERO else c - e - q[t, 5, i] * b
                            slope[t, own] += slope_p - slope_n
                # fmt: on
                collect(line, base, width, (first, end), channel, row, t, values, slope, sums, gradient, task, image)
