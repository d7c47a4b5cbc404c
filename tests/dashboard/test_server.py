from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard import server


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
