"""Instance-wise IoU: numbers of the released benchmark, a slow loop, ignored instances, adding up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structseg.errors import ConfigError, DataError
from structseg.metrics import InstanceIoU, scores
from structseg.metrics.bootstrap import interval
from structseg.metrics.confusion import confusion
from structseg.metrics.instance import instance_counts


@pytest.mark.parametrize("case", ["voc21", "voc21_absent", "c5_novoid"])
def test_released_benchmark(golden: Path, case: str) -> None:
    numbers = np.load(golden / "aaf" / "metrics.npz")
    score = InstanceIoU(int(numbers[f"{case}/num_classes"]), preset="released")
    score.update(numbers[f"{case}/pred"], numbers[f"{case}/gt"], numbers[f"{case}/inst"])
    found = score.scores()
    assert found["instances"] == numbers[f"{case}/n_instances"].tolist()
    np.testing.assert_allclose(found["instance_iou"], numbers[f"{case}/inst_per_class_pct"] / 100, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["instance_miou"], numbers[f"{case}/inst_miou_pct"] / 100, rtol=0, atol=1e-12)


def maps(seed: int, pictures: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 4, (pictures, 3, 4)).repeat(5, 1).repeat(6, 2).astype(np.uint8)
    instances = generator.integers(0, 6, (pictures, 5, 6)).repeat(3, 1).repeat(4, 2).astype(np.int32)
    instances[instances == 5] = 70_000  # large ids are ids, too
    prediction = np.where(generator.random(target.shape) < 0.3, generator.integers(0, 5, target.shape), target)
    target[generator.random(target.shape) < 0.2] = 255
    target[:, :, -4:] = 255
    instances[:, :3, -4:] = 9  # wholly ignored
    return prediction.astype(np.uint8), target, instances


def slow(prediction: np.ndarray, target: np.ndarray, instances: np.ndarray, classes: int) -> list[float | None]:
    weighted, weight = [0.0] * classes, [0] * classes
    for one, truth, ids in zip(prediction, target, instances, strict=True):
        for c in range(classes):
            count = 0
            for thing in set(ids.ravel().tolist()) - {0}:
                inside = truth[(ids == thing) & (truth < classes)].tolist()
                count += bool(inside) and max(range(classes), key=lambda k, seen=inside: (seen.count(k), -k)) == c
            known = truth < classes
            both, either = (known & (one == c) & (truth == c)).sum(), (known & ((one == c) | (truth == c))).sum()
            weighted[c] += count * (both / either if either else 0)
            weight[c] += count
    return [a / b if b else None for a, b in zip(weighted, weight, strict=True)]


@given(st.integers(0, 2**16))
def test_slow_reference(seed: int) -> None:
    prediction, target, instances = maps(seed)
    score = InstanceIoU(5)  # class 4 is never true
    score.update(prediction, target, instances)
    expected = slow(prediction, target, instances, 5)
    found = score.scores()
    assert found["instance_iou"] == pytest.approx(expected, abs=1e-12)
    known = [value for value in expected if value is not None]
    assert found["instance_miou"] == pytest.approx(sum(known) / len(known), abs=1e-12)
    assert found["instance_iou"][4] is None


def test_what_is_no_instance() -> None:
    target = np.array([[0, 0, 1, 1, 2, 2, 255, 255]], np.uint8)
    nothing = np.zeros_like(target)
    assert instance_counts(target, nothing, num_classes=3).tolist() == [0, 0, 0]
    things = np.array([[0, 0, 7, 8, 9, 9, 255, 3]], np.uint8)
    assert instance_counts(target, things, num_classes=3).tolist() == [0, 2, 1]
    assert instance_counts(target, things, num_classes=3, preset="released").tolist() == [3, 2, 1]  # 0, 3 and 255
    assert instance_counts(target, things, num_classes=3, ignore_index=2).tolist() == [0, 2, 0]
    empty = InstanceIoU(3)
    empty.update(target % 3, target, nothing)
    assert empty.scores() == {"instance_miou": None, "instance_iou": [None] * 3, "instances": [0] * 3}


@given(st.integers(0, 2**16), st.permutations(list(range(5))))
def test_adding_up(seed: int, order: list[int]) -> None:
    prediction, target, instances = maps(seed, 5)
    whole, first, second = InstanceIoU(5), InstanceIoU(5), InstanceIoU(5)
    whole.update(torch.from_numpy(prediction), torch.from_numpy(target).long(), torch.from_numpy(instances))
    for place in order[:2]:
        first.update(prediction[place], target[place], instances[place])
    second.update(prediction[order[2:]], target[order[2:]], instances[order[2:]])
    first.merge(second)
    np.testing.assert_allclose(first.sums, whole.sums, rtol=0, atol=1e-12)
    assert first.compute()["instances"] == whole.scores()["instances"]
    first.reset()
    assert not first.sums.any()
    with pytest.raises(ValueError, match="preset differ"):
        first.merge(InstanceIoU(5, preset="released"))


def test_intervals_come_from_counts_by_picture() -> None:
    prediction, target, instances = maps(3, 12)
    pixels = np.stack([confusion(p, t, num_classes=5) for p, t in zip(prediction, target, strict=True)])
    things = np.stack([instance_counts(t, i, num_classes=5) for t, i in zip(target, instances, strict=True)])
    sums = scores.instance_sums(pixels, things)
    low, high = interval(scores.instance_miou, sums, [""] * 12, draws=200)
    score = InstanceIoU(5)
    score.update(prediction, target, instances)
    assert low < score.scores()["instance_miou"] < high


def test_bad_input() -> None:
    target = np.zeros((4, 5), np.uint8)
    with pytest.raises(DataError, match=r"instances has shape \(4, 4\) but target \(4, 5\)"):
        InstanceIoU(3).update(target, target, target[:, :4])
    with pytest.raises(DataError, match="instances is float64"):
        instance_counts(target, target.astype(float), num_classes=3)
    with pytest.raises(DataError, match="instance id -1 is below 0"):
        instance_counts(target, target.astype(int) - 1, num_classes=3)
    with pytest.raises(ConfigError, match="preset 'paper'"):
        InstanceIoU(3, preset="paper")
