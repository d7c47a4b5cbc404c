"""Small images that tests write again and again are decoded and analysed once in a process.

Decoding and analysis depend on nothing but the file's bytes and the settings; in tests of evaluation and training, which
write the same drawn breasts into a new folder each time, they are half of the work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import pytest

_LARGEST_FILE, _LARGEST_IMAGE = 64 * 1024, 256 * 256  # bytes, pixels: what is larger is not kept


@cache
def _remembering() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    from core.images import read
    from core.preprocessing import analyse, prepare

    images: dict[Any, Any] = {}
    owners: dict[int, Any] = {}  # keeps what is remembered of an image by its identity from outliving it
    analyses: dict[Any, Any] = {}
    results: dict[Any, Any] = {}

    @wraps(read)
    def read_once(source: Any, **options: Any) -> Any:
        if not isinstance(source, bytes) or len(source) > _LARGEST_FILE:
            return read(source, **options)
        key = (hashlib.sha256(source).digest(), repr(sorted(options.items())))
        if key not in images:
            image = read(source, **options)
            if image.pixels.size > _LARGEST_IMAGE:
                return image
            images[key] = image
            owners[id(image)] = image
        return images[key]

    @wraps(analyse)
    def analyse_once(image: Any, recipe: Any) -> Any:
        if id(image) not in owners:
            return analyse(image, recipe)
        key = (id(image), recipe.hash)
        if key not in analyses:
            analyses[key] = analyse(image, recipe)
        return analyses[key]

    @wraps(prepare)
    def prepare_once(image: Any, recipe: Any, **options: Any) -> Any:
        key = (id(image), recipe.hash)
        if id(image) not in owners or options.get("analysis") is not analyses.get(key) or options.keys() - {"analysis"}:
            return prepare(image, recipe, **options)
        if key not in results:
            results[key] = prepare(image, recipe, **options)
        return results[key]

    return read_once, analyse_once, prepare_once


def remember_images(patch: pytest.MonkeyPatch) -> None:
    """The cache of prepared images and the check of files take what this process has made of the same bytes before."""
    read, analyse, prepare = _remembering()
    patch.setattr("core.data.cache.read", read)
    patch.setattr("core.data.cache.analyse", analyse)
    patch.setattr("core.data.cache.prepare", prepare)
    patch.setattr("core.data.file_inspection.read", read)
    patch.setattr("core.data.file_inspection.analyse", analyse)
