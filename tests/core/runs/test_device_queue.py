"""The queue of a device: first come, first served, and nobody waits for the dead."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import TrainingFailed
from core.runs.device_queue import QueuedRun, Ticket, waiting


def test_tickets_are_served_in_the_order_in_which_they_were_taken() -> None:
    first, second, third = Ticket("cpu", "a"), Ticket("cpu", "b"), Ticket("cpu", "c")
    assert (first.ahead(), second.ahead(), third.ahead()) == ([], ["a"], ["a", "b"])
    second.leave()  # gives up waiting
    assert third.ahead() == ["a"]
    first.leave()
    assert third.ahead() == []
    third.leave()
    third.leave()
    assert list(third.folder.glob("*.json")) == []


def test_whoever_looks_sees_who_is_at_work_and_who_waits() -> None:
    assert waiting("cpu") == []
    with Ticket("cpu", "a"), Ticket("cpu", "b") as second:
        assert [each.name for each in waiting("cpu")] == ["a", "b"]
        assert second.ahead() == ["a"]
    assert waiting("cpu") == []


def test_each_device_has_a_queue_of_its_own() -> None:
    with Ticket("cpu", "a"), Ticket("cuda:0", "b") as other:
        assert other.ahead() == []


@pytest.mark.slow
def test_who_dies_while_waiting_or_at_work_is_passed_over() -> None:
    code = "from core.runs.device_queue import Ticket; Ticket('cpu', 'dead'); import os; os._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    with Ticket("cpu", "b") as ticket:
        assert ticket.ahead() == []
        assert [path.stem for path in ticket.folder.glob("*.json")] == [f"{ticket.number:08d}"]


def test_of_many_who_come_at_once_exactly_one_is_first() -> None:
    with ThreadPoolExecutor(8) as pool:
        tickets = list(pool.map(lambda number: Ticket("cpu", str(number)), range(16)))
    assert sorted(len(ticket.ahead()) for ticket in tickets) == list(range(16))
    for ticket in tickets:
        ticket.leave()


def test_a_folder_that_cannot_be_written_to_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # where a folder should be
    monkeypatch.setenv("MAMMOLAB_HOME", str(tmp_path / "file"))
    with pytest.raises(TrainingFailed, match="MAMMOLAB_HOME"):
        Ticket("cpu", "a")


def test_a_place_says_where_its_run_is_and_a_damaged_one_is_another_training(tmp_path: Path) -> None:
    with Ticket("cpu", "a", tmp_path / "lab" / "checkpoints" / "a") as first, Ticket("cpu", "b") as second:
        assert waiting("cpu") == [QueuedRun("a", tmp_path / "lab" / "checkpoints" / "a"), QueuedRun("b", None)]
        for content in ("{", "[]", '{"run": "x", "folder": 3}', '{"folder": "/x"}', "\x00"):
            (first.folder / f"{first.number:08d}.json").write_text(content, encoding="utf-8")
            found = waiting("cpu")[0]
            assert found.name in ("x", "another training") and found.folder is None
        assert second.ahead() == [found.name]
