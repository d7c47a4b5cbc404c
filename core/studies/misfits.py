"""Runs in a study's folder that are not what their names say: made before the study's configuration was changed by hand, put
there by somebody, or renamed. Their scores would count for settings, or for a fold, that they are not of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd

from core.config import Config
from core.runs.run import Run
from core.studies.design import Job
from core.studies.folds import COLUMN
from core.studies.search_space import SECTIONS
from core.studies.study import Study, job_config

_APART = ("training.device", "model.weights")  # changes no result that can be compared; a run writes down what was found for it
_NAMED = 3  # settings that a sentence names


def misfits(study: Study, runs: Mapping[Job, Run], manifest: pd.DataFrame) -> tuple[str, ...]:
    """A sentence for each of these runs that has other settings than the study gives it, or holds out other images.

    Raises:
        LabError: the study's configuration, or that of a run, is damaged.
    """
    config, found = study.config(), []
    paths = manifest["path"].astype("str")

    @cache
    def held_out(repeat: int, fold: int) -> frozenset[str]:
        return frozenset(paths[manifest[COLUMN.format(repeat + 1)].astype("int64") == fold])

    for job, run in runs.items():
        wrong = _differences(job_config(config, job), run.config())
        rows = run.manifest()
        own = frozenset(rows.loc[rows["split"] == "val", "path"].astype("str"))
        if own != held_out(job.repeat, job.fold):
            wrong.append("it holds out other images than its fold has")
        if wrong:
            more = f", and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
            found.append(
                f"{job.name} is not the run that the study asks for ({', '.join(wrong[:_NAMED])}{more}): config.yaml was "
                f"changed, or the run renamed. Undo that, or delete the run: it is trained again by study run {study.name}."
            )
    return tuple(found)


def _differences(asked: Config, own: Config) -> list[str]:
    """Settings in which they differ, with both values."""
    wanted, trained = (_flat(each.model_dump(mode="json", include=set(SECTIONS))) for each in (asked, own))
    return [
        f"{name} {trained.get(name)} in place of {value}"
        for name, value in wanted.items()
        if name not in _APART and trained.get(name) != value
    ]


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return found
