"""`evaluate --manifest`: a run's frozen model on another collection, and what the command line says of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.output import asked, note, print_table, printable, progress_bar
from core.errors import LabError
from core.files.typed import to_plain
from core.wording import counted, times

if TYPE_CHECKING:
    from core.config.schema import EvaluationConfig
    from core.evaluate import Evaluation
    from core.runs import Run
    from core.runs.test_set.models import TestSetUse


def evaluate_on(run: Run, arguments: argparse.Namespace, settings: EvaluationConfig) -> Evaluation | None:
    """Score the collection that `--manifest` names; None where the person at the terminal does not want it after all."""
    from core.evaluate import evaluate_external
    from core.evaluate.opened_set import open_external
    from core.runs.test_set.external import external_name, named

    path = arguments.manifest
    split = named(arguments.name) if arguments.name else external_name(Path(path))
    opened, rows = open_external(run, path, replaces=arguments.replace)
    note(printable(_access_words(run, split, opened, rows)))
    if not (arguments.yes or _evaluations(run, split) or asked()):
        note("the external test set was not accessed")
        return None
    with progress_bar(f"scoring {split}") as progress:
        return evaluate_external(run, path, split, replaces=arguments.replace, progress=progress, settings=settings)


def _access_words(run: Run, split: str, opened: Any, rows: Any) -> str:
    """What the coming access means, and what is left out; for standard error."""
    from core.evaluate.external import use_before
    from core.evaluate.opened_set import COPIES_LATER
    from core.runs.test_set.external import short_name
    from core.runs.test_set.models import seen_words

    about = opened.about
    left = f"; {counted(len(opened.overlap), 'image')} of the run's own patients or files left out" if opened.overlap else ""
    try:
        use = use_before(run, opened, rows, split)
        seen = f". {seen_words(use, about.patients is not None)[0].rstrip('.')}" if use.before else ""
    except LabError:  # a damaged record is said by the evaluation itself
        seen = ""
    return (
        f"note: this scores {run.name} on the external test set {short_name(split)} ({about.size_words}{left}): recorded, and "
        f"in the report; {COPIES_LATER}. Nothing may be chosen after seeing it{seen}"
    )


def _evaluations(run: Run, split: str) -> int:
    from core.runs.test_set.provenance import read_entries

    return int((read_entries(run.path).get(split) or {}).get("opened", 0))


def show_source(run: Run, evaluation: Evaluation) -> None:
    """What the set is, who saw it, and how the run's own test set compares with it; nothing for a split of the run."""
    about = evaluation.external
    if about is None:
        return
    print(printable(f"external: {about.source_words}; manifest {about.manifest} ({about.size_words})"))
    for line in filter(None, (about.unlabelled_words, *(f"warning: {doubt}" for doubt in about.doubts))):
        print(printable(line))
    use = use_words(run, evaluation)
    for line in use if isinstance(use, list) else [f"warning: {use}"]:
        print(printable(line))
    for level, found in _compared(run, evaluation).items():
        if isinstance(found, str):
            if level == "image":
                print(printable(f"beside the internal test set: {found}"))
            continue
        ours, theirs = (f"{share:.1%} malignant" for share in found.shares)
        print(f"\n{level} level, the internal test set ({ours}) and this one ({theirs}), independent samples")
        rows = [(row.title, *map(_cell, (row.internal, row.external)), _signed(row.difference)) for row in found.rows]
        print_table(rows, ("metric", "internal", "external", "external less internal"))


def source_json(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """The same for JSON."""
    if evaluation.external is None:
        return {}
    use = _use(run, evaluation)
    models = {"external_models": use if isinstance(use, str) else use.as_dict()}
    compared = {
        level: found if isinstance(found, str) else to_plain(found) for level, found in _compared(run, evaluation).items()
    }
    return models | {"external_accesses": accesses_json(run, evaluation), "internal_and_external": compared}


def accesses_json(run: Run, evaluation: Evaluation) -> dict[str, int] | str:
    """How often each kind of access to the images was made; in words what is wrong with a record."""
    from core.evaluate.external import accesses_of

    try:
        found = [each for each in accesses_of(run, evaluation) if each.counts]
    except LabError as error:
        return str(error)
    return {kind: sum(each.times for each in found if each.kind == kind) for kind in dict.fromkeys(each.kind for each in found)}


def use_words(run: Run, evaluation: Evaluation) -> list[str] | str:
    """How often the images were scored for this run, and which other models were; in words what is wrong with a record."""
    from core.runs.test_set.models import seen_words

    use = _use(run, evaluation)
    if isinstance(use, str):
        return use
    own = sum(each.times for each in use.models if each.own)
    known = evaluation.external is not None and evaluation.external.patients is not None
    return [f"scored on this set: {times(own)}", *seen_words(use, known)]


def _use(run: Run, evaluation: Evaluation) -> TestSetUse | str:
    from core.evaluate.external import use_of

    try:
        return use_of(run, evaluation)
    except LabError as error:
        return str(error)


def _compared(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    from core.data.identity import patients_known
    from core.evaluate import read_evaluation
    from core.evaluate.sources import compare_sources

    internal = read_evaluation(run, "test")
    if internal is None:
        return {"image": "it has not been evaluated"}
    about = evaluation.external
    known = about is not None and about.patients is not None and patients_known(internal.predictions)
    return {level: found for level, found in compare_sources(internal, evaluation).items() if known or level == "image"}


def _cell(metric: Any) -> str:
    return "–" if isinstance(metric, str) else str(metric)


def _signed(metric: Any) -> str:
    return f"({metric})" if isinstance(metric, str) else f"{metric:+.3f}"
