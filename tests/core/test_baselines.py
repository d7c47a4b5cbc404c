"""Published figures stand beside a run's only where data set and split are the same."""

from __future__ import annotations

import pytest

from core.baselines import BASELINES, OFFICIAL, OWN, comparable, known


def test_the_same_data_set_and_the_official_split_compare() -> None:
    rows = comparable("CBIS-DDSM", OFFICIAL)
    assert [row.value for row in rows] == [0.8483]
    assert comparable("cbis-ddsm", OFFICIAL, "breast") == rows and comparable("cbis-ddsm", OFFICIAL, "image") == ()


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
