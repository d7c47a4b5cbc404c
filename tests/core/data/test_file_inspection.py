"""Looks at images are kept: a check reads nothing twice, and everything that has changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from core.data import file_inspection
from core.data.checks import check_manifest
from core.data.file_inspection import FILE, FileInspection, inspect_file, inspect_files
from core.data.importers import import_data
from core.data.manifest import read_manifest, write_manifest
from core.files.paths import cache_root
from core.runs import image_cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        path = tmp_path / "images" / ("benign", "malignant")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows, columns = np.mgrid[:60, :40]
        breast = (rows - 30) ** 2 / 600 + columns**2 / 900 < 1
        pixels = np.where(breast, 90 + np.random.default_rng(number).integers(0, 97, rows.shape), 0)
        assert cv2.imwrite(str(path), pixels.astype(np.uint8))
    (tmp_path / "images" / "benign" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    return tmp_path / "images"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose bytes are read from now on."""
    names: list[str] = []
    content = file_inspection._content

    def counted(path: Path) -> tuple[str, bytes | Path]:
        names.append(path.name)
        return content(path)

    monkeypatch.setattr(file_inspection, "_content", counted)
    return names


def manifest_of(folder: Path) -> pd.DataFrame:
    write_manifest(import_data("folder", folder).frame, folder / "m.csv")
    return read_manifest(folder / "m.csv")


@pytest.mark.slow
def test_a_check_reads_no_file_that_the_import_has_read(folder: Path, read: list[str]) -> None:
    frame = manifest_of(folder)
    assert len(read) == 13
    read.clear()
    first = check_manifest(frame)
    assert read == []
    image_cache.delete_inspections()
    assert check_manifest(frame).problems == first.problems, "kept looks say what new ones say"
    assert len(read) == 12
    read.clear()
    check_manifest(frame)
    assert read == []


@pytest.mark.slow
def test_a_check_after_an_import_by_headers_reads_everything_once(folder: Path, read: list[str]) -> None:
    frame = import_data("folder", folder, verify="header").frame
    assert read == []
    check_manifest(frame)
    check_manifest(frame)
    assert len(read) == len(frame)


@pytest.mark.slow_for("True")
@pytest.mark.parametrize("keep_time", [False, True])
def test_a_file_that_has_changed_is_read_again(folder: Path, read: list[str], keep_time: bool) -> None:
    frame = manifest_of(folder)
    path = Path(frame["path"].iloc[0])
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)
    if keep_time:
        if os.name == "nt":
            pytest.skip("Windows does not tell when a file's times were set")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    problems = check_manifest(frame).problems
    assert read == [path.name] and problems[0].kind == "unreadable"


@pytest.mark.slow
def test_another_file_under_the_same_name_is_read_and_a_missing_one_is_missing(folder: Path, read: list[str]) -> None:
    frame = manifest_of(folder)
    first, second, third = (Path(frame["path"].iloc[row]) for row in (0, 1, 2))
    second.replace(first)
    third.unlink()
    shutil.copy(first, second)
    read.clear()
    problems = check_manifest(frame).problems
    assert {problem.kind: problem.rows for problem in problems}["missing_file"] == (2,)
    assert {problem.kind: problem.rows for problem in problems}["duplicate"] == (0, 1)
    assert sorted(read) == sorted([first.name, second.name, third.name])


@pytest.mark.slow
def test_another_program_looks_again(folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    frame = manifest_of(folder)
    monkeypatch.setattr(file_inspection, "program", lambda: "another")
    read.clear()
    check_manifest(frame)
    assert len(read) == len(frame)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\0" * 200])
def test_a_damaged_file_of_looks_costs_nothing_but_time(folder: Path, content: bytes) -> None:
    frame = manifest_of(folder)
    expected = check_manifest(frame).problems
    (cache_root() / FILE).write_bytes(content)
    assert check_manifest(frame).problems == expected


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["[]", "{}x", '{"content_hash": 7}', '{"other": ""}', "null"])
def test_a_kept_look_of_another_shape_is_looked_at_again(folder: Path, kept: str, read: list[str]) -> None:
    frame = manifest_of(folder)
    with sqlite3.connect(cache_root() / FILE) as base:
        base.execute("UPDATE looks SET look = ?", (kept,))
    base.close()
    read.clear()
    check_manifest(frame)
    assert len(read) == len(frame)


@pytest.mark.slow
def test_where_nothing_can_be_kept_everything_still_works(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "file" / "below"))
    frame = manifest_of(folder)
    assert [problem.kind for problem in check_manifest(frame).problems if problem.rows] == []


class Enough(Exception):
    pass


def stop_at(limit: int) -> file_inspection.Progress:
    def progress(done: int, total: int) -> None:
        if done >= limit:
            raise Enough

    return progress


@pytest.mark.slow_but("1")
@pytest.mark.parametrize("limit", [0, 1, 7])
def test_an_import_and_a_check_end_when_progress_raises_and_keep_what_was_read(
    folder: Path, limit: int, read: list[str]
) -> None:
    with pytest.raises(Enough):
        import_data("folder", folder, progress=stop_at(limit))
    frame = import_data("folder", folder, verify="header").frame
    before = len(read)
    with pytest.raises(Enough):
        check_manifest(frame, progress=stop_at(limit))
    check_manifest(frame)
    assert len(set(read)) >= len(frame) - 1 and before <= 13
    assert not list(folder.glob("*.csv")), "nothing is written by an import that was ended"


def test_a_missing_file_and_a_folder_are_no_images(tmp_path: Path) -> None:
    missing, folder = inspect_files([str(tmp_path / "no.png"), str(tmp_path)])
    assert missing.missing.startswith("no.png: ") and not missing.unreadable and missing.reason
    assert folder.unreadable and not folder.missing and folder.content_hash == ""


def test_memory_that_was_short_is_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("core.images.read_raster", short)
    looked = inspect_file(folder / "benign" / "0.png")
    assert "does not fit in memory" in looked.inspection.unreadable and looked.stamp is None


def test_a_large_file_is_hashed_from_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "benign" / "0.png"
    whole = inspect_file(path).inspection
    monkeypatch.setattr(file_inspection, "_LARGE", 10)
    assert inspect_file(path).inspection == whole != FileInspection()
