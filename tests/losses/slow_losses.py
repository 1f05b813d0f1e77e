"""The losses once more, as loops over pixels in float64, written from the papers' formulas and not from structseg.

All take logits (B,C,h,w) and labels (B,h,w), -1 where there is none, as nested NumPy arrays; C > 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Place = tuple[int, int, int]


def places(labels: Ints) -> Iterator[Place]:
    """(picture, row, column) of every labelled pixel."""
    for b, y, x in np.ndindex(labels.shape):
        if labels[b, y, x] >= 0:
            yield b, y, x


def softmax(logits: Array) -> Array:
    out = np.empty_like(logits)
    for b, y, x in np.ndindex(logits.shape[0], *logits.shape[2:]):
        powers = [math.exp(value) for value in logits[b, :, y, x]]
        out[b, :, y, x] = [power / sum(powers) for power in powers]
    return out


def masks(logits: Array, labels: Ints) -> tuple[Array, Array]:
    """Probabilities and one-hot truth, both 0 where there is no label."""
    p, t = np.zeros_like(logits), np.zeros_like(logits)
    probabilities = softmax(logits)
    for b, y, x in places(labels):
        p[b, :, y, x] = probabilities[b, :, y, x]
        t[b, labels[b, y, x], y, x] = 1
    return p, t


def mean_of_present(true: Array, value: Callable[[int], float]) -> float:
    present = [c for c in range(true.shape[1]) if true[:, c].any()]
    return sum(value(c) for c in present) / len(present)


def focal(logits: Array, labels: Ints, gamma: float) -> float:
    p = softmax(logits)
    right = [p[b, labels[b, y, x], y, x] for b, y, x in places(labels)]
    return sum(-((1 - q) ** gamma) * math.log(q) for q in right) / len(right)


def ohem(logits: Array, labels: Ints, threshold: float, kept: int) -> float:
    p = softmax(logits)
    right = sorted(p[b, labels[b, y, x], y, x] for b, y, x in places(labels))
    hard = [q for q in right if q <= threshold]
    if len(hard) < kept:
        hard = right[:kept]
    return sum(-math.log(q) for q in hard) / len(hard)


def tversky(logits: Array, labels: Ints, alpha: float, beta: float) -> float:
    p, t = masks(logits, labels)

    def value(c: int) -> float:
        hit = alarm = miss = 0.0
        for b, y, x in places(labels):
            hit += p[b, c, y, x] * t[b, c, y, x]
            alarm += p[b, c, y, x] * (1 - t[b, c, y, x])
            miss += (1 - p[b, c, y, x]) * t[b, c, y, x]
        return 1 - hit / (hit + alpha * alarm + beta * miss)

    return mean_of_present(t, value)


def lovasz(logits: Array, labels: Ints) -> float:
    """The extension as an integral over levels: int_0^1 J({i: e_i >= level}), J(M) = |M| / |M or class|."""
    p, t = masks(logits, labels)

    def value(c: int) -> float:
        pixels = [(abs(t[b, c, y, x] - p[b, c, y, x]), t[b, c, y, x] == 1) for b, y, x in places(labels)]
        levels = sorted({error for error, _ in pixels} | {0.0})
        total = 0.0
        for low, high in itertools.pairwise(levels):
            wrong = sum(error >= high for error, _ in pixels)
            union = sum(error >= high or inside for error, inside in pixels)
            total += (high - low) * wrong / union
        return total

    return mean_of_present(t, value)


def boundary_dou(logits: Array, labels: Ints) -> float:
    p, t = masks(logits, labels)
    height, width = labels.shape[1:]

    def value(c: int) -> float:
        length = size = both = soft = 0.0
        for b, y, x in places(labels):
            soft += p[b, c, y, x] ** 2
            both += p[b, c, y, x] * t[b, c, y, x]
            if not t[b, c, y, x]:
                continue
            size += 1
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            length += any(not (0 <= v < height and 0 <= u < width and t[b, c, v, u]) for v, u in around)
        alpha = min(max(1 - 2 * length / size, 0), 0.8)
        return (soft + size - 2 * both) / (soft + size - (1 + alpha) * both)

    return mean_of_present(t, value)


def cl_dice(logits: Array, labels: Ints, iterations: int) -> float:
    p, t = masks(logits, labels)

    def value(c: int) -> float:
        soft = np.stack([skeleton(p[b, c], iterations) for b in range(len(p))])
        true = np.stack([skeleton(t[b, c], iterations) for b in range(len(p))])
        precision = (float((soft * t[:, c]).sum()) + 1) / (float(soft.sum()) + 1)
        recall = (float((true * p[:, c]).sum()) + 1) / (float(true.sum()) + 1)
        return 1 - 2 * precision * recall / (precision + recall)

    return mean_of_present(t, value)


def skeleton(mask: Array, iterations: int) -> Array:
    """Algorithm 1 of the paper for one map (h,w)."""

    def pool(values: Array, pick: Callable[[list[float]], float], cross: bool) -> Array:
        out = np.empty_like(values)
        for y, x in np.ndindex(values.shape):
            near = [
                values[v, u]
                for v in range(max(y - 1, 0), min(y + 2, len(values)))
                for u in range(max(x - 1, 0), min(x + 2, len(values[0])))
                if not cross or v == y or u == x
            ]
            out[y, x] = pick(near)
        return out

    opened = pool(pool(mask, min, True), max, False)
    found = np.maximum(mask - opened, 0)
    for _ in range(iterations):
        mask = pool(mask, min, True)
        opened = pool(pool(mask, min, True), max, False)
        found = found + np.maximum(np.maximum(mask - opened, 0) - found * np.maximum(mask - opened, 0), 0)
    return found


def centres(labels: Ints, b: int, size: int) -> list[tuple[int, int]]:
    """Upper left corners of the windows of a picture whose centre has a label."""
    rows, columns = labels.shape[1] - size + 1, labels.shape[2] - size + 1
    return [(y, x) for y in range(rows) for x in range(columns) if labels[b, y + size // 2, x + size // 2] >= 0]


def random_projection(logits: Array, labels: Ints, filters: Array) -> float:
    """filters (C,C,k,k), first axis the answers."""
    p, t = masks(logits, labels)
    size = filters.shape[-1]

    def gram(values: Array, corners: list[tuple[int, int]]) -> Array:
        total = np.zeros((len(filters), len(filters)))
        for y, x in corners:
            answer = [float((one * values[:, y : y + size, x : x + size]).sum()) for one in filters]
            total += np.outer(answer, answer)
        return total / len(corners)

    found = [(b, corners) for b in range(len(labels)) if (corners := centres(labels, b, size))]
    return sum(float(((gram(p[b], c) - gram(t[b], c)) ** 2).sum()) for b, c in found) / len(found)


def rmi(logits: Array, labels: Ints, size: int, alpha: float) -> float:
    """1/(2K) (log det(M + alpha I) - K log alpha), as the authors' code (ZJULearning/RMI) but for the constant.

    Sums of products, not covariances: there alpha is added to them before any division by the number of windows.
    """
    p, t = masks(logits, labels)
    pictures = []
    for b in range(len(labels)):
        corners, values = centres(labels, b, size), []
        for c in (c for c in range(t.shape[1]) if t[b, c].any()):
            ys = np.array([t[b, c, y : y + size, x : x + size].flatten() for y, x in corners])
            ps = np.array([p[b, c, y : y + size, x : x + size].flatten() for y, x in corners])
            ys, ps = ys - ys.mean(0), ps - ps.mean(0)
            eye = np.eye(size**2)
            left = ys.T @ ys - (ys.T @ ps) @ np.linalg.inv(ps.T @ ps + alpha * eye) @ (ps.T @ ys)
            values.append((np.log(np.linalg.eigvalsh(left + alpha * eye)).sum() - size**2 * math.log(alpha)) / 2)
        if corners:
            pictures.append(sum(values) / len(values) / size**2)
    return sum(pictures) / len(pictures)


def active_boundary(logits: Array, labels: Ints, share: float, most: float, smoothing: float) -> float:
    """Eq. 1-5 of the paper; order in KL, ties and unlabelled pixels as in the authors' code (abl.py)."""
    p = softmax(logits)
    height, width = labels.shape[1:]
    eight = [(-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]  # straight before diagonal

    def known(b: int, y: int, x: int) -> bool:
        return 0 <= y < height and 0 <= x < width and labels[b, y, x] >= 0

    def divergence(b: int, y: int, x: int, v: int, u: int) -> float:
        return sum(float(one * math.log(one / two)) for one, two in zip(p[b, :, y, x], p[b, :, v, u], strict=True))

    costs = []
    for b in range(len(labels)):
        pixels = [(y, x) for y in range(height) for x in range(width) if known(b, y, x)]
        ahead = {(y, x): [(v, u) for v, u in ((y, x + 1), (y + 1, x)) if known(b, v, u)] for y, x in pixels}
        border = [at for at in pixels if any(labels[b, *at] != labels[b, *other] for other in ahead[at])]
        border += [(y, x) for y in range(height) for x in range(width) if not known(b, y, x)]
        change = {at: max((divergence(b, *at, *other) for other in ahead[at]), default=0.0) for at in pixels}
        chosen = sorted(pixels, key=lambda at: -change[at])[: math.ceil(share * len(pixels))]
        grown = {(y + dy, x + dx) for y, x in chosen if change[y, x] > 1e-5 for dy, dx in [*eight, (0, 0)]}

        def distance(y: int, x: int, border: list[tuple[int, int]] = border) -> float:
            return min((math.hypot(y - v, x - u) for v, u in border), default=0.0)

        for y, x in pixels:
            near = [(y + dy, x + dx) for dy, dx in eight if known(b, y + dy, x + dx)]
            if (y, x) not in grown or not near or min(distance(*at) for at in near) >= distance(y, x):
                continue
            powers = [math.exp(divergence(b, *at, y, x)) for at in near]
            logs = [math.log(power / sum(powers)) for power in powers]
            right = min(range(len(near)), key=lambda place: distance(*near[place]))
            others = logs[:right] + logs[right + 1 :]
            cost = -(1 - smoothing) * logs[right] - smoothing * sum(others) / max(len(others), 1)
            costs.append(min(distance(y, x), most) / most * cost)
    return sum(costs) / len(costs)


def embedding_contrast(
    features: Array, labels: Ints, pairs: list[tuple[int, int]], margin: float
) -> tuple[float, float]:
    """The means over the edge and over the interior pairs; `pairs` are places on the flattened map."""
    edge, interior = [], []
    for b in range(len(labels)):
        for here, there in pairs:
            one, other = ((int(place) // labels.shape[2], int(place) % labels.shape[2]) for place in (here, there))
            if labels[b, *one] < 0 or labels[b, *other] < 0:
                continue
            f, g = features[b, :, *one], features[b, :, *other]
            distance = math.dist(f / math.hypot(*f), g / math.hypot(*g))
            if labels[b, *one] == labels[b, *other]:
                interior.append(distance**2 / 2)
            else:
                edge.append(max(0, margin - distance) ** 2 / 2)
    return sum(edge) / len(edge), sum(interior) / len(interior)
