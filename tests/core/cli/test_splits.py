"""`data check`, `data repair` and `data baseline` of a manifest whose split leaks through a changed copy."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pandas as pd
import pytest
from builders.textured import textured_breast

from core.cli import main
from core.data.manifest import read_manifest


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve breasts of twelve patients; that of the last, a test image, is the first one's mirror image."""
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rows = []
    for number in range(12):
        picture = textured_breast(0)[:, ::-1] if number == 11 else textured_breast(number)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
        split = ("train", "train", "val", "test")[number % 4]
        rows.append(
            {
                "path": f"{number}.png",
                "label": ("benign", "malignant")[number // 4 % 2],
                "patient_id": f"p{number}",
                "split": split,
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    return tmp_path / "m.csv"


@pytest.mark.slow
def test_the_check_says_in_json_which_rows_and_paths_are_copies(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "m.csv", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    copies = next(problem for problem in found["problems"] if problem["kind"] == "near_duplicate_across_splits")
    assert found["leakage"] and copies["rows"] == [0, 11]
    assert [Path(path).name for path in copies["paths"]] == ["0.png", "11.png"]
    assert main(["data", "check", "m.csv"]) == 1
    assert (
        "near_duplicate_across_splits: 2 images that show the same picture stand in train and test" in capsys.readouterr().out
    )


@pytest.mark.slow
def test_the_repair_writes_another_manifest_and_says_what_moved(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = manifest.read_bytes()
    assert main(["data", "repair", "m.csv", "--out", "n.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["moved"]) == 1 and {found["moved"][0]["from"], found["moved"][0]["to"]} == {"train", "test"}
    splits = read_manifest(manifest.with_name("n.csv"))["split"].tolist()
    assert splits[0] == splits[11] and manifest.read_bytes() == before
    assert main(["data", "repair", "m.csv", "--out", "n.csv"]) != 0, "an existing manifest is not replaced unasked"
    assert main(["data", "repair", "n.csv", "--out", "o.csv"]) == 0
    assert "nothing was moved" in capsys.readouterr().err


@pytest.mark.slow
def test_the_baseline_prints_an_auc_or_why_there_is_none(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = pd.read_csv(manifest).assign(collection=["a"] * 4 + ["b"] * 4 + ["a"] * 4)
    frame = pd.concat([once] * 4).assign(
        path=[f"{row}.png" for row in range(48)], patient_id=[f"p{row}" for row in range(48)], height=9, width=9
    )
    frame.to_csv(manifest.with_name("c.csv"), index=False)
    assert main(["data", "baseline", "c.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["auc"]["collection"]["value"] == 1.0
    assert main(["data", "baseline", "c.csv"]) == 0
    assert "kept apart" in capsys.readouterr().out
    frame.assign(label="benign").to_csv(manifest.with_name("one.csv"), index=False)
    assert main(["data", "baseline", "one.csv"]) != 0
