"""The report: one file, nothing from outside, the same bytes for the same run, and nothing claimed that is not there."""

from __future__ import annotations

import copy
import json
import re
import shutil
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.copied import copied
from builders.fake_run import FakePredictor, FakeRun, make_run

from core.data import write_manifest
from core.errors import BadConfig, BadRun, UnreadableImage
from core.evaluate import evaluate, read_evaluation
from core.gradcam import Heatmap
from core.metrics import TITLES, Interval
from core.report import gather, report
from core.report.checklists import CLAIM, TRIPOD
from core.report.document import Missing, Section
from core.report.heatmaps import choose_cases
from core.report.material import anonymous, split_fingerprint
from core.report.notes import Notes
from core.report.words import stated
from core.runs.status import Status, write_status
from core.runs.test_set.accesses import accesses
from core.runs.test_set.provenance import Parent, write_parent

VOID = {"meta", "br", "img", "link", "hr", "input", "path", "use"}
LARGEST = 6_000_000  # bytes: what still passes by mail


class Page(HTMLParser):
    """Headings, text, addresses and ids of a page; fails on a tag that is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag in ("h2", "h3"):
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data
            if self.open[-1] in ("h2", "h3"):
                self.headings[-1] += data.strip()


class ExplainingPredictor(FakePredictor):
    """A FakePredictor that also reads files and explains them."""

    def predict(self, path: Path):
        from core.images import read
        from core.preprocessing import prepare

        class Result:
            mammogram = read(path)
            prepared = prepare(mammogram, self.recipe)

        return Result

    def explain(self, prediction) -> Heatmap:
        pixels = prediction.prepared.pixels
        values = np.linspace(0, 1, pixels.size, dtype=np.float32).reshape(pixels.shape)
        return Heatmap(values, False, "gradcam", "layer4")


def written(run: FakeRun) -> str:
    return report(run, predictor=ExplainingPredictor(run.card)).read_text(encoding="utf-8")


def answer(run: FakeRun, text: str) -> None:
    (run.path / "report.yaml").write_text(text, encoding="utf-8")


def sections(run: FakeRun) -> dict[str, Section]:
    return {section.id: section for section in gather(run, ExplainingPredictor(run.card)).walk()}


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return make_run(tmp_path / "run")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    """A run that was evaluated once; tests work on copies."""
    run = make_run(tmp_path_factory.mktemp("template") / "run", extra={"biopsy": "0"})
    for split in ("val", "test"):
        evaluate(run, split, predictor=FakePredictor(run.card))
    return run


@pytest.fixture
def evaluated(template: FakeRun, tmp_path: Path) -> FakeRun:
    return FakeRun(copied(template.path, tmp_path / "run"), copy.deepcopy(template.card), copy.deepcopy(template.log))


@pytest.fixture(scope="module")
def reported(template: FakeRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[FakeRun, str]:
    """A run that nobody changes, and its report with everything drawn."""
    run = FakeRun(copied(template.path, tmp_path_factory.mktemp("reported") / "run"), template.card, template.log)
    return run, written(run)


# ---------------------------------------------------------------- the file


def test_the_file_follows_the_headings_of_the_guidelines(reported: tuple[FakeRun, str]) -> None:
    page = Page(reported[1])
    chapters = ["Introduction", "Methods", "Open science and involvement", "Results", "Discussion", "Model card"]
    found = [heading for heading in page.headings if heading in chapters]
    assert found == chapters
    wanted = {"Missing data and excluded images", "Partition of the data", "Calibration and model updating", "Shortcut audit"}
    wanted |= {"Subgroups and fairness", "Audit of the heatmaps", "Limitations", "TRIPOD+AI checklist", "CLAIM 2024 checklist"}
    assert wanted <= set(page.headings)
    assert len(page.ids) == len(set(page.ids))
    assert "For research only" in page.text


def test_nothing_is_loaded_from_outside_and_nothing_runs(reported: tuple[FakeRun, str]) -> None:
    html = reported[1]
    page = Page(html)
    assert all(address.startswith(("#", "data:image/")) for address in page.addresses)
    assert all(address[1:] in page.ids for address in page.addresses if address.startswith("#"))
    assert "script" not in page.tags and not page.handlers
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|//cdn|@import", html, re.IGNORECASE)


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_without_its_model_too(reported: tuple[FakeRun, str], drawn: None) -> None:
    run, first = reported
    assert len(first.encode("utf-8")) < LARGEST
    # The second time no model is given, and none could be loaded: pictures are kept.
    assert report(run).read_bytes() == first.encode("utf-8")


@pytest.mark.slow
def test_a_run_in_another_folder_gives_the_same_bytes(tmp_path: Path, drawn: None) -> None:
    pages = []
    for place in ("here", "there"):
        run = make_run(tmp_path / place)
        evaluate(run, "val", predictor=FakePredictor(run.card))
        text = written(run)
        stamps = re.findall(r"20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d", text)
        for stamp in stamps:
            text = text.replace(stamp, "")
        pages.append(re.sub("[0-9a-f]{64}", "", text))
    assert pages[0] == pages[1]


@pytest.mark.slow
def test_a_picture_of_other_weights_is_made_anew(evaluated: FakeRun) -> None:
    before = written(evaluated)
    evaluated.card["weights_sha256"] = "cd" * 32
    written(evaluated)
    assert len(list((evaluated.path / "explain" / "report").glob("*.jpg"))) == 2 * before.count("data:image/jpeg")


# ---------------------------------------------------------------- the guidelines


def test_the_checklists_have_every_item_once_and_in_order() -> None:
    letters = {"3": "abc", "5": "ab", "6": "abc", "8": "abc", "9": "abc", "12": "abcdefg", "18": "abcdef", "20": "abc"}
    letters |= {"23": "ab", "27": "abc"}
    assert [item.number for item in TRIPOD] == [f"{n}{x}" for n in range(1, 28) for x in letters.get(str(n), [""])]
    assert len(TRIPOD) == 52
    assert [item.number for item in CLAIM] == [str(number) for number in range(1, 45)]


def test_every_item_points_to_a_section_and_asks_what_that_section_asks(run: FakeRun) -> None:
    found = sections(run)
    for item in (*TRIPOD, *CLAIM):
        assert item.section == "abstract" or item.section in found
        assert (item.by != "MammoLab") == bool(item.keys)
        assert set(item.keys) <= set(Notes.model_fields)
    asked = {block.key for section in found.values() for block in section.blocks if block.kind == "author"}
    assert asked | {"title", "authors"} == set(Notes.model_fields)


@pytest.mark.slow
def test_item_numbers_stand_beside_the_headings(reported: tuple[FakeRun, str]) -> None:
    run, html = reported
    found = sections(run)
    assert found["ethics"].items == ("TRIPOD+AI 17",)
    assert found["partition"].items == ("TRIPOD+AI 12a, 16", "CLAIM 19, 20")
    assert "TRIPOD+AI 12a, 16 · CLAIM 19, 20" in Page(html).text


def test_answers_of_the_authors_stand_where_they_were_asked_for(run: FakeRun) -> None:
    assert "authors: open (funding)" in re.sub(r"\s+", " ", Page(written(run)).text)
    answer(run, "funding: The Foundation paid.\ntitle: Our study\nauthors: A. Author")
    page = Page(written(run))
    assert "The Foundation paid." in page.text and "authors: open (funding)" not in page.text
    assert "Our study" in page.text and "A. Author" in page.text


@pytest.mark.parametrize("text", ["- a list", "fundign: x", "funding: [1, 2]", "funding: 'open", "just words", "a: b: c"])
def test_answers_that_cannot_be_read_are_refused_with_a_reason(run: FakeRun, text: str) -> None:
    answer(run, text)
    with pytest.raises(BadConfig, match=r"report\.yaml"):
        report(run)


@pytest.mark.parametrize("part", ["calibration", "utility", "subgroups", "shortcuts"])
def test_a_part_without_material_says_which_command_makes_it(run: FakeRun, part: str) -> None:
    waiting = [block.text for block in sections(run)[part].blocks if isinstance(block, Missing)]
    assert any("python -m core evaluate b0-clahe2" in text for text in waiting)


def test_heatmaps_that_were_not_audited_say_which_command_does_it(reported: tuple[FakeRun, str]) -> None:
    text = Page(reported[1]).text
    assert "python -m core audit b0-clahe2" in text
    assert "The heatmaps were not audited" in text


@pytest.mark.slow
def test_an_evaluation_of_an_earlier_version_is_shown_without_what_it_lacks(
    evaluated: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.report.material as material
    from core.evaluate import AGAIN

    def earlier(run: FakeRun, split: str):
        found = read_evaluation(run, split)
        lacking = {"calibration": AGAIN, "shortcuts": AGAIN, "decision": AGAIN, "baselines": AGAIN}
        return found and replace(found, **lacking, subgroups=(), version=1)

    monkeypatch.setattr(material, "read_evaluation", earlier)
    found = sections(evaluated)
    for part in ("calibration", "utility", "subgroups", "shortcuts", "baselines"):
        assert any(isinstance(block, Missing) for block in found[part].blocks), part
    assert "counts as an access to the test set" in Page(written(evaluated)).text


# ---------------------------------------------------------------- figures


def test_every_figure_stands_with_its_interval(reported: tuple[FakeRun, str]) -> None:
    run, html = reported
    test = read_evaluation(run, "test")
    val = read_evaluation(run, "val")
    for name, title in TITLES.items():
        cells = "".join(f"<td>{stated(summary[name])}</td>" for summary in (*test.levels.values(), val.summary))
        assert f'<th scope="row">{title}</th>{cells}' in html
        assert any(isinstance(summary[name], Interval) for summary in test.levels.values())
    for place in ("loss", "validation", "roc", "precision-recall", "confusion", "scores", "reliability", "decision"):
        assert html.count(f'id="figure-{place}"') == 1


@pytest.mark.slow
def test_what_was_left_out_flows_out_of_the_diagram(evaluated: FakeRun) -> None:
    frame = evaluated.manifest()
    train = frame.loc[frame["split"] == "train", "path"].iloc[1]
    evaluated.log.append({"type": "excluded", "path": train, "reason": f"{train}: not an image"})
    evaluated.log.append({"type": "excluded", "path": train, "reason": f"{train}: not an image"})
    text = Page(written(evaluated)).text
    assert "Left out before training: 1" in text
    assert "the file: not an image" in text
    assert "1 image could not be used, and has no score (share of each set: training 1 (" in text


@pytest.mark.slow
def test_too_few_patients_are_words_and_no_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", patients=4)
    evaluate(run, "test", predictor=FakePredictor(run.card))
    html = written(run)
    assert "Image level, not reported: ROC AUC, " in html
    assert "only 2 patients with benign images: too few" in html
    assert 'id="figure-roc"' not in html
    assert 'id="figure-confusion"' in html


def test_cases_are_chosen_by_rule() -> None:
    frame = pd.DataFrame(
        {
            "path": list("abcdefgh"),
            "label": ["malignant"] * 4 + ["benign"] * 4,
            "score": [0.9, 0.6, 0.8, 0.1, 0.7, 0.2, 0.3, 0.55],
        }
    )
    found = choose_cases(frame, 0.5)
    assert found[:6] == [(0, "hit"), (2, "hit"), (3, "miss"), (4, "alarm"), (7, "alarm"), (5, "quiet")]
    assert found[6:] == [(1, "near"), (6, "near")]
    assert choose_cases(frame.iloc[:1], 0.5) == [(0, "hit")]
    assert choose_cases(frame.iloc[:0], 0.5) == []


@pytest.mark.slow
@pytest.mark.parametrize("lesions", ["[[8, 20, 24, 40]]", ""])
def test_heatmaps_are_inside_the_file_with_the_lesion_where_it_is_known(tmp_path: Path, lesions: str) -> None:
    run = make_run(tmp_path / "run", extra={"lesions": lesions})
    evaluate(run, "test", predictor=FakePredictor(run.card))
    page = Page(written(run))
    images = [address for address in page.addresses if address.startswith("data:image/jpeg;base64,")]
    assert 3 <= len(images) <= 9
    assert "it does not outline a lesion" in page.text
    import base64

    import cv2

    first = cv2.imdecode(np.frombuffer(base64.b64decode(images[0].partition(",")[2]), np.uint8), cv2.IMREAD_COLOR).astype(int)
    white = (first.min(axis=2) > 190) & (np.roll(first, 3, axis=1).min(axis=2) < 70)  # a line and its dark rim
    halves = white[:, : first.shape[1] // 2 - 10], white[:, first.shape[1] // 2 + 10 :]
    assert [half.sum(axis=0).max() > 40 for half in halves] == [bool(lesions)] * 2  # as high as the lesion


@pytest.mark.slow
def test_an_image_that_is_gone_costs_its_picture_only(evaluated: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self, path: Path):
        raise UnreadableImage(f"{path}: no such file")

    monkeypatch.setattr(ExplainingPredictor, "predict", gone)
    assert "could not be read or explained now" in Page(written(evaluated)).text


# ---------------------------------------------------------------- what nobody should miss


def test_before_any_evaluation_it_says_so_and_opens_nothing(run: FakeRun) -> None:
    text = Page(written(run)).text
    assert "The test set has never been evaluated" in text
    assert "No split has been evaluated yet" in text
    assert not (run.path / "evaluation.json").exists()


@pytest.mark.slow
def test_a_fork_names_its_parent_and_the_openings_before_it(evaluated: FakeRun) -> None:
    assert "frozen before the test set was scored" in written(evaluated)
    write_parent(evaluated.path, Parent("elder", 3, "ab" * 32, 2))
    text = written(evaluated)
    assert "weights of the run elder (epoch 3), trained on the same patients" in text
    assert "after the test set, which is the same, had been evaluated 2 times" in text
    assert "Before this run was forked from elder, the same test set had been evaluated 2 times." in text
    assert "frozen before the test set was scored" not in text


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{"threshold": 0.9}, {"weights_sha256": "ef" * 32}], ids=["chosen again", "trained on"])
def test_nothing_is_called_frozen_that_changed_after_the_test(
    evaluated: FakeRun, reported: tuple[FakeRun, str], changed: dict
) -> None:
    assert "No model was updated after the test." in reported[1]
    evaluated.card |= changed
    text = written(evaluated)
    assert ("has changed since these metrics were computed" in text) is ("weights_sha256" in changed)
    assert "frozen before the test set was scored" not in text and "No model was updated after the test." not in text
    assert "What changed after the test: see test-set access." in text


@pytest.mark.slow
def test_a_test_set_opened_twice_is_a_warning_and_a_limit(evaluated: FakeRun, reported: tuple[FakeRun, str]) -> None:
    assert "has been evaluated 2 times" not in reported[1]
    evaluate(evaluated, "test", predictor=FakePredictor(evaluated.card))
    html = written(evaluated)
    assert "The test set has been evaluated 2 times" in html
    assert "The test set was evaluated 2 times" in html


def used(run: FakeRun, kind: str, when: str, where: str = "Preprocess", detail: str = "", **more: object) -> None:
    """A line in the run's own record."""
    line = {"when": when, "kind": kind, "where": where, "images": 4, "detail": detail, "id": f"{kind}{when}"} | more
    with (run.path / "test_accesses.jsonl").open("a", encoding="utf-8") as record:
        record.write(json.dumps(line) + "\n")


def created(run: FakeRun, when: str) -> None:
    write_status(run.path / "status.json", Status(created=datetime.fromisoformat(when).timestamp()))


@pytest.mark.slow
def test_all_accesses_to_the_test_set_are_listed_alike_ones_in_one_row(evaluated: FakeRun) -> None:
    created(evaluated, "2026-01-03T00:00:00+00:00")
    for day in (1, 2):
        used(evaluated, "images", f"2026-01-0{day}T10:00:00+00:00", "Data", manifest="data/manifest.csv", before_threshold=True)
    used(evaluated, "heatmaps", "2026-01-01T11:00:00+00:00", "Explain", inherited="elder", before_threshold=True)
    page = Page(written(evaluated))
    assert "Accesses to the test set that are on record." in page.text
    assert "data set manifest.csv, before this run was made" in page.text and "elder, before it was forked" in page.text
    assert "2026-01-01 10:00" in page.text and "2026-01-02 10:00" in page.text
    assert "were accessed 3 times before this run's threshold was frozen" in page.text
    assert "but not before test images were seen" in page.text
    assert "files opened in other programs" in page.text


@pytest.mark.slow
def test_preprocessing_that_was_tuned_with_test_images_in_view_is_a_warning(evaluated: FakeRun) -> None:
    assert "Preprocessing was tuned" not in written(evaluated)
    created(evaluated, "2026-01-03T00:00:00+00:00")
    used(evaluated, "images", "2026-01-01T10:00:00+00:00", before_threshold=True)
    text = Page(written(evaluated)).text
    assert "were shown on the Preprocess page on 2026-01-01, before this run was set up" in text
    used(evaluated, "recipe", "2026-01-01T11:00:00+00:00", detail="abc123")
    text = Page(written(evaluated)).text
    assert "Preprocessing was tuned while test images were visible" in text and "recipe abc123 was saved" in text


@pytest.mark.slow
def test_a_recipe_that_was_saved_after_the_run_was_made_is_not_the_run_s(evaluated: FakeRun) -> None:
    created(evaluated, "2026-01-01T00:00:00+00:00")
    used(evaluated, "images", "2026-01-02T10:00:00+00:00", before_threshold=False)
    used(evaluated, "recipe", "2026-01-02T11:00:00+00:00", detail="abc123")
    text = Page(written(evaluated)).text
    assert "Preprocessing was tuned" not in text and "images shown" in text


@pytest.mark.slow
def test_a_damaged_record_of_accesses_is_a_warning_and_not_no_access(evaluated: FakeRun) -> None:
    (evaluated.path / "test_accesses.jsonl").write_text("{", encoding="utf-8")
    text = Page(written(evaluated)).text
    assert "The record of accesses to the test set is damaged" in text
    assert "Nobody can say what the test set was used for" in text and str(evaluated.path) not in text
    assert "No access to a test image" not in text


@pytest.mark.slow
def test_writing_a_report_is_no_opening_but_its_own_pictures_of_test_images_are_an_access_once(evaluated: FakeRun) -> None:
    before = (evaluated.path / "evaluation.json").read_bytes()
    first = written(evaluated)
    assert (evaluated.path / "evaluation.json").read_bytes() == before
    (found,) = [each for each in accesses(evaluated.path) if each.kind == "heatmaps"]
    assert (found.where, found.images > 0) == ("report", True)
    assert written(evaluated) == first


@pytest.mark.parametrize(("state", "warned"), [("done", False), ("failed", True), ("stopped", True), ("running", True)])
def test_an_unfinished_training_is_a_warning(run: FakeRun, state: str, warned: bool) -> None:
    run.state, run.reason = state, "the loss became <NaN>"
    html = written(run)
    assert ("This training is not complete" in html) is warned
    assert "<NaN>" not in html


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_images_are_said_at_the_top_in_the_conclusion_and_in_the_limits(tmp_path: Path, synthetic: bool) -> None:
    run = make_run(tmp_path / "run", synthetic=synthetic)
    html = written(run)
    assert ("<b>SYNTHETIC</b>" in html) is synthetic
    assert ("The images are synthetic" in html) is synthetic
    assert ("None about real mammograms" in html) is synthetic


def test_limits_follow_from_the_facts(reported: tuple[FakeRun, str]) -> None:
    text = Page(reported[1]).text
    assert "The test set is small: 7 patients with benign images" in text
    assert "30 (100.0%) of the benign images were never biopsied" in text
    assert "The manifest names no site" in text


# ---------------------------------------------------------------- what must not be in it


@pytest.mark.slow
def test_names_and_values_that_look_like_markup_stay_text(tmp_path: Path, drawn: None) -> None:
    run = make_run(tmp_path / "run")
    frame = run.manifest()
    frame["scanner"] = ["<b onclick=x>A</b>" if number % 4 < 2 else "B&B </svg>" for number in range(len(frame))]
    write_manifest(frame, run.path / "manifest.csv")
    evaluate(run, "test", predictor=FakePredictor(run.card))
    attack = '</style></svg><script>alert(1)</script><img src=x onerror="alert(2)">'
    answer(run, "\n".join(f"{key}: '{attack}'" for key in Notes.model_fields))
    run.name = attack
    run.card["model"]["name"] = attack
    for event in run.log:
        if event["type"] == "epoch":
            event["val"] = {attack: 0.7, "auc": 0.6}
        if event["type"] == "phase":
            event["phase"] += attack
    html = written(run)
    page = Page(html)
    assert "<script" not in html and "<img src=x" not in html
    assert "script" not in page.tags and not page.handlers
    assert attack in page.text and "<b onclick=x>A</b>" in page.text


def test_no_patient_no_file_no_folder_and_no_host_is_named(evaluated: FakeRun) -> None:
    import platform

    paths = evaluated.manifest().query("split == 'test'")["path"].tolist()
    Path(paths[0]).write_bytes(b"broken")
    evaluate(evaluated, "test", predictor=FakePredictor(evaluated.card))
    html = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", written(evaluated))
    assert str(evaluated.path) not in html and evaluated.path.as_posix() not in html
    for row in evaluated.manifest().itertuples():
        assert Path(row.path).name not in html and Path(row.path).stem not in html and row.patient_id not in html
    assert platform.node() not in html or len(platform.node()) < 3
    assert "<td>test</td>" in html  # the image that was left out, by its row


@pytest.mark.parametrize(
    ("text", "told_as"),
    [
        ("/data/A/P017.dcm: truncated", "the file: truncated"),
        ("P017.dcm is a GIF", "the file is a GIF"),
        ("in /data/A nothing of P017 nor MRN1234", "in the file nothing of the file nor the patient"),
        ("not an image", "not an image"),
    ],
)
def test_reasons_lose_paths_and_patients(text: str, told_as: str) -> None:
    assert anonymous(text, "/data/A/P017.dcm", "MRN1234") == told_as


def test_of_paths_in_the_configuration_only_the_last_part_is_shown(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.config import load_config

    own = load_config(None, ["model.weights=C:/Users/jane/weights/start.pth", "data.manifest=/home/jane/set/manifest.csv"])
    monkeypatch.setattr(FakeRun, "config", lambda self: own)
    text = Page(written(run)).text
    assert "jane" not in text and "start.pth" in text


def test_a_run_without_a_model_has_no_report(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self):
        raise BadRun("model.json: missing")

    monkeypatch.setattr(FakeRun, "model_card", missing)
    with pytest.raises(BadRun):
        report(run)
    assert not (run.path / "report.html").exists()


def test_fingerprints_follow_the_images_patients_and_labels_only(run: FakeRun) -> None:
    frame = run.manifest()
    before = split_fingerprint(frame, "test")
    assert split_fingerprint(frame.sample(frac=1, random_state=0), "test") == before
    assert split_fingerprint(frame.assign(path="/elsewhere/" + frame["path"].str.rsplit("/").str[-1]), "test") == before
    assert split_fingerprint(frame.assign(patient_id=frame["patient_id"].replace("test-0", "x")), "test") != before
    assert split_fingerprint(frame.assign(label="benign"), "test") != before
    assert split_fingerprint(frame[frame["split"] != "test"], "test") == "–"


# ---------------------------------------------------------------- on the screen and on paper


@pytest.mark.slow
@pytest.mark.browser
def test_in_a_browser_nothing_is_asked_for_and_nothing_is_wider_than_screen_or_paper(evaluated: FakeRun, drawn: None) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    path = report(evaluated, predictor=ExplainingPredictor(evaluated.card))
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(120_000)  # a machine that runs the other tests at the same time
        asked, problems = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        empty = page.evaluate(
            "[...document.querySelectorAll('.drawing svg')].filter(s => s.getBoundingClientRect().height < 80).length"
        )
        images = page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        wide = {}
        for media, width in (("screen", 1200), ("screen", 390), ("print", 673)):  # 673 px: A4 less the margins
            page.emulate_media(media=media)
            page.set_viewport_size({"width": width, "height": 900})
            wide[media, width] = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert problems == []
    assert empty == 0 and images
    assert set(wide.values()) == {0}
