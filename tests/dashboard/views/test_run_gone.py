"""A run that is renamed or deleted, elsewhere, under a page that shows it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from builders.lab_pages import open_page, texts
from streamlit.testing.v1 import AppTest

from core.errors import BadRun
from core.evaluate import evaluate
from core.runs import Run
from dashboard.cache import results
from dashboard.state import run_actions, settings, tasks, training_runs

FRAGMENT = """from pathlib import Path
import streamlit as st
from core.runs.run import Run
from dashboard.ui import notices
run = st.session_state.setdefault("run", Run(Path({path!r})))
with notices.errors_shown():
    notices.require_existing(run)
    st.text("all is well")
"""


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (lambda run: run_actions.rename_run(run, "other"), "was renamed to other"),
        (lambda run: run_actions.delete_run(run), "no longer there"),
        (lambda run: run.path.rename(run.path.with_name("moved by hand")), "no longer there"),
    ],
    ids=["renamed", "deleted", "moved"],
)
def test_an_open_part_of_a_page_says_what_became_of_its_run(run: Run, do, words: str) -> None:
    app = AppTest.from_string(FRAGMENT.format(path=str(run.path))).run()
    assert app.text[0].value == "all is well"
    do(Run.open(run.path))
    app.run()
    assert not app.exception and not app.error and not app.text
    assert words in app.warning[0].value and "tiny" in app.warning[0].value


@pytest.mark.slow_but("runs")
@pytest.mark.parametrize("view", ["evaluate", "explain", "train", "runs", "test_image"])
def test_a_page_follows_a_run_that_somebody_else_renamed(scored: Run, view: str) -> None:
    run = scored
    training_runs.set_current_run("tiny")
    results.watch_run(run)
    app = open_page(view)
    tasks.live().renamed.clear()
    path = run.path
    Run.open(path).rename("other")
    tasks.live().renamed[str(path)] = str(path.with_name("other"))
    app.run()
    assert not app.exception and not app.error, texts(app)
    assert training_runs.current_run().name == "other"


def test_names_are_followed_through_several_renames_but_never_past_a_run_that_has_the_name(run: Run) -> None:
    other = run_actions.rename_run(Run.open(run.path), "b")
    run_actions.rename_run(other, "c")
    assert training_runs.current_name("tiny") == "c"
    (settings.checkpoints() / "tiny").mkdir()
    assert training_runs.current_name("tiny") == "tiny", "a new run of the old name is another one"


def test_renaming_in_a_circle_ends(run: Run, workspace: Path) -> None:
    folder = settings.checkpoints()
    tasks.live().renamed.update({str(folder / "x"): str(folder / "y"), str(folder / "y"): str(folder / "x")})
    assert training_runs.current_name("x") in ("x", "y")


@pytest.mark.slow
def test_scores_are_kept_where_a_run_is_renamed_while_it_is_scored(run: Run) -> None:
    before = run.path

    def rename(done: int, total: int) -> None:
        if before.is_dir():
            Run.open(before).rename("other")  # as another process does, which knows nothing of the scoring

    found = evaluate(Run.open(before), "val", progress=rename)
    other = Run.open(before.with_name("other"))
    assert found.run == "other" and results.evaluation(other, "val") is not None
    assert not before.exists(), "nothing is written under the old name"


def test_a_run_that_is_deleted_while_it_is_scored_is_not_taken_for_the_next_one_of_its_name(run: Run) -> None:
    before = run.path

    def replace(done: int, total: int) -> None:
        if not (before.parent / "grave").exists():
            before.rename(before.parent / "grave")
            shutil.copytree(before.parent / "grave", before)
            shutil.rmtree(before.parent / "grave")
            (before.parent / "grave").touch()

    with pytest.raises(BadRun, match="deleted or renamed"):
        evaluate(Run.open(before), "val", progress=replace)
    assert results.evaluation(Run.open(before), "val") is None


def test_the_task_that_scores_a_run_follows_its_new_name(run: Run) -> None:
    go_on = threading.Event()
    task = tasks.start_task(f"evaluate:{run.path}:val", "Scoring val", lambda report: go_on.wait(20))
    try:
        other = run_actions.rename_run(run, "other")
        assert results.evaluation_task(other, "val") is task and task.running
        with pytest.raises(BadRun, match="scoring val"):
            run_actions.delete_run(other)
    finally:
        go_on.set()
