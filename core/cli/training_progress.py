"""Progress of a training on standard error: a line per epoch, a progress bar in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cli.output import note, open_bar
from core.model.card import StartingWeights
from core.runs.history import metric_of
from core.wording import EPOCHS, number

if TYPE_CHECKING:
    from core.runs import Event, Run, Status
    from core.training.distributed import World


def follow(run: Run, *, resume: bool, queue: bool = True, world: World | None = None) -> Status:
    """Train here until the end; the first Ctrl-C stops in order and keeps the best model.

    Raises:
        LabError: the training failed, or cannot start.
    """
    from core.training.launchers import run_to_end

    printer = ProgressPrinter()
    try:
        return run_to_end(run, resume=resume, on_event=printer.show, queue=queue, world=world)
    finally:
        printer.close_bar()


class ProgressPrinter:
    def __init__(self) -> None:
        self.bar: Any = None
        self.what = ""

    def show(self, event: Event) -> None:
        """One event of the run, as a line or as progress of the bar."""
        if event["type"] == "prepare":
            copies = dict.fromkeys(("hashes", "copies"), "looking for copies")
            names = copies | {
                "lesions": "lesions",
                "patches": "patch phase",
                "features": "backbone features",
                "gate": "input gate",
            }
            what = names.get(event.get("what", ""), "preparing")
            self._advance(what, "step" if event.get("what") == "patches" else "image", event["done"], event["total"])
        elif event["type"] == "step":
            self._advance(f"epoch {event['epoch']}", "step", event["step"], event["steps"])
        else:
            self.close_bar()
            line = _line(event)
            if line:
                note(line)

    def close_bar(self) -> None:
        """Take the bar away; the next progress opens a new one."""
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    def _advance(self, what: str, unit: str, done: int, total: int) -> None:
        if self.bar is None or what != self.what:
            self.close_bar()
            self.bar, self.what = open_bar(what, unit), what
        self.bar.total = total
        self.bar.update(done - self.bar.n)


def _line(event: Event) -> str:
    if event["type"] == "start":
        counts = ", ".join(f"{name} {count}" for name, count in event["images"].items())
        weights = StartingWeights.model_validate(event["weights"]).statement if "weights" in event else ""
        return (
            f"{event['run']}: {event['parameters'] / 1e6:.2f} M parameters on {event['device']} "
            f"({event['precision']}); images: {counts}\n{f'starting weights: {weights}{chr(10)}' if weights else ''}{EPOCHS}"
        )
    if event["type"] == "wait":
        return f"in the queue on {event['device']}, behind {', '.join(event['ahead'])} (Ctrl-C leaves the queue)"
    if event["type"] == "phase":
        epochs = f"epochs {event['first_epoch']}-{event['last_epoch']}"
        return f"phase {event['phase']}: {epochs}, learning rate {event['learning_rate']:.2g}"
    if event["type"] == "patch_epoch":
        right = f"{event['accuracy']:.1%} of {event['patches']:,} training patches right as lesion or tissue"
        return f"patch phase, epoch {event['epoch']}/{event['epochs']}: loss {event['loss']:.3f}, {right}"
    if event["type"] == "epoch":
        best = " (best)" if event["best"] else ""
        return (
            f"epoch {event['epoch']}/{event['epochs']}: loss {event['train_loss']:.3f}, "
            f"validation loss {event['val_loss']:.3f}, validation AUC {number(metric_of(event, 'auc'))}{best}, "
            f"{event['images_per_second']:.1f} images/s"
        )
    if event["type"] == "warning" or event["type"] == "error":
        return f"{event['type']}: {event['message']}"
    if event["type"] == "excluded":
        named = event["path"] in event["reason"]
        return f"left out: {event['reason'] if named else event['path'] + ': ' + event['reason']}"
    return ""
