"""The audit of a run's heatmaps on the Explain page: started here, worked on in the background, shown with its worst cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from core.data.cache import PreparedCache
from core.data.lesion_masks import has_lesion, lesion_mask
from core.errors import LabError
from core.files.paths import cache_root
from core.heatmap_audit import Case, HeatmapAudit, MethodAudit, Metric, audit_heatmaps, audited_splits, read_heatmap_audit
from core.heatmap_audit.results import ALL, REFERENCES, images_words
from core.heatmap_audit.store import audit_path
from core.metrics import Interval
from core.plots.audit import ORDERS, localisation_figure, perturbation_figure
from core.runs import Run
from core.runs.test_set.accesses import HEATMAPS
from core.wording import plain
from dashboard.access.paths import require_allowed
from dashboard.cache import images, results
from dashboard.state import datasets, models, preferences, settings, tasks, widgets
from dashboard.state.file_stamps import stamp
from dashboard.state.tasks import Report, Task
from dashboard.ui import background, components, html_tables, image_components, notices, pages, test_set_access
from dashboard.ui.image_components import Tile

SPLITS = {"val": "Validation", "test": "Test"}
LIMITS = {"100": "100 images", "300": "300 images", "": "all images"}
WORST = 8
SIDE = 420  # px, of a tile's picture
LOCATED = {"hit": "Peak in or near it", "hit_exact": "Peak in it", "energy": "Energy in it", "iou_area": "IoU"}
WHAT = (
    "Compares the maps with the lesions that the manifest knows, with chance, with random maps and with the breast's mere "
    "shape; asks whether the score rests on what they mark, and whether they change when the weights are shuffled."
)


def show(run: Run, split: str = "val") -> None:
    """The audits of this run: choose one of those there are, or start another."""
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        chosen = audited(run, split)
    name = _name(run)
    task = tasks.task(name)
    with right:
        if task is None or not task.running:
            starting(run, chosen)
    note = "You can leave this page meanwhile. What is done stays, also when you stop: the next audit continues from there."
    if background.running(name, stop="audit:stop", note=note, on_draw=lambda: _adopt(name)):
        return
    if task is not None and task.state == "stopped":
        words = f"Stopped after {task.done} of {task.total}. The next audit of the same images continues from there."
        notices.info(words, icon="stop_circle")
    found = audit_of(run, chosen)
    if found is None:
        components.empty_state("These heatmaps have not been audited", WHAT, icon=":material/fact_check:")
        return
    findings(run, found)


def audited(run: Run, split: str) -> str:
    """The images whose audit is looked at: the run's own splits, and other data sets that were audited."""
    opened = results.evaluation(run, "test") is not None
    own = {name: title for name, title in SPLITS.items() if name == "val" or opened}
    others = {name: name.removeprefix("external-") for name in audited_splits(run) if name not in SPLITS and name != "train"}
    return widgets.segmented("Images", own | others, "audit:split", default=split if split in own else "val")


def audit_of(run: Run, split: str) -> HeatmapAudit | None:
    """What the last audit of these images wrote, re-read when the file changes; None when there is none. Raises BadRun."""
    return _audit(str(run.path), split, stamp(audit_path(run, split)))


@st.cache_resource(max_entries=8, show_spinner=False)
def _audit(path: str, split: str, changed: int) -> HeatmapAudit | None:
    return read_heatmap_audit(Run(Path(path)), split)


# ---------------------------------------------------------------- starting one


def starting(run: Run, split: str) -> None:
    """The button, and beside it what may be chosen."""
    from core.gradcam import AUTO, METHODS, SLOW

    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="bottom"):
        with st.popover("Options", icon=":material/tune:"):
            chosen = widgets.pills("Methods (none: what fits the architecture)", list(METHODS), "audit:methods")
            if set(chosen) & set(SLOW):
                st.caption("Score-CAM takes many forward passes per image: minutes to hours.")
            limit = widgets.select("At most", LIMITS, "audit:limit")
            other = other_data()
        title = "Audit another data set" if other else "Audit the heatmaps"
        done = audit_of(run, split) is not None and not other
        kind: Any = "secondary" if done else "primary"
        if st.button(title, icon=":material/fact_check:", type=kind, key="audit:start"):
            with notices.errors_shown():
                start(run, split, tuple(chosen) or (AUTO,), int(limit) if limit else None, other)
                st.rerun()


def other_data() -> Path | None:
    """Another data set's manifest, or None for the run's own images."""
    found = {str(path): settings.display_path(path) for path in datasets.find_manifests()}
    words = "An external set: what the maps do on images that nothing of this run was made from."
    chosen = widgets.select("Images", {"": "the run's own, as shown"} | found, "audit:manifest", help=words)
    return Path(chosen) if chosen else None


def start(run: Run, split: str, methods: tuple[str, ...], limit: int | None, manifest: Path | None) -> Task:
    """Audit in the background; the task's result is the audit. What is there for the same model and images is used again."""
    model = models.predictor(run)

    def work(report: Report) -> HeatmapAudit:
        own = "val" if split.startswith("external-") and manifest is None else split
        before = None if manifest is not None or own == split else audit_of(run, split)
        source = manifest if before is None else Path(before.manifest)
        return audit_heatmaps(
            run, own, methods=methods, limit=limit, manifest=source, progress=report, predictor=model, where="Explain"
        )

    return tasks.start_task(_name(run), "Auditing the heatmaps", work)


def _name(run: Run) -> str:
    return f"audit:{run.path}"


def _adopt(name: str) -> None:
    """Show the images of an audit that has just ended."""
    task = tasks.task(name)
    if task is not None and task.state == "done":
        preferences.set("audit:split", task.result.split)


# ---------------------------------------------------------------- what was found


def findings(run: Run, found: HeatmapAudit) -> None:
    """What was audited, then one method: words, metrics, curves, the worst cases, and what was left out."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if found.synthetic:
            notices.synthetic_badge("The demo set, or a model trained on it.")
        if found.external:
            st.badge("EXTERNAL", color="blue", help="Another data set than the run's own.")
        left_out = f" · {len(found.excluded)} left out" if found.excluded else ""
        st.markdown(f"{found.size}{left_out}", width="stretch")
    if run.model_card().weights_sha256 != found.weights_sha256:
        notices.warning("The run's model has changed since this audit (it trained on). Audit again.")
    methods = [method.method for method in found.methods]
    name = widgets.segmented("Method", methods, "audit:method") if len(methods) > 1 else methods[0]
    method = found.method(name)
    assert method is not None
    named = f"{run.name} {found.split} {method.method}"  # of the charts' files
    left, right = st.columns([1, 1], gap="medium")
    with left:
        st.markdown(f"## What was found for {plain(method.method)}", anchors=False)
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in method.verdict))
    with right:
        located(method, named)
    curves(method, named)
    pictured = st.container()  # filled last: its maps are computed again, and nothing else waits for them
    st.markdown("## All metrics", anchors=False)
    table(method)
    flagged(run, found, method)
    with st.expander("How it was done"):
        st.markdown("\n".join(f"- {plain(note)}" for note in found.notes))
    with pictured:
        worst(run, found, method)


def located(method: MethodAudit, named: str) -> None:
    """How often lesions are found, beside the baselines."""
    rows = []
    for key, title in LOCATED.items():
        metric = method.metric(key)
        if metric is not None:
            references = {name: reference.value for name, reference in metric.references.items()}
            rows.append((title, {"heatmap": metric.value, **references}))
    if rows:
        st.markdown("## Lesions found", anchors=False)
        alt = "shares of lesions found, with chance"
        components.chart(localisation_figure(rows), "audit:located", alt=alt, saved_as=f"{named} lesions found")


def curves(method: MethodAudit, named: str) -> None:
    """Deletion and insertion side by side."""
    if not method.curves:
        return
    titles = {"deletion": "Blurring what is marked first", "insertion": "Showing what is marked first"}
    better = {
        "deletion": "A map that marks what counts falls sooner.",
        "insertion": "A map that marks what counts rises sooner.",
    }
    for column, (kind, title) in zip(st.columns(2, gap="medium"), titles.items(), strict=True):
        found = {order: method.curve(kind, order) for order in ORDERS}
        lines = {order: (each.share, each.mean, each.low, each.high) for order, each in found.items() if each is not None}
        metric = method.metric(kind)
        with column:
            st.markdown(f"## {title}", anchors=False)
            if metric is not None:
                st.caption(f"{images_words(metric.images, metric.patients, method.unit)}. {better[kind]}")
            chart, saved_as = perturbation_figure(kind, lines), f"{named} {kind}"
            components.chart(chart, f"audit:{kind}", alt=f"{kind} curves", saved_as=saved_as)


def table(method: MethodAudit) -> None:
    """Every metric with its interval and its baseline."""
    few = [metric for metric in method.metrics if metric.group != ALL and isinstance(metric.value, str)]
    known = method.unit == "patient"
    rows: list[list[Any]] = [_row(metric, known) for metric in method.metrics if metric not in few]
    heads = ("Metric", "Value", "Baseline", "Difference", "Images (patients)" if known else "Images")
    html_tables.table(heads, rows)
    if few:
        groups = ", ".join(dict.fromkeys(metric.group for metric in few))
        st.caption(f"Too few {method.unit}s for a separate value: {groups}.")


def _row(metric: Metric, known: bool) -> list[Any]:
    name = next((each for each in ("chance", "random", "uniform") if each in metric.references), "")
    reference = metric.references.get(name)
    count = f"{metric.images} ({metric.patients})" if known else str(metric.images)
    if isinstance(metric.value, str) or reference is None:
        return [metric.title, metric.value, None, None, count]
    difference = reference.difference
    change = f"{difference:+.3f}" if isinstance(difference, Interval) else difference
    baseline = f"{reference.value.value:.3f}, {REFERENCES[name]}" if isinstance(reference.value, Interval) else None
    return [metric.title, metric.value, baseline, change, count]


def flagged(run: Run, found: HeatmapAudit, method: MethodAudit) -> None:
    """Maps that hold nothing, lesions that could not be used, and images that could not be read; by name where not sealed."""
    unusable = [case for case in method.cases if case.lesion and case.label == "malignant"]
    for title, lines in (
        ("Maps that hold nothing, left out of every metric", [(case.path, case.flagged) for case in method.flagged]),
        ("Malignant images left out of localisation", [(case.path, case.lesion) for case in unusable]),
        ("Images that could not be audited", list(found.excluded)),
    ):
        if lines:
            with st.expander(f"{title}: {len(lines)}"):
                named = [("", why) if test_set_access.is_sealed(path, run) else (path, why) for path, why in lines]
                rows = [{"image": Path(path).name or "a test image", "why": why, "path": path} for path, why in named]
                st.dataframe(rows, hide_index=True)


# ---------------------------------------------------------------- the worst cases


def worst(run: Run, found: HeatmapAudit, method: MethodAudit) -> None:
    """Lesions that the map missed, the worst first; a click opens the image above."""
    cases = [case for case in method.worst if case.values["hit"] < 1.0 and not test_set_access.is_sealed(case.path, run)]
    if not method.located:
        return
    missed = f"{len(cases)} of {len(method.located)}"
    more = f", the {WORST} worst" if len(cases) > WORST else ""
    st.markdown(f"## Lesions that the map's peak missed: {missed}{more}", anchors=False)
    if not cases:
        st.markdown("None.")
        return
    rows = _rows(run, found)
    test_set_access.record_run(HEATMAPS, "Explain", run, [case.path for case in cases[:WORST]])
    with st.spinner("Computing the heatmaps", show_time=False):
        tiles = [_tile(run, method.method, case, rows.get(case.path, {})) for case in cases[:WORST]]
    picked = image_components.gallery(tiles, key="audit:worst", columns=4, height=230, clickable=not found.external)
    st.caption(
        "White line: the lesion; cross: the map's peak; coloured line: half of its strength. Energy: share of the map that "
        "lies in the lesion."
    )
    if picked:
        pages.choose_explained(picked, found.split)
        preferences.set("explain:method", method.method)
        preferences.set("explain:look", "image")
        st.rerun()


def _rows(run: Run, found: HeatmapAudit) -> dict[str, dict[str, Any]]:
    """The manifest's rows by path; {} where another data set's manifest is gone."""
    try:
        frame = datasets.manifest_frame(Path(found.manifest) if found.manifest else run.path / "manifest.csv")
    except LabError:
        return {}
    return {str(row["path"]): {str(key): value for key, value in row.items()} for row in frame.to_dict(orient="records")}


def _tile(run: Run, method: str, case: Case, row: dict[str, Any]) -> Tile:
    label, caption = f"{case.score:.3f}", f"energy {case.values['energy']:.0%}"
    color = image_components.label_color("malignant" if case.called else "benign")
    detail = Path(case.path).name
    lesions = tuple((key, str(row[key])) for key in ("path", "lesions", "lesion_circles", "lesion_masks") if key in row)
    try:
        stamps = (*models.model_stamp(run), stamp(require_allowed(case.path)))
        picture = _picture(str(run.path), stamps, method, case.path, lesions, run)
    except LabError as error:
        return Tile(b"", caption, label, color, case.path, str(error), detail)
    return Tile(picture, caption, label, color, case.path, detail=detail)


@st.cache_data(max_entries=256, show_spinner=False)
def _picture(
    run_path: str, changed: tuple[int, ...], method: str, path: str, lesions: tuple[tuple[str, str], ...], _run: Run
) -> bytes:
    """The overlay with the lesion's outline and the map's peak, JPEG."""
    from core.gradcam import render

    model = models.predictor(_run)
    image = PreparedCache(cache_root(), model.recipe).get(path)
    heat = model.explain(model.predict_cached([image], paths=[path])[0], method=method)
    row = dict(lesions)
    known = has_lesion(row)
    mask = lesion_mask(row, image.matrix, image.original_shape, model.recipe.shape) if known else None
    return images.preview_jpeg(render(np.array(image.pixels), heat, side=SIDE, outline=2, mask=mask, peak=True), SIDE)
