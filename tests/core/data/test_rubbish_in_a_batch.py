"""A folder of everything that is no mammogram: each batch goes on, lists every refused file, and waits for none."""

from __future__ import annotations

import os
import socket
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.config import Recipe
from core.data import read_manifest, write_manifest
from core.data.cache import PreparedCache
from core.data.checks import check_manifest
from core.data.importers import import_data

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, sockets and links without rights need POSIX")
RUBBISH = {"pipe", "socket", "link", "loop", "empty", "text", "zip", "cut", "image.png", "bomb"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """benign/ and malignant/ with four good images in each, and all the rubbish in benign/."""
    rows, columns = np.mgrid[:64, :48]
    for label in ("benign", "malignant"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(4):
            breast = np.where((rows - 32) ** 2 / 900 + columns**2 / 1400 < 1, 90 + 10 * number + len(label), 0).astype(np.uint8)
            assert cv2.imwrite(str(tmp_path / "set" / label / f"p{number}{label[0]}.png"), breast)
    place = tmp_path / "set" / "benign"
    os.mkfifo(place / "pipe.png")
    monkeypatch.chdir(place)  # a socket's name may have 108 characters
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.png")
    (place / "link.png").symlink_to("nowhere.png")
    (place / "loop.png").symlink_to("loop.png")
    (place / "empty.png").touch()
    (place / "text.png").write_text("not a picture", encoding="utf-8")
    with zipfile.ZipFile(place / "zip.png", "w") as file:
        file.writestr("a", "b")
    (place / "cut.png").write_bytes((place / "p0b.png").read_bytes()[:60])
    (place / "image.png").mkdir()
    (place / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\0\0\0\0" + bytes(30))
    return tmp_path / "set"


def refused(names: list[str]) -> set[str]:
    return {Path(name).stem if "image" not in name else "image.png" for name in names}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("verify", ["all", "header"])
def test_an_import_lists_what_it_leaves_out(folder: Path, verify: str) -> None:
    report = import_data("folder", folder, verify=verify)
    kept = {Path(path).stem for path in report.frame["path"]}
    left_out = refused([path for path, _ in report.rejected])
    # Headers alone do not tell that the rest of a file is missing or impossible.
    unseen = set() if verify == "all" else {"cut", "bomb"}
    assert left_out == RUBBISH - {"image.png"} - unseen and kept == {f"p{n}{c}" for n in range(4) for c in "bm"} | unseen
    assert all(Path(path).name in reason and "\n" not in reason for path, reason in report.rejected)


@pytest.mark.timeout(60)
def test_check_and_cache_list_every_one_and_go_on(folder: Path, tmp_path: Path) -> None:
    paths = sorted(folder.rglob("*.png"))
    manifest = tmp_path / "m.csv"
    frame = import_data("folder", folder, verify="all").frame
    extra = [path for path in paths if str(path) not in set(frame["path"])]
    rows = frame.iloc[[0] * len(extra)].assign(path=[str(path) for path in extra], patient_id=[path.name for path in extra])
    write_manifest(type(frame)(list(frame.to_dict("records")) + list(rows.to_dict("records"))), manifest)
    listed = read_manifest(manifest)
    problems = check_manifest(listed).problems
    bad = {
        name
        for p in problems
        if p.kind in ("unreadable", "missing_file")
        for name in refused(list(listed["path"].iloc[list(p.rows)]))
    }
    assert bad == RUBBISH
    results = PreparedCache(tmp_path / "cache", Recipe(size=64)).iter_prepare(listed["path"].to_list())
    rejected = [each for each in results if each]
    assert refused([each.path for each in rejected]) == RUBBISH
    assert all(each.reason.endswith(".") and "\n" not in each.reason for each in rejected)


@pytest.mark.timeout(60)
def test_a_name_that_no_manifest_can_hold_is_listed(folder: Path) -> None:
    good = folder / "benign" / "p0b.png"
    try:
        good.rename(os.fsdecode(os.fsencode(folder / "benign") + b"/caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    report = import_data("folder", folder, verify="all")
    assert any("caf?.png: expected a name in UTF-8" in reason for _, reason in report.rejected)
    assert len(report.frame) == 7
