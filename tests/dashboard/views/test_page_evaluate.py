"""Evaluate: splits are scored on request, everything answers to the threshold, the frozen one stays what it is."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from typing import Any

import pandas as pd
import pytest
from builders.lab_pages import figures, galleries, open_page, texts
from streamlit.testing.v1 import AppTest

from core.evaluate import evaluate, read_evaluation
from core.files.typed import to_plain
from core.metrics import at_level, at_threshold, clustered_wilson
from core.model import update_card
from core.runs import Run
from core.runs.test_set.access_log import record_for_run
from core.runs.test_set.accesses import accesses
from dashboard.cache import results
from dashboard.state import preferences, training_runs
from dashboard.views.evaluate import parts, threshold_slider

# The level of the intervals, where a test does not set another.
clustered_wilson = partial(clustered_wilson, confidence=0.95)

CURVES = {"evaluate:roc", "evaluate:precision_recall", "evaluate:confusion", "evaluate:histogram", "evaluate:decision"}


def button(app: AppTest, key: str) -> Any:
    return next(each for each in app.button if each.key == key)


def component(app: AppTest, name: str) -> dict[str, Any]:
    """What the component of this name was given."""
    return next(
        json.loads(each.proto.json) for each in app.get("bidi_component") if each.proto.component_name == f"mammolab_{name}"
    )


def cards(app: AppTest) -> dict[str, dict[str, Any]]:
    """The cards above the tabs, by name, with the value where the slider stands."""
    data = component(app, "dial")
    at = {card["name"]: data["index"] if len(card["values"]) > 1 else 0 for card in data["cards"]}
    return {card["name"]: card | {"value": card["values"][at[card["name"]]], "at": at[card["name"]]} for card in data["cards"]}


def choice_of(run: Run, level: str = "image") -> str:
    return f"evaluate:threshold:{run.name}:{run.model_card().weights_sha256[:8]}:{level}"


def tables(app: AppTest) -> str:
    return "".join(str(element.proto.body) for element in app.get("html"))


def open_tab(name: str) -> AppTest:
    parts.show_next(name)
    app = open_page("evaluate")
    assert not app.exception
    assert not app.error
    return app


@pytest.fixture
def scored(run: Run) -> Run:
    evaluate(run, "val")
    return run


@pytest.fixture
def opened(scored: Run) -> Run:
    """With the test set opened, and shown."""
    evaluate(scored, "test")
    preferences.set("evaluate:split", "test")
    return scored


# ---------------------------------------------------------------- having it scored


def test_without_a_model_the_page_leads_to_training(workspace: Any) -> None:
    app = open_page("evaluate")
    assert not app.exception
    assert not app.error
    assert "Train a model first" in texts(app)


def test_scoring_the_validation_set_is_one_press(run: Run) -> None:
    app = open_page("evaluate")
    button(app, "evaluate:start").click().run()
    task = results.evaluation_task(run, "val")
    assert task is not None
    while task.running:
        pass
    assert task.error == ""
    app.run()
    assert not app.exception
    assert not app.error
    assert set(figures(app)) == CURVES


def test_damaged_figures_are_named_and_one_press_makes_new_ones(scored: Run) -> None:
    path = scored.path / "evaluation.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    del entries["val"]["levels"]
    path.write_text(json.dumps(entries), encoding="utf-8")
    app = open_page("evaluate")
    assert not app.exception
    assert "damaged" in app.error[0].value
    button(app, "evaluate:again").click().run()
    task = results.evaluation_task(scored, "val")
    assert task is not None
    while task.running:
        pass
    app.run()
    assert not app.error
    assert set(figures(app)) == CURVES


def test_the_test_set_is_opened_only_by_its_button_and_each_time_is_counted_and_listed(scored: Run) -> None:
    app = open_page("evaluate")
    app.button_group(key="evaluate:split:widget").set_value("test").run()
    assert "has not been opened" in texts(app)
    assert read_evaluation(scored, "test") is None
    told = next(each.value for each in app.markdown if "cannot be taken back" in each.value)
    assert "**tiny**" in told and f"{scored.model_card().threshold:.3f}" in told
    assert button(app, "evaluate:start").disabled
    app.checkbox(key="evaluate:start:sure").set_value(True).run()
    assert read_evaluation(scored, "test") is None and accesses(scored.path) == ()
    button(app, "evaluate:start").click().run()
    task = results.evaluation_task(scored, "test")
    while task is not None and task.running:
        pass
    app.run()
    assert "test set opened **once**" in texts(app)
    evaluate(scored, "test")
    app.run()
    assert "opened **2 times**" in texts(app)
    for opening in read_evaluation(scored, "test").history:
        assert opening.when.replace("T", " ")[:16] in tables(app)
    assert [(each.kind, each.where) for each in accesses(scored.path)] == [("scored", "Evaluate"), ("scored", "evaluate")]


def test_a_damaged_record_of_accesses_is_an_error_and_not_no_access(scored: Run) -> None:
    (scored.path / "test_accesses.jsonl").write_text("{", encoding="utf-8")
    preferences.set("evaluate:split", "test")
    app = open_page("evaluate")
    assert not app.exception
    assert any("test_accesses.jsonl" in error.value.replace("\\", "") and "damaged" in error.value for error in app.error)
    assert "No access" not in texts(app)


def test_accesses_before_the_opening_stand_where_it_is_decided(scored: Run) -> None:
    record_for_run(scored.path, "heatmaps", "report", 3)
    preferences.set("evaluate:split", "test")
    app = open_page("evaluate")
    assert "heatmaps once" in texts(app)
    assert "heatmaps" in tables(app) and "report" in tables(app)


def test_a_model_that_changed_since_is_said(scored: Run) -> None:
    path = scored.path / "model.json"
    path.write_text(json.dumps(scored.model_card().written() | {"weights_sha256": "0" * 64}), encoding="utf-8")
    app = open_page("evaluate")
    assert "has changed since" in app.warning[0].value


def test_a_damaged_evaluation_is_shown_as_its_text(scored: Run) -> None:
    (scored.path / "evaluation.json").write_text("{", encoding="utf-8")
    app = open_page("evaluate")
    assert not app.exception
    assert "damaged" in app.error[0].value


# ---------------------------------------------------------------- the threshold


def test_the_figures_at_the_frozen_threshold_are_the_evaluation_s_own(scored: Run) -> None:
    summary = read_evaluation(scored, "val").summary
    found = cards(open_page("evaluate"))
    for name, stored in (("auc", "auc"), *threshold_slider.STORED.items()):
        card, figure = found[name], summary[stored]
        assert card["value"] == figure.value
        assert (card["lows"][card["at"]], card["highs"][card["at"]]) == (figure.low, figure.high)


def test_the_slider_starts_at_the_frozen_threshold_and_has_it_exactly(scored: Run) -> None:
    data = component(open_page("evaluate"), "dial")
    assert data["index"] == data["frozen"]
    assert data["grid"][data["frozen"]] == scored.model_card().threshold
    assert "chosen on validation for a sensitivity of 0.90" in data["words"]


def test_an_explored_threshold_moves_the_cards_and_not_the_model(scored: Run) -> None:
    predictions = read_evaluation(scored, "val").predictions
    preferences.set(choice_of(scored), float(predictions["score"].median()))
    app = open_page("evaluate")
    data, found = component(app, "dial"), cards(app)
    threshold = data["grid"][data["index"]]
    assert data["index"] != data["frozen"]
    expected = at_threshold(predictions["label"], predictions["score"], threshold)
    assert found["specificity"]["value"] == pytest.approx(expected["specificity"], abs=1e-5)
    benign = predictions[predictions["label"] == "benign"]
    interval = clustered_wilson(benign["score"] < threshold, benign["patient_id"])
    assert found["specificity"]["lows"][data["index"]] == pytest.approx(interval.low, abs=1e-5)
    assert scored.model_card().threshold == read_evaluation(scored, "val").threshold


def test_every_figure_that_follows_has_a_value_for_each_step_of_the_slider(scored: Run) -> None:
    app = open_page("evaluate")
    data = component(app, "dial")
    shown = figures(app)
    following = [
        json.loads(each.proto.json) for each in app.get("bidi_component") if each.proto.component_name == "mammolab_plot"
    ]
    assert len(following) == len(CURVES)
    for each in following:
        moves = each["follow"]
        assert moves["dial"] == data["dial"]
        columns = [*(column for trace in moves["traces"].values() for column in trace.values()), *moves["layout"].values()]
        assert columns
        assert {len(column) for column in columns} == {len(data["grid"])}
    cells = shown["evaluate:confusion"]["data"][0]
    confusion = next(
        each["follow"] for each in following if "shapes" not in str(each["follow"]) and "text" in str(each["follow"])
    )
    assert confusion["traces"]["0"]["text"][data["frozen"]] == cells["text"]


def test_the_mark_on_the_roc_curve_moves_along_the_curve(scored: Run) -> None:
    app = open_page("evaluate")
    plots = [json.loads(each.proto.json) for each in app.get("bidi_component") if "plot" in each.proto.component_name]
    moves = plots[0]["follow"]["traces"]
    ((_, mark),) = moves.items()
    predictions = read_evaluation(scored, "val").predictions
    data = component(app, "dial")
    for index in (0, data["frozen"], len(data["grid"]) // 2, len(data["grid"]) - 1):
        expected = at_threshold(predictions["label"], predictions["score"], data["grid"][index])
        assert mark["y"][index][0] == pytest.approx(expected["sensitivity"], abs=1e-5)
        assert mark["x"][index][0] == pytest.approx(1 - expected["specificity"], abs=1e-5)


@pytest.mark.parametrize(("level", "rows"), [("image", 20), ("breast", 10), ("patient", 10)])
def test_breasts_and_patients_are_counted_as_such_at_a_threshold_of_their_own(scored: Run, level: str, rows: int) -> None:
    preferences.set("evaluate:level", level)
    app = open_page("evaluate")
    assert not app.exception
    cells = figures(app)["evaluate:confusion"]["data"][0]["text"]
    counts = [int(cell.split("</b>")[0].removeprefix("<b>").replace(",", "")) for row in cells for cell in row]
    assert sum(counts) == rows
    data = component(app, "dial")
    assert data["grid"][data["frozen"]] == read_evaluation(scored, "val").levels[level].threshold


# ---------------------------------------------------------------- choosing one


@pytest.mark.parametrize("kind", ["sensitivity", "youden", "cost"])
def test_a_rule_says_what_it_would_choose_and_look_at_it_moves_only_the_slider(scored: Run, kind: str) -> None:
    from core.metrics import ThresholdRule

    preferences.set("evaluate:rule", kind)
    preferences.set("evaluate:target", 0.7)
    app = open_tab("Choose a threshold")
    predictions = read_evaluation(scored, "val").predictions
    expected = ThresholdRule(kind, target=0.7).choose(predictions["label"], predictions["score"])  # type: ignore[arg-type]
    assert f"{expected:.3f}" in tables(app)
    button(app, "evaluate:look").click().run()
    data = component(app, "dial")
    assert data["grid"][data["index"]] == pytest.approx(expected, abs=1e-6)
    assert scored.model_card().threshold == data["grid"][data["frozen"]]


def test_freezing_changes_the_model_and_scores_validation_again(scored: Run) -> None:
    before = scored.model_card().threshold
    preferences.set("evaluate:target", 0.5)
    app = open_tab("Choose a threshold")
    button(app, "evaluate:freeze").click().run()
    task = results.evaluation_task(scored, "val")
    while task is not None and task.running:
        pass
    assert scored.model_card().threshold > before
    assert scored.model_card().threshold_rule.target == 0.5
    assert read_evaluation(scored, "val").threshold == scored.model_card().threshold


def by_view_of(run: Run, cc: float, mlo: float) -> None:
    """Freeze thresholds by view, and score validation at them."""
    rule = to_plain(run.model_card().threshold_rule) | {"per_view": True}
    update_card(run.path, {"threshold_rule": rule, "view_thresholds": {"CC": cc, "MLO": mlo}})
    evaluate(run, "val")


def test_thresholds_by_view_can_be_asked_for_and_a_view_with_too_few_patients_says_so(scored: Run) -> None:
    preferences.set("evaluate:per_view", True)
    app = open_tab("Choose a threshold")
    assert "only 5 patients have malignant CC images" in texts(app) and "at least 10 needed" in texts(app)
    button(app, "evaluate:freeze").click().run()
    task = results.evaluation_task(scored, "val")
    while task is not None and task.running:
        pass
    card = scored.model_card()
    assert card.threshold_rule.per_view and "at least 10 needed" in card.view_thresholds["MLO"]
    assert "for each view" in texts(open_tab("Choose a threshold"))


def test_at_thresholds_by_view_the_page_counts_every_image_at_its_own(scored: Run) -> None:
    scores = read_evaluation(scored, "val").predictions
    of_view = {view: sorted(scores.loc[scores["view"] == view, "score"]) for view in ("CC", "MLO")}
    thresholds = {"CC": of_view["CC"][-2], "MLO": of_view["MLO"][1]}
    by_view_of(scored, thresholds["CC"], thresholds["MLO"])
    called = [score >= thresholds[view] for score, view in zip(scores["score"], scores["view"], strict=True)]
    assert sum(called) == 2 + len(of_view["MLO"]) - 1
    app = open_tab("Curves")
    data = component(app, "dial")
    assert f"CC {thresholds['CC']:.3f}, MLO {thresholds['MLO']:.3f}" in data["words"]
    flagged = next(card for card in data["cards"] if card["name"] == "called")
    assert flagged["values"][data["frozen"]] == str(sum(called))
    stored = read_evaluation(scored, "val").summary
    shown = next(card for card in data["cards"] if card["name"] == "specificity")
    assert shown["values"][data["frozen"]] == pytest.approx(stored["specificity"].value, abs=1e-5)
    point = figures(app)["evaluate:roc"]["data"][-1]
    assert point["x"][0] == pytest.approx(1 - stored["specificity"].value) and "histogram shows each score less" in texts(app)
    assert f"CC {thresholds['CC']:.3f}" in texts(open_tab("Subgroups")) and f"CC {thresholds['CC']:.3f}" in texts(
        open_tab("All numbers")
    )
    # At another level the breast's own threshold decides, and the words say it.
    preferences.set("evaluate:level", "breast")
    app = open_tab("Choose a threshold")
    assert "no score is recalibrated by view" in texts(app)
    assert component(app, "dial")["words"].count("CC") == 0


@pytest.mark.parametrize("level", ["image", "patient"])
def test_what_is_frozen_now_is_shown_before_validation_is_scored_again(
    scored: Run, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setattr(results, "start_evaluation", lambda run, split: None)  # it never ends
    stored = read_evaluation(scored, "val")
    preferences.set("evaluate:target", 0.5)
    preferences.set("evaluate:level", level)
    app = open_tab("Choose a threshold")
    assert "In use now: a target sensitivity of 0.90" in texts(app)
    button(app, "evaluate:freeze").click().run()
    assert not app.exception
    card = scored.model_card()
    now = {"image": card.threshold, **card.thresholds}[level]
    assert now > stored.levels[level].threshold
    data = component(app, "dial")
    assert data["index"] == data["frozen"] and data["grid"][data["frozen"]] == now
    assert "for a sensitivity of 0.50" in data["words"]
    assert "In use now: a target sensitivity of 0.50" in texts(app)
    assert f"<td>Threshold</td><td>{now:.3f}</td><td>{now:.3f}</td>" in re.sub(r"<td class='.'>", "<td>", tables(app))
    assert "both columns are optimistic" in texts(app)
    table = at_level(stored.predictions, level)
    at = at_threshold(table["label"], table["score"], now)
    assert cards(app)["sensitivity"]["value"] == pytest.approx(at["sensitivity"], abs=1e-5)
    (banner,) = app.warning
    assert f"{now:.3f} for {level}s" in banner.value and "Score again" in banner.value
    app = open_tab("All numbers")
    captions = " ".join(each.value for each in app.caption)
    assert f"earlier threshold {stored.levels[level].threshold:.3f} (in use now: {now:.3f})" in captions


def test_what_is_frozen_already_is_not_offered_again(scored: Run) -> None:
    app = open_tab("Choose a threshold")
    assert not [each for each in app.button if each.key == "evaluate:freeze"]
    assert "This is what is in use" in texts(app)
    app.slider(key="evaluate:target:widget").set_value(0.5).run()
    assert "This is what is in use" not in texts(app)
    button(app, "evaluate:freeze").click().run()
    task = results.evaluation_task(scored, "val")
    while task is not None and task.running:
        pass
    app.run()
    assert not app.warning
    assert not [each for each in app.button if each.key == "evaluate:freeze"]


def test_a_calibration_fitted_since_is_said(scored: Run) -> None:
    from core.metrics import Calibration
    from core.model import update_card

    method = "temperature" if scored.model_card().calibration.fitted.method != "temperature" else "logistic"
    update_card(scored.path, {"calibration": to_plain(Calibration(method, slope=0.8, rows=20))})
    app = open_tab("Calibration")
    assert any(f"in use now is {method}" in each.value for each in app.warning)


def test_after_the_test_set_was_opened_freezing_asks_to_be_recorded(opened: Run) -> None:
    preferences.set("evaluate:split", "val")
    preferences.set("evaluate:target", 0.5)
    before = opened.model_card().threshold
    app = open_tab("Choose a threshold")
    assert "opened **once**" in texts(app)
    assert button(app, "evaluate:freeze").disabled
    app.checkbox(key="evaluate:reopen").check().run()
    button(app, "evaluate:freeze").click().run()
    task = results.evaluation_task(opened, "val")
    while task is not None and task.running:
        pass
    assert opened.model_card().threshold > before
    (change,) = read_evaluation(opened, "test").refrozen
    assert (change.before, change.evaluations) == (before, 1)


def test_on_the_test_set_no_threshold_can_be_chosen(opened: Run) -> None:
    app = open_tab("Choose a threshold")
    assert "never here" in app.info[0].value
    assert not [each for each in app.button if each.key == "evaluate:freeze"]


# ---------------------------------------------------------------- the other tabs


def test_calibration_shows_raw_and_calibrated_scores_with_their_figures(scored: Run) -> None:
    app = open_tab("Calibration")
    report = read_evaluation(scored, "val").calibration
    names = [trace.get("name", "") for trace in figures(app)["evaluate:reliability"]["data"]]
    assert any(name.startswith("raw score") for name in names)
    for figure in (report.before.brier, report.after.ece):
        assert f"{figure.value:.3f}<small>[{figure.low:.3f}, {figure.high:.3f}]</small>" in tables(app)
    assert "fitted on these very images" in texts(app)


def test_screening_says_it_in_whole_women_at_every_prevalence(scored: Run) -> None:
    from core.metrics import operating_point
    from dashboard.views.evaluate.screening import DEFAULT, PREVALENCES

    preferences.set("evaluate:level", "patient")
    app = open_tab("Screening")
    data = component(app, "screening")
    assert len(data["steps"]) == len(PREVALENCES)
    assert data["index"] == PREVALENCES.index(DEFAULT)
    assert all(sum(step["people"]) == 1000 and min(step["people"]) >= 0 for step in data["steps"])
    women = at_level(read_evaluation(scored, "val").predictions, "patient")
    point = operating_point(
        women["label"], women["score"], scored.model_card().thresholds["patient"], women["patient_id"], confidence=0.95
    )
    expected = point.at(0.1)
    rows = {row[0]: row[1:] for row in data["steps"][PREVALENCES.index(10)]["rows"]}
    assert rows["A recall is cancer (PPV)"][0] == f"{expected.ppv.value:.1%}"
    assert rows["Recalled, of 1,000"][0] == f"{expected.recalled.value:,.0f}"
    assert data["steps"][PREVALENCES.index(10)]["sentence"].startswith("Of 1,000 women screened, 100 have cancer.")
    assert data["words"]["dot"].startswith("A dot is a woman")
    assert not [each for each in app.button if each.key == "evaluate:women"]


@pytest.mark.parametrize(
    ("level", "sentence"),
    [("image", "Of 1,000 images scored, 100 show cancer."), ("breast", "Of 1,000 breasts scored, 100 have cancer.")],
)
def test_screening_by_images_or_breasts_never_counts_women_and_leads_to_them(scored: Run, level: str, sentence: str) -> None:
    from dashboard.views.evaluate.screening import PREVALENCES

    preferences.set("evaluate:level", level)
    app = open_tab("Screening")
    data = component(app, "screening")
    assert data["steps"][PREVALENCES.index(10)]["sentence"].startswith(sentence)
    assert "wom" not in json.dumps(data) and "recall" not in json.dumps(data).lower()
    captions = " ".join(each.value for each in app.caption)
    assert f"{level}s scored" in captions and "women" not in captions
    assert f"counts **{level}s**, not women" in texts(app)
    button(app, "evaluate:women").click().run()
    assert not app.exception
    assert component(app, "screening")["steps"][0]["sentence"].startswith("Of 1,000 women screened")


def test_subgroups_have_numbers_or_say_that_they_are_too_small(scored: Run) -> None:
    app = open_tab("Subgroups")
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
    app = open_tab("Subgroups")
    assert "View CC (specificity)" in texts(app) and "AUC 1 of 1" in texts(app)
    assert "differs in" in tables(app) and "equivalent in (±0.05)" in tables(app)
    cells = tables(app).split(">CC</td>")[1].split("</tr>")[0]
    assert cells.index("specificity") < cells.index("AUC")


def test_shortcuts_show_metadata_beside_the_model_or_the_reason_why_not(scored: Run) -> None:
    app = open_tab("Shortcuts")
    audit = read_evaluation(scored, "val").shortcuts
    if isinstance(audit, str):
        assert audit in texts(app)
        return
    names = {trace.get("name") for trace in figures(app)["evaluate:shortcuts"]["data"]}
    assert names >= {"from metadata alone", "the model, among equals"}
    assert "The model, all images" in tables(app)


def test_two_runs_are_compared_on_the_same_images(scored: Run, workspace: Any) -> None:
    import shutil

    shutil.copytree(scored.path, workspace / "checkpoints" / "twin")
    training_runs.set_current_run("tiny")
    app = open_tab("Compare runs")
    assert "Neither run is shown to be better" in texts(app)
    assert "20 images in both" in texts(app)
    names = [trace.get("name", "") for trace in figures(app)["evaluate:compare"]["data"]]
    assert any(name.startswith("tiny") for name in names)
    assert any(name.startswith("twin") for name in names)


def test_a_run_that_changed_since_shows_its_command_as_code(scored: Run, workspace: Any) -> None:
    import shutil

    twin = workspace / "checkpoints" / "twin_1"
    shutil.copytree(scored.path, twin)
    (twin / "model.json").write_text(json.dumps(scored.model_card().written() | {"threshold": 0.9}), encoding="utf-8")
    stored = json.loads((twin / "evaluation.json").read_text(encoding="utf-8"))
    (twin / "evaluation.json").write_text(json.dumps({"val": stored["val"] | {"run": "twin_1"}}), encoding="utf-8")
    training_runs.set_current_run("tiny")
    app = open_tab("Compare runs")
    (warning,) = app.warning
    assert "`python -m core evaluate twin_1 --split val`" in warning.value
    assert "\\`" not in warning.value and warning.value.startswith("twin\\_1")


def test_runs_without_a_common_image_are_not_compared_and_the_reason_is_said(scored: Run, workspace: Any) -> None:
    import shutil

    twin = workspace / "checkpoints" / "twin"
    shutil.copytree(scored.path, twin)
    path = twin / "predictions" / "val.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("_CC.png", "_CC.jpg").replace("_MLO.png", "_MLO.jpg"), "utf-8")
    training_runs.set_current_run("tiny")
    app = open_tab("Compare runs")
    assert "no image in common" in app.warning[0].value.replace("\\", "")
    assert "evaluate:compare" not in figures(app)


def test_published_figures_stay_away_with_one_sentence_why(opened: Run) -> None:
    app = open_tab("Compare runs")
    assert "none is comparable" in texts(app).lower()


def test_the_gallery_shows_the_mistakes_of_the_threshold_and_then_heatmaps(scored: Run) -> None:
    from dashboard.views.evaluate import heatmap_thumbnails

    predictions = read_evaluation(scored, "val").predictions
    preferences.set(choice_of(scored), 1.0)  # nobody is recalled: every malignant image is missed
    app = open_tab("Mistakes")
    malignant = predictions[predictions["label"] == "malignant"].sort_values("score")
    tiles = galleries(app)["evaluate:missed"]
    assert [tile["id"] for tile in tiles] == malignant["path"].tolist()[: len(tiles)]
    assert all(not tile["missing"] for tile in tiles)
    task = heatmap_thumbnails.task(scored)
    assert task is not None
    while task.running:
        pass
    assert task.error == ""
    found = heatmap_thumbnails.ready(scored, malignant["path"].tolist())
    assert set(found) == set(malignant["path"])
    assert all(each.image.startswith(b"\xff\xd8") for each in found.values())
    app.button_group(key="evaluate:cases:widget").set_value("alarms").run()
    assert "None at this threshold" in texts(app)


def test_mistakes_of_breasts_are_judged_by_the_breast(scored: Run) -> None:
    preferences.set("evaluate:level", "breast")
    preferences.set(choice_of(scored, "breast"), 1.0)
    preferences.set("evaluate:heatmaps", False)
    app = open_tab("Mistakes")
    breasts = at_level(read_evaluation(scored, "val").predictions, "breast")
    missed = breasts[breasts["label"] == "malignant"].sort_values("score")
    tiles = galleries(app)["evaluate:missed"]
    assert [tile["label"] for tile in tiles] == [f"{score:.3f}" for score in missed["score"]]


@pytest.mark.parametrize("key", ["evaluate:to_explain", "evaluate:to_preprocess", "evaluate:to_inspect"])
def test_a_chosen_case_opens_on_the_other_pages(scored: Run, key: str) -> None:
    path = read_evaluation(scored, "val").predictions["path"].iloc[3]
    preferences.set("evaluate:case", path)
    preferences.set("evaluate:heatmaps", False)
    app = open_tab("Mistakes")
    assert len(galleries(app)["evaluate:chosen"]) >= 1
    button(app, key).click().run()
    assert not app.exception
    assert not app.error
    page = key.removeprefix("evaluate:to_")
    if page == "explain":
        assert preferences.get("explain:image") == path
    else:  # the run's images are not those of the current data set
        assert (preferences.get(f"{page}:source"), preferences.get(f"{page}:path")) == ("File path", path)
        assert app.text_input(key=f"{page}:path:widget").value == path


def test_every_image_is_listed_with_score_and_outcome(scored: Run) -> None:
    app = open_tab("All images")
    table = app.dataframe[0].value
    assert len(table) == 20
    assert set(table["outcome"]) <= {"found", "missed cancer", "false alarm", "cleared"}


def test_the_table_has_every_figure_with_its_interval(scored: Run) -> None:
    app = open_tab("All numbers")
    shown = re.sub(r"<td class='.'>", "<td>", tables(app))
    for title, value, interval, _ in read_evaluation(scored, "val").table_rows():
        assert f"<td>{title}</td><td>{value}</td><td>{interval}</td>" in shown


def test_report_and_csv_are_reached_from_every_part(scored: Run) -> None:
    for group in parts.GROUPS:
        preferences.set("evaluate:group", group)
        app = open_page("evaluate")
        assert not app.exception and not app.error
        assert "CSV" in {each.proto.label for each in app.get("download_button")}, group
        assert any(each.key == "evaluate:make" for each in app.button), group


@pytest.mark.parametrize("spread", [0.05, 0.6])
def test_scores_so_close_together_that_the_diagram_says_little_are_said_to_be(scored: Run, spread: float) -> None:
    path = scored.path / "predictions" / "val.csv"
    table = pd.read_csv(path, dtype=str)
    table["score"] = [f"{0.2 + spread * (place % 2):.6f}" for place in range(len(table))]
    table.to_csv(path, index=False)
    app = open_tab("Calibration")
    assert any("So close together" in each.value for each in app.warning) is (spread < 0.1)


def test_several_runs_are_drawn_on_one_roc_chart(scored: Run) -> None:
    for name in ("second", "third", "unscored"):
        shutil.copytree(scored.path, scored.path.with_name(name))
    (scored.path.with_name("unscored") / "evaluation.json").unlink()
    training_runs.set_current_run(scored.name)
    preferences.set(f"evaluate:other:{scored.name}", "second")
    preferences.set(f"evaluate:others:{scored.name}", ["third", "unscored"])
    preferences.set("evaluate:group", "Compare")
    app = open_page("evaluate")
    assert not app.exception and not app.error
    names = {str(trace.get("name", "")).split(" AUC")[0] for trace in figures(app)["evaluate:compare"]["data"]}
    assert {"tiny", "second", "third"} <= names
    assert button(app, "evaluate:score_other:unscored").label == "Score unscored"
