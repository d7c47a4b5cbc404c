from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from dashboard.access import uploads
from dashboard.asgi import server

pytestmark = pytest.mark.filterwarnings("default")  # of Gradio's own imports
API = "/gradio/gradio_api"


@pytest.fixture
def secret(workspace: Path) -> Path:
    """A file of the server that no browser may read: in its workspace, where Gradio's own checks are mildest."""
    path = workspace / "secret.txt"
    path.write_text("the key to every pseudonym", encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _own_uploads(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MAMMOLAB_CACHE", str(workspace / "cache"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    server._uploads.cache_clear()
    yield
    server._uploads.cache_clear()


@contextlib.contextmanager
def _served() -> Iterator[TestClient]:
    """The routes with a tab of their own."""

    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        async with server.lifespan(app):  # type: ignore[arg-type]
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_tabs", [])
        with TestClient(Starlette(routes=server.routes(), lifespan=lifespan), base_url="http://localhost") as found:
            yield found


@pytest.fixture
def client(workspace: Path) -> Iterator[TestClient]:
    with _served() as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One for all requests that are refused and leave nothing."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        patch.setenv("GRADIO_TEMP_DIR", "")
        started = contextlib.ExitStack()
        found = started.enter_context(_served())
    with started:
        yield found


def _events(client: TestClient) -> list[tuple[int, int]]:
    """(index, number of inputs) of every event of the tab."""
    found = client.get("/gradio/config").json()["dependencies"]
    assert len(found) >= 8
    return [(each["id"], len(each["inputs"])) for each in found]


def _file(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "orig_name": "x.png", "meta": {"_type": "gradio.FileData"}, **more}


def _shapes(payload: dict[str, Any]) -> list[Any]:
    return [payload, [payload], {"value": payload}, [[payload, "caption"]], {"image": payload, "caption": None}]


def _everything_below(folder: Path) -> str:
    return " ".join(path.read_text(encoding="utf-8", errors="replace") for path in folder.rglob("*") if path.is_file())


def test_no_event_takes_a_path_of_the_server(client: TestClient, secret: Path) -> None:
    for index, inputs in _events(client):
        for position in range(max(1, inputs)):
            for shape in _shapes(_file(str(secret))):
                data = [None] * max(1, inputs)
                data[position] = shape
                answer = client.post(f"{API}/queue/join", json={"fn_index": index, "session_hash": "a", "data": data})
                assert answer.status_code == 400 and "uploaded here" in answer.text
    assert "pseudonym" not in _everything_below(uploads.root())


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1/x.png",
        "https://example.org/x.png",
        "file:///etc/hostname",
        "data:image/png;base64,AAAA",
        "../../etc/hostname",
        "/etc/hostname",
        "/gradio_api/file=/etc/hostname",
        "",
        None,
        ["/etc/hostname"],
        "/proc/self/environ",
        "a\0b",
    ],
)
def test_no_event_takes_an_address_or_a_path_that_is_no_upload(shared: TestClient, path: Any) -> None:
    for payload in (_file(path), {"path": path}, {"url": "http://example.org/x.png"}, {"meta": {"_type": "gradio.FileData"}}):
        answer = shared.post(f"{API}/queue/join", json={"fn_index": 1, "session_hash": "a", "data": [payload]})
        assert answer.status_code == 400


@pytest.mark.slow
def test_gradio_itself_refuses_a_path_of_the_server_too(secret: Path) -> None:
    """The gate is not the only thing that stands between a browser and the server's files."""
    host = server._build()
    with TestClient(
        Starlette(routes=[Mount("/gradio", app=host)], lifespan=lambda app: host.router.lifespan_context(host))
    ) as bare:
        bare.post(f"{API}/queue/join", json={"fn_index": 1, "session_hash": "a", "data": [_file(str(secret))]})
        with bare.stream("GET", f"{API}/queue/data?session_hash=a") as stream:
            messages = [json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")]
    ended = next(message for message in messages if message["msg"] == "process_completed")
    assert ended["success"] is False
    assert "pseudonym" not in _everything_below(uploads.root())


@pytest.mark.slow
def test_an_upload_is_taken_and_its_event_runs(client: TestClient) -> None:
    [path] = client.post(f"{API}/upload", files={"files": ("no image.png", b"not an image")}).json()
    assert Path(path).is_relative_to(uploads.root())
    # As the browser sends it, with the address it shows it from.
    upload = _file(path, url=f"http://localhost{API}/file={path}", size=12, mime_type="image/png")
    answer = client.post(f"{API}/queue/join", json={"fn_index": 1, "session_hash": "a", "data": [upload]})
    assert answer.status_code == 200
    assert client.get(f"{API}/file={path}").content == b"not an image"


@pytest.mark.parametrize(
    "path",
    [
        f"{API}/deep_link?session_hash=a",
        "/gradio/config?deep_link=x",
        "/gradio/?deep_link=x",
        "/gradio/config?deep%5flink=x",
        "/gradio/?a=b&d%65ep_link",
        f"{API}/proxy=http://example.org/",
        f"{API}/file=http://example.org/x.png",
        f"{API}/file=https:/example.org/x.png",
        f"{API}/file=/etc/hostname",
        f"{API}/file=%2Fetc%2Fhostname",
        f"{API}/file=..%2F..%2Fetc%2Fhostname",
        f"{API}/file/etc/hostname",
        "/gradio/monitoring",
        "/gradio/monitoring/summary",
        f"{API}/dev/reload",
        f"{API}/runs",
        f"{API}/vibe-code",
        f"{API}/openapi.json",
        f"{API}/queue/status",
        f"{API}/custom_component/1/client/component/x.js",
        f"{API}/stream/a/0/1/playlist.m3u8",
        f"{API}/profiling/traces",
        "/gradio/docs",
        "/gradio/openapi.json",
    ],
)
def test_addresses_that_the_tab_does_not_use_are_not_answered(shared: TestClient, path: str) -> None:
    assert shared.get(path).status_code in (403, 404)


@pytest.mark.parametrize(
    "path",
    [
        "run/predict",
        "api/predict",
        "call/picked",
        "call/work",
        "call/v2/predict",
        "call/predict/../picked",
        "component_server",
        "process_recording",
        "vibe-edit",
        "login",
        "run-history/connect",
    ],
)
def test_other_ways_to_run_an_event_are_closed(shared: TestClient, path: str) -> None:
    assert shared.post(f"{API}/{path}", json={"fn_index": 0, "data": []}).status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[" * 100_000, b'{"data": [1' + b"0" * 5000 + b"]}", b"\xff", b" " * (1 << 20) + b"{}"]
)
def test_an_event_that_is_no_small_json_is_refused(shared: TestClient, body: bytes) -> None:
    answer = shared.post(f"{API}/queue/join", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


def test_files_of_the_workspace_and_of_other_servers_are_not_served(client: TestClient, secret: Path) -> None:
    client.get("/gradio/config")
    other = uploads.root() / "uploads-0123456789ab" / "x"
    other.mkdir(parents=True)
    (other / "theirs.png").write_bytes(b"theirs")
    for path in (secret, other / "theirs.png", Path(uploads.__file__)):
        assert client.get(f"{API}/file={path}").status_code == 403


def test_no_upload_is_taken_while_the_folder_is_full(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGEST", 0)
    answer = client.post(f"{API}/upload", files={"files": ("a.png", b"x")})
    assert answer.status_code == 413 and "try again later" in answer.text


@pytest.mark.slow
def test_one_upload_may_not_be_larger_than_the_room_that_is_left(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGEST", 3000)
    assert client.post(f"{API}/upload", files={"files": ("a.png", b"x" * 1000)}).status_code == 200
    many = [("files", (f"{number}.png", bytes([number]) * 1000)) for number in range(5)]
    assert client.post(f"{API}/upload", files=many).status_code == 413


def test_an_upload_without_a_size_is_refused(client: TestClient) -> None:
    answer = client.post(
        f"{API}/upload", content=iter([b"--x", b"--"]), headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 411
