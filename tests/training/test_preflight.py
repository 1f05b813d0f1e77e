"""What is found before the first step: labels of every split, classes absent from training, memory of evaluation."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from structseg.config import DataConfig, InferenceConfig
from structseg.data import open_format
from structseg.data.check import halving
from structseg.errors import ConfigError, DataError
from structseg.losses import AdaptiveAffinityField, AffinityField, EmbeddingContrast
from structseg.models.segmenter import Outside
from structseg.recipes import read
from structseg.training import preflight
from structseg.training.parts import _check_kernels, _slow_precision, _try_evaluation, prepare
from structseg.training.preflight import LEAST, Preflight, evaluation_memory, refuse_too_large, widest_layer

CPU = torch.device("cpu")


def pairs(root: Path, count: int = 40, *, splits: tuple[str, ...] = ("train", "val")) -> Path:
    for split in splits:
        for number in range(count):
            for kind in ("images", "masks"):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 24), (number, 9, 9)).save(root / f"images/{split}/{number:02d}.png")
            array = np.zeros((24, 32), np.uint8)
            array[:, 16:] = 1
            Image.fromarray(array).save(root / f"masks/{split}/{number:02d}.png")
    (root / "classes.txt").write_text("0 road\n1 car\n2 bus\n")
    return root


def stray(root: Path, split: str, number: int) -> None:
    Image.new("L", (32, 24), 9).save(root / f"masks/{split}/{number:02d}.png")


def test_order_is_an_even_spread_from_the_start() -> None:
    for count in (0, 1, 2, 3, 17, 64, 100):
        places = list(halving(count))
        assert sorted(places) == list(range(count))
        if count > 16:
            first = sorted(places[:17])
            assert first[0] == 0
            assert first[-1] == count - 1
            assert max(b - a for a, b in pairwise(first)) <= -(-(count - 1) // 8)


def test_at_least_some_of_every_split_and_more_within_the_budget(tmp_path: Path) -> None:
    source = open_format(DataConfig(root=str(pairs(tmp_path))))
    check = Preflight(source, ("train", "val"))
    assert [one.looked for one in check.checks.values()] == [LEAST, LEAST]
    check.go_on(0.0)  # no time left
    assert [one.looked for one in check.checks.values()] == [LEAST, LEAST]
    assert check.warnings("train") == ()  # not every mask was looked at
    check.go_on(10_000.0)
    assert [one.looked for one in check.checks.values()] == [40, 40]
    assert check.warnings("train") == ("warning: bus: in no mask of split 'train', so that nothing is learned of it",)
    assert check.largest(("val",)) == (24, 32)


def test_a_fault_in_any_split_stops_before_the_run(tmp_path: Path) -> None:
    source = open_format(DataConfig(root=str(pairs(tmp_path))))
    stray(tmp_path, "val", 39)  # the last is among the first looked at
    with pytest.raises(DataError, match=r"39\.png: value 9"):
        Preflight(source, ("train", "val"))
    stray(tmp_path, "val", 3)
    Image.new("L", (32, 24), 0).save(tmp_path / "masks/val/39.png")
    check = Preflight(source, ("train", "val"))
    with pytest.raises(DataError, match=r"03\.png: value 9"):
        check.go_on(10_000.0)


def test_a_single_class_is_refused_before_the_run(tmp_path: Path) -> None:
    """One logit is a sigmoid, whose second class the table does not have: its scores came to nothing at the end."""
    pairs(tmp_path)
    config = read("pairs_ce", (f"data.root={tmp_path}", 'data.ignore=["road", "bus"]'))
    with pytest.raises(DataError, match=r"classes\.txt: 'car' is its only class"):
        prepare(config, device="cpu")


def test_drawn_pictures_are_not_read_on() -> None:
    source = open_format(DataConfig(format="scenes", options={"size": (48, 64), "train": 100, "val": 20}))
    check = Preflight(source, ("train", "val"))
    check.go_on(10_000.0)
    assert [one.looked for one in check.checks.values()] == [LEAST, LEAST]


def test_the_absent_class_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pairs(tmp_path / "data", 3)
    tiny = ("data.crop=[32,32]", "model.backbone_options={depth=10,width=8}", "model.head_options={width=8}")
    config = read("pairs_ce", [f"data.root={root}", *tiny, "optim.steps=3", "optim.batch=2"])
    parts = prepare(config, device="cpu")
    assert parts.warnings == ("warning: bus: in no mask of split 'train', so that nothing is learned of it",)


# ------------------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("has", [False, True])
def test_emulated_bfloat16_is_warned_of(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has)
    low = read("scenes_ce", ["optim.precision=bfloat16", "inference.precision=bfloat16"])
    said = _slow_precision(low, CPU)
    asked = "optim.precision and inference.precision = bfloat16"
    emulated = f"warning: {asked}: this processor only emulates it, many times slower; take float32"
    assert said == (() if has else (emulated,))
    assert _slow_precision(low, torch.device("cuda")) == _slow_precision(read("scenes_ce"), CPU) == ()


def test_the_widest_layer_is_measured() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 3, stride=2, padding=1))
    with widest_layer(model) as values:
        model(torch.zeros(1, 3, 16, 16))
    assert max(values) == 16 * 16 * (3 + 8)
    assert not any(module._forward_hooks for module in model.modules())


def test_memory_of_evaluation_is_what_is_held() -> None:
    size, plain = (100, 200), InferenceConfig(batch=2)
    pixels = 100 * 200
    assert evaluation_memory(size, 5, plain, CPU, per_pixel=7) == 4 * 7 * 2 * pixels
    mirrored = evaluation_memory(size, 5, replace(plain, mirror=True), CPU, per_pixel=7)
    assert mirrored == 4 * (3 * 5 * 2 * pixels + 2 * 5 * pixels)  # logits, probabilities, one on the way; their mean
    tiled = evaluation_memory(size, 5, replace(plain, tile=50), CPU, per_pixel=7)
    assert tiled == 4 * (3 * 5 * 2 * 50 * 50 + 5 * pixels)
    assert evaluation_memory((10_000, 10_000), 5, replace(plain, tile=50), CPU, per_pixel=7) < evaluation_memory(
        (10_000, 10_000), 5, plain, CPU, per_pixel=7
    )


def test_memory_of_an_accelerator_holds_what_lies_on_it() -> None:
    size, plain = (100, 200), InferenceConfig(batch=2)
    pixels, cuda = 100 * 200, torch.device("cuda")

    def need(**changes: Any) -> int:
        return evaluation_memory(size, 5, replace(plain, **changes), cuda, per_pixel=7)

    assert need() == 4 * max(7, 5) * 2 * pixels  # logits enlarged there, and no probabilities
    assert need(mirror=True) == 4 * (3 * 5 * 2 * pixels + 2 * 5 * pixels)
    assert need(mirror=True, tile=50, crf=True) == 4 * 3 * 5 * 2 * 50 * 50  # put together and refined on the processor


def test_copies_of_files_in_a_containers_memory_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"max": "8000\n", "current": "7800\n", "stat": "anon 500\ninactive_file 7000\nactive_file 300\n"}
    monkeypatch.setattr(preflight, "_text", lambda path: told.get(path.rpartition("memory.")[2], ""))
    assert preflight.free_memory(CPU) == 8000 - 800
    del told["stat"]
    assert preflight.free_memory(CPU) == 200
    told["max"] = "max\n"
    assert preflight.free_memory(CPU) is None


@pytest.mark.parametrize(
    ("free", "batch", "advice"),
    [(30.0, 4, "set inference.batch=1"), (3.0, 1, "set inference.tile=512 inference.batch=1")],
)
def test_what_cannot_fit_says_what_to_set(
    free: float, batch: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: int(free * 2**30))
    size, settings = (5000, 6000), InferenceConfig(batch=batch)
    with pytest.raises(ConfigError, match="6000x5000 with 20 classes needs at least") as refused:
        refuse_too_large(size, 20, settings, CPU, per_pixel=100)
    assert advice in str(refused.value)
    refuse_too_large((500, 600), 20, settings, CPU, per_pixel=100)
    monkeypatch.setattr(preflight, "free_memory", lambda device: None)
    refuse_too_large(size, 20, settings, CPU, per_pixel=100)


class Fixed(nn.Module):
    """Takes 64x64 alone."""

    multiple = 1

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[-2:] != (64, 64):
            raise ValueError("I want 64x64")
        return torch.Tensor(self.conv(image))


@pytest.mark.parametrize(
    ("size", "changes", "refused"),
    [
        ((100, 80), (), "100x80"),
        ((64, 64), (), ""),
        ((100, 80), ("inference.tile=64",), ""),
        ((50, 80), ("inference.tile=64",), "50x64"),
        ((50, 80), ("inference.tile=64", "inference.stride=64", "inference.tiling=released"), ""),
        ((100, 100), ("inference.longest=64",), ""),
        ((100, 100), ("inference.tile=64", "inference.scales=[0.5,1.0]"), "50x50"),
        ((50, 50), ("inference.tile=64", "inference.scales=[2.0]"), ""),
    ],
)
def test_sizes_of_evaluation_are_tried(size: tuple[int, int], changes: tuple[str, ...], refused: str) -> None:
    config = read("scenes_ce", ("data.crop=[64,64]", "model.name=", "inference.mirror=false", *changes))
    model = Outside(Fixed(num_classes=3), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    before = torch.get_rng_state()
    if refused:
        with pytest.raises(ConfigError, match=f"it fails on {refused}.*evaluation") as caught:
            _try_evaluation(config, model, size)
        assert ("inference.tile" in str(caught.value)) == ("inference.tile=64" not in changes)
    else:
        _try_evaluation(config, model, size)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_kernel_is_held_against_the_cells_that_its_term_sees() -> None:
    """At the target's size a kernel fits that is larger than the head's 2x2 cells; beside it it is refused."""
    tiny = ("data.crop=[64,64]", "data.options={size=[64,64],train=2,val=1,test=1}", "optim.batch=1", "model.head=fcn")
    loss = "losses=[{name='affinity_field',at='%s',options={kernel_size=7}}]"
    at_target, at_head = (
        read("scenes_ce", (*tiny, "model.head_options={}", "data.workers=0", loss % at)) for at in ("target", "head")
    )
    prepare(at_target, device="cpu")
    with pytest.raises(ConfigError, match=r"kernel size 7 does not fit the 2x2 cells"):
        prepare(at_head, device="cpu")


@pytest.mark.parametrize("size", [(24, 32), (32, 24)])
@pytest.mark.parametrize(("largest", "fits"), [(23, True), (25, False), (45, False)])
def test_a_kernel_larger_than_the_map_is_refused_by_every_rule(size: tuple[int, int], largest: int, fits: bool) -> None:
    """Of simple pairs some are left of a kernel up to twice the map, cut off around every pixel."""
    target = (torch.arange(24 * 32) % 2).view(1, *size)
    for loss in (
        AffinityField(kernel_size=largest),
        AffinityField(kernel_size=largest, pair_rule="simple"),
        AdaptiveAffinityField(num_classes=2, kernel_sizes=(3, largest), pair_rule="simple"),
        EmbeddingContrast(kernel_size=largest),
    ):
        height, width = size
        with (
            nullcontext()
            if fits
            else pytest.raises(ConfigError, match=f"kernel size {largest} does not fit the {height}x{width} cells")
        ):
            _check_kernels(loss, loss.counts(target, size), height, width)
