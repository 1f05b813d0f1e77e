"""Checkpoints that TensorFlow and MXNet themselves wrote, in tests/models/fixtures; what is in them; how they are made.

    pip install tensorflow-cpu==2.21.0                && python tests/models/convert_fixtures.py tf
    pip install "numpy<1.24" requests mxnet==1.9.1    && python tests/models/convert_fixtures.py mxnet

Each in an environment of its own. Values are whole quarters drawn from seed 0, so that they are exact in every type.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures"
SLIM = {"units": (1, 1, 1, 1), "planes": (1, 1, 2, 2)}  # the thin FCN of three classes in the files of TensorFlow
GLUON = {"depth": 10, "width": 2}  # the ResNet in that of MXNet


def _quarters(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    rng = np.random.RandomState(0)
    return {name: (rng.randint(-8, 9, shape) / 4).astype(np.float32) for name, shape in shapes.items()}


def tf_variables() -> dict[str, np.ndarray]:
    """An FCN of the released code, thin, with its step and two variables of other types."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_norm(name: str, size: int, inputs: int, outputs: int) -> None:
        shapes[f"{name}/weights"] = (size, size, inputs, outputs)
        for leaf in ("beta", "gamma", "moving_mean", "moving_variance"):
            shapes[f"{name}/BatchNorm/{leaf}"] = (outputs,)

    conv_norm("conv1", 7, 3, 64)
    inputs = 64
    for block, planes in enumerate(SLIM["planes"], 1):
        unit = f"block{block}/unit_1/bottleneck_v1"
        conv_norm(f"{unit}/shortcut", 1, inputs, 4 * planes)
        conv_norm(f"{unit}/conv1", 1, inputs, planes)
        conv_norm(f"{unit}/conv2", 3, planes, planes)
        conv_norm(f"{unit}/conv3", 1, planes, 4 * planes)
        inputs = 4 * planes
    shapes |= {"block5/fc1_voc12/weights": (1, 1, inputs, 3), "block5/fc1_voc12/biases": (3,)}
    found = {f"resnet_v1_101/{name}": array for name, array in _quarters(shapes).items()}
    found["global_step"] = np.array(30000, np.int64)
    found["half"] = np.array([1.5, -2.0], np.float16)
    found["double"] = np.array([[0.1]], np.float64)
    return found


def gluon_arrays() -> dict[str, np.ndarray]:
    """A ResNet of basic blocks by GluonCV's names, thin, with a classifier and two arrays of other types."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{leaf}": (width,) for leaf in ("gamma", "beta", "running_mean", "running_var")})

    inputs = GLUON["width"]
    shapes["conv1.weight"] = (inputs, 3, 7, 7)
    norm("bn1", inputs)
    for stage in range(1, 5):
        width, block = GLUON["width"] * 2 ** (stage - 1), f"layer{stage}.0"
        for number, depth in ((1, inputs), (2, width)):
            shapes[f"{block}.conv{number}.weight"] = (width, depth, 3, 3)
            norm(f"{block}.bn{number}", width)
        if width != inputs:
            shapes[f"{block}.downsample.0.weight"] = (width, inputs, 1, 1)
            norm(f"{block}.downsample.1", width)
        inputs = width
    shapes |= {"fc.weight": (5, inputs), "fc.bias": (5,)}
    return {**_quarters(shapes), "half": np.array([1.5, -2.0], np.float16), "step": np.array([7], np.int64)}


def write_tf() -> None:
    tf: Any = __import__("tensorflow").compat.v1
    tf.disable_eager_execution()
    for version in ("V1", "V2"):
        tf.reset_default_graph()
        variables = [tf.get_variable(name, initializer=array) for name, array in tf_variables().items()]
        saver = tf.train.Saver(variables, write_version=getattr(tf.train.SaverDef, version))
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            path = str(FIXTURES / f"slim_{version.lower()}.ckpt")
            saver.save(session, path, write_meta_graph=False, write_state=False)


def write_mxnet() -> None:
    nd: Any = __import__("mxnet").nd
    arrays = {name: nd.array(array, dtype=str(array.dtype)) for name, array in gluon_arrays().items()}
    nd.save(str(FIXTURES / "gluon.params"), arrays)


if __name__ == "__main__":
    {"tf": write_tf, "mxnet": write_mxnet}[sys.argv[1]]()
