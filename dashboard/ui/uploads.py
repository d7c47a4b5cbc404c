"""Images that were uploaded on a page: shown until they are removed, in memory until their session ends.

An upload stays while other pages are shown, although its widget is reset then; `Remove` deletes it in both cases.
"""

from __future__ import annotations

import threading

import streamlit as st

from core.wording import plain
from dashboard.cache import image_memory, images, previews
from dashboard.cache.images import ImageRef
from dashboard.state import preferences

_lock = threading.Lock()
_holders: dict[str, set[object]] = {}  # an upload's key -> who shows it: two sessions may have sent the same file


class _Session:
    """What one session has uploaded, by page."""

    def __init__(self) -> None:
        self.refs: dict[str, ImageRef] = {}

    def take(self, page: str, ref: ImageRef | None) -> None:
        """Store `ref` for the page in place of its former upload."""
        old = self.refs.get(page)
        if old is not None and (ref is None or old.key != ref.key):
            del self.refs[page]
            _release(old, (id(self), page))
        if ref is not None:
            self.refs[page] = ref
            with _lock:
                _holders.setdefault(ref.key, set()).add((id(self), page))
                image_memory.allow(ref.key)

    def end(self) -> None:
        """Release everything."""
        for page in list(self.refs):
            self.take(page, None)


def _release(ref: ImageRef, holder: object) -> None:
    with _lock:
        holders = _holders.get(ref.key, set())
        holders.discard(holder)
        if holders:
            return
        _holders.pop(ref.key, None)
        image_memory.release(ref.key)
    previews.close(ref.key)


# Streamlit calls `on_release` when the browser has gone; if it comes back, the page's next run holds its upload again.
@st.cache_resource(scope="session", show_spinner=False, on_release=_Session.end)
def _session() -> _Session:
    return _Session()


def uploaded(page: str) -> ImageRef | None:
    """The uploader of a page, and what was uploaded on it in this session; None when nothing was, or it was removed."""
    slot, widget = f"{page}:uploaded", f"{page}:upload_widget"

    def removed() -> None:
        if st.session_state.get(widget) is None:
            st.session_state.pop(slot, None)

    file = st.file_uploader("DICOM, PNG, JPEG, PGM or TIFF", key=widget, on_change=removed)
    if file is not None and (slot not in st.session_state or st.session_state[slot][0] != file.file_id):
        st.session_state[slot] = (file.file_id, images.image_ref(file.getvalue(), file.name))
    elif file is None and slot in st.session_state:  # another page was shown meanwhile: the widget was reset
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/draft: {plain(st.session_state[slot][1].name)}", width="stretch")
            st.button(
                "Remove",
                icon=":material/close:",
                type="tertiary",
                key=f"{page}:remove_upload",
                on_click=lambda: st.session_state.pop(slot, None),
            )
    ref: ImageRef | None = st.session_state[slot][1] if slot in st.session_state else None
    _session().take(page, ref)
    return ref


def forget_lost(source: str, page: str, instead: str) -> None:
    """Where a page was left at "Upload" in a session that has ended, its file is gone: begin with `instead`."""
    first = f"{page}:begun"
    if first not in st.session_state:
        st.session_state[first] = True
        if str(preferences.get(source, "")).lower() == "upload" and f"{page}:uploaded" not in st.session_state:
            preferences.set(source, instead)
