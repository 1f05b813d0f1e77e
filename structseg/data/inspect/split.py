"""New lists for a folder without splits, or of which only `train` is there, from what an inspection has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from structseg.data import splits
from structseg.data.inspect import copies
from structseg.data.inspect.listing import Listing
from structseg.data.inspect.look import Look
from structseg.errors import DataError

READ_LISTS = ("pairs", "voc")  # formats that read SPLIT.txt of `image mask` lines in the root


def check(listing: Listing, root: Path, names: Iterable[str]) -> None:
    """Raise DataError where lists of splits `names` cannot or should not be made; before any picture is opened."""
    there = ", ".join(listing.splits)
    if not listing.plain and listing.format not in READ_LISTS:
        raise DataError(
            f"--make-split: {root} is laid out as {listing.format}, which has lists of its own ({there}); "
            "lists are made for pairs of pictures and masks"
        )
    if not listing.plain and len(listing.splits) > 1:
        raise DataError(f"--make-split: {root} has splits already ({there}); name them with data.train and data.val")
    splits.refuse_existing(root, names)


def make(all_looks: Sequence[Look], root: Path, shares: Mapping[str, float], *, seed: int) -> dict[str, int]:
    """Write the lists; pictures by split. Pairs only: pictures without mask are left out."""
    looks = [one for one in all_looks if one.item.target is not None]
    pairs = copies.near(looks)
    first: dict[str, int] = {}
    together = [(first.setdefault(one.item.group, place), place) for place, one in enumerate(looks) if one.item.group]
    joined = np.concatenate([pairs, np.array(together, np.int64).reshape(-1, 2)])
    numbers = copies.clusters(len(looks), joined).tolist()
    items = [one.item for one in looks]
    return splits.write_lists(root, items, splits.assign([i.name for i in items], numbers, shares, seed=seed))
