"""Where MammoLab keeps what belongs to the user: settings and queues, and the cache of prepared images."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from platformdirs import user_cache_path, user_config_path

_NAME = "mammolab"


def home() -> Path:
    """The folder of the user's own settings: MAMMOLAB_HOME, or the place where the system wants it."""
    given = os.environ.get("MAMMOLAB_HOME")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":  # platformdirs follows XDG_CONFIG_HOME there: the key for pseudonyms would be lost
        return Path.home() / "Library" / "Application Support" / _NAME
    return user_config_path(_NAME, appauthor=False, roaming=True)


def cache_home() -> Path:
    """Folder of all that can be made again: MAMMOLAB_CACHE, or the user's cache folder."""
    given = os.environ.get("MAMMOLAB_CACHE")
    return Path(given).expanduser() if given else user_cache_path(_NAME, appauthor=False)


def cache_root() -> Path:
    """Folder of all prepared images: MAMMOLAB_CACHE, or `prepared` in the user's cache folder."""
    return cache_home() if os.environ.get("MAMMOLAB_CACHE") else cache_home() / "prepared"
