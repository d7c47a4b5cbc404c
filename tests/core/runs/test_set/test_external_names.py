"""The names of external test sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import BadManifest
from core.runs.test_set.external import LONGEST, external_name, externals, is_external, named, short_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/mini-mias.csv", "external-mini-mias"),
        ("data/My Films (2).csv", "external-my-films-2"),
        ("data/cbis/manifest.csv", "external-cbis"),
        ("..csv", "external-data"),
        ("манифест.csv", "external-data"),
    ],
)
def test_another_data_set_has_a_name_that_every_system_takes(path: str, name: str) -> None:
    assert external_name(Path(path)) == name


def test_a_long_name_is_cut_to_what_a_name_may_be() -> None:
    found = external_name(Path("data") / f"{'a' * 300}.csv")
    assert is_external(found) and len(short_name(found)) == LONGEST


def test_a_chosen_name_is_taken_with_the_prefix_or_without() -> None:
    assert named("inbreast") == named("external-inbreast") == "external-inbreast"
    with pytest.raises(BadManifest, match="inbreast"):
        named("In Breast")


def test_entries_of_other_names_are_no_external_sets() -> None:
    assert externals(["test", "external-b", "external-a", "external-../x", "external-"]) == ["external-a", "external-b"]
