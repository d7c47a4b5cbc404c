"""The training loop: a generator of events over one run folder. Launchers only iterate it.

    prepare images -> phase: epoch: windows of batches -> validation -> best model kept -> ... -> done

Exact repeatability: whatever is random (order, augmentation, dropout) is drawn from (seed, epoch, position), and what
depends on the clock (how often a step is told or a checkpoint written) never touches the arithmetic. So a run that was
killed anywhere and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import torch
from filelock import FileLock

from core.config import Config
from core.model import Classifier, build_model
from core.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from core.training.events import Event
from core.training.files import remove_leftovers
from core.training.machine import Machine, pick_machine, thread_count
from core.training.pace import Pace, seconds_left
from core.training.phases import Phase, phase_of, plan_phases
from core.training.preparation import prepare_rows
from core.training.recorder import Recorder
from core.training.run import LAST, Run
from core.training.trainer import Trainer
from core.training.validation import Validation, keep, validate

STEP_SECONDS = 0.25  # at most so often a step is told
CHECKPOINT_SECONDS = 30.0  # a kill costs at most about this much work
_PAUSE_POLL = 0.2

# Random starting weights come from torch's one generator for the whole process.
_BUILDING = threading.Lock()


def train(run: Run, *, resume: bool = False, shares_machine: bool = False, lock: FileLock | None = None) -> Iterator[Event]:
    """Train the run in this thread, yielding every event as it is appended to events.jsonl.

    `resume` goes on from last.pt. `shares_machine` leaves a processor core to others. `lock`: from `run.acquire()`, when
    the caller has it already; it is released at the end. Closing the generator cuts the training off (state "stopped"),
    which a later resume makes good; `run.request("stop")` ends it in order.

    Raises:
        BadRun: it is being trained elsewhere, or there is nothing to do. The run's state is left alone.
        LabError: the training failed; state, reason, an "error" event and train.log say why.
    """
    lock = lock or run.acquire()
    threads = torch.get_num_threads()
    try:
        run.require_startable(resume=resume)
        remove_leftovers(run.path)
        with Recorder(run) as recorder:
            try:
                yield from _Training(run, recorder, resume=resume, shares_machine=shares_machine).events()
            except (GeneratorExit, KeyboardInterrupt, SystemExit):
                recorder.cut_off()
                raise
            except Exception as error:  # noqa: BLE001  recorded, then raised again as one of our own
                events, failure = recorder.fail(error)
                yield from events
                raise failure from failure.__cause__
    finally:
        torch.set_num_threads(threads)
        lock.release()


class _Training:
    """One call of `train`: what it needs at hand."""

    progress: Progress
    states: dict[str, Any] | None  # of the checkpoint, until they are taken over
    config: Config
    machine: Machine
    threads: int
    phases: tuple[Phase, ...]
    trainer: Trainer

    def __init__(self, run: Run, recorder: Recorder, *, resume: bool, shares_machine: bool) -> None:
        self.run = run
        self.recorder = recorder
        self.resume = resume
        self.shares_machine = shares_machine
        self.pace = Pace()

    def events(self) -> Generator[Event, None, None]:
        run, recorder = self.run, self.recorder
        if self.resume:  # what was asked of the trainer that died
            run.withdraw("stop")
            run.withdraw("pause")
        recorder.begin()
        config = run.config()
        self.progress, self.states = (self.resume and load_checkpoint(run.path / LAST)) or (Progress(), None)
        again = self.states is not None
        recorder.events.truncate_after(self.progress.sequence)
        self.config, self.machine = config, pick_machine(config.training)
        self.threads = thread_count(config.training, shares_machine=self.shares_machine)
        torch.set_num_threads(self.threads)
        if self.machine.device.type == "cuda":
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        model = self._model()
        self.phases = plan_phases(config.training, pretrained=self.progress.pretrained)
        yield self._opening(model, again=again)
        rows = yield from prepare_rows(recorder, config.preprocessing, again=again)
        if rows is None:
            yield self._done("stopped", "Stopped as asked, while images were prepared. Resume goes on from here.")
            return
        self.trainer = Trainer(model, rows, config, self.machine, self.progress)
        yield from self._epochs()

    # ------------------------------------------------------------------ opening

    def _model(self) -> Classifier:
        config = self.config
        if self.states is None:
            with _BUILDING:
                torch.manual_seed(config.training.seed)
                model = build_model(config.model)
            self.progress.pretrained = model.pretrained
        else:
            model = build_model(config.model.model_copy(update={"weights": "none"}))
            model.pretrained = self.progress.pretrained
            model.load_state_dict(self.states["model"])
        height, width = config.preprocessing.shape
        model.check_input(height, width)
        return model.to(self.machine.device).to(memory_format=torch.channels_last)

    def _opening(self, model: Classifier, *, again: bool) -> Event:
        self.recorder.status.update(device=self.machine.name, started=self.run.status().started or time.time())
        found = {"device": self.machine.name, "precision": self.machine.precision, "threads": self.threads}
        if again:
            return self.recorder.event("resume", epoch=self.progress.epoch, step=self.progress.step, **found)
        counts = self.run.manifest()["split"].value_counts()
        images = {split: int(counts.get(split, 0)) for split in ("train", "val", "test")}
        return self.recorder.event("start", run=self.run.name, parameters=model.parameter_count, images=images, **found)

    # ------------------------------------------------------------------ epochs

    def _epochs(self) -> Generator[Event, None, None]:
        trainer, progress, epochs = self.trainer, self.progress, self.config.training.epochs
        while not progress.finished:
            phase = phase_of(self.phases, progress.epoch)
            begins = progress.step == 0 and progress.epoch == phase.first_epoch
            if trainer.phase != phase:
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
            self.recorder.status.update(phase=phase.name, epoch=progress.epoch - 1, epochs=epochs, steps=trainer.steps)
            stopped = yield from self._steps()
            if stopped:
                yield from self._stop()
                return
            yield from self._end_epoch(phase)
        reason = ""
        if progress.epoch <= epochs:
            reason = (
                f"Stopped early: {self.config.training.monitor} has not improved for {self.config.training.patience} epochs."
            )
        yield self._done("done", reason)

    def _steps(self) -> Generator[Event, None, bool]:
        """The rest of the epoch; True when a stop was asked for."""
        trainer, progress, run = self.trainer, self.progress, self.run
        self.pace.restart()
        clock = told = saved = time.monotonic()
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
                last = progress.step >= trainer.steps
                if last or now - told >= STEP_SECONDS:
                    told = now
                    yield self._step_event()
                if now - saved >= CHECKPOINT_SECONDS or run.requested("stop") or run.requested("pause"):
                    self._save()
                    if self._asked():
                        return True
                    saved = time.monotonic()
                # What a save, a pause or the reader of the events took is no training time.
                clock = time.monotonic()
        finally:
            windows.close()  # type: ignore[attr-defined]
        return False

    def _asked(self) -> bool:
        """Wait while a pause is asked for; then, whether a stop is."""
        if self.run.requested("pause") and not self.run.requested("stop"):
            self.recorder.status.update(state="paused", eta_seconds=None)
            self.recorder.log.info("paused")
            while self.run.requested("pause") and not self.run.requested("stop"):
                time.sleep(_PAUSE_POLL)
            self.recorder.log.info("going on")
            self.recorder.status.update(state="running")
            self.pace.restart()
        return self.run.requested("stop")

    def _step_event(self) -> Event:
        trainer, progress = self.trainer, self.progress
        loss = trainer.mean_loss()
        left = self._seconds_left()
        self.recorder.status.note(step=progress.step, eta_seconds=left)
        return self.recorder.event(
            "step",
            epoch=progress.epoch,
            step=progress.step,
            steps=trainer.steps,
            global_step=progress.global_step,
            loss=trainer.window_loss,
            epoch_loss=loss,
            learning_rate=trainer.learning_rate,
            images_per_second=round(self.pace.images_per_second, 2),
            eta_seconds=left,
        )

    def _seconds_left(self) -> float | None:
        trainer, progress, epochs = self.trainer, self.progress, self.config.training.epochs
        assert trainer.phase is not None
        count = len(trainer.rows.train)
        this_epoch = max(0, count - progress.loss_count)
        same = trainer.phase.last_epoch - progress.epoch
        other = epochs - trainer.phase.last_epoch
        left = seconds_left(
            self.pace.images_per_second,
            images=this_epoch + same * count,
            later_unfrozen_images=other * count,
            validations=epochs - progress.epoch + 1,
            validation_seconds=progress.validation_seconds,
        )
        return None if left is None else round(left, 1)

    # ------------------------------------------------------------------ ends

    def _end_epoch(self, phase: Phase) -> Generator[Event, None, None]:
        trainer, progress, training = self.trainer, self.progress, self.config.training
        train_loss = trainer.mean_loss()
        began = time.monotonic()
        result = validate(trainer.model, trainer.rows, self.config, self.machine.device, balanced=training.imbalance != "none")
        best = self._compare(result)
        if best:
            keep(self.run.path, trainer.model, self.config, trainer.rows, result, progress.epoch)
        progress.validation_seconds = time.monotonic() - began
        progress.seconds += progress.validation_seconds
        images_per_second = progress.loss_count / progress.epoch_seconds if progress.epoch_seconds else 0.0
        left = self._seconds_left()
        event = self.recorder.event(
            "epoch",
            epoch=progress.epoch,
            epochs=training.epochs,
            phase=phase.name,
            train_loss=train_loss,
            val_loss=result.figures["loss"],
            val=result.figures,
            best=best,
            best_epoch=progress.best_epoch,
            seconds=round(progress.epoch_seconds + progress.validation_seconds, 2),
            images_per_second=round(images_per_second, 2),
            eta_seconds=left,
        )
        # Head training that no longer helps is no reason to leave out the fine-tuning that follows.
        early = 0 < training.patience <= progress.stale and phase.last_epoch == training.epochs
        progress.finished = early or progress.epoch == training.epochs
        trainer.next_epoch()
        self._save()
        self.recorder.status.update(
            epoch=progress.epoch - 1, step=0, eta_seconds=left, best_epoch=progress.best_epoch, best_value=progress.best_value
        )
        yield event

    def _compare(self, result: Validation) -> bool:
        """Whether this epoch is the best so far; of equal ones (AUC has few values on a small set) that of lower loss."""
        progress, monitor = self.progress, self.config.training.monitor
        value, loss = result.figures[monitor], result.figures["loss"]
        gain = progress.best_value - value if monitor == "loss" else value - progress.best_value
        improved = not progress.best_epoch or gain > 0
        progress.stale = 0 if improved else progress.stale + 1
        if not improved and not (gain == 0 and loss < progress.best_loss):
            return False
        progress.best_epoch, progress.best_value, progress.best_loss = progress.epoch, value, loss
        progress.best_threshold = result.threshold
        return True

    def _stop(self) -> Generator[Event, None, None]:
        """The checkpoint is saved; make sure that there is a model to use."""
        progress, trainer = self.progress, self.trainer
        if not progress.best_epoch and progress.global_step:
            result = validate(
                trainer.model,
                trainer.rows,
                self.config,
                self.machine.device,
                balanced=self.config.training.imbalance != "none",
            )
            keep(self.run.path, trainer.model, self.config, trainer.rows, result, 0)
            progress.best_threshold = result.threshold
            message = f"Stopped in the first epoch, after {progress.step} of {trainer.steps} steps: the model hardly learnt."
            yield self.recorder.event("warning", message=message)
        yield self._done("stopped", "Stopped as asked; the best model so far is kept. Resume goes on from here.")

    def _done(self, state: str, reason: str) -> Event:
        self.run.withdraw("stop")
        self.run.withdraw("pause")
        progress = self.progress
        event = self.recorder.event(
            "done",
            state=state,
            reason=reason,
            best_epoch=progress.best_epoch or None,
            threshold=progress.best_threshold if self.run.has_model else None,
            seconds=round(progress.seconds, 1),
        )
        self.recorder.end(state, reason)
        return event

    def _save(self) -> None:
        self.trainer.mean_loss()  # refuses to keep weights that have diverged
        self.recorder.events.sync()
        self.progress.sequence = self.recorder.events.sequence
        save_checkpoint(self.run.path / LAST, self.progress, self.trainer.states())
