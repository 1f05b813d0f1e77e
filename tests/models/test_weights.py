"""Weight files: every key is loaded or named, and what does not fit is one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from structseg.errors import CheckpointError
from structseg.models.backbones.resnet import ResNet
from structseg.models.weights import load_fitting, load_weights, read_tensors


def net() -> ResNet:
    return ResNet(depth=10, width=4)


def published(**changes: Tensor | None) -> dict[str, Tensor]:
    """A state dict as others publish it: with a classifier, perhaps without counters; None takes a key away."""
    state = {**net().state_dict(), "fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)}
    state |= {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in state.items() if value is not None}


def write(folder: Path, state: Any, name: str = "net.pth") -> Path:
    file = folder / name
    if name.endswith(".safetensors"):
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_every_key_is_accounted_for(tmp_path: Path, name: str) -> None:
    state = published(extra=torch.zeros(3))
    model = net()
    report = load_weights(model, write(tmp_path, state, name))
    assert set(report.loaded) | set(report.skipped) == set(state)
    assert set(report.skipped) == {"fc.weight", "fc.bias", "extra"}
    assert report.missing == report.shape == ()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert str(report) == (
        f"{tmp_path / name}: {len(state) - 3} loaded, 3 skipped ({', '.join(report.skipped)}), 0 missing, "
        "0 of another shape"
    )


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in published().items()}
    model = net()
    load_weights(model, write(tmp_path, state, "half.safetensors"))
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert torch.equal(model.conv1.weight, state["conv1.weight"].float())


def test_counters_may_be_missing(tmp_path: Path) -> None:
    state = {key: value for key, value in published().items() if not key.endswith("num_batches_tracked")}
    assert load_weights(net(), write(tmp_path, state)).missing == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conv1__weight": None}, r"1 missing \(conv1\.weight\)"),
        ({"layer1__0__bn1__running_var": None}, r"1 missing \(layer1\.0\.bn1\.running_var\)"),
        ({"conv1__weight": torch.zeros(8, 3, 7, 7)}, r"conv1\.weight \(\(8, 3, 7, 7\), here \(4, 3, 7, 7\)\)"),
    ],
)
def test_what_is_needed_must_be_there(tmp_path: Path, changes: dict[str, Tensor | None], words: str) -> None:
    model = net()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=words) as caught:
        load_weights(model, write(tmp_path, published(**changes)))
    assert "\n" not in str(caught.value)
    assert "net.pth" in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_cut_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    whole = write(tmp_path, published(), name).read_bytes()
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(whole[: int(share * len(whole))])
    for load in (load_weights, load_fitting):
        with pytest.raises(CheckpointError, match="is cut off or damaged") as caught:
            load(net(), cut)
        assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such weight file"):
        load_weights(net(), tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError, match="no such weight file"):
        load_fitting(net(), tmp_path)  # an empty folder
    junk = tmp_path / "junk.pth"
    for text in (b"hello", b"junk", b"", b"PK\x03\x04", b"\x80\x02."):  # each makes torch.load raise something else
        for content, reason in ((text, "cut off or damaged"), (b"no weights" + text, "no weight file")):
            junk.write_bytes(content)
            with pytest.raises(CheckpointError, match=rf"junk\.pth: is {reason}") as caught:
                read_tensors(junk)
            assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Is a directory\)"):
        read_tensors(tmp_path)
    for content in ([1, 2], {"a": 3}, {}, torch.zeros(3), {0: torch.zeros(3)}, {"epoch": 4, "state_dict": {"a": "b"}}):
        with pytest.raises(CheckpointError, match="holds no table of tensors"):
            read_tensors(write(tmp_path, content))


@pytest.mark.parametrize("save", [torch.save, lambda bad, path: path.write_bytes(pickle.dumps(bad))])
def test_nothing_in_a_pickle_runs(save: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    target = tmp_path / "ran"

    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (target,)

    save(Bad(), tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match=r"bad\.pth: is a pickle of more than tensors"):
        read_tensors(tmp_path / "bad.pth")
    assert not target.exists()


def test_wrappers_and_a_part_named_module(tmp_path: Path) -> None:
    state = {f"module.{key}": value for key, value in published().items()}
    assert load_weights(net(), write(tmp_path, {"model": state, "epoch": 3})).missing == ()
    outer = torch.nn.ModuleDict({"module": net()})
    report = load_fitting(outer, write(tmp_path, outer.state_dict()))
    assert set(report.loaded) == set(outer.state_dict())


def test_fitting_takes_what_fits(tmp_path: Path) -> None:
    model = net()
    state = published(conv1__weight=torch.zeros(9, 3, 7, 7), bn1__weight=None)
    report = load_fitting(model, write(tmp_path, state))
    assert report.missing == ("bn1.weight",)
    assert report.shape == ("conv1.weight ((9, 3, 7, 7), here (4, 3, 7, 7))",)
    assert set(report.loaded) == set(model.state_dict()) - {"conv1.weight", "bn1.weight"}
    assert torch.equal(model.state_dict()["layer4.0.conv1.weight"], state["layer4.0.conv1.weight"])
    counters = {key: value for key, value in state.items() if key.endswith("num_batches_tracked")}
    with pytest.raises(CheckpointError, match="less than half of the model is in it"):
        load_fitting(net(), write(tmp_path, counters))
