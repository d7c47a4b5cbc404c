from __future__ import annotations

import time
from pathlib import Path

import cv2
import pandas as pd
import pytest
from builders.lab_pages import draw_breast, galleries, open_page, texts, write_images
from builders.textured import textured_breast

from core.data.manifest import read_manifest, write_manifest
from core.training.preflight import preflight
from dashboard.state import datasets, preferences, settings, tasks
from dashboard.views.data import import_options


def settle(name: str) -> None:
    while (task := tasks.task(name)) is not None and task.running:
        time.sleep(0.01)


def test_without_data_there_are_two_ways_to_get_some(workspace: Path) -> None:
    app = open_page("data")
    assert not app.exception and not app.error
    assert {"Write the demo set", "Import"} <= {button.label for button in app.button}


def test_the_data_set_is_counted_and_shown(manifest: Path) -> None:
    app = open_page("data")
    assert not app.exception and not app.error
    assert [metric.value for metric in app.metric][:2] == ["24", "8"]
    assert "1–18 of 24" in texts(app)


def test_an_unreadable_file_is_a_tile_that_says_so_and_no_crash(manifest: Path) -> None:
    (manifest.parent / "p00_CC.png").write_bytes(b"not an image")
    app = open_page("data")
    assert not app.exception and not app.error
    missing = {Path(tile["id"]).name: tile["missing"] for tile in galleries(app)["data:gallery"] if tile["missing"]}
    assert missing == {"p00_CC.png": "not readable: see Problems"}


def test_images_stored_inverted_are_tagged_and_can_be_seen_as_the_model_sees_them(manifest: Path) -> None:
    cv2.imwrite(str(manifest.parent / "p00_CC.png"), 255 - draw_breast(1))
    app = open_page("data")
    assert "1 of these are stored inverted" in texts(app)
    tagged = [tile["id"] for tile in galleries(app)["data:gallery"] if tile["detail"].startswith("inverted")]
    assert [Path(path).name for path in tagged] == ["p00_CC.png"]
    app.button_group(key="data:look:widget").set_value("model").run()
    assert not app.exception and not app.error and "as the model sees" in texts(app)


def test_filters_that_match_nothing_say_what_to_do(manifest: Path) -> None:
    app = open_page("data")
    app.text_input(key="data:find:widget").input("nobody").run()
    assert "Loosen the filters" in texts(app)


def test_counts_show_the_split_that_training_would_make(manifest: Path) -> None:
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Counts").run()
    assert not app.exception and not app.error
    assert "by patient" in app.info[0].value
    assert any("data:counts" in element.proto.id for element in app.get("bidi_component"))


def test_the_check_reports_a_leaking_patient(manifest: Path) -> None:
    text = manifest.read_text(encoding="utf-8").replace("P01,L,CC,", "P01,L,CC,train").replace("P01,L,MLO,", "P01,L,MLO,test")
    manifest.write_text(text, encoding="utf-8")
    datasets.start_check(manifest)
    settle(datasets.check_name(manifest))
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Problems").run()
    assert not app.exception
    assert "training refuses" in app.error[0].value


def test_copies_stand_side_by_side_and_the_split_is_repaired_in_one_click(manifest: Path) -> None:
    for name, picture in {"p01_CC.png": textured_breast(1), "p05_CC.png": textured_breast(1)[:, ::-1]}.items():
        assert cv2.imwrite(str(manifest.parent / name), picture)
    frame = read_manifest(manifest)
    splits = ["val" if patient == "P05" else "train" for patient in frame["patient_id"]]
    write_manifest(frame.assign(split=pd.Series(splits, dtype="str")), manifest)
    datasets.start_check(manifest)
    settle(datasets.check_name(manifest))
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Problems").run()
    assert not app.exception and "Same picture, changed, in several splits" in texts(app)
    shown = {name: tiles for name, tiles in galleries(app).items() if name.startswith("data:copies")}
    assert [tile["caption"] for tile in shown["data:copies:0"]] == ["p01_CC.png", "p05_CC.png"]
    app.button(key="data:repair").click().run()
    settle(datasets.repair_name(manifest))
    app.run()
    assert not app.exception and any("moved" in each.value for each in app.success)
    app.button(key="data:repair:use").click().run()
    repaired = manifest.with_name("manifest-repaired.csv")
    assert datasets.current_manifest() == repaired
    assert read_manifest(repaired).groupby("patient_id")["split"].nunique().max() == 1


@pytest.mark.parametrize(("patients", "said"), [(12, "too few"), (24, "")])
def test_the_label_without_the_breast_is_one_click(workspace: Path, patients: int, said: str) -> None:
    manifest = write_images(workspace / "data" / "mine", patients=patients)
    datasets.set_current_manifest(manifest)
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Problems").run()
    app.button(key="data:baseline").click().run()
    settle(datasets.baseline_name(manifest))
    app.run()
    assert not app.exception
    assert said in app.error[0].value if said else any("predict" in each.value for each in app.info)


def test_an_import_becomes_the_current_data_set_and_lists_what_it_left_out(workspace: Path) -> None:
    write_images(workspace / "mine" / "benign", patients=6)
    (workspace / "mine" / "benign" / "manifest.csv").unlink()
    write_images(workspace / "mine" / "malignant", patients=6)
    (workspace / "mine" / "malignant" / "manifest.csv").unlink()
    (workspace / "mine" / "malignant" / "broken.png").write_bytes(b"\x89PNG broken")
    app = open_page("data")
    app.text_input(key="import:source").input(str(workspace / "mine")).run()
    app.text_input(key="import:folder:patient_pattern").input("(p[0-9]+)_").run()
    app.button(key="import:go").click().run()
    settle("import")
    app.run()
    assert not app.exception and not app.error
    assert datasets.find_manifests() == [workspace / "data" / "mine.csv"]
    assert "Left out by the import: 1" in texts(app)


def test_an_import_from_nowhere_says_so(workspace: Path) -> None:
    app = open_page("data")
    app.text_input(key="import:source").input(str(workspace / "nowhere")).run()
    app.button(key="import:go").click().run()
    settle("import")
    app.run()
    assert not app.exception
    assert "nowhere" in app.error[0].value


def test_a_second_import_of_the_same_name_overwrites_nothing(workspace: Path) -> None:
    manifest = write_images(workspace / "data" / "x")
    assert datasets._free_name(manifest) == manifest.with_name("manifest-2.csv")


def endless(report: tasks.Report) -> None:
    for done in range(10**9):
        report(done, 10**9)
        time.sleep(0.01)


def test_an_import_can_be_stopped_and_writes_nothing(workspace: Path) -> None:
    tasks.start_task("import", "Importing", endless)
    app = open_page("data")
    app.button(key="import:cancel").click().run()
    settle("import")
    app.run()
    assert not app.exception and not app.error
    assert "The import was stopped. Nothing was written." in texts(app)
    assert datasets.find_manifests() == [] and "Import" in {button.label for button in app.button}


def test_a_check_can_be_stopped_and_goes_on_when_it_is_asked_for_again(manifest: Path) -> None:
    name = datasets.check_name(manifest)
    tasks.start_task(name, "Checking the data", endless)
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Problems").run()
    app.button(key="data:check:cancel").click().run()
    settle(name)
    app.run()
    assert not app.exception and not app.error and "The check was stopped." in texts(app)
    app.button(key="data:check").click().run()
    settle(name)
    app.run()
    assert not app.exception and "was stopped" not in texts(app)


def test_warnings_of_an_import_stand_out_from_its_notes(workspace: Path) -> None:
    write_images(workspace / "mine", patients=4)
    rows = (workspace / "mine" / "manifest.csv").read_text(encoding="utf-8").replace("P00,", "removed,")
    (workspace / "mine" / "t.csv").write_text(rows, encoding="utf-8")
    datasets.start_import("csv", workspace / "mine" / "t.csv", {})
    settle("import")
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Problems").run()
    assert not app.exception
    assert any("names nobody" in warning.value for warning in app.warning)


def test_filters_and_the_page_of_images_are_there_again_after_another_page(manifest: Path) -> None:
    app = open_page("data")
    app.button_group(key="data:label:widget").set_value("benign").run()
    app.text_input(key="data:find:widget").set_value("cc").run()
    app.switch_page("views/home/home.py").run()
    app.switch_page("views/data/data.py").run()
    assert not app.exception and not app.error
    assert app.button_group(key="data:label:widget").value == "benign"
    assert app.text_input(key="data:find:widget").value == "cc"
    assert {tile["label"] for tile in galleries(app)["data:gallery"]} == {"benign"}
    app.text_input(key="data:find:widget").set_value("").run()
    app.button_group(key="data:label:widget").set_value(None).run()
    app.number_input(key="data:page:widget").set_value(2).run()
    assert len(galleries(app)["data:gallery"]) == 6
    preferences.set("data:page", 99)
    assert len(galleries(open_page("data"))["data:gallery"]) == 6, "the last page there is"


def test_options_of_an_import_have_plain_titles_and_choices_that_the_importers_know(workspace: Path) -> None:
    from core.data.importers import IMPORTERS

    titles, choices = import_options.TITLES, import_options.CHOICES
    known = {name: words for importer in IMPORTERS.values() for name, words in importer.options.items()}
    assert set(titles) <= set(known) and set(choices) <= set(titles)
    for name, answers in choices.items():
        assert next(iter(answers)) == "" and all(answer in known[name] for answer in answers)
    app = open_page("data")
    app.selectbox(key="import:name").set_value("mini-mias").run()
    assert not app.exception and not app.error
    assert {"Normal films", "Odd-numbered films show the … breast"} <= {each.label for each in app.selectbox}


def test_where_no_patient_is_known_the_import_the_card_the_check_and_train_say_so(workspace: Path) -> None:
    source = workspace / "mine"
    for label in ("benign", "malignant"):
        (source / label).mkdir(parents=True)
        for number in range(6):
            pixels = draw_breast(number + 10 * (label == "benign"))
            cv2.imwrite(str(source / label / f"{label[0]}{number // 2}_scan{number}.png"), pixels)
    app = open_page("data")
    app.text_input(key="import:source").input(str(source)).run()
    app.button(key="import:go").click().run()
    settle("import")
    app.run()
    assert not app.exception and not app.error
    assert any("Leakage between splits cannot be excluded" in warning.value for warning in app.warning)  # the page of problems
    assert any("patient_pattern=" in note.value for note in app.info)
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
