"""What is decided on validation and frozen with the model: the fields of model.json that thresholds and calibrations have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_serializer, model_validator

from core.errors import BadRun
from core.files.typed import from_plain, to_plain
from core.metrics.by_view import ViewThresholds
from core.metrics.calibration import Calibration
from core.metrics.levels import LEVELS, NO_IMAGES, Level
from core.metrics.thresholds import ThresholdRule

# An object of another version of MammoLab: kept as it is, and refused only by whoever needs what it says.
Foreign = dict[str, Any]
_NOT_FROZEN = "no threshold was frozen for this level: score the validation set (`evaluate RUN --split val`), then again"


def _threshold(value: Any) -> float:
    """A number that scores can be compared with: at any other, every image would be of one class."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # nor NaN
        raise ValueError(f"expected a number from 0 to 1, got {repr(value)[:40]}")
    return float(value)


Threshold = Annotated[float, PlainValidator(_threshold)]
ThresholdOrNote = Annotated[float | str, PlainValidator(lambda value: value if isinstance(value, str) else _threshold(value))]


class FrozenCalibration(BaseModel):
    """A calibration fitted on validation, and why there is none worth showing; one object in JSON, without an empty note."""

    model_config = ConfigDict(frozen=True)

    fitted: Calibration
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, plain: Any) -> Any:
        if not isinstance(plain, dict) or "fitted" in plain:
            return plain
        if "method" not in plain:
            raise ValueError(f"expected a method and its numbers, got {repr(plain)[:40]}")
        note = plain.get("note", "")
        # Version 0.1 began the reason with what every place that gives it says itself.
        note = note.removeprefix("no probability is shown: ") if isinstance(note, str) else note
        return {"fitted": from_plain(Calibration, plain), "note": note}

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return to_plain(self.fitted) | ({"note": self.note} if self.note else {})


class Frozen(BaseModel):
    """Thresholds by level and view with their rule, and the calibrations; what an earlier version did not freeze is None.

    `unit` is what the model scores: images, or breasts where it fuses their views; None is images, as in earlier versions.
    `threshold` and `calibration` are of these units. `thresholds` has those of breasts and patients (or why there is none),
    whose mean scores are on another scale; `calibrations` likewise. `view_thresholds` has those of images by view, where the
    rule gives each view its
    own. `threshold_room` is how far below the score that the rule chose they lie; `target_sensitivity` the rule's, where it has
    one. `chance` says why the validation scores do not show that the model is better than chance, "" when they do;
    `leakage` what stands in several splits although the training was allowed, "" for nothing.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    unit: Literal["image", "breast"] | None = None
    threshold: Threshold | None = None
    thresholds: dict[str, ThresholdOrNote] | None = None
    view_thresholds: dict[str, ThresholdOrNote] | None = None
    threshold_rule: Annotated[ThresholdRule | Foreign | None, Field(union_mode="left_to_right")] = None
    threshold_room: float | None = None
    target_sensitivity: float | None = None
    calibration: FrozenCalibration | None = None
    calibrations: dict[str, FrozenCalibration] | None = None
    chance: str | None = None
    leakage: str | None = None

    @property
    def scored(self) -> Level:
        """What the model scores."""
        return self.unit or "image"

    @property
    def image_thresholds(self) -> ViewThresholds:
        """Those of what the model scores: one for all, or of images by view. Raises BadRun where there is none."""
        return ViewThresholds(self.required_threshold(), dict(self.view_thresholds or {}))

    @property
    def level_thresholds(self) -> dict[Level, float | str]:
        """By level, or why there is none; an earlier version froze that of images only. Raises BadRun as `image_thresholds`."""
        found: dict[Level, float | str] = {level: (self.thresholds or {}).get(level, _NOT_FROZEN) for level in LEVELS}
        return found | {self.scored: self.required_threshold()} | ({"image": NO_IMAGES} if self.scored != "image" else {})

    @property
    def rule(self) -> ThresholdRule | None:
        """The rule by which the thresholds were chosen; None where an earlier version did not write it down.

        Raises:
            BadRun: it is none of this version's.
        """
        if isinstance(self.threshold_rule, dict):
            return ThresholdRule.from_dict(self.threshold_rule) if self.threshold_rule else None
        if self.threshold_rule is not None or self.target_sensitivity is None:
            return self.threshold_rule
        return ThresholdRule("sensitivity", self.target_sensitivity)

    @property
    def image_calibration(self) -> Calibration:
        """That of what the model scores; "none" for a model that was never calibrated."""
        return Calibration() if self.calibration is None else self.calibration.fitted

    def required_threshold(self, source: str = "model.json") -> float:
        """That of what the model scores. Raises BadRun where there is none."""
        if self.threshold is None:
            raise BadRun(f"{source}: the model has no threshold. Let its training finish, or train again")
        return self.threshold
