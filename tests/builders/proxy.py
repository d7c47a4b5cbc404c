"""A reverse proxy as people put one before the dashboard: it takes a prefix off the path, or tells its own Host."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

HOP = {b"host", b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"}


class Proxy:
    """An ASGI app that passes everything below `prefix` on to `upstream`, without the prefix."""

    def __init__(self, upstream: str, prefix: str, *, keep_host: bool) -> None:
        self.upstream, self.prefix, self.keep_host = upstream, prefix, keep_host
        self.client = httpx.AsyncClient(timeout=None)

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            return
        path = scope["raw_path"].decode()
        if not path.startswith(self.prefix + "/"):
            await (
                self._close(receive, send) if scope["type"] == "websocket" else self._answer(send, 404, b"the hub's own 404")
            )
            return
        query = scope["query_string"].decode()
        address = self.upstream + path.removeprefix(self.prefix) + (f"?{query}" if query else "")
        headers = [each for each in scope["headers"] if each[0] not in HOP]
        if self.keep_host:
            headers += [each for each in scope["headers"] if each[0] == b"host"]
        await (self._http if scope["type"] == "http" else self._socket)(scope, receive, send, address, headers)

    async def _http(self, scope, receive, send, address, headers) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = [each for each in headers if each[0] != b"content-length"]
        async with self.client.stream(scope["method"], address, headers=headers, content=body or None) as answer:
            back = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in HOP]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": back})
            async for part in answer.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _socket(self, scope, receive, send, address, headers) -> None:
        await receive()
        kept = [(name.decode(), value.decode()) for name, value in headers if not name.startswith(b"sec-websocket")]
        uri = address.replace("http://", "ws://", 1)
        host, port = urlsplit(self.upstream).hostname, urlsplit(self.upstream).port
        hosts = [pair for pair in kept if pair[0] == "host"]
        if hosts:  # the address names the host that is told; the connection goes to the upstream's
            uri = f"ws://{hosts[0][1]}{address.removeprefix(self.upstream)}"
        kept = [pair for pair in kept if pair[0] not in ("host", "origin", "user-agent")]
        origin = next((value.decode() for name, value in headers if name == b"origin"), None)
        async with connect(
            uri, host=host, port=port, origin=origin, subprotocols=scope["subprotocols"], additional_headers=kept, max_size=None
        ) as other:
            await send({"type": "websocket.accept", "subprotocol": other.subprotocol})

            async def up() -> None:
                while (message := await receive())["type"] == "websocket.receive":
                    await other.send(message["text"] if message.get("text") is not None else message["bytes"])

            async def down() -> None:
                try:
                    async for part in other:
                        await send({"type": "websocket.send", "text" if isinstance(part, str) else "bytes": part})
                except ConnectionClosed:
                    pass

            _, running = await asyncio.wait(
                [asyncio.create_task(up()), asyncio.create_task(down())], return_when=asyncio.FIRST_COMPLETED
            )
            for task in running:
                task.cancel()

    @staticmethod
    async def _answer(send, status: int, body: bytes) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    @staticmethod
    async def _close(receive, send) -> None:
        await receive()
        await send({"type": "websocket.close"})


@contextmanager
def proxy_before(upstream: str, prefix: str = "", *, keep_host: bool = True) -> Iterator[int]:
    """The port of such a proxy; it ends with the context."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        Proxy(upstream, prefix, keep_host=keep_host), host="127.0.0.1", port=port, log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started and time.monotonic() < end:
        time.sleep(0.05)
    yield port
    server.should_exit = server.force_exit = True
    thread.join(timeout=10)
