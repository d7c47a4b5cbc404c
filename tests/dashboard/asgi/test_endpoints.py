"""The endpoints for programs: called as docs/api.md says, with three HTTP requests and with gradio_client."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builders.lab_pages import untrained_run
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.asgi import batch_scoring, server

pytestmark = pytest.mark.filterwarnings("default")  # of Gradio's own imports
API = "/gradio/gradio_api"
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "api.md"


@contextlib.asynccontextmanager
async def _lifespan(app: object) -> AsyncIterator[None]:
    async with server.lifespan(app):  # type: ignore[arg-type]
        yield


@pytest.fixture
def images(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Images of the data set, which has a run with a model of single images; uploads go to a folder of the test."""
    monkeypatch.setenv("MAMMOLAB_CACHE", str(manifest.parent / "cache"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setattr(server, "_tabs", [])
    server._uploads.cache_clear()
    untrained_run(manifest)
    yield sorted(manifest.parent.glob("*.png"))
    server._uploads.cache_clear()


@pytest.fixture
def client(images: list[Path]) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=server.routes(), lifespan=_lifespan), base_url="http://localhost") as found:
        yield found


def ask(client: TestClient, endpoint: str, files: list[Path], *, one: bool = False) -> tuple[str, Any]:
    """The last event of an endpoint's answer and what it holds."""
    sent = []
    for path in files:
        uploaded = client.post(f"{API}/upload", files={"files": (path.name, path.read_bytes())}).json()[0]
        sent.append({"path": uploaded, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}})
    asked = client.post(f"{API}/call/{endpoint}", json={"data": ["", sent[0] if one else sent]})
    assert asked.status_code == 200, asked.text
    text = client.get(f"{API}/call/{endpoint}/{asked.json()['event_id']}").text
    name, content = re.findall(r"event: (\w+)\ndata: (.*)", text)[-1]
    return name, json.loads(content)


def test_three_requests_give_the_verdict_on_an_image(client: TestClient, images: list[Path]) -> None:
    name, content = ask(client, "predict", images[:1], one=True)
    assert name == "complete"
    (verdict,) = content
    assert verdict["run"] == "first" and verdict["file"] == images[0].name
    assert 0 <= verdict["score"] <= 1 and verdict["decision"] in ("benign", "malignant")
    assert "Research use only" in verdict["notice"]


@pytest.mark.slow
def test_many_images_are_answered_in_one_list_with_what_cannot_be_read(
    client: TestClient, images: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    name, content = ask(client, "batch", [*images[:2], broken])
    assert name == "complete"
    rows = content[0]["predictions"]
    assert [row["file"] for row in rows] == [images[0].name, images[1].name, "broken.png"]
    assert [row["decision"] is None for row in rows] == [False, False, True]


@pytest.mark.slow
def test_an_archive_of_several_is_no_image_and_is_not_scored(
    client: TestClient, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as zipped:
        for path in images[:2]:
            zipped.write(path, path.name)
    monkeypatch.setattr(batch_scoring, "verdict_rows", lambda *_: pytest.fail("scored"))
    name, content = ask(client, "predict", [tmp_path / "two.zip"], one=True)
    assert name == "error" and "expected one image, got 2. Use /batch" in str(content)


@pytest.mark.slow
def test_a_breast_asked_of_a_model_of_images_is_an_error_with_the_way_out(client: TestClient, images: list[Path]) -> None:
    name, content = ask(client, "predict_breast", images[:2])
    assert name == "error" and "judges single images. Use /batch" in str(content)


def test_an_endpoint_takes_no_path_of_the_server(client: TestClient, images: list[Path]) -> None:
    named = {"path": str(images[0].absolute()), "meta": {"_type": "gradio.FileData"}}
    for endpoint, data in (("predict", ["", named]), ("batch", ["", [named]])):
        refused = client.post(f"{API}/call/{endpoint}", json={"data": data})
        assert refused.status_code == 400 and "uploaded here" in refused.text


@pytest.mark.slow
def test_the_documentation_names_every_endpoint_and_no_other(client: TestClient) -> None:
    public = client.get(f"{API}/info").json()["named_endpoints"]
    named = set(re.findall(r"^\| `(/\w+)`", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == set(public) == {"/predict", "/predict_breast", "/batch"}


@pytest.mark.slow
def test_gradio_client_is_answered_also_when_eight_ask_at_once(images: list[Path]) -> None:
    import uvicorn
    from gradio_client import Client, handle_file

    served = uvicorn.Server(uvicorn.Config(Starlette(routes=server.routes(), lifespan=_lifespan), port=0, log_level="error"))
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    while not served.started:
        time.sleep(0.05)
    port = served.servers[0].sockets[0].getsockname()[1]
    try:

        def call(number: int) -> str:
            asked = Client(f"http://localhost:{port}/gradio/", verbose=False)
            return str(asked.predict(run="", file=handle_file(str(images[number])), api_name="/predict")["file"])

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(call, range(8))) == [path.name for path in images[:8]]
    finally:
        served.should_exit = True
        thread.join(20)
