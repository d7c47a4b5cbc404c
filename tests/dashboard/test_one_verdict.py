"""The same images by the same run, asked for in every place: all must give the same verdict, or the same reason for none."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.lab_pages import draw_breast
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from core.cli import main
from core.data import write_manifest
from core.data.cache import PreparedCache
from core.errors import LabError, Refused
from core.evaluate import evaluate
from core.files.paths import cache_root
from core.files.typed import to_plain
from core.gate import Distance, read_gate, write_gate
from core.gradcam import overlay, render
from core.heatmap_audit import audit_heatmaps
from core.heatmap_audit.settings import AuditSettings
from core.images import read
from core.metrics import Calibration, ThresholdRule
from core.model import update_card
from core.predict import Predictor
from core.prediction import Prediction
from core.preprocessing import prepare
from core.report.heatmaps import _SIDE, _draw
from core.report.material import read_material
from core.runs import Run
from dashboard.asgi import one_image
from dashboard.cache import images, results
from dashboard.cache.explanations import Ask
from dashboard.views.evaluate import heatmap_thumbnails as studio_heat

pytestmark = pytest.mark.filterwarnings("default")  # of Gradio's own imports


@dataclass(frozen=True)
class Said:
    """What a place says of an image; ... for what it does not tell."""

    score: Any = ...
    calibrated: Any = ...
    decision: Any = ...
    refusal: Any = ...
    warnings: Any = ...
    map: Any = ...
    threshold: Any = ...  # and in words which one it is


def dicom(path: Path, pixels: np.ndarray, modality: str, view: str = "") -> None:
    meta = FileMetaDataset()
    storage = CTImageStorage if modality == "CT" else SecondaryCaptureImageStorage
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = storage, meta.MediaStorageSOPInstanceUID, modality
    if view:
        ds.ViewPosition = view
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelData = pixels.tobytes()
    ds.save_as(path, enforce_file_format=True)


def odd_images(folder: Path) -> dict[str, Path]:
    """Images that get no verdict, each for another reason, and one that gets a doubt."""
    folder.mkdir()
    breast = draw_breast(77, height=64, width=48)
    coloured = np.repeat(breast[..., None], 3, axis=2)
    coloured[..., 0] //= 3
    rng = np.random.default_rng(0)
    stripes = np.where(np.arange(64)[:, None] // 3 % 2 == 0, rng.integers(150, 255, (64, 48)), 0)
    stripes[:, 40:] = 0
    pictures = {
        "uniform": np.full((64, 48), 128, np.uint8),
        "mask": np.where(breast > 0, 255, 0).astype(np.uint8),
        "colour": coloured,
        "far": stripes.astype(np.uint8),
    }
    paths = {name: folder / f"{name}.png" for name in pictures}
    for name, picture in pictures.items():
        cv2.imwrite(str(paths[name]), picture)
    for name, modality in (("ct", "CT"), ("unsaid", "OT")):
        paths[name] = folder / f"{name}.dcm"
        dicom(paths[name], breast, modality)
    return paths


@pytest.fixture
def asked(run: Run, tmp_path: Path) -> SimpleNamespace:
    """The run with a gate that refuses, a calibration, and the odd images among its validation images; its predictor."""
    odd = odd_images(tmp_path / "odd")
    calibration = to_plain(Calibration("logistic", slope=0.8, intercept=-0.3, rows=20))
    card = update_card(run.path, {"synthetic": True, "chance": "the AUC on validation is 0.5", "calibration": calibration})
    gate = read_gate(run.path, card)
    assert isinstance(gate, Distance) and not gate.refuses, "twenty validation images are too few to refuse any"
    write_gate(run.path, replace(gate, refuses=True), card)
    frame = run.manifest()
    own = frame.loc[frame["split"] == "val", "path"].astype(str).tolist()
    rows = [
        {"path": str(path), "label": "benign", "patient_id": name, "laterality": "L", "view": "CC", "split": "val"}
        for name, path in odd.items()
    ]
    write_manifest(pd.concat([frame, pd.DataFrame(rows)], ignore_index=True).fillna(""), run.path / "manifest.csv")
    return SimpleNamespace(run=run, odd=odd, paths=[*own[:3], *map(str, odd.values())], predictor=Predictor.from_run(run))


def map_of(predictor: Predictor, prediction: Prediction) -> Any:
    if prediction.score is None:
        with pytest.raises(Refused):
            predictor.explain(prediction)
        return None
    return predictor.explain(prediction).values


def whole(prediction: Prediction, heat: Any) -> Said:
    found = prediction
    limit = found.threshold, found.threshold_basis
    return Said(found.score, found.calibrated, found.decision, found.refusal, found.warnings, heat, limit)


# ---------------------------------------------------------------- the places


def by_many(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    found = asked.predictor.predict_many(asked.paths, score_anyway=anyway)
    return {str(each.path): whole(each, map_of(asked.predictor, each)) for each in found}


def by_prepared(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    said = {}
    for path in asked.paths:
        mammogram = read(path, window=asked.predictor.recipe.voi_index)
        prepared = prepare(mammogram, asked.predictor.recipe)
        prediction = asked.predictor.predict_prepared(prepared, mammogram, source=path, score_anyway=anyway)
        said[path] = whole(prediction, map_of(asked.predictor, prediction))
    return said


def by_cache(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    cache = PreparedCache(cache_root(), asked.predictor.recipe)
    found = asked.predictor.predict_cached([cache.get(path) for path in asked.paths], paths=asked.paths, score_anyway=anyway)
    return {path: whole(each, map_of(asked.predictor, each)) for path, each in zip(asked.paths, found, strict=True)}


def by_command(asked: SimpleNamespace, anyway: bool, capsys: pytest.CaptureFixture[str]) -> dict[str, Said]:
    option = ["--score-anyway"] if anyway else []
    capsys.readouterr()
    main(["predict", str(asked.run.path), *asked.paths, "--json", *option])
    rows = json.loads(capsys.readouterr().out)["predictions"]
    said = {}
    for path, row in zip(asked.paths, rows, strict=True):
        out = asked.run.path / "overlay.png"
        code = main(["explain", str(asked.run.path), path, "--out", str(out), *option])
        limit = row["threshold"], row["threshold_basis"] or ""
        said[path] = Said(row["score"], row["calibrated"], row["decision"], row["refusal"] or "", row["note"], threshold=limit)
        assert (code == 0) == (row["score"] is not None)
        if code == 0:
            said[path] = replace(said[path], map=cv2.imread(str(out))[..., ::-1])
            out.unlink()
    return said


def by_gradio(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    said = {}
    for path in asked.paths:
        found = one_image.score(asked.run.name, path, anyway=anyway)
        words, picture = found.verdict + found.details, found.values
        assert found.refused == ("No verdict" in words and not anyway)
        called = re.search('class="decision (benign|malignant)"', words)
        limit = re.search(r"the model's threshold (0\.\d{3})(?:, ([^(<.]*))?", html.unescape(words))
        threshold = (float(limit[1]), (limit[2] or "").strip()) if limit else ...
        said[path] = Said(warnings=words, map=picture, decision=called and called[1], threshold=threshold)
    return said


def by_explain(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    found = {path: results.explanation(asked.run, images.image_ref(path), Ask(anyway=anyway)) for path in asked.paths}
    return {path: whole(each.prediction, each.heat and each.heat.values) for path, each in found.items()}


def by_preprocess(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    recipe = asked.predictor.recipe
    found = {path: results.what_if(asked.run, images.image_ref(path), recipe) for path in asked.paths}
    return {path: whole(each.prediction, each.heat and each.heat.values) for path, each in found.items()}


def by_wall(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    found = {path: studio_heat.judged(asked.predictor, path) for path in asked.paths}
    return {path: whole(each, map_of(asked.predictor, each)) for path, each in found.items()}


def by_evaluation(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    found = evaluate(asked.run, "val", predictor=asked.predictor)
    rows = found.predictions.set_index("path")
    limits = dict(zip(rows.index, found.thresholds.at(rows["view"]), strict=True))
    called = {path: "malignant" if row["score"] >= limits[path] else "benign" for path, row in rows.iterrows()}
    right = [called[path] == row["label"] for path, row in rows.iterrows()]
    assert found.summary.counts.tp + found.summary.counts.tn == sum(right)
    said = {
        path: Said(
            row["score"], float(row["calibrated"]), called[path], threshold=(limits[path], found.thresholds.basis(row["view"]))
        )
        for path, row in rows.iterrows()
    }
    said |= {item.path: Said(None, None, None, item.reason) for item in found.excluded}
    entry = json.loads((asked.run.path / "evaluation.json").read_text(encoding="utf-8"))["val"]
    assert [item["kind"] for item in entry["excluded"]] == ["refused"] * 5
    return {path: said[path] for path in asked.paths}


def by_audit(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    audit = audit_heatmaps(asked.run, "val", settings=AuditSettings(perturbed=0, samples=50), predictor=asked.predictor)
    (method,) = audit.methods
    said = {case.path: Said(case.score, decision="malignant" if case.called else "benign") for case in method.cases}
    said |= {path: Said(None, None, None, reason) for path, reason in audit.excluded}
    return {path: said[path] for path in asked.paths}


def by_report(asked: SimpleNamespace, anyway: bool) -> dict[str, Said]:
    material = read_material(asked.run)
    said = {}
    for path in asked.paths:
        target = asked.run.path / "case.jpg"
        try:
            _draw(material, asked.predictor, path, target, target.with_suffix(".txt"))
        except LabError as error:
            said[path] = Said(refusal=str(error))
        else:
            said[path] = Said(refusal="", map=cv2.imread(str(target))[..., ::-1])
    return said


PLACES: dict[str, Callable[..., dict[str, Said]]] = {
    "predict_many": by_many,
    "predict_prepared": by_prepared,
    "predict_cached": by_cache,
    "command line": by_command,
    "Gradio tab": by_gradio,
    "Explain": by_explain,
    "Preprocess": by_preprocess,
    "Evaluate's images": by_wall,
    "evaluation": by_evaluation,
    "audit": by_audit,
    "report": by_report,
}
SCORING_ANYWAY = ("predict_many", "predict_prepared", "predict_cached", "command line", "Gradio tab", "Explain")


@pytest.mark.slow_but("Evaluate's images-False")
@pytest.mark.parametrize(("place", "anyway"), [*((name, False) for name in PLACES), *((name, True) for name in SCORING_ANYWAY)])
def test_every_place_gives_the_same_verdict(
    asked: SimpleNamespace, place: str, anyway: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"capsys": capsys} if place == "command line" else {}
    said = PLACES[place](asked, anyway, **more)
    assert list(said) == asked.paths
    for path in asked.paths:
        expected = asked.predictor.predict(path, score_anyway=anyway)
        compare(asked.predictor, expected, said[path], place)


@pytest.fixture
def by_view(asked: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """As `asked`, but MLO images are all called malignant, CC images all benign, and others by the common threshold; with an
    ML image and one whose view nobody knows."""
    rule = to_plain(ThresholdRule(per_view=True))
    update_card(asked.run.path, {"threshold_rule": rule, "view_thresholds": {"CC": 0.999, "MLO": 0.001}})
    folder = tmp_path / "views"
    folder.mkdir()
    frame = asked.run.manifest()
    rows, paths = [], {}
    for number, view in enumerate(("MLO", "CC", "ML", "")):
        paths[view] = folder / f"view{view}.png"
        cv2.imwrite(str(paths[view]), draw_breast(200 + number, height=64, width=48))
        row = {
            "path": str(paths[view]),
            "label": "benign",
            "patient_id": f"V{view}",
            "laterality": "L",
            "view": view,
            "split": "val",
        }
        rows.append(row)
    write_manifest(pd.concat([frame, pd.DataFrame(rows)], ignore_index=True).fillna(""), asked.run.path / "manifest.csv")
    predictor = Predictor.from_run(asked.run)
    return SimpleNamespace(run=asked.run, views=paths, paths=[*asked.paths, *map(str, paths.values())], predictor=predictor)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_every_place_judges_an_image_at_the_threshold_of_its_view(
    by_view: SimpleNamespace, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = PLACES[place](by_view, False, **({"capsys": capsys} if place == "command line" else {}))
    for path in by_view.paths:
        compare(by_view.predictor, by_view.predictor.predict(path), said[path], place)
    common = by_view.predictor.threshold
    expected = {
        "MLO": ("malignant", 0.001, "that of MLO images"),
        "CC": ("benign", 0.999, "that of CC images"),
        "ML": (..., common, "the common one: ML has none of its own"),
        "": (..., common, "the common one: the view is not known"),
    }
    for view, (decision, threshold, basis) in expected.items():
        found = said[str(by_view.views[view])]
        assert decision is ... or found.decision in (..., decision), f"{place}: {view}"
        assert found.threshold is ... or found.threshold == (pytest.approx(threshold, abs=6e-4), basis), f"{place}: {view}"


@pytest.mark.slow
def test_a_file_tells_its_view_where_the_manifest_does_not_know_it(by_view: SimpleNamespace, tmp_path: Path) -> None:
    def judged(source: Path | bytes) -> tuple[str, str]:
        found = by_view.predictor.predict(source)
        return found.view, found.threshold_basis

    breast, path = draw_breast(300, height=64, width=48), tmp_path / "with-header.dcm"
    dicom(path, breast, "OT", view="MLO")
    assert judged(path) == ("MLO", "that of MLO images")
    assert by_view.predictor.predict(path).decision == "malignant"
    bare = tmp_path / "elsewhere.png"
    cv2.imwrite(str(bare), breast)
    assert judged(bare) == ("", "the common one: the view is not known")
    # The same image under another name, or as an upload, is the one of the manifest where that has its content.
    frame = by_view.run.manifest()
    frame["content_hash"] = [hashlib.sha256(Path(each).read_bytes()).hexdigest() for each in frame["path"]]
    write_manifest(frame, by_view.run.path / "manifest.csv")
    by_view.predictor = Predictor.from_run(by_view.run)
    renamed = tmp_path / "renamed.png"
    renamed.write_bytes(by_view.views["CC"].read_bytes())
    assert judged(renamed) == judged(renamed.read_bytes()) == ("CC", "that of CC images")
    # What the manifest says stands above the header: by it the thresholds were chosen.
    frame.loc[frame["path"] == str(by_view.views["ML"]), "path"] = str(path)
    write_manifest(frame, by_view.run.path / "manifest.csv")
    by_view.predictor = Predictor.from_run(by_view.run)
    assert judged(path) == ("ML", "the common one: ML has none of its own")


def compare(predictor: Predictor, expected: Prediction, said: Said, place: str) -> None:
    about = f"{place}: {expected.path}"
    for name in ("score", "calibrated"):
        value, right = getattr(said, name), getattr(expected, name)
        assert value is ... or (value is None) == (right is None), about
        assert value in (..., None) or value == pytest.approx(right, abs=2e-5), about
    assert said.decision in (..., expected.decision), about
    if said.threshold is not ...:
        assert said.threshold[0] == pytest.approx(expected.threshold, abs=6e-4), about
        assert said.threshold[1] == expected.threshold_basis, about
    if said.refusal is not ...:
        assert bool(said.refusal) == bool(expected.refusal) and expected.refusal in said.refusal, about
    if isinstance(said.warnings, str):  # as text; in HTML some letters are written otherwise
        for warning in (expected.refusal, *expected.warnings):
            assert warning.split("'")[0] in said.warnings, about
        shown = "" if expected.score is None else f"{expected.score:.3f}"
        assert place != "Gradio tab" or not shown or f'class="score">{shown}' in said.warnings, about
        assert place != "Gradio tab" or expected.calibrated is None or f"{expected.calibrated:.3f}" in said.warnings, about
        assert ("scored anyway" in said.warnings.lower()) == expected.scored_anyway, about
    elif said.warnings is not ...:
        assert said.warnings == expected.warnings, about
    heat = map_of(predictor, expected)
    if said.map is ... or heat is None:
        assert said.map in (..., None), about
    elif said.map.ndim == 2:
        assert np.array_equal(said.map, heat), about
    elif place == "report":
        right = render(expected.prepared.pixels, heat, side=_SIDE)
        drawn = said.map[:, -right.shape[1] :]
        assert drawn.shape == right.shape and np.median(np.abs(drawn.astype(int) - right)) <= 4, about
    else:
        assert np.array_equal(said.map, overlay(expected.prepared, heat)), about


def test_each_odd_image_is_refused_for_its_own_reason(asked: SimpleNamespace) -> None:
    reasons = {
        "uniform": "no breast was found",
        "mask": "binary mask",
        "colour": "colour image",
        "far": "unlike the images the model was trained on",
        "ct": "modality is CT",
        "unsaid": "",
    }
    for name, words in reasons.items():
        found = asked.predictor.predict(asked.odd[name])
        assert (words in found.refusal) if words else not found.refusal, name
        assert (found.score is None) == (found.decision is None) == bool(found.refusal), name
        assert any("synthetic" in warning for warning in found.warnings)
        assert any("Not better than chance so far" in warning for warning in found.warnings)
        again = asked.predictor.predict(asked.odd[name], score_anyway=True)
        assert 0 <= again.score <= 1 and again.scored_anyway == bool(words)
        assert (again.decision is None) == (again.calibrated is None) == bool(words)
    assert any("only its appearance" in warning for warning in asked.predictor.predict(asked.odd["unsaid"]).warnings)
