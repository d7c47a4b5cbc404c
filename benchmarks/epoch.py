"""A warm epoch of ours against its ceiling (the same model on tensors in memory) and against a plain PyTorch loop.

The images are those of MAMMOLAB_EPOCH_MANIFEST (a manifest with labels and patients; the first 320 rows are taken), or
without it the synthetic demo set.
"""

from __future__ import annotations

import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pydicom
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from core.config import Config, ModelConfig, load_config
from core.data import read_manifest
from core.data.demo import make_demo
from core.model import build_model
from core.training import Run, train
from core.training.machine import thread_count

MODEL, SIZE, BATCH, IMAGES, EPOCHS = "mobilenetv2_100", 224, 16, 320, 3
MANIFEST = "MAMMOLAB_EPOCH_MANIFEST"


def run() -> None:
    """Print images/s of the three, and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        config = _config(base, _manifest(base))
        made = Run.create(config, read_manifest(config.data.manifest), name="ours")
        ours, precision = _ours(made)
        print(f"ours, {precision}: {ours:.1f} images/s (the best of the warm epochs)")
        ceiling = _ceiling(config, precision)
        print(f"ceiling, {precision}, the same batch again and again: {ceiling:.1f} images/s; ratio {ours / ceiling:.2f}")
        frame = made.manifest()
        plain = _plain(frame[frame["split"] == "train"])
        print(f"plain loop, fp32, decoding and CLAHE each time: {plain:.1f} images/s; ratio {ours / plain:.1f}")


def _manifest(base: Path) -> Path:
    given = os.environ.get(MANIFEST)
    if not given:
        return make_demo(base / "demo", patients=80)
    frame = read_manifest(Path(given)).head(IMAGES)
    path = base / "manifest.csv"
    frame.drop(columns="split").to_csv(path, index=False)
    return path


def _config(base: Path, manifest: Path) -> Config:
    settings = {
        "checkpoints": (base / "runs").as_posix(),
        "data.manifest": manifest.as_posix(),
        "preprocessing.size": SIZE,
        "model.name": MODEL,
        "training.epochs": EPOCHS,
        "training.batch_size": BATCH,
        "training.patience": 0,
    }
    return load_config(None, [f"{key}={value}" for key, value in settings.items()])


def _ours(made: Run) -> tuple[float, str]:
    """Images/s over the steps of the quickest warm epoch, and the precision that was chosen."""
    rates: list[float] = []
    precision = ""
    for event in train(made):
        if event["type"] == "start":
            precision = event["precision"]
        if event["type"] == "epoch":
            rates.append(event["images_per_second"])
    return max(rates[1:]), precision


def _ceiling(config: Config, precision: str) -> float:
    torch.set_num_threads(thread_count(config.training, shares_machine=False))
    model = build_model(ModelConfig(name=MODEL)).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    images = torch.rand(BATCH, 1, SIZE, SIZE)
    labels = torch.arange(BATCH, dtype=torch.float32) % 2

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(images)
        optimizer.zero_grad(set_to_none=True)
        nn.functional.binary_cross_entropy_with_logits(logits.float(), labels).backward()
        optimizer.step()

    return _rate(step, BATCH)


def _rate(step: Any, images: int, seconds: float = 15.0) -> float:
    """Images/s: the best of five stretches, after two steps of warming up."""
    step()
    step()
    marks = [time.perf_counter()]
    while marks[-1] - marks[0] < seconds:
        step()
        marks.append(time.perf_counter())
    durations = [later - earlier for earlier, later in pairwise(marks)]
    return max(images * len(part) / float(part.sum()) for part in np.array_split(np.array(durations), 5))


class _Plain(Dataset[tuple[torch.Tensor, float]]):
    """What a user would write first."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.paths, self.labels = frame["path"].to_list(), (frame["label"] == "malignant").astype(float).to_list()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, float]:
        path = self.paths[index]
        pixels = pydicom.dcmread(path).pixel_array if path.endswith(".dcm") else cv2.imread(path, cv2.IMREAD_UNCHANGED)
        grey = cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
        clear = cv2.createCLAHE(2.0, (8, 8)).apply(grey)
        return torch.from_numpy(cv2.resize(clear, (SIZE, SIZE)).astype(np.float32) / 255)[None], self.labels[index]


def _plain(frame: pd.DataFrame) -> float:
    model = build_model(ModelConfig(name=MODEL)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loader = DataLoader(_Plain(frame), BATCH, shuffle=True)
    started, done = time.perf_counter(), 0
    for images, labels in loader:
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(images), labels.float()).backward()
        optimizer.step()
        done += len(images)
    return done / (time.perf_counter() - started)
