"""Present: a run in a few slides, for an audience. Arrow keys turn them; the sentences can be edited and are saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from core.errors import LabError
from core.runs import Run
from core.story import LONGEST, Slide, read_own, story, write_own
from core.wording import plain
from dashboard.state import datasets, preferences, training_runs
from dashboard.state.file_stamps import stamp
from dashboard.ui import components, image_components, notices, pages, test_set_access
from dashboard.views.evaluate import heatmap_thumbnails
from dashboard.views.present import slides

# Page, title, sentence and buttons leave the rest of the window to the picture; above 720 px their text grows with the window.
AROUND, GROWS, SMALLEST = 264, 0.11, 300  # px, share of what is above 720 px, px
# What a story is made of.
_RECORDS = (
    "manifest.csv",
    "config.yaml",
    "events.jsonl",
    "model.json",
    "evaluation.json",
    "predictions/val.csv",
    "predictions/test.csv",
    "story.json",
)
_keys = image_components.component("keys")


def show() -> None:
    """The chosen run's slides, or what is needed before there can be any."""
    run = training_runs.current_run(with_model=True)
    if run is None:
        with components.page("Present", pages.PAGES["present"].about):
            components.nothing_trained("A presentation tells of a trained model, from its own records.", with_model=True)
        return
    every = slides_of(str(run.path), tuple(stamp(run.path / name) for name in _RECORDS), tuple(sorted(closed_paths(run))))
    if preferences.get("present:edit", False):
        edit(run, every)
        return
    present(run, [slide for slide in every if not slide.hidden] or every)


@st.cache_data(max_entries=8, show_spinner=False)
def slides_of(path: str, stamps: tuple[Any, ...], closed: tuple[str, ...]) -> list[Slide]:
    """The run's story, made again only when one of its records has changed: each move of a slider asks for it."""
    return story(Run(path), closed=closed)


def closed_paths(run: Run) -> set[str]:
    """Images of the run's manifest that no page may show."""
    manifest = run.path / "manifest.csv"
    return set(datasets.manifest_frame(manifest).loc[test_set_access.sealed(manifest), "path"])


def present(run: Run, shown: Sequence[Slide]) -> None:
    """One slide, its sentence, and the way to the others."""
    known = st.session_state.get("present:height")
    pressed = _keys(data={"height": known}, key="present:keys", on_pressed_change=lambda: None, on_height_change=lambda: None)
    known = st.session_state["present:height"] = getattr(pressed, "height", None) or known
    window = int(known or 720)
    height = max(SMALLEST, window - AROUND - round(GROWS * max(0, window - 720)))
    at = min(int(preferences.get("present:slide", 0) or 0), len(shown) - 1)
    turned = {"next": at + 1, "previous": at - 1, "first": 0}.get(getattr(pressed, "pressed", None) or "", at)
    if getattr(pressed, "pressed", None) == "end":
        pages.go_to("home")
    if turned != at and 0 <= turned < len(shown):
        turn_to(turned)
        st.rerun()
    slide = shown[at]
    with st.container(key="slide_title", horizontal=True, vertical_alignment="center"):
        st.title(slide.title, anchor=False, width="content")
        if run.model_card().synthetic:
            notices.synthetic_badge("The demo set: no real mammograms.")
    picture = st.container(height=height + 16, border=False, key="slide_picture")
    with st.container(key="slide_sentence"):  # before the picture, which may take its time: title and sentence belong together
        st.markdown(plain(slide.sentence))
    _buttons(at, len(shown), run)
    with picture:
        try:
            slides.DRAW[slide.kind](run, slide, height)
        except LabError as error:  # before an audience an error is a quiet line
            st.caption(f"This picture cannot be shown: {plain(str(error))}")
    # Before their slide is turned to: nobody likes to wait before an audience.
    cases = [each.path for each in shown if each.kind in slides.CASES]
    if len(heatmap_thumbnails.ready(run, cases)) < len(cases) and not training_runs.active_runs():
        heatmap_thumbnails.want(run, cases)


def turn_to(slide: int) -> None:
    """Make this the slide that is shown, also after a reload."""
    preferences.set("present:slide", slide)


def _buttons(at: int, count: int, run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        for name, icon, to in (("Back", "arrow_back", at - 1), ("Next", "arrow_forward", at + 1)):
            key = f"present:{name.lower()}"
            off = not 0 <= to < count
            st.button(name, icon=f":material/{icon}:", disabled=off, key=key, on_click=turn_to, args=(to,))
        st.markdown(f"{at + 1} of {count} · {plain(run.name)} · arrow keys · {components.RESEARCH_ONLY}", width="stretch")
        st.button("Edit", icon=":material/edit:", key="present:edit_button", on_click=_choose("present:edit", True))
        if st.button("End", icon=":material/close:", key="present:end"):
            pages.go_to("home")


def _choose(name: str, value: object) -> Callable[[], None]:
    return lambda: preferences.set(name, value)


def edit(run: Run, every: Sequence[Slide]) -> None:
    """Every slide's sentence in a box, and whether it is shown; saved in the run's folder."""
    st.title("Edit the presentation", anchor=False)
    st.markdown("Empty a sentence to have it made from the run's records again.")
    own = read_own(run)
    with st.form("present:form"):
        entries = {}
        for slide in every:
            sentence = st.text_area(slide.title, slide.sentence, max_chars=LONGEST, key=f"present:text:{slide.kind}", height=80)
            hidden = not st.checkbox("Show this slide", not slide.hidden, key=f"present:show:{slide.kind}")
            written = own.get(slide.kind, {}).get("sentence")
            # A sentence that was left as it is stays made from the records.
            changed = sentence if written or sentence.strip() != slide.sentence else ""
            entries[slide.kind] = {"sentence": changed, "hidden": hidden}
        saved = st.form_submit_button("Save", type="primary")
    if saved:
        try:
            write_own(run, entries)
        except OSError as error:
            raise LabError(f"The presentation cannot be saved: {error.strerror or error}.") from error
        preferences.set("present:edit", None)
        st.rerun()
    st.button("Cancel", key="present:cancel", on_click=_choose("present:edit", None))


with notices.errors_shown():
    show()
