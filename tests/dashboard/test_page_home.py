from __future__ import annotations

from pathlib import Path

import pytest
from lab_pages import open_page, texts

from core.errors import BadManifest
from dashboard import services, tasks


def primary_labels(app) -> list[str]:
    return [button.label for button in app.button if button.proto.type == "primary"]


def test_an_empty_workspace_offers_the_demo_set_and_nothing_else(workspace: Path) -> None:
    app = open_page()
    assert not app.exception and not app.error
    assert primary_labels(app) == ["Write the demo set"]


def test_with_data_and_no_run_the_next_step_is_training(manifest: Path) -> None:
    app = open_page()
    assert primary_labels(app) == ["Train a model"]
    assert "24 images" in [metric.value for metric in app.metric]


def test_every_page_says_that_it_is_for_research_only(workspace: Path) -> None:
    for view in ("home", "data", "preprocess", "test_image"):
        assert "research only" in texts(open_page(view)).lower(), view


def test_a_manifest_that_cannot_be_read_is_said_and_the_page_stays(workspace: Path) -> None:
    (workspace / "data").mkdir()
    (workspace / "data" / "bad.csv").write_text("path,label\n,maybe\n", encoding="utf-8")
    app = open_page()
    assert not app.exception
    assert "not readable" in [metric.value for metric in app.metric]


def test_a_broken_config_is_shown_as_its_own_text(workspace: Path) -> None:
    (workspace / "config.yaml").write_text("training:\n  epoch: 3\n", encoding="utf-8")
    app = open_page()
    assert not app.exception
    assert "unknown field" in app.error[0].value


def test_the_demo_button_writes_in_the_background_and_the_set_becomes_current(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab_pages import write_images

    other = write_images(workspace / "data" / "other")
    monkeypatch.setattr("core.data.demo.make_demo", lambda out, progress: write_images(Path(out), patients=3))
    services.start_demo()
    while services.task("demo").running:
        pass
    app = open_page()
    assert "data/demo/manifest.csv" in "".join(str(element.proto.body) for element in app.sidebar.get("html"))
    assert services.task("demo") is None
    assert other.exists()


def test_a_failed_demo_says_why_and_can_be_tried_again(workspace: Path) -> None:
    def fail(report: tasks.Report) -> None:
        raise BadManifest("no room on the disk")

    task = services.start_task("demo", "Writing", fail)
    while task.running:
        pass
    app = open_page()
    assert "no room on the disk" in app.error[0].value
    assert primary_labels(app) == ["Write the demo set"]
