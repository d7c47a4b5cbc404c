"""One image through a trained model: the Gradio tab inside a page."""

from __future__ import annotations

from urllib.parse import urlencode

from dashboard.state import datasets, training_runs
from dashboard.ui import components, iframes, notices


def show() -> None:
    """The tab, or what is needed before there can be one."""
    run = training_runs.current_run(with_model=True)
    if run is None:
        words = "This page scores one mammogram with a trained model. "
        words += "Train one first: the small network takes a few minutes on the demo set."
        components.nothing_trained(words, with_model=True)
        return
    if datasets.current_is_synthetic():
        notices.synthetic_notice()
    of = iframes.token(datasets.current_manifest())
    iframes.gradio(urlencode({"run": run.name, "of": of}), height=630)


with components.page(
    "Test image", "One mammogram in: its score, the decision at the model's threshold, and where the score comes from."
):
    show()
