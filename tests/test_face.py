"""What loads without torch: the face, the config, the report and the help. And what losses and models live without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HELP = """
import sys
sys.argv = ["structseg", "--help"]
from structseg.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def loaded_after(statements: str) -> set[str]:
    """Top-level packages in `sys.modules` after a fresh Python ran `statements`."""
    code = f"{statements}\nimport sys\nprint('MODULES', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    ("statements", "absent"),
    [
        ("import structseg", {"torch", "pydantic", "typer", "numpy", "cv2", "scipy", "PIL", "rich", "jinja2"}),
        ("import structseg; dir(structseg); structseg.__version__", {"torch", "pydantic", "typer", "cv2", "scipy"}),
        ("import structseg.config", {"torch", "typer", "cv2", "scipy"}),
        ("import structseg.recipes", {"torch", "typer", "cv2", "scipy"}),
        ("import structseg.report", {"torch", "pydantic", "typer"}),
        ("import structseg.metrics.scores, structseg.metrics.bootstrap", {"torch", "pydantic", "cv2", "scipy"}),
        (HELP, {"torch", "cv2", "scipy"}),
        ("import structseg.losses", {"pydantic", "typer", "torchvision", "numba"}),
        ("import structseg.losses.kernels", {"pydantic", "typer", "torchvision", "numba"}),
        ("import structseg.models, structseg.models.segmenter", {"pydantic", "typer", "torchvision"}),
    ],
    ids=["face", "face-names", "config", "recipes", "report", "scores", "help", "losses", "kernels", "models"],
)
def test_imports_load_only_what_they_need(statements: str, absent: set[str]) -> None:
    assert not absent & loaded_after(statements)
