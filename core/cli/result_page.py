"""`predict --pdf`: one result with its heatmap on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.output import note
from core.errors import LabError
from core.files.atomic import replacing
from core.files.digests import sha256_of
from core.wording import counted

if TYPE_CHECKING:
    from core.data.known_images import KnownImages
    from core.gradcam import Evidence, Heatmap
    from core.predict import Predictor
    from core.prediction import BreastImage, Prediction
    from core.report.result_page import Picture
    from core.runs import Run


def write_result_page(
    target: Path,
    run: Run,
    predictor: Predictor,
    files: Sequence[Path],
    rows: Sequence[dict[str, Any]],
    *,
    frame: int | None,
    known: KnownImages | None,
    score_anyway: bool,
) -> None:
    """Write the page; `rows` are the verdicts on these files, and the options those that they were made with.

    Raises:
        LabError: it is not one image or one breast, or it has no score.
    """
    from core.metrics.placing import reference_of
    from core.report.result_page import Result, result_page

    what = "breast" if predictor.judges_breasts else "image"
    if len(rows) != 1:
        raise LabError(f"--pdf: expected one {what}, got {len(rows)}. Call the command once for each")
    if rows[0]["score"] is None:
        raise LabError(
            f"--pdf: {rows[0]['refusal']}: nothing to put on a page. --score-anyway gives a score, where one can be had"
        )
    prediction: Any
    if predictor.judges_breasts:
        from core.predict_breasts import explain_breast, predict_breasts

        ((_, prediction),) = predict_breasts(predictor, files, known=known, score_anyway=score_anyway)
        heats = explain_breast(predictor, prediction)
        pictures = tuple(_picture(image, heat) for image, heat in zip(prediction.used, heats, strict=True))
    else:
        prediction = predictor.predict(files[0], frame=frame, score_anyway=score_anyway)
        pictures = (_picture(prediction, predictor.explain(prediction)),)
    content = result_page([Result(run.name, predictor.card, prediction, pictures, reference_of(run.path))])
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as stream:
        stream.write(content)
    note(f"written: {target} ({counted(len(pictures), 'image')})")


def _picture(image: Prediction | BreastImage, heat: Heatmap | Evidence) -> Picture:
    from core.report.result_page import Picture

    shown = None if heat.reason else heat
    return Picture(image.prepared.pixels, shown, heat.reason, (), image.view, sha256_of(image.path))
