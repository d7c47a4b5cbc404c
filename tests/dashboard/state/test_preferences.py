"""What is kept of what a user chose, and for whom."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders.lab_pages import write_images
from streamlit.testing.v1 import AppTest

from dashboard.asgi import gradio_tab
from dashboard.state import preferences, tasks
from dashboard.ui import iframes

A, B = "a" * 32, "b" * 32


def lab(workspace: Path) -> dict[str, object]:
    path = workspace / ".mammolab" / "workspace.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@pytest.fixture
def be(monkeypatch: pytest.MonkeyPatch):
    """Be the browser with this cookie from now on."""
    return lambda cookie: monkeypatch.setattr(preferences, "_cookie", lambda: cookie)


def session(do: str) -> object:
    """What a script that does this, in a session of its own, leaves in `st.session_state.out`."""
    imports = "from dashboard.state import datasets, preferences, tasks\nfrom dashboard.views.preprocess import recipes"
    script = f"import streamlit as st\n{imports}\nst.session_state.out = {do}"
    app = AppTest.from_string(script).run()
    assert not app.exception
    return app.session_state["out"]


@pytest.mark.parametrize(
    "key", ["evaluate:threshold:r:1:image", "preprocess:recipe", "explain:image", "data:view", "data:label", "train:run"]
)
def test_a_choice_is_there_after_a_reload_and_unknown_to_another_browser(workspace: Path, be, key: str) -> None:
    be(A)
    session(f"preferences.set({key!r}, 'mine')")
    assert session(f"preferences.get({key!r}, 'default')") == "mine", "a new session of the same browser: a reload"
    be(B)
    assert session(f"preferences.get({key!r}, 'default')") == "default"
    be("")
    assert session(f"preferences.get({key!r}, 'default')") == "default"
    assert key not in lab(workspace) and preferences.get(key) is None


@pytest.mark.parametrize("key", preferences.DEFAULTS)
def test_a_new_browser_begins_with_the_data_set_and_run_chosen_last_and_old_ones_keep_theirs(
    workspace: Path, be, key: str
) -> None:
    be(A)
    session(f"preferences.set({key!r}, 'of a')")
    be(B)
    assert session(f"preferences.get({key!r})") == "of a"
    session(f"preferences.set({key!r}, 'of b')")
    be(A)
    assert session(f"preferences.get({key!r})") == "of a"
    be("")
    assert preferences.get(key) == "of b"


@pytest.mark.parametrize("key", preferences.DEFAULTS)
@pytest.mark.parametrize("first", ["of the lab", None])
def test_who_looked_on_without_choosing_keeps_what_was_seen_over_a_reload(
    workspace: Path, be, key: str, first: str | None
) -> None:
    be("")
    preferences.set(key, first)
    be(A)
    assert session(f"preferences.get({key!r})") == first
    be(B)
    session(f"preferences.set({key!r}, 'of b')")
    be(A)
    assert session(f"preferences.get({key!r})") == first


def test_none_forgets_a_choice(workspace: Path, be) -> None:
    be(A)
    session("preferences.set('colour', 'green')")
    session("preferences.set('colour', None)")
    assert session("preferences.get('colour', 'default')") == "default"
    files = list((workspace / ".mammolab" / "browsers").iterdir())
    assert [json.loads(file.read_text(encoding="utf-8")) for file in files] == [{"begun": True}]
    assert A not in files[0].name, "who may list the folder can be nobody else's browser"


def test_presets_are_the_labs_and_two_who_save_one_keep_both(workspace: Path, be) -> None:
    be(A)
    first = AppTest.from_string("from dashboard.views.preprocess import recipes\nrecipes.own_presets()").run()
    be(B)
    session("recipes.save_preset('theirs')")
    be(A)
    first.run()
    session("recipes.save_preset('mine')")
    assert set(session("recipes.own_presets()")) == {"theirs", "mine"}
    session("recipes.rename_preset('mine', 'ours')")
    session("recipes.delete_preset('theirs')")
    be(B)
    assert set(session("recipes.own_presets()")) == {"ours"}


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"a": NaN}', "\\ud800", ""])
def test_a_damaged_file_is_as_good_as_none(workspace: Path, be, content: str) -> None:
    be(A)
    session("preferences.set('colour', 'green')")
    for file in (workspace / ".mammolab").rglob("*.json"):
        file.write_text(content, encoding="utf-8")
    (workspace / ".mammolab" / "workspace.json").write_text(content, encoding="utf-8")
    assert session("preferences.get('colour', 'default')") == "default"
    assert session("preferences.get('run', 'default')") == "default"


def test_what_an_earlier_version_shared_is_no_longer_read_and_goes_with_the_next_write(workspace: Path) -> None:
    (workspace / ".mammolab").mkdir()
    old = {"preprocess:recipe": {"clip_limit": 7}, "run": "r", "left_out:x": {"count": 1}}
    (workspace / ".mammolab" / "workspace.json").write_text(json.dumps(old), encoding="utf-8")
    assert preferences.get("preprocess:recipe") is None and preferences.get("run") == "r"
    preferences.set("manifest", "m")
    assert lab(workspace) == {"run": "r", "left_out:x": {"count": 1}, "manifest": "m"}


def test_files_of_browsers_are_bounded_in_number_and_size(workspace: Path, be, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferences, "BROWSERS", 3)
    for number in range(6):
        be(f"{number}" * 32)
        session("preferences.set('colour', 'green')")
    folder = workspace / ".mammolab" / "browsers"
    assert len(list(folder.iterdir())) == 3
    assert session("(preferences.set('long', 'x' * 2_000_000), preferences.get('long'))")[1].startswith("x")
    assert max(file.stat().st_size for file in folder.iterdir()) < 1000


@pytest.mark.parametrize("cookie", ["", "short", "../" * 20, "a" * 65, "a" * 31 + "/", "a" * 31 + "\0"])
def test_a_cookie_that_is_none_of_ours_names_no_file(workspace: Path, be, cookie: str) -> None:
    be(cookie)
    session("preferences.set('colour', 'green')")
    assert not (workspace / ".mammolab").exists()


def headers_of(**headers: str) -> list[bytes]:
    """The Set-Cookie headers of an answer to a request with these headers."""
    sent: list[dict] = []

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": raw}
    asyncio.run(preferences.BrowserCookie(app)(scope, None, send))
    return [value for name, value in sent[0]["headers"] if name == b"set-cookie"]


def test_a_browser_gets_a_name_once_and_only_with_a_page() -> None:
    (cookie,) = headers_of(accept="text/html,*/*")
    assert b"HttpOnly" in cookie and b"SameSite=Lax" in cookie and b"Secure" not in cookie
    assert cookie != headers_of(accept="text/html")[0]
    name, value = cookie.split(b";")[0].decode().split("=")
    assert preferences._NAME.fullmatch(value)
    assert headers_of(accept="text/html", cookie=f"x=1; {name}={value}") == []
    assert headers_of(accept="*/*") == []
    assert b"Secure" in headers_of(accept="text/html", x_forwarded_proto="https")[0]


@pytest.mark.slow
def test_a_finished_import_becomes_the_data_set_of_who_started_it_only(workspace: Path, be) -> None:
    be(A)
    write_images(workspace / "data" / "first")
    source = write_images(workspace / "pictures" / "second")
    app = AppTest.from_string(
        "from pathlib import Path\nfrom dashboard.state import imports\n"
        f"task = imports.start_preview('csv', Path({str(source)!r}), {{}})\n"
        "while task.running: pass\n"
        "imports.start_write(task.result, 'manifest')"
    ).run()
    assert not app.exception
    task = tasks.task("import")
    while task.running:
        time.sleep(0.005)
    assert task.state == "done", task.error
    be(B)
    assert session("datasets.adopt_finished()") == "" and session("datasets.current_manifest()").parent.name == "first"
    be(A)
    assert "24 images imported" in session("datasets.adopt_finished()")
    assert session("datasets.current_manifest()") == workspace / "data" / "manifest.csv"
    assert tasks.task("import") is None


def test_the_frame_shows_the_data_set_of_the_session_that_opened_it(workspace: Path) -> None:
    first, second = (write_images(workspace / "data" / name) for name in ("first", "second"))
    tokens = {iframes.token(first), iframes.token(second), iframes.token(None)}
    assert len(tokens) == 3 and iframes.token(first) in tokens, "stable: the frame is not loaded again"
    preferences.set("manifest", str(second))

    def examples(token: str) -> list[str]:
        return gradio_tab.on_load(SimpleNamespace(query_params={"of": token}))[-1]

    paths = examples(iframes.token(first))
    assert paths and all(Path(path).parent.name == "first" for path in paths)
    assert examples("0" * 40) == []


def test_tokens_are_bounded_and_say_no_path(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iframes, "MOST", 2)
    made = [iframes.token(workspace / f"{number}.csv") for number in range(3)]
    assert [iframes.manifest_of(each) is not None for each in made] == [False, True, True]
    assert str(workspace) not in made[0]
