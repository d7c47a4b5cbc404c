"""The commands `study ...`: a question answered with many runs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from core.cli import ensemble
from core.cli.arguments import Commands, add_command, add_group, config_options, json_option
from core.cli.output import note, print_json, print_table, printable, progress_bar
from core.cli.study_plan import add_arguments as plan_arguments
from core.cli.study_plan import plan
from core.cli.study_search import print_plan, print_search, search_arguments, search_values
from core.cli.train import STOPPED
from core.cli.workspace import default_config, load, open_study
from core.errors import BadConfig, LabError
from core.wording import counted

if TYPE_CHECKING:
    from core.runs import Run
    from core.studies import Design, Job, Study, StudyResults


def add_commands(commands: Commands) -> None:
    studies = add_group(commands, "study", "cross-validation and comparison of settings, over many runs")

    parser = add_command(studies, "new", new, "make a study: folds of the patients, and what is compared on them")
    parser.add_argument("study", metavar="NAME", help="name of the study")
    config_options(parser)
    _design_arguments(parser)
    search_arguments(parser)
    json_option(parser)

    plan_arguments(add_command(studies, "plan", plan, "make a study by the data, the machine and the time there is; says why"))

    parser = add_command(
        studies,
        "quick",
        quick,
        "a quick answer: compare settings by a probe on a frozen network, without a training",
    )
    config_options(parser)
    _design_arguments(parser)
    json_option(parser)

    parser = add_command(studies, "run", run, "train what is left to train; also after a stop or a crash")
    _study_argument(parser)
    parser.add_argument("--retry", nargs="*", metavar="RUN", help="also resume runs that have failed: all, or those named")
    parser.add_argument("--no-queue", action="store_true", help="start even if another training uses the device")
    studies.choices["resume"] = parser  # the same: what is done is seen from the runs

    parser = add_command(studies, "stop", stop, "stop whoever trains a study; what is trained so far is resumed later")
    _study_argument(parser)

    parser = add_command(studies, "status", status, "show the runs of a study and what they are doing, or all studies")
    parser.add_argument("study", nargs="?", metavar="NAME", help="name or folder of the study (default: list all)")
    json_option(parser)

    parser = add_command(studies, "results", results, "out-of-fold metrics and paired differences to the reference")
    _study_argument(parser)
    parser.add_argument(
        "--level", choices=("image", "breast", "patient"), help="what a row is (default: image, or breast with two views)"
    )
    json_option(parser)

    parser = add_command(studies, "report", report, "write the study as one HTML file: methods, results, limits, every setting")
    _study_argument(parser)

    parser = add_command(studies, "extend", extend, "more repeats, more trained folds or further values; what is trained stays")
    _study_argument(parser)
    parser.add_argument("--repeats", type=int, metavar="N", help="repeats in all")
    parser.add_argument("--train-folds", type=int, metavar="N", help="folds to train in all, where not all of them are")
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="SETTING=[V1,V2]",
        help="further values of a compared setting; repeatable",
    )

    parser = add_command(studies, "delete", delete, "delete a study with all its runs")
    _study_argument(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask for its name")

    ensemble.add_study_command(studies)


def _design_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="SETTING=[V1,V2]",
        help="a setting and the values to compare, the reference first, e.g. preprocessing.clahe=[true,false]; repeatable",
    )
    parser.add_argument(
        "--one-at-a-time",
        action="store_true",
        help="change one setting of the reference at a time, in place of training every combination",
    )
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="folds of the patients (default: %(default)s)")
    parser.add_argument(
        "--train-folds", type=int, metavar="N", help="hold out and train only the first N of them (default: all); extend later"
    )
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="times to draw folds and seeds (default: 1)")
    parser.add_argument("--fold-seed", type=int, default=0, metavar="N", help="seed of the folds (default: %(default)s)")
    parser.add_argument("--question", default="", metavar="TEXT", help="what the study asks")


def _study_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="NAME", help="name or folder of the study")


def new(arguments: argparse.Namespace) -> int:
    """Draw the folds and write the study's folder; nothing is trained."""
    from core.studies import Study
    from core.training.rows import load_rows

    config, design = load(arguments), _design(arguments, search_values(arguments))
    with progress_bar("demo set") as progress:
        rows = load_rows(config, progress)
    with progress_bar("looking for copies") as progress:
        study = Study.create(arguments.study, design, config, rows, progress=progress)
    jobs = len(design.jobs)
    if arguments.json:
        print_json({"study": study.name, "folder": study.path.as_posix(), "runs": jobs})
        return 0
    print(
        f"{study.path.as_posix()}: {counted(jobs, 'run')} to train, {design.folds} folds, {counted(design.repeats, 'repeat')}"
    )
    for cell in design.cells:
        if design.search is None:
            print(f"  {'reference: ' if cell.number == 0 else ''}{printable(cell.label)}")
    if design.search is not None:
        print_plan(study)
    note(f"next: python -m core study run {study.name}")
    return 0


def _design(arguments: argparse.Namespace, search: dict[str, Any] | None = None) -> Design:
    from core.studies import Design

    values: dict[str, Any] = {
        "question": arguments.question,
        "folds": arguments.folds,
        "repeats": arguments.repeats,
        "seed": arguments.fold_seed,
        "train_folds": arguments.train_folds,
        "factors": _factors(arguments.compare),
        "how": "one at a time" if arguments.one_at_a_time else "full",
        "search": search,
    }
    return Design.of(values, "study")


def _factors(given: list[str]) -> dict[str, list[Any]]:
    found = dict(map(_factor, given))
    if len(found) < len(given):
        raise BadConfig("--compare: a setting is named twice. Give all its values at once, e.g. training.epochs=[3,6,12]")
    return found


def quick(arguments: argparse.Namespace) -> int:
    """Compare settings without training."""
    from core.studies import probe
    from core.studies.quick_probe import NOTICE
    from core.training.rows import load_rows

    config, design = load(arguments), _design(arguments)
    with progress_bar("demo set") as progress:
        rows = load_rows(config, progress)
    with progress_bar("looking for copies") as searching, progress_bar("features") as progress:
        found = probe(design, config, rows, progress=progress, searching=searching)
    for path, reason in found.unreadable.items():
        note(f"left out: {printable(path)}: {printable(reason)}")
    if arguments.json:
        print_json(found.as_dict())
        return 0
    _print_table(found.results)
    note(f"{NOTICE} Network: {', '.join(found.backbones)}.")
    return 0


def _factor(text: str) -> tuple[str, list[Any]]:
    """`preprocessing.clahe=[true,false]` as (name, values)."""
    from core.config.yaml_text import parse_yaml, plain_yaml

    name, equals, values = text.partition("=")
    found = parse_yaml(values, f"--compare {name}", plain_yaml()) if equals else None
    if not isinstance(found, list):
        raise BadConfig(f"--compare {text}: expected SETTING=[V1,V2], for example preprocessing.clahe=[true,false]")
    return name.strip(), list(found)


def run(arguments: argparse.Namespace) -> int:
    """Train until nothing is left; Ctrl-C stops after the step at hand."""
    from core.cli.training_progress import ProgressPrinter
    from core.studies import work
    from core.studies.design import TrialJob
    from core.studies.search import settings_text

    study = open_study(arguments.study)
    design = study.design()
    names = [job.name for job in design.jobs]
    printer = ProgressPrinter()
    retry = arguments.retry or arguments.retry is not None  # without names: all
    if unknown := next((name for name in arguments.retry or [] if name not in names), ""):
        raise BadConfig(f"{printable(unknown)}: {study.name} has no such run; `study status {study.name}` lists them")

    def begun(job: Job, run: Run) -> None:
        printer.close_bar()
        if isinstance(job, TrialJob) and design.search is not None:
            note(f"trial {job.cell.number} of {design.search.trials}: {settings_text(job.cell.settings)}")
        else:
            note(f"run {names.index(job.name) + 1} of {len(names)}: {run.name}")

    try:
        outcome = work(study, on_run=begun, on_event=printer.show, retry=retry, queue=not arguments.no_queue)
    finally:
        printer.close_bar()
    for name, reason in outcome.failed.items():
        note(f"failed: {name}: {printable(reason)}")
    if outcome.failed:
        note(f"try again with: python -m core study run {study.name} --retry")
    if outcome.stopped:
        note(f"stopped. Continue with: python -m core study run {study.name}")
        return STOPPED
    _print_results(study)
    return 1 if outcome.failed else 0


def stop(arguments: argparse.Namespace) -> int:
    """Ask all workers of the study to stop."""
    study = open_study(arguments.study)
    study.request_stop()
    print(f"{study.name}: a stop is requested; it takes effect after the step at hand")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """The runs of one study, or all studies."""
    from core.studies import list_studies, search_of

    if arguments.study is None:
        studies = list_studies(default_config().checkpoints)
        rows = [_listed(each) for each in studies]
        if arguments.json:
            print_json(rows)
        elif rows:
            print_table([tuple(printable(str(cell)) for cell in row.values()) for row in rows], tuple(rows[0]))
        else:
            print("no study yet: python -m core study new NAME")
        return 0
    study = open_study(arguments.study)
    listed = []
    failures = study.failures()
    for job, run in study.runs.items():
        found = None if run is None else run.status()
        failure = failures.get(job.name, "")
        listed.append(
            {
                "run": job.name,
                "state": found.state if found is not None else "failed" if failure else "not begun",
                "epoch": "" if found is None or not found.epochs else f"{found.epoch}/{found.epochs}",
                "reason": failure if found is None else found.reason,
            }
        )
    searched = search_of(study)
    if arguments.json:
        search = {} if searched is None else {"search": searched.as_dict()}
        print_json({"study": study.name, **_counts(study), "runs_by_name": listed, **search})
        return 0
    print_search(searched)
    counts = _counts(study)
    print(f"{study.name}: {counts['done']} of {counts['runs']} runs finished, {counts['failed']} failed")
    print_table([tuple(printable(str(cell)) for cell in row.values()) for row in listed], ("run", "state", "epoch", "reason"))
    return 0


def _listed(study: Study) -> dict[str, Any]:
    """A line of the list; of a damaged study why it cannot be read."""
    try:
        return {"study": study.name, **_counts(study), "question": study.design().question}
    except LabError as error:
        return {"study": study.name, "runs": "", "done": "", "failed": "", "question": f"damaged: {error}"}


def _counts(study: Study) -> dict[str, int]:
    states = [run.status().state if run is not None else "" for run in study.runs.values()]
    failed = states.count("failed") + len(study.failures())
    return {"runs": len(states), "done": states.count("done"), "failed": failed}


def results(arguments: argparse.Namespace) -> int:
    """What is shown so far."""
    study = open_study(arguments.study)
    if arguments.json:
        from core.studies import results_of, search_of

        searched = search_of(study)
        search = {} if searched is None else {"search": searched.as_dict()}
        print_json(results_of(study, level=arguments.level).as_dict() | search)
        return 0
    _print_results(study, arguments.level)
    return 0


def _print_results(study: Study, level: Any = None) -> None:
    from core.studies import results_of, search_of
    from core.studies.results import OPTIMISTIC

    print_search(search_of(study))
    found = results_of(study, level=level)
    _print_table(found)
    for warning in found.warnings:
        note(f"warning: {printable(warning)}")
    for name, reason in found.failed.items():
        note(f"failed: {name}: {printable(reason)}")
    note(OPTIMISTIC)


def _print_table(found: StudyResults) -> None:
    from core.studies.results import HEADS

    if found.question:
        print(printable(found.question))
    print_table([tuple(map(printable, row)) for row in found.table_rows()], HEADS)
    print(printable(found.answer))
    note(f"{found.confidence:.0%} intervals, patients taken as independent; AUC within folds.")


def report(arguments: argparse.Namespace) -> int:
    """Write report.html into the study's folder."""
    from core.studies.report import study_report

    print(study_report(open_study(arguments.study)).as_posix())
    return 0


def extend(arguments: argparse.Namespace) -> int:
    """Add repeats, folds or values."""
    study = open_study(arguments.study)
    study.extend(repeats=arguments.repeats, train_folds=arguments.train_folds, values=_factors(arguments.compare))
    print(f"{study.name}: {counted(len(study.design().jobs), 'run')} in all")
    return 0


def delete(arguments: argparse.Namespace) -> int:
    """Delete a study, after a question."""
    from core.studies.removal import delete_study, require_deletable

    study = open_study(arguments.study)
    runs = require_deletable(study)
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise BadConfig(f"deleting {study.name} cannot be undone: use --yes where nobody can be asked")
        print(f"Delete {printable(str(study.path))} with {counted(len(runs), 'run')}? This cannot be undone.")
        typed = input("Type its name to confirm: ")
        if typed.strip() != study.name:
            print("nothing was deleted")
            return 1
    delete_study(study)
    print(f"{printable(study.name)}: deleted")
    return 0
