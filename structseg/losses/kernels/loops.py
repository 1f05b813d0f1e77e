"""The affinity sums with their slopes, and the numbers of pairs, as loops that Numba compiles: float32 on the CPU.

With p = clip(P), n = clip(1 - P), the divergence at the centre i from its neighbour j is

    KL(j || i) = p_j (ln p_j - ln p_i) + n_j (ln n_j - ln n_i)

and a pixel i is the centre of eight pairs (i, j) of a kernel and the neighbour in the eight pairs (j, i). With c_ij the
slope of the loss in KL(j || i), which is the weight of an interior element, minus that of an edge element below the
margin, else 0, the slope in P_i gathers both kinds:

    d/dp_i = sum_j  c_ji (1 + ln p_i - ln p_j)  -  c_ij p_j / p_i          d/dP_i = d/dp_i - d/dn_i

where P, or 1 - P, is not clipped. So each pixel writes its own slope only: blocks of rows are independent, the order of
all sums is fixed by the shapes, and the result does not depend on the number of threads.

Everything is laid out with a rim of `pad` cells and read as one line, where the neighbour at (dy, dx) lies a fixed step
on. What wraps round a row ends in the rim, whose pairs do not count. The innermost loop over the line must stay
vectorised (rules in `compiled.py`): a test looks at its machine code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from structseg.compiled import compiled, prange, uintp

ZERO, ONE = np.float32(0), np.float32(1)


@compiled()
def valid_pairs(labels: Any, steps: Any, mirrored: bool, low: int, high: int, out: Any) -> None:
    """labels (n,) with a rim, -1 = none; steps (K,8) -> out (8K,n): 1 where the pair (i, i + step) counts, else 0."""
    for which in range(steps.size):
        step = steps[which // 8, which % 8]
        back = step if mirrored else 0
        for cell in range(low, high):
            known = labels[uintp(cell)] | labels[uintp(cell + step)] | labels[uintp(cell - back)]
            out[uintp(which), uintp(cell)] = ZERO if known < 0 else ONE


@compiled()
def count_pairs(labels: Any, steps: Any, mirrored: bool, low: int, high: int, out: Any) -> None:
    """labels (n,) with a rim, -1 = none; steps (K,8) -> adds to out (K,2): pairs of two classes, all pairs."""
    for kernel in range(len(steps)):
        unequal, total = 0, 0
        for direction in range(8):
            step = steps[kernel, direction]
            back = step if mirrored else 0
            for cell in range(low, high):
                here, there = labels[uintp(cell)], labels[uintp(cell + step)]
                counts = (here | there | labels[uintp(cell - back)]) >= 0
                unequal += 1 if counts and here != there else 0
                total += 1 if counts else 0
        out[kernel, 0] += unequal
        out[kernel, 1] += total


@compiled(parallel=True, contract=True)
def affinity_rows(
    p: Any,  # (C,n) float32, some channels of one picture, with the rim: P clipped
    n: Any,  # 1 - P clipped
    log_p: Any,
    log_n: Any,
    inverse_p: Any,  # 1 / p, 0 where clipped
    inverse_n: Any,
    labels: Any,  # (n,) int32, -1 = none
    classes: Any,  # (C,) int32: the label of each channel
    valid: Any,  # (8K,n) float32
    edge: Any,  # (K,n) float32: weight of an edge element, by its centre
    interior: Any,
    edge_channel: Any,  # (K,C) float32: another factor of it, by channel
    interior_channel: Any,
    steps: Any,  # (K,4) int64: one direction of each opposite pair
    forward: Any,  # (4,) int64: place of that direction among the eight of `valid`
    margin: Any,  # float32
    blocks: Any,  # (T + 1,) int64: where the blocks of whole rows start
    by_channel: bool,
    gradient: Any,  # (C,n) float32, zeros: d loss / d P
    edge_sums: Any,  # (K,n) float32: hinges of each centre, without weight, are added
    interior_sums: Any,
    channel_sums: Any,  # (T,2,K,C) float64, zeros: the same by block and channel, if `by_channel`
) -> None:
    """Fill the last four; with `by_channel` the sums by centre end as they were, 0."""
    for block in prange(len(blocks) - 1):
        low, high = blocks[block], blocks[block + 1]
        for channel in range(len(p)):
            c = uintp(channel)
            own = classes[channel]
            for kernel in range(len(steps)):
                k = uintp(kernel)
                edge_factor, interior_factor = edge_channel[k, c], interior_channel[k, c]
                for axis in range(4):
                    step = steps[kernel, axis]
                    ahead = uintp(8 * kernel + forward[axis])
                    behind = uintp(8 * kernel + 7 - forward[axis])
                    for cell in range(low, high):
                        i, j, h = uintp(cell), uintp(cell + step), uintp(cell - step)
                        p_i, n_i, log_p_i, log_n_i = p[c, i], n[c, i], log_p[c, i], log_n[c, i]
                        mine = labels[i] == own
                        edge_i, interior_i = edge[k, i] * edge_factor, interior[k, i] * interior_factor
                        # the pair of i and j = i + step: (i, j) with the centre i, (j, i) with the centre j
                        differs = (labels[j] == own) != mine
                        change_p, change_n = log_p[c, j] - log_p_i, log_n[c, j] - log_n_i
                        kl = p[c, j] * change_p + n[c, j] * change_n
                        turned = -(p_i * change_p + n_i * change_n)
                        hinge = margin - kl
                        open_ = hinge > ZERO
                        counts = valid[ahead, i]
                        hinges = counts * (hinge if differs and open_ else ZERO)
                        inner = counts * (ZERO if differs else kl)
                        slope = counts * ((-edge_i if open_ else ZERO) if differs else interior_i)
                        closed = ZERO if turned >= margin else -edge[k, j] * edge_factor
                        other = valid[behind, j] * (closed if differs else interior[k, j] * interior_factor)
                        a, b = slope * p[c, j], slope * n[c, j]
                        total, d, e = other, other * change_p, other * change_n
                        # the pair of i and h = i - step
                        differs = (labels[h] == own) != mine
                        change_p, change_n = log_p[c, h] - log_p_i, log_n[c, h] - log_n_i
                        kl = p[c, h] * change_p + n[c, h] * change_n
                        turned = -(p_i * change_p + n_i * change_n)
                        hinge = margin - kl
                        open_ = hinge > ZERO
                        counts = valid[behind, i]
                        hinges += counts * (hinge if differs and open_ else ZERO)
                        inner += counts * (ZERO if differs else kl)
                        slope = counts * ((-edge_i if open_ else ZERO) if differs else interior_i)
                        closed = ZERO if turned >= margin else -edge[k, h] * edge_factor
                        other = valid[ahead, h] * (closed if differs else interior[k, h] * interior_factor)
                        a, b = a + slope * p[c, h], b + slope * n[c, h]
                        total, d, e = total + other, d + other * change_p, e + other * change_n
                        edge_sums[k, i] += hinges
                        interior_sums[k, i] += inner
                        by_p, by_n = inverse_p[c, i], inverse_n[c, i]
                        slope_p = ZERO if by_p == ZERO else total - d - a * by_p
                        slope_n = ZERO if by_n == ZERO else total - e - b * by_n
                        gradient[c, i] += slope_p - slope_n
                if by_channel:
                    for cell in range(low, high):
                        channel_sums[block, 0, k, c] += edge_sums[k, uintp(cell)]
                        channel_sums[block, 1, k, c] += interior_sums[k, uintp(cell)]
                        edge_sums[k, uintp(cell)], interior_sums[k, uintp(cell)] = ZERO, ZERO
