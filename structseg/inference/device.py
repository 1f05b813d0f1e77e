"""Which device does a name mean?"""

from __future__ import annotations

import torch

from structseg.errors import ConfigError

NAMES = "auto, cpu, cuda, cuda:1, mps"


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is the first of CUDA, Apple's MPS and the CPU that is there. Raises ConfigError for what is not."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise ConfigError(f"device '{name}' is not known; choose one of {NAMES}")
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": torch.mps.device_count()}[kind]
    if int(index or 0) >= count:
        there = f"has {count} of {kind}" if count else f"has no {kind}"
        raise ConfigError(f"device '{name}' is not there: this machine {there}; choose auto or cpu")
    return torch.device(name)
