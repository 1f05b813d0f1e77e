"""What every test may use: one thread, fixed seeds, the golden numbers, the real pictures, the installed command.

Golden numbers and real pictures are found through STRUCTSEG_GOLDEN and STRUCTSEG_DATA; without them, tests that need
pictures, or more golden numbers than tests/golden holds, are skipped. STRUCTSEG_NO_SKIP=1 (set by .ci/run where both
are there) makes a skip a failure.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch starts OpenMP, which else spins on a busy machine

import cv2
import hypothesis
import numpy as np
import pytest
import torch
from golden_files import HERE, named_in
from support import ROOT, Cli

NO_SKIP = os.environ.get("STRUCTSEG_NO_SKIP", "0") not in ("", "0")
ALLOWED_SKIPS = ("no chromium",)  # a browser is the one thing that .ci/run cannot always install

torch.set_num_threads(1)
cv2.setNumThreads(0)
hypothesis.settings.register_profile("structseg", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("structseg")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every test starts with the same seeds, in whatever order and process it runs."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that starts the command as a process is a smoke test: `./run check` leaves it out."""
    for item in items:
        if "structseg_cli" in getattr(item, "fixturenames", ()):
            item.add_marker("smoke")


def _fail_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not NO_SKIP or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(allowed in reason.lower() for allowed in ALLOWED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"{reason}: a skip is a failure under STRUCTSEG_NO_SKIP=1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_skip(report)
    return report


def _folder(variable: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set")
    folder = Path(os.environ[variable]).resolve()
    if not folder.is_dir():
        pytest.fail(f"{variable} names {folder}, which is no folder")
    return folder


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Path:
    """The folder of golden numbers, `golden / "aaf" / "affinity.npz"`: the whole, or what is here if that will do."""
    if not os.environ.get("STRUCTSEG_GOLDEN") and all((HERE / name).exists() for name in named_in(request.path)):
        return HERE
    return _folder("STRUCTSEG_GOLDEN")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real pictures: `data_root / "camvid"`."""
    return _folder("STRUCTSEG_DATA")


@pytest.fixture
def structseg_cli(tmp_path: Path) -> Cli:
    """`structseg_cli("train", "scenes_ce", cwd=..., env={...})` runs the command as a user does, in a process.

    Without `cwd` it runs in the test's own `tmp_path`; `env` is laid over this process's environment.
    """
    script = Path(sys.executable).parent / "structseg"
    start = [str(script)] if script.exists() else [sys.executable, "-m", "structseg"]

    def run(
        *args: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        base = {**os.environ, "OMP_NUM_THREADS": "1"}
        if not script.exists():
            base["PYTHONPATH"] = str(ROOT)
        return subprocess.run(
            [*start, *map(str, args)],
            cwd=cwd or tmp_path,
            env={**base, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
