"""How far long work is: a line on a terminal, now and then a line elsewhere, and the verbs that say it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import TINY_SCENES

import structseg
from structseg import console
from structseg.cli import main
from structseg.console import Console
from structseg.recipes import read


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its one place, that a console sees."""
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def shown(clock: list[float], seconds: float, whole: int, *, quiet: bool = False) -> None:
    """Pictures that take `seconds` each."""
    show = Console(quiet=quiet).counter()
    for done in range(1, whole + 1):
        clock[0] += seconds
        show(done, whole)


def test_on_a_terminal_one_line_is_redrawn_and_goes(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown(clock, 0.5, 4)
    said = capsys.readouterr()
    lines = ["1/4 pictures", "2/4 pictures  2/s  1 s left", "3/4 pictures  2/s  0 s left"]
    assert said.err.split("\r\x1b[K") == ["", *lines, ""]
    assert said.out == ""
    shown(clock, 0.04, 12)  # not at every one of many
    assert [line[:4] for line in capsys.readouterr().err.split("\r\x1b[K")] == ["", "1/12", "6/12", "11/1", ""]


def test_elsewhere_a_plain_line_at_times(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    shown(clock, 4.0, 300)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "5/300 pictures  0.25/s  19 min 40 s left"
    assert len(lines) == 74  # of 1200 seconds, one in 16
    shown(clock, 0.01, 1400)  # 14 seconds
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        shown(clock, 20.0, 5, quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.smoke
def test_every_verb_on_pictures_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is said from Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "PLAIN", 0.0)

    def says(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["structseg", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert stop.value.code == 0, said.err
        return said.err

    small = (*TINY_SCENES, "data.options.test=3", "inference.batch=1")
    assert "2/3 pictures  " in says("train", "scenes_ce", *small, "--out", "run")
    assert "2/3 pictures  " in says("evaluate", "run")
    predict = ("predict", "run", *map(str, (tmp_path / "run" / "pictures").glob("*.jpg")), "--out", "masks")
    assert "2/3 pictures  " in says(*predict)
    assert "pictures  " not in says(*predict, "inference.batch=2")  # of two batches, none but the last has a rate
    (tmp_path / "classes.txt").write_text("".join(f"{index} class{index}\n" for index in range(13)))
    assert "2/3 pictures  " in says("score", "masks", "masks/index", "--labels", "classes.txt")
    assert "2/3 pictures  " in says("inspect", "scenes", "data.options={train=1,val=1,test=1}")
    structseg.evaluate(structseg.load("run"))
    structseg.train(read("scenes_ce", small), out=tmp_path / "silent", quiet=True)
    assert capsys.readouterr().err == ""
