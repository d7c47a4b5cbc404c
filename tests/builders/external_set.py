"""Another collection beside a run: small films of other patients, and a manifest that names collection and label source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from builders.fake_run import image_png
from core.data import write_manifest


def external_rows(folder: Path, patients: int = 12, first: int = 500) -> list[dict[str, Any]]:
    """A left CC and MLO film of each patient, half of them malignant; written below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for patient in range(patients):
        malignant = patient % 2
        for view in ("CC", "MLO"):
            path = folder / f"x{patient}_{view}.png"
            path.write_bytes(image_png(80 + 55 * malignant + 4 * patient, seed=first + len(rows)))
            rows.append(
                {
                    "path": str(path),
                    "label": "malignant" if malignant else "benign",
                    "patient_id": f"X{patient:03d}",
                    "laterality": "L",
                    "view": view,
                    "split": "",
                    "collection": "inbreast",
                    "label_source": "birads",
                }
            )
    return rows


def write_external(folder: Path, rows: list[dict[str, Any]] | None = None, name: str = "other.csv") -> Path:
    """The manifest of `rows`, by default of `external_rows`."""
    path = folder / name
    write_manifest(pd.DataFrame(external_rows(folder / "films") if rows is None else rows), path)
    return path
