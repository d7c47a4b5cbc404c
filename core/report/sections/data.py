"""Methods about data, and the participants: sources, preparation, outcome, partition, flow and characteristics."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from core.data import LABELS, SPLITS
from core.data.identity import written_twice
from core.evaluate import excluded_words
from core.evaluate.result import left_words
from core.evaluate.verified import readings
from core.inspection.descriptions import recipe_facts
from core.report.document import Facts, Section, Table, Text, Warn
from core.report.material import SPLIT_WORDS, Material, split_fingerprint
from core.report.sections import gaps
from core.report.words import DASH, folds, share
from core.wording import counted

_MOST_LEFT = 50


def source(material: Material) -> Section:
    """Where the data come from."""
    facts = [
        ("Manifest", f"{Path(material.config.data.manifest).name}, copied into the run as manifest.csv"),
        ("Images", _whose(material)),
    ]
    if material.synthetic:
        facts.append(("Origin", "computer-made by MammoLab, with lesions drawn into them; no patient stands behind an image"))
    asked = ("source", "dates", "setting", "eligibility", "treatments", "deidentification")
    apart = (
        " MammoLab keeps patients apart by a keyed pseudonym where DICOM names them, and by the manifest's patient_id "
        "otherwise."
        if material.patients_known
        else ""
    )
    privacy = Text(f"This report names no patient, no file and no folder.{apart}")
    return Section("source", "Source of data and participants", (Facts(tuple(facts)), privacy, *map(material.ask, asked)))


def _whose(material: Material) -> str:
    rows, alone = material.rows, material.without_patient
    if not material.patients_known:
        return f"{len(rows):,}; whose they are is not known, and each counts by itself"
    more = f"; {share(alone, len(rows))} of unknown patients, each of which counts by itself" if alone else ""
    return f"{len(rows):,} of {counted(rows['patient_id'].nunique(), 'patient')}{more}"


def preparation(material: Material) -> Section:
    """The recipe in words and as a table."""
    recipe = material.config.preprocessing
    text = (
        "The same function prepared every image for training, validation, test and prediction, whoever is shown: "
        f"{_in_words(material)} The only predictor is the image itself; no metadata enters the model, nobody reads or marks "
        "the images for it, and none was selected beforehand. All images of the manifest were used but those listed as "
        "excluded."
    )
    table = Table(
        f"Preparation of the images: recipe {material.card.recipe_hash or DASH}.",
        ("Step", "Setting"),
        tuple(recipe_facts(recipe)),
        words=frozenset({1}),
    )
    return Section("preparation", "Preparation of images and predictors", (Text(text), table, material.ask("acquisition")))


def _in_words(material: Material) -> str:
    recipe = material.config.preprocessing
    height, width = recipe.shape
    steps = [
        {"auto": "images stored inverted are found and turned", "invert": "every image is inverted", "keep": ""}[
            recipe.polarity
        ],
        "everything outside the breast is blackened" if recipe.remove_background else "",
        "the pectoral muscle is blackened where its edge is found" if recipe.pectoral else "",
        "the image is cut to the breast" if recipe.crop else "",
        "mirrored so that the chest wall is on the left" if recipe.orient else "",
        f"windowed between the {recipe.window_low:g}th and {recipe.window_high:g}th percentile of the breast's grey levels",
        f"raised to a gamma of {recipe.gamma:g}" if recipe.gamma != 1 else "",
        f"enhanced by CLAHE (clip limit {recipe.clip_limit:g}, {recipe.tile_grid} × {recipe.tile_grid} tiles)"
        if recipe.clahe
        else "",
        f"scaled to {height} × {width} px (height × width) with its aspect ratio kept and black padding",
    ]
    return ", ".join(step for step in steps if step) + "."


def outcome(material: Material) -> Section:
    """What benign and malignant mean."""
    text = (
        "The outcome is the label of each image, benign or malignant, as the manifest gives it. "
        + ("A breast or patient is malignant when any of its images is. " if material.patients_known else "")
        + "MammoLab cannot know how labels were established."
    )
    checked = _verified(material.rows)
    asked = map(material.ask, ("outcome", "assessors", "blinding"))
    return Section("outcome", "Outcome and reference standard", (Text(text + (f" {checked}" if checked else "")), *asked))


def unverified(rows: pd.DataFrame) -> int | None:
    """Images whose benign label no biopsy stands behind, as the manifest says (core.evaluate.verified); None where it does not.
    A cell that is empty or not understood is not known, not "never biopsied".
    """
    said = readings(rows)
    return None if said is None else int(((rows["label"] == "benign") & (said == "no")).sum())


def _verified(rows: pd.DataFrame) -> str:
    said = readings(rows)
    if said is None:
        return ""
    benign = (rows["label"] == "benign").to_numpy()
    counts = {state: int(((said == state).to_numpy() & benign).sum()) for state in ("no", "empty", "not understood")}
    if not any(counts.values()):
        return ""
    parts = [f"{share(counts['no'], int(benign.sum()))} of the benign images were never biopsied"]
    parts += (
        [f"of {share(counts['empty'], int(benign.sum()))} the cell is empty, which says nothing"] if counts["empty"] else []
    )
    unread = counts["not understood"]
    parts += [f"of {share(unread, int(benign.sum()))} it is not understood"] if unread else []
    return f"By the manifest's column biopsy, {', '.join(parts)}."


def _without_verdict(material: Material) -> str:
    """By evaluated set, how many images were left out of the metrics, and how many of these are malignant."""
    said = [
        f" Evaluation of the {SPLIT_WORDS[split]} set: {excluded_words(evaluation.excluded)}."
        for split, evaluation in material.evaluations.items()
        if evaluation.excluded
    ]
    return "".join(said)


def missing(material: Material) -> Section:
    """What was left out, and why."""
    left, total = material.left, len(material.rows)
    if not left:
        text = f"None of {counted(total, 'image')} was left out: all could be read. {_IMPUTED}"
        return Section("missing", "Missing data and excluded images", (Text(text), *gaps.metadata_blocks(material)))
    reasons, sets = len({item.reason for item in left}), Counter(item.split for item in left)
    refused = sum(item.refused for item in left)
    sizes = material.rows["split"].value_counts()
    by_set = ", ".join(
        f"{SPLIT_WORDS[split]} {share(sets[split], int(sizes.get(split, 0)))}" for split in SPLITS if sets[split]
    )
    text = (
        f"Of {counted(total, 'image')} {left_words(len(left) - refused, refused)}, and "
        f"{'has' if len(left) == 1 else 'have'} no score{f' (share of each set: {by_set})' if by_set else ''}. Left out, not "
        f"replaced; {counted(reasons, 'different reason')} {'was' if reasons == 1 else 'were'} given."
        f"{_without_verdict(material)} {_IMPUTED}"
    )
    rows = tuple(
        (str(item.row or DASH), SPLIT_WORDS.get(item.split, DASH), item.when, item.reason) for item in left[:_MOST_LEFT]
    )
    more = f" The first {_MOST_LEFT} are listed." if len(left) > _MOST_LEFT else ""
    caption = f"Excluded images. Rows count from 1 in the run's manifest.csv.{more}"
    table = Table(caption, ("Row", "Set", "When", "Reason"), rows, words=frozenset({3}), small=True)
    return Section("missing", "Missing data and excluded images", (Text(text), table, *gaps.metadata_blocks(material)))


_IMPUTED = (
    "The model takes no other value than pixels, so nothing was imputed for it. The shortcut audit has to do with missing "
    "metadata: there a missing number counts as the median of those known and is marked as missing, and a missing category is "
    "a category of its own."
)


def partition(material: Material) -> Section:
    """How patients were assigned to the sets."""
    rows, known = material.rows, material.patients_known
    if known:
        some = material.without_patient
        apart = (
            f" Of {share(some, len(rows))} of the images the patient is not known: for these nobody can check it."
            if some
            else ""
        )
        text = (
            "Patients, not images, were assigned to the sets: every image of a patient is in one set only. That, and that no "
            f"identical file stands in two sets, was checked before training and again before each evaluation.{apart}"
        )
    else:
        text = (
            "Images were assigned to the sets, since nobody knows which of them show the same person: the same person may "
            "stand in several sets, which makes metrics too optimistic. That no identical file stands in two sets was "
            "checked before training and again before each evaluation."
        )
    uses = (
        "Training images fit the weights; validation chooses the epoch, the threshold and the calibration; the test set is "
        "scored with all of these frozen."
    )
    table_rows = []
    for split in SPLITS:
        part = rows[rows["split"] == split]
        per_label = [part[part["label"] == label] for label in LABELS]
        counts = (f"{len(some):,} ({some['patient_id'].nunique():,})" if known else f"{len(some):,}" for some in per_label)
        people = (f"{part['patient_id'].nunique():,}",) if known else ()
        fingerprint = split_fingerprint(rows, split)
        table_rows.append((SPLIT_WORDS[split], *people, f"{len(part):,}", *counts, f"`{fingerprint}`"))
    heads = (f"{label.capitalize()} images{' (patients)' if known else ''}" for label in LABELS)
    whose = "images, patients and labels" if known else "images and labels"
    note = f"Fingerprint: SHA-256 over the set's {whose}. Runs with the same one used the same images.{both_labels(material)}"
    first = ("Set", "Patients", "Images") if known else ("Set", "Images")
    table = Table("Partition of the data.", (*first, *heads, "Fingerprint"), tuple(table_rows), note=note)
    how = Text(f"{_origin(material)} {uses}")
    doubts = map(Warn, doubtful_patients(material))
    copies = Text(copies_words(rows))
    return Section("partition", "Partition of the data", (Text(text), how, *doubts, copies, table, material.ask("differences")))


def copies_words(rows: pd.DataFrame) -> str:
    """How many images of each set are copies of another one in it: each counts as an image of its own."""
    if "content_hash" not in rows.columns:
        return "Whether files are identical within a set is not known: the manifest has no hashes of their content."
    hashes = rows["content_hash"].astype("str").str.strip()
    known = rows.assign(content_hash=hashes)[hashes.ne("") & hashes.ne("nan")]
    unknown = len(rows) - len(known)
    parts = []
    for split in SPLITS:
        sizes = known.loc[known["split"] == split, "content_hash"].value_counts()
        repeated = sizes[sizes > 1]
        if len(repeated):
            files, contents = int(repeated.sum()), counted(len(repeated), "content")
            parts.append(f"{SPLIT_WORDS[split]} {files:,} files of {contents}")
    rest = f" Of {counted(unknown, 'image')} the content is not known." if unknown else ""
    if not parts:
        return f"No two files within a set are identical.{rest}"
    return (
        f"Identical files within a set, each counted as an image of its own in every metric: {', '.join(parts)}. "
        f"`python -m core data check` lists them.{rest}"
    )


def doubtful_patients(material: Material) -> list[str]:
    """That patients may be written in more than one way, without naming one."""
    twice, apart = written_twice(material.rows) if material.patients_known else (0, 0)
    if not twice:
        return []
    leak = (
        f"{apart} of them {'stands' if apart == 1 else 'stand'} in several sets: if they are one person, the metrics are too "
        "good."
        if apart
        else "None of them stands in several sets."
    )
    return [f"{counted(twice, 'patient')} may be written in more than one way (such as P1 and p1, 0012 and 12). {leak}"]


def _origin(material: Material) -> str:
    """Where the sets come from, as it was recorded when the run was made, and the shares that came of it."""
    rows, origin = material.rows, material.split_origin
    unit = "patients" if material.patients_known else "images"
    said = origin if isinstance(origin, str) else origin.words(unit)
    total = rows["patient_id"].nunique()
    shares = [
        f"{SPLIT_WORDS[split]} {rows.loc[rows['split'] == split, 'patient_id'].nunique() / total:.1%}" for split in SPLITS
    ]
    return f"{said} Shares of {unit}: {', '.join(shares)}.{folds(material)}"


def both_labels(material: Material) -> str:
    """That patients by the label of their images add up to more than all patients; "" where they do not."""
    both = int((material.rows.groupby("patient_id")["label"].nunique() > 1).sum()) if material.patients_known else 0
    if not both:
        return ""
    return (
        f" {both:,} patient{' has' if both == 1 else 's have'} images of both labels and count{'s' if both == 1 else ''} under "
        "each here; as a patient such a one is malignant."
    )
