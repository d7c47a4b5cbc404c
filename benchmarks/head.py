"""The head phase: training on stored features against stepping the frozen network every epoch, in whole runs.

The images are those of MAMMOLAB_HEAD_MANIFEST (a manifest with labels and patients; the first 640 rows are taken), or
without it the synthetic demo set.
"""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.images import taken
from core.config import Config, ModelConfig, load_config
from core.data import read_manifest
from core.demo import make_demo
from core.model import build_model
from core.runs import Run
from core.training.loop import train

MODEL, SIZE, PATIENTS = "mobilenetv2_100", 224, 60
MANIFEST, IMAGES = "MAMMOLAB_HEAD_MANIFEST", 640
STEPPED_EPOCHS, LIGHT_EPOCHS = 2, 8


def run() -> None:
    """Print seconds an epoch (steps, validation, checkpoint and all) of both ways, and the ratio from the second one on."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        manifest = taken(MANIFEST, base, IMAGES) or make_demo(base / "demo", patients=PATIENTS)
        print(f"{MODEL}, {SIZE} px, {len(read_manifest(manifest))} images, test images included")
        # The weights are drawn at random: how good they are does not matter to how long they take.
        torch.manual_seed(0)
        save_file(build_model(ModelConfig(weights="none", name=MODEL)).backbone.state_dict(), base / "weights.safetensors")
        stepped = _epochs(base, manifest, "stepped", STEPPED_EPOCHS, "false")
        light = _epochs(base, manifest, "light", LIGHT_EPOCHS, "true")
    before, after = stepped[-1], sum(light[1:]) / len(light[1:])
    print(f"stepping the frozen network: {before:.2f} s an epoch; stored features: {after:.3f} s an epoch")
    print(f"ratio from the second epoch on {before / after:.0f}; the first epoch, features included: {light[0]:.1f} s")


def _epochs(base: Path, manifest: Path, name: str, epochs: int, features: str) -> list[float]:
    """Seconds from each epoch's end to the next one's, the first from the beginning of the phase."""
    config = _config(base, manifest, epochs, features)
    events = train(Run.create(config, read_manifest(config.data.manifest), name=name))
    marks = [time.perf_counter() for event in events if event["type"] in ("phase", "epoch")]
    return [later - earlier for earlier, later in pairwise(marks)]


def _config(base: Path, manifest: Path, epochs: int, features: str) -> Config:
    settings = {
        "checkpoints": (base / "runs").as_posix(),
        "data.manifest": manifest.as_posix(),
        "preprocessing.size": SIZE,
        "model.name": MODEL,
        "model.weights": (base / "weights.safetensors").as_posix(),
        "training.epochs": epochs,
        "training.freeze_epochs": epochs,
        "training.patience": 0,
        "training.precision": "fp32",
        "training.advanced.cache_backbone_features": features,
    }
    return load_config(None, [f"{key}={value}" for key, value in settings.items()])
