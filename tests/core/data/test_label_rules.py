"""Rules from pathology, BI-RADS or outcome to labels; nothing unknown becomes benign."""

from __future__ import annotations

import pandas as pd
import pytest

from core.data.label_rules import RULES, relabel, worst_grade
from core.errors import BadManifest


@pytest.mark.parametrize(
    ("text", "grade"),
    [("4a", 4), ("BI-RADS 5", 5), ("2$5", 5), ("0", None), ("", None), ("nan", None), ("0$3", 3), ("6.0", 6), ("7", None)],
)
def test_the_worst_grade_of_a_cell(text: str, grade: int | None) -> None:
    assert worst_grade(text) == grade


@pytest.mark.parametrize("name", RULES)
def test_no_rule_makes_benign_of_nothing_unless_it_says_so(name: str) -> None:
    rule = RULES[name]
    assert rule.label(dict.fromkeys(rule.needs, "")) == rule.label({}) == ""
    assert rule.label(dict.fromkeys(rule.needs, "unheard of")) == ""
    unlisted = rule.label({"pathology": "unlisted"})
    assert unlisted == ("benign" if name == "pathology-assume-normal" else "")


def frame() -> pd.DataFrame:
    rows = [("a", "malignant", "1"), ("b", "benign", "3"), ("c", "benign_without_callback", "4a"), ("d", "", "")]
    return pd.DataFrame(
        {
            "path": [f"/{name}.png" for name, _, _ in rows],
            "label": ["malignant", "benign", "benign", ""],
            "patient_id": [name for name, _, _ in rows],
            "pathology": [word for _, word, _ in rows],
            "birads": [grade for _, _, grade in rows],
        }
    )


def test_another_rule_changes_labels_and_says_how_many() -> None:
    made, notes = relabel(frame(), "birads-without-3")
    assert made["label"].tolist() == ["benign", "", "malignant", ""]
    assert set(made["label_source"]) == {"birads"} and set(made["label_rule"]) == {"birads-without-3"}
    assert notes == [
        "1 image: benign became unlabelled",
        "1 image: benign became malignant",
        "1 image: malignant became benign",
    ]
    back, _ = relabel(made, "pathology")
    assert back["label"].tolist() == frame()["label"].tolist()
    assert relabel(frame(), "pathology")[1] == ["no label changed"]


def test_rules_that_cannot_be_applied_are_refused_with_those_that_can() -> None:
    with pytest.raises(BadManifest, match="expected one of pathology, pathology-without-callback"):
        relabel(frame(), "biopsy")
    with pytest.raises(BadManifest, match=r"needs the column birads.*Rules for it: pathology, "):
        relabel(frame().drop(columns="birads"), "birads-from-4")
    with pytest.raises(BadManifest, match="none; import the data set by its name"):
        relabel(frame()[["path", "label", "patient_id"]], "pathology")
