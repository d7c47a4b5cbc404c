"""A long run on the Train page and many clicks in the table of runs, in a real Chromium, while a training goes on."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from builders.chromium import MARKS, dashboard_in, open_page, settle
from builders.events import append_event
from playwright.sync_api import Page, expect

from core.config import Config
from core.data import read_manifest
from core.demo import make_demo
from core.runs import Run

pytestmark = [*MARKS, pytest.mark.slow]
LONG = 100_000  # steps
AN_EPOCH = 1000
ENDED = 3
TICKED = """() => [...document.querySelectorAll("[data-testid=stDataFrame] [role=grid] tbody tr")]
  .filter(row => row.ariaSelected === "true").map(row => row.children[0].innerText).sort().join()"""

# What is wider than the place it has: words with an ellipsis or cut, and what reaches beyond the page's column.
CUT_OFF = """() => {
  const edge = document.querySelector("[data-testid=stMainBlockContainer] > div").getBoundingClientRect().right + 1;
  const words = "[data-testid^=stMetric] *, [role=radiogroup], [role=radio], .lab-counts, [data-testid=stSelectbox] input";
  return [...document.querySelectorAll(words)]
    .filter(each => each.scrollWidth > each.clientWidth + 1 && each.clientWidth || each.getBoundingClientRect().right > edge)
    .map(each => `${each.tagName} ${each.innerText || each.value}`);
}"""


@dataclass(frozen=True)
class Lab:
    url: str
    run: Run


def step(number: int) -> dict[str, object]:
    place = {"epoch": 1 + number // AN_EPOCH, "step": 1 + number % AN_EPOCH, "steps": AN_EPOCH}
    return {"type": "step", **place, "loss": 1 / (1 + number / AN_EPOCH), "learning_rate": 1e-3}


@contextmanager
def training(run: Run) -> Iterator[None]:
    """The run gets a step ten times a second, as one that is trained on another computer."""
    ended = threading.Event()

    def write() -> None:
        number = LONG
        while not ended.wait(0.1):
            append_event(run, step(number))
            run.set_status(heartbeat=time.time())
            number += 1

    run.set_status(state="running", host="elsewhere", pid=1, epochs=200, heartbeat=time.time())
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A dashboard with a run of 100,000 steps at work, and three that have ended."""
    folder = tmp_path_factory.mktemp("long")
    frame = read_manifest(make_demo(folder / "data" / "demo", patients=12, rows=64))
    config = Config.model_validate({"checkpoints": folder / "checkpoints"})
    for number in range(ENDED):
        Run.create(config, frame, name=f"ended-{number}").set_status(state="stopped", created=100.0 + number)
    run = Run.create(config, frame, name="long")
    run.set_status(created=1.0)
    lines = (json.dumps({"seq": 1 + number, "time": 0.0, **step(number)}) for number in range(LONG))
    (run.path / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with dashboard_in(folder) as url, training(run):
        yield Lab(url, run)


@pytest.fixture
def page() -> Iterator[Page]:
    with open_page() as page:
        yield page


def test_the_zoom_into_a_run_of_100_000_steps_stays_while_new_ones_arrive_and_nothing_is_drawn_anew(
    lab: Lab, page: Page
) -> None:
    page.goto(f"{lab.url}/train")
    plot = page.locator(".js-plotly-plot").first
    plot.locator(".nsewdrag").first.wait_for()
    assert plot.evaluate("plot => Math.max(...plot._fullData.map(trace => trace.x.length))") <= 2000
    plot.evaluate("plot => { plot.seen = true; return window.Plotly.relayout(plot, {'xaxis.range': [40, 41]}) }")
    before = plot.evaluate("plot => plot._fullData[0].x.at(-1)")
    page.wait_for_function("before => document.querySelector('.js-plotly-plot')._fullData[0].x.at(-1) > before", arg=before)
    assert plot.evaluate("plot => [plot.seen, ...plot._fullLayout.xaxis.range]") == [True, 40, 41]


def test_nothing_is_cut_off_or_leaves_its_card_on_a_small_screen(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    page.goto(f"{lab.url}/train")
    page.locator("[data-testid=stMetric]").first.wait_for()
    settle(page)
    assert page.evaluate(CUT_OFF) == []
    page.get_by_role("radio", name="New run", exact=True).click()
    page.locator(".lab-counts").wait_for()
    settle(page)
    assert page.evaluate(CUT_OFF) == []


def test_a_number_out_of_its_range_is_said_and_nothing_else_is_started(lab: Lab, page: Page) -> None:
    page.goto(f"{lab.url}/train")
    page.get_by_role("radio", name="New run", exact=True).click()
    start = page.get_by_role("button", name="Add to queue").or_(page.get_by_role("button", name="Start training"))
    expect(start).to_be_enabled()
    epochs = page.get_by_role("spinbutton", name=re.compile("^Epochs( · changed)?$"))
    epochs.fill("99999")
    epochs.press("Tab")
    expect(page.get_by_text("Epochs: got 99999; allowed: a whole number, at least 1, at most 1000")).to_be_visible()
    expect(epochs).to_have_value("99999")
    expect(start).to_be_disabled()


def test_no_click_in_the_table_is_lost_while_it_is_refreshed(lab: Lab, page: Page) -> None:
    page.goto(f"{lab.url}/runs")
    table = page.locator("[data-testid=stDataFrame]").first
    table.wait_for()
    settle(page)
    table.locator("[role=gridcell]").first.wait_for(state="attached")
    for number in range(7 * ENDED):  # an odd number of times: each is ticked at the end
        table.click(position={"x": 17, "y": 38 + 35 * (number % ENDED) + 17})
        page.wait_for_timeout(150)
    names = [f"ended-{number}" for number in range(ENDED)]
    page.wait_for_function(f"names => ({TICKED})() === names", arg=",".join(names))
    expect(page.get_by_role("heading", name=f"{ENDED} runs side by side")).to_be_visible()
