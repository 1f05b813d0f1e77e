"""Wrong networks through the installed command: unknown names of timm, weights that are none, options out of range."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
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
    "start from a text file": (
        ("model.init_from=words.txt",),
        ("words.txt", "is no weight file; give a .safetensors or .pth"),
    ),
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


class Evil:
    """What a pickle could call when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil"),))


FILES: dict[str, tuple[str, str]] = {
    "model.weights=evil.pth": ("evil.pth", "is a pickle of more than tensors, which could run code"),
    "model.init_from=evil.pkl": ("evil.pkl", "is a pickle of more than tensors, which could run code"),
    "model.init_from=cut.pth": ("cut.pth", "is cut off or damaged; copy it again"),
    "model.weights=cut.safetensors": ("cut.safetensors", "is cut off or damaged; copy it again"),
}


@pytest.mark.parametrize("change", FILES)
def test_bad_weight_files(change: str, structseg_cli: Cli, tmp_path: Path) -> None:
    torch.save({"state_dict": {"conv1.weight": torch.zeros(2)}, "evil": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    torch.save({"conv1.weight": torch.zeros(99)}, tmp_path / "cut.pth")
    save_file({"conv1.weight": torch.zeros(99)}, tmp_path / "cut.safetensors")
    for name in ("cut.pth", "cut.safetensors"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-50])
    words = ("train", "scenes_ce", *TINY_SCENES, change, "--out")
    line = refused(structseg_cli, *words, tmp_path / "run", out=tmp_path / "run", words=FILES[change])
    assert line.isprintable()
    assert not (tmp_path / "evil").exists()


DEFAULT = ("model.name=fcn", "model.options={backbone_options={depth=50}}")
SLIM = ("model.name=fcn", 'model.options={preset="released",backbone_options={units=[3,4,6,3]}}')
WRONG_FAMILY: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "TF-Slim's into torchvision's": (
        (*DEFAULT, "model.weights=slim.safetensors"),
        ("slim.safetensors: its weights are of TF-Slim's", 'take model.options.preset="released"'),
    ),
    "torchvision's into TF-Slim's": (
        (*SLIM, "model.weights=resnet.pth"),
        ("resnet.pth: shapes fit, but", "TF-Slim's", "structseg convert --source tf", 'model.options.preset="default"'),
    ),
    "start from TF-Slim's": (
        (*DEFAULT, "model.init_from=whole.safetensors"),
        ("whole.safetensors: its weights are of TF-Slim's", 'take model.options.preset="released"'),
    ),
    "start of TF-Slim's": (
        (*SLIM, "model.init_from=whole.pth"),
        ("whole.pth: shapes fit, but", "structseg convert --source tf"),
    ),
}


@pytest.mark.parametrize("case", WRONG_FAMILY)
def test_weights_of_another_kind_of_resnet(case: str, structseg_cli: Cli, tmp_path: Path) -> None:
    changes, words = WRONG_FAMILY[case]
    state = {key: torch.zeros_like(value) for key, value in ResNet(depth=50).state_dict().items()}
    whole = {f"backbone.{key}": value for key, value in state.items()}
    file = tmp_path / changes[-1].partition("=")[2]
    tensors = state if file.stem in ("slim", "resnet") else whole
    if file.suffix == ".pth":
        torch.save(tensors, file)
    else:
        save_file(tensors, file, {"converted": "resnet_v1_50.ckpt, tf, slim_resnet"})
    tiny = (word for word in TINY_SCENES if not word.startswith("model."))
    out = tmp_path / "run"
    refused(structseg_cli, "train", "scenes_ce", *tiny, *changes, "--out", out, out=out, words=words)


NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, *, num_classes):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, num_classes, 1)

    def forward(self, image):
        return self.last(self.first(image).relu())


class NoKey(Net):
    def forward(self, image):
        return {}["logits"]


class Unmade(Net):
    def __init__(self, *, num_classes):
        raise RuntimeError("no weights here")


class Frozen(Net):
    def __init__(self, *, num_classes):
        super().__init__(num_classes=num_classes)
        self.requires_grad_(False)


class Lazy(Net):
    def __init__(self, *, num_classes):
        super().__init__(num_classes=num_classes)
        self.first = nn.LazyConv2d(4, 3)


class Uncopied(Net):
    def __init__(self, *, num_classes):
        super().__init__(num_classes=num_classes)
        self.scale = self.last.weight * 2


class Alone(Net):
    def forward(self, image):
        return super().forward(image)[:1]


class Square(Net):
    def forward(self, image):
        if image.shape[-2:] != (32, 32):
            raise ValueError("I want 32x32")
        return super().forward(image)


class Vector(nn.Module):
    def forward(self, logits, target):
        return logits.mean((1, 2, 3)).repeat(2)


class Plain(nn.Module):
    def forward(self, logits, target):
        return 1.0


class Empty(nn.Module):
    def forward(self, logits, target):
        return {}["loss"]
"""

OWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "no key": ("model.name=my_code:NoKey", ("model: it fails", "KeyError: 'logits'")),
    "not made": ("model.name=my_code:Unmade", ("model.name: my_code:Unmade", "no weights here")),
    "frozen": ("model.name=my_code:Frozen", ("model: none of its weights",)),
    "lazy": ("model.name=my_code:Lazy", ("model: a lazy module",)),
    "one size alone": (
        "model.name=my_code:Square",
        ("model: it fails on 32x48 (I want 32x32), which evaluation shows it", "make it take any", "inference.tile"),
    ),
    "not to be copied": ("model.name=my_code:Uncopied", ("model: it fails", "deepcopy")),
    "one picture of two": ("model.name=my_code:Alone", ("model: it gives logits of 1 pictures for a batch of 2",)),
    "leaves": ("model.name=ends:Net", ("'ends:Net' cannot be found (stop)",)),
    "loss of a vector": ("losses=[{name='my_code:Vector'}]", ("losses.0: my_code:Vector: it does not return one",)),
    "loss of a float": ("losses=[{name='my_code:Plain'}]", ("losses.0: my_code:Plain: it does not return one",)),
    "loss that fails": ("losses=[{name='my_code:Empty'}]", ("losses.0: my_code:Empty: KeyError: 'loss'",)),
}


@pytest.mark.parametrize("case", OWN)
def test_code_of_ones_own(case: str, structseg_cli: Cli, tmp_path: Path) -> None:
    """A network or loss that does odd things ends in one line, too, and leaves nothing behind."""
    change, words = OWN[case]
    (tmp_path / "my_code.py").write_text(NETS)
    (tmp_path / "ends.py").write_text("raise SystemExit('stop')\n")
    tiny = (word for word in TINY_SCENES if not word.startswith("model."))
    out = tmp_path / "run"
    refused(structseg_cli, "train", "scenes_ce", *tiny, change, "--out", out, out=out, words=words)


@pytest.mark.parametrize(
    "fault",
    ["raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')", "torch.empty(2**50)"],
    ids=["accelerator", "processor"],
)
def test_memory_that_runs_out_in_a_step(fault: str, structseg_cli: Cli, tmp_path: Path) -> None:
    net = (
        f"class Large(Net):\n    def forward(self, image):\n        if torch.is_grad_enabled():\n            {fault}\n"
    )
    (tmp_path / "my_code.py").write_text(f"{NETS}\n\n{net}        return super().forward(image)\n")
    tiny = (word for word in TINY_SCENES if not word.startswith("model."))
    done = structseg_cli("train", "scenes_ce", *tiny, "model.name=my_code:Large", "--out", "run")
    assert done.returncode == 2, done.stderr
    start, error = done.stderr.strip().splitlines()
    assert start.startswith("run starts")
    assert error.startswith("error: out of memory (")
    assert "lower optim.batch or data.crop" in error
    assert not (tmp_path / "run").exists()
