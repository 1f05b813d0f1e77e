"""New lists of splits: shares, nesting, clusters kept together, nothing overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspect_sets import TABLE, look, mask, picture

from structseg.data.formats.pairs import Pairs
from structseg.data.inspect import split
from structseg.data.splits import assign, parse_shares
from structseg.errors import ConfigError, DataError


def test_shares_are_parsed() -> None:
    assert parse_shares("val=0.1") == {"val": 0.1}
    assert parse_shares("val=0.1, test=0.2") == {"val": 0.1, "test": 0.2}
    assert parse_shares("0.7,0.1,0.2") == {"val": 0.1, "test": 0.2}
    for text, words in {
        "half": "write val=0.1",
        "val=": "write val=0.1",
        "val=1": "leave something to train on",
        "val=0.6,test=0.6": "add up to 1.2",
        "0.5,0.1,0.1": "add up to 0.7",
        "dev=0.1": "write val=0.1",
        "val=-0.1": "write val=0.1",
    }.items():
        with pytest.raises(ConfigError, match=words):
            parse_shares(text)


@given(
    st.lists(st.integers(0, 12), min_size=30, max_size=120),
    st.floats(0.05, 0.3),
    st.floats(0.05, 0.3),
    st.integers(0, 5),
)
def test_assignment(clusters: list[int], small: float, more: float, seed: int) -> None:
    names = [f"n{place:03d}" for place in range(len(clusters))]
    if len(set(clusters)) < 4:
        return
    chosen = assign(names, clusters, {"test": 0.1, "val": small}, seed=seed)
    for cluster in set(clusters):
        assert len({split for split, own in zip(chosen, clusters, strict=True) if own == cluster}) == 1
    assert set(chosen) == {"train", "val", "test"}
    wider = assign(names, clusters, {"test": 0.1, "val": small + more}, seed=seed)
    assert {n for n, s in zip(names, chosen, strict=True) if s == "val"} <= {
        n for n, s in zip(names, wider, strict=True) if s == "val"
    }
    assert [s == "test" for s in chosen] == [s == "test" for s in wider]
    backwards = assign(names[::-1], clusters[::-1], {"test": 0.1, "val": small}, seed=seed)
    assert backwards[::-1] == chosen  # the order of the files does not matter


def test_shares_are_met_where_every_picture_stands_alone() -> None:
    names = [f"n{place}" for place in range(1000)]
    chosen = assign(names, list(range(1000)), {"val": 0.1, "test": 0.25}, seed=0)
    assert (chosen.count("val"), chosen.count("test")) == (100, 250)
    assert chosen != assign(names, list(range(1000)), {"val": 0.1, "test": 0.25}, seed=1)
    kept = dict(zip(names, chosen, strict=True))
    fewer = assign(names[:900], list(range(900)), {"val": 0.1, "test": 0.25}, seed=0)
    same = sum(kept[name] == now for name, now in zip(names[:900], fewer, strict=True))
    assert same > 850  # most stay where they were when pictures are taken away


def loose(root: Path, count: int = 12) -> Path:
    for number in range(count):
        picture(root / f"images/p {number:02d}.png", number)
        mask(root / f"masks/p {number:02d}.png")
    (root / "classes.txt").write_text(TABLE)
    return root


def test_lists_are_written_and_read_by_pairs(tmp_path: Path) -> None:
    loose(tmp_path)
    for name in ("images/p 05.png", "images/p 08.png"):
        shutil.copy(tmp_path / "images/p 00.png", tmp_path / name)
    counts = split.make(look(tmp_path).looks, tmp_path, {"val": 0.25, "test": 0.25}, seed=3)
    assert sum(counts.values()) == 12
    source = Pairs(root=tmp_path)
    held = {name: {item.name for item in source.items(name)} for name in source.splits()}
    assert set(held) == {"train", "val", "test"}
    assert set.union(*held.values()) == {f"images/p {number:02d}" for number in range(12)}
    copies = {"images/p 00", "images/p 05", "images/p 08"}
    assert [len(names & copies) for names in held.values()].count(3) == 1
    again = look(tmp_path)
    assert not again.broken
    assert not [finding for finding in again.findings if "leak" in finding.kind]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    loose(tmp_path)
    (tmp_path / "val.txt").write_text("mine")
    found = look(tmp_path)
    with pytest.raises(DataError, match=r"val\.txt is there already"):
        split.make(found.looks, tmp_path, {"val": 0.25}, seed=0)
    assert (tmp_path / "val.txt").read_text() == "mine"
    assert not (tmp_path / "train.txt").exists()
    with pytest.raises(DataError, match="too few for 2 splits"):
        assign(["a", "b"], [0, 0], {"val": 0.5}, seed=0)
