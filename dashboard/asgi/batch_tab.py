"""Many images at once: a table of verdicts that grows while they are scored, can be ended, and is saved as CSV."""

from __future__ import annotations

import base64
import html
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
import pandas as pd

from core.errors import LabError
from core.files.spreadsheet import spreadsheet_csv
from core.verdict_table import COLUMNS, Row
from core.wording import counted, sentences
from dashboard.asgi import prediction_html
from dashboard.asgi.batch_scoring import MOST, BatchResult, score_files
from dashboard.asgi.scoring import PRIVATE, QUEUE_OF_MANY

log = logging.getLogger(__name__)

SHOWN = 200  # rows; the CSV has all
BETWEEN = 0.5  # seconds between two updates of the table
HINT = (
    '<div class="verdict"><p class="hint">Choose images, or a .zip of them, then <b>Score all</b>. Each gets a line with its '
    "verdict or the reason why there is none; a model of two views judges the images of a breast together.</p></div>"
)


class Batch:
    """The components of this part, and what it holds of a session."""

    def __init__(self) -> None:
        gr.Markdown(
            f"Mammograms: DICOM, PNG, JPEG, PGM or TIFF, or .zip archives of them, up to {MOST} images. The model is the one "
            "chosen under *One image*."
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=230):
                self.files = gr.File(
                    show_label=False, type="filepath", file_count="multiple", height=180, elem_classes=["upload"]
                )
                self.start = gr.Button("Score all", variant="primary")
                self.stop = gr.Button("Stop", visible=False)
            with gr.Column(scale=5, min_width=380):
                self.table = gr.HTML(HINT)
        self.stopping = gr.State([False])  # a list, which all events of a session share


def connect(batch: Batch, model: Sequence[Any], renamed: Callable[..., tuple[str | None, dict[str, str]]]) -> None:
    """What follows from what. `model`: the menu of models and the names it knows; `renamed` finds one that was renamed."""

    def work(
        name: str | None, names: dict[str, str], files: list[str] | None, stopping: list[bool]
    ) -> Iterator[tuple[Any, ...]]:
        stopping[0] = False
        busy, idle = (
            (gr.Button(visible=False), gr.Button(visible=True)),
            (gr.Button(visible=True), gr.Button("Stop", visible=False)),
        )
        if not files:
            yield prediction_html.failed("Choose images or a .zip first."), *idle
            return
        yield prediction_html.WAIT, *busy
        last, result = float("-inf"), None
        try:
            for result in score_files(renamed(name, names)[0] or "", files, stopping=lambda: stopping[0]):
                if time.monotonic() - last >= BETWEEN:
                    last = time.monotonic()
                    yield table(result), *busy
        except LabError as error:
            yield prediction_html.failed(str(error)), *idle
            return
        except Exception as error:
            log.exception("scoring many images failed")
            words = f"Something unexpected went wrong: {type(error).__name__}. The server's log has the details."
            yield prediction_html.failed(words) + ("" if result is None else table(result, ended=True)), *idle
            return
        assert result is not None
        yield table(result, ended=True), *idle

    def end(stopping: list[bool]) -> Any:
        stopping[0] = True
        return gr.Button("Stopping …")

    outputs = [batch.table, batch.start, batch.stop]
    batch.start.click(work, [*model, batch.files, batch.stopping], outputs, **PRIVATE, **QUEUE_OF_MANY)
    batch.stop.click(end, batch.stopping, batch.stop, **PRIVATE)
    batch.files.clear(lambda: HINT, None, batch.table, **PRIVATE)


def table(result: BatchResult, *, ended: bool = False) -> str:
    """What is known so far as HTML: how many are scored, what came of them, a row each; once it has ended the CSV, too."""
    rows = result.rows
    called = sum(row["decision"] == "malignant" for row in rows)
    without = sum(row["decision"] is None for row in rows)
    what = "breast" if result.predictor.judges_breasts else "image"
    counts = f"{counted(called, what)} called malignant, {len(rows) - called - without} benign, {without} without a verdict"
    head = f"{result.run.name}: {result.done} of {counted(result.files, 'file')} scored"
    if ended and result.done < result.files:
        head += ", then stopped"
    shared = result.shared_notes
    notes = prediction_html.notes([*result.warnings, *(f"{note.rstrip('.')}." for note in shared)])
    share = 100 * result.done / max(1, result.files)
    bar = (
        ""
        if ended
        else f'<div class="bar" role="progressbar" aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div>'
    )
    more = f'<p class="small">The first {SHOWN} of {len(rows)} are shown; the CSV has all.</p>' if len(rows) > SHOWN else ""
    known = list(zip(rows, result.thumbnails, result.notes, strict=True))[:SHOWN]
    calibrated = any(row["calibrated"] is not None for row in rows)
    lines = "".join(_line(row, pictures, own, shared, calibrated=calibrated) for row, pictures, own in known)
    names = ("", "File", "Verdict", "Score", *(("Probability",) if calibrated else ()), "Notes")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    grid = f'<table class="batch"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>' if rows else ""
    threshold = result.predictor.thresholds.words or f"{result.predictor.threshold:.3f}"
    words = f"Threshold {html.escape(threshold)}, chosen on validation. A score is not a probability. Research use only."
    saved = _download(result) if ended and rows else ""
    return (
        f'<div class="verdict" role="status"><p><b>{html.escape(head)}</b>. {counts}. {saved}</p>{bar}{notes}{grid}{more}'
        f'<p class="small">{words}</p></div>'
    )


def _line(row: Row, pictures: Sequence[bytes], notes: Sequence[str], shared: Sequence[str], *, calibrated: bool) -> str:
    shown = "".join(f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(each).decode("ascii")}">' for each in pictures)
    kind = row["decision"] or "none"
    numbers = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("score", "calibrated")]
    own = sentences(note for note in notes if note not in shared) if pictures else row["note"]
    cells = (
        shown,
        html.escape(row["file"]),
        f'<b class="{kind}">{row["decision"] or "no verdict"}</b>',
        *numbers[: 2 if calibrated else 1],
        html.escape(own),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _download(result: BatchResult) -> str:
    """A link that holds the table: nothing is written on the server."""
    text = spreadsheet_csv(pd.DataFrame(result.rows, columns=list(COLUMNS)))
    content = base64.b64encode(text.encode("utf-8")).decode("ascii")
    name = html.escape(f"{result.run.name}-predictions.csv")
    return f'<a download="{name}" href="data:text/csv;charset=utf-8;base64,{content}">Save as CSV</a>'
