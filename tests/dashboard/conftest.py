"""A small workspace for the pages: own folder, own live work, a manifest of drawn breasts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit as st
from builders.figure_memo import remember_figures
from builders.image_memo import remember_images
from builders.lab_pages import write_images
from builders.tiny_run import make_run
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import local_script_runner

from core.runs import Run
from dashboard.cache import image_memory
from dashboard.state import preferences, tasks


@pytest.fixture(scope="session", autouse=True)
def _components_found_once() -> Iterator[None]:
    """Each AppTest looks for components in every installed package: most of a page's time here, and always the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(scope="session", autouse=True)
def _scripts_compiled_once() -> Iterator[None]:
    """Each AppTest compiles every page again, and parses it for Streamlit's magic, which config.toml turns off: these tests run
    in folders of their own, where it is not read."""
    compiled = local_script_runner.ScriptCache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_script_runner, "ScriptCache", lambda: compiled)
        st.config.set_option("runner.magicEnabled", False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _looked_at_less_often() -> Iterator[None]:
    """AppTest asks a thousand times a second whether a script has ended, which takes a tenth of the processor time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_script_runner, "time", SimpleNamespace(time=time.time, sleep=lambda seconds: _sleep(0.01)))
        yield


_sleep = time.sleep  # whatever tests put in its place


@pytest.fixture(autouse=True)
def _work_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_images(monkeypatch)
    remember_figures(monkeypatch)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and one browser; nothing cached or running from before; heavy libraries are not warmed up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preferences, "_cookie", lambda: "t" * 32)  # what a test chooses, the page that it opens knows
    registry = tasks.live()
    registry.tasks.clear()
    registry.jobs.clear()
    registry.renamed.clear()
    registry.once.update(("warm-up", "probe"))
    st.cache_data.clear()
    st.cache_resource.clear()
    image_memory.clear()
    return tmp_path


@pytest.fixture
def manifest(workspace: Path) -> Path:
    """The workspace with a small data set in it."""
    return write_images(workspace / "data" / "small")


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        make_run(folder)
    return folder


@pytest.fixture(scope="session")
def _prepared(_trained: Path) -> Path:
    """A cache with the training's prepared images, to which tests add."""
    return Path(shutil.copytree(_trained / "cache", _trained / "shared-cache"))


@pytest.fixture
def run(workspace: Path, _trained: Path, _prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A workspace with data, config.yaml and a run that was really trained (`tiny`); a test may change all of it.

    Prepared images, which are found by their content, are those of the training.
    """
    monkeypatch.setenv("MAMMOLAB_CACHE", str(_prepared))
    for name in ("data", "checkpoints"):
        shutil.copytree(_trained / name, workspace / name)
    shutil.copy(_trained / "config.yaml", workspace)
    return Run.open(workspace / "checkpoints" / "tiny")
