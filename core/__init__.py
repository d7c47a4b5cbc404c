"""MammoLab: mammograms from raw files to a model one can defend. For research only.

    import core

    run = core.train("data/demo/manifest.csv", overrides={"training.epochs": 3})
    prediction = core.Predictor.from_run(run).predict("image.dcm")

docs/python.md describes these names. Each is imported when it is first asked for: `import core` loads no library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from core import errors

if TYPE_CHECKING:
    from core.api.images import load_image
    from core.api.predictor import Predictor
    from core.api.runs import evaluate_run, list_runs, open_run, resume, train
    from core.evaluate import Evaluation, read_evaluation
    from core.gradcam import Heatmap, overlay
    from core.images import Mammogram
    from core.prediction import BreastPrediction, Prediction
    from core.runs import Run

__all__ = [
    "RESEARCH_NOTICE",
    "BreastPrediction",
    "Evaluation",
    "Heatmap",
    "Mammogram",
    "Prediction",
    "Predictor",
    "Run",
    "__version__",
    "errors",
    "evaluate_run",
    "list_runs",
    "load_image",
    "open_run",
    "overlay",
    "read_evaluation",
    "resume",
    "train",
]

__version__ = "0.1.0"

RESEARCH_NOTICE = "Research tool. Not a medical device: never use it to diagnose or to decide on care."

# `evaluate_run`, not `evaluate`: core.evaluate is the package, and a name can be one thing only.
_LATE = {
    "BreastPrediction": "core.prediction",
    "Evaluation": "core.evaluate",
    "Heatmap": "core.gradcam",
    "Mammogram": "core.images",
    "Prediction": "core.predict",
    "Predictor": "core.api.predictor",
    "Run": "core.runs",
    "evaluate_run": "core.api.runs",
    "list_runs": "core.api.runs",
    "load_image": "core.api.images",
    "open_run": "core.api.runs",
    "overlay": "core.gradcam",
    "read_evaluation": "core.evaluate",
    "resume": "core.api.runs",
    "train": "core.api.runs",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
