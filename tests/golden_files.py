"""Every array file of the golden folder and the test that opens it, or the step of the plan that will.

`tests/test_layers.py` checks that the list is complete and that each test named here mentions its file. Some small
ones are copied into tests/golden, so that their tests run everywhere: whole, but aaf.npz and affinity.npz with two of
their ten cases (`affinity_cases.SMALL`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent / "golden"
TAGS = "later: image tags only (PSA, IRN)"
SENSORS = "later: several sensors (AdapNet++, SSMA, CMoDE, depth encodings)"
SEMI = "later: few masks, many pictures (AdvSemiSeg and the modern field)"
INSTANCES = "later: instances"

GOLDEN: dict[str, str] = {
    "aaf/aaf.npz": "tests/losses/test_aaf_golden.py",
    "aaf/affinity.npz": "tests/losses/test_affinity_golden.py",
    "aaf/losses_meta.json": "tests/losses/test_affinity_golden.py",
    "aaf/train_objective.npz": "tests/losses/test_train_objective.py",
    "aaf/metrics.npz": "tests/metrics/test_scores.py",
    "aaf/augment.npz": "tests/data/test_released_augment.py",
    "aaf/crop_positions.npz": "tests/inference/test_tiles.py",
    "aaf/inference.npz": "tests/inference/test_released.py",
    "aaf/pspnet_tiny.npz": "tests/models/test_released_nets.py",
    "aaf/pspnet_tiny_variables.json": "tests/models/test_released_nets.py",
    "aaf/resize_legacy.npz": "tests/inference/test_whole.py",
    "aaf/schedules.npz": "tests/training/test_schedules_golden.py",
    "aaf/tf_variable_manifest.json": "tests/models/test_released_nets.py",
    "aaf/train_loop.npz": "tests/training/test_train_loop_golden.py",
    "adapnet/adapnet_v1_eval_96x192.npz": SENSORS,
    "adapnet/adapnet_v1_vars.json": SENSORS,
    "adapnet/adapnetpp_eval_192x384.npz": SENSORS,
    "adapnet/adapnetpp_eval_64x96.npz": SENSORS,
    "adapnet/adapnetpp_train_64x96_f64.npz": SENSORS,
    "adapnet/adapnetpp_vars.json": SENSORS,
    "adapnet/cmode_AdapNet_pp_vars.json": SENSORS,
    "adapnet/cmode_AdapNet_vars.json": SENSORS,
    "adapnet/cmode_adapnet_96x192.npz": SENSORS,
    "adapnet/cmode_full_384x768.npz": SENSORS,
    "adapnet/cmode_small_96x192.npz": SENSORS,
    "adapnet/hha.npz": SENSORS,
    "adapnet/ip_basic.npz": SENSORS,
    "adapnet/jet.npz": SENSORS,
    "adapnet/layers.npz": SENSORS,
    "adapnet/losses.npz": SENSORS,
    "adapnet/metric.npz": SENSORS,
    "adapnet/ssma_eval_96x192.npz": SENSORS,
    "adapnet/ssma_train_64x96_f64.npz": SENSORS,
    "adapnet/ssma_vars.json": SENSORS,
    "advsemi/augment.npz": SEMI,
    "advsemi/eval.npz": SEMI,
    "advsemi/forward.npz": SEMI,
    "advsemi/losses_lr.npz": SEMI,
    "advsemi/param_groups.json": SEMI,
    "advsemi/sota.npz": SEMI,
    "advsemi/state_dict_names.json": SEMI,
    "advsemi/tiny_train3_dedup_T0.2.npz": SEMI,
    "advsemi/tiny_train3_dedup_T0.45.npz": SEMI,
    "advsemi/tiny_train3_dup_T0.45.npz": SEMI,
    "advsemi/train3_dedup_T0.43.npz": SEMI,
    "advsemi/train3_dedup_T0.5.npz": SEMI,
    "advsemi/train3_dup_T0.43.npz": SEMI,
    "advsemi/train_args_defaults.json": SEMI,
    "psa/aff_dataset.npz": TAGS,
    "psa/aff_loss.npz": TAGS,
    "psa/crf.npz": "tests/refine/test_crf_golden.py",
    "psa/e2e.npz": TAGS,
    "psa/fwd_resnet38_aff.npz": TAGS,
    "psa/fwd_resnet38_cls.npz": TAGS,
    "psa/fwd_vgg16_aff.npz": TAGS,
    "psa/fwd_vgg16_cls.npz": TAGS,
    "psa/irn_instance.npz": INSTANCES,
    "psa/irn_nets.json": TAGS,
    "psa/irn_nets.npz": TAGS,
    "psa/irn_ops.npz": TAGS,
    "psa/label_extract.npz": TAGS,
    "psa/pairs.npz": TAGS,
    "psa/poly_lr.npz": TAGS,
    "psa/psa_nets.json": TAGS,
    "psa/random_walk.npz": TAGS,
    "psa/train_step.json": TAGS,
    "psa/train_step.npz": TAGS,
}


def named_in(test: Path) -> list[str]:
    """The golden files that the text of a test names."""
    text = test.read_text()
    return [name for name, by in GOLDEN.items() if not by.startswith("later: ") and Path(name).name in text]


def tf_variable(name: str, shape: Sequence[int]) -> np.ndarray:
    """Starting value of a TensorFlow variable by its name: the rule with which the golden numbers were made."""
    normal = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF).randn(*shape)
    leaf = name.rsplit("/", 1)[-1]
    value = {
        "weights": lambda: normal * np.sqrt(2.0 / np.prod(shape[:-1])),
        "gamma": lambda: 1 + 0.1 * normal,
        "moving_variance": lambda: 0.5 + 1 / (1 + np.exp(-normal)),
    }.get(leaf, lambda: 0.1 * normal)()
    return value.astype(np.float32)
