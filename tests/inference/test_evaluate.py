"""Scores of a split against brute force, and what is written of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from inference_stubs import Fixed, Pointwise, grey, paint, squares, table
from PIL import Image

from structseg.config import Config, DataConfig, EvaluationConfig
from structseg.data.read import read_image
from structseg.errors import CheckpointError, ConfigError, DataError
from structseg.inference import counts as counts_file
from structseg.inference.evaluate import count, evaluate, summarise
from structseg.inference.predictor import Predictor
from structseg.metrics import Calibration, InstanceIoU, boundary_counts, boundary_distance_counts, scores
from structseg.types import Labels, UInt8

SIZES = [(20, 31), (9, 9), (20, 31), (33, 12), (20, 31)]
GROUPS = ("x", "x", "", "y", "")


def noisy(target: UInt8, seed: int) -> UInt8:
    """The target with squares of other classes; what the stub model will see and predict."""
    changed = target.copy()
    changed[2:5, 3:9] = seed % 4
    changed[:, -2:] = 1
    return changed


def made(labels: Labels | None = None) -> tuple[Fixed, list[UInt8], list[UInt8]]:
    """Data set, what a pointwise model predicts on it, and its truth with ignored pixels."""
    targets = [squares(*size, seed=seed) for seed, size in enumerate(SIZES)]
    predictions = [noisy(target, seed) for seed, target in enumerate(targets)]
    for target in targets:
        target[-3:, :4] = 255
    samples = [(paint(prediction), target) for prediction, target in zip(predictions, targets, strict=True)]
    return Fixed(labels or table(), list(samples), GROUPS), predictions, targets


def slow_confusion(prediction: UInt8, target: UInt8, keep: np.ndarray | None = None) -> np.ndarray:
    counts = np.zeros((4, 4), np.int64)
    for place, (p, t) in enumerate(zip(prediction.ravel(), target.ravel(), strict=True)):
        if t < 4 and (keep is None or keep.ravel()[place]):
            counts[t, p] += 1
    return counts


def test_scores_are_those_of_brute_force() -> None:
    data, predictions, targets = made()
    metrics = evaluate(Predictor(Pointwise(), table(), batch=2), data, "test", tolerance=2.0, draws=50, name="toy")
    counts = np.sum([slow_confusion(p, t) for p, t in zip(predictions, targets, strict=True)], axis=0)
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    iou = counts.diagonal() / union
    assert metrics["miou"] == pytest.approx(iou.mean(), abs=1e-12)
    assert list(metrics["iou"]) == ["a", "b", "c", "d"]
    assert list(metrics["iou"].values()) == pytest.approx(iou.tolist(), abs=1e-12)
    assert metrics["pixel_accuracy"] == pytest.approx(counts.trace() / counts.sum())
    assert metrics["mean_accuracy"] == pytest.approx((counts.diagonal() / counts.sum(1)).mean())
    assert metrics["fwiou"] == pytest.approx((iou * counts.sum(1)).sum() / counts.sum())
    assert (metrics["images"], metrics["pixels"]) == (5, counts.sum())
    assert metrics["ci95"][0] <= metrics["miou"] <= metrics["ci95"][1]
    assert metrics["boundary"]["form"] == "distance transform"
    assert metrics["boundary"]["tolerance"] == 2.0
    assert list(metrics["boundary"]["by_class"]) == ["a", "b", "c", "d"]
    assert metrics["boundary"]["f"] == pytest.approx(
        np.mean([each["f"] for each in metrics["boundary"]["by_class"].values()])
    )
    assert metrics["seconds"] > 0
    assert (metrics["set"], metrics["split"], len(metrics["fingerprint"])) == ("toy", "test", 16)
    assert "\n" not in metrics["protocol"]
    for part in (
        "toy test, 5 images",
        "scored at mask size",
        "scale 1, no flip, whole pictures, float32",
        "no CRF",
        "ignored raw values 255",
        "mean over 4 classes",
        "distance transform, tolerance 2 px",
        "50 bootstrap draws over 4 groups",
    ):
        assert part in metrics["protocol"]
    json.dumps(metrics, allow_nan=False)


def test_both_forms_of_borders() -> None:
    data, predictions, targets = made()
    predictor = Predictor(Pointwise(), table())
    forms = {"distance": boundary_distance_counts, "matched": boundary_counts}
    expected = {
        name: np.sum([form(p, t, num_classes=4, tolerance=2.0) for p, t in zip(predictions, targets, strict=True)], 0)
        for name, form in forms.items()
    }
    metrics = evaluate(predictor, data, "test", tolerance=2.0, draws=20)
    swapped = evaluate(predictor, data, "test", tolerance=2.0, draws=20, boundary="matched")
    assert metrics["boundary"] == swapped["boundary_distance"]
    assert metrics["boundary_matched"] == swapped["boundary"]
    assert "boundary_matched" not in swapped
    for found, name in ((metrics["boundary"], "distance"), (metrics["boundary_matched"], "matched")):
        assert found["f"] == pytest.approx(float(scores.boundary_f(expected[name])), abs=1e-12)
    assert swapped["boundary"]["form"] == "one to one"
    assert "boundary F by one to one, tolerance 2 px" in swapped["protocol"]
    thinned = evaluate(predictor, data, "test", tolerance=2.0, draws=20, boundary="matched", thin=True)
    assert thinned["boundary"]["f"] != swapped["boundary"]["f"]
    assert "boundary F by one to one of thinned lines, tolerance 2 px" in thinned["protocol"]
    items = data.items("test")
    for boundary in ("distance", "matched"):
        whole = count(predictor, data, items, tolerance=2.0, boundary=boundary)
        quick = count(predictor, data, items, tolerance=2.0, boundary=boundary, quick=True)
        assert list(quick.borders) == [boundary]
        assert (quick.miou(), quick.boundary_f()) == (whole.miou(), whole.boundary_f())
        assert (quick.other_form, quick.confidence, quick.bands.shape) == (None, None, (0, 4, 4))


def test_instances_as_released() -> None:
    data, predictions, targets = made()
    data.instances = tuple(np.arange(target.size, dtype=np.int32).reshape(target.shape) // 40 for target in targets)
    found = InstanceIoU(4, preset="released")
    for prediction, target, things in zip(predictions, targets, data.instances, strict=True):
        found.update(prediction, target, np.where(target == 255, 255, things))
    predictor = Predictor(Pointwise(), table())
    metrics = evaluate(predictor, data, "test", instances="released", draws=20)
    assert metrics["instance_miou"] == pytest.approx(found.scores()["instance_miou"], abs=1e-12)
    assert list(metrics["instance_iou"].values()) == pytest.approx(found.scores()["instance_iou"], abs=1e-12)
    assert metrics["protocol"].endswith("instances as in the AAF benchmark")
    assert metrics["instance_miou"] != evaluate(predictor, data, "test", draws=20)["instance_miou"]


@pytest.mark.parametrize("case", ["voc21", "voc21_absent", "c5_novoid"])
def test_instances_of_the_released_benchmark(golden: Path, case: str) -> None:
    numbers = np.load(golden / "aaf" / "metrics.npz")
    names = tuple(f"class {place}" for place in range(int(numbers[f"{case}/num_classes"])))
    labels = Labels(names, palette=((0, 0, 0),) * len(names), values=())
    counter = counts_file.Counter(labels, tolerance=2.0, size=4, instances="released")
    for prediction, target, ids in zip(*(numbers[f"{case}/{key}"] for key in ("pred", "gt", "inst")), strict=True):
        things = np.where(ids == 255, 0, ids).astype(np.int32)  # as the formats read them
        counter.add("", "", prediction.astype(np.uint8), target.astype(np.uint8), instances=things)
    found = summarise(counter.counts(), labels, draws=20)
    wanted = numbers[f"{case}/inst_per_class_pct"] / 100
    np.testing.assert_allclose(list(found["instance_iou"].values()), wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["instance_miou"], numbers[f"{case}/inst_miou_pct"] / 100, rtol=0, atol=1e-12)


def test_instances_and_confidence(tmp_path: Path) -> None:
    data, predictions, _ = made()
    plain = evaluate(Predictor(Pointwise(), table()), data, "test", folder=tmp_path / "plain")
    assert plain["instance_miou"] is plain["instance_iou"] is plain["calibration"] is None
    things = [squares(*size, cell=4, seed=9 + seed, classes=7).astype(np.int32) for seed, size in enumerate(SIZES)]
    data.instances = tuple(things)
    metrics = evaluate(
        Predictor(Pointwise(), table(), batch=2), data, "test", calibration=True, folder=tmp_path / "things"
    )
    score, calibration = InstanceIoU(4), Calibration(4)
    for (image, target), prediction, ids in zip(data.samples, predictions, things, strict=True):
        score.update(prediction, target, ids)
        (chances,) = Predictor(Pointwise(), table()).predict([image])
        calibration.update(chances, target)
    found = score.scores()
    assert metrics["instance_miou"] == pytest.approx(found["instance_miou"], abs=1e-12)
    assert list(metrics["instance_iou"].values()) == pytest.approx(found["instance_iou"], abs=1e-12)
    assert metrics["calibration"]["ece"] == pytest.approx(calibration.scores()["ece"], abs=1e-9)
    assert metrics["calibration"]["pixels"] == calibration.scores()["pixels"]
    with np.load(tmp_path / "things" / "per_image.npz") as file:
        assert file["instances"].sum(0).tolist() == found["instances"]
        sums = scores.instance_sums(file["confusion"], file["instances"])
        assert float(scores.instance_miou(sums.sum(0))) == pytest.approx(found["instance_miou"], abs=1e-12)
        np.testing.assert_allclose(file["confidence"].sum(0), calibration.counts, rtol=0, atol=1e-6)
    with np.load(tmp_path / "plain" / "per_image.npz") as file:
        assert not {"instances", "confidence"} & set(file.files)
    assert {key: value for key, value in metrics.items() if key in ("miou", "boundary", "protocol")} == {
        key: plain[key] for key in ("miou", "boundary", "protocol")
    }


def test_bands_of_distance_one_are_border_pixels() -> None:
    data, predictions, targets = made()
    found = count(Predictor(Pointwise(), table()), data, data.items("test"), distances=(1, 1000))
    wanted = np.zeros((4, 4), np.int64)
    for prediction, target in zip(predictions, targets, strict=True):
        border = np.zeros(target.shape, bool)
        height, width = target.shape
        for y in range(height):
            for x in range(width):
                for v, u in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                    inside = 0 <= v < height and 0 <= u < width
                    if inside and target[y, x] != target[v, u] and max(target[y, x], target[v, u]) < 4:
                        border[y, x] = True
        wanted += slow_confusion(prediction, target, border)
    np.testing.assert_array_equal(found.bands[0], wanted)
    np.testing.assert_array_equal(found.bands[1], found.confusion.sum(0))


def test_a_folder_holds_counts_that_add_up(tmp_path: Path) -> None:
    data, _, targets = made()
    predictor = Predictor(Pointwise(), table(), batch=2)
    steps: list[tuple[int, int]] = []
    metrics = evaluate(
        predictor, data, "test", folder=tmp_path, pictures=2, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(2, 5), (4, 5), (5, 5)]
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    with np.load(tmp_path / "per_image.npz") as file:
        arrays = dict(file)
    assert arrays["names"].tolist() == [f"test/{place}" for place in range(5)]
    assert arrays["groups"].tolist() == list(GROUPS)
    assert {name: (array.shape, array.dtype) for name, array in arrays.items() if array.ndim > 1} == {
        "confusion": ((5, 4, 4), np.dtype(np.int32)),
        "boundary": ((5, 4, 4), np.dtype(np.int32)),
        "boundary_matched": ((5, 4, 4), np.dtype(np.int32)),
        "trimap": ((5, 6, 4, 4), np.dtype(np.int32)),
    }
    total = arrays["confusion"].sum(0)
    assert total.sum() == metrics["pixels"]
    assert (total.diagonal() / (total.sum(0) + total.sum(1) - total.diagonal())).mean() == pytest.approx(
        metrics["miou"]
    )
    rows = json.loads((tmp_path / "pictures" / "index.json").read_text())
    assert [row["name"] for row in rows] == ["test/0", "test/4"]
    np.testing.assert_array_equal(grey(tmp_path / "pictures" / rows[1]["target"]), targets[4])
    assert read_image(tmp_path / "pictures" / rows[1]["image"]).shape == (20, 31, 3)


@pytest.mark.parametrize(("height", "width", "small_size"), [(100, 1000, (38, 384)), (6000, 20, (1536, 5))])
def test_large_pictures_are_reduced(tmp_path: Path, height: int, width: int, small_size: tuple[int, int]) -> None:
    target = squares(height, width, cell=50)
    data = Fixed(table(), [(paint(target), target)])
    evaluate(Predictor(Pointwise(), table()), data, "test", folder=tmp_path, pictures=4)
    for name in ("000.target.png", "000.prediction.png"):
        small = grey(tmp_path / "pictures" / name)
        assert small.shape == small_size
        assert set(np.unique(small)) <= {0, 1, 2, 3}
    assert read_image(tmp_path / "pictures" / "000.jpg").shape == (*small_size, 3)


def test_bands_by_picture_are_kept_only_where_small(monkeypatch: pytest.MonkeyPatch) -> None:
    data, *_ = made()
    predictor = Predictor(Pointwise(), table())
    kept = count(predictor, data, data.items("test"))
    monkeypatch.setattr(counts_file, "MOST", 100)
    found = count(predictor, data, data.items("test"))
    assert found.trimap is None
    assert kept.trimap is not None
    np.testing.assert_array_equal(found.bands, kept.trimap.sum(0))
    assert summarise(found, table())["trimap"] == summarise(kept, table())["trimap"]


def test_one_group_has_no_interval_and_absent_classes_no_score() -> None:
    target = np.zeros((6, 6), np.uint8)
    metrics = evaluate(Predictor(Pointwise(), table()), Fixed(table(), [(paint(target), target)]), "test")
    assert metrics["ci95"] == [None, None]
    assert metrics["iou"] == {"a": 1.0, "b": None, "c": None, "d": None}
    assert metrics["boundary"]["f"] is None
    assert metrics["trimap"]["miou"] == [None] * 6
    json.dumps(metrics, allow_nan=False)


def test_quick_scores() -> None:
    data, *_ = made()
    found = count(Predictor(Pointwise(), table()), data, data.items("test"))
    quick = count(Predictor(Pointwise(), table()), data, data.items("test"), distances=())
    assert (quick.miou(), quick.boundary_f()) == (found.miou(), found.boundary_f())
    assert summarise(quick, table())["trimap"] == {"distances": [], "miou": []}
    metrics = summarise(found, table())
    assert found.miou() == metrics["miou"]
    assert found.boundary_f() == metrics["boundary"]["f"]


def test_a_picture_without_mask_is_named() -> None:
    data, *_ = made()
    data.samples[3] = (data.samples[3][0], None)
    with pytest.raises(DataError, match="'test/3' has no mask: structseg predict works without masks, scoring needs"):
        evaluate(Predictor(Pointwise(), table()), data, "test")


def test_the_classes_of_model_and_data_must_be_the_same() -> None:
    data, *_ = made(table(3))
    with pytest.raises(CheckpointError, match="has no class 'd'"):
        evaluate(Predictor(Pointwise(), table()), data, "test")


def test_a_model_without_labels_needs_a_predictor() -> None:
    data, *_ = made()
    with pytest.raises(ConfigError, match="this model has no labels"):
        evaluate(Pointwise(), data, "test")
    with pytest.raises(ConfigError, match="this model is of no run: give the data set"):
        evaluate(Predictor(Pointwise(), table()))


def test_a_loaded_model_knows_its_data(tmp_path: Path) -> None:
    for place in range(2):
        target = squares(10, 12, seed=place)
        for room, array in (("images", paint(target)), ("masks", target)):
            path = tmp_path / room / "held_out" / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    data = DataConfig(format="pairs", root=str(tmp_path), val="held_out")
    model = Pointwise()
    vars(model).update(labels=table(), config=Config(data=data, evaluation=EvaluationConfig(split="val")))
    metrics = evaluate(model)
    assert (metrics["miou"], metrics["split"], metrics["images"]) == (1.0, "held_out", 2)
    assert metrics["protocol"].startswith("pairs held_out, 2 images")
    assert evaluate(model, tmp_path)["fingerprint"] == metrics["fingerprint"]
    with pytest.raises(DataError, match="gone"):
        evaluate(model, tmp_path / "gone")
