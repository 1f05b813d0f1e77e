"""The loops of mean field inference: filters on lattices, and one step of all pixels in a single pass.

What stands at the corners of lattices is a table of rows, a number for each class; row 0 stays empty and is what a
missing neighbour points to. `mean_field` does a whole step in tiles that stay in the first level cache: each pixel
reads its corners, adds its own logits, takes the softmax, and adds that to its corners in the table of the next step,
so that only the last step writes probabilities. Exponents are of 2: logits and strengths come times log2 e.

Inner loops run over the classes of a row, as many as there are: at a fixed number, LLVM would unroll them first and
leave them scalar. The width of a row is a multiple of 8, so that whole vectors fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from structseg.compiled import compiled, prange, uintp

TILE = 32  # pixels
NONE = np.float32(-1e30)  # the logit of a class that only fills a row
LEAST = np.float32(-64)  # the least exponent of 2: what lies below is as good as 0, and no subnormal number
ZERO, ONE = np.float32(0), np.float32(1)
ONES, BIAS = np.int32(23), np.int32(127)  # where the exponent of a float32 begins, and what it is of 1
# (2^f - 1) / f for f from -1 to 0: the polynomial of least relative error, 2e-9
E1, E2, E3 = map(np.float32, (0.693147063, 0.240224361, 0.0554907583))
E4, E5, E6 = map(np.float32, (0.00957917981, 0.00127474836, 0.000109023240))
FAST = frozenset({"contract", "reassoc", "nsz", "nnan", "ninf"})  # all numbers are finite


@compiled(parallel=True, fastmath=FAST)
def mean_field(
    logits: Any,  # (N,width) float32, as all below but `corners`
    corners: Any,  # (N,K) int32, K a multiple of 3: all corners of a pixel in all lattices
    weights: Any,  # (N,K)
    strength: Any,  # (K,) of the messages that come by each corner
    before: Any,  # (R,width): the blurred table of the last step
    after: Any,  # (T,R,width): one for each worker, 0 at the start; their sum is the table of this step
    scratch: Any,  # (T, TILE width)
    first_step: bool,  # there are no messages yet
    out: Any,  # (C,N) or, before the last step, (0,0)
) -> None:
    """Softmax of logits and messages -> into the tables of this step or, in the last one, `out`."""
    points, width = logits.shape
    columns, last = corners.shape[1], len(out) > 0
    share = (points // len(after) // TILE + 1) * TILE
    for worker in prange(len(after)):
        t = uintp(worker)
        for first in range(worker * share, min(points, (worker + 1) * share), TILE):
            pixels = min(TILE, points - first)
            for p in range(pixels):
                n, q = uintp(first + p), uintp(p * width)
                for c in range(width):
                    scratch[t, uintp(q + uintp(c))] = logits[n, uintp(c)]
                for k in range(0, 0 if first_step else columns, 3):
                    k0, k1, k2 = uintp(k), uintp(k + 1), uintp(k + 2)
                    r0, r1, r2 = uintp(corners[n, k0]), uintp(corners[n, k1]), uintp(corners[n, k2])
                    w0, w1 = weights[n, k0] * strength[k0], weights[n, k1] * strength[k1]
                    w2 = weights[n, k2] * strength[k2]
                    for c in range(width):
                        i = uintp(c)
                        scratch[t, uintp(q + i)] += w0 * before[r0, i] + w1 * before[r1, i] + w2 * before[r2, i]
                best = NONE
                for c in range(width):
                    x = scratch[t, uintp(q + uintp(c))]
                    best = x if x > best else best
                for c in range(width):
                    scratch[t, uintp(q + uintp(c))] -= best
            for cell in range(pixels * width):  # 2^x = 2^whole 2^f
                x = scratch[t, uintp(cell)]
                x = LEAST if x < LEAST else x
                whole = np.int32(x)
                f = x - np.float32(whole)
                power = ONE + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * (E5 + f * E6)))))
                scratch[t, uintp(cell)] = np.int32((whole + BIAS) << ONES).view(np.float32) * power
            for p in range(pixels):
                n, q, total = uintp(first + p), uintp(p * width), ZERO
                for c in range(width):
                    total += scratch[t, uintp(q + uintp(c))]
                inverse = ONE / total
                for c in range(width):
                    scratch[t, uintp(q + uintp(c))] *= inverse
                for k in range(0 if last else columns):
                    r, w = uintp(corners[n, uintp(k)]), weights[n, uintp(k)]
                    for c in range(width):
                        after[t, r, uintp(c)] += w * scratch[t, uintp(q + uintp(c))]
            for c in range(len(out)):
                for p in range(pixels):
                    out[uintp(c), uintp(first + p)] = scratch[t, uintp(p * width + c)]


@compiled(parallel=True, fastmath=FAST)
def blur(after: Any, table: Any, spare: Any, beside: Any, parts: Any, reverse: bool) -> None:
    """The sum of the tables (T,R,width) of all workers, blurred along all axes of all lattices -> table (R,width).

    `after` becomes 0. `spare` is as `table`; row 0 of both holds zeros. `beside`, `parts`: as in `lattice.Lattice`.
    Along an axis every row reads the other table alone, so each worker has some of the rows.
    """
    workers, rows, width = after.shape
    half = table.dtype.type(0.5)  # a plain 0.5 would make the loop one of float64
    for worker in prange(workers):
        for row in range(max(1, rows * worker // workers), rows * (worker + 1) // workers):
            r = uintp(row)
            for c in range(width):
                table[r, uintp(c)] = after[0, r, uintp(c)]
                after[0, r, uintp(c)] = 0
            for other in range(1, workers):
                t = uintp(other)
                for c in range(width):
                    table[r, uintp(c)] += after[t, r, uintp(c)]
                    after[t, r, uintp(c)] = 0
    for part in range(len(parts)):
        first, corners, axes, start = parts[part, 0], parts[part, 1], parts[part, 2], parts[part, 3]
        for turn in range(axes):
            begin = start + corners * (axes - 1 - turn if reverse else turn)
            source, goal = (table, spare) if turn % 2 == 0 else (spare, table)
            for worker in prange(workers):
                for corner in range(corners * worker // workers, corners * (worker + 1) // workers):
                    r, place = uintp(first + corner), uintp(begin + corner)
                    a, b = uintp(beside[place, 0]), uintp(beside[place, 1])
                    for c in range(width):
                        i = uintp(c)
                        goal[r, i] = source[r, i] + half * (source[a, i] + source[b, i])
        if axes % 2:
            for worker in prange(workers):
                for corner in range(corners * worker // workers, corners * (worker + 1) // workers):
                    r = uintp(first + corner)
                    for c in range(width):
                        table[r, uintp(c)] = spare[r, uintp(c)]


@compiled(parallel=True, fastmath=FAST)
def splat(values: Any, corners: Any, weights: Any, after: Any) -> None:
    """Add values (N,width) by their weights (N,K) to rows of the tables (T,R,width), one for each worker."""
    points, width = values.shape
    share = -(-points // len(after))
    for worker in prange(len(after)):
        t = uintp(worker)
        for point in range(worker * share, min(points, (worker + 1) * share)):
            n = uintp(point)
            for k in range(corners.shape[1]):
                r, w = uintp(corners[n, uintp(k)]), weights[n, uintp(k)]
                for c in range(width):
                    after[t, r, uintp(c)] += w * values[n, uintp(c)]


@compiled(parallel=True, fastmath=FAST)
def read(rows: Any, corners: Any, weights: Any, strength: Any, values: Any, workers: int) -> None:
    """Add rows of the table (R,width) by their weights (N,K) and the strengths (K,) to values (N,width)."""
    points, width = values.shape
    share = -(-points // workers)
    for worker in prange(workers):
        for point in range(worker * share, min(points, (worker + 1) * share)):
            n = uintp(point)
            for k in range(corners.shape[1]):
                r, w = uintp(corners[n, uintp(k)]), weights[n, uintp(k)] * strength[uintp(k)]
                for c in range(width):
                    values[n, uintp(c)] += w * rows[r, uintp(c)]
