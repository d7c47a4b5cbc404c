"""A dashboard of its own in a folder, and the Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000  # ms; two tests share two cores
expect.set_options(timeout=PATIENCE)
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package `chromium`"),
]


@contextmanager
def dashboard_in(folder: Path, *, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()) -> Iterator[str]:
    """The address of a server whose workspace is `folder`; it ends with the context.

    `environment` adds to ours; `arguments` are options of streamlit and, behind `--`, of the dashboard.
    """
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "Home.py")]
    options = [f"--server.port={port}", "--server.headless=true", "--server.fileWatcherType=none"]
    own = {"MAMMOLAB_HOME": str(folder / "home"), "MAMMOLAB_CACHE": str(folder / "cache")}
    own["PYTHONPATH"] = str(ROOT)  # this working tree's code, wherever another one is installed from
    variables = os.environ | own | (environment or {})
    url, path = f"http://127.0.0.1:{port}", folder / "server.log"
    with path.open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [*command, *options, *arguments], cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_for(url, server, path)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    """Until the server answers; its log if it never does."""
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the dashboard did not start:\n{log.read_text(encoding='utf-8')}")


@contextmanager
def open_page() -> Iterator[Page]:
    """An empty page of a fresh browser, as large as a laptop's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def settle(page: Page) -> None:
    """Wait until Streamlit's script has finished."""
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE)


def wait_until(page: Page, true: Callable[[], bool]) -> None:
    """Wait for what the server does with what the browser told it, at most as long as for the browser."""
    end = time.monotonic() + PATIENCE / 1000
    while not true():
        assert time.monotonic() < end, "it did not come to that in time"
        page.wait_for_timeout(50)
