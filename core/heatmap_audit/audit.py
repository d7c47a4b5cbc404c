"""One run's heatmaps on one split, image by image, and the metrics that follow."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from core.data import is_synthetic, labelled, read_manifest
from core.data.identity import patients_known
from core.errors import BadConfig, BadRun, NotEnoughData
from core.evaluate.scoring import default_cache, image_of, predictor_of, rows_of
from core.heatmap_audit.detection import detection_of
from core.heatmap_audit.results import Curve, Finding, HeatmapAudit, MethodAudit
from core.heatmap_audit.sampling import sample, spread
from core.heatmap_audit.settings import AuditSettings
from core.heatmap_audit.store import Partial, read_heatmap_audit, write_heatmap_audit
from core.heatmap_audit.summaries import curve_of, metrics_of
from core.heatmap_audit.verdict import verdict_of
from core.metrics import MIN_PATIENTS
from core.runs.folder import Presence, require_regular
from core.runs.test_set.access_log import record, record_for_run
from core.runs.test_set.accesses import AUDIT
from core.runs.test_set.external import external_name
from core.runs.test_set.identity import all_test_sets, closed_sizes, frame_keys, sealed_by, sealed_rows

if TYPE_CHECKING:
    from core.data.cache import CachedImage, PreparedCache
    from core.heatmap_audit.image_auditor import Look
    from core.predict import Predictor
    from core.prediction import Prediction
    from core.runs import Run

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
_IDENTITY = ("path", "patient_id", "label", "content_hash", "lesions", "lesion_circles", "lesion_masks")


def audit_heatmaps(
    run: Run,
    split: str = "test",
    *,
    methods: Sequence[str] = ("auto",),
    limit: int | None = None,
    manifest: Path | None = None,
    settings: AuditSettings | None = None,
    again: bool = False,
    progress: Progress | None = None,
    predictor: Predictor | None = None,
    cache: PreparedCache | None = None,
    where: str = "audit",
) -> HeatmapAudit:
    """Audit the heatmaps of a split of the run, or of another data set, and write explain/audit-<split>.json.

    What is on the disk for the same weights, images and settings is kept: other methods join it, and an audit that was
    cut short goes on where it was.

    Args:
        split: train, val or test; not looked at with a `manifest`.
        methods: of core.gradcam.METHODS, or "auto".
        limit: at most so many images, whole patients drawn by seed; None takes what `settings` say (all).
        manifest: of another data set, every row of it; its audit is called "external-<name>".
        settings: what else may be chosen; by default intervals have the run's level of confidence.
        again: start over whatever is on the disk.
        progress: called with (done, in all): images are prepared once, then looked at once a method.
        predictor: the run's loaded model, where the caller has it; else it is loaded.
        cache: of prepared images; by default the one in the user's cache folder.
        where: the page or command, for the record of accesses to test sets.

    Raises:
        BadRun: no model, another run's predictor, one that judges breasts, or a test set that was not evaluated yet; the run
            was deleted or renamed meanwhile; its folder has entries that lead elsewhere.
        BadConfig: no method, or one that does not exist or does not fit the architecture.
        BadManifest, Leakage: the manifest cannot be used, there is no such split.
        NotEnoughData: the split has no image, or none that can be read.
        NotRecorded: the images are test images, and that they are looked at cannot be written down.
    """
    from core.gradcam import METHODS
    from core.heatmap_audit.image_auditor import Look

    require_regular(run.path)
    settings = settings or AuditSettings(confidence=run.config().evaluation.confidence)
    settings = settings if limit is None else replace(settings, limit=limit)
    _check(settings, methods)
    presence = Presence(run.path)
    name, every = _rows(run, split, manifest)
    if settings.limit is not None and settings.limit >= len(every):
        settings = replace(settings, limit=None)  # the same audit, whoever asked for it
    predictor = predictor_of(run, predictor)
    if predictor.judges_breasts:
        raise BadRun(
            f"{run.name}: the audit looks at one image and its score at a time, and this model judges a breast from all its "
            "images together. Heatmaps of its single views: `python -m core explain`"
        )
    chosen = list(dict.fromkeys(_resolved(predictor, method) for method in methods))
    rows = sample(every, settings.limit, settings.seed)
    before = None if again else _before(run, name, predictor, rows, settings)
    done = {method.method: method for method in before.methods} if before else {}
    waiting = [method for method in chosen if method not in done]
    if before is not None and not waiting:
        return before
    share = _Share(progress, len(rows), 1 + len(waiting))
    if cache is None:
        cache = default_cache(predictor.recipe)
    readable, excluded = _judged(run, rows, cache, predictor, foreign=manifest is not None, share=share)
    presence.require()
    _record(run, rows, readable, manifest, where)
    audit = replace(
        _without_methods(run, name, rows, readable, predictor, settings),
        manifest="" if manifest is None else str(Path(manifest).absolute()),
        excluded=tuple(excluded),
        notes=_notes(len(every), rows, settings, external=manifest is not None),
    )
    for method in waiting:
        presence.require()
        partial = Partial(run, name, method, _key(predictor, rows, settings), again=again)
        findings = _findings(readable, rows, Look(predictor, method, settings), partial, share)
        done[method] = _method(method, findings, settings)
        audit = replace(audit, methods=tuple(done[each] for each in METHODS if each in done))
        presence.require()
        write_heatmap_audit(run, audit)
        partial.remove()
    return audit


# ---------------------------------------------------------------- which images


def _rows(run: Run, split: str, manifest: Path | None) -> tuple[str, pd.DataFrame]:
    """The audit's name and the rows of its images."""
    if manifest is not None:
        frame = labelled(read_manifest(manifest)).reset_index(drop=True)
        if frame.empty:
            raise NotEnoughData(f"{manifest}: it has no image with a label to audit.")
        return external_name(Path(manifest)), frame
    from core.evaluate import read_evaluation

    rows = rows_of(run, split).reset_index(drop=True)
    if split == "test" and read_evaluation(run, "test") is None:
        raise BadRun(
            f"{run.name}: its test set has not been evaluated, and an audit would show how its images are judged. Evaluate it "
            f"first, which is counted: `python -m core evaluate {run.name}`; or audit validation: --split val."
        )
    return split, rows


def _closed(run: Run, rows: pd.DataFrame) -> dict[str, str]:
    """The images of another data set that runs beside this one have in a test set that was not evaluated: {path: the run}."""
    sets = all_test_sets(run.path.parent)
    keys = frame_keys(rows, closed_sizes(sets))
    marks = sealed_rows(keys, rows["patient_id"].tolist(), [""] * len(rows), sets)
    found = {}
    for path, each, mark in zip(rows["path"].astype("str"), keys, marks, strict=True):
        if mark:
            by = sealed_by(each, sets)
            found[path] = by.name if by is not None else "another run, or of the same patient as one"
    return found


def _record(run: Run, rows: pd.DataFrame, readable: Collection[str], manifest: Path | None, where: str) -> None:
    """Write down that test images are looked at: the run's, or those of the other data set's own test split."""
    looked = rows[rows["path"].isin(list(readable)) & (rows["split"] == "test")]
    if manifest is None and len(looked):
        record_for_run(run.path, AUDIT, where, len(looked))
    elif len(looked):
        record(run.path.parent, AUDIT, where, frame_keys(looked), manifest=Path(manifest or "").absolute())


def _judged(
    run: Run, rows: pd.DataFrame, cache: PreparedCache, predictor: Predictor, *, foreign: bool, share: _Share
) -> tuple[dict[str, tuple[CachedImage, Prediction]], list[tuple[str, str]]]:
    """Prepared images with what the model says of them, by path, in the order of the rows; and (path, reason) of those left
    out: unreadable, without a verdict, or not to be asked about."""
    own = _contents(run) if foreign else frozenset()
    closed = _closed(run, rows) if foreign else {}
    images: dict[str, tuple[CachedImage, Prediction]] = {}
    excluded: list[tuple[str, str]] = []
    paths = rows["path"].astype("str").tolist()
    hashes = rows["content_hash"].astype("str").tolist() if "content_hash" in rows.columns else [""] * len(rows)
    with closing(cache.iter_prepare(paths)) as prepared:
        for path, expected, rejected in zip(paths, hashes, prepared, strict=True):
            share.step()
            image = rejected.reason if rejected is not None else image_of(path, expected, cache)
            if isinstance(image, str):
                reason = image
            elif image.content_hash in own or path in own:
                reason = "it belongs to the run's own data: audit its split"
            elif path in closed:
                reason = f"it is a test image of {closed[path]}, whose test set has not been evaluated"
            else:
                prediction = predictor.predict_cached([image], paths=[path])[0]
                if not prediction.refusal:
                    images[path] = (image, prediction)
                    continue
                reason = prediction.verdict
            excluded.append((path, reason))
    if not images:
        raise NotEnoughData(
            f"none of the {len(rows)} images can be audited; the first, {excluded[0][0]}: {excluded[0][1]}. "
            "Check the manifest with `python -m core data check`."
        )
    return images, excluded


def _contents(run: Run) -> frozenset[str]:
    """Paths and content hashes of the run's own images."""
    frame = run.seen_rows()
    hashes = frame["content_hash"].astype("str") if "content_hash" in frame.columns else pd.Series([], dtype="str")
    return frozenset({*frame["path"].astype("str"), *(value for value in hashes if value)})


# ---------------------------------------------------------------- images to metrics


def _without_methods(
    run: Run, name: str, rows: pd.DataFrame, readable: Collection[str], predictor: Predictor, settings: AuditSettings
) -> HeatmapAudit:
    """What an audit says of run, model and images, before any method has been looked at."""
    return HeatmapAudit(
        run=run.name,
        split=name,
        methods=(),
        images=len(readable),
        patients=int(rows["patient_id"][rows["path"].isin(readable)].nunique()),
        threshold=predictor.threshold,
        weights_sha256=_weights(predictor),
        rows_sha256=_digest(rows),
        settings=settings,
        synthetic=predictor.card.synthetic or is_synthetic(rows),
    )


def _findings(
    images: dict[str, tuple[CachedImage, Prediction]], rows: pd.DataFrame, look: Look, partial: Partial, share: _Share
) -> list[Finding]:
    """A finding an image, in the order of the rows."""
    readable = rows[rows["path"].isin(images)]
    perturbed = set(spread(readable, look.settings.perturbed, look.settings.seed)["path"])
    from core.heatmap_audit.image_auditor import subject_of

    recipe = look.predictor.recipe
    found = partial.read()
    with partial:
        for row in rows.to_dict(orient="records"):
            path = str(row["path"])
            if path in images and path not in found:
                subject = subject_of({str(name): value for name, value in row.items()}, *images[path], recipe)
                found[path] = look(subject, perturbed=path in perturbed)
                partial.add(found[path])
            share.step()
    return [found[path] for path in rows["path"] if path in found]


def _method(method: str, findings: Sequence[Finding], settings: AuditSettings) -> MethodAudit:
    cases = [finding.case for finding in findings]
    metrics = metrics_of(cases, settings)
    empty = sum(finding.shuffled_empty for finding in findings)
    curves = tuple(_curves(findings, settings))
    return MethodAudit(
        method=method,
        layer=findings[0].layer,
        metrics=metrics,
        curves=curves,
        cases=tuple(cases),
        verdict=verdict_of(metrics, cases, empty, curves),
        detection=detection_of(cases, settings),
    )


def _curves(findings: Sequence[Finding], settings: AuditSettings) -> list[Curve]:
    with_curves = [finding for finding in findings if finding.curves]
    groups = [finding.case.patient_id for finding in with_curves]
    if len(set(groups)) < MIN_PATIENTS:
        return []
    curves = []
    for name in with_curves[0].curves:
        kind, _, order = name.partition(" ")
        scores = np.array([finding.curves[name] for finding in with_curves])
        curves.append(curve_of(kind, order, scores, groups, settings))
    return curves


def _notes(every: int, rows: pd.DataFrame, settings: AuditSettings, *, external: bool) -> tuple[str, ...]:
    taken, whose = len(rows), "patients" if patients_known(rows) else "images"
    notes = [
        f"Intervals: {settings.confidence:.0%}, {settings.samples:,} resamples of {whose}; Wilson's by {whose} for the "
        "pointing game. They are not corrected for the number of metrics.",
        f"Peak in the lesion: within 15 px where the longer side has 500 ({settings.tolerance:.1%} of it), as in the original "
        "game; and without tolerance. Chance is a pixel drawn blindly from the breast.",
        f"Deletion and insertion: {settings.steps} steps over the breast, pixels blurred by {settings.blur:.1%} of the longer "
        f"side. These, shuffled weights and shift: on at most {settings.perturbed} images drawn by seed {settings.seed}, "
        + (
            "patients with and without a malignant image in turns, of each one image before a second, malignant ones first."
            if whose == "patients"
            else "malignant and benign ones in turns."
        ),
        "Every learned weight tensor is shuffled within itself, all at once, one seed. What is not learned stays.",
        "Only malignant images whose lesion is known count for localisation. A heatmap is as coarse as the layer it is read "
        "from; none of this shows that it outlines disease.",
    ]
    if taken < every:
        notes.insert(
            0,
            f"A sample: {taken} of {every} images, drawn by seed {settings.seed}, "
            + ("whole patients, with and without a malignant image in turns." if whose == "patients" else "by label in turns."),
        )
    if external:
        notes.insert(0, "Another data set than the run's own: nothing of it was used to train or to choose the threshold.")
    return tuple(notes)


# ---------------------------------------------------------------- what is there already


def _before(run: Run, name: str, predictor: Predictor, rows: pd.DataFrame, settings: AuditSettings) -> HeatmapAudit | None:
    """The audit on the disk, if it is of the same weights, images and settings."""
    found = read_heatmap_audit(run, name)
    if found is None or (found.weights_sha256, found.rows_sha256) != (_weights(predictor), _digest(rows)):
        return None
    return found if found.settings == settings else None


def _key(predictor: Predictor, rows: pd.DataFrame, settings: AuditSettings) -> str:
    return json.dumps([_weights(predictor), _digest(rows), asdict(settings)], sort_keys=True)


def _digest(rows: pd.DataFrame) -> str:
    columns = [column for column in _IDENTITY if column in rows.columns]
    content = rows[columns].astype("str").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()


def _weights(predictor: Predictor) -> str:
    return predictor.card.weights_sha256


# ---------------------------------------------------------------- arguments


def _check(settings: AuditSettings, methods: Sequence[str]) -> None:
    from core.gradcam import AUTO, METHODS

    if not methods:
        raise BadConfig(f"audit methods: expected at least one of {', '.join((AUTO, *METHODS))}, got none")
    for name, least in (("limit", 1), ("perturbed", 0), ("steps", 2)):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise BadConfig(f"audit {name}: expected at least {least}, got {value}")


def _resolved(predictor: Predictor, method: str) -> str:
    """The method's own name, also of "auto"."""
    from core.gradcam import AUTO, METHODS
    from core.gradcam.methods import auto_method

    method = auto_method(predictor.model) if method == AUTO else method
    if method not in METHODS:
        raise BadConfig(f"heatmap method: got {method!r}; allowed: {', '.join((AUTO, *METHODS))}")
    return method


@dataclass
class _Share:
    """Progress over several rounds of the same images."""

    progress: Progress | None
    images: int
    rounds: int
    done: int = 0

    def step(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.images * self.rounds)
