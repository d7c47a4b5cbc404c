"""The image viewer in a real Chromium: what is drawn are the image's own grey levels, and the tools do what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.chromium import MARKS, dashboard_in, open_page, settle
from playwright.sync_api import Page, expect

pytestmark = [*MARKS, pytest.mark.slow]
# The middle of a pane as grey levels: 21 pixels each way, row by row.
MIDDLE = """
(canvas) => {
  const [x, y] = [Math.round(canvas.width / 2) - 10, Math.round(canvas.height / 2) - 10]
  return [...canvas.getContext("2d").getImageData(x, y, 21, 21).data].filter((_, index) => index % 4 === 0)
}
"""


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """A breast of 16 bits whose grey levels differ by less than a screen shows, chest wall left, as wide as four tiles."""
    random = np.random.default_rng(0)
    levels = np.zeros((2400, 1900), np.uint16)
    inside = cv2.ellipse(np.zeros(levels.shape, np.uint8), (0, 1200), (1300, 1000), 0, -90, 90, 1, -1) > 0
    levels[inside] = random.integers(30_000, 30_256, levels.shape)[inside]
    levels[1:3, 1:3] = 65_535  # the whole range is used, so that nothing is stretched
    return levels


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("viewer")
    data = folder / "data" / "four"
    data.mkdir(parents=True)
    rows = []
    for side, view in (("L", "CC"), ("L", "MLO"), ("R", "CC")):
        cv2.imwrite(str(data / f"{side}_{view}.png"), pixels[:, ::-1] if side == "R" else pixels)
        rows.append({"path": f"{side}_{view}.png", "laterality": side, "view": view})
    frame = pd.DataFrame(rows).assign(patient_id="P", label="benign", split="", lesions="")
    frame.loc[0, "lesions"] = "[[300, 900, 500, 1100]]"
    frame.to_csv(data / "manifest.csv", index=False)
    with dashboard_in(folder) as url:
        yield url


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    with open_page() as page:
        page.goto(f"{url}/inspect")
        page.get_by_role("radio", name="As read").click()
        drawn(page)
        yield page


def drawn(page: Page) -> None:
    """Wait until the page's script is done and every tile that is seen is drawn."""
    settle(page)
    page.wait_for_timeout(300)
    expect(page.locator(".viewer")).to_have_attribute("data-ready", "true")


def test_at_100_percent_the_screen_shows_the_files_own_levels_through_the_window(page: Page, pixels: np.ndarray) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/tile?" in request.url else None)
    pane, canvas = page.locator(".pane"), page.locator(".pane canvas")
    pane.focus()
    page.keyboard.press("1")
    drawn(page)
    viewer = page.locator(".viewer")
    expect(viewer).to_have_attribute("data-zoom", "1.0000")
    assert asked
    before = len(asked)
    page.keyboard.press("w")
    for key in (*["ArrowLeft"] * 12, *["ArrowUp"] * 3, *["ArrowLeft"] * 24):
        page.keyboard.press(key)
    drawn(page)
    box = pane.bounding_box()
    assert box
    page.mouse.move(box["x"] + round(box["width"] / 2) + 0.5, box["y"] + round(box["height"] / 2) + 0.5)
    status = page.locator(".status")
    expect(status).to_contain_text("x ")
    found = re.match(r"x (\d+) y (\d+) · ([\d.]+)", status.inner_text())
    assert found, status.inner_text()
    x, y = int(found[1]), int(found[2])
    assert float(found[3]) == pytest.approx(pixels[y, x] / 65_535, abs=6e-4)
    centre, width = map(float, (viewer.get_attribute("data-window") or "").split())
    part = pixels[y - 10 : y + 11, x - 10 : x + 11] / 65_535
    expected = np.floor(np.clip((part - centre + width / 2) / width, 0, 1) * 255 + 0.5)
    assert len(np.unique(expected)) > 20, "more grey levels than 8 bits have of these"
    assert np.abs(np.array(canvas.evaluate(MIDDLE)).reshape(21, 21) - expected).max() <= 1
    assert len(asked) == before, "a window is no request"


def test_the_tools_turn_measure_invert_and_reset(page: Page) -> None:
    pane = page.locator(".pane")
    pane.focus()
    canvas = page.locator(".pane canvas")
    plain = np.array(canvas.evaluate(MIDDLE))
    page.keyboard.press("i")
    expect(page.get_by_role("button", name="Invert (I)")).to_have_attribute("aria-pressed", "true")
    drawn(page)
    assert np.array(canvas.evaluate(MIDDLE)) == pytest.approx(255 - plain, abs=1)
    page.keyboard.press("r")
    page.keyboard.press("l")  # the loupe begins at the lesion
    expect(page.locator(".status")).to_contain_text("x 400 y 1000")
    page.keyboard.press("l")
    page.keyboard.press("m")
    box = pane.bounding_box()
    assert box
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 100)
    page.mouse.up()
    page.keyboard.press("?")
    expect(page.locator(".viewer dl")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement !== null")
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement === null")


def test_an_image_that_the_server_has_forgotten_is_opened_again_and_one_that_fails_says_why(page: Page) -> None:
    lost = {"status": 404, "json": {"reason": "This image is no longer open here."}}
    page.route("**/tile?**", lambda route: route.fulfill(**lost), times=1)
    page.locator(".pane").focus()
    page.keyboard.press("1")
    expect(page.locator(".viewer")).to_have_attribute("data-ready", "false")
    drawn(page)
    expect(page.locator(".viewer .problem")).to_be_hidden()
    broken = {"status": 500, "json": {"reason": "The preview failed."}}
    page.route("**/tile?**", lambda route: route.fulfill(**broken))
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".viewer .problem")).to_have_text("The preview failed.")


def test_both_breasts_hang_back_to_back_and_move_together(page: Page) -> None:
    page.get_by_role("combobox", name="Views").click()
    page.get_by_role("option", name="Both breasts").click()
    expect(page.locator(".pane")).to_have_count(2)
    drawn(page)
    edges = page.locator(".pane canvas").evaluate_all(
        """(all) => all.map((canvas, index) => {
          const row = canvas.getContext("2d").getImageData(0, canvas.height / 2, canvas.width, 1).data
          return row[4 * (index ? 3 : canvas.width - 4)]
        })"""
    )
    assert all(level > 60 for level in edges), "both chest walls are in the middle"
    first, second = (page.locator(".pane canvas").nth(index) for index in (0, 1))
    page.locator(".pane").first.focus()
    page.keyboard.press("i")
    drawn(page)
    black = [
        canvas.evaluate("(canvas) => canvas.getContext('2d').getImageData(canvas.width / 2, 40, 1, 1).data[0]")
        for canvas in (first, second)
    ]
    assert black == [255, 255], "air is white in both"
    expect(page.get_by_role("button", name="Move the pictures together (K)")).to_have_attribute("aria-pressed", "true")
