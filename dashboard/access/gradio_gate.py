"""What of Gradio is answered: the addresses and events that the tab uses, and no file but an uploaded one.

Gradio serves some sixty addresses, among them ones that fetch other sites' addresses, write links that hold a session, or
run code for its developers. The tab uses a dozen; the others are not found. An event may only name files in the folder of
uploads: by a path of ours, never by an address to fetch.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.responses import PlainTextResponse

from core.small_files import parse_json
from dashboard.access import uploads

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_API = "/gradio_api"
PAGES = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/pwa_icon", "/robots.txt")
ASSETS = ("/assets/", "/static/", "/svelte/")
EVENTS = (
    f"{_API}/queue/join",
    f"{_API}/queue/data",
    f"{_API}/upload",
    f"{_API}/upload_progress",
    f"{_API}/startup-events",
    f"{_API}/reset",
    f"{_API}/cancel",
    f"{_API}/theme.css",
    f"{_API}/info",
)
HEARTBEAT = f"{_API}/heartbeat/"
FILE = f"{_API}/file="
LARGEST_EVENT = 1 << 20  # bytes; events hold names and numbers
_WITH_BODY = (f"{_API}/queue/join", f"{_API}/reset", f"{_API}/cancel")


class GradioGate:
    """Stands before the mounted Gradio app; `folder` gives this server's folder of uploads."""

    def __init__(self, app: ASGIApp, folder: Callable[[], Path]) -> None:
        self._app = app
        self._folder = folder
        self._coming = 0  # bytes of uploads on their way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # the tab has none
            return
        path = _below(scope)
        if not (path in PAGES or path in EVENTS or path.startswith((*ASSETS, HEARTBEAT, FILE))):
            await PlainTextResponse("Not found.\n", 404)(scope, receive, send)
            return
        if "deep_link" in scope["query_string"].decode("latin-1"):
            await PlainTextResponse("Not found.\n", 404)(scope, receive, send)
            return
        if path.startswith(FILE) and not self._is_upload(path.removeprefix(FILE)):
            await PlainTextResponse("Refused: this is no file of the Test image tab.\n", 403)(scope, receive, send)
            return
        if path == f"{_API}/upload":
            await self._upload(scope, receive, send)
            return
        if path in _WITH_BODY:
            checked = await self._checked(receive)
            if isinstance(checked, str):
                await PlainTextResponse(f"Refused: {checked}.\n", 400)(scope, receive, send)
                return
            scope = {**scope, "headers": _with_length(scope["headers"], len(checked))}
            receive = _replay(checked, receive)
        await self._app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take an upload whose size is known and has room beside what is kept and what is on its way."""
        given = dict(scope["headers"]).get(b"content-length", b"")
        if not given.isdigit():
            await PlainTextResponse("Refused: expected the size of the upload (Content-Length).\n", 411)(scope, receive, send)
            return
        size = int(given)
        self._coming += size
        try:
            if not await asyncio.to_thread(uploads.has_room, self._folder(), self._coming):
                words = "The folder of uploads is full. Uploads are deleted after an hour: try again later.\n"
                await PlainTextResponse(words, 413)(scope, receive, send)
                return
            await self._app(scope, receive, send)
        finally:
            self._coming -= size

    async def _checked(self, receive: Receive) -> bytes | str:
        """The body of an event without addresses to fetch, or why it is refused."""
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return "the connection was closed"
            body += message.get("body", b"")
            if len(body) > LARGEST_EVENT:
                return f"expected an event of at most {LARGEST_EVENT} bytes, got more"
            if not message.get("more_body", False):
                break
        try:
            event = parse_json(body or b"{}")
        except ValueError as error:
            return f"expected an event as JSON: {error}"
        waiting = [event]
        while waiting:
            node = waiting.pop()
            if isinstance(node, list):
                waiting.extend(node)
            elif isinstance(node, dict):
                if "path" in node or "meta" in node or "url" in node:
                    if not self._is_upload(node.get("path")):
                        return "expected a file that was uploaded here, got another path or an address"
                    node.pop("url", None)  # where the browser shows it from; Gradio has no need of it
                waiting.extend(node.values())
        return json.dumps(event).encode()

    def _is_upload(self, name: Any) -> bool:
        """Whether a path that a browser sent is a file in the folder of uploads."""
        if not isinstance(name, str) or not name or "\0" in name or "://" in unquote(name):
            return False
        path = Path(name)
        if not path.is_absolute():
            return False
        try:
            real, folder = path.resolve(), self._folder().resolve()
        except (OSError, RuntimeError, ValueError):
            return False
        return folder in real.parents and real.parent != folder


def _below(scope: Scope) -> str:
    """The path below the mount. Servers and Starlette put the mount's own path before it, or leave it out."""
    path, mounted = scope["path"], scope.get("root_path", "")
    return (path.removeprefix(mounted) if mounted else path) or "/"


def _with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name not in (b"content-length", b"transfer-encoding")]
    return [*kept, (b"content-length", str(length).encode())]


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once more, then whatever the connection says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
