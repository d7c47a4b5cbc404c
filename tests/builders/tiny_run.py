"""A run that was really trained, in about a second: 32 pixel breasts, a small network, two epochs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import pandas as pd

from builders.lab_pages import draw_breast
from core.config import load_config
from core.data import read_manifest
from core.runs import Run
from core.training.launchers import run_to_end

SETTINGS = (
    "preprocessing.size=32",
    "preprocessing.clahe=false",
    "model.options={width: 8}",
    "training.epochs=2",
    "training.batch_size=8",
    "training.advanced.threads=1",
    "training.device=cpu",
    "evaluation.bootstrap_samples=100",
)

DEMO_SETTINGS = (  # of a run on the small demo set
    "preprocessing.size=32",
    "preprocessing.clahe=false",
    "model.options={width: 8}",
    "training.epochs=1",
    "training.device=cpu",
    "training.advanced.threads=1",
    "training.precision=fp32",
    "evaluation.bootstrap_samples=100",
)


def write_split_images(folder: Path, patients: int = 30) -> Path:
    """A manifest with splits and lesion boxes; malignant breasts have a bright spot."""
    folder.mkdir(parents=True)
    rows = []
    for patient in range(patients):
        malignant = patient % 2 == 0
        split = "train" if patient % 3 == 0 else "val" if patient % 3 == 1 else "test"
        for view in ("CC", "MLO"):
            image = draw_breast(2 * patient + (view == "CC"), height=64, width=48)
            if malignant:
                cv2.circle(image, (15, 32), 5, 255, -1)
            path = folder / f"p{patient:02d}_{view}.png"
            cv2.imwrite(str(path), image)
            rows.append(
                {
                    "path": path.name,
                    "label": "malignant" if malignant else "benign",
                    "patient_id": f"P{patient:02d}",
                    "laterality": "L",
                    "view": view,
                    "split": split,
                    "lesions": "[[10, 27, 21, 38]]" if malignant else "",
                }
            )
    manifest = folder / "manifest.csv"
    pd.DataFrame(rows).to_csv(manifest, index=False)
    return manifest


def config_yaml(workspace: Path) -> None:
    """The tiny settings as the workspace's config.yaml, with the manifest of `write_split_images(data/tiny)`."""
    (workspace / "config.yaml").write_text(_settings_in_yaml(), encoding="utf-8")


@cache
def _settings_in_yaml() -> str:
    from core.config import dump_config

    return dump_config(load_config(None, [*SETTINGS, "data.manifest=data/tiny/manifest.csv"]))


def make_run(workspace: Path, name: str = "tiny", *settings: str) -> Run:
    """The workspace with data, config.yaml and a finished run, with these settings beside its own."""
    manifest = write_split_images(workspace / "data" / "tiny")
    config_yaml(workspace)
    config = load_config(workspace / "config.yaml", settings)
    run = Run.create(config.model_copy(update={"checkpoints": workspace / "checkpoints"}), read_manifest(manifest), name=name)
    run_to_end(run)
    return run
