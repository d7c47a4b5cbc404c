"""Launchers of the loop inside a process. A job is only a thread: what it did is in the run's folder."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from filelock import FileLock

from core.errors import LabError, TrainingFailed
from core.training.events import Event
from core.training.run import Run
from core.training.status import Status


class Job:
    """A training in a background thread of this process."""

    def __init__(self, run: Run, lock: FileLock, *, resume: bool, shares_machine: bool) -> None:
        self.run = run
        self.error: LabError | None = None
        self._lock = lock
        self._options = {"resume": resume, "shares_machine": shares_machine}
        self._thread = threading.Thread(target=self._train, name=f"training {run.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def alive(self) -> bool:
        """Whether the thread is still at work."""
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; whether it has come."""
        self._thread.join(timeout)
        return not self.alive

    def _train(self) -> None:
        from core.training.failures import explain
        from core.training.loop import train

        try:
            for _ in train(Run(self.run.path), lock=self._lock, **self._options):
                pass
        except LabError as error:
            self.error = error  # the run folder has it too
        except Exception as error:  # noqa: BLE001  nobody else would hear of it: this is a thread's last frame
            # Outside the loop's own care: its log could not be opened, for instance. Never die silently.
            self.error = TrainingFailed(explain(error))
            self.error.__cause__ = error
            self._tell(str(self.error))
        finally:
            self._lock.release()

    def _tell(self, reason: str) -> None:
        try:
            self.run.set_status(state="failed", reason=reason)
        except OSError as problem:
            self.error = TrainingFailed(f"{reason} And status.json could not be written: {problem}")


def start_thread(run: Run, *, resume: bool = False, shares_machine: bool = True) -> Job:
    """Train in a background thread; returns at once.

    Raises:
        BadRun: somebody trains this run already, it is finished, or it was started before and `resume` is False.
    """
    run.require_startable(resume=resume)
    return Job(run, run.acquire(), resume=resume, shares_machine=shares_machine)


def run_to_end(run: Run, *, resume: bool = False, on_event: Callable[[Event], None] | None = None) -> Status:
    """Train in this thread until the end. The first Ctrl-C or SIGTERM stops in order, a second Ctrl-C at once.

    Raises:
        LabError: the training failed, or cannot start.
    """
    from core.training.loop import train

    with _stop_on_signals(run):
        for event in train(run, resume=resume):
            if on_event is not None:
                on_event(event)
    return run.status()


@contextmanager
def _stop_on_signals(run: Run) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if run.requested("stop") and number == signal.SIGINT:
            raise KeyboardInterrupt
        run.request("stop")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
