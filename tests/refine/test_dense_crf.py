"""What a dense CRF does: mean field by its definition, its symmetries, its ways of saying no."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from crf_cases import exact_messages, guess, scene, softmax

from structseg.errors import ConfigError, DataError
from structseg.refine import DenseCRF, dense_crf
from structseg.refine.dense_crf import check_widths, energy_of_labels, energy_of_probabilities

SIZE = (24, 32)
GAUSSIAN, BILATERAL = (3.0, 3.0), (20.0, 30.0, 10.0)


@pytest.mark.parametrize("classes", [1, 2, 8, 9])
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_the_steps_are_mean_field(classes: int, steps: int) -> None:
    """The compiled pass against softmax in float64 with messages of the same lattices."""
    energies = energy_of_probabilities(guess(*SIZE, classes))
    crf = DenseCRF(scene(*SIZE), gaussian=GAUSSIAN, bilateral=BILATERAL)
    logits = -energies.reshape(classes, -1).T.astype(np.float64)
    wanted = softmax(logits, 1)
    for _ in range(steps):
        wanted = softmax(logits + crf.messages(wanted), 1)
    found = crf.infer(energies, steps=steps)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted.T.reshape(found.shape), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.sum(0), 1, rtol=0, atol=1e-6)


def test_near_an_exact_crf() -> None:
    """Mean field with exact Gaussians of all pairs: most pixels agree closely, and many were changed."""
    image, probabilities = scene(*SIZE), guess(*SIZE, 3)
    logits = -energy_of_probabilities(probabilities).reshape(3, -1).T.astype(np.float64)
    exact = softmax(logits, 1)
    for _ in range(5):
        exact = softmax(logits + exact_messages(image, exact, GAUSSIAN, BILATERAL), 1)
    found = dense_crf(image, probabilities, steps=5, gaussian=GAUSSIAN, bilateral=BILATERAL).reshape(3, -1).T
    assert np.abs(found - exact).mean() < 0.01
    assert (found.argmax(1) == exact.argmax(1)).mean() > 0.99
    assert (exact.argmax(1) != logits.argmax(1)).mean() > 0.3


def test_the_order_of_classes_does_not_matter() -> None:
    image, probabilities, order = scene(*SIZE), guess(*SIZE, 5), [3, 0, 4, 1, 2]
    found = dense_crf(image, probabilities)
    np.testing.assert_allclose(dense_crf(image, probabilities[order]), found[order], rtol=0, atol=1e-5)


def test_alike_stays_alike() -> None:
    found = dense_crf(scene(*SIZE), np.full((4, *SIZE), 0.25))
    np.testing.assert_allclose(found, 0.25, rtol=0, atol=1e-6)


def test_a_picture_of_one_colour_only_smooths() -> None:
    image = np.full((*SIZE, 3), 117, np.uint8)
    probabilities = np.empty((2, *SIZE), np.float32)
    probabilities[0], probabilities[1] = 0.8, 0.2
    probabilities[:, 10, 12] = 0.1, 0.9  # a speck
    assert (dense_crf(image, probabilities).argmax(0) == 0).all()
    assert dense_crf(image, probabilities, steps=0)[1, 10, 12] == pytest.approx(0.9)


def test_labels_follow_colour() -> None:
    """A border that is three pixels off moves to where the colour changes."""
    image = np.full((*SIZE, 3), (40, 60, 50), np.uint8)
    image[:, 16:] = 200, 180, 60
    probabilities = np.full((2, *SIZE), 0.3, np.float32)
    probabilities[0, :, :19] = probabilities[1, :, 19:] = 0.7
    np.testing.assert_array_equal(dense_crf(image, probabilities).argmax(0), np.tile(np.arange(32) >= 16, (24, 1)))


def test_the_layout_of_arrays_does_not_matter() -> None:
    image, probabilities = scene(*SIZE), guess(*SIZE, 3)
    turned = probabilities.transpose(1, 2, 0).copy().transpose(2, 0, 1)
    found = dense_crf(np.asfortranarray(image)[::-1][::-1], turned.astype(np.float64))
    np.testing.assert_array_equal(found, dense_crf(image, probabilities))


def test_one_crf_serves_many() -> None:
    """Energies, numbers of classes and steps in any order: the same bits as a CRF of its own."""
    image = scene(*SIZE)
    crf = DenseCRF(image)
    for classes, steps in ((3, 10), (9, 4), (3, 10)):
        probabilities = guess(*SIZE, classes, seed=classes)
        found = crf.infer(energy_of_probabilities(probabilities), steps=steps)
        np.testing.assert_array_equal(found, dense_crf(image, probabilities, steps=steps))


def test_threads() -> None:
    """Each has a table of its own, so sums come in another order."""
    image, probabilities = scene(50, 70), guess(50, 70, 4)
    one = dense_crf(image, probabilities)
    torch.set_num_threads(2)
    try:
        two = dense_crf(image, probabilities)
    finally:
        torch.set_num_threads(1)
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)


def test_a_matrix_of_compatibilities() -> None:
    image, energies = scene(*SIZE), energy_of_probabilities(guess(*SIZE, 3))
    potts = 1 - np.eye(3)
    found = DenseCRF(image, gaussian=(3.0, 3 * potts), bilateral=(20.0, 30.0, 10 * potts)).infer(energies)
    wanted = DenseCRF(image, gaussian=GAUSSIAN, bilateral=BILATERAL).infer(energies)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)

    matrix = np.array([[0.0, 1.0, 5.0], [2.0, 0.0, 3.0], [0.5, 4.0, 0.0]])
    values = np.random.default_rng(0).standard_normal((24 * 32, 3))
    plain = DenseCRF(image, gaussian=(3.0, 1.0), bilateral=None).messages(values)
    crf = DenseCRF(image, gaussian=(3.0, matrix), bilateral=None)
    np.testing.assert_allclose(crf.messages(values), -plain @ matrix.T, rtol=0, atol=1e-12)
    logits = -energies.reshape(3, -1).T.astype(np.float64)
    one = softmax(logits + crf.messages(softmax(logits, 1)), 1)
    np.testing.assert_allclose(crf.infer(energies, steps=1).reshape(3, -1).T, one, rtol=0, atol=1e-5)


def test_energies() -> None:
    labels = np.array([[0, 2], [255, 1]], np.uint8)
    energies = energy_of_labels(labels, num_classes=3, confidence=0.7)
    np.testing.assert_allclose(np.exp(-energies[:, 0, 0]), [0.7, 0.15, 0.15], rtol=1e-6)
    np.testing.assert_allclose(np.exp(-energies[:, 0, 1]), [0.15, 0.15, 0.7], rtol=1e-6)
    np.testing.assert_allclose(np.exp(-energies[:, 1, 0]), [1 / 3] * 3, rtol=1e-6)
    probabilities = np.array([0.0, 0.25, 1.0], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(np.exp(-energy_of_probabilities(probabilities)).ravel(), [1e-5, 0.25, 1], rtol=1e-5)
    doubted = np.exp(-energy_of_probabilities(probabilities, scale=0.5)).ravel()
    np.testing.assert_allclose(doubted, [1 / 6, 1 / 8 + 1 / 6, 1 / 2 + 1 / 6], rtol=1e-5)
    tensor = torch.from_numpy(probabilities)
    np.testing.assert_array_equal(energy_of_probabilities(tensor), energy_of_probabilities(probabilities))
    for option in ({"scale": "a"}, {"scale": 0}, {"least": 0}, {"least": float("nan")}):
        with pytest.raises(ConfigError, match="is not a number above 0 and up to 1"):
            energy_of_probabilities(probabilities, **option)


IMAGE = np.zeros((4, 5, 3), np.uint8)
HALVES = np.full((2, 4, 5), 0.5, np.float32)
BAD: dict[str, tuple[type[Exception], dict[str, Any], str]] = {
    "picture of floats": (DataError, {"image": IMAGE / 255}, r"the picture is float64 \(4, 5, 3\); give RGB"),
    "grey picture": (DataError, {"image": IMAGE[..., 0]}, r"uint8 \(4, 5\); give RGB \(H,W,3\) uint8"),
    "no picture": (DataError, {"image": "a.jpg"}, "the picture is a str"),
    "other size": (DataError, {"probabilities": HALVES[:, :3]}, r"\(2, 3, 5\), the picture is \(4, 5\)"),
    "no classes": (DataError, {"probabilities": HALVES[:0]}, r"shape \(0, 4, 5\); give \(C,H,W\)"),
    "class map": (DataError, {"probabilities": HALVES[0]}, r"shape \(4, 5\); give \(C,H,W\)"),
    "logits": (DataError, {"probabilities": 9 * HALVES}, "from 4.5 to 4.5; give finite ones from 0 to 1, not logits"),
    "not finite": (DataError, {"probabilities": HALVES * np.float32("nan")}, "from nan to nan; give finite ones"),
    "steps": (ConfigError, {"steps": -1}, "steps -1 of a dense CRF"),
    "half a step": (ConfigError, {"steps": 1.5}, "steps 1.5 of a dense CRF"),
    "width": (ConfigError, {"gaussian": (-3.0, 3.0)}, r"gaussian: sxy -3.0 of a dense CRF is not a number from 0\.001"),
    "no width": (ConfigError, {"bilateral": (80.0, 0, 10.0)}, "bilateral: srgb 0 of a dense CRF"),
    "strength": (ConfigError, {"bilateral": (80.0, 13.0, -1.0)}, "bilateral: compatibility -1.0 of a dense CRF"),
    "one number": (ConfigError, {"gaussian": (3.0,)}, r"gaussian \(3.0,\) of a dense CRF; give \(sxy, compatibility\)"),
    "a bare number": (ConfigError, {"gaussian": 3.0}, r"gaussian 3.0 of a dense CRF; give \(sxy, compatibility\)"),
    "rows of several lengths": (
        ConfigError,
        {"gaussian": (3.0, [[1.0], [1.0, 2.0]])},
        "gaussian: compatibility of a dense CRF; give a number or",
    ),
    "words": (ConfigError, {"gaussian": (3.0, "much")}, "gaussian: compatibility of a dense CRF; give a number or"),
    "matrix": (ConfigError, {"gaussian": (3.0, np.eye(3))}, r"matrix is \(3, 3\), but there are 2 classes"),
    "nothing": (ConfigError, {"gaussian": None, "bilateral": None}, "needs a kernel"),
    "width of no float32": (ConfigError, {"gaussian": (1e-40, 3.0)}, r"sxy 1e-40 of a dense CRF is not .* to 1e\+06"),
    "endless width": (ConfigError, {"bilateral": (80.0, 1e40, 10.0)}, r"srgb 1e\+40 of a dense CRF is not a number"),
    "whole number of any size": (ConfigError, {"gaussian": (10**400, 3.0)}, "gaussian: sxy 10+ of a dense CRF"),
    "endless strength": (
        ConfigError,
        {"gaussian": (3.0, 1e40)},
        r"compatibility 1e\+40 of a dense CRF is not a number",
    ),
    "endless matrix": (ConfigError, {"gaussian": (3.0, 1e40 * np.eye(2))}, r"numbers up to 1e\+06"),
    "tiny width": (ConfigError, {"bilateral": (1e-3, 13.0, 10.0)}, "too small for this picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    error, given, words = BAD[name]
    with pytest.raises(error, match=words) as refused:
        dense_crf(**{"image": IMAGE, "probabilities": HALVES, **given})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((64 * 64, 3), np.float32),  # once read past the end
        np.zeros((19, 3)),
        np.zeros((4, 5, 3)),
        np.zeros(20),
        np.zeros((20, 3), np.int64),
        np.zeros((20, 3), np.float16),
    ],
    ids=lambda values: f"{values.dtype} {values.shape}",
)
@pytest.mark.parametrize("reverse", [False, True])
def test_messages_of_other_pixels(values: Any, reverse: bool) -> None:
    with pytest.raises(DataError, match=r"the values are \w+ \(.*\); give \(20,C\) float32 or float64"):
        DenseCRF(IMAGE).messages(values, reverse=reverse)


def test_widths_for_the_largest_picture() -> None:
    """Refused for all grey levels, which a picture of one colour does not have."""
    narrow = (80.0, 0.01, 3.0)
    assert dense_crf(IMAGE, HALVES, bilateral=narrow).shape == HALVES.shape
    with pytest.raises(ConfigError, match=r"^bilateral, a picture of 5x4: the widths .*spans 25500 of them; raise sxy"):
        check_widths((4, 5), None, narrow)
    with pytest.raises(ConfigError, match=r"^inference\.crf_bilateral, a picture of 9000x4"):
        check_widths((4, 9000), (0.001, 3.0), (1.0, 13.0, 3.0), prefix="inference.crf_")
    check_widths((1024, 2048), (3.0, 3.0), (80.0, 13.0, 10.0))
    white = np.full((4, 5, 3), 255, np.uint8)
    for srgb, fits in ((0.2, False), (0.3, True)):  # the same bound as the picture's own
        for check in (
            lambda kernel: DenseCRF(white, bilateral=kernel),
            lambda kernel: check_widths((4, 5), None, kernel),
        ):
            with nullcontext() if fits else pytest.raises(ConfigError, match="too small for this picture"):
                check((80.0, srgb, 3.0))


def test_bad_energies() -> None:
    with pytest.raises(DataError, match="energies hold a value that is not finite"):
        DenseCRF(IMAGE).infer(np.full((2, 4, 5), np.inf))
    with pytest.raises(DataError, match=r"labels hold 3, but classes are 0\.\.2 and 255 is ignored"):
        energy_of_labels(np.full((2, 2), 3), num_classes=3)
    with pytest.raises(DataError, match=r"labels are float64 \(2, 2\); give class ids"):
        energy_of_labels(np.zeros((2, 2)), num_classes=3)
    with pytest.raises(ConfigError, match="num_classes is 1; a CRF needs two classes"):
        energy_of_labels(np.zeros((2, 2), np.uint8), num_classes=1)
    with pytest.raises(ConfigError, match=r"num_classes is 2\.5; a CRF needs two classes"):
        energy_of_labels(np.zeros((2, 2), np.uint8), num_classes=2.5)
    assert energy_of_labels(np.eye(2, dtype=np.uint8), num_classes=np.eye(2, dtype=int).max() + 1).shape == (2, 2, 2)
    with pytest.raises(ConfigError, match=r"confidence 1\.0 is not"):
        energy_of_labels(np.zeros((2, 2), np.uint8), num_classes=2, confidence=1.0)
    with pytest.raises(ConfigError, match="scale 0 is not"):
        energy_of_probabilities(HALVES, scale=0)
