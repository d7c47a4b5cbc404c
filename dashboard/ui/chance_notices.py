"""What pages say where a verdict would be: why there is none, and that a model is not better than chance so far."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.metrics.chance import warning_of
from core.metrics.leakage_mark import leakage_warning_of
from core.metrics.placing import NO_REFERENCE
from core.prediction import Prediction
from core.runs import Run
from core.wording import plain
from dashboard.state import models
from dashboard.ui import notices


def wants_score_anyway(page: str, images: Sequence[str]) -> bool:
    """Whether this session has asked for the score of one of these images (by their keys) although it gets no verdict."""
    asked = st.session_state.get(f"{page}:score_anyway", ())
    return any(key in asked for key in images)


def no_verdict(prediction: Prediction, page: str, image: str, *, about: str = "") -> None:
    """Why the model does not judge an image, with a button for its score; of one that was scored anyway, that it was."""
    slot = f"{page}:score_anyway"
    reason = f"{about}{plain(prediction.verdict)}"
    if prediction.scored_anyway:
        notices.warning(f"{reason} The score was requested anyway: it is not a result.", icon="block")
        return
    words, button = st.columns([4, 1], vertical_alignment="center")
    words.error(reason, icon=":material/block:")

    def ask() -> None:
        st.session_state[slot] = (*st.session_state.get(slot, ()), image)

    button.button("Score anyway", key=f"{slot}:{image}:{about}", on_click=ask, width="stretch")


def chance_notice(run: Run) -> str:
    """Warn that a run's model has not shown on validation to be better than chance, and of leakage that was allowed; returns
    the reason for the first, "" for none.
    """
    if leakage := models.leakage(run):
        notices.error(plain(leakage_warning_of(leakage)))
    reason = models.chance(run)
    if reason:
        notices.warning(plain(warning_of(reason)), icon="casino")
    return reason


def placed(run: Run, prediction: Prediction) -> str:
    """Where the score lies among those of validation images, and the calibrated probability, in sentences; "" for neither."""
    reference = models.reference(run) or NO_REFERENCE
    sentences = [] if prediction.score is None else [reference.words(prediction.score)]
    if prediction.calibrated is not None:
        sentences.append(reference.probability(prediction.calibrated))
    return " ".join(each for each in sentences if each)


def decided(prediction: Prediction, about: str = "") -> str:
    """The decision with its threshold in a few words, and the calibrated probability where there is one."""
    if prediction.decision is None:
        words = "scored anyway: no decision" if prediction.scored_anyway else "no verdict"
    else:
        side = "≥" if prediction.decision == "malignant" else "<"
        calibrated = "" if prediction.calibrated is None else f", calibrated {prediction.calibrated:.3f}"
        words = f"{prediction.decision} ({side} {prediction.threshold_words}){calibrated}"
    return f"{about}: {words}" if about else words
