"""`python -m core inspect`, and the choice of a frame: what is printed, written and refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders.dicom_factory import make_dicom

from core.cli import main
from core.config import Recipe
from core.images import read
from core.preprocessing import prepare

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in an empty folder: (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def file(in_tmp: Path) -> Path:
    """Three frames of a breast, each darker than the one before, with two windows."""
    image = np.zeros((160, 120), np.uint8)
    cv2.ellipse(image, (0, 80), (84, 64), 0, -90, 90, 200, -1)
    texture = np.random.default_rng(1).normal(0, 8, image.shape)
    frame = np.where(image > 0, image + texture, 0).clip(0, 255)
    stack = np.stack([frame * 10, frame * 8, frame * 6]).astype(np.uint16)
    path = in_tmp / "stack.dcm"
    content = make_dicom(
        stack, BitsStored=12, WindowCenter=[1000, 1500], WindowWidth=[2000, 3000], PixelSpacing=[0.1, 0.1], ViewPosition="CC"
    )
    path.write_bytes(content)
    return path


def test_everything_is_told_as_json_and_nothing_about_the_patient(call: Call, file: Path) -> None:
    code, out, _ = call("inspect", file, "--set", "preprocessing.size=64", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["recipe_hash"] == Recipe(size=64).hash
    assert told["prepared_shape"] == [64, 64]
    assert told["prepared_spacing"][0] > 0.1
    assert told["stages"][0]["name"] == "original"
    assert sum(told["stages"][0]["histogram"]) == 160 * 120
    assert (told["meta"]["frame"], told["meta"]["frames"]) == (1, 3)
    assert "patient" not in told["meta"]
    told["file"], told["stages"], told["milliseconds"] = "", [], 0  # counts and times may spell any number
    for step in told["steps"]:
        step["milliseconds"] = 0
    assert not any(part in json.dumps(told) for part in ("Doe", "4711", "19600229"))


def test_pseudonym_is_told_only_on_request(call: Call, file: Path) -> None:
    _, plain, _ = call("inspect", file)
    _, asked, _ = call("inspect", file, "--pseudonym")
    _, document, _ = call("inspect", file, "--pseudonym", "--json")
    pseudonym = json.loads(document)["meta"]["patient"]
    assert pseudonym and pseudonym in asked and pseudonym not in plain


@pytest.mark.parametrize("number", [1, 2, 3])
def test_frames_count_from_one(call: Call, file: Path, in_tmp: Path, number: int) -> None:
    code, out, _ = call("inspect", file, "--frame", number, "--out", "steps", "--json")
    told = json.loads(out)
    written = cv2.imread(str(in_tmp / "steps/model-input.png"), cv2.IMREAD_UNCHANGED)
    assert code == 0
    assert told["meta"]["frame"] == number - 1
    assert np.array_equal(written, prepare(read(file, frame=number - 1), Recipe()).pixels)
    assert len(told["written"]) == len(told["stages"]) + 1
    first = cv2.imread(str(in_tmp / "steps/01-original.png"), cv2.IMREAD_UNCHANGED)
    assert first.shape == (160, 120)


def test_window_is_the_recipe_s_voi(call: Call, file: Path) -> None:
    by_option = json.loads(call("inspect", file, "--window", 2, "--json")[1])
    by_field = json.loads(call("inspect", file, "--set", "preprocessing.voi_index=2", "--json")[1])
    default = json.loads(call("inspect", file, "--json")[1])
    assert by_option["recipe_hash"] == by_field["recipe_hash"] == Recipe(voi_index=2).hash
    assert by_option["stages"][0]["histogram"] == by_field["stages"][0]["histogram"] != default["stages"][0]["histogram"]


def test_html_is_written_twice_alike(call: Call, file: Path, in_tmp: Path) -> None:
    assert call("inspect", file, "--html", "a/one.html")[0] == 0
    assert call("inspect", file, "--html", "two.html", "--out", "steps")[0] == 0
    first, second = (in_tmp / "a/one.html").read_bytes(), (in_tmp / "two.html").read_bytes()
    assert first == second
    # Encoded pictures may spell any name.
    words = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", first.decode())
    assert not any(part in words for part in ("stack.dcm", "Doe", "4711", "1960"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{file}", "{file}"), "takes one file, got 2"),
        ((".",), "got a folder"),
        (("{file}", "--frame", "4"), "frame"),
        (("{file}", "--window", "-1"), "expected 0 (none) to 16"),
        (("{file}", "--html", "report.txt"), "ends in .html"),
        (("{file}", "--out", "{file}"), "expected a folder, got a file"),
        (("01-original.png", "--out", "."), "would be overwritten"),
    ],
)
def test_mistake_is_explained_and_nothing_is_written(
    call: Call, file: Path, in_tmp: Path, arguments: tuple[str, ...], says: str
) -> None:
    picture = cv2.imencode(".png", np.full((40, 30), 9, np.uint8))[1].tobytes()
    (in_tmp / "01-original.png").write_bytes(picture)
    before = {path.name: path.read_bytes() for path in in_tmp.iterdir()}
    code, _, err = call("inspect", *(argument.format(file=file) for argument in arguments))
    assert code == 1
    assert says in err
    assert {path.name: path.read_bytes() for path in in_tmp.iterdir()} == before


@pytest.mark.parametrize("frame", ["0", "-2", "middle"])
def test_frame_that_is_no_number_from_one_is_a_wrong_call(call: Call, file: Path, frame: str) -> None:
    with pytest.raises(SystemExit) as caught:
        call("inspect", file, f"--frame={frame}")
    assert caught.value.code == 2
