from __future__ import annotations

import sys
from pathlib import Path

import pytest
from builders.lab_pages import wait_until

from core.config import Config
from core.errors import LabError
from dashboard.access import paths, settings
from dashboard.access.settings import Access
from dashboard.cache import images
from dashboard.state import imports, tasks
from dashboard.ui import forms


def wait_for(task: tasks.Task) -> None:
    wait_until(lambda: not task.running)


@pytest.fixture
def shared(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose visitors may name files in data/ and checkpoints/ only; `secret` stands beside it."""
    place = workspace / "lab"
    (place / "data").mkdir(parents=True)
    monkeypatch.chdir(place)
    access = Access(roots=(place / "data", place / "checkpoints"))
    monkeypatch.setattr(settings, "current", lambda: access)
    (workspace / "secret").mkdir()
    (workspace / "secret" / "image.png").write_bytes(b"")
    return place


@pytest.mark.parametrize(
    "name",
    [
        "../secret/image.png",
        "data/../../secret/image.png",
        "/etc/hostname",
        "~/x.png",
        "config.yaml",
        "",
        "data\0",
        "../lab-data/x",
    ],
)
def test_a_path_outside_of_the_roots_is_refused_whether_or_not_it_exists(shared: Path, name: str) -> None:
    with pytest.raises(LabError, match=r"dashboard\.roots"):
        paths.require_allowed(name)
    with pytest.raises(LabError, match=r"dashboard\.roots"):
        images.image_ref(name)


def test_a_link_in_a_root_that_leads_outside_is_refused(shared: Path) -> None:
    try:
        (shared / "data" / "link").symlink_to(shared.parent / "secret", target_is_directory=True)
    except OSError:
        pytest.skip("symbolic links cannot be made here")
    with pytest.raises(LabError, match=r"dashboard\.roots"):
        images.image_ref("data/link/image.png")


def test_files_in_the_roots_are_opened(shared: Path) -> None:
    assert images.image_ref("data/new.png").name == "new.png"
    assert paths.is_allowed(shared / "checkpoints" / "run" / "model.safetensors")


def test_without_roots_every_path_may_be_named(workspace: Path) -> None:
    assert paths.is_allowed(Path("/etc/hostname"))


def test_an_import_from_elsewhere_is_refused_before_anything_is_read(shared: Path) -> None:
    with pytest.raises(LabError, match=r"dashboard\.roots"):
        imports.start_preview("folder", shared.parent / "secret", {})
    with pytest.raises(LabError, match=r"dashboard\.roots"):
        imports.start_preview("csv", shared / "data" / "table.csv", {"root": str(shared.parent / "secret")})
    with pytest.raises(LabError, match=r"dashboard\.roots"):
        imports.start_preview("huang-lin", shared / "data", {"inbreast": str(shared.parent / "secret")})
    with pytest.raises(LabError, match=r"dashboard\.roots"):
        imports.start_look(shared.parent / "secret")


@pytest.mark.parametrize("column", ["path", "lesion_masks", "lesions", "rejected"])
def test_a_table_that_names_files_elsewhere_is_not_imported_and_says_nothing_of_them(shared: Path, column: str) -> None:
    from builders.lab_pages import write_images

    inside = write_images(shared / "data" / "small").parent
    image, other = sorted(inside.rglob("*.png"))[:2]
    secret = shared.parent / "secret" / "image.png"
    mask = {"lesion_masks": f"{secret},", "lesions": f',"[{{""mask"": ""{secret}""}}]"'}.get(column, ",")
    row = f"{secret if mask == ',' else other},malignant,p1,{mask}"
    if column == "path":
        secret.write_bytes(image.read_bytes())
    table = shared / "data" / "table.csv"
    table.write_text(f"path,label,patient_id,lesion_masks,lesions\n{image},benign,p0,,\n{row}\n", encoding="utf-8")
    task = imports.start_preview("csv", table, {"keep": "lesion_masks,lesions"})
    wait_for(task)
    assert task.state == "failed" and "dashboard.roots" in task.error
    assert "image.png" not in task.error and "secret" not in task.error
    assert not (shared / "data" / "table-2.csv").exists()


def test_an_import_tells_nothing_of_files_elsewhere_even_where_nothing_is_usable(shared: Path) -> None:
    told = set()
    for secret in (shared.parent / "secret" / "image.png", Path("/etc/hostname"), Path("/no/such/file.png"), shared.parent):
        note = shared / "checkpoints" / "run" / "note.txt"  # what a visitor can write into
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"path,label\n{secret},malignant\n", encoding="utf-8")
        task = imports.start_preview("csv", note, {})
        wait_for(task)
        assert task.state == "failed" and "dashboard.roots" in task.error
        told.add(task.error)
        tasks.forget_task(imports.PREVIEW)
    assert len(told) == 1


def test_a_training_may_not_start_from_weights_elsewhere(shared: Path) -> None:
    config, problems = forms.check({"model.weights": "/etc/hostname.pth"}, Config())
    assert config is None and "dashboard.roots" in problems[0]
    assert forms.check({"model.weights": "checkpoints/run/model.safetensors"}, Config())[0] is not None
    assert all(forms.check({"model.weights": each}, Config())[0] is not None for each in ("auto", "hub", "none"))


def test_the_settings_are_those_of_the_command_line_of_the_server(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "films").mkdir()
    monkeypatch.setattr(sys, "argv", ["/somewhere/dashboard/Home.py", "--allow-root", "films"])
    assert settings.current().roots == tuple(workspace / name for name in ("data", "checkpoints", "films"))
    monkeypatch.setattr(sys, "argv", ["pytest", "--allow-root", "films"])
    assert settings.current().roots is None
