"""Streams of batches in which order and augmentation are pure functions of (seed, stream, place).

Place p of a stream holds item `order(seed, stream, p // n, n)[p % n]` of its n items, augmented with
`place_rng(seed, stream, p)`; batch b holds places b * batch ... (b + 1) * batch - 1. So there is no sampler state to
save, the number of workers changes nothing, and a resumed run asks for `start = step`. Streams (labeled, unlabeled)
differ in their name only. The DataLoader draws from a generator of its own, or its start-up would shift dropout.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from multiprocessing.context import BaseContext
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from structseg.data.formats import Format
from structseg.data.transforms import augment
from structseg.errors import DataError, UserError
from structseg.types import Batch, Item, Sample

EXTRA = ("instances", "depth")  # arrays of a sample that a batch can carry besides picture and target


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is drawn anew for every place; see `transforms.augment`."""

    crop: tuple[int, int]  # height, width
    scale: tuple[float, float] = (0.5, 2.0)
    mirror: bool = True
    jitter: float = 0.0


def place_rng(seed: int, stream: str, place: int) -> np.random.Generator:
    """The generator of one place: Philox keyed by a hash, the same on every machine and in every process."""
    digest = blake2b(f"{seed}/{stream}/{place}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


@lru_cache(maxsize=8)
def order(seed: int, stream: str, epoch: int, n: int) -> NDArray[np.intp]:
    """(n,) the items of an epoch in the order in which they come."""
    return place_rng(seed, f"order of {stream}", epoch).permutation(n)


def batches(
    source: Format,
    items: Sequence[Item],
    *,
    seed: int,
    stream: str,
    batch: int,
    start: int,
    stop: int,
    augmentation: Augmentation,
    workers: int = 0,
    extra: tuple[str, ...] = (),
) -> Iterator[Batch]:
    """Batches number `start` to `stop` - 1: picture (B,3,h,w) uint8, target (B,h,w) uint8, `extra` arrays by name.

    The target is None where no item has a mask. Errors of the data are raised here as they were in a worker process.
    """
    if not items:
        raise DataError(f"stream '{stream}': no items to draw from")
    if stray := sorted(set(extra) - set(EXTRA)):
        raise ValueError(f"extra '{stray[0]}' is not one of {EXTRA}")
    drawn = _Drawn(source, tuple(_needed(item, extra) for item in items), seed, stream, batch, augmentation, extra)
    return _run(drawn, range(start, stop), workers)


def _needed(item: Item, extra: tuple[str, ...]) -> Item:
    """`item` without the files that no batch carries: they are not decoded for nothing."""
    return replace(
        item,
        instances=item.instances if "instances" in extra else None,
        depth=item.depth if "depth" in extra else None,
    )


def _run(drawn: _Drawn, numbers: range, workers: int) -> Iterator[Batch]:
    loader: DataLoader[Batch | UserError] = DataLoader(
        drawn,
        batch_size=None,  # an index is the number of a whole batch
        sampler=numbers,
        num_workers=workers,
        worker_init_fn=_start_worker,
        multiprocessing_context=_context() if workers else None,
        generator=torch.Generator(),
    )
    for result in loader:
        if isinstance(result, UserError):
            raise result
        yield result


@dataclass(frozen=True)
class _Drawn(Dataset["Batch | UserError"]):
    """Batch number -> batch. A user's error is a value here: raised in a worker process it would lose its one line."""

    source: Format
    items: tuple[Item, ...]
    seed: int
    stream: str
    batch: int
    augmentation: Augmentation
    extra: tuple[str, ...]

    def __getitem__(self, number: int) -> Batch | UserError:
        try:
            return stack([self.sample(number * self.batch + place) for place in range(self.batch)], self.extra)
        except UserError as error:
            return error

    def sample(self, place: int) -> Sample:
        epoch, rank = divmod(place, len(self.items))
        item = self.items[order(self.seed, self.stream, epoch, len(self.items))[rank]]
        chosen = self.augmentation
        return augment(
            self.source.read(item),
            place_rng(self.seed, self.stream, place),
            crop=chosen.crop,
            scale=chosen.scale,
            mirror=chosen.mirror,
            jitter=chosen.jitter,
            ignore_index=self.source.labels.ignore_index,
        )


def stack(samples: Sequence[Sample], extra: tuple[str, ...] = ()) -> Batch:
    """One batch of samples of one size."""
    pixels = torch.from_numpy(np.stack([sample.image for sample in samples]))  # (B,H,W,3)
    target = None if all(sample.target is None for sample in samples) else _stacked(samples, "target", "mask")
    return Batch(
        names=tuple(sample.name for sample in samples),
        image=pixels.permute(0, 3, 1, 2).contiguous(),
        target=target,
        extra={name: _stacked(samples, name, name) for name in extra},
    )


def _stacked(samples: Sequence[Sample], attribute: str, word: str) -> torch.Tensor:
    arrays: list[NDArray[Any]] = []
    for sample in samples:
        array = getattr(sample, attribute)
        if array is None:
            raise DataError(f"'{sample.name}' has no {word}, which this stream needs")
        arrays.append(array)
    return torch.from_numpy(np.stack(arrays))


def _start_worker(worker: int) -> None:
    """One thread; and Ctrl-C or SIGTERM, which reach the whole group, are for the main process to answer."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _context() -> BaseContext:
    """Workers are forked from a clean server that has this module loaded, never from a process that has run kernels."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
