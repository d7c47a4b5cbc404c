from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from builders.figure_memo import remember_figures
from builders.image_memo import remember_images
from builders.tiny_run import DEMO_SETTINGS
from builders.toy_training import frame, make_config, make_run, make_trainer
from markupsafe import Markup

from core.cli import main
from core.demo import make_demo
from core.report import figures

__all__ = ["frame", "make_config", "make_run", "make_trainer"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _images_remembered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading and preparing images is not what is tested, nothing is read and prepared twice."""
    if not {"data", "images", "preprocessing", "inspection"} & set(request.path.parts):
        remember_images(monkeypatch)


@pytest.fixture(autouse=True)
def _figures_remembered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No metrics are computed twice of the same predictions."""
    if {"api", "cli", "evaluate", "report"} & set(request.path.parts):
        remember_figures(monkeypatch)


class _Paper:
    """Axes that take every call and keep nothing."""

    def __getattr__(self, name: str) -> _Paper:
        return self

    def __call__(self, *arguments: object, **options: object) -> _Paper:
        return self

    def __getitem__(self, key: object) -> _Paper:
        return self

    def __iter__(self) -> Iterator[_Paper]:
        return iter((self, self))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of reports stay empty: drawing them takes most of a report's time."""
    monkeypatch.setattr(figures, "canvas", lambda width, height: (_Paper(), _Paper()))
    monkeypatch.setattr(figures, "to_svg", lambda canvas, name: Markup('<svg viewBox="0 0 9 9"></svg>'))


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo set, to be copied: 24 patients, and pictures so small that none is compared with the others."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    make_demo(folder, patients=24, rows=96)
    return folder


@pytest.fixture(scope="session")
def trained_demo(tmp_path_factory: pytest.TempPathFactory, small_demo: Path) -> Path:
    """A workspace, to be copied, with config.yaml, `small_demo` in data/demo and a run `first` that a command has trained on
    it; its test set is unopened. What was prepared lies in cache/."""
    folder = tmp_path_factory.mktemp("trained-demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        patch.chdir(folder)
        remember_images(patch)
        shutil.copytree(small_demo, folder / "data" / "demo")
        (folder / "config.yaml").write_bytes((Path(__file__).parents[2] / "config.yaml").read_bytes())
        assert main(["train", "--run", "first", *(word for each in DEMO_SETTINGS for word in ("--set", each))]) == 0
    return folder
