"""What the threshold would mean where disease is as rare as in screening: people out of 1,000, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import NotEnoughData
from core.metrics import MIN_PATIENTS, Interval
from dashboard import components, services
from dashboard.pictures import component
from dashboard.studio.scene import Scene, once

if TYPE_CHECKING:
    from core.metrics import OperatingPoint, Screening

KEY = "evaluate:prevalence"
# Per cent; about as many steps a decade, the usual screening round at the default.
PREVALENCES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50)
DEFAULT = 0.5
_SLIDER = "evaluate:screening"
_KINDS = (
    ("found", "--color:#D55E00"),
    ("missed", ""),
    ("recalled without cancer", "--color:#E69F00"),
    ("rightly left alone", "--color:#56B4E9;--opacity:.45"),
)
_screening = component(
    "screening",
    html='<div class="screening"><div><div>Of the women screened, this share has cancer<span class="prevalence"></span></div>'
    '<input type="range" aria-label="Prevalence"><p class="sentence"></p>'
    '<table><tbody></tbody></table></div><div><canvas role="img" aria-label="1,000 women"></canvas><div class="key">'
    + "".join(
        f'<span><i class="{name if name == "missed" else ""}" style="{style}"></i>{name} <b></b></span>'
        for name, style in _KINDS
    )
    + "</div><small>A dot is a woman; numbers are rounded to whole ones.</small></div></div>",
    uses=("live",),
)


def screening(scene: Scene) -> None:
    """A slider of prevalences; a sentence, a picture and a table in natural frequencies; predictive values by prevalence."""
    summary = scene.summary
    for label in ("malignant", "benign"):
        if getattr(summary, f"{label}_patients") < MIN_PATIENTS:
            st.info(
                f"Fewer than {MIN_PATIENTS} patients with {label} {scene.units}: too few to say what screening would bring."
            )
            return
    threshold = scene.threshold
    try:
        steps, chart = once(f"screening:{threshold}", scene, lambda: _made(scene, threshold))
    except NotEnoughData as error:
        st.info(str(error))
        return
    kept = services.recall(KEY, DEFAULT)
    index = PREVALENCES.index(kept) if kept in PREVALENCES else PREVALENCES.index(DEFAULT)
    _screening(data={"dial": _SLIDER, "steps": steps, "index": index}, key=_SLIDER, on_changed_change=_moved)
    places = [share / 100 for share in PREVALENCES]
    follow = {"dial": _SLIDER, "layout": {"shapes.0.x0": places, "shapes.0.x1": places}}
    components.figure(chart, "evaluate:predictive", alt="predictive values by prevalence", follow=follow)
    at = "its frozen threshold" if threshold == scene.frozen else f"the explored threshold {threshold:.3f}"
    st.caption(
        f"The model at {at}: sensitivity and specificity as measured on these {summary.rows:,} {scene.units} of "
        f"{summary.patients:,} patients, the prevalence as you set it. That holds only where the women screened resemble these "
        "patients in all but how many are ill; here most benign cases, too, may be harder or easier than in screening. "
        f"{summary.confidence:.0%} intervals say how well sensitivity and specificity are known, nothing else."
    )


def _moved() -> None:
    index = st.session_state[_SLIDER]["changed"]
    if index is not None:
        services.remember(KEY, PREVALENCES[int(index)])


def _made(scene: Scene, threshold: float) -> tuple[list[dict[str, Any]], Any]:
    from core.metrics import operating_point
    from core.plots import prevalence_figure

    table = scene.table
    point: OperatingPoint = operating_point(
        table["label"], table["score"], threshold, table["patient_id"], confidence=scene.summary.confidence
    )
    found = [point.at(share / 100) for share in PREVALENCES]
    return [_step(each) for each in found], prevalence_figure(found, current=DEFAULT / 100, height=320)


def _step(found: Screening) -> dict[str, Any]:
    ill = 1000 * found.prevalence
    sentence = (
        f"Of 1,000 women screened, {_people(ill)} {'has' if ill == 1 else 'have'} cancer. The model finds "
        f"{_people(found.found.value)} of them and misses {_people(found.missed.value)}. It also recalls "
        f"{_people(found.false_alarms.value)} of the {_people(1000 - ill)} women without cancer"
    )
    alarms = found.false_alarms.value / found.found.value if found.found.value > 0 else None
    sentence += "." if alarms is None else f": {_people(alarms)} for each cancer found."
    counts = (
        ("recalled", "Recalled"),
        ("found", "Cancers found"),
        ("missed", "Cancers missed"),
        ("false_alarms", "False alarms"),
    )
    rows = [[f"{title}, of 1,000", *_words(getattr(found, name))] for name, title in counts]
    rows.append(["A recall is cancer (PPV)", *_share(found.ppv)])
    rows.append(["No recall, no cancer (NPV)", *_share(found.npv)])
    return {
        "prevalence": f"{100 * found.prevalence:g}%",
        "sentence": sentence,
        "rows": rows,
        "people": _picture(ill, found.found.value, found.false_alarms.value),
    }


def _picture(ill: float, found: float, alarms: float) -> list[int]:
    """Whole women: found, missed, recalled without cancer, left alone; 1,000 together."""
    cancers = round(ill)
    seen = min(cancers, round(found))
    recalled = min(1000 - cancers, round(alarms))
    return [seen, cancers - seen, recalled, 1000 - cancers - recalled]


def _people(count: float) -> str:
    return f"{count:,.0f}" if count >= 10 or count == round(count) else f"{count:.1f}"


def _words(figure: Interval) -> list[str]:
    return [_people(figure.value), f"[{_people(figure.low)}, {_people(figure.high)}]"]


def _share(figure: Interval) -> list[str]:
    if figure.value != figure.value:
        return ["–", "nothing to count"]
    return [f"{figure.value:.1%}", f"[{figure.low:.1%}, {figure.high:.1%}]"]
