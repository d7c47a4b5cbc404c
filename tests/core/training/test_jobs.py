from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from builders.toy_training import EVERY_STEP

from core.errors import BadRun, LabError
from core.runs import Run
from core.training import run_logger as run_logger_module
from core.training.launchers import run_to_end, start_thread
from core.training.trainer import Trainer

MakeRun = Callable[..., Run]

ENOUGH = 120.0  # seconds; a job that is not done by then hangs


def test_a_job_trains_in_the_background_and_leaves_all_in_the_folder(make_run: MakeRun) -> None:
    run = make_run()
    job = start_thread(run)
    assert job.name == run.name
    assert job.join(ENOUGH)
    assert not job.alive and job.error is None
    assert run.status().state == "done"
    assert run.status().pid == os.getpid()
    run.acquire().release()


@pytest.mark.slow
def test_a_run_is_not_trained_twice_at_once(make_run: MakeRun) -> None:
    run = make_run()
    job = start_thread(run, timing=EVERY_STEP)
    run.request("pause")
    with pytest.raises(BadRun, match=r"being trained already|started before"):
        start_thread(Run.open(run.path), timing=EVERY_STEP)
    with pytest.raises(BadRun, match="being trained already"):
        start_thread(Run.open(run.path), resume=True, timing=EVERY_STEP)
    run.withdraw("pause")
    assert job.join(ENOUGH)
    assert run.status().state == "done"


@pytest.mark.slow
def test_a_failing_job_says_why(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Trainer, batch: Any) -> torch.Tensor:
        raise ZeroDivisionError("in a step")

    monkeypatch.setattr(Trainer, "_loss", fail)
    run = make_run()
    job = start_thread(run)
    assert job.join(ENOUGH)
    assert isinstance(job.error, LabError)
    assert "in a step" in str(job.error)
    assert run.status().state == "failed"


def test_a_job_does_not_die_silently_even_when_its_log_cannot_be_opened(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_logger_module, "LOG", "no/such/folder/train.log")
    run = make_run()
    job = start_thread(run)
    assert job.join(ENOUGH)
    assert job.error is not None
    assert run.status().state == "failed"
    assert run.status().reason == str(job.error)
    run.acquire().release()


@pytest.mark.slow
def test_two_jobs_at_once_keep_their_logs_and_results_apart(make_run: MakeRun) -> None:
    settings = {"model__dropout": 0, "training__epochs": 3}
    alone = make_run("alone", **settings)
    assert start_thread(alone).join(ENOUGH)
    runs = [make_run("one", **settings), make_run("two", **settings)]
    jobs = [start_thread(run) for run in runs]
    assert all(job.join(ENOUGH) for job in jobs)
    for run, other in ((runs[0], runs[1]), (runs[1], runs[0])):
        assert run.status().state == "done", run.status().reason
        log = (run.path / "train.log").read_text(encoding="utf-8")
        assert log.count("epoch epoch=") == 3
        assert f"run={run.name}" in log and f"run={other.name}" not in log
    last = [torch.load(run.path / "last.pt", weights_only=True)["model"] for run in (alone, *runs)]
    assert all(torch.equal(last[0][name], other[name]) for other in last[1:] for name in other)


@pytest.mark.slow
def test_no_handler_thread_or_file_is_left_behind(make_run: MakeRun) -> None:
    handlers = list(logging.getLogger("core").handlers)
    run = make_run()
    assert start_thread(run).join(ENOUGH)
    assert logging.getLogger("core").handlers == handlers
    leftovers = [thread.name for thread in threading.enumerate() if run.name in thread.name or "batches" in thread.name]
    assert leftovers == []
    run.delete()


@pytest.mark.slow
def test_warnings_of_the_data_layer_reach_the_log_of_their_run(make_run: MakeRun) -> None:
    run = make_run()

    def note(event: dict[str, Any]) -> None:
        if event["type"] == "phase":
            logging.getLogger("core.data.cache").warning("a damaged entry")
            elsewhere = threading.Thread(target=logging.getLogger("core.data.cache").warning, args=("of another thread",))
            elsewhere.start()
            elsewhere.join()

    run_to_end(run, on_event=note, timing=EVERY_STEP)
    log = (run.path / "train.log").read_text(encoding="utf-8")
    assert "a damaged entry" in log
    assert "of another thread" not in log


@pytest.mark.slow
def test_the_threads_of_the_caller_are_given_back(make_run: MakeRun) -> None:
    torch.set_num_threads(2)
    assert run_to_end(make_run()).state == "done"
    assert torch.get_num_threads() == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_in_order(make_run: MakeRun, number: signal.Signals) -> None:
    run = make_run()
    before = signal.getsignal(number)

    def interrupt(event: dict[str, Any]) -> None:
        if event["type"] == "step" and event["global_step"] == 2:
            os.kill(os.getpid(), number)

    status = run_to_end(run, on_event=interrupt, timing=EVERY_STEP)
    assert status.state == "stopped"
    assert run.has_model
    assert signal.getsignal(number) is before


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_second_ctrl_c_ends_at_once(make_run: MakeRun) -> None:
    run = make_run()

    def interrupt(event: dict[str, Any]) -> None:
        if event["type"] == "step":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_to_end(run, on_event=interrupt, timing=EVERY_STEP)
    assert run.status().state == "stopped"
    assert run_to_end(run, resume=True, timing=EVERY_STEP).state == "done"
