"""`python -m core audit`: table, verdict and what was left out; the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from core.cli import main
from core.config import dump_config, load_config
from core.model import build_model, save_model
from core.runs import Run

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run `one` with a model that was never trained, in a workspace that is the current folder."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for number in range(16):
        path = tmp_path / f"{number}.png"
        image = np.zeros((64, 48), np.uint8)
        cv2.ellipse(image, (0, 32), (36, 26), 0, -90, 90, 90 + number, -1)
        cv2.circle(image, (15, 32), 3, 250, -1)
        assert cv2.imwrite(str(path), image)
        label = "malignant" if number % 2 else "benign"
        split = "train" if number < 4 else "val"
        lesions = "[[12, 29, 18, 35]]" if label == "malignant" else ""
        rows.append({"path": str(path), "label": label, "patient_id": f"p{number}", "split": split, "lesions": lesions})
    config = load_config(None, ["model.options={width: 8}", "preprocessing.size=32", "training.device=cpu"])
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    run = Run.create(config, pd.DataFrame(rows).assign(laterality="L", view="CC"), name="one")
    torch.manual_seed(0)
    model = build_model(config.model)
    with torch.no_grad():
        model.head.weight.uniform_(0, 1)
    card = {
        "recipe": config.preprocessing.model_dump(mode="json"),
        "recipe_hash": config.preprocessing.hash,
        "model": config.model.model_dump(mode="json"),
        "threshold": 0.5,
        "calibration": None,
    }
    save_model(run.path, model, card)
    return run


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["audit", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.slow
def test_table_verdict_and_notes_are_printed_and_what_was_left_out_is_named(run: Run, call: Call) -> None:
    (run.path.parent.parent / "7.png").write_bytes(b"no image")
    code, out, err = call("one", "--split", "val")
    assert code == 0, err
    assert "one, val: heatmaps of 11 images of 11 patients" in out and "hirescam, read from act" in out
    assert "Peak in or near the lesion" in out and "- In " in out and "Intervals: 95%" in out
    assert "left out: " in err and "7.png" in err
    assert "written: " in err and (run.path / "explain" / "audit-val.json").is_file()


@pytest.mark.slow
def test_json_is_the_file_that_was_written(run: Run, call: Call) -> None:
    code, out, _ = call("one", "--split", "val", "--method", "gradcam", "--limit", 6, "--json")
    assert code == 0
    written = json.loads((run.path / "explain" / "audit-val.json").read_text(encoding="utf-8"))
    assert json.loads(out) == written
    assert [method["method"] for method in written["methods"]] == ["gradcam"] and written["settings"]["limit"] == 6


def test_an_unopened_test_set_and_an_unknown_method_are_refused(run: Run, call: Call) -> None:
    code, _, err = call("one")
    assert code == 1 and "no image in this split" in err
    code, _, err = call("one", "--split", "val", "--method", "saliency")
    assert code == 1 and "'saliency'" in err and "hirescam" in err
