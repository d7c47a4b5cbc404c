"""Published figures stand beside a run's only where data set and split are the same."""

from __future__ import annotations

import pandas as pd
import pytest

from core.evaluate.baselines import BASELINES, OFFICIAL, OWN, comparable, for_rows, known


def test_the_same_data_set_and_the_official_split_compare() -> None:
    rows = comparable("CBIS-DDSM", OFFICIAL)
    assert [row.value for row in rows] == [0.8483]
    assert comparable("cbis-ddsm", OFFICIAL) == rows


@pytest.mark.parametrize("protocol", [OWN, "5-fold cross-validation", "hidden Kaggle test set (private leaderboard)", ""])
def test_a_split_that_cannot_be_repeated_compares_with_nothing(protocol: str) -> None:
    for dataset in {row.dataset for row in BASELINES}:
        assert comparable(dataset, protocol) == ()
        assert known(dataset)


def test_an_unknown_data_set_has_no_baseline() -> None:
    assert comparable("demo", OFFICIAL) == known("demo") == ()


@pytest.mark.parametrize("row", BASELINES, ids=lambda row: f"{row.dataset}-{row.value}")
def test_every_row_names_its_source(row) -> None:
    assert row.link.startswith("https://") and row.source and row.task and row.model and 0 < row.value < 1
    assert row.dataset == row.dataset.lower()


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({}, "does not name its data set"),
        ({"dataset": ["", ""]}, "does not name its data set"),
        ({"dataset": ["rsna", "vindr"]}, "several data sets"),
        ({"dataset": ["mine", "mine"]}, "no published metric of mine"),
        ({"dataset": ["cbis-ddsm"] * 2}, "the split is not the one"),
        ({"dataset": ["cbis-ddsm"] * 2, "official_split": ["true", ""]}, "the split is not the one"),
        ({"dataset": ["rsna"] * 2, "official_split": ["1", "1"]}, "of other protocols"),
    ],
)
def test_rows_that_do_not_say_so_compare_with_nothing(columns: dict, says: str) -> None:
    found = for_rows(pd.DataFrame({"path": ["a", "b"], **columns}))
    assert isinstance(found, str) and found.startswith("none is comparable") and says in found


def test_rows_of_an_official_split_name_what_compares() -> None:
    rows = pd.DataFrame({"collection": ["CBIS-DDSM"] * 2, "official_split": ["True", "true"]})
    assert for_rows(rows) == for_rows(rows.rename(columns={"collection": "dataset"}))
    assert for_rows(rows) == comparable("cbis-ddsm", OFFICIAL)
