"""One image through a trained model: the Gradio tab inside a page."""

from __future__ import annotations

from urllib.parse import urlencode

from dashboard.state import datasets, training_runs
from dashboard.ui import components, iframes, notices


def show() -> None:
    """The tab, or what is needed before there can be one."""
    run = training_runs.current_run(with_model=True)
    if run is None:
        components.empty_state(
            "No trained model yet",
            "This page scores one mammogram with a trained model. "
            "Train one first: the small network takes a few minutes on the demo set.",
            icon=":material/model_training:",
            page="train",
            action="Train a model",
        )
        return
    if datasets.current_is_synthetic():
        notices.synthetic_notice()
    manifest = datasets.current_manifest()
    iframes.gradio(urlencode({"run": run.name, "of": iframes.token(manifest)}), height=630)


with components.page(
    "Test image", "One mammogram in: its score, the decision at the model's threshold, and where the score comes from."
):
    show()
