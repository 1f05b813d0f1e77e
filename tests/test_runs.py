"""Atomic writes: a file is whole or not there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
from pathlib import Path
from typing import IO

import pytest

from structseg import runs
from structseg.errors import CheckpointError, DataError


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"
    runs.write_json(path, {"a": 1})

    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"cannot write .*x\.json: No space left on device"):
        runs.write_file(path, fail)
    assert runs.read_json(path) == {"a": 1}
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]


def test_damaged_and_missing_json_say_so(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        runs.read_json(tmp_path / "x.json")
    with pytest.raises(CheckpointError, match="missing"):
        runs.read_json(tmp_path / "y.json")


def test_a_cut_last_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    (tmp_path / runs.LOG).write_text('{"kind": "train", "step": 1}\n{"kind": "tr')
    assert runs.read_log(tmp_path) == [{"kind": "train", "step": 1}]


def test_a_fresh_folder_goes_away_if_nothing_was_written(tmp_path: Path) -> None:
    def fail() -> None:
        with runs.fresh_folder(tmp_path / "a" / "b"):
            raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        fail()
    assert not (tmp_path / "a").exists()


def test_leftovers_are_only_half_written_files(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / ".state.pt.abc.part").write_text("")
    (tmp_path / "my.part").write_text("")
    assert [path.name for path in runs.leftovers(tmp_path)] == [".state.pt.abc.part"]


@pytest.mark.parametrize("third", [False, True])
def test_a_lock_that_was_taken_away_before_it_was_got(
    third: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our opening of the file and our locking it the first owner ends, and perhaps a third one begins."""
    flock, owners = fcntl.flock, contextlib.ExitStack()
    owners.enter_context(runs.locked(tmp_path))

    def late(file: IO[str], how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        owners.close()
        if third:
            owners.enter_context(runs.locked(tmp_path))
        flock(file, how)

    def refused() -> None:
        with pytest.raises(DataError, match="in use by another process"), runs.locked(tmp_path):
            pass

    monkeypatch.setattr(fcntl, "flock", late)
    if third:
        refused()
    else:
        with runs.locked(tmp_path):
            refused()
    owners.close()
    assert not (tmp_path / runs.LOCK).exists()


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    runs.check_file(file)
    runs.check_file(tmp_path / "new" / "file")
    runs.check_writable(tmp_path / "new" / "folder")
    for check, path, words in (
        (runs.check_file, tmp_path, "it is a folder; name a file in it"),
        (runs.check_file, file / "below", "file is not a folder"),
        (runs.check_writable, file, "file is not a folder"),
    ):
        with pytest.raises(DataError, match=words):
            check(path)
