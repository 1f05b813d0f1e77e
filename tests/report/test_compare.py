"""Rows, pairs, the verdict's rule and the trust checks on made-up runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from structseg.errors import CheckpointError, ConfigError
from structseg.metrics.bootstrap import Difference, paired
from structseg.metrics.scores import boundary_f, miou
from structseg.report import compare, markdown, read, trust, verdict
from structseg.report.compare import Comparison, Pair, Row

AAF = ("cross_entropy", "adaptive_affinity_field")
MakeRun = Callable[..., Path]
NAN = float("nan")
pytestmark = pytest.mark.usefixtures("few_draws")


def pair_of(make_run: MakeRun, **more: object) -> Comparison:
    return compare([make_run("ce", amount=3, **more), make_run("aaf", losses=AAF, amount=1, **more)])


def states(comparison: Comparison) -> dict[str, str]:
    assert comparison.pair
    return {check.title or check.text: check.state for check in trust.of_pair(comparison.pair)}


def test_roles_and_titles(make_run: MakeRun) -> None:
    runs = [make_run("x", losses=AAF), make_run("y"), make_run("z", losses=("cross_entropy", "affinity_field"))]
    comparison = compare(runs)
    assert comparison.a
    assert comparison.a.title == "Cross-entropy"
    assert comparison.b.title == "+ Affinity field"  # the last one given
    assert [row.short for row in comparison.rows] == ["AAF", "CE", "Affinity"]
    chosen = compare(runs, baseline="z")
    assert chosen.a
    assert (chosen.a.name, chosen.b.name) == ("z", "y")
    with pytest.raises(ConfigError, match="baseline 'zz' is not among the runs with scores; did you mean 'z'"):
        compare(runs, baseline="zz")


def test_a_regime_is_a_method(make_run: MakeRun) -> None:
    runs = [make_run("gan", regime="adversarial_projection"), make_run("ce")]
    comparison = compare(runs)
    assert [(row.title, row.short) for row in comparison.rows] == [
        ("+ Adversarial", "Adversarial"),
        ("Cross-entropy", "CE"),
    ]
    assert comparison.a
    assert comparison.a.name == "ce"  # the first one given has the same losses, but is not plain
    assert states(comparison)["Only the loss differs (1 key)"] == "yes"


def test_folder_names_where_losses_do_not_tell_apart(make_run: MakeRun) -> None:
    comparison = compare([make_run("slow", lr=0.01), make_run("fast", lr=0.1)])
    assert [row.title for row in comparison.rows] == ["slow", "fast"]
    assert states(comparison)["Only optim.lr differs"] == "yes"


def test_differences_equal_the_bootstrap_of_each_measure(make_run: MakeRun) -> None:
    comparison = pair_of(make_run)
    assert comparison.a
    assert comparison.pair
    a, b = (row.run.counts for row in (comparison.a, comparison.b))
    assert a
    assert b
    assert a.boundary is not None
    assert b.boundary is not None
    assert a.trimap is not None
    assert b.trimap is not None
    expected = {
        "miou": paired(miou, a.confusion, b.confusion, a.groups, draws=200),
        "boundary": paired(boundary_f, a.boundary, b.boundary, a.groups, draws=200),
        "trimap:1": paired(miou, a.trimap[:, 1], b.trimap[:, 1], a.groups, draws=200),
        "thin": paired(
            lambda n: n[..., 2, 2] / (n[..., 2, :].sum(-1) + n[..., :, 2].sum(-1) - n[..., 2, 2]),
            a.confusion,
            b.confusion,
            a.groups,
            draws=200,
        ),
    }
    for key, want in expected.items():
        found = comparison.pair.get(key)
        assert (found.value, found.low, found.high) == pytest.approx((want.value, want.low, want.high), abs=1e-12)


def test_values_are_those_written(make_run: MakeRun) -> None:
    comparison = pair_of(make_run)
    for row in comparison.rows:
        metrics = row.run.metrics
        assert row.value("miou") == metrics["miou"]
        assert row.value("boundary") == metrics["boundary"]["f"]
        assert row.value("thin") == metrics["iou"]["pole"]
        assert row.value("iou:2") == metrics["iou"]["pole"]
        assert row.scores["boundary"].low < row.value("boundary") < row.scores["boundary"].high
        assert row.value("trimap:0") == pytest.approx(metrics["trimap"]["miou"][0])
    assert comparison.a
    assert comparison.pair
    difference = comparison.b.value("boundary") - comparison.a.value("boundary")
    assert comparison.pair.get("boundary").value == pytest.approx(difference, abs=1e-12)


def test_both_orders_are_mirror_images(make_run: MakeRun) -> None:
    comparison = compare([make_run(f"r{k}", lr=0.1 * k, amount=k) for k in (1, 2, 3)])
    for (i, j), pair in comparison.pairs.items():
        for key, change in pair.differences.items():
            back = comparison.pairs[j, i].get(key)
            assert (change.value, change.low, change.high) == pytest.approx(
                (-back.value, -back.high, -back.low), nan_ok=True
            )


def test_seeds_that_only_one_row_has_are_left_out_of_a_difference(make_run: MakeRun) -> None:
    first = [make_run(f"ce_{seed}", seed=seed, amount=3) for seed in (0, 1)]
    second = [make_run(f"aaf_{seed}", seed=seed, losses=AAF, amount=2) for seed in (1, 2)]
    common = compare([first[1], second[0]]).pair
    pair = compare([*first, *second]).pair
    assert pair
    assert common
    assert pair.differences.keys() == common.differences.keys()
    for key in common.differences.keys() - {"seconds"}:
        assert pair.get(key) == pytest.approx(common.get(key), nan_ok=True), key


def test_rows_that_share_no_seed_are_compared_by_their_means(make_run: MakeRun) -> None:
    comparison = compare([make_run("ce_0", amount=3), make_run("aaf_1", losses=AAF, seed=1)])
    assert comparison.a
    assert comparison.pair
    difference = comparison.b.value("miou") - comparison.a.value("miou")
    assert comparison.pair.get("miou").value == pytest.approx(difference)


def test_many_runs_in_blocks(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [make_run(f"r{k}", lr=0.1 * k, amount=k) for k in (1, 2, 3, 4)]
    whole = compare(runs)
    monkeypatch.setattr("structseg.report.resample._COLUMNS", 1)
    for place, pair in compare(runs).pairs.items():
        assert pair.differences == pytest.approx(whole.pairs[place].differences)


def test_pictures_are_aligned_by_name(make_run: MakeRun) -> None:
    folder = make_run("ce", amount=2)
    with np.load(folder / "per_image.npz") as file:
        arrays = dict(file)
    turned = {key: array[::-1] for key, array in arrays.items()}
    other = make_run("other", amount=2, lr=0.1)
    np.savez(other / "per_image.npz", **turned)
    comparison = compare([folder, other])
    assert comparison.pair
    assert comparison.pair.state == "paired"
    assert comparison.pair.get("miou") == Difference(0.0, 0.0, 0.0)


# the verdict

GAIN, LOSS = (0.044, 0.035, 0.052), (-0.044, -0.052, -0.035)
MAYBE, SAME = (0.010, -0.002, 0.022), (0.003, -0.002, 0.008)


@pytest.mark.parametrize(
    ("boundary", "miou_", "words"),
    [
        (GAIN, MAYBE, "AAF draws clearly better borders. Its mIoU gain is not certain yet."),
        (GAIN, GAIN, "AAF draws clearly better borders. Its mIoU is clearly better too."),
        (GAIN, LOSS, "AAF draws clearly better borders. Its mIoU is clearly worse."),
        (LOSS, LOSS, "AAF draws clearly worse borders. Its mIoU is clearly worse too."),
        (MAYBE, SAME, "AAF’s gain at the borders is not certain yet. Its mIoU is about the same."),
        (SAME, GAIN, "AAF’s borders are about the same. Its mIoU is clearly better."),
        ((-0.02, -0.03, 0.01), SAME, "AAF’s borders are about the same. Its mIoU is about the same."),
        (None, GAIN, "AAF’s mIoU is clearly better."),
        (None, LOSS, "AAF’s mIoU is clearly worse."),
        (None, MAYBE, "AAF’s mIoU gain is not certain yet."),
        (None, SAME, "AAF’s mIoU is about the same."),
        (
            (0.02, NAN, NAN),
            (0.02, NAN, NAN),
            "AAF’s gain at the borders is not certain yet. Its mIoU gain is not certain yet.",
        ),
    ],
)
def test_verdict_rule(
    make_run: MakeRun, boundary: tuple[float, ...] | None, miou_: tuple[float, ...], words: str
) -> None:
    pair = pair_of(make_run).pair
    assert pair
    changes = {"miou": Difference(*miou_)} | ({"boundary": Difference(*boundary)} if boundary else {})
    assert verdict.of_pair(replace(pair, differences=changes)) == words


def test_numbers_in_words() -> None:
    assert [verdict.points(v) for v in (0.5189, 0.0, -0.0004, -0.03, NAN)] == ["51.9", "0.0", "0.0", "−3.0", "–"]
    assert [verdict.signed(v) for v in (0.044, -0.0021, 0.0001, -0.0001)] == ["+4.4", "−0.2", "0.0", "0.0"]
    assert verdict.difference(Difference(0.044, 0.036, 0.052)) == "+4.4 ± 0.8\u00a0▲"
    assert verdict.difference(Difference(-0.01, -0.05, 0.005)) == "−1.0 (−5.0 to +0.5)\u00a0≈"
    assert verdict.difference(Difference(0.01, NAN, NAN)) == "+1.0\u00a0≈"


def test_one_run(make_run: MakeRun) -> None:
    comparison = compare([make_run("only", metrics={"ci95": [0.502, 0.536], "miou": 0.519})])
    assert comparison.a is None
    assert comparison.pair is None
    assert not comparison.pairs
    assert verdict.verdict(comparison) == "51.9 mIoU (50.2–53.6)"
    assert comparison.mark(comparison.b, "miou") == ""


def test_the_cost_sentence(make_run: MakeRun) -> None:
    slow = make_run("aaf", losses=AAF, meta={"train_seconds": 308.0 * 1.13})
    pair = compare([make_run("ce"), slow]).pair
    assert pair
    assert verdict.cost(pair) == "Training took 13\u00a0% longer; inference costs nothing extra."
    back = Pair(pair.b, pair.a, "paired")
    assert verdict.cost(back).startswith("Training took 12\u00a0% less")


# states


def test_other_protocols_are_not_compared(make_run: MakeRun) -> None:
    flipped = make_run(
        "aaf", losses=AAF, protocol="street · test 12 · 64×48 · single scale · flip · no CRF · ignore: void"
    )
    comparison = compare([make_run("ce"), flipped])
    assert verdict.verdict(comparison) == "These scores cannot be compared."
    assert comparison.pair
    assert "no flip in A, flip in B" in comparison.pair.why
    assert math.isnan(comparison.pair.get("miou").value)
    assert states(comparison)["Not the same."] == "caution"
    assert {comparison.mark(row, "miou") for row in comparison.rows} == {""}


def test_a_crf_on_top_is_compared_as_a_method(make_run: MakeRun) -> None:
    plain, refined = make_run("ce"), make_run("crf", amount=1)
    settings = refined / "config.toml"
    settings.write_text(settings.read_text() + "\n[inference]\ncrf = true\n")
    metrics = json.loads((refined / "metrics.json").read_text())
    metrics["protocol"] = metrics["protocol"].replace("no CRF", "dense CRF of 10 steps, gaussian 3 3")
    metrics["seconds"] *= 3
    (refined / "metrics.json").write_text(json.dumps(metrics))
    comparison = compare([plain, refined])
    assert comparison.pair
    assert comparison.pair.state == "paired"
    assert comparison.pair.get("miou").value == pytest.approx(metrics["miou"] - read(plain).metrics["miou"])
    assert states(comparison)["Only inference.crf differs"] == "yes"
    assert states(comparison)["Same pictures, labels and protocol but for the CRF"] == "yes"
    assert [row.title for row in comparison.rows] == ["ce", "crf"]  # not by their loss, which does not tell them apart
    lines = [f"{row.title}: {row.run.metrics['protocol']}" for row in comparison.rows]
    assert markdown(comparison).splitlines()[-3:] == [lines[0], "", lines[1]]
    assert verdict.cost(comparison.pair).endswith("inference takes 200\u00a0% longer.")


def test_other_border_matching_is_not_compared(make_run: MakeRun) -> None:
    first, second = make_run("ce"), make_run("aaf", losses=AAF)
    path = second / "metrics.json"
    path.write_text(path.read_text().replace('"form": "distance"', '"form": "matching"'))
    pair = compare([first, second]).pair
    assert pair
    assert pair.state == "incomparable"
    assert "border form distance in A, border form matching in B" in pair.why


UNPAIRED: dict[str, dict[str, object]] = {
    "no counts": {"without": ("counts",)},
    "other pictures": {"names": [f"other_{place}" for place in range(12)]},
    "other masks of the same names": {"data": 1},
}


@pytest.mark.parametrize("case", UNPAIRED)
def test_unpaired(make_run: MakeRun, case: str) -> None:
    more = UNPAIRED[case]
    comparison = compare([make_run("ce", amount=3), make_run("aaf", losses=AAF, amount=1, **more)])
    assert comparison.pair
    assert comparison.pair.state == "unpaired"
    assert comparison.pair.get("miou").clear == "unclear"
    assert math.isnan(comparison.pair.get("miou").low)
    words = verdict.verdict(comparison)
    assert words == "AAF has the higher boundary F and the higher mIoU: not paired, so not certain."
    assert states(comparison)["Not paired."] == "caution"
    assert comparison.mark(comparison.b, "miou") == "highest"  # never best without an interval


def test_seeds_of_one_configuration_are_one_row(make_run: MakeRun) -> None:
    runs = [make_run(f"ce_s{seed}", amount=3, seed=seed) for seed in range(3)]
    runs += [make_run(f"aaf_s{seed}", losses=AAF, amount=1, seed=seed) for seed in range(3)]
    comparison = compare(runs)
    assert [(row.name, len(row.runs)) for row in comparison.rows] == [("ce", 3), ("aaf", 3)]
    values = [read(run).metrics["miou"] for run in runs[:3]]
    score = comparison.rows[0].scores["miou"]
    assert (score.value, score.low, score.high) == pytest.approx((sum(values) / 3, min(values), max(values)))
    assert score.sd == pytest.approx(np.std(values, ddof=1))
    assert comparison.pair
    assert comparison.pair.state == "paired"
    means = [row.value("miou") for row in comparison.rows]
    assert comparison.pair.get("miou").value == pytest.approx(means[1] - means[0])
    assert states(comparison)["3 seeds per run"] == "yes"


@pytest.mark.parametrize(
    ("starts", "rows"),
    [
        (("runs/a_seed0", "runs/a_seed1"), 1),
        (("runs/a_seed0_lr-1", "runs/a_seed1_lr-1"), 1),
        (("runs/a_0", "runs/a_1"), 1),
        (("runs/a", "runs/a"), 1),
        (("runs/a_1", "runs/a_0"), 2),
        (("runs/a_10", "runs/a_11"), 2),
        (("runs/a_0.0", "runs/a_0.1"), 2),
    ],
)
def test_second_stages_are_seeds_where_their_first_ones_were(
    make_run: MakeRun, starts: tuple[str, str], rows: int
) -> None:
    runs = [make_run(f"s{seed}", seed=seed) for seed in range(2)]
    for run, start in zip(runs, starts, strict=True):
        settings = run / "config.toml"
        settings.write_text(settings.read_text().replace("[model]", f'[model]\ninit_from = "{start}"'))
    assert len(compare(runs).rows) == rows


def test_unequal_numbers_of_seeds(make_run: MakeRun) -> None:
    runs = [make_run("ce"), *(make_run(f"aaf_s{seed}", losses=AAF, amount=1, seed=seed) for seed in range(2))]
    comparison = compare(runs)
    assert comparison.pair
    assert comparison.pair.state == "paired"
    assert states(comparison)["One seed per run."] == "caution"


def test_the_same_folder_twice_counts_once(make_run: MakeRun) -> None:
    run = make_run("ce")
    assert len(compare([run, run]).rows[0].runs) == 1


def test_a_failed_run_keeps_its_row(make_run: MakeRun) -> None:
    failed = make_run("failed", losses=("cross_entropy", "dice"), without=("metrics",))
    (failed / "log.jsonl").write_text('{"kind":"stop","step":640,"reason":"loss not finite"}\n{"kind":"tra')
    comparison = compare([make_run("ce"), failed, make_run("aaf", losses=AAF)])
    assert comparison.rows[1].run.stopped == "stopped at step 640: loss not finite"
    assert comparison.b.name == "aaf"
    assert all(1 not in place for place in comparison.pairs)
    with pytest.raises(CheckpointError, match="stopped at step 640: loss not finite; at least one run"):
        compare([failed])


def test_best_needs_to_be_clear_against_all(make_run: MakeRun) -> None:
    comparison = compare(
        [make_run("bad", amount=6), make_run("good", lr=0.1, amount=1), make_run("mid", lr=0.2, amount=4)]
    )
    marks = {row.name: comparison.mark(row, "miou") for row in comparison.rows}
    assert marks == {"bad": "", "good": "best", "mid": ""}
    twins = compare([make_run("one", amount=2), make_run("two", lr=0.1, amount=2, seed=1)])
    assert {twins.mark(row, "miou") for row in twins.rows} == {"", "highest"}


def test_cautions(make_run: MakeRun) -> None:
    a = make_run("a", meta={"selection_split": "test"})
    b = make_run("b", lr=0.1, losses=AAF, meta={"data_fingerprint": {"test": "other"}})
    found = states(compare([a, b]))
    assert found["Chosen on the same pictures."] == found["Not the same data."] == "caution"
    assert found["3 keys differ."] == "caution"  # the loss and the learning rate
    scored = [make_run(name, lr=lr, metrics={"fingerprint": name}) for name, lr in (("e", 0.1), ("f", 0.2))]
    assert states(compare(scored))["Not the same data."] == "caution"  # whatever they were trained with
    found = states(compare([make_run("c"), make_run("d", seed=1, lr=0.3)]))
    assert found["Only optim.lr differs"] == "yes"  # a seed is not a setting


def test_counts_of_another_evaluation_are_noticed(make_run: MakeRun) -> None:
    found = states(compare([make_run("a", metrics={"miou": 0.9}), make_run("b", losses=AAF)]))
    assert found["Score and counts disagree."] == "caution"


def test_missing_facts_are_unknown(make_run: MakeRun) -> None:
    runs = [make_run("a"), make_run("b", losses=AAF)]
    for run in runs:
        text = (run / "meta.json").read_text().replace("selection_split", "x").replace("data_fingerprint", "y")
        (run / "meta.json").write_text(text)
    found = states(compare(runs))
    assert found["How the step was chosen is not recorded"] == "unknown"
    assert sum(state == "unknown" for state in found.values()) == 2


def test_names_of_rows(make_run: MakeRun) -> None:
    runs = tuple(read(make_run(name, seed=seed)) for seed, name in enumerate(("camvid_ce_seed0", "camvid_ce_seed1")))
    assert Row(0, "", "", runs).name == "camvid_ce"
    assert Row(0, "", "", runs[:1]).name == "camvid_ce_seed0"
