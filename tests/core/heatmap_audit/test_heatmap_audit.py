"""The audit of a whole split: a network that sees bright spots, breasts whose lesions are bright spots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from builders.fake_run import FakeRun, card
from torch import nn

import core.heatmap_audit.image_auditor as images_module
import core.predict as predict_module
from core.config import load_config
from core.data import write_manifest
from core.data.cache import PreparedCache
from core.errors import BadConfig, BadManifest, BadRun, NotEnoughData
from core.evaluate import evaluate
from core.files.typed import from_plain, to_plain
from core.gradcam import Heatmap
from core.heatmap_audit import HeatmapAudit, audit_heatmaps, audited_splits, read_heatmap_audit
from core.heatmap_audit.results import ALL
from core.heatmap_audit.settings import AuditSettings
from core.heatmap_audit.store import audit_path
from core.model import Classifier
from core.predict import Predictor
from core.runs.test_set.accesses import accesses

RECIPE = load_config(
    None,
    ["preprocessing.size=64", "preprocessing.clahe=false", "preprocessing.window_low=0", "preprocessing.window_high=100"],
).preprocessing

SETTINGS = AuditSettings(perturbed=10, steps=4, samples=100)


class _Spots(nn.Module):
    """Malignant where a patch is far brighter than tissue: a map of 16 x 16, its maximum, a logit."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(1, 2, 4, stride=4)
        self.last = nn.Linear(2, 1)
        self.cam_layer_name = "act"
        self.cam_method = "hirescam"
        self.act = nn.ReLU()
        with torch.no_grad():
            self.mix.weight[0] = 1 / 16
            self.mix.weight[1].copy_(torch.linspace(-1, 1, 16).reshape(1, 4, 4))
            self.mix.bias.copy_(torch.tensor([-0.7, 0.0]))
            self.last.weight.copy_(torch.tensor([[20.0, 0.0]]))
            self.last.bias.fill_(-1.0)

    def get_classifier(self) -> nn.Module:
        return self.last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.act(self.mix(x)).amax((2, 3)))


def draw(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    """Every map, of the image as it is and of changed ones, comes from this function."""
    for module in (predict_module, images_module):
        monkeypatch.setattr(module, "heatmap", function)


def breast(seed: int, spot: tuple[int, int] | None) -> np.ndarray:
    image = np.zeros((96, 80), np.uint8)
    cv2.ellipse(image, (0, 48), (60, 40), 0, -90, 90, 110, -1)
    noise = np.random.default_rng(seed).normal(0, 6, image.shape)
    image = np.where(image > 0, (image + noise).clip(1, 150), 0).astype(np.uint8)
    image[48, 50] = 255  # one white speck in every breast, so that the window is the same
    if spot:
        cv2.circle(image, spot, 5, 255, -1)
    return image


def write(folder: Path, patients: int, split: str, seed: int) -> list[dict[str, Any]]:
    """Two images a patient; every second patient has a bright lesion in both, of which the manifest has the circle."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(patients):
        for view in ("CC", "MLO"):
            generator = np.random.default_rng(1000 * seed + 10 * number + len(view))
            spot = (int(generator.integers(10, 40)), int(generator.integers(28, 68))) if number % 2 else None
            path = folder / f"{split}{number}_{view}.png"
            cv2.imwrite(str(path), breast(1000 * seed + 10 * number + len(view), spot))
            circle = "" if spot is None else f"[[{spot[0] + 0.5}, {spot[1] + 0.5}, 5.5]]"
            rows.append(
                {
                    "path": str(path),
                    "label": "malignant" if spot else "benign",
                    "patient_id": f"{split}-{number}",
                    "laterality": "L",
                    "view": view,
                    "split": split,
                    "lesion_circles": circle,
                }
            )
    return rows


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    rows = write(tmp_path / "run" / "images", 2, "train", 1)
    rows += write(tmp_path / "run" / "images", 14, "val", 2) + write(tmp_path / "run" / "images", 6, "test", 3)
    pd.DataFrame(rows).to_csv(tmp_path / "run" / "manifest.csv", index=False)
    return FakeRun(
        tmp_path / "run", card(recipe=RECIPE.model_dump(mode="json"), recipe_hash=RECIPE.hash, weights_sha256="ab" * 32)
    )


@pytest.fixture
def predictor(run: FakeRun) -> Predictor:
    return Predictor(Classifier(_Spots(), name="spots", mean=0.0, std=1.0), run.model_card(), device="cpu")


def audit(run: FakeRun, predictor: Predictor, **changes: Any) -> HeatmapAudit:
    return audit_heatmaps(run, "val", predictor=predictor, **{"settings": SETTINGS, **changes})


def test_maps_that_show_the_lesions_are_found_to_do_so(run: FakeRun, predictor: Predictor) -> None:
    found = audit(run, predictor)
    method = found.method("hirescam")
    assert (found.images, found.patients, len(method.located)) == (28, 14, 14)
    for key in ("hit", "energy", "iou_area"):
        figure = method.metric(key)
        assert (figure.images, figure.patients) == (14, 7)
        assert figure.references["chance"].difference.low > 0, key
    assert method.metric("hit").value.value == 1.0
    for kind, better in (("deletion", -1), ("insertion", 1)):
        assert better * method.metric(kind).references["random"].difference.value > 0
        assert method.curve(kind).share == (0.0, 0.25, 0.5, 0.75, 1.0)
        assert {curve.order for curve in method.curves} == {"heatmap", "random", "centre"}
    assert method.metric("shifted_rank").value.value > 0.5
    assert any("malignant images with a known lesion (7 patients)" in sentence for sentence in method.verdict)


@pytest.mark.slow
def test_empty_maps_are_named_and_left_out(run: FakeRun, predictor: Predictor) -> None:
    method = audit(run, predictor).method("hirescam")
    benign = {row["path"] for row in run.manifest().query("split == 'val' and label == 'benign'").to_dict("records")}
    assert {case.path for case in method.flagged} == benign, "nothing there is bright enough"
    assert all("nothing" in case.flagged and not case.values for case in method.flagged)
    assert method.metric("off_breast").images == 14
    assert any("14 of 28 maps hold nothing" in sentence for sentence in method.verdict)


@pytest.mark.slow
def test_maps_off_the_breast_are_found_out(run: FakeRun, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    corner = np.zeros((64, 64), np.float32)
    corner[:6, 58:] = 1.0
    draw(monkeypatch, lambda *_, **__: Heatmap(corner, False, "hirescam", "act"))
    method = audit(run, predictor).method("hirescam")
    assert method.metric("off_breast").value.value == 1.0
    assert method.metric("hit").value.value == method.metric("energy").value.value == 0.0
    assert any(sentence.startswith("100.0% of the maps' energy lies off the breast") for sentence in method.verdict)
    assert len(method.worst) == 14 and method.worst[0].values["hit"] == 0.0


def test_the_lesion_itself_as_map_gets_everything(run: FakeRun, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[np.ndarray] = []
    real = images_module.lesion_mask

    def remembered(*arguments: Any) -> np.ndarray:
        masks.append(real(*arguments))
        return masks[-1]

    monkeypatch.setattr(images_module, "lesion_mask", remembered)
    draw(
        monkeypatch,
        lambda *_, **__: Heatmap((masks[-1] if masks else np.eye(64)).astype(np.float32), False, "hirescam", "act"),
    )
    method = audit(run, predictor, settings=replace(SETTINGS, perturbed=0)).method("hirescam")
    for case in method.located:
        assert case.values["hit"] == case.values["hit_exact"] == case.values["iou_area"] == case.values["iou_half"] == 1.0
        assert case.values["energy"] == pytest.approx(1.0)


@pytest.mark.slow
def test_what_was_written_is_read_back_equal_and_again_the_same_bytes(run: FakeRun, predictor: Predictor) -> None:
    assert read_heatmap_audit(run, "val") is None and audited_splits(run) == []
    found = audit(run, predictor)
    content = audit_path(run, "val").read_bytes()
    assert read_heatmap_audit(run, "val") == found and audited_splits(run) == ["val"]
    assert from_plain(HeatmapAudit, json.loads(json.dumps(to_plain(found)))) == found
    assert audit(run, predictor, again=True) == found
    assert audit_path(run, "val").read_bytes() == content
    assert [path.name for path in (run.path / "explain").iterdir()] == ["audit-val.json"]


@pytest.mark.slow
def test_another_method_joins_and_nothing_is_computed_twice(
    run: FakeRun, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = audit(run, predictor)
    both = audit(run, predictor, methods=("gradcam", "auto"))
    assert [method.method for method in both.methods] == ["gradcam", "hirescam"]
    assert both.method("hirescam") == first.method("hirescam")
    draw(monkeypatch, None)
    assert audit(run, predictor, methods=("gradcam",)) == both, "nothing is left to do"


@pytest.mark.slow
def test_an_audit_cut_short_goes_on_where_it_was(run: FakeRun, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = audit(run, predictor)
    audit_path(run, "val").unlink()

    class Cut(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 56
        if done == 28 + 9:
            raise Cut

    with pytest.raises(Cut):
        audit(run, predictor, progress=stop)
    partial = audit_path(run, "val").with_name(".audit-val-hirescam.jsonl")
    partial.write_text(partial.read_text(encoding="utf-8") + '{"case": {"pa', encoding="utf-8")
    asked: list[str] = []
    real = images_module.Look.__call__

    def counted(self: Any, subject: Any, **more: Any) -> Any:
        asked.append(subject.path)
        return real(self, subject, **more)

    monkeypatch.setattr(images_module.Look, "__call__", counted)
    assert audit(run, predictor) == whole
    assert len(asked) == 28 - 9


@pytest.mark.slow
@pytest.mark.parametrize("change", ["weights", "settings", "rows"])
def test_an_audit_of_something_else_is_not_kept(run: FakeRun, predictor: Predictor, change: str) -> None:
    audit(run, predictor)
    settings = SETTINGS
    if change == "weights":
        run.card["weights_sha256"] = "cd" * 32
        predictor.card = run.model_card()
    elif change == "settings":
        settings = replace(SETTINGS, steps=5)
    else:
        frame = pd.read_csv(run.path / "manifest.csv", dtype=str, keep_default_na=False)
        frame[frame["path"] != frame["path"].iloc[-13]].to_csv(run.path / "manifest.csv", index=False)
    found = audit(run, predictor, settings=settings, methods=("gradcam",))
    assert [method.method for method in found.methods] == ["gradcam"]


def test_a_limit_takes_whole_patients_and_says_so(run: FakeRun, predictor: Predictor) -> None:
    found = audit(run, predictor, limit=9)
    assert (found.images, found.patients) == (8, 4) and found.settings.limit == 9
    assert found.notes[0].startswith("A sample: 8 of 28 images")
    figure = found.method("hirescam").metric("hit")
    assert figure.value == "only 2 patients with such images: too few, at least 5 needed"
    assert found.method("hirescam").curves == ()


@pytest.mark.slow
def test_images_that_cannot_be_used_are_listed_with_the_reason(run: FakeRun, predictor: Predictor) -> None:
    rows = run.manifest().query("split == 'val'")
    gone, broken = rows["path"].iloc[0], rows["path"].iloc[3]
    Path(gone).unlink()
    frame = pd.read_csv(run.path / "manifest.csv", dtype=str, keep_default_na=False)
    frame.loc[frame["path"] == broken, "lesion_circles"] = "[[1, 2]]"
    frame.to_csv(run.path / "manifest.csv", index=False)
    found = audit(run, predictor)
    assert found.images == 27 and [path for path, _ in found.excluded] == [gone]
    case = next(case for case in found.method("hirescam").cases if case.path == broken)
    assert not case.located and "lesion_circles" in case.lesion and "off_breast" in case.values


@pytest.mark.slow
def test_the_test_set_is_audited_only_once_it_has_been_opened(run: FakeRun, predictor: Predictor) -> None:
    with pytest.raises(BadRun, match="has not been evaluated"):
        audit_heatmaps(run, predictor=predictor, settings=SETTINGS)
    evaluate(run, "test", predictor=predictor, cache=PreparedCache(run.path / "cache", RECIPE))
    assert audit_heatmaps(run, predictor=predictor, settings=SETTINGS).images == 12
    assert [(each.kind, each.images) for each in accesses(run.path)] == [("scored", 12), ("audit", 12)]


@pytest.mark.slow
def test_another_data_set_s_audit_leaves_out_what_another_run_has_in_an_unopened_test_set(
    run: FakeRun, predictor: Predictor, tmp_path: Path
) -> None:
    rows = write(tmp_path / "films", 12, "", 4)
    pd.DataFrame(rows).to_csv(tmp_path / "films" / "films.csv", index=False)
    other = run.path.parent / "other-run"
    other.mkdir()
    first = str(rows[0]["patient_id"])
    split = ["test" if str(row["patient_id"]) == first else "train" for row in rows]
    write_manifest(pd.DataFrame(rows).assign(split=split), other / "manifest.csv")
    found = audit(run, predictor, manifest=tmp_path / "films" / "films.csv")
    hidden = split.count("test")
    assert hidden and found.images == len(rows) - hidden
    assert {reason for _, reason in found.excluded} == {
        "it is a test image of other-run, whose test set has not been evaluated"
    }
    assert accesses(other) == ()


@pytest.mark.slow
def test_another_data_set_is_audited_whole_but_for_the_runs_own_images(
    run: FakeRun, predictor: Predictor, tmp_path: Path
) -> None:
    rows = write(tmp_path / "films", 12, "", 4)
    own = Path(run.manifest()["path"].iloc[0])
    copy = tmp_path / "films" / "copy.png"
    copy.write_bytes(own.read_bytes())
    rows += [rows[0] | {"path": str(own)}]
    pd.DataFrame(rows).to_csv(tmp_path / "films" / "films.csv", index=False)
    found = audit(run, predictor, manifest=tmp_path / "films" / "films.csv")
    assert found.split == "external-films" and found.external and found.images == 24
    assert found.excluded == ((str(own), "it belongs to the run's own data: audit its split"),)
    assert found.notes[0].startswith("Another data set")
    assert read_heatmap_audit(run, "external-films") == found and read_heatmap_audit(run, "val") is None
    assert audited_splits(run) == ["external-films"]


def test_wrong_calls_say_what_is_allowed(run: FakeRun, predictor: Predictor) -> None:
    with pytest.raises(BadManifest, match="expected one of train, val, test"):
        audit_heatmaps(run, "validation", predictor=predictor)
    with pytest.raises(BadManifest, match="external-NAME"):
        read_heatmap_audit(run, "../../elsewhere")
    with pytest.raises(BadConfig, match="hirescam"):
        audit(run, predictor, methods=("saliency",))
    with pytest.raises(BadConfig, match="got none"):
        audit(run, predictor, methods=())
    with pytest.raises(BadConfig, match="limit: expected at least 1, got 0"):
        audit(run, predictor, limit=0)
    predictor.card = predictor.card.model_copy(update={"weights_sha256": "ef" * 32})
    with pytest.raises(BadRun, match="not this run's saved one"):
        audit(run, predictor)


def test_a_split_without_a_readable_image_is_no_audit(run: FakeRun, predictor: Predictor) -> None:
    for path in run.manifest().query("split == 'val'")["path"]:
        Path(path).write_bytes(b"no image")
    with pytest.raises(NotEnoughData, match="none of the 28 images can be audited"):
        audit(run, predictor)
    assert audited_splits(run) == []


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 99}', '{"version": 1}'])
def test_a_damaged_audit_says_how_to_get_another(run: FakeRun, content: str) -> None:
    path = audit_path(run, "val")
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadRun, match="python -m core audit b0-clahe2 --split val"):
        read_heatmap_audit(run, "val")


@pytest.mark.slow
def test_every_row_of_the_table_says_what_it_rests_on(run: FakeRun, predictor: Predictor) -> None:
    rows = audit(run, predictor).table_rows()["hirescam"]
    titles = [title for title, *_ in rows]
    assert titles[0] == "Peak in or near the lesion (15 px of 500)" and len(set(titles)) == len(titles)
    hit = rows[0]
    assert hit[1] == "1.000" and hit[2].endswith(", 1.000]") and "chance 0." in hit[3] and "14 images of 7 patients" in hit[3]
    assert ALL not in titles[0]
