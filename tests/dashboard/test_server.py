from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard import server


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"host", b"lab.example"), (b"origin", b"https://lab.example")], b"https"),
        ([(b"host", b"lab.example"), (b"referer", b"https://lab.example/test_image")], b"https"),
        ([(b"host", b"lab.example"), (b"origin", b"http://lab.example")], None),
        ([(b"host", b"lab.example"), (b"origin", b"https://elsewhere.example")], None),
        ([(b"host", b"lab.example"), (b"origin", b"https://lab.example"), (b"x-forwarded-proto", b"http")], b"http"),
        ([(b"host", b"lab.example")], None),
    ],
)
def test_the_scheme_the_browser_used_is_passed_on(headers: list[tuple[bytes, bytes]], expected: bytes | None) -> None:
    scope = {"type": "http", "headers": headers}
    server.with_scheme(scope)
    assert dict(scope["headers"]).get(b"x-forwarded-proto") == expected


@pytest.mark.filterwarnings("default")  # of Gradio's own imports
def test_gradio_answers_below_its_path_and_names_no_outside_host(workspace: Path) -> None:
    import contextlib

    @contextlib.asynccontextmanager
    async def lifespan(app: object):
        async with server.lifespan(app):  # type: ignore[arg-type]
            yield

    with TestClient(Starlette(routes=server.routes(), lifespan=lifespan), base_url="http://lab.example") as client:
        page = client.get("/gradio/")
        assert page.status_code == 200
        config = client.get("/gradio/config").json()
        assert config["root"] == "http://lab.example/gradio"
        loaded = re.findall(r"""(?:src|href)=["'](https?://[^"']+)""", page.text)
        assert [address for address in loaded if not address.startswith("http://lab.example")] == []


def test_nothing_of_gradio_is_built_before_it_is_asked_for() -> None:
    assert server.LateGradio()._app is None
