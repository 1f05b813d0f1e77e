"""Wrong options of a regime through the installed command."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import TINY_SCENES, Cli, refused

REGIME = "regime=adversarial_projection"
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "class count": ((REGIME, "regime_options.num_classes=3"), ("regime", "num_classes")),
    "weight": ((REGIME, "regime_options.weight=-1"), ("regime_options", "weight = -1")),
    "depth": ((REGIME, "regime_options.depth=0"), ("depth = 0",)),
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
