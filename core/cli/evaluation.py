"""The command that evaluates a run, and what it prints about the test set."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from core.cli import external
from core.cli.evaluation_text import model_warnings, show
from core.cli.output import asked, note, print_json, printable, progress_bar
from core.cli.workspace import open_run
from core.errors import BadConfig, LabError
from core.runs.test_set.accesses import counts_in_words
from core.runs.test_set.external import is_external, short_name
from core.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from core.config.schema import EvaluationConfig
    from core.runs import Run
    from core.runs.test_set.models import TestSetUse

Read = TypeVar("Read")
# The settings that may change from one evaluation to the next; all others of the section are frozen with the model.
SETTABLE = ("bootstrap_samples", "confidence", "numeric_columns", "category_columns")


def evaluate(arguments: argparse.Namespace) -> int:
    """Metrics with intervals for one split of a run."""
    from core.evaluate import evaluate as evaluate_run
    from core.evaluate import remake
    from core.evaluate.evaluation import require_own_test_set
    from core.evaluate.headline import headline_aucs

    run = open_run(arguments.run)
    settings = _settings(run, arguments.set)
    if arguments.manifest is not None:
        found = external.evaluate_on(run, arguments, settings)
        if found is None:
            return 1
        evaluation = found
    elif arguments.remake:
        evaluation = remake(run, arguments.split, settings=settings)
    else:
        _require_manifest(arguments.split)
        if arguments.split == "test":
            require_own_test_set(run)
            note(access_words(run))
            if not (arguments.yes or confirmed(run)):
                note("the test set was not accessed")
                return 1
        with progress_bar(f"scoring {arguments.split}") as progress:
            evaluation = evaluate_run(run, arguments.split, progress=progress, settings=settings)
    counts = test_accesses(run) if evaluation.split == "test" else None
    use = _use(run) if evaluation.split == "test" else None
    if arguments.json:
        models = {} if use is None else {"test_set_models": use if isinstance(use, str) else use.as_dict()}
        units = {"headline_auc": {level: each.as_dict() for level, each in headline_aucs(evaluation).items()}}
        print_json(
            evaluation.to_dict()
            | units
            | {"warnings": model_warnings(evaluation)}
            | ({} if counts is None else {"test_accesses": counts})
            | models
            | external.source_json(run, evaluation)
        )
    else:
        show(evaluation, full=arguments.full)
        external.show_source(run, evaluation)
        if isinstance(counts, dict):
            print(f"test set, in all: {counts_in_words(counts)}")
        for line in _seen_lines(use, evaluation.predictions):
            print(printable(line))
    if isinstance(counts, str):
        note(f"warning: {counts}")
    if arguments.report:
        from core.report import report

        note(f"written: {report(run).as_posix()}")
    return 0


def confirmed(run: Run) -> bool:
    """Whether the person at the terminal wants the first access to the test set; a script is not asked."""
    return bool(_evaluations(run)) or asked()


def _require_manifest(split: str) -> None:
    """Raises BadConfig for an external test set: its images are named by a manifest, never by what a run's folder says."""
    if is_external(split):
        raise BadConfig(
            f"--split {split}: to score an external test set, name its manifest: --manifest M.csv --name {short_name(split)}. "
            "With --remake its stored predictions are used"
        )


def access_words(run: Run) -> str:
    """What the coming access to the test set means; for standard error."""
    before, use = _evaluations(run), _use(run)
    seen = "" if isinstance(use, str) or not use.before else f". {_seen_lines(use, run.manifest())[0].rstrip('.')}"
    often = "for the first time" if not before else f"after {counted(before, 'evaluation')} on it"
    return (
        f"note: this accesses the test set of {run.name} {often}: recorded, and in the report. Its metrics are valid only if "
        f"nothing is chosen after seeing them{seen}"
    )


def _evaluations(run: Run) -> int:
    """How often the run was evaluated on its test set; 0 where the record is damaged, which the evaluation itself reports."""
    from core.runs.test_set.provenance import evaluation_count

    found = _or_words(evaluation_count, run)
    return 0 if isinstance(found, str) else found


def _or_words(read: Callable[[Path], Read], run: Run) -> Read | str:
    """What `read` gives of the run's folder; in words what is wrong with a record."""
    try:
        return read(run.path)
    except LabError as error:
        return str(error)


def _use(run: Run) -> TestSetUse | str:
    """Which models were scored on the run's test set; in words what is wrong with a record."""
    from core.runs.test_set.models import test_set_use

    return _or_words(test_set_use, run)


def _seen_lines(use: TestSetUse | str | None, rows: pd.DataFrame) -> list[str]:
    """What to print of it; `rows` are the scored images or the manifest's."""
    from core.data.identity import patients_known
    from core.runs.test_set.models import seen_words

    if use is None or isinstance(use, str):  # what is wrong is a warning on standard error
        return []
    return seen_words(use, patients_known(rows))


def test_accesses(run: Run) -> dict[str, int] | str:
    """How often each kind of access to the run's test set was made; in words what is wrong with the record."""
    from core.runs.test_set.accesses import access_counts

    return _or_words(access_counts, run)


def _settings(run: Run, overrides: list[str]) -> EvaluationConfig:
    """The run's evaluation settings with `evaluation.field=value` applied. Raises BadConfig for what is frozen."""
    from core.config import load_config

    for override in overrides:
        section, _, field = override.partition("=")[0].strip().partition(".")
        if section != "evaluation" or field not in SETTABLE:
            raise BadConfig(
                f"--set {override}: an evaluation can change evaluation.{', evaluation.'.join(SETTABLE)}; everything else "
                "is frozen with the model. `python -m core threshold` chooses threshold and calibration again"
            )
    return load_config(run.path / "config.yaml", overrides).evaluation
