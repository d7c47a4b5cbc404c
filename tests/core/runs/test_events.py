from __future__ import annotations

import errno
import json
import math
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.runs import events
from core.runs.events import EventLog, EventReader, read_events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def fill(path: Path, count: int) -> None:
    with EventLog(path) as log:
        for number in range(count):
            log.append({"type": "step", "loss": 1 / (number + 1)})


def test_events_are_numbered_from_one_and_read_back(path: Path) -> None:
    with EventLog(path) as log:
        first = log.append({"type": "warning", "message": "größer als 3\n«zwei Zeilen»"})
        second = log.append({"type": "step", "loss": 0.5})
    assert (first["seq"], second["seq"]) == (1, 2)
    assert first["time"] <= second["time"]
    assert read_events(path) == [first, second]
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_becomes_null(path: Path, value: float) -> None:
    with EventLog(path) as log:
        log.append({"type": "epoch", "val": {"auc": value}, "list": [value, 1.0]})
    strict = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda word: pytest.fail(word))
    assert strict["val"] == {"auc": None}
    assert strict["list"] == [None, 1.0]


def test_a_missing_file_has_no_events(path: Path) -> None:
    assert read_events(path) == []
    assert EventReader(path).read() == []


@pytest.mark.parametrize("torn", [b'{"seq":4,"ty', b"{", b'{"seq":4,"type":"st\xc3'])
def test_a_torn_last_line_is_not_read_and_gives_way_to_the_next_event(path: Path, torn: bytes) -> None:
    fill(path, 3)
    with path.open("ab") as stream:
        stream.write(torn)
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3]
    with EventLog(path) as log:
        assert log.sequence == 3
        assert log.append({"type": "step"})["seq"] == 4
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3, 4]


def test_a_file_of_one_torn_line_starts_again(path: Path) -> None:
    path.write_bytes(b'{"seq":1,"type"')
    with EventLog(path) as log:
        assert log.append({"type": "start"})["seq"] == 1
    assert len(read_events(path)) == 1


def test_a_line_that_is_no_event_is_passed_over(path: Path) -> None:
    fill(path, 2)
    with path.open("ab") as stream:
        stream.write(b"\n[1]\nnull\nnonsense\n")
    with EventLog(path) as log:
        assert log.append({"type": "step"})["seq"] == 3
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3]
    assert [event["seq"] for event in read_events(path, after=2)] == [3]


@pytest.mark.parametrize("after", [0, 1, 17, 2999, 4998, 4999, 5000, 6000])
def test_the_last_events_of_a_long_file_are_found_by_bisection(path: Path, after: int) -> None:
    fill(path, 5000)
    assert path.stat().st_size > 3 * events._BLOCK
    assert [event["seq"] for event in read_events(path, after)] == list(range(after + 1, 5001))


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=40), after=st.integers(0, 45), block=st.integers(1, 2000))
def test_any_line_lengths_and_any_place(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], after: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "_BLOCK", block)
        with EventLog(path) as log:
            for size in sizes:
                log.append({"type": "x" * size})
        assert [event["seq"] for event in read_events(path, after)] == list(range(after + 1, len(sizes) + 1))
        with EventLog(path) as log:
            assert log.sequence == len(sizes)
            log.truncate_after(after)
            assert log.sequence == min(after, len(sizes))
        assert [event["seq"] for event in read_events(path)] == list(range(1, min(after, len(sizes)) + 1))


def test_cutting_drops_what_came_after_and_numbering_goes_on(path: Path) -> None:
    fill(path, 9)
    with EventLog(path) as log:
        assert log.truncate_after(6) == 3
        assert log.truncate_after(6) == 0
        assert log.append({"type": "resume"})["seq"] == 7
    assert [event["type"] for event in read_events(path)] == ["step"] * 6 + ["resume"]


def test_a_reader_gets_each_event_once(path: Path) -> None:
    reader = EventReader(path)
    seen = []
    with EventLog(path) as log:
        for number in range(5):
            for _ in range(number):
                log.append({"type": "step"})
            seen.append(len(reader.read()))
            assert not reader.restarted
    assert seen == [0, 1, 2, 3, 4]
    assert reader.read() == []


def test_a_reader_takes_a_long_file_in_portions(path: Path) -> None:
    fill(path, 10)
    reader = EventReader(path)
    portions = [[event["seq"] for event in reader.read(limit=4)] for _ in range(4)]
    assert portions == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], []]


def test_a_reader_waits_for_the_rest_of_a_line(path: Path) -> None:
    reader = EventReader(path)
    path.write_bytes(b'{"seq":1,"type":"a"}\n{"seq":2,')
    assert len(reader.read()) == 1
    with path.open("ab") as stream:
        stream.write(b'"type":"b"}\n')
    assert [event["type"] for event in reader.read()] == ["b"]


@pytest.mark.parametrize("kept", [0, 3, 7])
@pytest.mark.parametrize("added", [0, 1, 20])
def test_a_reader_notices_that_a_resumed_run_cut_the_file(path: Path, kept: int, added: int) -> None:
    fill(path, 8)
    reader = EventReader(path)
    reader.read()
    with EventLog(path) as log:
        log.truncate_after(kept)
        for _ in range(added):
            log.append({"type": "again"})
    found = reader.read()
    assert reader.restarted
    assert [event["seq"] for event in found] == list(range(1, kept + added + 1))


def test_cutting_behind_a_reader_that_lags_is_no_restart(path: Path) -> None:
    fill(path, 8)
    reader = EventReader(path)
    reader.read(limit=2)
    with EventLog(path) as log:
        log.truncate_after(5)
    assert [event["seq"] for event in reader.read()] == [3, 4, 5]
    assert not reader.restarted


def test_a_full_disk_leaves_whole_lines_and_the_log_goes_on_when_there_is_space(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, 2)

    def half(stream: FileIO, content: bytes) -> None:
        stream.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with EventLog(path) as log:
        log.append({"type": "step"})
        with monkeypatch.context() as full:
            full.setattr(events, "_write_all", half)
            with pytest.raises(OSError, match="No space"):
                log.append({"type": "step"})
        assert path.read_bytes().endswith(b"}\n")
        assert log.append({"type": "step"})["seq"] == 4
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3, 4]
