"""`structseg convert`: a checkpoint of another framework becomes a file that our loaders read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    old: Annotated[Path, typer.Argument(help="The checkpoint: of TensorFlow, NAME or NAME.index.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="The .safetensors file to write.", show_default=False)],
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Options of the model, e.g. preset=released or depth=101.",
            show_default=False,
        ),
    ] = None,
    *,
    source: Annotated[str, typer.Option(help="tf, torchvision, timm, mxnet or caffe.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(help="A net (pspnet, fcn, deeplabv2) or a backbone (slim_resnet, resnet).", show_default=False),
    ],
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.tsv",
            help="Write what became of every name; also where OLD does not fit.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the weights of OLD as NEW; say of every key what became of it.

    NEW is for model.init_from where --model is a net, for model.weights where it is a backbone.
    """
    from structseg.config import Config, override
    from structseg.errors import ConfigError
    from structseg.models.convert import checkpoint

    for text in options or ():
        if not all(part.strip() for part in text.partition("=")[:2]):
            raise ConfigError(f"'{text}' is no option of the model: give KEY=VALUE, e.g. preset=released or depth=101")
    given = override(Config(), [f"model.options.{text}" for text in options or ()]).model.options
    found = checkpoint(old, new, source=source, model=model, options=given, account=report)
    print(found)
    for name in found.skipped:
        print(f"skipped  {name}")
    print(f"written to {new}")
