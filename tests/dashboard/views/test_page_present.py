"""Present: a run in slides, made from its records, edited and saved, with nothing shown that is sealed."""

from __future__ import annotations

import json

import pytest
from builders.lab_pages import figures, galleries, open_page, texts

from core.errors import BadRun
from core.runs import Run
from core.story import KINDS, LONGEST, caught, scored, story, write_own
from core.wording import plain
from dashboard.state import preferences, training_runs
from dashboard.views.evaluate import heatmap_thumbnails


def slide(kind: str, run: Run) -> int:
    return [each.kind for each in story(run)].index(kind)


def test_without_a_model_the_page_leads_to_training(workspace: object) -> None:
    app = open_page("present")
    assert not app.exception and "No trained model yet" in texts(app)


def test_a_story_is_made_of_the_run_s_records_in_order(run: Run) -> None:
    slides = story(run)
    kinds = [each.kind for each in slides]
    assert kinds == [kind for kind in KINDS if kind in kinds] and {"data", "training", "roc", "live"} <= set(kinds)
    frame = run.manifest()
    assert slides[0].sentence.startswith(f"{len(frame)} images of {frame['patient_id'].nunique()} patients")
    assert "No patient is in two of these parts." in slides[0].sentence
    [curve] = [each for each in slides if each.kind == "roc"]
    assert curve.split == "val" and "optimistic" in curve.sentence, "the test set was not evaluated"
    assert caught(scored(run, "val"), curve.threshold) in curve.sentence


def test_what_a_threshold_finds_is_counted(run: Run) -> None:
    rows = scored(run, "val")
    malignant = rows["label"] == "malignant"
    found, wrong = ((rows["score"] >= 0.4) & malignant).sum(), ((rows["score"] >= 0.4) & ~malignant).sum()
    assert f"finds {found} of {malignant.sum()} malignant" in caught(rows, 0.4)
    assert f"false alarm for {wrong} of {(~malignant).sum()} benign" in caught(rows, 0.4)


def test_cases_are_of_validation_and_none_that_is_closed(run: Run) -> None:
    cases = [each for each in story(run) if each.path]
    val = set(run.manifest().query("split == 'val'")["path"])
    assert cases and {each.path for each in cases} <= val
    assert all((each.score >= each.threshold) == (each.label == "malignant") for each in cases if each.kind == "correct")
    assert all((each.score >= each.threshold) != (each.label == "malignant") for each in cases if each.kind == "error")
    others = [each.path for each in story(run, closed=[each.path for each in cases]) if each.path]
    assert not set(others) & {each.path for each in cases}


def test_own_sentences_replace_those_made_and_an_empty_one_brings_them_back(run: Run) -> None:
    made = {each.kind: each.sentence for each in story(run)}
    write_own(
        run,
        {"data": {"sentence": "  Our\n own data. " + "x" * LONGEST}, "live": {"hidden": True}, "nonsense": {"sentence": "?"}},
    )
    now = {each.kind: each for each in story(run)}
    assert now["data"].sentence.startswith("Our own data.") and len(now["data"].sentence) == LONGEST
    assert now["live"].hidden and not now["roc"].hidden and now["roc"].sentence == made["roc"]
    write_own(run, {})
    assert {each.kind: each.sentence for each in story(run)} == made


@pytest.mark.parametrize("content", ["[]", "{", '{"data": "text"}'])
def test_a_damaged_story_is_an_error_with_the_remedy(run: Run, content: str) -> None:
    (run.path / "story.json").write_text(content, encoding="utf-8")
    with pytest.raises(BadRun, match=r"story\.json.*Delete it"):
        story(run)
    app = open_page("present")
    assert not app.exception and "Delete it" in texts(app)


@pytest.mark.slow
def test_each_slide_opens_with_its_picture(run: Run) -> None:
    for number, each in enumerate(story(run)):
        app = open_page("present", **{"present:slide": number})
        assert not app.exception and not app.error, each.kind
        assert each.title in texts(app) and plain(each.sentence) in texts(app)
        assert "cannot be shown" not in texts(app), each.kind
        if each.kind in ("training", "roc"):
            assert figures(app), each.kind
        if each.kind in ("data", "correct", "error"):
            assert galleries(app), each.kind


def test_no_slide_shows_an_image_of_the_sealed_test_set(run: Run) -> None:
    app = open_page("present", **{"present:slide": 0})
    [tiles] = galleries(app).values()
    labelled = run.manifest()
    assert 0 < len(tiles) <= int((labelled["split"] != "test").sum())
    sealed = set(labelled.query("split == 'test'")["path"])
    assert not any(path in json.dumps(tiles) for path in sealed)


@pytest.mark.slow
def test_the_buttons_turn_the_slides_and_the_place_is_remembered(run: Run) -> None:
    app = open_page("present", **{"present:slide": 0})
    app.button(key="present:next").click().run()
    assert preferences.get("present:slide") == 1
    assert f"2 of {len(story(run))}" in texts(app)
    app.button(key="present:back").click().run()
    assert f"1 of {len(story(run))}" in texts(app) and app.button(key="present:back").disabled


def test_moving_the_threshold_counts_again_and_says_that_it_was_moved(run: Run) -> None:
    app = open_page("present", **{"present:slide": slide("roc", run)})
    malignant = int((scored(run, "val")["label"] == "malignant").sum())
    app.slider(key="present:threshold").set_value(1.0).run()
    assert app.metric[0].value == f"{malignant} of {malignant}"
    assert "Moved for the demonstration" in texts(app)


@pytest.mark.slow
def test_sentences_are_edited_on_the_page_and_saved_with_the_run(run: Run) -> None:
    made = {each.kind: each.sentence for each in story(run)}
    app = open_page("present", **{"present:edit": True})
    app.text_area(key="present:text:data").set_value("Films of our hospital.")
    app.checkbox(key="present:show:live").set_value(False)
    next(each for each in app.button if each.label == "Save").click().run()
    assert not app.exception
    now = {each.kind: each for each in story(run)}
    assert now["data"].sentence == "Films of our hospital." and now["live"].hidden
    assert now["roc"].sentence == made["roc"]
    assert set(json.loads((run.path / "story.json").read_text(encoding="utf-8"))) == {"data", "live"}


def test_heatmaps_are_made_before_their_slides_are_turned_to_but_not_beside_a_training(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(heatmap_thumbnails, "want", lambda run, paths: asked.extend(paths))
    assert not open_page("present").exception
    assert asked == [each.path for each in story(run) if each.kind in ("correct", "error")]
    asked.clear()
    monkeypatch.setattr(training_runs, "active_runs", lambda: [run])
    assert not open_page("present").exception and not asked
