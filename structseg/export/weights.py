"""A run's model as a folder to hand on: half-precision weights and the configuration, nothing about the machine.

The folder loads and predicts like a run (`structseg predict FOLDER photo.jpg`), at half the size. Averaged weights are
taken where there are any. Vectors, a small part, stay in full precision: half precision ends at 65504, and the variance
of a norm may pass it. What the run knew of places on its machine is left out: `data.root`, files of labels and weights,
versions, times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from structseg import runs
from structseg.config import Config, override_trained, to_toml
from structseg.errors import ConfigError
from structseg.inference.load import load, save_weights, say_notice
from structseg.types import Labels

_KEPT = ("recipe", "seed", "step", "parameters")  # facts that go with the weights


def weights(run: Path, out: Path, *, overrides: Sequence[str] = (), notice: str = "") -> Path:
    """Write config.toml and model.safetensors (half precision) of `run` into the new folder `out`; the weight file.

    `run` is all that `load` takes: a run folder, a file in one, a published model's name.
    `overrides` are `inference.a=b` differences. `notice`, the terms of use, is said whenever the model is loaded; where
    there is none, that of `run` is kept.
    Raises ConfigError where `out` exists or a key may not differ, CheckpointError where `run` is none or damaged.
    """
    if out.exists():
        raise ConfigError(f"--out {out} exists; choose a new folder")
    runs.check_writable(out)
    model = load(run, quiet=True)
    known = vars(model)
    config: Config = override_trained(known["config"], overrides, ("inference",), run)
    labels: Labels = replace(known["labels"], source=Path(known["labels"].source).name)
    about = {key: known["about"][key] for key in _KEPT if key in known["about"]}
    notice = notice or known["about"].get("notice", "")
    about |= {"labels": labels.as_dict(), **({"notice": notice} if notice else {})}
    options = {key: value for key, value in config.data.options.items() if not Path(str(value)).is_absolute()}
    data = replace(config.data, root="", labels="", cache="", options=options)
    plain = replace(config, data=data, model=replace(config.model, weights="", init_from="", freeze_stages=0))
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim > 1 and tensor.is_floating_point():
            tensor.data = tensor.data.half()
    with runs.fresh_folder(out):
        runs.write_text(out / runs.CONFIG, to_toml(plain))
        save_weights(model, out / runs.MODEL, about)
    say_notice(model, run)
    return out / runs.MODEL
