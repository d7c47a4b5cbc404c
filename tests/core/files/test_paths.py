"""The user's folders, on each system where they were before platformdirs was asked for them."""

from __future__ import annotations

import sys
from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from core.files.paths import cache_home, cache_root, home


@pytest.fixture(autouse=True)
def _user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("MAMMOLAB_HOME", "MAMMOLAB_CACHE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path / "AppData" / "Roaming"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData" / "Local"))


def on(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    """Let this process take the system for "linux", "darwin" or "win32"."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platformdirs, "PlatformDirs", {"linux": Unix, "darwin": MacOS, "win32": Windows}[system])
    from platformdirs import windows

    monkeypatch.setattr(windows, "_RESOLVE_WIN_FOLDER", windows.get_win_folder_from_env_vars)


@pytest.mark.parametrize(
    ("system", "settings", "cache"),
    [
        ("linux", ".config/mammolab", ".cache/mammolab"),
        ("darwin", "Library/Application Support/mammolab", "Library/Caches/mammolab"),
        ("win32", "AppData/Roaming/mammolab", "AppData/Local/mammolab/Cache"),
    ],
)
def test_settings_and_cache_are_where_the_system_wants_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, settings: str, cache: str
) -> None:
    on(monkeypatch, system)
    assert (home(), cache_home(), cache_root()) == (tmp_path / settings, tmp_path / cache, tmp_path / cache / "prepared")


@pytest.mark.parametrize(("system", "moved"), [("linux", True), ("darwin", False), ("win32", False)])
def test_a_config_home_of_linux_does_not_move_the_settings_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, moved: bool
) -> None:
    on(monkeypatch, system)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert (home() == tmp_path / "xdg" / "mammolab") is moved


def test_the_variables_of_mammolab_decide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAMMOLAB_HOME", "~/settings")
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "here"))
    assert home() == Path("~/settings").expanduser()
    assert cache_root() == cache_home() == tmp_path / "here"
