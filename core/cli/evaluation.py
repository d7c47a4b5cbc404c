"""Commands about figures: evaluate, compare, threshold."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.output import note, print_json, print_table, printable, progress_bar
from core.cli.workspace import open_run
from core.errors import BadConfig, LabError
from core.runs.test_set.accesses import counts_in_words
from core.wording import counted, times

if TYPE_CHECKING:
    import pandas as pd

    from core.config.schema import EvaluationConfig
    from core.evaluate import Evaluation
    from core.metrics import CalibrationSummary, Interval, Level, Subgroup, ThresholdRule
    from core.runs import Run
    from core.runs.test_set.models import TestSetUse

FIGURES = ("figure", "value", "interval", "note")
NAMED = 5  # images left out that are named before "and 12 more"
# What an evaluation may be told; everything else of the section is frozen with the model.
SETTABLE = ("bootstrap_samples", "confidence", "numeric_columns", "category_columns")


def evaluate(arguments: argparse.Namespace) -> int:
    """Figures with intervals for one split of a run."""
    from core.evaluate import evaluate as evaluate_run
    from core.evaluate import remake
    from core.evaluate.headline import headline_aucs

    run = open_run(arguments.run)
    settings = _settings(run, arguments.set)
    if arguments.remake:
        evaluation = remake(run, arguments.split, settings=settings)
    else:
        if arguments.split == "test":
            note(opening_words(run))
            if not (arguments.yes or confirmed(run)):
                note("the test set was not opened")
                return 1
        with progress_bar(f"scoring {arguments.split}") as progress:
            evaluation = evaluate_run(run, arguments.split, progress=progress, settings=settings)
    counts = test_accesses(run) if arguments.split == "test" else None
    use = _use(run) if arguments.split == "test" else None
    if arguments.json:
        models = {} if use is None else {"test_set_models": use if isinstance(use, str) else use.as_dict()}
        units = {"headline_auc": {level: each.as_dict() for level, each in headline_aucs(evaluation).items()}}
        print_json(evaluation.to_dict() | units | ({} if counts is None else {"test_accesses": counts}) | models)
    else:
        show(evaluation, full=arguments.full)
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
    """Whether the person at the terminal wants to open the test set for the first time; a script is not asked."""
    from core.runs.test_set.provenance import openings

    try:
        if openings(run.path):
            return True
    except LabError:  # said by the evaluation itself
        pass
    if not sys.stdin.isatty():
        return True
    sys.stderr.write("Open it, now that nothing is left to choose? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def opening_words(run: Run) -> str:
    """What it means that the test set is about to be opened; for standard error."""
    from core.runs.test_set.provenance import openings

    try:
        before = openings(run.path)
    except LabError:  # said by the evaluation itself
        before = 0
    use = _use(run)
    seen = "" if isinstance(use, str) or not use.before else f". {_seen_lines(use, run.manifest())[0].rstrip('.')}"
    often = "for the first time" if not before else f"after {counted(before, 'opening')}"
    return (
        f"note: this opens the test set of {run.name} {often}: recorded, and in the report. Its figures are worth what they "
        f"say only if nothing is chosen after seeing them{seen}"
    )


def _use(run: Run) -> TestSetUse | str:
    """Which models were scored on the run's test set; in words what is wrong with a record."""
    from core.runs.test_set.models import test_set_use

    try:
        return test_set_use(run.path)
    except LabError as error:
        return str(error)


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

    try:
        return access_counts(run.path)
    except LabError as error:
        return str(error)


def show(evaluation: Evaluation, *, full: bool = False) -> None:
    """Print an evaluation: figures of images, then a line for everything else; `full` prints every table."""
    from core.data.identity import patients_known
    from core.evaluate import excluded_words
    from core.evaluate.headline import headline_aucs
    from core.metrics import Interval

    known = patients_known(evaluation.predictions)
    whose = (
        f" of {counted(evaluation.patients, 'patient')}" if known else ", each counted by itself: whose they are is not known"
    )
    print(f"{printable(evaluation.run)}, {evaluation.split}: {counted(evaluation.images, 'image')}{whose}")
    print_table(evaluation.table_rows(), FIGURES)
    units = headline_aucs(evaluation)
    if evaluation.thresholds.per_view:
        print(f"image level, thresholds by view: {evaluation.thresholds.words}")
        if why := evaluation.thresholds.notes_words:
            print(why)
    for level in ("breast", "patient") if known else ():
        summary = evaluation.levels[level]
        if isinstance(summary, str):
            print(f"{level} level: {summary}")
        else:
            figures = ", ".join(f"{name} {_cell(summary[name])}" for name in ("auc", "sensitivity", "specificity"))
            print(f"{level} level, {counted(summary.rows, level)} at their own threshold {summary.threshold:.3f}: {figures}")
            print(f"  score of a {level}: {units[level].rule}")
            if units[level].sentence:
                print(f"  warning: {units[level].sentence}")
    for level, found in evaluation.uncertainty.items():
        if (known or level == "image") and not isinstance(found, str) and isinstance(found.threshold, Interval):
            views = "".join(f", of {view} images {each}" for view, each in found.views.items())
            print(
                f"{level} level, validation and {evaluation.split} resampled together: threshold {found.threshold}{views}, "
                f"sensitivity {found.sensitivity}, specificity {found.specificity}"
            )
    if full:
        _tables(evaluation, known)
        if known:
            _units(evaluation)
    else:
        _lines(evaluation)
    if evaluation.excluded:
        print(printable(excluded_words(evaluation.excluded)))
        for item in evaluation.excluded[: None if full else NAMED]:
            print(printable(f"  {item.path}: {item.reason}"))
        if not full and len(evaluation.excluded) > NAMED:
            print(f"  and {len(evaluation.excluded) - NAMED} more (--full names all)")
    print(f"baselines: {_baselines(evaluation)}")
    if chance := _chance(evaluation):
        print(f"warning: {chance}")
    for line in _looks(evaluation):
        print(printable(line))


def _chance(evaluation: Evaluation) -> str:
    """That the model has not shown on validation to be better than chance; "" when it has."""
    from core.metrics.chance import chance_of_model, warning_of
    from core.model.card import has_model, read_card

    if evaluation.folder is None or not has_model(evaluation.folder):
        return ""
    return warning_of(chance_of_model(read_card(evaluation.folder), evaluation.folder))


def _lines(evaluation: Evaluation) -> None:
    from core.evaluate.further import sentence_of
    from core.evaluate.subgroup_tests import count_tests, equivalence_sentence, omnibus_sentence
    from core.metrics.features import feature_title, feature_words, value_title

    report = evaluation.calibration
    if isinstance(report, str):
        print(f"calibration: {report}")
    else:
        print(f"calibration: as scored {_calibration(report.before)}; {report.frozen.method} {_calibration(report.after)}")
    audit = evaluation.shortcuts
    if isinstance(audit, str):
        print(f"shortcut audit: {audit}")
    elif audit.features:
        compared = "" if audit.metadata is None else audit.metadata.feature
        last = next((row for row in audit.features if row.feature == compared), audit.features[-1])
        print(
            f"shortcut audit: label from metadata ({feature_words(last.feature)}) AUC {_cell(last.auc)}; model "
            f"{_cell(audit.model)}, "
            f"among images alike in them {_cell(last.within)}"
        )
        if audit.metadata is not None:
            print(printable(audit.metadata.sentence))
        if audit.aside:
            print(printable(audit.aside))
        if evaluation.further:
            print(printable(f"{sentence_of(evaluation.further)} --full says why"))
    apart = [
        f"{feature_title(row.feature)} {value_title(row.feature, row.value)} ({', '.join(names)})"
        for row in evaluation.subgroups
        if (names := [name for name, p in _adjusted(row).items() if p is not None and p < 0.05])
    ]
    made = counted(count_tests(evaluation.subgroups), "test")
    alike = equivalence_sentence(evaluation.subgroups, evaluation.equivalence_margin)
    print(
        f"subgroups: {len(evaluation.subgroups)}, compared with the other images of known value in {made}; "
        f"different (p < 0.05 adjusted for all tests): {', '.join(apart) or 'none'}. --full prints the tables"
    )
    for words in (omnibus_sentence(evaluation.omnibus), alike):
        if words:
            print(printable(words))


def _adjusted(row: Subgroup) -> dict[str, float | None]:
    """The adjusted p values of a group, by what was compared."""
    return {row.compared: row.adjusted} | (
        {"sensitivity": row.sensitivity_adjusted, "specificity": row.specificity_adjusted} if row.compared == "auc" else {}
    )


def _tables(evaluation: Evaluation, patients_known: bool) -> None:
    """Every table; without patients those of breasts and patients would be the images' under another name."""
    from core.metrics import LEVELS

    levels: Sequence[Level] = LEVELS if patients_known else ("image",)
    _calibration_table(evaluation, levels)
    _subgroup_table(evaluation, patients_known)
    _shortcut_table(evaluation, patients_known)
    if evaluation.further:
        print("\nfurther columns of the manifest")
        rows = [(each.name, each.read or "left out", each.why) for each in evaluation.further]
        print_table([tuple(map(printable, row)) for row in rows], ("column", "read as", "why"))
    _decision_table(evaluation, levels)
    print()


def _units(evaluation: Evaluation) -> None:
    """What patients are made of, and the AUC by patient under other rules."""
    from core.metrics.aggregation import aggregation_rules
    from core.metrics.composition import associations, composition, composition_warnings

    frame = evaluation.predictions
    rows = [
        (
            each.label,
            *map(str, (each.patients, each.images)),
            f"{each.median:g} ({each.low}-{each.high})",
            *map(str, (each.two_sides, each.one_side, each.unknown_sides)),
        )
        for each in composition(frame)
    ]
    print("\npatients by label")
    print_table(rows, ("label", "patients", "images", "images a patient", "both sides", "one side", "side unknown"))
    for sentence in composition_warnings(associations(frame)):
        print(f"warning: {sentence}")
    print("\nAUC by patient under other rules")
    rules = aggregation_rules(frame, confidence=evaluation.summary.confidence)
    print_table([(rule.name, "yes" if rule.balanced else "no", _cell(rule.auc)) for rule in rules], ("rule", "balanced", "AUC"))


def _calibration_table(evaluation: Evaluation, levels: Sequence[Level]) -> None:
    names = ("brier", "scaled_brier", "observed_expected", "ece", "chance", "slope", "intercept")
    for level in levels:
        report = evaluation.calibration_at(level)
        if isinstance(report, str):
            print(f"\ncalibration by {level}: {report}")
            continue
        rows: list[tuple[str, ...]] = []
        for method, found in report.summaries.items():
            title = method + (" (the model's)" if method == report.frozen.method else "")
            figures = (found, *[""] * (len(names) - 1)) if isinstance(found, str) else (_told(getattr(found, n)) for n in names)
            rows.append((title, *figures))
        told = report.before
        known = (
            ""
            if isinstance(told, str) or told.reference is None
            else f", predicting the prevalence: Brier {told.reference:.3f}"
        )
        # An ECE has no interval, and is above 0 by chance alone: it is read beside what chance gives.
        print(f"\ncalibration by {level}{known}")
        heads = ("method", "Brier", "scaled Brier", "observed/expected", "ECE", "ECE by chance", "slope", "intercept")
        print_table(rows, heads)
        if report.no_probability:
            print(f"no probability by {level}: {report.no_probability}")
        if report.on_validation:
            print("fitted on these very images: the test set shows what it is worth")


def _subgroup_table(evaluation: Evaluation, patients_known: bool) -> None:
    from core.evaluate.subgroup_tests import FIGURES_TESTED, count_tests
    from core.metrics.features import feature_title, value_title

    if not evaluation.subgroups:
        print("\nsubgroups: no column makes any")
        return
    heads = (
        "group",
        "value",
        "images (patients)" if patients_known else "images",
        "malignant",
        "AUC",
        "sensitivity",
        "specificity",
        "minus others",
        "p adjusted: AUC, sensitivity, specificity",
    )
    rows = []
    for row in evaluation.subgroups:
        figures = [_cell(getattr(row, name), "–") for name in ("auc", "sensitivity", "specificity", "difference")]
        compared = " (sensitivity)" if row.compared == "sensitivity" and row.p is not None else ""
        numbers = (row.images, row.patients), (row.malignant_images, row.malignant_patients)
        images = [f"{number} ({patients})" if patients_known else str(number) for number, patients in numbers]
        p = ", ".join("–" if each is None else f"{each:.3f}" for each in _adjusted(row).values())
        rows.append(
            (feature_title(row.feature), value_title(row.feature, row.value), *images, *figures[:3], figures[3] + compared, p)
        )
    print("\nsubgroups")
    print_table(rows, heads)
    print(
        "–: too few of a class in the group or among the others, or the value is unknown: not tested. The others: images of "
        f"another known value. p adjusted for {counted(count_tests(evaluation.subgroups), 'test')} of the table (Holm)"
    )
    if evaluation.omnibus:
        clusters = "clustered by patient" if patients_known else "each image by itself: no patient is known"
        print(f"\nall groups of a feature at once (Wald test, F, {clusters})")
        tests = [
            (
                feature_title(row.feature),
                FIGURES_TESTED[row.figure],
                str(row.groups),
                f"{row.wald:.2f}",
                f"{row.p:.4f}",
                f"{row.adjusted:.4f}",
            )
            for row in evaluation.omnibus
        ]
        print_table(tests, ("feature", "figure", "groups", "Wald", "p", f"p adjusted for {counted(len(tests), 'test')}"))


def _shortcut_table(evaluation: Evaluation, patients_known: bool) -> None:
    from core.metrics.features import feature_title

    audit = evaluation.shortcuts
    if isinstance(audit, str):
        print(f"\nshortcut audit: {audit}")
        return
    rows = [
        (feature_title(row.feature), _cell(row.auc), _cell(row.boosting), _cell(row.within), f"{row.pairs:.0%}")
        for row in audit.features
    ]
    learned = counted(audit.learned_on, "training image")
    how = f"learned on {learned}" if audit.learned_on else f"cross-validated in {counted(audit.folds, 'fold')}"
    print(f"\nshortcut audit, {how}; the model itself: AUC {_cell(audit.model)}")
    heads = ("label told from", "AUC, linear", "AUC, boosting", "model's AUC among images alike in it", "pairs compared")
    print_table(rows, heads)
    for sentence in ("" if audit.metadata is None else audit.metadata.sentence, audit.aside):
        if sentence:
            print(printable(sentence))
    if not audit.learned_on:
        few = "patients" if patients_known else "images"
        print(f"an AUC below 0.5 is chance too: with few {few}, cross-validation errs to that side")
    if audit.left_out:
        names = ", ".join(map(feature_title, audit.left_out))
        print(f"tell nothing (never vary in the scored or the training images, or name nearly every image): {names}")


def _decision_table(evaluation: Evaluation, levels: Sequence[Level]) -> None:
    for level in levels:
        decision = evaluation.decision_at(level)
        if isinstance(decision, str):
            print(f"\nnet benefit per {level}: {decision}")
            continue
        print(f"\nnet benefit per {level}, scores calibrated: {decision.calibration}; {decision.prevalence:.0%} malignant")
        rows = [(f"{row.threshold:.0%}", _cell(row.model), f"{row.treat_all:.3f}", "0.000") for row in decision.rows]
        print_table(rows, ("acting at a risk of", f"the model, per {level}", f"every {level}", f"no {level}"))


def compare(arguments: argparse.Namespace) -> int:
    """Two runs on the same images: paired differences with intervals."""
    from core.evaluate import compare as compare_them

    first, second = open_run(arguments.run), open_run(arguments.other)
    margin = _within(arguments.margin, "--margin", 1.0)
    found = compare_them(first, second, arguments.split, arguments.level)
    equivalent = {} if margin is None else {"margin": margin, "equivalence": found.equivalence(margin)}
    if arguments.json:
        print_json(found.as_dict() | equivalent)
        return 0
    print(printable(f"{found.second} against {found.first}, {found.split}, {found.level} level: {found.matching}"))
    print(f"{counted(found.figures.rows, found.level)} of {counted(found.figures.patients, 'patient')}, compared in pairs")
    for warning in found.warnings:
        print(printable(f"warning: {warning}"))
    for name, by_view in zip((found.first, found.second), found.by_view, strict=True):
        if by_view:
            print(printable(f"{name}: thresholds by view: {by_view}"))
    print_table(found.table_rows(), ("figure", found.first, found.second, "difference", "p", "test"))
    if equivalent:
        print(equivalent["equivalence"])
    note("p values of several figures are not adjusted for one another: name the figure that counts before you look.")
    return 0


def leave_one_out(arguments: argparse.Namespace) -> int:
    """Hold out each value of a column in turn: write the manifests, train what is asked for, and sum up what is evaluated."""
    from core.config import dump_config, load_config
    from core.data import write_manifest
    from core.data.leave_one_out import leave_one_out as held_out

    run = open_run(arguments.run)
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs, rows = run.path.parent, []
    for number, each in enumerate(held_out(run.manifest(), arguments.by), start=1):
        name = f"{run.name}-without-{number}"
        row: dict[str, Any] = {"value": each.value, "images": each.images, "patients": each.patients, "run": name}
        if isinstance(each.manifest, str):
            rows.append(row | {"run": None, "note": each.manifest, "auc": None})
            continue
        manifest, config = arguments.out / f"{name}.csv", arguments.out / f"{name}.yaml"
        write_manifest(each.manifest, manifest)
        overrides = [f"data.manifest={manifest.absolute().as_posix()}", f"checkpoints={runs.absolute().as_posix()}"]
        config.write_text(dump_config(load_config(run.path / "config.yaml", overrides)), encoding="utf-8")
        if arguments.train and not (runs / name).exists():
            _train_and_evaluate(config, runs / name)
        rows.append(row | _area_of(runs / name, config))
    if arguments.json:
        print_json({"run": run.name, "by": arguments.by, "held_out": rows} | _pooled(rows))
        return 0
    print_table(
        [(row["value"], str(row["images"]), str(row["patients"]), _area_cell(row)) for row in rows],
        (arguments.by, "images", "patients", "AUC of the run that was trained without it"),
    )
    for text in _pooled(rows).values():
        print(text)
    return 0


def _train_and_evaluate(config: Path, folder: Path) -> None:
    """As `train` and `evaluate` do, in this process."""
    import sys
    from contextlib import redirect_stdout

    from core.cli import main

    for command in (["train", "--config", str(config), "--run", folder.name], ["evaluate", str(folder)]):
        with redirect_stdout(sys.stderr):  # standard output is for the result
            code = main(command)
        if code != 0:
            raise LabError(
                f"{folder.name}: `{' '.join(command)}` has failed; what it printed says why. Run it again, then this."
            )


def _area_of(folder: Path, config: Path) -> dict[str, Any]:
    from core.evaluate import read_evaluation
    from core.runs import Run

    if not (folder / "model.json").is_file():
        return {"auc": None, "note": f"not trained yet: python -m core train --config {config.as_posix()} --run {folder.name}"}
    evaluation = read_evaluation(Run(folder))
    if evaluation is None:
        return {"auc": None, "note": f"not evaluated yet: python -m core evaluate {folder.name}"}
    area = evaluation.summary["auc"]
    return {"auc": None, "note": area} if isinstance(area, str) else {"auc": asdict(area), "note": ""}


def _area_cell(row: dict[str, Any]) -> str:
    from core.metrics import Interval

    return printable(row["note"] if row["auc"] is None else str(Interval(**row["auc"])))


def _pooled(rows: list[dict[str, Any]]) -> dict[str, str]:
    from core.errors import NotEnoughData
    from core.metrics import Interval
    from core.metrics.pooling import pooled_auc

    try:
        found = pooled_auc([Interval(**row["auc"]) for row in rows if row["auc"] is not None])
    except NotEnoughData as error:
        return {"summary": str(error)}
    return {
        "summary": f"mean AUC over {counted(found.sites, 'value')} left out {found.mean}; where that of a new one would lie "
        f"[{found.prediction.low:.3f}, {found.prediction.high:.3f}]; spread beyond chance I² {found.i2:.0%}"
    }


def threshold(arguments: argparse.Namespace) -> int:
    """Choose the thresholds again, on validation predictions only."""
    from core.evaluate import read_predictions, refreeze
    from core.metrics import at_level, at_threshold

    run = open_run(arguments.run)
    rule = rule_asked_for(run, arguments)
    if arguments.by is not None:
        return _thresholds_by(run, rule, arguments.by, as_json=arguments.json)
    card = refreeze(run, rule, calibration=arguments.calibration, reopen=arguments.reopen)
    validation, by_view = read_predictions(run, "val"), card.image_thresholds
    rows: list[dict[str, Any]] = []

    def add(level: str, view: str | None, value: float | str, table: pd.DataFrame | None, applied: Any) -> None:
        row: dict[str, Any] = {"level": level, "view": view, "threshold": value, "sensitivity": None, "specificity": None}
        if table is not None:
            row |= {key: at for key, at in at_threshold(table["label"], table["score"], applied).items() if key in row}
        rows.append(row)

    for level, value in card.level_thresholds.items():
        table = None if isinstance(value, str) else at_level(validation, level)
        add(level, None, value, table, by_view.of_rows(validation) if level == "image" else value)
        for view, own in by_view.views.items() if level == "image" else ():
            add(level, view, own, None if isinstance(own, str) else validation[validation["view"] == view], own)
    if arguments.json:
        print_json(
            {"run": run.name, "rule": asdict(rule), "calibration": card.written().get("calibration"), "thresholds": rows}
        )
        return 0
    print(f"{run.name}: frozen in model.json by the rule {rule.kind}")
    print_table(
        [
            (_level_cell(row), row["threshold"], "", "")
            if isinstance(row["threshold"], str)
            else (_level_cell(row), *(f"{row[name]:.3f}" for name in ("threshold", "sensitivity", "specificity")))
            for row in rows
        ],
        ("level", "threshold", "sensitivity", "specificity"),
    )
    note("sensitivity and specificity are those of the validation set, on which the thresholds were chosen: too good.")
    return 0


def _level_cell(row: dict[str, Any]) -> str:
    return f"{row['level']}, {row['view']}" if row["view"] else str(row["level"])


def _thresholds_by(run: Run, rule: ThresholdRule, column: str, *, as_json: bool) -> int:
    """A threshold for each value of a column beside the one for all; shown, not frozen."""
    from core.evaluate import read_evaluation, read_predictions
    from core.metrics import thresholds_by_group

    validation, evaluation = read_predictions(run, "val"), read_evaluation(run, "test")
    judged, words = (validation, "validation") if evaluation is None else (evaluation.predictions, "test")
    found = thresholds_by_group(validation, judged, rule, run.model_card().required_threshold(), column)
    if as_json:
        print_json({"run": run.name, "figures_of": words, **asdict(found)})
        return 0
    print(f"{run.name}: thresholds by {column}, chosen on validation by the rule {rule.kind}; figures of the {words} images")
    rows = [
        (
            group.value,
            group.threshold if isinstance(group.threshold, str) else f"{group.threshold:.3f}",
            *(_cell(getattr(group, name)) for name in ("sensitivity", "specificity", "own_sensitivity", "own_specificity")),
        )
        for group in found.groups
    ]
    heads = (column, "own threshold", "sensitivity at one for all", "specificity", "sensitivity at its own", "specificity")
    print_table([tuple(map(printable, row)) for row in rows], heads)
    for title, gap in (("one threshold for all", found.gap), ("each its own", found.own_gap)):
        text = gap if isinstance(gap, str) else f"{gap.difference}"
        print(f"largest difference of specificity, {title}: {text}")
    views = "" if column != "view" else " `--per-view` freezes thresholds for CC and MLO images."
    note(f"nothing was frozen: the run's decisions stay as they are.{views}")
    return 0


def rule_asked_for(run: Run, arguments: argparse.Namespace) -> ThresholdRule:
    """The rule that is frozen now with what was asked for changed; another rule starts from the run's configuration.

    Raises:
        BadConfig: an option out of range, or one that says nothing with this rule.
    """
    from core.evaluate.thresholds import OPTIONS
    from core.metrics import rule_of

    tops = {"target": 1.0, "cost_ratio": float("inf"), "prevalence": 1.0}
    given = {name: _within(getattr(arguments, name), f"--{name.replace('_', '-')}", tops[name]) for name in tops}
    asked = {name: value for name, value in given.items() if value is not None}
    configured = rule_of(run.config().evaluation)
    frozen = (run.model_card().rule if run.has_model else None) or configured
    kind = arguments.rule or frozen.kind
    for name, value in asked.items():
        if name not in OPTIONS[kind]:
            option = f"--{name.replace('_', '-')}"
            owner = next(rule for rule, names in OPTIONS.items() if name in names)
            now = "asked for" if arguments.rule else "frozen now"
            raise BadConfig(
                f"{option} {value:g}: expected with the rule {owner} only, got the rule {kind} ({now}). "
                f"Leave {option} out, or say --rule {owner}."
            )
    per_view = frozen.per_view if arguments.per_view is None else bool(arguments.per_view)
    return replace(frozen if kind == frozen.kind else configured, kind=kind, per_view=per_view, **asked)


def _within(given: float | None, name: str, top: float) -> float | None:
    """`given` where it is None or allowed: above 0 and below `top`, a target sensitivity also at it. Raises BadConfig."""
    closed = name == "--target"
    if given is not None and not (0 < given < top or (closed and given == top)):
        raise BadConfig(f"{name} {given:g}: expected a number above 0 and {'at most' if closed else 'below'} {top:g}")
    return given


def _settings(run: Run, overrides: list[str]) -> EvaluationConfig:
    """The run's evaluation settings with `evaluation.field=value` applied. Raises BadConfig for what is frozen."""
    from core.config import load_config

    for override in overrides:
        section, _, field = override.partition("=")[0].strip().partition(".")
        if section != "evaluation" or field not in SETTABLE:
            raise BadConfig(
                f"--set {override}: an evaluation can be told evaluation.{', evaluation.'.join(SETTABLE)}; everything else "
                "is frozen with the model. `python -m core threshold` chooses threshold and calibration again"
            )
    return load_config(run.path / "config.yaml", overrides).evaluation


def _cell(figure: Interval | str | None, instead: str | None = None) -> str:
    if isinstance(figure, str):
        return figure if instead is None else instead
    return "" if figure is None else str(figure)


def _told(figure: Interval | str | float | None) -> str:
    return f"{figure:.3f}" if isinstance(figure, float) else _cell(figure)


def _calibration(found: CalibrationSummary | str) -> str:
    if isinstance(found, str):
        return found
    known = "" if found.reference is None else f" (predicting the prevalence {found.reference:.3f})"
    return f"ECE {found.ece} (chance alone {found.chance:.3f}), Brier {found.brier}{known}"


def _baselines(evaluation: Evaluation) -> str:
    found = evaluation.baselines
    if isinstance(found, str):
        return found
    return "; ".join(f"{row.metric} {row.value:g}{row.spread} ({row.level} level, {row.source})" for row in found)


def _looks(evaluation: Evaluation) -> list[str]:
    """How often this split has been looked at, and when, as far as it is known."""
    from core.runs.test_set.provenance import read_parent

    earlier = evaluation.opened - len(evaluation.history)
    known = [
        f"{look.when} at threshold {look.thresholds.told()}, weights {look.weights_sha256[:8]}" for look in evaluation.history
    ]
    lines = [
        f"opened {times(evaluation.opened)}: {'; '.join((*([f'{earlier} not recorded'] if earlier else []), *known[-5:]))}"
    ]
    parent = read_parent(evaluation.folder) if evaluation.folder is not None and evaluation.split == "test" else None
    if parent is not None and parent.opened:
        before = f"before this run was forked from {parent.run}"
        lines.append(f"warning: {before}, the same test set had been opened {times(parent.opened)}")
    lines += [
        f"warning: the threshold was chosen again ({' to '.join(each.told() for each in change.change)}, {change.rule}) "
        f"on {change.when}, after this set had been opened {times(change.opened)}"
        for change in evaluation.refrozen
    ]
    return lines
