"""From a wish to the tile of a 4096 x 3328 16-bit mammogram: in the server, and in Chromium until a whole screen is drawn.

In the server: the first tile of a file that nobody has read, then of every level, against the same tile as a 16-bit PNG (in two
channels of 8 bits, which is what a browser could read), and against a whole image as PNG. On screen, where a Chromium is
installed: the Inspector shows the file, is set to 100 %, moved by a screen, and its window is dragged; the time counts until
every tile is drawn, or from one frame to the next.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.preview import FLAGS, dashboard, report, write_dicom
from core.config import Config, Recipe, dump_config

MOVES = 24
ACROSS, DOWN = 4, 3  # tiles that 1,440 x 900 screen pixels touch, at most
# The viewer is in a shadow root; two frames after a key its tiles have been asked for.
READY = """
() => new Promise((done) => {
  const inside = (node) => [...node.querySelectorAll("*")].flatMap(({ shadowRoot }) => shadowRoot ?? [])
  const roots = (node) => [node, ...inside(node).flatMap(roots)]
  const viewer = roots(document).map((root) => root.querySelector(".viewer")).find(Boolean)
  const look = () => (viewer.dataset.ready === "true" ? done() : requestAnimationFrame(look))
  requestAnimationFrame(() => requestAnimationFrame(look))
})
"""


def run() -> None:
    """Print p50 and p95 in milliseconds, and ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dicom(folder / "large.dcm")
        (folder / "config.yaml").write_text(dump_config(Config()), encoding="utf-8")
        in_server(folder / "large.dcm")
        on_screen(folder)


def in_server(path: Path) -> None:
    """What a request for a tile costs, without the way to the browser."""
    from core.images.encode import encode_png
    from dashboard.cache import images, tiles

    image, recipe = images.image_ref(path), Recipe()

    def ours(place: tiles.Place, stage: str = "clahe") -> bytes:
        return tiles.packed(tiles.tile(image, recipe, stage, place))

    def as_png(levels: Any) -> bytes:
        halves = np.dstack([np.zeros_like(levels), levels & 255, levels >> 8])
        return encode_png(halves.astype(np.uint8))

    spent("first tile, as read, nothing decoded", lambda: ours(tiles.Place(0, 3, 3), "original"))
    spent("first tile after CLAHE, decoded", lambda: ours(tiles.Place(0, 3, 3)))
    spent("first tile of the coarsest level", lambda: ours(tiles.Place(3, 0, 0)))
    width, height = tiles.staged(image, recipe, "clahe").size
    places = [tiles.Place(0, x, y) for y in range(-(-height // tiles.TILE)) for x in range(-(-width // tiles.TILE))]
    found = [tiles.tile(image, recipe, "clahe", place) for place in places]
    packed = report("a tile", [_timed(partial(ours, place)) for place in places])
    png = report("the same as PNG", [_timed(partial(as_png, each)) for each in found])
    sizes = [sum(map(len, map(make, found))) for make in (tiles.packed, as_png)]
    print(
        f"  ratio of time {packed / png:.2f}, of bytes {sizes[0] / sizes[1]:.2f}; {sizes[0] / len(found) / 1024:.0f} KiB a tile"
    )
    screen = [tiles.Place(0, x, y) for y in range(2, 2 + DOWN) for x in range(ACROSS)]
    whole = spent(f"a whole screen, {len(screen)} tiles", lambda: [ours(place) for place in screen])
    image_png = spent("the whole image as PNG", lambda: as_png(images.enhanced(image, recipe).pixels))
    print(f"  ratio {whole / image_png:.2f}")


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def spent(name: str, call: Callable[[], object]) -> float:
    """Print what one call took, in milliseconds, and return it."""
    took = _timed(call)
    print(f"{name}: {took:.0f} ms")
    return took


def on_screen(folder: Path) -> None:
    """The Inspector with the file, or a line why not."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("on screen: skipped, there is no Chromium with Playwright on this machine")
        return
    with dashboard(folder) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"{url}/inspect")
        page.get_by_role("radio", name="File path").click()
        box = page.get_by_label("Path of an image on this machine")
        box.fill(str(folder / "large.dcm"))
        box.press("Enter")
        page.wait_for_selector(".viewer[data-ready=true]", state="attached")
        page.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'")
        page.locator(".viewer .pane").first.focus()
        page.wait_for_timeout(20_000)  # the server reads its heavy libraries in the background
        spent("on screen, 100 %", lambda: _drawn(page, "1"))
        steps = ["ArrowDown", "ArrowRight", "ArrowDown", "ArrowLeft"] * 2
        report("on screen, moved by 300 px", [_timed(partial(_drawn, page, *[key] * 5)) for key in steps])
        page.keyboard.press("w")
        report("on screen, window, a frame", [_timed(partial(_drawn, page, key)) for key in steps * 3])
        page.keyboard.press("w")
        page.keyboard.press("0")
        spent("on screen, whole picture again", lambda: _drawn(page))
        browser.close()


def _drawn(page: Any, *keys: str) -> None:
    """Press keys and wait until every tile that they ask for is drawn."""
    for key in keys:
        page.keyboard.press(key)
    page.evaluate(READY)
