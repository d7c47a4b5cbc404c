"""The import on the Data page, step by step: files, what they are, preview and options, write; and uploads."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import cv2
import pytest
from builders import collection_trees
from builders.lab_pages import button, draw_breast, galleries, keys, open_page, texts, write_images
from streamlit.testing.v1 import AppTest

from core.data.importers import IMPORTERS
from core.data.label_rules import RULES
from core.data.manifest import read_manifest
from core.data.unpacking import BadUpload
from core.training.preflight import preflight
from dashboard.state import datasets, imports, settings, tasks
from dashboard.views.data import import_options
from dashboard.views.data.import_options import in_page_words


def settle(name: str) -> None:
    while (task := tasks.task(name)) is not None and task.running:
        time.sleep(0.01)


def classes(folder: Path, *names: str, patients: int = 6) -> Path:
    """Folders of these names with images in them."""
    for name in names:
        write_images(folder / name, patients=patients)
        (folder / name / "manifest.csv").unlink()
    return folder


def looked(source: Path) -> AppTest:
    """The page after it has looked at a path."""
    app = open_page("data", data__view="Import")
    app.text_input(key="import:source").input(str(source)).run()
    button(app, "import:look").click().run()
    settle(imports.LOOK)
    app.run()
    settle(imports.PREVIEW)
    return app.run()


def archive(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for path in sorted(folder.rglob("*")):
            made.write(path, path.relative_to(folder.parent).as_posix())
    return stream.getvalue()


def sent(name: str, content: bytes) -> AppTest:
    """The page after these bytes were sent from the browser."""
    app = open_page("data", data__view="Import")
    app.segmented_control(key="import:how").set_value(importing_send()).run()
    app.file_uploader(key="import:files").upload(name, content, "application/zip").run()
    button(app, "import:send").click().run()
    settle(imports.LOOK)
    return app.run()


def importing_send() -> str:
    from dashboard.views.data import importing

    return importing.SEND


def test_a_collection_is_recognised_previewed_and_written_only_at_the_end(workspace: Path) -> None:
    app = looked(collection_trees.vindr(workspace / "vindr"))
    assert not app.exception and not app.error
    assert "This is **vindr**" in app.success[0].value
    assert "11 images" in texts(app) and "2 images with lesions drawn" not in texts(app)
    assert any("pathology is not published" in warning.value for warning in app.warning)
    assert {"BI-RADS 4 to 6 malignant, 1 to 3 benign"} <= set(app.selectbox(key="import:vindr:rule").options)
    shown = galleries(app)["import:examples"]
    assert shown and not any("test" in tile["detail"] for tile in shown), "no image of a test split"
    assert datasets.find_manifests() == [] and not list((workspace / "data").glob("*.csv"))
    button(app, "import:write").click().run()
    settle(imports.WRITE)
    app.run()
    assert not app.exception and not app.error
    assert datasets.current_manifest() == workspace / "data" / "vindr.csv"
    assert (workspace / "data" / "vindr.exclusions.csv").is_file()
    assert imports.mine(imports.LOOK) is None, "the next import begins anew"


@pytest.mark.slow
def test_changed_options_ask_for_another_preview_before_anything_is_written(workspace: Path) -> None:
    app = looked(collection_trees.vindr(workspace / "vindr"))
    app.selectbox(key="import:vindr:rule").set_value("birads-without-3").run()
    assert "The options have changed since this preview." in texts(app) and "import:write" not in keys(app)
    button(app, "import:preview").click().run()
    settle(imports.PREVIEW)
    app.run()
    assert not app.exception and not app.error
    button(app, "import:write").click().run()
    settle(imports.WRITE)
    assert set(read_manifest(workspace / "data" / "vindr.csv")["label_rule"]) == {"birads-without-3"}


@pytest.mark.slow
def test_what_folders_mean_is_asked_and_never_assumed(workspace: Path) -> None:
    app = looked(classes(workspace / "mine", "0", "1"))
    assert not app.exception and not app.error
    assert tasks.task(imports.PREVIEW) is None, "nothing is previewed before it is confirmed"
    meanings = {each.label: each.value for each in app.segmented_control if each.key.startswith("import:class:")}
    assert meanings == {"0 · 12 files": "benign", "1 · 12 files": "malignant"}
    app.segmented_control(key="import:class:0").set_value("malignant").run()
    app.segmented_control(key="import:class:1").set_value("benign").run()
    button(app, "import:preview").click().run()
    settle(imports.PREVIEW)
    app.run()
    button(app, "import:write").click().run()
    settle(imports.WRITE)
    frame = read_manifest(workspace / "data" / "mine.csv")
    assert set(frame.loc[frame["path"].str.contains("/0/"), "label"]) == {"malignant"}


@pytest.mark.slow
def test_where_nothing_is_recognised_it_says_what_was_expected_and_a_table_can_be_named(workspace: Path) -> None:
    write_images(workspace / "plain", patients=4)
    app = looked(workspace / "plain")
    assert not app.exception and not app.error
    assert any("No collection is known by these files. Expected" in warning.value for warning in app.warning)
    app.selectbox(key="import:as").set_value("csv").run()
    assert app.selectbox(key="import:table").options == ["manifest.csv"]
    button(app, "import:preview").click().run()
    settle(imports.PREVIEW)
    app.run()
    assert not app.exception and not app.error and "**8 images** of 4 patients" in texts(app)


def test_where_several_fit_they_are_listed_with_reasons_and_nothing_is_begun(workspace: Path) -> None:
    collection_trees.vindr(workspace / "both" / "a")
    collection_trees.inbreast(workspace / "both" / "b")
    app = looked(workspace / "both")
    assert not app.exception and not app.error and tasks.task(imports.PREVIEW) is None
    several = next(warning.value for warning in app.warning if warning.value.startswith("Several fit"))
    assert "**vindr**:" in several and "**inbreast**:" in several


def test_a_path_from_nowhere_and_the_way_back(workspace: Path) -> None:
    app = looked(workspace / "nowhere")
    assert not app.exception and "nowhere" in app.error[0].value and "import:look" in keys(app)
    app = looked(classes(workspace / "mine", "benign", "malignant"))
    assert not app.error
    button(app, "import:back").click().run()
    assert not app.exception and "import:look" in keys(app) and "import:write" not in keys(app)


@pytest.mark.slow
def test_every_file_that_is_left_out_has_its_reason_before_and_after_writing(workspace: Path) -> None:
    source = classes(workspace / "mine", "benign", "malignant")
    (source / "malignant" / "broken.png").write_bytes(b"\x89PNG broken")
    app = looked(source)
    if tasks.task(imports.PREVIEW) is None:
        button(app, "import:preview").click().run()
        settle(imports.PREVIEW)
        app.run()
    assert not app.exception and not app.error and "1 left out." in texts(app)
    button(app, "import:write").click().run()
    settle(imports.WRITE)
    app.run()
    assert "Left out by the import: 1" in texts(app), "the page of problems"
    assert any(each.label.startswith("Notes of the import: ") for each in app.expander) and not app.info


@pytest.mark.parametrize("step", [imports.LOOK, imports.PREVIEW])
def test_an_import_can_be_stopped_and_writes_nothing(workspace: Path, step: str) -> None:
    def endless(report: tasks.Report) -> None:
        for done in range(10**9):
            report(done, 10**9)
            time.sleep(0.01)

    source = classes(workspace / "mine", "benign", "malignant")
    if step == imports.PREVIEW:
        imports.start_look(source)
        settle(imports.LOOK)
    datasets.started_here(tasks.start_task(step, "Importing", endless))
    app = open_page("data")
    button(app, "import:cancel").click().run()
    settle(step)
    app.run()
    assert not app.exception and not app.error
    assert "The import was stopped. Nothing was written." in texts(app) and datasets.find_manifests() == []


def test_somebody_elses_import_is_waited_for(workspace: Path) -> None:
    def endless(report: tasks.Report) -> None:
        while True:
            report(0, 0)
            time.sleep(0.01)

    task = tasks.start_task(imports.PREVIEW, "Importing", endless)
    app = open_page("data")
    assert not app.exception and "Somebody else imports" in texts(app) and "import:look" not in keys(app)
    task.stopping.set()
    settle(imports.PREVIEW)


@pytest.mark.slow
def test_an_archive_from_the_browser_is_unpacked_imported_and_can_be_removed(workspace: Path) -> None:
    app = sent("my set.zip", archive(classes(workspace / "mine", "benign", "malignant")))
    assert not app.exception and not app.error
    folder = workspace / "data" / "uploads" / "my-set"
    assert len(list(folder.rglob("*.png"))) == 24
    looked_at = imports.mine(imports.LOOK)
    assert looked_at is not None and looked_at.result.source == folder / "mine", "below the folder that holds nothing else"
    if imports.mine(imports.PREVIEW) is None:
        button(app, "import:preview").click().run()
    settle(imports.PREVIEW)
    app.run()
    button(app, "import:write").click().run()
    settle(imports.WRITE)
    app.run()
    assert len(read_manifest(workspace / "data" / "my-set.csv")) == 24
    app = open_page("data", data__view="Import")
    button(app, "import:remove:my-set").click().run()
    assert not app.exception and not app.error and not folder.exists() and imports.list_uploads() == []


def test_an_upload_that_leads_elsewhere_or_is_too_large_or_no_archive_leaves_nothing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("../../evil.csv", b"path,label,patient_id\n")
    app = sent("evil.zip", stream.getvalue())
    assert not app.exception and "leads out of the folder" in app.error[0].value
    app = sent("program.zip", b"MZ\x90\x00 nothing of ours")
    assert "none by its content" in app.error[0].value
    config = settings.current()
    small = config.model_copy(update={"dashboard": config.dashboard.model_copy(update={"upload_files": 3})})
    monkeypatch.setattr(settings, "current", lambda: small)
    app = sent("many.zip", archive(classes(workspace / "mine", "benign", "malignant")))
    assert "at most 3 files" in app.error[0].value
    assert imports.list_uploads() == [] and not list((workspace / "data").rglob("*.csv"))
    assert [path.name for path in (workspace / "data").rglob("*") if path.is_file()] == []


def test_only_uploads_can_be_removed_and_their_tables_are_no_data_sets(manifest: Path) -> None:
    for path in (manifest.parent, imports.uploads_folder(), imports.uploads_folder() / ".." / "small"):
        with pytest.raises(BadUpload):
            imports.remove_upload(path)
    assert manifest.is_file()
    write_images(imports.uploads_folder() / "sent", patients=2)
    assert datasets.find_manifests() == [manifest]
    with pytest.raises(BadUpload, match="expected a name"):
        imports.start_upload([("a.png", io.BytesIO(b"1"))], "../elsewhere")
    with pytest.raises(BadUpload, match="expected a new name"):
        imports.start_upload([("a.png", io.BytesIO(b"1"))], "sent")


def test_an_import_never_overwrites_a_manifest(workspace: Path) -> None:
    manifest = write_images(workspace / "data" / "x")
    assert datasets.free_name(manifest) == manifest.with_name("manifest-2.csv")


def test_every_option_of_ours_has_plain_words_and_answers_that_the_importer_knows() -> None:
    titled = {*import_options.TITLES, *import_options.SWITCHES, import_options.ASKED_APART}
    known: dict[str, list[str]] = {}
    for importer in IMPORTERS.values():
        for name, words in importer.options.items():
            known.setdefault(name, []).append(words)
        rules = import_options.rules_of(importer)
        assert bool(rules) == ("rule" in importer.options) and set(rules) <= set(RULES)
    assert set(known) == titled
    for name, answers in import_options.CHOICES.items():
        assert all(answer in words for words in known[name] for answer in answers if answer != "official")
    for name, (_, off, on) in import_options.SWITCHES.items():
        assert all(off in words and on in words for words in known[name])


@pytest.mark.parametrize("name", list(IMPORTERS))
def test_the_options_of_every_importer_are_drawn_and_pass_on_nothing_while_nothing_is_changed(name: str) -> None:
    def page(name: str) -> None:
        import streamlit as st

        from core.data.importers import IMPORTERS
        from dashboard.views.data import import_options

        st.session_state["passed"] = import_options.fields(IMPORTERS[name])

    app = AppTest.from_function(page, args=(name,), default_timeout=30).run()
    assert not app.exception and app.session_state["passed"] == {}
    for toggle in app.toggle:
        toggle.set_value(not toggle.value)
    app.run()
    assert not app.exception and len(app.session_state["passed"]) == len(app.toggle)


@pytest.mark.slow
def test_where_no_patient_is_known_the_import_the_card_the_check_and_train_say_so(workspace: Path) -> None:
    source = workspace / "mine"
    for label in ("benign", "malignant"):
        (source / label).mkdir(parents=True)
        for number in range(6):
            pixels = draw_breast(number + 10 * (label == "benign"))
            cv2.imwrite(str(source / label / f"{label[0]}{number // 2}_scan{number}.png"), pixels)
    app = looked(source)
    if imports.mine(imports.PREVIEW) is None:
        button(app, "import:preview").click().run()
        settle(imports.PREVIEW)
        app.run()
    assert "patients unknown" in texts(app)
    assert any("Leakage between splits cannot be excluded" in warning.value for warning in app.warning)
    button(app, "import:write").click().run()
    settle(imports.WRITE)
    app.run()
    assert not app.exception and not app.error
    assert any("Leakage between splits cannot be excluded" in warning.value for warning in app.warning)  # the page of problems
    assert "patient\\_pattern=" in texts(app)
    assert app.metric[0].proto.delta_description == "patients unknown"
    app.button(key="data:check").click().run()
    manifest = datasets.current_manifest()
    assert manifest is not None and datasets.counts_of(manifest).patient_words == "patients unknown"
    settle(datasets.check_name(manifest))
    app.run()
    assert any(warning.value.startswith("No patient known: leakage cannot be excluded") for warning in app.warning)
    assert not app.success
    assert preflight(settings.current(), datasets.manifest_frame(manifest)).warnings[0].startswith("No patient known")
    train = open_page("train")
    assert any(warning.value.startswith("No patient known") for warning in train.warning)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "the README says the opposite, odd=right follows it",
            '"Odd-numbered films show the … breast: right, as in the README"',
        ),
        ("normals=benign takes them in", '"Take in normal films as benign" takes them in'),
        ("masks=leave keeps them out", '"Take in files that look like masks" switched off'),
        ("a patient_pattern solves this", 'a "Patient number in file names" solves this'),
        ("tomosynthesis=odd is nothing of ours", "tomosynthesis=odd"),
    ],
)
def test_options_are_spelled_as_the_fields_of_the_page_do(text: str, said: str) -> None:
    assert said in in_page_words(text)
