"""Is this machine fit for training? One line a check, each with what to do where it is not."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from structseg import build
from structseg.errors import first_line
from structseg.training.preflight import free_memory

OK, CAUTION, BROKEN = "ok", "caution", "broken"
GIB = 2**30
_MIN_DISK, _MIN_SHARED, _MIN_MEMORY = 2 * GIB, GIB // 2, 2 * GIB


@dataclass(frozen=True)
class Check:
    """`state`: ok, caution (it works, but) or broken; `text` what was found, `advice` what to do."""

    name: str
    state: str
    text: str
    advice: str = ""


def checks() -> Iterator[Check]:
    """Every check in turn; one that fails by itself is a broken one, not the end."""
    for check in (_python, _torch, _numba, _threads, _gpu, _precision, _memory, _disk, _shared, _extras):
        yield _safely(check)


def _safely(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # whatever is wrong with the machine
        return Check(check.__name__.strip("_"), BROKEN, first_line(error), "install structseg anew (docs/install.md)")


def _python() -> Check:
    return Check("python", OK, f"{platform.python_version()}, {platform.system()} {platform.machine()}")


def _torch() -> Check:
    values = torch.ones(8, 8) @ torch.ones(8, 8)
    if float(values.sum()) != 512:
        return Check("torch", BROKEN, f"{torch.__version__} multiplies wrongly", "install torch anew")
    return Check("torch", OK, f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")


def _numba() -> Check:
    from structseg.training import probe_loops  # loads Numba

    total: Any = probe_loops.total
    found = float(total(np.arange(10.0)))
    version, folder = build.installed("numba"), Path(total.stats.cache_path)
    if found != 45.0:
        return Check("numba", BROKEN, f"{version}: a compiled loop gives {found}, not 45", "install numba anew")
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        advice = "set NUMBA_CACHE_DIR to a folder that can be written, or every process compiles anew"
        return Check("numba", CAUTION, f"{version} compiles; {folder} cannot be written", advice)
    return Check("numba", OK, f"{version} compiles, keeps loops in {folder}")


def cores() -> int:
    """How many this process may use, which a job or a container may have fewer of than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads() -> Check:
    threads, policy = torch.get_num_threads(), os.environ.get("OMP_WAIT_POLICY", "not set")
    text = f"{threads} of torch on {cores()} cores, OMP_WAIT_POLICY {policy.lower()}"
    if threads > cores():
        return Check("threads", CAUTION, text, f"set OMP_NUM_THREADS={cores()}, or threads wait for each other")
    load = os.getloadavg()[0]
    if load > 1.5 * cores():
        return Check("threads", CAUTION, f"{text}, load {load:.1f}", "other work runs here: timings will be off")
    return Check("threads", OK, text)


def _gpu() -> Check:
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        text = f"{torch.cuda.device_count()} x {properties.name}, {properties.total_memory / GIB:.0f} GiB"
        return Check("gpu", OK, text)
    if torch.backends.mps.is_available():
        return Check("gpu", OK, "Apple (mps)")
    if shutil.which("nvidia-smi"):
        advice = "take the CUDA build: STRUCTSEG_CUDA=1 ./run setup (docs/install.md)"
        return Check("gpu", CAUTION, f"nvidia-smi is here, but torch {torch.__version__} sees no GPU", advice)
    return Check("gpu", OK, "none; training runs on the CPU")


def _precision() -> Check:
    if torch.cuda.is_available():
        return Check("bfloat16", OK, "on the GPU" if torch.cuda.is_bf16_supported() else "not on this GPU")
    flags = _cpu_flags()
    fast = sorted({"avx512_bf16", "amx_bf16"} & flags)
    if not flags:
        return Check("bfloat16", OK, "unknown on this CPU; keep optim.precision = float32")
    text = f"fast ({', '.join(fast)})" if fast else "no avx512_bf16: slow; keep optim.precision = float32"
    return Check("bfloat16", OK, text)


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def _memory() -> Check:
    free = free_memory(torch.device("cpu"))
    if free is None:
        return Check("memory", OK, "unknown")
    state = CAUTION if free < _MIN_MEMORY else OK
    return Check(
        "memory", state, f"{free / GIB:.1f} GiB free", "lower optim.batch and data.crop" if state != OK else ""
    )


def _disk() -> Check:
    places = {"here": Path.cwd(), "for temporary files": Path(tempfile.gettempdir())}
    free = {name: shutil.disk_usage(path).free for name, path in places.items()}
    text = ", ".join(f"{size / GIB:.0f} GiB {name}" for name, size in free.items())
    if min(free.values()) < _MIN_DISK:
        return Check("disk", CAUTION, text, "free some space, or set --out and TMPDIR to another disk")
    return Check("disk", OK, text)


def _shared() -> Check:
    """Loader processes hand their batches over in shared memory."""
    place = Path("/dev/shm")
    if not place.is_dir():
        return Check("shared memory", OK, "not limited")
    size = shutil.disk_usage(place).total
    state = CAUTION if size < _MIN_SHARED else OK
    advice = "in a container: --shm-size=2g, or data.workers=0" if state != OK else ""
    return Check("shared memory", state, f"{size / GIB:.1f} GiB", advice)


def _extras() -> Check:
    extras = {name: packages for name, packages in build.extras().items() if name not in ("dev", "oracle")}
    there = [name for name, packages in extras.items() if all(build.installed(package) for package in packages)]
    text = f"installed: {', '.join(there) or 'none'}"
    if missing := [name for name in extras if name not in there]:
        text += f"; not installed: {', '.join(missing)}"
    return Check("extras", OK, text)
