"""Boundary F one to one and instance mIoU in comparisons: paired where both runs have them, a dash for old folders."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from structseg.errors import CheckpointError
from structseg.metrics.bootstrap import paired
from structseg.metrics.scores import boundary_f, instance_miou, instance_sums
from structseg.report import compare, read
from structseg.report.page import write_page
from structseg.report.table import columns

MakeRun = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_draws")


def with_more(run: Path, seed: int) -> Path:
    """The run as of a later version: fewer matches one to one, and some instances in each picture."""
    with np.load(run / "per_image.npz") as file:
        arrays = dict(file)
    matched = arrays["boundary"].copy()
    matched[..., 1] = matched[..., 3] = np.minimum(matched[..., 1], matched[..., 3]) * 0.8
    instances = np.random.default_rng(seed).integers(0, 4, arrays["confusion"].shape[:2], dtype=np.int32)
    instances[:, 0] = 0
    np.savez_compressed(run / "per_image.npz", **arrays, boundary_matched=matched, instances=instances)
    metrics = json.loads((run / "metrics.json").read_text())
    sums = instance_sums(arrays["confusion"], instances).sum(0)
    metrics |= {
        "boundary_matched": {"form": "one to one", "f": float(boundary_f(matched.sum(0)))},
        "instance_miou": float(instance_miou(sums)),
        "calibration": {"ece": 0.1},
    }
    (run / "metrics.json").write_text(json.dumps(metrics))
    return run


def test_differences_are_paired(make_run: MakeRun) -> None:
    folders = [with_more(make_run("a", amount=3), 1), with_more(make_run("b", amount=1, lr=0.1), 1)]
    comparison = compare(folders)
    assert comparison.pair
    a, b = (read(folder).counts for folder in folders)
    expected = {
        "matched": paired(boundary_f, a.matched, b.matched, a.groups, draws=200),
        "instance": paired(
            instance_miou,
            instance_sums(a.confusion, a.instances),
            instance_sums(b.confusion, b.instances),
            a.groups,
            draws=200,
        ),
    }
    for key, difference in expected.items():
        found = comparison.pair.get(key)
        assert (found.value, found.low, found.high) == pytest.approx(
            (difference.value, difference.low, difference.high), abs=1e-12
        )
        assert found.clear == "gain"
    assert {"matched", "instance"} <= columns(comparison).keys()


def test_old_and_new_folders_together(make_run: MakeRun, tmp_path: Path) -> None:
    old, new = make_run("old", amount=3), with_more(make_run("new", amount=1, lr=0.1), 1)
    comparison = compare([old, new])
    assert comparison.pair
    assert comparison.pair.state == "paired"
    assert math.isnan(comparison.pair.get("matched").value)
    assert comparison.pair.get("boundary").clear == "gain"
    write_page(comparison, tmp_path / "page.html")
    assert "Boundary F 1:1" in (tmp_path / "page.html").read_text()
    alone = compare([old])
    assert not {"matched", "instance"} & columns(alone).keys()


@pytest.mark.parametrize("key", ["boundary_matched", "instances"])
def test_arrays_of_a_wrong_shape(make_run: MakeRun, key: str) -> None:
    run = with_more(make_run("run"), 0)
    with np.load(run / "per_image.npz") as file:
        arrays = dict(file)
    np.savez_compressed(run / "per_image.npz", **{**arrays, key: arrays[key][1:]})
    with pytest.raises(CheckpointError, match=f"per_image.npz: {key} has the shape"):
        read(run)
