from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from core import passwords
from core.passwords import hash_password
from dashboard.access import login
from dashboard.access.guard import Guard
from dashboard.access.settings import Access

PASSWORD = "correct horse"
with pytest.MonkeyPatch.context() as cheaper:  # by design each check of a real one takes a tenth of a second
    cheaper.setattr(passwords, "_COST", 2**10)
    HASHED = hash_password(PASSWORD)
reached: list[str] = []


async def _page(request: Request) -> PlainTextResponse:
    reached.append(request.url.path)
    return PlainTextResponse("inside", headers={"access-control-allow-origin": "*"})


async def _socket(websocket: WebSocket) -> None:
    reached.append("socket")
    await websocket.accept()
    await websocket.send_text("inside")
    await websocket.close()


def _client(access: Access, host: str = "localhost:8501", **options: object) -> TestClient:
    routes = [WebSocketRoute("/_stcore/stream", _socket), Route("/{path:path}", _page, methods=["GET", "POST", "OPTIONS"])]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, access=lambda: access, port=8501)])
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False, **options)  # type: ignore[arg-type]


def _with_app_of(browser: TestClient, **options: object) -> TestClient:
    """Another browser at the same server."""
    return TestClient(browser.app, base_url=str(browser.base_url), follow_redirects=False, **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _nothing_reached(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(login, "PENALTY", 0.01)
    reached.clear()
    yield


@pytest.mark.parametrize("path", ["/", "/train", "/gradio/gradio_api/upload", "/tune/token/main", "/_stcore/upload_file/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8501"},
        {"host": "evil.example:8501", "origin": "http://evil.example:8501"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_foreign_host_or_page_reaches_nothing(path: str, method: str, headers: dict[str, str]) -> None:
    answer = _client(Access()).request(method, path, headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert reached == []


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"host": "evil.example", "origin": "http://evil.example"}]
)
def test_a_websocket_of_a_foreign_page_is_closed_before_it_opens(headers: dict[str, str]) -> None:
    with pytest.raises(WebSocketDisconnect), _client(Access()).websocket_connect("/_stcore/stream", headers=headers):
        pass
    assert reached == []


def test_our_own_pages_and_websockets_get_through() -> None:
    client = _client(Access())
    assert client.get("/train", headers={"origin": "http://localhost:8501"}).text == "inside"
    with client.websocket_connect("ws://localhost:8501/_stcore/stream", headers={"origin": "http://localhost:8501"}) as socket:
        assert socket.receive_text() == "inside"


def test_answers_are_for_pages_of_this_origin_only() -> None:
    headers = _client(Access()).get("/").headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'self'" in policy and "img-src 'self' data: blob:;" in policy
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "path", ["/_stcore/metrics", "/_stcore/metrics/", "/lab//_stcore//metrics", "/lab/_stcore/metrics", "/_stcore/agent/mcp"]
)
def test_addresses_that_no_page_needs_are_closed(path: str) -> None:
    assert _client(Access()).get(path).status_code == 404
    assert reached == []


def test_a_refusal_says_how_to_allow_the_host() -> None:
    answer = _client(Access(), host="lab.example.org").get("/")
    assert answer.status_code == 403
    assert "lab.example.org" in answer.text and "dashboard.hosts" in answer.text and "--allow-host" in answer.text
    assert _client(Access(hosts=("lab.example.org",)), host="lab.example.org").get("/").text == "inside"


# ---------------------------------------------------------------- the password


@pytest.mark.parametrize(
    "path", ["/", "/train", "/gradio/", "/gradio/config", "/plotly-7.1.0.min.js", "/tune/t/main", "/media/x"]
)
def test_without_the_password_no_page_no_picture_and_no_event_is_answered(path: str) -> None:
    client = _client(Access(password=HASHED))
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"accept": "text/html"}).status_code == 401
    assert client.post(path, content=b"{}").status_code == 401
    assert reached == []


def test_without_the_password_no_websocket_opens() -> None:
    with pytest.raises(WebSocketDisconnect), _client(Access(password=HASHED)).websocket_connect("/_stcore/stream"):
        pass
    assert reached == []


def test_the_right_password_leads_to_the_page_that_was_asked_for() -> None:
    client = _client(Access(password=HASHED))
    form = client.get("/lab/train?run=a%20b", headers={"accept": "text/html"})
    assert 'type="password"' in form.text and "frame-ancestors" in form.headers["content-security-policy"]
    answer = client.post("/lab/train?run=a%20b", data={login.FIELD: PASSWORD}, headers={"origin": "http://localhost:8501"})
    assert (answer.status_code, answer.headers["location"]) == (303, "./train?run=a%20b")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "secure" not in cookie
    assert client.get("/lab/train").text == "inside"
    with client.websocket_connect("ws://localhost:8501/_stcore/stream") as socket:
        assert socket.receive_text() == "inside"


def test_the_cookie_is_secure_where_the_browser_used_https() -> None:
    client = _client(Access(password=HASHED, hosts=("lab.example.org",)), host="lab.example.org")
    answer = client.post("/", data={login.FIELD: PASSWORD}, headers={"origin": "https://lab.example.org"})
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("given", ["", "wrong", PASSWORD + " ", "x" * 5000, "\x00"])
def test_a_wrong_password_opens_nothing(given: str) -> None:
    client = _client(Access(password=HASHED))
    answer = client.post("/", data={login.FIELD: given})
    assert answer.status_code in (400, 401) and "set-cookie" not in answer.headers
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "/http://evil.example", "/x%0d%0aset-cookie:a=b", "/%2f%2fevil.example"]
)
def test_logging_in_never_leads_to_another_site(path: str) -> None:
    location = _client(Access(password=HASHED)).post(path, data={login.FIELD: PASSWORD}).headers["location"]
    assert location.startswith("./") and "\r" not in location and "//" not in location


def test_a_foreign_page_cannot_log_a_browser_in() -> None:
    answer = _client(Access(password=HASHED)).post("/", data={login.FIELD: PASSWORD}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403


def test_cookies_that_we_did_not_sign_or_that_are_old_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    client = _client(Access(password=HASHED))
    client.post("/", data={login.FIELD: PASSWORD})
    token = client.cookies["mammolab_8501"]
    start, _, signature = token.rpartition(".")  # its end is no good: base64 has spare bits there
    other_signature = f"{start}.{'a' if signature[0] != 'a' else 'b'}{signature[1:]}"
    for forged in ("", "x", token[:-1], other_signature, quote("ä")):
        assert _client(Access(password=HASHED), cookies={"mammolab_8501": forged}).get("/").status_code == 401
    other = _client(Access(password=hash_password(PASSWORD)), cookies={"mammolab_8501": token})
    assert other.get("/").status_code == 401  # a new password, even of the same letters, ends every log-in
    assert _client(Access(password=HASHED), cookies={"mammolab_8501": token}).get("/").text == "inside"
    monkeypatch.setattr(login, "LASTS", -1)
    assert client.get("/").status_code == 401


def test_logging_out_ends_it() -> None:
    client = _client(Access(password=HASHED))
    client.post("/", data={login.FIELD: PASSWORD})
    assert client.get("/").text == "inside"
    cookies = dict(client.cookies)
    headers = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}
    assert "logged out" in client.get("/logout", headers=headers).text
    assert client.get("/").status_code == 401
    stolen = _with_app_of(client, cookies=cookies)
    assert stolen.get("/").status_code == 401, "the cookie is worth nothing to whoever has a copy of it"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors"},  # a picture in a note
        {},
    ],
)
def test_another_page_cannot_log_a_browser_out(headers: dict[str, str]) -> None:
    client = _client(Access(password=HASHED))
    client.post("/", data={login.FIELD: PASSWORD})
    asked = client.get("/logout", headers=headers)
    assert "Log out of this dashboard?" in asked.text and 'method="post" action="./logout"' in asked.text
    assert client.post("/logout", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/").text == "inside"
    assert "logged out" in client.post("/logout", headers={"origin": "http://localhost:8501"}).text
    assert client.get("/").status_code == 401


def test_logging_out_ends_the_open_pages_of_that_browser_and_no_others() -> None:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    guard = Middleware(Guard, access=lambda: Access(password=HASHED), port=8501)
    app = Starlette(routes=[WebSocketRoute("/stream", echo)], middleware=[guard])
    with TestClient(app, base_url="http://localhost:8501") as client:
        cookies = []
        for _ in range(2):
            client.cookies.clear()
            client.post("/", data={login.FIELD: PASSWORD}, follow_redirects=False)
            cookies.append({"cookie": f"mammolab_8501={client.cookies['mammolab_8501']}"})
        client.cookies.clear()
        url = "ws://localhost:8501/stream"
        with (
            client.websocket_connect(url, headers=cookies[0]) as one,
            client.websocket_connect(url, headers=cookies[1]) as other,
        ):
            for socket in (one, other):
                socket.send_text("there?")
                assert socket.receive_text() == "there?"
            client.post("/logout", headers=cookies[0])
            assert one.receive()["type"] == "websocket.close"
            other.send_text("still?")
            assert other.receive_text() == "still?"


def test_whether_the_server_lives_is_told_to_everyone_at_one_address_only() -> None:
    client = _client(Access(password=HASHED))
    assert client.get("/_stcore/health").text == "inside"
    reached.clear()
    for path in (
        "/x/_stcore/health",
        "/tune/_stcore/health",
        "/_stcore/upload_file/_stcore/health",
        "/_stcore/health/",
        "//_stcore/health",
    ):
        assert client.get(f"http://localhost:8501{path}").status_code in (401, 404)
    assert client.post("/_stcore/health").status_code == 401 and client.put("/_stcore/health").status_code == 401
    assert reached == []


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
def test_a_connection_from_outside_needs_a_password_however_the_application_was_started(address: str) -> None:
    """As `uvicorn dashboard.Home:app --host 0.0.0.0` would take it, with a Host header that says localhost."""

    def ask(access: Access) -> int:
        app = Starlette(routes=[Route("/", _page)], middleware=[Middleware(Guard, access=lambda: access)])
        return TestClient(_arriving(app, address), base_url="http://localhost").get("/").status_code

    assert ask(Access()) == 403
    assert ask(Access(without_password=True)) == 200
    assert ask(Access(password=HASHED)) == 401


def _arriving(app: Starlette, address: str) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "server": (address, 8501)}, receive, send)

    return wrapped


@pytest.mark.slow
def test_guesses_of_one_address_are_taken_one_at_a_time_and_few_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr(login, "WAITING", 3)
    monkeypatch.setattr(login, "PENALTY", 0.3)
    with _client(Access(password=HASHED)) as client, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: client.post("/", data={login.FIELD: f"guess {number}"}).status_code, range(12)))
    assert set(answers) == {401, 429}
    assert answers.count(401) <= 4


def test_somebody_who_guesses_keeps_nobody_at_another_address_from_logging_in(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    import httpx

    monkeypatch.setattr(login, "PENALTY", 20.0)

    async def everybody() -> int:
        app = Starlette(routes=[Route("/", _page)], middleware=[Middleware(Guard, access=lambda: Access(password=HASHED))])

        def client(address: str) -> httpx.AsyncClient:
            place = httpx.ASGITransport(app=app, client=(address, 40000))
            return httpx.AsyncClient(transport=place, base_url="http://localhost")

        async with client("192.0.2.7") as attacker, client("192.0.2.8") as user:
            guesses = [asyncio.create_task(attacker.post("/", data={login.FIELD: f"guess {n}"})) for n in range(40)]
            await asyncio.sleep(0.5)
            answer = await user.post("/", data={login.FIELD: PASSWORD})
            for guess in guesses:
                guess.cancel()
            await asyncio.gather(*guesses, return_exceptions=True)
        return answer.status_code

    assert asyncio.run(everybody()) == 303


def test_made_up_addresses_share_one_count_that_keeps_nobody_out_who_is_known_or_at_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "OF_ALL", (6, 0.0))
    monkeypatch.setattr(login, "verify_password", lambda given, hashed: given == PASSWORD)
    monkeypatch.setattr(login, "PENALTY", 0.0)
    guard = Middleware(Guard, access=lambda: Access(password=HASHED), port=8501)
    app = ProxyHeadersMiddleware(Starlette(routes=[Route("/", _page)], middleware=[guard]))  # type: ignore[arg-type]

    def guess(password: str, forwarded: str = "") -> int:
        browser = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1), follow_redirects=False)  # type: ignore[arg-type]
        headers = {"x-forwarded-for": forwarded} if forwarded else {}
        return browser.post("/", data={login.FIELD: password}, headers=headers).status_code

    assert guess(PASSWORD, "192.0.2.200") == 303
    answers = [guess("wrong", f"192.0.2.{number}") for number in range(20)]
    assert answers == [401] * 6 + [429] * 14
    assert guess(PASSWORD, "192.0.2.99") == 429, "a stranger waits"
    assert guess(PASSWORD, "192.0.2.200") == 303, "who knew the password before does not"
    assert guess("wrong") == 401 and guess(PASSWORD) == 303, "nor does the owner"


def test_one_address_uses_up_its_own_count_and_a_right_password_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "OF_ONE", (3, 0.0))
    monkeypatch.setattr(login, "verify_password", lambda given, hashed: given == PASSWORD)
    monkeypatch.setattr(login, "PENALTY", 0.0)
    client = _client(Access(password=HASHED), client=("192.0.2.1", 1))
    for _ in range(5):
        assert client.post("/", data={login.FIELD: PASSWORD}).status_code == 303
        client.cookies.clear()
    assert [client.post("/", data={login.FIELD: "wrong"}).status_code for _ in range(4)] == [401, 401, 401, 429]
    assert _with_app_of(client, client=("192.0.2.2", 1)).post("/", data={login.FIELD: PASSWORD}).status_code == 303


def test_the_addresses_of_one_ipv6_network_count_as_one() -> None:
    door = login.Login(HASHED, 8501)._door

    def asked(address: str) -> Request:
        return Request({"type": "http", "headers": [], "client": (address, 1)})

    assert door(asked("2001:db8::1")) is door(asked("2001:db8::ffff"))
    assert door(asked("2001:db8:0:1::1")) is not door(asked("2001:db8::1"))
    assert door(asked("192.0.2.1")) is not door(asked("192.0.2.2"))


def test_no_more_addresses_are_remembered_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "ADDRESSES", 10)
    front = login.Login(HASHED, 8501)
    for number in range(100):
        front._door(Request({"type": "http", "headers": [], "client": (f"192.0.2.{number}", 1)}))
    assert len(front._doors) <= 10
