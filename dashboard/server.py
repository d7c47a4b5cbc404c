"""The ASGI side, on the dashboard's own origin and port: Gradio at /gradio, live previews (see dashboard.tuner).

Gradio is imported and built at the first request for it (or when the dashboard has warmed up), so that the first page
does not wait for it. Its own lifespan, without which its events never run, lives in a task of its own: what a task
group opens in one task cannot be closed in another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

MAX_UPLOAD = "300mb"
PREVIEWS = "tune"  # first part of the path of the live previews


def base_path() -> str:
    """`server.baseUrlPath` with a leading slash and none at the end, or ""."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}" if base else ""


def gradio_url() -> str:
    """Where the Gradio tab is, on the dashboard's own origin."""
    return f"{base_path()}/gradio/"


def plotly_url() -> str:
    """Where the pages' chart library is: the one that came with plotly, on our own origin."""
    from importlib.metadata import version

    return f"{base_path()}/plotly-{version('plotly')}.min.js"


async def _plotly(request: Request) -> FileResponse:
    import plotly

    path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return FileResponse(path, media_type="text/javascript", headers={"cache-control": "public, max-age=31536000, immutable"})


async def _preview(request: Request) -> Response:
    # Not above: what its modules keep (st.cache_data) wants a server that runs, and this one is about to.
    from dashboard import tuner

    return await tuner.answer(request)


def preview_route(base: str) -> Route:
    """Where dashboard.tuner answers."""
    return Route(f"{base}/{PREVIEWS}/{{token}}/{{what}}", _preview)


class LateGradio:
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
        with_scheme(scope)
        await self._app(scope, receive, send)

    async def _start(self) -> ASGIApp:
        host = await asyncio.to_thread(_build)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(host, ready))
        await ready
        return host

    async def _live(self, host: FastAPI, ready: asyncio.Future[None]) -> None:
        try:
            async with host.router.lifespan_context(host):
                ready.set_result(None)
                await self._stop.wait()
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


def _build() -> FastAPI:
    import gradio as gr
    from fastapi import FastAPI

    from dashboard import gradio_tab

    return gr.mount_gradio_app(
        FastAPI(),
        gradio_tab.build(),
        path="/",
        root_path=gradio_url().rstrip("/"),
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        max_file_size=MAX_UPLOAD,
        show_error=True,
        enable_monitoring=False,
        theme=gradio_tab.theme(),
        css=gradio_tab.css(base_path()),
    )


def with_scheme(scope: MutableMapping[str, Any]) -> None:
    """Tell Gradio the scheme the browser used where a tunnel or proxy ended TLS without saying so.

    Gradio builds absolute addresses; `http:` ones inside an `https:` page are refused by the browser. The page's own
    Origin or Referer has the scheme. A proxy's `x-forwarded-proto` is left alone.
    """
    if scope["type"] not in ("http", "websocket"):
        return
    headers = dict(scope["headers"])
    if b"x-forwarded-proto" in headers:
        return
    came_from = urlsplit((headers.get(b"origin") or headers.get(b"referer") or b"").decode("latin-1"))
    if came_from.scheme == "https" and came_from.netloc.encode() == headers.get(b"host"):
        scope["headers"] = [*scope["headers"], (b"x-forwarded-proto", b"https")]


_tabs: list[LateGradio] = []


def routes() -> list[BaseRoute]:
    """What the dashboard serves beside its pages."""
    tab = LateGradio()
    _tabs.append(tab)
    return [Mount(f"{base_path()}/gradio", app=tab), Route(plotly_url(), _plotly), preview_route(base_path())]


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Start-up does nothing (the first page should not wait); shut-down closes what was started."""
    yield {}
    for tab in _tabs:
        await tab.close()
