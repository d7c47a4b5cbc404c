"""The import in steps: name files or send them, see what they are, preview, choose options, write. Part of the Data page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import streamlit as st

from core.data.importers import Importer, importers
from core.data.importers.folder_walk import with_home
from core.wording import counted, plain, size
from dashboard.state import imports, settings
from dashboard.state.imports import Looked, Preview
from dashboard.ui import background, notices
from dashboard.views.data import import_options, import_preview

STEPS = ("Files", "What they are", "Preview and options", "Write")
PATH, SEND = "Folder on this machine", "Send from this browser"
AS = "import:as"  # in the session: the importer that was chosen


def form(*, primary: bool = True) -> None:
    """The step that this browser is at."""
    st.markdown("## Import your images", anchors=False)
    if imports.busy():
        notices.info("Somebody else imports on this server just now. Wait until that has ended.", icon="hourglass_top")
        return
    if background.running(imports.WRITE):
        return
    if _result(imports.WRITE) is not None:  # since the sidebar was drawn, which makes it the current data set
        st.rerun()
    looked = _result(imports.LOOK)
    if looked is None:
        _steps(0)
        _source(primary)
        return
    preview = _result(imports.PREVIEW)
    _steps(1 if preview is None else 2)
    where, back = st.columns([5, 1], vertical_alignment="center")
    where.markdown(f":material/folder: `{plain(settings.display_path(looked.source))}`")
    if back.button("Start over", icon=":material/arrow_back:", key="import:back", width="stretch"):
        _start_over()
    _recognised(looked, preview)


def begun() -> bool:
    """Whether this browser is in the middle of an import."""
    return any(imports.mine(name) is not None for name in (imports.LOOK, imports.PREVIEW, imports.WRITE))


def _steps(at: int) -> None:
    names = [f"{number}\\. {name}" for number, name in enumerate(STEPS, 1)]  # unescaped the first would begin a list
    names[at] = f"**{names[at]}**"
    st.markdown(" → ".join(names))
    st.caption("Makes a list of your images (CSV) in `data/`; images are never changed.")


def _result(name: str) -> Any:
    """What a finished task of this browser gave; None while there is none."""
    task = imports.mine(name)
    return task.result if task is not None and task.state == "done" else None


def _shows_progress(name: str) -> bool:
    """Whether this step runs: then its progress and its Stop; else how it ended, where that was badly."""
    if imports.mine(name) is None:
        return False
    if background.running(name, stop="import:cancel"):
        return True
    task = imports.mine(name)
    if task is not None and task.state == "stopped":
        notices.info("The import was stopped. Nothing was written.", icon="cancel")
    return False


# ---------------------------------------------------------------- files


def _source(primary: bool) -> None:
    if _shows_progress(imports.LOOK):
        return
    how = st.segmented_control(
        "Files", [PATH, SEND], default=PATH, key="import:how", required=True, label_visibility="collapsed"
    )
    if how == SEND:
        _send(primary)
    else:
        path = st.text_input(
            "Folder, or table (CSV), on this machine", key="import:source", placeholder="/path/to/download"
        ).strip()
        if st.button("Look at it", type=_kind(primary), icon=":material/search:", key="import:look", disabled=not path):
            _start(lambda: imports.start_look(with_home(Path(path)).absolute()))
    _uploads()


def _send(primary: bool) -> None:
    config = settings.current().dashboard
    files = st.file_uploader(
        f"A .zip, or images with their table: up to {config.upload_mb:,} MB a file; once unpacked "
        f"{size(config.upload_total_mb * 1000**2)} and {config.upload_files:,} files",
        accept_multiple_files=True,
        key="import:files",
        max_upload_size=config.upload_mb,
    )
    if not files:
        return
    names = [each.name for each in files]
    name = st.text_input("Name of the upload", value=imports.upload_name(names), key=f"import:upload_name:{'|'.join(names)}")
    if st.button("Unpack and look at it", type=_kind(primary), icon=":material/upload:", key="import:send"):
        # Its own streams: a page that is run again would move these.
        _start(lambda: imports.start_upload([(each.name, each) for each in files], name.strip()))


def _uploads() -> None:
    there = imports.list_uploads()
    if not there:
        return
    with st.expander(f"Uploads on this server: {len(there)}"):
        for upload in there:
            words, look, remove = st.columns([6, 2, 2], vertical_alignment="center")
            words.markdown(
                f":material/folder_zip: {plain(upload.path.name)} · {counted(upload.files, 'file')}, {size(upload.size)}"
            )
            if look.button("Import", key=f"import:again:{upload.path.name}", width="stretch"):
                _start(lambda path=upload.path: imports.start_look(path))
            with remove.popover("Remove", width="stretch"):
                st.markdown("Deletes these files. Manifests that name them stay, without their images.")
                if st.button("Delete the files", key=f"import:remove:{upload.path.name}", icon=":material/delete:"):
                    with notices.errors_shown():
                        imports.remove_upload(upload.path)
                        st.rerun()


def _kind(primary: bool) -> Any:
    return "primary" if primary else "secondary"


def _start(begin: Any) -> None:
    with notices.errors_shown():
        begin()
        st.rerun()


# ---------------------------------------------------------------- what they are, options, preview


def _recognised(looked: Looked, preview: Preview | None) -> None:
    known, broken = importers()
    names = [each.name for each in looked.found if each.name in known]
    left, right = st.columns([2, 3], gap="large")
    with left:
        _reasons(looked, known, broken)
        name = _choose(names, known)
        source = _table(looked) if name == "csv" and looked.source.is_dir() else looked.source
        options = _options(known[name], looked)
        asked = name == "folder" and any(folder.likely for folder in looked.classes)
        ready = source is not None and not (asked and not options.get("classes"))
    with right:
        if _shows_progress(imports.PREVIEW):
            return
        task = imports.mine(imports.PREVIEW)
        fresh = preview is not None and (preview.importer, preview.source, preview.options) == (name, source, options)
        # What is clear is shown at once; what has to be confirmed or chosen waits for a click.
        if task is None and len(names) == 1 and not asked and source is not None and _once(looked):
            _start(lambda: imports.start_preview(name, source, options))
        if not fresh and st.button(
            "Preview" if preview is None else "Update the preview",
            type="primary",
            icon=":material/preview:",
            key="import:preview",
            disabled=not ready,
        ):
            _start(lambda: imports.start_preview(name, source or looked.source, options))
        if preview is not None:
            if fresh:
                _writing(preview)
            else:
                notices.info("The options have changed since this preview.", icon="update")
            import_preview.show(preview)


def _once(looked: Looked) -> bool:
    """Whether this look has not been previewed by itself yet: one that was stopped is not begun again."""
    key = "import:auto"
    if st.session_state.get(key) is looked:
        return False
    st.session_state[key] = looked
    return True


def _reasons(looked: Looked, known: dict[str, Importer], broken: dict[str, str]) -> None:
    if len(looked.found) == 1:
        (found,) = looked.found
        notices.success(f"This is **{plain(found.name)}**: {plain(found.reason)}.")
    elif looked.found:
        words = "\n".join(f"- **{plain(each.name)}**: {plain(each.reason)}" for each in looked.found)
        notices.warning(f"Several fit. Choose one, or go back and name the folder of one of them.\n{words}")
    else:
        notices.warning(
            "No collection is known by these files. Expected one of those below in its published layout, folders named after "
            "the label (benign, malignant), or a table (CSV) with a row an image. Choose what they are meant to be."
        )
    for name, reason in broken.items():
        notices.warning(plain(f"Not usable: {name}: {reason}"))


def _choose(names: list[str], known: dict[str, Importer]) -> str:
    options = [*names, *(name for name in known if name not in names)]
    if not options:
        return ""
    chosen = str(st.selectbox("Import as", options, format_func=lambda key: _title(known[key]), key=AS))
    st.caption(plain(known[chosen].description))  # the layout is too long for the box, which would cut it
    return chosen


def _title(importer: Importer) -> str:
    """The name of the collection, without its layout."""
    title = re.split(r"[:;]| with ", importer.description, maxsplit=1)[0]
    return title if importer.name == title.lower() else f"{importer.name} · {title}"


def _table(looked: Looked) -> Path | None:
    if not looked.tables:
        notices.warning("There is no table (CSV) here. Expected one with a row an image: its file, its label, its patient.")
        return None
    table = st.selectbox(
        "Table", looked.tables, format_func=lambda path: path.relative_to(looked.source).as_posix(), key="import:table"
    )
    return Path(table)


def _options(importer: Importer, looked: Looked) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    if importer.name == "folder" and looked.classes:
        meant = import_options.class_meanings(looked.classes)
        chosen = {"classes": meant} if meant else {}
    return chosen | import_options.fields(importer)


def _start_over() -> None:
    imports.forget(imports.PREVIEW, imports.LOOK)
    for key in [each for each in st.session_state if str(each) == AS or str(each).startswith("import:class:")]:
        del st.session_state[key]
    st.rerun()


def _writing(preview: Preview) -> None:
    """The last step: a name, and the button that writes."""
    usual = imports.manifest_name(preview.source, preview.importer)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    name = left.text_input(
        "Name of the data set",
        value=usual,
        key=f"import:name:{preview.source}",
        help="Written to data/NAME.csv; one that is there is never overwritten.",
    )
    if right.button("Write the manifest", type="primary", icon=":material/save:", key="import:write", width="stretch"):
        _start(lambda: imports.start_write(preview, name.strip()))
