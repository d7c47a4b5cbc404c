"""What a shortcut audit found: the AUC of every column, the model beside them, and the sentences that say so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from core.metrics.features import ALL, feature_title, feature_words
from core.metrics.intervals import SIGNIFICANT, Estimate, Interval
from core.metrics.shortcut_columns import COMMON, IMAGES_OF_PATIENT, NUMBERS, OF_PATIENT, SIDES_OF_PATIENT


@dataclass(frozen=True)
class Shortcut:
    """One column (or ALL, which is without those that stand apart): `auc` of the label predicted from it, and `within`, the
    model's AUC among images that share it.

    `boosting` is the AUC of gradient boosting on the same columns (ALL only): what interactions add. `pairs` is the share
    of the model's benign-malignant pairs that `within` rests on. `banded`: images share a fifth of the range only (numbers, and
    ALL); None in an audit of an earlier version, which did not say. Each metric is an Interval or a note.
    """

    feature: str
    auc: Estimate
    within: Estimate
    boosting: Estimate | None = None
    pairs: float = 1.0
    banded: bool | None = None

    @property
    def in_bands(self) -> bool | None:
        """`banded`, as far as it follows from the column where an earlier version did not say."""
        return True if self.banded is None and self.feature in (*NUMBERS, ALL) else self.banded


@dataclass(frozen=True)
class Metadata:
    """What the model knows beyond the metadata, on the same images.

    `feature` is ALL, or the one column there is besides those that stand apart. `difference` is the model's AUC less that of
    the label predicted from the metadata, paired and clustered by patient, `p` its two-sided p value. `added` is the
    coefficient of the score's log odds, per standard deviation, in a logistic regression of the label that also has
    the prediction from the metadata, with cluster-robust limits and `added_p`: above 0, the image says something that the
    metadata do not. Both predictions were learned on other patients than those they are compared on. Each metric is an Interval
    or a note. `columns` are those behind the prediction from the metadata.
    """

    feature: str
    difference: Estimate
    p: float | None
    added: Estimate
    added_p: float | None
    columns: tuple[str, ...] = ()

    @property
    def tells_more(self) -> bool:
        """Whether the test shows that the model tells more than the metadata, at SIGNIFICANT whatever the intervals' level."""
        return isinstance(self.difference, Interval) and self.difference.value > 0 and _certain(self.p)

    @property
    def sentence(self) -> str:
        """What the comparison shows, in words: the same on every page, in the report and on the command line."""
        what = f"{metadata_words(self.columns)} together" if self.feature == ALL else f"{feature_words(self.feature)} alone"
        if isinstance(self.difference, str):
            return f"It is not known whether the model tells more than {what}: {self.difference.rstrip('.')}."
        change = f"AUC {self.difference.value:+.3f} [{self.difference.low:+.3f}, {self.difference.high:+.3f}], p {_p(self.p)}"
        if self.tells_more:
            words = f"The model tells more than {what} ({change})."
        elif self.difference.value < 0 and _certain(self.p):
            words = f"The model tells less than {what} ({change})."
        else:
            words = f"The model is not shown to tell more than {what} ({change})."
        if isinstance(self.added, str):
            return words
        found = f"coefficient {self.added.value:.2f} [{self.added.low:.2f}, {self.added.high:.2f}], p {_p(self.added_p)}"
        if self.added.value > 0 and _certain(self.added_p):
            return f"{words} Given the metadata, its score still adds to what is known ({found})."
        if self.added.value < 0 and _certain(self.added_p):
            return (
                f"{words} Given the metadata, a higher score goes with benign images ({found}): check that the labels are not "
                "swapped."
            )
        return f"{words} Given the metadata, its score is not shown to add anything ({found})."

    @model_serializer(mode="wrap")
    def _with_words(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return plain(self) | {"sentence": self.sentence}


def metadata_words(columns: tuple[str, ...]) -> str:
    """`all metadata known here (side, view)`: which columns "all" are differs between data sets."""
    return f"all metadata known here ({', '.join(map(feature_words, columns))})" if columns else "all metadata known here"


_COUNTED = {IMAGES_OF_PATIENT: "number of images", SIDES_OF_PATIENT: "number of sides"}


def _certain(p: float | None) -> bool:
    return p is not None and p < SIGNIFICANT


def _p(p: float | None) -> str:
    return "unknown" if p is None else "< 0.001" if p < 0.001 else f"= {p:.3f}"


@dataclass(frozen=True)
class ShortcutAudit:
    """`model` is the model's own AUC on the same images; `features` one row a column, the strongest first, then ALL.

    `learned_on` counts the training images that the predictions from metadata come from; 0: cross-validated in `folds`.
    `metadata` compares the model with them; None without any, and in an audit of an earlier version. `apart` are the columns of
    OF_PATIENT and of the outcome among the features, which neither ALL nor `metadata` has; an earlier version took OF_PATIENT
    in, and wrote none down.
    """

    model: Estimate
    features: tuple[Shortcut, ...]
    left_out: tuple[str, ...]
    images: int
    patients: int
    folds: int
    learned_on: int = 0
    metadata: Metadata | None = None
    apart: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.metadata is not None and self.metadata.feature == ALL and not self.metadata.columns:  # an earlier version
            object.__setattr__(self, "metadata", replace(self.metadata, columns=self.columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns behind ALL, by name: all that were audited besides those that stand apart."""
        return tuple(sorted(row.feature for row in self.features if row.feature not in (ALL, *self.apart)))

    @property
    def not_known(self) -> tuple[str, ...]:
        """Which of COMMON no column of this audit tells of: nothing is known of these, not that they tell nothing."""
        there = {*(row.feature for row in self.features), *self.left_out}
        return tuple(what for what, names in COMMON.items() if not there & set(names))

    @property
    def of_patient(self) -> str:
        """What the numbers of a patient's images and sides tell, in words: beside the comparison, not in it; "" without."""
        rows = [row for row in self.features if row.feature in OF_PATIENT]
        if not rows:
            return ""
        shown = ", ".join(f"{_COUNTED[row.feature]} {row.auc}" for row in rows)
        words = f"AUC of the label predicted from how many images or sides the patient has, of the scored images: {shown}."
        if not {row.feature for row in rows} <= set(self.apart):
            return (
                f"{words} An earlier version made this audit: there, all metadata together include these numbers, which no "
                "image shows. `evaluate --remake` makes it again without them."
            )
        return (
            f"{words} No image shows these numbers, so all metadata together and the comparison with the model leave them out; "
            "scores by patient are made of so many images, and may rest on them."
        )

    @property
    def of_outcome(self) -> str:
        """Which columns say what was found or decided, in words: that they tell the label is no shortcut; "" without any."""
        rows = [row for row in self.features if row.feature in self.apart and row.feature not in OF_PATIENT]
        if not rows:
            return ""
        shown = ", ".join(f"{feature_title(row.feature)} {row.auc}" for row in rows)
        return (
            "Not metadata of the image, but what was found or decided about the case, and audited because the settings name "
            f"it: {shown}. That this tells the label is no shortcut; all metadata together and the comparison with the model "
            "leave it out."
        )

    @property
    def aside(self) -> str:
        """What stands beside the comparison of the model with the metadata, in words; "" where nothing does."""
        return f"{self.of_patient} {self.of_outcome}".strip()

    @model_serializer(mode="wrap")
    def _with_words(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return plain(self) | {"of_patient": self.of_patient, "of_outcome": self.of_outcome}
