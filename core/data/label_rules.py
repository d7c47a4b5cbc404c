"""Rules from what a data set says of an image (pathology, BI-RADS, outcome) to its label, for importers and `data relabel`.

A rule sees the columns of a manifest row as text and answers benign, malignant, or "" where the row does not say, or says
something that the rule leaves out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from core.data.tables import listed
from core.errors import BadManifest
from core.wording import counted

Row = Mapping[str, str]

# Words of column `pathology`, as importers write them.
MALIGNANT, BENIGN, WITHOUT_CALLBACK, NORMAL, UNMARKED, UNLISTED = (
    *("malignant", "benign", "benign_without_callback", "normal"),
    "cancer_elsewhere",  # no outline here, in a patient with cancer
    "unlisted",  # the table has rows of the patient, and none of this breast
)
_NO_CANCER = (BENIGN, WITHOUT_CALLBACK, NORMAL, UNMARKED)
_GRADE = re.compile(r"[0-6]")


@dataclass(frozen=True)
class LabelRule:
    """`source`: the label_source it makes; `needs`: the columns it looks at."""

    name: str
    source: str
    description: str
    needs: tuple[str, ...]
    label: Callable[[Row], str]


def worst_grade(text: str) -> int | None:
    """The highest BI-RADS category in a cell: 4 of "4a" and "BI-RADS 4", 2 of "2$2"; None for none, or 0 alone (incomplete)."""
    grades = [int(grade) for grade in _GRADE.findall(text)]
    return max(grades) or None if grades else None


def _pathology(name: str, description: str, leave_out: tuple[str, ...] = (), *, unlisted: str = "") -> LabelRule:
    """By the column `pathology`; words of `leave_out` stay unlabelled, breasts without a row of the table are `unlisted`."""

    def label(row: Row) -> str:
        word = row.get("pathology", "")
        if word == UNLISTED:
            return unlisted
        return "malignant" if word == MALIGNANT else "benign" if word in _NO_CANCER and word not in leave_out else ""

    return LabelRule(name, "pathology", description, ("pathology",), label)


def _birads(name: str, description: str, lowest: int, leave_out: tuple[int, ...] = ()) -> LabelRule:
    """By the column `birads`: malignant from `lowest` on; grades of `leave_out` stay unlabelled."""

    def label(row: Row) -> str:
        grade = worst_grade(row.get("birads", ""))
        if grade is None or grade in leave_out:
            return ""
        return "malignant" if grade >= lowest else "benign"

    return LabelRule(name, "birads", description, ("birads",), label)


def _findings(row: Row) -> str:
    """`finding_birads`: the worst finding that is drawn in the image, "none" where none is."""
    said = row.get("finding_birads", "")
    grade = 1 if said == "none" else worst_grade(said)
    return "" if grade is None else "malignant" if grade >= 4 else "benign"


def _outcome(name: str, description: str, *, benign_biopsies: bool) -> LabelRule:
    """EMBED: `pathology_severity` 0 to 6, and `assessments`, the letters of the side's findings."""

    def label(row: Row) -> str:
        severity, assessments = row.get("pathology_severity", ""), set(row.get("assessments", ""))
        if severity in ("0", "1"):
            return "malignant"
        if severity in ("4", "5") and benign_biopsies:
            return "benign"
        return "benign" if not severity and assessments and assessments <= {"N", "B"} else ""

    return LabelRule(name, "outcome", description, ("pathology_severity", "assessments"), label)


RULES: dict[str, LabelRule] = {
    rule.name: rule
    for rule in (
        _pathology("pathology", "malignant; benign, benign without callback and normal are benign"),
        _pathology(
            "pathology-without-callback",
            "as pathology, benign without callback (never biopsied) unlabelled",
            (WITHOUT_CALLBACK,),
        ),
        _pathology(
            "pathology-without-normal",
            "as pathology, normal images unlabelled: cancer against benign lesions",
            (NORMAL, UNMARKED),
        ),
        _pathology(
            "pathology-without-unmarked",
            "as pathology, unmarked images of patients with cancer unlabelled (mini-DDSM)",
            (UNMARKED,),
        ),
        _pathology(
            "pathology-assume-normal",
            "as pathology, and benign where a listed patient's other breast has no row of the table: an assumption (CMMD)",
            unlisted="benign",
        ),
        _birads("birads-from-4", "BI-RADS 4 to 6 malignant, 1 to 3 benign", 4),
        _birads("birads-from-3", "BI-RADS 3 to 6 malignant, 1 and 2 benign", 3),
        _birads("birads-without-3", "BI-RADS 4 to 6 malignant, 1 and 2 benign, 3 unlabelled", 4, (3,)),
        _birads("birads-only-5", "BI-RADS 5 and 6 malignant, 1 to 4 benign", 5),
        LabelRule(
            "findings-from-4",
            "birads",
            "the worst finding drawn in this image from BI-RADS 4 malignant, else benign; images without any finding benign",
            ("finding_birads",),
            _findings,
        ),
        _outcome(
            "outcome",
            "cancer in pathology malignant; only negative or benign assessments and no pathology benign; others unlabelled",
            benign_biopsies=False,
        ),
        _outcome("outcome-with-benign-biopsies", "as outcome, benign and negative pathology benign", benign_biopsies=True),
    )
}


def rule_named(name: str) -> LabelRule:
    """Raises BadManifest where there is no such rule."""
    rule = RULES.get(name)
    if rule is None:
        raise BadManifest(f"label rule {name!r}: expected one of {', '.join(RULES)}")
    return rule


def relabel(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[str]]:
    """The manifest with the labels of another rule, and what changed as sentences.

    Raises:
        BadManifest: no such rule, or the manifest lacks a column that it needs.
    """
    rule = rule_named(name)
    missing = [column for column in rule.needs if column not in frame.columns]
    if missing:
        fitting = [each.name for each in RULES.values() if all(column in frame.columns for column in each.needs)]
        raise BadManifest(
            f"label rule {name}: needs the column {listed(missing)}, which this manifest does not have. Rules for it: "
            f"{listed(fitting) or 'none; import the data set by its name'}."
        )
    records = frame[list(rule.needs)].astype("str").to_dict(orient="records")
    labels = [rule.label({str(key): value for key, value in record.items()}) for record in records]
    changes = Counter(zip(frame["label"].astype("str"), labels, strict=True))
    made = frame.assign(label=pd.Series(labels, index=frame.index, dtype="str"), label_source=rule.source, label_rule=rule.name)
    notes = [
        f"{counted(count, 'image')}: {before or 'unlabelled'} became {after or 'unlabelled'}"
        for (before, after), count in sorted(changes.items())
        if before != after
    ]
    return made, notes or ["no label changed"]
