"""`structseg inspect`: what is in a folder of pictures and masks, and what is wrong with it, before any training.

`inspect` opens every picture once (or `limit` of each split, spread evenly) and answers the questions that the files
of this room each hold: what there is (`listing`, `loose`), what is in a picture (`look`), how much of what (`count`),
what stands twice (`copies`), what a label table could be (`suggest`), what to do about it (`rules`), what to look at
(`sheet`). No torch.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from structseg.config import DataConfig
from structseg.data.fingerprint import spread
from structseg.data.formats import Format
from structseg.data.inspect import copies, count, rules, sheet, split, suggest
from structseg.data.inspect.findings import BREAKS, Finding, worst_first
from structseg.data.inspect.listing import Listing, list_items
from structseg.data.inspect.look import Look, look
from structseg.data.labels import read_labels
from structseg.data.reading import Reading, current, reading
from structseg.errors import DataError
from structseg.types import Item, Labels

__all__ = ["Finding", "Inspection", "inspect"]
MADE_UP = 64  # pictures of a made-up set that are drawn, by split
AT_ONCE = 256  # items given to the threads at a time


@dataclass(frozen=True)
class Inspection:
    """What was found: `facts` is plain and ends in a page or in JSON."""

    listing: Listing
    looks: tuple[Look, ...]
    findings: tuple[Finding, ...]
    facts: dict[str, Any]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """What would stop training."""
        return tuple(finding for finding in self.findings if finding.level == BREAKS)


def inspect(
    config: DataConfig,
    *,
    guessed: bool = False,
    limit: int = 0,
    progress: Callable[[int, int], None] = lambda done, whole: None,
    new_splits: Sequence[str] = (),
) -> Inspection:
    """Inspect the data set of a configuration; `guessed`: find the format by the layout of the folder.

    `limit` pictures of each split are opened, 0 = all; `new_splits` are those that lists will be written of afterwards.
    Raises DataError where nothing can be inspected or no lists can be written, ConfigError for a wrong format, option
    or class name.
    """
    with reading(Reading(max_pixels=config.max_pixels)):
        return _inspected(config, guessed=guessed, limit=limit, progress=progress, new_splits=new_splits)


def _inspected(
    config: DataConfig,
    *,
    guessed: bool,
    limit: int,
    progress: Callable[[int, int], None],
    new_splits: Sequence[str],
) -> Inspection:
    began = time.perf_counter()
    root = Path(config.root)
    listing = list_items(config, guessed=guessed)
    if new_splits:
        split.check(listing, root, new_splits)
    items = _unique(listing, limit)
    looks = tuple(_looks(items, listing.source, progress))
    suggestion = "" if listing.source else suggest.table(looks, root)
    labels = listing.source.labels if listing.source else _parsed(suggestion)
    same, similar = copies.exact(looks), copies.near(looks)
    tables = _tables(listing, looks, labels, root)
    whole = limit == 0 and not any(item.image is None for _, item in _listed(listing))
    found = worst_first(_findings(listing, looks, labels, tables, root, whole=whole))
    found = worst_first([*found, *copies.findings(looks, same, similar, root)])
    leaks = np.concatenate([similar[:0], *copies.across(looks, similar).values()])
    facts = {
        "root": str(config.root),
        "format": listing.format,
        **tables,
        "labels": labels.as_dict() if labels else None,
        "suggested": bool(suggestion),
        "suggestion": suggestion,
        "findings": [asdict(finding) for finding in found],
        "sheet": sheet.contact_sheet(looks, labels, listing.source, root),
        "alike": sheet.alike(looks, leaks if len(leaks) else copies.within(looks, similar), root),
        "pictures": len(looks),
        "whole": whole,
        "seconds": time.perf_counter() - began,
    }
    return Inspection(listing, looks, found, facts)


def _listed(listing: Listing) -> Iterator[tuple[str, Item]]:
    yield from ((name, item) for name, items in listing.splits.items() for item in items)


def _unique(listing: Listing, limit: int) -> list[tuple[Item, tuple[str, ...]]]:
    """Each item once, with the splits it belongs to: lists of a set overlap."""
    found: dict[Any, tuple[Item, list[str]]] = {}
    for name, items in listing.splits.items():
        made_up = items[0].image is None
        most = min(limit or MADE_UP, MADE_UP) if made_up else limit or len(items)
        for item in spread(items, most):
            found.setdefault((item.image, item.target, item.index if made_up else 0), (item, []))[1].append(name)
    return [(item, tuple(splits)) for item, splits in found.values()]


def _looks(
    items: Sequence[tuple[Item, tuple[str, ...]]], source: Format | None, progress: Callable[[int, int], None]
) -> Iterator[Look]:
    """Looks in the order of the items; decoding runs in threads, a part of the items at a time."""
    waiting, settings = iter(items), current()
    done = 0

    def seen(pair: tuple[Item, tuple[str, ...]]) -> Look:
        with reading(settings):  # which a thread does not inherit
            return look(*pair, source)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while part := list(islice(waiting, AT_ONCE)):
            for one in pool.map(seen, part):
                done += 1
                progress(done, len(items))
                yield one


def _parsed(suggestion: str) -> Labels | None:
    """The suggested table, so that classes can be counted and drawn with it."""
    if not suggestion:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.toml"
        file.write_text(suggestion, encoding="utf-8")
        try:
            return replace(read_labels(file), source="suggested table")
        except DataError:
            return None


def _tables(listing: Listing, looks: Sequence[Look], labels: Labels | None, root: Path) -> dict[str, Any]:
    names = tuple(listing.splits)
    return {
        "splits": count.splits(listing.splits, looks),
        "sizes": count.sizes(looks),
        "kinds": count.kinds(looks),
        "values": count.values(looks, labels),
        "classes": count.classes(looks, labels, names) if labels else [],
        "ignored": count.ignored(looks, labels, names) if labels else {},
        "strays": count.strays(looks, labels, root) if labels and listing.source else [],
        "depth": count.depth(looks),
        "instances": count.instances(looks),
        "tags": count.tags(looks, labels, root) if labels and listing.source else None,
    }


def _findings(
    listing: Listing, looks: Sequence[Look], labels: Labels | None, tables: dict[str, Any], root: Path, *, whole: bool
) -> list[Finding]:
    found = [*listing.findings, *rules.files(looks, root)]
    train = ""
    if not listing.plain and listing.splits:
        train, about_splits = rules.names_of_splits(tuple(listing.splits))
        found += about_splits
    found += rules.masks(looks, root, labels if listing.source else None)
    found += rules.depth(tables["depth"]) + rules.tags(tables["tags"]) + rules.void(tables["ignored"])
    if labels is not None:
        found += rules.table(labels)
        if listing.source:
            found += rules.strays(tables["strays"], labels, looks, root)
        found += rules.classes(tables["classes"], looks, labels, root, train or _only(listing), whole=whole)
        found += rules.absent_elsewhere(tables["classes"], tuple(listing.splits), train) if whole else []
    return found


def _only(listing: Listing) -> str:
    return next(iter(listing.splits)) if listing.plain else ""
