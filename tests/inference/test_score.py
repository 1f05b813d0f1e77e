"""Two folders of masks, ours or anyone's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from inference_stubs import COLOURS, paint, squares, table
from PIL import Image

from structseg.errors import DataError
from structseg.inference.score import score_folders
from structseg.metrics import ConfusionMatrix, InstanceIoU
from structseg.types import Labels, Prediction, UInt8

TARGETS = [squares(12, 17, seed=seed) for seed in range(3)]
PREDICTIONS = [np.roll(target, 2, 1) for target in TARGETS]
# raw values 10, 20, 30, 40 and 7 for ignore
RAW = Labels(
    table().names, COLOURS, ((10, 0), (20, 1), (30, 2), (40, 3), (7, 255)), tuple(zip(COLOURS, range(4), strict=True))
)


def save(path: Path, array: UInt8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def folders(root: Path, *, colour: bool = False) -> tuple[Path, Path]:
    for place, (target, prediction) in enumerate(zip(TARGETS, PREDICTIONS, strict=True)):
        save(root / "predicted" / "city" / f"{place}_image.png", paint(prediction) if colour else prediction)
        raw = (np.arange(1, 5, dtype=np.uint8) * 10)[target]
        raw[0, :3] = 7
        save(root / "true" / "city" / f"{place}_label.png", raw)
    return root / "predicted", root / "true"


@pytest.mark.parametrize("colour", [False, True])
def test_index_and_colour_masks_with_a_replacement(tmp_path: Path, colour: bool) -> None:
    predicted, true = folders(tmp_path, colour=colour)
    metrics = score_folders(predicted, true, RAW, replace=(("_image", "_label"),), draws=20)
    matrix = ConfusionMatrix(4)
    for target, prediction in zip(TARGETS, PREDICTIONS, strict=True):
        known = target.copy()
        known[0, :3] = 255
        matrix.update(prediction, known)
    assert metrics["miou"] == matrix.scores()["miou"]
    assert metrics["images"] == 3
    assert "seconds" not in metrics
    assert metrics["protocol"].startswith(
        "3 masks of two folders · predictions read as class ids 0-3 or colours · scored at mask size · mIoU exact"
    )


def test_what_predict_wrote_is_understood(tmp_path: Path) -> None:
    for place, target in enumerate(TARGETS):
        Prediction(f"x/{place}", target, RAW, paint(target)).save(tmp_path / "out")
        save(tmp_path / "true" / "x" / f"{place}.png", (np.arange(1, 5, dtype=np.uint8) * 10)[target])
    assert score_folders(tmp_path / "out", tmp_path / "true", RAW)["miou"] == 1.0


def test_a_palette_mask_is_read_as_index(tmp_path: Path) -> None:
    picture = Image.fromarray(TARGETS[0])
    picture.putpalette([value for colour in reversed(COLOURS) for value in colour])
    (tmp_path / "predicted").mkdir()
    picture.save(tmp_path / "predicted" / "0.png")
    save(tmp_path / "true" / "0.png", TARGETS[0])
    assert score_folders(tmp_path / "predicted", tmp_path / "true", table())["miou"] == 1.0


def test_instances_and_the_form_of_borders(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    assert score_folders(predicted, true, RAW, replace=(("_image", "_label"),), draws=20)["instance_miou"] is None
    score = InstanceIoU(4)
    for place, (target, prediction) in enumerate(zip(TARGETS, PREDICTIONS, strict=True)):
        ids = np.arange(12 * 17).reshape(12, 17) // 40
        published = np.where(ids == 2, 24, ids * 1000)  # 24: a group of persons, no instance
        save(tmp_path / "things" / "city" / f"{place}_label.png", ids.astype(np.uint8))
        save(tmp_path / "published" / "city" / f"{place}_instanceIds.png", published.astype(np.uint16))
        known = target.copy()
        known[0, :3] = 255
        score.update(prediction, known, ids)
    both = (("_image", "_label"), ("_instanceIds", "_label"))
    found = score_folders(predicted, true, RAW, replace=both, instances=tmp_path / "things", draws=20)
    assert found["instance_miou"] == pytest.approx(score.scores()["instance_miou"], abs=1e-12)
    assert found["calibration"] is None
    fewer = score_folders(
        predicted, true, RAW, replace=both, instances=tmp_path / "published", draws=20, boundary="matched"
    )
    assert fewer["instance_miou"] != found["instance_miou"]
    assert fewer["boundary"] == found["boundary_matched"]
    thinned = score_folders(predicted, true, RAW, replace=both, draws=20, thin=True)
    assert thinned["boundary"]["f"] != found["boundary"]["f"]


def test_instances_that_do_not_fit(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    things = tmp_path / "things"

    def error() -> str:
        with pytest.raises(DataError) as caught:
            score_folders(predicted, true, RAW, replace=(("_image", "_label"),), instances=things)
        return str(caught.value)

    assert "things: no such folder of masks" in error()
    for place in range(3):
        save(things / "city" / f"{place}_label.png", np.ones((12, 17), np.uint8))
    save(things / "city" / "1_label.png", np.ones((12, 16), np.uint8))
    assert "1_label.png and the truth" in error()
    assert "16x12 and 17x12" in error()
    save(things / "city" / "1_label.png", np.ones((12, 17, 3), np.uint8))
    assert "1_label.png: instances in colours; save them as grey" in error()
    (things / "city" / "1_label.png").unlink()
    assert "1_label.png: no such mask of instances; say how names differ" in error()


def fails(
    predicted: Path, true: Path, *parts: str, labels: Labels = RAW, replace: tuple[str, str] = ("_image", "_label")
) -> None:
    with pytest.raises(DataError) as caught:
        score_folders(predicted, true, labels, replace=(replace,))
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


def test_missing_partners(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    fails(predicted, true, "0_image.png has no truth", "--replace A=B", replace=("a", "b"))
    (predicted / "city" / "1_image.png").unlink()
    fails(predicted, true, "1_label.png has no prediction in", "1 of 3 missing")
    save(predicted / "city" / "1_image.png", PREDICTIONS[1])
    (true / "city" / "2_label.png").unlink()
    fails(predicted, true, "2_image.png has no truth")


def test_links_are_followed_and_hidden_files_left_out(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    for folder, end in ((predicted, "image"), (true, "label")):
        (folder / "city").rename(tmp_path / end)
        (folder / "city").symlink_to(tmp_path / end, target_is_directory=True)
    save(predicted / "more" / "x_image.png", PREDICTIONS[0])
    save(true / "more" / "x_label.png", (np.arange(1, 5, dtype=np.uint8) * 10)[TARGETS[0]])
    (true / "city" / "._0_label.png").write_bytes(b"what another system keeps beside a file")
    assert score_folders(predicted, true, RAW, replace=(("_image", "_label"),), draws=20)["images"] == 4


def test_one_name_twice(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    save(true / "city" / "1_label.PNG", TARGETS[1])
    fails(predicted, true, "1_label.png and 1_label.PNG differ only in their ending")


def test_two_predictions_of_one_truth(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    save(predicted / "city" / "1_label.png", PREDICTIONS[1])
    fails(predicted, true, "1_label.png", "1_image.png", "both belong to")


def test_sizes_that_differ(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    save(predicted / "city" / "1_image.png", PREDICTIONS[1][:, :-1])
    fails(predicted, true, "1_image.png", "1_label.png", "16x12 and 17x12")


def test_values_that_are_no_class(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    save(predicted / "city" / "1_image.png", np.full((12, 17), 9, np.uint8))
    fails(predicted, true, "1_image.png: value 9 (204 pixels)")
    save(predicted / "city" / "1_image.png", np.full((12, 17), 255, np.uint8))
    fails(predicted, true, "1_image.png: 201 labelled pixels have no predicted class (value 255")


def test_folders_without_masks(tmp_path: Path) -> None:
    _, true = folders(tmp_path)
    fails(tmp_path / "nowhere", true, "nowhere: no such folder of masks")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", true, "empty: no PNG in it or below")
