"""Evaluate: raw and calibrated scores."""

from __future__ import annotations

import pandas as pd
import pytest
from builders.evaluate_page import open_part
from builders.lab_pages import figures, tables, texts

from core.evaluate import read_evaluation
from core.files.typed import to_plain
from core.metrics import Calibration
from core.model import update_card
from core.runs import Run


@pytest.mark.slow
def test_a_calibration_fitted_since_is_said(scored: Run) -> None:
    method = "temperature" if scored.model_card().calibration.fitted.method != "temperature" else "logistic"
    update_card(scored.path, {"calibration": to_plain(Calibration(method, slope=0.8, rows=20))})
    app = open_part("Calibration")
    assert any(f"in use now is {method}" in each.value for each in app.warning)


def test_calibration_shows_raw_and_calibrated_scores_with_their_figures(scored: Run) -> None:
    app = open_part("Calibration")
    report = read_evaluation(scored, "val").calibration
    names = [trace.get("name", "") for trace in figures(app)["evaluate:reliability"]["data"]]
    assert any(name.startswith("raw score") for name in names)
    for figure in (report.before.brier, report.after.ece):
        assert f"{figure.value:.3f}<small>[{figure.low:.3f}, {figure.high:.3f}]</small>" in tables(app)
    assert "fitted on these very images" in texts(app)


@pytest.mark.parametrize("spread", [0.05, 0.6])
def test_scores_so_close_together_that_the_diagram_says_little_are_said_to_be(scored: Run, spread: float) -> None:
    path = scored.path / "predictions" / "val.csv"
    table = pd.read_csv(path, dtype=str)
    table["score"] = [f"{0.2 + spread * (place % 2):.6f}" for place in range(len(table))]
    table.to_csv(path, index=False)
    app = open_part("Calibration")
    assert any("So close together" in each.value for each in app.warning) is (spread < 0.1)
