"""Wrong checkpoints through the installed command: cut off, another network's, with a pickle inside; wrong options."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support import ROOT, Cli, refused

from structseg.models.backbones.resnet import ResNet

FIXTURES = ROOT / "tests" / "models" / "fixtures"
THIN = ("preset=released", "backbone_options={units=[1,1,1,1],planes=[1,1,2,2]}")  # the FCN in the fixtures
TF = ("--source", "tf", "--model", "fcn", *THIN)


class Evil:
    """What a pickle could call when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil"),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in FIXTURES.iterdir():
        shutil.copy(file, tmp_path)
    data = tmp_path / "slim_v2.ckpt.data-00000-of-00001"
    (tmp_path / "cut.ckpt.index").write_bytes((tmp_path / "slim_v2.ckpt.index").read_bytes())
    (tmp_path / "cut.ckpt.data-00000-of-00001").write_bytes(data.read_bytes()[:-5])
    (tmp_path / "cut.params").write_bytes((tmp_path / "gluon.params").read_bytes()[:-5])
    (tmp_path / "alone.ckpt.index").write_bytes((tmp_path / "slim_v2.ckpt.index").read_bytes())
    torch.save({"state_dict": {"conv1.weight": torch.zeros(2)}, "evil": Evil()}, tmp_path / "evil.pth")
    torch.save(ResNet(depth=10, width=4).state_dict(), tmp_path / "resnet.pth")
    return tmp_path


RESNET = ("--model", "resnet", "depth=10", "width=4")
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cut data": (("cut.ckpt", *TF), ("cut.ckpt.index", "data file is cut off within resnet_v1_101/")),
    "cut params": (("cut.params", "--source", "mxnet", *RESNET), ("cut.params", "not a whole .params file of MXNet")),
    "data missing": (("alone.ckpt", *TF), ("alone.ckpt.data-00000-of-00001 is missing",)),
    "another net": (
        ("slim_v2.ckpt", "--source", "tf", "--model", "pspnet", *THIN),
        ("slim_v2.ckpt", "missing", "another network's file"),
    ),
    "other strides": (
        ("resnet.pth", "--source", "torchvision", "--model", "slim_resnet", "planes=[1,1,1,1]"),
        ("strides stand elsewhere",),
    ),
    "pickle": (("evil.pth", "--source", "timm", *RESNET), ("evil.pth", "is a pickle of more than tensors")),
    "option": (("slim_v2.ckpt", *TF, "prset=1"), ("--model", "'prset'", "did you mean 'preset'?")),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, structseg_cli: Cli, folder: Path) -> None:
    words, said = CASES[case]
    new = folder / "new.safetensors"
    before = sorted(path.name for path in folder.iterdir())
    refused(structseg_cli, "convert", words[0], new, *words[1:], out=new, words=said)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_new_keeps_what_it_was(structseg_cli: Cli, folder: Path) -> None:
    """A file that is there already stays as it is where the old one is refused."""
    new = folder / "new.safetensors"
    new.write_bytes(b"precious")
    refused(structseg_cli, "convert", "cut.ckpt", new, *TF, out=folder, words=("cut off",))


def test_every_key_is_accounted_for(structseg_cli: Cli, folder: Path) -> None:
    done = structseg_cli("convert", "slim_v2.ckpt", "new.safetensors", *TF)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("slim_v2.ckpt: 87 loaded, 3 skipped")
    assert lines[0].endswith("0 missing, 0 of another shape")
    assert sorted(lines[1:4]) == ["skipped  double", "skipped  global_step", "skipped  half"]
    assert lines[4:] == ["written to new.safetensors"]
