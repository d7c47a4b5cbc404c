from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from core.training import files


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "status.json"
    files.write_text(target, "old")

    def fill_the_disk(stream: BinaryIO) -> None:
        stream.write(b"half of the ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.write_atomically(target, fill_the_disk)
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "ä\r\nb\n")
    assert (tmp_path / "a").read_bytes() == "ä\r\nb\n".encode()


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = {tmp_path / ".lock", tmp_path / "last.pt", tmp_path / "notes.tmp"}
    for path in kept | {tmp_path / ".last.pt.77.abcdef01.tmp"}:
        path.touch()
    files.remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == kept


def test_a_target_held_by_a_reader_on_windows_is_replaced_once_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    real = Path.replace

    def held_twice(self: Path, target: Path) -> Path:
        tries.append(1)
        if len(tries) < 3:
            raise PermissionError(errno.EACCES, "in use")
        return real(self, target)

    monkeypatch.setattr(files, "_WINDOWS", True)
    monkeypatch.setattr(files, "_REPLACE_PAUSE", 0.0)
    monkeypatch.setattr(Path, "replace", held_twice)
    files.write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "new"
    assert len(tries) == 3


def test_a_folder_that_may_not_be_written_is_no_reason_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(Path, "replace", refused)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with pytest.raises(PermissionError):
        files.write_text(tmp_path / "a", "new")


def test_processes_are_seen_alive_and_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert files.process_alive(os.getpid())
        assert files.process_alive(child.pid)
    finally:
        child.kill()
    if sys.platform == "linux":
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not files.process_alive(child.pid), "a killed process that nobody has collected counts as alive"
    child.communicate()
    assert not files.process_alive(child.pid)


@pytest.mark.parametrize("pid", [0, -1])
def test_no_process_has_such_an_id(pid: int) -> None:
    assert not files.process_alive(pid)
