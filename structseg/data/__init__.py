"""Files -> samples -> batches. `open_format` makes of the table [data] of a configuration something that lists and
reads items; `loader` (the only file here that loads torch) makes batches of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from structseg import build
from structseg.data.check import check_split
from structseg.data.fingerprint import fingerprint, frequencies
from structseg.data.formats import Format
from structseg.data.label_cache import check_cache
from structseg.data.labels import read_labels, with_ignored
from structseg.data.read import read_image, read_mask
from structseg.data.reading import Reading
from structseg.errors import DataError

if TYPE_CHECKING:
    from structseg.config import DataConfig

__all__ = [
    "Format",
    "check_split",
    "fingerprint",
    "frequencies",
    "open_format",
    "read_image",
    "read_labels",
    "read_mask",
    "with_ignored",
]


def open_format(config: DataConfig) -> Format:
    """The data set of a configuration, classes of `config.ignore` ignored.

    Raises ConfigError for a format, option or class name that does not exist, DataError for a root that does not.
    """
    if ":" not in config.format:
        build.check("data.formats", config.format, "data.format")
    root = Path(config.root).expanduser()
    if "root" in build.options(build.find("data.formats", config.format)):
        if not config.root:
            raise DataError("data.root is not set; give the folder of the data set, e.g. data.root=path/to/folder")
        if not root.is_dir():
            raise DataError(f"data.root: folder {root} does not exist")
    source: Format = build.create(
        "data.formats", config.format, config.options, key="data.options", root=root, labels=config.labels
    )
    source.labels = with_ignored(source.labels, config.ignore)
    source.reading = Reading(max_pixels=config.max_pixels, cache=check_cache(config.cache))
    return source
