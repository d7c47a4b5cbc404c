"""No command writes over what it cannot be sure to have written itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.cli.inspect import _HTML_TITLE
from core.cli.output import new_file
from core.cli.predict import _CSV_HEADS, _is_overlay
from core.demo import make_demo
from core.errors import BadConfig, BadManifest
from core.images.encode import encode_png


def png(channels: int) -> bytes:
    shape = (8, 8) if channels == 1 else (8, 8, channels)
    return encode_png(np.full(shape, 90, np.uint8))


EARLIER: dict[str, tuple[str, Callable[[bytes], bool], bytes]] = {
    "predict": (".csv", lambda head: head.startswith(_CSV_HEADS), _CSV_HEADS[0] + b"\na.png,0.5,,benign,\n"),
    "explain": (".png", _is_overlay, png(3)),
    "inspect": (".html", lambda head: _HTML_TITLE in head, b"<!doctype html>" + _HTML_TITLE + b"ab</title>"),
}


@pytest.mark.parametrize(("suffix", "earlier", "content"), EARLIER.values(), ids=EARLIER.keys())
def test_an_earlier_result_is_replaced_and_nothing_else(tmp_path: Path, suffix: str, earlier: Callable, content: bytes) -> None:
    path = tmp_path / f"out{suffix}"
    new_file(path, suffix, [], earlier)
    path.write_bytes(content)
    new_file(path, suffix, [], earlier)
    foreign = {".csv": b"path,label,patient_id\n", ".png": png(1), ".html": b"<html>my page"}[suffix]
    for each in (foreign, b"", b"\x00" * 10_000):
        path.write_bytes(each)
        with pytest.raises(BadConfig, match="not an earlier result"):
            new_file(path, suffix, [], earlier)


@pytest.mark.parametrize(("suffix", "earlier", "content"), EARLIER.values(), ids=EARLIER.keys())
def test_no_file_of_a_run_is_replaced(tmp_path: Path, suffix: str, earlier: Callable, content: bytes) -> None:
    run = tmp_path / "runs" / "one"
    (run / "explain").mkdir(parents=True)
    (run / "status.json").touch()
    for place in (run, run / "explain"):
        new_file(place / f"new{suffix}", suffix, [], earlier)
        (place / f"there{suffix}").write_bytes(content)
        with pytest.raises(BadConfig, match="belongs to the run one"):
            new_file(place / f"there{suffix}", suffix, [], earlier)


@pytest.mark.parametrize("make", [os.link, os.symlink])
def test_an_input_is_known_by_every_name(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(png(3))
    make(image, tmp_path / "other.png")
    with pytest.raises(BadConfig, match="the file to read"):
        new_file(tmp_path / "other.png", ".png", [image], _is_overlay)


@pytest.mark.skipif(os.name == "nt", reason="named pipes are POSIX's")
def test_a_pipe_or_a_folder_in_the_place_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    for name, kind in (("a.png", "named pipe"), ("b.png", "folder")):
        with pytest.raises(BadConfig, match=kind):
            new_file(tmp_path / name, ".png", [], _is_overlay)


def test_an_import_replaces_a_manifest_only_when_told(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from core.cli import main

    for label in ("benign", "malignant"):
        folder = in_tmp / "images" / "train" / label
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "P1.png"), np.full((64, 64), 90, np.uint8))
    curated = in_tmp / "m.csv"
    curated.write_text("path,label,patient_id,split\nmine,benign,1,test\n", encoding="utf-8")
    before = curated.read_bytes()
    command = ["data", "import", "folder", "images", "--out", "m.csv"]
    assert main(command) == 1
    assert "such a file already" in capsys.readouterr().err
    assert curated.read_bytes() == before
    assert main([*command, "--overwrite"]) == 0
    assert curated.read_bytes() != before


@pytest.mark.parametrize("name", ["README.txt", "demo.json", "manifest.csv", "images"])
def test_the_demo_set_writes_over_nothing_of_others(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious", encoding="utf-8")
    with pytest.raises(BadManifest, match="did not write"):
        make_demo(tmp_path, patients=1, rows=64)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text(encoding="utf-8") == "precious"


def test_the_demo_set_is_not_written_through_a_link(tmp_path: Path) -> None:
    out, other = tmp_path / "demo", tmp_path / "other"
    other.mkdir()
    (other / "DEMO-mine.png").touch()
    make_demo(out, patients=1, rows=64)
    for path in (out / "images").iterdir():
        path.unlink()
    (out / "images").rmdir()
    (out / "images").symlink_to(other, target_is_directory=True)
    with pytest.raises(BadManifest, match="symbolic link"):
        make_demo(out, patients=1, seed=1, rows=64)
    assert (other / "DEMO-mine.png").exists()
