"""Tiny breasts: 32 px images of two views and more, for models that judge all views of a breast together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from builders.toy_training import draw


def draw_breasts(folder: Path, patients: int = 24, first: int = 0) -> pd.DataFrame:
    """Two breasts of each patient in a new folder: half of the patients train, a quarter each val and test; the left breast of
    every other patient is malignant. Every sixth patient lacks an MLO, every eighth has a second CC on the right. `first` is
    the number of the first picture: others give other pictures."""
    folder.mkdir()
    rows = []
    for patient in range(patients):
        split = ("train", "val", "train", "test")[patient // 2 % 4]
        for side in ("L", "R"):
            malignant = side == "L" and patient % 2 == 0
            views = ["CC", "MLO"]
            if patient % 6 == 5:
                views.remove("MLO")
            if patient % 8 == 7 and side == "R":
                views.append("CC")
            for number, view in enumerate(views):
                path = folder / f"p{patient:02}_{side}_{view}_{number}.png"
                draw(path, first + 10 * patient + 5 * (side == "R") + number, malignant)
                rows.append(
                    {
                        "path": str(path),
                        "label": "malignant" if malignant else "benign",
                        "patient_id": f"p{patient:02}",
                        "laterality": side,
                        "view": view,
                        "split": split,
                    }
                )
    return pd.DataFrame(rows)
