"""Changes of a data set by hand: images and patients that are excluded with a note, and another label rule. Part of Data."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.data.exclusions import LONGEST, exclude_in, exclusions, restore_in
from core.data.label_rules import RULES, relabel
from core.data.manifest import write_manifest
from core.wording import counted, plain
from dashboard.state import datasets
from dashboard.ui import notices, test_set_access
from dashboard.views.data import PAGE

LISTED = 200  # choices of images: a browser takes no more at once
_DONE = "data:changed"  # in the session: what to say once


def show(manifest: Path) -> None:
    """Exclude images or patients, see and undo what is excluded, and label by another rule."""
    if done := st.session_state.pop(_DONE, ""):
        notices.success(done)
    test_set_access.switch(PAGE, manifest)
    left, right = st.columns(2, gap="large")
    with left:
        _exclude(manifest)
        _excluded(manifest)
    with right:
        _relabel(manifest)


# ---------------------------------------------------------------- exclusions


def _exclude(manifest: Path) -> None:
    st.markdown("## Exclude", anchors=False)
    st.markdown("Excluded images stay in the manifest, with your note, and are in no training and no metric. It can be undone.")
    what = st.segmented_control("Exclude", ["Patients", "Images"], default="Patients", key="data:exclude:what", required=True)
    frame = test_set_access.visible(PAGE, manifest)
    text = st.text_input("Find", key="data:exclude:find", placeholder="patient or file name").strip().lower()
    names = frame["path"].str.replace(r".*[/\\]", "", regex=True)
    found = frame[(frame["patient_id"] + " " + names).str.lower().str.contains(text, regex=False)] if text else frame
    column = "patient_id" if what == "Patients" else "path"
    options = found[column].drop_duplicates()
    words = dict(zip(frame["path"], names + " · " + frame["patient_id"], strict=True)) if what == "Images" else {}
    chosen = st.multiselect(
        f"{what}: {min(len(options), LISTED):,} of {len(options):,} listed",
        options.head(LISTED).to_list(),
        format_func=lambda value: words.get(value, value),
        key=f"data:exclude:{what}",
    )
    note = st.text_input("Why", key="data:exclude:note", max_chars=LONGEST, placeholder="implant, wrong label, blurred, …")
    if st.button(
        "Exclude", icon=":material/block:", key="data:exclude:go", type="primary", disabled=not (chosen and note.strip())
    ):
        with notices.errors_shown(), st.spinner("Writing", show_time=False):
            count = exclude_in(manifest, **{"patients" if what == "Patients" else "paths": chosen}, note=note)
            _say(f"Excluded. {counted(count, 'image')} of this data set {'is' if count == 1 else 'are'} excluded now.")


def _excluded(manifest: Path) -> None:
    """What is excluded, by note, with the way back."""
    frame = datasets.manifest_frame(manifest)
    found = exclusions(frame)
    st.markdown(f"## Excluded: {counted(sum(len(each.rows) for each in found), 'image')}", anchors=False)
    if not found:
        st.markdown("Nothing is excluded.")
    visible = set(test_set_access.visible(PAGE, manifest).index)
    for place, each in enumerate(found):
        rows = frame.iloc[list(each.rows)]
        shown = rows[[index in visible for index in rows.index]]
        words, undo = st.columns([5, 2], vertical_alignment="center")
        patients = counted(rows["patient_id"].nunique(), "patient")
        named = ", ".join(Path(path).name for path in shown["path"].head(3)) + (" …" if len(rows) > 3 else "")
        words.markdown(f"**{plain(each.note)}** · {counted(len(rows), 'image')} of {patients}  \n{plain(named)}")
        if undo.button("Undo", icon=":material/undo:", key=f"data:restore:{place}", width="stretch"):
            with notices.errors_shown(), st.spinner("Writing", show_time=False):
                restore_in(manifest, rows["path"].to_list())
                _say(f"{counted(len(rows), 'image')} {'takes' if len(rows) == 1 else 'take'} part again.")


def exclude_these(manifest: Path, paths: list[str], note: str, *, key: str) -> None:
    """A note and a button that exclude exactly these images."""
    words, go = st.columns([5, 2], vertical_alignment="bottom")
    why = words.text_input("Why", value=note, key=f"data:{key}:note", max_chars=LONGEST)
    if go.button(
        f"Exclude {counted(len(paths), 'image')}", key=f"data:{key}:exclude", icon=":material/block:", width="stretch"
    ):
        with st.spinner("Writing", show_time=False):
            exclude_in(manifest, paths=paths, note=why)
        st.toast("Excluded. Changes lists them, and undoes it.", icon=":material/block:")
        st.rerun()


def _say(words: str) -> None:
    st.session_state[_DONE] = words
    st.rerun()


# ---------------------------------------------------------------- labels


def _relabel(manifest: Path) -> None:
    """Another label rule, where the manifest says what rules look at; a new manifest, this one stays."""
    st.markdown("## Label by another rule", anchors=False)
    frame = datasets.manifest_frame(manifest)
    rules = [rule for rule in RULES.values() if all(name in frame.columns for name in rule.needs)]
    if not rules:
        st.markdown(
            "This manifest does not say what its labels follow from (pathology, BI-RADS, outcome), so no other rule can be "
            "applied. Importing a collection by its name stores it."
        )
        return
    used = set(frame["label_rule"]) - {""} if "label_rule" in frame.columns else set()
    if used:
        st.markdown(f"Now: {plain(', '.join(sorted(used)))}. Nothing is imported again; this manifest stays as it is.")
    names = [rule.name for rule in rules]
    name = str(st.selectbox("Rule", names, format_func=lambda each: f"{each}: {RULES[each].description}", key="data:rule"))
    made, notes = relabel(frame, name)
    if used == {name}:
        st.markdown("This is the rule that the labels follow now.")
        return
    st.markdown("\n".join(f"- {plain(note)}" for note in notes))
    if st.button("Write as a new data set", icon=":material/save:", key="data:relabel", type="primary"):
        with notices.errors_shown():
            out = datasets.free_name(manifest.with_name(f"{manifest.stem}-{name}.csv"))
            write_manifest(made, out)
            datasets.set_current_manifest(out)
            _say(f"Written: {plain(out.name)}, which is the current data set now.")
