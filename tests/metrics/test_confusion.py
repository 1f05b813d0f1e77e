"""Confusion matrix: a slow loop, input types, dropped pixels, stray predictions, adding up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structseg.errors import ConfigError, DataError
from structseg.metrics.confusion import ConfusionMatrix, _of_tensors, confusion

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def maps(seed: int, shape: tuple[int, ...] = (9, 11), classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    prediction = generator.integers(0, classes, shape).astype(np.uint8)
    target = generator.integers(0, classes, shape).astype(np.uint8)
    target[generator.random(shape) < 0.2] = 255
    target[generator.random(shape) < 0.05] = classes  # no class either
    prediction[target >= classes] = 200  # what is predicted there does not count
    return prediction, target


def slow(prediction: np.ndarray, target: np.ndarray, classes: int, ignore: int) -> np.ndarray:
    counts = np.zeros((classes, classes), np.int64)
    for p, t in zip(prediction.ravel().tolist(), target.ravel().tolist(), strict=True):
        if 0 <= t < classes and t != ignore:
            counts[t, p] += 1
    return counts


@given(st.integers(0, 2**16), st.sampled_from([(9, 11), (3, 4, 5), (1, 1)]), st.sampled_from([255, -1, 0, 3]))
def test_slow_reference_for_every_type(seed: int, shape: tuple[int, ...], ignore: int) -> None:
    prediction, target = maps(seed, shape)
    expected = slow(prediction, target, 5, ignore)
    for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.int64):
        p, t = prediction.astype(dtype), target.astype(dtype)
        found = confusion(p, t, num_classes=5, ignore_index=ignore)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(confusion(prediction, t, num_classes=5, ignore_index=ignore), expected)
    tensor, truth = torch.from_numpy(prediction), torch.from_numpy(target)
    np.testing.assert_array_equal(confusion(tensor, truth, num_classes=5, ignore_index=ignore), expected)
    np.testing.assert_array_equal(confusion(tensor.long(), target, num_classes=5, ignore_index=ignore), expected)
    for form in (tensor, tensor.long()):  # what runs on a CUDA device
        np.testing.assert_array_equal(_of_tensors(form, truth, num_classes=5, ignore_index=ignore), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_tensors_on_a_device(device: str) -> None:
    prediction, target = maps(0, (2, 64, 80))
    expected = slow(prediction, target, 5, 255)
    p, t = torch.from_numpy(prediction).to(device), torch.from_numpy(target).to(device)
    np.testing.assert_array_equal(confusion(p, t, num_classes=5), expected)
    np.testing.assert_array_equal(confusion(p.long(), t.cpu(), num_classes=5), expected)
    t[0, 0, 0] = 0
    p[0, 0, 0] = 200
    with pytest.raises(DataError, match="prediction holds class 200"):
        confusion(p, t, num_classes=5)
    with pytest.raises(DataError, match="float32"):
        confusion(p.float(), t, num_classes=5)


def test_negative_labels_are_dropped_and_many_classes_count() -> None:
    target = np.array([[-100, -1, 0, 300]])
    prediction = np.array([[0, 1, 1, 299]])
    assert confusion(prediction, target, num_classes=2, ignore_index=-100).tolist() == [[0, 1], [0, 0]]
    assert confusion(prediction, target, num_classes=301)[300, 299] == 1
    last = np.array([[255]], np.uint8)
    assert confusion(last, last, num_classes=256, ignore_index=-1)[255, 255] == 1
    assert confusion(np.array([[True]]), np.array([[1]], np.uint8), num_classes=2)[1, 1] == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_stray_prediction(dtype: type[np.integer[Any]]) -> None:
    prediction: np.ndarray = np.array([[0, 7]], dtype)
    target: np.ndarray = np.array([[0, 1]], dtype)
    with pytest.raises(DataError, match=r"class 7 at a labelled pixel but classes are 0\.\.4; map"):
        confusion(prediction, target, num_classes=5)
    with pytest.raises(DataError, match="class 7"):  # the number of classes itself, which NumPy's histograms count as 6
        confusion(prediction, target, num_classes=7)
    assert confusion(prediction, np.array([[0, 255]], dtype), num_classes=5).sum() == 1
    for form in (np.array([[0, -1]]), torch.tensor([[0, -1]])):
        with pytest.raises(DataError, match="class -1"):
            confusion(form, target.astype(np.int64), num_classes=5)
    with pytest.raises(DataError, match="class -1"):
        _of_tensors(torch.tensor([[0, -1]]), torch.tensor([[0, 1]]), num_classes=5, ignore_index=255)


def test_bad_input() -> None:
    classes = np.zeros((4, 4), np.uint8)
    with pytest.raises(DataError, match="float32; give integer class ids"):
        confusion(classes.astype(np.float32), classes, num_classes=2)
    with pytest.raises(DataError, match=r"shape \(2, 4\) but target \(4, 4\)"):
        confusion(classes[:2], classes, num_classes=2)
    with pytest.raises(ConfigError, match="num_classes is 0"):
        ConfusionMatrix(0)
    for shape in ((4,), (), (1, 1, 4, 4)):
        wrong = np.zeros(shape, np.uint8)
        for form in (wrong, torch.from_numpy(wrong)):
            with pytest.raises(DataError, match=r"give \(H,W\) or \(B,H,W\) class ids"):
                ConfusionMatrix(2).update(form, form)
    assert not confusion(classes[:0], classes[:0], num_classes=2).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.complex64])
def test_tensors_of_no_class_ids(dtype: torch.dtype) -> None:
    classes = torch.zeros(4, 4, dtype=torch.int64)
    for pair in ((classes.to(dtype), classes), (classes, classes.to(dtype))):
        with pytest.raises(DataError, match=f"{str(dtype).removeprefix('torch.')}; give integer class ids"):
            ConfusionMatrix(2).update(*pair)


def test_lists_are_refused() -> None:
    classes: Any = [[0, 1], [1, 0]]
    for pair in ((classes, np.array(classes)), (torch.tensor(classes), classes)):
        with pytest.raises(DataError, match="is list; give integer class ids as an array or tensor"):
            ConfusionMatrix(2).update(*pair)


@given(st.integers(0, 2**16), st.permutations(list(range(6))))
def test_adding_up(seed: int, order: list[int]) -> None:
    prediction, target = maps(seed, (6, 5, 7))
    whole = confusion(prediction, target, num_classes=5)
    first, second = ConfusionMatrix(5), ConfusionMatrix(5)
    for place in order[:3]:
        first.update(prediction[place], target[place])
    second.update(torch.from_numpy(prediction[order[3:]]), torch.from_numpy(target[order[3:]]))
    first.merge(second)
    np.testing.assert_array_equal(first.counts, whole)
    assert first.scores() == first.compute()
    first.reset()
    assert first.counts.sum() == 0
    for other in (ConfusionMatrix(6), ConfusionMatrix(5, ignore_index=0)):
        with pytest.raises(ValueError, match="num_classes, ignore_index differ"):
            first.merge(other)


def test_perfect_and_unlabelled() -> None:
    _, target = maps(0)
    matrix = ConfusionMatrix(5)
    matrix.update(target, target)
    assert matrix.scores()["miou"] == matrix.scores()["pixel_accuracy"] == matrix.scores()["fwiou"] == 1
    empty = ConfusionMatrix(5)
    empty.update(np.zeros((3, 3), np.uint8), np.full((3, 3), 255, np.uint8))
    assert empty.scores()["miou"] is None
    assert empty.scores()["pixels"] == 0
