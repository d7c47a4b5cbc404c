"""What of Gradio is answered: the addresses and events that the tab uses, and no file but an uploaded one.

Gradio serves some sixty addresses, among them ones that fetch other sites' addresses, write links that hold a session, or
run code for its developers. The tab uses a dozen; the others are not found. An event may only name files in the folder of
uploads: by a path of ours, never by an address to fetch.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import QueryParams
from starlette.responses import PlainTextResponse

from core.files.untrusted import parse_json
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
ENDPOINTS = ("predict", "predict_breast", "batch")  # for programs: docs/api.md
_CALL = re.compile(rf"{_API}/call/({'|'.join(ENDPOINTS)})(/[0-9a-f]+)?")  # an event of one of these, and its answer
HEARTBEAT = f"{_API}/heartbeat/"
FILE = f"{_API}/file="
LARGEST_EVENT = 1 << 20  # bytes; events hold names and numbers
_PLAIN = re.compile(r"[\w.~:@/%+\[\]-]+")  # of an address: a host with its port, or a path
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
        if not (path in PAGES or path in EVENTS or path.startswith((*ASSETS, HEARTBEAT, FILE)) or _CALL.fullmatch(path)):
            await PlainTextResponse("Not found.\n", 404)(scope, receive, send)
            return
        if "deep_link" in QueryParams(scope["query_string"]):  # parsed as Gradio does
            await PlainTextResponse("Not found.\n", 404)(scope, receive, send)
            return
        if path.startswith(FILE) and not self._is_upload(path.removeprefix(FILE)):
            await PlainTextResponse("Refused: this is no file of the Test image tab.\n", 403)(scope, receive, send)
            return
        if path == f"{_API}/upload":
            await self._upload(scope, receive, send)
            return
        if path in _WITH_BODY or (_CALL.fullmatch(path) and scope["method"] == "POST"):
            checked = await self._checked(receive)
            if isinstance(checked, str):
                await PlainTextResponse(f"Refused: {checked}.\n", 400)(scope, receive, send)
                return
            scope = {**scope, "headers": _with_length(scope["headers"], len(checked))}
            receive = _replay(checked, receive)
        await self._app(_as_published(scope, path), receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take an upload whose size is known and has room beside what is stored and what is on its way."""
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


def _as_published(scope: Scope, path: str) -> Scope:
    """The request as if it had come to the address that the browser sees; `path` is that below the mount."""
    place, headers = with_public_address(scope["headers"], scope.get("root_path", ""))
    whole = place + path
    return {**scope, "headers": headers, "root_path": place, "path": whole, "raw_path": quote(whole).encode("ascii")}


def with_public_address(headers: Sequence[tuple[bytes, bytes]], mounted: str) -> tuple[str, list[tuple[bytes, bytes]]]:
    """(path of the tab as the browser sees it, headers with its whole address): Gradio makes those of its images of them.

    A proxy may change the host and take the first parts of the path away; what the browser sees stands in Referer: the tab's
    own address, or that of the page around it. `mounted` is where the tab is for those who send none.
    """
    given = {name.lower(): value.decode("latin-1") for name, value in headers}
    host, place = given.get(b"host", ""), mounted or "/gradio"
    scheme = given.get(b"x-forwarded-proto", "").split(",")[0].strip()
    try:
        page = urlsplit(given.get(b"referer", ""))
    except ValueError:
        page = urlsplit("")
    # A page of another site may lead here, and its address says nothing of ours.
    same_site = given.get(b"sec-fetch-site") == "same-origin" or page.netloc == host
    if same_site and page.scheme in ("http", "https") and _PLAIN.fullmatch(page.netloc) and _PLAIN.fullmatch(page.path):
        scheme, host = page.scheme, page.netloc
        inside = page.path.rfind("/gradio/")
        place = page.path[: inside + len("/gradio")] if inside >= 0 else page.path.rpartition("/")[0] + "/gradio"
    others = [
        each for each in headers if each[0].lower() not in (b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server")
    ]
    if scheme:
        others.append((b"x-forwarded-proto", scheme.encode("latin-1")))
    return place, [*others, (b"x-forwarded-host", f"{host}{place}".encode("latin-1"))]


def _below(scope: Scope) -> str:
    """The path below the mount. Servers and Starlette put the mount's own path before it, or leave it out."""
    path, mounted = scope["path"], scope.get("root_path", "")
    return (path.removeprefix(mounted) if mounted else path) or "/"


def _with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    others = [(name, value) for name, value in headers if name not in (b"content-length", b"transfer-encoding")]
    return [*others, (b"content-length", str(length).encode())]


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once more, then whatever the connection says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
