"""Balanced places: the share of them, which class, item and pixel, and nothing else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from structseg.config import DataConfig
from structseg.data import Format, open_format
from structseg.data import balance as module
from structseg.data.balance import Balance, balance
from structseg.data.loader import Augmentation, batches, place_rng
from structseg.data.transforms import Focus, augment, choose_window, warp_nearest, window_on
from structseg.errors import DataError
from structseg.types import Batch, Sample

CROP = Augmentation(crop=(16, 16), scale=(0.5, 2), jitter=0.2)
PLACES = {"a": (), "b": (), "c": ((20, 30),), "d": (), "e": ((2, 3), (2, 4), (35, 44))}  # of class 1


@pytest.fixture
def source(tmp_path: Path) -> Format:
    """Five pictures of 40x48; class 1 has a few pixels in two of them, class 2 is in none."""
    return make(tmp_path / "set")


def make(root: Path, **keys: Any) -> Format:
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind / "train").mkdir(parents=True, exist_ok=True)
    for name, places in PLACES.items():
        mask = np.zeros((40, 48), np.uint8)
        for place in places:
            mask[place] = 1
        Image.fromarray(mask).save(root / "masks/train" / f"{name}.png")
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(root / "images/train" / f"{name}.png")
    (root / "classes.txt").write_text("ground\nthing\nnever\n")
    return open_format(DataConfig(root=str(root), **keys))


def run(source: Format, chosen: Balance | None, *, start: int = 0, stop: int = 30, workers: int = 0) -> Iterator[Batch]:
    return batches(
        source,
        source.items("train"),
        seed=3,
        stream="labeled",
        batch=4,
        start=start,
        stop=stop,
        augmentation=CROP,
        workers=workers,
        balance=chosen,
    )


def assert_equal(first: Batch, second: Batch) -> None:
    assert first.names == second.names
    assert torch.equal(first.image, second.image)
    assert first.target is not None
    assert second.target is not None
    assert torch.equal(first.target, second.target)


def having_things(stream: Iterator[Batch]) -> list[bool]:
    """Whether each crop has a pixel of class 1."""
    targets = [batch.target for batch in stream]
    return [bool((target == 1).any()) for stacked in targets if stacked is not None for target in stacked]


def test_which_item_has_which_class(source: Format) -> None:
    found = balance(source, source.items("train"), 0.5, threads=2)
    assert found is not None
    assert found.classes == (0, 1)
    assert [places.tolist() for places in found.places] == [[0, 1, 2, 3, 4], [2, 4]]
    assert balance(source, source.items("train"), 0.0) is None


def test_classes_and_items_come_alike(source: Format) -> None:
    chosen = balance(source, source.items("train"), 0.6)
    assert chosen is not None
    draws = [chosen.draw(place_rng(0, "t", place)) for place in range(6000)]
    drawn = [draw for draw in draws if draw is not None]
    assert abs(len(drawn) - 3600) < 5 * np.sqrt(6000 * 0.6 * 0.4)
    classes = Counter(focus.number for _, focus in drawn)
    assert abs(classes[0] - classes[1]) < 5 * np.sqrt(len(drawn))
    things = Counter(item for item, focus in drawn if focus.number == 1)
    assert set(things) == {2, 4}
    assert abs(things[2] - things[4]) < 5 * np.sqrt(classes[1])
    assert all(chosen.draw(place_rng(0, "t", place)) == draws[place] for place in range(99))


def test_every_drawn_crop_shows_its_class(source: Format) -> None:
    everything = balance(source, source.items("train"), 1.0)
    assert everything is not None
    only = Balance(1.0, (1,), everything.places[1:])
    shown = having_things(run(source, only))
    assert len(shown) == 120
    # a pixel can be lost in halving, never otherwise; the ratio of lost pixels at scales 0.5 to 1 is a half at most
    assert 80 < sum(shown) < 120
    assert sum(having_things(run(source, None))) < 30


@given(
    st.integers(2, 40),
    st.integers(2, 40),
    st.floats(0.3, 3),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.floats(0, 0.999),
    st.floats(0, 0.999),
    st.floats(0, 0.999),
    st.integers(0, 99),
)
def test_a_window_shows_the_class_where_the_resize_leaves_it(
    height: int, width: int, factor: float, crop: tuple[int, int], top: float, left: float, share: float, seed: int
) -> None:
    target = (np.random.default_rng(seed).random((height, width)) < 0.05).astype(np.uint8)
    plain = choose_window(target.shape, factor, crop, top, left)
    found = window_on(target, Focus(1, share), plain, top, left)
    whole = warp_nearest(target, plain._replace(y=0, x=0, height=plain.size[0], width=plain.size[1]))
    if not whole.any():
        assert found == plain
        return
    assert found._replace(y=plain.y, x=plain.x) == plain
    assert 0 <= found.y <= found.size[0] - found.height
    assert 0 <= found.x <= found.size[1] - found.width
    assert (warp_nearest(target, found) == 1).any()


def test_every_pixel_and_every_place_of_the_window_is_drawn() -> None:
    target = np.zeros((9, 9), np.uint8)
    target[4, 4] = target[8, 0] = 1
    rng = np.random.default_rng(0)
    plain = choose_window((9, 9), 1, (3, 3), 0, 0)
    found = {window_on(target, Focus(1, rng.random()), plain, *rng.random(2))[1:3] for _ in range(500)}
    assert found == {(y, x) for y in (2, 3, 4) for x in (2, 3, 4)} | {(6, 0)}


def test_without_target_or_class_nothing_changes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    for target in (None, np.zeros((20, 20), np.uint8)):
        made = [
            augment(
                Sample("s", image, target),
                place_rng(0, "t", 0),
                crop=(8, 8),
                scale=(0.5, 2),
                mirror=True,
                jitter=0,
                ignore_index=255,
                focus=focus,
            ).image
            for focus in (None, Focus(1, 0.5))
        ]
        np.testing.assert_array_equal(*made)


def test_places_in_order_stay_as_they_are(source: Format) -> None:
    some = balance(source, source.items("train"), 0.3)
    assert some is not None
    drawn = [some.draw(place_rng(3, "balance of labeled", place)) is not None for place in range(120)]
    assert 0 < sum(drawn) < 120
    for number, (plain, mixed) in enumerate(zip(run(source, None), run(source, some), strict=True)):
        for place in range(4):
            if not drawn[4 * number + place]:
                assert plain.names[place] == mixed.names[place]
                assert torch.equal(plain.image[place], mixed.image[place])


def test_workers_and_start_change_nothing(source: Format) -> None:
    some = balance(source, source.items("train"), 0.7)
    straight = list(run(source, some, stop=8))
    for first, second in zip(straight[3:], run(source, some, start=3, stop=8, workers=2), strict=True):
        assert_equal(first, second)


def test_the_count_is_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(tmp_path / "set", cache=str(tmp_path / "cache"))
    first = balance(source, source.items("train"), 0.5)
    assert first is not None
    (kept,) = (tmp_path / "cache").glob("classes-*.npy")

    def refuse(*_: object) -> None:
        raise AssertionError("reads a mask")

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_target", refuse)
        second = balance(source, source.items("train"), 0.5)
    assert second is not None
    assert [places.tolist() for places in second.places] == [places.tolist() for places in first.places]
    kept.write_bytes(b"damaged")
    third = balance(source, source.items("train"), 0.5)
    assert third is not None
    assert third.places[1].tolist() == [2, 4]
    Image.new("L", (48, 40), 1).save(tmp_path / "set/masks/train/a.png")
    fourth = balance(source, source.items("train"), 0.5)
    assert fourth is not None
    assert fourth.places[1].tolist() == [0, 2, 4]


def test_of_many_items_a_spread_is_looked_at(source: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    found = balance(source, source.items("train"), 0.5)
    assert found is not None
    assert [places.tolist() for places in found.places] == [[0, 2, 4], [2, 4]]


def test_what_cannot_be_balanced(tmp_path: Path, source: Format) -> None:
    for name in PLACES:
        Image.new("L", (48, 40), 255).save(tmp_path / f"set/masks/train/{name}.png")
    (tmp_path / "set/classes.txt").write_text("ground\nthing\n255 void\n")
    again = open_format(DataConfig(root=str(tmp_path / "set")))
    with pytest.raises(DataError, match=r"data\.balance: no pixel of 5 masks has a label"):
        balance(again, again.items("train"), 0.5)
    (tmp_path / "set/train.txt").write_text("images/train/a.png\n")
    with pytest.raises(DataError, match="has no mask to count classes in"):
        balance(source, source.items("train"), 0.5)


def test_scale_by_its_logarithm() -> None:
    """Half of all factors lie below 1, where the uniform draw has a third."""
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, :20] = 255
    below = Counter[str]()
    for draw in ("uniform", "log"):
        for place in range(400):
            made = augment(
                Sample("s", image),
                place_rng(0, "t", place),
                crop=(80, 80),
                scale=(0.5, 2),
                scale_draw=draw,
                mirror=False,
                jitter=0,
                ignore_index=255,
            )
            below[draw] += int((made.image[0, :, 0] == 255).sum() < 20)
    assert abs(below["log"] - 200) < 40
    assert abs(below["uniform"] - 133) < 40
