"""The columns that a shortcut audit takes in: known metadata, further columns, and how many images a patient has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

# How many images and sides of the same patient are in the set: a set may have other patients of each class, or other exams.
IMAGES_OF_PATIENT, SIDES_OF_PATIENT = "images_of_patient", "sides_of_patient"
OF_PATIENT = (IMAGES_OF_PATIENT, SIDES_OF_PATIENT)
# The columns that measure something. Every other column names something, even where its names are written in digits, as those
# of scanners and sites often are: the distance between scanner 49 and scanner 93 means nothing.
NUMBERS = ("age", "height", "width", IMAGES_OF_PATIENT)
# Where shortcuts were found most often, with the columns that tell of it: what an audit without any of these cannot say.
COMMON = {
    "scanner": ("scanner", "machine_id", "device", "manufacturer", "vendor"),
    "site": ("site", "site_id", "hospital", "institution", "center", "centre", "origin", "source"),
    "age": ("age",),
    "burned-in text": ("burned_in",),
}


def with_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame (columns patient_id, laterality, a row an image) with how many images and sides of each patient it has."""
    patients = frame.groupby(frame["patient_id"].to_numpy())
    known = frame["laterality"].where(frame["laterality"].isin(("L", "R")))
    sides = known.groupby(frame["patient_id"].to_numpy()).transform("nunique").to_numpy()
    return frame.assign(
        **{
            IMAGES_OF_PATIENT: patients["patient_id"].transform("size").to_numpy(),
            SIDES_OF_PATIENT: np.where(sides > 0, sides.astype(int).astype(str), ""),
        }
    )


def columns_for_audit(frame: pd.DataFrame, extra: Sequence[str] = ()) -> list[str]:
    """The columns of a manifest or predictions frame that an audit may use: known metadata, and `extra`, that are there."""
    wanted = (*_METADATA, *extra)
    return [name for name in dict.fromkeys(wanted) if name in frame.columns]


_METADATA = (
    "age",
    "view",
    "laterality",
    "density",
    "scanner",
    "machine_id",
    "device",
    "site",
    "site_id",
    "hospital",
    "institution",
    "center",
    "centre",
    "manufacturer",
    "vendor",
    "implant",
    "height",
    "width",
    "bits",
    "inverted",
    "burned_in",
    "format",
    "folder",
    "origin",
    "source",
    IMAGES_OF_PATIENT,
    SIDES_OF_PATIENT,
)
