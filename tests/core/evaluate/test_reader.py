"""A reader beside the model: the order of suspicion, the same rows, and figures that another implementation gives too."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from core.evaluate.birads import ORDER, category
from core.evaluate.reader import BY_CONSTRUCTION, compare_reader, ratings_of
from core.metrics import Interval, compare_auc

# The level of the intervals, where a test does not set another.
compare_auc = partial(compare_auc, confidence=0.95)
compare_reader = partial(compare_reader, confidence=0.95)


def a_set(patients: int = 30) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(predictions, manifest) of two images a patient, with BI-RADS that know a little more than the scores."""
    draw = np.random.default_rng(7)
    rows = []
    for number in range(patients):
        malignant = number % 2
        for side in "LR":
            suspicion = draw.normal(1.5 * malignant)
            word = (
                "5"
                if suspicion > 2
                else "4B"
                if suspicion > 1.2
                else "0"
                if suspicion > 0.8
                else "2"
                if suspicion > 0
                else "1.0"
            )
            score = 1 / (1 + np.exp(-draw.normal(0.7 * malignant)))
            label = ("benign", "malignant")[malignant]
            rows.append((f"/d/{number}{side}.png", f"P{number}", side, "CC", label, "test", score, word))
    names = ["path", "patient_id", "laterality", "view", "label", "split", "score", "birads"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.drop(columns="birads"), frame.drop(columns="score")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(("4", "4"), ("4.0", "4"), ("Category 4", "4"), ("BI-RADS Category 4", "4"), ("Assessment category: 4", "4")),
        *(("BI-RADS 4B", "4B"), ("BIRADS-3", "3"), ("bi_rads 3", "3"), ("BIRADS5", "5"), ("BI-RADS® 2", "2"), ("ACR 2", "2")),
        *(("B4", "4"), ("b4c", "4C"), ("4a", "4A"), ("4 A", "4A"), ("4-b", "4B"), ("(4)", "4"), ("４", "4")),
        *(("IV", "4"), ("IVa", "4A"), ("Category IV", "4"), ("III", "3"), ("I", "1"), ("VI", "6"), ("birads: IVb", "4B")),
        *(
            ("4 - suspicious", "4"),
            ("2 (benign)", "2"),
            ("4B: moderate suspicion", "4B"),
            ("0 incomplete", "0"),
            ("4 benign", "4"),
        ),
        *(("", ""), ("nan", ""), ("None", ""), ("-", ""), ("unknown", "")),
    ],
)
def test_categories_are_read_as_people_and_programs_write_them(written: str, meant: str) -> None:
    assert category(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        *("BI-RADS", "Category", "B", "x", "7", "14", "40", "01", "-4", "4.5", "4-5", "4/5", "3 or 4", "4A/4B", "1,2", "4?"),
        *(">3", "5A", "0A", "VII", "R4", "4D", "benign", "density B", "2 vs III"),
    ],
)
def test_what_is_no_single_category_is_not_guessed(written: str) -> None:
    with pytest.raises(ValueError, match="BI-RADS category"):
        category(written)


def test_categories_stand_in_the_order_of_suspicion_and_a_known_cancer_is_no_rating() -> None:
    assert sorted(ORDER, key=ORDER.__getitem__) == ["1", "2", "3", "0", "4", "4A", "4B", "4C", "5"]
    found = ratings_of(pd.DataFrame({"BIRADS": ["BI-RADS 4a", "6", "", "0.0", "x"]}))
    assert found.column == "BIRADS" and found.values.fillna(-1).tolist() == [4.0, -1.0, -1.0, 3.5, -1.0]
    assert found.reasons.tolist()[2:4] == ["no rating", ""] and "known" in found.reasons[1] and "0 to 6" in found.reasons[4]
    numbers = ratings_of(pd.DataFrame({"reader": ["0.5", "inf", "2"]}))
    assert numbers.values.fillna(-1).tolist() == [0.5, -1.0, 2.0] and numbers.reasons[1] == "no finite number"
    assert ratings_of(pd.DataFrame({"birads": ["", None]})) is None
    # A column in which nothing differs gives way to one that says more.
    assert ratings_of(pd.DataFrame({"birads": ["1", "1"], "reader": ["1", "2"]})).column == "reader"


def test_model_and_reader_are_compared_on_the_rows_that_have_a_rating() -> None:
    predictions, manifest = a_set()
    manifest.loc[:4, "birads"] = ["", "6", "maybe", "maybe", "4 or 5"]
    found = compare_reader(predictions, manifest)
    known = predictions.index > 4
    labels, scores = (predictions["label"] == "malignant")[known], predictions["score"][known]
    ratings = ratings_of(manifest).values[known]
    assert (found.rows, found.total) == (55, 60)
    assert found.reader.value == pytest.approx(roc_auc_score(labels, ratings))
    assert found.model.value == pytest.approx(roc_auc_score(labels, scores)) == pytest.approx(found.curve.auc)
    exact = compare_auc(labels, ratings, scores, predictions["patient_id"][known])
    assert (found.difference, found.p) == (exact.difference, exact.p)
    for point in found.points:
        called = ratings >= ORDER[point.rating]
        assert isinstance(point.sensitivity, Interval) and point.sensitivity.value == pytest.approx(called[labels].mean())
        assert isinstance(point.specificity, Interval) and point.specificity.value == pytest.approx((~called)[~labels].mean())
        assert point.called == called.sum()
    assert [point.rating for point in found.points] == ["5", "4B", "0", "2"]
    assert [point.words for point in found.points][1:3] == ["BI-RADS 4B, 5", "BI-RADS 0 (incomplete), 4B, 5"]
    assert found.points[2].short == "from 0 (recall)"
    # Every image that is not compared is counted, and every value that was not read is named.
    assert {each.reason: (each.units, each.malignant) for each in found.left_out} == {
        "a rating that cannot be read": (3, 2),
        "no rating": (1, 0),
        "BI-RADS 6 (known cancer)": (1, 0),
    }
    assert {each.value: each.images for each in found.unread} == {"maybe": 2, "4 or 5": 1, "6": 1}
    assert "left out: 3 (2 malignant) with a rating that cannot be read" in found.paired_on


def test_a_patient_has_the_most_suspicious_rating_of_her_images() -> None:
    predictions, manifest = a_set()
    found = compare_reader(predictions, manifest, "patient")
    highest = ratings_of(manifest).values.groupby(manifest["patient_id"]).max()
    truth = predictions.groupby("patient_id")["label"].agg(lambda labels: (labels == "malignant").any())
    assert found.total == found.rows == 30 and found.reader.value == pytest.approx(roc_auc_score(truth, highest))


@pytest.mark.parametrize("level", ["breast", "patient"])
def test_only_units_with_a_rating_for_every_image_are_compared(level: str) -> None:
    predictions, manifest = a_set()
    manifest.loc[[0, 4, 5, 9], "birads"] = ""  # one image of P0 and P4, both of P2 (in part), one of P2's sides
    found = compare_reader(predictions, manifest, level)
    unit = predictions["patient_id"] + (predictions["laterality"] if level == "breast" else "")
    ratings = ratings_of(manifest).values
    complete = ratings.notna().groupby(unit).transform("all")
    assert (found.rows, found.total) == (unit[complete].nunique(), unit.nunique())
    by_unit = predictions[complete].groupby(unit)
    truth = by_unit["label"].agg(lambda labels: (labels == "malignant").any())
    # The same images stand behind the score and the rating of a unit.
    assert found.model.value == pytest.approx(roc_auc_score(truth, by_unit["score"].mean()))
    assert found.reader.value == pytest.approx(roc_auc_score(truth, ratings[complete].groupby(unit).max()))
    reasons = {each.reason: each.units for each in found.left_out}
    assert reasons == ({"no rating": 4} if level == "breast" else {"a rating for a part of the images only": 2, "no rating": 1})
    assert sum(reasons.values()) + found.rows == found.total


def test_a_better_reader_is_said_to_be_so_partly_by_construction() -> None:
    predictions, manifest = a_set(60)
    oracle = manifest.assign(birads=["5" if label == "malignant" else "1" for label in manifest["label"]])
    oracle.loc[:1, "birads"] = "4"
    found = compare_reader(predictions, oracle)
    assert found.verdict == "The reader ranks them better, partly by construction" and BY_CONSTRUCTION in found.caution
    same = compare_reader(predictions, manifest.assign(birads="", reader=oracle["birads"]))
    assert "perhaps by construction" in same.verdict and same.caution.startswith("if these ratings decided")
    assert same.points[0].words == "ratings of 5 and higher"


def test_without_a_reader_or_with_too_few_ratings_there_is_no_number() -> None:
    predictions, manifest = a_set()
    assert compare_reader(predictions, manifest.drop(columns="birads")) is None
    said = compare_reader(predictions, manifest.assign(birads="dense"))
    assert "no patient" in said and "'dense' (60 images" in said
    assert "every rating is the same" in compare_reader(predictions, manifest.assign(birads="2"))
    manifest.loc[6:, "birads"] = ""
    assert "with ratings of the column birads" in compare_reader(predictions, manifest)
