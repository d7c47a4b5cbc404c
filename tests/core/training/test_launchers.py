"""Threads and processes wait their turn, outlive what started them, and say so in the run's folder."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from builders.copied import copied
from builders.toy_training import draw_frame, toy_config
from safetensors.torch import load_file

from core.config import dump_config, load_config
from core.errors import BadRun
from core.runs import Run, fork, list_runs
from core.runs.device_queue import Ticket
from core.runs.forking import starting_point
from core.runs.test_set.provenance import Parent, evaluation_count, read_parent
from core.training.launchers import collect_children, detached, run_to_end, start_process, start_thread
from core.training.phases import plan_phases

MakeRun = Callable[..., Run]
ENOUGH = 120.0  # seconds


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_run_waits_while_the_device_is_taken_and_says_for_whom(make_run: MakeRun) -> None:
    run = make_run()
    with Ticket("cpu", "the other"):
        job = start_thread(run)
        wait_until(lambda: run.status().waiting)
        status = run.status()
        assert status.state == "queued" and status.reason == "Waits for the other on cpu."
        with pytest.raises(BadRun, match="trained already"):
            Run.open(run.path).delete()
        assert job.alive
    assert job.join(ENOUGH)
    status = run.status()
    assert (status.state, status.launcher, status.waiting) == ("done", "thread", False)


@pytest.mark.parametrize("launcher", ["thread", "process"])
@pytest.mark.parametrize("started_before", [False, True])
def test_a_waiting_run_that_is_stopped_leaves_the_line_as_it_was(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, started_before: bool, launcher: str
) -> None:
    run = make_run()
    if started_before:
        run.set_status(state="failed", reason="The memory is full.", finished=1000.0)
    with Ticket("cpu", "the other") as other:
        stopped = begin(run, launcher, monkeypatch, resume=started_before)
        wait_until(lambda: run.status().reason.startswith("Waits for"))
        run.request("stop")
        wait_until(stopped)
        assert len(list(other.folder.glob("*.json"))) == 1
    status = run.status()
    assert not run.requested("stop") and not status.was
    if started_before:
        assert (status.state, status.reason, status.finished) == ("failed", "The memory is full.", 1000.0)
    else:
        assert status.state == "stopped" and "before it began" in status.reason and status.finished is not None


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["thread", "process"])
def test_what_was_asked_of_an_earlier_trainer_is_forgotten(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    run = make_run()
    run.request("stop")
    run.request("pause")
    wait_until(begin(run, launcher, monkeypatch))
    assert run.status().state == "done"


def test_a_stop_that_is_asked_for_while_the_process_loads_its_libraries_counts(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    ended = begin(run, "process", monkeypatch, meanwhile=lambda: run.request("stop"))
    wait_until(ended)
    assert run.status().state == "stopped" and "before it began" in run.status().reason


@pytest.mark.parametrize("started_before", [False, True])
def test_what_keeps_a_training_from_beginning_is_in_the_runs_folder(make_run: MakeRun, started_before: bool) -> None:
    run = make_run()
    settings = load_config(run.path / "config.yaml", ["training.device=cuda:99"])  # set up on another machine
    (run.path / "config.yaml").write_text(dump_config(settings), encoding="utf-8")
    if started_before:
        run.set_status(state="interrupted", reason="")
    job = start_thread(run, resume=started_before)
    assert job.join(ENOUGH)
    assert job.error is not None
    assert run.status().state == "failed" and run.status().reason == str(job.error)


def begin(
    run: Run,
    launcher: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    resume: bool = False,
    meanwhile: Callable[[], object] = lambda: None,
) -> Callable[[], bool]:
    """Launch it; gives what says whether it has ended. The process of its own is a thread here: it loads nothing anew."""
    if launcher == "thread":
        job = start_thread(run, resume=resume)
        return lambda: not job.alive

    class Child:
        pid = os.getppid()

        def __init__(self, command: list[str], env: dict[str, str], **others: object) -> None:
            self.env = {"MAMMOLAB_LAUNCHER": env["MAMMOLAB_LAUNCHER"]}

        def poll(self) -> int:
            return 0

    monkeypatch.setattr("core.training.launchers.subprocess.Popen", Child)
    start_process(run, resume=resume)
    monkeypatch.setenv("MAMMOLAB_LAUNCHER", "process")
    meanwhile()
    thread = threading.Thread(target=run_to_end, args=(run,), kwargs={"resume": resume})
    thread.start()
    return lambda: not thread.is_alive()


@pytest.mark.slow
def test_two_trainings_run_one_after_the_other(make_run: MakeRun) -> None:
    jobs = [start_thread(make_run(name)) for name in ("one", "two")]
    assert all(job.join(ENOUGH) for job in jobs)
    first, second = sorted((job.run.status() for job in jobs), key=lambda status: status.started or 0)
    assert (first.state, second.state) == ("done", "done")
    assert first.finished is not None and second.started is not None and first.finished <= second.started


@pytest.mark.slow
def test_a_process_of_its_own_trains_the_run_and_gives_the_same_weights_as_a_thread(make_run: MakeRun) -> None:
    run, twin = make_run("process", training__advanced__threads=1), make_run("thread", training__advanced__threads=1)
    start_process(run)
    assert run.status().waiting or run.status().live
    job = start_thread(twin)
    wait_until(lambda: run.status().state not in ("queued", "running"))
    wait_until(lambda: collect_children() == 0)
    assert job.join(ENOUGH)
    assert run.status().state == "done", (run.path / "process.log").read_text(encoding="utf-8")
    assert run.status().launcher == "process"
    ours, theirs = (load_file(one.path / "model.safetensors") for one in (run, twin))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_process_leaves_the_group_of_who_started_it_on_every_system() -> None:
    assert detached(windows=False) == {"start_new_session": True}
    # subprocess has these names on Windows only.
    new_group, no_console = 0x00000200, 0x00000008
    assert detached(windows=True) == {"creationflags": new_group | no_console}


def test_a_process_that_dies_before_it_begins_leaves_the_run_queued_with_the_reason(make_run: MakeRun) -> None:
    run = make_run()
    run.set_status(pid=2**22 + 1, host=platform.node(), heartbeat=time.time(), launcher="process")
    status = run.status()
    assert (
        status.state == "queued"
        and not status.waiting
        and "ended before it began; its output is in process.log" in status.reason
    )
    run.set_status(launcher="thread", pid=2**22 + 1, heartbeat=time.time(), reason="")
    assert "ended before it began." in run.status().reason  # it has no such file


@pytest.mark.parametrize(("seconds", "loads"), [(100.0, True), (1000.0, False)])
def test_a_process_may_take_its_time_to_load(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, seconds: float, loads: bool
) -> None:
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: 0.0)  # a process that has run for long
    run = make_run()
    run.set_status(pid=os.getppid(), host=platform.node(), heartbeat=time.time() - seconds, launcher="process", process="")
    assert run.status().waiting is loads


def test_a_run_whose_process_dies_while_it_waits_to_be_resumed_is_what_it_was(make_run: MakeRun) -> None:
    run = make_run()
    waits = {"pid": 2**22 + 1, "host": platform.node(), "heartbeat": time.time(), "launcher": "process"}
    run.set_status(state="queued", was="interrupted", was_reason="The power went.", **waits)
    status = run.status()
    assert (status.state, status.reason, status.waiting, status.was) == ("interrupted", "The power went.", False, "")
    run.set_status(epoch=3)  # what is written from then on is that too
    assert (run.status().state, run.status().reason) == ("interrupted", "The power went.")


def test_a_run_with_a_damaged_status_is_not_started(make_run: MakeRun) -> None:
    run = make_run()
    (run.path / "status.json").write_text("{", encoding="utf-8")
    for resume in (False, True):
        with pytest.raises(BadRun, match=r"status\.json is damaged.*run fork"):
            start_process(run, resume=resume)
    assert (run.path / "status.json").read_text(encoding="utf-8") == "{"


def test_a_run_that_died_while_it_waited_to_be_resumed_is_not_begun_anew(make_run: MakeRun) -> None:
    run = make_run()
    assert not run.begun
    (run.path / "last.pt").write_bytes(b"a checkpoint")
    run.set_status(pid=2**22 + 1, host=platform.node(), heartbeat=time.time(), launcher="thread")
    assert run.status().state == "queued" and run.begun
    with pytest.raises(BadRun, match="started before"):
        start_thread(run)


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        run = Run.create(toy_config(folder / "runs", training__epochs=1), draw_frame(folder / "images"), name="parent")
        assert start_thread(run).join(ENOUGH)
    return folder


@pytest.fixture
def parent(_trained: Path, tmp_path: Path) -> Run:
    """A run that was trained for an epoch."""
    for name in ("images", "runs"):
        copied(_trained / name, tmp_path / name)
    return Run.open(tmp_path / "runs" / "parent")


@pytest.mark.slow
def test_a_fork_starts_from_the_weights_and_the_split_of_its_parent(make_run: MakeRun) -> None:
    parent = make_run("parent", training__epochs=1)
    with pytest.raises(BadRun, match="no model yet"):
        fork(parent)
    assert start_thread(parent).join(ENOUGH)
    changed = load_config(parent.path / "config.yaml", ["training.learning_rate=1e-9", "training.seed=5"])
    child = fork(parent, changed, name="child")
    assert child.status().state == "queued" and "parent" in child.note()
    columns = ["path", "split"]
    assert child.manifest()[columns].equals(parent.manifest()[columns])
    assert start_thread(child).join(ENOUGH)
    before, after = (load_file(run.path / "model.safetensors") for run in (parent, child))
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)
    card = json.loads((child.path / "model.json").read_text(encoding="utf-8"))
    assert card["run"] == "child"


@pytest.mark.slow
def test_a_fork_knows_its_parent_and_how_often_the_test_set_had_been_opened(parent: Run) -> None:
    assert read_parent(parent.path) is None and evaluation_count(parent.path) == 0
    (parent.path / "evaluation.json").write_text('{"val": {"opened": 5}, "test": {"opened": 2}}', encoding="utf-8")
    child = fork(parent, name="child")
    card = parent.model_card()
    assert read_parent(child.path) == Parent("parent", card.best_epoch, card.weights_sha256, 2)
    assert start_thread(child).join(ENOUGH)
    (child.path / "evaluation.json").write_text('{"test": {"opened": 1}}', encoding="utf-8")
    grandchild = fork(child.rename("renamed"), name="grandchild")
    found = read_parent(grandchild.path)
    assert found is not None and (found.run, found.evaluations) == ("renamed", 3) and evaluation_count(grandchild.path) == 3


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["parent.json", "evaluation.json"])
def test_a_fork_whose_openings_cannot_be_counted_is_refused(parent: Run, damaged: str) -> None:
    (parent.path / damaged).write_text("{", encoding="utf-8")
    with pytest.raises(BadRun, match=f"{damaged}: damaged"):
        fork(parent, name="child")
    assert [run.name for run in list_runs(parent.path.parent)] == ["parent"]


@pytest.mark.slow
def test_a_fork_of_a_run_from_scratch_trains_the_whole_network_at_the_rate_it_had(make_run: MakeRun) -> None:
    settings = {"training__freeze_epochs": 2, "training__frozen_backbone_fraction": 0.5, "training__learning_rate": 0.002}
    parent = make_run("parent", training__epochs=1, **settings)
    assert start_thread(parent).join(ENOUGH)
    (phase,) = plan_phases(starting_point(parent).training, pretrained=True, stages=4)
    assert (phase.first_epoch, phase.stages, phase.learning_rate, phase.head_learning_rate) == (1, None, 0.002, 0.002)
    assert starting_point(parent, ["training.freeze_epochs=1"]).training.freeze_epochs == 1
    child = fork(parent, name="child")
    assert start_thread(child).join(ENOUGH)
    assert [event["phase"] for event in child.events() if event["type"] == "phase"] == ["fine_tune"]
    assert starting_point(child) == load_config(child.path / "config.yaml")


@pytest.mark.slow
def test_a_fork_stands_beside_its_parent_wherever_that_was_moved_to(parent: Run, tmp_path: Path) -> None:
    moved = Run.open(shutil.move(parent.path, tmp_path / "elsewhere" / "parent"))
    assert fork(moved, name="child").path == tmp_path / "elsewhere" / "child"
    named = starting_point(moved, [f"checkpoints={(tmp_path / 'named').as_posix()}"])
    assert fork(moved, named, name="child").path == tmp_path / "named" / "child"


@pytest.mark.slow
@pytest.mark.parametrize("linked", [True, False])
def test_a_fork_keeps_its_first_weights_when_its_parent_and_itself_are_renamed_or_deleted(
    parent: Run, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    if not linked:

        def refuse(source: object, target: object) -> None:
            raise OSError(errno.EXDEV, "another disk")

        monkeypatch.setattr("os.link", refuse)
    before = load_file(parent.path / "model.safetensors")
    child = fork(parent, load_config(parent.path / "config.yaml", ["training.learning_rate=1e-9"]), name="child")
    parent.rename("another name")
    child.rename("grown up")
    parent.delete()
    assert start_thread(child).join(ENOUGH)
    assert child.status().state == "done", child.status().reason
    after = load_file(child.path / "model.safetensors")
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)


def test_a_fork_that_cannot_have_the_weights_leaves_no_run_behind(parent: Run, monkeypatch: pytest.MonkeyPatch) -> None:

    def full(*paths: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.link", full)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(BadRun, match="No space left"):
        fork(parent, name="child")
    assert [run.name for run in list_runs(parent.path.parent)] == ["parent"]


def test_a_fork_of_another_architecture_is_refused(parent: Run) -> None:
    with pytest.raises(BadRun, match="resnet18"):
        fork(parent, load_config(parent.path / "config.yaml", ["model.name=resnet18"]))


def test_a_note_is_kept_replaced_and_removed(make_run: MakeRun) -> None:
    run = make_run()
    assert run.note() == ""
    run.set_note("  größere Kacheln\nzweite Zeile ")
    assert Run.open(run.path).note() == "größere Kacheln\nzweite Zeile"
    run.set_note("")
    assert run.note() == "" and not (run.path / "note.txt").exists()
    with pytest.raises(BadRun, match="10000"):
        run.set_note("x" * 10_001)
