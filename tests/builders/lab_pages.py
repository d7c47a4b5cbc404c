"""Helpers of the page tests: drawn breasts, a manifest of them, the app opened at a page."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from streamlit.testing.v1 import AppTest

import dashboard
from core.runs import Run
from core.runs.status import PROCESS
from dashboard.state import training_runs

HOME = Path(dashboard.__file__).parent / "Home.py"


def draw_breast(seed: int, *, height: int = 120, width: int = 100) -> np.ndarray:
    """A half ellipse with texture on black, uint8 (height, width), chest wall left."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width), np.uint8)
    cv2.ellipse(image, (0, height // 2), (int(width * 0.7), int(height * 0.4)), 0, -90, 90, 150, -1)
    texture = random.normal(0, 12, image.shape)
    return np.where(image > 0, np.clip(image + texture, 20, 255), 0).astype(np.uint8)


def write_images(folder: Path, patients: int = 12, *, height: int = 120, width: int = 100) -> Path:
    """A manifest of `patients` with two PNG each, a third malignant, not split; pictures below 96 px are compared with none."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for patient in range(patients):
        for view in ("CC", "MLO"):
            path = folder / f"p{patient:02d}_{view}.png"
            cv2.imwrite(str(path), draw_breast(2 * patient + (view == "CC"), height=height, width=width))
            label = "malignant" if patient % 3 == 0 else "benign"
            rows.append(
                {
                    "path": path.name,
                    "label": label,
                    "patient_id": f"P{patient:02d}",
                    "laterality": "L",
                    "view": view,
                    "split": "",
                }
            )
    manifest = folder / "manifest.csv"
    pd.DataFrame(rows).to_csv(manifest, index=False)
    return manifest


def open_page(view: str = "home", **chosen: Any) -> AppTest:
    """The app, opened at dashboard/views/<view>/<view>.py; `chosen`: choices of this session, a colon in a key as `__`."""
    app = AppTest.from_file(str(HOME), default_timeout=60)
    for key, value in chosen.items():
        app.session_state[f"chosen:{key.replace('__', ':')}"] = value
    if view != "home":
        app.switch_page(f"views/{view}/{view}.py")
    return app.run()


def button(app: AppTest, key: str) -> Any:
    """The button of this key; StopIteration where there is none."""
    return next(each for each in app.button if each.key == key)


def keys(app: AppTest) -> set[str | None]:
    """The keys of all buttons on the page."""
    return {each.key for each in app.button}


def tables(app: AppTest) -> str:
    """The HTML of the page's own tables and other pieces of HTML."""
    return "".join(str(element.proto.body) for element in app.get("html"))


def component(app: AppTest, name: str) -> dict[str, Any]:
    """What the component of this name was given."""
    return next(
        json.loads(each.proto.json) for each in app.get("bidi_component") if each.proto.component_name == f"mammolab_{name}"
    )


def set_status(run: Run, **changes: Any) -> None:
    """Change fields of the run's status.json."""
    path = run.path / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def pretend_running(run: Run) -> None:
    """As a training in another process of this machine leaves it at this moment."""
    set_status(run, state="running", heartbeat=time.time(), pid=os.getpid(), process=PROCESS, epoch=1, finished=None)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for at most a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


def wait_for_job() -> Run:
    """The only run, once its thread has ended."""
    (run,) = training_runs.list_runs()
    job = training_runs.job_of(run)
    assert job is not None and job.join(60)
    return run


def texts(app: AppTest) -> str:
    """Everything readable on the page, for `in`."""
    parts = [
        element.value
        for kind in ("title", "markdown", "caption", "error", "warning", "info", "success")
        for element in app.get(kind)
    ]
    return "\n".join(str(part) for part in parts)


def figures(app: AppTest) -> dict[str, Any]:
    """The Plotly figures on the page as dictionaries, by key."""
    found = {}
    for element in app.get("bidi_component"):
        if element.proto.component_name == "mammolab_plot":
            found[element.proto.id.split("-", 2)[2]] = json.loads(json.loads(element.proto.json)["figure"])
    return found


def galleries(app: AppTest) -> dict[str, list[dict[str, Any]]]:
    """The tiles of the galleries on the page, by key."""
    found = {}
    for element in app.get("bidi_component"):
        if element.proto.component_name == "mammolab_gallery":
            message = bytes(element.proto.bytes)
            length = int.from_bytes(message[:4], "little")
            found[element.proto.id.split("-", 2)[2]] = json.loads(message[4 : 4 + length])["tiles"]
    return found


def untrained_run(manifest: Path) -> Run:
    """A run with an untrained model of 64 px images: enough to be scored with."""
    from core.config import load_config
    from core.model import build_model, save_model
    from dashboard.state import datasets

    config = load_config(None, [f"data.manifest={manifest.as_posix()}", "preprocessing.size=64"])
    run = Run.create(config, datasets.manifest_frame(manifest), name="first")
    card = {
        "run": "first",
        "recipe": config.preprocessing.model_dump(mode="json"),
        "recipe_hash": config.preprocessing.hash,
        "model": config.model.model_dump(mode="json"),
        "threshold": 0.31,
        "target_sensitivity": 0.9,
        "calibration": None,
        "synthetic": True,
    }
    save_model(run.path, build_model(config.model), card)
    run.set_status(state="done")
    return run
