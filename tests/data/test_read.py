"""Pictures and masks of every common kind, and the errors of those that cannot be used."""

from __future__ import annotations

import errno
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from structseg.data.labels import default_palette
from structseg.data.read import _maximum, _raw, read_image, read_item, read_mask
from structseg.errors import DataError
from structseg.types import Item, Labels

COLOURS = ((128, 64, 128), (70, 70, 70), (0, 0, 0))
LABELS = Labels(
    names=("road", "wall"),
    palette=COLOURS[:2],
    values=((0, 0), (1, 1), (2, 255)),
    colours=tuple(zip(COLOURS, (0, 1, 255), strict=True)),
    source="table.toml",
)
RAW = np.array([[0, 1, 2, 1], [1, 1, 0, 0], [2, 0, 1, 0]], np.uint8)
IDS = np.array([[0, 1, 255, 1], [1, 1, 0, 0], [255, 0, 1, 0]], np.uint8)
RGB = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def palette_mask() -> Image.Image:
    picture = Image.fromarray(RAW).convert("P")
    picture.putpalette([byte for colour in default_palette(3) for byte in colour])
    picture.putdata(RAW.ravel().tolist())
    return picture


# ------------------------------------------------------------------------------------------------ masks


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".gif"])
def test_palette_masks_are_read_as_index(tmp_path: Path, suffix: str) -> None:
    palette_mask().save(tmp_path / f"m{suffix}")
    np.testing.assert_array_equal(read_mask(tmp_path / f"m{suffix}", LABELS), IDS)


def test_palette_mask_with_transparency(tmp_path: Path) -> None:
    palette_mask().save(tmp_path / "m.png", transparency=bytes([0, 128, 255]))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", LABELS), IDS)


def test_grey_deep_and_colour_masks(tmp_path: Path) -> None:
    colours = np.array(COLOURS, np.uint8)[RAW]
    alpha = np.full((3, 4, 1), 7, np.uint8)
    pictures = {
        "grey": Image.fromarray(RAW),
        "grey_alpha": Image.fromarray(np.concatenate([RAW[..., None], alpha], 2)),
        "deep": Image.fromarray(RAW.astype(np.uint16)),
        "wide": Image.fromarray(RAW.astype(np.int32)),
        "rgb": Image.fromarray(colours),
        "rgba": Image.fromarray(np.concatenate([colours, alpha], 2)),
    }
    for name, picture in pictures.items():
        path = tmp_path / f"{name}.{'tif' if name == 'wide' else 'png'}"
        picture.save(path)
        np.testing.assert_array_equal(read_mask(path, LABELS), IDS, err_msg=name)


def test_one_bit_mask(tmp_path: Path) -> None:
    Image.fromarray(RAW == 1).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", LABELS), (RAW == 1).astype(np.uint8))


def test_16_bit_values_above_255(tmp_path: Path) -> None:
    labels = Labels(("a", "b"), default_palette(2), ((256, 0), (65535, 1)))
    Image.fromarray(np.array([[256, 65535]], np.uint16)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", labels), [[0, 1]])


def packed_png(path: Path, *, bits: int, kind: int, row: bytes, width: int) -> Path:
    """A picture of one row whose bytes are given as they stand in the file, for what Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b""))
    return path


def test_grey_of_few_bits_keeps_its_numbers(tmp_path: Path) -> None:
    labels = Labels(("a", "b", "c", "d"), default_palette(4), ((0, 0), (1, 1), (2, 2), (3, 3), (15, 255), (1000, 255)))
    two = packed_png(tmp_path / "2.png", bits=2, kind=0, row=bytes([0b00011011]), width=4)
    four = packed_png(tmp_path / "4.png", bits=4, kind=0, row=bytes([0x01, 0x2F]), width=4)
    np.testing.assert_array_equal(read_mask(two, labels), [[0, 1, 2, 3]])
    np.testing.assert_array_equal(read_mask(four, labels), [[0, 1, 2, 255]])
    for name, header, row in [("raw", b"P5 4 1 3\n", bytes([0, 1, 2, 3])), ("plain", b"P2 4 1 3\n", b"0 1 2 3\n")]:
        (tmp_path / f"{name}.pgm").write_bytes(header + row)
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.pgm", labels), [[0, 1, 2, 3]])
    (tmp_path / "deep.pgm").write_bytes(b"P5 2 1 1000\n" + struct.pack(">HH", 3, 1000))
    np.testing.assert_array_equal(read_mask(tmp_path / "deep.pgm", labels), [[3, 255]])
    np.testing.assert_array_equal(read_image(two)[0, :, 0], [0, 85, 170, 255])  # a picture is stretched


@pytest.mark.parametrize("maximum", [*range(1, 255), 256, 1000, 4095, 65534])
def test_every_number_of_a_pnm_comes_back(tmp_path: Path, maximum: int) -> None:
    labels = Labels(("a",), default_palette(1), tuple((value, 0) for value in range(1, 65536)), source="no 0")
    values = np.unique(np.linspace(0, maximum, 300, dtype=np.uint16))
    data = values.astype(">u2" if maximum > 255 else np.uint8).tobytes()
    (tmp_path / "m.pgm").write_bytes(f"P5 {len(values)} 1 {maximum}\n".encode() + data)
    with Image.open(tmp_path / "m.pgm") as picture:
        np.testing.assert_array_equal(_raw(picture, _maximum(picture), tmp_path), values[None])
    with pytest.raises(DataError, match=r"value 0 \(1 pixels\) not in the label table"):
        read_mask(tmp_path / "m.pgm", labels)


def test_colour_masks_of_16_bits_are_refused(tmp_path: Path) -> None:
    deep = struct.pack(">4H", 0x0102, 0x0304, 0x0506, 0xFFFF)
    packed_png(tmp_path / "rgb.png", bits=16, kind=2, row=deep[:6], width=1)
    packed_png(tmp_path / "rgba.png", bits=16, kind=6, row=deep, width=1)
    packed_png(tmp_path / "la.png", bits=16, kind=4, row=deep[:4], width=1)
    (tmp_path / "rgb.ppm").write_bytes(b"P6 1 1 65535\n" + deep[:6])
    cv2.imwrite(str(tmp_path / "rgb.tif"), np.full((2, 2, 3), 0x0102, np.uint16))
    for name in ("rgb.png", "rgba.png", "la.png", "rgb.ppm", "rgb.tif"):
        with pytest.raises(DataError) as caught:
            read_mask(tmp_path / name, LABELS)
        assert str(caught.value).startswith(f"{tmp_path / name}: a colour mask with numbers up to 65535, not 255; save")
        assert read_image(tmp_path / name)[0, 0, 0] == 1  # a picture keeps the high byte


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    plain = Labels(LABELS.names, LABELS.palette, LABELS.values, source="table.toml")
    Image.fromarray(RGB).save(tmp_path / "rgb.png")
    Image.fromarray(RAW).save(tmp_path / "m.jpg")
    Image.fromarray(RAW.astype(np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(RAW + 1).save(tmp_path / "stray.png")
    for name, labels, message in [
        ("rgb.png", plain, "an RGB mask, but the label table table.toml has no colours"),
        ("m.jpg", LABELS, "a mask saved as JPEG has blurred labels; save it as PNG"),
        ("f.tif", LABELS, "a mask of mode F"),
        ("stray.png", LABELS, "value 3 (2 pixels) not in the label table table.toml; add it, or list it under ignore"),
        ("none.png", LABELS, "no such file"),
    ]:
        with pytest.raises(DataError) as caught:
            read_mask(tmp_path / name, labels)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ pictures


def test_pictures_of_every_mode(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    rgba = np.concatenate([RGB, grey[..., None]], 2)
    adaptive = Image.fromarray(RGB).convert("P", palette=Image.Palette.ADAPTIVE)
    expected = {
        "rgb.png": (Image.fromarray(RGB), RGB),
        "rgb.bmp": (Image.fromarray(RGB), RGB),
        "rgb.tif": (Image.fromarray(RGB), RGB),
        "grey.png": (Image.fromarray(grey), np.repeat(grey[..., None], 3, 2)),
        "rgba.png": (Image.fromarray(rgba), RGB),
        "palette.png": (adaptive, np.asarray(adaptive.convert("RGB"))),
        "deep.png": (Image.fromarray(grey.astype(np.uint16) * 257), np.repeat(grey[..., None], 3, 2)),
        "bits.png": (Image.fromarray(grey > 99), np.repeat((grey > 99)[..., None] * np.uint8(255), 3, 2)),
    }
    for name, (picture, pixels) in expected.items():
        picture.save(tmp_path / name)
        image = read_image(tmp_path / name)
        assert image.dtype == np.uint8
        assert image.flags.writeable
        np.testing.assert_array_equal(image, pixels, err_msg=name)
    Image.fromarray(RGB).save(tmp_path / "exact.webp", lossless=True)
    np.testing.assert_array_equal(read_image(tmp_path / "exact.webp"), RGB)


def test_palette_picture_with_transparency_needs_no_warning(tmp_path: Path) -> None:
    palette_mask().save(tmp_path / "p.png", transparency=bytes([0, 128, 255]))
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), np.array(default_palette(3), np.uint8)[RAW])


def test_cmyk_jpeg(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK")
    red.save(tmp_path / "cmyk.jpg", quality=100)
    np.testing.assert_allclose(read_image(tmp_path / "cmyk.jpg").mean((0, 1)), (250, 10, 10), atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    Image.fromarray(RGB).save(tmp_path / "p.png", exif=turned(orientation))
    upright = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: RGB.transpose(1, 0, 2)[:, ::-1],
        7: RGB[::-1, ::-1].transpose(1, 0, 2),
        8: RGB.transpose(1, 0, 2)[::-1],
    }
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), upright[orientation])


def test_pictures_that_cannot_be_used(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:1500])
    whole = io.BytesIO()
    Image.fromarray(RGB).save(whole, "PNG")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:-30])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    Image.fromarray(RGB[..., 0].astype(np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(tmp_path / "wide.tif")
    for name, message in [
        ("cut.jpg", "damaged or cut off"),
        ("cut.png", "damaged or cut off"),
        ("text.png", "not a picture that can be read"),
        ("empty.png", "not a picture that can be read"),
        ("folder.png", "cannot be opened (Is a directory)"),
        ("loop.png", "cannot be opened (Too many levels of symbolic links)"),
        ("f.tif", "a picture of fractions has no fixed range"),
        ("wide.tif", "grey values from 0 to 70000"),
        ("none.jpg", "no such file"),
    ]:
        with pytest.raises(DataError) as caught:
            read_image(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_picture_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Image.Image:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)  # a file's mode does not stop the superuser
    with pytest.raises(DataError, match=r"p\.png: cannot be opened \(Permission denied\)"):
        read_image(tmp_path / "p.png")


# ------------------------------------------------------------------------------------------------ items


def test_item(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "p.png")
    palette_mask().save(tmp_path / "m.png")
    sample = read_item(Item("p", tmp_path / "p.png", tmp_path / "m.png", group="g"), LABELS)
    assert (sample.name, sample.group) == ("p", "g")
    np.testing.assert_array_equal(sample.image, RGB)
    assert sample.target is not None
    np.testing.assert_array_equal(sample.target, IDS)
    assert read_item(Item("p", tmp_path / "p.png"), LABELS).target is None
    with pytest.raises(DataError, match="'x' names no picture file"):
        read_item(Item("x"), LABELS)


def test_mask_must_match_the_upright_picture(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "p.png", exif=turned(6))
    palette_mask().save(tmp_path / "lying.png")
    palette_mask().transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    sample = read_item(Item("p", tmp_path / "p.png", tmp_path / "upright.png"), LABELS)
    assert sample.target is not None
    np.testing.assert_array_equal(sample.target, np.rot90(IDS, -1))
    with pytest.raises(DataError) as caught:
        read_item(Item("p", tmp_path / "p.png", tmp_path / "lying.png"), LABELS)
    for part in ("p.png is 3x4", "lying.png is 4x3", "EXIF orientation"):
        assert part in str(caught.value)


def test_sizes_that_differ(tmp_path: Path) -> None:
    Image.fromarray(RGB[:, :3]).save(tmp_path / "p.png")
    palette_mask().save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"p\.png is 3x3 but its mask .*m\.png is 4x3 .*make the mask from the picture"):
        read_item(Item("p", tmp_path / "p.png", tmp_path / "m.png"), LABELS)
