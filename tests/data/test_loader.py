"""A batch is a pure function of (seed, stream, number): not of start, workers or global generators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from structseg.config import DataConfig
from structseg.data import Format, open_format
from structseg.data.loader import Augmentation, batches, order, place_rng, share
from structseg.errors import DataError, WorkerError
from structseg.types import Batch

CROP = Augmentation(crop=(24, 32), scale=(0.5, 2), jitter=0.3)


@pytest.fixture(scope="module")
def scenes() -> Format:
    return open_format(DataConfig(format="scenes", options={"size": (32, 48), "train": 7, "val": 3}))


def run(
    source: Format,
    *,
    start: int = 0,
    stop: int = 6,
    workers: int = 0,
    stream: str = "labeled",
    seed: int = 0,
    extra: tuple[str, ...] = (),
) -> Iterator[Batch]:
    return batches(
        source,
        source.items("train"),
        seed=seed,
        stream=stream,
        batch=3,
        start=start,
        stop=stop,
        augmentation=CROP,
        workers=workers,
        extra=extra,
    )


def assert_equal(first: Batch, second: Batch) -> None:
    assert first.names == second.names
    assert torch.equal(first.image, second.image)
    assert first.target is not None
    assert second.target is not None
    assert torch.equal(first.target, second.target)
    assert first.extra.keys() == second.extra.keys()
    assert all(torch.equal(first.extra[name], second.extra[name]) for name in first.extra)


def test_shapes_and_types(scenes: Format) -> None:
    batch = next(run(scenes, extra=("instances", "depth")))
    assert batch.target is not None
    assert batch.image.shape == (3, 3, 24, 32)
    assert batch.image.dtype == batch.target.dtype == torch.uint8
    assert batch.image.is_contiguous()
    assert batch.target.shape == (3, 24, 32)
    assert batch.extra["instances"].dtype == torch.int32
    assert batch.extra["depth"].dtype == torch.float32
    assert len(list(run(scenes, start=2, stop=6))) == 4
    assert list(run(scenes, start=6, stop=6)) == []


def test_workers_and_start_change_nothing(scenes: Format) -> None:
    straight = list(run(scenes, extra=("depth",)))
    state = torch.get_rng_state()
    for start, workers in ((0, 2), (4, 0), (4, 2)):
        found = list(run(scenes, start=start, workers=workers, extra=("depth",)))
        assert len(found) == 6 - start
        for first, second in zip(straight[start:], found, strict=True):
            assert_equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_and_streams_differ(scenes: Format) -> None:
    first = next(run(scenes))
    for other in (next(run(scenes, seed=1)), next(run(scenes, stream="unlabeled"))):
        assert not torch.equal(first.image, other.image)


def test_every_item_comes_once_an_epoch(scenes: Format) -> None:
    names = [name for batch in run(scenes, stop=7) for name in batch.names]  # 21 places, 3 epochs of 7 items
    assert set(Counter(names).values()) == {3}
    for epoch in range(3):
        assert len(set(names[7 * epoch : 7 * epoch + 7])) == 7


@given(st.integers(0, 2**40), st.integers(0, 10**9), st.integers(1, 50))
def test_order_is_a_permutation(seed: int, epoch: int, n: int) -> None:
    assert sorted(order(seed, "s", epoch, n).tolist()) == list(range(n))


def test_place_rng_is_pinned() -> None:
    """The key is BLAKE2b of 'seed/stream/place' and the generator Philox: a change breaks every resumed run."""
    assert place_rng(0, "labeled", 0).integers(0, 1000, 4).tolist() == PINNED
    draws = {place_rng(s, t, p).integers(2**62) for s in range(3) for t in ("a", "b") for p in range(3)}
    assert len(draws) == 18


PINNED = [932, 97, 754, 790]


def test_first_draws_of_places_are_uniform() -> None:
    draws = np.array([place_rng(0, "labeled", place).random() for place in range(4000)])
    assert np.abs(np.histogram(draws, 10, (0, 1))[0] - 400).max() < 5 * np.sqrt(400)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.08


# ------------------------------------------------------------------------------------------------ errors


def broken(folder: Path) -> Format:
    """Four pictures, one mask with a stray value."""
    for name in "abcd":
        for kind in ("images", "masks"):
            (folder / kind / "train").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24)).save(folder / f"images/train/{name}.png")
        Image.new("L", (32, 24), 9 if name == "c" else 0).save(folder / f"masks/train/{name}.png")
    (folder / "classes.txt").write_text("ground\nthing\n")
    return open_format(DataConfig(root=str(folder)))


@pytest.mark.parametrize("workers", [0, 2])
def test_data_errors_are_the_same_from_a_worker(tmp_path: Path, workers: int) -> None:
    source = broken(tmp_path)
    with pytest.raises(DataError) as caught:
        list(run(source, workers=workers))
    table = tmp_path / "classes.txt"
    assert str(caught.value) == (
        f"{tmp_path / 'masks/train/c.png'}: value 9 (768 pixels) not in the label table {table}; "
        f"add it, or list it under ignore"
    )


def test_a_full_shared_memory_is_one_line(scenes: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)\nand more")

    batch = next(run(scenes))
    assert share(batch).image.is_shared()
    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(WorkerError) as caught:
        share(batch)
    for part in ("No space left on device", "lower data.workers", "--shm-size"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_streams_that_cannot_be(scenes: Format) -> None:
    with pytest.raises(DataError, match="stream 'labeled': no items"):
        batches(scenes, (), seed=0, stream="labeled", batch=1, start=0, stop=1, augmentation=CROP)
    with pytest.raises(ValueError, match="extra 'heat' is not one of"):
        run(scenes, extra=("heat",))


def test_what_a_stream_lacks(tmp_path: Path) -> None:
    source = broken(tmp_path)
    with pytest.raises(DataError, match="has no depth, which this stream needs"):
        list(run(source, extra=("depth",), stop=1, seed=seed_without_c(source)))
    (tmp_path / "train.txt").write_text("images/train/a.png\nimages/train/b.png\n")
    assert next(run(source, stop=1)).target is None
    (tmp_path / "train.txt").write_text("images/train/a.png\nimages/train/b.png masks/train/b.png\n")
    with pytest.raises(DataError, match="'images/train/a' has no mask, which this stream needs"):
        list(run(source, stop=1))


def seed_without_c(source: Format) -> int:
    names = [item.name for item in source.items("train")]
    return next(seed for seed in range(99) if "c" not in [names[i] for i in order(seed, "labeled", 0, 4)[:3]])
