"""The training loop: a generator of events over one run folder. Launchers only iterate it.

    prepare images -> phase: epoch: windows of batches -> validation -> best model kept -> ... -> done

Exact repeatability: whatever is random (order, augmentation, dropout) is drawn from (seed, epoch, position), and what
depends on the clock (how often a step is told or a checkpoint written) never touches the arithmetic. So a run that was
killed anywhere and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from core.config import Config
from core.errors import LabError
from core.files.folders import remove_leftovers
from core.model import Classifier
from core.model.device import Machine
from core.runs.events import Event
from core.runs.frozen_rule import resumed_config
from core.runs.run import LAST, Run
from core.training import advice, step_metrics
from core.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from core.training.cpu.malloc import kept_memory
from core.training.device import thread_count
from core.training.distributed import World
from core.training.gate_fitting import GATE, fit_gate_of
from core.training.head_features import store_features
from core.training.image_preparation import Rows, prepare_rows
from core.training.phases import Phase, phase_of, plan_phases
from core.training.run_logger import Recorder, Silent
from core.training.setup import compile_model, open_machine, open_model, settle_precision
from core.training.single_process import has_batch_norm
from core.training.throughput import Pace
from core.training.trainer import Trainer
from core.training.validation import Validation, keep, validate

STEP_SECONDS = 0.25  # at most so often a step is told
CHECKPOINT_SECONDS = 30.0  # a kill costs at most about this much work
LIGHT_CHECKPOINT_SECONDS = 2.0  # the same while epochs of the head alone take less time than a checkpoint
STOP_SECONDS = 20.0  # who asks for a stop does not wait longer than that for the gate, which an evaluation fits as well
_PAUSE_POLL = 0.2


def train(run: Run, *, resume: bool = False, shares_machine: bool = False, lock: FileLock | None = None) -> Iterator[Event]:
    """Train the run in this thread, yielding every event as it is appended to events.jsonl.

    `resume` goes on from last.pt. `shares_machine` leaves a processor core to others. `lock`: from `run.acquire()`, when
    the caller has it already; it is released at the end. Closing the generator cuts the training off (state "stopped"),
    which a later resume makes good; `run.request("stop")` ends it in order. A request that is there already counts: it is
    for launchers to withdraw what was asked of an earlier trainer.

    Under torchrun every process calls it for the same run; only the first one writes the folder and yields events.

    Raises:
        BadRun: it is being trained elsewhere, or there is nothing to do. The run's state is left alone.
        LabError: the training failed; state, reason, an "error" event and train.log say why.
    """
    world = World.join()
    threads = torch.get_num_threads()
    held = [lock] if lock else []

    def take() -> None:
        if not held:
            held.append(run.acquire())
        run.require_startable(resume=resume)
        remove_leftovers(run.path)

    try:
        world.share(take)
        with Recorder(run) if world.first else Silent(run) as recorder:
            try:
                events = _Training(run, recorder, world, resume=resume, shares_machine=shares_machine).events()
                yield from events if world.first else _in_silence(events)
            except (GeneratorExit, KeyboardInterrupt, SystemExit):
                recorder.cut_off()
                raise
            except Exception as error:  # noqa: BLE001  recorded, then raised again as one of our own
                last, failure = recorder.fail(error)
                yield from last
                raise failure from failure.__cause__
    finally:
        torch.set_num_threads(threads)
        for each in held:
            each.release()


def _in_silence(events: Iterator[Event]) -> Iterator[Event]:
    """Go through the events and give none."""
    for _ in events:
        yield from ()


class _Training:
    """One call of `train`: what it needs at hand."""

    progress: Progress
    states: dict[str, Any] | None  # of the checkpoint, until they are taken over
    config: Config
    machine: Machine
    threads: int
    phases: tuple[Phase, ...]
    trainer: Trainer

    def __init__(self, run: Run, recorder: Recorder, world: World, *, resume: bool, shares_machine: bool) -> None:
        self.run = run
        self.recorder = recorder
        self.world = world
        self.resume = resume
        self.shares_machine = shares_machine
        self.pace = Pace()
        self.saved = time.monotonic()
        self.unsaved = False  # whether epochs have ended since the last checkpoint

    def events(self) -> Generator[Event, None, None]:
        run, recorder, world = self.run, self.recorder, self.world
        recorder.begin(**({"launcher": "torchrun"} if world.size > 1 else {}))
        config = self.config = resumed_config(run)
        self.progress, self.states = (self.resume and load_checkpoint(run.path / LAST)) or (Progress(), None)
        again = self.states is not None
        if world.first:
            recorder.events.truncate_after(self.progress.sequence)
        self.machine = open_machine(config, world)
        self.threads = thread_count(config.training, shares_machine=self.shares_machine, processes=world.local_size)
        torch.set_num_threads(self.threads)
        model = open_model(config, self.progress, self.states, self.machine.device)
        self.machine, rates = settle_precision(self.machine, model, config, self.progress, world)
        self.phases = plan_phases(config.training, pretrained=self.progress.pretrained, stages=len(model.stages()))
        yield self._opening(model, rates, again=again)
        rows = yield from self._rows(again=again)
        if rows is None:
            yield self._done("stopped", "Stopped by you, while images were prepared. Resume it to continue.")
            return
        compiled = yield from self._compiled(model)
        self.trainer = Trainer(model, rows, config, self.machine, self.progress, world, compiled)
        if not again:
            yield from self._warn(advice.about_classes(rows.train, config.training))
            yield from self._warn(advice.about_batches(config.training, batch_norm=has_batch_norm(model)))
        with kept_memory(self.machine.device):
            yield from self._epochs()

    # ------------------------------------------------------------------ opening

    def _opening(self, model: Classifier, rates: dict[str, float], *, again: bool) -> Event:
        self.recorder.update(device=self.machine.name, started=self.run.status().started or time.time())
        found: dict[str, Any] = {"device": self.machine.name, "precision": self.machine.precision, "threads": self.threads}
        if self.world.size > 1:
            found["processes"] = self.world.size
        if again:
            return self.recorder.event("resume", epoch=self.progress.epoch, step=self.progress.step, **found)
        if rates:
            found["measured"] = {name: round(rate, 2) for name, rate in rates.items()}
        counts = self.run.manifest()["split"].value_counts()
        images = {split: int(counts.get(split, 0)) for split in ("train", "val", "test")}
        return self.recorder.event("start", run=self.run.name, parameters=model.parameter_count, images=images, **found)

    def _rows(self, *, again: bool) -> Generator[Event, None, Rows | None]:
        """Prepared by the first process, for all."""
        rows: Rows | None = None
        problem: LabError | None = None
        if self.world.first:
            try:
                rows = yield from prepare_rows(self.recorder, self.config.preprocessing, again=again)
            except LabError as error:
                problem = error

        def tell() -> Rows | None:
            if problem is not None:
                raise problem
            return rows

        return self.world.share(tell)

    def _compiled(self, model: Classifier) -> Generator[Event, None, nn.Module | None]:
        if not self.config.training.advanced.compile:
            return None
        compiled, problem = compile_model(model, self.machine, self.config)
        if problem:
            yield from self._warn([("compile", f"The network could not be compiled and trains as it is. {problem}")])
        return compiled

    def _warn(self, told: list[advice.Advice]) -> Generator[Event, None, None]:
        for about, message in told:
            yield self.recorder.event("warning", about=about, message=message)

    # ------------------------------------------------------------------ epochs

    def _epochs(self) -> Generator[Event, None, None]:
        trainer, progress, epochs = self.trainer, self.progress, self.config.training.epochs
        while not progress.finished:
            phase = phase_of(self.phases, progress.epoch)
            begins = progress.step == 0 and progress.epoch == phase.first_epoch
            fresh = trainer.phase != phase
            if fresh:
                trainer.begin(phase)
                if self.states is not None:
                    trainer.restore(self.states, optimizer=not begins)
                    self.states = None
            if begins:
                progress.update = progress.stale = 0
                self._save()
                yield self.recorder.event(
                    "phase",
                    phase=phase.name,
                    first_epoch=phase.first_epoch,
                    last_epoch=phase.last_epoch,
                    learning_rate=phase.learning_rate,
                )
            self.recorder.update(phase=phase.name, epoch=progress.epoch - 1, epochs=epochs, steps=trainer.steps)
            stopped = (fresh and (yield from self._features(phase))) or (yield from self._steps())
            if stopped:
                yield from self._stop()
                return
            yield from self._end_epoch(phase)
        reason = ""
        if progress.epoch <= epochs:
            reason = (
                f"Stopped early: {self.config.training.monitor} has not improved for {self.config.training.patience} epochs."
            )
        yield from self._gate()
        yield self._done("done", reason)

    def _features(self, phase: Phase) -> Generator[Event, None, bool]:
        """Let the head train on stored features, where that can be; True when a stop was asked for meanwhile."""
        trainer = self.trainer
        storing = store_features(trainer.model, trainer.rows, self.config, self.machine, phase, self.world)
        told = float("-inf")
        while True:
            try:
                done, total = next(storing)
            except StopIteration as end:
                trainer.features = end.value
                break
            last, due, stop = self.world.decide(
                done == total, time.monotonic() - told >= STEP_SECONDS, self.run.requested("stop")
            )
            if last or due:
                told = time.monotonic()
                yield self.recorder.event("prepare", done=done, total=total, what="features")
            if stop:
                storing.close()
                return True
        if trainer.features is not None:
            self.progress.seconds += trainer.features.seconds
        return False

    def _steps(self) -> Generator[Event, None, bool]:
        """The rest of the epoch; True when a stop was asked for."""
        trainer, progress, decide = self.trainer, self.progress, self.world.decide
        self.pace.restart()
        clock = told = time.monotonic()
        told -= STEP_SECONDS
        if self._asked():
            return True
        windows = trainer.windows()
        try:
            for images in windows:
                self.pace.add(images)
                now = time.monotonic()
                progress.seconds += now - clock
                progress.epoch_seconds += now - clock
                clock = now
                (due,) = decide(progress.step >= trainer.steps or now - told >= STEP_SECONDS)
                if due:
                    told = now
                    fields = step_metrics.of_step(trainer, self.pace)
                    self.recorder.note(step=progress.step, eta_seconds=fields["eta_seconds"])
                    yield self.recorder.event("step", **fields)
                (due,) = decide(
                    now - self.saved >= CHECKPOINT_SECONDS or self.run.requested("stop") or self.run.requested("pause")
                )
                if due:
                    self._save()
                    if self._asked():
                        return True
                # What a save, a pause or the reader of the events took is no training time.
                clock = time.monotonic()
        finally:
            windows.close()  # type: ignore[attr-defined]
        return False

    def _asked(self) -> bool:
        """Wait while a pause is asked for; then, whether a stop is."""
        pause, stop = self._requests()
        if pause and not stop:
            self.recorder.update(state="paused", eta_seconds=None)
            self.recorder.log.info("paused")
            while pause and not stop:
                time.sleep(_PAUSE_POLL)
                pause, stop = self._requests()
            self.recorder.log.info("going on")
            self.recorder.update(state="running")
            self.pace.restart()
        return stop

    def _requests(self) -> tuple[bool, bool]:
        pause, stop = self.world.decide(self.run.requested("pause"), self.run.requested("stop"))
        return pause, stop

    # ------------------------------------------------------------------ ends

    def _end_epoch(self, phase: Phase) -> Generator[Event, None, None]:
        trainer, progress, training = self.trainer, self.progress, self.config.training
        began = time.monotonic()
        result = self._validate()
        best = progress.compare(training.monitor, result.figures, result.threshold)
        if best and self.world.first:
            keep(self.run.path, trainer.scored, self.config, trainer.rows, result, progress.epoch)
        progress.validation_seconds = time.monotonic() - began
        progress.seconds += progress.validation_seconds
        fields = step_metrics.of_epoch(trainer, self.pace, result, best=best)
        event = self.recorder.event("epoch", **fields)
        progress.train_losses.append(fields["train_loss"])
        progress.val_losses.append(fields["val_loss"])
        told = advice.about_losses(progress, phase) + advice.about_waiting(progress, self.machine.readers)
        warnings = list(self._warn(told))
        # Head training that no longer helps is no reason to leave out the fine-tuning that follows.
        early = 0 < training.patience <= progress.stale and phase.last_epoch == training.epochs
        progress.finished = early or progress.epoch == training.epochs
        ends = progress.finished or progress.epoch == phase.last_epoch
        trainer.next_epoch()
        self.unsaved = True
        light = min(CHECKPOINT_SECONDS, LIGHT_CHECKPOINT_SECONDS)
        if trainer.features is None or ends or time.monotonic() - self.saved >= light:
            self._save()
        best_so_far = {"best_epoch": progress.best_epoch, "best_value": progress.best_value}
        self.recorder.update(epoch=progress.epoch - 1, step=0, eta_seconds=fields["eta_seconds"], **best_so_far)
        yield event
        yield from warnings

    def _validate(self) -> Validation:
        trainer = self.trainer
        trainer.align()
        return validate(
            trainer.scored,
            trainer.rows,
            self.config,
            self.machine.device,
            balanced=self.config.training.imbalance != "none",
            world=self.world,
            features=trainer.features,
        )

    def _stop(self) -> Generator[Event, None, None]:
        """The weights are in a checkpoint; make sure that there is a model to use."""
        progress, trainer = self.progress, self.trainer
        if self.unsaved:
            self._save()
        if not progress.best_epoch and progress.global_step:
            result = self._validate()
            if self.world.first:
                keep(self.run.path, trainer.scored, self.config, trainer.rows, result, 0)
            progress.best_threshold = result.threshold
            message = f"Stopped in the first epoch, after {progress.step} of {trainer.steps} steps: the model hardly learnt."
            yield self.recorder.event("warning", message=message)
        yield from self._gate(within=STOP_SECONDS)
        of = f" (epoch {progress.best_epoch})" if progress.best_epoch else ""
        kept = f"The best model{of} is kept" if self.run.has_model else "There is no model yet: it had made no step"
        yield self._done("stopped", f"Stopped by you. {kept}. Resume it to continue.")

    def _gate(self, within: float | None = None) -> Generator[Event, None, None]:
        """Learn from which images the kept model should stay away; a training that has a model does not fail for it."""
        if not (self.world.first and self.run.has_model):
            return
        phase = self.run.status().phase
        self.recorder.update(phase=GATE, eta_seconds=None)
        stopped = None if within is not None else lambda: self.run.requested("stop")
        fitting = fit_gate_of(self.run.path, self.trainer.rows, self.machine.device, within=within, stopped=stopped)
        told = float("-inf")
        while True:
            try:
                done, total = next(fitting)
            except StopIteration as end:
                problem = end.value
                break
            if done == total or time.monotonic() - told >= STEP_SECONDS:
                told = time.monotonic()
                yield self.recorder.event("prepare", done=done, total=total, what=GATE)
        self.recorder.note(phase=phase)
        if problem:
            yield from self._warn([("gate", f"Which images the model should not judge was not learned. {problem}")])

    def _done(self, state: str, reason: str) -> Event:
        progress = self.progress
        if self.world.first:
            self.run.withdraw("stop")
            self.run.withdraw("pause")
        event = self.recorder.event(
            "done",
            state=state,
            reason=reason,
            best_epoch=progress.best_epoch or None,
            threshold=progress.best_threshold if self.run.has_model else None,
            seconds=round(progress.seconds, 1),
        )
        self.recorder.end(state, reason)
        self.world.wait()  # the others' launchers read what has become of the run
        return event

    def _save(self) -> None:
        self.trainer.mean_loss()  # refuses to keep weights that have diverged
        self.progress.sequence = self.recorder.settle()
        if self.world.first:
            save_checkpoint(self.run.path / LAST, self.progress, self.trainer.states())
        self.saved = time.monotonic()
        self.unsaved = False
