"""The Gradio tab inside a page, and what it may know of the session that shows it: its data set, behind a secret token.

The tab is a page of its own inside a frame, without Streamlit's session. The address of the frame carries the token; what
it means stays on the server.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from pathlib import Path

from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.ui.image_components import component

MOST = 1024  # tokens; a page makes that of its session again each time it is drawn
_secret = secrets.token_bytes(32)
_frame = component("frame", uses=("here",))
_lock = threading.Lock()
_known: OrderedDict[str, Path] = OrderedDict()


def token(manifest: Path | None) -> str:
    """The token of this session's frame for the data set; the same as long as both stay the same. "" for none."""
    if manifest is None:
        return ""
    context = get_script_run_ctx(suppress_warning=True)
    text = f"{context.session_id if context else ''}\0{manifest}"
    made = hmac.new(_secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:40]
    with _lock:
        _known[made] = manifest
        _known.move_to_end(made)
        while len(_known) > MOST:
            _known.popitem(last=False)
    return made


def manifest_of(token: str) -> Path | None:
    """The data set of the session that was given this token; None for another token."""
    with _lock:
        return _known.get(token)


def gradio(query: str, *, height: int, grows: bool = True) -> None:
    """The tab in a frame `height` px high, or as much higher as it is itself where it `grows`, in the theme of the page."""
    _frame(data={"query": query, "height": height, "grows": grows, "title": "Score one image"}, key="gradio")
