"""The audit on the Explain page: started in the background, shown with its words, figures and worst cases."""

from __future__ import annotations

import json
import time

import pytest
from builders.lab_pages import figures, galleries, open_page, tables, texts

from core.heatmap_audit import audit_heatmaps, read_heatmap_audit
from core.heatmap_audit.settings import AuditSettings
from core.heatmap_audit.store import audit_path
from core.runs import Run
from dashboard.state import preferences, tasks

SETTINGS = AuditSettings(perturbed=10, steps=3, samples=100)


@pytest.fixture
def audited(run: Run) -> Run:
    audit_heatmaps(run, "val", settings=SETTINGS)
    preferences.set("explain:look", "audit")
    return run


def test_without_an_audit_the_page_says_what_one_does(run: Run) -> None:
    preferences.set("explain:look", "audit")
    app = open_page("explain")
    assert not app.exception and not app.error
    assert "have not been audited" in texts(app)
    assert next(each for each in app.button if each.key == "audit:start").label == "Audit the heatmaps"
    assert app.button_group(key="audit:split:widget").options == ["Validation"], "the test set has not been evaluated"


@pytest.mark.slow
def test_the_button_audits_and_the_page_shows_what_was_written(run: Run) -> None:
    preferences.set("explain:look", "audit")
    app = open_page("explain")
    next(each for each in app.button if each.key == "audit:start").click().run()
    task = tasks.task(f"audit:{run.path}")
    while task.running:
        time.sleep(0.05)
    assert task.state == "done", task.error
    app = open_page("explain")
    assert not app.exception and not app.error
    found = read_heatmap_audit(run, "val")
    assert found == task.result and found.images == 20
    assert f"{found.images} images of {found.patients} patients" in texts(app)


@pytest.mark.slow
def test_words_figures_and_worst_cases_are_those_of_the_audit(audited: Run) -> None:
    app = open_page("explain")
    assert not app.exception and not app.error
    method = read_heatmap_audit(audited, "val").methods[0]
    said = texts(app).replace("\\", "")
    assert all(sentence in said for sentence in method.verdict)
    shown = figures(app)
    hit = method.metric("hit").value
    values = next(trace for trace in shown["audit:located"]["data"] if trace["name"] == "heatmap")
    assert values["x"][0] == pytest.approx(hit.value) and len(values["x"]) == 4
    names = [trace.get("name") for trace in shown["audit:deletion"]["data"] if trace.get("name")]
    assert names == ["heatmap", "random order", "breast's middle"]
    missed = [case.path for case in method.worst if case.values["hit"] < 1]
    assert f"missed: {len(missed)} of {len(method.located)}" in said
    assert [tile["id"] for tile in galleries(app).get("audit:worst", [])] == missed[:8]
    assert "Energy inside the lesion" in tables(app) and format(method.metric("energy").value) in tables(app)


@pytest.mark.slow
def test_flagged_maps_are_listed_by_name(audited: Run) -> None:
    path = audit_path(audited, "val")
    content = json.loads(path.read_text(encoding="utf-8"))
    content["methods"][0]["cases"][0] |= {"flagged": "nothing at this layer speaks for malignant", "values": {}}
    path.write_text(json.dumps(content), encoding="utf-8")
    app = open_page("explain")
    assert any("Maps that hold nothing, left out of every metric: 1" in each.label for each in app.expander)
    assert app.dataframe[0].value["why"].tolist() == ["nothing at this layer speaks for malignant"]


@pytest.mark.slow
def test_an_audit_of_other_weights_is_said(audited: Run) -> None:
    path = audit_path(audited, "val")
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"weights_sha256": "00" * 32}), encoding="utf-8")
    assert "has changed since this audit" in texts(open_page("explain"))


@pytest.mark.slow
def test_a_damaged_audit_is_shown_as_its_text(audited: Run) -> None:
    audit_path(audited, "val").write_text("{", encoding="utf-8")
    app = open_page("explain")
    assert not app.exception and "damaged" in app.error[0].value
