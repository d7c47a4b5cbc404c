"""Another collection as an external test set: what a run has frozen, applied to images of another source.

Nothing is chosen on it: model, thresholds (also by view) and calibrations are those of model.json. Rows of patients or files
that the run was trained, tuned or is tested on, and copies of their pictures, are left out and counted; rows without a label
are scored, and are in no metric.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from core.config.schema import EvaluationConfig
from core.evaluate.evaluation import How, evaluate_rows, require_ended
from core.evaluate.external_set import ExternalSet
from core.evaluate.opened_set import OpenedSet, open_external
from core.evaluate.result import Evaluation
from core.evaluate.scoring import Progress
from core.runs.folder import Presence, require_regular
from core.runs.test_set.accesses import external_accesses
from core.runs.test_set.external import external_name, named, short_name
from core.runs.test_set.identity import test_set_of_rows
from core.runs.test_set.models import TestSetUse, external_use
from core.runs.test_set.provenance import read_entries
from core.wording import counted

if TYPE_CHECKING:
    from core.data.cache import PreparedCache
    from core.predict import Predictor
    from core.runs import Run
    from core.runs.test_set.accesses import Access


def evaluate_external(
    run: Run,
    manifest: Path | str,
    name: str = "",
    *,
    replaces: bool = False,
    progress: Progress | None = None,
    predictor: Predictor | None = None,
    cache: PreparedCache | None = None,
    settings: EvaluationConfig | None = None,
    where: str = "evaluate",
) -> Evaluation:
    """Score every row of another manifest with the run's frozen model; stored as predictions/external-<name>.csv and in
    evaluation.json. What cannot be read or gets no verdict is listed as in `evaluate`. Counted and recorded like a test set.

    Args:
        name: of the set; by default the manifest's (or its folder's).
        replaces: whether another set that has this name may be replaced.
        progress, predictor, cache, settings, where: as in `evaluate`.

    Raises:
        BadManifest: the manifest or the name cannot be used, or the name is another set's.
        NotEnoughData: no row has a label, can be read and is of other patients and pictures than the run's.
        BadRun, NotRecorded: as in `evaluate` of the test set.
    """
    require_regular(run.path)
    presence = Presence(run.path)
    require_ended(run)
    split = named(name) if name else external_name(Path(manifest))
    opened, rows = open_external(run, manifest, replaces=replaces)
    before = read_entries(run.path).get(split) or {}
    if not opened.is_stored(before):
        opened.replacing(split, before)
    opened, rows = opened.without_copies(rows, progress)
    how = How(progress, predictor, cache, settings, where)
    return evaluate_rows(run, split, rows.assign(split=split), presence, how, opened)


def use_of(run: Run, evaluation: Evaluation) -> TestSetUse:
    """Which models were scored on the images of an external test set. Raises BadRun: a record is damaged."""
    about = _about(evaluation)
    return external_use(run.path, test_set_of_rows(evaluation.split, evaluation.predictions), evaluation.split, about.content)


def accesses_of(run: Run, evaluation: Evaluation) -> tuple[Access, ...]:
    """All accesses to the images of an external test set on record, by time. Raises BadRun: a record is damaged."""
    about, own = _about(evaluation), test_set_of_rows(evaluation.split, evaluation.predictions)
    return external_accesses(run.path, own, evaluation.split, about.content)


def use_before(run: Run, opened: OpenedSet, rows: pd.DataFrame, split: str) -> TestSetUse:
    """As `use_of`, for a set that is not evaluated yet."""
    return external_use(run.path, test_set_of_rows(split, rows), split, opened.about.content)


def title_of(evaluation: Evaluation) -> str:
    """What the set is called, of which collections it is where there are several, and how much of it counts: "inbreast (410
    images of 115 patients)", "both (inbreast and cmmd: 800 images of 300 patients)"."""
    about = _about(evaluation)
    whose = f" of {counted(evaluation.patients, 'patient')}" if about.patients is not None else ", patients unknown"
    several = f"{about.collection_words}: " if about.collection_words else ""
    return f"{short_name(evaluation.split)} ({several}{counted(evaluation.images, 'image')}{whose})"


def _about(evaluation: Evaluation) -> ExternalSet:
    if evaluation.external is None:
        raise ValueError(f"expected an external test set, got {evaluation.split}")
    return evaluation.external
