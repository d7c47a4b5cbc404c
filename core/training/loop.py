"""The training loop: a generator of events over one run folder, which launchers only iterate.

    take the run                                      the lock of its folder, in the first process
    set up                                            device, precision, network or checkpoint        -> start | resume
    prepare the images                                unreadable ones are left out                     -> prepare, excluded
    if there is a patch phase:                        tell lesions from tissue on patches              -> patch_epoch
    until all epochs are done, or early stopping triggers:
        if a phase begins:                            freeze or unfreeze layers, new optimizer         -> phase
            if only the head trains:                  compute the backbone's features once             -> prepare
        for each optimizer step of the epoch:                                                          -> step
            from time to time, save a checkpoint
            while a pause is requested, wait; if a stop is requested, end
        validate, save the best model so far                                                           -> epoch, warning
    fit the input gate of the best model              which images it should not judge                 -> prepare
    record how it ended                                                                                -> done | error

Exact repeatability: whatever is random (order, augmentation, dropout) is drawn from (seed, epoch, position), and what
depends on the clock (how often a step is reported or a checkpoint saved) never touches the arithmetic. So a run that was
killed anywhere and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing

import torch
from filelock import FileLock

from core.files.folders import remove_leftovers
from core.runs.events import DoneEvent, Event, PhaseEvent, PrepareEvent, WarningEvent
from core.runs.run import LAST, Run
from core.training import advice
from core.training.best_checkpoint import BestCheckpoint
from core.training.checkpoint import PATCH_STATE, Checkpointer
from core.training.control import ControlRequests
from core.training.cpu.malloc import retain_freed_memory
from core.training.distributed import World
from core.training.early_stopping import EarlyStopping
from core.training.gate_fitting import fit_gate
from core.training.image_preparation import prepare_rows
from core.training.localization import lesion_cells, require_locatable
from core.training.patches.phase import PatchPhase
from core.training.patches.rows import patch_images, require_patches
from core.training.phases import Phase, patch_phase, phase_of
from core.training.run_logger import NullLogger, RunLogger
from core.training.setup import Setup, build_trainer, set_up, start_event
from core.training.step_metrics import epoch_metrics, step_metrics
from core.training.throughput import Throughput
from core.training.timing import LoopTiming, Throttle
from core.training.trainer import Trainer
from core.training.validation import Validation, validate


def train(
    run: Run,
    *,
    resume: bool = False,
    shares_machine: bool = False,
    lock: FileLock | None = None,
    world: World | None = None,
    timing: LoopTiming | None = None,
) -> Iterator[Event]:
    """Train the run in this thread, yielding every event as it is appended to events.jsonl.

    `resume` continues from last.pt. `shares_machine` leaves a processor core to others. `lock` (of `run.acquire()`, released
    at the end) and `world` (of `World.join()`): where the caller has them already. Closing the generator cuts the training
    off (state "stopped"), and a later resume continues from the last checkpoint; `run.request("stop")` ends it in order. A
    request that is there already counts: launchers withdraw what was requested of an earlier trainer.

    Under torchrun every process calls it for the same run; only the first one writes the folder and yields events.

    Raises:
        BadRun: it is being trained elsewhere, or there is nothing to do. The run's state is left alone.
        LabError: the training failed; state, reason, an "error" event and train.log give the reason.
    """
    world = world or World.join()
    with ExitStack() as at_the_end:
        at_the_end.callback(torch.set_num_threads, torch.get_num_threads())
        if lock is not None:
            at_the_end.callback(lock.release)

        def take() -> None:
            if lock is None:
                at_the_end.callback(run.acquire().release)
            run.require_startable(resume=resume)
            remove_leftovers(run.path)

        world.broadcast_object(take)
        logger = at_the_end.enter_context(RunLogger(run) if world.is_rank_zero else NullLogger(run))
        events = _events(logger, world, timing or LoopTiming(), resume=resume, shares_machine=shares_machine)
        try:
            with closing(events):
                for event in events:
                    if logger.writes:
                        yield event
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            logger.cut_off()
            raise
        except Exception as error:  # noqa: BLE001  recorded, then raised again as one of our own
            last, failure = logger.fail(error)
            yield from last
            raise failure from failure.__cause__


def _events(
    logger: RunLogger, world: World, timing: LoopTiming, *, resume: bool, shares_machine: bool
) -> Generator[Event, None, None]:
    """The whole training, from the set-up to its last event."""
    setup = set_up(logger, world, resume=resume, shares_machine=shares_machine)
    yield logger.event(start_event(setup, logger.run, world.size))
    if not setup.resumed:  # what lesions are learnt from is looked at before hours of preparing images
        manifest = logger.run.manifest()
        training = manifest[manifest["split"] == "train"]
        require_patches(setup.config, training)
        require_locatable(setup.config, training)
    rows = yield from prepare_rows(logger, setup.config.preprocessing, world, timing, resumed=setup.resumed)
    lesions, located = None, True
    if rows is not None and setup.config.training.lesions.localization_weight:
        lesions = yield from lesion_cells(logger, rows, world, timing)
        located = lesions is not None
    if rows is None or not located:
        state, reason = "stopped", "Stopped by you, while images were prepared. Resume it to continue."
    else:
        trainer, warnings = build_trainer(setup, rows, world, lesions)
        yield from map(logger.event, warnings)
        with retain_freed_memory(setup.device.device):
            state, reason = yield from _TrainingLoop(setup, trainer, logger, timing).events()
    if logger.writes:
        logger.run.withdraw("stop")
        logger.run.withdraw("pause")
    event = DoneEvent(type="done", state=state, reason=reason, best_epoch=setup.state.best_epoch or None)
    event["threshold"] = setup.state.best_threshold if logger.run.has_model else None
    event["seconds"] = round(setup.state.seconds, 1)
    written = logger.event(event)
    logger.end(state, reason)
    world.barrier()  # the other processes' launchers read what has become of the run
    yield written


class _TrainingLoop:
    """The epochs of one training, and what makes a model of it."""

    def __init__(self, setup: Setup, trainer: Trainer, logger: RunLogger, timing: LoopTiming) -> None:
        self.setup = setup
        self.trainer = trainer
        self.logger = logger
        self.timing = timing
        self.run, self.world, self.config, self.state = logger.run, trainer.world, setup.config, setup.state
        self.throughput = Throughput()
        self.control = ControlRequests(logger, self.world, self.throughput, timing)
        self.checkpointer = Checkpointer(self.run.path / LAST, timing, writes=logger.writes)
        self.best = BestCheckpoint(self.run.path, setup.state, setup.config, trainer.rows, writes=logger.writes)
        self.early_stopping = EarlyStopping(setup.state, setup.config.training)

    def events(self) -> Generator[Event, None, tuple[str, str]]:
        """All epochs that are left, and the input gate; returns how it ended (state, reason)."""
        if (yield from self._patches()) or (yield from self._epochs()):
            return "stopped", (yield from self._keep_model_after_stop())
        yield from fit_gate(self.logger, self.trainer.rows, self.trainer.device.device, self.timing)
        return "done", self.early_stopping.reason

    def _patches(self) -> Generator[Event, None, bool]:
        """The patch phase, where there is one that is not done; True when a stop was requested."""
        setup, trainer = self.setup, self.trainer
        states = setup.states
        if not self.config.training.lesions.patch_epochs or (states is not None and PATCH_STATE not in states):
            return False
        resumed = states is not None
        images = yield from patch_images(self.logger, trainer.rows, self.config, self.timing, self.world, resumed=resumed)
        if images is None:
            return True
        plan = patch_phase(self.config.training, pretrained=self.state.pretrained, stages=len(setup.model.stages()))
        phase = PatchPhase(trainer, images, plan)
        if states is not None:
            phase.restore(states[PATCH_STATE])
            setup.states = None
        if (yield from phase.events(self.logger, self.control, self.checkpointer, self.timing)):
            return True
        trainer.restart_average()
        return False

    # ------------------------------------------------------------------ epochs

    def _epochs(self) -> Generator[Event, None, bool]:
        """All that are left; True when a stop was requested."""
        while not self.state.finished:
            phase = phase_of(self.setup.phases, self.state.epoch)
            new = self.trainer.phase != phase
            if new:
                yield from self._begin_phase(phase)
            epochs = {"epoch": self.state.epoch - 1, "epochs": self.config.training.epochs}
            self.logger.update(phase=phase.name, steps=self.trainer.steps, **epochs)
            if new and (yield from self._store_features()):
                return True
            if (yield from self._optimizer_steps()):
                return True
            yield from self._end_epoch(phase)
        return False

    def _begin_phase(self, phase: Phase) -> Generator[Event, None, None]:
        begins = self.state.step == 0 and self.state.epoch == phase.first_epoch
        self.trainer.begin(phase)
        if self.setup.states is not None:
            self.trainer.restore(self.setup.states, optimizer=not begins)
            self.setup.states = None
        if begins:
            self.state.update = 0
            self.early_stopping.restart()
            self._save_checkpoint()
            event = PhaseEvent(type="phase", phase=phase.name, first_epoch=phase.first_epoch, last_epoch=phase.last_epoch)
            yield self.logger.event(event | {"learning_rate": phase.learning_rate})

    def _store_features(self) -> Generator[Event, None, bool]:
        """Let the head train on stored features, where that is possible; True when a stop was requested meanwhile."""
        report = Throttle(self.timing.between_steps)
        with closing(self.trainer.store_features()) as batches:
            for done, total in batches:
                due, stop = self.world.broadcast(report.due(force=done == total), self.run.requested("stop"))
                if due:
                    yield self.logger.event(PrepareEvent(type="prepare", done=done, total=total, what="features"))
                if stop:
                    return True
        return False

    def _optimizer_steps(self) -> Generator[Event, None, bool]:
        """The rest of the epoch; True when a stop was requested."""
        trainer, state, report = self.trainer, self.state, Throttle(self.timing.between_steps)
        self.throughput.restart()
        if self.control.wait_while_paused():
            return True
        clock = time.monotonic()
        with closing(trainer.optimizer_steps()) as steps:
            for images in steps:
                self.throughput.add(images)
                state.add_training_time(time.monotonic() - clock)
                (due,) = self.world.broadcast(report.due(force=state.step >= trainer.steps))
                if due:
                    event = step_metrics(trainer, self.throughput)
                    self.logger.note(step=state.step, eta_seconds=event.get("eta_seconds"))
                    yield self.logger.event(event)
                (due,) = self.world.broadcast(self.checkpointer.due() or self.control.pending)
                if due:
                    self._save_checkpoint()
                    if self.control.wait_while_paused():
                        return True
                # What a save, a pause or the reader of the events took is no training time.
                clock = time.monotonic()
        return False

    def _end_epoch(self, phase: Phase) -> Generator[Event, None, None]:
        trainer, state, training = self.trainer, self.state, self.config.training
        began = time.monotonic()
        result = self._validate()
        self.early_stopping.update(self.best.improvement(result) > 0)
        is_best = self.best.update(trainer.best_weights, result)
        state.add_validation_time(time.monotonic() - began)
        train_loss = trainer.loss.mean()
        event = epoch_metrics(trainer, self.throughput, result, train_loss, best=is_best)
        reported = [self.logger.event(event)]
        state.train_losses.append(train_loss)
        state.val_losses.append(result.metrics["loss"])
        warnings = [*advice.about_losses(state, phase), *advice.about_waiting(state, trainer.device.num_workers)]
        reported += map(self.logger.event, warnings)
        state.finished = self.early_stopping.triggered(phase) or state.epoch == training.epochs
        phase_ends = state.finished or state.epoch == phase.last_epoch
        trainer.next_epoch()
        self.checkpointer.unsaved_epochs = True
        if trainer.features is None or phase_ends or self.checkpointer.due_after_light_epoch():
            self._save_checkpoint()
        best_so_far = {"best_epoch": state.best_epoch, "best_value": state.best_value}
        self.logger.update(epoch=state.epoch - 1, step=0, eta_seconds=event.get("eta_seconds"), **best_so_far)
        yield from reported

    def _validate(self) -> Validation:
        trainer = self.trainer
        trainer.sync_buffers()
        device = trainer.device.device
        return validate(trainer.best_weights, trainer.rows, self.config, device, world=self.world, features=trainer.features)

    def _save_checkpoint(self) -> None:
        self.trainer.loss.mean()  # raises where the weights have diverged: such are not saved
        self.state.sequence = self.logger.settle()
        self.checkpointer.save(self.state, self.trainer.state_dicts())

    def _keep_model_after_stop(self) -> Generator[Event, None, str]:
        """Make sure that there are a checkpoint and a model to use; returns the reason to record."""
        state, trainer = self.state, self.trainer
        if self.checkpointer.unsaved_epochs:
            self._save_checkpoint()
        if not state.best_epoch and state.global_step:
            self.best.save(trainer.best_weights, self._validate(), 0)
            message = f"Stopped in the first epoch, after {state.step} of {trainer.steps} steps: the model hardly learnt."
            yield self.logger.event(WarningEvent(type="warning", message=message))
        yield from fit_gate(self.logger, trainer.rows, trainer.device.device, self.timing, after_stop=True)
        epoch = f" (epoch {state.best_epoch})" if state.best_epoch else ""
        none = "it was in the patch phase" if state.patch_step and not state.global_step else "it had made no step"
        model = f"The best model{epoch} is kept" if self.run.has_model else f"There is no model yet: {none}"
        return f"Stopped by you. {model}. Resume it to continue."
