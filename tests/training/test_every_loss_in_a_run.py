"""Every loss in one run: options from the data, logits and features, micro-batches, half precision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import Cli

from structseg import build


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_all_at_once(precision: str, structseg_cli: Cli, tmp_path: Path) -> None:
    names = list(build.names("losses"))
    terms = ", ".join(f"{{name='{name}', weight=0.1}}" for name in names)
    done = structseg_cli(
        "train",
        "scenes_ce",
        "data.crop=[64,64]",
        "data.options={size=[64,80],train=4,val=2,test=2}",
        "model.backbone_options={depth=10,width=8}",
        "model.head_options={width=8}",
        "optim.steps=2",
        "optim.batch=2",
        "optim.accumulate=2",
        f"optim.precision={precision}",
        "evaluation.every=0",
        "evaluation.draws=20",
        "log_every=1",
        f"losses=[{terms}]",
        "--out",
        "run",
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    found = [row["losses"] for row in rows if "losses" in row]
    assert len(found) == 2
    for row in found:
        assert set(row) == set(names)
        assert all(0 < value < 100 for value in row.values())
