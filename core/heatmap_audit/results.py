"""What an audit found: figures by method, the images behind them, and the same as plain JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from core.heatmap_audit.settings import AuditSettings
from core.metrics import Interval
from core.metrics.froc import Froc
from core.metrics.intervals import plain_figure, read_figure
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
# Groups of images that a figure is told for.
ALL, CORRECT, WRONG, CALLED = "all", "called malignant, rightly", "called benign, wrongly", "called malignant"
# What a figure stands beside.
REFERENCES = {
    "chance": "chance",
    "centre": "breast's middle",
    "random": "random map",
    "uniform": "map that is the same everywhere",
}


@dataclass(frozen=True)
class Reference:
    """What costs nothing to reach: its mean over the same images, and the figure minus it, image by image."""

    value: Interval | str
    difference: Interval | str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"value": plain_figure(self.value), "difference": plain_figure(self.difference)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Reference:
        """What `as_dict` gave, read back equal."""
        return cls(read_figure(content["value"]), read_figure(content["difference"]))


@dataclass(frozen=True)
class Figure:
    """The mean of one of TITLES over a group of images, or a note that says why there is none.

    `references` by name (the keys of REFERENCES). `images` and `patients` are those it rests on.
    """

    key: str
    group: str
    value: Interval | str
    images: int
    patients: int
    references: dict[str, Reference] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return TITLES[self.key] if self.group == ALL else f"{TITLES[self.key]}; {self.group}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        references = {name: reference.as_dict() for name, reference in self.references.items()}
        rest = {name: getattr(self, name) for name in ("key", "group", "images", "patients")}
        return rest | {"value": plain_figure(self.value), "references": references}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Figure:
        """What `as_dict` gave, read back equal."""
        references = {name: Reference.from_dict(reference) for name, reference in content["references"].items()}
        rest = {name: content[name] for name in ("key", "group", "images", "patients")}
        return cls(value=read_figure(content["value"]), references=references, **rest)


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

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Curve:
        """What dataclasses.asdict gave, read back equal, from JSON too."""
        arrays = {name: tuple(content[name]) for name in ("share", "mean", "low", "high")}
        return cls(kind=content["kind"], order=content["order"], **arrays)


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


@dataclass(frozen=True)
class Finding:
    """What one map gave: its case, curves by "kind order" (empty where it was not perturbed), the layer it was read from,
    and whether shuffled weights gave an empty map."""

    case: Case
    layer: str
    curves: dict[str, list[float]] = field(default_factory=dict)
    shuffled_empty: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Finding:
        """What `as_dict` gave, read back equal."""
        return cls(**{**content, "case": Case(**content["case"])})


@dataclass(frozen=True)
class MethodAudit:
    """One heatmap method on the split. `layer` is where its maps were read; `verdict` says in words what was found."""

    method: str
    layer: str
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    cases: tuple[Case, ...]
    verdict: tuple[str, ...]
    detection: Froc | str = "not told by the version that made this audit: audit again"

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

    def figure(self, key: str, group: str = ALL) -> Figure | None:
        """The figure of this key and group; None where it was not asked."""
        return next((figure for figure in self.figures if (figure.key, figure.group) == (key, group)), None)

    def curve(self, kind: str, order: str = "heatmap") -> Curve | None:
        """The curve of this kind and order; None where it was not asked."""
        return next((curve for curve in self.curves if (curve.kind, curve.order) == (kind, order)), None)

    def table_rows(self) -> list[tuple[str, str, str, str]]:
        """(title, value, interval, note) as text, a row a figure."""
        return [*map(_row, self.figures), *_detection_rows(self.detection)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "method": self.method,
            "layer": self.layer,
            "verdict": list(self.verdict),
            "figures": [figure.as_dict() for figure in self.figures],
            "curves": [{name: list(v) if isinstance(v, tuple) else v for name, v in asdict(c).items()} for c in self.curves],
            "cases": [asdict(case) for case in self.cases],
            "detection": self.detection if isinstance(self.detection, str) else self.detection.as_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> MethodAudit:
        """What `as_dict` gave, read back equal."""
        found = content.get("detection")
        return cls(
            method=content["method"],
            layer=content["layer"],
            figures=tuple(Figure.from_dict(figure) for figure in content["figures"]),
            curves=tuple(Curve.from_dict(curve) for curve in content["curves"]),
            cases=tuple(Case(**case) for case in content["cases"]),
            verdict=tuple(content["verdict"]),
            **({} if found is None else {"detection": found if isinstance(found, str) else Froc.from_dict(found)}),
        )


_PLAIN = ("run", "split", "images", "patients", "threshold", "weights_sha256", "rows_sha256", "synthetic", "manifest")


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
    excluded: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def external(self) -> bool:
        """Whether the images are of another data set than the run's."""
        return self.split.startswith("external-")

    def method(self, name: str) -> MethodAudit | None:
        """The audit of this method; None where it was not asked."""
        return next((method for method in self.methods if method.method == name), None)

    def table_rows(self) -> dict[str, list[tuple[str, str, str, str]]]:
        """(title, value, interval, note) as text, a row a figure, by method."""
        return {method.method: method.table_rows() for method in self.methods}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "version": VERSION,
            **{name: getattr(self, name) for name in _PLAIN},
            "settings": self.settings.as_dict(),
            "notes": list(self.notes),
            "excluded": [{"path": path, "reason": reason} for path, reason in self.excluded],
            "methods": [method.as_dict() for method in self.methods],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> HeatmapAudit:
        """What `as_dict` gave, read back equal.

        Raises:
            KeyError, TypeError, ValueError: it is not that, or of another version.
        """
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']!r}, expected {VERSION}")
        return cls(
            methods=tuple(MethodAudit.from_dict(method) for method in content["methods"]),
            settings=AuditSettings(**content["settings"]),
            excluded=tuple((item["path"], item["reason"]) for item in content["excluded"]),
            notes=tuple(content["notes"]),
            **{name: content[name] for name in _PLAIN},
        )


def _detection_rows(detection: Froc | str) -> list[tuple[str, str, str, str]]:
    if isinstance(detection, str):
        return [("AFROC area", "–", "", detection)]
    rests = ", ".join(
        (
            counted(detection.lesions, "lesion"),
            f"{counted(detection.lesion_free, 'image')} without any",
            counted(detection.patients, "patient"),
        )
    )
    rows = [("AFROC area", detection.area, f"{rests}; peaks rated by score")]
    rows += [(f"Lesions found at {rate:g} false marks an image", found, rests) for rate, found in detection.found.items()]
    return [
        (title, "–", "", figure)
        if isinstance(figure, str)
        else (title, f"{figure.value:.3f}", f"[{figure.low:.3f}, {figure.high:.3f}]", note)
        for title, figure, note in rows
    ]


def _row(figure: Figure) -> tuple[str, str, str, str]:
    rests = f"{counted(figure.images, 'image')} of {counted(figure.patients, 'patient')}"
    if isinstance(figure.value, str):
        return figure.title, "–", "", figure.value
    beside = [
        f"{REFERENCES[name]} {reference.value.value:.3f}, difference {_signed(reference.difference)}"
        for name, reference in figure.references.items()
        if isinstance(reference.value, Interval)
    ]
    interval = f"[{figure.value.low:.3f}, {figure.value.high:.3f}]"
    return figure.title, f"{figure.value.value:.3f}", interval, "; ".join([*beside, rests])


def _signed(difference: Interval | str) -> str:
    return "not told" if isinstance(difference, str) else f"{difference:+.3f}"
