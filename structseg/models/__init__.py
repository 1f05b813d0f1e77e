"""Networks: backbones, heads, published nets, and the segmenter that joins them.

Level 1: knows only the nouns, errors, registry and run names; never data, losses or metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from structseg import build as registry
from structseg.models.segmenter import Outside, Segmenter, as_output, build
from structseg.models.weights import Report, load_fitting, load_weights

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Outside", "Report", "Segmenter", "as_output", "build", "create", "load_fitting", "load_weights"]


def create(name: str, *, num_classes: int, preset: str = "default", **options: Any) -> nn.Module:
    """The published network `name`, a file of `models/nets`.

    `preset="released"` is the network as its authors published it, where ours differs. Raises ConfigError for an
    unknown name or option.
    """
    given = options if preset == "default" else {"preset": preset, **options}
    net: nn.Module = registry.create("models.nets", name, given, num_classes=num_classes)
    return net
