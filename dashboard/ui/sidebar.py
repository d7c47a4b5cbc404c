"""The sidebar of every page below the navigation: current data set, current model, device."""

from __future__ import annotations

import html
from pathlib import Path

import streamlit as st

from core.errors import LabError
from core.wording import counted
from dashboard.access import settings as access_settings
from dashboard.state import datasets, machine, settings, training_runs
from dashboard.state.run_states import state_line
from dashboard.ui import components, glossary

COUNTING = "being read …"
_FRONTEND = Path(__file__).parent / "frontend"
# A file of ours: browsers would fetch a `:material/...:` page icon from an outside host.
ICON = str(_FRONTEND / "icon.png")

# 14 px is the smallest text anywhere; figures keep their columns, and nothing fades, while they change.
# Containers named narrow_... break their columns into rows where a window leaves them no room.
_STYLE = """<style>
[data-testid="stCaptionContainer"], [data-testid="stWidgetLabel"] p, [data-testid="stMetricLabel"] p,
[data-testid="stSidebarNav"] span,
[data-testid="stNavSectionHeader"], code, small { font-size: max(14px, 0.875rem) !important; }
[data-testid="stMetricValue"], table { font-variant-numeric: tabular-nums; }
.block-container, [data-testid="stMainBlockContainer"] { padding: 2.5rem 3rem 2rem; max-width: 1500px; }
.st-key-data-grid { min-height: 500px; }
[data-testid="stCaptionContainer"], .lab-status b, [data-testid="stMetricDeltaDescription"] {
  opacity: 1 !important; color: var(--lab-quiet) !important; }
:root { --lab-quiet: light-dark(#5d6170, #a9adbb); }
:root { --lab-chosen: light-dark(#4338b8, #b3acff); }
[data-testid="stButtonGroup"] [aria-checked="true"] p, [data-testid="stButtonGroup"] [aria-pressed="true"] p,
[data-testid="stButtonGroup"] [aria-checked="true"] [data-testid="stIconMaterial"] { color: var(--lab-chosen) !important; }
[data-testid="stStatusWidget"] { display: none !important; }
a:focus-visible, button:focus-visible, [role="radio"]:focus-visible, [tabindex]:focus-visible, summary:focus-visible {
  outline: 2px solid light-dark(#5146c9, #a79fff) !important; outline-offset: 2px; }
[data-testid="stButtonGroup"] > div, [data-testid="stButtonGroup"] [role="radiogroup"] { flex-wrap: wrap; max-width: 100%; }
[data-testid="stMetricValue"] > div, [data-testid="stMetricLabel"] p {
  white-space: normal; overflow: visible; overflow-wrap: anywhere; text-overflow: clip; }
[data-testid="stCheckbox"] label p { white-space: normal; }
.st-key-verdict [data-testid="stMetricValue"] { font-size: 1.25rem; line-height: 1.6rem; }
@media (max-width: 1100px) { .st-key-verdict [data-testid="stMetricValue"] { font-size: 1.05rem; } }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
.lab-status { font-size: 14px; line-height: 20px; display: grid; gap: 10px; }
.lab-status div { min-width: 0; }
.lab-status b { display: block; font-weight: 500; opacity: .7; }
.lab-steps {
    display: flex; flex-wrap: wrap; gap: 4px 22px; list-style: none;
    margin: 0 !important; padding: 0 !important; font-size: 15px; }
.lab-steps li { opacity: .75; position: relative; margin: 0 !important; padding: 0; }
.lab-steps li + li::before { content: "›"; position: absolute; left: -14px; }
.lab-steps .done::after { content: " ✓"; }
.lab-steps [aria-current] { opacity: 1; font-weight: 650; }
.lab-counts { width: 100%; border-collapse: collapse; font-size: 15px; line-height: 1.7; text-align: right; }
.lab-counts td, .lab-counts th { padding: 0 0 0 8px; }
.lab-counts :is(td, th):first-child { text-align: left; padding: 0; }
.lab-counts th { font-weight: 500; opacity: .7; }
.lab-status span { display: block; overflow-wrap: anywhere; }
[data-testid="stMetricDelta"] *, [data-testid="stMetricDeltaDescription"], [data-testid="stMetricDeltaDescription"] * {
  white-space: normal !important; overflow: visible !important; }
[data-testid="stMarkdownContainer"] :is(h2, h3) { padding: 0 0 0.4rem; }
@media (max-width: 1270px) {
  [class*="st-key-narrow_fit"] > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] {
    flex: 1 1 345px; min-width: 345px; }
  .st-key-narrow_filter > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] {
    flex: 1 1 220px; min-width: 220px; }
}
@media (max-width: 1400px) {
  [data-testid="stMainBlockContainer"] { padding-left: 2rem; padding-right: 2rem; }
  [class*="st-key-narrow_"] > * > [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  .st-key-narrow_cards [data-testid="stColumn"] { flex: 1 1 30%; }
  .st-key-narrow_charts [data-testid="stColumn"] { flex: 1 1 45%; }
  .st-key-narrow_charts [data-testid="stColumn"]:last-child { flex-basis: 100%; }
}
@media (max-width: 1270px) {
  [class*="st-key-narrow_quarter"] > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] {
    flex: 1 1 45%; min-width: 220px; }
  [class*="st-key-narrow_stack"] > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { flex: 1 1 100%; }
  .st-key-narrow_fit_save [data-testid="stColumn"] { flex: 1 1 160px !important; min-width: 160px !important; }
}
</style>"""


def show() -> None:
    """Draw the shared part of the sidebar and the styles that the theme cannot express."""
    st.html(_STYLE)
    if news := datasets.adopt_finished():
        st.toast(news, icon=":material/check_circle:")
    st.logo(_FRONTEND / "logo.svg", size="large")
    with st.sidebar:
        glossary.show()
        rows = {"Data set": _data(), "Model": _model(), "Device": machine.device_label()}
        body = "".join(f"<div><b>{name}</b><span>{html.escape(value)}</span></div>" for name, value in rows.items())
        st.html(f'<div class="lab-status">{body}</div>')
        if _asks_for_a_password():
            st.html('<a href="./logout" target="_self">Log out</a>')
        st.caption(components.RESEARCH_ONLY)


def _data() -> str:
    try:
        path = datasets.current_manifest()
        if path is None:
            return "none yet"
        counts = datasets.counts_of(path)
    except LabError:
        return "not readable"
    if counts is None:
        st.fragment(_counting, run_every=1.0)(path)
        return f"{settings.display_path(path)} · {COUNTING}"
    return f"{settings.display_path(path)} · {counted(counts.images, 'image')}, {counts.patient_words}"


def _counting(path: Path) -> None:
    """While a long data set is read: rerun the page once that has ended."""
    try:
        read = datasets.counts_of(path) is not None
    except LabError:
        read = True
    if read:
        st.rerun()


def _model() -> str:
    try:
        run = training_runs.current_run()
        return "none yet" if run is None else f"{run.name} · {state_line(run.status(), run)}"
    except LabError:
        return "not readable"


def _asks_for_a_password() -> bool:
    try:
        return bool(access_settings.current().password)
    except LabError:  # config.yaml was damaged after the server had read it; the page shows that
        return False
