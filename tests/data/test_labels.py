"""Label tables: what files mean, ignoring by name, and that a raw mask comes back as exactly the ids it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structseg.data.labels import apply, default_palette, read_labels, with_ignored
from structseg.errors import ConfigError, DataError
from structseg.types import Colour, Labels


def write(folder: Path, text: str, name: str = "labels.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


TOML = """
ignore = ["mast", 254, "#e0e0c0"]
[[class]]
name = "road"
values = [7, 8]
colour = [128, 64, 128]
colours = ["#804081"]
[[class]]
name = "mast"
value = 9
[[class]]
name = "pole"
value = 300
colour = "#999999"
thin = true
[[class]]
name = "hole"
value = 0
ignore = true
"""


def test_toml_merges_ignores_and_numbers(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, TOML))
    assert labels.names == ("road", "pole")
    assert labels.palette == ((128, 64, 128), (153, 153, 153))
    assert labels.thin == ("pole",)
    assert dict(labels.values) == {7: 0, 8: 0, 9: 255, 300: 1, 0: 255, 254: 255}
    assert dict(labels.colours) == {(128, 64, 128): 0, (128, 64, 129): 0, (153, 153, 153): 1, (224, 224, 192): 255}


def test_toml_without_values_counts_from_zero(tmp_path: Path) -> None:
    text = '[[class]]\nname = "a"\n[[class]]\nname = "b"\nignore = true\n[[class]]\nname = "c"\n'
    labels = read_labels(write(tmp_path, text))
    assert labels.names == ("a", "c")
    assert labels.values == ((0, 0), (1, 255), (2, 1))
    assert labels.palette == default_palette(2)
    assert labels.colours == ()


@pytest.mark.parametrize(
    ("text", "names", "values", "colours"),
    [
        ("0 Sky 128,128,128\n1 Pole 1,2,3\n11 Void 0,0,0\n", ("Sky", "Pole"), {0: 0, 1: 1, 11: 255}, 3),
        ("road\n\ntraffic light\nvoid", ("road", "traffic light"), {0: 0, 1: 1, 2: 255}, 0),
        ("background\nthing\n255 Ignore\n", ("background", "thing"), {0: 0, 1: 1, 255: 255}, 0),
        ("name,r,g,b\nAnimal,64,128,64\nArch way,192,0,128\n", ("Animal", "Arch way"), {0: 0, 1: 1}, 2),
        ("64 128 64\tAnimal\n192 0 128\tArchway\n", ("Animal", "Archway"), {0: 0, 1: 1}, 2),
        ("Class\nroad\nname", ("road", "name"), {0: 0, 1: 1}, 0),
        ("red\nblue", ("red", "blue"), {0: 0, 1: 1}, 0),
        ("0 7up\n1 7-eleven", ("7up", "7-eleven"), {0: 0, 1: 1}, 0),
        ("# a comment\n4\troad\t#804080\n2\twater,\n", ("road", "water"), {4: 0, 2: 1}, 1),
        ("\ufeff0: cat\n1: UNLABELED\n2: dog", ("cat", "dog"), {0: 0, 1: 255, 2: 1}, 0),
    ],
)
def test_text_tables(tmp_path: Path, text: str, names: tuple[str, ...], values: dict[int, int], colours: int) -> None:
    labels = read_labels(write(tmp_path, text, "classes.txt"))
    assert labels.names == names
    assert dict(labels.values) == values
    assert len(labels.colours) == colours


def test_a_class_without_colour_gets_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("0 road\n1 pole 0,0,0\n2 car\n3 void 128,0,0\n")
    palette = read_labels(tmp_path / "classes.txt").palette
    assert len({*palette, (128, 0, 0)}) == 4


def test_default_palette_is_pascal_voc() -> None:
    assert default_palette(8)[:6] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128))
    assert len(set(default_palette(255))) == 255


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[class]\n", "not valid TOML"),
        ('[[class]]\nname = "a"\nvalue = 1\ncolor = "#ffffff"\n', "class 'a': unknown key 'color'; did you mean"),
        ('[[klass]]\nname = "a"\n', "unknown key 'klass'; did you mean 'class'?"),
        ("class = 3\n", "'class' must be written as [[class]] tables"),
        ("[[class]]\nvalue = 1\n", "[[class]] number 1 has no name; write name"),
        ('[[class]]\nname = "a"\n[[class]]\nname = ["b"]\n', "[[class]] number 2 has no name (name = ['b']); write"),
        ('[[class]]\nname = "a\\nb"\n', "[[class]] number 1 has no name (name = 'a\\nb')"),
        ('[[class]]\nname = " "\n', "[[class]] number 1 has no name (name = ' ')"),
        ('[[class]]\nname = "a"\nvalue = 7\nvalues = [8]\n', "class 'a': has both value and values; list them all"),
        ('[[class]]\nname = "a"\nvalue = [7]\n', "class 'a': value: raw value [7] is not a whole number"),
        ('[[class]]\nname = "a"\nvalues = 7\n', "class 'a': values = 7; write a list, values = [...]"),
        ('[[class]]\nname = "a"\nvalues = [true]\n', "class 'a': values: raw value True is not"),
        ('[[class]]\nname = "a"\ncolours = 5\n', "class 'a': colours = 5; write a list, colours = [...]"),
        ('[[class]]\nname = "a"\ncolours = "#804080"\n', "class 'a': colours = '#804080'; write a list"),
        ('[[class]]\nname = "a"\ncolours = [1, 2, 3]\n', "class 'a': colours: 1 is not a colour; write [r, g, b]"),
        ('[[class]]\nname = "a"\n"b\\nc" = 1\n', "class 'a': unknown key 'b\\nc'"),
        ('ignore = [{a = 1}]\n[[class]]\nname = "a"\n', "ignore lists {'a': 1}, which is no class"),
        ('ignore = [1.5]\n[[class]]\nname = "a"\n', "ignore lists 1.5, which is no class"),
        ('ignore = [[1, 2]]\n[[class]]\nname = "a"\n', "ignore: [1, 2] is not a colour"),
        ('ignore = [-1]\n[[class]]\nname = "a"\n', "ignore: raw value -1 is not a whole number"),
        ('[[class]]\nname = "a"\nvalue = 70000\n', "raw value 70000 is not a whole number from 0 to 65535"),
        (
            '[[class]]\nname = "a"\nvalue = 1\ncolour = "red"\n',
            "class 'a': colour: 'red' is not a colour; write [r, g, b]",
        ),
        ('[[class]]\nname = "a"\nvalue = 1\nthin = "yes"\n', "class 'a': thin = 'yes'; write true or false"),
        ('[[class]]\nname = "a"\nvalue = 1\n[[class]]\nname = "b"\nvalue = 1\n', "value 1 stands for 'a' and 'b'"),
        ('[[class]]\nname = "a"\nvalue = 1\n[[class]]\nname = "b"\n', "class 'b' has no value and no colour"),
        (
            'ignore = ["viod"]\n[[class]]\nname = "void"\n',
            "ignore lists 'viod', which is no class; did you mean 'void'?",
        ),
        ('[[class]]\nname = "a"\nignore = true\n', "every class is ignored"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "a"\n', "class 'a' stands twice"),
        ("", "no class in it"),
    ],
)
def test_wrong_tables_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_labels(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt: no such file"):
        read_labels(tmp_path / "nowhere.txt")
    (tmp_path / "binary.txt").write_bytes(b"\x89PNG\xff")
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "binary.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 sky 1,2,3\n1 3,4,5\n", "line 2: '1 3,4,5' is not 'index name r,g,b' or a name"),
        ("0\n1\n2\n", "line 1: '0' is not 'index name r,g,b' or a name; a name has a letter"),
        ("sky\n--\n", "line 2: '--' is not"),
        ("0 1\n", "line 1: '0 1' is not"),
        ("0 sky\n70000 pole\n", "line 2: raw value 70000 is not a whole number from 0 to 65535"),
        ("0 sky 1,2,300\n", "line 1: [1, 2, 300] is not a colour"),
        ("class\n", "no class in it"),
    ],
)
def test_wrong_text_tables_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text, "classes.txt")
    with pytest.raises(DataError) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"label table {path}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_suffix_in_capitals_is_toml(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, TOML, "LABELS.TOML")).names == ("road", "pole")


def test_ignoring_a_name_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="has no class 'rod'; did you mean 'road'"):
        with_ignored(table(("road", "sky"), {0: 0, 1: 1}), ["rod"])
    with pytest.raises(ConfigError, match="every class of label table"):
        with_ignored(table(("road",), {0: 0}), ["road"])
    assert with_ignored(table(("road",), {0: 0}), ["Void"]).names == ("road",)


def table(names: tuple[str, ...], values: dict[int, int], colours: tuple[tuple[Colour, int], ...] = ()) -> Labels:
    return Labels(names, default_palette(len(names)), tuple(values.items()), colours, source="table.toml")


@st.composite
def tables(draw: st.DrawFn, maximum: int = 65535) -> Labels:
    """Any number of classes; any raw values and colours shared out among them and ignore."""
    count = draw(st.integers(1, 40))
    ids = st.one_of(st.integers(0, count - 1), st.just(255))
    values = draw(st.dictionaries(st.integers(0, maximum), ids, min_size=1, max_size=60))
    byte = st.integers(0, 255)
    colours = draw(st.dictionaries(st.tuples(byte, byte, byte), ids, min_size=1, max_size=40))
    return table(tuple(f"class {i}" for i in range(count)), values, tuple(colours.items()))


@given(tables(), st.integers(0, 2**32 - 1), st.sampled_from([np.uint16, np.int32, np.int64]))
def test_values_come_back_as_ids(labels: Labels, seed: int, dtype: type) -> None:
    raw, ids = (np.array(column) for column in zip(*labels.values, strict=True))
    chosen = np.random.default_rng(seed).integers(0, len(raw), (5, 7))
    result = apply(raw[chosen].astype(dtype), labels, "mask.png")
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, ids[chosen])


@given(tables(255), st.integers(0, 2**32 - 1))
def test_bytes_and_colours_come_back_as_ids(labels: Labels, seed: int) -> None:
    for pairs in (labels.values, labels.colours):
        raw = np.array([key for key, _ in pairs], np.uint8)
        chosen = np.random.default_rng(seed).integers(0, len(raw), (6, 5))
        result = apply(raw[chosen], labels, "mask.png")
        np.testing.assert_array_equal(result, np.array([index for _, index in pairs])[chosen])


@given(tables(), st.data())
def test_ignored_classes_leave_and_others_move_up(labels: Labels, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(labels.names), max_size=labels.num_classes - 1, unique=True))
    less = with_ignored(labels, names)
    assert less.names == tuple(name for name in labels.names if name not in names)
    new = {index: less.names.index(name) for index, name in enumerate(labels.names) if name in less.names}
    raw = np.array([[value for value, _ in labels.values]], np.uint16)
    before, after = apply(raw, labels, "mask.png"), apply(raw, less, "mask.png")
    np.testing.assert_array_equal(after, [[new.get(int(index), 255) for index in before[0]]])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            np.array([[0, 1], [9, 9]], np.uint8),
            "m.png: value 9 (2 pixels) not in the label table table.toml; add it, or ",
        ),
        (np.array([[0, 1000], [7, 7]], np.uint16), "m.png: values 7 (2 pixels), 1000 (1 pixels) not in"),
        (np.array([[0, -1]], np.int32), "m.png: value -1 (1 pixels)"),
        (np.array([[0, 70000]], np.int32), "m.png: value 70000 (1 pixels)"),
        (np.arange(2, 9, dtype=np.uint8)[None], "and 2 more not in the label table"),
        (np.array([[[1, 2, 3], [255, 0, 16]]], np.uint8), "m.png: colour #ff0010 (1 pixels) not in the label table"),
    ],
)
def test_strays_are_named_and_counted(mask: np.ndarray, message: str) -> None:
    with pytest.raises(DataError) as caught:
        apply(mask, table(("a", "b"), {0: 0, 1: 1}, (((1, 2, 3), 0),)), "m.png")
    assert message in str(caught.value)
    assert "list " in str(caught.value)
    assert "under ignore" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_a_grey_copy_would_have_may_be_a_class_that_is_missing() -> None:
    """0 and 255 under a table of black and white: the value is to be added, and nothing was converted."""
    with pytest.raises(
        DataError, match=r"value 255 \(1 pixels\).*; add it, or list it under ignore; if a .* converted"
    ):
        apply(np.array([[0, 255]], np.uint8), table(("a", "b"), {0: 0, 1: 1}, (((255, 255, 255), 1),)), "m.png")


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 3), np.float32),
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((2,), np.uint8),
        np.zeros((0, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_masks(mask: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"m\.png: a mask of shape \(.*\) and type .*; give \(height, width\)"):
        apply(mask, table(("a",), {0: 0}, (((0, 0, 0), 0),)), "m.png")


def test_all_256_ids_can_be_used() -> None:
    labels = table(tuple(str(i) for i in range(255)), {i: i for i in range(256)})
    raw = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(apply(raw, labels, "m.png"), raw)
