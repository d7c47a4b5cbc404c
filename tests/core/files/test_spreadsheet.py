"""spreadsheet_csv: what a spreadsheet would run is text, and everything else is as pandas writes it."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from core.files.spreadsheet import spreadsheet_csv


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")']
)
def test_what_looks_like_a_formula_is_text(text: str) -> None:
    back = pd.read_csv(io.StringIO(spreadsheet_csv(pd.DataFrame({"file": [text]}))), keep_default_na=False, lineterminator="\n")
    assert back["file"].tolist() == [f"'{text}"]


def test_numbers_names_and_gaps_are_as_pandas_writes_them() -> None:
    table = pd.DataFrame(
        {"file": ["a=b.png", "-1.5", "+3", ""], "score": [0.25, -0.5, None, 1.0], "decision": [None, "benign", "", "x"]}
    )
    assert spreadsheet_csv(table) == table.to_csv(index=False)
