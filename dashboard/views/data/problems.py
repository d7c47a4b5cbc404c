"""The check of a data set and what it found, grouped, with thumbnails; notes of its import. Part of the Data page."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from core.data.checks import CheckReport, Problem
from core.wording import counted
from dashboard.state import datasets, preferences, settings, tasks
from dashboard.ui import background, image_components, notices, test_set_access
from dashboard.views.data import PAGE, changes, duplicates, gallery, import_preview

SHOWN = 40  # messages of a kind: a browser takes no more at once
THUMBNAILS = 12


def show(manifest: Path) -> None:
    """The check of the data set: start, progress, and what it found with reasons."""
    name = datasets.check_name(manifest)
    if background.running(name, stop="data:check:cancel"):
        return
    task = tasks.task(name)
    if task is not None and task.state == "stopped":
        notices.info("The check was stopped. A new check continues where it stopped.", icon="cancel")
    if task is not None and task.state == "done":
        test_set_access.switch(PAGE, manifest)
        report(task.result, manifest)
        duplicates.repair(task.result, manifest)
        duplicates.side_by_side(task.result, manifest, PAGE)
    else:
        st.markdown("Reads every file: missing or unreadable ones, copies of images, patients in two splits, imbalance.")
    if st.button(
        "Check the data" if task is None else "Check again", type="primary", icon=":material/fact_check:", key="data:check"
    ):
        datasets.start_check(manifest)
        st.rerun()
    duplicates.baseline(manifest)
    _left_out(manifest)


def report(found: CheckReport, manifest: Path) -> None:
    """What check_manifest found, by kind, the worst first; test images only where they are switched on."""
    if found.ok and not found.problems:
        notices.success("Nothing found: every file is readable, no duplicates, no patient in two splits.")
        return
    if found.leakage:
        notices.error(
            "Patients or copies of images are in more than one split: training refuses this manifest until this is corrected."
        )
    kinds: dict[str, list[Problem]] = {}
    for problem in found.problems:
        kinds.setdefault(problem.kind, []).append(problem)
    for kind, problems in kinds.items():
        if kind == "patients_unknown":
            message = problems[0].message
            notices.warning(message[:1].upper() + message[1:] + ".")
            continue
        _group(kind, problems, manifest)


def _group(kind: str, problems: list[Problem], manifest: Path) -> None:
    """All problems of a kind: their messages, some of their images, and the way to exclude these."""
    rows = sorted({row for problem in problems for row in problem.rows})
    title = kind.replace("_", " ").capitalize()
    on = test_set_access.is_on(PAGE, manifest)
    with st.container(border=True):
        st.markdown(f"**{title}** · {counted(len(rows), 'row')}" if rows else f"**{title}**")
        for problem in problems[:SHOWN]:
            message = problem.message if on else test_set_access.redacted(problem, manifest)
            message = message.replace(f"{settings.workspace()}{os.sep}", "")  # paths start at the workspace, as elsewhere
            st.text(message if problem.rows else message[:1].upper() + message[1:])  # of rows: it begins with a file's name
        if len(problems) > SHOWN:
            st.markdown(f"And {len(problems) - SHOWN:,} more: `python -m core data check` lists them all.")
        if rows and kind not in ("missing_file", "excluded", "unlabelled", "missing_split"):
            with st.expander("Images, and excluding them", key=f"data:problem:{kind}", on_change="rerun") as images:
                if images.open:
                    _images(kind, rows, manifest)


@st.fragment
@notices.errors_shown()
def _images(kind: str, rows: list[int], manifest: Path) -> None:
    frame = datasets.manifest_frame(manifest)
    visible = set(test_set_access.visible(PAGE, manifest).index)
    seen = frame.loc[[row for row in rows if row in visible]]
    hidden = len(rows) - len(seen)
    shown = list(seen.head(THUMBNAILS).itertuples())
    test_set_access.record_shown(PAGE, manifest, [str(row.path) for row in shown])
    if shown:
        tiles = [gallery.tile(row) for row in shown]
        image_components.gallery(tiles, key=f"data:problem_images:{kind}", columns=6, height=120)
    words = [
        f"{len(shown)} of {len(seen):,} shown" if len(seen) > len(shown) else "",
        f"{hidden:,} test images are hidden" if hidden else "",
    ]
    if any(words):
        st.caption("; ".join(filter(None, words)) + ".")
    if len(seen):
        changes.exclude_these(manifest, seen["path"].to_list(), kind.replace("_", " "), key=f"problem:{kind}")


def _left_out(manifest: Path) -> None:
    """Notes of the import of this manifest, and the files it left out."""
    left_out = preferences.get(f"left_out:{manifest}", {})
    import_preview.notes(left_out.get("notes", []), "Notes of the import", opened=True)
    if left_out.get("rejected"):
        st.markdown(f"## Left out by the import: {left_out['count']}", anchors=False)
        rows = [{"file": path, "reason": reason} for path, reason in left_out["rejected"]]
        st.dataframe(rows, hide_index=True)
