"""What data sets are made of, counted once for each state of a manifest: long ones would make every click slow."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core.config import Config, DataConfig, EvaluationConfig
from core.data.composition import columns_of, image_sizes, labels_by, patient_table
from core.data.identity import patients_known
from core.data.lesion_places import with_lesions
from core.data.manifest import is_excluded, labelled
from core.data.splits import assign_splits
from core.errors import BadManifest
from core.metrics.composition import Association, Composition, associations, composition
from dashboard.access.paths import require_all_allowed
from dashboard.state import datasets, tasks
from dashboard.state.file_stamps import of_files, stamp
from dashboard.state.tasks import Report, Task


class Facts(NamedTuple):
    """What the cards say of a data set, without the images that are excluded; `patients` is None where nobody is known."""

    images: int
    excluded: int
    patients: int | None
    labelled: int
    malignant: int
    splits: tuple[int, int, int]  # images of train, val and test
    views: tuple[str, ...]  # the most frequent first
    left: int
    right: int


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_files())
def facts(manifest: Path) -> Facts:
    """Raises BadManifest."""
    frame = datasets.manifest_frame(manifest)
    away = is_excluded(frame)
    frame = frame[~away]
    label, split, side = frame["label"], frame["split"], frame["laterality"]
    return Facts(
        images=len(frame),
        excluded=int(away.sum()),
        patients=int(frame["patient_id"].nunique()) if patients_known(frame) else None,
        labelled=int((label != "").sum()),
        malignant=int((label == "malignant").sum()),
        splits=(int((split == "train").sum()), int((split == "val").sum()), int((split == "test").sum())),
        views=tuple(frame.loc[frame["view"] != "", "view"].value_counts().index),
        left=int((side == "L").sum()),
        right=int((side == "R").sum()),
    )


class PerPatient(NamedTuple):
    """Images and sides of patients by split and label, and how far these tell the label, at a confidence in (0, 1)."""

    parts: tuple[Composition, ...]
    found: tuple[Association, ...]
    confidence: float


def per_patient(frame: pd.DataFrame, confidence: float) -> PerPatient | None:
    """None where no patient is known. `frame`: a manifest or predictions; `confidence` of the intervals, in (0, 1)."""
    if not patients_known(frame):
        return None
    return PerPatient(composition(frame), associations(frame, confidence), confidence)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_files())
def per_patient_of(manifest: Path, confidence: float) -> PerPatient | None:
    """`per_patient` of the labelled images of a manifest. Raises BadManifest."""
    return per_patient(labelled(datasets.manifest_frame(manifest)), confidence)


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
def by_split(manifest: Path, config: DataConfig) -> tuple[pd.DataFrame, bool, str]:
    """Images and patients by split and label (columns split, label, images, patients), whether the split is training's, and why
    there can be none.

    Where the manifest has none, it is the one that a training with this configuration makes. Raises BadManifest.
    """
    frame = datasets.manifest_frame(manifest)
    frame = frame[~is_excluded(frame)]
    made, problem = bool((frame["split"] == "").all()), ""
    if made:
        try:
            frame = assign_splits(frame, config.val_fraction, config.test_fraction, config.split_seed)
        except BadManifest as error:
            made, problem = False, str(error)
    groups = frame.groupby(["split", "label"])
    return groups.agg(images=("path", "size"), patients=("patient_id", "nunique")).reset_index(), made, problem


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_files())
def lesions(manifest: Path) -> NDArray[np.bool_]:
    """Which rows of the manifest say where a lesion is, bool (N,). Raises BadManifest."""
    return with_lesions(datasets.manifest_frame(manifest))


def count_ahead(manifest: Path, config: Config) -> None:
    """Count a long manifest in the background, so that no view waits seconds for what it shows."""
    if manifest.stat().st_size <= datasets.LONG_MANIFEST:
        return
    name = f"composition:{manifest}:{stamp(manifest)}"

    def work(report: Report) -> None:
        facts(manifest)
        lesions(manifest)
        by_split(manifest, config.data)
        per_patient_of(manifest, EvaluationConfig().confidence)
        tables(manifest)
        patients(manifest)

    if tasks.task(name) is None:
        tasks.start_task(name, "Counting", work)


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
