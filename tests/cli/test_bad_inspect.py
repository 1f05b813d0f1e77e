"""Wrong words to `inspect` and `doctor`, and folders that cannot be inspected: one error line, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_sets import good, mask, picture
from support import Cli, refused

Words = tuple[str, ...]
CASES: dict[str, tuple[Callable[[Path], object], Words, Words]] = {
    "no folder": (lambda root: None, ("nowhere",), ("nowhere is not there",)),
    "a file": (lambda root: picture(root / "a.png", 0), ("set/a.png",), ("set/a.png is a file",)),
    "an empty folder": (lambda root: root.mkdir(), ("set",), ("set: no pictures", "images/SPLIT/")),
    "pictures alone": (lambda root: picture(root / "x/a.png", 0), ("set",), ("1 picture but no masks",)),
    "masks alone": (lambda root: mask(root / "masks/a.png"), ("set",), ("1 mask but no pictures",)),
    "unknown format": (good, ("set", "--format", "pars"), ("--format", "did you mean 'pairs'")),
    "missing table": (good, ("set", "--labels", "x.toml"), ("x.toml", "no such file")),
    "unknown class": (good, ("set", "--ignore", "bird"), ("no class 'bird'",)),
    "another key": (good, ("set", "optim.lr=1"), ("optim.lr=1", "only keys of [data]")),
    "unknown key": (good, ("set", "data.rot=1"), ("data.rot", "did you mean 'root'")),
    "wrong share": (good, ("set", "--make-split", "val=2"), ("--make-split val=2",)),
    "there are splits": (good, ("set", "--make-split", "val=0.1"), ("has splits already (test, train, val)",)),
    "there is a table": (good, ("set", "--suggest", "set/classes.txt"), ("set/classes.txt is there already",)),
    "a table is not needed": (good, ("set", "--suggest", "set/new.toml"), ("has a label table already",)),
    "negative limit": (good, ("set", "--limit", "-1"), ("--limit",)),
    "page is a folder": (good, ("set", "--out", "set/masks"), ("cannot write set/masks", "it is a folder")),
    "page in a missing place": (good, ("set", "--out", "set/classes.txt/page.html"), ("page.html",)),
}


@pytest.mark.parametrize("case", CASES)
def test_inspect_refuses(case: str, tmp_path: Path, structseg_cli: Cli) -> None:
    make, words, expected = CASES[case]
    make(tmp_path / "set")
    refused(structseg_cli, "inspect", *words, out=tmp_path / "set", words=expected)


def test_a_list_that_is_there_is_kept(tmp_path: Path, structseg_cli: Cli) -> None:
    for number in range(4):
        picture(tmp_path / f"set/photos/p{number}.jpg", number)
        mask(tmp_path / f"set/truth/p{number}.png")
    (tmp_path / "set/val.txt").write_text("mine\n")
    words = ("inspect", "set", "--make-split", "val=0.5", "--suggest", "set/labels.toml")
    refused(structseg_cli, *words, out=tmp_path / "set", words=("val.txt is there already",))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("scenes_c",), ("scenes_c",)),
        (("scenes_ce", "optim.lrr=1"), ("optim.lrr", "did you mean")),
        (("pairs_ce", "data.root=nowhere"), ("data.root", "nowhere")),
    ],
)
def test_doctor_refuses(words: Words, expected: Words, tmp_path: Path, structseg_cli: Cli) -> None:
    refused(structseg_cli, "doctor", *words, out=tmp_path / "none", words=expected)


def test_doctor_says_what_is_broken(tmp_path: Path, structseg_cli: Cli) -> None:
    small = ("data.options={size=[32,48],train=2,val=2,test=2}", "data.crop=[32,48]", "optim.batch=2")
    line = refused(
        structseg_cli, "doctor", "scenes_ce", *small, "optim.lr=1e-12", out=tmp_path / "none", words=("scenes_ce",)
    )
    assert "one batch not learned in 100 steps" in line
    assert "perhaps the steps are too small: optim.lr=1e-11" in line
