"""Which image is explained: an uploaded one, or one of a run's split, chosen by kind and by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.metrics import ViewThresholds
from core.runs import Run
from core.runs.test_set.accesses import LABELS
from dashboard.cache import images, results
from dashboard.cache.images import ImageRef
from dashboard.state import datasets, models, preferences, widgets
from dashboard.ui import notices, test_set_access

FILTERS = ["All", "Missed cancers", "False alarms", "Malignant", "Benign", "Near the threshold"]


def from_split(run: Run, split: str) -> tuple[ImageRef | None, Any, pd.DataFrame]:
    """(image, its manifest row, the images listed): chosen by filter, then by name, or by stepping through."""
    rows = listing(run, split)
    filters = [name for name in FILTERS if "score" in rows.columns or name in ("All", "Malignant", "Benign")]
    chosen = widgets.select("Show", filters, "explain:filter")
    rows = filtered(rows, chosen, models.predictor(run).thresholds)
    if rows.empty:
        notices.info("No image of this kind. Choose another kind.", icon="filter_alt_off")
        return None, None, rows
    paths = rows["path"].tolist()
    test_set_access.record_run(LABELS, "Explain", run, paths)
    current = preferences.get("explain:image")
    index = paths.index(current) if current in paths else 0
    titles = {str(row.path): title(row) for row in rows.itertuples()}
    widgets.select(f"Image, {index + 1} of {len(paths)}", titles, "explain:image", default=paths[index])
    before, after = st.columns(2)
    for column, label, to in ((before, "Previous", index - 1), (after, "Next", index + 1)):
        column.button(
            label,
            disabled=not 0 <= to < len(paths),
            key=f"explain:{label}",
            width="stretch",
            on_click=lambda to=to: preferences.set("explain:image", paths[to]),
        )
    path = paths[index]
    return images.image_ref(path), rows.iloc[index], rows


def listing(run: Run, split: str) -> pd.DataFrame:
    """The run's images of a split, with scores where the split has been scored."""
    found = results.evaluation(run, split)
    if found is not None and found.external is not None:
        return found.predictions.sort_values(["score", "path"], ascending=[False, True])
    manifest = datasets.manifest_frame(run.path / "manifest.csv")
    rows = manifest[manifest["split"] == split]
    if found is not None:
        rows = rows.merge(found.predictions[["path", "score"]], on="path", how="inner")
        rows = rows.sort_values(["score", "path"], ascending=[False, True])
    return rows


def filtered(rows: pd.DataFrame, name: str, thresholds: ViewThresholds) -> pd.DataFrame:
    """The rows of one kind, the most extreme first."""
    malignant, threshold = rows["label"] == "malignant", thresholds.of_rows(rows)
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
