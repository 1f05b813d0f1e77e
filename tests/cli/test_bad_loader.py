"""What goes wrong with the keys of the loader and with its processes, through the command."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support import ROOT, TINY, TINY_SCENES, Cli, refused

from structseg import runs
from structseg.training.state import State

SCENES = ("scenes_ce", *TINY_SCENES)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    root = tmp_path / "pairs"
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for name in "abc":
            Image.new("RGB", (48, 40), (90, 90, 90)).save(root / "images" / split / f"{name}.jpg")
            Image.fromarray(np.eye(40, 48, dtype=np.uint8)).save(root / "masks" / split / f"{name}.png")
    (root / "classes.txt").write_text("road\ncar\n")
    return root


def huge(path: Path) -> None:
    """A PNG of 40000x30000 by its header alone."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40000, 30000, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + end
    )


def test_a_picture_that_is_too_large(structseg_cli: Cli, tmp_path: Path, pairs: Path) -> None:
    (pairs / "images/train/b.jpg").unlink()
    huge(pairs / "images/train/b.png")
    out = tmp_path / "runs/x"
    words = ("b.png", "40000x30000", "data.max_pixels = 100000000", "cut it into tiles", "0 = no limit")
    refused(structseg_cli, "train", "pairs_ce", f"data.root={pairs}", *TINY, "--out", out, out=out, words=words)


WRONG = {
    "balance above 1": ("data.balance=1.5", ("data.balance", "1.5", "less than or equal to 1")),
    "balance as a word": ("data.balance=much", ("data.balance", "much", "number")),
    "negative limit": ("data.max_pixels=-1", ("data.max_pixels", "-1", "greater than or equal to 0")),
    "misspelt draw": ("data.scale_draw=logarithm", ("data.scale_draw", "logarithm", "'uniform' or 'log'")),
    "cache in a file": ("data.cache=FILE", ("data.cache", "FILE is not a folder", "leave data.cache empty")),
    "cache below a file": ("data.cache=FILE/deep", ("data.cache", "cannot write", "FILE is not a folder")),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_keys(structseg_cli: Cli, tmp_path: Path, pairs: Path, name: str) -> None:
    key, words = WRONG[name]
    (tmp_path / "FILE").touch()
    out = tmp_path / "run"
    refused(structseg_cli, "train", "pairs_ce", f"data.root={pairs}", *TINY, key, "--out", out, out=out, words=words)


def test_a_cache_that_cannot_be_written(structseg_cli: Cli, tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "run"
    words = ("data.cache: cannot write /proc/", "give another folder")
    keys = (f"data.root={pairs}", "data.cache=/proc/labels", *TINY)
    refused(structseg_cli, "train", "pairs_ce", *keys, "--out", out, out=out, words=words)


def test_cache_and_balance_train(structseg_cli: Cli, tmp_path: Path, pairs: Path) -> None:
    """The keys that the others spoil are fine as they are, and with and without a cache the same comes out.

    The check before the first step fills the cache, so that training reads from it.
    """
    keys = (f"data.root={pairs}", *TINY, "data.balance=0.5", "data.scale_draw=log")
    for name, more in (("plain", ()), ("cached", ("data.cache=cache",))):
        done = structseg_cli("train", "pairs_ce", *keys, *more, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    plain, cached = (load_file(tmp_path / name / runs.MODEL) for name in ("plain", "cached"))
    assert plain.keys() == cached.keys()
    assert all(torch.equal(plain[name], cached[name]) for name in plain)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 3 + 3 + 1  # masks of train and val, classes of train


# ------------------------------------------------------------------------------------------------ processes


def fields(pid: int) -> list[str]:
    """State, parent and so on of a process; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def state(pid: int) -> str:
    return (fields(pid) or [""])[0]


def children(parent: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if fields(pid)[1:2] == [str(parent)]]


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The loader processes of a command: children of its fork server."""
    return [worker for child in children(process.pid) for worker in children(child)]


@contextmanager
def training(out: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, trained some steps with two workers."""
    words = ["train", *SCENES, "optim.steps=1000000", "data.workers=2", "log_every=1", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from structseg.cli import main; main()", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        wait_for(lambda: len(runs.read_log(out)) > 2 or process.poll() is not None)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def gone(pids: list[int]) -> bool:
    """Whether none of them runs; what nobody has waited for yet is gone, too."""
    return all(state(pid) in ("", "Z") for pid in pids)


@pytest.mark.smoke
def test_a_killed_worker_ends_the_run_saved(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with training(run) as process:
        started = workers(process)
        assert len(started) == 2
        os.kill(started[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2, errors
        lines = errors.strip().splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
        for word in ("a loader process was killed", "lower data.workers", "--resume"):
            assert word in lines[-1]
        assert "Traceback" not in errors
        wait_for(lambda: gone(started), 30)
    saved = State.read(run / runs.STATE)
    assert saved["step"] == runs.read_log(run)[-1]["step"] > 2
    assert runs.read_log(run)[-1]["kind"] == "stop"
    assert not runs.leftovers(run)


@pytest.mark.slow
def test_workers_end_with_a_killed_run(tmp_path: Path) -> None:
    with training(tmp_path / "run") as process:
        started = workers(process)
        assert len(started) == 2
        process.kill()
        wait_for(lambda: gone(started), 60)


def test_a_script_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    """Workers load the script that started them: without the guard it would train in each of them, too."""
    words = [*TINY_SCENES, "data.workers=1"]
    code = f"import structseg\nstructseg.train(structseg.recipes.read('scenes_ce', {words}), out='run', quiet=True)\n"
    (tmp_path / "script.py").write_text(code)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "if __name__ == '__main__'" in done.stderr.strip().splitlines()[-1]
