"""Explain: where in an image a score comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import LabError
from dashboard import components, images, kept, results, services
from dashboard.components import Metric
from dashboard.images import ImageRef
from dashboard.pictures import Tile, gallery

if TYPE_CHECKING:
    import pandas as pd

    from core.training import Run
    from dashboard.explaining import Box, Explanation

SOURCES = {"val": "Validation", "test": "Test", "upload": "Upload"}
FILTERS = ["All", "Missed cancers", "False alarms", "Malignant", "Benign", "Near the threshold"]
PICTURE_WIDTH = 380  # px; about what a column of two pictures has at 1440 px
PICTURE_HEIGHTS = (260, 560)  # px, least and most
MANY = 24  # overlays that one press saves at most


def show() -> None:
    """Run and image on top; pictures on the left, everything that changes them on the right."""
    left, right = st.columns([5, 4])
    with left:
        run = components.run_picker(with_model=True)
    if run is None:
        return
    with right:
        source = source_picker(run)
    workbench(run, source)


def source_picker(run: Run) -> str:
    """Where images come from; the test set only once it has been opened on Evaluate."""
    opened = results.evaluation(run, "test") is not None
    options = [name for name in SOURCES if name != "test" or opened]
    return kept.segmented("Images from", {name: SOURCES[name] for name in options}, "explain:source")


# ---------------------------------------------------------------- which image


@st.fragment
@components.errors_shown()
def workbench(run: Run, source: str) -> None:
    """Only this reruns when an image, the method or the opacity changes."""
    pictures, controls = st.columns([7, 3], gap="medium")
    with controls:
        if source == "upload":
            image, row, listed = uploaded(), None, None
        else:
            image, row, listed = from_split(run, source)
        method, target, opacity, colormap, boxes_on = settings(row)
    with pictures:
        if image is None:
            if source == "upload":
                components.empty_state(
                    "No image yet", "Upload a mammogram: DICOM, PNG, JPEG, PGM or TIFF.", icon=":material/add_photo_alternate:"
                )
            return
        with st.spinner("Computing the heatmap", show_time=False):
            found = results.explanation(run, image, method, target)
        boxes = lesions(row, found) if boxes_on else []
        picture(run, image, row, found, boxes, opacity, colormap)
    with controls:
        saving(run, image, found, boxes, opacity, colormap, listed)


def uploaded() -> ImageRef | None:
    """The image that was uploaded in this session."""
    file = st.file_uploader("DICOM, PNG, JPEG, PGM or TIFF", key="explain:upload")
    slot = "explain:uploaded"
    if file is not None and (slot not in st.session_state or st.session_state[slot][0] != file.file_id):
        st.session_state[slot] = (file.file_id, images.image_ref(file.getvalue(), file.name))
    return st.session_state[slot][1] if slot in st.session_state else None


def from_split(run: Run, split: str) -> tuple[ImageRef | None, Any, pd.DataFrame]:
    """(image, its manifest row, the images listed): chosen by filter, then by name, or by stepping through."""
    rows = listing(run, split)
    filters = [name for name in FILTERS if "score" in rows.columns or name in ("All", "Malignant", "Benign")]
    chosen = kept.select("Show", filters, "explain:filter")
    rows = filtered(rows, chosen, services.predictor(run).threshold)
    if rows.empty:
        st.info("No image of this kind. Choose another kind.", icon=":material/filter_alt_off:")
        return None, None, rows
    paths = rows["path"].tolist()
    current = services.recall("explain:image")
    index = paths.index(current) if current in paths else 0
    titles = {str(row.path): title(row) for row in rows.itertuples()}
    kept.select(f"Image, {index + 1} of {len(paths)}", titles, "explain:image", default=paths[index])
    before, after = st.columns(2)
    for column, label, icon, to in (
        (before, "Previous", ":material/chevron_left:", index - 1),
        (after, "Next", ":material/chevron_right:", index + 1),
    ):
        column.button(
            label,
            icon=icon,
            disabled=not 0 <= to < len(paths),
            key=f"explain:{label}",
            width="stretch",
            on_click=lambda to=to: services.remember("explain:image", paths[to]),
        )
    path = paths[index]
    return images.image_ref(path), rows.iloc[index], rows


def listing(run: Run, split: str) -> pd.DataFrame:
    """The run's images of a split, with scores where the split has been scored."""
    manifest = services.manifest_frame(run.path / "manifest.csv")
    rows = manifest[manifest["split"] == split]
    found = results.evaluation(run, split)
    if found is not None:
        rows = rows.merge(found.predictions[["path", "score"]], on="path", how="inner")
        rows = rows.sort_values(["score", "path"], ascending=[False, True])
    return rows


def filtered(rows: pd.DataFrame, name: str, threshold: float) -> pd.DataFrame:
    """The rows of one kind, the most telling first."""
    malignant = rows["label"] == "malignant"
    if name == "Malignant":
        return rows[malignant]
    if name == "Benign":
        return rows[~malignant]
    if name == "Missed cancers":
        return rows[malignant & (rows["score"] < threshold)].sort_values("score")
    if name == "False alarms":
        return rows[~malignant & (rows["score"] >= threshold)].sort_values("score", ascending=False)
    if name == "Near the threshold":
        return rows.loc[(rows["score"] - threshold).abs().sort_values().index[:50]]
    return rows


def title(row: Any) -> str:
    """An image in a line: file, side and view, truth, score."""
    score = f"{row.score:.3f}" if hasattr(row, "score") else ""
    parts = [Path(row.path).stem, f"{row.laterality} {row.view}".strip(), row.label, score]
    return " · ".join(part for part in parts if part)


# ---------------------------------------------------------------- what is shown


def settings(row: Any) -> tuple[str, str, float, str, bool]:
    """(method, target, opacity, colour map, lesion boxes on) from their widgets."""
    from core.gradcam import AUTO, COLORMAPS, METHODS

    opacity = kept.slider("Opacity", 0.0, 1.0, 0.05, "explain:opacity", default=0.5)
    explained = (f"{AUTO}: what fits the architecture", *METHODS.values())
    method = kept.select("Method", [AUTO, *METHODS], "explain:method", help="\n\n".join(explained))
    first, second = st.columns(2)
    with first:
        target = kept.select("Evidence for", ["malignant", "benign"], "explain:target")
    with second:
        colormap = kept.select("Colours", list(COLORMAPS), "explain:colormap")
    there = bool(_boxes(row))
    words = "Where the manifest says that a lesion is." if there else "The manifest has no lesion box for this image."
    boxes_on = kept.toggle("Lesion boxes", "explain:boxes", default=True, help=words, disabled=not there)
    return method, target, opacity, colormap, boxes_on


def _boxes(row: Any) -> list[Box]:
    from core.data import lesion_boxes

    return [] if row is None else lesion_boxes(row)


def lesions(row: Any, found: Explanation) -> list[Box]:
    """The row's lesion boxes in the prepared image's coordinates."""
    from core.preprocessing import map_boxes

    return map_boxes(_boxes(row), found.prepared.matrix)


def picture(run: Run, image: ImageRef, row: Any, found: Explanation, boxes: list[Box], opacity: float, colormap: str) -> None:
    """Model input and overlay side by side on black, under score and decision."""
    from dashboard.explaining import pictures

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if run.model_card().get("synthetic") or is_synthetic(row):
            st.badge("SYNTHETIC", color="orange", help="Demo images, or a model trained on them.")
        st.markdown(f"**{image.name}**", width="stretch")
    verdict(row, found)
    before, after = pictures(found, opacity=opacity, colormap=colormap, boxes=boxes)
    height, width = found.prepared.pixels.shape
    gallery(
        [
            Tile(images.preview_jpeg(before, quality=92), f"Model input, {width} × {height} px"),
            Tile(images.preview_jpeg(after, quality=92), f"Evidence for {found.heat.target}, {found.heat.method}"),
        ],
        key="explain:pictures",
        columns=2,
        height=min(max(PICTURE_WIDTH * height // width, PICTURE_HEIGHTS[0]), PICTURE_HEIGHTS[1]),
    )
    if found.heat.flat:
        st.warning(f"This heatmap is empty: {found.heat.reason}. Nothing is stretched into colour.", icon=":material/blur_off:")
    for warning in found.warnings:
        st.warning(warning, icon=":material/warning:")
    st.caption(
        f"Read from layer {found.heat.layer}. A heatmap shows where this network looked, not where a disease is. Colours are "
        "scaled to each image's own peak: do not compare their strength between images."
    )


def is_synthetic(row: Any) -> bool:
    """Whether the manifest says so of this image."""
    return row is not None and str(row.get("synthetic", "")).lower() in ("true", "1", "yes")


def verdict(row: Any, found: Explanation) -> None:
    """Score, decision and truth as cards."""
    truth = "" if row is None else str(row["label"])
    right = "" if not truth else ("correct" if truth == found.decision else "wrong")
    side = "" if row is None else f"{row['laterality']} {row['view']}".strip()
    components.metric_cards(
        [
            Metric("Score, P(malignant)", f"{found.score:.3f}", f"threshold {found.threshold:.3f}"),
            Metric("Decision", found.decision, right or "at the model's threshold"),
            Metric("Truth", truth or "not known", side or "not in the manifest"),
        ]
    )


# ---------------------------------------------------------------- saving


def saving(
    run: Run,
    image: ImageRef,
    found: Explanation,
    boxes: list[Box],
    opacity: float,
    colormap: str,
    listed: pd.DataFrame | None,
) -> None:
    """Save the overlay to the run, download it, or save those of the whole list."""
    from core.images.encode import encode_png
    from dashboard.explaining import file_name, pictures, save

    name = file_name(image.name, found)
    overlay = pictures(found, opacity=opacity, colormap=colormap, boxes=boxes)[1]
    if st.button("Save overlay to the run", type="primary", icon=":material/save:", width="stretch", key="explain:save"):
        path = save(run.path, name, overlay)
        st.toast(f"Saved: {services.display_path(path)}", icon=":material/check_circle:")
    st.download_button(
        "Download PNG",
        encode_png(overlay),
        name,
        "image/png",
        icon=":material/download:",
        width="stretch",
        on_click="ignore",
        key="explain:download",
    )
    if listed is not None and len(listed) > 1:
        count = min(MANY, len(listed))
        if st.button(
            f"Save the first {count} of this list", icon=":material/photo_library:", width="stretch", key="explain:many"
        ):
            save_many(run, listed.head(count), found, opacity, colormap)


def save_many(run: Run, rows: pd.DataFrame, like: Explanation, opacity: float, colormap: str) -> None:
    """Save the overlays of several images with a progress bar; what cannot be read is said."""
    from dashboard.explaining import file_name, pictures, save

    bar = st.progress(0.0, text="Saving")
    refused: list[str] = []
    for done, (_, row) in enumerate(rows.iterrows(), start=1):
        image = images.image_ref(row["path"])
        try:
            found = results.explanation(run, image, like.heat.method, like.heat.target)
        except LabError as error:
            refused.append(str(error))
            continue
        overlay = pictures(found, opacity=opacity, colormap=colormap, boxes=lesions(row, found))[1]
        save(run.path, file_name(image.name, found), overlay)
        bar.progress(done / len(rows), text=f"Saving · {done} of {len(rows)}")
    bar.empty()
    st.success(f"Saved {len(rows) - len(refused)} overlays to {services.display_path(run.path / 'explain')}.")
    for reason in refused[:3]:
        components.show_error(reason)


with components.page("Explain", "Where in an image a score comes from: heatmaps over what the model saw."):
    show()
