"""Open a spread of a split before step 0, so that what is wrong with the data is known in seconds, not after hours."""

from __future__ import annotations

from structseg.data.fingerprint import spread
from structseg.data.formats import Format, read_sample
from structseg.errors import DataError


def check_split(source: Format, split: str, *, limit: int = 64) -> None:
    """Read at most `limit` samples of a split that is to be trained on or scored.

    Raises DataError for a picture without mask, whatever reading a sample raises (values outside the table, sizes that
    differ, damaged files), and masks in which every pixel is ignored.
    """
    items = source.items(split)
    bare = [item for item in items if item.image is not None and item.target is None]
    if bare:
        raise DataError(
            f"split '{split}': {len(bare)} of {len(items)} pictures have no mask, first {bare[0].image}; "
            f"training and evaluation need 'image mask' on each line of the list"
        )
    chosen = spread(items, limit)
    labelled = False
    for item in chosen:
        target = read_sample(source, item).target
        if target is None:
            raise DataError(f"split '{split}': '{item.name}' has no mask; training and evaluation need one")
        labelled = labelled or bool((target != source.labels.ignore_index).any())
    if not labelled:
        raise DataError(
            f"split '{split}': every pixel of the {len(chosen)} masks looked at is ignored, e.g. in "
            f"{chosen[0].target or chosen[0].name}; check label table {source.labels.source} and data.ignore"
        )
