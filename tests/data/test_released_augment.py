"""Resize, mirror and crop as released, number by number (golden augment.npz), and through the stream of batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from structseg.data import scenes
from structseg.data.formats.scenes import Scenes
from structseg.data.loader import Augmentation, batches, place_rng
from structseg.data.released import MEAN_COLOUR, augment, bilinear, cut, nearest, resized
from structseg.types import Sample

CROP = (32, 32)


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, Any]:
    with np.load(golden / "aaf" / "augment.npz") as file:
        return dict(file)


def test_every_case_of_the_released_reader(arrays: dict[str, Any]) -> None:
    """The golden picture has the mean colour taken off already; resizing is linear, so nothing else changes."""
    picture, label = arrays["img_mean_subtracted"], arrays["label"]
    np.testing.assert_allclose(arrays["img_mean_rgb"], MEAN_COLOUR, rtol=1e-6)
    cases = sorted({name.split("/")[0] for name in arrays if "/" in name})
    assert len(cases) == 7
    for case in cases:
        given = {name.split("/")[1]: array for name, array in arrays.items() if name.startswith(f"{case}/")}
        size = resized(picture.shape[:2], float(given["scale"]))
        assert size == given["scaled_label"].shape
        image, target = bilinear(picture, size), nearest(label, size)
        np.testing.assert_allclose(image, given["scaled_img"], rtol=0, atol=1e-3)
        np.testing.assert_array_equal(target, given["scaled_label"])
        if given["mirror_u"] < 0.5:
            image, target = image[:, ::-1], target[:, ::-1]
        corner = tuple(int(place) for place in given["crop_offset_yx"])
        if not given["random_crop"]:  # without --random-crop: from the middle of what is padded
            corner = tuple((max(side, length) - length) // 2 for side, length in zip(size, CROP, strict=True))
        np.testing.assert_allclose(cut(image, corner, CROP, 0.0), given["img"], rtol=0, atol=1e-3)
        np.testing.assert_array_equal(cut(target, corner, CROP, 255), given["out_label"])


def test_draws_are_those_of_the_pieces() -> None:
    rng = np.random.default_rng(0)
    image, target = rng.integers(0, 256, (40, 50, 3), np.uint8), rng.integers(0, 5, (40, 50), np.uint8)
    small = 0
    for place in range(40):
        share = place_rng(0, "labeled", place).random(4)
        found = augment(
            Sample("a", image, target),
            place_rng(0, "labeled", place),
            crop=(36, 44),
            scale=(0.5, 2.0),
            mirror=True,
            ignore_index=255,
        )
        size = (
            int(np.float32(40) * np.float32(0.5 + 1.5 * share[0])),
            int(np.float32(50) * np.float32(0.5 + 1.5 * share[0])),
        )
        whole = nearest(target, size)[:, :: -1 if share[1] < 0.5 else 1]
        padded = np.full((max(size[0], 36), max(size[1], 44)), 255, np.uint8)
        padded[: size[0], : size[1]] = whole
        top, left = int(share[2] * (padded.shape[0] - 35)), int(share[3] * (padded.shape[1] - 43))
        assert found.target is not None
        np.testing.assert_array_equal(found.target, padded[top : top + 36, left : left + 44])
        assert found.image.dtype == np.float32
        void = found.target == 255
        small += bool(void.any())
        assert (found.image[void] == np.float32(MEAN_COLOUR)).all()
    assert small


def test_a_stream_of_released_batches() -> None:
    source = Scenes(size=(40, 60), train=3, val=1, test=1)
    chosen = Augmentation(crop=(48, 48), geometry="released")
    options: dict[str, Any] = {"seed": 0, "stream": "labeled", "batch": 2, "start": 0, "stop": 3}
    first, again = (list(batches(source, source.items("train"), augmentation=chosen, **options)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.image.shape == (2, 3, 48, 48)
        assert one.image.dtype.is_floating_point
        assert one.target is not None
        assert other.target is not None
        assert (one.image == other.image).all()
        assert (one.target == other.target).all()
        assert int(one.target[one.target != 255].max()) < scenes.labels().num_classes
