"""The Gradio tab: one mammogram in; score, threshold in words, heatmap and warnings out.

Nothing leaves the machine: no analytics, no flagging, local fonts; uploads are deleted after an hour. Paths of example
images stay on the server (in the session's state): the browser only ever says which of them it means.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
import streamlit as st

from core.errors import LabError
from core.images import one_large_at_a_time
from dashboard import frames, images, sealing, services

if TYPE_CHECKING:
    import pandas as pd

    from core.predict import Prediction
    from core.training.run import Run

log = logging.getLogger(__name__)

# (frame taken and number of frames, verdict, prepared image, overlay, whether to offer "Score anyway"); see `score`.
Result = tuple[tuple[int, int] | None, str, Any, Any, bool]
# What is scored: run, path, frame asked for, and whether also without a verdict.
Asked = tuple[str | None, str, int | None, bool]

PAGE = "Test image"  # as records of accesses to test images name it
EXAMPLES = 6
CLEAN_EVERY, KEEP_UPLOADS = 600, 3600  # seconds

CSS = """
.gradio-container { max-width: none !important; padding: 0 !important; font-size: 16px; background: transparent !important; }
.gradio-container .main { padding: 0 !important; }
body, gradio-app { background: transparent !important; }
.mammogram img, .mammogram .image-container, .mammogram .image-frame { background: #000; }
.mammogram img { object-fit: contain !important; }
.examples .thumbnail-item { background: #000 !important; border-color: var(--border-color-primary); }
.examples .caption-label { font-size: 14px; padding: 0 8px; max-width: 100%; background: #000b; color: #fff; border: 0; }
.examples .grid-container { gap: 8px; }
.upload { min-height: 120px; }
.gradio-container .column { gap: 10px; }
.gradio-container .prose p { margin: 0; font-size: 14px; }
.verdict { font-size: 16px; line-height: 24px; }
.verdict .score { font-size: 32px; line-height: 40px; font-weight: 650; font-variant-numeric: tabular-nums; }
.verdict .scale { position: relative; height: 10px; border-radius: 5px; margin: 14px 0 30px;
  background: var(--border-color-primary); }
.verdict .fill { position: absolute; inset: 0 auto 0 0; border-radius: 5px; background: #7468ee; }
.verdict .mark { position: absolute; top: -5px; bottom: -5px; width: 3px; margin-left: -1px;
  background: var(--body-text-color); }
.verdict .mark span { position: absolute; top: 22px; left: 0; transform: translateX(-50%); white-space: nowrap;
  font-size: 14px; }
.verdict ul { margin: 8px 0 0 20px; list-style: disc; }
.verdict .error { border-left: 4px solid #d9534f; padding-left: 12px; white-space: pre-wrap; }
.verdict .hint, .verdict .small { opacity: .8; font-size: 14px; }
footer { display: none !important; }
"""

WAIT = '<div class="verdict"><p class="hint">Scoring …</p></div>'
HINT = '<div class="verdict"><p class="hint">Drop a mammogram on the left, or click an example.</p></div>'


def theme() -> gr.themes.Base:
    """The dashboard's colours and sizes, light and dark (see .streamlit/config.toml)."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.gray,
        radius_size=gr.themes.sizes.radius_md,
        font=["Source Sans", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        body_background_fill="transparent",
        body_background_fill_dark="transparent",
        body_text_color="#1d2230",
        body_text_color_dark="#e7e9f0",
        body_text_color_subdued="#5b6070",
        body_text_color_subdued_dark="#a6abba",
        block_background_fill="#ffffff",
        block_background_fill_dark="#12141a",
        block_border_color="#d9dce5",
        block_border_color_dark="#343946",
        block_label_background_fill="#ffffff",
        block_label_background_fill_dark="#12141a",
        block_label_text_color="#1d2230",
        block_label_text_color_dark="#e7e9f0",
        block_label_text_size="14px",
        block_title_text_color="#1d2230",
        block_title_text_color_dark="#e7e9f0",
        block_title_text_size="14px",
        block_info_text_size="14px",
        border_color_primary="#d9dce5",
        border_color_primary_dark="#343946",
        input_background_fill="#f3f4f8",
        input_background_fill_dark="#1d2029",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#12141a",
        background_fill_secondary="#f3f4f8",
        background_fill_secondary_dark="#1d2029",
    )


def css() -> str:
    """The tab's styles. The font is the one that Streamlit serves, one folder above the tab."""
    media = Path(st.__file__).parent / "static" / "static" / "media"
    faces = [
        f"@font-face {{ font-family: 'Source Sans'; font-weight: 200 900; font-display: swap; "
        f"src: url('../static/media/{file.name}') format('woff2'); }}"
        for file in sorted(media.glob("SourceSansVF-Upright*.woff2"))
    ]
    return "\n".join([*faces, CSS])


def build() -> gr.Blocks:
    """The tab as Blocks, ready to be mounted."""
    with gr.Blocks(
        analytics_enabled=False, title="Test image", fill_width=True, delete_cache=(CLEAN_EVERY, KEEP_UPLOADS)
    ) as blocks:
        paths = gr.State([])
        chosen = gr.State("")
        asked = gr.State(None)  # the frame asked for, from 0; None: the one that the reader takes
        anyway = gr.State(False)  # whether a score is wanted although there is no verdict; of this image and model only
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                run = gr.Dropdown(label="Model", choices=[], interactive=True)
                gr.Markdown("Mammogram: DICOM, PNG, JPEG, PGM or TIFF")
                upload = gr.File(show_label=False, type="filepath", height=120, elem_classes=["upload"])
                frame = gr.Slider(1, 2, value=1, step=1, label="Frame", visible=False, interactive=True)
                gr.Markdown("Examples of the current data set")
                examples = gr.Gallery(
                    show_label=False,
                    columns=3,
                    height=284,
                    object_fit="contain",
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    elem_classes=["examples"],
                    format="jpeg",
                )
            with gr.Column(scale=3, min_width=420):
                verdict = gr.HTML(HINT, min_height=168)
                insist = gr.Button("Score anyway", visible=False, size="sm")
                with gr.Row():
                    common: dict[str, Any] = {
                        "interactive": False,
                        "show_label": False,
                        "buttons": ["fullscreen"],
                        "elem_classes": ["mammogram"],
                        "height": 340,
                        "format": "png",
                    }
                    with gr.Column(min_width=160):
                        gr.Markdown("What the model sees")
                        seen = gr.Image(**common)
                    with gr.Column(min_width=160):
                        gr.Markdown("Where the score comes from")
                        heat = gr.Image(**common)
        outputs = [verdict, seen, heat, insist]
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        result = gr.State(None)
        inputs = [run, chosen, asked, anyway]
        fresh = [chosen, asked, anyway, frame, *outputs]

        def then_score(event: Any) -> None:
            """Score what was chosen, then show it if it is still what is chosen: a slow file may be overtaken."""
            event.then(scored, inputs, result, trigger_mode="multiple", **private).then(
                shown, [*inputs, result], [frame, *outputs], trigger_mode="multiple", **private
            )

        blocks.load(on_load, None, [run, examples, paths], **private)
        then_score(upload.upload(lambda file: (file or "", *anew(WAIT)), upload, fresh, **private))
        upload.clear(lambda: ("", *anew(HINT)), None, fresh, **private)
        then_score(examples.select(pick_example, paths, [upload, *fresh], **private))
        then_score(
            frame.release(lambda number: (number - 1, False, *cleared(WAIT)), frame, [asked, anyway, *outputs], **private)
        )
        then_score(run.input(lambda path: (False, *cleared(WAIT if path else HINT)), chosen, [anyway, *outputs], **private))
        then_score(insist.click(lambda: (True, *cleared(WAIT)), None, [anyway, *outputs], **private))
    return blocks


def on_load(request: gr.Request) -> tuple[Any, Any, list[str]]:
    """The runs that have a model (the page's `?run=` first) and example images, each time the tab is opened."""
    try:
        names = [run.name for run in services.runs() if services.has_model(run)]
    except LabError:
        names = []
    wanted = request.query_params.get("run")
    value = wanted if wanted in names else (names[0] if names else None)
    items, paths = example_images(frames.manifest_of(request.query_params.get("of", "")))
    return gr.Dropdown(choices=names, value=value), gr.Gallery(value=items, visible=bool(items)), paths


def example_images(manifest: Path | None) -> tuple[list[tuple[Any, str]], list[str]]:
    """Small images of a data set (validation first, labels in turn, none that is sealed), with captions, and their paths."""
    import cv2

    if manifest is None:
        return [], []
    try:
        rows = example_rows(services.manifest_frame(manifest)[~sealing.sealed(manifest)])
    except LabError:
        return [], []
    items: list[tuple[Any, str]] = []
    paths: list[str] = []
    for row in rows.itertuples():
        try:
            jpeg = images.thumbnail(images.image_ref(str(row.path)), 320)
        except LabError:
            continue
        small = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
        items.append((cv2.cvtColor(small, cv2.COLOR_GRAY2RGB), str(row.label)))
        paths.append(str(row.path))
    return items, paths


def example_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Up to EXAMPLES rows: of validation where there is such, labels in turn, one image a patient where possible."""
    pool = frame[frame["split"] == "val"]
    pool = frame if pool.empty else pool
    pool = pool.drop_duplicates("patient_id") if pool["patient_id"].nunique() >= EXAMPLES else pool
    turn = pool.groupby("label").cumcount()
    return pool.assign(_turn=turn).sort_values(["_turn", "label"], kind="stable").head(EXAMPLES).drop(columns="_turn")


def cleared(words: str) -> tuple[str, None, None, Any]:
    """No result: `words` stand in the verdict's place."""
    return words, None, None, gr.Button(visible=False)


def anew(words: str) -> tuple[Any, ...]:
    """For another file: no frame asked for, no score wanted against a refusal, no choice of frames yet, and no result."""
    return None, False, gr.Slider(visible=False), *cleared(words)


def pick_example(paths: list[str], event: gr.SelectData) -> tuple[Any, ...]:
    """The path behind the clicked example, behind the upload that is taken away; see `anew` for the rest."""
    index = event.index if isinstance(event.index, int) else event.index[0]
    return None, (paths[index] if 0 <= index < len(paths) else ""), *anew(WAIT)


def scored(run_name: str | None, path: str, frame: int | None, anyway: bool) -> tuple[Asked, Result]:
    """What was scored, and its result."""
    return (run_name, path, frame, anyway), score(run_name, path, frame, anyway=anyway)


def shown(run_name: str | None, path: str, frame: int | None, anyway: bool, result: tuple[Asked, Result] | None) -> Any:
    """The frames to choose from, and the result if it is that of what is chosen now; else nothing changes: its own
    result is on its way."""
    if result is None or tuple(result[0]) != (run_name, path, frame, anyway):
        return (gr.skip(),) * 5
    frames, *rest, offered = result[1]
    return frame_choice(frames), *rest, gr.Button(visible=offered)


def frame_choice(frames: tuple[int, int] | None) -> Any:
    """The slider for (frame taken, from 0, and number of frames): hidden for a single one, as it is for None."""
    if frames is None:
        return gr.skip()
    taken, count = frames
    label = f"Frame, 1 to {count}: {taken + 1} was scored"
    return gr.Slider(minimum=1, maximum=max(2, count), value=taken + 1, label=label, visible=count > 1)


def score(run_name: str | None, path: str, frame: int | None = None, *, anyway: bool = False) -> Result:
    """(frame taken and number of frames, verdict as HTML, prepared image, overlay, whether to offer "Score anyway"), the
    images uint8, the overlay RGB.

    Errors, and the reason why there is no verdict, are text in the verdict's place. `frame` as in core.images.read.
    """
    if not path:
        return None, HINT, None, None, False
    from core.gradcam import overlay

    if not run_name:
        return _failed("There is no trained model yet. Train one on the Train page, then open this tab again.")
    try:
        run = services.open_run(run_name)
        predictor = services.predictor(run)
        sealed = _recorded(run, Path(path))
        with one_large_at_a_time():  # the prediction holds the image at full size
            prediction = predictor.predict(Path(path), frame=frame, score_anyway=anyway)
            heat = None if prediction.score is None else predictor.explain(prediction)
    except LabError as error:
        return _failed(str(error))
    except Exception as error:
        log.exception("scoring failed")
        return _failed(f"Something unexpected went wrong: {type(error).__name__}. The server's log has the details.")
    if sealed:
        prediction = replace(prediction, warnings=(sealed, *prediction.warnings))
    pixels = prediction.prepared.pixels
    taken = prediction.meta.frame, prediction.meta.frames
    name = Path(path).name
    if heat is None:
        return taken, refusal_html(prediction, name=name), pixels, None, True
    verdict = verdict_html(prediction, predictor.card, name=name, no_map=heat.reason)
    return taken, verdict, pixels, overlay(prediction.prepared, heat), False


def refusal_html(prediction: Prediction, *, name: str = "") -> str:
    """Why there is no verdict, where it would be; then what else there is to know."""
    lines = [
        f'<div class="small">{html.escape(name)}</div>',
        f'<div class="error"><b>{html.escape(prediction.verdict)}</b></div>',
        _notes(prediction.warnings),
    ]
    return f'<div class="verdict">{"".join(lines)}</div>'


def _recorded(run: Run, path: Path) -> str:
    """Record the scoring of a test file; what to say of one whose test set has not been opened. Raises NotRecorded."""
    from core.training.accesses import PREDICTION
    from core.training.test_sets import file_keys, sealed_by, warning_of

    sets = sealing.test_sets()
    keys = file_keys(path)
    found = sealed_by(keys, sets, run.path)
    own = any(each.folder == run.path and not each.keys.isdisjoint(keys) for each in sets)
    if own or found is not None:
        sealing.record(PREDICTION, PAGE, [keys], run=run if own else None)
    return warning_of(found) if found is not None else ""


def verdict_html(prediction: Prediction, card: Mapping[str, Any], *, name: str = "", no_map: str = "") -> str:
    """Score, threshold, decision in words, warnings; `no_map`: why there is no heatmap. The score of an image that gets no
    verdict is marked as such."""
    assert prediction.score is not None
    value, threshold = prediction.score, prediction.threshold
    target = card.get("target_sensitivity")
    chosen = f" chosen for {target:.2f} sensitivity on validation" if isinstance(target, int | float) else ""
    if prediction.decision is None:
        said = f'<div class="error"><b>Scored anyway.</b> {html.escape(prediction.verdict)}</div>'
    else:
        side = "above" if prediction.decision == "malignant" else "below"
        said = (
            f"<div>The score is <b>{side} the model's threshold</b> ({threshold:.3f}{chosen}): "
            f"it decides <b>{prediction.decision}</b>.{_calibrated(prediction)}</div>"
        )
    lines = [
        f'<div class="small">{html.escape(name)}</div>',
        f'<div class="score">{value:.3f}</div>',
        said,
        f'<div class="scale"><div class="fill" style="width:{value:.1%}"></div>'
        f'<div class="mark" style="left:{threshold:.1%}"><span>threshold {threshold:.3f}</span></div></div>',
        _notes([*prediction.warnings, *([f"No heatmap: {no_map}."] if no_map else [])]),
    ]
    return f'<div class="verdict">{"".join(lines)}</div>'


def _calibrated(prediction: Prediction) -> str:
    if prediction.calibrated is None:
        return ""
    return f" As a probability, calibrated on validation: <b>{prediction.calibrated:.3f}</b>."


def _notes(notes: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in notes) + "</ul>" if notes else ""


def _failed(text: str) -> Result:
    return None, _error(text), None, None, False


def _error(text: str) -> str:
    return f'<div class="verdict"><div class="error">{html.escape(text)}</div></div>'
