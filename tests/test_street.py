"""The street model that comes with a checkout: small, with its terms, and it predicts."""

from __future__ import annotations

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
