"""The street model that comes with a checkout: small, with its terms, and it predicts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hatchling.builders.sdist import SdistBuilder
from PIL import Image
from support import ROOT, Cli, refused

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
    """Of neither distribution: the model has terms of its own, and a package is under Apache-2.0 alone."""
    assert not list((ROOT / "structseg").rglob("*.safetensors"))
    files = {Path(file.distribution_path) for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    assert Path("structseg/published.py") in files
    assert not [file for file in files if file.suffix == ".safetensors"]
    assert not [file for file in files if file.is_relative_to("weights") or file.is_relative_to("docs/evidence")]
    for said in ("NOTICE", "docs/install.md"):
        assert "weights/street" in (ROOT / said).read_text()


def test_the_command(structseg_cli: Cli, tmp_path: Path) -> None:
    Image.fromarray(np.full((90, 160, 3), 128, np.uint8)).save(tmp_path / "photo.jpg")
    done = structseg_cli("predict", "street", "photo.jpg")
    assert done.returncode == 0, done.stderr
    assert "non-commercial" in done.stderr
    with Image.open(tmp_path / "predicted" / "index" / "photo.png") as mask:
        assert mask.size == (160, 90)


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "key": (("predict", "street", "photo.jpg", "inference.bogus=1", "--out", "out"), "inference.bogus"),
    "no such picture": (("predict", "street", "gone.jpg", "--out", "out"), "gone.jpg: no such file"),
    "no picture": (("predict", "street", "words.jpg", "--out", "out"), "words.jpg"),
    "stride": (("predict", "street", "photo.jpg", "--tile", "32", "inference.stride=33", "--out", "out"), "stride"),
    "data": (("evaluate", "street", "gone", "--out", "out"), "gone"),
    "classes": (("evaluate", "street", "data.format=scenes", "--out", "out"), "has no class 'Sky'"),
    "nothing named": (("evaluate", "street"), "data.root"),
    "export": (("export", "street", "inference.bogus=1", "--out", "out"), "inference.bogus"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_the_one_line(case: str, structseg_cli: Cli, tmp_path: Path) -> None:
    words, said = WRONG[case]
    Image.new("RGB", (48, 40)).save(tmp_path / "photo.jpg")
    (tmp_path / "words.jpg").write_text("no picture")
    refused(structseg_cli, *words, out=tmp_path / "out", words=(said,))


def test_a_folder_of_pictures_of_its_name_hides_it_not(structseg_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "street").mkdir()
    Image.new("RGB", (48, 40)).save(tmp_path / "street" / "photo.jpg")
    done = structseg_cli("predict", "street", "street", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "index" / "photo.png").is_file()
    refused(structseg_cli, "evaluate", "street", out=tmp_path / "street", words=("data.root",))


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
        f"(here: none; the folder of one goes into {home}); it comes with a checkout of the repository: copy its "
        f"folder weights/street, so that {home}/street/config.toml exists\n"
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
