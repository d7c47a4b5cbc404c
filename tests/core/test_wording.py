"""Counts of one read as such wherever a run is reported: `1 image`, never `1 images`."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from builders.fake_run import FakePredictor, FakeRun, make_run
from builders.report_text import text_of

from core.cli.evaluation_text import show
from core.evaluate import Evaluation, evaluate, excluded_words
from core.evaluate.notes import in_images
from core.evaluate.result import REFUSED, UNREADABLE, Excluded, left_words
from core.metrics.omnibus import Omnibus
from core.report import gather
from core.wording import counted, sentences, times

_NOUNS = (
    "images patients breasts tests groups folds epochs times openings models results values reasons files rows columns lesions "
    "maps persons figures accesses threads batches copies draws views pairs vendors sites runs malignant_images"
)
ONE = re.compile(rf"(?<![\w.,/–−-])1 (?:[a-z]+ )?(?:{'|'.join(_NOUNS.split())})\b")


def test_a_count_has_its_noun_in_the_right_number() -> None:
    assert [counted(n, "image") for n in (0, 1, 2, 1200)] == ["0 images", "1 image", "2 images", "1,200 images"]
    assert counted(1, "copy", "copies") == "1 copy" and counted(2, "copy", "copies") == "2 copies"
    assert [times(n) for n in (1, 3)] == ["once", "3 times"]


def test_what_was_left_out_is_told_in_plain_words() -> None:
    unread, refused = Excluded("a", "broken", "malignant", UNREADABLE), Excluded("b", "no breast", "benign", REFUSED)
    assert excluded_words(()) == ""
    assert excluded_words((unread,)) == "1 malignant image was left out: it could not be used"
    assert excluded_words((refused,)) == "1 benign image was left out: it could be read but was refused a verdict"
    assert excluded_words((unread, refused, refused)) == (
        "3 images were left out, 1 of them malignant: 1 could not be used, 2 could be read but were refused a verdict"
    )
    assert excluded_words((Excluded("a", "an earlier version"),)) == "1 image was left out"
    assert left_words(1, 2) == "1 image could not be used and 2 images could be read but were refused a verdict"


@pytest.fixture
def tiny(tmp_path: Path) -> FakeRun:
    """A run whose test set is one image, and whose training set has one image a class."""
    run = make_run(tmp_path / "b0-clahe2", patients=2)
    frame = pd.read_csv(run.path / "manifest.csv", dtype=str, keep_default_na=False)
    frame = frame[frame["view"] == "CC"]
    frame[(frame["split"] != "test") | (frame["label"] == "malignant")].to_csv(run.path / "manifest.csv", index=False)
    return run


def evaluated(run: FakeRun) -> Evaluation:
    evaluate(run, "val", predictor=FakePredictor(run.card))
    return evaluate(run, "test", predictor=FakePredictor(run.card))


@pytest.mark.slow
def test_a_report_and_a_command_about_one_image_speak_of_one_image(
    tiny: FakeRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.report.heatmaps._pictures", lambda *_: ([], []))  # which need a network
    found = evaluated(tiny)
    text = text_of(gather(tiny, FakePredictor(tiny.card)))
    assert "1 image of 1 patient" in text
    for full in (False, True):
        show(found, full=full)
    text += capsys.readouterr().out
    assert [line for line in text.splitlines() if ONE.search(line)] == []


@pytest.mark.slow
def test_a_table_of_subgroups_without_patients_does_not_speak_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "b0-clahe2")
    frame = pd.read_csv(run.path / "manifest.csv", dtype=str, keep_default_na=False)
    frame["patient_id"] = [Path(path).stem for path in frame["path"]]  # as an import without identifiers writes it
    frame["site"] = ["few" if index % 9 == 0 else "many" for index in range(len(frame))]
    frame.to_csv(run.path / "manifest.csv", index=False)
    found = evaluated(run)
    assert found.omnibus
    capsys.readouterr()
    for full in (False, True):
        show(found, full=full)
    out = capsys.readouterr().out
    assert "each image by itself: no patient is known" in out and "View" in out
    left = [line for line in out.splitlines() if "patient" in line and "no patient is known" not in line]
    assert left == []
    notes = [row.auc for row in found.subgroups if isinstance(row.auc, str)]
    assert notes and all(re.match(r"(only \d|no) (benign|malignant) image", note) for note in notes)


def test_notes_count_images_where_no_patient_is_known() -> None:
    told = {"a": ("only 3 patients with benign images: too few", "of the rest: no patient with malignant images"), "b": 1.0}
    assert in_images(told) == {"a": ("only 3 benign images: too few", "of the rest: no malignant image"), "b": 1.0}
    row = Omnibus("view", "auc", 2, 1.0, 0.5)
    assert in_images(row) is row


@pytest.mark.slow
def test_the_command_line_shows_the_ece_beside_its_chance_level_and_columns_by_their_titles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "b0-clahe2")
    found = evaluated(run)
    capsys.readouterr()
    show(found, full=True)
    out = capsys.readouterr().out
    heads = next(line for line in out.splitlines() if line.startswith("method"))
    assert "ECE  " in heads and "ECE by chance" in heads
    raw = next(line for line in out.splitlines() if line.startswith("none (the model's)"))
    assert f"{found.calibration.before.chance:.3f}" in raw  # type: ignore[union-attr]
    assert "clustered by patient" in out and "View" in out and "\nview " not in out


def test_remarks_are_sentences_without_doubled_punctuation() -> None:
    found = sentences(["scored anyway", "Two of them were (out-of-fold).", "", "a_file.csv: damaged"])
    assert found == "Scored anyway. Two of them were (out-of-fold). a_file.csv: damaged."
