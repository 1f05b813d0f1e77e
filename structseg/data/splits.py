"""New lists of splits for pictures that have none: seeded, nested, near copies and groups kept together.

Pictures that belong together (a group of the data set, or near copies) are one cluster. Clusters stand in the order of
a hash of (seed, first name), which does not change when other pictures come or go; `test` takes from the front until it
has its share of the pictures, then `val`, and `train` has the rest. So a greater share of `val` holds the smaller one.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from structseg import runs
from structseg.errors import ConfigError, DataError
from structseg.types import Item

ORDER = ("test", "val")  # who takes first; train has the rest


def parse_shares(text: str) -> dict[str, float]:
    """`val=0.1,test=0.2`, or `0.7,0.1,0.2` for train, val and test -> shares of val and test.

    Raises ConfigError for other words, and shares that leave nothing to train on.
    """
    words = [word.strip() for word in text.split(",")]
    named = dict(zip(("train", "val", "test"), words, strict=False)) if "=" not in text else {}
    if not named and all(re.fullmatch(r"\w+=[^=]+", word) for word in words):
        named = dict(word.split("=") for word in words)
    try:
        shares = {name: float(share) for name, share in named.items()}
    except ValueError:
        shares = {}
    whole = sum(shares.values())
    if not shares or len(words) > 3 or set(shares) - {"train", "val", "test"} or min(shares.values()) <= 0:
        raise ConfigError(f"--make-split {text}: write val=0.1, or val=0.1,test=0.2, or 0.7,0.1,0.2 (train, val, test)")
    if whole > 1 + 1e-9 or ("train" not in shares and whole >= 1):
        raise ConfigError(
            f"--make-split {text}: the shares add up to {whole:g}; leave something to train on, at most 1"
        )
    if "train" in shares and abs(whole - 1) > 1e-9:
        raise ConfigError(
            f"--make-split {text}: train, val and test add up to {whole:g}; make it 1, or leave train out"
        )
    return {name: share for name, share in shares.items() if name != "train"}


def assign(names: Sequence[str], clusters: Sequence[int], shares: Mapping[str, float], *, seed: int) -> list[str]:
    """The split of each name; `clusters`: names with the same number stay together.

    Raises DataError where there are fewer clusters than splits.
    """
    members: dict[int, list[int]] = {}
    for place in sorted(range(len(names)), key=lambda place: names[place]):
        members.setdefault(clusters[place], []).append(place)
    ordered = sorted(members.values(), key=lambda places: _rank(seed, names[places[0]]))
    wanted = [name for name in ORDER if name in shares]
    if len(ordered) <= len(wanted):
        raise DataError(
            f"{len(names)} pictures are {len(ordered)} groups of near copies: too few for {len(wanted) + 1} splits"
        )
    chosen = ["train"] * len(names)
    for name in wanted:
        need, taken = shares[name] * len(names), 0
        while taken < need and len(ordered) > len(wanted) - wanted.index(name):
            if taken and taken + len(ordered[0]) / 2 > need:
                break  # nearer to the share without the next cluster
            for place in ordered[0]:
                chosen[place] = name
            taken += len(ordered.pop(0))
    return chosen


def _rank(seed: int, name: str) -> bytes:
    return blake2b(f"{seed}/{name}".encode(errors="surrogateescape"), digest_size=16).digest()


def write_lists(root: Path, items: Sequence[Item], splits: Sequence[str]) -> dict[str, int]:
    """`SPLIT.txt` in `root` with `image mask` on a line, as the format `pairs` reads it; pictures by split.

    Nothing is overwritten; on an error nothing is left. Raises DataError.
    """
    lines: dict[str, list[str]] = {name: [] for name in ("train", *reversed(ORDER)) if name in splits}
    for item, split in zip(items, splits, strict=True):
        lines[split].append(_line(item, root))
    refuse_existing(root, lines)
    written: list[Path] = []
    try:
        for name, rows in lines.items():
            runs.write_text(root / f"{name}.txt", "\n".join(rows) + "\n")
            written.append(root / f"{name}.txt")
    except BaseException:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        raise
    return {name: len(rows) for name, rows in lines.items()}


def refuse_existing(root: Path, names: Iterable[str]) -> None:
    """Raise DataError where a list of one of these splits is there already, or cannot be written."""
    for name in names:
        path = root / f"{name}.txt"
        if path.exists():
            raise DataError(f"--make-split: {path} is there already and is not overwritten; move it away first")
        runs.check_file(path)


def _line(item: Item, root: Path) -> str:
    paths = [path for path in (item.image, item.target) if path is not None]
    columns = [path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path) for path in paths]
    for column in columns:
        if re.search(r'["\t\r\n\ud800-\udfff]', column):
            raise DataError(
                f"--make-split: the name {column!r} has a quote, tab or line end, or is no UTF-8; rename it"
            )
    return "\t".join(columns)
