"""Scores: golden numbers of the released benchmark scripts, slow references, absent classes, leading dimensions."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from structseg.metrics import scores
from structseg.metrics.confusion import confusion


@pytest.mark.parametrize("case", ["voc21", "voc21_absent", "c5_novoid"])
def test_released_benchmark(golden: Path, case: str) -> None:
    numbers = np.load(golden / "aaf" / "metrics.npz")
    classes = int(numbers[f"{case}/num_classes"])
    counts = confusion(numbers[f"{case}/pred"], numbers[f"{case}/gt"], num_classes=classes, ignore_index=255)
    np.testing.assert_array_equal(counts, numbers[f"{case}/confusion_sum"])
    np.testing.assert_array_equal(counts.sum(1), numbers[f"{case}/tp_fn"])
    np.testing.assert_array_equal(counts.sum(0), numbers[f"{case}/tp_fp"])
    np.testing.assert_array_equal(np.diagonal(counts), numbers[f"{case}/tp"])
    per_class = np.nan_to_num(scores.iou(counts), nan=0.0)
    np.testing.assert_allclose(per_class, numbers[f"{case}/miou_per_class_pct"] / 100, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        scores.miou(counts, absent="zero"), numbers[f"{case}/miou_pct"] / 100, rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(scores.pixel_accuracy(counts), numbers[f"{case}/pixel_acc_fraction"], rtol=0, atol=1e-12)


def slow_scores(counts: np.ndarray) -> dict[str, float]:
    size = len(counts)
    ious, accuracies, weighted = [], [], 0.0
    for c in range(size):
        hits = float(counts[c, c])
        truth = float(sum(counts[c, k] for k in range(size)))
        union = truth + float(sum(counts[k, c] for k in range(size))) - hits
        if union:
            ious.append(hits / union)
            weighted += truth * hits / union
        if truth:
            accuracies.append(hits / truth)
    total = float(counts.sum())
    return {
        "miou": sum(ious) / len(ious),
        "pixel_accuracy": sum(float(counts[c, c]) for c in range(size)) / total,
        "mean_accuracy": sum(accuracies) / len(accuracies),
        "fwiou": weighted / total,
    }


def test_slow_reference_with_absent_classes() -> None:
    counts = np.random.default_rng(1).integers(0, 50, (6, 6))
    counts[2], counts[:, 2] = 0, 0  # absent from both
    counts[4] = 0  # only predicted: IoU 0, no accuracy
    found = scores.scores(counts)
    for name, value in slow_scores(counts).items():
        assert found[name] == pytest.approx(value, abs=1e-12)
    assert found["iou"][2] is None
    assert found["iou"][4] == 0
    assert found["pixels"] == counts.sum()
    zero = scores.miou(counts, absent="zero")
    assert zero == pytest.approx(found["miou"] * 5 / 6, abs=1e-12)


def test_leading_dimensions() -> None:
    counts = np.random.default_rng(2).integers(0, 4, (2, 3, 5, 5))
    for score in (scores.miou, scores.pixel_accuracy, scores.mean_accuracy, scores.fwiou):
        each = [[float(score(counts[i, j])) for j in range(3)] for i in range(2)]
        np.testing.assert_allclose(score(counts), each, rtol=0, atol=1e-14)
    assert scores.iou(counts).shape == (2, 3, 5)
    borders = np.random.default_rng(3).integers(0, 4, (2, 3, 5, 4))
    assert scores.boundary_f(borders).shape == (2, 3)
    np.testing.assert_allclose(scores.boundary_f(borders)[1, 2], scores.boundary_f(borders[1, 2]), atol=1e-14)


def test_scores_of_nothing_are_none_and_json() -> None:
    found = scores.scores(np.zeros((3, 3), np.int64)) | {"boundary": scores.boundary_scores(np.zeros((3, 4), int))}
    assert found["miou"] is None
    assert found["iou"] == [None] * 3
    assert found["pixels"] == 0
    assert found["boundary"]["f"] is None
    json.dumps(found, allow_nan=False)
    assert math.isnan(scores.miou(np.zeros((3, 3))))


def test_boundary_prf_definition() -> None:
    counts = np.array([[10, 5, 20, 20], [0, 0, 7, 0], [4, 0, 0, 0], [0, 0, 0, 0], [5, 0, 5, 0]])
    precision, recall, f = scores.boundary_prf(counts)
    np.testing.assert_array_equal(precision, [0.5, 0, 0, np.nan, 0])
    np.testing.assert_array_equal(recall, [1, 0, 0, np.nan, 0])
    np.testing.assert_allclose(f, [2 / 3, 0, 0, np.nan, 0], rtol=0, atol=1e-15)
    found = scores.boundary_scores(counts)
    assert found["f"] == pytest.approx(2 / 3 / 4)
    assert found["precision"] == pytest.approx(0.125)
    assert found["recall"] == pytest.approx(0.25)
    assert found["by_class"]["f"][3] is None


def test_scores_and_bootstrap_load_no_torch() -> None:
    code = (
        "import sys, structseg.metrics, structseg.metrics.scores, structseg.metrics.bootstrap;"
        "assert not {'torch', 'cv2', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lazy_names() -> None:
    from structseg import metrics

    assert all(callable(getattr(metrics, name)) for name in metrics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(metrics, "Noth" + "ing")
