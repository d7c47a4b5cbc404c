from __future__ import annotations

import time
from pathlib import Path

import cv2
import pandas as pd
import pytest
from builders.lab_pages import button, draw_breast, figures, galleries, open_page, texts, write_images
from builders.textured import textured_breast

from core.data.exclusions import exclusions
from core.data.manifest import labelled, read_manifest, write_manifest
from dashboard.cache import compositions
from dashboard.state import datasets, preferences, tasks


def settle(name: str) -> None:
    while (task := tasks.task(name)) is not None and task.running:
        time.sleep(0.01)


def test_without_data_there_are_two_ways_to_get_some(workspace: Path) -> None:
    app = open_page("data")
    assert not app.exception and not app.error
    assert {"Write the demo set", "Look at it"} <= {button.label for button in app.button}


@pytest.fixture
def small(workspace: Path) -> Path:
    """A manifest of pictures too small to be compared with one another."""
    return write_images(workspace / "data" / "small", height=90, width=75)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_counts_show_the_split_that_training_would_make(manifest: Path) -> None:
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Counts").run()
    assert not app.exception and not app.error
    assert "by patient" in app.info[0].value
    assert any("data:counts" in element.proto.id for element in app.get("bidi_component"))


def test_the_check_reports_a_leaking_patient(small: Path) -> None:
    text = small.read_text(encoding="utf-8").replace("P01,L,CC,", "P01,L,CC,train").replace("P01,L,MLO,", "P01,L,MLO,test")
    small.write_text(text, encoding="utf-8")
    datasets.start_check(small)
    settle(datasets.check_name(small))
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Problems").run()
    assert not app.exception
    assert "training refuses" in app.error[0].value


@pytest.mark.slow
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


@pytest.mark.slow
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


def endless(report: tasks.Report) -> None:
    for done in range(10**9):
        report(done, 10**9)
        time.sleep(0.01)


@pytest.mark.slow
def test_a_check_can_be_stopped_and_goes_on_when_it_is_asked_for_again(small: Path) -> None:
    name = datasets.check_name(small)
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_counts_by_other_columns_and_by_image_size(manifest: Path) -> None:
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    frame.assign(density=["A", "B"] * 12, age=["45"] * 20 + [""] * 4).to_csv(manifest, index=False)
    app = open_page("data", data__view="Counts", data__by="age")
    assert not app.exception and not app.error
    assert {"Side", "Density", "Age", "Image size"} <= set(app.button_group(key="data:by:widget").options)
    assert figures(app)["data:by_chart"]["data"][0]["x"] == ["40-49", "not given"]
    app.button_group(key="data:by:widget").set_value("size").run()
    app.button(key="data:sizes").click().run()
    settle(compositions.sizes_name(manifest))
    app.run()
    assert not app.exception and not app.error
    assert figures(app)["data:by_chart"]["data"][0]["x"] == ["100 × 120"]


@pytest.mark.slow
def test_patients_are_listed_a_page_at_a_time_without_those_of_a_sealed_test_set(data: Path) -> None:
    frame = datasets.manifest_frame(data)
    app = open_page("data", data__view="Patients")
    assert not app.exception and not app.error
    shown = set(app.dataframe[0].value["patient"])
    assert shown == set(frame.loc[frame["split"] != "test", "patient_id"])
    app.toggle(key=f"test_images:Data:{data}").set_value(True).run()
    assert set(app.dataframe[0].value["patient"]) == set(frame["patient_id"])
    app.text_input(key="data:find_patient:widget").input("nobody").run()
    assert "No patient matches" in texts(app)


@pytest.mark.slow
def test_patients_are_excluded_with_a_note_and_come_back(manifest: Path) -> None:
    app = open_page("data", data__view="Changes")
    assert not app.exception and not app.error and button(app, "data:exclude:go").disabled
    app.multiselect(key="data:exclude:Patients").set_value(["P03"]).run()
    app.text_input(key="data:exclude:note").input("implant").run()
    button(app, "data:exclude:go").click().run()
    assert not app.exception and not app.error
    assert "2 images of this data set are excluded now" in texts(app) and "**implant** · 2 images of 1 patient" in texts(app)
    assert len(labelled(read_manifest(manifest))) == 22
    assert (app.metric[0].value, app.metric[0].proto.delta_description) == ("22", "11 patients, 2 more excluded")
    sidebar = " ".join(each.proto.body for each in app.sidebar.get("html"))
    assert "22 images, 11 patients, 2 more excluded" in sidebar
    home = open_page("home")
    assert any("22 images, 11 patients, 2 more excluded" in each.value for each in home.caption)
    gallery = open_page("data", data__only=["excluded"])
    assert {tile["detail"] for tile in galleries(gallery)["data:gallery"]} == {"excluded · P03"}
    button(app, "data:restore:0").click().run()
    assert "Nothing is excluded." in texts(app) and len(labelled(read_manifest(manifest))) == 24


@pytest.mark.slow
def test_images_are_excluded_by_name(manifest: Path) -> None:
    app = open_page("data", data__view="Changes")
    app.segmented_control(key="data:exclude:what").set_value("Images").run()
    app.text_input(key="data:exclude:find").input("p04_mlo").run()
    (choice,) = app.multiselect(key="data:exclude:Images").options
    assert choice == "p04_MLO.png · P04"
    app.multiselect(key="data:exclude:Images").set_value([str(manifest.parent / "p04_MLO.png")]).run()
    app.text_input(key="data:exclude:note").input("blurred").run()
    button(app, "data:exclude:go").click().run()
    frame = read_manifest(manifest)
    assert frame.loc[frame["excluded"] != "", "path"].map(lambda path: Path(path).name).tolist() == ["p04_MLO.png"]


@pytest.mark.slow
def test_problems_are_grouped_with_their_images_and_excluded_together(small: Path) -> None:
    for name in ("p00_CC.png", "p03_CC.png"):
        (small.parent / name).write_bytes(b"not an image")
    datasets.start_check(small)
    settle(datasets.check_name(small))
    app = open_page("data", data__view="Problems")
    assert not app.exception and "**Unreadable** · 2 rows" in texts(app)
    app.session_state["data:problem:unreadable"] = True
    app.run()
    assert not app.exception and not app.error
    tiles = galleries(app)["data:problem_images:unreadable"]
    assert [Path(tile["id"]).name for tile in tiles] == ["p00_CC.png", "p03_CC.png"]
    button(app, "data:problem:unreadable:exclude").click().run()
    assert not app.exception and not app.error
    assert [(each.note, each.rows) for each in exclusions(read_manifest(small))] == [("unreadable", (0, 6))]


@pytest.mark.slow
def test_another_label_rule_makes_another_data_set(manifest: Path) -> None:
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    frame.assign(birads=["3", "1"] * 12, label_rule="birads-from-4").to_csv(manifest, index=False)
    app = open_page("data", data__view="Changes")
    app.selectbox(key="data:rule").set_value("birads-without-3").run()
    assert not app.exception and not app.error and "became unlabelled" in texts(app)
    button(app, "data:relabel").click().run()
    assert not app.exception and not app.error
    made = manifest.with_name("manifest-birads-without-3.csv")
    assert datasets.current_manifest() == made
    assert (read_manifest(made)["label"] == "").sum() == 12 and (read_manifest(manifest)["label"] == "").sum() == 0


@pytest.mark.slow
def test_thumbnails_can_be_narrowed_down_to_those_with_a_lesion(manifest: Path) -> None:
    assert not open_page("data").pills, "nothing to narrow down to"
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    frame.assign(lesions=["[[1, 2, 30, 40]]", *[""] * 23]).to_csv(manifest, index=False)
    app = open_page("data", data__only=["with lesion"])
    assert not app.exception and not app.error
    assert [Path(tile["id"]).name for tile in galleries(app)["data:gallery"]] == ["p00_CC.png"]


def test_counts_of_a_set_that_cannot_be_split_say_why_and_are_there(manifest: Path) -> None:
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    frame.assign(label=["malignant", *["benign"] * 23]).to_csv(manifest, index=False)
    app = open_page("data", data__view="Counts")
    assert not app.exception and not app.error
    assert "No split can be made" in app.warning[0].value
    assert [trace["y"] for trace in figures(app)["data:counts"]["data"]] == [[23], [1]]
