"""A plan: from the data's fingerprint, the machine and the time there is to a study, each choice with its reason.

After nnU-Net (Isensee et al. 2021): rules that anybody can read, no search. The rules are heuristics: what a plan chooses is a
sound beginning, not what is best; a comparison over folds shows that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.config import Config, ModelConfig
from core.data.splits import assign_splits
from core.errors import BadConfig, MissingWeights, NotEnoughData, TrainingFailed
from core.files.typed import to_plain
from core.studies.design import Design
from core.studies.fingerprint import Fingerprint, Machine, Progress, costs_of, fingerprint, machine_of
from core.training.model_costs import ModelCosts
from core.wording import duration, size

REAL = "tf_efficientnet_lite0"  # for real images, where the configured network starts from nothing: its weights come with us
HEIGHTS = (256, 320, 512, 640, 768)
USUAL = 512
LESION = 16  # pixels that the longer side of a lesion should have
FEWEST_EPOCHS, FINE_EPOCHS, MOST_EPOCHS, FROM_SCRATCH = 3, 8, 15, 30
FOLDS, REPEATS = 5, 3
PER_FOLD = 5  # patients of the rarer class
_FORWARD = 1 / 3  # of a training step: what a forward pass alone costs
_OF_GPU, _OF_MEMORY = 0.8, 0.5  # of the free memory that a training may take
_START = 20.0  # seconds that a run takes beside its epochs: process, leakage search, gate
_STEP, _SMALLEST = 16, 32  # pixels by which the width changes, and that a side has at least


@dataclass(frozen=True)
class Choice:
    """A setting, what the plan gives it, and why."""

    setting: str
    value: Any
    why: str


@dataclass(frozen=True)
class Plan:
    """A study to make: `config` and `design`, why they are so, and the `minutes` that it takes here at most, by estimate."""

    design: Design
    config: Config
    choices: tuple[Choice, ...]
    minutes: float
    budget: float
    data: Fingerprint
    machine: Machine
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "choices": to_plain(self.choices),
            "minutes": self.minutes,
            "budget_minutes": self.budget,
            "notes": list(self.notes),
            "data": to_plain(self.data),
            "machine": to_plain(self.machine),
        }


def plan(config: Config, rows: pd.DataFrame, *, minutes: float, question: str = "", progress: Progress | None = None) -> Plan:
    """Look at the data and the machine, and choose. Takes up to a few minutes; nothing is written but the caches.

    Args:
        rows: of a manifest.
        minutes: for the whole study on this machine, at most.
        progress: called with (images looked at, images to look at).

    Raises:
        BadConfig: `minutes` is not a positive number, or the configured device is not here.
        NotEnoughData: the sample has no readable image, or there are too few patients for two folds.
        LabError: as core.studies.fingerprint.costs_of.
    """
    if not (math.isfinite(minutes) and minutes > 0):
        raise BadConfig(f"expected the minutes that the study may take, a positive number, got {minutes}")
    data_config = config.data
    drawn = assign_splits(rows, data_config.val_fraction, data_config.test_fraction, data_config.split_seed)
    data, machine = fingerprint(drawn, config, progress), machine_of(config)
    return choose(config, data, machine, minutes, question=question, costs=costs_of)


def choose(
    config: Config,
    data: Fingerprint,
    machine: Machine,
    budget: float,
    *,
    costs: Callable[[Config], ModelCosts],
    question: str = "",
) -> Plan:
    """The rules, without looking at files. `costs` says what a training step of a configuration takes.

    Raises: as `plan`.
    """
    folds, why_folds = _folds(data)
    model, pretrained, why_model = _network(config, data)
    config = config.model_copy(update={"model": model})
    wanted, why_size = _sizes(data)
    fitted, measured, why_batch, refused = _largest(config, wanted, machine, costs)
    if refused:
        wanted = wanted[len(refused) :]
        why_size = f"{_cross(refused[0])} would be better ({why_size}), but does not fit into the memory"
    pixels = math.prod(fitted.preprocessing.shape)
    # Smaller images, then fewer folds, until enough epochs fit.
    least = FINE_EPOCHS
    options = [(each, count) for count in dict.fromkeys((folds, min(3, folds), 2)) for each in wanted]

    def seconds(shape: tuple[int, int], count: int, epochs: int, repeats: int = 1) -> float:
        step = measured.seconds / measured.batch_size * math.prod(shape) / pixels
        return _seconds(data, step, count, epochs, repeats, fitted, pretrained=pretrained)

    shape, count = next(
        (option for option in options if seconds(*option, least) <= 60 * budget),
        next((option for option in options if seconds(*option, FEWEST_EPOCHS) <= 60 * budget), options[-1]),
    )
    if shape != wanted[0]:
        why_size = (
            f"smaller than the {_cross(wanted[0])} that the images would deserve ({why_size}): {least} epochs of "
            f"{folds} folds at that size would take {duration(seconds(wanted[0], folds, least))}"
        )
        fitted, measured, why_batch = _batch(_sized(config, shape), machine, costs)  # perhaps a larger batch fits now
        pixels = math.prod(shape)
    if count != folds:
        why_folds = f"fewer than {folds}, for want of time"
    config = fitted
    most = MOST_EPOCHS if pretrained else FROM_SCRATCH
    epochs = next(
        (each for each in range(most, FEWEST_EPOCHS, -1) if seconds(shape, count, each) <= 60 * budget), FEWEST_EPOCHS
    )
    repeats = next((each for each in range(REPEATS, 1, -1) if seconds(shape, count, epochs, each) <= 60 * budget), 1)
    needed = seconds(shape, count, epochs, repeats)
    notes = _notes(config, data, needed, budget)
    training = config.training.model_copy(
        update={"epochs": epochs, "freeze_epochs": min(config.training.freeze_epochs, epochs - 1)}
    )
    config = config.model_copy(update={"training": training})
    choices = (
        Choice("model.name", model.name, why_model),
        Choice("preprocessing.size", list(config.preprocessing.shape), why_size),
        Choice("training.batch_size", training.batch_size, why_batch),
        Choice(
            "training.advanced.accumulation_steps",
            training.advanced.accumulation_steps,
            f"an update sees {training.batch_size * training.advanced.accumulation_steps} images",
        ),
        Choice("training.epochs", epochs, _why_epochs(epochs, most, training.patience, pretrained=pretrained)),
        Choice("folds", count, why_folds),
        Choice(
            "repeats",
            repeats,
            "other folds and seeds show what chance of the training adds, and the time suffices"
            if repeats > 1
            else "the time does not suffice for a second one; `study extend` adds repeats later",
        ),
    )
    design = Design.of({"question": question, "folds": count, "repeats": repeats}, "plan")
    return Plan(design, config, choices, needed / 60, budget, data, machine, tuple(notes))


def _notes(config: Config, data: Fingerprint, needed: float, budget: float) -> list[str]:
    """What is worth knowing beside the choices; `needed` are seconds."""
    notes: list[str] = []
    if needed > 60 * budget:
        notes.append(
            f"{duration(60 * budget)} is too little: the smallest plan takes {duration(needed)} here. Give more minutes, or "
            "use a GPU."
        )
    if data.unreadable:
        notes.append(
            f"{data.unreadable} of {data.sample + data.unreadable} images looked at cannot be read; `data check` lists them."
        )
    if data.both_views >= 0.5 and config.model.views == 1:
        notes.append(f"{data.both_views:.0%} of the breasts have several views: compare model.views=[1,2] in a further study.")
    return notes


def _folds(data: Fingerprint) -> tuple[int, str]:
    rarer = min(data.malignant_patients, data.benign_patients)
    if rarer < 2:
        raise NotEnoughData(
            f"two folds need two patients of each label, got {data.malignant_patients} malignant and {data.benign_patients} "
            "benign"
        )
    folds = max(2, min(FOLDS, rarer // PER_FOLD))
    if folds == FOLDS:
        return folds, f"the usual number: each holds out about {rarer // folds:,} patients of the rarer class"
    if rarer // folds < PER_FOLD:
        return folds, f"as few as possible: there are only {rarer} patients of the rarer class"
    return folds, f"{rarer} patients of the rarer class: more folds would hold out fewer than {PER_FOLD} of them"


def _network(config: Config, data: Fingerprint) -> tuple[ModelConfig, bool, str]:
    """The network, whether it starts from weights, and why it is chosen."""
    from core.model import check_model

    try:
        kind = check_model(config.model).kind
    except MissingWeights as error:
        raise MissingWeights(f"{error} Or set model.weights to auto or none.") from error
    if kind != "none":
        return config.model, True, "the configured one, which starts from pretrained weights"
    if data.synthetic:
        return config.model, False, "the configured one: synthetic images are learnt from scratch within minutes"
    real = ModelConfig(name=REAL, views=config.model.views, fusion=config.model.fusion, dropout=config.model.dropout)
    why = (
        f"{config.model.name} would start from scratch, which needs thousands of patients; the ImageNet weights of this one "
        "come with MammoLab"
    )
    return real, check_model(real).kind != "none", why


def _sizes(data: Fingerprint) -> tuple[list[tuple[int, int]], str]:
    """Input sizes in the order in which they are wanted, and why the first one is."""
    ratio = min(2.2, max(1.0, data.breast_height / max(1, data.breast_width)))
    shapes = {height: (height, max(_STEP, round(height / ratio / _STEP) * _STEP)) for height in HEIGHTS}
    useful = [height for height in HEIGHTS if height <= data.breast_height]
    if not useful:  # smaller than anything that we would choose for want of time
        useful = [max(_SMALLEST, data.breast_height // _STEP * _STEP)]
        shapes[useful[0]] = (useful[0], max(_SMALLEST, round(useful[0] / ratio / _STEP) * _STEP))
    breast = f"the cropped breast has {data.breast_height} × {data.breast_width} pixels (median)"
    best, why = min(USUAL, useful[-1]), breast
    if useful[-1] < USUAL:
        why = f"{breast}: a larger input would show nothing more"
    elif data.lesion is not None:
        enough = [height for height in useful if data.lesion * height / data.breast_height >= LESION]
        best = max(min(USUAL, useful[-1]), enough[0] if enough else useful[-1])
        shown = data.lesion * best / data.breast_height
        why = f"{breast}; of a lesion's {data.lesion:.0f} pixels this size leaves {shown:.0f}"
    elif data.spacing is not None:
        why = f"{breast}; a centimetre has {10 / data.spacing * best / data.breast_height:.0f} at this size"
    smaller = [height for height in reversed(useful) if height < best]
    return [shapes[height] for height in (best, *smaller)], why


def _largest(
    config: Config, wanted: Sequence[tuple[int, int]], machine: Machine, costs: Callable[[Config], ModelCosts]
) -> tuple[Config, ModelCosts, str, list[tuple[int, int]]]:
    """As `_batch`, at the first of the sizes at which a batch fits; also the sizes before it."""
    refused: list[tuple[int, int]] = []
    for shape in wanted:
        try:
            return *_batch(_sized(config, shape), machine, costs), refused
        except TrainingFailed as error:
            refused.append(shape)
            problem = error
    raise problem


def _batch(config: Config, machine: Machine, costs: Callable[[Config], ModelCosts]) -> tuple[Config, ModelCosts, str]:
    """The largest batch that fits, with what a step of it costs."""
    room = machine.memory * (_OF_GPU if machine.gpu else _OF_MEMORY)
    asked, advanced = config.training.batch_size, config.training.advanced
    batch, tried = asked, []
    while batch >= 1:
        steps = -(-asked * advanced.accumulation_steps // batch)  # an update stays as large
        training = config.training.model_copy(
            update={"batch_size": batch, "advanced": advanced.model_copy(update={"accumulation_steps": steps})}
        )
        candidate = config.model_copy(update={"training": training})
        try:
            measured = costs(candidate)
        except TrainingFailed as error:
            tried.append(f"{batch} ({error})")
        else:
            if measured.memory <= room:
                break
            tried.append(f"{batch} ({size(measured.memory)})")
        batch //= 2
    else:
        raise TrainingFailed(
            f"{config.model.name}: no batch fits into {size(int(room))} at {_cross(config.preprocessing.shape)}; tried "
            f"{', '.join(tried)}. Choose a smaller network, or set model.gradient_checkpointing."
        )
    rate = f"{measured.images_per_second:.1f} images a second on {measured.device} in {measured.precision}"
    why = f"a step takes {size(measured.memory)} of the {size(machine.memory)} that are free, {rate}"
    return candidate, measured, why + (f"; larger ones do not fit: {', '.join(tried)}" if tried else "")


def _sized(config: Config, shape: tuple[int, int]) -> Config:
    return config.model_copy(update={"preprocessing": config.preprocessing.model_copy(update={"size": shape})})


def _seconds(
    data: Fingerprint, step: float, folds: int, epochs: int, repeats: int, config: Config, *, pretrained: bool
) -> float:
    """Estimated seconds of the whole study; `step` is that of an image in training. Early stopping can only shorten it."""
    train = data.images * (folds - 1) / folds
    held_out = data.images / folds
    frozen = min(config.training.freeze_epochs, epochs - 1) if pretrained else 0
    copies = min(frozen, 1 + config.training.advanced.cached_augmentations)
    run = (epochs - frozen) * (train + held_out * _FORWARD) * step
    run += _FORWARD * step * (copies * train + held_out + data.images)  # the frozen phase, and the gate
    return folds * repeats * (run + _START) + data.images * data.seconds


def _why_epochs(epochs: int, most: int, patience: int, *, pretrained: bool) -> str:
    start = "a pretrained network" if pretrained else "a network from scratch"
    stop = f"; training stops after {patience} epochs without improvement" if patience else ""
    if epochs == most:
        return f"as many as {start} needs here{stop}"
    return f"as many as fit into the time ({most} would be usual for {start}){stop}"


def _cross(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
