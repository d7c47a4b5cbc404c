"""Launchers of the training loop: a thread of this process, this thread itself, or a process of its own.

All do the same: take the run, wait in the queue of the device, iterate `train`. The outcome is in the run's folder.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, get_args

from filelock import FileLock

import core
from core.errors import BadRun, LabError, TrainingFailed
from core.files.untrusted import open_to_write
from core.runs.device_queue import Ticket
from core.runs.events import Event, WaitEvent
from core.runs.run import STATUS, Request, Run
from core.runs.status import Status, StatusWriter

if TYPE_CHECKING:
    from core.training.distributed import World
    from core.training.timing import LoopTiming

PROCESS_LOG = "process.log"  # what a process of its own prints, a crash of Python included
_QUEUE_POLL = 0.3  # seconds
_DETACHED = 0x00000008 | 0x00000200  # Windows: DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP
_LAUNCHER = "MAMMOLAB_LAUNCHER"  # how a process of its own knows that it is one


def detached(windows: bool) -> dict[str, Any]:
    """What `subprocess.Popen` takes so that the process is not ended with the terminal or the server that started it."""
    return {"creationflags": _DETACHED} if windows else {"start_new_session": True}


class Job:
    """A training in a background thread of this process."""

    def __init__(self, run: Run, lock: FileLock, *, resume: bool, queue: bool, timing: LoopTiming | None) -> None:
        self.run = run
        self.error: LabError | None = None
        self._lock = lock
        self._queue = queue
        self._resume = resume
        self._timing = timing
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
            with _device(self.run, "thread", queue=self._queue) as free:
                if free:
                    run = Run(self.run.path)
                    for _ in train(run, resume=self._resume, shares_machine=True, lock=self._lock, timing=self._timing):
                        pass
        except LabError as error:
            self.error = error  # `train` and `_device` have recorded it in the run's folder
        except Exception as error:  # noqa: BLE001  nobody else would hear of it: this is a thread's last frame
            # Not handled by `train` itself: its log could not be opened, for instance.
            self.error = TrainingFailed(explain(error))
            self.error.__cause__ = error
            self._record(str(self.error))
        finally:
            self._lock.release()

    def _record(self, reason: str) -> None:
        try:
            self.run.set_status(state="failed", reason=reason)
        except OSError as problem:
            self.error = TrainingFailed(f"{reason} And status.json could not be written: {problem}")


def start_thread(run: Run, *, resume: bool = False, queue: bool = True, timing: LoopTiming | None = None) -> Job:
    """Train in a background thread, once the device is free (`queue`); returns at once.

    Raises:
        BadRun: somebody trains this run already, it is finished, or it was started before and `resume` is False.
    """
    run.require_startable(resume=resume)
    lock = run.acquire()
    _withdraw_all(run)
    return Job(run, lock, resume=resume, queue=queue, timing=timing)


def start_process(run: Run, *, resume: bool = False, queue: bool = True) -> int:
    """Train in a process of its own, which outlives this one; returns its id at once.

    It waits in the queue (`queue`) as a thread does. What it prints goes to process.log in the run's folder.

    Raises:
        BadRun: as `start_thread`, or the system starts no process.
    """
    run.require_startable(resume=resume)
    run.acquire().release()  # nobody else has it
    _withdraw_all(run)
    before = run.status()
    arguments = ["train", "--resume", str(run.path), *([] if queue else ["--no-queue"])]
    try:
        process = start_command(arguments, run.path / PROCESS_LOG, {_LAUNCHER: "process"})
    except OSError as error:
        raise BadRun(f"{run.name}: no process could be started for it ({error.strerror or error}).") from error
    # "queued" even where it is resumed: until the process has taken the run over it waits to begin.
    run.set_status(
        **_queued(before),
        pid=process.pid,
        host=platform.node(),
        process="",
        heartbeat=time.time(),
        launcher="process",
        reason="Starting.",
    )
    return process.pid


def start_command(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """`python -m core` with these arguments in a process that outlives this one; what it prints is appended to `log`.

    Raises:
        OSError: the system starts no process, or the log cannot be written to.
    """
    with os.fdopen(open_to_write(log, append=True), "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "core", *arguments],
            cwd=Path(core.__file__).parents[1],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **detached(os.name == "nt"),
        )
    _children.append(process)
    return process


# Popen objects are kept so that an ended child is collected (poll) instead of staying a zombie.
_children: list[subprocess.Popen[bytes]] = []


def collect_children() -> int:
    """Let the system forget the processes of `start_command` that have ended; how many are left. Cheap: call it now and
    then."""
    _children[:] = [child for child in _children if child.poll() is None]
    return len(_children)


def run_to_end(
    run: Run,
    *,
    resume: bool = False,
    on_event: Callable[[Event], None] | None = None,
    queue: bool = True,
    world: World | None = None,
    timing: LoopTiming | None = None,
    on_acquired: Callable[[], None] | None = None,
) -> Status:
    """Train in this thread until the end. The first Ctrl-C or SIGTERM stops in order, a second Ctrl-C at once.

    Where the device is busy it waits in the queue first (`queue`); under torchrun, whose processes start together, it does
    not. `world`: of `World.join`, where the caller has joined already. `on_acquired` is called once no other process can take
    the run, before anything else of it happens (not under torchrun).

    Raises:
        LabError: the training failed, or cannot start.
    """
    from core.training.distributed import World
    from core.training.loop import train

    world = world or World.join()

    def follow(lock: FileLock | None) -> None:
        for event in train(run, resume=resume, lock=lock, world=world, timing=timing):
            if on_event is not None:
                on_event(event)

    if world.size > 1:  # `train` itself knows which process takes the run
        if world.is_rank_zero:
            _withdraw_all(run)
        with _stop_on_signals(run):
            follow(None)
        return run.status()
    lock = run.acquire()
    try:
        run.require_startable(resume=resume)
        launcher = os.environ.get(_LAUNCHER, "command line")
        if _LAUNCHER not in os.environ:  # else `start_process` has, and what was asked since then counts
            _withdraw_all(run)
        if on_acquired is not None:
            on_acquired()
        with _stop_on_signals(run), _device(run, launcher, queue=queue, on_event=on_event) as free:
            if free:
                follow(lock)
    finally:
        lock.release()
    return run.status()


@contextmanager
def _device(run: Run, launcher: str, *, queue: bool, on_event: Callable[[Event], None] | None = None) -> Iterator[bool]:
    """Hold the run's device; yields False when a stop was requested while waiting for it. The run must be acquired.

    While it waits the run is "queued" with a heartbeat, and its reason says for whom.
    """
    if not queue:
        run.set_status(launcher=launcher)
        yield True
        return
    from core.model.device import pick_device

    try:
        device = str(pick_device(run.config().training.device))
        ticket = Ticket(device, run.name, run.path)
    except LabError as error:  # before `train`, which would have recorded it
        run.set_status(state="failed", reason=str(error), launcher=launcher)
        raise
    with ticket:
        yield _wait(run, ticket, device, launcher, on_event)


def _wait(run: Run, ticket: Ticket, device: str, launcher: str, on_event: Callable[[Event], None] | None) -> bool:
    ahead = ticket.ahead()
    if not (ahead or run.requested("stop")):
        run.set_status(launcher=launcher)
        return True
    writer = StatusWriter(run.path / STATUS)
    before = run.status()
    writer.start(**_queued(before), launcher=launcher, reason=_waits_for(ahead, device) if ahead else before.reason)
    reported: list[str] = []
    try:
        while True:
            if run.requested("stop"):
                run.withdraw("stop")
                writer.update(**_after_leaving_the_queue(run.status()))
                return False
            if not ahead:
                return True
            if run.requested("begin"):
                run.withdraw("begin")
                return True
            if ahead != reported:
                reported = ahead
                writer.update(reason=_waits_for(ahead, device))
                if on_event is not None:
                    on_event(WaitEvent(type="wait", device=device, ahead=ahead))
            time.sleep(_QUEUE_POLL)
            ahead = ticket.ahead()
    finally:
        writer.stop()


def _queued(before: Status) -> dict[str, Any]:
    """Status fields of a run that waits to begin, with the state it had before."""
    return (
        {"state": "queued"}
        if before.state == "queued"
        else {"state": "queued", "was": before.state, "was_reason": before.reason}
    )


def _after_leaving_the_queue(status: Status) -> dict[str, Any]:
    """Status fields of a run that has left the queue: its state before, or stopped where it never began."""
    if status.was:
        return {"state": status.was, "reason": status.was_reason, "was": "", "was_reason": ""}
    return {"state": "stopped", "reason": "Removed from the queue before it began.", "finished": time.time()}


def _withdraw_all(run: Run) -> None:
    """Forget what was requested of an earlier trainer of the run: what is requested from now on counts."""
    for request in get_args(Request):
        run.withdraw(request)


def _waits_for(ahead: list[str], device: str) -> str:
    others = f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
    return f"Waits for {ahead[0]}{others} on {device}."


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
