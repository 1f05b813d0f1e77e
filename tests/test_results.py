"""The tables of docs/results.md are those that `structseg compare` makes of the scores and counts in docs/evidence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT

from structseg.metrics.scores import boundary_scores, scores
from structseg.report import compare, markdown
from structseg.report.read import read

STUDIES = sorted(path for path in (ROOT / "docs" / "evidence").iterdir() if path.is_dir())
WITHOUT_COUNTS = ("camvid_first",)  # theirs were lost: docs/evidence/README.md
RUNS = [run for study in STUDIES if study.name not in WITHOUT_COUNTS for run in sorted(study.iterdir())]


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_every_row_is_made_of_the_runs(study: Path) -> None:
    runs = sorted(study.iterdir())
    baseline = next(run.name for run in runs if run.name.endswith("_ce_0"))
    made = markdown(compare(runs, baseline=baseline))
    known = set((ROOT / "docs" / "results.md").read_text().splitlines())
    rows = [line for line in made.splitlines() if line.startswith("|")]
    assert [line for line in rows if line not in known] == []


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_scores_are_those_of_the_counts(path: Path) -> None:
    run = read(path)
    assert run.counts is not None
    assert run.counts.boundary is not None
    found = scores(run.counts.confusion.sum(0))
    assert found["miou"] == pytest.approx(run.metrics["miou"], abs=1e-12)
    assert found["iou"] == pytest.approx(list(run.metrics["iou"].values()), abs=1e-12)
    borders = boundary_scores(run.counts.boundary.sum(0))
    assert borders["f"] == pytest.approx(run.metrics["boundary"]["f"], abs=1e-12)
    assert len(set(run.counts.names)) == run.metrics["images"]


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_runs_of_a_study_were_made_alike(study: Path) -> None:
    found = [read(path) for path in study.iterdir()]
    assert len({re.sub("no CRF|dense CRF[^·]*", "", run.metrics["protocol"]).replace("  ", " ") for run in found}) == 1
    assert len({str(run.meta["data_fingerprint"]) for run in found}) == 1
