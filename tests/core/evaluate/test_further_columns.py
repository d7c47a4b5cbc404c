"""Columns that MammoLab has no name for: what could be a shortcut is audited, what cannot is left out with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.fake_run import FakePredictor, FakeRun, make_run

from core.config.schema import EvaluationConfig
from core.evaluate import Evaluation, evaluate, remake
from core.evaluate.further import MOST, FurtherColumn, further_columns, sentence_of
from core.evaluate.metadata import grouping
from core.evaluate.subgroup_tests import omnibus_sentence
from core.files.typed import from_plain, to_plain
from core.metrics.features import feature_words
from core.metrics.omnibus import Omnibus

N = 400


def manifest(**columns: object) -> pd.DataFrame:
    """200 patients with two images each, and further columns."""
    index = np.arange(N)
    base = {"path": [f"{i}.png" for i in index], "patient_id": [f"p{i // 2}" for i in index], "label": "benign"}
    return pd.DataFrame({**base, "laterality": "L", "view": "CC", "split": "train", **columns})


def found(settings: EvaluationConfig | None = None, **columns: object) -> dict[str, FurtherColumn]:
    return {each.name: each for each in further_columns(manifest(**columns), settings or EvaluationConfig())}


RANDOM = np.random.default_rng(0)
SOME = RANDOM.integers(0, 7, N)


@pytest.mark.parametrize(
    ("name", "values", "read"),
    [
        ("kVp", RANDOM.integers(24, 35, N), "number"),
        ("BodyPartThickness", RANDOM.integers(20, 90, N), "number"),
        ("exposure", RANDOM.normal(80, 9, N).round(1), "number"),
        ("compression_force_n", RANDOM.integers(60, 160, N), "number"),
        ("a_ratio_nobody_knows", RANDOM.normal(0, 1, N), "number"),
        ("unheard_of", RANDOM.normal(0, 1, N), "number"),
        ("hospital_code", SOME * 17 + 3, "category"),
        ("detector_id", SOME + 100, "category"),
        ("unheard_of_code", SOME, "category"),
        ("paddle", np.array(["18x24", "24x30"])[SOME % 2], "category"),
        ("menopausal", SOME > 3, "category"),
        ("density_birads", np.array(["a", "b", "c", "d"])[SOME % 4], "category"),
        ("software_version", SOME / 10 + 1, "category"),
        ("dataset", np.array(["one", "two"])[SOME % 2], "category"),
    ],
)
def test_what_says_how_an_image_was_made_is_audited_as_a_number_or_a_category(name: str, values: np.ndarray, read: str) -> None:
    each = found(**{name: values.astype(str)})[name]
    assert (each.read, each.outcome, each.named) == (read, False, False) and each.why


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("accession", [f"A{i}" for i in range(N)], "identifier"),
        ("StudyInstanceUID", [f"1.2.{i % 9}" for i in range(N)], "identifier"),
        ("patient_name", ["Doe", "Roe"] * (N // 2), "identifier"),
        ("image_id", SOME, "identifier"),
        ("Unnamed: 0", range(N), "identifier"),
        ("whatever", [f"w{i // 2}" for i in range(N)], "rather are identifiers"),
        ("serial", range(N), "may be identifiers"),
        ("acquired", [f"2019-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)], "date"),
        ("birth_year_and_date", SOME, "date"),
        ("told", [f"the woman was seen {i % 3} times before" for i in range(N)], "free text"),
        ("fold", SOME, "a split"),
        ("official_split", SOME, "another purpose"),
        ("split_official", SOME, "another purpose"),
        ("label_rule", SOME, "another purpose"),
        ("room", ["one"] * N, "the same"),
        ("grid", [""] * N, "empty"),
    ],
)
def test_what_cannot_be_a_shortcut_is_left_out_with_its_reason(name: str, values: object, why: str) -> None:
    each = found(**{name: [str(value) for value in values]})[name]  # type: ignore[attr-defined]
    assert each.read == "" and why in each.why and not each.outcome


@pytest.mark.parametrize(
    "name", ["birads", "BI-RADS", "pathology", "biopsy", "difficult_negative_case", "assessment", "histology_grade", "recalled"]
)
def test_what_was_found_or_decided_is_named_as_that_and_no_shortcut(name: str) -> None:
    each = found(**{name: SOME.astype(str)})[name]
    assert each.read == "" and each.outcome and "found or decided" in each.why
    asked = found(EvaluationConfig(category_columns=(name,)), **{name: SOME.astype(str)})[name]
    assert asked.read == "category" and asked.outcome and "found or decided" in asked.why


def test_a_label_under_another_name_is_known_by_its_words() -> None:
    each = found(thing=["benign", "malignant"] * (N // 2))["thing"]
    assert each.outcome and not each.read


def test_the_settings_count_before_the_rules_and_what_they_cannot_have_is_said() -> None:
    settings = EvaluationConfig(numeric_columns=("code", "words", "few", "gone"), category_columns=("kvp", "view"))
    columns = found(settings, code=range(N), words=["x", "y"] * (N // 2), few=SOME % 3, kvp=RANDOM.integers(20, 40, N))
    assert {name: each.read for name, each in columns.items()} == {
        "code": "number", "words": "category", "few": "category", "gone": "", "kvp": "category", "view": "",
    }  # fmt: skip
    assert "holds words" in columns["words"].why and "at most 5" in columns["few"].why
    assert "no such column" in columns["gone"].why and "itself" in columns["view"].why
    assert all(each.named for each in columns.values())


def test_columns_in_another_order_are_read_the_same_and_very_many_are_not_all_taken() -> None:
    frame = manifest(**{f"c{i:02d}": SOME.astype(str) for i in range(MOST + 3)})
    every = further_columns(frame, EvaluationConfig())
    assert every == further_columns(frame[frame.columns[::-1]].sample(frac=1, random_state=1), EvaluationConfig())
    assert sum(bool(each.read) for each in every) == MOST and "settings name them" in every[-1].why
    named = further_columns(frame, EvaluationConfig(category_columns=(every[-1].name,)))
    assert {each.name: each.read for each in named}[every[-1].name] == "category"
    assert all(from_plain(FurtherColumn, to_plain(each)) == each for each in every)


def test_a_sentence_says_what_was_used_and_what_was_not() -> None:
    said = sentence_of(tuple(found(vendor_code=SOME.astype(str), birads=SOME.astype(str)).values()))
    assert said == "Further columns of the manifest that were audited: vendor_code (category). " + (
        "Not audited, since what was found or decided about the case is no shortcut: birads."
    )
    assert sentence_of(()) == ""


def scored(run: FakeRun, **options) -> Evaluation:
    return evaluate(run, "test", predictor=FakePredictor(run.card), **options)


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return make_run(tmp_path / "b0-clahe2")


def with_columns(run: FakeRun) -> None:
    random = np.random.default_rng(3)
    frame = pd.read_csv(run.path / "manifest.csv", dtype=str, keep_default_na=False)
    frame["paddle"] = np.where(random.random(len(frame)) < 0.5, "small", "large")
    frame["thickness"] = random.integers(20, 90, len(frame)).astype(str)
    frame["pathology"] = np.where(frame["label"] == "malignant", "IDC", "none")
    frame.to_csv(run.path / "manifest.csv", index=False)


@pytest.mark.slow
def test_further_columns_are_audited_and_kept_with_the_evaluation(run: FakeRun) -> None:
    with_columns(run)
    evaluation = scored(run)
    read = {each.name: each.read for each in evaluation.further}
    assert read == {"paddle": "category", "thickness": "number", "pathology": ""}
    assert {"paddle", "thickness"} <= {row.feature for row in evaluation.shortcuts.features}
    assert "pathology" not in evaluation.predictions.columns and not evaluation.shortcuts.of_outcome
    assert {"paddle", "thickness"}.isdisjoint(row.feature for row in evaluation.subgroups)
    assert [each["name"] for each in evaluation.to_dict()["further"]] == ["paddle", "pathology", "thickness"]


@pytest.mark.slow
def test_named_columns_make_subgroups_and_omnibus_tests_numbers_in_thirds(run: FakeRun) -> None:
    with_columns(run)
    settings = EvaluationConfig(bootstrap_samples=100, numeric_columns=("thickness",), category_columns=("paddle",))
    evaluation = scored(run, settings=settings)
    values = {name: [row.value for row in evaluation.subgroups if row.feature == name] for name in ("paddle", "thickness")}
    assert values["paddle"] == ["large", "small"] and len(values["thickness"]) == 3
    assert values["thickness"][0].startswith("up to ") and values["thickness"][2].startswith("over ")
    assert "paddle" in {row.feature for row in evaluation.omnibus}


@pytest.mark.slow
def test_an_outcome_that_the_settings_name_stands_apart_from_all_together(run: FakeRun) -> None:
    with_columns(run)
    plain = scored(run).shortcuts
    asked = scored(run, settings=EvaluationConfig(bootstrap_samples=100, category_columns=("pathology",))).shortcuts
    assert "pathology" in asked.apart and asked.metadata == plain.metadata
    assert asked.of_outcome.startswith("Not metadata of the image") and "Pathology 1.000" in asked.of_outcome
    assert {row.feature: row for row in asked.features}["all together"] == plain.features[-1]


@pytest.mark.slow
def test_remaking_takes_columns_from_the_manifest_that_the_stored_predictions_lack(run: FakeRun) -> None:
    with_columns(run)
    settings = EvaluationConfig(bootstrap_samples=100, numeric_columns=("thickness",), category_columns=("pathology",))
    scored(run)
    again = remake(run, settings=settings)  # type: ignore[arg-type]
    assert "pathology" in again.columns and "thickness" in {row.feature for row in again.subgroups}
    fresh = scored(run, settings=settings)
    assert again.shortcuts == fresh.shortcuts and again.subgroups == fresh.subgroups and again.further == fresh.further


def test_number_bands_keep_equal_numbers_together_and_few_numbers_as_they_are() -> None:
    settings = EvaluationConfig(numeric_columns=("dose", "grade"))
    frame = pd.DataFrame({"dose": [*"1" * 50, *map(str, range(2, 52)), ""], "grade": [str(i % 3) for i in range(101)]})
    bands = grouping(frame, settings)
    assert bands["dose"].value_counts().to_dict() == {"up to 1": 50, "over 18": 33, "over 1 to 18": 17, "unknown": 1}
    assert set(bands["grade"]) == {"0", "1", "2"}


def test_a_sentence_about_features_names_them_by_their_titles() -> None:
    rows = [Omnibus("laterality", "auc", 2, 9.0, 0.001, 0.002, 2), Omnibus("kVp", "auc", 3, 9.0, 0.001, 0.002, 2)]
    said = omnibus_sentence(rows)
    assert "Side (AUC, p = 0.002), kVp (AUC, p = 0.002)" in said and "laterality" not in said
    assert feature_words("density") == "breast density" and feature_words("birads") == "BI-RADS"
