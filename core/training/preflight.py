"""Preflight check of a configuration: what would go wrong, what the training would work on. Nothing is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import Config
from core.errors import LabError
from core.wording import counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Preflight:
    """`problems` forbid the start; `warnings` and `notes` are worth knowing.

    `counts` is {split: (images, malignant, patients)}, `breasts` how many breasts the training images make where these are
    what is learnt from (None: images are), `steps` are batches an epoch; `device` is what it will train on ("cpu",
    "cuda:0"), "" where that cannot be had.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    counts: dict[str, tuple[int, int, int]]
    steps: int
    device: str = ""
    warnings: tuple[str, ...] = ()
    breasts: int | None = None

    @property
    def ready(self) -> bool:
        return not self.problems


def preflight(config: Config, frame: pd.DataFrame) -> Preflight:
    """Try everything that `Run.create` refuses for, and what a training with lesions does: it is shown before the start."""
    from core.data import assign_splits, require_trainable
    from core.data.breasts import breast_notes, breasts_of, require_breasts
    from core.data.identity import nobody_known
    from core.data.manifest import is_synthetic
    from core.data.splits import leaking_patients, patients_written_apart
    from core.model import check_model
    from core.model.device import pick_device_config
    from core.training.advice import about_classes
    from core.training.localization import require_locatable
    from core.training.patches.rows import require_patches

    problems: list[str] = []
    notes: list[str] = []

    def attempt(check: Callable[[], Any]) -> Any:
        try:
            return check()
        except LabError as error:
            problems.append(str(error))
            return None

    data, breasts = config.data, None
    rows = attempt(lambda: assign_splits(frame, data.val_fraction, data.test_fraction, data.split_seed))
    if rows is not None:
        attempt(lambda: require_trainable(rows, allow_leakage=data.allow_leakage))
        notes.extend(_sentence(note) for note in rows.attrs.get("notes", []))
        train = rows[rows["split"] == "train"]
        attempt(lambda: require_patches(config, train))
        attempt(lambda: require_locatable(config, train))
        notes.extend(warning["message"] for warning in about_classes(train, config.training, config.model.views))
        if config.model.views == 2:
            attempt(lambda: require_breasts(rows, config))
            notes.extend(_sentence(note) for note in breast_notes(train))
            breasts = len(breasts_of(train))
    device = attempt(lambda: pick_device_config(config.training))
    source = attempt(lambda: check_model(config.model))
    if source is not None:
        notes.extend([source.words, *_suggestion(source.kind, real=not is_synthetic(frame))])
    if rows is not None:
        missing = [path for path in rows["path"].iloc[:: max(1, len(rows) // 50)] if not Path(path).is_file()]
        if missing:
            problems.append(f"Image files are missing, for example {missing[0]}. Import the data set again, or check the path.")
    counts = {} if rows is None else _counts(rows)
    images = counts.get("train", (0, 0, 0))[0]
    steps = math.ceil((images if breasts is None else breasts) / config.training.batch_size)
    unknown = nobody_known(frame)
    warnings: tuple[str, ...] = (_sentence(unknown),) if unknown else ()
    if rows is not None and data.allow_leakage and (leaking := len(leaking_patients(rows)) + len(patients_written_apart(rows))):
        who = counted(leaking, "patient stands", "patients stand")
        warnings += (f"{who} in several splits, and leakage is allowed: every metric of this run will carry that mark.",)
    return Preflight(tuple(problems), tuple(notes), counts, steps, str(device.device) if device else "", warnings, breasts)


def _counts(rows: pd.DataFrame) -> dict[str, tuple[int, int, int]]:
    return {
        split: (len(part), int((part["label"] == "malignant").sum()), int(part["patient_id"].nunique()))
        for split in ("train", "val", "test")
        if len(part := rows[rows["split"] == split])
    }


def _suggestion(kind: str, *, real: bool) -> list[str]:
    """For real images, where training would start from scratch."""
    if kind != "none" or not real:
        return []
    return [
        "From scratch a network needs thousands of images. For real mammograms begin with ImageNet weights: model.name "
        "tf_efficientnet_lite0 and model.weights auto, which come with MammoLab."
    ]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
