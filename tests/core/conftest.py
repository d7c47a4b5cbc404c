from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from builders.image_memo import remember_images
from builders.toy_training import frame, make_config, make_run, make_trainer
from markupsafe import Markup

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
