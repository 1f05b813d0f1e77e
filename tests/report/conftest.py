"""Made-up run folders: a street of rectangles, a run that gets some borders wrong, and the files it would write.

Numbers in metrics.json are computed here from the maps, apart from `structseg.metrics`, so that tests can compare.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from structseg.types import Labels

Map = NDArray[np.uint8]
LABELS = Labels(
    names=("road", "wall", "pole", "sky"),
    palette=((128, 64, 128), (70, 70, 70), (220, 180, 60), (70, 130, 180)),
    values=((0, 0), (1, 1), (2, 2), (3, 3)),
    thin=("pole",),
)
PROTOCOL = "street · test 12 · 64×48 · single scale · no flip · no CRF · ignore: void"


def street(count: int, seed: int = 0) -> list[Map]:
    """Truth: sky above, wall, road below, two poles; a corner without label."""
    generator = np.random.default_rng(seed)
    maps = []
    for _ in range(count):
        target = np.zeros((48, 64), np.uint8)
        horizon, roof = generator.integers(26, 36), generator.integers(8, 16)
        target[:horizon] = 1
        target[:roof] = 3
        for x in generator.choice(56, 2, replace=False) + 4:
            target[roof - 4 : horizon + 4, x : x + 2] = 2
        target[-5:, -8:] = 255
        maps.append(target)
    return maps


def shaken(targets: list[Map], amount: int, seed: int) -> list[Map]:
    """A prediction: the truth with rows moved sideways and columns up and down by up to `amount` pixels."""
    generator = np.random.default_rng(seed)
    made = []
    for target in targets:
        map_ = np.where(target == 255, 0, target).astype(np.uint8)
        for y in range(map_.shape[0]):
            map_[y] = np.roll(map_[y], generator.integers(-amount, amount + 1))
        for x in range(map_.shape[1]):
            map_[:, x] = np.roll(map_[:, x], generator.integers(-amount, amount + 1))
        made.append(map_)
    return made


def confusion(target: Map, prediction: Map, classes: int) -> NDArray[np.int32]:
    valid = target < classes
    pairs = target[valid].astype(int) * classes + prediction[valid]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int32)


def edges(map_: Map, target: Map, c: int, classes: int) -> NDArray[np.bool_]:
    """Labelled pixels of class c beside a labelled pixel of another class."""
    found, valid = np.zeros(map_.shape, bool), target < classes
    for axis in (0, 1):
        for step in (1, -1):
            other, known = np.roll(map_, step, axis), np.roll(valid, step, axis)
            change = (map_ == c) & (other != c) & valid & known
            first = [slice(None), slice(None)]
            first[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            change[tuple(first)] = False
            found |= change
    return found


def grown(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """The mask and all within `radius` pixels of it along both axes."""
    for axis, size in enumerate(mask.shape):
        pad = [(radius, radius) if axis == at else (0, 0) for at in (0, 1)]
        padded = np.pad(mask, pad)
        mask = np.any([padded.take(range(step, step + size), axis) for step in range(2 * radius + 1)], axis=0)
    return mask


def boundary(target: Map, prediction: Map, classes: int, radius: int = 1) -> NDArray[np.int32]:
    counts = np.zeros((classes, 4), np.int32)
    for c in range(classes):
        true, found = edges(target, target, c, classes), edges(prediction, target, c, classes)
        counts[c] = found.sum(), (found & grown(true, radius)).sum(), true.sum(), (true & grown(found, radius)).sum()
    return counts


def near_border(target: Map, classes: int, distance: int) -> NDArray[np.bool_]:
    return grown(np.any([edges(target, target, c, classes) for c in range(classes)], axis=0), distance - 1)


def ious(counts: NDArray[Any]) -> list[float | None]:
    hits = np.diag(counts)
    any_ = counts.sum(0) + counts.sum(1) - hits
    return [float(h / a) if a else None for h, a in zip(hits, any_, strict=True)]


def mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def write_run(
    folder: Path,
    *,
    labels: Labels,
    names: list[str],
    groups: list[str],
    targets: list[Map],
    predictions: list[Map],
    config: str,
    images: list[NDArray[np.uint8]] | None = None,
    protocol: str = PROTOCOL,
    log: list[dict[str, Any]] | None = None,
    meta: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    distances: tuple[int, ...] = (1, 2, 4, 8),
    without: tuple[str, ...] = (),
    pictures: int = 6,
    reduce: int = 1,
) -> Path:
    """A finished run. `without`: any of boundary, counts, pictures, trimap, metrics."""
    folder.mkdir(parents=True)
    classes = labels.num_classes
    (folder / "config.toml").write_text(config)
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log or []))
    base = {"labels": labels.as_dict(), "parameters": 3_410_000, "loss_parameters": 0, "device": "cpu"}
    base |= {
        "versions": {"structseg": "0.1.0", "torch": "2.13.0"},
        "data_fingerprint": {"test": "9b41c7", "train": "51d0aa"},
    }
    base |= {"selection_split": "val", "train_seconds": 308.0, "chosen_step": 1200, "started": "2026-11-21T10:00:00"}
    (folder / "meta.json").write_text(json.dumps(base | (meta or {})))
    if "metrics" in without:
        return folder
    confusions = np.stack([confusion(t, p, classes) for t, p in zip(targets, predictions, strict=True)])
    borders = np.stack([boundary(t, p, classes) for t, p in zip(targets, predictions, strict=True)])
    bands = [
        [confusion(np.where(near_border(t, classes, d), t, 255).astype(np.uint8), p, classes) for d in distances]
        for t, p in zip(targets, predictions, strict=True)
    ]
    arrays: dict[str, Any] = {"names": np.array(names), "groups": np.array(groups), "confusion": confusions}
    total = confusions.sum(0)
    iou = ious(total)
    scores: dict[str, Any] = {"miou": mean(iou), "iou": dict(zip(labels.names, iou, strict=True))}
    scores |= {"pixel_accuracy": float(np.trace(total) / total.sum()), "images": len(names), "pixels": int(total.sum())}
    scores |= {"protocol": protocol, "seconds": 0.051, "split": "test", "set": "street", "seeds": [0]}
    if "boundary" not in without:
        arrays["boundary"] = borders
        found, matched, true, recalled = borders.sum(0).T.astype(float)
        precision, recall = matched / np.maximum(found, 1), recalled / np.maximum(true, 1)
        f = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        shares = zip(labels.names, precision, recall, f, strict=True)
        by_class = {name: {"precision": float(p), "recall": float(r), "f": float(v)} for name, p, r, v in shares}
        scores["boundary"] = {"f": float(f.mean()), "form": "distance", "tolerance": 1, "by_class": by_class}
    if "trimap" not in without:
        arrays["trimap"] = np.array(bands)
        scores["trimap"] = {"distances": list(distances), "miou": [mean(ious(b)) for b in np.array(bands).sum(0)]}
    (folder / "metrics.json").write_text(json.dumps(scores | (metrics or {})))
    if "counts" not in without:
        np.savez_compressed(folder / "per_image.npz", **arrays)
    if "pictures" not in without:
        _write_pictures(folder / "pictures", names[:pictures], targets, predictions, images, reduce)
    return folder


def _write_pictures(
    folder: Path,
    names: list[str],
    targets: list[Map],
    predictions: list[Map],
    images: list[NDArray[np.uint8]] | None,
    reduce: int,
) -> None:
    folder.mkdir()
    index = []
    for place, name in enumerate(names):
        row = {
            "name": name,
            "image": f"{place}.jpg",
            "target": f"{place}.target.png",
            "prediction": f"{place}.prediction.png",
            "scale": 1 / reduce,
        }
        index.append(row)
        target = targets[place][::reduce, ::reduce]
        image = np.stack([np.minimum(target, 5) * 40] * 3, -1) if images is None else images[place][::reduce, ::reduce]
        Image.fromarray(image.astype(np.uint8)).save(folder / row["image"], "JPEG", quality=85)
        Image.fromarray(target).save(folder / row["target"])
        Image.fromarray(predictions[place][::reduce, ::reduce]).save(folder / row["prediction"])
    (folder / "index.json").write_text(json.dumps(index))


def config_text(losses: tuple[str, ...], seed: int = 0, lr: float = 0.01, regime: str = "supervised") -> str:
    lines = [
        f"seed = {seed}",
        f'regime = "{regime}"',
        "",
        "[model]",
        'backbone = "resnet"',
        "",
        "[optim]",
        f"lr = {lr}",
    ]
    for loss in losses:
        lines += ["", "[[losses]]", f'name = "{loss}"', "weight = 1.0", "decay = 1.0"]
        if loss == "adaptive_affinity_field":
            lines += ["", "[losses.options]", "kernel_sizes = [3, 5]", "margin = 3.0"]
    return "\n".join(lines) + "\n"


def log_rows(losses: tuple[str, ...], top: float, steps: int = 1200) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in range(20, steps + 1, 20):
        parts = dict.fromkeys(losses, 0.2 + 0.9 / (1 + step / 150))
        rows.append({"kind": "train", "step": step, "loss": sum(parts.values()), "losses": parts, "lr": 0.01})
        if step % 100 == 0:
            value = top * (1 - 0.7 / (1 + step / 200))
            rows.append({"kind": "eval", "step": step, "split": "val", "miou": value, "boundary_f": 0.5 * value})
    return rows


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the draws: quicker, and as exact where the same draws are compared."""
    monkeypatch.setattr("structseg.report.resample.DRAWS", 200)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """make_run(name, losses=…, amount=…, data=…) -> folder; `amount` is how wrong borders are, `data` which streets."""

    def make(
        name: str,
        *,
        losses: tuple[str, ...] = ("cross_entropy",),
        amount: int = 2,
        seed: int = 0,
        count: int = 12,
        data: int = 0,
        lr: float = 0.01,
        regime: str = "supervised",
        labels: Labels = LABELS,
        names: list[str] | None = None,
        meta: dict[str, Any] | None = None,
        **more: Any,
    ) -> Path:
        targets = street(count, data)
        extra = {"seed": seed} | (meta or {})
        if "adaptive_affinity_field" in losses:
            sizes = {"kernel_sizes": [3, 5], "edge": [3.5, 3.6, 3.9, 4.0], "interior": [4.0, 4.0, 4.1, 4.0], "cell": 8}
            extra = {"kernels": sizes, "loss_parameters": 16} | extra
        return write_run(
            tmp_path / name,
            labels=labels,
            names=names or [f"frame_{place:03d}" for place in range(count)],
            groups=[f"drive_{place // 2}" for place in range(count)],
            targets=targets,
            predictions=shaken(targets, amount, seed + 100 * amount),
            config=config_text(losses, seed, lr, regime),
            log=log_rows(losses, 0.6),
            meta=extra,
            **more,
        )

    return make
