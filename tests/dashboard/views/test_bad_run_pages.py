"""A run folder that somebody sent, damaged or hostile: a row with its reason on Runs; every page opens; it can be deleted."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from builders.bad_folders import DAMAGED, IRREGULAR, Spoil, newest, put, status
from builders.lab_pages import figures, open_page, texts, wait_until

from core.errors import BadRun
from core.runs import Run
from dashboard.state import preferences, run_actions, tasks, training_runs
from dashboard.views.runs import run_table

pytestmark = pytest.mark.skipif(os.name == "nt", reason="named pipes and devices are POSIX's")

PAGES = ["home", "data", "inspect", "preprocess", "train", "runs", "evaluate", "explain", "test_image", "present"]
UNEXPECTED = "Something unexpected"


@pytest.fixture
def bad(run: Run) -> Run:
    """A copy of the sound run, still sound, beside it."""
    shutil.copytree(run.path, run.path.with_name("bad"))
    return Run(run.path.with_name("bad"))


def choose(run: Run) -> None:
    """As if the user had worked with it last, on every page."""
    training_runs.set_current_run(run.name)
    for key, value in {
        "train:run": run.name,
        "train:view": "Progress",
        "explain:image": None,
    }.items():
        preferences.set(key, value)


CASES = [*DAMAGED.items(), *IRREGULAR.items()]


@pytest.mark.slow_but(
    "evaluation too deep",
    "manifest is a pipe",
    "note is a device",
    "predictions no table",
    "status is a pipe",
    "status of 401 digits",
)
@pytest.mark.parametrize(("spoil", "named"), [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_one_bad_run_is_a_row_with_its_reason_and_can_be_deleted(run: Run, bad: Run, spoil: Spoil, named: str) -> None:
    newest(spoil)(bad.path)
    before = run_table.row(run)
    found = {row.name: row for row in run_table.rows()}
    assert found["tiny"] == before, "the others as ever"
    assert named in (found["bad"].problem or found["bad"].doubt)
    run_actions.delete_run(bad)
    assert [row.name for row in run_table.rows()] == ["tiny"]


SOME = ["status of 401 digits", "evaluation too deep", "config of aliases", "model too deep", "predictions no table"]
SOME_IRREGULAR = [
    "note is a device",
    "status is a pipe",
    "events is a pipe",
    "manifest is a pipe",
    "predictions lead elsewhere",
]


@pytest.mark.slow_but("home")
@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_a_dozen_bad_runs_among_which_is_the_newest(run: Run, bad: Run, page: str) -> None:
    for number, (_, (spoil, _)) in enumerate([*DAMAGED.items(), *IRREGULAR.items()]):
        copy = bad.path.with_name(f"bad-{number}")
        shutil.copytree(bad.path, copy)
        newest(spoil)(copy)
    app = open_page(page, runs__selected=["bad"])
    assert not app.exception
    assert UNEXPECTED not in texts(app)


@pytest.mark.slow_but(
    "evaluate-evaluation too deep",
    "evaluate-predictions lead elsewhere",
    "explain-config of aliases",
    "explain-predictions no table",
    "runs-events is a pipe",
    "runs-model too deep",
    "test_image-note is a device",
    "train-manifest is a pipe",
    "train-status is a pipe",
)
@pytest.mark.parametrize("name", [*SOME, *SOME_IRREGULAR])
@pytest.mark.parametrize("page", ["train", "runs", "evaluate", "explain", "test_image"])
def test_a_page_opens_with_a_bad_run_chosen(run: Run, bad: Run, page: str, name: str) -> None:
    newest((DAMAGED | IRREGULAR)[name][0])(bad.path)
    choose(bad)
    app = open_page(page, runs__selected=["bad"])
    assert not app.exception
    assert UNEXPECTED not in texts(app)


@pytest.mark.slow_but(
    "status too deep-Curves",
    "evaluation opened many-Figures",
    "config of aliases-Settings",
    "config of aliases-Fork",
    "events is a pipe-Name and note",
    "status too deep-Delete",
)
@pytest.mark.parametrize("part", ["Curves", "Figures", "Settings", "Fork", "Name and note", "Delete"])
@pytest.mark.parametrize("name", ["status too deep", "events is a pipe", "config of aliases", "evaluation opened many"])
def test_each_part_of_the_runs_page_opens_with_a_bad_run(run: Run, bad: Run, part: str, name: str) -> None:
    (DAMAGED | IRREGULAR)[name][0](bad.path)
    choose(bad)
    preferences.set("runs:part", part)
    app = open_page("runs", runs__selected=["bad"])
    assert not app.exception
    assert UNEXPECTED not in texts(app)


HOSTILE_EVENTS = (
    b'{"seq":1,"type":"epoch","epoch":"many"}\n{"seq":2,"type":"step"}\n{"seq":3,"type":"step","epoch":1,"step":1,"steps":1e308}\n'
    b'{"seq":4,"type":"epoch","epoch":1,"val":{"auc":"high"}}\n{"seq":5,"type":["x"]}\n{"seq":6,"type":"start","images":[1]}\n'
    b'{"seq":7,"type":"prepare","done":"a","total":2}\n{"seq":8,"type":"phase","phase":"head"}\n{"seq":' + b"9" * 400 + b"}\n"
    b'{"seq":9,"type":"warning","message":{"a":1}}\n'
)


def test_events_that_no_training_writes_are_passed_over(run: Run, bad: Run) -> None:
    put("events.jsonl", HOSTILE_EVENTS)(bad.path)
    choose(bad)
    for page in ("train", "runs"):
        app = open_page(page, runs__selected=["bad"])
        assert not app.exception and not app.error
        assert f"{page}:loss" in figures(app), "the chart of what could be read"


def test_a_run_at_work_for_ever_elsewhere_is_interrupted_and_can_be_deleted(run: Run, bad: Run) -> None:
    status(state="running", host="elsewhere", pid=1, heartbeat=1e12)(bad.path)
    assert run_table.row(bad).state == "interrupted"
    run_actions.delete_run(bad)
    assert not bad.path.exists()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../..", "/", "tiny/..", "tiny/../../data", "a\\b", "C:", "x\0y", ".new-0123456789ab"]
)
def test_a_name_from_an_address_never_leads_out_of_the_runs_folder(run: Run, name: str) -> None:
    with pytest.raises(BadRun, match="expected the name of a run"):
        training_runs.open_run(name)
    with pytest.raises(BadRun, match="expected the name of a run"):
        training_runs.open_run(str(run.path))
    assert training_runs.open_run("tiny") == run


def test_a_run_whose_report_this_server_writes_is_neither_renamed_nor_deleted(run: Run) -> None:
    import threading

    go_on = threading.Event()
    task = tasks.start_task(f"report:{run.path}", "Writing the report", lambda report: go_on.wait(20))
    try:
        for action in (lambda: run_actions.rename_run(run, "other"), lambda: run_actions.delete_run(run)):
            with pytest.raises(BadRun, match="writing the report"):
                action()
    finally:
        go_on.set()
    wait_until(lambda: not task.running)
    assert run_actions.rename_run(run, "other").name == "other"


@pytest.mark.slow
def test_what_was_chosen_is_read_within_bounds(workspace: Path) -> None:
    (workspace / ".mammolab").mkdir()
    state = workspace / ".mammolab" / "workspace.json"
    for content in ("[" * 200_000, '{"runs:selected": 5, "preprocess:presets": [1], "run": {"a": 1}}', "[]", '{"a": 1e999}'):
        state.write_text(content, encoding="utf-8")
        app = open_page("runs")
        assert not app.exception and UNEXPECTED not in texts(app)
        app = open_page("preprocess")
        assert not app.exception and UNEXPECTED not in texts(app)


def test_a_file_of_a_run_that_has_gone_is_said_and_not_unexpected(run: Run) -> None:
    from dashboard.views.evaluate.tables import content_of

    run.delete()
    with pytest.raises(BadRun, match="deleted or renamed"):
        content_of(run.path / "predictions" / "val.csv")


def test_a_run_that_is_a_link_is_deleted_as_a_link_from_the_page(run: Run) -> None:
    link = run.path.with_name("linked")
    link.symlink_to(run.path, target_is_directory=True)
    preferences.set("runs:part", "Delete")
    app = open_page("runs", runs__selected=["linked"])
    assert "is a link to another folder" in texts(app)
    run_actions.delete_run(Run(link))
    assert not os.path.lexists(link) and Run.open(run.path).problem == ""


ODD_NAMES = [b"\xff", b"run-\xe9t\xe9", b"new\nline", b"tab\t", b"\x1b[31mred", "‮evil".encode(), "ümlaut".encode(), b"a" * 200]


@pytest.mark.slow_but("home")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems take UTF-8 names only")
@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_runs_of_odd_names(run: Run, page: str) -> None:
    for name in ODD_NAMES:
        target = os.path.join(os.fsencode(run.path.parent), name)  # noqa: PTH118  pathlib takes no bytes
        shutil.copytree(os.fsencode(run.path), target)
        newest(status())(Path(os.fsdecode(target)))
    app = open_page(page)
    assert not app.exception
    assert UNEXPECTED not in texts(app)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take UTF-8 names only")
def test_a_run_whose_name_is_no_utf8_is_a_row_with_its_reason_and_can_be_deleted(run: Run) -> None:
    shutil.copytree(os.fsencode(run.path), os.path.join(os.fsencode(run.path.parent), b"old\xff"))  # noqa: PTH118
    found = {row.name: row for row in run_table.rows()}
    assert "no UTF-8" in found["old\\xff"].problem
    run_actions.delete_run(found["old\\xff"].run)
    assert [row.name for row in run_table.rows()] == ["tiny"]


def test_a_link_that_leads_to_itself_hides_no_run(run: Run) -> None:
    (run.path.parent / "circle").symlink_to(run.path.parent / "circle")
    assert [row.name for row in run_table.rows()] == ["tiny"]
