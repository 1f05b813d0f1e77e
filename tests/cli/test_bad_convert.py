"""Wrong checkpoints through the installed command: cut off, another network's, with a pickle inside; wrong options."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from support import ROOT, Cli, refused

from structseg.models.backbones.resnet import ResNet
from structseg.models.convert.tf_checkpoint import read_checkpoint

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
    "many names": (
        ("slim_v2.ckpt", "--source", "tf", "--model", "deeplabv2", *THIN),
        ("8 missing (head.classifier.0.weight", "...", "--report FILE.tsv lists all"),
    ),
    "report": (("slim_v2.ckpt", *TF, "--report", "slim_v2.ckpt.index"), ("--report slim_v2.ckpt.index", ".tsv")),
    "report in no folder": (
        ("slim_v2.ckpt", *TF, "--report", "evil.pth/all.tsv"),
        ("cannot write evil.pth/all.tsv", "evil.pth is not a folder"),
    ),
    "no value": (("slim_v2.ckpt", *TF, "foo"), ("'foo' is no option of the model", "KEY=VALUE, e.g. preset=released")),
    "no key": (("slim_v2.ckpt", *TF, "=3"), ("'=3' is no option of the model", "KEY=VALUE")),
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


def rows_of(file: Path) -> list[list[str]]:
    with file.open(newline="") as text:
        return list(csv.reader(text, delimiter="\t"))


def test_the_report_lists_every_name(structseg_cli: Cli, folder: Path) -> None:
    done = structseg_cli("convert", "slim_v2.ckpt", "new.safetensors", *TF, "--report", "all/names.tsv")
    assert done.returncode == 0, done.stderr
    head, *rows = rows_of(folder / "all" / "names.tsv")
    assert head == ["status", "name", "key", "shape", "needed"]
    assert sorted(row[1] for row in rows) == sorted(read_checkpoint(FIXTURES / "slim_v2.ckpt"))
    assert Counter(row[0] for row in rows) == {"loaded": 87, "skipped": 3}
    shape = "(64, 3, 7, 7)"
    assert ["loaded", "resnet_v1_101/conv1/weights", "backbone.conv1.weight", shape, shape] in rows
    assert ["skipped", "global_step", "", "()", ""] in rows


def test_the_report_of_a_refused_file(structseg_cli: Cli, folder: Path) -> None:
    words = ("slim_v2.ckpt", "new.safetensors", "--source", "tf", "--model", "fcn", "preset=released")
    wide = ("backbone_options={units=[1,1,1,2],planes=[1,1,2,3]}",)
    report = folder / "names.tsv"
    line = refused(
        structseg_cli,
        *("convert", *words, *wide, "--report", report),
        out=folder / "new.safetensors",
        words=("missing", "of another shape", f"{report} lists all"),
    )
    assert "--report" not in line
    rows = rows_of(report)[1:]
    counts = Counter(row[0] for row in rows)
    assert f"{counts['loaded']} loaded" in line
    assert f"{counts['missing']} missing" in line
    assert f"{counts['shape']} of another shape" in line
    assert ["missing", "", "backbone.layer4.1.conv1.weight", "", "(3, 12, 1, 1)"] in rows
    name = "resnet_v1_101/block4/unit_1/bottleneck_v1/conv2/weights"
    assert ["shape", name, "backbone.layer4.0.conv2.weight", "(2, 2, 3, 3)", "(3, 3, 3, 3)"] in rows
