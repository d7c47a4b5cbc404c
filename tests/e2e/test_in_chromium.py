"""The dashboard in a real Chromium, from an empty run folder to a score in the Gradio tab."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from builders.chromium import CHROMIUM, FLAGS, MARKS, PATIENCE, dashboard_in, settle, wait_until
from builders.events import append_event
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from core.config import Config, dump_config
from core.data import read_manifest
from core.demo import make_demo
from core.runs import Run

PAGES = {
    "": "Mammogram classification",
    "data": "Data",
    "inspect": "Inspector",
    "preprocess": "Preprocess",
    "train": "Train",
    "runs": "Runs",
    "evaluate": "Evaluate",
    "explain": "Explain",
    "test_image": "Test image",
    "present": "Present",
}
pytestmark = MARKS


@dataclass
class Lab:
    """A running dashboard and what its pages asked for."""

    url: str
    folder: Path
    outside: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> Page:
        """Note every request that leaves the dashboard's origin."""

        def look(request: Request) -> None:
            if not request.url.startswith((self.url, "data:", "blob:", self.url.replace("http", "ws"))):
                self.outside.append(request.url)

        page.on("request", look)
        page.set_default_timeout(PATIENCE)
        return page

    def open(self, page: Page, path: str) -> None:
        """Open a page and wait until its script has finished."""
        page.goto(f"{self.url}/{path}")
        expect(page.get_by_role("heading", level=1)).to_have_text(PAGES[path], timeout=PATIENCE)
        settle(page)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server in its own workspace: a small demo set, a configuration that trains in seconds, no run yet."""
    folder = tmp_path_factory.mktemp("lab")
    make_demo(folder / "data" / "demo", patients=24, rows=96)
    config = Config.model_validate({"preprocessing": {"size": 64}, "training": {"epochs": 2, "batch_size": 8}})
    (folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    with dashboard_in(folder) as url:
        yield Lab(url, folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One visitor for all tests: what his browser has loaded once, it keeps."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, lab: Lab) -> Iterator[Page]:
    page = lab.watch(context.new_page())
    yield page
    page.close()


@pytest.mark.slow_but("")  # the others are opened by their AppTests, and further below
@pytest.mark.parametrize("path", PAGES)
def test_page_opens_by_its_address_before_anything_is_trained(lab: Lab, page: Page, path: str) -> None:
    lab.open(page, path)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    expect(page.get_by_text("Not a medical device", exact=False).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_clip_limit_changes_the_preview(lab: Lab, page: Page) -> None:
    lab.open(page, "preprocess")
    before = page.get_by_text(re.compile(r"recipe [0-9a-f]{12}")).first
    expect(before).to_be_visible()
    text = before.inner_text()
    slider = page.get_by_role("slider", name=re.compile("clip limit", re.I)).first
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text(re.compile(r"recipe [0-9a-f]{12}")).first).not_to_have_text(text)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def test_the_glossary_opens_within_the_window_and_follows_what_is_typed(lab: Lab, page: Page) -> None:
    lab.open(page, "data")
    page.set_viewport_size({"width": 1280, "height": 720})
    page.get_by_role("button", name="Glossary").click()
    terms = page.get_by_role("region", name="Glossary")
    expect(terms).to_contain_text("CLAHE")

    def within_the_window() -> bool:
        box = terms.bounding_box()
        return box is not None and box["height"] > 300 and box["y"] >= 0 and box["y"] + box["height"] <= 720

    wait_until(page, within_the_window)  # the terms may be there a moment before their styles
    search = page.get_by_label("Search the glossary")
    search.press_sequentially("operating point")  # without Enter
    expect(terms.locator("dt").first).to_have_text("Threshold (operating point)", timeout=PATIENCE)
    expect(terms).not_to_contain_text("CLAHE")
    search.fill("no such term")
    expect(terms).to_contain_text("No term has all of these words")


def test_whole_loop_from_training_to_a_score(lab: Lab, page: Page, browser: Browser) -> None:
    lab.open(page, "train")
    name = page.get_by_role("textbox", name="Run name")
    name.fill("clicked")
    name.press("Enter")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("button", name="Stop and keep best model").or_(page.get_by_text("Finished after"))).to_be_visible()

    second = lab.watch(browser.new_context(viewport={"width": 1440, "height": 900}).new_page())
    lab.open(second, "train")  # a second tab, with a session of its own, shows the same run
    expect(second.get_by_text("clicked").first).to_be_visible()
    second.context.close()

    page.reload()
    expect(page.get_by_text("Finished after 2 epochs")).to_be_visible()
    status = json.loads((lab.folder / "checkpoints/clicked/status.json").read_text(encoding="utf-8"))
    assert status["state"] == "done"

    page.get_by_role("button", name="Evaluate").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Evaluate")
    page.get_by_role("button", name="Score the validation set").click()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    expect(page.get_by_text("ROC AUC").first).to_be_visible()

    lab.open(page, "explain")
    expect(page.get_by_role("button", name="Save overlay to the run")).to_be_visible()
    look = page.locator(".heat")
    expect(look).to_have_attribute("data-look", "0.7 inferno")
    page.get_by_role("slider", name="Opacity").press("ArrowRight")
    expect(look).to_have_attribute("data-look", "0.75 inferno")
    page.get_by_label("Colours").select_option("viridis")
    expect(look).to_have_attribute("data-look", "0.75 viridis")
    kept = lab.folder / ".mammolab" / "browsers"
    wait_until(page, lambda: any("viridis" in file.read_text(encoding="utf-8") for file in kept.glob("*.json")))
    page.reload()  # what was chosen in the browser is kept by the server
    expect(page.locator(".heat")).to_have_attribute("data-look", "0.75 viridis")
    viewer = page.locator(".heat .viewer[data-ready=true]")
    expect(viewer).to_have_attribute("data-held", "false")
    page.locator(".heat .pane").nth(1).focus()
    page.keyboard.down("Space")  # the image alone, while it is held
    expect(viewer).to_have_attribute("data-held", "true")
    page.keyboard.up("Space")
    expect(viewer).to_have_attribute("data-held", "false")
    page.get_by_label("Swipe").check()
    expect(page.get_by_role("slider", name="image and heatmap")).to_have_attribute("aria-valuenow", "50")

    lab.open(page, "test_image")
    tab = page.frame_locator("iframe[src*='gradio/']")
    expect(tab.get_by_label("Model")).to_have_value("clicked")  # the tab has loaded: it takes no file before
    rows = pd.read_csv(lab.folder / "data/demo/manifest.csv", dtype=str)
    dicom = next(path for path in rows["path"] if path.endswith(".dcm"))
    tab.locator("input[type=file]").first.set_input_files(str(lab.folder / "data/demo" / dicom))
    expect(tab.get_by_text(re.compile(r"The model calls this image (benign|malignant)"))).to_be_visible(timeout=PATIENCE)
    expect(tab.get_by_role("img", name=re.compile("as the model sees it"))).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


@pytest.mark.slow
def test_a_chart_stays_zoomed_while_points_arrive_and_the_run_changes_its_state(lab: Lab, page: Page) -> None:
    config = Config.model_validate({"preprocessing": {"size": 64}, "checkpoints": lab.folder / "checkpoints"})
    run = Run.create(config, read_manifest(lab.folder / "data/demo/manifest.csv"), name="watched")

    def step(number: int) -> None:
        append_event(
            run, {"type": "step", "epoch": 1 + number // 10, "step": 1 + number % 10, "steps": 10, "loss": 1 / (1 + number)}
        )

    def trained(state: str) -> None:  # elsewhere: all that this machine sees of it is its folder
        run.set_status(state=state, host="elsewhere", pid=1, heartbeat=time.time() + 240, epochs=9)

    for number in range(40):
        step(number)
    trained("running")
    lab.open(page, "train")
    plot = page.locator(".js-plotly-plot").first
    area = plot.locator(".nsewdrag").first
    area.wait_for()
    box = area.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.7, steps=5)
    page.mouse.up()
    page.wait_for_function("window._mammolabZooms?.size")
    shown = "plot => plot._fullLayout.xaxis.range"
    zoomed = plot.evaluate(shown)
    assert zoomed[0] > 0.5
    for number in range(40, 45):
        step(number)
    trained("paused")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    settle(page)
    assert plot.evaluate(shown) == zoomed
    trained("stopped")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    settle(page)
    assert plot.evaluate(shown) == zoomed
    run.delete()


def test_nothing_was_asked_of_outside_hosts(lab: Lab, page: Page) -> None:
    for path in ("", "inspect", "runs"):  # the others were opened above, those that show a run with one
        lab.open(page, path)
    page.wait_for_timeout(1500)
    assert lab.outside == []
