"""Breasts from files: which files are of one, what is said of it, and a heatmap for each view."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders.dicom_factory import make_dicom
from builders.toy_breasts import draw_breasts
from builders.toy_training import toy_config

import core
from core.cli import main
from core.data.breasts import paths_of
from core.data.known_images import KnownImages
from core.data.pairing import pair_files
from core.errors import BadRun, Refused, UnreadableImage
from core.gradcam import Heatmap, heatmap
from core.gradcam.cam_layers import find_cam_layer
from core.model.fusion import slots_of
from core.model.view_codes import CC, MLO
from core.predict import Predictor
from core.predict_breasts import explain_breast, predict_breast, predict_breasts
from core.runs import Run
from core.training.loop import train


@pytest.fixture(scope="module", params=["attention", pytest.param("concat", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("two-views")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        config = toy_config(folder / "runs", model__views=2, model__fusion=request.param, training__epochs=3)
        made = Run.create(config, draw_breasts(folder / "images"), name=request.param)
        list(train(made))
    return made


def write_dicom(path: Path, patient: str, side: str, view: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (40, 32)).astype(np.uint16)
    path.write_bytes(make_dicom(pixels, PatientID=patient, ImageLaterality=side, ViewPosition=view))


@pytest.fixture
def predictor(run: Run) -> Predictor:
    return Predictor.from_run(run, device="cpu")


@pytest.fixture
def films(run: Run) -> list[Path]:
    """CC and MLO of one breast."""
    table = pd.read_csv(run.path / "predictions" / "val.csv")
    return [Path(path) for path in paths_of(table["paths"].iloc[0])]


def test_a_breast_has_the_score_that_its_threshold_was_chosen_on(run: Run, predictor: Predictor) -> None:
    table = pd.read_csv(run.path / "predictions" / "val.csv")
    for cell, score in zip(table["paths"], table["score"], strict=True):
        found = predict_breast(predictor, paths_of(cell), score_anyway=True)
        assert found.score == pytest.approx(score, abs=2e-6)
        assert found.threshold == run.model_card().threshold
        if not found.refusal:
            assert found.decision == ("malignant" if score >= found.threshold else "benign")


def test_one_image_is_judged_as_a_breast_with_a_missing_view_and_the_verdict_says_so(
    predictor: Predictor, films: list[Path]
) -> None:
    alone, single = predictor.predict(films[0], score_anyway=True), predict_breast(predictor, films[:1], score_anyway=True)
    assert alone.score == pytest.approx(single.score, abs=1e-6)
    assert any("other view is missing" in warning for warning in alone.warnings)
    assert "The breast was judged without its MLO." in single.warnings
    both = predict_breast(predictor, films, score_anyway=True)
    assert (both.views, single.views) == ("CC+MLO", "CC")
    assert not any("missing" in warning or "without its" in warning for warning in both.warnings)


def test_what_a_view_is_called_decides_for_a_fusion_that_goes_by_views(predictor: Predictor, films: list[Path]) -> None:
    turned = {films[0]: "MLO", films[1]: "CC"}
    scores = [predict_breast(predictor, films, views=views, score_anyway=True).score for views in (None, turned)]
    by_view = "concat" in type(predictor.model.fusion).__name__.lower()
    assert (scores[0] == pytest.approx(scores[1], abs=1e-7)) is not by_view


def test_a_file_that_cannot_be_read_is_a_missing_view_and_is_named(
    predictor: Predictor, films: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken_L_MLO.png"
    broken.write_bytes(b"no image")
    found = predict_breast(predictor, [films[0], broken], score_anyway=True)
    assert [path for path, _ in found.unread] == [broken] and len(found.images) == 1
    assert "broken_L_MLO.png is left out, as a missing view" in found.warnings[0]
    with pytest.raises(UnreadableImage, match="none of the 1 file of this breast"):
        predict_breast(predictor, [broken])


def test_an_image_that_should_not_be_judged_is_left_out_and_the_breast_judged_from_the_rest(
    predictor: Predictor, films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict_breast(predictor, films[:1], score_anyway=True)
    monkeypatch.setattr(predictor, "gate", "not asked here")
    monkeypatch.setattr(predictor, "refusal_of", lambda subject: "it is a photograph" if subject.path == films[1] else "")
    found = predict_breast(predictor, films)
    assert found.score == pytest.approx(whole.score, abs=1e-6) and found.decision is not None
    assert [image.left_out for image in found.images] == ["", "it is a photograph"]
    assert any(f"{films[1].name} is left out, as a missing view: it is a photograph" in each for each in found.warnings)
    monkeypatch.setattr(predictor, "refusal_of", lambda subject: "it is a photograph")
    refused = predict_breast(predictor, films)
    assert refused.score is None and refused.verdict == "No verdict: it is a photograph."
    with pytest.raises(Refused, match="no heatmap"):
        explain_breast(predictor, refused)
    anyway = predict_breast(predictor, films, score_anyway=True)
    assert anyway.score is not None and anyway.decision is None and anyway.scored_anyway and len(anyway.used) == 2


def test_images_of_both_sides_or_of_two_patients_get_no_verdict(predictor: Predictor, tmp_path: Path) -> None:
    files = {}
    for name, patient, side in (("a", "1", "L"), ("b", "1", "R"), ("c", "2", "L")):
        files[name] = tmp_path / f"{name}.dcm"
        write_dicom(files[name], patient, side, "CC")
    assert "both sides" in predict_breast(predictor, [files["a"], files["b"]]).refusal
    assert "several patients" in predict_breast(predictor, [files["a"], files["c"]]).refusal


class TestPairs:
    """Which files are of one breast."""

    def names(self, predictor: Predictor, files: list[Path], known: KnownImages | None = None) -> list[list[str]]:
        return [
            [path.name for path in paths]
            for paths, _ in pair_files(files, [each for each in (known, predictor.known_images) if each])
        ]

    def test_by_the_runs_manifest_also_where_the_file_was_copied_under_another_name(
        self, predictor: Predictor, films: list[Path], tmp_path: Path
    ) -> None:
        copied = tmp_path / "whatever.png"
        shutil.copy(films[1], copied)
        ((paths, views),) = pair_files([films[0], copied], [predictor.known_images])
        assert paths == (films[0], copied) and views == {films[0]: "CC", copied: "MLO"}

    def test_by_the_header_of_dicom_files(self, predictor: Predictor, tmp_path: Path) -> None:
        files = []
        for name, patient, side, view in (
            ("x", "7", "L", "CC"),
            ("y", "7", "R", "CC"),
            ("z", "7", "L", "MLO"),
            ("w", "8", "L", "CC"),
        ):
            files.append(tmp_path / f"{name}.dcm")
            write_dicom(files[-1], patient, side, view)
        assert self.names(predictor, files) == [["x.dcm", "z.dcm"], ["y.dcm"], ["w.dcm"]]
        assert pair_files(files, [])[0][1] == {files[0]: "CC", files[2]: "MLO"}

    def test_by_names_within_a_folder_and_a_file_without_a_side_is_alone(self, predictor: Predictor, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        names = ["P7_L_CC.png", "P7_R_CC.png", "P7_L_MLO.png", "P7_CC.png", "P7_MLO.png", "other/P7_L_CC.png"]
        files = [tmp_path / name for name in names]
        for number, path in enumerate(files):
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([number]) * 40)
        assert self.names(predictor, files) == [
            ["P7_L_CC.png", "P7_L_MLO.png"],
            ["P7_R_CC.png"],
            ["P7_CC.png"],
            ["P7_MLO.png"],
            ["P7_L_CC.png"],
        ]

    def test_by_a_manifest_that_is_given(self, predictor: Predictor, tmp_path: Path) -> None:
        files = [tmp_path / name for name in ("1.png", "2.png", "3.png")]
        for number, path in enumerate(files):
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([number]) * 40)
        rows = pd.DataFrame(
            {
                "path": list(map(str, files)),
                "patient_id": "q",
                "laterality": "R",
                "view": ["MLO", "CC", "CC"],
                "exam_id": ["1", "2", "1"],
            }
        )
        assert self.names(predictor, files, KnownImages(rows)) == [["1.png", "3.png"], ["2.png"]]

    def test_every_file_is_answered_for(self, predictor: Predictor, run: Run, tmp_path: Path) -> None:
        files = [Path(path) for path in run.manifest()["path"].head(7)]
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no image")
        done: list[tuple[int, int]] = []
        found = list(predict_breasts(predictor, [*files, broken], lambda *each: done.append(each), score_anyway=True))
        assert sorted(path for paths, _ in found for path in paths) == sorted([*files, broken])
        assert done[-1] == (8, 8) and len(done) == len(found)
        assert isinstance(found[-1][1], str) and all(not isinstance(each, str) for _, each in found[:-1])


def test_the_heatmap_of_a_view_is_grad_cam_through_the_fusion(predictor: Predictor, films: list[Path]) -> None:
    breast = predict_breast(predictor, films, score_anyway=True)
    maps = explain_breast(predictor, breast, method="gradcam", target="malignant")
    model, images = predictor.model, torch.stack([torch.from_numpy(i.prepared.pixels)[None] / 255 for i in breast.used])
    layer = find_cam_layer(model)
    kept: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logit = model(images, slots_of([2]), torch.tensor([CC, MLO]))
    handle.remove()
    (gradients,) = torch.autograd.grad(logit.sum(), kept)
    raw = torch.relu((gradients.mean((2, 3), keepdim=True) * kept[0]).sum(1)).detach().numpy()
    for found, expected in zip(maps, raw, strict=True):
        assert isinstance(found, Heatmap)
        assert found.peak == pytest.approx(float(expected.max() - expected.min()), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("method", ["gradcam++", "hirescam", "layercam", "eigencam", "scorecam"])
def test_every_method_gives_a_map_a_view_and_leaves_the_model_as_it_was(
    predictor: Predictor, films: list[Path], method: str
) -> None:
    breast = predict_breast(predictor, films, score_anyway=True)
    before = {name: value.clone() for name, value in predictor.model.state_dict().items()}
    maps = explain_breast(predictor, breast, method=method)
    assert [each.values.shape for each in maps] == [(32, 32)] * 2
    assert all(torch.equal(value, before[name]) for name, value in predictor.model.state_dict().items())
    assert not predictor.model.training and all(parameter.grad is None for parameter in predictor.model.parameters())


def test_a_single_image_is_explained_as_it_was_scored(predictor: Predictor, films: list[Path]) -> None:
    alone = predictor.predict(films[0], score_anyway=True)
    breast = predict_breast(predictor, films[:1], score_anyway=True)
    one, (other,) = predictor.explain(alone, method="hirescam"), explain_breast(predictor, breast, method="hirescam")
    np.testing.assert_array_equal(one.values, other.values)
    both = predictor.evidence(alone, method="hirescam")
    assert both.malignant.peak == pytest.approx(one.peak)


@pytest.mark.slow
def test_a_model_of_single_images_judges_no_breast(run: Run, films: list[Path]) -> None:
    config = run.config()
    one = Run.create(
        config.model_copy(update={"model": config.model.model_copy(update={"views": 1})}),
        run.manifest(),
        name=f"one-view-{run.name}",
    )
    list(train(one))
    predictor = Predictor.from_run(one, device="cpu")
    assert not predictor.judges_breasts
    with pytest.raises(BadRun, match="judges single images"):
        predict_breast(predictor, films)
    plain = predictor.explain(predictor.predict(films[0], score_anyway=True))
    assert plain.values.shape == heatmap(predictor.model, predictor.predict(films[0]).prepared).values.shape


class TestCommand:
    """`predict` and `explain` with a model of two views."""

    def test_predict_prints_a_row_a_breast(
        self, run: Run, films: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = tmp_path / "out.csv"
        main(["predict", str(run.path), *map(str, films), "--score-anyway", "--csv", str(table)])
        printed = capsys.readouterr().out
        assert printed.startswith("breast") and f"{films[0]} + {films[1]}" in printed
        rows = pd.read_csv(table)
        assert len(rows) == 1 and rows["view"].tolist() == ["CC+MLO"]
        main(["predict", str(run.path), *map(str, films), "--score-anyway", "--csv", str(table)])  # it may replace its own

    @pytest.mark.slow
    def test_explain_writes_a_picture_a_view(
        self, run: Run, films: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "heat.png"
        assert main(["explain", str(run.path), *map(str, films), "--score-anyway", "--out", str(out)]) == 0
        assert {path.name for path in tmp_path.glob("heat*.png")} == {"heat-1.png", "heat-2.png"}
        assert "heat-2.png: MLO" in capsys.readouterr().out
        assert main(["explain", str(run.path), str(films[0]), "--score-anyway", "--target", "both", "--out", str(out)]) == 0
        assert out.is_file()


def test_the_public_predictor_judges_and_explains_a_breast(run: Run, films: list[Path]) -> None:
    predictor = core.Predictor.from_run(run)
    found = predictor.predict_breast(films, score_anyway=True)
    assert isinstance(found, core.BreastPrediction) and len(predictor.explain_breast(found)) == 2
    assert len(list(predictor.predict_breasts(films))) == 1
