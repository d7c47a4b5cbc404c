"""Which files a command reads: files, folders and patterns, on every platform."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.cli.image_files import image_files
from core.cli.output import print_table
from core.cli.parser import build_parser


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("b.png", "a.PNG", "deep/c.png", "no_ending"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        encoded = cv2.imencode(".png", np.full((6, 5), 100, np.uint8))[1]
        path.write_bytes(encoded.tobytes())
    for name in ("page.jpg", "labels.csv", ".hidden.png", "Thumbs.db", "__MACOSX/._b.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"<!DOCTYPE html>")
    return tmp_path


def names(found: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found]


def test_a_folder_is_all_images_below_it_and_what_is_none_is_noted(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert names(image_files([images]), images) == ["a.PNG", "b.png", "deep/c.png", "no_ending", "page.jpg"]
    said = capsys.readouterr().err
    assert "1 files that are no images: labels.csv" in said and "3 files that come with folders" in said


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["b.png"]),
        ("**/*.png", ["b.png", "deep/c.png"]),
        ("?.[pP][nN]*", ["a.PNG", "b.png"]),
        ("d*", ["deep/c.png"]),
        ("*.dcm", ["*.dcm"]),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows finds files in any capitals")
def test_a_pattern_that_no_shell_expanded_is_expanded(images: Path, pattern: str, expected: list[str]) -> None:
    assert names(image_files([images / pattern]), images) == expected


def test_a_name_that_exists_is_no_pattern_and_what_is_nowhere_stays(images: Path) -> None:
    odd = (images / "b.png").rename(images / "[b].png")
    assert image_files([odd, images / "gone.png"]) == [odd, images / "gone.png"]


def test_files_that_were_named_are_not_found_again(images: Path) -> None:
    found = image_files([images / "b.png", images / "*.png", images, images / "deep"])
    assert names(found, images) == ["b.png", "a.PNG", "deep/c.png", "no_ending", "page.jpg"]
    assert len(image_files([images / "b.png", images / "b.png"])) == 2, "what is asked for twice is answered twice"


def test_an_empty_folder_stays_to_be_listed_with_the_reason(tmp_path: Path) -> None:
    assert image_files([tmp_path]) == [tmp_path]


def test_the_users_folder_is_known(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(images))
    monkeypatch.setenv("USERPROFILE", str(images))
    assert image_files([Path("~/b.png")]) == [images / "b.png"]
    assert image_files([Path("~nobody-of-this-name.png")]) == [Path("~nobody-of-this-name.png")]


def test_predict_takes_them_all(images: Path) -> None:
    arguments = build_parser().parse_args(["predict", "run", str(images), str(images / "gone.png")])
    assert names(arguments.files, images)[-1] == "gone.png" and len(arguments.files) == 6


def test_a_name_with_a_line_break_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([("a\nb.png", 1), ("ä 乳.png", 2)], ("file", "score"))
    assert capsys.readouterr().out.splitlines()[1:] == ["a\\nb.png      1", "ä 乳.png       2"]
