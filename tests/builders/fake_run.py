"""A run folder as a finished training leaves it, made in milliseconds: small PNGs, a model whose score is a brightness."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd

from core.config import Config, load_config
from core.data import read_manifest, write_manifest
from core.data.cache import CachedImage
from core.model.card import ModelCard

SETTINGS = ("preprocessing.size=32", "preprocessing.clahe=false", "evaluation.bootstrap_samples=100")


@dataclass
class FakeRun:
    """What evaluate and report ask of core.training.Run."""

    path: Path
    card: dict[str, Any]
    log: list[dict[str, Any]] = field(default_factory=list)
    state: str = "done"
    reason: str = ""
    name: str = "b0-clahe2"

    def config(self) -> Config:
        return load_config(None, SETTINGS)

    def manifest(self) -> pd.DataFrame:
        return read_manifest(self.path / "manifest.csv")

    def seen_rows(self) -> pd.DataFrame:
        return self.manifest()

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        return self.log[after:]

    def model_card(self) -> ModelCard:
        return ModelCard.of(self.card)

    def excluded(self) -> dict[str, str]:
        return {}

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(state=self.state, reason=self.reason, live=self.state in ("running", "paused"))


@dataclass
class FakePredictor:
    """Scores an image by its pixels, anything between 0 and 1; remembers the batches it was given."""

    stored: dict[str, Any] | ModelCard
    batches: list[int] = field(default_factory=list)
    nan: bool = False
    gate: Any = None

    @property
    def judges_breasts(self) -> bool:
        return self.card.scored == "breast"

    @property
    def card(self) -> ModelCard:
        return self.stored if isinstance(self.stored, ModelCard) else ModelCard.of(self.stored)

    @property
    def recipe(self) -> Any:
        return load_config(None, SETTINGS).preprocessing

    @property
    def threshold(self) -> float:
        return self.card.required_threshold()

    def score_pixels(self, pixels: np.ndarray) -> list[float]:
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == (32, 32)
        self.batches.append(len(pixels))
        return [float("nan") if self.nan else int(image.sum()) % 997 / 996 for image in pixels]

    def predict_cached(self, images: Sequence[CachedImage], *, paths: Sequence[str]) -> list[SimpleNamespace]:
        assert len(paths) == len(images)
        scores = self.score_pixels(np.stack([image.pixels for image in images]))
        return [SimpleNamespace(score=score, refusal="") for score in scores]


def card(**changes: Any) -> dict[str, Any]:
    """A model.json as training writes it."""
    recipe = load_config(None, SETTINGS).preprocessing
    return {
        "format": 1,
        "run": "b0-clahe2",
        "created": "2026-11-01T10:00:00+00:00",
        "labels": ["benign", "malignant"],
        "recipe": recipe.model_dump(mode="json"),
        "recipe_hash": recipe.hash,
        "model": {"name": "small_cnn", "weights": "none"},
        "threshold": 0.5,
        "thresholds": {"breast": 0.5, "patient": 0.5},
        "threshold_rule": {"kind": "sensitivity", "target": 0.9, "cost_ratio": 10.0, "prevalence": None},
        "target_sensitivity": 0.9,
        "best_epoch": 2,
        "validation": {"auc": 0.8},
        "calibration": None,
        "synthetic": False,
        "versions": {"torch": "2.15.0", "python": "3.11"},
        "weights_sha256": "ab" * 32,
    } | changes


@cache
def image_png(level: int, seed: int) -> bytes:
    """A mammogram for a thumb: a half disc of about `level` grey on black."""
    rows, columns = np.mgrid[:64, :48]
    breast = (rows - 32) ** 2 / 900 + columns**2 / 1400 < 1
    grey = np.where(breast, level + np.random.default_rng(seed).integers(-6, 7, (64, 48)), 0).clip(0, 255)
    return cv2.imencode(".png", grey.astype(np.uint8))[1].tobytes()


def make_run(folder: Path, *, patients: int = 14, extra: dict[str, Any] | None = None, **card_changes: Any) -> FakeRun:
    """A run with `patients` in each of val and test, half malignant, left CC and MLO of each, and two in train."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for split, count in (("train", 2), ("val", patients), ("test", patients)):
        for patient in range(count):
            malignant = patient % 2
            for view in ("CC", "MLO"):
                name = f"images/{split}{patient}_{view}.png"
                content = image_png(80 + 60 * malignant + 3 * patient, seed=len(rows))
                (folder / name).write_bytes(content)
                rows.append(
                    {
                        "path": str(folder / name),
                        "label": "malignant" if malignant else "benign",
                        "patient_id": f"{split}-{patient}",
                        "laterality": "L",
                        "view": view,
                        "split": split,
                        "content_hash": hashlib.sha256(content).hexdigest(),
                    }
                    | (extra or {})
                )
    write_manifest(pd.DataFrame(rows), folder / "manifest.csv")
    complete = card(**card_changes)
    (folder / "model.json").write_text(json.dumps(complete), encoding="utf-8")
    return FakeRun(folder, complete, events())


def events(epochs: int = 3, steps: int = 4) -> list[dict[str, Any]]:
    """events.jsonl of a short training; the best epoch is the last but one."""
    lines: list[dict[str, Any]] = [
        {"type": "start", "run": "b0-clahe2", "device": "cpu", "precision": "fp32", "parameters": 98_321, "images": {}},
        {"type": "phase", "phase": "head", "first_epoch": 1, "last_epoch": 1, "learning_rate": 1e-3},
        {"type": "phase", "phase": "fine_tune", "first_epoch": 2, "last_epoch": epochs, "learning_rate": 2e-4},
    ]
    for epoch in range(1, epochs + 1):
        lines += [
            {"type": "step", "epoch": epoch, "step": step, "steps": steps, "global_step": (epoch - 1) * steps + step}
            | {"loss": 1 / (epoch + step / steps), "learning_rate": 1e-3}
            for step in range(1, steps + 1)
        ]
        figures = {"auc": 0.6 + 0.05 * epoch, "average_precision": 0.5, "sensitivity_at_90_specificity": None}
        lines.append(
            {"type": "epoch", "epoch": epoch, "epochs": epochs, "train_loss": 1 / epoch, "val_loss": 1.1 / epoch}
            | {"val": figures, "best": epoch < epochs, "best_epoch": min(epoch, epochs - 1)}
        )
    lines.append({"type": "done", "state": "done", "reason": "", "best_epoch": epochs - 1, "threshold": 0.5})
    return [{"seq": number, "time": 1000.0 + number} | line for number, line in enumerate(lines, start=1)]
