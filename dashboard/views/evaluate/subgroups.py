"""The figures within groups, and how far the label can be told from what is not the breast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from core.evaluate.subgroup_tests import comparisons, count_tests, differing, equivalence_sentence, equivalent, omnibus_sentence
from core.metrics import Interval
from core.metrics.features import ALL, feature_title, feature_words, value_title
from core.metrics.shortcuts import OF_PATIENT
from core.wording import counted, p_value, plain
from dashboard.state import widgets
from dashboard.ui import components, html_tables
from dashboard.views.evaluate.context import Scene

if TYPE_CHECKING:
    from core.evaluate.further import FurtherColumn
    from core.evaluate.subgroup_tests import Tested
    from core.metrics import ShortcutAudit, Subgroup

SHOWN = {"auc": "ROC AUC", "sensitivity": "Sensitivity", "specificity": "Specificity"}
GROUP_HELP = """
**How to read it.** A dot with its line is a group's metric with its {level} interval; the shaded band is that of all images.
With ten groups, one will stand out by chance alone. So each group is tested against all other images whose value is known,
and the p values are **adjusted for the number of tests** (Holm): only an adjusted p below 0.05 is worth a second look.

A group that does not differ is not shown to be equal. It is called **equivalent** only where the whole interval of its
difference lies within the margin that was set before (`evaluation.equivalence_margin`).

A group with fewer than five {people} of a class gets no number: it would be noise. Groups are counted by images.
Sensitivity and specificity are those at the threshold that was in use when the split was scored, wherever the slider stands.
"""
SHORTCUT_HELP = """
**Why.** Where malignant images come from another scanner, or from older women, a model can be right for the wrong reason.

**From metadata alone** is how well the label can be told without looking at the breast: a small model of that one column,
which learned where the model learned. 0.5 is chance.

**The model, among equals** compares only images that share the value (the same scanner, the same age band). If the model's AUC
falls there, part of what it knew was the scanner or the age. Of numbers, and of all columns together, images share a fifth of
the range only: what the metadata still tell within a fifth remains in that AUC.
"""


# ---------------------------------------------------------------- subgroups


def subgroups(scene: Scene) -> None:
    """A forest of groups, and a table with numbers, tests and notes."""
    every = scene.found.subgroups
    if not every:
        st.info(
            "No column of the manifest makes groups here, or the split was scored by an earlier version: score it again.",
            icon=":material/info:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = widgets.segmented("Figure", SHOWN, "evaluate:subgroup_figure", hide_label=True)
        alike = equivalence_sentence(every, scene.found.equivalence_margin)
        at_once = omnibus_sentence(scene.found.omnibus)
        st.markdown(f"{_finding(every)} {plain(f'{at_once} {alike}')}".strip(), width="stretch")
        with st.popover("How to read it", icon=":material/help:"):
            st.markdown(GROUP_HELP.format(people=scene.people, level=f"{scene.summary.confidence:.0%}"))
    # A kind of lesion is one of malignant images: only how many of them are found can be told.
    lesions = {row.feature for row in every if row.compared == "sensitivity"}
    rows = tuple(row for row in every if row.feature not in lesions or (shown == "sensitivity" and row.malignant_images))
    left, right = html_tables.halves("subgroups")
    with left:
        _forest(scene, rows, shown)
    with right:
        _table(rows, shown, scene.found.equivalence_margin)
    _caption(scene, every)


def _finding(rows: tuple[Subgroup, ...]) -> str:
    tests = count_tests(rows)
    odd = [
        f"{feature_title(row.feature)} {value_title(row.feature, row.value)} "
        f"({', '.join(each.name for each in differing(row))})"
        for row in rows
        if differing(row)
    ]
    if not tests:
        return "No group has enough data to be tested against the others."
    made = counted(tests, "test")
    if odd:
        return f"**{', '.join(odd)}** differ{'s' if len(odd) == 1 else ''} from the others, adjusted for {made}."
    return f"No group is shown to differ from the others, adjusted for {made}."


def _forest(scene: Scene, rows: tuple[Subgroup, ...], shown: str) -> None:
    from core.plots import forest_figure

    told = [
        (f"{feature_title(row.feature)}: {value_title(row.feature, row.value)}", _short(getattr(row, shown))) for row in rows
    ]
    names: dict[str, int] = {}
    unique = []
    for name, figure in told:
        names[name] = names.get(name, 0) + 1
        unique.append((name if names[name] == 1 else f"{name} ({names[name]})", figure))
    chart = forest_figure(
        unique,
        title=SHOWN[shown],
        reference=_reference(scene, shown),
        chance=0.5 if shown == "auc" else None,
        height=70 + 27 * len(rows),
    )
    components.chart(chart, "evaluate:forest", alt=f"{SHOWN[shown]} by subgroup")


def _reference(scene: Scene, shown: str) -> Interval | None:
    figure = scene.found.summary[shown]
    return figure if isinstance(figure, Interval) else None


def _short(figure: Interval | str) -> Interval | str:
    return "too few of a class" if isinstance(figure, str) else figure


def _table(rows: tuple[Subgroup, ...], shown: str, margin: float) -> None:
    lines: list[list[Interval | str | None]] = []
    feature = ""
    for row in rows:
        if row.feature != feature:
            feature = row.feature
            lines.append([feature_title(feature)])
        counts = f"{row.images:,} / {row.malignant_images:,}"
        figure = getattr(row, shown)
        adjusted = {each.name.lower(): each.adjusted for each in comparisons(row)}
        p = adjusted.get(shown)
        told = figure.split(":")[0] if isinstance(figure, str) else figure
        lines.append(
            [
                value_title(row.feature, row.value),
                counts,
                told,
                p_value(p),
                _names(differing(row)),
                _names(equivalent(row, margin)),
            ]
        )
    html_tables.table(
        ["Group", "images / malignant", SHOWN[shown], "adjusted p", "differs in", f"equivalent in (±{margin:g})"], lines
    )


def _names(found: tuple[Tested, ...]) -> str:
    return ", ".join(each.name for each in found) or "–"


def _caption(scene: Scene, rows: tuple[Subgroup, ...]) -> None:
    notes = [] if scene.level == "image" else ["By images, whatever the level above."]
    now = scene.now(scene.found.summary)
    if now != scene.found.threshold:
        notes.append(f"At the earlier threshold {scene.found.threshold:.3f}; in use now: {now:.3f}.")
    if scene.found.thresholds.per_view:
        notes.append(f"Sensitivity and specificity: every image at its view's threshold ({scene.found.thresholds.words}).")
    if any(row.compared == "sensitivity" for row in rows):
        notes.append("Kinds of lesions stand under Sensitivity and are compared by it, all other groups by AUC.")
    notes.append(
        "Shaded: all images. p values: two-sided, the group against all other images whose value is known, adjusted for all "
        "tests of the table (Holm)."
    )
    st.caption(" ".join(notes))


# ---------------------------------------------------------------- shortcuts


def shortcuts(scene: Scene) -> None:
    """AUC of the label from metadata alone, beside the model's among images that share the metadata."""
    audit = scene.found.shortcuts
    if isinstance(audit, str):
        st.info(audit, icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        against = "" if audit.metadata is None else audit.metadata.sentence
        st.markdown(f"{verdict(audit)} {plain(f'{against} {audit.aside}'.strip())}", width="stretch")
        with st.popover("How to read it", icon=":material/help:"):
            st.markdown(SHORTCUT_HELP)
    left, right = html_tables.halves("shortcuts", (400, 480))
    with left:
        _bars(audit)
    with right:
        _audit_table(audit)
    notes = [] if scene.level == "image" else ["By images, whatever the level above."]
    if audit.left_out:
        names = ", ".join(feature_words(name) for name in audit.left_out)
        notes.append(f"Left out, since they are the same everywhere or name nearly every image apart: {names}.")
    if audit.learned_on:
        how = f"metadata learned on {counted(audit.learned_on, 'training image')}"
    else:
        how = f"metadata cross-validated in {counted(audit.folds, 'fold')} with {scene.people} kept apart"
    whose = f" of {counted(audit.patients, 'patient')}" if scene.patients_known else ""
    size = f"{counted(audit.images, 'image')}{whose}"
    notes.append(f"{size}; {how}.")
    st.caption(" ".join(notes))
    _further(scene.found.further)


def _further(found: tuple[FurtherColumn, ...]) -> None:
    """Every other column of the manifest: whether it was audited, as what, and why."""
    if not found:
        return
    used = sum(bool(each.read) for each in found)
    with st.expander(f"Further columns of the manifest: {used} audited, {len(found) - used} left out"):
        st.markdown(
            "Columns that MammoLab has no name for. What says how or where an image was made is audited; what was found or "
            "decided about the case tells the label without being a shortcut. The settings `evaluation.numeric_columns` and "
            "`evaluation.category_columns` count before these rules, and columns named there also make subgroups."
        )
        html_tables.table(["Column", "Read as", "Why"], [[each.name, each.read or "left out", each.why] for each in found])


def verdict(audit: ShortcutAudit) -> str:
    """What the audit says, in words that do not go beyond the intervals."""
    # Not the numbers of a patient's images, which no image shows, nor what was found or decided about the case.
    shown = [row for row in audit.features if row.feature not in (*OF_PATIENT, *audit.apart)]
    telling = [row for row in shown if isinstance(row.auc, Interval) and row.auc.low > 0.5]
    if not telling or not isinstance(audit.model, Interval):
        words = "**No sign that metadata alone give the answer away** (all intervals include 0.5)."
        return f"{words} {_below(audit)}"
    strongest = max(telling, key=lambda row: row.auc.value if isinstance(row.auc, Interval) else 0.0)
    assert isinstance(strongest.auc, Interval)
    everything = strongest.feature == ALL
    telling_apart = "All metadata together tell" if everything else f"{feature_title(strongest.feature)} alone tells"
    it = "them" if everything else "it"
    words = f"**{telling_apart} the label** with an AUC of {strongest.auc:.2f}; the model has {audit.model:.2f}. "
    within = strongest.within
    if isinstance(within, str):
        return words + f"Too few images share {it} to say what the model knows beyond."
    if within.low > 0.5:
        return words + f"Among images that share {it} the model still has {within:.2f}, so it also sees something else."
    return words + f"Among images that share {it} the model has {within:.2f}: **nothing beyond {it} is shown**."


def _below(audit: ShortcutAudit) -> str:
    """What tells the label the wrong way round."""
    names = [feature_title(row.feature) for row in audit.features if isinstance(row.auc, Interval) and row.auc.high < 0.5]
    if not names:
        return ""
    return (
        f"({', '.join(names)}: below 0.5. What was learned of it elsewhere is the other way round here, which helps no model.)"
    )


def _bars(audit: ShortcutAudit) -> None:
    from core.plots import forest_figure

    rows = [(feature_title(row.feature), _short(row.auc)) for row in audit.features]
    second = [_short(row.within) for row in audit.features]
    chart = forest_figure(
        rows,
        title="ROC AUC",
        reference=audit.model if isinstance(audit.model, Interval) else None,
        second=second,
        names=("from metadata alone", "the model, among equals"),
        chance=0.5,
        height=100 + 40 * len(rows),
    )
    components.chart(chart, "evaluate:shortcuts", alt="AUC from metadata, and of the model among equals")


def _audit_table(audit: ShortcutAudit) -> None:
    lines: list[list[Interval | str | None]] = []
    for row in audit.features:
        pairs = f"{row.pairs:.0%}"
        lines.append([feature_title(row.feature), row.auc, row.within, pairs])
        if row.boosting is not None:
            lines.append(["with interactions (boosting)", row.boosting, None, ""])
    lines.append(["The model, all images", audit.model, None, ""])
    html_tables.table(["Known from", "AUC of metadata alone", "model's AUC among equals", "pairs"], lines)
