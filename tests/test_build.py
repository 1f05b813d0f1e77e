"""The file name is the registry, for every room; options are checked by name."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from structseg import build
from structseg.errors import ConfigError

ROOMS = ("losses", "models.backbones", "models.heads", "training.regimes", "data.formats")


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_is_found_and_described(room: str) -> None:
    names = build.names(room)
    assert names
    for name, about in names.items():
        entry = build.find(room, name)
        assert entry.__name__.lower() == name.replace("_", "")
        assert about.endswith((".", "?", ":")), f"{room}.{name}: the first line of its docstring is no sentence"
        for parameter in inspect.signature(entry).parameters.values():
            assert parameter.kind is parameter.KEYWORD_ONLY, f"{room}.{name}: option {parameter.name} is positional"


def test_unknown_names_and_options_are_errors() -> None:
    with pytest.raises(ConfigError, match="there is no 'cross_entropi'; did you mean 'cross_entropy'"):
        build.find("losses", "cross_entropi")
    with pytest.raises(ConfigError, match="affinity_field has no option 'margn'; did you mean 'margin'"):
        build.create("losses", "affinity_field", {"margn": 1})
    with pytest.raises(ConfigError, match="needs the option 'num_classes'"):
        build.create("losses", "adaptive_affinity_field", {})


def test_context_reaches_only_those_who_take_it() -> None:
    made = build.create("losses", "adaptive_affinity_field", {"margin": 2.0}, num_classes=4, class_frequencies=None)
    assert (made.num_classes, made.margin) == (4, 2.0)


def test_own_code_is_found_where_the_command_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_registry_test.py").write_text(
        "class Mine:\n    def __init__(self, *, size=1):\n        self.size = size\n"
    )
    monkeypatch.chdir(tmp_path)
    assert build.create("losses", "my_registry_test:Mine", {"size": 3}).size == 3
    with pytest.raises(ConfigError, match="my_registry_test:Yours"):
        build.find("losses", "my_registry_test:Yours")
