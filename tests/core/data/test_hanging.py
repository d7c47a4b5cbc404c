"""Which images of an examination hang together, and in which order."""

from __future__ import annotations

import pandas as pd

from core.data.hanging import examination, hangings


def table(*rows: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient_id", "exam_id", "laterality", "view", "path"])


def test_an_examination_has_one_image_for_each_place_and_the_chosen_one_is_among_them() -> None:
    rows = table(
        ("A", "1", "L", "CC", "b"),
        ("A", "1", "L", "CC", "a"),
        ("A", "1", "R", "CC", "c"),
        ("A", "1", "L", "ML", "d"),
        ("A", "2", "L", "MLO", "e"),
        ("B", "1", "R", "MLO", "f"),
    )
    found = examination(rows, rows.iloc[0])
    assert {place: row["path"] for place, row in found.items()} == {("R", "CC"): "c", ("L", "CC"): "b"}
    assert {place: row["path"] for place, row in examination(rows, rows.iloc[2]).items()} == {
        ("R", "CC"): "c",
        ("L", "CC"): "a",
    }
    assert examination(rows, rows.iloc[3]) == {}, "of no such view"


def test_right_breasts_hang_left_and_only_what_is_there_is_offered() -> None:
    rows = table(*(("A", "1", side, view, side + view) for side in "LR" for view in ("MLO", "CC")))
    found = examination(rows, rows.iloc[0])
    assert hangings(found, ("L", "MLO")) == {
        "views": [("L", "CC"), ("L", "MLO")],
        "breasts": [("R", "MLO"), ("L", "MLO")],
        "all": [("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")],
    }
    pair = {place: row for place, row in found.items() if place != ("R", "MLO") and place[0] != "R"}
    assert list(hangings(pair, ("L", "CC"))) == ["views"]
    assert hangings({("L", "CC"): rows.iloc[1]}, ("L", "CC")) == {}


def test_images_of_nobody_hang_alone() -> None:
    rows = table(("unknown", "", "L", "CC", "a"), ("unknown", "", "R", "CC", "b"))
    assert examination(rows, rows.iloc[0]) == {}, "they may be of two people"
