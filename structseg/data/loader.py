"""Streams of batches in which order and augmentation are pure functions of (seed, stream, place).

Place p of a stream holds item `order(seed, stream, p // n, n)[p % n]` of its n items, augmented with
`place_rng(seed, stream, p)`; batch b holds places b * batch ... (b + 1) * batch - 1. So there is no sampler state to
save, the number of workers changes nothing, and a resumed run asks for `start = step`. Streams (labeled, unlabeled)
differ in their name only. With a `Balance`, a share of the places holds an item that was drawn for a class, and a crop
that shows it; the other places hold what they would without. The DataLoader draws from a generator of its own, or its
start-up would shift dropout.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, get_worker_info

from structseg.data import released
from structseg.data.balance import Balance
from structseg.data.formats import Format, read_sample
from structseg.data.transforms import Focus, augment
from structseg.errors import DataError, UserError, WorkerError, first_line
from structseg.types import Batch, Item, Sample

EXTRA = ("instances", "depth")  # arrays of a sample that a batch can carry besides picture and target
_KILLED = (
    "a loader process was killed, most often for want of memory; lower data.workers, optim.batch or data.crop "
    "(a script of your own must begin what it runs with if __name__ == '__main__', or take data.workers=0)"
)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is drawn anew for every place; see `transforms.augment` and, as published for AAF, `released.augment`."""

    crop: tuple[int, int]  # height, width
    scale: tuple[float, float] = (0.5, 2.0)
    scale_draw: str = "uniform"
    mirror: bool = True
    jitter: float = 0.0
    geometry: str = "default"  # or "released"


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
    balance: Balance | None = None,
) -> Iterator[Batch]:
    """Batches number `start` to `stop` - 1: picture (B,3,h,w) uint8, target (B,h,w) uint8, `extra` arrays by name.

    The target is None where no item has a mask. Errors of the data are raised here as they were in a worker process;
    WorkerError where such a process was ended from outside.
    """
    if not items:
        raise DataError(f"stream '{stream}': no items to draw from")
    if stray := sorted(set(extra) - set(EXTRA)):
        raise ValueError(f"extra '{stray[0]}' is not one of {EXTRA}")
    needed = tuple(_needed(item, extra) for item in items)
    drawn = _Drawn(source, needed, seed, stream, batch, augmentation, extra, balance)
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
    others = multiprocessing.active_children()
    results = iter(loader)
    started = [process for process in multiprocessing.active_children() if process not in others]
    atexit.register(_end, started)
    try:
        while (result := _next(results, started)) is not None:
            if isinstance(result, UserError):
                raise result
            yield result
    finally:
        del results  # ends the workers, also where an error's traceback keeps this frame


def _next(results: Iterator[Batch | UserError], started: list[BaseProcess]) -> Batch | UserError | None:
    """None after the last one."""
    try:
        return next(results, None)
    except (RuntimeError, OSError, EOFError) as error:  # whatever breaks first, a wait or a half-sent batch
        if str(error).startswith("DataLoader worker") or wait([process.sentinel for process in started], timeout=2):
            raise WorkerError(_KILLED) from None
        raise


def _end(processes: list[BaseProcess]) -> None:
    """At the exit, kill workers of a stream that was left open: they leave polite signals to the main process."""
    for process in processes:
        if process.is_alive():
            process.kill()


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
    balance: Balance | None

    def __getitem__(self, number: int) -> Batch | UserError:
        try:
            batch = stack([self.sample(number * self.batch + place) for place in range(self.batch)], self.extra)
            return batch if get_worker_info() is None else share(batch)
        except UserError as error:
            return error

    def sample(self, place: int) -> Sample:
        item, focus = self.chosen(place)
        chosen = self.augmentation
        rng = place_rng(self.seed, self.stream, place)
        if chosen.geometry == "released":
            return released.augment(
                read_sample(self.source, item),
                rng,
                crop=chosen.crop,
                scale=chosen.scale,
                mirror=chosen.mirror,
                ignore_index=self.source.labels.ignore_index,
            )
        return augment(
            read_sample(self.source, item),
            rng,
            crop=chosen.crop,
            scale=chosen.scale,
            scale_draw=chosen.scale_draw,
            mirror=chosen.mirror,
            jitter=chosen.jitter,
            ignore_index=self.source.labels.ignore_index,
            focus=focus,
        )

    def chosen(self, place: int) -> tuple[Item, Focus | None]:
        """The item of a place, and what its crop must show."""
        drawn = self.balance.draw(place_rng(self.seed, f"balance of {self.stream}", place)) if self.balance else None
        if drawn is not None:
            return self.items[drawn[0]], drawn[1]
        epoch, rank = divmod(place, len(self.items))
        return self.items[order(self.seed, self.stream, epoch, len(self.items))[rank]], None


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


def share(batch: Batch) -> Batch:
    """The batch in shared memory, where the main process finds it. Raises WorkerError where there is no room.

    Left to the queue of results, that failure is only printed there, and the main process waits for ever.
    """
    try:
        for array in (batch.image, batch.target, *batch.extra.values()):
            if array is not None:
                array.share_memory_()
    except (RuntimeError, OSError) as error:
        raise WorkerError(
            f"no shared memory for the batches of data.workers ({first_line(error)}); lower data.workers or "
            "optim.batch, or give the machine or container more (/dev/shm, docker run --shm-size)"
        ) from error
    return batch


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
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _end_with(main: BaseProcess | None) -> None:
    """End with the main process, even where that is killed; else workers and fork server keep each other alive."""
    if main is not None:
        main.join()
        os._exit(1)


def start_server() -> None:
    """Start the server that workers are forked from, so that it loads this module while others still check the data."""
    _context()
    forkserver.ensure_running()


def _context() -> BaseContext:
    """Workers are forked from a clean server that has this module loaded, never from a process that has run kernels."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
