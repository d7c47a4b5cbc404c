"""A few images with their heatmaps, chosen by rule: hits, misses, false alarms, near the threshold; never by looks.

A picture is made once and kept in the run's explain/report folder: another machine, or another number of threads, may move a
heatmap by a last bit, and the same run must give the same report.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import BadRun, LabError, NotRecorded
from core.evaluate import Evaluation
from core.files.atomic import replacing
from core.files.untrusted import LARGE, read_bytes, read_text
from core.report.document import Block, Picture, Pictures, Section, Text
from core.report.material import SPLIT_WORDS, Material
from core.runs.test_set.access_log import record_for_run
from core.runs.test_set.accesses import HEATMAPS
from core.wording import counted

if TYPE_CHECKING:
    from core.gradcam import Evidence, Heatmap
    from core.predict import Predictor
    from core.prediction import BreastImage, Prediction

log = logging.getLogger(__name__)

_SIDE = 420  # px, the longer side of an image in the report
_GAP = 6  # px between an image and its heatmap
# Raise it when pictures are drawn differently: stored ones are then drawn again.
_VERSION = 3
_TITLES = {
    "hit": "Malignant, called malignant",
    "miss": "Malignant, called benign",
    "alarm": "Benign, called malignant",
    "quiet": "Benign, called benign",
    "near": "Near the threshold",
}
_RULE = (
    "the two surest hits, the two worst misses, the two worst false alarms, the surest benign image, and the benign and the "
    "malignant image nearest to the threshold, as far as there are such"
)


_WHAT = {"image": "Images", "breast": "The first image each of breasts, which are judged from all their images,"}


def cases(material: Material, predictor: Predictor | None) -> Section:
    """The report's section of cases: failure analysis by pictures."""
    title, evaluation = "Cases and failures", material.shown
    if evaluation is None:
        return Section("cases", title, (Text("No split has been evaluated yet, so there is no case to show."),))
    pictures, problems = _pictures(material, evaluation, predictor)
    words = SPLIT_WORDS[evaluation.split]
    text = (
        f"{_WHAT[evaluation.level]} of the {words} set, chosen by rule and not by looks: {_RULE}. Nobody is named: a row "
        f"is that of predictions/{evaluation.split}.csv in the run's folder, counted from 1 below its heading, where the file "
        "is found."
    )
    caption = (
        "Left: what the model saw; right: with the evidence for malignant, outlined where it reaches half of its "
        "strongest. White: the lesion, where the manifest says where it is. A heatmap shows where evidence was found, at the "
        "resolution of the layer it is read from; it does not outline a lesion."
    )
    blocks: list[Block] = [Text(text)]
    blocks += [Pictures(tuple(pictures), caption)] if pictures else []
    blocks += [Text(problem) for problem in problems]
    return Section("cases", title, tuple(blocks))


def choose_cases(predictions: pd.DataFrame, threshold: float | NDArray[np.float64]) -> list[tuple[int, str]]:
    """(row of `predictions` from 0, kind) of the cases to show; the same for the same predictions.

    `threshold` is one for all, or one a row (n,).
    """
    ranked = predictions.reset_index(drop=True).assign(threshold=threshold)
    ranked = ranked.sort_values(["score", "path"], ascending=[False, True])
    called, malignant = ranked["score"] >= ranked["threshold"], ranked["label"] == "malignant"
    hits, alarms = ranked[called & malignant], ranked[called & ~malignant]
    misses, quiet = ranked[~called & malignant], ranked[~called & ~malignant]
    chosen = [
        *((row, "hit") for row in hits.index[:2]),
        *((row, "miss") for row in misses.index[::-1][:2]),
        *((row, "alarm") for row in alarms.index[:2]),
        *((row, "quiet") for row in quiet.index[-1:]),
    ]
    taken = {row for row, _ in chosen}
    for rows in (ranked[malignant], ranked[~malignant]):
        rest = rows[~rows.index.isin(taken)]
        nearest = (rest["score"] - rest["threshold"]).abs().sort_values(kind="stable").index[:1]
        chosen += [(row, "near") for row in nearest]
    return [(int(row), kind) for row, kind in chosen]


def _pictures(material: Material, evaluation: Evaluation, predictor: Predictor | str | None) -> tuple[list[Picture], list[str]]:
    found: list[Picture] = []
    missing = 0
    drawn = False
    frame = evaluation.predictions
    cases_chosen = choose_cases(frame, evaluation.thresholds.of_rows(frame))
    for number, kind in cases_chosen:
        row = frame.iloc[number]
        image_file = material.run.path / "explain" / "report" / f"{_key(material, str(row['path']))}.jpg"
        note = image_file.with_suffix(".txt")
        try:
            if not (image_file.is_file() and note.is_file()):
                predictor = predictor or _loaded(material)
                if isinstance(predictor, str):
                    return found, [predictor]
                if evaluation.split == "test" and not drawn:
                    record_for_run(material.run.path, HEATMAPS, "report", len(cases_chosen))
                drawn = True
                _draw(material, predictor, str(row["path"]), image_file, note)
            found.append(_picture(row, number, kind, image_file, note))
        except NotRecorded:
            raise
        except LabError as error:
            log.warning("%s: no heatmap for row %d of %s: %s", material.name, number + 1, evaluation.split, error)
            missing += 1
    return found, [
        f"{counted(missing, 'chosen image')} could not be read or explained now, and {'has' if missing == 1 else 'have'} no "
        "picture."
    ] if missing else []


def _loaded(material: Material) -> Predictor | str:
    """The run's model; why there are no pictures where it cannot be loaded."""
    from core.predict import Predictor

    try:
        return Predictor.from_run(material.run)
    except LabError as error:
        return f"No pictures: {str(error).replace(str(material.run.path), material.name)}."


def _key(material: Material, path: str) -> str:
    """Changes whenever the picture may change."""
    rows = material.rows[material.rows["path"] == path]
    content = str(rows["content_hash"].iloc[0]) if len(rows) and "content_hash" in rows.columns else ""
    parts = (_VERSION, content or path, material.card.weights_sha256, material.card.recipe_hash)
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _draw(material: Material, predictor: Predictor, path: str, target: Path, note: Path) -> None:
    """Write the pair of pictures, and beside it how its heatmap was made, or why there is none."""
    from core.gradcam import render

    judged, heat = _explained(predictor, path)
    prepared = judged.prepared
    lesion = _lesion(material, path, judged, prepared)
    pair = [render(prepared.pixels, each, side=_SIDE, mask=lesion) for each in (None, heat)]
    gap = np.full((pair[0].shape[0], _GAP, 3), 255, np.uint8)
    try:
        for folder in (target.parent.parent, target.parent):  # never the run's own, which may have been deleted
            folder.mkdir(exist_ok=True)
        _write_pair(pair, gap, target, note, heat)
    except OSError as error:
        raise BadRun(f"{target}: cannot be written ({error.strerror or error}). Free some space.") from error


def _explained(predictor: Predictor, path: str) -> tuple[Prediction | BreastImage, Heatmap | Evidence]:
    """The image with its heatmap; for a model of two views as a part of its breast."""
    if not predictor.judges_breasts:
        prediction = predictor.predict(Path(path))
        return prediction, predictor.explain(prediction)
    from core.predict_breasts import heatmap_of, predict_breast_of

    return heatmap_of(predictor, predict_breast_of(predictor, path), path)


def _write_pair(pair: list[NDArray[np.uint8]], gap: NDArray[np.uint8], target: Path, note: Path, heat: Any) -> None:
    from core.images.encode import encode_jpeg

    with replacing(target) as stream:
        stream.write(encode_jpeg(np.hstack([pair[0], gap, pair[1]]), quality=88))
    with replacing(note) as stream:
        made = f"no heatmap: {heat.reason or 'it is flat'}" if heat.flat else f"{heat.method} at {heat.layer}"
        stream.write(made.encode("utf-8"))


def _lesion(material: Material, path: str, prediction: Any, prepared: Any) -> NDArray[np.bool_] | None:
    """The row's lesions over the prepared image; None where the manifest does not say, or says it wrongly."""
    from core.data.lesion_masks import has_lesion, lesion_mask

    rows = material.rows[material.rows["path"] == path]
    if rows.empty:
        return None
    row = rows.iloc[0].to_dict()
    if not has_lesion(row):
        return None
    return lesion_mask(row, prepared.matrix, prediction.mammogram.pixels.shape, prepared.pixels.shape)


def _picture(row: pd.Series, number: int, kind: str, image_file: Path, note: Path) -> Picture:
    try:
        content, made = read_bytes(image_file, LARGE), read_text(note)
    except (OSError, ValueError) as error:
        raise BadRun(f"{image_file}: cannot be read ({error}). Delete it, and write the report again.") from error
    shown = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if shown is None:
        raise BadRun(f"{image_file}: damaged. Delete it, and write the report again.")
    where = " ".join(word for word in (str(row["laterality"]), str(row["view"])) if word)
    near = f", {row['label']}" if kind == "near" else ""
    caption = f"{_TITLES[kind]}{near}: score {row['score']:.3f}{f', {where}' if where else ''} (row {number + 1})"
    caption += f"; {made}"
    source = "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
    return Picture(source, caption, int(shown.shape[1]), int(shown.shape[0]))
