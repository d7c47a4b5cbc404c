"""The memory cache of images: bounded in bytes, and emptied of an upload with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders.lab_pages import draw_breast
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from core.config import Recipe
from dashboard.asgi import server
from dashboard.cache import image_memory, images, previews
from dashboard.ui import uploads


@dataclass(frozen=True)
class Pair:
    first: Any
    second: Any


@pytest.fixture(autouse=True)
def empty():
    image_memory.clear()
    yield
    image_memory.clear()


def array(size: int) -> np.ndarray:
    return np.zeros(size, np.uint8)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (array(10_000), 10_000),
        (array(10_000)[:10], 10_000),  # a view keeps all of it
        (Pair(array(5_000), (array(5_000), {"a": array(7_000)})), 17_000),
        (b"x" * 9_000, 9_000),
        (np.zeros((100, 100), np.float32), 40_000),
    ],
)
def test_a_value_weighs_what_it_keeps_alive(value: Any, expected: int) -> None:
    assert expected <= image_memory.size_of(value) <= expected + 1200


def test_the_same_array_counts_once() -> None:
    shared = array(10_000)
    assert image_memory.size_of(Pair(shared, shared[5:])) < 12_000


def test_the_store_never_holds_more_than_its_budget_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_memory, "BUDGET", 50_000)
    made: list[int] = []

    def get(number: int) -> None:
        image_memory.get_or_make("k", f"image {number}", (), lambda: (made.append(number), array(10_000))[1])
        assert image_memory.total() <= 50_000

    for number in (0, 1, 2, 3, 0, 4, 5, 0):
        get(number)
    assert made == [0, 1, 2, 3, 4, 5], "0 was used in between and is still there"
    get(1)
    assert made[-1] == 1


def test_what_is_larger_than_the_budget_is_given_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_memory, "BUDGET", 50_000)
    image_memory.get_or_make("k", "small", (), lambda: array(10_000))
    assert image_memory.get_or_make("k", "large", (), lambda: array(60_000)).size == 60_000
    assert image_memory.total() < 12_000


def test_two_threads_make_a_thing_once_and_an_error_is_not_kept() -> None:
    made: list[int] = []
    gate = threading.Event()

    def make() -> int:
        gate.wait(5)
        made.append(1)
        return 7

    threads = [threading.Thread(target=lambda: image_memory.get_or_make("k", "i", (), make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert made == [1]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            image_memory.get_or_make("k", "bad", (), lambda: 1 / 0)


def test_what_is_still_being_made_of_a_removed_image_is_not_kept() -> None:
    def make() -> np.ndarray:
        image_memory.release("i")
        return array(10)

    image_memory.get_or_make("k", "i", (), make)
    assert image_memory.total() == 0
    image_memory.allow("i")
    image_memory.get_or_make("k", "i", (), lambda: array(10))
    assert image_memory.total() > 0


def png(seed: int) -> bytes:
    return bytes(cv2.imencode(".png", draw_breast(seed))[1].tobytes())


def look_at(ref: images.ImageRef) -> None:
    recipe = Recipe(size=64)
    images.prepared(ref, recipe), images.before(ref, recipe), images.small_arranged(ref, recipe), images.thumbnail(ref)


def test_all_that_is_made_of_an_image_counts(workspace: Path) -> None:
    look_at(images.image_ref(png(1), "a.png"))
    kinds = {key[0] for key in image_memory._entries}
    assert kinds == {
        "mammogram",
        "analysis",
        "arranged",
        "enhanced",
        "prepared",
        "before",
        "small",
        "small_arranged",
        "thumbnail",
    }
    assert image_memory.total() == sum(size for _, size in image_memory._entries.values())


def test_an_upload_goes_from_memory_with_the_last_session_that_shows_it(workspace: Path) -> None:
    ref, other = images.image_ref(png(1), "a.png"), images.image_ref(png(2), "b.png")
    one, two = uploads._Session(), uploads._Session()
    one.take("preprocess", ref)
    two.take("preprocess", ref)
    two.take("inspect", other)
    token = previews.open_image(ref)
    look_at(ref)
    look_at(other)
    one.end()
    assert any(key[1] == ref.key for key in image_memory._entries) and token in previews._known
    two.take("preprocess", None)
    assert {key[1] for key in image_memory._entries} == {other.key}
    assert token not in previews._known
    two.end()
    assert image_memory.total() == 0 and not uploads._holders


PAGE = """import streamlit as st
from dashboard.ui import uploads
ref = uploads.uploaded('p')
st.text(ref.name if ref else 'none')
"""


@pytest.mark.slow
def test_a_removed_upload_is_no_longer_shown(workspace: Path) -> None:
    app = AppTest.from_string(PAGE).run()
    app.file_uploader[0].set_value(("f.png", png(1), "image/png")).run()
    assert app.text[0].value == "f.png" and uploads._holders
    app.file_uploader[0].set_value(None).run()
    assert app.text[0].value == "none" and not uploads._holders


def test_an_upload_stays_over_a_look_at_another_page_and_can_be_removed_then(workspace: Path) -> None:
    app = AppTest.from_string(
        "import streamlit as st\nif not st.toggle('away', key='away'):\n " + PAGE.replace("\n", "\n ")
    ).run()
    app.file_uploader[0].set_value(("f.png", png(1), "image/png")).run()
    app.toggle[0].set_value(True).run()
    app.toggle[0].set_value(False).run()
    assert app.text[0].value == "f.png"
    app.button(key="p:remove_upload").click().run()
    assert app.text[0].value == "none"


def test_sessions_whose_browser_has_gone_are_given_up_without_another_visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit import runtime
    from streamlit.runtime.memory_session_storage import MemorySessionStorage

    class Info:
        session = type("Session", (), {"id": "gone"})()

    class Running:
        _session_mgr = type("Manager", (), {"_session_storage": MemorySessionStorage(ttl_seconds=0)})()

    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: Running)
    Running._session_mgr._session_storage.save(Info())
    assert server.expire_sessions() == 1
    assert server.expire_sessions() == 0


def test_a_preview_that_was_pushed_out_by_others_is_opened_again_by_its_page(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.applications import Starlette

    monkeypatch.setattr(previews, "MOST_OPEN", 2)
    client = TestClient(Starlette(routes=[server.preview_route("")]))
    ref = images.image_ref(png(1), "a.png")
    token = previews.open_image(ref)
    for number in range(3):
        previews.open_image(images.image_ref(bytes([number])))
    assert client.get(f"/tune/{token}/picture").status_code == 404
    assert previews.open_image(ref) == token, "the same address: the page only has to be drawn again"
    assert client.get(f"/tune/{token}/picture").status_code == 200
