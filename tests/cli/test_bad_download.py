"""Downloads through the installed command that end before the network: wrong names, no consent, sets with a login.

A wrong hash and a cut line, which need a server, are in tests/data/test_download.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Cli, refused

CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "name": (("voc2102",), ("'voc2102'", "did you mean 'voc2012'?", "structseg list downloads")),
    "no consent": (("voc2012",), ("give --yes",)),
    "cityscapes": (("cityscapes", "--yes"), ("needs an account", "cityscapes-dataset.com/register", "leftImg8bit/")),
    "scannet": (("scannet", "--yes"), ("needs an account", "scan-net.org", "no reader here yet")),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, structseg_cli: Cli, tmp_path: Path) -> None:
    words, said = CASES[case]
    refused(structseg_cli, "download", *words, "--out", "out", out=tmp_path / "out", words=said)


def test_no_network_is_one_line(structseg_cli: Cli, tmp_path: Path) -> None:
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    words = ("resnet18-f37072fd.pth: no answer", "check the network or proxy")
    args = ("download", "resnet18", "--yes", "--out", "out")
    refused(structseg_cli, *args, out=tmp_path / "out", words=words, env=nowhere)


def test_terms_are_shown_and_names_are_listed(structseg_cli: Cli) -> None:
    done = structseg_cli("download", "voc2012")
    assert done.returncode == 2
    for word in ("Flickr", "#rights", "VOCtrainval_11-May-2012.tar  2.0 GB, md5 6cd6e144", "data.format=voc"):
        assert word in done.stdout
    tables = [structseg_cli(*words) for words in (("download",), ("list", "downloads"))]
    assert [table.returncode for table in tables] == [0, 0]
    assert tables[0].stdout == tables[1].stdout
    for word in ("voc2012", "psa_vgg16_cam", "by hand", "[MIT]"):
        assert word in tables[0].stdout
