"""Did it help? The sentences of the verdict, by rule.

The first sentence speaks of boundary F, the second of mIoU. Each is a clear gain, a clear loss (the 95 % interval of
the paired difference leaves out 0) or not clear; not clear and above half a point is "not certain yet", else "about the
same". Without a boundary score mIoU speaks alone; unpaired runs are only said to be higher or lower; scores of
different protocols are not compared. Never "significant": an interval over pictures says nothing about other seeds.
"""

from __future__ import annotations

import math

from structseg.metrics.bootstrap import Difference
from structseg.report.compare import Comparison, Pair, Row

SIGNS = {"gain": "▲", "loss": "▼", "unclear": "≈"}
_NOTICEABLE = 0.005  # half a point
_SAME_COST = 0.03  # relative differences below this are noise of the clock


def points(value: float) -> str:
    """0.5189 -> 51.9; a dash where unknown."""
    return "–" if math.isnan(value) else f"{100 * value + 0.0:.1f}".replace("-0.0", "0.0").replace("-", "−")


def signed(value: float) -> str:
    """0.044 -> +4.4, with a true minus."""
    text = points(value)
    return text if text in ("–", "0.0") or text.startswith("−") else f"+{text}"


def ends(low: float, high: float) -> str:
    """50.2–53.6; empty where unknown."""
    return "" if math.isnan(low) else f"{points(low)}–{points(high)}"


def signed_ends(low: float, high: float) -> str:
    """+3.5 to +5.2; empty where unknown."""
    return "" if math.isnan(low) else f"{signed(low)} to {signed(high)}"


def spread(value: str, sd: float) -> str:
    """51.9 ± 0.7: a value as text with its deviation, where that is known."""
    return value if math.isnan(sd) else f"{value} ± {points(sd)}"


def difference(change: Difference) -> str:
    """+4.4 ± 0.8 ▲; both ends instead of ± where one side is clearly longer. The same rule stands in page.js."""
    sign = f"\u00a0{SIGNS[change.clear]}"
    if math.isnan(change.value) or math.isnan(change.low):
        return "" if math.isnan(change.value) else f"{signed(change.value)}{sign}"
    width, lean = change.high - change.low, abs(change.low + change.high - 2 * change.value)
    if lean <= max(0.002, 0.15 * width):
        return f"{signed(change.value)} ± {points(width / 2)}{sign}"
    return f"{signed(change.value)} ({signed_ends(change.low, change.high)}){sign}"


def verdict(comparison: Comparison) -> str:
    """The headline for the chosen A and B, or for the only row with scores."""
    return of_pair(comparison.pair) if comparison.pair else of_row(comparison.b)


def of_row(row: Row) -> str:
    score = row.scores["miou"]
    limits = ends(score.low, score.high)
    return f"{points(score.value)} mIoU" + (f" ({limits})" if limits else "")


def of_pair(pair: Pair) -> str:
    if pair.state == "incomparable":
        return "These scores cannot be compared."
    has_boundary = not math.isnan(pair.get("boundary").value)
    if pair.state == "unpaired":
        return _higher(pair, has_boundary)
    return f"{_borders(pair)} {_whole(pair)}" if has_boundary else _alone(pair)


def _borders(pair: Pair) -> str:
    change, name = pair.get("boundary"), pair.b.short
    if change.clear == "unclear":
        hopeful = change.value > _NOTICEABLE
        return (
            f"{name}’s gain at the borders is not certain yet." if hopeful else f"{name}’s borders are about the same."
        )
    return f"{name} draws clearly {'better' if change.clear == 'gain' else 'worse'} borders."


def _whole(pair: Pair) -> str:
    change = pair.get("miou")
    if change.clear == "unclear":
        return "Its mIoU gain is not certain yet." if change.value > _NOTICEABLE else "Its mIoU is about the same."
    too = " too" if change.clear == pair.get("boundary").clear else ""
    return f"Its mIoU is clearly {'better' if change.clear == 'gain' else 'worse'}{too}."


def _alone(pair: Pair) -> str:
    change, name = pair.get("miou"), pair.b.short
    if change.clear == "unclear":
        rest = "gain is not certain yet." if change.value > _NOTICEABLE else "is about the same."
        return f"{name}’s mIoU {rest}"
    return f"{name}’s mIoU is clearly {'better' if change.clear == 'gain' else 'worse'}."


def _higher(pair: Pair, has_boundary: bool) -> str:
    """Which number is higher, and nothing more."""
    known = [("boundary", "boundary F"), ("miou", "mIoU")] if has_boundary else [("miou", "mIoU")]
    words = []
    for key, name in known:
        value = pair.get(key).value
        words.append(
            f"the same {name}" if signed(value) == "0.0" else f"the {'higher' if value > 0 else 'lower'} {name}"
        )
    return f"{pair.b.short} has {' and '.join(words)}: not paired, so not certain."


def against(row: Row) -> str:
    """The name of A inside a sentence."""
    title = row.title.removeprefix("+ ")
    return title[0].lower() + title[1:] if title[1:2].islower() and title != row.name else title


def cost(pair: Pair) -> str:
    """What B costs more than A, as far as the runs know: `Training took 13 % longer; inference costs nothing extra.`"""
    a, b = pair.a.run, pair.b.run
    parts = []
    if a.meta.get("device") == b.meta.get("device") and a.meta.get("train_seconds") and b.meta.get("train_seconds"):
        parts.append(f"training took {_longer(b.meta['train_seconds'] / a.meta['train_seconds'] - 1)}")
    if a.config.get("model") == b.config.get("model") and a.config.get("inference") == b.config.get("inference"):
        parts.append("inference costs nothing extra")
    elif a.metrics.get("seconds") and b.metrics.get("seconds"):
        parts.append(f"inference takes {_longer(b.metrics['seconds'] / a.metrics['seconds'] - 1)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _longer(share: float) -> str:
    if abs(share) < _SAME_COST:
        return "about as long"
    return f"{100 * abs(share):.0f}\u00a0% {'longer' if share > 0 else 'less'}"
