"""Each page with a run whose test set was not opened: no test image, no file name, no label; after the switch all, recorded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders.copied import copied
from builders.evaluate_page import choose_part
from builders.lab_pages import galleries, open_page, texts
from streamlit.testing.v1 import AppTest

from core.data import write_manifest
from core.errors import NotRecorded
from core.evaluate import evaluate
from core.runs import Run
from core.runs.test_set import access_log as record_of
from core.runs.test_set.accesses import access_counts, accesses, read_record
from dashboard.cache import images, previews
from dashboard.state import datasets, preferences, settings, tasks
from dashboard.ui import test_set_access

pytestmark = pytest.mark.filterwarnings("default")  # of Gradio's own imports

TINY = Path("data") / "tiny" / "manifest.csv"


def output(app: AppTest) -> bytes:
    """Everything that the page sent to the browser."""
    protos = [getattr(element, "proto", None) for element in app._tree]
    return b"\n".join(proto.SerializeToString() for proto in protos if proto is not None)


def rows_of(run: Run, split: str) -> pd.DataFrame:
    rows = run.manifest()
    return rows[rows["split"] == split]


def found_of(app: AppTest, rows: pd.DataFrame) -> set[str]:
    """The names of these images that are on the page, as text, as a thumbnail or as an address of a picture."""
    sent = output(app)
    named = {Path(path).name for path in rows["path"] if Path(path).name.encode() in sent}
    pictured = {Path(path).name for path in rows["path"] if images.thumbnail(images.image_ref(path)).picture in sent}
    refs = [
        ref for known in previews._known.values() for ref in (known.refs if isinstance(known, previews.ImageGrid) else (known,))
    ]
    served = {Path(str(ref.source)).name for ref in refs} & {Path(path).name for path in rows["path"]}
    return named | pictured | served


@pytest.fixture
def lab(run: Run) -> Iterator[Run]:
    """The run of images that lie in this workspace."""
    previews._known.clear()
    datasets.set_current_manifest(TINY.absolute())
    name_images_of(run, TINY.parent.absolute())
    yield run
    previews._known.clear()


def name_images_of(run: Run, folder: Path) -> None:
    rows = run.manifest()
    write_manifest(rows.assign(path=[str(folder / Path(path).name) for path in rows["path"]]), run.path / "manifest.csv")


@pytest.fixture(scope="module")
def _validated(_trained: Path, _prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as of `lab` whose run was scored on validation."""
    folder = tmp_path_factory.mktemp("validated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_HOME", str(folder.parent / "home-of-validated"))
        patch.setenv("MAMMOLAB_CACHE", str(_prepared))
        for name in ("data", "checkpoints"):
            shutil.copytree(_trained / name, folder / name)
        run = Run.open(folder / "checkpoints" / "tiny")
        name_images_of(run, folder / TINY.parent)
        evaluate(run, "val")
    return folder


@pytest.fixture
def validated(lab: Run, workspace: Path, _validated: Path) -> Run:
    """The run of `lab`, scored on validation."""
    copied(_validated, workspace)
    return lab


def refuse(*_: object, **__: object) -> None:
    raise NotRecorded("test_accesses.jsonl: read-only; so it is not given.")


def toggle(app: AppTest) -> Any:
    return next(each for each in app.toggle if each.label == test_set_access.SHOW)


def data(view: str) -> Callable[[], AppTest]:
    def opened() -> AppTest:
        preferences.set("data:view", view)
        return open_page("data")

    return opened


def explain(look: str) -> Callable[[], AppTest]:
    def opened() -> AppTest:
        preferences.set("explain:look", look)
        preferences.set("explain:source", "test")
        return open_page("explain")

    return opened


def evaluated(tab: str) -> Callable[[], AppTest]:
    def opened() -> AppTest:
        choose_part(tab)
        return open_page("evaluate")

    return opened


PAGES: dict[str, Callable[[], AppTest]] = {
    "home": lambda: open_page("home"),
    "data images": data("Images"),
    "data counts": data("Counts"),
    "data problems": data("Problems"),
    "preprocess": lambda: open_page("preprocess"),
    "inspect": lambda: open_page("inspect"),
    "train": lambda: open_page("train"),
    "runs": lambda: open_page("runs"),
    "evaluate mistakes": evaluated("Mistakes"),
    "evaluate all images": evaluated("All images"),
    "explain": explain("image"),
    "explain audit": explain("audit"),
    "test image": lambda: open_page("test_image"),
    "present": lambda: open_page("present"),
}


@pytest.mark.slow_but(
    "data images", "data problems", "preprocess", "inspect", "evaluate all images", "explain", "home", "present"
)
@pytest.mark.parametrize("page", PAGES)
def test_no_page_shows_a_test_image_its_name_or_its_label(validated: Run, page: str) -> None:
    app = PAGES[page]()
    assert not app.exception
    assert not app.error
    assert found_of(app, rows_of(validated, "test")) == set()
    assert accesses(validated.path) == ()


@pytest.mark.slow
@pytest.mark.parametrize(("page", "view"), [("Data", "data images"), ("Preprocess", "preprocess"), ("Inspector", "inspect")])
def test_the_switch_shows_them_and_is_recorded_first(lab: Run, page: str, view: str) -> None:
    app = PAGES[view]()
    assert "hidden" in texts(app)
    toggle(app).set_value(True).run()
    assert not app.exception
    assert not app.error
    shown = found_of(app, rows_of(lab, "test"))
    if page == "Data":
        app.button_group(key="data:split:widget").set_value("test").run()
        shown = found_of(app, rows_of(lab, "test"))
        assert len(galleries(app)["data:gallery"]) == 18
    assert shown
    kinds = {each.kind: each for each in accesses(lab.path)}
    assert kinds["labels"].images == 20 and kinds["labels"].where == page and kinds["labels"].manifest == TINY.as_posix()
    if page != "Inspector":
        assert kinds["images"].where == page and 0 < kinds["images"].images <= 20
    assert all(each.before_threshold is False for each in kinds.values())
    toggle(app).set_value(False).run()
    previews._known.clear()
    app.run()
    assert found_of(app, rows_of(lab, "test")) == set()


@pytest.mark.slow
def test_the_switch_of_one_page_is_not_that_of_another_and_does_not_outlive_the_visit(lab: Run) -> None:
    app = PAGES["data images"]()
    toggle(app).set_value(True).run()
    app.switch_page("views/inspect/inspect.py").run()
    assert toggle(app).value is False and found_of(app, rows_of(lab, "test")) == set()
    app.switch_page("views/data/data.py").run()
    assert toggle(app).value is False


@pytest.mark.slow
def test_pictures_are_recorded_once_a_session_and_their_number_is_right(lab: Run) -> None:
    app = PAGES["data images"]()
    toggle(app).set_value(True).run()
    app.button_group(key="data:split:widget").set_value("test").run()
    app.run()
    app.number_input(key="data:page:widget").set_value(2).run()
    app.number_input(key="data:page:widget").set_value(1).run()
    pictures = [each for each in accesses(lab.path) if each.kind == "images"]
    assert sum(each.images for each in pictures) == 20


@pytest.mark.slow
@pytest.mark.parametrize("view", ["data images", "preprocess", "inspect"])
def test_where_it_cannot_be_recorded_nothing_is_shown(lab: Run, view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = PAGES[view]()
    monkeypatch.setattr(record_of, "_append", refuse)
    toggle(app).set_value(True).run()
    assert not app.exception
    assert "read-only" in app.error[0].value
    assert toggle(app).value is False
    assert found_of(app, rows_of(lab, "test")) == set()


@pytest.mark.slow
def test_images_that_a_run_drew_for_its_test_set_are_hidden_where_the_manifest_has_no_split(lab: Run) -> None:
    rows = pd.read_csv(TINY).assign(split="")
    rows.to_csv(TINY.with_name("unsplit.csv"), index=False)
    datasets.set_current_manifest(TINY.with_name("unsplit.csv").absolute())
    for view in ("data images", "preprocess", "inspect"):
        app = PAGES[view]()
        assert "20 images of test patients are hidden" in texts(app)
        assert found_of(app, rows_of(lab, "test")) == set()


@pytest.mark.slow
def test_another_manifest_of_the_same_patients_shows_none_of_their_images(lab: Run) -> None:
    other = Path("data") / "other"
    other.mkdir()
    rows = pd.read_csv(TINY)
    for name in rows["path"]:  # copies, called train by somebody else, and a further image of a test patient
        shutil.copy(TINY.parent / name, other / name)
    shutil.copy(TINY.parent / "p00_CC.png", other / "p02_extra.png")
    extra = rows[rows["path"] == "p02_CC.png"].assign(path="p02_extra.png")
    pd.concat([rows, extra]).assign(split="train").to_csv(other / "manifest.csv", index=False)
    datasets.set_current_manifest((other / "manifest.csv").absolute())
    app = PAGES["data images"]()
    assert "21 images of test patients are hidden" in texts(app)
    hidden = rows_of(lab, "test")
    assert found_of(app, hidden.assign(path=[str(other / Path(path).name) for path in hidden["path"]])) == set()
    toggle(app).set_value(True).run()
    assert [each.images for each in accesses(lab.path) if each.kind == "labels"] == [21]


@pytest.mark.slow
def test_a_problem_names_no_test_file_until_it_is_switched_on(lab: Run) -> None:
    (TINY.parent / "p02_CC.png").write_bytes(b"\x89PNG broken")
    (TINY.parent / "p00_CC.png").write_bytes(b"\x89PNG broken too")
    (TINY.parent / "p05_CC.png").unlink()
    datasets.start_check(TINY.absolute())
    while (task := tasks.task(datasets.check_name(TINY.absolute()))) is not None and task.running:
        time.sleep(0.01)
    app = PAGES["data problems"]()
    told = [element.value for element in app.get("text")]
    assert any("p00_CC.png" in each for each in told) and any(each.startswith("a test image: ") for each in told)
    assert "p02_CC" not in "".join(told) and "p05_CC" not in "".join(told)
    toggle(app).set_value(True).run()
    told = [element.value for element in app.get("text")]
    assert any("p02_CC.png" in each for each in told) and any("p05_CC.png" in each for each in told)


@pytest.mark.slow_but("False-preprocess", "True-inspect")
@pytest.mark.parametrize("view", ["preprocess", "inspect"])
@pytest.mark.parametrize("copied", [False, True])
def test_a_typed_path_or_a_copy_of_a_test_file_is_recorded_and_shown_with_a_warning(lab: Run, view: str, copied: bool) -> None:
    path = Path(rows_of(lab, "test")["path"].iloc[0])
    named = shutil.copy(path, Path("copy.png")) if copied else path
    preferences.set(f"{view}:source", "File path")
    preferences.set(f"{view}:path", str(Path(named).absolute()))
    app = open_page(view)
    assert not app.exception
    assert not app.error
    assert "test image of the run tiny" in app.warning[0].value and "recorded" in app.warning[0].value
    assert previews._known or galleries(app)
    app.run()
    found = [each for each in accesses(lab.path) if each.kind == "images"]
    assert [each.images for each in found] == [1]


@pytest.mark.parametrize("view", ["preprocess", "inspect"])
def test_a_typed_path_is_not_shown_where_it_cannot_be_recorded(lab: Run, view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_of, "_append", refuse)
    preferences.set(f"{view}:source", "File path")
    preferences.set(f"{view}:path", rows_of(lab, "test")["path"].iloc[0])
    app = open_page(view)
    assert not app.exception
    assert "read-only" in app.error[0].value
    assert not previews._known and not galleries(app) and not app.warning and accesses(lab.path) == ()


def uploaded(path: str) -> AppTest:
    """Explain with this file as an upload of the session."""
    preferences.set("explain:look", "image")
    app = open_page("explain")
    app.button_group(key="explain:source:widget").set_value("upload")
    app.session_state["explain:uploaded"] = ("1", images.image_ref(Path(path).read_bytes(), "scan.png"))
    return app.run()


def test_an_upload_on_explain_is_recorded_and_explained_with_a_warning(lab: Run) -> None:
    app = uploaded(rows_of(lab, "test")["path"].iloc[0])
    assert not app.exception
    assert not app.error
    assert "test image of the run tiny" in app.warning[0].value
    (found,) = accesses(lab.path)
    assert (found.kind, found.where, found.images) == ("heatmaps", "Explain", 1)


@pytest.mark.slow
def test_an_upload_on_explain_is_not_explained_where_it_cannot_be_recorded(lab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_of, "_append", refuse)
    app = uploaded(rows_of(lab, "test")["path"].iloc[0])
    assert not app.exception
    assert "read-only" in app.error[0].value
    opened = [known.source for known in previews._known.values() if isinstance(known, images.ImageRef)]
    assert not any(isinstance(source, bytes) for source in opened) and accesses(lab.path) == ()


def test_a_validation_file_is_shown_without_a_word(lab: Run) -> None:
    preferences.set("inspect:source", "File path")
    preferences.set("inspect:path", rows_of(lab, "val")["path"].iloc[0])
    app = open_page("inspect")
    assert not app.warning and accesses(lab.path) == ()


# ---------------------------------------------------------------- the Gradio tab


def test_the_tab_s_examples_are_of_validation(lab: Run) -> None:
    from dashboard.asgi import gradio_tab

    _, paths = gradio_tab.example_images(datasets.current_manifest())
    assert len(paths) == gradio_tab.EXAMPLES and set(paths) <= set(rows_of(lab, "val")["path"])
    assert accesses(lab.path) == ()


def test_the_tab_scores_a_test_file_with_a_warning_and_records_it(lab: Run, tmp_path: Path) -> None:
    from dashboard.asgi.one_image import score

    upload = tmp_path / "upload.png"
    shutil.copy(rows_of(lab, "test")["path"].iloc[0], upload)
    found = score("tiny", str(upload), anyway=True)
    assert found.pixels is not None and "test image of the run tiny" in found.verdict and "recorded" in found.verdict
    (access,) = accesses(lab.path)
    assert (access.kind, access.where, access.images) == ("prediction", "Test image", 1)
    found = score("tiny", rows_of(lab, "val")["path"].iloc[0], anyway=True)
    assert found.pixels is not None and "test image" not in found.verdict and len(accesses(lab.path)) == 1


def test_the_tab_scores_no_test_file_where_it_cannot_be_recorded(lab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.asgi.one_image import score

    monkeypatch.setattr(record_of, "_append", refuse)
    found = score("tiny", rows_of(lab, "test")["path"].iloc[0])
    assert "read-only" in found.verdict and found.pixels is found.values is None


# ---------------------------------------------------------------- after the opening, and recipes


@pytest.mark.slow
def test_what_is_looked_at_after_the_opening_is_recorded_too(lab: Run) -> None:
    evaluate(lab, "test", where="Evaluate")
    preferences.set("evaluate:split", "test")
    for tab in ("Mistakes", "All images"):
        assert not PAGES[f"evaluate {tab.lower()}"]().error
    app = PAGES["explain"]()
    assert not app.error and found_of(app, rows_of(lab, "test"))
    found = {(each.kind, each.where) for each in accesses(lab.path)}
    assert {("scored", "Evaluate"), ("labels", "Evaluate"), ("heatmaps", "Explain"), ("labels", "Explain")} <= found


@pytest.mark.slow
def test_a_recipe_that_is_saved_after_test_images_were_shown_is_recorded(lab: Run) -> None:
    app = PAGES["preprocess"]()
    app.toggle(key="recipe:pectoral").set_value(True).run()
    next(each for each in app.button if each.label == "Use for training").click().run()
    assert read_record(lab.path.parent) == ()  # nothing was seen before
    toggle(app).set_value(True).run()
    app.toggle(key="recipe:pectoral").set_value(False).run()
    next(each for each in app.button if each.label == "Use for training").click().run()
    saved = [each for each in accesses(lab.path) if each.kind == "recipe"]
    assert [each.detail for each in saved] == [settings.current().preprocessing.hash]
    assert "recipe" not in access_counts(lab.path)


def test_renamed_copies_of_test_images_are_hidden_on_data_without_content_hashes(lab: Run) -> None:
    rows = lab.manifest()
    folder = Path("data") / "copy"
    folder.mkdir()
    copies = []
    for number, path in enumerate(rows["path"]):
        copies.append(str((folder / f"x{number}.png").absolute()))
        shutil.copy(path, copies[-1])
    renamed = rows[["label", "laterality", "view"]].assign(
        path=copies, patient_id=[f"Q{number}" for number in range(len(rows))], split=""
    )
    write_manifest(renamed, folder / "manifest.csv")
    manifest = (folder / "manifest.csv").absolute()
    datasets.set_current_manifest(manifest)
    assert test_set_access.sealed(manifest).tolist() == (rows["split"] == "test").tolist()
    tiles = [tile["id"] for tile in galleries(data("Images")())["data:gallery"]]
    closed = {path for path, split in zip(copies, rows["split"], strict=True) if split == "test"}
    assert tiles and closed and not closed & set(tiles)
