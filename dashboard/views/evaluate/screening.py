"""What the threshold would mean where disease is as rare as in screening: out of 1,000 of what is scored, with intervals.

Only the patient level is about women. A sensitivity of images is not one of women, who have several each: by images and by
breasts the sentence, the picture and the table count images and breasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.errors import NotEnoughData
from core.metrics import MIN_PATIENTS, Interval, OperatingPoint, Screening, operating_point
from core.plots import prevalence_figure
from core.wording import counted
from dashboard.state import preferences
from dashboard.ui import components, notices
from dashboard.ui.image_components import component
from dashboard.views.evaluate.context import Context, once

KEY = "evaluate:prevalence"
# Per cent; about as many steps per decade, the usual screening round at the default.
PREVALENCES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50)
DEFAULT = 0.5
_SLIDER = "evaluate:screening"
_KINDS = (
    ("found", "--color:#D55E00"),
    ("missed", ""),
    ("alarm", "--color:#E69F00"),
    ("alone", "--color:#56B4E9;--opacity:.45"),
)


@dataclass(frozen=True)
class Words:
    """How a level speaks: what is counted, singular and plural, how it relates to cancer, and what the model does to it."""

    one: str
    many: str
    examined: str  # "Of 1,000 ..."
    has: str
    have: str
    calls: str
    called: str

    @property
    def shown(self) -> dict[str, Any]:
        """The words that the browser puts beside the slider and the picture."""
        return {
            "share": f"Of the {self.examined}, this share {self.has} cancer",
            "picture": f"1,000 {self.many}",
            "dot": f"A dot is {'an' if self.one == 'image' else 'a'} {self.one}; numbers are rounded to whole ones.",
            "kinds": ["found", "missed", f"{self.called} without cancer", "rightly left alone"],
        }


WORDS = {
    "image": Words("image", "images", "images scored", "shows", "show", "calls", "called malignant"),
    "breast": Words("breast", "breasts", "breasts scored", "has", "have", "calls", "called malignant"),
    "patient": Words("woman", "women", "women screened", "has", "have", "recalls", "recalled"),
}
_screening = component(
    "screening",
    html='<div class="screening"><div><div><span class="share"></span><span class="prevalence"></span></div>'
    '<input type="range" aria-label="Prevalence"><p class="sentence"></p>'
    '<table><tbody></tbody></table></div><div><canvas role="img"></canvas><div class="key">'
    + "".join(
        f'<span><i class="{name}" style="{style}"></i><span class="kind"></span> <b></b></span>' for name, style in _KINDS
    )
    + '</div><small class="dot"></small></div></div>',
    uses=("element", "live", "range"),
)


def screening(context: Context) -> None:
    """A slider of prevalences; a sentence, a picture and a table in natural frequencies; predictive values by prevalence."""
    summary = context.summary
    who = "patients with " if context.patients_known else ""
    for label in ("malignant", "benign"):
        if getattr(summary, f"{label}_patients") < MIN_PATIENTS:
            notices.info(f"Fewer than {MIN_PATIENTS} {who}{label} {context.units}: too few to say what screening would bring.")
            return
    if context.level != "patient":
        _not_women(context)
    threshold, words = context.threshold, WORDS[context.level]
    try:
        steps, chart = made(context, threshold)
    except NotEnoughData as error:
        notices.info(str(error))
        return
    stored = preferences.get(KEY, DEFAULT)
    index = PREVALENCES.index(stored) if stored in PREVALENCES else PREVALENCES.index(DEFAULT)
    _screening(
        data={"dial": _SLIDER, "words": words.shown, "steps": steps, "index": index}, key=_SLIDER, on_changed_change=_moved
    )
    places = [share / 100 for share in PREVALENCES]
    follow = {"dial": _SLIDER, "layout": {"shapes.0.x0": places, "shapes.0.x1": places}}
    alt, saved_as = "predictive values by prevalence", context.file("predictive values")
    components.chart(chart, "evaluate:predictive", alt=alt, saved_as=saved_as, follow=follow)
    at = "its frozen threshold" if threshold == context.frozen else f"the explored threshold {threshold:.3f}"
    if context.by_view:
        moved = "" if threshold == context.frozen else f", all moved by {threshold - context.frozen:+.3f}"
        at = f"its frozen thresholds by view ({context.thresholds.words}){moved}"
    alike = "patients" if context.level == "patient" else context.units
    whose = f" of {counted(summary.patients, 'patient')}" if context.patients_known else ""
    st.caption(
        f"The model at {at}: sensitivity and specificity as measured on these {summary.rows:,} {context.units}"
        f"{whose}, the prevalence as you set it. That holds only where the {words.examined} resemble "
        f"these {alike} in all but how many are ill; here most benign cases, too, may be harder or easier than in screening. "
        f"{summary.confidence:.0%} intervals say how well sensitivity and specificity are known, nothing else."
    )


def _not_women(context: Context) -> None:
    """That a woman is not an image, and the way to the metrics of women where there are any."""
    each = "four images, as a rule" if context.level == "image" else "two breasts"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/info: This counts **{context.units}**, not women: a woman has {each}, and she is recalled or missed as "
            f"a whole. The share of {context.units} with cancer is lower than that of women, too.",
            width="stretch",
        )
        if not isinstance(context.found.levels["patient"], str) and st.button(
            "Count women",
            icon=":material/group:",
            key="evaluate:women",
            help="Scores by patient, at the patients' own threshold.",
        ):
            preferences.set("evaluate:level", "patient")
            st.rerun()


def _moved() -> None:
    index = st.session_state[_SLIDER]["changed"]
    if index is not None:
        preferences.set(KEY, PREVALENCES[int(index)])


def made(context: Context, threshold: float) -> tuple[list[dict[str, Any]], Any]:
    """(what the slider shows at each prevalence, the chart of predictive values); made once. Raises NotEnoughData."""
    return once(f"screening:{threshold}", context, lambda: _made(context, threshold))


def _made(context: Context, threshold: float) -> tuple[list[dict[str, Any]], Any]:
    table = context.table
    point: OperatingPoint = operating_point(
        table["label"], table["decided"], threshold, table["patient_id"], confidence=context.summary.confidence
    )
    found = [point.at(share / 100) for share in PREVALENCES]
    return [_step(each, WORDS[context.level]) for each in found], prevalence_figure(found, current=DEFAULT / 100, height=320)


def _step(found: Screening, words: Words) -> dict[str, Any]:
    ill = 1000 * found.prevalence
    what = "malignant " if words.calls == "calls" else ""
    sentence = (
        f"Of 1,000 {words.examined}, {_people(ill)} {words.has if ill == 1 else words.have} cancer. The model finds "
        f"{_people(found.found.value)} of them and misses {_people(found.missed.value)}. It also {words.calls} {what}"
        f"{_people(found.false_alarms.value)} of the {_people(1000 - ill)} {words.many} without cancer"
    )
    alarms = found.false_alarms.value / found.found.value if found.found.value > 0 else None
    of = "cancer" if words.one == "woman" else f"{words.one} with cancer"
    sentence += "." if alarms is None else f": {_people(alarms)} for each {of} found."
    cancers = "Cancers" if words.one == "woman" else f"{words.many.capitalize()} with cancer"
    counts = (
        ("recalled", words.called.capitalize()),
        ("found", f"{cancers} found"),
        ("missed", f"{cancers} missed"),
        ("false_alarms", "False alarms"),
    )
    rows = [[f"{title}, of 1,000", *_words(getattr(found, name))] for name, title in counts]
    women = "A recall is cancer (PPV)", "No recall, no cancer (NPV)"
    others = "Flagged, with cancer (PPV)", "Not flagged, without cancer (NPV)"
    for title, share in zip(women if words.one == "woman" else others, (found.ppv, found.npv), strict=True):
        rows.append([title, *_share(share)])
    return {
        "prevalence": f"{100 * found.prevalence:g}%",
        "sentence": sentence,
        "rows": rows,
        "people": _picture(ill, found.found.value, found.false_alarms.value),
    }


def _picture(ill: float, found: float, alarms: float) -> list[int]:
    """Whole women, breasts or images: found, missed, recalled without cancer, left alone; 1,000 together."""
    cancers = round(ill)
    seen = min(cancers, round(found))
    recalled = min(1000 - cancers, round(alarms))
    return [seen, cancers - seen, recalled, 1000 - cancers - recalled]


def _people(count: float) -> str:
    return f"{count:,.0f}" if count >= 10 or count == round(count) else f"{count:.1f}"


def _words(metric: Interval) -> list[str]:
    return [_people(metric.value), f"[{_people(metric.low)}, {_people(metric.high)}]"]


def _share(metric: Interval) -> list[str]:
    if metric.value != metric.value:
        return ["–", "nothing to count"]
    return [f"{metric.value:.1%}", f"[{metric.low:.1%}, {metric.high:.1%}]"]
