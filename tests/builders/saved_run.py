"""A run with a real, untrained model on disk, for what changes model.json; its scores are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from builders.fake_run import SETTINGS, card, make_run
from core.config import ModelConfig, dump_config, load_config
from core.files.atomic import write_text
from core.metrics import ThresholdRule, freeze
from core.model import build_model, save_model
from core.model.card import plain_fields
from core.runs import Run

MODEL = ModelConfig(options={"width": 8})

_made: dict[str, tuple[str, dict[str, bytes]]] = {}  # by arguments: where it was made first, and its files


def make_saved_run(folder: Path, patients: int = 14, **changes: object) -> Run:
    """make_run's images and manifest, a small network, config.yaml, and predictions/val.csv that separate fairly well.

    `changes` go into model.json; a field that is None there is left out. The same arguments give the same weights.
    """
    key = repr((patients, changes))
    if key not in _made:
        _make(folder, patients, changes)
        files = (path for path in folder.rglob("*") if path.is_file())
        _made[key] = str(folder), {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        return Run(folder)
    place, contents = _made[key]
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.replace(place.encode(), str(folder).encode()) if path.suffix == ".csv" else content)
    return Run(folder)


def _make(folder: Path, patients: int, changes: dict[str, object]) -> None:
    made = make_run(folder, patients=patients)
    (folder / "config.yaml").write_text(dump_config(load_config(None, SETTINGS)), encoding="utf-8")
    validation = made.manifest().query("split == 'val'")[["path", "patient_id", "laterality", "view", "label", "split"]]
    malignant = (validation["label"] == "malignant").to_numpy()
    noise = np.random.default_rng(3).normal(0, 0.15, len(validation))
    validation = validation.assign(score=np.round(np.clip(0.4 + 0.2 * malignant + noise, 0.01, 0.99), 6))
    (folder / "predictions").mkdir()
    write_text(folder / "predictions" / "val.csv", validation.to_csv(index=False))
    fields = {name: value for name, value in card().items() if name not in ("weights_sha256", "format", "created", "versions")}
    fields |= plain_fields(freeze(validation, ThresholdRule(target=0.9), "temperature")) | {
        "model": MODEL.model_dump(mode="json")
    }
    fields |= changes
    save_model(folder, build_model(MODEL), {name: value for name, value in fields.items() if value is not None})


def validation_of(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.path / "predictions" / "val.csv", dtype={"patient_id": str})
