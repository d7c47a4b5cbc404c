"""The first compressed images of a process are decoded side by side: none may be refused for that."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom.pixels import get_decoder

from core.images import decoders

JPEG_2000 = "1.2.840.10008.1.2.4.90"


def test_decoders_are_registered_once_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    if not decoders.is_available(JPEG_2000):
        pytest.skip("imagecodecs is not installed")
    decoders.register()
    for uid in decoders.DECODER_DEPENDENCIES:
        get_decoder(uid).remove_plugin("imagecodecs")
    decoders.register.cache_clear()
    plain = decoders.is_available

    def slow(uid: str) -> bool:
        time.sleep(0.002)  # every thread is between the question and the registration
        return plain(uid)

    monkeypatch.setattr(decoders, "is_available", slow)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: decoders.plugins_for(JPEG_2000), range(6)))
    assert {names[0] for names in found} == {"imagecodecs"}
