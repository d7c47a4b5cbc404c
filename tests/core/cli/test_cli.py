"""`python -m core ...` as scripts use it: what it prints, what it writes, and its exit code."""

from __future__ import annotations

import json
import os
import platform
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.copied import copied
from builders.tiny_run import DEMO_SETTINGS

from core.cli import main
from core.cli.parser import build_parser
from core.files.paths import cache_root
from core.runs import Run, Status

ROOT = Path(__file__).parents[3]
SMALL = tuple(word for setting in DEMO_SETTINGS for word in ("--set", setting))

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, trained_demo: Path) -> Path:
    """A workspace with a tiny demo set and one trained run named `first`."""
    return copied(trained_demo, tmp_path_factory.mktemp("lab"))


@pytest.fixture
def call(lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in the workspace: (exit code, standard output, standard error)."""
    monkeypatch.chdir(lab)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def image(lab: Path) -> Path:
    return Path(str(pd.read_csv(lab / "data/demo/manifest.csv")["path"][0]))


@pytest.mark.slow
def test_prepared_images_are_counted_then_deleted_and_made_again(call: Call, lab: Path) -> None:
    images = cache_root()
    call("evaluate", "first", "--split", "val")
    code, out, _ = call("cache", "--json")
    told = json.loads(out)
    assert code == 0 and Path(told["folder"]) == images and told["bytes"] > 0 and told["deleted_files"] == 0
    files = len(list(images.rglob("*.npy")))
    code, out, _ = call("cache", "--clear")
    assert code == 0 and f"{2 * files} files deleted" in out and not list(images.rglob("*.npy"))
    assert json.loads(call("cache", "--json")[1])["bytes"] == 0
    assert call("evaluate", "first", "--split", "val")[0] == 0
    # Only those that are scored: what the training images' files tell is kept with the run.
    scored = (Run(lab / "checkpoints" / "first").manifest()["split"] == "val").sum()
    assert len(list(images.rglob("*.npy"))) == scored < files


@pytest.mark.slow
def test_prepared_images_in_use_are_kept(call: Call, lab: Path) -> None:
    call("evaluate", "first", "--split", "val")
    files = sorted(cache_root().rglob("*.npy"))
    run = Run(lab / "checkpoints" / "first")
    before = run.status()
    run.set_status(state="running", heartbeat=time.time(), pid=os.getpid(), host=platform.node())
    try:
        code, _, err = call("cache", "--clear")
    finally:
        run.set_status(state=before.state, heartbeat=before.heartbeat, pid=before.pid, host=before.host)
    assert code == 1 and "first: it trains on the prepared images" in err
    assert files and sorted(cache_root().rglob("*.npy")) == files


def test_training_leaves_a_run_that_is_listed_with_its_figures(call: Call, lab: Path) -> None:
    code, out, _ = call("runs", "--json")
    listed = {row["run"]: row for row in json.loads(out)}
    assert code == 0
    assert listed["first"]["state"] == "done"
    assert 0 <= listed["first"]["val_auc"] <= 1
    assert (lab / "checkpoints/first/model.safetensors").exists()


@pytest.mark.slow
def test_evaluation_prints_figures_and_remembers_them(call: Call, lab: Path) -> None:
    code, out, _ = call("evaluate", "first", "--split", "val", "--json")
    figures = json.loads(out)
    assert code == 0
    assert figures["split"] == "val"
    assert (lab / "checkpoints/first/predictions/val.csv").exists()
    assert json.loads((lab / "checkpoints/first/evaluation.json").read_text(encoding="utf-8"))["val"]


@pytest.mark.slow
def test_prediction_is_the_same_number_as_in_the_evaluation(call: Call, lab: Path) -> None:
    call("evaluate", "first", "--split", "val")
    scored = pd.read_csv(lab / "checkpoints/first/predictions/val.csv").head(3)
    code, out, _ = call("predict", "first", *scored["path"], "--json", "--csv", "out.csv")
    predictions = json.loads(out)["predictions"]
    assert code == 0
    assert [row["score"] for row in predictions] == pytest.approx(scored["score"].tolist(), abs=2e-5)
    assert len(pd.read_csv(lab / "out.csv")) == 3


def test_unreadable_file_is_listed_with_its_reason_and_the_others_are_scored(call: Call, lab: Path, image: Path) -> None:
    (lab / "broken.dcm").write_bytes(b"not an image")
    code, out, _ = call("predict", "first", lab / "broken.dcm", lab / "data/demo" / image, "--json")
    broken, good = json.loads(out)["predictions"]
    assert code == 1
    assert broken["score"] is None and broken["decision"] is None
    assert broken["note"] == broken["refusal"]
    assert good["decision"] in {"benign", "malignant"}


@pytest.mark.slow
def test_one_result_is_written_as_a_page_that_replaces_nothing(call: Call, lab: Path, image: Path) -> None:
    file = lab / "data/demo" / image
    code, out, err = call("predict", "first", file, "--pdf", "result.pdf")
    content = (lab / "result.pdf").read_bytes()
    assert code == 0 and "result.pdf" in err and content.startswith(b"%PDF-") and image.name.encode() not in content
    code, _, err = call("predict", "first", file, "--pdf", "result.pdf")
    assert code == 1 and "result.pdf" in err and (lab / "result.pdf").read_bytes() == content
    code, out, err = call("predict", "first", file, lab / "config.yaml", "--pdf", "two.pdf")
    assert code == 1 and "expected one image, got 2" in err and file.as_posix() in out and not (lab / "two.pdf").exists()


def test_an_image_without_a_verdict_says_why_and_is_scored_only_when_told_to(call: Call, lab: Path) -> None:
    cv2.imwrite(str(lab / "grey.png"), np.full((160, 120), 128, np.uint8))
    code, out, _ = call("predict", "first", "grey.png", "--json", "--csv", "grey.csv")
    (row,) = json.loads(out)["predictions"]
    assert code == 1 and (row["score"], row["decision"], row["calibrated"]) == (None, None, None)
    assert "no breast was found" in row["refusal"] and row["refusal"] in pd.read_csv(lab / "grey.csv")["refusal"][0]
    assert "no verdict" in call("predict", "first", "grey.png")[1]
    code, out, err = call("explain", "first", "grey.png", "--out", "grey-heat.png")
    assert code == 1 and "--score-anyway" in err and not (lab / "grey-heat.png").exists()
    code, out, _ = call("predict", "first", "grey.png", "--json", "--score-anyway")
    (row,) = json.loads(out)["predictions"]
    assert code == 0 and 0 <= row["score"] <= 1 and row["decision"] is None and row["refusal"]
    assert "(scored anyway)" in call("predict", "first", "grey.png", "--score-anyway")[1]
    code, out, _ = call("explain", "first", "grey.png", "--out", "grey-heat.png", "--score-anyway")
    assert code == 0 and "scored anyway" in out and (lab / "grey-heat.png").exists()


@pytest.mark.slow
def test_the_gate_is_fitted_by_training_and_again_when_told_to(call: Call, lab: Path) -> None:
    file = lab / "checkpoints" / "first" / "gate.safetensors"
    assert file.exists()
    file.unlink()
    code, out, _ = call("gate", "first", "--json")
    said = json.loads(out)
    assert code == 0 and file.exists() and said["refuses"] is False and said["train"] >= 2


def test_explain_writes_an_overlay_of_the_model_input(call: Call, lab: Path, image: Path) -> None:
    code, _, _ = call("explain", "first", lab / "data/demo" / image, "--out", "heat/overlay.png")
    overlay = cv2.imread(str(lab / "heat/overlay.png"))
    assert code == 0
    assert overlay.shape == (32, 32, 3)


def test_explain_can_draw_both_classes_over_the_original_from_another_layer(call: Call, lab: Path, image: Path) -> None:
    from core.images import read

    original = read(lab / "data/demo" / image).pixels
    wanted = ("--original", "--target", "both", "--layer", "stages.0", "--method", "layercam", "--opacity", 1)
    code, out, _ = call("explain", "first", lab / "data/demo" / image, *wanted, "--out", "heat/original.png")
    overlay = cv2.imread(str(lab / "heat/original.png"))
    assert code == 0 and "layercam at stages.0" in out and "evidence for both" in out
    assert overlay.shape[:2] == original.shape
    assert (overlay.max(axis=2) != overlay.min(axis=2)).any()  # some of it is coloured


def test_explain_by_score_cam_tries_as_many_feature_maps_as_asked(call: Call, lab: Path, image: Path) -> None:
    path = lab / "data/demo" / image
    code, out, _ = call("explain", "first", path, "--method", "scorecam", "--channels", 4, "--out", "heat/score.png")
    assert code == 0 and "scorecam at act" in out


def test_explain_warns_of_a_method_that_does_not_fit(call: Call, lab: Path, image: Path) -> None:
    code, _, err = call("explain", "first", lab / "data/demo" / image, "--method", "gradcam", "--out", "heat/grad.png")
    assert code == 0 and "gradcam does not fit small_cnn here: this network pools the maximum" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--layer", "layer4"), "small_cnn has no 'layer4'; it has stages.0, stages.1, stages.2, act"),
        (("--method", "eigencam", "--target", "both"), "whatever the class"),
        (("--opacity", "2"), "allowed: 0 to 1"),
        (("--colormap", "pink"), "allowed: inferno"),
        (("--method", "scorecam", "--channels", "-3"), "got -3"),
    ],
)
def test_explain_says_what_it_cannot_do(call: Call, lab: Path, image: Path, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = call("explain", "first", lab / "data/demo" / image, *arguments, "--out", "heat/none.png")
    assert code == 1 and says in err
    assert not (lab / "heat/none.png").exists()


@pytest.mark.slow
def test_frame_of_a_stack_is_scored_like_the_same_image_alone(call: Call, lab: Path) -> None:
    whole = cv2.ellipse(np.zeros((120, 90), np.uint8), (0, 60), (60, 48), 0, -90, 90, 200, -1)
    cv2.circle(whole, (25, 50), 12, 255, -1)
    frames = [whole // 3, whole // 2, whole]
    assert cv2.imwritemulti(str(lab / "stack.tif"), frames)
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(str(lab / "alone.png"), frame)
        by_number, alone = (
            json.loads(call("predict", "first", *arguments, "--json")[1])["predictions"][0]["score"]
            for arguments in (("stack.tif", "--frame", number), ("alone.png",))
        )
        assert by_number == alone
    assert call("explain", "first", "stack.tif", "--frame", 3, "--out", "third.png")[0] == 0
    assert call("explain", "first", "alone.png", "--out", "alone-heat.png")[0] == 0
    assert (lab / "third.png").read_bytes() == (lab / "alone-heat.png").read_bytes()


def test_inspect_tells_every_step_and_writes_the_model_input(call: Call, lab: Path, image: Path) -> None:
    arguments = ("inspect", lab / "data/demo" / image, "--set", "preprocessing.size=[64, 40]", "--out", "steps", "--json")
    code, out, _ = call(*arguments)
    told = json.loads(out)
    assert code == 0
    assert told["prepared_shape"] == [64, 40]
    assert {"clahe", "resize"} <= {step["name"].lower() for step in told["steps"]}
    assert cv2.imread(str(lab / "steps/model-input.png"), cv2.IMREAD_UNCHANGED).shape == (64, 40)


@pytest.mark.slow
def test_import_and_check_of_a_folder(call: Call, lab: Path) -> None:
    rows = pd.read_csv(lab / "data/demo/manifest.csv", dtype=str)
    for row in rows.head(16).itertuples():
        target = lab / "mine" / str(row.split) / str(row.label) / Path(str(row.path)).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((lab / "data/demo" / str(row.path)).read_bytes())
    code, out, _ = call("data", "import", "folder", "mine", "--out", "mine.csv", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 16
    code, out, _ = call("data", "check", "mine.csv", "--json")
    assert not json.loads(out)["leakage"]


@pytest.mark.slow
def test_check_of_a_leaking_manifest_fails(call: Call, lab: Path) -> None:
    frame = pd.read_csv(lab / "data/demo/manifest.csv", dtype=str)
    frame["path"] = [str(lab / "data/demo" / path) for path in frame["path"]]
    frame.loc[frame.index[0], "split"] = "test" if frame["split"].iloc[0] != "test" else "train"
    frame.to_csv(lab / "leak.csv", index=False)
    code, out, _ = call("data", "check", "leak.csv", "--json")
    assert code == 1
    assert json.loads(out)["leakage"]
    code, _, err = call("train", "--set", "data.manifest=leak.csv", "--run", "leaking", *SMALL)
    assert code == 1
    assert "split" in err
    assert not (lab / "checkpoints/leaking").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "nowhere"), "no such run. Runs in checkpoints: first"),
        (("train", "--set", "training.epochs=0"), "training.epochs: got 0; allowed: a whole number, at least 1"),
        (("train", "--config", "missing.yaml"), "no such file"),
        (("train", "--set", "data.manifest=missing.csv"), "missing.csv"),
        (("train", "--set", "model.name=efficientnet_b00"), "efficientnet_b0"),
        (("train", "--set", "model.name=efficientnet_b0", "--set", "model.weights=hub"), "weights"),
        (("train", "--set", "model.name=resnet50", "--set", "model.weights=missing.pth"), "missing.pth"),
        (("train", "--resume", "first", "--set", "training.epochs=3"), "leave out"),
        (("data", "import", "nope", ".", "--out", "x.csv"), "folder, csv, rsna, mini-mias"),
        (("data", "import", "folder", ".", "--out", "x.csv", "--option", "verify"), "expected NAME=VALUE"),
        (("inspect", "config.yaml"), "config.yaml"),
        (("predict", "data", "x.png"), "data"),
    ],
)
def test_mistake_is_explained_and_nothing_is_left_behind(call: Call, lab: Path, arguments: tuple[str, ...], says: str) -> None:
    before = {path.name for path in (lab / "checkpoints").iterdir()}
    code, out, err = call(*arguments)
    assert code == 1
    assert says in err
    assert "Traceback" not in err + out
    assert {path.name for path in (lab / "checkpoints").iterdir()} == before


def test_call_with_wrong_arguments_exits_with_two(call: Call) -> None:
    with pytest.raises(SystemExit) as caught:
        call("evaluate")
    assert caught.value.code == 2


def test_pipeline_goes_from_data_to_report(call: Call, lab: Path, undrawn: None) -> None:
    code, out, _ = call("pipeline", "--run", "whole", *SMALL)
    run = lab / "checkpoints/whole"
    assert code == 0
    assert out.rstrip().endswith("report.html")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>") and page.count("data:image/jpeg;base64,") >= 3
    assert all(f'id="figure-{name}"' in page for name in ("loss", "validation", "confusion", "scores"))
    assert set(json.loads((run / "evaluation.json").read_text(encoding="utf-8"))) >= {"val", "test"}
    assert list((run / "explain").glob("*.png"))


@pytest.mark.slow
def test_stopped_pipeline_leaves_the_test_set_closed(call: Call, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.cli import train
    from core.training.launchers import run_to_end

    def stopped_at_once(run: Run, *, resume: bool) -> Status:
        return run_to_end(run, resume=resume, on_event=lambda event: run.request("stop"))

    monkeypatch.setattr(train, "follow", stopped_at_once)
    code, _, err = call("pipeline", "--run", "halted", *SMALL)
    assert code == 130
    assert "--resume halted" in err
    assert not (lab / "checkpoints/halted/predictions/test.csv").exists()


def test_doctor_finds_every_package_and_decoder_here(call: Call) -> None:
    code, out, _ = call("doctor", "--json")
    findings = json.loads(out)
    assert code == 0, [finding for finding in findings if not finding["ok"]]
    assert {"torch", "streamlit", "DICOM JPEG2000Lossless"} <= {finding["subject"] for finding in findings}


def _documented_commands() -> list[str]:
    commands = []
    for name in ("README.md", "CONTRIBUTING.md", "config.yaml", "data/README.md", "checkpoints/README.md"):
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            _, found, rest = line.partition("python -m core ")
            command = rest.split("`")[0].split("   ")[0].strip()
            if found and "..." not in command and command:
                commands.append(command)
    return commands


@pytest.mark.parametrize("command", _documented_commands())
def test_command_in_the_documentation_is_accepted(command: str) -> None:
    if command == "--help":
        with pytest.raises(SystemExit):
            build_parser().parse_args([command])
        return
    assert build_parser().parse_args(shlex.split(command)).command


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "first", "{image}", "--out", "{image}"),
        ("predict", "first", "{table}", "--csv", "{table}"),
        ("data", "import", "csv", "{table}", "--out", "{table}"),
        ("explain", "first", "{image}", "--out", "overlay.xyz"),
    ],
)
def test_result_is_never_written_over_what_it_was_made_from(call: Call, lab: Path, arguments: tuple[str, ...]) -> None:
    rows = pd.read_csv(lab / "data/demo/manifest.csv")
    image = next(lab / "data/demo" / path for path in rows["path"] if path.endswith(".png"))
    files = {"image": image, "table": lab / "data/demo/manifest.csv"}
    before = {name: path.read_bytes() for name, path in files.items()}
    code, _, err = call(*(argument.format(**files) for argument in arguments))
    assert code == 1
    assert "expected a file name" in err or "would be overwritten" in err
    assert {name: path.read_bytes() for name, path in files.items()} == before
