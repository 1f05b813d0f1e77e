"""Draw scenes.png: picture, truth and the class maps of two runs on the built-in scenes.

    python docs/pictures/make.py RUN_CE RUN_AAF [PLACE PLACE ...]

RUN_CE and RUN_AAF are the folders of finished `scenes_ce` and `scenes_aaf` runs, e.g. those of `./run demo`; PLACE is
the number of a test picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import structseg
from structseg.data import open_format

TITLES = ("picture", "truth", "cross-entropy", "+ adaptive affinity fields")
PLACES = (6, 7)  # of the test split
ZOOM = 2  # a pixel of a scene becomes ZOOM x ZOOM
GAP = 6  # pixels between pictures
TOP = 22  # pixels for the titles


def main(runs: list[str], places: tuple[int, ...]) -> None:
    models = [structseg.load(run) for run in runs]
    source = open_format(vars(models[0])["config"].data)
    items = source.items("test")
    rows = []
    for sample in (source.read(items[place]) for place in places):
        maps = [sample.target, *(next(structseg.predict(model, sample.image)).classes for model in models)]
        palette = np.array(source.labels.palette, np.uint8)
        rows.append([sample.image, *(palette[classes] for classes in maps)])
    draw(rows).save(Path(__file__).with_name("scenes.png"), optimize=True)


def draw(rows: list[list[np.ndarray]]) -> Image.Image:
    """Rows of pictures (H,W,3) of one size, under their titles."""
    height, width = (side * ZOOM for side in rows[0][0].shape[:2])
    size = (len(TITLES) * (width + GAP) - GAP, TOP + len(rows) * (height + GAP) - GAP)
    page = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for column, title in enumerate(TITLES):
        left = column * (width + GAP)
        pen.text((left + width / 2, TOP / 2), title, fill="black", font=font, anchor="mm")
        for line, row in enumerate(rows):
            big = Image.fromarray(row[column]).resize((width, height), Image.Resampling.NEAREST)
            page.paste(big, (left, TOP + line * (height + GAP)))
    return page


if __name__ == "__main__":
    main(sys.argv[1:3], tuple(int(word) for word in sys.argv[3:]) or PLACES)
