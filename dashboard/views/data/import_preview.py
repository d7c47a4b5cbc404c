"""What an import would write: counts, examples, what is left out and why, what cannot be known. Part of the Data page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from core.data.checks import count
from core.data.identity import patients_known
from core.data.lesion_places import with_lesions
from core.errors import LabError
from core.wording import counted, plain, upper_first
from dashboard.cache.images import image_ref, thumbnail
from dashboard.state.imports import Preview, notes_of
from dashboard.ui import components, image_components, notices, test_set_access
from dashboard.ui.image_components import Tile
from dashboard.views.data.import_options import in_page_words

EXAMPLES = 4
LISTED = 200  # exclusions in the table: a browser takes no more at once
KINDS = 8  # reasons that are counted


def show(preview: Preview) -> None:
    """The preview, most important things first."""
    found = preview.report
    frame = found.frame
    patients = counted(frame["patient_id"].nunique(), "patient") if patients_known(frame) else "patients unknown"
    lesions = int(with_lesions(frame).sum())
    marked = f", {counted(lesions, 'image')} with lesions drawn" if lesions else ""
    st.markdown(f"**{counted(len(frame), 'image')}** of {patients}{marked}; {len(found.rejected):,} left out.")
    components.table(counts(frame))
    _examples(frame)
    notes(notes_of(found), "Notes")
    if found.rejected:
        exclusions(found.rejected)


def notes(found: Sequence[str], title: str, *, opened: bool = False) -> None:
    """What is to be said of an import: warnings each, the rest in a list, which is open where something was repaired, too."""
    found = [in_page_words(each) for each in found]
    for note in [each for each in found if each.startswith("warning: ")]:
        notices.warning(plain(upper_first(note.removeprefix("warning: "))))
    rest = [each for each in found if not each.startswith("warning: ")]
    if rest:
        with st.expander(f"{title}: {len(rest)}", expanded=opened or any(each.startswith("repaired: ") for each in rest)):
            st.markdown("\n".join(f"- {plain(each)}" for each in rest))


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Images by split and label; columns without anything in them are left out."""
    table = count(frame)
    empty = [name for name in ("unlabelled",) if not table[name].any()]
    table = table.drop(columns=[*empty, *([] if patients_known(frame) else ["patients", "malignant patients"])])
    return (table if len(table) > 2 else table.head(1)).replace({"split": {"none": "not split yet"}})


def exclusions(rejected: list[tuple[str, str]]) -> None:
    """What is left out, by reason and each."""
    with st.expander(f"Left out: {counted(len(rejected), 'file or row', 'files and rows')}, each with its reason"):
        kinds = Counter(_kind(what, reason) for what, reason in rejected)
        if 1 < len(kinds) < len(rejected):
            st.markdown("\n".join(f"- {number:,} × {plain(kind)}" for kind, number in kinds.most_common(KINDS)))
        rows = [
            {
                "file": Path(what).name or what,
                "reason": in_page_words(reason.removeprefix(f"{Path(what).name}: ")),
                "path": what,
            }
            for what, reason in rejected[:LISTED]
        ]
        table = pd.DataFrame(rows)
        st.dataframe(table if (table["file"] != table["path"]).any() else table.drop(columns="path"), hide_index=True)
        if len(rejected) > LISTED:
            st.caption(f"The first {LISTED} of {len(rejected):,}; the file beside the manifest will have all.")


def _kind(what: str, reason: str) -> str:
    """A reason without the name of its file."""
    name, reason = Path(what).name, in_page_words(reason)
    return reason.replace(f"{what}: ", "").replace(f"{name}: ", "").replace(name, "…") if name else reason


def _examples(frame: pd.DataFrame) -> None:
    """Some images, labels in turn, none of a test split or of a test set that was not evaluated."""
    from core.runs.test_set.identity import image_keys, sealed_by

    open_rows = frame[frame["split"] != "test"]
    turn = open_rows.groupby("label").cumcount()
    order = open_rows.assign(_turn=turn).sort_values(["_turn", "label"], kind="stable").head(4 * EXAMPLES)
    tiles: list[Tile] = []
    sets = test_set_access.test_sets()
    for row in order.itertuples():
        if len(tiles) == EXAMPLES:
            break
        if sealed_by(image_keys(str(row.path)), sets) is not None:
            continue
        label = str(row.label)
        about = {
            "label": label or "unlabelled",
            "color": image_components.label_color(label),
            # Side and view would be cut beside a long label.
            "detail": " · ".join(filter(None, (f"{row.laterality} {row.view}".strip(), str(row.split), str(row.patient_id)))),
        }
        try:
            tiles.append(Tile(thumbnail(image_ref(str(row.path))).picture, **about))
        except LabError as error:
            tiles.append(Tile(b"", missing=str(error)[:80], **about))
    if tiles:
        image_components.gallery(tiles, key="import:examples", columns=EXAMPLES, height=120)
        st.caption("Examples, labels in turn; images of a test split are not shown.")
