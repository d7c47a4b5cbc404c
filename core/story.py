"""A run in a few slides, from its own records: what was learned from, how, how well, one success, one error.

Sentences are made here; they can be replaced by one's own, which stand in story.json in the run's folder. Cases come from
validation, never from a test set; the curve is that of the test set only where that was evaluated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from core.config import Recipe
from core.data.identity import patients_known
from core.errors import BadRun, LabError, NotEnoughData
from core.evaluate import read_evaluation, read_predictions
from core.files.folders import write_text
from core.files.untrusted import read_json
from core.metrics import auc_interval
from core.runs import Run
from core.runs.history import History, metric_of
from core.wording import OPTIMISTIC, counted, duration, number

FILE = "story.json"
KINDS = ("data", "preprocessing", "training", "roc", "correct", "error", "live")
LONGEST = 400  # characters of a sentence
CHANCE = 0.5  # AUC
_TITLES = {
    "data": "What the network learned from",
    "preprocessing": "What the network sees",
    "training": "How it learned",
    "roc": "How good it is",
    "correct": "A cancer that it finds",
    "error": "An error",
    "live": "Try it",
}
_CASES = {
    "correct": "The score {score} is above the threshold {threshold}: it is called malignant, and it is.",
    "missed": "A missed cancer: its score {score} is below the threshold {threshold}.",
    "false alarm": "A false alarm: its score {score} is above the threshold {threshold}, and the image is benign.",
}


@dataclass(frozen=True)
class Slide:
    """One picture with a title and a sentence. `kind` is one of KINDS. A case has `path`, `label`, `score` and `threshold`, the
    curve `split` and `threshold`. `hidden`: left out when presenting."""

    kind: str
    title: str
    sentence: str
    path: str = ""
    label: str = ""
    score: float = math.nan
    threshold: float = math.nan
    split: str = ""
    hidden: bool = False


def story(run: Run, *, closed: Collection[str] = ()) -> list[Slide]:
    """The slides of a run that has a model, in the order of KINDS; without one that its records give nothing for.

    Args:
        closed: paths of images that may not be shown (test images of any run).

    Raises:
        BadRun: the run has no model, or its records are damaged.
    """
    slides = [_data(run), _preprocessing(run), _training(run), _roc(run), *_cases(run, set(closed)), _live(run)]
    own = read_own(run)
    return [_with_own(slide, own.get(slide.kind, {})) for slide in slides if slide is not None]


def read_own(run: Run) -> dict[str, dict[str, Any]]:
    """What somebody wrote in place of the sentences made here: {kind: {"sentence", "hidden"}}; {} for nothing.

    Raises:
        BadRun: story.json is damaged.
    """
    path = run.path / FILE
    if not path.exists():
        return {}
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise BadRun(f"{path}: damaged ({error}). Delete it: the sentences are then those made from the records.") from error
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise BadRun(f"{path}: expected an object of objects. Delete it: the sentences are then those made from the records.")
    return {kind: found[kind] for kind in KINDS if kind in found}


def write_own(run: Run, own: Mapping[str, Mapping[str, Any]]) -> None:
    """Store sentences of one's own, cut at LONGEST characters, and which slides are hidden; an empty sentence is none.

    Raises:
        OSError: the run's folder cannot be written.
    """
    kept: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        entry = own.get(kind, {})
        sentence = " ".join(str(entry.get("sentence", "")).split())[:LONGEST]
        changed = {**({"sentence": sentence} if sentence else {}), **({"hidden": True} if entry.get("hidden") else {})}
        if changed:
            kept[kind] = changed
    write_text(run.path / FILE, json.dumps(kept, ensure_ascii=False, indent=1) + "\n")


def _with_own(slide: Slide, own: Mapping[str, Any]) -> Slide:
    sentence = own.get("sentence")
    text = sentence[:LONGEST] if isinstance(sentence, str) and sentence else slide.sentence
    return replace(slide, sentence=text, hidden=own.get("hidden") is True)


# ---------------------------------------------------------------------- the slides


def _data(run: Run) -> Slide:
    frame = run.manifest()
    used = frame[frame["split"].isin(["train", "val", "test"])]
    malignant = int((used["label"] == "malignant").sum())
    who = f" of {counted(used['patient_id'].nunique(), 'patient')}" if patients_known(used) else ""
    sizes = {split: int((used["split"] == split).sum()) for split in ("train", "val", "test")}
    parts = [
        f"{sizes['train']:,} to learn from",
        f"{sizes['val']:,} to choose the threshold on",
        *([f"{sizes['test']:,} held out for the final test"] if sizes["test"] else []),
    ]
    if run.model_card().members is not None and not sizes["train"]:  # each was trained on the others' part
        parts[:2] = [
            f"{sizes['val']:,} to learn from in turns and to choose the threshold on, each scored by who did not see it"
        ]
    apart = " No patient is in two of these parts." if who and not run.model_card().leakage else ""
    return _slide("data", f"{counted(len(used), 'image')}{who}, {malignant:,} of them malignant: {', '.join(parts)}.{apart}")


def _preprocessing(run: Run) -> Slide:
    return _slide("preprocessing", _recipe_words(run.model_card().known_recipe()))


def _recipe_words(recipe: Recipe) -> str:
    steps = [
        *(["the breast is cut out"] if recipe.crop else []),
        *(["turned the same way"] if recipe.orient else []),
        *(["freed from labels and background"] if recipe.remove_background else []),
        *([f"its local contrast evened out (CLAHE, clip limit {recipe.clip_limit:g})"] if recipe.clahe else []),
    ]
    height, width = recipe.shape
    done = ", ".join(steps) + f", and scaled to {height} × {width} pixels" if steps else f"scaled to {height} × {width} pixels"
    return f"Every image takes the same way: {done}. A prediction takes it, too."


def _training(run: Run) -> Slide | None:
    history = History.of(run.events())
    if not history.epochs:
        return None
    card = run.model_card()
    last = max(history.epochs)
    best = history.epochs.get(card.best_epoch or 0)
    area = None if best is None else metric_of(best, "auc")
    seconds = sum(event.get("seconds") or 0.0 for event in history.epochs.values())
    chosen = f" The best was epoch {card.best_epoch}" if best is not None else ""
    chosen += f", with an AUC of {number(area)} on validation images ({OPTIMISTIC})." if chosen and area is not None else ""
    return _slide(
        "training", f"The network went through its training images {counted(last, 'time')}, in {duration(seconds)}.{chosen}"
    )


def _roc(run: Run) -> Slide | None:
    split = "test" if read_evaluation(run, "test") is not None else "val"
    try:
        rows = scored(run, split)
    except (LabError, OSError):
        return None
    threshold = run.model_card().threshold
    if threshold is None or rows["label"].nunique() < 2:
        return None
    malignant = (rows["label"] == "malignant").to_numpy()
    confidence = run.config().evaluation.confidence
    area = auc_interval(malignant, rows["score"], rows["patient_id"], confidence=confidence)
    where = "test images, which it had not seen" if split == "test" else f"validation images ({OPTIMISTIC})"
    doubt = "" if area.low > CHANCE else " So it is not shown to be better than chance."
    sentence = f"The area under the curve is {area} on {where}.{doubt} {caught(rows, threshold)}"
    return _slide("roc", sentence, split=split, threshold=threshold)


def scored(run: Run, split: str) -> pd.DataFrame:
    """The scored images, or breasts, of a split that have a label.

    Raises:
        LabError: they cannot be read, or there are none.
    """
    rows = read_predictions(run, split)
    rows = rows[rows["label"].isin(["benign", "malignant"])].reset_index(drop=True)
    if rows.empty:
        raise NotEnoughData(f"{run.name}: no image of {split} has a score and a label.")
    return rows


def caught(rows: pd.DataFrame, threshold: float) -> str:
    """What a threshold finds and what it costs, in a sentence."""
    malignant = rows["label"] == "malignant"
    called = rows["score"] >= threshold
    found, wrong = int((called & malignant).sum()), int((called & ~malignant).sum())
    return (
        f"At the threshold {number(threshold)} it finds {found} of {int(malignant.sum())} malignant images and raises a false "
        f"alarm for {wrong} of {int((~malignant).sum())} benign ones."
    )


def _cases(run: Run, closed: set[str]) -> list[Slide]:
    """The malignant validation image that is found most clearly, and the worst error."""
    try:
        rows = scored(run, "val")
    except (LabError, OSError):
        return []
    rows = rows[~rows["path"].isin(closed) & rows["path"].map(lambda path: Path(path).is_file())]
    thresholds = run.model_card().image_thresholds
    at = pd.Series([thresholds.of(str(view)) for view in rows["view"]], index=rows.index)
    rows = rows.assign(threshold=at, margin=rows["score"] - at)
    malignant = rows[rows["label"] == "malignant"].sort_values("margin")
    benign = rows[rows["label"] == "benign"].sort_values("margin")
    slides = []
    if len(malignant) and malignant.iloc[-1]["margin"] >= 0:
        slides.append(_case("correct", malignant.iloc[-1]))
    if len(malignant) and malignant.iloc[0]["margin"] < 0:
        slides.append(_case("missed", malignant.iloc[0]))
    elif len(benign) and benign.iloc[-1]["margin"] >= 0:
        slides.append(_case("false alarm", benign.iloc[-1]))
    return slides


def _case(kind: str, row: Any) -> Slide:
    score, threshold = float(row["score"]), float(row["threshold"])
    sentence = _CASES[kind].format(score=number(score), threshold=number(threshold))
    slide = _slide("correct" if kind == "correct" else "error", sentence)
    return replace(slide, path=str(row["path"]), label=str(row["label"]), score=score, threshold=threshold)


def _live(run: Run) -> Slide:
    return _slide("live", "Choose any image, and the model judges it. This is research: it is no diagnosis.")


def _slide(kind: str, sentence: str, **more: Any) -> Slide:
    return Slide(kind, _TITLES[kind], sentence, **more)
