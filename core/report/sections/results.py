"""Results: development, performance, calibration, utility, the openings of the test set, published baselines."""

from __future__ import annotations

from core.evaluate import AGAIN, CalibrationReport, DecisionTable, Evaluation
from core.evaluate.baselines import known
from core.metrics import (
    LEVELS,
    TITLES,
    CalibrationSummary,
    Interval,
    Summary,
    ViewThresholds,
    at_level,
    decision_curve,
    operating_point,
    precision_recall,
    roc,
    roc_band,
    square_and_add,
)
from core.metrics.levels import UNITS
from core.report import figures
from core.report.document import Block, Facts, Figure, Missing, Row, Section, Table, Text, Warn
from core.report.material import SPLIT_WORDS, Material
from core.report.sections import endpoint, gaps, test_set, units
from core.report.sections.methods import training_time
from core.report.sections.worst_case import worst_case_blocks
from core.report.words import DASH, LEVEL_TITLES, counts_of, missing_figures, signed, told
from core.wording import counted, times

_BAND_SAMPLES = 500
PREVALENCES = (0.005, 0.01, 0.05)


def development(material: Material) -> Section:
    """Training curves, phases, best epoch, time."""
    card, epochs = material.card, material.epochs
    if not epochs:
        return Section("development", "Model development", (Text("The run has no recorded training curve."),))
    last = epochs[-1]
    best = next((event for event in epochs if event.get("epoch") == card.best_epoch), {})
    facts = [
        ("Epochs", f"{last['epoch']} of {material.config.training.epochs} planned"),
        ("Best epoch", f"{DASH if card.best_epoch is None else card.best_epoch}: its weights were kept"),
        ("Loss at the best epoch", f"training {_number(best.get('train_loss'))}, validation {_number(best.get('val_loss'))}"),
        ("Loss at the last epoch", f"training {_number(last.get('train_loss'))}, validation {_number(last.get('val_loss'))}"),
    ]
    if training_time(material):
        facts.append(("Time", training_time(material)))
    curves = Row(
        (
            figures.loss(
                "loss", material.events, "Loss by epoch. Training: each step pale, smoothed bold; validation after each epoch."
            ),
            figures.validation(
                "validation", material.events, "Validation figures by epoch; stars mark the epoch whose weights were kept."
            ),
        )
    )
    return Section("development", "Model development", (Facts(tuple(facts)), curves))


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) else DASH


def performance(material: Material) -> Section:
    """Every figure with its interval, at every level, on test and validation; curves."""
    blocks: list[Block] = []
    for split in ("test", "val"):
        if split not in material.evaluations:
            text = (
                f"The {SPLIT_WORDS[split]} set has not been evaluated: "
                f"{material.command(f'evaluate {{run}} --split {split}')} does it."
            )
            blocks.append(Missing(text))
    evaluation = material.shown
    if evaluation is None:
        return Section("performance", "Model performance", tuple(blocks))
    blocks += [Text(_intro(material)), *endpoint.blocks(material), _table(material)]
    blocks += [Text(said)] if (said := units.rules_words(material)) else []
    blocks += map(Warn, units.headline_warnings(material))
    for split, found in material.evaluations.items():
        lines = missing_figures(levels_of(material, found))
        blocks += [Text(f"{SPLIT_WORDS[split].capitalize()} set. {line}") for line in lines]
    blocks += worst_case_blocks(material, evaluation)
    blocks += _threshold(material, evaluation)
    blocks += units.aggregation_blocks(material)
    blocks += gaps.verification_blocks(material)
    blocks += _optimism(material)
    blocks += _figures(material, evaluation)
    return Section("performance", "Model performance", tuple(blocks))


def levels_of(material: Material, evaluation: Evaluation) -> dict[str, Summary | str]:
    """The levels that say something: without patients, breasts and patients are images under another name."""
    return {level: each for level, each in evaluation.levels.items() if level == "image" or material.patients_known}


def _intro(material: Material) -> str:
    sentences = [
        f"{SPLIT_WORDS[split].capitalize()} set: {counts_of(evaluation.summary, material.patients_known)}."
        for split, evaluation in material.evaluations.items()
    ]
    sentences.append(
        "Figures of validation are optimistic: it chose the epoch, the threshold and the calibration. They stand here for "
        "comparison only."
        if "val" in material.evaluations
        else ""
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _table(material: Material) -> Table:
    columns = []
    for split, evaluation in material.evaluations.items():
        for level, summary in levels_of(material, evaluation).items():
            if isinstance(summary, Summary) and (split == "test" or level == "image" or "test" not in material.evaluations):
                columns.append((f"{SPLIT_WORDS[split].capitalize()}, {UNITS[level]}", summary))
    rows = [(title, *(told(summary[name]) for _, summary in columns)) for name, title in TITLES.items()]
    rows.append(("True / false positive", *(f"{summary.counts.tp:,} / {summary.counts.fp:,}" for _, summary in columns)))
    rows.append(("True / false negative", *(f"{summary.counts.tn:,} / {summary.counts.fn:,}" for _, summary in columns)))
    rows.append(("Threshold", *(f"{summary.threshold:.4f}" for _, summary in columns)))
    rows += _view_rows(material, [(name, summary) for name, summary in columns])
    rows.append(
        ("Number (malignant)", *(f"{summary.rows:,} ({summary.counts.tp + summary.counts.fn:,})" for _, summary in columns))
    )
    confidence = columns[0][1].confidence
    note = "Sensitivity, specificity, precision, accuracy and F1 are at the frozen threshold of the level"
    by_view = any(evaluation.thresholds.own for evaluation in material.evaluations.values())
    note += ", of images at that of their view. " if by_view else ". "
    note += (
        "The Brier score is of scores before calibration"
        + (", of breasts and patients of the mean of their images' scores" if material.patients_known else "")
        + "; calibrated ones stand under calibration. A dash: see below."
    )
    caption = f"Performance with {confidence:.0%} intervals."
    return Table(caption, ("Figure", *(heading for heading, _ in columns)), tuple(rows), note=note)


def _view_rows(material: Material, columns: list[tuple[str, Summary]]) -> list[tuple[str, ...]]:
    """The thresholds of views that have their own; "" for columns that are not of images."""
    of_split = {f"{SPLIT_WORDS[split].capitalize()}, {UNITS['image']}": found for split, found in material.evaluations.items()}
    views = sorted({view for found in of_split.values() for view in found.thresholds.own})

    def cell(name: str, view: str) -> str:
        own = of_split[name].thresholds.own if name in of_split else {}
        return f"{own[view]:.4f}" if view in own else ""

    return [(f"Threshold of {view}", *(cell(name, view) for name, _ in columns)) for view in views]


def _threshold(material: Material, evaluation: Evaluation) -> list[Block]:
    """What the choice of the threshold on validation adds to the intervals at the frozen one."""
    levels = levels_of(material, evaluation)
    found = [(level, each) for level, each in evaluation.uncertainty.items() if level in levels]
    rows = tuple(
        (title, *cells)
        for level, each in found
        if not isinstance(each, str) and isinstance(each.threshold, Interval)
        for title, *cells in (
            (LEVEL_TITLES[level], *map(told, (each.threshold, each.sensitivity, each.specificity))),
            *((f"{LEVEL_TITLES[level]}: threshold of {view}", told(limits), "", "") for view, limits in each.views.items()),
        )
    )
    if not rows:
        return []
    note = (
        f"The values are those at the frozen threshold; the limits are percentiles of resamples of the validation and the "
        f"{SPLIT_WORDS[evaluation.split]} {'patients' if material.patients_known else 'images'} together, with the threshold "
        "chosen anew in each: what the table above leaves out."
    )
    head = ("Level", "Threshold", "Sensitivity", "Specificity")
    caption = f"Uncertainty of the threshold itself, {SPLIT_WORDS[evaluation.split]} set."
    return [Table(caption, head, rows, note=note)]


def _optimism(material: Material) -> list[Block]:
    test, val = material.test, material.evaluations.get("val")
    if test is None or val is None:
        return []
    sentences = []
    for name, words in (("auc", "AUC"), ("sensitivity", "sensitivity"), ("specificity", "specificity")):
        ours, theirs = test.summary[name], val.summary[name]
        if isinstance(ours, Interval) and isinstance(theirs, Interval):
            change = square_and_add(theirs, ours)
            limits = f"[{change.low:+.3f}, {change.high:+.3f}]"
            sentences.append(f"{words} {change.value:+.3f} {limits}".replace("-", "−"))
    if not sentences:
        return []
    note = (
        f"The {'patients' if material.patients_known else 'images'} are others, so chance alone moves these figures, and those "
        "of the validation set are optimistic: it chose the epoch, the threshold and the calibration. Limits by square-and-add "
        "from those of both sets."
    )
    return [Text(f"From validation to test, images: {', '.join(sentences)}. {note}")]


def _figures(material: Material, evaluation: Evaluation) -> list[Block]:
    frame, threshold, words = evaluation.predictions, evaluation.threshold, SPLIT_WORDS[evaluation.split]
    malignant, by_view = frame["label"] == "malignant", evaluation.thresholds
    at = f"thresholds by view ({by_view.words})" if by_view.own else "threshold"
    counts = figures.confusion("confusion", evaluation.summary.counts, f"Confusion matrix at the frozen {at}, {words} images.")
    moved = " Each less its view's threshold, plus the common one, so that one line parts them." if by_view.own else ""
    spread = figures.histogram(
        "scores",
        malignant,
        by_view.shifted(frame["score"], frame["view"]),
        threshold,
        f"Scores of benign and malignant images, {words} set.{moved}",
    )
    below = Row((counts, spread))
    # The same rule as for the figures: no curve of a class that is too small to tell about.
    told_of = {
        SPLIT_WORDS[split]: found for split, found in material.evaluations.items() if isinstance(found.summary["auc"], Interval)
    }
    if SPLIT_WORDS[evaluation.split] not in told_of:
        return [below]
    points = {
        name: (found.summary.counts.sensitivity, found.summary.counts.specificity, found.summary.counts.precision)
        for name, found in told_of.items()
    }
    beside = "s by view, which may lie beside the curve of all views" if by_view.own else ""
    rocs = {name: roc(found.predictions["label"], found.predictions["score"]) for name, found in told_of.items()}
    confidence = evaluation.summary.confidence
    band = roc_band(frame["label"], frame["score"], frame["patient_id"], samples=_BAND_SAMPLES, confidence=confidence)
    caption = (
        f"ROC curves, images. Dots: the frozen threshold{beside}. Band: {confidence:.0%}, pointwise, "
        f"{'patients' if material.patients_known else 'images'} resampled {_BAND_SAMPLES} times, {words} set."
    )
    curves = {name: precision_recall(found.predictions["label"], found.predictions["score"]) for name, found in told_of.items()}
    lines = "Precision and recall, images. Dotted: the share of malignant images, what chance would give."
    above = Row(
        (
            figures.roc_curve("roc", rocs, points, band, caption),
            figures.precision_recall_curve("precision-recall", curves, points, lines),
        )
    )
    return [above, below]


def calibration(material: Material) -> Section:
    """Whether a score of 0.3 means three in ten: per image, breast and patient, each with a calibration of its own."""
    title = "Calibration and model updating"
    evaluation = material.shown
    if evaluation is None or evaluation.calibration == AGAIN:
        return Section("calibration", title, (_absent(material, "Calibration"),))
    blocks: list[Block] = []
    for level in LEVELS:
        if level != "image" and not material.patients_known:
            continue
        report = evaluation.calibration_at(level)
        if isinstance(report, CalibrationReport):
            blocks += _calibration_of(material, evaluation, report)
        elif report == AGAIN:
            blocks.append(_absent(material, f"Calibration per {level}"))
        else:
            blocks.append(Text(f"Calibration per {level} cannot be told: {report}"))
    images = evaluation.calibration
    if not isinstance(images, CalibrationReport):
        return Section("calibration", title, tuple(blocks))
    names = _methods(images)
    shown = {names[name]: images.bins[name] for name in dict.fromkeys(("none", images.frozen.method)) if name in images.bins}
    if shown:
        words = SPLIT_WORDS[evaluation.split]
        caption = (
            f"Reliability, {words} images: share of malignant by mean score in ten bins of as many images. Dotted: perfect."
        )
        blocks.append(Row((figures.reliability_diagram("reliability", shown, caption), *_decision_figure(evaluation, images))))
    return Section("calibration", title, tuple(blocks))


def _methods(report: CalibrationReport) -> dict[str, str]:
    return {name: "scores as they come" if name == "none" else name for name in report.summaries}


def _calibration_of(material: Material, evaluation: Evaluation, report: CalibrationReport) -> list[Block]:
    """What is frozen for this level, whether probabilities may be shown, and the figures of every method."""
    method, unit, names = report.frozen.method, UNITS[report.level], _methods(report)
    frozen = {
        "none": "no calibration is frozen with the model.",
        "temperature": f"temperature {1 / report.frozen.slope:.3f} is frozen with the model, fitted on validation.",
        "logistic": f"logistic calibration is frozen with the model, slope {signed(report.frozen.slope)} and intercept "
        f"{signed(report.frozen.intercept)}, fitted on validation.",
        "isotonic": f"isotonic calibration is frozen with the model, {len(report.frozen.x)} points, fitted on validation.",
    }[method]
    why = f"{report.note[:1].upper()}{report.note[1:].rstrip('.')}." if report.note else ""
    blocks: list[Block] = [Text(f"Per {report.level}: {frozen} {why}".strip())]
    if report.no_probability and report.no_probability != report.note:
        blocks.append(Warn(f"No probability per {report.level} should be shown: {report.no_probability}."))
    if report.on_validation:
        blocks.append(Warn(f"These are the {unit} that the calibration was fitted on: it looks too good here."))
    rows: list[tuple[str, ...]] = []
    marked: set[int] = set()
    reference: float | None = None
    for index, (name, summary) in enumerate(report.summaries.items()):
        mark = " (frozen)" if name == method and method != "none" else ""
        if mark:
            marked.add(index)
        if isinstance(summary, CalibrationSummary):
            reference = summary.reference
            cells: tuple[str, ...] = (
                told(summary.brier),
                _either(summary.scaled_brier),
                _either(summary.observed_expected),
                told(summary.ece),
                f"{summary.chance:.3f}",
                _either(summary.slope),
                _either(summary.intercept),
            )
        else:
            cells = (summary, *[""] * 6)
        rows.append((names[name] + mark, *cells))
    many = "patients" if material.patients_known else "images"
    note = (
        f"A row is of {unit}: "
        + {
            "image": "scores of images",
            "breast": "the score of a breast is the mean of its images'",
            "patient": "the score of a patient is the mean of her images'",
        }[report.level]
    )
    if reference is not None:
        note += (
            f". The reference: predicting the share of malignant for every {report.level} has a Brier score of {reference:.3f} "
            "and a scaled Brier score of 0; below 0 is worse than that"
        )
    note += (
        ". O/E: malignant ones observed for each that the scores expect. ECE: lower is better; beside it what as many "
        f"{many} of a perfectly calibrated model would show. A slope below 1: scores too extreme; an intercept below 0: scores "
        "too high on the whole."
    )
    if isinstance(report.summaries.get("isotonic"), CalibrationSummary):
        note += (
            " Not for isotonic calibration: its risks of exactly 0 or 1 have no logit and are cut, and slope and intercept "
            "depend on where."
        )
    head = ("Method", "Brier score", "Scaled Brier", "O/E", "ECE", "ECE by chance", "Slope", "Intercept")
    caption = f"Calibration on the {SPLIT_WORDS[evaluation.split]} set, {unit}."
    return [*blocks, Table(caption, head, tuple(rows), note=note, marked=frozenset(marked), small=True)]


def _either(figure: Interval | str) -> str:
    return told(figure) if isinstance(figure, Interval) else "undefined"


def _decision_figure(evaluation: Evaluation, report: CalibrationReport) -> tuple[Figure, ...]:
    if not isinstance(evaluation.decision, DecisionTable) or not isinstance(evaluation.summary["auc"], Interval):
        return ()
    frame = evaluation.predictions
    curve = decision_curve(
        frame["label"], report.frozen.apply(frame["score"]), frame["patient_id"], samples=evaluation.summary.samples
    )
    caption = (
        f"Decision curve, per image, at this set's {curve.prevalence:.1%} of malignant images, scores calibrated by "
        f"{report.frozen.method if report.frozen.method != 'none' else 'nothing'}. Band: {curve.confidence:.0%}, pointwise."
    )
    return (figures.decision("decision", curve, None, caption),)


def _absent(material: Material, what: str) -> Missing:
    evaluation = material.shown
    if evaluation is None:
        return Missing(f"{what}: no split has been evaluated yet. {material.command('evaluate {run}')} does it.")
    again = material.command(f"evaluate {{run}} --split {evaluation.split}")
    return Missing(
        f"{what}: not part of this evaluation, which an earlier version made. {again} adds it, and counts as an opening."
    )


def utility(material: Material) -> Section:
    """Net benefit, and predictive values at prevalences of screening."""
    evaluation, title = material.shown, "Clinical utility"
    if evaluation is None or evaluation.decision == AGAIN:
        return Section("utility", title, (_absent(material, "Net benefit"), *_predictive(material, evaluation)))
    decision = evaluation.decision
    if not isinstance(decision, DecisionTable):
        return Section("utility", title, (Text(f"Net benefit cannot be told: {decision}"), *_predictive(material, evaluation)))
    tables = [_net_benefit(material, each, SPLIT_WORDS[evaluation.split]) for each in _decisions(material, evaluation)]
    return Section("utility", title, (*tables, *_predictive(material, evaluation)))


def _decisions(material: Material, evaluation: Evaluation) -> list[DecisionTable]:
    """Net benefit per image, breast and patient, as far as it can be told."""
    found = [evaluation.decision_at(level) for level in LEVELS if level == "image" or material.patients_known]
    return [each for each in found if isinstance(each, DecisionTable)]


def _breasts(material: Material) -> str:
    """How many breasts of how many patients were scored: not every patient has both."""
    summary = None if material.shown is None else material.shown.levels.get("breast")
    if not isinstance(summary, Summary):
        return "a patient may have two"
    return f"{counted(summary.rows, 'breast')} of {counted(summary.patients, 'patient')}"


def _net_benefit(material: Material, decision: DecisionTable, words: str) -> Table:
    rows = tuple((f"{row.threshold:.0%}", told(row.model), signed(row.treat_all), "0") for row in decision.rows)
    unit = UNITS[decision.level]
    whose = {
        "image": "a patient may have several, and the share of patients with cancer is another",
        "breast": f"{_breasts(material)}, and the share of patients with cancer is another",
        "patient": "this is per person",
    }[decision.level]
    if not material.patients_known:
        whose = "a person may have several"
    note = (
        f"Net benefit per {decision.level}, where {decision.prevalence:.1%} of the {unit} are malignant, which is not the "
        f"share of screening; {whose}. Calibration: {decision.calibration}. Somebody who would examine 19 healthy ones to find "
        "one cancer acts at a risk of 5%."
    )
    head = ("Acting at a risk of", "On the model", "On all", "On none")
    return Table(f"Net benefit per {decision.level}, {words} set.", head, rows, note=note)


def _predictive(material: Material, evaluation: Evaluation | None) -> list[Block]:
    """What the frozen threshold would mean at a prevalence; for patients where they can be told, else images."""
    if evaluation is None:
        return []
    for level in ("patient", "image"):
        summary = levels_of(material, evaluation).get(level)
        if isinstance(summary, Summary) and all(isinstance(summary[name], Interval) for name in ("sensitivity", "specificity")):
            break
    else:
        few = "patients" if material.patients_known else "images"
        return [Text(f"Predictive values cannot be told: too few {few} of a class.")]
    table = at_level(evaluation.predictions, level)
    by_view = evaluation.thresholds if level == "image" else ViewThresholds(summary.threshold)
    applied = by_view.of_rows(table) if by_view.own else summary.threshold
    point = operating_point(table["label"], table["score"], applied, table["patient_id"], confidence=summary.confidence)
    at = f"thresholds by view ({by_view.words})" if by_view.own else f"threshold {summary.threshold:.4f}"
    rows = []
    for found, words in (
        *((point.at(value), f"{value:.1%}") for value in PREVALENCES),
        (point.own, f"{point.own.prevalence:.1%} (this set's {UNITS[level]})"),
    ):
        people = (found.recalled, found.found, found.missed, found.false_alarms)
        cells = (f"{figure.value:.1f} [{figure.low:.1f},\u00a0{figure.high:.1f}]" for figure in people)
        rows.append((words, told(found.ppv), told(found.npv), *cells))
    note = (
        f"{LEVEL_TITLES[level]}, {at}, sensitivity {told(point.sensitivity)}, specificity "
        f"{told(point.specificity)}. Per 1,000 {UNITS[level]}. A prevalence without a set is taken as known: its limits are "
        "those of sensitivity and specificity alone. The last row is what happened in this set, with limits of its own shares. "
        f"Holds only if those screened resemble these {UNITS[level]} in all but "
        "how many are ill."
    )
    head = ("Prevalence", "PPV", "NPV", "Recalled per 1,000", "Found", "Missed", "False alarms")
    return [Table("What the frozen threshold would mean at other prevalences.", head, tuple(rows), note=note, small=True)]


def openings(material: Material) -> Section:
    """How often the test set was looked at, when, and what changed in between; external tests."""
    test = material.test
    asked = material.ask("external")
    if test is None:
        return Section(
            "openings",
            "Openings of the test set, external testing",
            (
                Text("The test set has never been opened for this run."),
                *test_set.seen(material),
                *test_set.blocks(material),
                asked,
            ),
        )
    blocks: list[Block] = [
        Text(
            f"The test set was evaluated {times(test.opened)} for this run, last on {test.last_opened[:10]}. MammoLab counts; "
            "nobody can take one back."
        ),
        *test_set.seen(material),
    ]
    if material.parent is not None:
        before = f"had been opened {times(material.parent.opened)}" if material.parent.opened else "had not been opened"
        blocks.append(Text(f"Before this run was forked from {material.parent.run}, the same test set {before}."))
    if test.history:
        rows = tuple(
            (
                str(test.opened - len(test.history) + index),
                opening.when.replace("T", " "),
                opening.thresholds.told(6),
                f"`{opening.weights_sha256[:12]}`",
            )
            for index, opening in enumerate(test.history, start=1)
        )
        blocks.append(
            Table("Openings of the test set that are on record.", ("No.", "When (UTC)", "Threshold", "Weights"), rows)
        )
    blocks += [
        Warn(
            f"On {change.when[:10]}, after {counted(change.opened, 'opening')}, the threshold was chosen again "
            f"({change.rule}): "
            f"{' became '.join(each.told(6) for each in change.change)}. What follows was chosen with the test set in view."
        )
        for change in test.refrozen
    ]
    blocks += test_set.blocks(material)
    return Section("openings", "Openings of the test set, external testing", (*blocks, asked))


def _results(count: int) -> str:
    return f"{counted(count, 'result')} on this set {'is' if count == 1 else 'are'}"


def baselines(material: Material) -> Section:
    """Published results on the same data set and split, if there are such."""
    title, evaluation = "Published results", material.test
    if evaluation is None:
        return Section("baselines", title, (Text("Nothing is compared before the test set has been evaluated."),))
    if evaluation.baselines == AGAIN:
        return Section("baselines", title, (_absent(material, "Published results"),))
    if isinstance(evaluation.baselines, str) or not evaluation.baselines:
        why = evaluation.baselines if isinstance(evaluation.baselines, str) and evaluation.baselines else "none is known"
        return Section("baselines", title, (Text(f"{why[:1].upper()}{why[1:].rstrip('.')}."),))
    rows = []
    for row in evaluation.baselines:
        summary = evaluation.levels.get(row.level)
        own = summary.get(row.metric) if isinstance(summary, Summary) else None
        value = f"{row.value:.3f} {row.spread}".strip()
        rows.append(
            (
                row.model,
                row.level,
                TITLES.get(row.metric, row.metric),
                value,
                told(own),
                f"{row.source}. {row.link.removeprefix('https://')}",
            )
        )
    head = ("Published model", "Level", "Figure", "Published", "This run", "Source")
    note = f"Same data set, same test split. {_results(len(known(evaluation.baselines[0].dataset)))} known to MammoLab."
    table = Table("Published results on the same images.", head, tuple(rows), note=note, words=frozenset({5}), small=True)
    return Section("baselines", title, (table,))
