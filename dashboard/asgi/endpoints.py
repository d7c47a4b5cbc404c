"""The endpoints of the Test image page for programs: /predict, /predict_breast and /batch.

Called with gradio_client or with two HTTP requests (docs/api.md). They answer what `python -m core predict --json` prints, and
records, limits and queue are those of the page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from core.errors import BadRun, LabError
from dashboard.asgi.batch_scoring import BatchResult, score_files
from dashboard.asgi.scoring import QUEUE, QUEUE_OF_MANY

log = logging.getLogger(__name__)
_NOTICE = "Research use only. A score is no probability and no diagnosis."


def build() -> None:
    """The endpoints, on components that no page shows. To be called within the tab's Blocks."""
    run = gr.Textbox(visible=False, label="run")
    one = gr.File(visible=False, type="filepath", label="file")
    several = gr.File(visible=False, type="filepath", file_count="multiple", label="files")
    answer = gr.JSON(visible=False, label="answer")
    for function, files, queue in ((predict, one, QUEUE), (predict_breast, several, QUEUE), (batch, several, QUEUE_OF_MANY)):
        asked = gr.Button(visible=False)
        asked.click(
            function,
            [run, files],
            answer,
            api_name=function.__name__,
            api_description=function.__doc__,
            show_progress="hidden",
            **queue,
        )


def predict(run: str, file: str) -> dict[str, Any]:
    """Judge one image with the model of `run` ("" for the newest run that has one). A model of two views judges it as a breast
    whose other view is missing. Returns score, decision, refusal, threshold, calibrated and notes."""
    return _answer(run, [file] if file else [], _first, _require_one_image)


def predict_breast(run: str, files: list[str]) -> dict[str, Any]:
    """Judge one breast from all of its images (CC and MLO) with a model of two views: one answer for all of them."""
    return _answer(run, files or [], _one_breast, _require_breasts)


def batch(run: str, files: list[str]) -> dict[str, Any]:
    """Judge many images, or the images of .zip archives: a list `predictions`, an entry an image, or a breast for a model of
    two views; what cannot be read is in it with the reason."""
    return _answer(run, files or [], lambda result: result.summary)


def _answer(
    run: str,
    files: Sequence[str],
    shape: Callable[[BatchResult], dict[str, Any]],
    require: Callable[[BatchResult], None] | None = None,
) -> dict[str, Any]:
    """`require` is asked before anything is scored, and raises where that would be in vain."""
    try:
        result = None
        for found in score_files((run or "").strip(), files):
            if result is None and require is not None:
                require(found)
            result = found
        assert result is not None
        answer = shape(result)
    except LabError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except Exception as error:
        log.exception("an endpoint failed")
        raise gr.Error(f"Something unexpected went wrong: {type(error).__name__}. The server's log has the details.") from error
    return answer | {"warnings": result.warnings, "notice": _NOTICE}


def _require_one_image(result: BatchResult) -> None:
    if result.files != 1:
        raise BadRun(f"/predict: expected one image, got {result.files}. Use /batch")


def _first(result: BatchResult) -> dict[str, Any]:
    summary = result.summary
    return {name: summary[name] for name in ("run", "chance")} | summary["predictions"][0]


def _require_breasts(result: BatchResult) -> None:
    if not result.predictor.judges_breasts:
        raise BadRun(
            f"/predict_breast: the model of {result.run.name} judges single images. Use /batch, or train one with model.views 2"
        )


def _one_breast(result: BatchResult) -> dict[str, Any]:
    if len(result.rows) != 1:
        raise BadRun(
            f"/predict_breast: expected the images of one breast, got those of {len(result.rows)}. Name the files after "
            "patient, side and view, such as P7_L_CC.png, or use /batch"
        )
    summary = result.summary
    return {name: summary[name] for name in ("run", "chance")} | summary["predictions"][0]
