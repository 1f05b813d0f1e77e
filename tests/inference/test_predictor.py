"""Pictures of any size and order come back at their place, size and pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from inference_stubs import Pointwise, Tiny, paint, squares, table

from structseg.config import InferenceConfig
from structseg.errors import ConfigError, DataError
from structseg.inference.device import pick_device
from structseg.inference.predictor import Predictor, most_probable
from structseg.refine import dense_crf

SIZES = [(13, 21), (1, 1), (13, 21), (40, 7), (13, 21), (64, 64)]


@pytest.mark.parametrize("options", [{}, {"mirror": True}, {"tile": 8}, {"tile": 16, "mirror": True, "batch": 3}])
def test_coloured_squares_come_back_pixel_for_pixel(options: dict[str, Any]) -> None:
    targets = [squares(*size, seed=seed) for seed, size in enumerate(SIZES)]
    predictor = Predictor(Pointwise(), table(), **options)
    for target, found in zip(targets, predictor.classes([paint(target) for target in targets]), strict=True):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, target)


def test_labels_sampled_at_a_stride_come_back_unshifted() -> None:
    target = squares(99, 143, cell=11)  # no multiple of the stride: borders lie anywhere between samples
    (found,) = Predictor(Pointwise(stride=4), table()).classes([paint(target)])
    np.testing.assert_array_equal(found[::4, ::4], target[::4, ::4])
    for axis in (0, 1):
        shifted = [np.mean(found != np.roll(target, by, axis)) for by in (-1, 0, 1)]
        assert min(shifted) == shifted[1]


def test_only_pictures_of_one_size_share_a_batch() -> None:
    model = Pointwise()
    Predictor(model, table(), batch=2).classes([paint(squares(*size)) for size in SIZES])
    assert sorted(model.seen) == sorted([(2, 3, 13, 21), (1, 3, 13, 21), (1, 3, 1, 1), (1, 3, 40, 7), (1, 3, 64, 64)])


@pytest.mark.parametrize("options", [{}, {"tile": 16}, {"scales": (0.75, 1.0), "mirror": True}])
def test_results_do_not_depend_on_the_company(options: dict[str, Any]) -> None:
    images = [paint(squares(*size, seed=seed)) for seed, size in enumerate(SIZES)]
    model = Tiny()
    together = Predictor(model, table(), batch=4, **options).predict(images)
    alone = Predictor(model, table(), batch=1, **options)
    for image, found in zip(images, together, strict=True):
        assert found.shape == (4, *image.shape[:2])
        torch.testing.assert_close(found, alone.predict([image])[0])


def test_the_longer_side_is_brought_to_a_size_before_the_scales() -> None:
    model = Pointwise()
    predictor = Predictor(model, table(), longest=32, scales=(0.5, 1.0))
    found = predictor.classes([paint(squares(*size)) for size in [(64, 48), (20, 40)]])
    assert sorted(model.seen) == [(1, 3, 8, 16), (1, 3, 16, 12), (1, 3, 16, 32), (1, 3, 32, 24)]
    assert [each.shape for each in found] == [(64, 48), (20, 40)]
    assert predictor.describe().startswith("longer side 32 px, scale 0.5 1, ")
    image = paint(squares(64, 48))
    (halved,) = Predictor(model, table(), scales=(0.5,)).predict([image])
    torch.testing.assert_close(Predictor(model, table(), longest=32).predict([image])[0], halved)


def test_every_part_is_left_in_its_mode() -> None:
    model = Tiny().train()
    model.norm.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predictor = Predictor(model, table())
    first, second = (predictor.predict([paint(squares(16, 16))])[0] for _ in range(2))
    assert torch.equal(first, second)  # no dropout
    assert model.training
    assert model.last.training
    assert not model.norm.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_from_config_takes_every_key() -> None:
    config = InferenceConfig(
        scales=(0.5, 2.0), mirror=True, tile=32, overlap=0.5, batch=3, precision="bfloat16", crf=True
    )
    predictor = Predictor.from_config(Tiny(), table(), config)
    assert {name: getattr(predictor, name) for name in vars(config)} == vars(config)
    assert predictor.describe() == "scale 0.5 2, flip, tiles 32 px with overlap 0.5, bfloat16"


def test_a_dense_crf_comes_last() -> None:
    """On probabilities of whole pictures, of tiles and of scales; class ids are those of what it gives."""
    images = [paint(squares(*size, seed=seed)) for seed, size in enumerate(SIZES)]
    options: dict[str, Any]
    for options in ({}, {"tile": 16, "scales": (0.75, 1.0)}):
        predictor = Predictor(Tiny(), table(), crf=True, crf_steps=3, crf_gaussian=(2.0, 3.0), **options)
        plain = Predictor(predictor.model, table(), **options).predict(images)
        found, classes = predictor.predict(images), predictor.classes(images)
        for image, before, after, ids in zip(images, plain, found, classes, strict=True):
            wanted = dense_crf(image, before, steps=3, gaussian=(2.0, 3.0))
            np.testing.assert_allclose(after.numpy(), wanted, rtol=0, atol=1e-6)
            np.testing.assert_array_equal(ids, after.numpy().argmax(0))
    assert predictor.describe_crf() == "dense CRF of 3 steps, gaussian 2 3, bilateral 80 13 10"
    assert Predictor(Tiny(), table()).describe_crf() == "no CRF"


def test_bfloat16_is_near() -> None:
    model, image = Tiny(), paint(squares(32, 32))
    exact = Predictor(model, table()).predict([image])[0]
    near = Predictor(model, table(), precision="bfloat16").predict([image])[0]
    assert near.dtype == torch.float32
    assert 0 < float((near - exact).abs().max()) < 0.02


def test_the_first_of_equals() -> None:
    probabilities = torch.rand(2, 5, 30, 40).mul_(8).round_()
    np.testing.assert_array_equal(most_probable(probabilities), probabilities.numpy().argmax(1))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"scales": ()}, "inference.scales"),
        ({"scales": (0.0,)}, "inference.scales"),
        ({"longest": -1}, "inference.longest"),
        ({"tile": -1}, "inference.tile"),
        ({"overlap": 1.0}, "inference.overlap"),
        ({"batch": 0}, "inference.batch"),
        ({"precision": "float16"}, "inference.precision = 'float16'"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        Predictor(Tiny(), table(), **options)


def test_other_classes_than_the_labels() -> None:
    with pytest.raises(ConfigError, match="gives 3 classes but the label table built in has 4"):
        Predictor(Tiny(3), table(4)).classes([paint(squares(8, 8))])


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture(image: Any) -> None:
    with pytest.raises(DataError, match=r"picture 0 is .*; give RGB"):
        Predictor(Tiny(), table()).classes([image])


def test_pick_device() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match=r"device 'cuda:99' is not there: this machine has .* choose auto or cpu"):
        pick_device("cuda:99")
    for name in ("gpu", "cuda:x", "meta", ""):
        with pytest.raises(ConfigError, match=f"device '{name}' is not known; choose one of auto, cpu"):
            pick_device(name)
