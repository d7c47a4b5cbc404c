"""What data sets are made of, counted once for each state of a manifest: long ones would make every click slow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core.config import DataConfig
from core.data.composition import columns_of, image_sizes, labels_by, patient_table
from core.data.lesion_places import with_lesions
from core.data.manifest import is_excluded
from core.data.splits import assign_splits
from dashboard.access.paths import require_all_allowed
from dashboard.state import datasets, tasks
from dashboard.state.file_stamps import of_files, stamp
from dashboard.state.tasks import Report, Task


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_files())
def tables(manifest: Path) -> dict[str, pd.DataFrame]:
    """`labels_by` of each column that says anything; excluded images are left out. Raises BadManifest."""
    frame = datasets.manifest_frame(manifest)
    frame = frame[~is_excluded(frame)]
    return {name: labels_by(frame, name) for name in columns_of(frame)}


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_files())
def patients(manifest: Path) -> pd.DataFrame:
    """`patient_table` of the manifest. Raises BadManifest."""
    return patient_table(datasets.manifest_frame(manifest))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_files())
def by_split(manifest: Path, config: DataConfig) -> tuple[pd.DataFrame, bool]:
    """Images and patients by split and label (columns split, label, images, patients), and whether the split is training's.

    Where the manifest has none, it is the one that a training with this configuration makes. Raises BadManifest.
    """
    frame = datasets.manifest_frame(manifest)
    frame = frame[~is_excluded(frame)]
    made = bool((frame["split"] == "").all())
    if made:
        frame = assign_splits(frame, config.val_fraction, config.test_fraction, config.split_seed)
    return frame.groupby(["split", "label"]).agg(
        images=("path", "size"), patients=("patient_id", "nunique")
    ).reset_index(), made


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_files())
def lesions(manifest: Path) -> NDArray[np.bool_]:
    """Which rows of the manifest say where a lesion is, bool (N,). Raises BadManifest."""
    return with_lesions(datasets.manifest_frame(manifest))


def sizes_name(manifest: Path) -> str:
    """The name of the task that reads the sizes of this manifest's images."""
    return f"sizes:{manifest}:{stamp(manifest)}"


def start_sizes(manifest: Path) -> Task:
    """Read the headers of all images in the background; the result is `labels_by` size. Raises NotAllowed, BadManifest."""
    frame = datasets.manifest_frame(manifest)
    frame = frame[~is_excluded(frame)]
    require_all_allowed(map(Path, frame["path"]))

    def work(report: Report) -> pd.DataFrame:
        return labels_by(frame, "size", image_sizes(frame["path"].to_list(), report))

    return tasks.start_task(sizes_name(manifest), "Reading headers", work)
