"""The patches with learned kernels: where they stand, how large the squares are, and when there are none."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from structseg.report import compare, read
from structseg.report.page import page
from structseg.report.patches import SIDE, _border, patches

MakeRun = Callable[..., Path]
AAF = ("cross_entropy", "adaptive_affinity_field")
pytestmark = pytest.mark.usefixtures("few_draws")


def test_border_pixels_lie_beside_another_class_not_beside_void() -> None:
    target = np.array([[0, 0, 1], [0, 255, 1], [0, 0, 0]], np.uint8)
    assert _border(target, 0, 2).tolist() == [[False, True, False], [False, False, False], [False, False, True]]


def test_squares_have_the_kernels_size_and_stand_on_the_class(make_run: MakeRun) -> None:
    run = make_run("aaf", losses=AAF)
    found = patches(compare([make_run("ce"), run]))
    learned = read(run).meta["kernels"]
    classes = read(run).labels.names  # type: ignore[union-attr]  # a finished run has them
    assert [patch.name for patch in found] == [classes[place] for place in np.argsort(learned["edge"], kind="stable")]
    for patch in found:
        place = classes.index(patch.name)
        assert patch.edge == pytest.approx(learned["edge"][place] * learned["cell"])
        assert patch.interior == pytest.approx(learned["interior"][place] * learned["cell"])
        image = Image.open(io.BytesIO(base64.b64decode(patch.image.partition(",")[2])))
        assert image.size == (patch.width, patch.height) == (64, 48)  # all of a kept picture below SIDE
        assert max(image.size) <= SIDE
        grey = image.convert("L").getpixel((int(patch.x), int(patch.y)))
        assert grey == pytest.approx(40 * place, abs=25)  # the made-up pictures are drawn by class


def test_the_page_shows_them(make_run: MakeRun) -> None:
    text = page(compare([make_run("ce"), make_run("aaf", losses=AAF)]))
    assert text.count('<rect class="edge"') == text.count('<rect class="interior"') == 4


def test_a_picture_below_the_side_is_drawn_at_its_own_size(make_run: MakeRun) -> None:
    """One unit of the drawing is one pixel, from the corner on: the squares count in these."""
    text = page(compare([make_run("ce"), make_run("aaf", losses=AAF)]))
    drawn = re.findall(r'<svg viewBox="([\d ]+)" role="img"[^>]*><image href="[^"]*" ([^>]*)/>', text)
    assert drawn == [("0 0 72 48", 'width="64" height="48"')] * 4


def test_none_where_a_size_is_unknown(make_run: MakeRun) -> None:
    run = make_run("aaf", losses=AAF)
    index = run / "pictures" / "index.json"
    rows = json.loads(index.read_text())
    index.write_text(json.dumps([{key: row[key] for key in row if key != "scale"} for row in rows]))
    assert patches(compare([make_run("ce"), run])) == ()
    assert patches(compare([make_run("other")])) == ()
