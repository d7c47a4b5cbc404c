"""What could make the metrics misleading: subgroups, shortcuts, and heatmaps that were audited."""

from __future__ import annotations

from collections.abc import Sequence

from core.evaluate import AGAIN
from core.evaluate.further import FurtherColumn
from core.evaluate.subgroup_tests import comparisons, count_tests, differing, equivalence_sentence, equivalent, omnibus_sentence
from core.heatmap_audit import HeatmapAudit, MethodAudit
from core.heatmap_audit.results import ALL as EVERY_IMAGE
from core.heatmap_audit.results import REFERENCES, detection_rows
from core.metrics import MIN_PATIENTS, Interval, ShortcutAudit, Subgroup
from core.metrics.features import ALL, feature_title, feature_words, value_title
from core.metrics.shortcut_columns import OF_PATIENT
from core.metrics.shortcut_results import Shortcut, metadata_words
from core.report import figures
from core.report.document import Block, Figure, Missing, Points, Row, Section, Table, Text
from core.report.material import SPLIT_WORDS, Material
from core.report.sections.evaluated import absent
from core.report.words import DASH, minus, size_of, stated, stated_or_note
from core.wording import counted, listed, p_value

_ROWS_A_METRIC = 30


def subgroups(material: Material) -> Section:
    """The metrics within groups, as a forest and as a table."""
    title, evaluation = "Subgroups and fairness", material.shown
    if evaluation is None or (evaluation.version < 2 and not evaluation.subgroups):
        return Section("subgroups", title, (absent(material, "Subgroups"),))
    if not evaluation.subgroups:
        text = "No column of the manifest or the files has two values or more, so there are no subgroups."
        return Section("subgroups", title, (Text(text),))
    found = evaluation.subgroups
    compared = [row for row in found if comparisons(row)]
    small = [row for row in compared if differing(row)]
    words = SPLIT_WORDS[evaluation.split]
    text = (
        f"{counted(len(found), 'group')} on the {words} set. {len(compared)} {'was' if len(compared) == 1 else 'were'} "
        f"compared with all other {material.units} whose value is known, in {counted(count_tests(found), 'test')}, for which "
        f"the p values are adjusted (Holm); {len(small)} of the groups {'differs' if len(small) == 1 else 'differ'} at 0.05 "
        "after that. A group that does not differ has not been shown to be equal: most groups are small, and groups overlap in "
        "what else sets them apart. "
        f"{equivalence_sentence(found, evaluation.equivalence_margin, evaluation.summary.confidence)} "
        f"{omnibus_sentence(evaluation.omnibus)}"
    )
    blocks: list[Block] = [Text(text.strip())]
    if small:
        blocks.append(Points(tuple(_gap(row) for row in small)))
    blocks += _forests(found, evaluation.summary["auc"], words, material.patients_known, material.units)
    confidence = evaluation.summary.confidence
    margin, known = evaluation.equivalence_margin, material.patients_known
    blocks += _subgroup_tables(found, words, known, margin, confidence, material.units)
    return Section("subgroups", title, tuple(blocks))


def _gap(row: Subgroup) -> str:
    said = [
        f"{each.name} {stated(each.metric)}, difference {stated(each.difference)} from the other images of known value, "
        f"adjusted p {p_value(each.adjusted)}"
        for each in differing(row)
    ]
    return f"{feature_title(row.feature)} {value_title(row.feature, row.value)}: {'; '.join(said)}."


def _forests(found: Sequence[Subgroup], whole: Interval | str, words: str, known: bool, units: str) -> list[Block]:
    counted = "patients with a malignant image of all patients" if known else "malignant of all images"
    rows: list[tuple[str, Interval | str]] = []
    heads: list[bool] = []
    before = ""
    for row in found:
        if row.compared != "auc" or not any(isinstance(other.auc, Interval) for other in found if other.feature == row.feature):
            continue
        if row.feature != before:
            rows.append((feature_title(row.feature), ""))
            heads.append(True)
            before = row.feature
        numbers = f"{row.malignant_patients}/{row.patients}" if known else f"{row.malignant_images}/{row.images}"
        rows.append((f"{value_title(row.feature, row.value)} ({numbers})", row.auc))
        heads.append(False)
    reference = whole if isinstance(whole, Interval) else None
    drawn: list[Block] = []
    for number, (start, end) in enumerate(_pages(heads), start=1):
        marks = frozenset(index for index, head in enumerate(heads[start:end]) if head)
        caption = (
            f"AUC of {units} in subgroups of the {words} set; in brackets {counted}. "
            "Grey: the whole set with its interval; dotted: chance."
        )
        name = f"subgroups-{number}"
        drawn.append(figures.forest(name, rows[start:end], caption, reference=reference, heads=marks))
    return drawn


def _pages(heads: Sequence[bool]) -> list[tuple[int, int]]:
    """Stretches of rows that fit a page, cut before a heading where one is near."""
    cuts, start = [], 0
    while len(heads) - start > _ROWS_A_METRIC:
        end = start + _ROWS_A_METRIC
        near = [index for index in range(start + _ROWS_A_METRIC // 2, end + 1) if heads[index]]
        end = near[-1] if near else end
        cuts.append((start, end))
        start = end
    return [*cuts, (start, len(heads))] if len(heads) > start else cuts


def _subgroup_tables(
    found: Sequence[Subgroup], words: str, known: bool, margin: float, confidence: float, units: str
) -> list[Table]:
    """The metrics of every group, and what was tested of them."""
    rows: list[tuple[str, ...]] = []
    gaps: list[tuple[str, ...]] = []
    marked: set[int] = set()
    before = named = ""
    for row in found:
        value = value_title(row.feature, row.value)
        name = f"{feature_title(row.feature)}: {value}" if row.feature != before else f"   {value}"
        before = row.feature
        people = (f"{row.malignant_patients}/{row.patients}",) if known else ()
        shown = (stated(row.auc), stated(row.sensitivity), stated(row.specificity))
        rows.append((name, f"{row.malignant_images}/{row.images}", *people, *shown))
        apart, alike = differing(row), equivalent(row, margin)
        made = {
            each.name: f"{stated(each.difference)}, p {p_value(each.adjusted)}"
            + (", differs" if each in apart else "")
            + (", equivalent" if each in alike else "")
            for each in comparisons(row)
        }
        if made:
            if apart:
                marked.add(len(gaps))
            name = f"{feature_title(row.feature)}: {value}" if row.feature != named else f"   {value}"
            named = row.feature
            gaps.append((name, *(made.get(metric, DASH) for metric in ("AUC", "sensitivity", "specificity"))))
    note = (
        f"Malignant of all. A dash: fewer than {MIN_PATIENTS} {'patients' if known else 'images'} of a class in the group, or "
        "images of one class only."
    )
    head = ("Group", "Images", *(("Patients",) if known else ()), "AUC", "Sensitivity", "Specificity")
    tables = [
        Table(f"Subgroups of the {words} set, {units}, {confidence:.0%} intervals.", head, tuple(rows), note=note, small=True)
    ]
    if not gaps:
        return tables
    note = (
        f"The group less all other {units} whose value is known; p adjusted for the {counted(count_tests(found), 'test')} of "
        f"the table (Holm). Not in it: an unknown value, and groups with fewer than {MIN_PATIENTS} "
        f"{'patients' if known else 'images'} of a class, or whose others have fewer. A dash: too few for this metric. Kinds "
        "of lesions are compared by sensitivity, among malignant images. Differs: an adjusted p below 0.05. Equivalent: the "
        f"whole interval lies within ±{margin:g}, the margin that was set; with neither word, nothing is shown."
    )
    caption = f"Subgroups of the {words} set, differences from the other {units}, {confidence:.0%} intervals."
    heads = ("Group", "AUC", "Sensitivity", "Specificity")
    return [*tables, Table(caption, heads, tuple(gaps), note=note, marked=frozenset(marked), small=True)]


def shortcuts(material: Material) -> Section:
    """How far metadata alone predict the label, beside the model."""
    title, evaluation = "Shortcut audit", material.shown
    if evaluation is None or evaluation.shortcuts == AGAIN:
        return Section("shortcuts", title, (absent(material, "Shortcut audit"),))
    audit = evaluation.shortcuts
    if not isinstance(audit, ShortcutAudit):
        return Section("shortcuts", title, (Text(f"The audit cannot be made: {audit}"),))
    words = SPLIT_WORDS[evaluation.split]
    if not audit.features:
        return Section("shortcuts", title, (Text(f"Not audited: {_NO_METADATA}"),))
    learned = (
        f"learned on {counted(audit.learned_on, 'training image')}"
        if audit.learned_on
        else f"{audit.folds}-fold cross-validation of {'patients' if material.patients_known else 'images'}"
    )
    text = (
        f"How well the label can be predicted from metadata alone, without a pixel ({learned}; "
        f"{size_of(audit.images, audit.patients, material.patients_known)} of the {words} set), beside the model's AUC of "
        f"{stated(audit.model)}. What the metadata predict, a model may have read off the images. Its AUC among images that "
        "share a category cannot come from that category."
        + (
            " For numbers, and for all columns together, images share a fifth of the range only: differences within a "
            "fifth may play a part in the model's AUC there."
            if any(row.in_bands for row in audit.features)
            else ""
        )
        + (f" Not known here, so not audited: {listed(audit.not_known)}." if audit.not_known else "")
    )
    blocks: list[Block] = [Text(text)]
    if audit.metadata is not None:
        blocks.append(Text(minus(audit.metadata.sentence)))
    if audit.aside:
        blocks.append(Text(audit.aside))
    named = [(feature_title(row.feature), row) for row in audit.features]
    reference = audit.model if isinstance(audit.model, Interval) else None
    caption = (
        "Shortcuts: AUC of the label predicted from metadata (circles), and the model's AUC among images that share the value "
        "(diamonds). Grey: the model on all images; dotted: chance."
    )
    rows = [(name, row.auc) for name, row in named]
    both = ("from metadata alone", "model, among images that share it")
    blocks.append(
        figures.forest("shortcuts", rows, caption, reference=reference, second=[row.within for _, row in named], names=both)
    )
    table = tuple(
        (name, stated_or_note(row.auc), stated_or_note(row.within), f"{row.pairs:.0%}", verdict(row)) for name, row in named
    )
    boosted = next((row.boosting for row in audit.features if isinstance(row.boosting, Interval)), None)
    note = "Pairs: share of the pairs of a malignant and a benign image that share the value, on which the third column rests."
    note += f" Gradient boosting on all columns together: {stated(boosted)}." if boosted else ""
    note += (
        f" Left out, since they never vary in the scored or the training images, or name nearly every image: "
        f"{', '.join(map(feature_title, audit.left_out))}."
        if audit.left_out
        else ""
    )
    head = ("Metadata", "AUC from it alone", "Model among equals", "Pairs", "Reading")
    level = f"{evaluation.summary.confidence:.0%} intervals"
    blocks.append(
        Table(f"Shortcut audit, {words} set; {level} decide the reading.", head, table, note=note, words=frozenset({4}))
    )
    if evaluation.further:
        blocks.append(_further(evaluation.further))
    return Section("shortcuts", title, tuple(blocks))


def _further(found: Sequence[FurtherColumn]) -> Table:
    """What became of every column of the manifest that has no meaning of its own here."""
    note = (
        "Of the known columns age, image height and width and the number of images are numbers, all others categories. A "
        "further column is read by its name and values, never by labels; the settings `evaluation.numeric_columns` and "
        "`evaluation.category_columns` count before that. What was found or decided about the case (its reading, biopsy or "
        "pathology) predicts the label, but is no shortcut that an image could show."
    )
    rows = tuple((each.name, each.read or "left out", each.why) for each in found)
    head = ("Column", "Read as", "Why")
    return Table("Further columns of the manifest.", head, rows, note=note, words=frozenset({2}), small=True)


_NO_METADATA = "no metadata column differs between these images, or none is known."


def verdict(row: Shortcut) -> str:
    """What a row says by its own two intervals; nothing of the model against the metadata, which they do not compare."""
    if isinstance(row.auc, str):
        return "too little data"
    if row.auc.low > 0.5:
        said = "predicts the label better than chance"
    elif row.auc.high < 0.5:
        said = "predicts the label the other way round here than where it was learned"
    else:
        said = "not shown to predict the label"
    if not isinstance(row.within, Interval):
        return said
    equals = "within a fifth of the range" if row.in_bands else "among equals"
    if row.within.low > 0.5:
        return f"{said}; the model is better than chance {equals}"
    return f"{said}; {equals} the model is not shown to be better than chance"


def worrying(audit: ShortcutAudit) -> list[str]:
    """Features that tell the label, and among images alike in which the model is not shown to be better than chance.

    None for a model that is not shown to be better than chance at all. Whether it tells more than all of them is not read off
    two intervals: `ShortcutAudit.metadata` tests it. Not among them: the numbers of a patient's images and sides, which no
    image shows, and what was found or decided about the case.
    """
    if not isinstance(audit.model, Interval) or audit.model.low <= 0.5:
        return []  # among equals such a model is not better than chance either, whatever the feature
    found = []
    for row in audit.features:
        if row.feature in (*OF_PATIENT, *audit.apart) or not isinstance(row.auc, Interval) or row.auc.low <= 0.5:
            continue
        if isinstance(row.within, Interval) and row.within.low <= 0.5:
            found.append(f"{metadata_words(audit.columns)} together" if row.feature == ALL else feature_words(row.feature))
    return found


def heatmap_audit(material: Material) -> Section:
    """The audit of the heatmaps, for every split and data set that has one."""
    title = "Audit of the heatmaps"
    if not material.audits:
        text = (
            f"The heatmaps of this run have not been audited: {material.command('audit {run}')} compares them with "
            "lesions and with chance."
        )
        return Section("heatmap-audit", title, (Missing(text),))
    blocks: list[Block] = []
    weights = material.card.weights_sha256
    for split, audit in material.audits.items():
        where = f"--split {split}" if split in SPLIT_WORDS else "--manifest FILE"
        again = material.command(f"audit {{run}} {where}")
        if isinstance(audit, str):
            blocks.append(Missing(f"The audit {split} is {audit}: {again} makes it again."))
            continue
        if audit.weights_sha256 != weights:
            blocks.append(Missing(f"The audit {split} is of earlier weights: {again} makes it again."))
        blocks += _audit(split, audit, material.patients_known or audit.external)
    return Section("heatmap-audit", title, tuple(blocks))


def _audit(split: str, audit: HeatmapAudit, known: bool) -> list[Block]:
    name = (
        f"another data set ({split.removeprefix('external-')})"
        if audit.external
        else f"the {SPLIT_WORDS.get(split, split)} set"
    )
    synthetic = "; images or model are synthetic" if audit.external else ", synthetic"
    blocks: list[Block] = [
        Text(f"On {name}: {size_of(audit.images, audit.patients, known)}{synthetic if audit.synthetic else ''}.")
    ]
    for method in audit.methods:
        blocks.append(Text(f"Method {method.method}, read from layer {method.layer or DASH}:"))
        blocks.append(Points(method.verdict))
        blocks.append(_audit_table(method, name, audit.settings.confidence))
        curves = _curves(split, method)
        blocks += [Row(curves)] if curves else []
    blocks.append(Text(" ".join(audit.notes)))
    return blocks


def _audit_table(method: MethodAudit, name: str, level: float) -> Table:
    rows, known = [], method.unit == "patient"
    few = [metric for metric in method.metrics if metric.group != EVERY_IMAGE and isinstance(metric.value, str)]
    for metric in method.metrics:
        if metric in few:
            continue
        beside = [
            f"{REFERENCES[key]} {reference.value.value:.3f}, difference {stated(reference.difference)}"
            for key, reference in metric.references.items()
            if isinstance(reference.value, Interval)
        ]
        value = stated_or_note(metric.value)
        size = f"{metric.images} ({metric.patients})" if known else str(metric.images)
        rows.append((metric.title, value, "; ".join(beside) or DASH, size))
    for title, value, limits, note in detection_rows(method.detection, method.unit):
        rows.append((title, minus(f"{value} {limits}".strip()), note, DASH))
    head = ("Metric", "Value", "Compared with, or resting on", "Images (patients)" if known else "Images")
    groups = ", ".join(dict.fromkeys(metric.group for metric in few))
    caption = f"Heatmap audit, {method.method}, {name}, {level:.0%} intervals."
    caption += f" Too few {method.unit}s for a separate value: {groups}." if few else ""
    return Table(caption, head, tuple(rows), words=frozenset({2}), small=True)


def _curves(split: str, method: MethodAudit) -> tuple[Figure, ...]:
    drawn = []
    for kind in ("deletion", "insertion"):
        curves = {order: method.curve(kind, order) for order in ("heatmap", "random", "centre")}
        known = {order: curve for order, curve in curves.items() if curve is not None}
        if "heatmap" in known:
            caption = (
                f"{kind.capitalize()}: mean score as the breast is {'blurred' if kind == 'deletion' else 'shown'} in "
                f"the order of the map, {method.method}."
            )
            drawn.append(
                figures.perturbation(f"{kind}-{split}-{method.method}".replace("+", "p").replace(".", "-"), known, caption)
            )
    return tuple(drawn)
