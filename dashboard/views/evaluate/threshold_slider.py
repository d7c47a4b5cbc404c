"""The threshold slider and the metrics at the threshold. The browser moves both; the page hears when the hand rests.

The slider's grid travels to the browser once, with every metric at each of its steps, so that a moving hand waits for no
server. Charts join in through `components.chart(..., follow=...)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from core.metrics import MIN_PATIENTS, Interval
from core.metrics.headline_auc import HeadlineAuc, headline_auc
from core.metrics.sweep import Shares
from dashboard.state import preferences
from dashboard.ui import notices
from dashboard.ui.image_components import component
from dashboard.views.evaluate.context import Context, once

KEY = "evaluate:dial"
_dial = component(
    "dial",
    html='<div class="dial"><div class="line"><span>Threshold</span><output class="value"></output><span class="badge"></span>'
    '<div class="slide"><input type="range" aria-label="Threshold"><div class="marks"><div class="mark"></div></div></div>'
    '<button class="reset" hidden>Back to the one in use</button></div><div class="words"></div>'
    '<div class="cards"></div></div>',
    uses=("element", "live", "range"),
)

SHARES = {
    "sensitivity": ("Sensitivity", "Of the malignant {units}, the share that is flagged as malignant."),
    "specificity": ("Specificity", "Of the benign {units}, the share that is not flagged."),
    "ppv": (
        "PPV",
        "Of those flagged as malignant, the share that is malignant. It holds for this data set's share of malignant {units}.",
    ),
    "npv": ("NPV", "Of those not flagged, the share that is benign. It holds for this data set's share of malignant {units}."),
}
STORED = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "precision"}  # names in a Summary


def dial(context: Context) -> None:
    """The slider with its cards. What was chosen is stored; the frozen threshold is no choice."""
    data = once("dial", context, lambda: {"dial": KEY} | steps(context))
    index = context.sweep.nearest(context.threshold)
    _dial(data=data | {"words": _words(context), "index": index}, key=KEY, on_changed_change=lambda: _moved(context))


def _moved(context: Context) -> None:
    value = st.session_state[KEY]["changed"]
    preferences.set(context.choice, None if value is None or float(value) == context.frozen else float(value))


def explore(context: Context, threshold: float | None) -> None:
    """Put the slider here; None goes back to the frozen threshold."""
    preferences.set(context.choice, threshold)


def _words(context: Context) -> str:
    rule = context.rule
    how = ""
    if rule is not None:
        how = {
            "sensitivity": f" for a sensitivity of {rule.target:.2f}",
            "youden": ", where sensitivity + specificity is highest",
            "cost": f", with a missed cancer as {rule.cost_ratio:g} false alarms",
        }[rule.kind]
    whose = "The model's own" if context.same_weights else "That of the model that made these scores"
    views = f"; by view: {context.thresholds.words}. The slider moves them together" if context.by_view else ""
    return f"{whose}, chosen on validation{how}{views}."


def steps(context: Context) -> dict[str, Any]:
    """Grid, the place of the frozen threshold in it, and the cards with a value for each step."""
    found, summary = context.sweep, context.summary
    frozen = found.nearest(context.frozen)
    cards = [
        _fixed("auc", "ROC AUC", "The chance that a malignant one scores above a benign one.", summary["auc"]),
        *_balanced(context),
    ]
    for name, (title, help) in SHARES.items():
        shares: Shares = getattr(found, name)
        values, lows, highs = (rounded(column) for column in (shares.value, shares.low, shares.high))
        note = _note(context, name)
        stored = summary[STORED[name]] if name in STORED else None
        # At the frozen threshold the page says what evaluation.json says, if that is what it was made with.
        if isinstance(stored, Interval) and context.up_to_date:
            values[frozen], lows[frozen], highs[frozen] = stored.value, stored.low, stored.high
        card = {"name": name, "title": title, "help": help.format(units=context.units)}
        cards.append(card | {"values": values, "lows": lows, "highs": highs, "note": note})
    called = (found.tp + found.fp).tolist()
    cards.append(
        {
            "name": "called",
            "title": "Flagged",
            "help": f"Called malignant: how many of the {summary.rows:,} {context.units} would be recalled.",
            "values": [f"{count:,}" for count in called],
            "detail": [f"{count / summary.rows:.1%} of {summary.rows:,}" for count in called],
            "note": "",
        }
    )
    return {"grid": found.thresholds.tolist(), "frozen": frozen, "cards": cards}


def _balanced(context: Context) -> list[dict[str, Any]]:
    """The card beside the AUC of breasts or patients, where these are made of unequal sets of images."""
    found = headline(context)
    if found is None or not found.unequal:
        return []
    words = f"With {found.balanced_rule}, so that no class has more images or sides."
    return [_fixed("balanced", "ROC AUC, balanced", words, found.balanced)]


def _fixed(name: str, title: str, help: str, metric: Interval | str) -> dict[str, Any]:
    """The card of a metric that no threshold moves; a text says why there is none."""
    known = metric if isinstance(metric, Interval) else None
    return {
        "name": name,
        "title": title,
        "help": f"{help} No threshold moves it.",
        "values": [known.value if known else None],
        "lows": [known.low] if known else None,
        "highs": [known.high] if known else None,
        "note": "" if known else metric,
    }


def headline(context: Context) -> HeadlineAuc | None:
    """The rule behind the AUC of breasts or patients, and the balanced one; None for images, or where nobody is known."""
    if context.level == "image" or not context.patients_known:
        return None
    summary = context.summary
    return once(
        "headline",
        context,
        lambda: headline_auc(context.found.predictions, summary.level, summary["auc"], summary.confidence),  # type: ignore[arg-type]
    )


def about_units(context: Context) -> None:
    """Below the cards: how one score is made of several images, and why the balanced AUC differs."""
    found = headline(context)
    if found is None:
        return
    if found.sentence:
        notices.warning(f"{found.sentence[:1].upper()}{found.sentence[1:]}.")
    st.caption(f"Score of a {context.level}: {found.rule}.")


def _note(context: Context, name: str) -> str:
    """Why a share is not shown: the rules of core.metrics.summary, for every threshold alike."""
    about = {"sensitivity": ("malignant",), "specificity": ("benign",)}.get(name, ("malignant", "benign"))
    for label in about:
        patients = getattr(context.summary, f"{label}_patients")
        if patients < MIN_PATIENTS:
            if not context.patients_known:
                return f"{patients} {label} images: too few, at least {MIN_PATIENTS} needed"
            return f"{patients} patients with {label} {context.units}: too few, at least {MIN_PATIENTS} needed"
    return ""


def rounded(values: Any) -> list[float | None]:
    """Numbers for the browser; None where there is none."""
    return [None if number != number else number for number in np.round(np.asarray(values, dtype=np.float64), 5).tolist()]
