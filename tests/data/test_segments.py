"""Polygons and run lengths to masks, against slow definitions; the index of a COCO file."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest

from structseg.data.index import read_index
from structseg.data.segments import decode, to_mask
from structseg.errors import DataError

SIZE = (9, 13)


def inside(x: float, y: float, polygon: list[float]) -> bool:
    """Even-odd rule: how many edges a ray to the right crosses."""
    points = list(zip(polygon[::2], polygon[1::2], strict=True))
    odd = False
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 <= y) != (y1 <= y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            odd = not odd
    return odd


def slow(polygon: list[float], size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.array([[inside(x + 0.5, y + 0.5, polygon) for x in range(size[1])] for y in range(size[0])])


def runs(mask: np.ndarray) -> list[int]:
    """Lengths down the columns, first the background's."""
    flat = mask.T.ravel().tolist()
    found = [len(list(group)) for _, group in groupby(flat)]
    return [0, *found] if flat[0] else found


def encode(numbers: list[int]) -> str:
    """Run lengths as the compressed string, straight from the definition of the format."""
    text = ""
    for place, number in enumerate(numbers):
        value = number - (numbers[place - 2] if place > 2 else 0)
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(bits + 32 * more + 48)
    return text


@pytest.mark.parametrize("seed", range(40))
def test_polygons_are_the_pixels_whose_centre_lies_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-4, 16, (rng.integers(3, 9), 2))
    if seed % 2:
        corners = np.round(corners * 2) / 2  # corners and edges that run through centres
    corners[0] = (5, 4)
    polygon = corners.ravel().tolist()
    np.testing.assert_array_equal(to_mask([polygon], SIZE, "here"), slow(polygon))


def test_neighbours_share_no_pixel_and_leave_none_out() -> None:
    left, right = [0, 0, 6.5, 0, 4, 9, 0, 9], [6.5, 0, 13, 0, 13, 9, 4, 9]
    masks = [to_mask([polygon], SIZE, "here") for polygon in (left, right)]
    assert not (masks[0] & masks[1]).any()
    assert (masks[0] | masks[1]).all()
    np.testing.assert_array_equal(to_mask([left, right], SIZE, "here"), np.ones(SIZE, bool))


def test_polygons_are_cut_off_at_the_edge() -> None:
    polygon = [-50, -50, 1000, -50, 1000, 3, -50, 3]
    expected = np.zeros(SIZE, bool)
    expected[:3] = True
    np.testing.assert_array_equal(to_mask([polygon], SIZE, "here"), expected)


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((40, 31)) < rng.choice([0.02, 0.5, 0.98])
    numbers = runs(mask)
    assert decode(encode(numbers), "here") == numbers
    for counts in (numbers, encode(numbers)):
        np.testing.assert_array_equal(to_mask({"size": [40, 31], "counts": counts}, (40, 31), "here"), mask)


def test_a_string_worked_out_by_hand() -> None:
    # 6 -> "6"; 1 -> "1"; 40 = 8 + 1 * 32 -> (8 + 32 + 48, 1 + 48) = "X1"; 2, as 2 - 1 = 1 -> "1"; 40 - 40 = 0 -> "0"
    assert decode("61X110", "here") == [6, 1, 40, 2, 40]
    # the fourth run 3 after the second 8: -5 = 27 in five bits, whose highest says negative -> chr(27 + 48) = "K"
    assert decode("08" + "4" + "K", "here") == [0, 8, 4, 3]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[20, 1, 25, 1, 25, 5]], r"a polygon from \(20, 1\) to \(25, 5\) lies outside its picture of 13x9"),
        ([[1, 1, 5, 5, 1, 4], [-9, 1, -5, 1, -5, 5]], r"from \(-9, 1\) to \(-5, 5\) lies outside"),
        ([[1, 1, 5, 5]], "at least three points"),
        ([[1, 1, 5, 5, 3]], "at least three points"),
        ([[1, 1, 5, 5, 3, "x"]], "at least three points"),
        ([[1, 1, 5, 5, 3, float("nan")]], "at least three points"),
        ([], r"a segmentation is a list of polygons or run lengths, not \[\]; an object with a box alone has no mask"),
        ("abc", "a segmentation is a list of polygons or run lengths"),
        ({"size": [9, 13], "counts": [100, 16]}, "do not add up to the 117 pixels"),
        ({"size": [9, 13], "counts": [118, -1]}, "do not add up"),
        ({"size": [9, 13]}, "do not add up"),
        ({"size": [13, 9], "counts": [117]}, r"of size \[13, 9\], but the picture has \[9, 13\]"),
        ({"size": None, "counts": [117]}, r"of size None, but the picture has \[9, 13\]"),
        ({"size": 9, "counts": [117]}, "of size 9, but"),
        ({"size": [9, 13], "counts": "6 1"}, "' ' does not occur in compressed run lengths"),
        ({"size": [9, 13], "counts": "X"}, "end within a number"),
    ],
)
def test_what_is_no_segmentation(segmentation: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^here: .*{message}") as caught:
        to_mask(segmentation, SIZE, "here")
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ index


@pytest.mark.parametrize("layout", ["plain", "indent", "escaped", "bom", "order"])
def test_index_is_what_a_whole_parse_finds(tmp_path: Path, layout: str) -> None:
    file = layouts.coco_file(tmp_path / "a.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    content["images"][0]["file_name"] = "Stra\u00dfe \u4e2d.jpg"
    if layout == "order":
        content = {key: content[key] for key in ("annotations", "categories", "info", "images")}
    text = json.dumps(content, indent=2 if layout == "indent" else None, ensure_ascii=layout == "escaped")
    file.write_text(text, encoding="utf-8-sig" if layout == "bom" else "utf-8")
    index = read_index(file)
    assert index.images == (("Stra\u00dfe \u4e2d.jpg", 6, 8), ("000000000005.jpg", 6, 8))
    assert index.categories == ((1, "person"), (18, "dog"))
    assert [index.read(place) for place in range(2)] == [content["annotations"], []]


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("images", lambda rows: rows.append(rows[0]), "images number 3: id 7 stands already"),
        ("annotations", lambda rows: rows.append(rows[0]), "annotations number 4: id 30 stands already"),
        ("categories", lambda rows: rows.append(rows[0]), "categories number 3: id 1 stands already"),
        ("images", lambda rows: rows.clear(), "lists no picture"),
        ("images", lambda rows: rows.pop(0), "annotation 30: image_id 7 is not among the 1 images"),
        ("categories", lambda rows: rows.pop(), "annotation 30: category_id 18 is not among the 1 categories"),
        ("annotations", lambda rows: rows[1].pop("segmentation"), "annotations number 2 has no 'segmentation'"),
        ("images", lambda rows: rows[1].update(height=None), "images number 2: height = None is not a whole number"),
        ("images", lambda rows: rows.insert(0, 5), "images number 1 has no 'id'"),
    ],
)
def test_index_of_a_file_that_is_wrong(tmp_path: Path, key: str, change: Callable[[Any], Any], message: str) -> None:
    rows = json.loads(layouts.coco_file(tmp_path / "good.json").read_text(encoding="utf-8"))[key]
    change(rows)
    file = layouts.coco_file(tmp_path / "bad.json", **{key: rows})
    with pytest.raises(DataError, match=rf"bad\.json: {message}"):
        read_index(file)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"images": [{"id": 1}', '{"images": 1 2}', "\x00", '{"images" [1]}'])
def test_what_is_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json: (not valid JSON|lists no picture|images number 1 has no)") as caught:
        read_index(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_a_file_that_changed_is_told(tmp_path: Path) -> None:
    file = layouts.coco_file(tmp_path / "a.json")
    index = read_index(file)
    file.write_text("[]")
    with pytest.raises(DataError, match="was changed while it was in use"):
        index.read(0)
    with pytest.raises(DataError, match=r"b\.json: cannot be read \(No such file"):
        read_index(tmp_path / "b.json")
