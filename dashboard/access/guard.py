"""The one ASGI middleware in front of pages, Gradio, previews and websockets: who is answered at all."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response

from dashboard.access import hosts
from dashboard.access.login import Login
from dashboard.access.settings import LOCAL, Access, is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

# Streamlit's own addresses that no page of ours needs: numbers about the server, and an interface for programs.
CLOSED = ("metrics", "agent", "script-health-check")
HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
# Whatever a page is made to show (a note or a file name that Markdown takes for a picture), browsers load nothing from
# elsewhere and send nothing there. Streamlit and Gradio need inline scripts and styles, and Plotly evaluates its own.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; style-src 'self' 'unsafe-inline' blob: "
    "data:; img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; connect-src 'self' ws: wss: "
    "data: blob:; worker-src 'self' blob: data:; frame-src 'self' data: blob:; frame-ancestors 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)
_POLICY = ("content-security-policy", POLICY)


class Guard:
    """Answers requests whose Host is ours, that no foreign page sent, of browsers that are logged in where there is a
    password; everything else gets 403, 404 or the login form, and nothing behind it hears of it."""

    def __init__(self, app: ASGIApp, access: Callable[[], Access], port: int | None = None, base: str = "") -> None:
        """`base` is the path below which the dashboard is served, "" or "/lab"."""
        self._app = app
        self._health = f"{base}/_stcore/health"
        self._access = access()
        self._names = (*LOCAL, *self._access.hosts)
        self._login = Login(self._access.password, port) if self._access.password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        reason = hosts.refusal(headers, scope.get("method", "GET"), self._names, self._own_address(scope))
        reason = reason or self._exposed(scope)
        if reason:
            log.warning("refused %s %r: %s", scope["type"], scope["path"][:200], reason)
            await self._refuse(scope, receive, send, f"Refused: {reason}.\n", 403)
            return
        scope["headers"] = hosts.as_the_browser_sees(headers, self._access.hosts)
        if _closed(scope["path"]):
            await self._refuse(scope, receive, send, "Not found.\n", 404)
            return
        if self._login is not None:
            answered = await self._at_the_door(scope, receive, self._login)
            if answered is not None:
                await self._send(answered, scope, receive, send)
                return
            if scope["type"] == "websocket":
                with self._login.watched(HTTPConnection(scope).cookies) as ended, _until(ended, receive) as heard:
                    await self._app(scope, heard, send)
                    if ended.is_set():
                        with suppress(RuntimeError):  # closed already
                            await send({"type": "websocket.close", "code": 1008})
                return
        await self._app(scope, receive, _with_headers(send))

    def _own_address(self, scope: Scope) -> str:
        """The IP address at which this connection arrived, where the server listens on all of them."""
        if self._access.address not in ("", "0.0.0.0", "::", "*"):
            return ""
        server = scope.get("server")
        address = str(server[0]).removeprefix("::ffff:") if server else ""
        return hosts.hostname(f"[{address}]" if ":" in address else address) if hosts.is_address(address) else ""

    def _exposed(self, scope: Scope) -> str:
        """Why a connection from outside of this machine is refused where nobody has said that there may be any: whoever starts
        the application with another server gives the address to listen on to that server alone."""
        server, access = scope.get("server"), self._access
        address = str(server[0]).removeprefix("::ffff:") if server else ""
        if access.password or access.without_password or not hosts.is_address(address) or is_loopback(address):
            return ""
        return (
            f"this dashboard has no password and is reached at {address}. Set one with `python -m core password`, or start it "
            "with `streamlit run dashboard/Home.py --server.address ... -- --without-password`"
        )

    async def _at_the_door(self, scope: Scope, receive: Receive, login: Login) -> Response | None:
        """What is answered instead of what was asked for; None for whoever is logged in."""
        names = [part for part in scope["path"].split("/") if part]
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] == self._health:
            return None  # whether the server lives is no secret
        given = HTTPConnection(scope).cookies
        inside = login.accepts(given)
        if inside and names[-1:] == ["logout"] and scope["type"] == "http":
            return login.goodbye(given) if _meant(scope) else login.ask()
        if inside:
            return None
        if scope["type"] == "websocket":
            return Response(status_code=401)
        return await login.answer(Request(scope, receive))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, text: str, status: int) -> None:
        await self._send(PlainTextResponse(text, status), scope, receive, send)

    async def _send(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()  # websocket.connect; closing before accepting is answered with 403
            await send({"type": "websocket.close", "code": 1008})
            return
        await response(scope, receive, _with_headers(send))


def _meant(scope: Scope) -> bool:
    """Whether somebody pressed our own button or link; a page of another site may lead a browser to any address with GET."""
    if scope["method"] == "POST":  # the Origin was looked at
        return True
    headers = HTTPConnection(scope).headers
    return headers.get("sec-fetch-site") == "same-origin" and headers.get("sec-fetch-mode") == "navigate"


@contextmanager
def _until(ended: asyncio.Event, receive: Receive) -> Iterator[Receive]:
    """What a websocket receives, until `ended` is set: then it hears that the browser has gone."""
    coming: list[asyncio.Future[Message]] = []

    async def wrapped() -> Message:
        if not coming:
            coming.append(asyncio.ensure_future(receive()))
        stop = asyncio.ensure_future(ended.wait())
        try:
            await asyncio.wait((coming[0], stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        return {"type": "websocket.disconnect", "code": 1008} if ended.is_set() else coming.pop().result()

    try:
        yield wrapped
    finally:
        for each in coming:
            each.cancel()


def _closed(path: str) -> bool:
    """Whether the path is one of CLOSED below `_stcore`, whatever a proxy put before it."""
    names = [part for part in path.split("/") if part]
    return any(first == "_stcore" and second in CLOSED for first, second in itertools.pairwise(names))


def _with_headers(send: Send) -> Send:
    """Let every answer say what browsers may do with it; none is for pages of another origin."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(
                raw=[each for each in message.get("headers", []) if not each[0].lower().startswith(b"access-control-")]
            )
            for name, value in (*HEADERS, _POLICY):
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        await send(message)

    return wrapped
