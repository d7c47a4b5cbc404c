from __future__ import annotations

import errno
import json
import math
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.runs import event_log
from core.runs.event_log import EventLog, EventReader
from core.runs.events import Event, StepEvent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


STEP = StepEvent(type="step", epoch=1, step=1, steps=9)


def read_events(path: Path) -> list[Event]:
    return EventReader(path).read()


def fill(path: Path, count: int) -> None:
    with EventLog(path) as log:
        for number in range(count):
            log.append(STEP | {"loss": 1 / (number + 1)})


def test_events_are_numbered_from_one_and_read_back(path: Path) -> None:
    with EventLog(path) as log:
        first = log.append({"type": "warning", "message": "größer als 3\n«zwei Zeilen»"})
        second = log.append(STEP | {"loss": 0.5})
    assert (first["seq"], second["seq"]) == (1, 2)
    assert first["time"] <= second["time"]
    assert read_events(path) == [first, second]
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_becomes_null(path: Path, value: float) -> None:
    with EventLog(path) as log:
        log.append({"type": "epoch", "epoch": 1, "val": {"auc": value}, "val_loss": value})
    strict = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda word: pytest.fail(word))
    assert strict["val"] == {"auc": None}
    assert strict["val_loss"] is None


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
        assert log.append(STEP)["seq"] == 4
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3, 4]


def test_a_file_of_one_torn_line_starts_again(path: Path) -> None:
    path.write_bytes(b'{"seq":1,"type"')
    with EventLog(path) as log:
        assert log.append({"type": "start", "run": "a"})["seq"] == 1
    assert len(read_events(path)) == 1


def test_a_line_that_is_no_event_is_passed_over(path: Path) -> None:
    fill(path, 2)
    with path.open("ab") as stream:
        stream.write(b"\n[1]\nnull\nnonsense\n")
    with EventLog(path) as log:
        assert log.append(STEP)["seq"] == 3
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3]


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=40), after=st.integers(0, 45), block=st.integers(1, 2000))
def test_lines_of_any_length_are_cut_after_any_event(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], after: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_log, "_BLOCK", block)
        with EventLog(path) as log:
            for size in sizes:
                log.append({"type": "warning", "message": "x" * size})
        with EventLog(path) as log:
            assert log.sequence == len(sizes)
            log.truncate_after(after)
            assert log.sequence == min(after, len(sizes))
        assert [event["seq"] for event in read_events(path)] == list(range(1, min(after, len(sizes)) + 1))


def test_an_event_of_a_later_version_is_passed_over_and_its_number_is_not_given_again(path: Path) -> None:
    fill(path, 2)
    with path.open("ab") as stream:
        stream.write(b'{"seq":3,"type":"invented","value":1}\n')
    with EventLog(path) as log:
        assert log.append(STEP)["seq"] == 4
        assert log.truncate_after(3) == 1
    assert [event["seq"] for event in read_events(path)] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        {"seq": 1, "type": "step", "epoch": 1, "step": 1},
        {"seq": 1, "type": "step", "epoch": 1, "step": 1, "steps": 1e308},
        {"seq": 1, "type": "step", "epoch": -1, "step": 1, "steps": 9},
        {"seq": 1, "type": "step", "epoch": True, "step": 1, "steps": 9},
        {"seq": 1, "type": "step", "epoch": 1, "step": 1, "steps": 9, "loss": "low"},
        {"seq": 0, "type": "step", "epoch": 1, "step": 1, "steps": 9},
        {"type": "step", "epoch": 1, "step": 1, "steps": 9},
        {"seq": 1, "type": "epoch", "epoch": 1, "val": {"auc": "high"}},
        {"seq": 1, "type": "epoch", "epoch": 1, "val": {f"metric {number}": 0.5 for number in range(101)}},
        {"seq": 1, "type": "warning", "message": None},
        {"seq": 1, "type": ["step"]},
    ],
)
def test_an_event_that_no_training_writes_is_passed_over(path: Path, line: dict[str, object]) -> None:
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert read_events(path) == []


def test_events_of_the_first_version_are_read(path: Path) -> None:
    lines = [
        {
            "type": "start",
            "run": "b0",
            "device": "cpu",
            "precision": "fp32",
            "threads": 2,
            "parameters": 9,
            "images": {"train": 4},
        },
        {"type": "prepare", "done": 3, "total": 4},
        {"type": "phase", "phase": "head", "first_epoch": 1, "last_epoch": 2, "learning_rate": 1e-3},
        {"type": "step", "epoch": 1, "step": 1, "steps": 2, "global_step": 1, "loss": None, "eta_seconds": None},
        {"type": "epoch", "epoch": 1, "train_loss": 0.7, "val_loss": 0.6, "val": {"auc": None}, "best": True},
        {"type": "done", "state": "stopped", "reason": "", "best_epoch": None, "threshold": None, "seconds": 3},
    ]
    written = [{"seq": number, "time": 1.5} | line for number, line in enumerate(lines, start=1)]
    path.write_text("".join(json.dumps(line) + "\n" for line in written), encoding="utf-8")
    assert read_events(path) == written


def test_cutting_drops_what_came_after_and_numbering_goes_on(path: Path) -> None:
    fill(path, 9)
    with EventLog(path) as log:
        assert log.truncate_after(6) == 3
        assert log.truncate_after(6) == 0
        assert log.append({"type": "resume", "epoch": 1})["seq"] == 7
    assert [event["type"] for event in read_events(path)] == ["step"] * 6 + ["resume"]


def test_a_reader_gets_each_event_once(path: Path) -> None:
    reader = EventReader(path)
    seen = []
    with EventLog(path) as log:
        for number in range(5):
            for _ in range(number):
                log.append(STEP)
            seen.append(len(reader.read()))
            assert not reader.restarted
    assert seen == [0, 1, 2, 3, 4]
    assert reader.read() == []


def test_a_reader_waits_for_the_rest_of_a_line(path: Path) -> None:
    reader = EventReader(path)
    path.write_bytes(b'{"seq":1,"type":"start"}\n{"seq":2,')
    assert len(reader.read()) == 1
    with path.open("ab") as stream:
        stream.write(b'"type":"resume"}\n')
    assert [event["type"] for event in reader.read()] == ["resume"]


@pytest.mark.parametrize("kept", [0, 3, 7])
@pytest.mark.parametrize("added", [0, 1, 20])
def test_a_reader_notices_that_a_resumed_run_cut_the_file(path: Path, kept: int, added: int) -> None:
    fill(path, 8)
    reader = EventReader(path)
    reader.read()
    with EventLog(path) as log:
        log.truncate_after(kept)
        for _ in range(added):
            log.append(STEP)
    found = reader.read()
    assert reader.restarted
    assert [event["seq"] for event in found] == list(range(1, kept + added + 1))


def test_cutting_what_a_reader_has_not_read_is_no_restart(path: Path) -> None:
    fill(path, 2)
    reader = EventReader(path)
    reader.read()
    with EventLog(path) as log:
        for _ in range(6):
            log.append(STEP)
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
        log.append(STEP)
        with monkeypatch.context() as full:
            full.setattr(event_log, "_write_all", half)
            with pytest.raises(OSError, match="No space"):
                log.append(STEP)
        assert path.read_bytes().endswith(b"}\n")
        assert log.append(STEP)["seq"] == 4
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3, 4]
