"""The page and the terminal table: what they say in every state, and that names cannot break them."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from structseg.errors import CheckpointError
from structseg.report import compare, page, pictures, print_table, verdict, write_page
from structseg.report.verdict import points, signed
from structseg.types import Labels

AAF = ("cross_entropy", "adaptive_affinity_field")
VOID = {"meta", "link", "input", "br", "hr", "img"}
MakeRun = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_draws")


class Checked(HTMLParser):
    """Text outside script, style and template; complains about tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.data = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(key, value or "") for key, value in attrs]
        self.ids += [value or "" for key, value in attrs if key == "id" and "template" not in self.open]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script" and data.startswith("{"):
            self.data = data
        elif not {"script", "style", "template"} & set(self.open):
            self.text.append(data)


def shown(html: str | Checked) -> str:
    parsed = Checked(html) if isinstance(html, str) else html
    return re.sub(r"\s+", " ", " ".join(parsed.text).replace("\u00a0", " "))


def table(runs: list[Path]) -> str:
    printed = io.StringIO()
    print_table(compare(runs), Console(file=printed, width=160))
    return printed.getvalue()


def three(make_run: MakeRun) -> list[Path]:
    return [
        make_run("ce", amount=3),
        make_run("affinity", losses=("cross_entropy", "affinity_field"), amount=2),
        make_run("aaf", losses=AAF, amount=1),
    ]


def without_log(run: Path) -> Path:
    (run / "log.jsonl").unlink()
    return run


def failed(make_run: MakeRun) -> Path:
    run = make_run("failed", losses=("cross_entropy", "dice"), without=("metrics",))
    with (run / "log.jsonl").open("a") as file:
        file.write('{"kind":"stop","step":640,"reason":"loss not finite"}\n')
    return run


STATES: dict[str, tuple[Callable[[MakeRun], list[Path]], list[str], list[str]]] = {
    "three": (three, ["Near the border", "Learned kernel size", "Only the keys that differ"], ["No boundary F"]),
    "one": (lambda make: [make("only")], ["mIoU (", "How good is it?"], ["Did it help?", "Learned kernel size"]),
    "no boundary": (
        lambda make: [make(n, losses=k, without=("boundary", "trimap")) for n, k in (("a", AAF[:1]), ("b", AAF))],
        ["No boundary F: these runs were scored without it", "AAF’s mIoU"],
        ["Near the border", "draws clearly"],
    ),
    "no counts": (
        lambda make: [make(n, losses=k, without=("counts",)) for n, k in (("a", AAF[:1]), ("b", AAF))],
        ["Not paired.", "no interval", "not paired, so not certain"],
        ["▲ clear gain"],
    ),
    "other pictures": (
        lambda make: [make("a"), make("b", losses=AAF, names=[f"x{place}" for place in range(12)])],
        ["the runs were scored on different pictures"],
        ["▲ clear gain"],
    ),
    "other protocol": (
        lambda make: [make("a"), make("b", losses=AAF, protocol="street · test 12 · flip")],
        ["These scores cannot be compared.", "Not comparable.", "the protocol differs"],
        ["▲ clear gain", "Training took"],
    ),
    "other classes": (
        lambda make: [
            make("a"),
            make("b", losses=AAF, labels=Labels(tuple("abcd"), ((1, 1, 1),) * 4, ()), without=("pictures",)),
        ],
        ["These scores cannot be compared.", "the label tables differ"],
        [],
    ),
    "twenty": (
        lambda make: [make(f"run{k:02d}", lr=0.01 * k, amount=1 + k % 4, count=4) for k in range(1, 21)],
        ["Show all 20 rows", "20 runs"],
        [],
    ),
    "seeds": (
        lambda make: [
            make(f"{n}_s{s}", losses=k, seed=s) for n, k in (("ce", AAF[:1]), ("aaf", AAF)) for s in range(3)
        ],
        ["3 seeds per run", "3 seeds", "or the range of the seeds"],
        ["One seed per run."],
    ),
    "failed": (
        lambda make: [make("ce"), failed(make), make("aaf", losses=AAF)],
        ["stopped at step 640: loss not finite"],
        [],
    ),
    "no pictures": (
        lambda make: [make(n, losses=k, without=("pictures",)) for n, k in (("a", AAF[:1]), ("b", AAF))],
        ["No pictures were saved."],
        ["Press a picture"],
    ),
    "no log": (
        lambda make: [without_log(make("a")), without_log(make("b", losses=AAF))],
        ["Near the border"],
        ["Learning curves"],
    ),
    "instances": (
        lambda make: [make(n, losses=k, metrics={"instance_miou": 0.3}) for n, k in (("a", AAF[:1]), ("b", AAF))],
        ["Instance mIoU"],
        ["No instance mIoU"],
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_read_without_script(make_run: MakeRun, state: str) -> None:
    runs, there, absent = STATES[state]
    comparison = compare(runs(make_run))
    html = page.page(comparison)
    parsed = Checked(html)
    text = shown(parsed)
    assert verdict.verdict(comparison) in text
    for row in comparison.rows:
        assert row.title in text
        if row.finished:
            assert verdict.points(row.value("miou")) in text
    assert str(comparison.b.run.metrics["protocol"]) in text
    assert "Run details" in text
    for words in there:
        assert words in text
    for words in absent:
        assert words not in text
    assert len(set(parsed.ids)) == len(parsed.ids)
    data = json.loads(parsed.data)
    assert data["b"] == comparison.b.index
    assert len(data["rows"]) == len(comparison.rows)
    assert set(re.findall(r'data-pair="([\d-]+)"', html)) == {f"{a}-{b}" for a, b in comparison.pairs}


def test_nothing_is_loaded_from_elsewhere(make_run: MakeRun) -> None:
    html = page.page(compare(three(make_run)))
    for key, value in Checked(html).attributes:
        if key in ("src", "href", "action", "data", "srcset", "poster"):
            assert value.startswith(("#", "data:"))
    assert not re.search(r"https?://|//cdn|@import|url\(|fetch\(|XMLHttp|WebSocket", html)


def test_numbers_shown_are_those_of_the_files(make_run: MakeRun) -> None:
    runs = three(make_run)
    text = shown(page.page(compare(runs)))
    printed = table(runs)
    values = []
    for run in runs:
        metrics = json.loads((run / "metrics.json").read_text())
        for value in (metrics["miou"], metrics["boundary"]["f"], metrics["iou"]["pole"], metrics["pixel_accuracy"]):
            assert f" {100 * value:.1f} " in text
            assert f"{100 * value:.1f}" in printed
        values.append(metrics["boundary"]["f"])
    gain = f"+{100 * (values[2] - values[0]):.1f}"
    assert f"boundary F {gain} (" in text
    assert f"{gain} ▲" in printed


def test_names_cannot_break_the_page(make_run: MakeRun) -> None:
    evil = ("<b>bold</b>", "</script><script>alert(1)</script>", "\"&'", "{{ 7*7 }}")
    labels = Labels(evil, ((1, 2, 3),) * 4, tuple((k, k) for k in range(4)), thin=evil[1:2])
    more: dict[str, Any] = {"labels": labels, "protocol": "<i>x</i> · <!--", "names": [f"<u>{k}" for k in range(12)]}
    more["meta"] = {"device": "<script>1</script>", "versions": {"<p>": "</dl>"}}
    runs = [make_run("a<b>", **more), make_run("c&d", lr=0.1, losses=AAF, **more)]
    html = page.page(compare(runs))
    parsed = Checked(html)
    assert html.count("<script") == 2
    assert "<b>bold" not in html
    assert "<u>" not in html
    assert "49" not in shown(html)[:2000]
    assert json.loads(parsed.data)["classes"] == list(evil)
    text = shown(html)
    assert "<i>x</i>" in text
    assert "a<b>" in text
    assert "a<b>" in table(runs)


def test_the_terminal_says_how_sure_a_number_is(make_run: MakeRun) -> None:
    runs = [make_run(f"ce_s{seed}", amount=3, seed=seed) for seed in range(2)]
    runs += [make_run(f"aaf_s{seed}", losses=AAF, amount=1, seed=seed) for seed in range(2)]
    comparison = compare(runs)
    assert comparison.pair
    a, b = (row.scores["miou"] for row in comparison.rows)
    change = comparison.pair.get("miou")
    lines = table(runs).splitlines()[1:7]
    end = lines[0].index("mIoU") + len("mIoU")
    assert [line[:end].split("  ")[-1].strip() for line in lines] == [
        "mIoU",
        f"{points(a.value)} ± {points(a.sd)}",
        "",
        f"{points(b.value)} ± {points(b.sd)}",
        f"{signed(change.value)} ▲",
        f"{signed(change.low)} to {signed(change.high)}",
    ]
    alone = compare(runs[:1]).b.scores["miou"]
    assert f"{points(alone.low)}–{points(alone.high)}" in table(runs[:1]).split("Boundary F")[1]


def test_markup_of_the_terminal_is_not_read_from_names(make_run: MakeRun) -> None:
    assert "[red]x" in table([make_run("[red]x"), make_run("y", lr=0.1)])


def test_the_page_is_written_whole(make_run: MakeRun, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report.html"
    comparison = compare(three(make_run), out=out)
    assert out.read_text() == page.page(comparison)
    assert write_page(comparison, out) == out
    assert [file.name for file in out.parent.iterdir()] == ["report.html"]


def test_pairs_in_the_data_are_the_differences(make_run: MakeRun) -> None:
    comparison = compare(three(make_run))
    data = json.loads(Checked(page.page(comparison)).data)
    assert set(data["pairs"]) == {"0-1", "0-2", "1-2"}
    for place, changes in data["pairs"].items():
        a, b = map(int, place.split("-"))
        for key in ("miou", "boundary", "thin", "accuracy", "iou:2", "boundary:2", "trimap:0"):
            change = comparison.pairs[a, b].get(key)
            assert changes[key] == pytest.approx([100 * change.value, 100 * change.low, 100 * change.high], abs=1e-3)


def test_chosen_pictures(make_run: MakeRun) -> None:
    runs = [make_run(n, losses=k, amount=m, count=40, pictures=40) for n, k, m in (("a", AAF[:1], 3), ("b", AAF, 1))]
    comparison = compare(runs)
    found = pictures.choose(comparison)
    assert found == pictures.choose(comparison)
    assert 12 <= len(found) <= 16
    assert sum(found.values()) == pictures.RANDOM
    by_name = [{picture.name: picture for picture in row.run.pictures} for row in comparison.rows]

    def changed(name: str) -> float:
        target, a, b = (
            np.asarray(Image.open(path))
            for path in (by_name[0][name].target, by_name[0][name].prediction, by_name[1][name].prediction)
        )
        return float(((a != b) & (target < 4)).sum() / (target < 4).sum())

    assert list(found)[:8] == sorted(by_name[0], key=lambda name: -changed(name))[:8]


def test_masks_come_back_exactly(make_run: MakeRun) -> None:
    comparison = compare([make_run("a"), make_run("b", losses=AAF)])
    first = pictures.shown(comparison)[0]
    saved = next(picture for picture in comparison.b.run.pictures if picture.name == first.name)
    for address, path in ((first.target, saved.target), (first.predictions[1], saved.prediction)):
        grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))
        assert np.array_equal(np.round(grey / (255 // 4)), np.minimum(np.asarray(Image.open(path)), 4))


def test_pictures_of_other_data_are_not_shown_as_one(make_run: MakeRun) -> None:
    first, second = make_run("a"), make_run("b", losses=AAF)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(second / "pictures" / "0.target.png")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(second / "pictures" / "1.target.png")
    assert sorted(pictures.choose(compare([first, second]))) == [f"frame_{place:03d}" for place in range(2, 6)]


def test_masks_of_other_sizes_are_refused(make_run: MakeRun) -> None:
    runs = [make_run("a"), make_run("b", losses=AAF)]
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(runs[1] / "pictures" / "0.prediction.png")
    with pytest.raises(CheckpointError, match=r"0\.prediction\.png is \(5, 5\), its target"):
        page.page(compare(runs))


def test_best_and_highest_on_the_page(make_run: MakeRun) -> None:
    comparison = compare([make_run("bad", amount=6), make_run("good", lr=0.1, amount=1)])
    html = page.page(comparison)
    assert '<span class="bestmark"><b>best</b></span>' in html
    unsure = replace(comparison.pairs[0, 1], differences={})
    html = page.page(replace(comparison, pairs=comparison.pairs | {(0, 1): unsure}))
    assert '<span class="bestmark hi"><b>highest</b></span>' in html
    assert "<b>best</b></span>" not in html


def test_no_torch_is_loaded(make_run: MakeRun, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import structseg.report as r;"
        "r.compare([Path(p) for p in sys.argv[1:3]], out=Path(sys.argv[3]));"
        "assert not {'torch', 'scipy', 'cv2', 'pydantic', 'typer'} & set(sys.modules), 'heavy'"
    )
    runs = [str(make_run("a")), str(make_run("b", losses=AAF))]
    subprocess.run([sys.executable, "-c", code, *runs, str(tmp_path / "x.html")], check=True, timeout=120)


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PROBE = """<!doctype html><body><script>
const widths = [320, 390, 820, 1280], pages = %s, frames = [];
for (const page of pages) for (const w of widths) {
  const f = document.createElement("iframe"); f.src = page; f.style.cssText = `width:${w}px;height:800px;border:0`;
  frames.push([page, w, f]); document.body.append(f);
}
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
async function check([page, w, f]) {
  for (let k = 0; k < 100 && !f.contentDocument?.documentElement.dataset.ready; k++) await wait(50);
  const d = f.contentDocument, before = d.querySelector("h1").textContent, click = (s) => d.querySelector(s)?.click();
  const scroll = d.documentElement.scrollWidth, text = d.querySelector("#chart-classes").textContent.length;
  for (const s of ["#swap", "[data-measure=boundary]", "[data-sort=name]", "[data-curve=loss]", "[data-order=random]",
    "[data-set=thin]", "#all-rows", ".tile", "[data-view=error]", "#next", "#close"]) click(s);
  for (const fold of d.querySelectorAll("details")) fold.open = true;
  await wait(50);
  const tiles = d.querySelectorAll(".tile").length;
  click("[data-wall=all]");
  const every = d.querySelectorAll(".tile").length, wide = d.documentElement.scrollWidth;
  return { page, w, every, wide, ready: d.documentElement.dataset.ready, scroll, text, tiles,
           after: d.documentElement.scrollWidth, before, swapped: d.querySelector("h1").textContent };
}
onload = async () => { const found = []; for (const f of frames) found.push(await check(f));
  const out = document.createElement("pre"); out.id = "found"; out.textContent = JSON.stringify(found);
  document.body.append(out); };
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_in_a_browser(make_run: MakeRun, tmp_path: Path) -> None:
    """No errors on the console, no sideways scroll at four widths, menus and buttons work."""
    states = {"three": three, "one": STATES["one"][0], "twenty": STATES["twenty"][0], "failed": STATES["failed"][0]}
    names = []
    for name, runs in states.items():
        shutil.rmtree(tmp_path / "ce", ignore_errors=True)
        shutil.rmtree(tmp_path / "aaf", ignore_errors=True)
        compare(runs(make_run), out=tmp_path / f"{name}.html")
        names.append(f"{name}.html")
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE % json.dumps(names))
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--allow-file-access-from-files", "--enable-logging=stderr"]
    command += ["--window-size=1400,900", "--virtual-time-budget=60000", "--dump-dom", probe.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    found = json.loads(done.stdout.split('<pre id="found">')[1].split("</pre>")[0])
    assert len(found) == 16
    for one in found:
        assert (one["ready"], one["tiles"] > 0, one["text"] > 20) == ("1", True, True), one
        assert max(one["scroll"], one["after"], one["wide"]) <= one["w"], one
        columns = {"three.html": 2 + 3, "twenty.html": 2 + 20}.get(one["page"])  # picture, truth, every run
        assert columns is None or one["every"] * 6 == one["tiles"] * columns, one
        if one["page"] == "three.html":
            assert one["before"] != one["swapped"]
            assert "CE draws clearly worse borders." in one["swapped"]
