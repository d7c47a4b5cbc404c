"""What an evaluation holds, as plain values for JSON and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from core.config.schema import EvaluationConfig
from core.data.breasts import paths_of
from core.data.identity import patients_known
from core.evaluate.baselines import Baseline
from core.evaluate.external_set import ExternalSet
from core.evaluate.further import FurtherColumn
from core.files.typed import from_plain, to_plain
from core.metrics import (
    Calibration,
    CalibrationSummary,
    Interval,
    Level,
    OrNote,
    Reliability,
    ShortcutAudit,
    Subgroup,
    Summary,
    ThresholdRule,
    ThresholdUncertainty,
    ViewThresholds,
    plain_metric,
)
from core.metrics.levels import NO_IMAGES, PATHS
from core.metrics.omnibus import Omnibus
from core.model.card import ModelCard
from core.wording import counted

MARGIN = float(EvaluationConfig.model_fields["equivalence_margin"].default)
VERSION = 2  # of an entry of evaluation.json
COLUMNS = ("path", "patient_id", "laterality", "view", "label", "split", "score")
# Stands in an evaluation that an earlier version wrote, wherever that version had no metric.
AGAIN = "not computed by the version that made this evaluation: evaluate the split again"


UNREADABLE, REFUSED, OVERLAP = "unreadable", "refused", "overlap"


@dataclass(frozen=True)
class Excluded:
    """An image of the split that is in no metric, and why. `kind`: it could not be read (or is no longer the same file), the
    model gives it no verdict, or (in an external test set) it is of the run's own patients; "" and no `label` in an
    evaluation of an earlier version."""

    path: str
    reason: str
    label: str = ""
    kind: str = ""


def excluded_words(excluded: Sequence[Excluded]) -> str:
    """How many images were left out, in words: by kind, and how many malignant ones are among them; "" for none."""
    if not excluded:
        return ""
    if len(excluded) == 1:
        only = excluded[0]
        why = f": it {_left(only.kind, 1)}" if only.kind else ""
        return f"1 {only.label} image was left out{why}" if only.label else f"1 image was left out{why}"
    counts = Counter(item.kind for item in excluded)
    parts = [f"{counts[kind]:,} {_left(kind, counts[kind])}" for kind in (OVERLAP, UNREADABLE, REFUSED) if counts[kind]]
    malignant = sum(item.label == "malignant" for item in excluded)
    stated = f", {malignant:,} of them malignant" if all(item.label for item in excluded) else ""
    return f"{len(excluded):,} images were left out{stated}" + (f": {', '.join(parts)}" if parts else "")


def left_words(unreadable: int, refused: int) -> str:
    """How many images have no score: those that could not be used apart from those that were refused."""
    counts = ((UNREADABLE, unreadable), (REFUSED, refused))
    return " and ".join(f"{counted(count, 'image')} {_left(kind, count)}" for kind, count in counts if count)


def _left(kind: str, count: int) -> str:
    """What happened to `count` images, as a verb phrase."""
    if kind == UNREADABLE:
        return "could not be used"
    if kind == OVERLAP:
        return f"{'is' if count == 1 else 'are'} of patients or files that the run has itself"
    return f"could be read but {'was' if count == 1 else 'were'} refused a verdict"


@dataclass(frozen=True)
class EvaluationRecord:
    """One time that the split was scored: when (ISO 8601, UTC), at which threshold of images, with which weights; `views` has
    the thresholds of views that had their own."""

    when: str
    threshold: float
    weights_sha256: str
    views: dict[str, float] = field(default_factory=dict)

    @property
    def thresholds(self) -> ViewThresholds:
        """Those of images: one for all, or by view."""
        return ViewThresholds(self.threshold, self.views)


@dataclass(frozen=True)
class Refreeze:
    """The thresholds were chosen again after the test set had been evaluated `evaluations` times; those of images, and the
    rule.

    `before_views` and `after_views` have the thresholds of views that had, or got, their own.
    """

    when: str
    before: float
    after: float
    rule: str
    evaluations: Annotated[int, Field(alias="opened")]
    before_views: dict[str, float] = field(default_factory=dict)
    after_views: dict[str, float] = field(default_factory=dict)

    @property
    def change(self) -> tuple[ViewThresholds, ViewThresholds]:
        """The thresholds before and after."""
        return ViewThresholds(self.before, self.before_views), ViewThresholds(self.after, self.after_views)


@dataclass(frozen=True)
class CalibrationReport:
    """Calibration on this split, by method: "none" is the score as it comes, the others were fitted on validation.

    `frozen` is the model's own calibration; the other methods stand beside it to be compared and are never used. A method
    that could not be fitted is a note. `on_validation`: this split is the one they were fitted on, so they look too good. A row
    is a `level`: breasts and patients have mean scores of their images and calibrations of their own.
    """

    frozen: Calibration
    summaries: dict[str, Annotated[CalibrationSummary | str, OrNote()]]
    bins: dict[str, Reliability]
    on_validation: bool
    note: str = ""
    level: Level = "image"

    @property
    def no_probability(self) -> str:
        """In words, why calibrated scores should not be shown as probabilities; "" where they may be."""
        if self.frozen.method == "none":
            # Version 0.1 began the reason with what every place that gives it says itself.
            return self.note.removeprefix("no probability is shown: ") or "the model was never calibrated"
        after = self.after
        if isinstance(after, str):
            return after
        if not after.worse_than_prevalence:
            return ""
        return (
            f"calibrated scores are no better than predicting the share of malignant for every {self.level} (Brier score "
            f"{after.brier.value:.4f} against {after.reference:.4f})"
        )

    @property
    def before(self) -> CalibrationSummary | str:
        return self.summaries["none"]

    @property
    def after(self) -> CalibrationSummary | str:
        """With the model's own calibration."""
        return self.summaries[self.frozen.method]


@dataclass(frozen=True)
class NetBenefit:
    """Net benefit of acting at a risk of `threshold`: on the model, and on every row (on none it is 0)."""

    threshold: float
    model: Interval
    treat_all: float


@dataclass(frozen=True)
class DecisionTable:
    """Net benefit at a few risks, with the scores calibrated as `calibration` names, at this split's share of malignant.

    Per `level`: per image, per breast or per patient, with that level's share of malignant as `prevalence`. Only the last is
    per person.
    """

    rows: tuple[NetBenefit, ...]
    prevalence: float
    calibration: str
    level: Level = "image"


@dataclass(frozen=True)
class Evaluation:
    """What one split says about a run's model.

    `levels` holds a Summary by level ("image", "breast", "patient"; scores of one breast or patient are averaged, and each
    level has its own threshold, frozen on validation at that level), or a note where there is none: a model that judges breasts
    has none of images, and `level` says so. `evaluations` counts how
    often this split has been evaluated for this run, this time included; `history` has the times that are known, `refrozen`
    what was chosen again afterwards. `predictions` is predictions/<split>.csv: COLUMNS and `columns`, the metadata that
    subgroups and shortcut audit rest on, all as text but the score; scores rounded as in the file. `calibration` and `decision`
    are of images, `calibrations` and `decisions` those of breasts and patients (`calibration_at`, `decision_at` give any
    level's). `uncertainty`, by level, resamples validation and this split together: what the choice of the threshold adds to
    the intervals at the frozen one.

    `omnibus` tests all groups of a feature at once, for each feature and metric. `further` says what became of the manifest's
    columns besides the known ones.
    `equivalence_margin` is the difference up to which a subgroup counts as equivalent to the others, as it was set.
    `view_thresholds` are those of model.json: where views have thresholds of their own, every decision about an image was made
    at its view's (`thresholds`).

    `external` says what the images are where they are no split of the run's own data.

    What an evaluation by an earlier version lacks is AGAIN (a note), or empty.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

    run: str
    split: str
    levels: dict[str, Summary | str]
    predictions: Annotated[pd.DataFrame, Field(exclude=True, default_factory=pd.DataFrame)]
    excluded: tuple[Excluded, ...]
    evaluations: Annotated[int, Field(alias="opened")]
    last_evaluated: Annotated[str, Field(alias="last_opened")]
    target_sensitivity: float | None
    synthetic: bool
    weights_sha256: str
    rule: Annotated[ThresholdRule | None, Field(alias="threshold_rule")] = None
    history: tuple[EvaluationRecord, ...] = ()
    refrozen: tuple[Refreeze, ...] = ()
    columns: tuple[str, ...] = ()
    calibration: CalibrationReport | str = AGAIN
    subgroups: tuple[Subgroup, ...] = ()
    shortcuts: ShortcutAudit | str = AGAIN
    decision: DecisionTable | str = AGAIN
    baselines: tuple[Baseline, ...] | str = AGAIN
    calibrations: dict[str, CalibrationReport | str] = field(default_factory=dict)
    decisions: dict[str, DecisionTable | str] = field(default_factory=dict)
    uncertainty: dict[str, ThresholdUncertainty | str] = field(default_factory=dict)
    omnibus: tuple[Omnibus, ...] = ()
    further: tuple[FurtherColumn, ...] = ()
    equivalence_margin: float = MARGIN
    view_thresholds: dict[str, float | str] = field(default_factory=dict)
    version: int = VERSION
    external: ExternalSet | None = None
    folder: Annotated[Path | None, Field(exclude=True)] = None

    @property
    def level(self) -> Literal["image", "breast"]:
        """What the model scored, and a row of the predictions is: an image, or a breast whose views it judges together."""
        return "breast" if self.levels["image"] == NO_IMAGES else "image"

    @property
    def summary(self) -> Summary:
        """The metrics at the level of what the model scored."""
        summary = self.levels[self.level]
        assert isinstance(summary, Summary)
        return summary

    @property
    def images(self) -> int:
        """How many images were scored, alone or as part of a breast."""
        if self.level == "image" or PATHS not in self.predictions.columns:
            return self.summary.rows
        return sum(len(paths_of(cell)) for cell in self.predictions[PATHS])

    @property
    def size_words(self) -> str:
        """What was scored: "212 images", or "106 breasts (212 images)"."""
        images = counted(self.images, "image")
        return images if self.level == "image" else f"{counted(self.summary.rows, 'breast')} ({images})"

    @property
    def patients(self) -> int:
        return self.summary.patients

    @property
    def threshold(self) -> float:
        """That of images, where views have their own the common one; the other levels' stand in their summaries."""
        return self.summary.threshold

    @property
    def thresholds(self) -> ViewThresholds:
        """Those of images: one for all, or by view."""
        return ViewThresholds(self.threshold, self.view_thresholds)

    @property
    def threshold_words(self) -> str:
        """In words: "threshold 0.412", or "thresholds by view (CC 0.401, MLO 0.433, other views 0.412)"."""
        words = self.thresholds.words
        return f"thresholds by view ({words})" if words else f"threshold {self.threshold:.3f}"

    def calibration_at(self, level: Level) -> CalibrationReport | str:
        """Calibration with a row an image, breast or patient, or a note."""
        if level == "image" and self.level != "image":
            return NO_IMAGES
        return self.calibration if level == "image" else self.calibrations.get(level, AGAIN)

    def decision_at(self, level: Level) -> DecisionTable | str:
        """Net benefit per image, breast or patient, or a note."""
        if level == "image" and self.level != "image":
            return NO_IMAGES
        return self.decision if level == "image" else self.decisions.get(level, AGAIN)

    def outdated(self, card: ModelCard) -> str:
        """In words, why these metrics are not those of the model in `card` (model.json) as it is now; "" when they are."""
        if self.weights_sha256 != card.weights_sha256:
            return "The run's model has changed since these metrics were computed: it trained on."
        if self.threshold != card.threshold:
            return f"The threshold has been chosen again since these metrics were computed: it is {card.threshold} now."
        now = card.image_thresholds
        if now.own != self.thresholds.own:
            words = f"images have {now.words} now" if now.own else "there is one for all views now"
            return f"The thresholds by view have been chosen again since these metrics were computed: {words}."
        return ""

    def table_rows(self) -> list[tuple[str, str, str, str]]:
        """(title, value, interval, note) as text, a row a metric at the level of what was scored."""
        return self.summary.table_rows(patients_known=patients_known(self.predictions))

    @model_serializer(mode="wrap")
    def _with_headline(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own, summary = plain(self), to_plain(self.summary)
        headline = {name: own.pop(name) for name in ("version", "run", "split", "opened", "last_opened", "history", "refrozen")}
        headline |= {"images": self.images, "patients": self.patients, "threshold": self.threshold}
        return headline | {"metrics": summary["metrics"], "delong": plain_metric(self.summary["auc"])} | own

    def to_dict(self) -> dict[str, Any]:
        """This split's entry of evaluation.json; `metrics` are those at the level of what was scored."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], folder: Path | None = None) -> Evaluation:
        """What `to_dict` gave, without its predictions; an entry that does not say so is of version 1.

        Raises:
            ValueError: it is not an entry of ours.
        """
        return replace(from_plain(cls, {"version": 1} | dict(plain)), folder=folder)
