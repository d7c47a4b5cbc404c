"""Evaluate: subgroups and shortcuts."""

from __future__ import annotations

import json

from builders.evaluate_page import open_part
from builders.lab_pages import figures, tables, texts

from core.evaluate import read_evaluation
from core.runs import Run


def test_subgroups_have_numbers_or_say_that_they_are_too_small(scored: Run) -> None:
    app = open_part("Subgroups")
    rows = read_evaluation(scored, "val").subgroups
    assert {row.value for row in rows} >= {"CC", "MLO"}
    assert "View: CC" in json.dumps(figures(app)["evaluate:forest"])
    for row in rows:
        assert (row.auc.split(":")[0] if isinstance(row.auc, str) else f"{row.auc:.3f}") in tables(app)
    assert "adjusted" in texts(app)


def test_subgroups_say_in_which_figure_a_group_differs_and_in_which_it_is_equivalent(scored: Run) -> None:
    path = scored.path / "evaluation.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    row = next(each for each in entries["val"]["subgroups"] if each["value"] == "CC")
    row |= {"difference": {"value": 0.01, "low": -0.03, "high": 0.04, "method": "obuchowski"}, "p": 0.7, "adjusted": 1.0}
    row |= {
        "specificity_difference": {"value": -0.4, "low": -0.6, "high": -0.2, "method": "wilson"},
        "specificity_p": 0.001,
        "specificity_adjusted": 0.01,
    }
    entries["val"] |= {"subgroups": [row], "equivalence_margin": 0.05}
    path.write_text(json.dumps(entries), encoding="utf-8")
    app = open_part("Subgroups")
    assert "View CC (specificity)" in texts(app) and "AUC 1 of 1" in texts(app)
    assert "differs in" in tables(app) and "equivalent in (±0.05)" in tables(app)
    cells = tables(app).split(">CC</td>")[1].split("</tr>")[0]
    assert cells.index("specificity") < cells.index("AUC")


def test_shortcuts_show_metadata_beside_the_model_or_the_reason_why_not(scored: Run) -> None:
    app = open_part("Shortcuts")
    audit = read_evaluation(scored, "val").shortcuts
    if isinstance(audit, str):
        assert audit in texts(app)
        return
    names = {trace.get("name") for trace in figures(app)["evaluate:shortcuts"]["data"]}
    assert names >= {"from metadata alone", "the model, among equals"}
    assert "The model, all images" in tables(app)
