"""The street model that comes with a checkout: small, with its terms, and it predicts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import ROOT, Cli

import structseg
from structseg.config import DataConfig
from structseg.data import open_format
from structseg.metrics import ConfusionMatrix

FOLDER = ROOT / "weights" / "street"


def test_small_and_with_terms(capsys: pytest.CaptureFixture[str]) -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 8e6
    assert "non-commercial" in (FOLDER / "README.md").read_text()
    model = structseg.load("street")
    assert capsys.readouterr().err.count("non-commercial") == 1
    assert model.labels.names[3] == "Road"


def test_it_is_no_part_of_the_package() -> None:
    assert not list((ROOT / "structseg").rglob("*.safetensors"))


def test_the_command(structseg_cli: Cli, tmp_path: Path) -> None:
    Image.fromarray(np.full((90, 160, 3), 128, np.uint8)).save(tmp_path / "photo.jpg")
    done = structseg_cli("predict", "street", "photo.jpg")
    assert done.returncode == 0, done.stderr
    assert "non-commercial" in done.stderr
    with Image.open(tmp_path / "predicted" / "index" / "photo.png") as mask:
        assert mask.size == (160, 90)


@pytest.mark.smoke
def test_the_package_alone_says_where_it_goes(tmp_path: Path) -> None:
    """As from a wheel: no checkout around the package."""
    shutil.copytree(ROOT / "structseg", tmp_path / "site" / "structseg", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "photo.jpg").touch()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def python(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    home = tmp_path / "cache" / "structseg"
    done = python("-m", "structseg", "predict", "street", "photo.jpg")
    assert done.returncode == 2
    assert done.stderr == (
        "error: street: no such run folder or weight file, nor a published model "
        f"(here: none; the folder of one goes into {home}); it comes with a checkout of the repository: copy "
        f"weights/street from one into {home}\n"
    )
    done = python("-m", "structseg", "download", "street", "--out", "models")
    assert done.returncode == 2
    assert "there is no download 'street'; it comes with a checkout" in done.stderr
    assert not (tmp_path / "predicted").exists()
    shutil.copytree(FOLDER, home / "street")
    done = python("-c", "import structseg; print(structseg.__file__, structseg.load('street').labels.names[3])")
    assert done.stdout.split() == [str(tmp_path / "site" / "structseg" / "__init__.py"), "Road"], done.stderr


@pytest.mark.smoke
def test_its_score_on_camvid(data_root: Path) -> None:
    """On every eighth test picture, as it comes."""
    dataset = open_format(DataConfig(format="camvid", root=str(data_root / "camvid")))
    model = structseg.load("street")
    counts = ConfusionMatrix(dataset.labels.num_classes, dataset.labels.ignore_index)
    for item in dataset.items("test")[::8]:
        sample = dataset.read(item)
        (prediction,) = structseg.predict(model, sample.image)
        assert sample.target is not None
        counts.update(prediction.classes, sample.target)
    assert counts.scores()["miou"] > 0.55
