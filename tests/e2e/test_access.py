"""What a foreign page can do from a browser, and the password, in a real Chromium."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders.chromium import MARKS, dashboard_in, open_page, settle
from playwright.sync_api import expect

pytestmark = [*MARKS, pytest.mark.slow]

_ATTACK = """async (base) => {
  const tried = {};
  const attempt = async (name, work) => { try { tried[name] = await work(); } catch (error) { tried[name] = 'failed'; } };
  const read = async (path, options) => (await fetch(base + path, options)).status;
  await attempt('page', () => read('/'));
  await attempt('config', () => read('/gradio/config'));
  await attempt('config with cookies', () => read('/gradio/config', {credentials: 'include'}));
  const form = new FormData(); form.append('files', new Blob(['x'.repeat(100)]), 'x.png');
  // Opaque: the browser tells nothing of the answer, but the request is sent. The server's folder tells.
  await attempt('upload', () => fetch(base + '/gradio/gradio_api/upload', {method: 'POST', body: form, mode: 'no-cors'}));
  const json = {method: 'POST', headers: {'content-type': 'application/json'}, body: '{}'};
  await attempt('event', () => read('/gradio/gradio_api/queue/join', json));
  await attempt('socket', () => new Promise((done) => {
    const socket = new WebSocket(base.replace('http', 'ws') + '/_stcore/stream', ['streamlit']);
    socket.onopen = () => done('open'); socket.onerror = () => done('failed');
  }));
  await attempt('picture', () => new Promise((done) => {
    const image = new Image(); image.onload = () => done('loaded'); image.onerror = () => done('failed');
    image.src = base + '/favicon.png';
  }));
  await attempt('script', () => new Promise((done) => {
    const script = document.createElement('script');
    script.onload = () => done('loaded'); script.onerror = () => done('failed');
    script.src = base + '/plotly-7.1.0.min.js'; document.head.append(script);
  }));
  return tried;
}"""


@contextmanager
def _foreign_site() -> Iterator[str]:
    """Another program of this machine that serves a page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title><p>other</p>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}/"
        site.shutdown()
        thread.join()


def test_a_page_of_another_origin_reads_nothing_and_writes_nothing(tmp_path: Path) -> None:
    with dashboard_in(tmp_path) as url, _foreign_site() as other, open_page() as page:
        page.goto(url)  # our own page works, and the browser has whatever cookies it gives
        settle(page)
        page.goto(f"{url}/gradio/")
        expect(page.locator("gradio-app")).to_be_visible()
        page.goto(other)
        tried = page.evaluate(_ATTACK, url)
        assert {name: what for name, what in tried.items() if what != "failed" and name != "upload"} == {}
        uploaded = [path for path in (tmp_path / "cache").glob("uploads-*/*/*") if path.is_file()]
        assert uploaded == []
        page.set_content(f'<iframe src="{url}/train" width="900" height="600"></iframe>')
        page.wait_for_timeout(1500)
        assert "Train" not in "".join(frame.content() for frame in page.frames if frame.url.startswith(url))


def test_the_password_is_asked_for_once_and_opens_pages_and_the_gradio_tab(tmp_path: Path) -> None:
    with dashboard_in(tmp_path, environment={"MAMMOLAB_PASSWORD": "correct horse"}) as url, open_page() as page:
        page.goto(f"{url}/train")
        expect(page.get_by_label("Password")).to_be_visible()
        page.get_by_label("Password").fill("battery staple")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("This is not the password.")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Train")).to_be_visible()
        assert page.url == f"{url}/train"
        page.goto(f"{url}/gradio/")
        expect(page.get_by_text("Mammograms: DICOM")).to_be_visible()
        page.goto(f"{url}/")
        settle(page)
        page.get_by_role("link", name="Log out").click()
        expect(page.get_by_text("You are logged out.")).to_be_visible()
        page.goto(f"{url}/runs")
        expect(page.get_by_label("Password")).to_be_visible()
