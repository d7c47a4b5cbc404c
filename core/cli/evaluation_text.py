"""An evaluation as the command line prints it: a table, and a line for everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.cli.evaluation_tables import calibration_text, cell, print_tables, print_units
from core.cli.output import print_table, printable
from core.wording import counted, times

if TYPE_CHECKING:
    from core.evaluate import Evaluation

SHOWN = 5  # excluded images that are listed before "and 12 more"


def show(evaluation: Evaluation, *, full: bool = False) -> None:
    """Print an evaluation: metrics of images, then a line for everything else; `full` prints every table."""
    from core.data.identity import patients_known
    from core.evaluate import excluded_words
    from core.evaluate.headline import headline_aucs
    from core.metrics import Interval

    known = patients_known(evaluation.predictions)
    whose = (
        f" of {counted(evaluation.patients, 'patient')}" if known else ", each counted by itself: whose they are is not known"
    )
    print(f"{printable(evaluation.run)}, {evaluation.split}: {evaluation.size_words}{whose}")
    if evaluation.split == "val" and (words := _out_of_fold(evaluation)):
        print(words)
    print_table(evaluation.table_rows(), ("metric", "value", f"{evaluation.summary.confidence:.0%} interval", "note"))
    units = headline_aucs(evaluation)
    if evaluation.thresholds.per_view:
        print(f"image level, thresholds by view: {evaluation.thresholds.words}")
        if why := evaluation.thresholds.notes_words:
            print(why)
    if evaluation.level == "breast":
        print(f"the table is of breasts; image level: {evaluation.levels['image']}")
    for level in ("breast", "patient") if known else ():
        summary = evaluation.levels[level]
        if isinstance(summary, str):
            print(f"{level} level: {summary}")
        else:
            metrics = ", ".join(f"{name} {cell(summary[name])}" for name in ("auc", "sensitivity", "specificity"))
            print(f"{level} level, {counted(summary.rows, level)} at their own threshold {summary.threshold:.3f}: {metrics}")
            print(f"  score of a {level}: {units[level].rule}")
            if units[level].sentence:
                print(f"  warning: {units[level].sentence}")
    for level, found in evaluation.uncertainty.items():
        if (known or level == evaluation.level) and not isinstance(found, str) and isinstance(found.threshold, Interval):
            views = "".join(f", of {view} images {each}" for view, each in found.views.items())
            print(
                f"{level} level, validation and {evaluation.split} resampled together: threshold {found.threshold}{views}, "
                f"sensitivity {found.sensitivity}, specificity {found.specificity}"
            )
    if full:
        print(f"all intervals below, where no other level is named, are of {evaluation.summary.confidence:.0%}")
        print_tables(evaluation, known)
        if known:
            print_units(evaluation)
    else:
        _summary_lines(evaluation)
    if evaluation.excluded:
        print(printable(excluded_words(evaluation.excluded)))
        for item in evaluation.excluded[: None if full else SHOWN]:
            print(printable(f"  {item.path}: {item.reason}"))
        if not full and len(evaluation.excluded) > SHOWN:
            print(f"  and {len(evaluation.excluded) - SHOWN} more (--full names all)")
    print(f"baselines: {_baselines(evaluation)}")
    for warning in model_warnings(evaluation):
        print(printable(f"warning: {warning}"))
    for line in _evaluation_lines(evaluation):
        print(printable(line))


def _out_of_fold(evaluation: Evaluation) -> str:
    """How the validation images of an ensemble were scored; "" for any other model."""
    from core.model import has_model, read_card

    if evaluation.folder is None or not has_model(evaluation.folder):
        return ""
    return read_card(evaluation.folder).validation_words


def model_warnings(evaluation: Evaluation) -> list[str]:
    """What stands beside every metric of the model: see core.metrics.leakage_mark."""
    from core.metrics.leakage_mark import warnings_of_model
    from core.model import has_model, read_card

    if evaluation.folder is None or not has_model(evaluation.folder):
        return []
    return warnings_of_model(read_card(evaluation.folder), evaluation.folder)


def _summary_lines(evaluation: Evaluation) -> None:
    from core.evaluate.further import sentence_of
    from core.evaluate.subgroup_tests import count_tests, differing, equivalence_sentence, omnibus_sentence
    from core.metrics.features import feature_title, feature_words, value_title
    from core.metrics.levels import UNITS

    report = evaluation.calibration
    if isinstance(report, str):
        print(f"calibration: {report}")
    else:
        print(
            f"calibration: as scored {calibration_text(report.before)}; {report.frozen.method} {calibration_text(report.after)}"
        )
    audit = evaluation.shortcuts
    if isinstance(audit, str):
        print(f"shortcut audit: {audit}")
    elif audit.features:
        compared = "" if audit.metadata is None else audit.metadata.feature
        last = next((row for row in audit.features if row.feature == compared), audit.features[-1])
        print(
            f"shortcut audit: label from metadata ({feature_words(last.feature)}) AUC {cell(last.auc)}; model "
            f"{cell(audit.model)}, among {UNITS[evaluation.level]} alike in them {cell(last.within)}"
        )
        if audit.metadata is not None:
            print(printable(audit.metadata.sentence))
        if audit.aside:
            print(printable(audit.aside))
        if evaluation.further:
            print(printable(f"{sentence_of(evaluation.further)} --full says why"))
    apart = [
        f"{feature_title(row.feature)} {value_title(row.feature, row.value)} ({', '.join(each.name for each in found)})"
        for row in evaluation.subgroups
        if (found := differing(row))
    ]
    made = counted(count_tests(evaluation.subgroups), "test")
    alike = equivalence_sentence(evaluation.subgroups, evaluation.equivalence_margin, evaluation.summary.confidence)
    print(
        f"subgroups: {len(evaluation.subgroups)}, compared with the other {UNITS[evaluation.level]} of known value in {made}; "
        f"different (p < 0.05 adjusted for all tests): {', '.join(apart) or 'none'}. --full prints the tables"
    )
    for words in (omnibus_sentence(evaluation.omnibus), alike):
        if words:
            print(printable(words))


def _baselines(evaluation: Evaluation) -> str:
    found = evaluation.baselines
    if isinstance(found, str):
        return found
    return "; ".join(f"{row.metric} {row.value:g}{row.spread} ({row.level} level, {row.source})" for row in found)


def _evaluation_lines(evaluation: Evaluation) -> list[str]:
    """How often this split has been evaluated, and when, as far as it is known."""
    from core.runs.test_set.provenance import read_parent

    earlier = evaluation.evaluations - len(evaluation.history)
    known = [
        f"{each.when} at threshold {each.thresholds.stated()}, weights {each.weights_sha256[:8]}" for each in evaluation.history
    ]
    lines = [
        f"evaluated {times(evaluation.evaluations)}: "
        f"{'; '.join((*([f'{earlier} not recorded'] if earlier else []), *known[-5:]))}"
    ]
    parent = read_parent(evaluation.folder) if evaluation.folder is not None and evaluation.split == "test" else None
    if parent is not None and parent.evaluations:
        before = f"before this run was forked from {parent.run}"
        lines.append(f"warning: {before}, the same test set had been evaluated {times(parent.evaluations)}")
    lines += [
        f"warning: the threshold was chosen again ({' to '.join(each.stated() for each in change.change)}, {change.rule}) "
        f"on {change.when}, after this set had been evaluated {times(change.evaluations)}"
        for change in evaluation.refrozen
    ]
    return lines
