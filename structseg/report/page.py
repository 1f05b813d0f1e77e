"""The comparison as one HTML file: verdict, scores, evidence, pictures, details; nothing is loaded from elsewhere.

Words and numbers are written here and can be read without script. The verdict of every ordered pair of rows stands in
the page as a `<template>`, so that the menus need no second copy of the rules; the script (templates/page.js) puts it
in place, draws the charts and the pictures from the JSON at the end, and writes the differences from A into the table.
Names come from other people's files: Jinja escapes them, and the JSON holds no `<`.
"""

from __future__ import annotations

import datetime
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from structseg import runs
from structseg.report import curves, pictures, trust, verdict
from structseg.report.compare import FEW_ROWS, SUMMARY, Comparison, Pair, Row, protocols, thin_classes
from structseg.report.patches import patches
from structseg.report.resample import DRAWS
from structseg.report.settings import differing, flat
from structseg.report.table import COLUMNS, columns
from structseg.report.verdict import ends, points, signed, signed_ends

_TEMPLATES = jinja2.PackageLoader("structseg.report", "templates")
_EXTREMES = 3  # classes named on each side
_FOREST = 200.0  # width of an interval drawing


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the page to `path`, whole or not at all; returns `path`."""
    path = Path(path)
    runs.write_text(path, page(comparison), errors="backslashreplace")
    return path


def page(comparison: Comparison) -> str:
    """The HTML text."""
    environment = jinja2.Environment(
        loader=_TEMPLATES, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "points": points,
        "signed": signed,
        "parameters": _parameters,
        "difference": verdict.difference,
    }
    chosen = pictures.shown(comparison)
    start = _block(comparison.pair) if comparison.pair else _single(comparison.b)
    return environment.get_template("page.html").render(
        comparison=comparison,
        rows=comparison.ordered,
        first_rows=FEW_ROWS,
        columns=columns(comparison),
        missing=_missing(comparison),
        start=start,
        blocks={f"{a}-{b}": _block(pair) for (a, b), pair in comparison.pairs.items()},
        facts=_facts(comparison),
        protocol="\n".join(protocols(comparison.finished, _protocol)),
        thin=[comparison.b.classes[place] for place in thin_classes(comparison.b)],
        has=_sections(comparison),
        pictures=chosen,
        walls=len(chosen[0].predictions) if chosen else 0,
        patches=patches(comparison),
        details=_details(comparison),
        rising=curves.rising(comparison.finished),
        data=_json(_data(comparison, chosen)),
        style=_source(environment, "page.css"),
        script=_source(environment, "page.js"),
        isnan=math.isnan,
    )


def _source(environment: jinja2.Environment, name: str) -> Markup:
    """A template's text as it stands: braces mean other things in CSS and JavaScript."""
    return Markup(_TEMPLATES.get_source(environment, name)[0])  # our own file, nothing of a user's in it


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    escapes: dict[str, str | int | None] = {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
    return Markup(text.translate(str.maketrans(escapes)))  # safe: the translation above


# verdict and the three columns


def _single(row: Row) -> dict[str, Any]:
    """One row with scores: no A and B."""
    forest = [
        {"key": key, "name": COLUMNS[key], "value": points(score.value), "range": ends(score.low, score.high)}
        for key in SUMMARY
        if (score := row.scores.get(key)) and not math.isnan(score.value)
    ]
    known = sorted((row.value(f"iou:{c}"), name) for c, name in enumerate(row.classes) if f"iou:{c}" in row.scores)
    where = [{"name": name, "value": points(value), "state": "plain"} for value, name in known[: 2 * _EXTREMES]]
    return {
        "headline": verdict.of_row(row),
        "pair": None,
        "name": row.name,
        "methods": " and ".join(method.replace("_", " ") for method in row.run.methods),
        "images": row.run.metrics.get("images"),
        "forest": forest,
        "where": where,
        "checks": trust.of_row(row),
    }


def _block(pair: Pair) -> dict[str, Any]:
    known = pair.state != "incomparable"
    lead = [(COLUMNS[key], pair.get(key)) for key in ("boundary", "miou") if not math.isnan(pair.get(key).value)]
    return {
        "headline": verdict.of_pair(pair),
        "pair": pair,
        "against": verdict.against(pair.a),
        "images": pair.b.run.metrics.get("images"),
        "lead": [(name, signed(d.value), signed_ends(d.low, d.high)) for name, d in lead],
        "cost": verdict.cost(pair) if known else "",
        "forest": _forest(pair),
        "where": _where(pair) if known else [],
        "checks": trust.of_pair(pair),
    }


def _forest(pair: Pair) -> list[dict[str, Any]]:
    keys = [key for key in SUMMARY if not math.isnan(pair.a.value(key)) and not math.isnan(pair.b.value(key))]
    ends = [abs(end) for key in keys for end in (pair.get(key).low, pair.get(key).high) if not math.isnan(end)]
    reach = max([0.02, *ends]) * 1.08

    def x(value: float) -> float:
        return round(_FOREST / 2 * (1 + value / reach), 1)

    rows = []
    for key in keys:
        change = pair.get(key)
        drawn = None if math.isnan(change.low) else [x(change.low), x(change.value), x(change.high)]
        rows.append(
            {
                "name": COLUMNS[key],
                "from": points(pair.a.value(key)),
                "to": points(pair.b.value(key)),
                "value": signed(change.value),
                "range": signed_ends(change.low, change.high),
                "state": change.clear,
                "x": drawn,
            }
        )
    return rows


def _where(pair: Pair) -> list[dict[str, str]]:
    """Classes with a clear gain or loss, the rest as a number, and the bands around borders."""
    changes = [(pair.get(f"iou:{c}"), name) for c, name in enumerate(pair.b.classes)]
    changes = [(change, name) for change, name in changes if not math.isnan(change.value)]
    gains = sorted((item for item in changes if item[0].clear == "gain"), key=lambda item: -item[0].value)
    losses = sorted((item for item in changes if item[0].clear == "loss"), key=lambda item: item[0].value)
    shown = [
        {"name": name, "value": signed(change.value), "state": change.clear}
        for change, name in gains[:_EXTREMES] + losses[:_EXTREMES]
    ]
    for found, word in ((gains, "gain"), (losses, "loss")):
        if not found:
            shown.append({"name": f"Clear {word}", "value": "none", "state": "unclear"})
        elif len(found) > _EXTREMES:
            more = f"{len(found) - _EXTREMES} classes"
            shown.append({"name": f"More with a clear {word}", "value": more, "state": "unclear"})
    if rest := len(changes) - len(gains) - len(losses):
        shown.append({"name": "Other classes", "value": f"{rest} not clear", "state": "unclear"})
    distances = _distances(pair.b)
    for place in sorted({0, len(distances) - 1}) if distances else ():
        change, text = pair.get(f"trimap:{place}"), f"Within {distances[place]:g} px of a border"
        if not math.isnan(change.value):
            shown.append({"name": text, "value": signed(change.value), "state": change.clear})
    return shown


def _distances(row: Row) -> list[float]:
    return list((row.run.metrics.get("trimap") or {}).get("distances", ()))


# facts, protocol, sections


def _facts(comparison: Comparison) -> str:
    """The line above the verdict."""
    metrics = comparison.b.run.metrics
    images, count = metrics.get("images"), sum(len(row.runs) for row in comparison.rows)
    facts = [
        " ".join(str(metrics[key]) for key in ("set", "split") if metrics.get(key)),
        f"{images} pictures" if images else "",
        f"{len(comparison.b.classes)} classes",
        f"{count} run{'s' if count > 1 else ''}",
        max((_date(run.meta.get("started")) for row in comparison.rows for run in row.runs), default=("", ""))[1],
    ]
    return " · ".join(fact for fact in facts if fact)


def _date(started: Any) -> tuple[str, str]:
    """(sortable, to read) of an ISO time; empty where there is none."""
    try:
        day = datetime.datetime.fromisoformat(str(started))
    except ValueError:
        return "", ""
    return day.isoformat(), f"{day.day} {day:%B %Y}"


def _protocol(row: Row) -> str:
    metrics, parts = row.run.metrics, []
    if metrics.get("protocol"):
        parts.append(str(metrics["protocol"]))
    if counts := row.run.counts:
        groups = len({group or (place,) for place, group in enumerate(counts.groups)})
        over = f"{groups} groups" if groups < len(counts.names) else f"{groups} pictures"
        parts.append(f"intervals: {DRAWS} bootstrap draws over {over}")
    return " · ".join(parts)


def _missing(comparison: Comparison) -> list[str]:
    """One line for each score that could be here and is not."""
    notes = []
    found = columns(comparison)
    if "boundary" not in found:
        notes.append("No boundary F: these runs were scored without it; structseg evaluate RUN adds it.")
    elif any("boundary" not in row.scores for row in comparison.finished):
        notes.append("A dash: this run was scored without it; structseg evaluate RUN adds it.")
    if "thin" not in found:
        notes.append("No thin classes: the label table names none.")
    if "instance" not in found:
        notes.append("No instance mIoU: no instance masks.")
    if comparison.b.run.counts is None:
        notes.append("No intervals of differences: per_image.npz is missing; structseg evaluate RUN writes it.")
    return notes


def _sections(comparison: Comparison) -> dict[str, bool]:
    rows = comparison.finished
    return {
        "parameters": any(row.run.meta.get("parameters") for row in rows),
        "seconds": any(row.run.metrics.get("seconds") for row in rows),
        "boundary": any("boundary" in row.scores for row in rows),
        "borders": any("trimap:0" in row.scores for row in rows),
        "curves": any(curves.evaluations(row, "miou") or curves.losses(row, "") for row in comparison.rows),
        "kernels": any(curves.kernels(row) for row in rows),
    }


def _parameters(count: int) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.2f}{unit}"
    return str(count)


# details


def _details(comparison: Comparison) -> dict[str, Any]:
    rows = comparison.rows
    changed = differing([row.run.config for row in rows])
    everything = {key for row in rows for key in flat(row.run.config)}
    return {
        "differences": changed,
        "equal": len(everything) - len(changed),
        "cost": _cost_rows(comparison),
        "machine": _same_or_each(rows, _machine),
        "data": _same_or_each(rows, _data_prints),
        "seeds": [
            (row.title, ", ".join(str(run.seed) for run in row.runs if run.seed is not None) or "–") for row in rows
        ],
        "again": _again(rows),
        "classes": _class_rows(comparison),
        "folders": [str(run.path) for row in rows for run in row.runs],
    }


def _again(rows: Sequence[Row]) -> list[str]:
    """Commands that train the rows again from their resolved configuration."""
    return [f"structseg train {shlex.quote(str(run.path / runs.CONFIG))} --out NEW" for row in rows for run in row.runs]


def _cost_rows(comparison: Comparison) -> list[tuple[str, list[str]]]:
    rows = comparison.rows
    seconds = [_number(row.run.meta.get("train_seconds")) for row in rows]
    base = _number(comparison.a.run.meta.get("train_seconds")) if comparison.a else None
    against = [
        f"{100 * (value / base - 1):+.0f}\u00a0%".replace("-", "−")
        if value and base and row is not comparison.a
        else "–"
        for value, row in zip(seconds, rows, strict=True)
    ]
    return [
        ("training time", [_time(value) if value else "–" for value in seconds]),
        *([(f"against {verdict.against(comparison.a)}", against)] if comparison.a and base else []),
        ("step used", [str(row.run.meta.get("chosen_step", "–")) for row in rows]),
        ("device", [str(row.run.meta.get("device", "–")) for row in rows]),
    ]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _machine(row: Row) -> dict[str, str]:
    versions = row.run.meta.get("versions")
    found = {str(key): str(value) for key, value in versions.items()} if isinstance(versions, dict) else {}
    return found | ({"device": str(row.run.meta["device"])} if "device" in row.run.meta else {})


def _data_prints(row: Row) -> dict[str, str]:
    prints = row.run.meta.get("data_fingerprint")
    found = {str(key): str(value) for key, value in prints.items()} if isinstance(prints, dict) else {}
    return found | ({"label table": row.run.labels.source} if row.run.labels else {})


def _same_or_each(rows: Sequence[Row], of: Any) -> list[tuple[str, str]]:
    """Pairs to list: a key once where all rows agree, else once for each row."""
    tables = [of(row) for row in rows]
    listed = []
    for key in dict.fromkeys(key for table in tables for key in table):
        values = [table.get(key, "–") for table in tables]
        if len(set(values)) == 1:
            listed.append((key, f"{values[0]}" + (" (same for every run)" if len(rows) > 1 else "")))
        else:
            listed += [(f"{key}, {row.title}", value) for row, value in zip(rows, values, strict=True)]
    return listed


def _class_rows(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """IoU of each class in every row with the label table of B."""
    b = comparison.b
    return [
        (name, [points(row.value(f"iou:{c}")) if row.classes == b.classes else "–" for row in comparison.finished])
        for c, name in enumerate(b.classes)
    ]


# data for the script: points, not fractions; null where unknown


def _data(comparison: Comparison, chosen: Sequence[pictures.Shown]) -> dict[str, Any]:
    b, labels = comparison.b, comparison.b.run.labels
    rows = comparison.rows
    common = curves.shared_loss([row for row in rows if row.run.log])
    counts = b.run.counts
    truth = counts.confusion.sum((0, 2)) if counts else None
    return {
        "classes": list(b.classes),
        "palette": [list(colour) for colour in labels.palette] if labels else [],
        "thin": list(thin_classes(b)),
        "share": None if truth is None else [round(100 * float(part), 2) for part in truth / max(1, truth.sum())],
        "distances": _distances(b),
        "loss": common.replace("_", " "),
        "rows": [_row(row, b, common) for row in rows],
        "pairs": {f"{x}-{y}": _differences(pair) for (x, y), pair in comparison.pairs.items() if x < y},
        "a": comparison.a.index if comparison.a else None,
        "b": b.index,
        "pictures": [
            {
                "name": picture.name,
                "width": picture.width,
                "height": picture.height,
                "image": picture.image,
                "random": picture.random,
                "target": picture.target,
                "predictions": picture.predictions,
            }
            for picture in chosen
        ],
    }


def _row(row: Row, b: Row, common: str) -> dict[str, Any]:
    found = curves.kernels(row) if row.classes == b.classes else None
    kernels = found and {
        "sizes": found.sizes,
        "edge": found.edge,
        "interior": found.interior,
        "start": found.start,
        "cell": found.cell,
        "note": found.note,
    }
    same = row.classes == b.classes and row.finished
    return {
        "title": row.title.removeprefix("+ "),
        "short": row.short,
        "finished": row.finished,
        "scores": {key: [_point(s.value), _point(s.low), _point(s.high)] for key, s in row.scores.items()}
        if same
        else {},
        "distances": _distances(row) == _distances(b),
        "miou": _curve(curves.evaluations(row, "miou"), 100),
        "boundary": _curve(curves.evaluations(row, "boundary_f"), 100),
        "loss": _curve(curves.losses(row, common), 1),
        "kernels": kernels,
    }


def _differences(pair: Pair) -> dict[str, Any]:
    return {key: [_point(d.value), _point(d.low), _point(d.high)] for key, d in pair.differences.items()}


def _point(value: float) -> float | None:
    return None if math.isnan(value) else round(100 * value, 4)


def _curve(curve: curves.Curve, factor: float) -> list[tuple[int, float]]:
    return [(step, round(factor * value, 3)) for step, value in curve]
