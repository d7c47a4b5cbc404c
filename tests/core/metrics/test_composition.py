"""What patients are made of, and how far an AUC by patient depends on it: told from the counts, checked against brute force."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from core.metrics.aggregation import (
    AFFECTED,
    COMPLETED,
    HIGHEST_BREAST,
    HIGHEST_IMAGE,
    MEAN,
    ONE_BREAST,
    ONE_IMAGE,
    aggregation_rules,
)
from core.metrics.composition import associations, composition, composition_warnings

# The level of the intervals, where a test does not set another.
aggregation_rules = partial(aggregation_rules, confidence=0.95)
associations = partial(associations, confidence=0.95)


def a_set(patients: int = 40, *, one_sided: bool = True, seed: int = 0, signal: float = 0.8) -> pd.DataFrame:
    """Benign patients with both breasts; of malignant ones the left breast is, and (`one_sided`) two in three have no other."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        malignant = number % 2 == 1
        for side in ("L",) if malignant and one_sided and number % 3 else ("L", "R"):
            ill = malignant and side == "L"
            for view in ("CC", "MLO"):
                score = 1 / (1 + np.exp(-signal * ill - draw.normal(0, 1)))
                rows.append((f"P{number}", side, view, "malignant" if ill else "benign", score, "test"))
    return pd.DataFrame(rows, columns=["patient_id", "laterality", "view", "label", "score", "split"])


def test_patients_are_counted_by_label_images_and_sides() -> None:
    frame = a_set(6)
    frame.loc[frame["patient_id"] == "P0", "laterality"] = ["L", "L", "R", ""]
    benign, malignant = composition(frame)
    assert (benign.patients, benign.images, benign.median, benign.low, benign.high) == (3, 12, 4, 4, 4)
    assert (benign.two_sides, benign.one_side, benign.unknown_sides) == (2, 0, 1)
    assert (malignant.patients, malignant.images, malignant.two_sides, malignant.one_side) == (3, 8, 1, 2)


def test_one_class_with_fewer_images_and_sides_is_warned_of_with_the_auc_of_the_count() -> None:
    frame = a_set()
    by_patient = frame.groupby("patient_id")
    count, label = by_patient.size(), by_patient["label"].agg(lambda labels: (labels == "malignant").any())
    images, sides = associations(frame)
    assert images.auc.value == pytest.approx(roc_auc_score(label, count)) and images.fewer == "malignant"
    assert images.strength.value == pytest.approx(1 - images.auc.value) and images.strength.low > 0.5
    (sentence,) = composition_warnings((images, sides))
    assert sentence.startswith("malignant patients have fewer images (test: AUC 0.") and "sides" in sentence


def test_the_same_association_in_several_splits_is_one_sentence_with_every_auc() -> None:
    frame = pd.concat([a_set().assign(split=split) for split in ("train", "val", "test")])
    (sentence,) = composition_warnings(associations(frame), {"val": "validation set"})
    auc = str(associations(a_set())[0].strength)
    assert f"images (train: AUC {auc}; validation set: AUC {auc}; test: AUC {auc}) and sides (train: " in sentence


def test_equal_patients_are_not_warned_of() -> None:
    found = associations(a_set(one_sided=False))
    assert [each.auc.value for each in found] == [0.5, 0.5] and composition_warnings(found) == []


def test_a_class_with_too_few_patients_gets_a_reason_and_no_number() -> None:
    found = associations(a_set(6))
    assert all("fewer than" in str(each.auc) or "patients" in str(each.auc) for each in found) and not composition_warnings(
        found
    )


def test_sides_that_nobody_knows_tell_nothing() -> None:
    _, sides = associations(a_set().assign(laterality=""))
    assert isinstance(sides.auc, str) and not sides.unequal


def test_every_rule_is_the_mean_over_all_its_draws() -> None:
    frame = a_set(14)
    breasts = frame.groupby(["patient_id", "laterality"]).agg(
        score=("score", "mean"), ill=("label", lambda labels: (labels == "malignant").any())
    )
    by_patient = frame.groupby("patient_id")
    label = by_patient["label"].agg(lambda labels: (labels == "malignant").any())

    def pairs(of_ill) -> float:
        wins = [
            np.mean([[one > two for two in breasts.loc[well, "score"]] for one in of_ill(breasts.loc[ill])])
            for ill in label.index[label]
            for well in label.index[~label]
        ]
        return float(np.mean(wins))

    found = {rule.name: rule.auc.value for rule in aggregation_rules(frame)}
    assert found[MEAN] == pytest.approx(roc_auc_score(label, by_patient["score"].mean()))
    assert found[HIGHEST_IMAGE] == pytest.approx(roc_auc_score(label, by_patient["score"].max()))
    assert found[HIGHEST_BREAST] == pytest.approx(roc_auc_score(label, breasts["score"].groupby("patient_id").max()))
    assert found[ONE_BREAST] == pytest.approx(pairs(lambda part: part["score"]))
    assert found[AFFECTED] == pytest.approx(pairs(lambda part: part.loc[part["ill"], "score"]))


def test_where_everybody_has_both_breasts_nothing_is_completed() -> None:
    found = {rule.name: rule.auc for rule in aggregation_rules(a_set(one_sided=False))}
    assert found[COMPLETED].value == pytest.approx(found[MEAN].value)
    assert found[COMPLETED].low == pytest.approx(found[MEAN].low)


def test_a_model_that_knows_only_how_many_images_there_are_is_found_out_by_the_balanced_rules() -> None:
    """Means of two scores spread more than means of four: with scores of one benign breast high, the mean rule is misled."""
    frame = a_set(80, signal=0.0)
    right = frame["laterality"] == "R"
    frame.loc[right, "score"] = frame.loc[right, "score"] - 1  # second breasts always score lower
    found = {rule.name: rule.auc for rule in aggregation_rules(frame)}
    assert found[MEAN].low > 0.5
    assert found[COMPLETED].value < found[MEAN].value - 0.05


def test_unknown_sides_leave_the_rules_without_breasts() -> None:
    rules = aggregation_rules(a_set().assign(laterality=""))
    assert [rule.name for rule in rules if not isinstance(rule.auc, str)] == [MEAN, HIGHEST_IMAGE, ONE_IMAGE]
    assert all("laterality" in rule.auc for rule in rules if isinstance(rule.auc, str))
