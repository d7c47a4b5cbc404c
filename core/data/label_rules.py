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
MALIGNANT, BENIGN, WITHOUT_CALLBACK, NORMAL, UNMARKED = (
    *("malignant", "benign", "benign_without_callback", "normal"),
    "cancer_elsewhere",  # no outline here, in a patient with cancer
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


def _pathology(leave_out: tuple[str, ...] = (), *, blank: str = "") -> Callable[[Row], str]:
    def label(row: Row) -> str:
        word = row.get("pathology", "")
        if not word:
            return blank
        return "malignant" if word == MALIGNANT else "benign" if word in _NO_CANCER and word not in leave_out else ""

    return label


def _birads(lowest: int, leave_out: tuple[int, ...] = ()) -> Callable[[Row], str]:
    def label(row: Row) -> str:
        grade = worst_grade(row.get("birads", ""))
        if grade is None or grade in leave_out:
            return ""
        return "malignant" if grade >= lowest else "benign"

    return label


def _findings(row: Row) -> str:
    """`finding_birads`: the worst finding that is drawn in the image, "none" where none is."""
    said = row.get("finding_birads", "")
    grade = 1 if said == "none" else worst_grade(said)
    return "" if grade is None else "malignant" if grade >= 4 else "benign"


def _outcome(benign_biopsies: bool) -> Callable[[Row], str]:
    """EMBED: `pathology_severity` 0 to 6, and `assessments`, the letters of the side's findings."""

    def label(row: Row) -> str:
        severity, assessments = row.get("pathology_severity", ""), set(row.get("assessments", ""))
        if severity in ("0", "1"):
            return "malignant"
        if severity in ("4", "5") and benign_biopsies:
            return "benign"
        return "benign" if not severity and assessments and assessments <= {"N", "B"} else ""

    return label


_BIRADS = ("birads",)
_PATHOLOGY = ("pathology",)
_OUTCOME = ("pathology_severity", "assessments")
RULES: dict[str, LabelRule] = {
    rule.name: rule
    for rule in (
        LabelRule(
            "pathology",
            "pathology",
            "malignant; benign, benign without callback and normal are benign",
            _PATHOLOGY,
            _pathology(),
        ),
        LabelRule(
            "pathology-without-callback",
            "pathology",
            "as pathology, benign without callback (never biopsied) unlabelled",
            _PATHOLOGY,
            _pathology((WITHOUT_CALLBACK,)),
        ),
        LabelRule(
            "pathology-without-normal",
            "pathology",
            "as pathology, normal images unlabelled: cancer against benign lesions",
            _PATHOLOGY,
            _pathology((NORMAL, UNMARKED)),
        ),
        LabelRule(
            "pathology-without-unmarked",
            "pathology",
            "as pathology, unmarked images of patients with cancer unlabelled (mini-DDSM)",
            _PATHOLOGY,
            _pathology((UNMARKED,)),
        ),
        LabelRule(
            "pathology-assume-normal",
            "pathology",
            "as pathology, and benign where nothing is said: an assumption (CMMD's breasts without a row of the table)",
            _PATHOLOGY,
            _pathology(blank="benign"),
        ),
        LabelRule("birads-from-4", "birads", "BI-RADS 4 to 6 malignant, 1 to 3 benign", _BIRADS, _birads(4)),
        LabelRule("birads-from-3", "birads", "BI-RADS 3 to 6 malignant, 1 and 2 benign", _BIRADS, _birads(3)),
        LabelRule(
            "birads-without-3", "birads", "BI-RADS 4 to 6 malignant, 1 and 2 benign, 3 unlabelled", _BIRADS, _birads(4, (3,))
        ),
        LabelRule("birads-only-5", "birads", "BI-RADS 5 and 6 malignant, 1 to 4 benign", _BIRADS, _birads(5)),
        LabelRule(
            "findings-from-4",
            "birads",
            "the worst finding drawn in this image from BI-RADS 4 malignant, else benign; images without any finding benign",
            ("finding_birads",),
            _findings,
        ),
        LabelRule(
            "outcome",
            "outcome",
            "cancer in pathology malignant; only negative or benign assessments and no pathology benign; others unlabelled",
            _OUTCOME,
            _outcome(benign_biopsies=False),
        ),
        LabelRule(
            "outcome-with-benign-biopsies",
            "outcome",
            "as outcome, benign and negative pathology benign",
            _OUTCOME,
            _outcome(benign_biopsies=True),
        ),
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
