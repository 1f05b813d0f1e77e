"""Around an inspection: its configuration, and what is written into the data folder after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from structseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from structseg.config import DataConfig
    from structseg.data.inspect import Inspection

_MENDED = {"no splits", "one split", "no train", "no val"}  # findings that new lists answer


def prepared(
    data: Path,
    differences: Sequence[str],
    *,
    format: str,
    labels: Path | None,
    ignore: Sequence[str],
    split: str,
    suggest: Path | None,
) -> tuple[DataConfig, bool, dict[str, float]]:
    """The configuration, whether the format is to be found out, and the shares of new splits; all words checked.

    Nothing is opened yet. Raises ConfigError for a wrong word, DataError for a folder or file that cannot be used.
    """
    from structseg import build
    from structseg.config import Config, override
    from structseg.data.splits import parse_shares
    from structseg.runs import check_file

    for text in differences:
        if not text.startswith("data."):
            raise ConfigError(f"'{text}': only keys of [data] can be given here, e.g. data.options.group='^(.*)_'")
    config = override(Config(), differences).data
    guessed = not format and not any(text.startswith("data.format") for text in differences)
    made_up = guessed and not data.exists() and str(data) == "scenes"
    config = replace(
        config,
        format="scenes" if made_up else format or config.format,
        root="" if made_up else str(data),
        labels=str(labels) if labels else config.labels,
        ignore=(*config.ignore, *ignore),
    )
    build.check("data.formats", config.format, "--format")
    if not made_up and not data.is_dir():
        raise DataError(f"{data} is {'a file' if data.exists() else 'not there'}; give the folder of a data set")
    if suggest is not None:
        if suggest.exists():
            raise DataError(f"--suggest: {suggest} is there already and is not overwritten; choose another name")
        check_file(suggest)
    return config, guessed and not made_up, parse_shares(split) if split else {}


def after(
    found: Inspection, root: Path, *, shares: Mapping[str, float], seed: int, suggest: Path | None
) -> tuple[Inspection, list[str]]:
    """Write the suggested table and the lists of splits; the inspection without what they mend, and a line for each."""
    from structseg import runs
    from structseg.data.formats.pairs import TABLES
    from structseg.data.inspect import split

    written, mended = [], set()
    if suggest is not None:
        if not found.facts["suggestion"]:
            raise DataError(f"--suggest: {root} has a label table already; a table is suggested where there is none")
        runs.write_text(suggest, found.facts["suggestion"])
        written.append(f"label table written to {suggest}; give the classes their names there")
        if suggest.absolute().parent == root.absolute() and suggest.name in TABLES:
            mended.add("no table")
    if shares:
        counts = split.make(found.looks, root, shares, seed=seed)
        listed = ", ".join(f"{name}.txt ({count})" for name, count in counts.items())
        written.append(f"lists written to {root}: {listed}")
        mended |= _MENDED
    kept = tuple(finding for finding in found.findings if finding.kind not in mended)
    facts = {**found.facts, "findings": [asdict(finding) for finding in kept]}
    return replace(found, findings=kept, facts=facts), written
