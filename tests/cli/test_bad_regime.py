"""Wrong options of a regime through the installed command."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import TINY_SCENES, Cli, refused

from structseg import runs

REGIME = "regime=adversarial_projection"
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "class count": ((REGIME, "regime_options.num_classes=3"), ("regime", "num_classes")),
    "weight": ((REGIME, "regime_options.weight=-1"), ("regime_options: weight -1", "from 0 on")),
    "depth": ((REGIME, "regime_options.depth=0"), ("depth = 0",)),
    "weight that is none": ((REGIME, "regime_options.weight=nan"), ("regime_options: weight nan", "from 0 on")),
    "weight in words": ((REGIME, "regime_options.weight=much"), ("regime_options: weight 'much'", "from 0 on")),
    "part of a channel": ((REGIME, "regime_options.width=1.5"), ("width = 1.5 is not a whole number",)),
    "too deep": ((REGIME, "regime_options.depth=12"), ("depth = 12 is not a whole number from 1 to 8",)),
    "misspelt": ((REGIME, "regime_options.widht=8"), ("widht", "did you mean 'width'")),
    "unknown": (("regime=adversarial_projektion",), ("regime", "did you mean 'adversarial_projection'")),
    "rate": ((REGIME, "optim.discriminator_lr=0"), ("optim.discriminator_lr = 0",)),
}


@pytest.mark.smoke
@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, tmp_path: Path, structseg_cli: Cli) -> None:
    given, words = CASES[case]
    out = tmp_path / "run"
    refused(structseg_cli, "train", "scenes_ce", *TINY_SCENES, *given, "--out", out, out=out, words=words)


def test_another_discriminator_is_not_gone_on_with(tmp_path: Path, structseg_cli: Cli) -> None:
    """The line names the first tensor that differs, which torch says in lines of their own."""
    out = tmp_path / "run"
    given = ("train", "scenes_ce", *TINY_SCENES, REGIME, "regime_options.width=8", "--out", out)
    done = structseg_cli(*given)
    assert done.returncode == 0, done.stderr
    state = out / runs.STATE
    whole = torch.load(state, weights_only=True)
    classes = len(whole["about"]["labels"]["names"])
    for weight, words in (
        (torch.zeros(8, classes + 1, 4, 4), f"is (8, {classes + 1}, 4, 4), here (8, {classes}, 4, 4)"),
        (None, f"is missing, here (8, {classes}, 4, 4)"),
    ):
        saved = whole["trained"]["discriminator"]
        saved.pop("convs.0.weight", None)
        if weight is not None:
            saved["convs.0.weight"] = weight
        torch.save(whole, state)
        words = (str(state), f"discriminator.convs.0.weight {words}", "go on with the code", "another --out")
        refused(structseg_cli, *given, "--resume", out=out, words=words)
