"""Two runs on the same images: the plain paired loop, the same conclusions as DeLong, words where there is too little."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference

from core.errors import NotEnoughData
from core.metrics.comparison import Difference, compare_runs, matched
from core.metrics.delong import AucComparison, compare_auc


def cohort(patients: int = 60, seed: int = 0, gain: float = 1.0) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), 3)
    y = groups % 3 == 0
    shared = random.normal(size=patients)[groups] + 0.5 * random.normal(size=y.size)
    first, second = (shared + effect * y + 0.4 * random.normal(size=y.size) for effect in (0.8, 0.8 + gain))
    return y, 1 / (1 + np.exp(-first)), 1 / (1 + np.exp(-second)), groups


def test_differences_are_those_of_the_plain_paired_loop() -> None:
    y, first, second, groups = cohort(20)
    found = compare_runs(y, first, second, groups, (0.5, 0.6), samples=150, seed=3)
    drawn = np.random.default_rng(3).integers(0, 20, size=(150, 20))
    rows = [np.concatenate([np.flatnonzero(groups == patient) for patient in sample]) for sample in drawn]
    figures = {
        "auc": lambda y, s, t: reference.roc_auc_score(y, s),
        "average_precision": lambda y, s, t: reference.average_precision_score(y, s),
        "sensitivity": lambda y, s, t: reference.recall_score(y, s >= t),
        "brier": lambda y, s, t: reference.brier_score_loss(y, s),
    }
    for name, figure in figures.items():
        differences = np.array(
            [figure(y[r], second[r], 0.6) - figure(y[r], first[r], 0.5) for r in rows if 0 < y[r].sum() < r.size]
        )
        result = found.figures[name]
        assert isinstance(result, Difference)
        assert result.difference.value == pytest.approx(figure(y, second, 0.6) - figure(y, first, 0.5))
        assert (result.difference.low, result.difference.high) == pytest.approx(tuple(np.quantile(differences, (0.025, 0.975))))
        below, above, ties = (differences < 0).sum(), (differences > 0).sum(), (differences == 0).sum()
        assert result.p == pytest.approx(min(1, 2 * (min(below, above) + ties / 2 + 1) / (len(differences) + 1)))


@pytest.mark.parametrize(("gain", "differs"), [(1.2, True), (0.0, False)])
def test_bootstrap_and_delong_come_to_the_same_conclusion(gain: float, differs: bool) -> None:
    y, first, second, groups = cohort(150, seed=1, gain=gain)
    found = compare_runs(y, first, second, groups, (0.5, 0.5), samples=600)
    assert isinstance(found.auc, AucComparison)
    assert found.auc == compare_auc(y, first, second, groups)
    assert (found.auc.p < 0.05) == (found.figures["auc"].p < 0.05) == differs
    ours, theirs = found.figures["auc"].difference, found.auc.difference
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_pairing_makes_the_difference_better_known_than_either_run() -> None:
    y, first, second, groups = cohort(150, seed=2, gain=0.1)
    found = compare_runs(y, first, second, groups, (0.5, 0.5), samples=300)
    width = found.figures["auc"].difference.high - found.figures["auc"].difference.low
    assert width < 0.7 * (found.auc.first.high - found.auc.first.low)


def test_a_run_compared_with_itself_does_not_differ() -> None:
    y, first, _, groups = cohort()
    found = compare_runs(y, first, first, groups, (0.5, 0.5), samples=100)
    for figure in found.figures.values():
        assert (figure.difference.value, figure.difference.low, figure.difference.high, figure.p) == (0, 0, 0, 1)


def test_resamples_without_a_difference_speak_for_neither_side() -> None:
    """The second run tells one malignant patient of 60 better: a third of the resamples lack it and differ by nothing."""
    groups = np.arange(60)
    y, first = groups < 20, np.linspace(0.9, 0.1, 60)
    second = first.copy()
    first[19], second[19] = 0.05, 0.85
    found = compare_runs(y, first, second, groups, (0.5, 0.5), samples=2000).figures["auc"]
    drawn = np.random.default_rng(0).integers(0, 60, size=(2000, 60))
    without = np.mean((drawn != 19).all(axis=1))
    assert 0.3 < without < 0.45 and found.difference.low == 0
    assert found.p == pytest.approx(without, abs=0.002)


def test_p_is_never_zero() -> None:
    y, first, _, groups = cohort(90)
    found = compare_runs(y, -first, first, groups, (0.5, 0.5), samples=100)
    assert found.figures["auc"].p == pytest.approx(2 / 101)


def test_too_few_patients_are_told_in_words() -> None:
    y, first, second, groups = cohort(9)
    found = compare_runs(y, first, second, groups, (0.5, 0.5), samples=100)
    assert "only 3 patients" in found.figures["auc"] and "only 3 patients" in found.auc
    assert isinstance(found.figures["specificity"], Difference)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert "only 3" in plain["auc"]["note"]


def test_json() -> None:
    y, first, second, groups = cohort()
    plain = json.loads(json.dumps(compare_runs(y, first, second, groups, (0.5, 0.5), samples=50).as_dict(), allow_nan=False))
    assert plain["patients"] == 60 and {"z", "p", "first", "second", "difference"} == set(plain["auc"])
    assert plain["figures"]["auc"]["difference"]["low"] <= plain["figures"]["auc"]["difference"]["value"]


def frame(paths: str, score: float = 0.5, label: str = "benign") -> pd.DataFrame:
    return pd.DataFrame({"path": list(paths), "patient_id": [p.upper() for p in paths], "label": label, "score": score})


def test_only_images_of_both_runs_are_matched_and_the_rest_counted() -> None:
    both, dropped = matched(frame("abcd", 0.1), frame("dcbe", 0.9))
    assert both["path"].tolist() == ["b", "c", "d"] and dropped == 2
    assert both["score"].tolist() == [0.1] * 3 and both["other"].tolist() == [0.9] * 3
    assert list(both.columns) == ["path", "patient_id", "label", "score", "other"]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (frame("xyz"), "no image in common"),
        (frame("ab", label="malignant"), "disagree on the label"),
        (frame("aa"), "a twice in the second"),
    ],
)
def test_runs_that_cannot_be_paired_are_refused(second: pd.DataFrame, words: str) -> None:
    with pytest.raises(NotEnoughData, match=words):
        matched(frame("abc"), second)
