"""The sealed test set in a real Chromium: hidden until switched on, opened only after a tick, and every access listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.chromium import MARKS, PATIENCE, dashboard_in, open_page, settle, wait_until
from playwright.sync_api import Page, expect

from core.config import load_config
from core.data import read_manifest
from core.demo import make_demo
from core.runs import Run
from core.runs.test_set.accesses import access_counts, accesses
from core.training.launchers import run_to_end

pytestmark = [*MARKS, pytest.mark.slow]
SMALL = (
    "preprocessing.size=32",
    "preprocessing.clahe=false",
    "model.options={width: 8}",
    "training.epochs=1",
    "training.device=cpu",
    "evaluation.bootstrap_samples=100",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Run]]:
    """A dashboard with a small demo set and a run whose test set was not opened."""
    folder = tmp_path_factory.mktemp("sealed")
    manifest = make_demo(folder / "data" / "demo", patients=24, rows=160)
    config = load_config(None, SMALL).model_copy(update={"checkpoints": folder / "checkpoints"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        run = Run.create(config, read_manifest(manifest), name="first")
        run_to_end(run)
    with dashboard_in(folder) as url:
        yield url, run


@pytest.fixture
def page() -> Iterator[Page]:
    with open_page() as page:
        yield page


def test_test_images_are_hidden_until_switched_on_and_the_opening_takes_a_tick(lab: tuple[str, Run], page: Page) -> None:
    url, run = lab
    page.goto(f"{url}/data")
    settle(page)
    expect(page.get_by_text("images of test patients are hidden")).to_be_visible()
    kept = page.get_by_test_id("stButtonGroup").filter(has_text="train")
    expect(kept).not_to_contain_text("test")
    assert accesses(run.path) == ()
    page.get_by_text("Show test images").first.click()
    expect(page.get_by_text("images of test patients are shown")).to_be_visible()
    expect(kept).to_contain_text("test")
    wait_until(page, lambda: access_counts(run.path).get("labels") == 1)

    page.goto(f"{url}/evaluate")
    settle(page)
    page.get_by_text("Test", exact=True).first.click()
    expect(page.get_by_text("The test set has not been evaluated for this run")).to_be_visible()
    expect(page.get_by_text("labels shown once")).to_be_visible()
    page.get_by_role("button", name="Open the test set").click()
    expect(page.get_by_text("cannot be taken back")).to_be_visible()
    opening = page.get_by_role("button", name="Open it", exact=True)
    expect(opening).to_be_disabled()
    page.get_by_text("I am done choosing").click()
    expect(opening).to_be_enabled()
    assert "scored" not in access_counts(run.path)
    opening.click()
    expect(page.get_by_text("test set evaluated once")).to_be_visible(timeout=3 * PATIENCE)  # libraries are loaded first
    assert access_counts(run.path)["scored"] == 1
    page.get_by_role("button", name="History").click()
    for words in ("labels shown", "data/demo/manifest.csv", "scored"):
        expect(page.locator(".lab-table", has_text=words).first).to_be_visible()
    assert not list(Path(run.path).glob("*.tmp"))
