"""The folder that the server works in, and its config.yaml."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.config import Config, load_config
from dashboard.state.file_stamps import of_files


def workspace() -> Path:
    """The folder the server was started in: config.yaml, data/ and checkpoints/ are relative to it."""
    return Path.cwd()


def config_path() -> Path:
    """The configuration that the pages read and edit."""
    return workspace() / "config.yaml"


def current() -> Config:
    """config.yaml (built-in defaults where there is none), read again when the file changes. Raises BadConfig."""
    return _load(config_path())


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=of_files())
def _load(path: Path) -> Config:
    return load_config(path if path.exists() else None)


def resolve(path: Path | str) -> Path:
    """A path of the configuration as an absolute one (relative ones start at the workspace)."""
    path = Path(path)
    return path if path.is_absolute() else workspace() / path


def display_path(path: Path | str) -> str:
    """A path relative to the workspace where it is below it, else whole; with forward slashes."""
    path = Path(path)
    try:
        return path.resolve().relative_to(workspace().resolve()).as_posix()
    except (ValueError, OSError, RuntimeError):  # elsewhere; or no path at all, links in a circle
        return path.as_posix()


def checkpoints() -> Path:
    """The folder that holds one folder per run."""
    return resolve(current().checkpoints)
