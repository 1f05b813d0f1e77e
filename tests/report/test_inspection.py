"""The inspection page and its text: what they say, that nothing is loaded, that names cannot break them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from structseg.report.inspection import headline, page, percent, text

VOID = {"meta", "link", "img", "br"}


def facts(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "root": "data/street",
        "format": "pairs",
        "splits": [
            {"name": name, "pictures": count, "looked_at": count, "masks": count, "groups": 0}
            for name, count in (("test", 5), ("train", 12_345), ("val", 3), ("semi/labeled_1_8", 2))
        ],
        "sizes": {
            "distinct": 2,
            "rows": [{"size": [480, 360], "pictures": 9}, {"size": [10, 20], "pictures": 1}],
            "smallest": [10, 20],
            "largest": [480, 360],
            "sides": [10, 300, 360, 360, 360],
        },
        "kinds": {"palette": 10},
        "values": [{"value": "255", "meaning": "ignored", "pixels": 7, "pictures": 2}],
        "classes": [
            {
                "name": "road",
                "colour": [128, 64, 128],
                "thin": False,
                "share": {"train": 0.99, "val": 1.0, "test": 1.0},
                "pictures": {"train": 12_345, "val": 3, "test": 5},
            },
            {
                "name": "pole",
                "colour": [1, 2, 3],
                "thin": True,
                "share": {"train": 0.0004, "val": 0.0, "test": 0.0},
                "pictures": {"train": 40, "val": 0, "test": 0},
            },
        ],
        "ignored": {"train": 0.03, "val": 0.0, "test": 0.12, "semi/labeled_1_8": 0.0},
        "strays": [],
        "depth": {"pictures": 9, "least": 0.5, "greatest": 9.0, "median_greatest": 8.0, "void": 0.1, "empty": 0},
        "instances": {"pictures": 9, "things": 20, "most": 5, "none": 1},
        "tags": None,
        "labels": {"source": "data/street/classes.txt"},
        "suggested": False,
        "suggestion": "",
        "findings": [],
        "sheet": [{"name": "a.jpg", "split": "train", "why": "most of pole", "image": "data:x", "mask": "data:y"}],
        "alike": [{"sides": [{"name": "a", "image": "data:x"}, {"name": "b", "image": "data:x"}], "exact": True}],
        "pictures": 12_353,
        "whole": True,
        "seconds": 3.2,
    }
    return {**base, **changes}


def finding(level: str, kind: str, words: str, files: tuple[str, ...] = (), count: int = 0) -> dict[str, Any]:
    return {"level": level, "kind": kind, "text": words, "files": files, "count": count or len(files)}


class Checked(HTMLParser):
    """Complains about tags that do not match; collects the text and every address."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]
        self.ids += [value or "" for key, value in attrs if key == "id"]
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.said).replace("\u00a0", " "))


def test_the_page_says_what_was_found_and_loads_nothing() -> None:
    html = page(facts())
    parsed = Checked(html)
    for words in (
        "Ready to train.",
        "train 12\u202f345, val 3, test 5, 1 more",
        "2, from 10×20 to 480×360",
        "0.50 to 9.00 m, 10 % without measurement",
        "20 things in 9 pictures",
        "train 3.0 %, val 0, test 12 % (raw 255)",
        "same file",
        "most of pole",
    ):
        assert re.sub(r"\s+", " ", words) in parsed.words, words
    assert all(address.startswith(("data:", "#")) for address in parsed.addresses)
    assert {a.removeprefix("#") for a in parsed.addresses if a.startswith("#")} <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert "url(" not in html
    assert html.count('class="none"') == 2  # pole in val and test


def test_findings_come_with_their_files() -> None:
    findings = [
        finding("error", "strays", "value 77 not in the label table", ("masks/a.png", "masks/b.png"), 30),
        finding("warning", "absent class", "bus in no mask", ("bus",)),
        finding("note", "no test", "no split 'test'"),
    ]
    parsed = Checked(page(facts(findings=findings)))
    assert "Not ready to train: 1 finding to mend." in parsed.words
    assert "30 files, the first 2" in parsed.words
    assert "masks/b.png" in parsed.words
    assert "1 file " not in parsed.words  # a class is no file
    printed = text(facts(findings=findings))
    assert "✗ error: value 77 not in the label table\n    masks/a.png, masks/b.png and 28 more" in printed
    assert "next: structseg train" not in printed


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ([], "Ready to train."),
        ([finding("warning", "leak", "x"), finding("note", "y", "y")], "Ready to train, with 1 warning."),
        ([finding("warning", "no train", "x")], "Can be scored, not trained on: there is no split to train on."),
        ([finding("error", "a", "x"), finding("error", "b", "x")], "Not ready to train: 2 findings to mend."),
    ],
)
def test_headline(findings: list[dict[str, Any]], words: str) -> None:
    assert headline(facts(findings=findings)) == words


def test_names_cannot_break_the_page() -> None:
    evil = "</style><script>alert(1)</script>"
    changed = facts(
        root=f"data/{evil}",
        findings=[finding("error", "strays", evil, (evil,))],
        suggestion=evil,
        classes=[{"name": evil, "colour": [1, 2, 3], "thin": False, "share": {}, "pictures": {}}],
    )
    assert evil in Checked(page(changed)).words.replace("< ", "<")


@pytest.mark.parametrize(
    "bare",
    [
        {"classes": [], "labels": None, "ignored": {}, "values": []},
        {"sheet": [], "alike": [], "depth": None, "instances": None},
        {"sizes": {"distinct": 0, "rows": [], "smallest": None, "largest": None}, "kinds": {}},
        {
            "splits": [{"name": "files", "pictures": 3, "looked_at": 3, "masks": 3, "groups": 0}],
            "ignored": {"files": 0.1},
        },
    ],
)
def test_what_is_not_there_is_left_out(bare: dict[str, Any]) -> None:
    Checked(page(facts(**bare)))
    assert text(facts(**bare)).startswith("data/street: Ready to train.")


def test_percent_keeps_rare_things_apart() -> None:
    shares = (0.0, 1e-6, 0.00032, 0.0123, 0.5)
    assert [percent(share) for share in shares] == ["0", "0.0001\u00a0%", "0.03\u00a0%", "1.2\u00a0%", "50\u00a0%"]


def test_the_page_file_is_written_whole(tmp_path: Path) -> None:
    from structseg.report.inspection import write_page

    assert write_page(facts(), tmp_path / "deep" / "page.html").read_text().endswith("</html>")


def test_commands_of_a_folder_with_a_space_can_be_typed() -> None:
    printed = text(facts(root="my data"))
    assert "next: structseg train pairs_aaf data.root='my data' --dry-run" in printed
