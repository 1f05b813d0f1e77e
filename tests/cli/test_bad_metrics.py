"""What is wrong with the options of scores is said in one line, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import Cli, refused


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and truth of one picture of two classes."""
    for room in ("predicted", "true"):
        (tmp_path / room).mkdir()
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / room / "a.png")
    (tmp_path / "true" / "labels.txt").write_text("ground\npole\n")
    return tmp_path / "predicted", tmp_path / "true"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--instances", "gone"), ("gone: no such folder of masks",)),
        (("--instances", "."), ("a.png: no such mask of instances", "--replace A=B")),
        (("--boundary", "dilated"), ("--boundary dilated", "distance or matched")),
    ],
)
def test_score(
    structseg_cli: Cli, folders: tuple[Path, Path], options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    out = folders[0].parent / "scores.json"
    refused(structseg_cli, "score", *folders, *options, "--out", out, out=out, words=words)


def test_instances_of_another_size(structseg_cli: Cli, folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    Image.fromarray(np.ones((8, 9), np.uint8)).save(tmp_path / "things" / "a.png")
    out = tmp_path / "scores.json"
    words = ("things/a.png", "true/a.png", "9x8 and 8x8")
    refused(structseg_cli, "score", *folders, "--instances", tmp_path / "things", "--out", out, out=out, words=words)


def test_form_of_borders_of_a_run(structseg_cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("evaluation.boundary", "dilated")
    refused(structseg_cli, "train", "scenes_ce", "evaluation.boundary=dilated", "--out", out, out=out, words=words)


def test_scores_are_shown(structseg_cli: Cli, folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "things" / "a.png")
    done = structseg_cli("score", *folders, "--instances", tmp_path / "things", "--boundary", "matched")
    assert done.returncode == 0, done.stderr
    for line in ("boundary F      100.0  (one to one)", "boundary F      100.0  (distance transform)"):
        assert line in done.stdout
    assert "instance mIoU   100.0" in done.stdout
