"""Which of our keys is a published name, and how does its array lie?

All or nothing: a network is filled only where every weight of it is found with its shape. What else a file holds
(optimizers' slots, the step, a classifier of ImageNet) is named in the report as skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from structseg.errors import CheckpointError
from structseg.models.backbones import Backbone
from structseg.models.backbones.resnet import ResNet
from structseg.models.backbones.slim_resnet import SlimResNet
from structseg.models.heads.psp import PSP
from structseg.models.layers.checks import one_of
from structseg.models.segmenter import Segmenter
from structseg.models.weights import Report, match

Array = NDArray[Any]
Rename = Callable[[str], str | None]

TORCH_SOURCES = ("torchvision", "timm", "mxnet")


class Misfit(CheckpointError):
    """The names or shapes of a file are not those of the network; `report` says of every one what was found."""

    def __init__(self, report: Report) -> None:
        super().__init__(f"{report}; it is another network's file or another model is meant")
        self.report = report


def from_tf(model: nn.Module, variables: Mapping[str, Array], *, source: str = "variables") -> Report:
    """Fill a network of `preset="released"`, or its `slim_resnet` alone, from variables of TF-Slim by name.

    Kernels are (h,w,in,out) as in TensorFlow. The scope before the names may be any. Raises
    CheckpointError where a weight is missing, has another shape or stands there twice.
    """
    backbone = model.backbone if isinstance(model, Segmenter) else model
    if not isinstance(backbone, SlimResNet):
        raise CheckpointError(
            f"{source}: weights of TF-Slim are for slim_resnet and for nets of preset='released', not for "
            f"{type(backbone).__name__}"
        )
    whole = model is not backbone
    keys = {name: slim_key(name, whole=whole) for name in variables}
    _one_network(source, keys)
    tensors = {name: tensor(_from_hwio(array) if keys[name] else array) for name, array in variables.items()}
    return _fill(model, tensors, source, keys.get)


def from_torch(model: nn.Module, state: Mapping[str, Tensor], *, source: str, file: str = "") -> Report:
    """Fill a backbone from a state dict of `source`: "torchvision", "timm", or GluonCV's `*_v1b`, `*_v1s` ("mxnet").

    `model` is the backbone or a module whose keys are those of the state. Raises CheckpointError where a weight is
    missing or has another shape, or where shapes fit and functions do not; ConfigError for an unknown source.
    """
    one_of("source", source, TORCH_SOURCES)
    if any(isinstance(module, SlimResNet) for module in model.modules()):
        raise CheckpointError(
            f"{source} weights fit slim_resnet, but its strides stand elsewhere: they are for the backbone resnet"
        )
    if source == "mxnet" and not isinstance(model, ResNet):
        raise CheckpointError(
            f"mxnet weights are those of GluonCV's resnet*_v1b or _v1s, not for {type(model).__name__}"
        )
    theirs: Rename = model.rename if isinstance(model, Backbone) else str
    rename = theirs if source != "mxnet" else lambda name: theirs(gluon_key(name))
    return _fill(model, state, file or source, rename)


def _fill(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    rename: Rename,
    made_of: Mapping[str, Sequence[str]] | None = None,
) -> Report:
    """`made_of` names the file's own arrays behind one that was computed of them; they are as long as it."""
    report, fitting = match(model, tensors, source, rename)
    own = made_of or {}
    rows = (row._replace(name=name) for row in report.rows for name in own.get(row.name, (row.name,)))
    report = replace(report, rows=tuple(rows))
    if report.missing or report.shape:
        raise Misfit(report)
    model.load_state_dict(fitting, strict=False)
    return report


def tensor(array: Array) -> Tensor:
    """A copy, since arrays of a file are views that cannot be written."""
    return torch.from_numpy(np.array(array, order="C"))


# ------------------------------------------------------------------------------------------------ TF-Slim

_SLIM_START = re.compile(r"conv1|block\d|fc1_\w+|logits")
_SLIM_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_SLIM_CONV = {"weights": "weight", "biases": "bias"}
_SLIM_PARTS = (  # pattern of what stands before the leaf -> our convolution and our norm
    (r"conv1", "backbone.conv1", "backbone.bn1"),
    (r"block([1-4])/unit_(\d+)/bottleneck_v1/conv(\d)", "backbone.layer{0}.{1}.conv{2}", "backbone.layer{0}.{1}.bn{2}"),
    (
        r"block([1-4])/unit_(\d+)/bottleneck_v1/shortcut",
        "backbone.layer{0}.{1}.downsample.0",
        "backbone.layer{0}.{1}.downsample.1",
    ),
    (r"block5/pool(1|2|3|6)/conv1", "head.branches.{0}.0", "head.branches.{0}.1"),
    (r"block5/conv2", "head.mix.0", "head.mix.1"),
    (r"block5/fc1_\w+", "head.classifier", ""),
    (r"fc1_c(\d)", "head.classifier.{0}", ""),
)
_BRANCHES = ("1", "2", "3", "6")


def slim_key(name: str, *, whole: bool = True) -> str | None:
    """A variable's name -> our key; None for what is no weight. Not `whole`: the key in the backbone alone."""
    _, parts = _scope(name)
    *start, leaf = parts or [""]
    norm = start[-1:] == ["BatchNorm"]
    ending = (_SLIM_NORM if norm else _SLIM_CONV).get(leaf)
    path = "/".join(start[:-1] if norm else start)
    for pattern, conv, bn in _SLIM_PARTS:
        if ending and (found := re.fullmatch(pattern, path)):
            key = f"{(bn if norm else conv).format(*_numbers(pattern, found))}.{ending}"
            return key if whole else _below("backbone.", key)
    return None


def _numbers(pattern: str, found: re.Match[str]) -> list[str]:
    """Numbers of a name as ours: units count from 0, branches by their place."""
    numbers = list(found.groups())
    if "unit_" in pattern:
        numbers[1] = str(int(numbers[1]) - 1)
    elif "pool" in pattern:
        numbers[0] = str(_BRANCHES.index(numbers[0]))
    return numbers


def _below(prefix: str, key: str) -> str | None:
    return key.removeprefix(prefix) if key.startswith(prefix) else None


def _scope(name: str) -> tuple[str, list[str]]:
    """`a/b/conv1/weights` -> a/b and [conv1, weights]; no words where nothing of a ResNet begins."""
    words = name.split("/")
    first = next((place for place, word in enumerate(words) if _SLIM_START.fullmatch(word)), len(words))
    return "/".join(words[:first]), words[first:]


def _one_network(source: str, keys: Mapping[str, str | None]) -> None:
    """Raise CheckpointError where two variables would fill the same weight: networks side by side, or two heads."""
    filled: dict[str, str] = {}
    for name, key in keys.items():
        if key and filled.setdefault(key, name) != name:
            raise CheckpointError(
                f"{source}: {filled[key]} and {name} are both {key}; give the variables of one network"
            )


def slim_classes(variables: Mapping[str, Array]) -> int:
    """How many classes the head among variables of TF-Slim has. Raises CheckpointError where there is none."""
    for name, array in variables.items():
        key = slim_key(name) or ""
        if key.startswith("head.classifier") and key.endswith(".bias"):
            return int(array.size)
    raise CheckpointError(
        "the file has no classifier of a segmentation network (block5/fc1_*, fc1_c0); is it a backbone? "
        "Give --model slim_resnet"
    )


def _from_hwio(array: Array) -> Array:
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


# ------------------------------------------------------------------------------------------------ MXNet

_GLUON = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}


def gluon_key(name: str) -> str:
    """A parameter of a Gluon block -> torchvision's name of it: `layer1.0.bn1.gamma` -> `layer1.0.bn1.weight`."""
    start, _, leaf = name.removeprefix("arg:").removeprefix("aux:").rpartition(".")
    return f"{start}.{_GLUON.get(leaf, leaf)}"


# ------------------------------------------------------------------------------------------------ Caffe

CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB, what the authors of PSPNet took off; they divided by nothing
_CAFFE_NORM = ("weight", "bias", "running_mean", "running_var")
_CAFFE_EPSILON = 1e-5  # of their norms and ours
_CAFFE_UNIT = {"1x1_reduce": "conv1", "3x3": "conv2", "1x1_increase": "conv3", "1x1_proj": "downsample.0"}
_CAFFE_HEAD = {  # layer -> where our convolution stands, and its norm behind it
    **{f"conv5_3_pool{bins}_conv": f"head.branches.{place}." for place, bins in enumerate(_BRANCHES)},
    "conv5_4": "head.mix.",
}
_BLOB = r"(?s:.*)/[0-9]{1,9}"  # layer, and its place among the layer's
_WHOLE_PICTURE = "conv5_3_pool1_conv"  # their branch of one part


def from_caffe(model: nn.Module, blobs: Mapping[str, Array], *, source: str = "blobs") -> Report:
    """Fill a `pspnet` or a `resnet` alone, of depth 101, stem "deep", first_dilation "own", from blobs of PSPNet's
    authors by `layer/place`.

    Their colours are BGR and not divided: the first convolution takes over both, and its norm the difference of the
    means. Norms hold slope, bias and the moving mean and variance, as they are. In the head, the norm of the branch of
    the whole picture, where ours has none, goes into its convolution, and the parts are put into our order. Raises
    CheckpointError where a weight is missing or has another shape, or a name is no `layer/place`. Source: prototxt and
    bn_layer.cpp of github.com/hszhao/PSPNet.
    """
    backbone, head = (model.backbone, model.head) if isinstance(model, Segmenter) else (model, None)
    if head is not None and not (isinstance(head, PSP) and tuple(map(str, head.bins)) == _BRANCHES):
        raise CheckpointError(
            f"{source}: the head of PSPNet's authors is that of pspnet with preset='default'; for their backbone alone "
            "give --model resnet"
        )
    if not isinstance(backbone, ResNet) or not backbone.as_pspnet:
        raise CheckpointError(
            f"{source}: weights of PSPNet's authors are for resnet with depth=101, stem='deep' and "
            "first_dilation='own' (of pspnet: "
            'backbone_options={stem="deep",first_dilation="own"}); '
            "their net of 50 layers strides elsewhere, though its shapes fit"
        )
    if strange := [name for name in blobs if not re.fullmatch(_BLOB, name)]:
        raise CheckpointError(
            f"{source}: '{strange[0]}' is no name of a blob; give LAYER/PLACE, e.g. conv1_1_3x3_s2/0 for its kernel"
        )
    tensors = {name: tensor(array.reshape(-1) if _is_vector(name) else array) for name, array in blobs.items()}
    first, mean = "conv1_1_3x3_s2/0", "conv1_1_3x3_s2/bn/2"
    if first in tensors and mean in tensors:
        tensors[first], tensors[mean] = _take_colours(backbone, tensors[first].float(), tensors[mean].float())
    made_of = {}
    if head is not None:
        made_of = _fold_norm(tensors, source)
        _order_parts(tensors, head.channels[-1])
    return _fill(model, tensors, source, lambda name: caffe_key(name, whole=head is not None), made_of)


def _take_colours(model: ResNet, weight: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """W u, u = x - theirs in BGR, as W' v + k, v = (x - ours) / s in RGB; the norm's running mean loses k."""
    if weight.ndim != 4 or weight.shape[1] != 3:
        return weight, mean  # refused by its shape
    weight = weight.flip(1)
    lift = torch.tensor(model.mean) - torch.tensor(CAFFE_MEAN)
    shift = (weight.sum((2, 3)) * lift).sum(1)
    return weight * torch.tensor(model.std).view(1, 3, 1, 1), mean - shift


def _fold_norm(tensors: dict[str, Tensor], source: str) -> dict[str, list[str]]:
    """g (W x - m) / sqrt(v + eps) + b of the branch of the whole picture as W' x + b' (layers/pyramid.py says why).

    Returns the bias and the blobs that it is made of. Exact in evaluation; in training theirs normalises over the
    batch's pictures, ours does not.
    """
    kernel, bias = f"{_WHOLE_PICTURE}/0", f"{_WHOLE_PICTURE}/1"
    norm = [f"{_WHOLE_PICTURE}/bn/{place}" for place in range(4)]
    if not {kernel, *norm} <= set(tensors):
        return {}  # refused: our bias is missing
    weight = tensors[kernel]
    if any(tensors[name].shape != weight.shape[:1] for name in norm):
        counts = ", ".join(str(tensors[name].numel()) for name in norm)
        raise CheckpointError(
            f"{source}: the norm of {_WHOLE_PICTURE} has {counts} numbers for a kernel {tuple(weight.shape)}; it is "
            "another network's file"
        )
    slope, shift, mean, variance = (tensors.pop(name).double() for name in norm)
    scale = slope / (variance + _CAFFE_EPSILON).sqrt()
    tensors[kernel] = (weight * scale.view(-1, *[1] * (weight.ndim - 1))).float()
    tensors[bias] = (shift - mean * scale).float()
    return {bias: norm}


def _order_parts(tensors: dict[str, Tensor], depth: int) -> None:
    """Their concatenation is the feature of `depth` channels, then the parts 6, 3, 2, 1; ours 1, 2, 3, 6."""
    name = "conv5_4/0"
    weight = tensors.get(name)
    if weight is None or weight.ndim != 4 or weight.shape[1] <= depth:
        return  # refused: missing, or by its shape
    feature, parts = weight[:, :depth], weight[:, depth:].tensor_split(len(_BRANCHES), 1)
    tensors[name] = torch.cat([feature, *reversed(parts)], 1)


def _is_vector(name: str) -> bool:
    """Norms and biases, which may stand as (1,C,1,1) or (1,1,1,C)."""
    layer, _, place = name.rpartition("/")
    return layer.endswith("/bn") or place != "0"


def caffe_key(name: str, *, whole: bool = True) -> str | None:
    """`conv2_1_3x3/bn/2` -> backbone.layer1.0.bn2.running_mean; None for what is no weight of it.

    Not `whole`: the key in the backbone alone.
    """
    layer, _, place = name.rpartition("/")
    norm, number = layer.endswith("/bn"), int(place)
    leaves = _CAFFE_NORM if norm else ("weight", "bias")
    start = _caffe_part(layer.removesuffix("/bn"), norm=norm)
    if not start or number >= len(leaves):
        return None
    key = f"{start}.{leaves[number]}"
    return key if whole else _below("backbone.", key)


def _caffe_part(layer: str, *, norm: bool) -> str | None:
    """A layer's convolution or norm by our name."""
    if layer in _CAFFE_HEAD:
        return f"{_CAFFE_HEAD[layer]}{norm:d}"
    if layer == "conv6":
        return None if norm else "head.classifier"
    if found := re.fullmatch(r"conv1_([123])_3x3(?:_s2)?", layer):
        at = 3 * (int(found[1]) - 1)
        return "backbone.bn1" if norm and at == 6 else f"backbone.conv1.{at + norm}"
    if not (found := re.fullmatch(r"conv([2-5])_(\d+)_(1x1_reduce|3x3|1x1_increase|1x1_proj)", layer)):
        return None
    part = _CAFFE_UNIT[found[3]]
    if norm:
        part = part.replace("conv", "bn").replace("downsample.0", "downsample.1")
    return f"backbone.layer{int(found[1]) - 1}.{int(found[2]) - 1}.{part}"


def caffe_classes(blobs: Mapping[str, Array]) -> int:
    """How many classes the head among blobs of PSPNet's authors has. Raises CheckpointError where there is none."""
    if "conv6/1" not in blobs:
        raise CheckpointError(
            "the file has no classifier of PSPNet (conv6) with its bias; for a backbone give --model resnet"
        )
    return int(blobs["conv6/1"].size)
