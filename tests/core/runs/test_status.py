from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from core.runs import status
from core.runs.status import PROCESS, Status, StatusWriter, read_status, write_status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.json"


@pytest.fixture(scope="module")
def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def here(**changes: Any) -> Status:
    fields = {
        "state": "running",
        "pid": os.getpid(),
        "host": platform.node(),
        "process": PROCESS,
        "heartbeat": time.time(),
    } | changes
    return Status(**fields)


def test_a_status_is_read_as_it_was_written(path: Path) -> None:
    written = here(epoch=3, best_value=0.75, reason="Größe")
    write_status(path, written)
    assert read_status(path) == written


@pytest.mark.parametrize("state", ["running", "paused"])
@pytest.mark.parametrize(
    ("changes", "present"),
    [
        ({}, True),
        ({"heartbeat": time.time() - 10 * status.STALE_SECONDS}, False),
        ({"heartbeat": None}, False),
        ({"process": "an earlier process of this id"}, False),
        ({"pid": None}, False),
        ({"pid": os.getppid(), "process": "another"}, True),
        ({"host": "cluster-7", "pid": 1}, True),
        ({"host": "cluster-7", "pid": 1, "heartbeat": time.time() - 10 * status.STALE_SECONDS}, False),
    ],
    ids=["here", "stale", "never beat", "id reused", "no pid", "another process", "another host", "another host, stale"],
)
def test_a_run_whose_trainer_is_gone_is_interrupted(path: Path, state: Any, changes: dict[str, Any], present: bool) -> None:
    write_status(path, here(state=state, **changes))
    found = read_status(path)
    assert found.state == (state if present else "interrupted")
    assert found.live is present
    assert found.resumable is not present
    assert bool(found.reason) is not present


def test_a_run_whose_process_died_is_interrupted_at_once(path: Path, dead_pid: int) -> None:
    write_status(path, here(pid=dead_pid, process="dead"))
    assert read_status(path).state == "interrupted"


@pytest.mark.parametrize("state", ["queued", "stopped", "done", "failed"])
def test_a_run_at_rest_needs_no_trainer(path: Path, state: Any, dead_pid: int) -> None:
    write_status(path, here(state=state, pid=dead_pid, heartbeat=0.0))
    assert read_status(path).state == state


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"null", b'"done"', b"\xff\xfe", b'{"heartbeat": "x", "state": "running"}']
)
def test_a_damaged_file_is_a_problem_in_words(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    found = read_status(path)
    assert found.state == "failed"
    assert "status.json" in found.problem
    assert found.reason == found.problem


def test_fields_of_a_later_version_are_passed_over(path: Path) -> None:
    path.write_text(json.dumps({"state": "done", "epoch": 4, "invented": [1]}), encoding="utf-8")
    assert read_status(path) == Status(state="done", epoch=4)


def test_the_heartbeat_goes_on_while_the_trainer_is_busy(path: Path) -> None:
    write_status(path, Status())
    writer = StatusWriter(path, heartbeat_seconds=0.01)
    writer.start(state="running")
    first = read_status(path)
    writer.note(step=7)
    try:
        for _ in range(1000):
            if (found := read_status(path)).step == 7:
                break
            time.sleep(0.01)
    finally:
        writer.stop()
    assert found.heartbeat is not None and first.heartbeat is not None
    assert found.heartbeat > first.heartbeat
    assert (found.state, found.pid, found.host) == ("running", os.getpid(), platform.node())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heartbeat")]


def test_the_heartbeat_outlives_a_disk_that_fails_for_a_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_status(path, Status())
    writer = StatusWriter(path, heartbeat_seconds=0.01)
    writer.start(state="running")
    failures: list[int] = []
    real = write_status

    def fails_twice(target: Path, content: Status) -> None:
        if len(failures) < 2:
            failures.append(1)
            raise OSError("gone for a moment")
        real(target, content)

    monkeypatch.setattr(status, "write_status", fails_twice)
    writer.note(step=9)
    try:
        for _ in range(1000):
            if read_status(path).step == 9:
                break
            time.sleep(0.01)
    finally:
        writer.stop()
    assert len(failures) == 2
    assert read_status(path).step == 9


# ---------------------------------------------------------------- where nothing can be written


def refuse(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_on_a_full_disk_the_last_word_takes_the_place_of_the_status_that_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = StatusWriter(path)
    writer.start(state="running", reason="a longer reason than the one that comes after it, by far")
    monkeypatch.setattr(status, "write_text", refuse)
    with pytest.raises(OSError, match="No space"):
        writer.update(state="failed", reason="full")
    writer.last_state(state="failed", reason="full")
    writer.stop()
    written = json.loads(path.read_text(encoding="utf-8"))
    assert (written["state"], written["reason"]) == ("failed", "full")
    assert (read_status(path).state, read_status(path).reason) == ("failed", "full")


@pytest.mark.parametrize("torn", [False, True])
def test_where_not_even_that_can_be_written_this_process_still_knows_until_somebody_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    writer = StatusWriter(path)
    writer.start(state="running")
    with monkeypatch.context() as full:
        full.setattr(status, "write_text", refuse)
        full.setattr(Path, "open", refuse)
        writer.last_state(state="failed", reason="full")
    writer.stop()
    if torn:
        path.write_text(path.read_text(encoding="utf-8")[:40], encoding="utf-8")
    else:
        assert json.loads(path.read_text(encoding="utf-8"))["state"] == "running"
    assert (read_status(path).state, read_status(path).reason) == ("failed", "full")
    write_status(path, here(heartbeat=time.time() + 1))  # somebody resumes it
    assert read_status(path).state == "running"


def test_the_last_word_of_another_training_of_the_same_folder_does_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = StatusWriter(path)
    writer.start(state="running")
    with monkeypatch.context() as full:
        full.setattr(status, "write_text", refuse)
        full.setattr(Path, "open", refuse)
        writer.last_state(state="failed", reason="full")
    writer.stop()
    content = json.loads(path.read_text(encoding="utf-8")) | {"process": "another", "pid": os.getppid(), "state": "paused"}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_status(path).state == "paused"
