"""What `structseg inspect` found, for people: lines for a terminal, and one HTML page that needs nothing beside it.

Both are made of the plain dict `facts` of an inspection, which is also what --json writes; nothing of it is trusted:
names come from other people's files, and Jinja escapes them. The page has no script.
"""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from structseg import runs

_TEMPLATES = jinja2.PackageLoader("structseg.report", "templates")
_SIGNS = {"error": "✗", "warning": "!", "note": "·"}
_WORDS = {"error": "Stops training: ", "warning": "Warning: ", "note": "Note: "}
_FIRST = ("train", "val", "test")  # splits, then the others in their order
_MOST_COLUMNS = 5
_RECIPES = ("pairs", "camvid")  # formats that have recipes of their own
_MOST_CLASSES = 60  # rows on a terminal
Facts = Mapping[str, Any]


def write_page(facts: Facts, path: Path) -> Path:
    """Write the page to `path`, whole or not at all; returns `path`."""
    runs.write_text(path, page(facts), errors="backslashreplace")
    return path


def page(facts: Facts) -> str:
    """The HTML text."""
    environment = jinja2.Environment(
        loader=_TEMPLATES, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"percent": percent, "number": number}
    style = "".join(_TEMPLATES.get_source(environment, name)[0] for name in ("page.css", "inspect.css"))
    names = columns(facts)
    return environment.get_template("inspect.html").render(
        facts=facts,
        name=Path(facts["root"]).name or str(facts["root"]),
        headline=headline(facts),
        lead=lead(facts),
        told=told(facts),
        columns=names,
        rows=_class_rows(facts, names),
        by_level={level: [f for f in facts["findings"] if f["level"] == level] for level in _SIGNS},
        signs=_SIGNS,
        words=_WORDS,
        next=following(facts),
        day=_today(),
        style=Markup(style),  # our own files, nothing of a user's in them
    )


# ------------------------------------------------------------------------------------------------ words


def headline(facts: Facts) -> str:
    """One sentence: can this be trained on?"""
    errors, warnings = (sum(f["level"] == level for f in facts["findings"]) for level in ("error", "warning"))
    if any(finding["kind"] == "no train" for finding in facts["findings"]) and not errors:
        return "Can be scored, not trained on: there is no split to train on."
    if errors:
        return f"Not ready to train: {errors} finding{'s' * (errors != 1)} to mend."
    if warnings:
        return f"Ready to train, with {warnings} warning{'s' * (warnings != 1)}."
    return "Ready to train."


def lead(facts: Facts) -> str:
    """How much of what."""
    splits = facts["splits"]
    parts = [f"{number(facts['pictures'])} picture{'s' * (facts['pictures'] != 1)} opened"]
    if not facts["whole"]:
        listed = sum(row["pictures"] for row in splits)
        parts[0] += f" of {number(listed)} listed"
    if len(splits) > 1 or (splits and splits[0]["name"] != "files"):
        counts = {row["name"]: row["pictures"] for row in splits}
        named = [f"{name} {number(counts[name])}" for name in columns(facts)]
        more = len(counts) - len(named)
        parts.append("splits " + ", ".join([*named, *([f"{more} more"] if more else [])]))
    if facts["classes"]:
        parts.append(f"{len(facts['classes'])} classes" + (" (suggested)" if facts["suggested"] else ""))
    return " · ".join(parts)


def told(facts: Facts) -> list[tuple[str, str]]:
    """What is in it, as pairs of a name and a short text."""
    sizes, found = facts["sizes"], [("Layout", facts["format"] or "none that is known")]
    if facts["labels"]:
        found.append(("Label table", Path(facts["labels"]["source"]).name))
    if sizes["distinct"] == 1:
        found.append(("Size", _by(sizes["smallest"])))
    elif sizes["distinct"]:
        found.append(("Sizes", f"{sizes['distinct']}, from {_by(sizes['smallest'])} to {_by(sizes['largest'])}"))
    if facts["kinds"]:
        kinds = ", ".join(f"{kind}{'' if len(facts['kinds']) == 1 else f' {n}'}" for kind, n in facts["kinds"].items())
        found.append(("Masks", kinds))
    void = [row["value"] for row in facts["values"] if row["meaning"] == "ignored"]
    if facts["ignored"]:
        shares = ", ".join(f"{split} {percent(facts['ignored'][split])}" for split in columns(facts))
        raw = f" (raw {', '.join(void[:4])}{' …' if len(void) > 4 else ''})" if void else ""
        found.append(("Without label", shares + raw))
    groups = {row["name"]: row["groups"] for row in facts["splits"]}
    if any(groups.values()):
        found.append(("Groups", ", ".join(f"{name} {groups[name]}" for name in columns(facts))))
    if depth := facts["depth"]:
        reach = f"{depth['least']:.2f} to {depth['greatest']:.2f} m, {percent(depth['void'])} without measurement"
        found.append(("Depth", reach))
    if things := facts["instances"]:
        found.append(("Instances", f"{number(things['things'])} things in {number(things['pictures'])} pictures"))
    if tags := facts["tags"]:
        found.append(("Tags", f"{number(tags['pictures'])} pictures have some"))
    return found


def following(facts: Facts) -> list[tuple[str, str]]:
    """(why, command): what to type next."""
    root, kinds = facts["root"], {finding["kind"] for finding in facts["findings"]}
    words = shlex.quote(root)
    found = []
    if facts["suggestion"]:
        found.append(
            (
                "Write the suggested label table",
                f"structseg inspect {words} --suggest {shlex.quote(f'{root}/labels.toml')}",
            )
        )
    if "no splits" in kinds or "one split" in kinds:
        found.append(("Make lists of splits", f"structseg inspect {words} --make-split val=0.1"))
    if not any(finding["level"] == "error" or finding["kind"] == "no train" for finding in facts["findings"]):
        own = facts["format"] in _RECIPES
        chosen = f"{facts['format']}_aaf" if own else f"pairs_aaf data.format={facts['format']}"
        found.append(("Check a run", f"structseg train {chosen} data.root={words} --dry-run"))
    return found


def columns(facts: Facts) -> list[str]:
    """The main splits: train, val and test first, lists in folders of their own only where there are no others."""
    names = [row["name"] for row in facts["splits"]]
    main = [name for name in names if "/" not in name] or names
    order = {name: place for place, name in enumerate((*_FIRST, *main))}
    return sorted(main, key=lambda name: _FIRST.index(name) if name in _FIRST else order[name])[:_MOST_COLUMNS]


def _class_rows(facts: Facts, names: Sequence[str]) -> list[dict[str, Any]]:
    """For the bars: shares on a scale on which rare classes can still be told apart (the fourth root)."""
    rows = []
    for row in facts["classes"]:
        shares = [row["share"].get(name, 0.0) for name in names]
        cells = [
            {"split": name, "share": share, "pictures": row["pictures"].get(name, 0), "width": 100 * share**0.25}
            for name, share in zip(names, shares, strict=True)
        ]
        colour = "#{:02x}{:02x}{:02x}".format(*row["colour"])
        rows.append({"name": row["name"], "colour": colour, "thin": row["thin"], "cells": cells})
    return rows


def percent(share: float) -> str:
    """`12 %`, `0.8 %`, `0.003 %`, `0`, with a space that does not break."""
    if not share:
        return "0"
    value = 100 * share
    return (f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else f"{value:.1g}") + "\u00a0%"


def number(count: int) -> str:
    """Thousands apart from 10 000 on."""
    return f"{count:,}".replace(",", "\u202f") if count >= 10_000 else str(count)


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}×{size[1]}"


def _today() -> str:
    day = datetime.date.today()
    return f"{day.day} {day:%B %Y}"


# ------------------------------------------------------------------------------------------------ terminal


def text(facts: Facts) -> str:
    """The findings, the facts and the classes, as plain lines."""
    lines = [f"{facts['root']}: {headline(facts)}", lead(facts), ""]
    for finding in facts["findings"]:
        lines.append(f"{_SIGNS[finding['level']]} {finding['level']}: {finding['text']}")
        files = [name for name in finding["files"] if name not in finding["text"]][:3]
        if files and "class" not in finding["kind"]:
            more = f" and {finding['count'] - len(files)} more" if finding["count"] > len(files) else ""
            lines.append(f"    {', '.join(files)}{more}")
    lines += [""] * bool(facts["findings"])
    told_of = told(facts)
    width = max((len(name) for name, _ in told_of), default=0)
    lines += [f"{name:{width}}  {words}" for name, words in told_of]
    lines += ["", *_class_lines(facts)] if facts["classes"] else []
    if facts["suggestion"]:
        lines += ["", "suggested label table:", "", facts["suggestion"].rstrip()]
    lines += ["", *(f"next: {command}" for _, command in following(facts))]
    return "\n".join(lines).rstrip().replace("\u00a0", " ").replace("\u202f", " ")


def _class_lines(facts: Facts) -> list[str]:
    names = columns(facts)
    wide = max(5, *(len(row["name"]) for row in facts["classes"]))
    lines = [f"{'class':{wide}}" + "".join(f"  {name:>16}" for name in names)]
    for row in facts["classes"][:_MOST_CLASSES]:
        cells = [f"{percent(row['share'].get(n, 0.0))} in {row['pictures'].get(n, 0)}" for n in names]
        lines.append(f"{row['name']:{wide}}" + "".join(f"  {cell:>16}" for cell in cells))
    if len(facts["classes"]) > _MOST_CLASSES:
        lines.append(f"and {len(facts['classes']) - _MOST_CLASSES} more")
    return [*lines, "share of the labelled pixels, and pictures that have the class"]
