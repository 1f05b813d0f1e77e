"""What tests import by name: the root of the checkout, the type of the `structseg_cli` fixture, and what a refused
command must look like."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent
TINY = (  # differences that make a run of seconds of any recipe with a ResNet
    "data.crop=[32,32]",
    "model.backbone_options={depth=10,width=8}",
    "model.head_options={width=8}",
    "optim.steps=2",
    "optim.batch=2",
    "evaluation.every=0",
    "evaluation.draws=20",
)
TINY_SCENES = (*TINY, "data.options={size=[32,48],train=4,val=2,test=2}")


class Cli(Protocol):
    def __call__(
        self,
        *args: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]: ...


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time of change."""
    if not folder.exists():
        return {}
    found = {path: path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def refused(cli: Cli, *args: str | Path, out: Path, words: tuple[str, ...], env: dict[str, str] | None = None) -> str:
    """Run the command, check that it is refused as it should be; the error line."""
    before = listing(out)
    existed = out.exists()
    done = cli(*args, env=env, timeout=120)
    assert done.returncode == 2, done.stderr + done.stdout
    lines = done.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert lines == errors[-1:], done.stderr
    for word in words:
        assert word in errors[0], errors[0]
    assert listing(out) == before
    assert out.exists() == existed
    return errors[0]
