"""The schema: text round trip, differences, and errors that name file, key and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from structseg.config import Config, DataConfig, LossConfig, checked, difference, merge, override, read_toml, to_toml
from structseg.errors import ConfigError
from structseg.recipes import read, recipe, recipes


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_survives_its_own_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(to_toml(recipe(name)))
    assert merge(Config(), read_toml(path), path) == recipe(name)
    assert recipe(name).recipe == name


def test_a_file_holds_only_differences(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('recipe = "scenes_aaf"\n[optim]\nsteps = 7\n[data.options]\ntrain = 5\n')
    config = read(str(path), ["optim.lr=0.5", "losses.adaptive_affinity_field.weight=0.25"])
    changed = difference(recipe("scenes_aaf"), config)
    assert changed == {
        "optim.steps": (400, 7),
        "optim.lr": (recipe("scenes_aaf").optim.lr, 0.5),
        "data.options": (recipe("scenes_aaf").data.options, {**recipe("scenes_aaf").data.options, "train": 5}),
        "losses.1.weight": (1.0, 0.25),
    }


def test_an_empty_table_clears_options(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('recipe = "pairs_aaf"\n[model]\nbackbone = "efficientnet_lite"\nbackbone_options = {}\n')
    assert recipe("pairs_aaf").model.backbone_options
    assert read(str(path)).model.backbone_options == {}


def test_a_list_of_losses_replaces_the_list(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('recipe = "scenes_aaf"\n[[losses]]\nname = "cross_entropy"\nweight = 2\n')
    config = read(str(path))
    assert [(term.name, term.weight) for term in config.losses] == [("cross_entropy", 2.0)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.root=/my data/x", "/my data/x"),
        ("data.root='7'", "7"),
        ("data.crop=[64, 96]", (64, 96)),
        ("data.mirror=false", False),
        ("optim.lr=1", 1.0),
        ("data.options.size=[8,9]", [8, 9]),
    ],
)
def test_overrides_are_toml_values_or_bare_words(text: str, value: object) -> None:
    config = override(Config(), [text])
    found: object = config
    for part in text.partition("=")[0].split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optim.lrr=1", "unknown key 'optim.lrr'; did you mean 'lr'?"),
        ("lr=1", "did you mean 'optim.lr'?"),
        ("losses[3].weight=1", "there is no '3'"),
        ("losses.0.weigth=1", "did you mean 'weight'?"),
        ("data.root.x=1", "'root' is a value and has no keys"),
        ("losses.0=1", "losses.0.weight=0.5"),
        ("data.mirror=1", "data.mirror = 1"),
        ("optim.steps=true", "optim.steps = true"),
        ("optim.steps=0", "greater than or equal to 1"),
        ("optim.lr=nan", "optim.lr"),
        ("optim.name=adam", "'sgd' or 'adamw'"),
        ("losses=[{weight=1}]", "'losses.0.name' is missing"),
        ("losses=[{name='x', wait=1}]", "unknown key 'losses.0.wait'"),
    ],
)
def test_wrong_overrides_are_one_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(Config(), [text])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_keys_of_a_file_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[model]\nhead = 'fcn'\n[model.head_option]\nwidth = 3\n")
    with pytest.raises(ConfigError, match=r"my\.toml, line 3: unknown key 'model\.head_option'; did you mean"):
        merge(Config(), read_toml(path), path)


def test_a_configuration_made_in_python_is_checked_and_as_its_file_gives_it_back(tmp_path: Path) -> None:
    crop: Any = [64, 64]
    wrong: Any = 64
    loss = LossConfig(name="adaptive_affinity_field", options={"kernel_sizes": (3, 5)})
    config = checked(Config(losses=(loss,), data=DataConfig(crop=crop)))
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert difference(config, merge(Config(), read_toml(path), path)) == {}  # or a run would not go on
    with pytest.raises(ConfigError, match=r"configuration: data\.crop = 64: input should be a valid tuple"):
        checked(Config(data=DataConfig(crop=wrong)))
    with pytest.raises(ConfigError, match=r"'\\udcff' is no UTF-8"):
        checked(Config(data=DataConfig(root="\udcff")))
