"""The Evaluate page in a real Chromium: everything follows the threshold while the hand still holds it; parts keep it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from builders.chromium import MARKS, dashboard_in, open_page, settle
from playwright.sync_api import Page, expect

from core.config import Config, dump_config
from core.data import read_manifest
from core.demo import make_demo
from core.evaluate import evaluate
from core.runs import Run
from core.training.launchers import run_to_end

pytestmark = [*MARKS, pytest.mark.slow]
GROUPS = {
    "Overview": ["Curves", "Calibration", "All numbers"],
    "Threshold": ["Choose a threshold", "Screening"],
    "Subgroups & shortcuts": ["Subgroups", "Shortcuts", "Patients"],
    "Cases": ["Mistakes", "All images"],
    "Compare": ["Compare runs", "Reader"],
}


def show(page: Page, group: str, part: str = "") -> None:
    """Choose a part of the page as a hand does."""
    for name in filter(None, (group, part)):
        page.get_by_role("radio", name=name, exact=True).click()
        settle(page)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard in its own workspace, with a run on a small demo set whose validation set has been scored."""
    folder = tmp_path_factory.mktemp("evaluated")
    manifest = make_demo(folder / "data" / "demo", patients=48, rows=100)  # fewer: too few malignant to tell anything
    settings = {
        "preprocessing": {"size": 32, "clahe": False},
        "model": {"options": {"width": 8}},
        "training": {"epochs": 1, "batch_size": 8, "device": "cpu", "advanced": {"threads": 1}},
    }
    config = Config.model_validate(settings | {"checkpoints": folder / "checkpoints", "evaluation": {"bootstrap_samples": 200}})
    (folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    run = Run.create(config, read_manifest(manifest), name="scored")
    run_to_end(run)
    evaluate(run, "val")
    with dashboard_in(folder) as url:
        yield url


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    with open_page() as page:
        page.goto(f"{url}/evaluate")
        show(page, "Overview", "Curves")  # the part of the test before is kept
        page.locator(".js-plotly-plot").nth(4).wait_for()
        settle(page)
        yield page


def marked(page: Page) -> list[float]:
    """Where the ROC curve is marked."""
    where = page.locator(".js-plotly-plot").first.evaluate("plot => [plot.data.at(-1).x[0], plot.data.at(-1).y[0]]")
    return [float(value) for value in where]


def test_cards_and_figures_follow_the_hand_and_no_figure_is_built_anew(page: Page) -> None:
    plots = page.locator(".js-plotly-plot")
    for index in range(5):
        plots.nth(index).evaluate("plot => (plot._same = true)")
    before = marked(page)
    cells = plots.nth(2).evaluate("plot => plot.data[0].text.flat().join()")
    expect(page.locator(".dial .badge")).to_have_text("fixed (in use)")
    frozen = page.locator(".dial .value").inner_text()
    box = page.get_by_role("slider", name="Threshold").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.98, box["y"] + box["height"] / 2, steps=6)
    expect(page.locator(".dial .badge")).to_have_text("exploring")
    page.wait_for_function("y => document.querySelector('.js-plotly-plot').data.at(-1).y[0] !== y", arg=before[1])
    page.wait_for_timeout(600)
    assert plots.nth(2).evaluate("plot => plot.data[0].text.flat().join()") != cells
    sensitivity = page.locator(".dial [data-card=sensitivity] .number").inner_text()
    assert float(sensitivity) == pytest.approx(marked(page)[1], abs=6e-4)
    explored = page.locator(".dial .value").inner_text()
    page.mouse.up()
    page.wait_for_timeout(500)
    settle(page)
    assert plots.evaluate_all("plots => plots.every((plot) => plot._same)")

    page.reload()
    expect(page.locator(".dial .value")).to_have_text(explored)
    page.get_by_role("button", name="Back to the one in use").click()
    expect(page.locator(".dial .value")).to_have_text(frozen)
    page.wait_for_timeout(500)
    settle(page)
    page.reload()
    expect(page.locator(".dial .badge")).to_have_text("fixed (in use)")


def test_arrow_keys_move_the_threshold_by_a_step_and_parts_keep_it(page: Page) -> None:
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".dial .badge")).to_have_text("exploring")
    page.wait_for_timeout(600)
    settle(page)
    threshold = page.locator(".dial").get_attribute("data-threshold")
    for group, part in [(group, part) for group, parts in GROUPS.items() for part in parts or [""]]:
        show(page, group, part)
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)
        assert page.locator(".dial").get_attribute("data-threshold") == threshold
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.locator(".dial .reset").click()


def test_the_prevalence_slider_turns_the_threshold_into_women(page: Page) -> None:
    show(page, "Threshold", "Screening")
    slider = page.get_by_role("slider", name="Prevalence")
    expect(page.locator(".screening .sentence")).to_contain_text("Of 1,000 images scored, 5 show cancer.")
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator(".screening .sentence")).to_contain_text("Of 1,000 images scored, 500 show cancer.")
    mark = page.locator(".js-plotly-plot").first
    page.wait_for_function("() => document.querySelector('.js-plotly-plot').layout.shapes[0].x0 === 0.5")
    assert mark.evaluate("plot => plot.layout.shapes[0].x1") == 0.5
