"""From a moved slider to the new picture of a 4096 x 3328 16-bit mammogram, in the server and on screen, idle and while a
training runs.

In the server: the functions that the Preprocess page's pictures come from, against the way one would write it at first
(prepare the whole image for "before" and for "after", write both as PNG). On screen, where a Chromium is installed: the
dashboard is started, the clip limit is moved by keyboard and by mouse, and the time counts from the input event to the
frame after the picture of that value (or a newer one) is in the page, decoded.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.prepare import drawn_breast
from core.config import Config, Recipe, dump_config, load_config
from core.demo import make_demo

if TYPE_CHECKING:
    from dashboard.cache.images import ImageRef

ROOT = Path(__file__).parents[1]
MOVES = 40
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
# Each input event waits in `pending`; a picture settles those of its value and of all before, a frame after it is shown.
WATCH = """
() => {
  const seen = (window.seen = [])
  let pending = []
  window.mammolab.addEventListener("values", ({ detail }) => pending.push([performance.now(), JSON.stringify(detail)]))
  window.mammolab.addEventListener("result", ({ detail }) => {
    const names = pending.length ? Object.keys(JSON.parse(pending[0][1])) : []
    const shown = JSON.stringify(Object.fromEntries(names.map((name) => [name, detail.full[name]])))
    const last = pending.findLastIndex(([, wanted]) => wanted === shown)
    const settled = pending.splice(0, last + 1)
    requestAnimationFrame(() => requestAnimationFrame(() => settled.forEach(([since]) => seen.push(performance.now() - since))))
  })
}
"""


def run() -> None:
    """Print p50 and p95 in milliseconds, and the ratio to the naive way."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dicom(folder / "large.dcm")
        make_demo(folder / "data" / "demo", patients=24, rows=400)
        config = Config.model_validate({"training": {"epochs": 1000, "patience": 0, "batch_size": 8}})
        (folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        in_server(folder)
        on_screen(folder)


def write_dicom(path: Path) -> None:
    """A drawn breast with noise as an uncompressed 16-bit DICOM file for presentation."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    pixels = drawn_breast().pixels
    noise = np.random.default_rng(0).normal(0, 0.01, pixels.shape).astype(np.float32)
    pixels = np.where(pixels > 0, np.clip(pixels + noise, 0.01, 1), 0)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality, data.ImageLaterality, data.ViewPosition = "MG", "L", "CC"
    data.PresentationIntentType, data.PhotometricInterpretation = "FOR PRESENTATION", "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelData = (pixels * 65535).astype("<u2").tobytes()
    data.save_as(path, enforce_file_format=True)


# ---------------------------------------------------------------- in the server


def in_server(folder: Path) -> None:
    """The message that the page's picture comes in, made again and again with another clip limit."""
    from dashboard.cache import images, previews

    image = images.image_ref(folder / "large.dcm")
    seen, spot = previews.Shown(previews.geometry_of(image, Recipe())), (0.4, 0.5)

    def ours(recipe: Recipe) -> None:
        previews.picture(image, recipe, spot, seen)

    def naive(recipe: Recipe) -> None:
        from core.images.encode import encode_png
        from core.preprocessing import prepare
        from core.preprocessing.preview import neutral

        mammogram = images.mammogram(image, recipe)
        large = {"size": 1024}
        for each in (recipe, neutral(recipe)):
            encode_png(prepare(mammogram, each.model_copy(update=large)).pixels, compression=6)

    ours(Recipe())  # the first decode
    worked = time.process_time()
    idle = report("server, idle", measure(ours, 0))
    print(f"  of it at work on all cores together: {(time.process_time() - worked) * 1000 / MOVES:.0f} ms a move")
    parts(image, idle)
    usual = report("naive way, idle", measure(naive, 0, MOVES // 4))
    print(f"  ratio {usual / idle:.1f}")
    with training(folder):
        busy = report("server, while training", measure(ours, 1))
        usual = report("naive way, while training", measure(naive, 1, MOVES // 4))
        print(f"  ratio {usual / busy:.1f}")


def parts(image: ImageRef, picture: float) -> None:
    """What a zoomed view asks for while it is moved, 1,000 screen pixels wide, against a new picture (milliseconds)."""
    from core.preprocessing.preview import Cut
    from dashboard.cache import previews

    for name, side in (("one screen pixel a pixel", 0.3), ("a few pixels each", 0.8)):
        spent = []
        for index in range(MOVES):
            left = 0.2 * index / MOVES
            began = time.perf_counter()
            previews.native(image, Recipe(), Cut(left, 0.1, left + side, 0.1 + side, 1000))
            spent.append((time.perf_counter() - began) * 1000)
        print(f"  ratio to a picture {report(f'server, a part of it, {name}', spent) / picture:.2f}")


def measure(call: Callable[[Recipe], None], start: int, count: int = MOVES) -> list[float]:
    """Milliseconds of `count` calls, each with a recipe that no call saw before, a drag's pause between them."""
    spent = []
    for index in range(count):
        recipe = Recipe(clip_limit=1 + 0.1 * index + 0.05 * start)
        began = time.perf_counter()
        call(recipe)
        spent.append((time.perf_counter() - began) * 1000)
        time.sleep(0.02)
    return spent


def report(name: str, milliseconds: list[float]) -> float:
    """Print the percentiles; returns the median."""
    p50, p95 = np.percentile(milliseconds, (50, 95))
    print(f"{name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms ({len(milliseconds)} moves)")
    return float(p50)


@contextmanager
def training(folder: Path) -> Iterator[None]:
    """A training of the small network in a thread of this process, as the dashboard starts them; stopped at the end."""
    from core.data.manifest import read_manifest
    from core.runs import Run
    from core.training.launchers import start_thread

    config = load_config(folder / "config.yaml").model_copy(update={"checkpoints": folder / "checkpoints"})
    run = Run.create(config, read_manifest(folder / "data" / "demo" / "manifest.csv"), name="busy")
    job = start_thread(run)
    try:
        wait(lambda: run.status().state == "running" and bool(run.events()), "the training did not start")
        time.sleep(3)
        yield
    finally:
        run.request("stop")
        job.join(60)


def wait(until: Callable[[], bool], problem: str, seconds: float = 120) -> None:
    """Wait for something to become true. Raises RuntimeError when it does not."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise RuntimeError(problem)
        time.sleep(0.2)


# ---------------------------------------------------------------- on screen


def on_screen(folder: Path) -> None:
    """The same in a browser, or a line why not."""
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
        open_large(page, url, str(folder / "large.dcm"))
        moves(page, "idle")
        page.goto(f"{url}/train")
        page.get_by_role("button", name="Start training").click()
        page.get_by_role("button", name="Stop, keep the best").wait_for()
        time.sleep(5)
        open_large(page, url, "")
        moves(page, "while training")
        page.goto(f"{url}/train")
        page.get_by_role("button", name="Stop, keep the best").click()
        time.sleep(2)
        browser.close()


def open_large(page: Any, url: str, path: str) -> None:
    """Open the Preprocess page at the large file (given once: the page remembers it) and wait until it is at rest."""
    page.goto(f"{url}/preprocess")
    if path:
        page.get_by_role("radio", name="File path").click()
        box = page.get_by_label("Path of an image on this machine")
        box.fill(path)
        box.press("Enter")
    page.wait_for_selector(".preview[data-recipe]", state="attached")
    time.sleep(8)  # the grid has been read by then


def moves(page: Any, state: str) -> None:
    """Move the clip limit by keyboard, then by mouse, and print how long the pictures took."""
    page.evaluate(WATCH)
    slider = page.locator("input[type=range][data-name=clip_limit]")
    slider.focus()
    for index in range(MOVES):
        page.keyboard.press("ArrowRight" if index < MOVES / 2 else "ArrowLeft")
        page.wait_for_timeout(250)
    report(f"on screen, keys, {state}", settled(page))
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.2, middle)
    page.mouse.down()
    for index in range(MOVES):
        page.mouse.move(box["x"] + box["width"] * (0.2 + 0.6 * index / MOVES), middle)
        page.wait_for_timeout(50)
    page.mouse.up()
    report(f"on screen, dragging, {state}", settled(page))


def settled(page: Any) -> list[float]:
    """The times noted so far, once nothing is under way; forgets them."""
    page.wait_for_timeout(1500)
    times: list[float] = page.evaluate("window.seen.splice(0)")
    return times


@contextmanager
def dashboard(folder: Path) -> Iterator[str]:
    """The dashboard, working in this folder; its address."""
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "Home.py")]
    options = [f"--server.port={port}", "--server.headless=true", "--server.fileWatcherType=none"]
    homes = {"MAMMOLAB_HOME": str(folder / "home"), "MAMMOLAB_CACHE": str(folder / "cache")}
    with (folder / "server.log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen([*command, *options], cwd=folder, env=os.environ | homes, stdout=log, stderr=log)
        try:
            wait(lambda: server.poll() is not None or answers(port), "the dashboard did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=60)


def answers(port: int) -> bool:
    """Whether the dashboard is up."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
    except OSError:
        return False
    return True
