"""The audit finds a planted shortcut, finds none where there is none, and sees through it within strata."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from core.errors import NotEnoughData
from core.files.typed import from_plain, to_plain
from core.metrics.bootstrap import Patients
from core.metrics.calibration import clustered_logistic
from core.metrics.features import ALL
from core.metrics.intervals import Interval
from core.metrics.shortcut_columns import IMAGES_OF_PATIENT, SIDES_OF_PATIENT, columns_for_audit, with_counts
from core.metrics.shortcut_results import Metadata, ShortcutAudit
from core.metrics.shortcuts import shortcut_audit, strata_of

# The level of the intervals, where a test does not set another.
clustered_logistic = partial(clustered_logistic, confidence=0.95)
shortcut_audit = partial(shortcut_audit, confidence=0.95)


def cohort(patients: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Malignant patients are older and mostly from scanner B; the side says nothing."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), 4)
    malignant = random.random(patients) < 0.4
    age = np.round(random.normal(55 + 8 * malignant, 9))
    scanner = np.where(random.random(patients) < np.where(malignant, 0.85, 0.25), "B", "A")
    metadata = pd.DataFrame(
        {"age": age[groups], "scanner": scanner[groups], "laterality": np.tile(list("LLRR"), patients), "site": "one"}
    )
    metadata.loc[::17, "age"] = np.nan
    return malignant[groups], groups, metadata


@pytest.mark.slow
def test_a_planted_shortcut_is_found_and_a_useless_column_is_at_chance() -> None:
    y, groups, metadata = cohort()
    audit = shortcut_audit(y, np.random.default_rng(1).random(y.size), groups, metadata)
    found = {row.feature: row for row in audit.features}
    assert list(found) == ["scanner", "age", "laterality", ALL]
    assert found["scanner"].auc.low > 0.7 and found["age"].auc.low > 0.55
    assert found["laterality"].auc.value == pytest.approx(0.5, abs=0.03)
    assert found[ALL].auc.value > found["scanner"].auc.value and found[ALL].boosting.low > 0.7
    assert audit.left_out == ("site",) and audit.folds == 5
    assert (audit.images, audit.patients) == (960, 240)


@pytest.mark.slow
def test_a_model_that_only_reads_the_scanner_is_worth_nothing_within_scanners() -> None:
    y, groups, metadata = cohort()
    random = np.random.default_rng(2)
    cheat = (metadata["scanner"] == "B").to_numpy() + 0.3 * random.random(y.size)
    honest = 1.5 * y + random.normal(size=240)[groups]
    cheats, honests = ({row.feature: row for row in shortcut_audit(y, s, groups, metadata).features} for s in (cheat, honest))
    assert shortcut_audit(y, cheat, groups, metadata).model.value > 0.75
    assert cheats["scanner"].within.low < 0.5 < cheats["scanner"].within.high
    assert honests["scanner"].within.low > 0.7 and honests[ALL].within.low > 0.6
    assert 0.2 < honests["scanner"].pairs < 0.8


@pytest.mark.slow
def test_the_audit_is_the_same_again_and_the_seed_moves_the_folds() -> None:
    y, groups, metadata = cohort(100)
    s = np.random.default_rng(0).random(y.size)
    first = shortcut_audit(y, s, groups, metadata)
    assert shortcut_audit(y, s, groups, metadata) == first
    assert shortcut_audit(y, s, groups, metadata, seed=1).features[-1].auc != first.features[-1].auc


def test_patients_stay_in_one_fold_so_that_their_name_tells_nothing() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    y = random.random(60)[groups] < 0.5
    audit = shortcut_audit(y, random.random(y.size), groups, pd.DataFrame({"name": [f"p{g % 45}" for g in groups]}))
    assert audit.features[0].auc.low < 0.5 or audit.features[0].auc.value < 0.6


@pytest.mark.parametrize("column", [np.full(960, np.nan), [f"image {i}" for i in range(960)], ["same"] * 960, [""] * 960])
def test_columns_that_cannot_tell_are_left_out(column: object) -> None:
    y, groups, metadata = cohort()
    audit = shortcut_audit(y, np.linspace(0, 1, y.size), groups, pd.DataFrame({"x": column, "age": metadata["age"]}))
    assert audit.left_out == ("x",) and [row.feature for row in audit.features] == ["age"]


def test_truth_values_and_text_numbers_are_understood() -> None:
    y, groups, metadata = cohort()
    frame = pd.DataFrame(
        {"inverted": y ^ (groups % 7 == 0), "years": metadata["age"].map(lambda a: "" if np.isnan(a) else str(a))}
    )
    found = {
        row.feature: row.auc for row in shortcut_audit(y, np.linspace(0, 1, y.size), groups, frame, numeric=["years"]).features
    }
    assert found["inverted"].low > 0.75 and found["years"].low > 0.55


def test_no_metadata_is_an_audit_without_rows() -> None:
    y, groups, _ = cohort(60)
    audit = shortcut_audit(y, np.linspace(0, 1, y.size), groups, pd.DataFrame(index=range(y.size)))
    assert audit.features == () and audit.left_out == ()


def test_a_column_that_decides_the_label_leaves_no_pairs_within() -> None:
    y, groups, _ = cohort()
    row = shortcut_audit(y, np.linspace(0, 1, y.size), groups, pd.DataFrame({"folder": np.where(y, "m", "b")})).features[0]
    assert row.auc.value == 1.0 and "within a stratum" in row.within and row.pairs == 0.0


def test_too_few_patients_are_refused() -> None:
    y, groups, metadata = cohort(8)
    with pytest.raises(NotEnoughData, match="Shortcut audit: "):
        shortcut_audit(y, np.linspace(0, 1, y.size), groups, metadata)


def test_numbers_are_cut_into_fifths_and_categories_kept() -> None:
    bands, banded = strata_of(pd.Series([*range(100), np.nan]), numeric=True)
    assert banded and sorted(np.unique(bands, return_counts=True)[1].tolist()) == [1, 20, 20, 20, 20, 20]
    for column, numeric, values in (
        (["CC", "MLO", ""], False, ["CC", "MLO", "unknown"]),
        ([1, 2, 2], True, ["1", "2", "2"]),
        ([*range(100)], False, [str(code) for code in range(100)]),
    ):
        strata, banded = strata_of(pd.Series(column), numeric=numeric)
        assert strata.tolist() == values and not banded


@pytest.mark.slow
def test_scanner_codes_are_categories_and_the_same_audit_as_their_names() -> None:
    """Codes whose order means nothing: a slope over them, and fifths of them, would be figures of another column."""
    random = np.random.default_rng(4)
    groups = np.repeat(np.arange(300), 3)
    y = (random.random(300) < 0.4)[groups]
    codes = np.array([21, 29, 48, 49, 93, 170, 190, 210, 216])
    scanner = codes[(random.integers(0, 9, 300) + y[::3] * 2) % 9][groups]
    s = random.normal(size=300)[groups] + 0.8 * y + random.normal(size=y.size)
    names = np.array([f"scanner {code:03d}" for code in scanner])
    found, named, number = (
        shortcut_audit(y, s, groups, pd.DataFrame({"scanner": column}), numeric=numeric).features[0]
        for column, numeric in ((scanner.astype(str), ()), (names, ()), (scanner.astype(str), ("scanner",)))
    )
    assert found == named and found.auc != number.auc and found.pairs < number.pairs
    same = scanner[y][:, None] == scanner[~y][None, :]
    wins = (s[y][:, None] > s[~y][None, :])[same].mean()
    assert found.within.value == pytest.approx(wins, abs=1e-12) and found.pairs == pytest.approx(same.mean(), abs=1e-12)


def test_the_images_and_sides_of_each_patient_enter_the_audit() -> None:
    """Malignant patients with one breast, benign ones with both: their number tells the label, whatever the pixels show."""
    frame = pd.DataFrame({"patient_id": ["a", "a", "b", "b", "b", "b", "c"], "laterality": ["L", "L", "L", "L", "R", "R", ""]})
    counted = with_counts(frame)
    assert counted[IMAGES_OF_PATIENT].tolist() == [2, 2, 4, 4, 4, 4, 1]
    assert counted[SIDES_OF_PATIENT].tolist() == ["1", "1", "2", "2", "2", "2", ""]
    assert columns_for_audit(counted) == ["laterality", IMAGES_OF_PATIENT, SIDES_OF_PATIENT]


@pytest.mark.slow
def test_a_model_of_single_images_is_not_compared_with_how_many_images_a_patient_has() -> None:
    """Malignant patients with one breast: the number of images tells the label, and no image shows that number."""
    y, groups, metadata = cohort()
    keep = ~y | (metadata["laterality"] == "L").to_numpy()
    y, groups, metadata = y[keep], groups[keep], metadata[keep].reset_index(drop=True)
    s = 1.5 * y + np.random.default_rng(2).normal(size=240)[groups]
    counted = with_counts(metadata.assign(patient_id=groups.astype(str)))
    audit = shortcut_audit(y, s, groups, counted[columns_for_audit(counted)])
    without = shortcut_audit(y, s, groups, metadata)
    found = {row.feature: row for row in audit.features}
    assert found[IMAGES_OF_PATIENT].auc.value == found[SIDES_OF_PATIENT].auc.value == 1.0
    assert found[ALL] == without.features[-1] and audit.metadata == without.metadata
    assert "number of images 1.000" in audit.of_patient and "leave them out" in audit.of_patient and without.of_patient == ""
    assert from_plain(ShortcutAudit, to_plain(audit)) == audit
    earlier = from_plain(ShortcutAudit, {name: value for name, value in to_plain(audit).items() if name != "apart"})
    assert "include these numbers" in earlier.of_patient
    numbers = shortcut_audit(y, s, groups, counted[[IMAGES_OF_PATIENT, SIDES_OF_PATIENT]])
    assert numbers.metadata is None and ALL not in [row.feature for row in numbers.features]


@pytest.mark.slow
def test_an_audit_is_plain_json_without_nan() -> None:
    y, groups, metadata = cohort(100)
    told = to_plain(shortcut_audit(y, np.linspace(0, 1, y.size), groups, metadata))
    assert json.loads(json.dumps(told, allow_nan=False)).keys() == told.keys()


def test_only_columns_that_are_there_are_audited() -> None:
    frame = pd.DataFrame(columns=["path", "label", "view", "age", "paddle", "score"])
    assert columns_for_audit(frame) == ["age", "view"]
    assert columns_for_audit(frame, ["paddle", "age", "none"]) == ["age", "view", "paddle"]


def test_what_the_training_images_teach_is_asked_of_the_others() -> None:
    y, groups, metadata = cohort(400)
    s = np.random.default_rng(1).random(y.size)
    taught = groups < 200
    audit = shortcut_audit(y[~taught], s[~taught], groups[~taught], metadata[~taught], training=(y[taught], metadata[taught]))
    found = {row.feature: row for row in audit.features}
    assert (audit.learned_on, audit.folds, audit.images) == (taught.sum(), 0, (~taught).sum())
    assert found["scanner"].auc.low > 0.65 and found[ALL].auc.low > 0.7 and found[ALL].boosting.low > 0.65
    assert audit.left_out == ("site",)


@pytest.mark.slow
def test_a_useless_column_is_not_below_chance_when_learned_elsewhere() -> None:
    """Cross-validation of few patients errs below 0.5, because each fold leaves less of what it has more of."""
    learned, crossed = [], []
    for seed in range(25):
        random = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 2)
        y, site = (np.arange(60) % 2 == 0)[groups], pd.DataFrame({"site": random.integers(0, 2, 60)[groups].astype(str)})
        s, half = random.random(y.size), groups < 30
        learned.append(shortcut_audit(y[half], s[half], groups[half], site[half], training=(y[~half], site[~half])))
        crossed.append(shortcut_audit(y[half], s[half], groups[half], site[half]))
    means = [np.mean([audit.features[0].auc.value for audit in audits]) for audits in (learned, crossed)]
    assert means[0] == pytest.approx(0.5, abs=0.05)
    assert means[1] < means[0] - 0.03


def test_a_column_that_training_lacks_tells_nothing() -> None:
    y, groups, metadata = cohort(60)
    audit = shortcut_audit(y, np.linspace(0, 1, y.size), groups, metadata, training=(y, metadata.drop(columns="age")))
    assert "age" in audit.left_out and [row.feature for row in audit.features][-1] == ALL


def test_values_that_training_never_saw_are_no_error() -> None:
    y, groups, metadata = cohort(60)
    other = metadata.assign(scanner="C", age=[""] * len(y))
    audit = shortcut_audit(y, np.linspace(0, 1, y.size), groups, other, training=(y, metadata))
    assert all(0 <= row.auc.value <= 1 for row in audit.features)


@pytest.mark.slow
def test_an_audit_is_read_back_equal() -> None:
    y, groups, metadata = cohort(100)
    audit = shortcut_audit(y, np.linspace(0, 1, y.size), groups, metadata)
    assert from_plain(ShortcutAudit, json.loads(json.dumps(to_plain(audit)))) == audit


@pytest.mark.slow
def test_an_audit_of_an_earlier_version_is_read_as_cross_validated() -> None:
    y, groups, metadata = cohort(100)
    audit = shortcut_audit(y, np.linspace(0, 1, y.size), groups, metadata)
    earlier = {name: value for name, value in to_plain(audit).items() if name != "learned_on"}
    assert from_plain(ShortcutAudit, earlier) == audit


def test_the_model_is_compared_with_the_metadata_in_pairs_and_the_sentence_follows_the_interval() -> None:
    y, groups, metadata = cohort(400)
    random, taught = np.random.default_rng(2), groups < 200
    logits = {
        "better": 3.0 * y + random.normal(size=400)[groups],
        "same": 1.2 * y + 2.0 * (metadata["scanner"] == "B").to_numpy(),
    }
    logits["same"] = logits["same"] + 1.2 * random.normal(size=400)[groups]
    logits["nothing"] = random.normal(size=y.size)
    found = {}
    for name, value in logits.items():
        s = 1 / (1 + np.exp(-value))
        audit = shortcut_audit(
            y[~taught], s[~taught], groups[~taught], metadata[~taught], training=(y[taught], metadata[taught])
        )
        found[name] = audit.metadata
        assert audit.metadata.feature == ALL
        assert audit.metadata.difference.value == pytest.approx(audit.model.value - audit.features[-1].auc.value)
        assert (audit.metadata.p < 0.05) == (audit.metadata.difference.low > 0 or audit.metadata.difference.high < 0)
        assert from_plain(ShortcutAudit, json.loads(json.dumps(to_plain(audit)))) == audit
    assert "The model tells more than all metadata known here (age, side, scanner) together" in found["better"].sentence
    assert "is not shown to tell more than all metadata known here (age, side, scanner) together" in found["same"].sentence
    assert "The model tells less than all metadata known here (age, side, scanner) together" in found["nothing"].sentence
    assert "not shown to add anything" in found["nothing"].sentence and found["better"].added.low > 0


def test_the_added_value_is_a_logistic_regressions_with_patients_as_clusters() -> None:
    """With a row a patient and many of them, the limits are those of the likelihood: the inverse Hessian at scikit-learn's."""
    random = np.random.default_rng(6)
    z, known = random.normal(size=3000), random.normal(size=3000)
    y = random.random(3000) < 1 / (1 + np.exp(-(0.7 * z + known - 0.5)))
    design = np.column_stack((z, np.ones(3000), known))
    found, p = clustered_logistic(design, y, Patients.of(np.arange(3000)))
    fit = LogisticRegression(C=np.inf, tol=1e-10).fit(design[:, [0, 2]], y)
    weight = (q := fit.predict_proba(design[:, [0, 2]])[:, 1]) * (1 - q)
    error = np.linalg.inv((design * weight[:, None]).T @ design)[0, 0] ** 0.5
    assert found.value == pytest.approx(fit.coef_[0, 0], abs=1e-4) and p < 1e-6
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(error, rel=0.05)


@pytest.mark.slow_for("False")
@pytest.mark.parametrize("taught", [True, False])
def test_a_column_that_is_constant_where_it_is_scored_is_left_out(taught: bool) -> None:
    y, groups, metadata = cohort(80)
    scored = metadata.assign(implant="no")
    varied = metadata.assign(implant=np.where(np.arange(len(metadata)) % 2, "no", "yes"))
    audit = shortcut_audit(y, np.random.default_rng(1).random(y.size), groups, scored, training=(y, varied) if taught else None)
    assert "implant" in audit.left_out and "implant" not in [row.feature for row in audit.features]


def tied_cohort(patients: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    """Few different values, so that many images share a prediction and edges of fifths fall among them."""
    random = np.random.default_rng(11)
    groups = np.repeat(np.arange(patients), 4)
    malignant = random.random(patients) < 0.4
    frame = pd.DataFrame(
        {
            "scanner": np.where(random.random(patients) < 0.3 + 0.3 * malignant, "A", "B")[groups],
            "site": np.array(["x", "y", "z"])[random.integers(0, 3, patients)][groups],
            "age": np.round(random.normal(55 + 4 * malignant, 6) / 5)[groups] * 5,
            "view": np.tile(["CC", "MLO"], 2 * patients),
            "bits": np.where(random.random(patients) < 0.5, "12", "14")[groups],
        }
    )
    scores = random.normal(size=groups.size) + 0.5 * malignant[groups]
    return malignant[groups], np.round(scores, 1), groups, frame


def assert_same_audit(one: ShortcutAudit, other: ShortcutAudit) -> None:
    """The same rows in the same order, the same pairs, and figures that differ by rounding of sums at most."""
    assert [row.feature for row in one.features] == [row.feature for row in other.features]
    for mine, theirs in zip(one.features, other.features, strict=True):
        assert mine.pairs == theirs.pairs, mine.feature
        for name in ("auc", "within", "boosting"):
            a, b = getattr(mine, name), getattr(theirs, name)
            if a is None or isinstance(a, str):
                assert a == b
            else:
                assert [a.value, a.low, a.high] == pytest.approx([b.value, b.low, b.high], abs=1e-9), (mine.feature, name)
    assert one.metadata is not None and other.metadata is not None
    for name in ("difference", "added"):
        a, b = getattr(one.metadata, name), getattr(other.metadata, name)
        assert [a.value, a.low, a.high] == pytest.approx([b.value, b.low, b.high], abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("learned", [True, False])
def test_neither_the_order_of_columns_nor_that_of_rows_changes_the_audit(learned: bool) -> None:
    y, s, groups, metadata = tied_cohort()
    taught = groups < 75
    y_taught, frame_taught = y[taught], metadata[taught]
    y, s, groups, metadata = y[~taught], s[~taught], groups[~taught], metadata[~taught]

    def audit(rows: np.ndarray, columns: list[str], taught_rows: np.ndarray) -> ShortcutAudit:
        training = (y_taught[taught_rows], frame_taught.iloc[taught_rows][columns[::-1]]) if learned else None
        return shortcut_audit(y[rows], s[rows], groups[rows], metadata.iloc[rows][columns], numeric=["age"], training=training)

    names = list(metadata.columns)
    first = audit(np.arange(y.size), names, np.arange(y_taught.size))
    random = np.random.default_rng(5)
    for _ in range(4):
        rows, taught_rows = random.permutation(y.size), random.permutation(y_taught.size)
        assert_same_audit(first, audit(rows, list(random.permutation(names)), taught_rows))


def test_images_that_are_alike_stay_in_one_fifth_where_the_middle_of_them_lies() -> None:
    tied = pd.Series([*[1.0] * 30, 2.0, 3.0, *[4.0] * 40, *np.linspace(5, 6, 28)])
    bands, _ = strata_of(tied, numeric=True)
    assert set(bands[:30]) == {0} and set(bands[32:72]) == {2}
    assert bands[30] == bands[31] == 1 and set(bands[72:]) == {3, 4}
    shuffled = tied.sample(frac=1, random_state=3)
    assert (strata_of(shuffled, numeric=True)[0] == bands[shuffled.index]).all()


def test_a_score_that_goes_with_benign_images_asks_for_the_labels() -> None:
    below = Interval(-1.3, -2.0, -0.6, "sandwich")
    said = Metadata("age", Interval(-0.2, -0.3, -0.1, "score"), 0.001, below, 0.003).sentence
    assert "a higher score goes with benign images" in said and "labels are not swapped" in said
    assert "not shown to add anything" not in said


def test_whether_a_value_is_known_is_no_column_of_its_own() -> None:
    """Of the scored images nobody has an implant, and of some it is not known: that is no implant that predicts the label."""
    random = np.random.default_rng(8)
    y, patients = np.arange(80) % 2 == 0, np.arange(80)
    frame = pd.DataFrame({"implant": np.where(y, "", "0"), "view": random.choice(["CC", "MLO"], 80)})
    found = shortcut_audit(y, random.random(80), patients, frame, confidence=0.95)
    assert found.left_out == ("implant",) and [row.feature for row in found.features] == ["view"]
