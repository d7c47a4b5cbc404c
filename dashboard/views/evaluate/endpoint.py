"""The primary endpoint on Evaluate: declared before the test set is evaluated, and shown afterwards."""

from __future__ import annotations

import streamlit as st

from core.evaluate.endpoint import declare, read_declared, rule_of_run, rule_words
from core.metrics import TITLES
from core.runs import Run
from core.wording import plain
from dashboard.cache import results
from dashboard.ui import notices
from dashboard.views.evaluate.context import LEVELS


@notices.errors_shown()
def declared(run: Run) -> None:
    """What was declared, in a sentence."""
    found = read_declared(run.path)
    st.markdown(f":material/{'flag' if found.before else 'outlined_flag'}: {plain(found.words)}")


@notices.errors_shown()
def form(run: Run) -> None:
    """Which metric counts, chosen before the test set is evaluated; the last choice before that stays."""
    found, rule = read_declared(run.path), rule_words(rule_of_run(run))
    if found.endpoint is None:
        st.markdown(":material/outlined_flag: No primary endpoint is declared. Name the metric that counts before you see any.")
    else:
        st.markdown(f":material/flag: {plain(found.words)}")
    levels = LEVELS if results.patients_known(run) else {"image": LEVELS["image"]}
    with st.popover("Declare the primary endpoint", icon=":material/flag:"):
        metric = st.selectbox("Metric", list(TITLES), format_func=TITLES.__getitem__, key="evaluate:endpoint:metric")
        level = st.selectbox("By", list(levels)[::-1], format_func=levels.__getitem__, key="evaluate:endpoint:level")
        reason = st.text_input("Why this one (optional, for the report)", key="evaluate:endpoint:reason", max_chars=500)
        st.caption(
            f"Metrics at a threshold use the rule that is frozen: {rule}. Once the test set is evaluated, the declaration "
            "stays; a later one is written down as a change."
        )
        if st.button("Declare", type="primary", key="evaluate:endpoint:declare"):
            with notices.errors_shown():
                declare(run, metric, level, reason=reason)
                st.rerun()
