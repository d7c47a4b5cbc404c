"""Run folders that somebody sent: read within bounds, never written through, listed with a reason, and deletable."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from builders.bad_folders import DAMAGED, DEEP, IRREGULAR, LAUGHS, Spoil, link, pipe, put
from builders.events import append_event
from builders.fake_run import FakePredictor
from builders.saved_run import make_saved_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.cli import main
from core.config import load_config
from core.errors import BadConfig, BadRun, LabError
from core.evaluate import evaluate
from core.heatmap_audit import audit_heatmaps
from core.metrics.chance import warning_of
from core.predict import Predictor
from core.report import keep_notes, report, write_questions
from core.report.notes import read_notes
from core.runs import Run, event_log, fork, list_runs
from core.runs.folder import Presence, irregular_entry
from core.runs.locks import EVALUATION, TRAINING, take
from core.runs.status import Status, created_at, read_status, write_status
from core.runs.test_set.provenance import evaluation_count, read_entries, read_parent
from core.training.run_logger import RunLogger

posix = pytest.mark.skipif(os.name == "nt", reason="named pipes and devices are POSIX's")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of runs: `good` and `bad`, both sound as yet."""
    folder = tmp_path / "checkpoints"
    for name in ("good", "bad"):
        run = make_saved_run(folder / name, validation={"auc": 0.75})
        write_status(run.path / "status.json", Status(state="done", epoch=2, epochs=2, created=1.7e9))
        (run.path / "events.jsonl").touch()
    return folder


@pytest.fixture
def bad(root: Path) -> Run:
    return Run(root / "bad")


def everything_but_deleting(run: Run, tmp_path: Path) -> dict[str, Callable[[], object]]:
    return {
        "train": lambda: run.require_startable(resume=True),
        "take": run.acquire,
        "ask": lambda: run.request("stop"),
        "note": lambda: run.set_note("seen"),
        "rename": lambda: run.rename("other"),
        "fork": lambda: fork(run),
        "evaluate": lambda: evaluate(run, "val"),
        "predict": lambda: Predictor.from_run(run),
        "audit": lambda: audit_heatmaps(run, "val"),
        "report": lambda: report(run),
        "questions": lambda: write_questions(run),
        "answers": lambda: keep_notes(run, tmp_path / "answers.yaml"),
    }


@posix
@pytest.mark.parametrize(("spoil", "entry"), IRREGULAR.values(), ids=IRREGULAR.keys())
def test_an_entry_that_leads_elsewhere_stops_everything_but_listing_and_deleting(
    bad: Run, root: Path, tmp_path: Path, spoil: Spoil, entry: str
) -> None:
    (tmp_path / "answers.yaml").write_text("funding: none", encoding="utf-8")
    spoil(bad.path)
    outside = sorted(tmp_path.iterdir())
    assert bad.problem.startswith(f"the entry {entry} is ")
    for name, action in everything_but_deleting(bad, tmp_path).items():
        with pytest.raises(BadRun, match=entry) as caught:
            action()
        assert "delete the run" in str(caught.value), name
    assert [run.name for run in list_runs(root)] == ["good", "bad"] or [run.name for run in list_runs(root)] == ["bad", "good"]
    bad.delete(everything=True)
    assert [run.name for run in list_runs(root)] == ["good"]
    assert sorted(tmp_path.iterdir()) == outside, "nothing was made or removed where an entry led"


@posix
def test_nothing_is_written_where_a_link_leads(bad: Run, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "bashrc").write_text("export A=1\n", encoding="utf-8")
    for name in ("train.log", ".lock", ".evaluation.lock", "process.log"):
        link(name, str(precious / "bashrc"))(bad.path)
    for name in ("predictions", "explain", "control"):
        link(name, str(precious))(bad.path)
    for action in everything_but_deleting(bad, tmp_path).values():
        with pytest.raises(BadRun):
            action()
    bad.delete(everything=True)
    assert {each.name for each in precious.iterdir()} == {"bashrc"}
    assert (precious / "bashrc").read_text(encoding="utf-8") == "export A=1\n"


@pytest.mark.parametrize("name", ["events.jsonl", "train.log", "process.log"])
def test_nothing_is_appended_to_a_file_that_has_another_name_elsewhere(bad: Run, tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (bad.path / name).unlink(missing_ok=True)
    os.link(precious, bad.path / name)
    with pytest.raises(BadRun, match=rf"{name} is a hard link"):
        bad.require_startable(resume=True)
    if name == "train.log":
        with pytest.raises(OSError, match="hard link"):
            RunLogger(bad).__enter__()
    if name == "events.jsonl":
        with pytest.raises(OSError, match="hard link"):
            append_event(bad, {"type": "start"})
    assert precious.read_bytes() == b"precious"


@posix
def test_sockets_are_seen_too(bad: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bad.path)  # the name of a socket has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("note.txt")
        assert irregular_entry(bad.path) == "note.txt is a socket"


def test_a_sound_run_has_no_irregular_entry_and_its_own_folders_may_hold_any_file(bad: Run) -> None:
    (bad.path / "explain" / "report").mkdir(parents=True)
    (bad.path / "my pictures").mkdir()
    (bad.path / "my pictures" / "x.png").touch()
    assert irregular_entry(bad.path) == ""
    assert bad.problem == ""


def test_a_junction_of_windows_is_a_link(bad: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.runs import folder

    (bad.path / "predictions").mkdir(exist_ok=True)
    monkeypatch.setattr(folder, "is_junction", lambda entry: entry.name == "predictions")
    assert irregular_entry(bad.path).startswith("predictions is ")


# ---------------------------------------------------------------- the list


@pytest.mark.slow_but(
    "config too deep",
    "a link in explain",
    "status of 401 digits",
    "evaluation too deep",
    "config of aliases",
    "model too deep",
    "note is a device",
    "status is a pipe",
    "manifest is a pipe",
)
@posix
@pytest.mark.parametrize(("spoil", "named"), (DAMAGED | IRREGULAR).values(), ids=(DAMAGED | IRREGULAR).keys())
def test_the_list_has_a_line_for_a_bad_run_with_the_reason(
    root: Path, bad: Run, spoil: Spoil, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(bad.path)
    assert main(["runs", "--checkpoints", str(root), "--json"]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["good"]["reason"] == warning_of(rows["good"]["chance"]), "the others as ever"
    if "predictions of" not in named and "val.csv" not in named:  # the list has no figure from there
        assert named in rows["bad"]["reason"]
    assert main(["runs", "--checkpoints", str(root)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_a_terminal_would_obey_is_shown_escaped(root: Path, bad: Run, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x1b]0;title\x07\u202egnp.exe\r\x9b31m"
    bad.set_status(state="failed", reason=evil)
    put("note.txt", evil)(bad.path)
    bad.path.rename(bad.path.with_name("bad\x1b[31m"))
    assert main(["runs", "--checkpoints", str(root)]) == 0
    assert main(["run", "note", str(root / "bad\x1b[31m")]) == 0
    assert main(["run", "pause", str(root / "bad\x1b[31m")]) == 1
    captured = capsys.readouterr()
    for each in "\x1b\x07\u202e\r\x9b":
        assert each not in captured.out and each not in captured.err
    assert "\\x1b[2J" in captured.out and "\\u202e" in captured.out


def test_a_long_reason_is_cut_in_the_table(root: Path, bad: Run, capsys: pytest.CaptureFixture[str]) -> None:
    put("status.json", json.dumps({"state": "failed", "reason": "x" * 900_000, "host": "h" * 10_000}))(bad.path)
    assert len(bad.status().reason) == 4_000 and len(bad.status().host) == 200
    assert main(["runs", "--checkpoints", str(root)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 1_200


# ---------------------------------------------------------------- status.json


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": -1},
        {"epochs": 10**12},
        {"step": 2**70},
        {"pid": 2**31},
        {"pid": -1},
        {"created": 1e300},
        {"created": -1.0},
        {"started": 1e12},
        {"finished": 10**18},
        {"best_value": 1e200},
        {"eta_seconds": 1e300},
    ],
    ids=str,
)
def test_a_number_that_no_training_writes_is_a_damaged_status(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "status.json"
    path.write_text(json.dumps({"state": "running", "heartbeat": time.time()} | changes), encoding="utf-8")
    found = read_status(path)
    assert found.state == "failed" and "status.json is damaged" in found.problem


@pytest.mark.parametrize("ahead", [301.0, 1e6, 1e12, 1e300])
def test_a_heartbeat_to_come_is_none(tmp_path: Path, ahead: float) -> None:
    path = tmp_path / "status.json"
    content = {"state": "running", "host": "elsewhere", "pid": 1, "heartbeat": time.time() + ahead}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_status(path).state == "interrupted"


def test_hosts_clocks_may_differ_by_some_minutes(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_status(path, Status(state="running", host="elsewhere", pid=1, heartbeat=time.time() + 240))
    assert read_status(path).state == "running"


def test_a_run_made_in_times_to_come_is_not_the_newest(root: Path, bad: Run) -> None:
    bad.set_status(created=time.time() + 10_000)
    assert [run.name for run in list_runs(root)] == ["good", "bad"]
    bad.set_status(created=time.time())
    assert [run.name for run in list_runs(root)] == ["bad", "good"]


def test_a_problem_in_the_file_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text('{"state": "done", "problem": "pay us"}', encoding="utf-8")
    assert read_status(path).problem == ""


FIELDS = st.sampled_from(sorted(Status.__dataclass_fields__))
NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(min_value=-(10**400), max_value=10**400))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(), st.sampled_from(["running", "queued", "paused", "elsewhere"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=200), st.dictionaries(FIELDS, VALUES, max_size=8).map(lambda d: json.dumps(d).encode())))
@quick
def test_any_bytes_are_a_status_that_can_be_computed_with(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(content)
    found = read_status(path)
    now = time.time()
    for moment in (found.created, found.started, found.finished, found.heartbeat):
        assert moment is None or time.gmtime(moment)
        assert now - (moment or 0.0) < 1e11
    assert 0 <= found.epoch <= 10**9 and len(found.reason) <= 4_000
    assert 0.0 <= created_at(path) <= now + 301


ENTRIES = st.dictionaries(
    st.sampled_from(["test", "val"]),
    st.one_of(VALUES, st.dictionaries(st.sampled_from(["opened", "history", "levels", "refrozen"]), VALUES, max_size=4)),
    max_size=2,
)


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=200), ENTRIES.map(lambda d: json.dumps(d).encode())))
@quick
def test_any_bytes_are_evaluations_or_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    from core.evaluate import read_evaluation

    (tmp_path / "evaluation.json").write_bytes(content)
    for read in (read_entries, evaluation_count, lambda folder: read_evaluation(Run(folder), "test")):
        try:
            read(tmp_path)
        except BadRun as error:
            assert "evaluation.json" in str(error)


@given(st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())))
@quick
def test_any_bytes_are_a_parent_or_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "parent.json").write_bytes(content)
    try:
        found = read_parent(tmp_path)
        assert found is not None and found.evaluations >= 0
    except BadRun as error:
        assert "parent.json" in str(error)


# ---------------------------------------------------------------- YAML


def both_readers(path: Path) -> None:
    """Whatever comes is a value or one of our errors."""
    for read in (load_config, read_notes):
        with pytest.raises(BadConfig, match=path.name):
            read(path)


@pytest.mark.slow_for("[[[[[[[[[[[[", "k0: 1\\nk1: 1")
@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "[" * 20_000,
        pytest.param("{" * 20_000, marks=pytest.mark.slow),
        "- " * 20_000,
        "a: &x 1\nb: *x",
        "a: 2001-99-99",
        "a: " + "9" * 5_000,
        "!!float x",
        "a: !!binary x",
        "<<: 5",
        "\n".join(f"k{number}: 1" for number in range(10_000)),
        "a: '" + "x" * 5_000_000 + "'",
        "\x00",
        "a: [1, 2",
        "a: 1\n---\nb: 2",
    ],
    ids=lambda text: text[:12].strip(),
)
def test_hostile_yaml_is_refused_within_seconds(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.process_time()
    both_readers(path)
    assert time.process_time() - began < 20  # a guard against hanging: it took 14 s, or for ever


def test_an_alias_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training: &t\n  epochs: 3\nmodel: *t\n", encoding="utf-8")
    with pytest.raises(BadConfig, match=r"line 3: not valid YAML: aliases"):
        load_config(path)


@pytest.mark.slow_for("override0")
@pytest.mark.parametrize(
    "override", ["training.epochs=[" + "[" * 5_000, "a=*x", "training.epochs=" + "9" * 5_000, "a=2001-99-99"]
)
def test_overrides_are_read_within_the_same_bounds(override: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_config(None, [override])
    assert len(str(caught.value)) < 1_000


YAMLS = st.one_of(
    st.binary(max_size=120), st.text(alphabet="ab:-?[]{}&*!|>'\"%@#,.0123456789 \n\t~<", max_size=80).map(str.encode)
)


@given(YAMLS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_yaml_or_a_configuration_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    for read in (load_config, read_notes):
        try:
            read(path)
        except BadConfig as error:
            assert "any.yaml" in str(error)


# ---------------------------------------------------------------- events.jsonl


def test_a_line_beyond_all_measure_is_not_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "LONGEST_LINE", 1_000)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq":1}\n' + b"x" * 200_000)
    for read in (
        lambda: event_log.EventReader(path).read(),
        lambda: event_log.EventLog(path).sequence,
    ):
        with pytest.raises(BadRun, match=r"events.jsonl: damaged: expected lines of at most 1,000 bytes"):
            read()


def test_a_file_beyond_all_measure_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq":1,"type":"start"}\n' * 100)
    monkeypatch.setattr(event_log, "MOST_EVENTS", 99)
    with pytest.raises(BadRun, match="at most 99 events"):
        event_log.EventReader(path).read()
    monkeypatch.setattr(event_log, "LARGEST", 500)
    with pytest.raises(BadRun, match="at most 500 bytes"):
        event_log.EventReader(path).read()


@posix
def test_the_log_of_events_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"precious, and no line end")
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic link"):
        event_log.EventLog(tmp_path / "events.jsonl").append({"type": "start"})
    assert (tmp_path / "other").read_bytes() == b"precious, and no line end"


@pytest.mark.slow
def test_the_last_event_before_much_rubbish_is_found_in_one_pass(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq":7,"type":"step"}\n' + b"x\n" * 2_000_000 + b'{"seq":8,"ty')
    began = time.process_time()
    with event_log.EventLog(path) as log:
        assert log.sequence == 7
    assert time.process_time() - began < 20  # a guard: it was quadratic
    assert path.read_bytes().endswith(b"x\n")


@pytest.mark.slow
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.dictionaries(st.sampled_from(["seq", "type", "epoch", "val", "loss"]), VALUES, max_size=5).map(
                lambda d: json.dumps(d).encode()
            ),
        ),
        max_size=6,
    )
)
@quick
def test_any_lines_are_events_that_curves_can_be_drawn_of(tmp_path: Path, lines: list[bytes]) -> None:
    from core.plots import loss_figure
    from core.runs.history import History

    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([*lines, b""]))
    found = event_log.EventReader(path).read()
    assert len(found) <= len(lines) and all(isinstance(event["type"], str) for event in found)
    assert loss_figure(History.of(found)).layout.xaxis is not None


# ---------------------------------------------------------------- deleted meanwhile


@posix
@pytest.mark.parametrize("name", [TRAINING, EVALUATION])
def test_a_lock_never_makes_a_deleted_run_anew(bad: Run, name: str) -> None:
    shutil.rmtree(bad.path)
    with pytest.raises(BadRun, match="was deleted"):
        take(bad.path, name)
    assert not bad.path.exists()


@posix
@pytest.mark.parametrize("name", [TRAINING, EVALUATION])
def test_whoever_waits_for_the_lock_of_a_run_that_is_deleted_is_told(bad: Run, name: str) -> None:
    held = take(bad.path, name)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            take(bad.path, name, 20).release()
        except BadRun as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    grave = bad.path.rename(bad.path.with_name(".grave"))
    held.release()
    waiting.join(30)
    assert "was deleted" in str(caught[0])
    assert not bad.path.exists() and grave.is_dir()


@pytest.mark.parametrize("action", ["delete", "rename"])
def test_a_run_whose_figures_are_being_written_is_left_alone(bad: Run, action: str) -> None:
    held = take(bad.path, EVALUATION)
    with pytest.raises(BadRun, match="metrics of it are being written"):
        bad.delete(everything=True) if action == "delete" else bad.rename("other")
    held.release()
    bad.delete(everything=True) if action == "delete" else bad.rename("other")


class Meddling(FakePredictor):
    """A model during whose first batch somebody does something to the run."""

    meddle: Callable[[], object] = staticmethod(lambda: None)

    def score_pixels(self, pixels):  # type: ignore[no-untyped-def]
        meddle, self.meddle = self.meddle, lambda: None
        meddle()
        return super().score_pixels(pixels)


def replace_by_another(run: Run) -> None:
    run.delete(everything=True)
    make_saved_run(run.path)
    write_status(run.path / "status.json", Status(state="done"))


@pytest.mark.parametrize(
    "meddle",
    [lambda run: run.delete(everything=True), replace_by_another],
    ids=["deleted", "replaced"],
)
def test_scores_of_a_run_that_is_gone_are_written_nowhere(root: Path, bad: Run, meddle: Callable[[Run], object]) -> None:
    predictor = Meddling(bad.model_card())
    predictor.meddle = lambda: meddle(Run(bad.path))
    with pytest.raises(BadRun, match="bad: it was deleted or renamed"):
        evaluate(bad, "val", predictor=predictor)
    assert not list(root.glob("*/evaluation.json"))
    assert bad.path.exists() == (meddle is replace_by_another)


@pytest.mark.slow
def test_scores_follow_a_run_that_is_renamed_while_it_is_scored(root: Path, bad: Run) -> None:
    predictor = Meddling(bad.model_card())
    predictor.meddle = lambda: Run(bad.path).rename("other")
    evaluate(bad, "val", predictor=predictor)
    assert [path.parent.name for path in root.glob("*/evaluation.json")] == ["other"] and not bad.path.exists()


def test_writers_of_a_deleted_run_say_so_and_make_nothing(bad: Run, tmp_path: Path) -> None:
    from core.heatmap_audit.store import Partial
    from dashboard.cache.explanations import save

    presence = Presence(bad.path)
    bad.delete(everything=True)
    for action in (
        presence.require,
        lambda: bad.request("stop"),
        lambda: bad.set_note("x"),
        lambda: bad.acquire(),
        lambda: Partial(bad, "val", "gradcam", "key").__enter__(),
    ):
        with pytest.raises(BadRun, match="was deleted"):
            action()
    with pytest.raises(BadRun, match="was deleted"):
        save(bad.path, "a.png", None)  # type: ignore[arg-type]
    assert not bad.path.exists()


# ---------------------------------------------------------------- the command line


@pytest.fixture
def workspace(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder above the runs is the current one, with a config.yaml and data."""
    workspace = root.parent
    (workspace / "config.yaml").write_text("checkpoints: checkpoints\n", encoding="utf-8")
    (workspace / "data").mkdir()
    (workspace / "data" / "patients.csv").write_text("precious", encoding="utf-8")
    monkeypatch.chdir(workspace)
    return workspace


EMPTY = ["", " ", ".", "./", "..", "../", "../..", "/", "a/.."]
COMMANDS = {
    "delete": ["run", "delete", "RUN", "--yes", "--everything"],
    "rename": ["run", "rename", "RUN", "other"],
    "note": ["run", "note", "RUN", "text"],
    "pause": ["run", "pause", "RUN"],
    "stop": ["run", "stop", "RUN"],
    "start": ["run", "start", "RUN"],
    "go-on": ["run", "go-on", "RUN"],
    "fork": ["run", "fork", "RUN"],
    "evaluate": ["evaluate", "RUN"],
    "threshold": ["threshold", "RUN"],
    "compare": ["compare", "good", "RUN"],
    "predict": ["predict", "RUN", "x.png"],
    "explain": ["explain", "RUN", "x.png", "--out", "y.png"],
    "audit": ["audit", "RUN"],
    "report": ["report", "RUN"],
    "resume": ["train", "--resume", "RUN"],
}


@pytest.mark.slow_but("delete", "evaluate", "fork", "report", "stop")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_no_command_takes_an_empty_name_or_a_folder_by_its_place(
    workspace: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for mark in ("status.json", "events.jsonl", "manifest.csv"):  # the workspace even looks like a run
        (workspace / mark).touch()
    before = sorted(workspace.rglob("*"))
    for name in EMPTY:
        assert main([name if word == "RUN" else word for word in command]) == 1
        assert "expected the name of a run" in capsys.readouterr().err
    assert sorted(workspace.rglob("*")) == before


@pytest.mark.parametrize("name", ["checkpoints", "../{}", "{parent}"])
def test_a_folder_that_holds_runs_is_not_deleted(workspace: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (workspace, workspace / "checkpoints"):
        for mark in ("status.json", "events.jsonl", "manifest.csv"):
            (folder / mark).touch()
    before = sorted(workspace.rglob("*"))
    given_name = name.format(workspace.name, parent=workspace)
    assert main(["run", "delete", given_name, "--yes"]) == 1
    assert "it is not deleted" in capsys.readouterr().err
    assert main(["run", "rename", given_name, "other"]) == 1
    assert sorted(workspace.rglob("*")) == before


def test_a_bare_name_is_a_run_before_it_is_a_folder_here(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(workspace / "checkpoints" / "bad", workspace / "bad")
    assert main(["run", "delete", "bad", "--yes", "--everything"]) == 0
    assert (workspace / "bad").is_dir() and not (workspace / "checkpoints" / "bad").exists()
    assert main(["run", "delete", "bad", "--yes", "--everything"]) == 0
    assert not (workspace / "bad").exists()
    assert main(["run", "delete", "./checkpoints/good", "--yes", "--everything"]) == 0


def test_a_link_is_said_to_be_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "checkpoints" / "linked").symlink_to(workspace / "checkpoints" / "good", target_is_directory=True)
    assert main(["run", "delete", "linked", "--yes"]) == 0
    assert "the link is deleted" in capsys.readouterr().out
    assert Run.open(workspace / "checkpoints" / "good").problem == ""


# ---------------------------------------------------------------- code never runs


class Evil:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (os.system, ("touch executed",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("last.pt", pickle.dumps(Evil(), protocol=2)),
        ("model.safetensors", pickle.dumps(Evil(), protocol=2)),
        ("config.yaml", b'a: !!python/object/apply:os.system ["touch executed"]'),
        ("report.yaml", b'funding: !!python/object/apply:os.system ["touch executed"]'),
        ("config.yaml", b"a: !!python/name:os.system"),
        ("model.json", b'{"format": 1, "model": {"py/object": "os.system"}, "weights_sha256": "a"}'),
        ("status.json", b'{"py/reduce": [{"py/function": "os.system"}, ["touch executed"]]}'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_file_of_a_run_can_execute_code(
    bad: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    from core.training.checkpoint import load_checkpoint

    monkeypatch.chdir(tmp_path)
    put(name, content)(bad.path)
    refused = 0
    for action in (
        lambda: load_checkpoint(bad.path / "last.pt"),
        lambda: Predictor.from_run(bad),
        lambda: bad.config(),
        lambda: read_notes(bad.path / "report.yaml"),
        lambda: Run.open(bad.path).status(),
    ):
        try:
            action()
        except LabError:
            refused += 1
    assert refused or name == "status.json"
    assert not (tmp_path / "executed").exists()


@posix
def test_a_pipe_in_a_runs_folder_keeps_nobody_waiting(bad: Run) -> None:
    """Each reader alone, without the look at the folder before it."""
    for name in ("note.txt", "excluded.csv", "parent.json", "evaluation.json", "model.json", "config.yaml", "manifest.csv"):
        pipe(name)(bad.path)
    assert bad.note() == ""
    for read in (
        bad.excluded,
        bad.config,
        bad.manifest,
        bad.model_card,
        lambda: read_parent(bad.path),
        lambda: read_entries(bad.path),
    ):
        with pytest.raises(LabError, match="named pipe"):
            read()
    assert DEEP  # shared with the pages' tests
