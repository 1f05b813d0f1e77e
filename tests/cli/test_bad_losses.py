"""Wrong losses through the installed command: options out of range, kernels that fit nowhere, no features."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import TINY_SCENES, Cli, refused

CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "even kernel": (
        "{name='random_projection', options={kernel_size=4}}",
        ("losses.1.options", "random_projection", "kernel_size 4", "odd"),
    ),
    "kernel larger than the map": (
        "{name='random_projection', options={kernel_size=9}}",
        ("losses.1", "random_projection", "8x8", "smaller kernel or a larger data.crop"),
    ),
    "kernel larger than the map, of simple pairs": (
        "{name='affinity_field', options={kernel_size=9, pair_rule='simple'}}",
        ("losses.1", "affinity_field", "kernel size 9 does not fit the 8x8", "smaller kernel or a larger data.crop"),
    ),
    "one of several kernels": (
        "{name='adaptive_affinity_field', options={kernel_sizes=[3,33]}}",
        ("losses.1", "adaptive_affinity_field", "kernel size 33", "8x8"),
    ),
    "square larger than the map": (
        "{name='embedding_contrast', options={kernel_size=33}}",
        ("losses.1", "embedding_contrast", "kernel size 33", "8x8"),
    ),
    "window larger than the map": ("{name='rmi', options={kernel_size=33}}", ("losses.1", "rmi", "8x8")),
    "negative margin": (
        "{name='embedding_contrast', options={margin=-0.5}}",
        ("losses.1.options", "embedding_contrast", "margin -0.5"),
    ),
    "negative weight of a part": (
        "{name='embedding_contrast', options={edge_weight=-1.0}}",
        ("losses.1.options", "edge_weight -1.0"),
    ),
    "negative weight of the term": ("{name='dice', weight=-0.1}", ("losses.1.weight", "-0.1")),
    "features are not enlarged": (
        "{name='embedding_contrast', at='target'}",
        ("losses.1", "embedding_contrast", 'set at = "head"'),
    ),
    "class that is none": ("{name='cl_dice', options={classes=[99]}}", ("losses.1", "cl_dice", "id 99 is no class")),
    "text for a number": ("{name='ohem', options={threshold='0.7'}}", ("losses.1.options", "threshold '0.7'")),
    "option of another loss": ("{name='focal', options={alpha=0.25}}", ("losses.1.options", "'alpha'")),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, structseg_cli: Cli, tmp_path: Path) -> None:
    term, words = CASES[case]
    out = tmp_path / "run"
    losses = f"losses=[{{name='cross_entropy'}}, {term}]"
    refused(structseg_cli, "train", "scenes_ce", *TINY_SCENES, losses, "--out", out, out=out, words=words)


def test_a_model_without_features(structseg_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "my_code.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Conv2d):\n"
        "    def __init__(self, *, num_classes):\n"
        "        super().__init__(3, num_classes, 3, 2, 1)\n"
    )
    out = tmp_path / "run"
    own = (*(word for word in TINY_SCENES if not word.startswith("model.")), "model.name='my_code:Net'")
    words = ("losses.0", "embedding_contrast", "this model does not return", "model.backbone")
    refused(
        structseg_cli,
        "train",
        "scenes_ce",
        *own,
        "losses=[{name='embedding_contrast'}]",
        "--out",
        out,
        out=out,
        words=words,
    )
