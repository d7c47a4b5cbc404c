"""Two runs on the same images: paired, matched by path, and only where neither has learned from the other's test patients."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from builders.copied import copied
from builders.fake_run import FakePredictor, FakeRun, card, events, make_run

from core.data import write_manifest
from core.errors import BadRun, Leakage, NotEnoughData
from core.evaluate import adjusted_p, compare, compare_evaluations, evaluate, read_evaluation
from core.metrics import TITLES, compare_auc, compare_runs
from core.metrics.proportions import paired_shares

# The level of the intervals, where a test does not set another.
compare_auc = partial(compare_auc, confidence=0.95)
compare_runs = partial(compare_runs, confidence=0.95)
paired_shares = partial(paired_shares, confidence=0.95)


class OtherPredictor(FakePredictor):
    """Another model: brightness with a little of the first one's score."""

    def score_pixels(self, pixels: np.ndarray) -> list[float]:
        first = super().score_pixels(pixels)
        return [0.2 * score + 0.8 * float(image.mean()) / 255 for score, image in zip(first, pixels, strict=True)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("template") / "first")
    run.name = "first"
    evaluate(run, "test", predictor=FakePredictor(run.card))
    return run.path


@pytest.fixture
def first(template: Path, tmp_path: Path) -> FakeRun:
    return FakeRun(copied(template, tmp_path / "first"), card(), events(), name="first")


def other_run(first: FakeRun, change=None) -> FakeRun:
    """A second run on the first one's images, its manifest changed by `change`."""
    folder = first.path.parent / "second"
    folder.mkdir()
    rows = first.manifest()
    write_manifest(rows if change is None else change(rows), folder / "manifest.csv")
    mine = card(weights_sha256="cd" * 32, threshold=0.25, thresholds={"breast": 0.3, "patient": 0.35})
    (folder / "model.json").write_text(json.dumps(mine), encoding="utf-8")
    run = FakeRun(folder, mine, name="second")
    evaluate(run, "test", predictor=OtherPredictor(mine))
    return run


@pytest.mark.slow
def test_figures_are_those_of_the_metrics_on_the_same_rows(first: FakeRun) -> None:
    second = other_run(first)
    found = compare(first, second)
    one, two = (read_evaluation(run).predictions for run in (first, second))
    y, groups = one["label"] == "malignant", one["patient_id"]
    assert found.statistics == compare_runs(y, one["score"], two["score"], groups, (0.5, 0.25), samples=100)
    assert found.statistics.auc == compare_auc(y, one["score"], two["score"], groups)
    called = one["score"] >= 0.5, two["score"] >= 0.25
    assert found.paired["sensitivity"] == paired_shares(called[0][y], called[1][y], groups[y])
    assert found.paired["specificity"] == paired_shares(~called[0][~y], ~called[1][~y], groups[~y])
    assert (found.images, found.only_first, found.only_second, found.thresholds) == (28, 0, 0, (0.5, 0.25))


@pytest.mark.slow
@pytest.mark.parametrize(("level", "rows", "limits"), [("breast", 14, (0.5, 0.3)), ("patient", 14, (0.5, 0.35))])
def test_levels_are_compared_at_their_own_thresholds(first: FakeRun, level, rows: int, limits: tuple) -> None:
    found = compare(first, other_run(first), level=level)
    assert (found.statistics.rows, found.thresholds, found.images) == (rows, limits, 28)
    assert found.rule == found.as_dict()["score_rule"] == f"mean of image scores over 2 images a {level}"


@pytest.mark.slow
def test_one_image_has_its_own_score_and_no_rule(first: FakeRun) -> None:
    assert compare(first, other_run(first)).rule == ""


@pytest.mark.slow
def test_a_run_against_itself_differs_by_nothing(first: FakeRun) -> None:
    evaluation = read_evaluation(first)
    found = compare_evaluations(evaluation, evaluation)
    assert found.statistics.metrics["auc"].difference.value == 0 and found.statistics.auc.p == 1.0
    assert found.paired["sensitivity"].p == 1.0


@pytest.mark.slow
def test_images_that_only_one_run_has_are_counted_and_left_out(first: FakeRun) -> None:
    second = other_run(first, lambda rows: rows[~rows["patient_id"].isin(["test-0", "test-1"])])
    found = compare(first, second)
    assert (found.images, found.only_first, found.only_second) == (24, 4, 0)
    assert found.matching == "24 images in both (4 only in first: left out)"


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_run_that_learned_from_the_others_test_patients_is_refused(first: FakeRun, split: str) -> None:
    second = other_run(
        first, lambda rows: rows.assign(split=rows["split"].where(~rows["patient_id"].isin(["test-2", "test-3"]), split))
    )
    for pair in ((first, second), (second, first)):
        with pytest.raises(
            Leakage, match=r"second was trained or tuned on 2 of the 14 patients and 4 of the 28 .*test-2, test-3"
        ):
            compare(*pair)


@pytest.mark.slow
def test_identical_files_under_another_name_are_found(first: FakeRun) -> None:
    second = other_run(first)
    rows = second.manifest()
    tested = rows.loc[rows["split"] == "test", "content_hash"].iloc[0]
    train = rows.index[rows["split"] == "train"][0]
    rows.loc[train, "content_hash"] = tested
    write_manifest(rows, second.path / "manifest.csv")
    with pytest.raises(Leakage, match="0 of the 14 patients and 1 of the 28 files"):
        compare(first, second)


@pytest.mark.slow
def test_other_labels_of_the_same_images_are_refused(first: FakeRun) -> None:
    second = other_run(first, lambda rows: rows.assign(label=rows["label"].where(rows["patient_id"] != "test-0", "malignant")))
    with pytest.raises(NotEnoughData, match="disagree"):
        compare(first, second)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "words"),
    [({"threshold": 0.6}, "threshold has been chosen again"), ({"weights_sha256": "ef" * 32}, "trained on")],
)
def test_a_model_that_changed_since_its_evaluation_is_named(first: FakeRun, changed: dict, words: str) -> None:
    second = other_run(first)
    assert compare(first, second).warnings == ()
    (second.path / "model.safetensors").touch()
    (second.path / "model.json").write_text(json.dumps(second.card | changed), encoding="utf-8")
    (warning,) = compare(first, second).warnings
    assert warning.startswith("second: ") and words in warning and "evaluate second --split test" in warning


@pytest.mark.slow
def test_two_splits_are_not_compared(first: FakeRun) -> None:
    evaluate(first, "val", predictor=FakePredictor(first.card))
    with pytest.raises(NotEnoughData, match="same split"):
        compare_evaluations(read_evaluation(first, "val"), read_evaluation(first, "test"))


@pytest.mark.slow
def test_a_run_without_figures_says_how_to_get_them(first: FakeRun) -> None:
    with pytest.raises(BadRun, match="evaluate first --split val"):
        compare(first, other_run(first), "val")


def test_comparing_a_run_with_itself_is_refused(first: FakeRun) -> None:
    with pytest.raises(BadRun, match=r"Expected two runs to compare, got first twice.*Name another run"):
        compare(first, first)


@pytest.mark.slow
def test_the_intervals_and_p_values_of_a_row_agree(first: FakeRun) -> None:
    found = compare(first, other_run(first))
    for name in ("sensitivity", "specificity"):
        change = found.paired[name]
        assert (change.difference.low > 0 or change.difference.high < 0) == (change.p < 0.05)
    notes = {row[0]: row[5] for row in found.table_rows()}
    assert notes["Specificity"].startswith("exact test of changed decisions: ")


@pytest.mark.slow
def test_equivalence_is_claimed_only_within_the_margin(first: FakeRun) -> None:
    evaluation = read_evaluation(first)
    assert "are equivalent: the whole 95% interval lies within ±0.05" in compare_evaluations(
        evaluation, evaluation
    ).equivalence(0.05)
    assert "equivalent" not in compare(first, other_run(first)).equivalence(0.001, "specificity").replace("equivalence", "")


def test_the_table_has_every_figure_and_plain_json_no_nan(first: FakeRun) -> None:
    found = compare(first, other_run(first))
    rows = {row[0]: row for row in found.table_rows()}
    assert list(rows) == list(TITLES.values()) and len(found.table_rows()) == len(TITLES)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["images"] == 28


def test_p_values_of_several_runs_are_adjusted_by_holm_and_a_run_without_a_test_counts_for_none(first: FakeRun) -> None:
    found = compare_evaluations(*(read_evaluation(first, "test"),) * 2)
    given = (0.01, None, 0.04, 0.03, 0.005)  # a worked example: 3 * 0.01, 2 * 0.03, not below it, 4 * 0.005
    every = []
    for p in given:
        auc = "too few" if p is None else replace(found.statistics.metrics["auc"], p=p)
        every.append(replace(found, statistics=replace(found.statistics, metrics={"auc": auc})))
    assert adjusted_p(every) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06), pytest.approx(0.02)]
    assert adjusted_p(every[:1]) == [0.01] and adjusted_p([]) == []
