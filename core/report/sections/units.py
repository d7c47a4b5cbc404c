"""The unit of analysis: what patients are made of, and how far metrics by patient depend on how their images are combined."""

from __future__ import annotations

from core.data import SPLITS
from core.metrics import Summary
from core.metrics.aggregation import DRAWS, aggregation_rules
from core.metrics.composition import TITLES, Association, composition, composition_warnings
from core.metrics.headline_auc import HeadlineAuc
from core.report.document import Block, Table, Text, Warn
from core.report.material import SPLIT_WORDS, Material
from core.report.words import DASH, share, stated, stated_or_note


def composition_blocks(material: Material) -> list[Block]:
    """Images and sides of patients by label, and whether they tell the label."""
    if not material.patients_known:
        return [Text("No patient is known, so there is nothing to say of images or sides by patient.")]
    rows = []
    for each in composition(material.rows):
        sides = (each.two_sides, each.one_side, each.unknown_sides)
        shares = (share(count, each.patients) for count in sides)
        spread = f"{each.median:g} ({each.low} to {each.high})"
        rows.append((SPLIT_WORDS.get(each.split, DASH), each.label, f"{each.patients:,}", f"{each.images:,}", spread, *shares))
    head = ("Set", "Label", "Patients", "Images", "Images a patient, median (range)", "Both sides", "One side", "Side unknown")
    found = material.associations
    note = "A patient is malignant when any of her images is. " + " ".join(
        f"{SPLIT_WORDS[split].capitalize()} set: {_count_aucs(found, split)}." for split in SPLITS if _count_aucs(found, split)
    )
    table = Table("Images and sides of patients by label.", head, tuple(rows), note=note, small=True)
    return [table, *(Warn(sentence) for sentence in unequal(material))]


def unequal(material: Material, split: str = "") -> list[str]:
    """A sentence where patients of one label have fewer images or sides, in any set or in the one asked for."""
    found = (each for each in material.associations if split in ("", each.split))
    names = {name: f"{words} set" for name, words in SPLIT_WORDS.items()}
    return [f"{line[:1].upper()}{line[1:]}." for line in composition_warnings(found, names)]


def balanced_words(found: HeadlineAuc) -> str:
    """`; balanced, with one random image of each patient, 0.633 [0.57, 0.69]`; "" where nothing is unequal."""
    if not found.unequal:
        return ""
    if isinstance(found.balanced, str):
        return f"; a balanced AUC cannot be computed: {found.balanced}"
    return f"; balanced, {found.balanced_rule}: {stated(found.balanced)}"


def headline_warnings(material: Material) -> list[str]:
    """Why the AUCs by breast and patient differ from the balanced ones; of unequal sets also where there is no such AUC."""
    found = [each.sentence for each in material.headline_aucs.values() if each.sentence]
    if (
        "patient" not in {level for level, each in material.headline_aucs.items() if each.sentence}
        and material.shown is not None
    ):
        found += unequal(material, material.shown.split)
    return [f"{line[:1].upper()}{line[1:].rstrip('.')}." for line in found]


def rules_words(material: Material) -> str:
    """The rule behind the score of a breast and a patient, with the balanced AUC where there is one."""
    said = [f"{level}s: {each.rule}{balanced_words(each)}" for level, each in material.headline_aucs.items()]
    return f"Score of one unit: {'; '.join(said)}." if said else ""


def _count_aucs(found: tuple[Association, ...], split: str) -> str:
    parts = [f"{TITLES[each.what]} {stated(each.strength)}" for each in found if each.split == split]
    return f"the label of a patient from a count of all images of the manifest, AUC: {', '.join(parts)}" if parts else ""


def aggregation_blocks(material: Material) -> list[Block]:
    """The AUC by patient under other rules than the mean of all images."""
    evaluation = material.shown
    if evaluation is None or not material.patients_known or not isinstance(evaluation.levels.get("patient"), Summary):
        return []
    words = SPLIT_WORDS[evaluation.split]
    found = aggregation_rules(evaluation.predictions, confidence=evaluation.summary.confidence)
    rows = tuple((each.name, "yes" if each.balanced else "no", stated_or_note(each.auc)) for each in found)
    note = (
        "No threshold enters here, and none of these rules was chosen by its result. Balanced: every patient enters with as "
        "many breasts, or as many images, as every other. Random breasts: the mean over all draws there are; missing breasts: "
        f"the mean of {DRAWS} draws. The limits are score limits with DeLong's variance, of that mean in place of one "
        "comparison, and do not cover which were drawn."
    )
    head = ("One score a patient", "Balanced", "ROC AUC by patient")
    level = f"{evaluation.summary.confidence:.0%} intervals"
    table = Table(
        f"Sensitivity of the AUC by patient to the rule, {words} set, {level}.", head, rows, note=note, words=frozenset({2})
    )
    return [table]
