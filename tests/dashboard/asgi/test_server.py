from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboard.asgi import server
from dashboard.ui.plotly_script import plotly_script

ROOT = Path(__file__).parents[3]


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
    assert server.LazyGradio()._app is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_server_asks_for_as_many_open_files_as_it_may_have() -> None:
    code = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)); "
        "from dashboard.asgi import server; server.raise_file_limit(); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=True
    )
    assert int(ended.stdout) > 256


def test_a_system_without_such_limits_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "resource", None)
        server.raise_file_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_a_page_is_told_where_its_server_is_and_nothing_else_is_changed() -> None:
    async def answer(request: Request) -> Response:
        kind = "text/html" if request.url.path != "/media/x" else "image/png"
        return Response(b"<html><head><title>x</title></head>", media_type=kind, headers={"etag": "e"})

    app = Starlette(routes=[Route("/{path:path}", answer)], middleware=[Middleware(server.BackendAddress)])
    client = TestClient(app, headers={"accept": "text/html"})
    page = client.get("/train")
    assert page.text.startswith("<html><head><script>window.__streamlit = {BACKEND_BASE_URL: new URL(")
    assert f'rel: "prefetch", as: "script", href: __streamlit.BACKEND_BASE_URL + "{plotly_script()}"' in page.text
    assert int(page.headers["content-length"]) == len(page.content) and page.headers["etag"] == "e"
    for path in ("/gradio/", "/media/x"):
        assert client.get(path).content == b"<html><head><title>x</title></head>"
    assert b"__streamlit" not in client.get("/train", headers={"accept": "*/*"}).content
