"""The verbs, end to end on small data, through the installed command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import Cli

from structseg import build
from structseg.cli.evaluate import evaluate
from structseg.recipes import recipes

SMALL = (
    "data.options={size=[32,48],train=6,val=2,test=3}",
    "data.crop=[32,32]",
    "model.backbone_options={depth=10,width=8}",
    "model.head_options={width=8}",
    "optim.steps=4",
    "optim.batch=2",
    "evaluation.every=2",
    "evaluation.draws=50",
)


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_train_evaluate_predict_score_compare(structseg_cli: Cli, tmp_path: Path) -> None:
    for name in ("ce", "aaf"):
        out = ok(structseg_cli("train", f"scenes_{name}", *SMALL, "--out", name))
        assert "mIoU" in out
        for file in ("config.toml", "log.jsonl", "metrics.json", "per_image.npz", "model.safetensors", "meta.json"):
            assert (tmp_path / name / file).is_file()
    metrics = json.loads((tmp_path / "aaf" / "metrics.json").read_text())

    out = ok(structseg_cli("evaluate", "aaf"))
    again = json.loads((tmp_path / "aaf" / "metrics.json").read_text())
    assert again["miou"] == metrics["miou"]
    before = (tmp_path / "aaf" / "metrics.json").read_bytes()
    ok(structseg_cli("evaluate", "aaf", "inference.mirror=true", "--split", "val"))
    assert (tmp_path / "aaf" / "metrics.json").read_bytes() == before

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)).save(pictures / "a.png")
    ok(structseg_cli("predict", "aaf", "pictures", "--out", "masks", "--probabilities"))
    with Image.open(tmp_path / "masks" / "index" / "a.png") as index:
        classes = np.array(index)
    probabilities = np.load(tmp_path / "masks" / "probabilities" / "a.npz")["probabilities"]
    assert classes.shape == (37, 51)
    assert probabilities.shape == (13, 37, 51)
    with Image.open(tmp_path / "masks" / "overlay" / "a.jpg") as overlay:
        assert overlay.size == (51, 37)

    (tmp_path / "classes.txt").write_text("".join(f"{index} class{index}\n" for index in range(13)))
    out = ok(structseg_cli("score", "masks", "masks/index", "--labels", "classes.txt"))
    assert "mIoU            100.0" in out

    out = ok(structseg_cli("compare", "ce", "aaf", "--out", "page.html"))
    assert "<html" in (tmp_path / "page.html").read_text()


def test_resume_of_a_finished_run_scores_it_again(structseg_cli: Cli, tmp_path: Path) -> None:
    ok(structseg_cli("train", "scenes_ce", *SMALL, "--out", "run"))
    first = json.loads((tmp_path / "run" / "metrics.json").read_text())["miou"]
    (tmp_path / "run" / "metrics.json").unlink()
    ok(structseg_cli("train", "scenes_ce", *SMALL, "--out", "run", "--resume"))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["miou"] == first


def test_the_resolved_file_can_be_run_again(structseg_cli: Cli, tmp_path: Path) -> None:
    ok(structseg_cli("train", "scenes_aaf", *SMALL, "--out", "one"))
    ok(structseg_cli("train", "one/config.toml", "--out", "two"))
    scores = [json.loads((tmp_path / run / "metrics.json").read_text())["miou"] for run in ("one", "two")]
    assert scores[0] == scores[1]


def test_dry_run_writes_nothing(structseg_cli: Cli, tmp_path: Path) -> None:
    out = ok(structseg_cli("train", "scenes_aaf", *SMALL, "--dry-run"))
    for word in ("pictures", "parameters", "memory", "time", "nothing was written"):
        assert word in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["losses", "backbones", "heads", "regimes", "formats", "recipes"])
def test_list(structseg_cli: Cli, kind: str) -> None:
    shown = {line.split()[0] for line in ok(structseg_cli("list", kind)).splitlines() if line}  # blank: a new family
    rooms = {"backbones": "models.backbones", "heads": "models.heads", "regimes": "training.regimes"}
    rooms["formats"] = "data.formats"
    assert shown == set(recipes() if kind == "recipes" else build.names(rooms.get(kind, kind)))


def test_config_show_and_diff(structseg_cli: Cli) -> None:
    assert "[optim]" in ok(structseg_cli("config", "show", "scenes_aaf", "optim.lr=0.25"))
    out = ok(structseg_cli("config", "diff", "scenes_ce", "scenes_aaf"))
    assert "losses.1.name: None -> 'adaptive_affinity_field'" in out


def test_own_model_and_loss(structseg_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "my_code.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, *, num_classes, width=4):\n"
        "        super().__init__()\n"
        "        self.net = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, num_classes, 1))\n"
        "    def forward(self, x):\n"
        "        return {'out': self.net(x)}\n"
        "class Squared(nn.Module):\n"
        "    def forward(self, logits, target):\n"
        "        return (logits**2).mean()\n"
    )
    own = (
        *(word for word in SMALL if not word.startswith("model.")),
        "model.name='my_code:Net'",
        "model.options={width=6}",
        "losses=[{name='cross_entropy'}, {name='my_code:Squared', weight=0.1}]",
    )
    ok(structseg_cli("train", "scenes_ce", *own, "--out", "run"))
    ok(structseg_cli("evaluate", "run"))


def test_a_folder_with_an_equals_sign_is_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("structseg.training.run.rescore", lambda run, differences, **_: seen.append(differences))
    monkeypatch.setattr("structseg.cli.show.scores", str)
    folder = tmp_path / "year=2024"
    folder.mkdir()
    evaluate(tmp_path, [str(folder), "inference.mirror=true"])
    assert seen == [[f'data.root="{folder}"', "inference.mirror=true"]]
