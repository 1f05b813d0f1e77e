"""docs/tables.md: its commands name recipes and keys that exist, its numbers are those of the recipes, and a model of
Cityscapes is scored on GTA5 as Table 9 wants it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from layouts import BUILD
from support import ROOT
from test_recipes import on_scenes, thin

from structseg.config import Config, DataConfig, override
from structseg.data.download import find
from structseg.recipes import read, recipe, recipes
from structseg.study.grid import trials
from structseg.training.parts import prepare
from structseg.training.run import rescore, train

PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines() if line.startswith("structseg ")]
WITH_VALUE = ("--out", "--over", "--ids")


def parts(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """What stands alone, the differences `a.b=c`, and the values of --over."""
    over = [words[place + 1] for place, word in enumerate(words) if word == "--over"]
    left = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("--") and before not in WITH_VALUE
    ]
    return [word for word in left if "=" not in word], [word for word in left if "=" in word], over


def test_every_table_has_a_command() -> None:
    sections = dict(re.findall(r"^## (Tables? [\d and]+).*?\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
    assert " ".join(sections) == " ".join([f"Table {n}" for n in range(1, 10)] + ["Tables 10 and 11"])
    assert all("\nstructseg " in text for text in sections.values())


def test_the_step_without_data_is_made() -> None:
    (words,) = (words for words in COMMANDS if "data.format=scenes" in words)
    (name,), differences, _ = parts(words[2:])
    config = read(name, differences)
    prepare(replace(config, model=thin(config.model)), device="cpu")


def test_no_grid_writes_over_anothers_tables() -> None:
    places = [words[words.index("--out") + 1] for words in COMMANDS if words[1] == "grid"]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_name_what_exists(words: list[str]) -> None:
    names, differences, over = parts(words[2:])
    if words[1] == "train":
        (name,) = names
        config = read(name, differences)
        assert bool(config.model.weights or config.data.format == "scenes") != bool(config.model.init_from)
    elif words[1] == "grid":
        assert len(trials(names, over, differences)) >= 2
    elif words[1] == "evaluate":
        override(Config(), differences)
    elif words[1] == "download":
        assert [find(name).name for name in names] == names
    else:
        assert words[1] in ("convert", "predict", "compare")


def test_the_figures_are_parts_of_the_page() -> None:
    text = PAGE.split("\n## Figures\n")[1]
    template = (ROOT / "structseg/report/templates/page.html").read_text(encoding="utf-8")
    words = re.findall(r'"([^"]+)"', text)
    assert words == ["Learned kernel size (AAF)", "Pictures", "All N runs"]
    assert all(word.replace("N", "{{ walls }}") in template for word in words)
    assert text.count("\nstructseg compare ") == 2


def test_recall_of_borders_is_read_where_the_command_writes_it() -> None:
    """`evaluation.boundary=matched` makes the one-to-one form `boundary`, and names the other `boundary_distance`."""
    for table in ("4", "8"):
        section = PAGE.split(f"\n## Table {table}:")[1].split("\n## ")[0]
        assert "evaluation.boundary=matched" in section
        assert "`recall` of `boundary`" in section or "as `boundary` of `metrics.json`, `recall` in it" in section
        assert "boundary_matched" not in section


def test_what_recipes_start_from_is_fetched_by_a_command() -> None:
    made = {file for words in COMMANDS for file in files(words)}
    published = {name: recipe(name) for name in recipes() if name.startswith(("voc_", "cityscapes_", "released_"))}
    starts = {config.model.weights for config in published.values() if config.model.weights}
    assert starts <= made
    assert len(starts) == 2
    sets = {name for words in COMMANDS if words[1] == "download" and "data" in words for name in parts(words[2:])[0]}
    assert sets == {"voc2012", "voc2012_aug"}  # of which train_aug is formed
    assert {config.data.root for config in published.values()} == {"data/VOCdevkit", "data/cityscapes"}


def files(words: list[str]) -> set[str]:
    """Weight files that a command makes."""
    if words[1] == "convert":
        return {words[3]}
    if words[1] == "download":
        return {f"{words[words.index('--out') + 1]}/{file.filename}" for file in find(words[2]).files}
    return set()


def test_runs_that_are_scored_are_made_by_a_command() -> None:
    made = {place for words in COMMANDS for place in outputs(words) | files(words)}
    scored = {parts(words[2:])[0][0] for words in COMMANDS if words[1] in ("evaluate", "predict")}
    scored |= {run for words in COMMANDS if words[1] == "compare" for run in parts(words[2:])[0]}
    starts = {config.model.init_from for words in COMMANDS for config in configs(words)} - {""}
    starts |= {recipe(name).model.init_from for name in recipes() if name.endswith("aaf_stage2")}
    assert scored | starts <= made


def outputs(words: list[str]) -> set[str]:
    """Run folders that a command makes."""
    out = words[words.index("--out") + 1] if "--out" in words else ""
    names, differences, over = parts(words[2:])
    if words[1] == "grid":
        return {f"{out}/{trial.name}" for trial in trials(names, over, differences)}
    return {out}


def configs(words: list[str]) -> list[Config]:
    """What a command trains."""
    names, differences, over = parts(words[2:])
    if words[1] == "grid":
        return [trial.config for trial in trials(names, over, differences)]
    return [read(names[0], differences)] if words[1] == "train" else []


def test_both_stages_train_every_method_on_every_network() -> None:
    made = {name for name in recipes() if name.startswith("voc_")}
    places = {f"runs/voc{stage}{net}" for stage in ("", "2") for net in ("", "_fcn", "_deeplab")}
    stages = [words for words in COMMANDS if words[1] == "grid" and words[words.index("--out") + 1] in places]
    for stage in (False, True):
        trained = [config for words in stages for config in configs(words) if bool(config.model.init_from) == stage]
        assert {config.recipe for config in trained} == made
        assert len(trained) == len(made) == 18


def test_numbers_of_the_page_are_those_of_the_recipes() -> None:
    listed = dict(re.findall(r"`((?:voc|cityscapes)_\w+)` (\d\d\.\d\d)", PAGE))
    said = {name: re.search(r"Published: (\d\d\.\d\d)", made.__doc__ or "") for name, made in recipes().items()}
    papers = {name: found[1] for name, found in said.items() if found and name.startswith(("voc_", "cityscapes_"))}
    assert listed == papers
    assert len(papers) == 17


@pytest.mark.smoke
def test_a_model_of_cityscapes_is_scored_on_gta5(tmp_path: Path) -> None:
    for name in ("cityscapes", "gta5"):
        BUILD[name](tmp_path / name)
    for file in (tmp_path / "gta5").glob("*.txt"):  # part 1 of the set comes without lists
        file.unlink()
    small = on_scenes(recipe("cityscapes_pspnet_aaf"))
    streets = DataConfig(format="cityscapes", root=str(tmp_path / "cityscapes"), crop=(48, 48))
    small = replace(small, data=streets, model=thin(small.model), optim=replace(small.optim, steps=1))
    train(small, out=tmp_path / "run", quiet=True)
    (words,) = (words for words in COMMANDS if "data.format=gta5" in words)
    _, differences, _ = parts(words[2:])
    found = rescore(tmp_path / "run", [f"data.root={tmp_path / 'gta5'}", *differences], out=tmp_path / "scores")
    assert (found["set"], found["split"], found["images"]) == ("gta5", "all", 3)
    assert len(found["iou"]) == 19
    assert found["pixels"] == 3 * (6 * 8 - 6)  # a column of licence plates is ignored
    assert 0 <= found["pixel_accuracy"] <= 1
    (words,) = (words for words in COMMANDS if "scores/cityscapes_borders" in words)
    _, differences, _ = parts(words[2:])
    found = rescore(tmp_path / "run", differences, out=tmp_path / "borders")
    assert {"boundary", "boundary_distance"} == {key for key in found if key.startswith("boundary")}
    assert found["boundary"]["form"] == "one to one"
    assert {"recall", "by_class"} < found["boundary"].keys()
