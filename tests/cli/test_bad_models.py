"""Wrong networks through the installed command: unknown names of timm, weights that are none, options out of range."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from support import ROOT, TINY_SCENES, Cli, refused

from structseg.models.backbones.resnet import ResNet

CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "name of timm": (
        ("model.backbone=timm", "model.backbone_options={}", "model.backbone_options.name=resnett18"),
        ("model.backbone_options.name", "'resnett18'", "did you mean 'resnet18'?"),
    ),
    "timm cannot dilate": (
        (
            "model.backbone=timm",
            'model.backbone_options={name="swin_tiny_patch4_window7_224",output_stride=8}',
        ),
        ("swin_tiny_patch4_window7_224", "output_stride = 8"),
    ),
    "start from a text file": (("model.init_from=words.txt",), ("words.txt", "not a whole .safetensors or .pth")),
    "bins of 0": (
        ("model.head=psp", "model.head_options={bins=[0,2]}"),
        ("model.head_options.bins", "[0, 2]", "at least 1"),
    ),
    "too many stages": (
        ("model.freeze_stages=6", "model.weights=weights.pth"),
        ("model.freeze_stages", "6 is not a number from 0 to 5"),
    ),
    "frozen random weights": (("model.freeze_stages=2",), ("model.freeze_stages = 2", "give model.weights")),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, structseg_cli: Cli, tmp_path: Path) -> None:
    changes, words = CASES[case]
    (tmp_path / "words.txt").write_text("these are no weights\n")
    if "model.weights=weights.pth" in changes:
        torch.save(ResNet(depth=10, width=8).state_dict(), tmp_path / "weights.pth")
    path = os.pathsep.join([str(ROOT / "tests" / "fakes"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    out = tmp_path / "run"
    refused(
        structseg_cli,
        "train",
        "scenes_ce",
        *TINY_SCENES,
        *changes,
        "--out",
        out,
        out=out,
        words=words,
        env={"PYTHONPATH": path},
    )
