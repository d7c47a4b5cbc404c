"""The form of a new run: its fields, what prevents the start, and the start button. Part of the Train page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.config import PRESETS, Config
from core.data.cache import size_of
from core.files.paths import cache_root
from core.runs import Run, image_cache
from core.wording import SPLITS, plain, size
from dashboard.cache import results
from dashboard.state import datasets, preferences, run_actions, settings, training_runs, widgets
from dashboard.ui import components, forms, notices, run_controls
from dashboard.views.train import architectures, forecast
from dashboard.views.train.queue import description, share_help, share_label

if TYPE_CHECKING:
    from core.training.preflight import Preflight

ESSENTIAL = [
    "model.name",
    "model.weights",
    "preprocessing.size",
    "training.epochs",
    "training.batch_size",
    "training.learning_rate",
]
PRETRAINED = ["training.freeze_epochs", "training.fine_tune_learning_rate", "training.frozen_backbone_fraction"]
SECTIONS = {
    "training": "Training",
    "training.lesions": "Lesion annotations",
    "training.advanced": "Training, advanced",
    "model": "Model",
    "augmentation": "Augmentation",
    "data": "Split",
    "evaluation": "Evaluation",
    "preprocessing": "Preprocessing",
}


def show() -> None:
    """The form on the left, a summary and the start button on the right."""
    manifest = datasets.current_manifest()
    if manifest is None:
        components.empty_state(
            "No data yet",
            "Training needs a data set: write the demo set or import your images.",
            icon=":material/database:",
            page="data",
            action="Get data",
        )
        return
    base = settings.current()
    forecast.probe_in_background(base)
    with st.container(key="narrow_stack"):
        left, right = st.columns([5, 3], gap="medium")
    with left.container(border=True):
        name, values = form(base)
    config, problems = forms.check(values, base)
    if config is not None:
        with left:
            architectures.show(config)
    if config is not None:
        chosen = config.data.model_copy(update={"manifest": manifest})
        config = config.model_copy(update={"data": chosen, "checkpoints": settings.checkpoints()})
    with right.container(border=True):
        before_start(name, config, problems, manifest)


def form(base: Config) -> tuple[str, dict[str, object]]:
    """The fields: essential ones first, all others folded, by section. Gives (run name, {dotted path: value})."""
    name = widgets.text(
        "Run name",
        "train:name",
        placeholder="date, architecture and a number",
        help="The name of the run's folder. Left empty, it is made of the date, the architecture and a number.",
    )
    presets(base)
    values = forms.fields(ESSENTIAL, base)
    shown = list(ESSENTIAL)
    # small_cnn is the one of the suggested networks that nobody has published weights of: auto is none for it.
    if values["model.weights"] not in (("none", "auto") if values["model.name"] == "small_cnn" else ("none",)):
        values |= forms.fields(PRETRAINED, base)
        shown += PRETRAINED
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("## Advanced", anchors=False, width="stretch")
        words = st.text_input(
            "Find a setting",
            key="train:find",
            placeholder="Find a setting",
            label_visibility="collapsed",
            icon=":material/search:",
            width=230,
        )
    values |= forms.groups(
        SECTIONS,
        base,
        skip=[*shown, "data.manifest", *PRETRAINED],
        words=words,
        notes={"preprocessing": "The Preprocess page shows what these do to an image."},
    )
    return name, values


def presets(base: Config) -> None:
    """Buttons that fill the form in, with how long each is expected to take; the one that the form shows is marked."""
    manifest = datasets.current_manifest()
    st.session_state["train:preset"] = _chosen_preset(base)
    rates = forecast.presets(base, manifest) if manifest is not None else {}
    words = {name: preset.title + (f" · {rates[name]}" if name in rates else "") for name, preset in PRESETS.items()}
    st.segmented_control(
        "Start from",
        list(words),
        format_func=words.__getitem__,
        key="train:preset",
        help="Fills the form in; everything can be changed afterwards. Times are rough estimates for this computer.\n\n"
        + "\n\n".join(f"**{preset.title}**: {preset.about}" for preset in PRESETS.values()),
        on_change=lambda: _fill(base),
    )


def _fill(base: Config) -> None:
    name = st.session_state["train:preset"] or "standard"
    forms.fill(PRESETS[name].values, base)


def _chosen_preset(base: Config) -> str | None:
    """The preset whose values, and no others, the form has; None for a form of one's own."""
    paths = [path for path in forms.all_paths() if path.split(".")[0] in SECTIONS and path != "data.manifest"]
    now = {
        path: value for path in paths if (value := forms.current_value(path, default := forms.value_of(base, path))) != default
    }
    for name, preset in PRESETS.items():
        if now == {path: value for path, value in preset.values.items() if value != forms.value_of(base, path)}:
            return name
    return None


def before_start(name: str, config: Config | None, problems: list[str], manifest: Path) -> None:
    """Data set, counts, everything that prevents the start, and the start button."""
    st.markdown("## Before it starts", anchors=False)
    components.manifest_picker(key="train:manifest")
    if problems:
        forms.show_problems(problems)
    found: Preflight | None = None
    if config is not None:
        with st.spinner("Checking", show_time=False):
            found = results.preflight(config, manifest)
        summary(found, config, manifest)
    launcher = run_controls.launcher_choice()
    ahead = results.queue_of(found.device) if found is not None else []
    if ahead and found is not None:
        notices.info(f"{description(ahead)} Yours starts automatically.", icon="hourglass_top")
    if st.button(
        "Add to queue" if ahead else "Start training",
        type="primary",
        icon=":material/hourglass_top:" if ahead else ":material/play_arrow:",
        width="stretch",
        disabled=found is None or not found.ready,
        key="train:start",
    ):
        assert config is not None
        start(name, config, manifest, launcher)
    if (
        ahead
        and found is not None
        and st.button(
            share_label(found.device),
            icon=":material/play_arrow:",
            width="stretch",
            disabled=not found.ready,
            key="train:start_now",
            help=share_help(found.device),
        )
    ):
        assert config is not None
        start(name, config, manifest, launcher, queue=False)
    prepared_images()


def prepared_images() -> None:
    """How much the prepared images of all recipes take, and the button that deletes them."""
    shown = st.popover(
        "Prepared images", icon=":material/photo_library:", type="tertiary", key="train:cache", on_change="rerun"
    )
    if not shown.open:  # a large cache takes a moment to count
        return
    with shown:
        folder = cache_root()
        used = size_of(folder)
        st.markdown(
            f"**{size(used)}** in {plain(folder.as_posix())}. Each image is prepared once for each "
            "recipe and stored, so that every later training starts at once."
        )
        with notices.errors_shown():
            names = image_cache.users(settings.checkpoints())
        if names:
            notices.info(f"{plain(names[0])} trains on them: they can be deleted once it has ended.")
        st.button(
            "Delete all prepared images",
            icon=":material/delete:",
            key="train:clear_cache",
            disabled=bool(names) or not used,
            help="They are made again when they are needed. Your own files are not touched.",
            on_click=lambda: run_controls.with_errors_shown(lambda: image_cache.clear(settings.checkpoints())),
        )


def summary(found: Preflight, config: Config, manifest: Path) -> None:
    """Images by split, steps, notes; or what forbids the start."""
    if datasets.is_synthetic(manifest):
        notices.synthetic_badge()
    if found.counts:
        patients = "unknown".format if found.warnings else "{:,}".format
        rows = "".join(
            f"<tr><td>{title}</td><td>{counts[0]:,}</td><td>{counts[1]:,}</td><td>{patients(counts[2])}</td></tr>"
            for split, title in SPLITS.items()
            if (counts := found.counts.get(split))
        )
        st.html(f"<table class='lab-counts'><tr><td></td><th>images</th><th>malignant</th><th>patients</th></tr>{rows}</table>")
        forecast.show(config, found)
    for warning in found.warnings:
        notices.warning(warning)
    for note in found.notes:
        st.caption(note)
    for problem in found.problems:
        notices.show_error(problem)


def start(name: str, config: Config, manifest: Path, launcher: str, *, queue: bool = True) -> None:
    """Create the run, start it or add it to the queue (`queue`), and show its progress."""
    with notices.errors_shown():
        run = Run.create(config, datasets.manifest_frame(manifest), name=name.strip() or None)
        run_actions.start_training(run, launcher, queue=queue)
        training_runs.set_current_run(run.name)
        results.watch_run(run)
        preferences.set("train:name", None)
        st.rerun()
