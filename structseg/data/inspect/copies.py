"""Which pictures stand twice in a data set, or nearly, and which of them leak from one split into another?

Exact copies share the digest of their file. Near copies are found in two steps: difference hashes of all pairs are
compared at once as a product of -1/+1 matrices (for bits a, b in that form, a . b = 64 - 2 distance), in blocks; the
few pairs at a distance of at most `DISTANCE` bits must then also agree in their thumbnails. N pictures cost N^2 / 2
products of 64 numbers: 10,000 take a tenth of a second, 100,000 some ten. A camera that stands still makes all frames
alike: of each picture the pairs with the first `FIRST` of every split are kept, enough to join them and to tell leaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from structseg.data.inspect.findings import MOST_FILES, NOTE, WARNING, Finding, about, counted, shown
from structseg.data.inspect.look import Look

DISTANCE = 10  # bits of 64
ALIKE = 6.0  # mean grey difference of two thumbnails, of 255, brightness taken out
BLOCK = 1024  # rows compared at once
MOST = 200_000  # pictures whose hashes are compared
FIRST = 16  # earlier look-alikes of a picture that are kept, by split

Pairs = NDArray[np.int64]


def exact(looks: Sequence[Look]) -> Pairs:
    """(P,2) places of pictures with the same file content: each later one with the first."""
    first: dict[bytes, int] = {}
    pairs = [
        (first[one.content], place)
        for place, one in enumerate(looks)
        if one.content and first.setdefault(one.content, place) != place
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def near(looks: Sequence[Look]) -> Pairs:
    """(P,2) places of pictures that look alike, first < second, exact copies among them; at most FIRST by split."""
    marks = [(place, one.mark) for place, one in enumerate(looks) if one.mark is not None][:MOST]
    if len(marks) < 2:
        return np.zeros((0, 2), np.int64)
    places = np.array([place for place, _ in marks], np.int64)
    signs = np.stack([np.where(mark.bits, 1, -1) for _, mark in marks]).astype(np.float32)  # (N,64)
    thumbs = np.stack([_levelled(mark.thumb) for _, mark in marks])  # (N,THUMB²)
    codes, splits = _codes(looks)
    codes = codes[places]
    room = np.full((len(splits), len(signs)), FIRST)  # pairs that a picture may still have with earlier ones
    found: list[Pairs] = []
    for start in range(0, len(signs), BLOCK):
        block = signs[start : start + BLOCK] @ signs[start:].T  # (BLOCK, N - start)
        close = np.triu(block >= 64 - 2 * DISTANCE, 1)
        for code in np.unique(codes[start : start + BLOCK]):
            own = np.flatnonzero(codes[start : start + BLOCK] == code)
            few, left = close[own], room[code, start:]
            many = np.flatnonzero(few.sum(0) > left)
            few[:, many] &= few[:, many].cumsum(0) <= left[many]
            rows, columns = np.nonzero(few)
            pairs = start + np.stack([own[rows], columns], 1)
            pairs = pairs[_mean_difference(thumbs, pairs[:, 0], pairs[:, 1]) <= ALIKE]
            np.subtract.at(room[code], pairs[:, 1], 1)
            found.append(pairs)
    every = np.concatenate(found)
    return places[every[np.lexsort((every[:, 1], every[:, 0]))]]


def _codes(looks: Sequence[Look]) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
    """The splits of each picture as a number, and what each number stands for."""
    known: dict[tuple[str, ...], int] = {}
    codes = [known.setdefault(one.splits, len(known)) for one in looks]
    return np.array(codes, np.int64), list(known)


def _levelled(thumb: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = thumb.astype(np.float32).ravel()
    return np.asarray(grey - grey.mean(), np.float32)


def _mean_difference(
    thumbs: NDArray[np.float32], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float32]:
    parts = [
        np.abs(thumbs[first[at : at + 65536]] - thumbs[second[at : at + 65536]]).mean(1)
        for at in range(0, len(first), 65536)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def clusters(count: int, pairs: Pairs) -> NDArray[np.int32]:
    """(count,) number of the cluster of each picture: pictures joined by pairs share one."""
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def across(looks: Sequence[Look], pairs: Pairs) -> dict[tuple[str, str], Pairs]:
    """(split, later split) -> pairs with one picture in each, and not both in one of them."""
    found: dict[tuple[str, str], list[Pairs]] = {}
    for first, second, some in _by_splits(looks, pairs):
        for one in set(first) - set(second):
            for other in set(second) - set(first):
                turned = some if one < other else some[:, ::-1]
                found.setdefault((min(one, other), max(one, other)), []).append(turned)
    return {key: np.concatenate(found[key]) for key in sorted(found)}


def within(looks: Sequence[Look], pairs: Pairs) -> Pairs:
    """Pairs of which both pictures are in one split."""
    some = [part for first, second, part in _by_splits(looks, pairs) if set(first) & set(second)]
    return np.concatenate([pairs[:0], *some])


def _by_splits(looks: Sequence[Look], pairs: Pairs) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Pairs]]:
    """Splits of the first and of the second picture, and the pairs that have them."""
    codes, splits = _codes(looks)
    both = codes[pairs[:, 0]] * len(splits) + codes[pairs[:, 1]]
    for code in np.unique(both).tolist():
        yield splits[code // len(splits)], splits[code % len(splits)], pairs[both == code]


def shared(looks: Sequence[Look]) -> dict[tuple[str, str], list[int]]:
    """(split, later split) -> pictures that stand in both lists."""
    found: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(looks):
        for a in one.splits:
            for b in one.splits:
                if a < b:
                    found.setdefault((a, b), []).append(place)
    return found


# ------------------------------------------------------------------------------------------------ findings


def findings(looks: Sequence[Look], same: Pairs, similar: Pairs, root: Path) -> list[Finding]:
    """Leaks across splits as warnings; copies within one, and lists that overlap, as notes."""
    only = similar[~_among(similar, same)]
    found = _listed_twice(looks, root)
    for kind, word, pairs in (("leak", "the same file", same), ("near leak", "nearly the same picture", only)):
        for (a, b), both in across(looks, pairs).items():
            count = len(np.unique(both[:, 1]))
            text = f"{word} in '{a}' and '{b}': {counted(count, 'picture')} of '{b}'; scores on it are too good"
            found.append(Finding(WARNING, kind, text, _named(looks, both, root), len(both)))
    inner = within(looks, similar)
    if len(inner):
        sizes = np.bincount(clusters(len(looks), inner))
        groups = counted(int((sizes > 1).sum()), "group")
        copies = int(_among(inner, same).sum())
        groups += f", {counted(copies, 'exact copy', 'exact copies')}" if copies else ""
        text = f"{int(sizes[sizes > 1].sum())} pictures have a near copy in their own split ({groups}): "
        text += "they count for less than their number"
        found.append(Finding(NOTE, "near copies", text, _named(looks, inner, root), len(inner)))
    return found


def _among(pairs: Pairs, others: Pairs) -> NDArray[np.bool_]:
    """Which of `pairs` stand among `others`."""
    return np.isin(pairs[:, 0] << 32 | pairs[:, 1], others[:, 0] << 32 | others[:, 1])


def _named(looks: Sequence[Look], pairs: Pairs, root: Path) -> tuple[str, ...]:
    """The first few."""
    return tuple(
        f"{shown(looks[a].item.image, root)} = {shown(looks[b].item.image, root)}"
        for a, b in pairs[:MOST_FILES].tolist()
    )


def _listed_twice(looks: Sequence[Look], root: Path) -> list[Finding]:
    """Pictures that stand in two lists: a leak where one is trained on and the other scored, else a note."""
    found, overlaps = [], []
    for (a, b), places in shared(looks).items():
        named = [shown(looks[place].item.image, root) for place in places]
        if _apart(a, b):
            text = (
                f"{counted(len(places), 'picture')} in both '{a}' and '{b}': scores are too good; remove them from one"
            )
            found.append(about(WARNING, "leak", text, named))
        elif "trainval" not in (a, b):
            overlaps.append(f"'{a}' and '{b}' {len(places)}")
    if overlaps:
        more = f", and {len(overlaps) - 3} more pairs" if len(overlaps) > 3 else ""
        found.append(Finding(NOTE, "overlap", f"lists that share pictures: {', '.join(overlaps[:3])}{more}"))
    return found


def _apart(first: str, second: str) -> bool:
    """Whether two splits must not share a picture: one is trained on, the other scored."""

    def role(name: str) -> str:
        word = name.lower()
        if word.startswith("trainval"):
            return "both"
        return next((role for role in ("train", "val", "test") if word.startswith(role)), "")

    roles = {role(first), role(second)}
    return len(roles) == 2 and roles <= {"train", "val", "test"}
