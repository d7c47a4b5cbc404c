"""`python -m core leave-one-out`: each value's row has the run that was trained without this value, and no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.fake_run import FakePredictor
from builders.saved_run import make_saved_run

from core.cli import main
from core.data import read_manifest, write_manifest
from core.evaluate import evaluate
from core.runs import Run


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a run whose patients come from two sites, and at each site from two rooms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("core.data.leave_one_out._FEWEST", 1)
    run = make_saved_run(tmp_path / "checkpoints" / "one", patients=24)
    frame = run.manifest()
    val = frame[frame["split"] == "val"].drop_duplicates("patient_id")
    moved = val.loc[val.groupby("label").cumcount() < 6, "patient_id"]
    frame.loc[frame["patient_id"].isin(moved), "split"] = "train"
    patients = frame.drop_duplicates("patient_id")  # both sites and rooms have patients of both classes in every split
    place = dict(zip(patients["patient_id"], patients.groupby(["split", "label"]).cumcount(), strict=True))
    number = frame["patient_id"].map(place).to_numpy()
    write_manifest(
        frame.assign(site=np.array(["a", "b"])[number % 2], room=np.array(["x", "y"])[number // 2 % 2]),
        run.path / "manifest.csv",
    )
    return tmp_path


def held_out(capsys: pytest.CaptureFixture[str], column: str) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert main(["leave-one-out", "one", "--by", column, "--out", "held", "--json"]) == 0
    return {row["value"]: row for row in json.loads(capsys.readouterr().out)["held_out"]}


def trained_on(lab: Path, name: str, manifest: Path, confidence: float = 0.95) -> Run:
    """A run of this name, as training it on the manifest and evaluating it would leave it."""
    folder = lab / "checkpoints" / name
    shutil.copytree(lab / "checkpoints" / "one", folder)
    shutil.copy(manifest, folder / "manifest.csv")
    run = Run(folder)
    settings = run.config().evaluation.model_copy(update={"confidence": confidence})
    evaluate(run, "test", predictor=FakePredictor(run.model_card()), settings=settings)
    return run


@pytest.mark.slow
def test_another_column_never_shows_the_runs_of_the_first(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sites = held_out(capsys, "site")
    for row in sites.values():
        trained_on(lab, row["run"], lab / "held" / f"{row['run']}.csv")
    assert all(row["auc"] is not None for row in held_out(capsys, "site").values())
    rooms = held_out(capsys, "room")
    assert all(row["auc"] is None and row["note"].startswith("not trained yet") for row in rooms.values())
    names = [row["run"] for row in (*sites.values(), *rooms.values())]
    assert len(set(names)) == 4 and names[0].startswith("one-without-site-a-")


@pytest.mark.slow
def test_a_run_of_other_images_is_refused_and_a_former_name_with_the_same_is_used(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = held_out(capsys, "site")
    wrong, right = (lab / "held" / f"{sites[value]['run']}.csv" for value in ("b", "a"))
    trained_on(lab, sites["a"]["run"], wrong)
    row = held_out(capsys, "site")["a"]
    assert row["auc"] is None and "has other images, patients, labels or splits" in row["note"]
    former = trained_on(lab, "one-without-1", right)  # as earlier versions named it
    row = held_out(capsys, "site")["a"]
    assert row["run"] == former.name and row["auc"] is not None
    assert held_out(capsys, "room")["x"]["run"] != former.name


@pytest.mark.slow
def test_a_value_that_no_folder_can_be_named_after_has_a_run_of_its_own(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lab / "checkpoints" / "one" / "manifest.csv"
    frame = read_manifest(path)
    write_manifest(frame.assign(site=frame["site"].map({"a": "?", "b": "!"})), path)
    names = {row["run"] for row in held_out(capsys, "site").values()}
    assert len(names) == 2 and all((lab / "held" / f"{name}.csv").is_file() for name in names)


@pytest.mark.slow
def test_auc_limits_of_two_levels_of_confidence_are_not_pooled(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, row in enumerate(held_out(capsys, "site").values()):
        trained_on(lab, row["run"], lab / "held" / f"{row['run']}.csv", confidence=(0.8, 0.9)[number])
    assert main(["leave-one-out", "one", "--by", "site", "--out", "held"]) == 0
    assert "expected intervals of one level of confidence, got 80% and 90%" in capsys.readouterr().out
