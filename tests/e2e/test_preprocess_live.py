"""The Preprocess page's sliders in a real Chromium: picture, loupe, numbers and grid follow; undo and presets work."""

from __future__ import annotations

import re
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from builders.chromium import MARKS, dashboard_in, open_page
from playwright.sync_api import Page, expect

from core.demo import make_demo

pytestmark = [*MARKS, pytest.mark.slow]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard in its own workspace with a small demo set."""
    folder = tmp_path_factory.mktemp("live")
    make_demo(folder / "data" / "demo", patients=8, rows=400)
    levels = np.zeros((2400, 1600), np.uint8)
    cv2.ellipse(levels, (0, 1200), (1100, 900), 0, -90, 90, 150, -1)
    noise = np.random.default_rng(0).integers(-20, 20, levels.shape)
    cv2.imwrite(str(folder / "large.png"), np.where(levels > 0, levels + noise, 0).astype(np.uint8))
    with dashboard_in(folder) as url:
        yield url


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    with open_page() as page:
        page.goto(f"{url}/preprocess")
        page.wait_for_selector(".preview[data-recipe]", state="attached")
        settle(page)
        yield page


def settle(page: Page) -> None:
    """Wait until the page's script has finished and the model's input on it is that of the picture."""
    page.wait_for_function(
        """() => {
          const app = document.querySelector("[data-testid=stApp]")
          return app.dataset.testScriptState === "notRunning" && !window.mammolab.dirty
        }"""
    )


def shown(page: Page) -> dict[str, str]:
    """What the live parts show."""
    return {
        "picture": page.locator(".after img").first.get_attribute("src") or "",
        "loupe": page.locator(".loupe img").nth(1).get_attribute("src") or "",
        "contrast": page.locator(".numbers .contrast").inner_text(),
        "recipe": page.locator(".preview").get_attribute("data-recipe") or "",
    }


def wait_for_recipe(page: Page, *, other_than: str = "", same_as: str = "") -> None:
    wanted = "recipe === same" if same_as else "recipe && recipe !== other"
    found = "const find = (root) => root.querySelector('.preview') ?? [...root.querySelectorAll('*')]"
    found += ".filter((each) => each.shadowRoot).map((each) => find(each.shadowRoot)).find(Boolean)"
    script = f"([other, same]) => {{ {found}; const recipe = find(document).dataset.recipe; return {wanted} }}"
    page.wait_for_function(script, arg=[other_than, same_as])


def test_picture_loupe_and_numbers_follow_the_hand_before_it_lets_go(page: Page) -> None:
    before = shown(page)
    box = page.get_by_role("slider", name="Clip limit", exact=True).bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=5)
    wait_for_recipe(page, other_than=before["recipe"])  # the button is still down
    page.wait_for_timeout(1000)
    during = shown(page)
    assert all(during[name] != before[name] for name in before)
    assert page.get_by_role("button", name="Undo", exact=True).is_disabled()  # the page's script knows nothing yet
    page.mouse.up()
    expect(page.get_by_text(f"recipe {during['recipe']}")).to_be_visible()  # training would get what is shown

    page.get_by_role("button", name="Undo", exact=True).click()
    wait_for_recipe(page, same_as=before["recipe"])
    expect(page.locator(".numbers .contrast")).to_have_text(before["contrast"])
    expect(page.get_by_text(f"recipe {before['recipe']}")).to_be_visible()
    page.get_by_role("button", name="Redo", exact=True).click()
    wait_for_recipe(page, same_as=during["recipe"])
    page.get_by_role("button", name="Reset", exact=True).click()
    wait_for_recipe(page, same_as=before["recipe"])


def test_a_preset_sets_sliders_and_picture_and_the_wall_follows(page: Page) -> None:
    before = shown(page)
    page.get_by_role("combobox", name="Preset").click()
    page.get_by_role("option", name="Preset: Strong").click()
    wait_for_recipe(page, other_than=before["recipe"])
    expect(page.get_by_role("slider", name="Clip limit", exact=True)).to_have_value("4")
    recipe = shown(page)["recipe"]
    expect(page.locator(f".grid[data-recipe='{recipe}'][data-waiting='0']")).to_be_attached()
    expect(page.locator(".grid .tile img:visible")).to_have_count(6)
    page.get_by_role("button", name="Reset", exact=True).click()
    wait_for_recipe(page, same_as=before["recipe"])


def test_a_click_and_the_arrow_keys_place_the_loupe(page: Page) -> None:
    compare = page.locator(".preview .compare")
    before = shown(page)
    box = compare.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.35, box["y"] + box["height"] * 0.4)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] + 60)  # away: what was clicked stays
    expect(page.locator(".preview[data-spot]")).to_be_attached()
    page.wait_for_timeout(1000)
    clicked = page.locator(".preview").get_attribute("data-spot")
    assert shown(page)["loupe"] != before["loupe"]
    assert shown(page)["picture"] == before["picture"]  # the loupe alone was asked for
    compare.focus()
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator(f".preview:not([data-spot='{clicked}'])")).to_be_attached()
    assert page.get_by_role("slider", name="before and after").get_attribute("aria-valuenow") == "50"  # a click moves no bar


def test_zoom_shows_the_images_own_pixels_which_follow_the_sliders(page: Page) -> None:
    page.get_by_role("radio", name="File path").click()
    box = page.get_by_label("Path of an image on this machine")
    box.fill("large.png")
    box.press("Enter")
    expect(page.get_by_text("Path of an image on this machine")).to_be_visible()
    preview, compare, part = page.locator(".preview"), page.locator(".preview .compare"), page.locator(".after .part")
    expect(page.locator(".preview .ruler")).to_have_text(re.compile(r"^[1-9]\d* %$"))  # a PNG has no mm
    settle(page)
    expect(part).to_be_hidden()
    compare.focus()
    page.keyboard.press("1")  # one screen pixel for each pixel of the image
    expect(page.locator(".ruler .percent")).to_have_text("100 %")
    expect(part).to_be_visible()
    expect(preview).not_to_have_attribute("data-part", "")
    natural, shown = part.evaluate("image => [image.naturalWidth, image.getBoundingClientRect().width]")
    assert natural == pytest.approx(shown, abs=2)
    source = part.get_attribute("src")
    page.get_by_role("slider", name="Clip limit", exact=True).press("ArrowRight")
    expect(part).not_to_have_attribute("src", source or "")
    compare.focus()
    for _ in range(12):
        page.keyboard.press("+")
    expect(page.locator(".ruler .percent")).to_have_text("400 %")  # and no further
    page.keyboard.press("0")
    expect(part).to_be_hidden()
    closed = {"status": 404, "json": {"reason": "This image is no longer open here."}}
    page.route("**/native?**", lambda route: route.fulfill(**closed), times=1)  # others have pushed it out of memory
    page.keyboard.press("1")
    expect(part).to_be_visible()
    expect(page.locator(".preview .problem")).to_be_hidden()
    compare.press("?")
    expect(page.get_by_text("100 %: each pixel of the image is one of the screen")).to_be_visible()


def test_window_inversion_and_distances_are_those_of_the_image_viewer(page: Page) -> None:
    compare, picture = page.locator(".preview .compare"), page.locator(".after img").first
    source = picture.get_attribute("src")
    compare.focus()
    page.keyboard.press("i")
    expect(page.get_by_role("button", name="Invert (I)")).to_have_attribute("aria-pressed", "true")
    assert picture.evaluate("image => getComputedStyle(image).filter") == "brightness(1) contrast(1) invert(1)"
    box = compare.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 20, box["y"] + 100)
    page.mouse.up(button="right")
    assert "contrast(1)" not in picture.evaluate("image => getComputedStyle(image).filter")
    page.keyboard.press("m")
    page.mouse.move(box["x"] + 120, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 200)
    page.mouse.up()
    expect(page.locator(".distances text")).to_have_text(re.compile(r"^\d+\.\d mm$"))
    page.keyboard.press("Delete")
    expect(page.locator(".distances text")).to_have_count(0)
    page.keyboard.press("r")
    assert picture.evaluate("image => getComputedStyle(image).filter") == "none"
    assert picture.get_attribute("src") == source, "none of it was asked of the server"
