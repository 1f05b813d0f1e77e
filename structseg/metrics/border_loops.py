"""Compiled loops over border pixels: where they are, and which of them have a partner (see `borders.py`).

Border pixels of one map are kept in the order (class, row, column): `xs` are their columns, and those of class c in row
y are the places starts[c,y] to starts[c,y+1] of that order. So the partners that a pixel may have in one row of the
other map, within the tolerance, stand side by side, and are found by going along both rows at once (`count_near`) or
by halving (`_reach`); no list of pairs is ever made. `widths[d]` is how far the tolerance goes sideways, d rows away.

The matching is of most pairs: a greedy start, from each pixel's own row outwards, which on lines leaves few pixels
alone, then an augmenting path for each that is left, searched breadth first. What a search without success has seen
is never looked at again (no later one can succeed there), so that all searches together look at little more than the
surroundings of the pixels left over. Only maps in which almost every pixel of both is a border, noise, take seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.compiled import compiled, uintp

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
PREDICTED, TRUE = 1, 2


@compiled()
def border_bits(prediction: Any, target: Any, num_classes: int, ignore_index: int, bits: Any) -> tuple[int, int]:
    """Write PREDICTED and TRUE bits into bits (H, W and more); the lowest and highest class predicted where labelled.

    The picture is walked through row by row, with the rows above and below held beside it within a rim of no label.
    """
    height, width = target.shape
    known = np.zeros((3, width + 2), np.uint8)
    mine = np.zeros((3, width + 2), prediction.dtype)
    true = np.zeros((3, width + 2), target.dtype)
    lowest, highest = num_classes, -1
    for y in range(height + 1):
        below = y % 3
        if y < height:
            for x in range(width):
                label = target[y, uintp(x)]
                mine[below, uintp(x + 1)] = prediction[y, uintp(x)]
                true[below, uintp(x + 1)] = label
                known[below, uintp(x + 1)] = (label >= 0) & (label < num_classes) & (label != ignore_index)
            for x in range(1, width + 1):
                if known[below, uintp(x)]:
                    label = mine[below, uintp(x)]
                    lowest, highest = min(lowest, label), max(highest, label)
        else:
            known[below] = 0
        if y:
            _row_bits(known, mine, true, (y + 1) % 3, (y + 2) % 3, below, bits[y - 1])
    return lowest, highest


@compiled()
def _row_bits(known: Any, mine: Any, true: Any, above: int, here: int, below: int, bits: Any) -> None:
    for x in range(1, known.shape[1] - 1):
        up, down = known[above, uintp(x)], known[below, uintp(x)]
        left, right = known[here, uintp(x - 1)], known[here, uintp(x + 1)]
        a, b = mine[here, uintp(x)], true[here, uintp(x)]
        first = (
            (up & np.uint8(mine[above, uintp(x)] != a))
            | (down & np.uint8(mine[below, uintp(x)] != a))
            | (left & np.uint8(mine[here, uintp(x - 1)] != a))
            | (right & np.uint8(mine[here, uintp(x + 1)] != a))
        )
        second = (
            (up & np.uint8(true[above, uintp(x)] != b))
            | (down & np.uint8(true[below, uintp(x)] != b))
            | (left & np.uint8(true[here, uintp(x - 1)] != b))
            | (right & np.uint8(true[here, uintp(x + 1)] != b))
        )
        bits[uintp(x - 1)] = known[here, uintp(x)] & first | (known[here, uintp(x)] & second) << 1


@compiled()
def find_points(classes: Any, bits: Any, bit: int, num_classes: int) -> tuple[Int32, Int32]:
    """The pixels where `bit` is set, in the order (class, row, column): xs and starts (C,H+1)."""
    height, width = classes.shape
    starts = np.zeros((num_classes, height + 1), np.int32)
    mask = uintp(0x0101010101010101) * uintp(bit)
    words = bits.view(np.uint64)
    for y in range(height):
        for word in range(words.shape[1]):
            if words[y, uintp(word)] & mask:
                for x in range(8 * word, min(8 * word + 8, width)):
                    if bits[y, uintp(x)] & bit:
                        starts[classes[y, uintp(x)], y + 1] += 1
    total = 0
    for c in range(num_classes):
        starts[c, 0] = total
        for y in range(height):
            total += starts[c, y + 1]
            starts[c, y + 1] = total
    xs = np.empty(total, np.int32)
    places = starts[:, :-1].copy()
    for y in range(height):
        for word in range(words.shape[1]):
            if words[y, uintp(word)] & mask:
                for x in range(8 * word, min(8 * word + 8, width)):
                    if bits[y, uintp(x)] & bit:
                        c = classes[y, uintp(x)]
                        xs[places[c, y]] = x
                        places[c, y] += 1
    return xs, starts


@compiled()
def count_near(xs: Int32, starts: Int32, other_xs: Int32, other_starts: Int32, widths: Int32) -> Int64:
    """(C,) pixels of each class that have one of their class in the other map within the tolerance."""
    classes, height = starts.shape[0], starts.shape[1] - 1
    found = np.zeros(xs.size, np.bool_)
    counts = np.zeros(classes, np.int64)
    for c in range(classes):
        for y in range(height):
            begin, end = starts[c, y], starts[c, y + 1]
            left = end - begin
            for step in range(2 * widths.size - 1):
                if left == 0:
                    break
                row = _nearby(y, step)
                if row < 0 or row >= height:
                    continue
                other, last = other_starts[c, row], other_starts[c, row + 1]
                reach = widths[(step + 1) // 2]
                for place in range(begin, end):
                    x = xs[place]
                    while other < last and other_xs[other] < x - reach:
                        other += 1
                    if other == last:
                        break
                    if other_xs[other] <= x + reach and not found[place]:
                        found[place] = True
                        left -= 1
            counts[c] += end - begin - left
    return counts


@compiled()
def _nearby(y: int, step: int) -> int:
    """Rows from y on outwards: y, y+1, y-1, y+2 ..."""
    return y + (step + 1) // 2 if step % 2 else y - step // 2


@compiled()
def _reach(xs: Int32, begin: int, end: int, least: int) -> int:
    """The first place from `begin` to `end` whose column is at least `least`."""
    while begin < end:
        middle = (begin + end) // 2
        if xs[middle] < least:
            begin = middle + 1
        else:
            end = middle
    return begin


@compiled()
def count_most_pairs(xs: Int32, starts: Int32, other_xs: Int32, other_starts: Int32, widths: Int32) -> Int64:
    """(C,) the most pairs that can be made of pixels of each class in the two maps within the tolerance."""
    counts = np.zeros(starts.shape[0], np.int64)
    for c in range(starts.shape[0]):
        mine, theirs = starts[c : c + 1] - starts[c, 0], other_starts[c : c + 1] - other_starts[c, 0]
        some, others = xs[starts[c, 0] : starts[c, -1]], other_xs[other_starts[c, 0] : other_starts[c, -1]]
        if some.size <= others.size:
            partner = pair_up(some, mine, others, theirs, widths)
        else:
            partner = pair_up(others, theirs, some, mine, widths)
        counts[c] = np.sum(partner >= 0)
    return counts


@compiled()
def pair_up(xs: Int32, starts: Int32, other_xs: Int32, other_starts: Int32, widths: Int32) -> Int32:
    """(n,) the partner of each pixel in a matching of most pairs, -1 = none."""
    partner, taken = np.full(xs.size, -1, np.int32), np.full(other_xs.size, -1, np.int32)
    owner, rows = _places(starts, xs.size)
    _pair_nearest(xs, owner, rows, other_xs, other_starts, widths, partner, taken)
    seen, parent = np.zeros(other_xs.size, np.int32), np.empty(other_xs.size, np.int32)
    queue = np.empty(xs.size, np.int32)
    for place in range(xs.size):
        if partner[place] < 0:
            _augment(place, xs, owner, rows, other_xs, other_starts, widths, partner, taken, seen, parent, queue)
    return partner


@compiled()
def _places(starts: Int32, size: int) -> tuple[Int32, Int32]:
    """Class and row of each pixel."""
    owner, rows = np.empty(size, np.int32), np.empty(size, np.int32)
    for c in range(starts.shape[0]):
        for y in range(starts.shape[1] - 1):
            for place in range(starts[c, y], starts[c, y + 1]):
                owner[place], rows[place] = c, y
    return owner, rows


@compiled()
def _pair_nearest(
    xs: Int32,
    owner: Int32,
    rows: Int32,
    other_xs: Int32,
    other_starts: Int32,
    widths: Int32,
    partner: Int32,
    taken: Int32,
) -> None:
    """Give each pixel in turn the first partner that is free, from its own row outwards."""
    height = other_starts.shape[1] - 1
    for place in range(xs.size):
        c, y, x = owner[place], rows[place], xs[place]
        for step in range(2 * widths.size - 1):
            row = _nearby(y, step)
            if row < 0 or row >= height:
                continue
            reach, end = widths[(step + 1) // 2], other_starts[c, row + 1]
            other = _reach(other_xs, other_starts[c, row], end, x - reach)
            while other < end and other_xs[other] <= x + reach and taken[other] >= 0:
                other += 1
            if other < end and other_xs[other] <= x + reach:
                partner[place], taken[other] = other, place
                break


@compiled()
def _augment(
    start: int,
    xs: Int32,
    owner: Int32,
    rows: Int32,
    other_xs: Int32,
    other_starts: Int32,
    widths: Int32,
    partner: Int32,
    taken: Int32,
    seen: Int32,
    parent: Int32,
    queue: Int32,
) -> None:
    """Search breadth first for a free partner by way of taken ones, and if there is one, move all on the way along.

    `seen` of a partner: start + 1 = in this search, -1 = in one that failed. What a failed search saw can never lead to
    a free partner again, so it is not looked at any more.
    """
    height = other_starts.shape[1] - 1
    queue[0] = start
    head, tail = 0, 1
    while head < tail:
        place = queue[head]
        head += 1
        c, y, x = owner[place], rows[place], xs[place]
        for step in range(2 * widths.size - 1):
            row = _nearby(y, step)
            if row < 0 or row >= height:
                continue
            reach, end = widths[(step + 1) // 2], other_starts[c, row + 1]
            other = _reach(other_xs, other_starts[c, row], end, x - reach)
            while other < end and other_xs[other] <= x + reach:
                if seen[other] >= 0 and seen[other] != start + 1:
                    seen[other], parent[other] = start + 1, place
                    if taken[other] < 0:
                        _move_along(other, parent, partner, taken)
                        return
                    queue[tail] = taken[other]
                    tail += 1
                other += 1
    for head in range(1, tail):
        seen[partner[queue[head]]] = -1


@compiled()
def _move_along(other: int, parent: Int32, partner: Int32, taken: Int32) -> None:
    """Pair the end of a way with the pixel it was reached from, that one's old partner with the one before, ..."""
    while other >= 0:
        place = parent[other]
        before = partner[place]
        partner[place], taken[other] = other, place
        other = before
