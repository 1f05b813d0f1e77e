"""`structseg inspect` and `structseg doctor` as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from inspect_sets import good, mask, picture
from support import Cli

from structseg.data.fingerprint import fingerprint
from structseg.data.formats.pairs import Pairs
from structseg.data.splits import write_lists
from structseg.errors import DataError


def test_a_good_folder(tmp_path: Path, structseg_cli: Cli) -> None:
    good(tmp_path / "set")
    done = structseg_cli("inspect", "set", "--out", "page.html", "--json", "found.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith(
        "set: Ready to train.\n12 pictures opened · splits train 4, val 4, test 4 · 3 classes"
    )
    assert "Size           32×24" in done.stdout
    assert "next: structseg train pairs_aaf data.root=set --dry-run" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["findings"] == []
    assert found["classes"][0]["pictures"] == {"test": 4, "train": 4, "val": 4}
    assert "sheet" not in found
    page = (tmp_path / "page.html").read_text()
    assert "Ready to train." in page
    assert "data:image/jpeg;base64," in page


def test_a_broken_folder_prints_everything_and_ends_with_2(tmp_path: Path, structseg_cli: Cli) -> None:
    good(tmp_path / "set")
    mask(tmp_path / "set/masks/train/train0.png", (0, 77))
    (tmp_path / "set/masks/val/val1.png").unlink()
    done = structseg_cli("inspect", "set", "--out", "page.html", "--json", "found.json")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: set: split 'val': 1 picture of 4 without a mask")
    assert line.endswith("(first of 2 findings that stop training)")
    assert "✗ error: value not in the label table classes.txt: 77 (384 pixels in 1)" in done.stdout
    assert "masks/train/train0.png" in done.stdout
    assert "Not ready to train: 2 findings to mend." in (tmp_path / "page.html").read_text()
    assert json.loads((tmp_path / "found.json").read_text())["strays"][0]["value"] == "77"


def test_from_loose_files_to_a_run(tmp_path: Path, structseg_cli: Cli) -> None:
    """A folder of pictures and masks: a table, lists, and then a run that can be made."""
    for number in range(10):
        picture(tmp_path / f"set/photos/p{number}.jpg", number)
        mask(tmp_path / f"set/truth/p{number}.png")
    done = structseg_cli("inspect", "set")
    assert done.returncode == 2
    assert "suggested label table:" in done.stdout
    assert "next: structseg inspect set --suggest set/labels.toml" in done.stdout
    done = structseg_cli("inspect", "set", "--suggest", "set/labels.toml", "--make-split", "val=0.3")
    assert done.returncode == 0, done.stderr
    assert "lists written to set: train.txt (7), val.txt (3)" in done.stdout
    done = structseg_cli("inspect", "set")
    assert done.returncode == 0, done.stderr + done.stdout
    small = ("data.crop=[32,32]", "model.backbone_options={depth=10,width=8}", "model.head_options={width=8}")
    done = structseg_cli("train", "pairs_ce", "data.root=set", *small, "optim.batch=2", "optim.steps=8", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "7 to train on" in done.stdout


def test_names_that_are_no_utf8(tmp_path: Path, structseg_cli: Cli) -> None:
    root = good(tmp_path / "set")
    for kind in ("images", "masks"):
        old = root / kind / "val" / "val1.png"
        old.rename(old.with_name(os.fsdecode(b"stra\xdfe.png")))
    done = structseg_cli("inspect", "set", "--out", "page.html", "--json", "found.json")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert r"stra\udcdfe.png" in page
    json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    data = Pairs(root=root)
    assert fingerprint(data, "val") != fingerprint(data, "train")
    with pytest.raises(DataError, match="no UTF-8"):
        write_lists(root, data.items("val"), ["train"] * 4)


def test_a_terminal_that_lacks_a_sign(tmp_path: Path, structseg_cli: Cli) -> None:
    good(tmp_path / "set")
    done = structseg_cli("inspect", "set", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert r"12 pictures opened \xb7 splits" in done.stdout


def test_other_options(tmp_path: Path, structseg_cli: Cli) -> None:
    good(tmp_path / "set")
    shutil.move(tmp_path / "set/classes.txt", tmp_path / "table.txt")
    words = ("--labels", "table.txt", "--ignore", "sky", "--limit", "2", "--format", "pairs")
    done = structseg_cli("inspect", "set", *words, "data.options.group='^(.*)\\d'")
    assert done.returncode == 0, done.stderr
    assert "6 pictures opened of 12 listed · splits train 4, val 4, test 4 · 2 classes" in done.stdout
    assert "Groups         train 1, val 1, test 1" in done.stdout
    done = structseg_cli("inspect", "scenes", "--limit", "3", "data.options.size=[48,64]")
    assert done.returncode == 0, done.stderr
    assert "Depth" in done.stdout


def test_doctor(tmp_path: Path, structseg_cli: Cli) -> None:
    small = ("data.options={size=[48,64],train=4,val=2,test=2}", "data.crop=[48,64]", "optim.batch=2")
    done = structseg_cli("doctor", "scenes_ce", *small)
    assert done.returncode == 0, done.stderr + done.stdout
    *checks, learning = done.stdout.splitlines()
    assert {line.split()[1] for line in checks} >= {"python", "torch", "numba", "threads", "gpu", "memory", "disk"}
    assert "one batch learned in" in learning
