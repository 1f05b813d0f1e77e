"""Dense CRFs through the installed command: what is refused in one line, and a score that says what it is of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support import TINY_SCENES, Cli, refused

from structseg.report.read import read


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on small scenes."""
    from structseg.recipes import read
    from structseg.training.run import train

    folder = tmp_path_factory.mktemp("trained") / "run"
    train(read("scenes_ce", TINY_SCENES), out=folder, quiet=True)
    return folder


WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "no steps": ("inference.crf_steps=0", ("inference.crf_steps", "0", "greater than")),
    "negative width": ("inference.crf_gaussian=[-3,3]", ("inference.crf_gaussian", "-3", "greater than 0")),
    "negative strength": ("inference.crf_bilateral=[80,13,-1]", ("inference.crf_bilateral", "-1", "greater than")),
    "too few numbers": ("inference.crf_bilateral=[80,13]", ("inference.crf_bilateral", "missing")),
    "no switch": ("inference.crf=10", ("inference.crf", "10", "boolean")),
    "misspelt key": ("inference.crf_bilaterl=[80,13,10]", ("crf_bilaterl", "did you mean 'crf_bilateral'")),
    "tiny width": ("inference.crf_bilateral=[0.01,13,3]", ("widths of a dense CRF are too small", "raise sxy or srgb")),
    "width of no float32": ("inference.crf_gaussian=[1e-40,3]", ("inference.crf_gaussian", "sxy 1e-40", "from 0.001")),
    "endless width": ("inference.crf_gaussian=[1e40,3]", ("inference.crf_gaussian", "sxy 1e+40", "to 1e+06")),
    "endless strength": ("inference.crf_gaussian=[3,1e40]", ("inference.crf_gaussian", "compatibility 1e+40", "1e+06")),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_crf(structseg_cli: Cli, run: Path, tmp_path: Path, name: str) -> None:
    word, words = WRONG[name]
    out = tmp_path / "scored"
    refused(structseg_cli, "evaluate", run, "inference.crf=true", word, "--out", out, out=out, words=words)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        (
            "inference.crf_bilateral=[0.01,0.01,3]",
            ("inference.crf_bilateral", "48x32", "spans 25500", "raise sxy or srgb"),
        ),
        ("inference.crf_gaussian=[1e-40,3]", ("inference.crf_gaussian", "sxy 1e-40", "from 0.001")),
        ("inference.crf_gaussian=[1e40,3]", ("inference.crf_gaussian", "sxy 1e+40", "to 1e+06")),
    ],
)
def test_a_run_is_refused_before_it_starts(
    structseg_cli: Cli, tmp_path: Path, word: str, words: tuple[str, ...]
) -> None:
    out = tmp_path / "run"
    given = ("train", "scenes_ce", *TINY_SCENES, "inference.crf=true", word)
    refused(structseg_cli, *given, "--out", out, out=out, words=words)


def test_a_score_with_a_crf_says_so(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    done = structseg_cli("evaluate", run, "inference.crf=true", "inference.crf_steps=3", "--out", tmp_path / "scored")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "scored" / "metrics.json").read_text())
    assert " · dense CRF of 3 steps, gaussian 3 3, bilateral 80 13 10 · " in metrics["protocol"]
    before = json.loads((run / "metrics.json").read_text())
    assert " · no CRF · " in before["protocol"]
    assert metrics["iou"] != before["iou"]


def test_scores_with_a_crf_stand_beside_the_run(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    """The folder is read like a run: settings with the difference, the run's facts, paired with the run's pictures."""
    scored = tmp_path / "refined"
    done = structseg_cli("evaluate", run, "inference.crf=true", "inference.crf_steps=3", "--out", scored)
    assert done.returncode == 0, done.stderr
    again = read(scored)
    assert (again.config["inference"]["crf"], again.config["inference"]["crf_steps"]) == (True, 3)
    assert again.meta == read(run).meta
    table = tmp_path / "table.md"
    done = structseg_cli("compare", run, scored, "--baseline", "run", "--markdown", table, "--out", tmp_path / "c.html")
    assert done.returncode == 0, done.stderr
    assert "| refined − run |" in table.read_text()


def test_scores_never_lie_over_another_run(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    before = {path.name: path.read_bytes() for path in other.iterdir() if path.is_file()}
    done = structseg_cli("evaluate", run, "inference.crf=true", "--out", other)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("holds a run of its own; choose another folder for these scores")
    assert {path.name: path.read_bytes() for path in other.iterdir() if path.is_file()} == before
