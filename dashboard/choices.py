"""What a user chose, kept: in the session first, then in a small file of the workspace (`.mammolab/workspace.json`).

So that it is still there after a page change, a reload, in a new tab and after a restart of the server.
"""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.atomic import replacing
from core.small_files import LARGE, read_json

log = logging.getLogger(__name__)

_STATE_FILE = Path(".mammolab") / "workspace.json"
_lock = threading.Lock()


def workspace() -> Path:
    """The folder the server was started in: config.yaml, data/ and checkpoints/ are relative to it."""
    return Path.cwd()


def recall(key: str, default: Any = None) -> Any:
    """What the user chose under `key`: this session's value, else the workspace's, else `default`.

    Outside a page (the Gradio tab, a thread) there is no session, and the workspace's value counts.
    """
    if get_script_run_ctx(suppress_warning=True) is None:
        return _fitting(_read().get(key), default)
    slot = f"chosen:{key}"
    if slot not in st.session_state:
        st.session_state[slot] = _read().get(key)
    return _fitting(st.session_state[slot], default)


def _fitting(value: Any, default: Any) -> Any:
    """The value, or `default` where there is none, or something else than a list, object or text where one is expected."""
    if value is None:
        return default
    expected = next((kind for kind in (list, dict, str) if isinstance(default, kind)), object)
    return value if isinstance(value, expected) else default


def remember(key: str, value: Any) -> None:
    """Keep a choice (JSON values only) for this session and the next ones. None forgets it."""
    slot = f"chosen:{key}"
    with _lock:
        state = _read()
        if slot in st.session_state and st.session_state[slot] == value and state.get(key) == value:
            return
        st.session_state[slot] = value
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
        path = workspace() / _STATE_FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as stream:
                stream.write(json.dumps(state, indent=1).encode("utf-8"))
        except OSError as error:  # a read-only workspace: the session still knows
            log.warning("cannot keep choices in %s: %s", path, error)


def _read() -> dict[str, Any]:
    try:
        state = read_json(workspace() / _STATE_FILE, LARGE)
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
