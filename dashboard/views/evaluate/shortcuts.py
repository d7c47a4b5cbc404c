"""The shortcut audit: how well metadata alone predict the label, beside the model."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from core.evaluate.further import FurtherColumn
from core.metrics import Interval, Shortcut, ShortcutAudit
from core.metrics.features import ALL, feature_title, feature_words
from core.metrics.levels import UNITS
from core.metrics.shortcut_columns import OF_PATIENT
from core.metrics.shortcut_results import metadata_words
from core.plots import forest_figure
from core.wording import counted, listed, plain, upper_first
from dashboard.ui import components, html_tables, notices
from dashboard.views.evaluate.context import Context
from dashboard.views.evaluate.subgroups import short_note

SHORTCUT_HELP = """
**Why.** Where malignant images come from another scanner, or from older women, a model can be right for the wrong reason.

**From metadata alone** is how well the label can be predicted without looking at the breast: by a small model of that one
column, trained on the metadata of the training images. 0.5 is chance.

**The model, among equals** compares only images that share the value (the same scanner, the same age band). If the model's AUC
is lower there, part of its performance came from that column. For numbers, and for all columns together, images share a fifth
of the range only: differences within a fifth still play a part in that AUC.
"""


def shortcuts(context: Context) -> None:
    """AUC of the label from metadata alone, beside the model's among images that share the metadata."""
    audit = context.found.shortcuts
    if isinstance(audit, str):
        notices.info(audit)
        return
    with st.container(horizontal=True, vertical_alignment="center", key="sentence_shortcuts"):
        against = "" if audit.metadata is None else audit.metadata.sentence
        st.markdown(f"{verdict(audit)} {plain(f'{against} {audit.aside}'.strip())}", width="stretch")
        with st.popover("How to read it", icon=":material/help:"):
            st.markdown(SHORTCUT_HELP)
    left, right = html_tables.columns("shortcuts", (400, 480))
    with left:
        alt, saved_as = "AUC from metadata, and of the model among equals", context.file("shortcuts")
        components.chart(bars(audit), "evaluate:shortcuts", alt=alt, saved_as=saved_as)
    with right:
        _audit_table(audit)
    unit = context.found.level
    notes = [] if context.level == unit else [f"By {UNITS[unit]}, whatever the level above."]
    if audit.left_out:
        names = ", ".join(feature_words(name) for name in audit.left_out)
        notes.append(f"Left out, since they are the same in all images or different in nearly every image: {names}.")
    if audit.learned_on:
        how = f"metadata learned on {counted(audit.learned_on, 'training image')}"
    else:
        how = f"metadata cross-validated in {counted(audit.folds, 'fold')} with each of the {context.people} in one fold"
    whose = f" of {counted(audit.patients, 'patient')}" if context.patients_known else ""
    size = f"{counted(audit.images, 'image')}{whose}"
    notes.append(f"{size}; {how}.")
    st.caption(" ".join(notes))
    _further(context.found.further)


def _further(found: tuple[FurtherColumn, ...]) -> None:
    """Every other column of the manifest: whether it was audited, as what, and why."""
    if not found:
        return
    used = sum(bool(each.read) for each in found)
    with st.expander(f"Further columns of the manifest: {used} audited, {len(found) - used} left out"):
        st.markdown(
            "Columns that MammoLab has no name for. What says how or where an image was made is audited; what was found or "
            "decided about the case predicts the label without being a shortcut. The settings `evaluation.numeric_columns` and "
            "`evaluation.category_columns` count before these rules, and columns named there also make subgroups."
        )
        html_tables.table(["Column", "Read as", "Why"], [[each.name, each.read or "left out", each.why] for each in found])


def verdict(audit: ShortcutAudit) -> str:
    """What the audit shows, with no more certainty than its intervals; it names the columns that were audited."""
    # Not the numbers of a patient's images, which no image shows, nor what was found or decided about the case.
    shown = [row for row in audit.features if row.feature not in (*OF_PATIENT, *audit.apart)]
    measured = [(row, row.auc) for row in shown if isinstance(row.auc, Interval)]
    if not measured:
        why = f"{plain(_names([row.feature for row in shown]))}: too little data for an AUC."
        why = why if shown else "no metadata column differs between these images, or none is known."
        return f"**Not audited for shortcuts**: {why} {_not_known(audit)}".strip()
    predicting = [(row, auc) for row, auc in measured if auc.low > 0.5]
    if not predicting:
        names = [row.feature for row in shown if isinstance(row.auc, str)]
        unmeasured = f"Too little data for an AUC: {plain(_names(names))}." if names else ""
        return " ".join(filter(None, (_no_sign(audit, measured), unmeasured, _not_known(audit))))
    row, auc = max(predicting, key=lambda each: each[1].value)
    everything = row.feature == ALL
    named = f"{upper_first(metadata_words(audit.columns))} together" if everything else f"{feature_title(row.feature)} alone"
    predict = "predict" if everything else "predicts"
    model = f"{audit.model:.2f}" if isinstance(audit.model, Interval) else f"no AUC ({audit.model})"
    if isinstance(audit.model, Interval) and audit.model.low <= 0.5:
        model += ", which is not shown to be better than chance"
    words = f"**{plain(named)} {predict} the label** with an AUC of {auc.value:.2f}; the model has {model}. "
    return f"{words}{_among_equals(row)} {_not_known(audit)}".strip()


def _no_sign(audit: ShortcutAudit, measured: list[tuple[Shortcut, Interval]]) -> str:
    """That no column is shown to predict the label, and which columns these are; those below 0.5 by themselves."""
    around = [row.feature for row, auc in measured if auc.high >= 0.5 and row.feature != ALL]
    below = [row.feature for row, auc in measured if auc.high < 0.5]
    names = plain(_names([name for name in around if name != ALL]))
    together = next((auc for row, auc in measured if row.feature == ALL and auc.high >= 0.5), None)
    words = "**No sign that the audited metadata predict the label**"
    if around:
        each = "its interval includes" if len(around) == 1 else "each interval includes"
        also = ", also together" if together is not None else ""
        words += f": audited {'was' if len(around) == 1 else 'were'} {names}{also} ({each} 0.5)"
    elif together is not None:
        words += f": {plain(metadata_words(audit.columns))} together (the interval includes 0.5)"
    if below:
        interval = "its interval lies" if len(below) == 1 else "their intervals lie"
        words += f". {plain(upper_first(_names(below)))}: {interval} below 0.5 (inverse association in this set)"
    return f"{words}."


def _not_known(audit: ShortcutAudit) -> str:
    """What often makes shortcuts, and neither the manifest nor the files have here."""
    return f"Not known here, so not audited: {listed(audit.not_known)}." if audit.not_known else ""


def _among_equals(row: Shortcut) -> str:
    """The model among images that share the value: beyond a category, or beyond a fifth of the range only."""
    within = row.within
    it = "them" if row.feature == ALL else "it"
    if isinstance(within, str):
        return f"Too few images share {it} to say what the model knows beyond."
    among = f"images in the same fifth of {it}" if row.in_bands else f"images that share {it}"
    if within.low <= 0.5:
        return f"Among {among} the model has {within:.2f}: **nothing beyond {it} is shown**."
    if row.in_bands is None:
        return f"Among {among} the model has {within:.2f}."
    if row.in_bands:
        return f"Among {among} the model has {within:.2f}, in which differences within a fifth may still play a part."
    return f"Among {among} the model still has {within:.2f}: its score does not rest on {feature_words(row.feature)} alone."


def _names(features: list[str]) -> str:
    return listed([feature_words(name) if name != ALL else "all of them together" for name in features])


def bars(audit: ShortcutAudit) -> go.Figure:
    """AUC from each column alone, and the model's among images that share it."""
    rows = [(feature_title(row.feature), short_note(row.auc)) for row in audit.features]
    return forest_figure(
        rows,
        title="ROC AUC",
        reference=audit.model if isinstance(audit.model, Interval) else None,
        second=[short_note(row.within) for row in audit.features],
        names=("from metadata alone", "the model, among equals"),
        chance=0.5,
        height=100 + 40 * len(rows),
    )


def _audit_table(audit: ShortcutAudit) -> None:
    lines: list[list[Interval | str | None]] = []
    for row in audit.features:
        lines.append([feature_title(row.feature), row.auc, row.within, f"{row.pairs:.0%}"])
        if row.boosting is not None:
            lines.append(["with interactions (boosting)", row.boosting, None, ""])
    lines.append(["The model, all images", audit.model, None, ""])
    html_tables.table(["Known from", "AUC of metadata alone", "model's AUC among equals", "pairs"], lines)
