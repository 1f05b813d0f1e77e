"""In which keys do configurations differ?

A configuration is laid out flat: `optim.lr` -> "0.01". The list of losses becomes one key `losses` with names and
weights and one key `losses.NAME` for each loss with its options, so that adding a loss moves no other key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

HARMLESS = ("seed", "recipe", "log_every", "save_every", "data.workers", "evaluation.pictures")  # decide no score
LOSS_KEYS = ("losses", "optim.loss_lr", "regime", "regime_options")  # what belongs to the loss: everything below these


def flat(config: dict[str, Any]) -> dict[str, str]:
    """Dotted key -> value as text."""
    keys: dict[str, str] = {}
    for key, value in config.items():
        if key == "losses" and isinstance(value, list):
            keys |= _losses(value)
        elif isinstance(value, dict):
            keys |= {f"{key}.{below}": text for below, text in flat(value).items()}
        else:
            keys[key] = _text(value)
    return keys


def differing(configs: Sequence[dict[str, Any]]) -> dict[str, tuple[str | None, ...]]:
    """Key -> its value in each configuration, for keys that are not the same in all; None where it is absent."""
    tables = [flat(config) for config in configs]
    keys = dict.fromkeys(key for table in tables for key in table)
    values = {key: tuple(table.get(key) for table in tables) for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def is_loss(key: str) -> bool:
    return any(key == loss or key.startswith(f"{loss}.") for loss in LOSS_KEYS)


def without_seed(config: dict[str, Any]) -> dict[str, str]:
    """What runs of one row share: the flat configuration less its seed and what decides no score.

    A second stage begins with a first one of its own seed, so the seed is left out of that name, too.
    """
    keys = {key: text for key, text in flat(config).items() if key not in HARMLESS}
    if first := keys.get("model.init_from"):
        seed = config.get("seed")
        keys["model.init_from"] = re.sub(rf"seed{seed}(?!\d)|(?<![\d.]){seed}$", "", first, count=1)
    return keys


def _losses(terms: list[dict[str, Any]]) -> dict[str, str]:
    keys = {"losses": "\n".join(f"{term.get('name')} {_text(term.get('weight', 1.0))}" for term in terms)}
    for term in terms:
        rest = {key: value for key, value in term.items() if key not in ("name", "weight", "options")}
        rest = dict(term.get("options", {})) | rest
        if rest:
            keys[f"losses.{term.get('name')}"] = "\n".join(f"{key} = {_text(value)}" for key, value in rest.items())
    return keys


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return value if isinstance(value, str) else repr(value)
