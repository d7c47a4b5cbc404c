from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest

from core.files import folders


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "status.json"
    folders.write_text(target, "old")

    def fill_the_disk(stream: BinaryIO) -> None:
        stream.write(b"half of the ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folders.write_atomically(target, fill_the_disk)
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = {tmp_path / ".lock", tmp_path / "last.pt", tmp_path / "notes.tmp"}
    for path in kept | {tmp_path / ".last.pt.77.abcdef01.tmp"}:
        path.touch()
    folders.remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == kept


def test_processes_are_seen_alive_and_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert folders.process_alive(os.getpid(), since=time.time())
        assert folders.process_alive(child.pid, since=time.time())
    finally:
        child.kill()
    if sys.platform == "linux":
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not folders.process_alive(child.pid, since=time.time()), "a process that nobody has collected counts as alive"
    child.communicate()
    assert not folders.process_alive(child.pid, since=time.time())


def test_a_process_that_started_later_is_another_one_with_the_same_number() -> None:
    began = psutil.Process().create_time()
    assert folders.process_alive(os.getpid(), since=began)
    assert not folders.process_alive(os.getpid(), since=began - 10)


def test_a_process_that_may_not_be_asked_about_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: psutil.Process) -> float:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "create_time", refuse)
    assert folders.process_alive(os.getpid(), since=0.0)


@pytest.mark.parametrize("pid", [-1, 0, 2**31 - 1])
def test_no_process_has_such_an_id(pid: int) -> None:
    assert not folders.process_alive(pid, since=time.time())
