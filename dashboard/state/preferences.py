"""What a user chose, stored for that user's browser: in the session, and in a file of that browser.

    .mammolab/browsers/<hash>.json   what one browser chose: it is there after a page change, a reload and a restart
    .mammolab/workspace.json         the lab's: named presets, what imports left out, and the data set and run with which
                                     a new browser begins

A random cookie identifies the browser (see `BrowserCookie`); without cookies a choice lasts as long as the session.
Nothing that one browser chose is seen by another one, but for the defaults with which a new one begins.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.files.atomic import replacing
from core.files.untrusted import LARGE, SMALL, read_json
from dashboard.state.settings import workspace

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

DEFAULTS = ("manifest", "run")  # of the lab: with these a new browser begins
SESSION = ("runs:selected",)  # for as long as a session lasts: a new one begins without
LAB = ("preprocess:presets", "left_out:")  # the lab's own: one for everybody, by the beginning of the key
BROWSERS = 300  # files of browsers at most: those that chose something last
_FOLDER = Path(".mammolab")
_STATE_FILE = _FOLDER / "workspace.json"
_LASTS = 400 * 24 * 3600  # seconds that a cookie lives; browsers cut it there
_NAME = re.compile(r"[A-Za-z0-9_-]{32,64}")
_LOADED = "chosen:"  # in the session: what this browser had chosen when the session began
_BEGUN = "begun"  # in a browser's file: it has its own data set and run, or none
_lock = threading.RLock()


def get(key: str, default: Any = None) -> Any:
    """What the user chose under `key`: in this session, else in this browser, else the lab's default, else `default`.

    Outside a page (a thread) there is no browser, and only what is the lab's is known.
    """
    slot = f"chosen:{key}"
    if _is_lab(key):
        value = _read(_STATE_FILE).get(key)
    elif _in_session() and slot in st.session_state:
        value = st.session_state[slot]
    elif key in SESSION:
        value = None
    else:
        mine = _of_browser()
        value = mine.get(key)
        if value is None and key in DEFAULTS and _BEGUN not in mine:
            value = _read(_STATE_FILE).get(key)
        if _in_session():
            st.session_state[slot] = value
    return _fitting(value, default)


def _fitting(value: Any, default: Any) -> Any:
    """The value, or `default` where there is none, or something else than a list, object or text where one is expected."""
    if value is None:
        return default
    expected = next((kind for kind in (list, dict, str) if isinstance(default, kind)), object)
    return value if isinstance(value, expected) else default


def set(key: str, value: Any) -> None:
    """Store a choice (JSON values only) for this session and the next ones of this browser. None forgets it."""
    if not _is_lab(key):
        slot = f"chosen:{key}"
        if _in_session():
            if slot in st.session_state and st.session_state[slot] == value:
                return
            st.session_state[slot] = value
        if key not in SESSION and (file := _file()) is not None:
            _put(file, key, value)
    if _is_lab(key) or key in DEFAULTS:
        _put(_STATE_FILE, key, value)


def set_entry(key: str, name: str, value: Any) -> None:
    """Set one entry of a dictionary that is the lab's (None removes it), whatever others do to its other entries."""
    with _lock:
        entries = {**dict(get(key, {})), name: value}
        set(key, {each: entry for each, entry in entries.items() if entry is not None} or None)


def _is_lab(key: str) -> bool:
    return key.startswith(LAB)


def _in_session() -> bool:
    return get_script_run_ctx(suppress_warning=True) is not None


# ---------------------------------------------------------------- which browser


def cookie_name() -> str:
    """The cookie that identifies a browser; cookies do not know ports, so each dashboard of a host has its own."""
    return f"mammolab_browser_{int(st.get_option('server.port') or 0)}"


class BrowserCookie:
    """Middleware: a browser that opens a page without our cookie gets one, with a random value and nothing in it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not _asks_for_page(HTTPConnection(scope)):
            await self._app(scope, receive, send)
            return
        schemes = str(scope.get("scheme")), Headers(scope=scope).get("x-forwarded-proto", "")
        secure = "; Secure" if any(scheme.startswith("https") for scheme in schemes) else ""
        cookie = f"{cookie_name()}={secrets.token_urlsafe(24)}; Max-Age={_LASTS}; Path=/; HttpOnly; SameSite=Lax{secure}"

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, named)


def _asks_for_page(request: HTTPConnection) -> bool:
    return "text/html" in request.headers.get("accept", "") and not _NAME.fullmatch(request.cookies.get(cookie_name(), ""))


def _file() -> Path | None:
    """This browser's file below the workspace; None for one without our cookie."""
    name = _cookie()
    if not _NAME.fullmatch(name):
        return None
    return _FOLDER / "browsers" / f"{hashlib.sha256(name.encode('ascii')).hexdigest()[:32]}.json"


def _cookie() -> str:
    return str(st.context.cookies.get(cookie_name(), ""))


def _of_browser() -> dict[str, Any]:
    """What this browser had chosen when the session began."""
    file = _file()
    if file is None:
        return {}
    if not _in_session():
        return _read(file)
    if _LOADED not in st.session_state:
        st.session_state[_LOADED] = _read(file)
        if _BEGUN not in st.session_state[_LOADED]:
            _begin(file, st.session_state[_LOADED])
    loaded: dict[str, Any] = st.session_state[_LOADED]
    return loaded


def _begin(file: Path, mine: dict[str, Any]) -> None:
    """A new browser takes the lab's defaults over, and goes its own way from then on: a reload brings nobody else's choice."""
    lab = _read(_STATE_FILE)
    for key, value in {**{key: lab[key] for key in DEFAULTS if key in lab and key not in mine}, _BEGUN: True}.items():
        mine[key] = value
        _put(file, key, value)


# ---------------------------------------------------------------- files


def _limit(file: Path) -> int:
    """Bytes that the file may have; the lab's holds what the imports of all data sets left out."""
    return LARGE if file == _STATE_FILE else SMALL


def _read(file: Path) -> dict[str, Any]:
    try:
        state = read_json(workspace() / file, _limit(file))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _put(file: Path, key: str, value: Any) -> None:
    """Change one choice in a file; what belongs elsewhere is taken out of the lab's."""
    path = workspace() / file
    with _lock:
        state = _read(file)
        if file == _STATE_FILE:
            state = {each: stored for each, stored in state.items() if each in DEFAULTS or _is_lab(each)}
        if state.get(key) == value:
            return
        state[key] = value
        content = json.dumps({each: stored for each, stored in state.items() if stored is not None}, indent=1).encode("utf-8")
        if len(content) > _limit(file):
            log.warning("%s would have %d bytes: %s is stored for this session only", path, len(content), key)
            return
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
            if file != _STATE_FILE and not path.exists():
                _make_room(path.parent)
            with replacing(path) as stream:
                stream.write(content)
        except OSError as error:  # a read-only workspace: the session still knows
            log.warning("cannot store choices in %s: %s", path, error)


def _make_room(folder: Path) -> None:
    """Delete the files of the browsers that chose something longest ago."""
    files = sorted(folder.glob("*.json"), key=lambda each: each.stat().st_mtime, reverse=True)
    for file in files[BROWSERS - 1 :]:
        file.unlink(missing_ok=True)
