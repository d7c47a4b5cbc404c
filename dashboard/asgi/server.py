"""The ASGI side, on the dashboard's own origin and port: Gradio at /gradio, live previews, and the guard before them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from core.errors import LabError
from dashboard.access import settings, uploads
from dashboard.access.gradio_gate import GradioGate
from dashboard.access.guard import Guard
from dashboard.state.preferences import BrowserCookie
from dashboard.ui.plotly_script import plotly_script
from dashboard.ui.preview_address import PREVIEWS

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

MAX_UPLOAD = "300mb"
SWEEP_EVERY = 600.0  # seconds between two looks for uploads to delete
SESSIONS_EVERY = 30.0  # seconds between two looks for sessions that have ended
OPEN_FILES = 65_536  # file descriptors to ask for; each page holds three for two minutes after it is closed


def base_path() -> str:
    """`server.baseUrlPath` with a leading slash and none at the end, or ""."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}" if base else ""


async def _plotly(request: Request) -> FileResponse:
    import plotly

    path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return FileResponse(path, media_type="text/javascript", headers={"cache-control": "public, max-age=31536000, immutable"})


async def _preview(request: Request) -> Response:
    # Not above: what its modules keep (st.cache_data) wants a server that runs, and this one is about to.
    from dashboard.asgi import preview_api

    return await preview_api.answer(request)


def preview_route(base: str) -> Route:
    """Where dashboard.asgi.preview_api answers."""
    return Route(f"{base}/{PREVIEWS}/{{token}}/{{what}}", _preview)


class LazyGradio:
    """An ASGI app that becomes the Gradio tab when it is first asked for."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._lock = asyncio.Lock()
        self._stop = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            async with self._lock:
                if self._app is None:
                    self._app = await self._start()
        await self._app(scope, receive, send)

    async def _start(self) -> ASGIApp:
        host = await asyncio.to_thread(_build)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(host, ready))
        await ready
        return GradioGate(host, _uploads)

    async def _live(self, host: FastAPI, ready: asyncio.Future[None]) -> None:
        try:
            async with host.router.lifespan_context(host):
                ready.set_result(None)
                while not self._stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), SWEEP_EVERY)
                    await asyncio.to_thread(uploads.sweep, _uploads())
        except Exception as error:
            if ready.done():
                log.exception("the Gradio tab did not shut down cleanly")
            else:
                ready.set_exception(error)

    async def close(self) -> None:
        """End Gradio's lifespan, when it was ever started."""
        self._stop.set()
        if self._life is not None:
            await self._life


@functools.cache
def _uploads() -> Path:
    """This server's folder of uploads; made once."""
    return uploads.open_folder()


def _build() -> FastAPI:
    _uploads()  # some of Gradio's modules look at its folder when they are imported
    import gradio as gr
    from fastapi import FastAPI

    from dashboard.asgi import gradio_tab, gradio_theme

    blocks = gradio_tab.build()
    # Set by launch() alone; without it Gradio takes any path on this machine for an uploaded file.
    blocks.has_launched = True
    return gr.mount_gradio_app(
        FastAPI(),
        blocks,
        path="/",
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        max_file_size=MAX_UPLOAD,
        show_error=True,
        enable_monitoring=False,
        theme=gradio_theme.theme(),
        css=gradio_theme.css(),
    )


_tabs: list[LazyGradio] = []


class BackendAddress:
    """Middleware: writes into Streamlit's page where its server is, which is where the page's scripts come from, and has the
    chart library fetched before a page needs it: a few seconds after the page has come, when the browser has nothing to do.

    Streamlit's navigation is a list whose items are not its children, which readers of screens announce wrongly: to them it
    is links in a navigation instead.

    Left alone the page asks below its own name first (/train/_stcore/health), and each of the answers, 404, stands in the
    browser's console as an error. These cannot be answered otherwise: the page would take them for its server's place.
    """

    SCRIPT = (
        '<script>window.__streamlit = {BACKEND_BASE_URL: new URL(".", location.href).href};'
        'addEventListener("load", () => setTimeout(() => (window.requestIdleCallback ?? setTimeout)(() => document.head.append('
        'Object.assign(document.createElement("link"), {rel: "prefetch", as: "script", '
        f'href: __streamlit.BACKEND_BASE_URL + "{plotly_script()}"}}))), 2000));'
        "new MutationObserver(() => document.querySelectorAll("
        """'[data-testid="stSidebarNavItems"]:not([role]), [data-testid="stSidebarNavItems"] li:not([role])')"""
        '.forEach((each) => each.setAttribute("role", "none"))).observe(document, {childList: true, subtree: true})'
        "</script>"
    ).encode("ascii")
    _HEAD = b"<head>"

    def __init__(self, app: ASGIApp, base: str = "") -> None:
        self._app = app
        self._others = f"{base}/gradio"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = scope["type"] == "http" and scope["method"] == "GET" and not scope["path"].startswith(self._others)
        if not page or b"text/html" not in dict(scope["headers"]).get(b"accept", b""):
            await self._app(scope, receive, send)
            return
        plain = [each for each in scope["headers"] if each[0] not in (b"accept-encoding", b"range")]
        started: Message | None = None
        body = b""

        async def written(message: Message) -> None:
            nonlocal started, body
            if message["type"] == "http.response.start":
                headers = dict(message.get("headers", []))
                whole = message["status"] == 200 and headers.get(b"content-type", b"").startswith(b"text/html")
                if whole and b"content-encoding" not in headers:
                    started = message
                    return
            if started is None:
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body", False):
                return
            body = body.replace(self._HEAD, self._HEAD + self.SCRIPT, 1)
            others = [each for each in started["headers"] if each[0] not in (b"content-length", b"accept-ranges")]
            await send({**started, "headers": [*others, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        await self._app({**scope, "headers": plain}, receive, written)


def routes() -> list[BaseRoute]:
    """What the dashboard serves beside its pages."""
    tab = LazyGradio()
    _tabs.append(tab)
    return [
        Mount(f"{base_path()}/gradio", app=tab),
        Route(f"{base_path()}/{plotly_script()}", _plotly),
        preview_route(base_path()),
    ]


def middleware() -> list[Middleware]:
    """The guard; see dashboard.access. Ends the process, with the reason, where the settings forbid to start."""
    settings.serve()
    try:
        settings.require_protected(settings.current())
    except LabError as error:
        sys.exit(f"MammoLab does not start. {error}")
    _uploads()  # before anything imports Gradio
    raise_file_limit()
    port = int(st.get_option("server.port") or 0)
    guard = Middleware(Guard, access=settings.current, port=port, base=base_path())
    return [guard, Middleware(BrowserCookie), Middleware(BackendAddress, base=base_path())]


def raise_file_limit() -> None:
    """Ask the system for as many open files as it grants (macOS gives 256 unasked). Windows has no such limit."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS refuses more than OPEN_MAX, whatever its hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _sweep_sessions() -> None:
    while True:
        await asyncio.sleep(SESSIONS_EVERY)
        if expire_sessions():
            await asyncio.to_thread(gc.collect)  # a session is a knot of references: its uploads go with the knot


def expire_sessions() -> int:
    """Give up the sessions whose browsers have been gone for `server.disconnectedSessionTTL` seconds; how many there were.

    Streamlit keeps what they uploaded until it next has to do with another browser, which on a quiet evening is the next day.
    """
    from streamlit import runtime

    if not runtime.exists():
        return 0
    sessions = runtime.get_instance()._session_mgr._session_storage._cache  # no public way; requirements pin the version
    return len(sessions.expire())


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Start-up makes nothing (the first page should not wait); shut-down closes what was started."""
    sweeping = asyncio.create_task(_sweep_sessions())
    yield {}
    sweeping.cancel()
    for tab in _tabs:
        await tab.close()
    if _uploads.cache_info().currsize:
        uploads.close_folder(_uploads())
        _uploads.cache_clear()
