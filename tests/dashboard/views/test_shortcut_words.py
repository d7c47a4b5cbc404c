"""What Evaluate says of a shortcut audit names what was audited, and claims no more than the intervals show."""

from __future__ import annotations

from core.metrics import Interval, Shortcut, ShortcutAudit
from core.metrics.features import ALL
from core.metrics.shortcut_results import Metadata
from dashboard.views.evaluate.shortcuts import verdict

MODEL = Interval(0.75, 0.7, 0.8)
CHANCE = Interval(0.5, 0.45, 0.55)


def audit(*rows: Shortcut, left_out: tuple[str, ...] = (), metadata: Metadata | None = None) -> ShortcutAudit:
    return ShortcutAudit(MODEL, rows, left_out, 200, 100, 0, 400, metadata)


def test_only_what_was_audited_is_named_and_the_rest_is_not_known() -> None:
    said = verdict(audit(Shortcut("laterality", CHANCE, MODEL, banded=False), Shortcut("view", CHANCE, MODEL, banded=False)))
    assert "audited were side and view (each interval includes 0.5)" in said
    assert said.endswith("Not known here, so not audited: scanner, site, age and burned-in text.")
    known = verdict(audit(Shortcut("age", CHANCE, MODEL, banded=True), left_out=("scanner", "burned_in", "site")))
    assert "audited was age (its interval includes 0.5)" in known and "Not known" not in known


def test_an_interval_below_chance_is_not_said_to_include_it() -> None:
    inverse = Shortcut("view", Interval(0.4, 0.32, 0.48), MODEL, banded=False)
    said = verdict(audit(inverse, Shortcut("age", CHANCE, MODEL, banded=True)))
    assert "audited was age (its interval includes 0.5)" in said
    assert "View: its interval lies below 0.5 (inverse association in this set)" in said


def test_nothing_audited_is_no_good_news() -> None:
    assert verdict(audit()).startswith("**Not audited for shortcuts**")
    assert verdict(audit(Shortcut("view", "too few", "too few"))).startswith("**Not audited for shortcuts**: view: too little")


def test_a_fifth_of_a_range_is_not_the_same_value() -> None:
    strong, within = Interval(0.8, 0.75, 0.85), Interval(0.69, 0.6, 0.78)
    category = verdict(audit(Shortcut("scanner", strong, within, banded=False)))
    assert "its score does not rest on scanner alone" in category
    for row in (Shortcut("age", strong, within, banded=True), Shortcut(ALL, strong, within), Shortcut("kvp", strong, within)):
        said = verdict(audit(row))
        assert "something else" not in said and "still has" not in said
    assert "in which differences within a fifth" in verdict(audit(Shortcut("age", strong, within, banded=True)))


def test_all_metadata_are_named_also_in_an_audit_that_did_not_write_them_down() -> None:
    against = Metadata(ALL, Interval(-0.05, -0.1, 0.01), 0.1, "undefined", None)
    together = Shortcut(ALL, Interval(0.8, 0.7, 0.9), MODEL)
    found = audit(Shortcut("view", CHANCE, MODEL), Shortcut("laterality", CHANCE, MODEL), together, metadata=against)
    assert "all metadata known here (side, view) together" in found.metadata.sentence
    assert verdict(found).startswith("**All metadata known here (side, view) together predict the label**")
