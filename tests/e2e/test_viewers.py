"""Several people at one dashboard, and proxies in front of it, in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders.chromium import CHROMIUM, FLAGS, MARKS, PATIENCE, dashboard_in, settle
from builders.proxy import proxy_before
from playwright.sync_api import Browser, FrameLocator, Page, expect, sync_playwright

from core.config import Config, dump_config
from core.data import read_manifest
from core.demo import make_demo
from core.runs import Run
from core.training.launchers import run_to_end

pytestmark = [*MARKS, pytest.mark.slow]
PUBLIC = "lab.example.org"


@dataclass
class Lab:
    url: str
    folder: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A dashboard with two data sets and a small run, which answers to PUBLIC as well."""
    folder = tmp_path_factory.mktemp("viewers")
    manifest = make_demo(folder / "data" / "demo", patients=24, rows=100)
    table = read_manifest(manifest).drop(columns="synthetic", errors="ignore")
    table.to_csv(folder / "data" / "other.csv", index=False)
    settings = {
        "preprocessing": {"size": 32, "clahe": False},
        "model": {"options": {"width": 8}},
        "training": {"epochs": 1, "batch_size": 8, "device": "cpu", "advanced": {"threads": 1}},
        "dashboard": {"hosts": [PUBLIC]},
    }
    config = Config.model_validate(settings | {"checkpoints": folder / "checkpoints"})
    (folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    run_to_end(Run.create(config, read_manifest(manifest), name="small"))
    with dashboard_in(folder) as url:
        yield Lab(url, folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        rules = f"--host-resolver-rules=MAP {PUBLIC} 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
        yield browser
        browser.close()


def person(browser: Browser, **options: object) -> Page:
    """A page of a browser of its own: no cookies of another one."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}, **options).new_page()
    page.set_default_timeout(PATIENCE)
    return page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = person(browser)
    yield page
    page.context.close()


@pytest.fixture
def another(browser: Browser) -> Iterator[Page]:
    page = person(browser)
    yield page
    page.context.close()


def tab(page: Page) -> FrameLocator:
    """The Gradio tab, when it has loaded."""
    frame = page.frame_locator("iframe[src*='gradio/']")
    expect(frame.get_by_label("Model")).to_have_value("small")
    return frame


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=re.compile(label)).first.click()
    page.get_by_role("option", name=option).click()
    settle(page)


def gamma(page: Page) -> str:
    page.wait_for_selector(".preview[data-recipe]", state="attached")
    return page.get_by_role("slider", name=re.compile("gamma", re.I)).first.input_value()


def test_a_slider_survives_a_reload_and_is_nobody_elses(lab: Lab, page: Page, another: Page) -> None:
    page.goto(f"{lab.url}/preprocess")
    before = gamma(page)
    slider = page.get_by_role("slider", name=re.compile("gamma", re.I)).first
    for _ in range(5):
        slider.press("ArrowRight")
    moved = slider.input_value()
    assert moved != before
    page.wait_for_function("!window.mammolab.dirty")
    settle(page)
    page.reload()
    assert gamma(page) == moved
    another.goto(f"{lab.url}/preprocess")
    assert gamma(another) == before


def test_the_tab_shows_the_data_set_and_the_badge_of_its_own_session(lab: Lab, page: Page, another: Page) -> None:
    page.goto(f"{lab.url}/data")
    settle(page)
    choose(page, "Data set", "data/demo/manifest.csv")
    another.goto(f"{lab.url}/data")
    settle(another)
    choose(another, "Data set", "data/other.csv")
    for who, set_name, synthetic in ((page, "data/demo", 1), (another, "data/other.csv", 0)):
        who.goto(f"{lab.url}/test_image")
        tab(who)
        expect(who.locator(".lab-status")).to_contain_text(set_name)
        expect(who.get_by_text("Synthetic demo images")).to_have_count(synthetic)
    frames = [who.locator("iframe[src*='gradio/']").get_attribute("src") or "" for who in (page, another)]
    assert frames[0] != frames[1] and not any("manifest" in each or "other" in each for each in frames)


def test_the_tab_follows_the_theme_at_once(lab: Lab, page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(f"{lab.url}/test_image")
    body = tab(page).locator("body")
    expect(body).not_to_have_class(re.compile("dark"))
    page.emulate_media(color_scheme="dark")
    expect(body).to_have_class(re.compile("dark"))
    page.emulate_media(color_scheme="light")
    expect(body).not_to_have_class(re.compile("dark"))


@pytest.mark.parametrize(
    ("host", "prefix", "keep_host"),
    [("127.0.0.1", "/user/me/proxy/8633", True), (PUBLIC, "", False), (PUBLIC, "/lab", False)],
    ids=["JupyterHub and code-server: the prefix goes", "nginx as it comes: the host goes", "both go"],
)
def test_pages_work_behind_proxies(lab: Lab, page: Page, host: str, prefix: str, keep_host: bool) -> None:
    failed: list[str] = []
    page.on("response", lambda each: failed.append(each.url) if each.status >= 400 and "_stcore" not in each.url else None)
    with proxy_before(lab.url, prefix, keep_host=keep_host) as port:
        url = f"http://{host}:{port}{prefix}"
        page.goto(f"{url}/data")
        page.get_by_role("radio", name="Counts").click()
        expect(page.locator(".js-plotly-plot").first).to_be_visible()
        page.get_by_role("link", name="Preprocess").first.click()
        page.wait_for_selector(".preview[data-recipe]", state="attached")
        expect(page.locator(".problem")).to_be_hidden()
        page.get_by_role("link", name="Test image").first.click()
        frame = tab(page)
        frame.locator(".examples button").first.click()
        picture = frame.locator(".film img").first
        expect(picture).to_be_visible()
        page.wait_for_timeout(300)
        assert picture.evaluate("each => each.complete && each.naturalWidth > 0")
    assert failed == []
