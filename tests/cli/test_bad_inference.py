"""Wrong ways to predict, through the installed command: one `error:` line, exit code 2, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import TINY_SCENES, Cli, refused

RELEASED = ("inference.tiling=released", "inference.tile=40", "inference.stride=24")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on small scenes."""
    from structseg.recipes import read
    from structseg.training.run import train

    folder = tmp_path_factory.mktemp("trained") / "run"
    train(read("scenes_ce", TINY_SCENES), out=folder, quiet=True)
    return folder


WRONG: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown tiling": (("inference.tiling=sliding",), ("inference.tiling", "sliding", "'blended' or 'released'")),
    "released without tiles": (("inference.tiling=released",), ("inference.tiling", "inference.tile", "480")),
    "stride of nothing": (("inference.tile=32", "inference.stride=0"), ("inference.stride", "0", "greater than")),
    "stride with gaps": (
        ("inference.tile=32", "inference.stride=33"),
        ("inference.stride = 33", "inference.tile = 32"),
    ),
    "stride of half a pixel": (("inference.tile=32", "inference.stride=0.5"), ("inference.stride", "integer")),
    "unknown precision": (("inference.precision=float16",), ("inference.precision", "float16", "bfloat16")),
    "misspelt key": (("inference.strid=32",), ("inference.strid", "did you mean 'stride'")),
}


CASES = [("predict", name) for name in WRONG] + [("evaluate", "released without tiles"), ("evaluate", "misspelt key")]


@pytest.mark.parametrize(("verb", "name"), CASES)
def test_wrong_inference(structseg_cli: Cli, run: Path, tmp_path: Path, verb: str, name: str) -> None:
    differences, words = WRONG[name]
    Image.new("RGB", (48, 40)).save(tmp_path / "a.jpg")
    pictures = (tmp_path / "a.jpg",) if verb == "predict" else ()
    out = tmp_path / "out"
    refused(structseg_cli, verb, run, *pictures, *differences, "--out", out, out=out, words=words)


def test_a_run_is_refused_before_it_starts(structseg_cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("inference.tiling", "inference.tile")
    refused(
        structseg_cli,
        "train",
        "scenes_ce",
        *TINY_SCENES,
        "inference.tiling=released",
        "--out",
        out,
        out=out,
        words=words,
    )


def test_predict_changes_inference_alone(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (48, 40)).save(tmp_path / "a.jpg")
    out = tmp_path / "out"
    for word, words in (
        ("seed=3", ("seed", "only inference.* may differ")),
        ("inferense.mirror=true", ("inferense.mirror", "inference")),
        ("b=c.jpg", ("unknown key 'b'",)),
    ):
        refused(structseg_cli, "predict", run, tmp_path / "a.jpg", word, "--out", out, out=out, words=words)
    refused(structseg_cli, "predict", run, *RELEASED, "--out", out, out=out, words=("no picture to predict",))


def test_the_same_released_way_in_both_verbs(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    """Tiles larger than the picture (32x48) work; a file may have = in its name."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a=b.png")
    done = structseg_cli("predict", run, "a=b.png", *RELEASED, "--out", "masks", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "masks" / "index" / "a=b.png") as mask:
        assert mask.size == (48, 32)
    done = structseg_cli("evaluate", run, *RELEASED, "--out", tmp_path / "scored")
    assert done.returncode == 0, done.stderr
    protocol = json.loads((tmp_path / "scored" / "metrics.json").read_text())["protocol"]
    assert "tiles 40 px every 24 px as released" in protocol
