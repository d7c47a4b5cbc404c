"""The Gradio tab: one mammogram in; score, threshold in words, heatmap and warnings out, of one model or two side by side.

Nothing leaves the machine: no analytics, no flagging, local fonts; uploads are deleted after an hour. Paths of example
images stay on the server (in the session's state): the browser only sends the number of one.
"""

from __future__ import annotations

import base64
import html
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from core.errors import LabError
from core.runs.folder import identity_of
from dashboard.asgi import batch_tab, endpoints, one_image, prediction_html
from dashboard.asgi.gradio_theme import FRONTEND
from dashboard.asgi.one_image import Scored
from dashboard.asgi.scoring import AT_ONCE, PRIVATE, QUEUE
from dashboard.cache import images
from dashboard.state import datasets, training_runs
from dashboard.ui import iframes, test_set_access

log = logging.getLogger(__name__)

EXAMPLES = 6
MOST = 50  # uploaded images at a time
CLEAN_EVERY, KEEP_UPLOADS = 600, 3600  # seconds
NO_SECOND = ("No other model", "")


class Tab:
    """The components of the tab, what is chosen on the left, the result on the right; and what it holds of a session."""

    def __init__(self) -> None:
        script: dict[str, Any] = {"js_on_load": (FRONTEND / "verdict.js").read_text(encoding="utf-8")}
        hidden: dict[str, Any] = {"visible": False, "interactive": True}
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=230, elem_classes=["choice"]):
                self.run = gr.Dropdown(label="Model", choices=[], interactive=True)
                self.second = gr.Dropdown(label="Compare with", choices=[NO_SECOND], value="", **hidden)
                gr.Markdown(f"Mammograms: DICOM, PNG, JPEG, PGM or TIFF, up to {MOST} files")
                self.upload = gr.File(
                    show_label=False, type="filepath", file_count="multiple", height=120, elem_classes=["upload"]
                )
                self.which = gr.Dropdown(label="Image", choices=[], **hidden)  # among several uploads
                self.frame = gr.Slider(1, 2, value=1, step=1, label="Frame", **hidden)
                self.title = gr.Markdown("Or an example of the current data set, with its true label", visible=False)
                self.examples = gr.HTML("", **script)
            with gr.Column(scale=3, min_width=380, elem_classes=["result"]):
                self.verdict = gr.HTML(prediction_html.HINT)
                self.insist = gr.Button("Score anyway", visible=False, size="sm")
                self.pictures = gr.HTML("", elem_classes=["films"], **script)
                self.details = gr.HTML("")
                with gr.Row(visible=False) as self.saving:
                    self.save = gr.Button("Save as PDF", size="sm", scale=0, min_width=150)
                    self.named = gr.Checkbox(label="with the file name, which may name a patient", container=False)
                self.saved = gr.HTML("", **script)
        self.shown = gr.State(())  # the results that are shown, which "Save as PDF" takes
        self.paths = gr.State([])  # of the examples
        self.thumbnails = gr.State([])
        self.uploads = gr.State([])
        self.known = gr.State({})  # the runs that the menu has offered, by name: which folder each was
        self.chosen = gr.State("")  # the path to score
        self.asked = gr.State(None)  # the frame asked for, from 0; None: the one that the reader takes
        self.anyway = gr.State(False)  # whether a score is wanted although there is no verdict; of this image and model only
        self.count = gr.State([0])  # how many scores were asked for here, in a list that all events of a session share

    @property
    def outputs(self) -> list[Any]:
        """Where a result is shown."""
        return [self.verdict, self.pictures, self.details, self.insist, self.shown, self.saving, self.saved]

    @property
    def reset(self) -> list[Any]:
        """What another file changes, as `reset_outputs` gives it, behind its path."""
        return [self.chosen, self.asked, self.anyway, self.frame, *self.outputs]


def build() -> gr.Blocks:
    """The tab as Blocks, ready to be mounted."""
    with gr.Blocks(
        analytics_enabled=False, title="Test image", fill_width=True, delete_cache=(CLEAN_EVERY, KEEP_UPLOADS)
    ) as blocks:
        with gr.Tabs():
            with gr.Tab("One image"):
                tab = Tab()
            with gr.Tab("Many images"):
                many = batch_tab.Batch()
        connect(blocks, tab)
        batch_tab.connect(many, [tab.run, tab.known], renamed)
        endpoints.build()
    return blocks


def connect(blocks: gr.Blocks, tab: Tab) -> None:
    """What follows from what in the tab."""
    menus = [tab.run, tab.second, tab.known]
    blocks.load(on_load, None, [*menus, tab.examples, tab.title, tab.thumbnails, tab.paths], **PRIVATE)
    for menu in (tab.run, tab.second):
        menu.focus(current_names, menus, menus, **PRIVATE)
    tab.save.click(saved_page, [tab.shown, tab.named], tab.saved, **PRIVATE, **QUEUE)
    for change in (tab.upload.upload, tab.upload.delete):
        then_score(tab, change, taken, [tab.upload, tab.thumbnails], [tab.uploads, tab.which, tab.examples, *tab.reset])
    tab.upload.clear(emptied, tab.count, [tab.uploads, tab.which, *tab.reset], **PRIVATE)
    # A menu's `input` comes twice for a choice; the first answer then closes the stream in which the second is awaited.
    then_score(tab, tab.which.select, pick_upload, [tab.uploads, tab.which], tab.reset)
    then_score(tab, tab.examples.select, pick_example, [tab.paths], [tab.upload, tab.uploads, tab.which, *tab.reset])

    wait, hint = prediction_html.WAIT, prediction_html.HINT
    anyway = [tab.anyway, *tab.outputs]
    then_score(tab, tab.frame.release, lambda at: (at - 1, False, *cleared(wait)), [tab.frame], [tab.asked, *anyway])
    for menu in (tab.run, tab.second):
        then_score(tab, menu.select, lambda path: (False, *cleared(wait if path else hint)), [tab.chosen], anyway)
    then_score(tab, tab.insist.click, lambda: (True, *cleared(wait)), [], anyway)


def then_score(tab: Tab, listener: Any, choose: Callable[..., tuple[Any, ...]], own: list[Any], changed: list[Any]) -> None:
    """On this event set `changed` to what `choose` gives for the values of `own`, then score and show the result, unless
    something else was chosen meanwhile.

    One event, which sends two answers: Gradio's page can lose an event that it asks for while the answer to a short one
    before it closes their common stream, and would wait for ever.
    """
    state = [tab.chosen, tab.asked, tab.anyway, tab.uploads]

    def work(
        name: str | None, second: str | None, names: dict[str, str], count: list[int], *values: Any
    ) -> Iterator[dict[Any, Any]]:
        given = dict(zip(changed, choose(*values[4:]), strict=True))
        path, number, wanted, uploads = (given.get(each, value) for each, value in zip(state, values[:4], strict=True))
        name, second, now = current(name, second, names)
        menus = {} if now == names else dict(zip((tab.run, tab.second, tab.known), menus_of(name, second, now), strict=True))

        def result() -> dict[Any, Any]:
            models = dict.fromkeys((name, second) if second else (name,))
            scored = [one_image.score(each, path, number, anyway=wanted, beside=uploads or ()) for each in models]
            return dict(zip([tab.frame, *tab.outputs], apply_results(scored), strict=True))

        yield from unless_overtaken(count, menus | given, result)

    # Gradio passes the event as the parameter of this type, so each parameter has to be written out.
    def picked(
        name: Any,
        second: Any,
        names: Any,
        count: Any,
        path: Any,
        number: Any,
        wanted: Any,
        uploads: Any,
        paths: Any,
        event: gr.SelectData,
    ) -> Iterator[dict[Any, Any]]:
        yield from work(name, second, names, count, path, number, wanted, uploads, paths, event)

    listener(
        picked if choose is pick_example else work,
        [tab.run, tab.second, tab.known, tab.count, *state, *own],
        list(dict.fromkeys([tab.run, tab.second, tab.known, *changed, tab.frame, *tab.outputs])),
        trigger_mode="multiple",  # the last one counts, also while another is being scored
        concurrency_limit=AT_ONCE,
        concurrency_id="score",
        **PRIVATE,
    )


def on_load(request: gr.Request) -> tuple[Any, ...]:
    """The runs that have a model (the page's `?run=` first) and example images, each time the tab is opened."""
    known = offered()
    names = list(known)
    wanted = request.query_params.get("run")
    value = wanted if wanted in names else (names[0] if names else None)
    items, paths = example_images(iframes.manifest_of(request.query_params.get("of", "")))
    return *menus_of(value, "", known), prediction_html.examples(items), gr.Markdown(visible=bool(items)), items, paths


def offered() -> dict[str, str]:
    """The runs with a model by name, and what stays the same when one is renamed."""
    try:
        return {run.name: identity_of(run.path) for run in training_runs.list_runs() if training_runs.has_model(run)}
    except LabError:
        return {}


def current_names(name: str | None, second: str | None, known: dict[str, str]) -> tuple[Any, Any, Any]:
    """The menus with the runs that there are now, and these; see `renamed`."""
    name, second, now = current(name, second, known)
    return (gr.skip(), gr.skip(), gr.skip()) if now == known else menus_of(name, second, now)


def current(name: str | None, second: str | None, known: dict[str, str]) -> tuple[str | None, str | None, dict[str, str]]:
    """Both chosen runs, and those that there are now, as `renamed` finds them."""
    name, now = renamed(name, known)
    return name, renamed(second, known)[0], now


def menus_of(name: str | None, second: str | None, known: dict[str, str]) -> tuple[Any, Any, Any]:
    """The menu of models, that of a second one (hidden where there is none), and the runs that both offer."""
    choices = [NO_SECOND, *((each, each) for each in known)]
    other = gr.Dropdown(choices=choices, value=second or "", visible=len(known) > 1)
    return gr.Dropdown(choices=list(known), value=name), other, known


def renamed(name: str | None, known: dict[str, str]) -> tuple[str | None, dict[str, str]]:
    """The chosen run's name and the runs that there are now: one that was renamed since it was chosen stays chosen."""
    now = offered()
    if now == known or name in now:
        return name, now
    same = [other for other, identity in now.items() if identity and identity == known.get(name or "")]
    return (same[0] if same else None), now


def example_images(manifest: Path | None) -> tuple[list[tuple[bytes, str]], list[str]]:
    """Small images (JPEG) of a data set (validation first, labels in turn, none that is sealed), with captions; their paths."""
    if manifest is None:
        return [], []
    try:
        rows = example_rows(datasets.manifest_frame(manifest)[~test_set_access.sealed(manifest)])
    except LabError:
        return [], []
    items: list[tuple[bytes, str]] = []
    paths: list[str] = []
    for row in rows.itertuples():
        try:
            jpeg = images.thumbnail(images.image_ref(str(row.path))).picture
        except LabError:
            continue
        items.append((jpeg, str(row.label)))
        paths.append(str(row.path))
    return items, paths


def example_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Up to EXAMPLES rows: of validation where there is such, labels in turn, one image a patient where possible."""
    pool = frame[frame["split"] == "val"]
    pool = frame if pool.empty else pool
    pool = pool.drop_duplicates("patient_id") if pool["patient_id"].nunique() >= EXAMPLES else pool
    turn = pool.groupby("label").cumcount()
    return pool.assign(_turn=turn).sort_values(["_turn", "label"], kind="stable").head(EXAMPLES).drop(columns="_turn")


def cleared(words: str) -> tuple[Any, ...]:
    """No result: `words` are shown in the verdict's place."""
    return words, "", "", gr.Button(visible=False), (), gr.Row(visible=False), ""


def reset_outputs(words: str) -> tuple[Any, ...]:
    """For another file: no frame chosen, no score wanted against a refusal, no choice of frames yet, and no result."""
    return None, False, gr.Slider(visible=False), *cleared(words)


def taken(files: list[str] | None, thumbnails: list[tuple[bytes, str]]) -> tuple[Any, ...]:
    """The uploaded files, the menu of several, the examples with none chosen, the first path; then as `reset_outputs`."""
    used = list(files or [])[:MOST]
    names = [f"{number} of {len(used)}: {Path(file).name}" for number, file in enumerate(used, 1)]
    left = len(files or []) - len(used)
    label = "Image" + (f" ({left} more were not taken: {MOST} at most)" if left > 0 else "")
    menu = gr.Dropdown(
        choices=[(name, place) for place, name in enumerate(names)],
        value=0 if used else None,
        visible=len(used) > 1,
        label=label,
    )
    words = prediction_html.WAIT if used else prediction_html.HINT
    return used, menu, prediction_html.examples(thumbnails), used[0] if used else "", *reset_outputs(words)


def emptied(count: list[int]) -> tuple[Any, ...]:
    """No uploads; what is being scored is not shown any more."""
    count[0] += 1
    return [], gr.Dropdown(visible=False), "", *reset_outputs(prediction_html.HINT)


def unless_overtaken(count: list[int], first: dict[Any, Any], find: Callable[[], dict[Any, Any]]) -> Iterator[dict[Any, Any]]:
    """`first` at once, then what `find` gives, unless something else was asked for meanwhile: `count[0]` rises each time."""
    count[0] += 1
    mine = count[0]
    yield first
    second = find()
    if count[0] == mine:
        yield second


def pick_upload(uploads: list[str], place: int | None) -> tuple[Any, ...]:
    """The path of the upload that was chosen; see `reset_outputs` for the rest."""
    known = isinstance(place, int) and 0 <= place < len(uploads)
    return (uploads[place] if known and place is not None else ""), *reset_outputs(prediction_html.WAIT)


def pick_example(paths: list[str], event: gr.SelectData) -> tuple[Any, ...]:
    """The path behind the clicked example, behind the uploads that are taken away; see `reset_outputs` for the rest."""
    index = event.index if isinstance(event.index, int) else -1
    path = paths[index] if 0 <= index < len(paths) else ""
    return None, [], gr.Dropdown(visible=False), path, *reset_outputs(prediction_html.WAIT)


def apply_results(scored: Sequence[Scored]) -> tuple[Any, ...]:
    """The frames to choose from, then what `Tab.outputs` show."""
    return (
        frame_choice(next((each.frames for each in scored if each.frames is not None), None)),
        *one_image.side_by_side(scored),
        gr.Button(visible=any(each.refused for each in scored)),
        tuple(scored),
        gr.Row(visible=any(each.prediction is not None for each in scored)),
        "",
    )


def saved_page(shown: Sequence[Scored], with_name: bool) -> str:
    """A link that holds the page of these results, which the browser follows at once: nothing is written on the server."""
    try:
        content = one_image.page(shown, with_name=with_name)
    except LabError as error:
        return prediction_html.failed(f"The PDF could not be made: {error}")
    except Exception as error:
        log.exception("a PDF failed")
        return prediction_html.failed(f"The PDF could not be made: {type(error).__name__}. The server's log has the details.")
    name = html.escape("-".join(["mammolab", *(each.run.name for each in shown if each.run is not None)]) + ".pdf")
    data = base64.b64encode(content).decode("ascii")
    return f'<a class="saved" download="{name}" href="data:application/pdf;base64,{data}">{name}</a>'


def frame_choice(frames: tuple[int, int] | None) -> Any:
    """The slider for (frame taken, from 0, and number of frames): hidden for a single one, as it is for None."""
    if frames is None:
        return gr.skip()
    taken, count = frames
    label = f"Frame, 1 to {count}: {taken + 1} was scored"
    return gr.Slider(minimum=1, maximum=max(2, count), value=taken + 1, label=label, visible=count > 1)
