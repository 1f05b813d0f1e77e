"""timm for the tests of models: the real one where it can be imported, else the stand-in of tests/fakes."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
from support import ROOT


def _stand_in() -> ModuleType:
    sys.path.insert(0, str(ROOT / "tests" / "fakes"))
    real = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "timm"}
    for name in real:
        del sys.modules[name]
    try:
        return importlib.import_module("timm")
    finally:
        sys.path.pop(0)
        sys.modules.pop("timm", None)
        sys.modules.update(real)


try:
    REAL: ModuleType | None = importlib.import_module("timm")
except Exception:  # absent, or beside a torchvision that was built for another torch
    REAL = None
FAKE = _stand_in()


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What `import timm` gives in these tests."""
    found = REAL or FAKE
    monkeypatch.setitem(sys.modules, "timm", found)
    return found


@pytest.fixture
def fake_timm(timm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in, whatever is installed: for what needs a network or a broken package."""
    monkeypatch.setitem(sys.modules, "timm", FAKE)
    return FAKE
