"""Before the first step: it is told how far it is, and it can be stopped, also while only files are read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from core.errors import TrainingFailed
from core.runs import Run
from core.training.loop import train
from core.training.timing import LoopTiming

MakeRun = Callable[..., Run]


EVERY_IMAGE = LoopTiming(between_images=0.0)


def reported(run: Run, what: str | None) -> list[tuple[int, int]]:
    return [
        (event["done"], event["total"]) for event in run.events() if event["type"] == "prepare" and event.get("what") == what
    ]


@pytest.mark.slow
def test_every_file_is_told_of_while_images_are_prepared_and_while_contents_are_compared(make_run: MakeRun) -> None:
    run = make_run(training__epochs=1)
    list(train(run, timing=EVERY_IMAGE))
    assert reported(run, None) == [(done, 28) for done in range(1, 29)]
    assert reported(run, "hashes") == [(done, 32) for done in range(1, 33)], "the test images too"


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 30])
def test_a_stop_while_contents_are_compared_leaves_nothing_half_written(
    make_run: MakeRun, frame: pd.DataFrame, at: int
) -> None:
    broken = Path(frame["path"][1])
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    run = make_run(training__epochs=1)
    before = (run.path / "manifest.csv").read_bytes()
    for event in train(run, timing=EVERY_IMAGE):
        if event.get("what") == "hashes" and event["done"] == at:
            run.request("stop")
    assert run.status().state == "stopped"
    assert reported(run, "hashes")[-1] == (at, 31)
    assert (run.path / "manifest.csv").read_bytes() == before
    assert not run.excluded() and not any(event["type"] == "excluded" for event in run.events())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hashes")]
    assert list(train(run, resume=True, timing=EVERY_IMAGE))[-1]["state"] == "done"
    assert list(run.excluded()) == [str(broken)]
    assert run.manifest().set_index("path")["content_hash"].str.len().eq(64).sum() == 31


@pytest.mark.slow
def test_a_resumed_run_can_be_stopped_while_contents_are_compared_and_compares_no_test_image(make_run: MakeRun) -> None:
    run = make_run(training__epochs=2)
    for event in train(run, timing=EVERY_IMAGE):
        if event["type"] == "epoch":
            run.request("stop")
    for event in train(run, resume=True, timing=EVERY_IMAGE):
        if event.get("what") == "hashes":
            run.request("stop")
    assert run.status().state == "stopped"
    assert reported(run, "hashes")[-1] == (1, 28)
    assert [event["epoch"] for event in run.events() if event["type"] == "epoch"] == [1]


@pytest.mark.slow
def test_a_test_image_that_cannot_be_opened_has_no_hash_and_ends_nothing(
    make_run: MakeRun, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, real = Path(frame["path"][30]), Path.is_file

    def is_file(self: Path) -> bool:
        if self == locked:
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "is_file", is_file)
    run = make_run(training__epochs=1)
    assert list(train(run, timing=EVERY_IMAGE))[-1]["state"] == "done"
    hashes = run.manifest().set_index("path")["content_hash"]
    assert hashes[str(locked)] == "" and (hashes.str.len() == 64).sum() == 31


def test_where_no_image_can_be_read_it_is_not_the_split_that_is_blamed(make_run: MakeRun) -> None:
    run = make_run("run")
    for path in run.manifest()["path"]:
        Path(str(path)).unlink()
    with pytest.raises(TrainingFailed, match="Is the drive connected"):
        list(train(run))
