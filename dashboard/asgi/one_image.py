"""One image through one model, or through two side by side: what is shown of it, and the page that is saved of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import LabError
from core.files.digests import sha256_of
from core.images import one_large_at_a_time
from core.metrics.placing import NO_REFERENCE
from core.prediction import Prediction
from core.runs import Run
from dashboard.asgi import prediction_html
from dashboard.asgi.scoring import record_scoring
from dashboard.cache import lesions
from dashboard.cache.lesions import Polygon
from dashboard.state import models, training_runs

if TYPE_CHECKING:
    from core.gradcam import Evidence, Heatmap
    from core.predict import Predictor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """What there is to show of one image and one model.

    `verdict` is HTML: the decision, the reason why there is none, or an error; then `prediction` is None. `details` is HTML,
    too: the score and its threshold. `heat` is None without a score. `outlines` are those of lesions that a known data set has
    there, in the prepared image. `sha256` is of the file.
    """

    verdict: str
    details: str = ""
    name: str = ""
    run: Run | None = None
    prediction: Prediction | None = None
    heat: Heatmap | Evidence | None = None
    outlines: tuple[Polygon, ...] = ()
    sha256: str = ""

    @property
    def frames(self) -> tuple[int, int] | None:
        """The frame taken, from 0, and the number of frames."""
        return None if self.prediction is None else (self.prediction.meta.frame, self.prediction.meta.frames)

    @property
    def pixels(self) -> NDArray[np.uint8] | None:
        """What the model sees, (H, W)."""
        return None if self.prediction is None else self.prediction.prepared.pixels

    @property
    def values(self) -> NDArray[np.float32] | None:
        """The heatmap in [0, 1], (H, W)."""
        return None if self.heat is None else self.heat.values

    @property
    def refused(self) -> bool:
        """Whether "Score anyway" is to be offered."""
        return self.prediction is not None and self.heat is None

    @property
    def pictures(self) -> str:
        """The image and its heatmap as HTML."""
        return prediction_html.pictures(self.pixels, self.values, name=self.name, outlines=self.outlines)


def score(
    run_name: str | None, path: str, frame: int | None = None, *, anyway: bool = False, beside: Sequence[str] = ()
) -> Scored:
    """Judge and explain one image. Errors, and the reason why there is no verdict, are text in the verdict's place.

    Args:
        frame: as in core.images.read.
        anyway: a score also where there is no verdict.
        beside: other images that were uploaded with it: a model of two views judges the breast.
    """
    if not path:
        return Scored(prediction_html.HINT)
    if not run_name:
        return _failed("There is no trained model yet. Train one on the Train page, then open this tab again.")
    try:
        run = training_runs.open_run(run_name)
        predictor = models.predictor(run)
        sealed = record_scoring(run, Path(path))
        for file in beside if predictor.judges_breasts else ():
            sealed = record_scoring(run, Path(file)) or sealed
        with one_large_at_a_time():  # the prediction holds the image at full size
            prediction, heat = _explained(predictor, Path(path), frame, [Path(file) for file in beside], anyway=anyway)
        sha256 = sha256_of(path)
    except LabError as error:
        return _failed(str(error))
    except Exception as error:
        log.exception("scoring failed")
        return _failed(f"Something unexpected went wrong: {type(error).__name__}. The server's log has the details.")
    if sealed:
        prediction = replace(prediction, warnings=(sealed, *prediction.warnings))
    name, outlines = Path(path).name, _outlines(Path(path), prediction)
    details = ""
    if heat is None:
        verdict = prediction_html.refused(prediction, name=name)
    else:
        reference = models.reference(run)
        verdict = prediction_html.decided(prediction, reference, name=name, no_map=heat.reason)
        details = prediction_html.details(prediction, predictor.card, reference or NO_REFERENCE)
    # A session holds the last result: not the image at full size with it.
    return Scored(verdict, details, name, run, replace(prediction, mammogram=None), heat, outlines, sha256)


def side_by_side(results: Sequence[Scored]) -> tuple[str, str, str]:
    """(verdicts, pictures, details) as HTML: of one result as they are, of two beside each other, under the runs' names."""
    if len(results) == 1:
        return results[0].verdict, results[0].pictures, results[0].details
    titles = [result.run.name if result.run is not None else "" for result in results]
    shown = [
        prediction_html.ModelPicture(title, each.pixels, each.values, each.name, each.outlines)
        for title, each in zip(titles, results, strict=True)
    ]
    return (
        prediction_html.columns([each.verdict for each in results], titles),
        prediction_html.pictures_of_models(shown),
        prediction_html.columns([each.details for each in results]),
    )


def page(results: Sequence[Scored], *, with_name: bool = False) -> bytes:
    """The results as one A4 page (PDF). `with_name`: with the name of the file, which may name a patient.

    Raises:
        LabError: there is no result, or a run is gone.
    """
    from core.report.result_page import Picture, Result, result_page

    made = []
    for each in results:
        if each.prediction is None or each.run is None:
            continue
        reason = "" if each.heat is None else each.heat.reason
        picture = Picture(
            each.prediction.prepared.pixels,
            None if reason else each.heat,
            reason,
            tuple(tuple(line) for line in each.outlines),
            each.prediction.view,
            each.sha256,
        )
        made.append(Result(each.run.name, each.run.model_card(), each.prediction, (picture,), models.reference(each.run)))
    if not made:
        raise LabError("there is no result to save yet: expected a scored image. Choose one first")
    return result_page(made, name=results[0].name if with_name else "")


def _explained(
    predictor: Predictor, path: Path, frame: int | None, beside: Sequence[Path], *, anyway: bool
) -> tuple[Prediction, Heatmap | Evidence | None]:
    """The verdict, and the evidence for malignant; of a stack's frame, which has no views, as of an image alone."""
    if predictor.judges_breasts and frame is None:
        from core.predict_breasts import heatmap_of, predict_view

        prediction, breast = predict_view(predictor, path, beside, score_anyway=anyway)
        return prediction, None if prediction.score is None else heatmap_of(predictor, breast, path)[1]
    prediction = predictor.predict(path, frame=frame, score_anyway=anyway)
    return prediction, None if prediction.score is None else predictor.explain(prediction)


def _outlines(path: Path, prediction: Prediction) -> tuple[Polygon, ...]:
    """The lesions that a known data set draws on this file, in the prepared image; those of a stack's frame are not known."""
    if prediction.mammogram is None or prediction.meta.frames > 1:
        return ()
    height, width = prediction.mammogram.pixels.shape
    found = lesions.of_path(path, (height, width))
    return lesions.mapped(found, prediction.prepared.matrix)


def _failed(text: str) -> Scored:
    return Scored(prediction_html.failed(text))
