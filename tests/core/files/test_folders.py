from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

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
        assert folders.process_alive(os.getpid())
        assert folders.process_alive(child.pid)
    finally:
        child.kill()
    if sys.platform == "linux":
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not folders.process_alive(child.pid), "a killed process that nobody has collected counts as alive"
    child.communicate()
    assert not folders.process_alive(child.pid)


@pytest.mark.parametrize(
    ("handle", "exit_code", "error", "alive"),
    [(7, 259, 0, True), (7, 1, 0, False), (0, 0, 87, False), (0, 0, 5, True)],
    ids=["at work", "ended", "no such process", "another user's"],
)
def test_processes_are_seen_on_windows(
    handle: int, exit_code: int, error: int, alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    kept: list[bool] = []

    def exit_code_of(_: int, code: Any) -> int:
        code._obj.value = exit_code
        return 1

    def load(name: str, *, use_last_error: bool = False) -> SimpleNamespace:
        kept.append(use_last_error)
        return SimpleNamespace(
            OpenProcess=lambda access, inherit, pid: handle, GetExitCodeProcess=exit_code_of, CloseHandle=closed.append
        )

    monkeypatch.setattr(folders, "_WINDOWS", True)
    monkeypatch.setattr(ctypes, "WinDLL", load, raising=False)
    # Without `use_last_error` ctypes keeps no error: it always says 0.
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error if kept[-1] else 0, raising=False)
    assert folders.process_alive(4711) is alive
    assert closed == ([handle] if handle else [])


@pytest.mark.parametrize("pid", [0, -1])
def test_no_process_has_such_an_id(pid: int) -> None:
    assert not folders.process_alive(pid)
