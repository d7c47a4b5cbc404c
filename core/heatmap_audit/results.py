"""What an audit found: metrics by method, the images behind them, and the same as plain JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import pandas as pd
from pydantic import BeforeValidator, Field, PlainSerializer, SerializerFunctionWrapHandler, model_serializer

from core.data.identity import patients_known
from core.heatmap_audit.settings import AuditSettings
from core.metrics import Estimate, Interval
from core.metrics.froc import Froc
from core.wording import counted

VERSION = 1
NO_NUMBERS = "the map holds values that are no numbers"
DECIMALS = 6

# What a person reads, in the order of the table.
TITLES = {
    "hit": "Peak in or near the lesion (15 px of 500)",
    "hit_exact": "Peak in the lesion",
    "energy": "Energy inside the lesion",
    "iou_area": "IoU, map cut to the lesion's area",
    "iou_half": "IoU, map above half its peak",
    "off_breast": "Energy off the breast",
    "deletion": "Deletion AUC (lower is better)",
    "insertion": "Insertion AUC (higher is better)",
    "shuffled_rank": "Rank correlation with the map of shuffled weights",
    "shuffled_ssim": "SSIM with the map of shuffled weights",
    "shifted_rank": "Rank correlation after a shift by 1 px",
}
LOCALISATION = ("hit", "hit_exact", "energy", "iou_area", "iou_half")
PERTURBATION = ("deletion", "insertion")
# Groups of images that a metric is computed for.
ALL, CORRECT, WRONG, CALLED = "all", "called malignant, rightly", "called benign, wrongly", "called malignant"
# What a metric stands beside.
REFERENCES = {
    "chance": "chance",
    "centre": "breast's middle",
    "random": "random map",
    "uniform": "map that is the same everywhere",
}


@dataclass(frozen=True)
class Reference:
    """What costs nothing to reach: its mean over the same images, and the metric minus it, image by image."""

    value: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Metric:
    """The mean of one of TITLES over a group of images, or a note that says why there is none.

    `references` by name (the keys of REFERENCES). `images` and `patients` are those it rests on.
    """

    key: str
    group: str
    value: Estimate
    images: int
    patients: int
    references: dict[str, Reference] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return TITLES[self.key] if self.group == ALL else f"{TITLES[self.key]}; {self.group}"


@dataclass(frozen=True)
class Curve:
    """Mean score by the share of the breast that is deleted or inserted, pointwise limits included.

    `kind`: deletion or insertion; `order`: heatmap, random or centre: whose ranking of the pixels.
    """

    kind: str
    order: str
    share: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Case:
    """One image. `values` by the keys of TITLES, those of references as `key:reference`; empty when the map is flagged.

    `flagged` says why the map holds nothing, `lesion` why localisation is not asked ("" where it is). `marks` are the map's
    peaks, [rating, number of the lesion that it hits or -1], and `lesions` how many there are to find.
    """

    path: str
    patient_id: str
    label: str
    score: float
    called: bool
    flagged: str = ""
    lesion: str = ""
    values: dict[str, float] = field(default_factory=dict)
    marks: list[list[float]] = field(default_factory=list)
    lesions: int = 0

    @property
    def undefined(self) -> bool:
        """Whether the map was no map at all; one that is empty or flat says that nothing speaks for malignant."""
        return self.flagged == NO_NUMBERS

    @property
    def located(self) -> bool:
        """Whether the lesion is known and the map could be compared with it."""
        return "hit" in self.values


def unit_of(cases: Sequence[Case]) -> str:
    """What these images are counted and resampled by: "patient", or "image" where no patient is known."""
    frame = pd.DataFrame([(case.path, case.patient_id) for case in cases], columns=["path", "patient_id"])
    return "patient" if patients_known(frame) else "image"


def images_words(images: int, patients: int, unit: str) -> str:
    """`20 images of 10 patients`; only the images where no patient is known."""
    return counted(images, "image") + (f" of {counted(patients, 'patient')}" if unit == "patient" else "")


@dataclass(frozen=True)
class Finding:
    """What one map gave: its case, curves by "kind order" (empty where it was not perturbed), the layer it was read from,
    and whether shuffled weights gave an empty map."""

    case: Case
    layer: str
    curves: dict[str, list[float]] = field(default_factory=dict)
    shuffled_empty: bool = False


@dataclass(frozen=True)
class MethodAudit:
    """One heatmap method on the split. `layer` is where its maps were read; `verdict` says in words what was found."""

    method: str
    layer: str
    metrics: Annotated[tuple[Metric, ...], Field(alias="figures")]
    curves: tuple[Curve, ...]
    cases: tuple[Case, ...]
    verdict: tuple[str, ...]
    detection: Froc | str = "not computed by the version that made this audit: audit again"

    @property
    def unit(self) -> str:
        """As `unit_of`."""
        return unit_of(self.cases)

    @property
    def flagged(self) -> tuple[Case, ...]:
        """Images whose map holds nothing: left out of every metric but FROC and AFROC."""
        return tuple(case for case in self.cases if case.flagged)

    @property
    def located(self) -> tuple[Case, ...]:
        """Images that localisation was asked of."""
        return tuple(case for case in self.cases if case.located)

    @property
    def worst(self) -> tuple[Case, ...]:
        """Those of `located` whose lesion the map missed most, the worst first."""
        return tuple(sorted(self.located, key=lambda c: (c.values["hit"], c.values["energy"], -c.score, c.path)))

    def metric(self, key: str, group: str = ALL) -> Metric | None:
        """The metric of this key and group; None where it was not asked."""
        return next((metric for metric in self.metrics if (metric.key, metric.group) == (key, group)), None)

    def curve(self, kind: str, order: str = "heatmap") -> Curve | None:
        """The curve of this kind and order; None where it was not asked."""
        return next((curve for curve in self.curves if (curve.kind, curve.order) == (kind, order)), None)

    def table_rows(self) -> list[tuple[str, str, str, str]]:
        """(title, value, interval, note) as text, a row a metric."""
        unit = self.unit
        return [*(_row(metric, unit) for metric in self.metrics), *detection_rows(self.detection, unit)]


# (path, reason), and an object with these names in JSON.
Excluded = Annotated[
    tuple[str, str],
    BeforeValidator(lambda plain: (plain["path"], plain["reason"]) if isinstance(plain, dict) else plain),
    PlainSerializer(lambda pair: dict(zip(("path", "reason"), pair, strict=True))),
]


@dataclass(frozen=True)
class HeatmapAudit:
    """The audit of one run's heatmaps on one split.

    `split` is train, val, test, or "external-<name>" for another data set's manifest. `images` and `patients` are those
    audited; `excluded` the (path, reason) of images that could not be read; `rows_sha256` tells which rows were audited;
    `manifest` is the other data set's, "" for the run's own.
    """

    run: str
    split: str
    methods: tuple[MethodAudit, ...]
    images: int
    patients: int
    threshold: float
    weights_sha256: str
    rows_sha256: str
    settings: AuditSettings
    synthetic: bool = False
    manifest: str = ""
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """How many images of how many patients were audited, in words."""
        return images_words(self.images, self.patients, self.methods[0].unit if self.methods else "patient")

    @property
    def external(self) -> bool:
        """Whether the images are of another data set than the run's."""
        return self.split.startswith("external-")

    def method(self, name: str) -> MethodAudit | None:
        """The audit of this method; None where it was not asked."""
        return next((method for method in self.methods if method.method == name), None)

    def table_rows(self) -> dict[str, list[tuple[str, str, str, str]]]:
        """(title, value, interval, note) as text, a row a metric, by method."""
        return {method.method: method.table_rows() for method in self.methods}

    @model_serializer(mode="wrap")
    def _with_version(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"version": VERSION} | plain(self)


def detection_rows(detection: Froc | str, unit: str) -> list[tuple[str, str, str, str]]:
    if isinstance(detection, str):
        return [("AFROC area", "–", "", detection)]
    rests = (
        f"{counted(detection.lesions, 'lesion')}, {counted(detection.lesion_free, 'benign image')} where every mark is false"
    )
    if unit == "patient":
        rests += f", {counted(detection.patients, 'patient')}"
    rows = [("AFROC area", detection.area, f"{rests}; peaks rated by score")]
    rows += [
        (f"Lesions found at {rate:g} false mark{'' if rate == 1 else 's'} an image", found, rests)
        for rate, found in detection.found.items()
    ]
    return [
        (title, "–", "", metric)
        if isinstance(metric, str)
        else (title, f"{metric.value:.3f}", f"[{metric.low:.3f}, {metric.high:.3f}]", note)
        for title, metric, note in rows
    ]


def _row(metric: Metric, unit: str) -> tuple[str, str, str, str]:
    rests = images_words(metric.images, metric.patients, unit)
    if isinstance(metric.value, str):
        return metric.title, "–", "", metric.value
    beside = [
        f"{REFERENCES[name]} {reference.value.value:.3f}, difference {_signed(reference.difference)}"
        for name, reference in metric.references.items()
        if isinstance(reference.value, Interval)
    ]
    interval = f"[{metric.value.low:.3f}, {metric.value.high:.3f}]"
    return metric.title, f"{metric.value.value:.3f}", interval, "; ".join([*beside, rests])


def _signed(difference: Interval | str) -> str:
    return "not computed" if isinstance(difference, str) else f"{difference:+.3f}"
