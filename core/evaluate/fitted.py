"""The validation scores that a model's thresholds and calibration were fitted on: those of training, refused images too.

Training scores every validation image that can be read. An evaluation of validation leaves out the images that get no verdict
(core.gate), and writes predictions/val.csv again. So it keeps the scores of training beside it, under the weights' name, and
whoever compares with what is frozen, or chooses again, takes the same images.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from core.errors import BadRun
from core.evaluate.store import LARGEST_TABLE, read_predictions
from core.files.atomic import write_text
from core.files.untrusted import read_bytes
from core.runs.test_set.provenance import read_entries

if TYPE_CHECKING:
    from core.model.card import ModelCard
    from core.runs import Run


def keep_fitted(run: Run, card: ModelCard) -> None:
    """Copy training's predictions/val.csv before an evaluation writes it again.

    Not where an evaluation did so already, or where the file is damaged.

    Raises:
        BadRun: evaluation.json is damaged.
    """
    source, target = run.path / "predictions" / "val.csv", _path(run, card)
    evaluated = (read_entries(run.path).get("val") or {}).get("weights_sha256")
    if target is None or target.is_file() or not source.is_file() or evaluated == card.weights_sha256:
        return
    with suppress(BadRun):
        read_predictions(run, "val")
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    for earlier in target.parent.glob("fitted-*.csv"):  # of weights that are gone
        earlier.unlink()
    write_text(target, read_bytes(source, LARGEST_TABLE).decode("utf-8"))


def fitted_predictions(run: Run, card: ModelCard | None = None) -> pd.DataFrame:
    """The scores that thresholds and calibration were fitted on, as `read_predictions` gives them.

    Those of predictions/val.csv where no evaluation replaced them, or one of an earlier version did.

    Raises:
        BadRun: as `read_predictions`.
    """
    saved = saved_predictions(run, run.model_card() if card is None else card)
    return read_predictions(run, "val") if saved is None else saved


def saved_predictions(run: Run, card: ModelCard) -> pd.DataFrame | None:
    """What `keep_fitted` stored for these weights; None where it did not, or it cannot be read."""
    path = _path(run, card)
    if path is None or not path.is_file():
        return None
    with suppress(BadRun):
        return read_predictions(run, path.stem)
    return None


def fitted_words(run: Run, evaluated: int, units: str = "images") -> str:
    """On how many images (or `units`) the model was fitted, where an evaluation of validation scored `evaluated` of them only;
    else ""."""
    saved = saved_predictions(run, run.model_card())
    count = 0 if saved is None else len(saved)
    if count <= evaluated:
        return ""
    gone = count - evaluated
    return (
        f"Thresholds and calibration were fitted on {count:,} validation {units}. Of these {gone:,} "
        f"{'gets' if gone == 1 else 'get'} no verdict in use, and {'is' if gone == 1 else 'are'} in no metric of validation."
    )


def _path(run: Run, card: ModelCard) -> Path | None:
    weights = str(card.weights_sha256 or "")
    return run.path / "predictions" / f"fitted-{weights[:12]}.csv" if weights.isalnum() else None
