"""Files and arrays in, predictions out, named and sized like what came in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from inference_stubs import Pointwise, Tiny, grey, paint, squares, table
from PIL import Image
from torch import nn

from structseg.config import Config, DataConfig, InferenceConfig
from structseg.errors import ConfigError, DataError
from structseg.inference.predict import find_pictures, predict, predict_files
from structseg.types import Labels, Prediction, UInt8


def save(path: Path, target: UInt8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(paint(target)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, name in enumerate(("a/one.png", "a/two.PNG", "b/one.bmp")):
        save(tmp_path / "in" / name, squares(9 + place, 14, seed=place))
    (tmp_path / "in" / "a" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


def test_a_folder_of_files(folder: Path, tmp_path: Path) -> None:
    found = list(predict(Pointwise(), folder, labels=table(), batch=2))
    assert [prediction.name for prediction in found] == ["a/one", "a/two", "b/one"]
    for place, prediction in enumerate(found):
        np.testing.assert_array_equal(prediction.classes, squares(9 + place, 14, seed=place))
        assert prediction.probabilities is None
        prediction.save(tmp_path / "out")
    np.testing.assert_array_equal(grey(tmp_path / "out" / "index" / "b" / "one.png"), found[2].classes)


def test_the_largest_picture_is_the_models(folder: Path) -> None:
    model = Pointwise()
    for limit, count in ((139, 1), (0, 3)):  # the pictures have 126, 140 and 154 pixels
        model.config = Config(data=DataConfig(max_pixels=limit))
        made = predict(model, folder, labels=table(), batch=1)
        assert len(list(islice(made, count))) == count
    model.config = Config(data=DataConfig(max_pixels=139))
    with pytest.raises(DataError, match=r"two\.PNG: 14x10 pixels are more than data\.max_pixels = 139"):
        list(predict(model, folder, labels=table(), batch=1))


def test_names(folder: Path) -> None:
    def names(*given: Path) -> list[str]:
        return [item.name for item in find_pictures(given)]

    assert names(folder / "a" / "one.png") == ["one"]
    assert names(folder / "a" / "two.PNG", folder / "a" / "one.png") == ["two", "one"]
    assert names(folder / "b", folder / "a") == ["b/one", "a/one", "a/two"]
    assert names(folder / "a", folder / "a" / "one.png") == ["one", "two"]


def test_earlier_results_are_no_pictures(folder: Path, tmp_path: Path) -> None:
    save(folder / "predicted" / "index" / "a.png", squares(5, 5))
    out = folder / "predicted"
    assert [item.name for item in find_pictures([folder], without=out)] == ["a/one", "a/two", "b/one"]
    assert [item.name for item in find_pictures([out / "index"], without=out)] == ["a"]  # asked for by name
    roundabout = folder / "a" / ".." / ".." / "in"
    assert len(find_pictures([roundabout], without=out)) == 3
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert len(find_pictures([tmp_path / "link"], without=out)) == 3
    with pytest.raises(DataError, match="no picture in it or below"):
        find_pictures([folder / "predicted"], without=out / "index")


def test_links_are_followed_and_hidden_files_left_out(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "far.png", squares(5, 5))
    (folder / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (folder / "a" / "._one.png").write_bytes(b"what another system keeps beside a file")
    assert [item.name for item in find_pictures([folder])] == ["a/one", "a/two", "b/one", "linked/far"]


def test_an_upright_picture_comes_back_upright(tmp_path: Path) -> None:
    target = squares(10, 16)
    turned = Image.fromarray(np.rot90(paint(target)).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "x.png", exif=exif)
    (found,) = predict(Pointwise(), tmp_path / "x.png", labels=table())
    np.testing.assert_array_equal(found.classes, target)


def test_arrays_and_probabilities() -> None:
    image = paint(squares(11, 7))
    (one,) = predict(Tiny(), image, labels=table(), probabilities=True)
    (two,) = predict(Tiny(), [image], labels=table())
    assert (one.name, two.name) == ("000000", "000000")
    assert one.probabilities is not None
    assert one.probabilities.shape == (4, 11, 7)
    assert one.probabilities.dtype == np.float32
    np.testing.assert_array_equal(one.probabilities.argmax(0), one.classes)


def test_a_layer_of_torchs_own_is_a_model() -> None:
    """Its `stride` is a pair, and says nothing about logits."""
    for probabilities in (False, True):
        (found,) = predict(
            nn.Conv2d(3, 4, 1, stride=2), paint(squares(11, 7)), labels=table(), probabilities=probabilities
        )
        assert found.classes.shape == (11, 7)


def test_an_endless_stream() -> None:
    def frames() -> Iterator[UInt8]:
        while True:
            yield paint(squares(6, 6))

    found = list(islice(predict(Pointwise(), frames(), labels=table(), batch=2), 5))
    assert [prediction.name for prediction in found][-1] == "000004"


def test_options_come_from_the_models_configuration() -> None:
    model = Pointwise()
    vars(model).update(labels=table(), config=Config(inference=InferenceConfig(tile=8)))
    list(predict(model, paint(squares(16, 16))))
    assert model.seen[0][-2:] == (8, 8)
    list(predict(model, paint(squares(16, 16)), tile=12))
    assert model.seen[-1][-2:] == (12, 12)


def test_predict_files(folder: Path) -> None:
    model = Pointwise()
    vars(model).update(labels=table())
    items = find_pictures([folder])
    found = list(predict_files(model, items, InferenceConfig(mirror=True), probabilities=True, device="cpu"))
    assert [prediction.name for prediction in found] == ["a/one", "a/two", "b/one"]
    assert all(prediction.probabilities is not None for prediction in found)


def test_nothing_gives_nothing() -> None:
    assert list(predict(Pointwise(), [], labels=table())) == []


def test_mistakes(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this model has no labels of its own"):
        predict(Pointwise(), folder)
    with pytest.raises(ConfigError, match="predict has no option 'mirrored'; did you mean 'mirror'"):
        predict(Pointwise(), folder, labels=table(), mirrored=True)
    with pytest.raises(DataError, match=r"gone: no such file or folder"):
        predict(Pointwise(), tmp_path / "gone", labels=table())
    with pytest.raises(DataError, match="give files only, or arrays only"):
        list(predict(Pointwise(), [paint(squares(4, 4)), "x.png"], labels=table()))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no picture in it or below"):
        find_pictures([tmp_path / "empty"])
    with pytest.raises(DataError, match="no picture to predict"):
        find_pictures([])
    save(folder / "a" / "one.bmp", squares(4, 4))
    with pytest.raises(DataError, match=r"one.png and .*one.bmp would both be saved as a/one"):
        find_pictures([folder])


def test_a_damaged_file_is_named_when_its_turn_comes(folder: Path) -> None:
    whole = (folder / "a" / "two.PNG").read_bytes()
    (folder / "a" / "two.PNG").write_bytes(whole[: len(whole) // 2])
    found = predict(Pointwise(), folder, labels=table(), batch=1)
    assert next(found).name == "a/one"
    with pytest.raises(DataError, match=r"two\.PNG: damaged or cut off"):
        next(found)


def test_raw_ids_are_the_first_raw_value_of_each_class(tmp_path: Path) -> None:
    labels = Labels(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), ((9, 255), (7, 1), (255, 0), (4, 1), (11, 2)))
    classes = np.array([[0, 1], [2, 1]], np.uint8)
    prediction = Prediction("x", classes, labels)
    for ids, expected in {"class": classes, "raw": np.array([[255, 7], [11, 7]])}.items():
        prediction.save(tmp_path, ids=ids)
        with Image.open(tmp_path / "index" / "x.png") as index:
            assert index.mode == "L"
            np.testing.assert_array_equal(np.array(index), expected)
    wide = replace(labels, values=((0, 0), (256, 1), (11, 2)))
    Prediction("x", classes, wide).save(tmp_path, ids="raw")
    with Image.open(tmp_path / "index" / "x.png") as index:
        assert index.mode == "I;16"
        np.testing.assert_array_equal(np.array(index), [[0, 256], [11, 256]])
    bare = replace(labels, values=((0, 0), (1, 1)), source="t.toml")
    with pytest.raises(DataError, match=r"t\.toml: class 'c' has no raw value, only colours"):
        Prediction("y", classes, bare).save(tmp_path, ids="raw")
    assert not list(tmp_path.rglob("y.*"))


def test_a_picture_longer_than_jpeg_allows(tmp_path: Path) -> None:
    long = squares(3, 70_000)
    Prediction("long", long, table(), paint(long)).save(tmp_path)
    np.testing.assert_array_equal(grey(tmp_path / "index" / "long.png"), long)
    with Image.open(tmp_path / "overlay" / "long.jpg") as overlay:
        assert overlay.size == (35_000, 2)
