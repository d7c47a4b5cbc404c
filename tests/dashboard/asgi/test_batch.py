"""Many images at once on the Test image page: archives, failures, stopping, the table and its CSV."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from builders.lab_pages import untrained_run

from core.data.unpacking import Limits
from core.errors import LabError
from core.verdict_table import COLUMNS
from dashboard.asgi import batch_scoring, batch_tab
from dashboard.asgi.batch_scoring import BatchResult, score_files

pytestmark = pytest.mark.filterwarnings("default")  # of Gradio's own imports


@pytest.fixture
def images(manifest: Path) -> list[Path]:
    """Three images of the data set, which has a run with a model."""
    untrained_run(manifest)
    return sorted(manifest.parent.glob("*.png"))[:3]


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def whole(sent: list[Path], name: str = "") -> BatchResult:
    *_, last = score_files(name, [str(path) for path in sent])
    return last


def test_each_file_is_a_row_in_its_order_and_what_cannot_be_read_has_a_reason(images: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "<b>broken.png"
    broken.write_bytes(b"no image")
    found = whole([images[0], broken, images[1]])
    assert [row["file"] for row in found.rows] == [images[0].name, "<b>broken.png", images[1].name]
    assert [row["decision"] is None for row in found.rows] == [False, True, False]
    assert "broken.png" in found.rows[1]["refusal"] and str(tmp_path) not in str(found.rows)
    assert (found.done, found.files) == (3, 3)
    assert [len(each) for each in found.thumbnails] == [1, 0, 1] and found.thumbnails[0][0].startswith(b"\xff\xd8")
    assert found.summary["run"] == "first" and found.summary["threshold"] == pytest.approx(0.31)


def test_the_result_grows_and_ends_between_two_files(images: list[Path]) -> None:
    seen: list[int] = []
    for result in score_files("", [str(path) for path in images], stopping=lambda: len(seen) > 1):
        seen.append(len(result.rows))
    assert seen == [0, 1, 2] or seen == [0, 1], seen
    assert len(result.rows) < 3
    assert "then stopped" in batch_tab.table(result, ended=True)


def test_an_archive_is_scored_with_the_names_inside_and_leaves_nothing(images: list[Path], tmp_path: Path) -> None:
    inside = {f"patient/{path.name}": path.read_bytes() for path in images[:2]} | {"labels.csv": b"a,b", "__MACOSX/x": b"x"}
    before = set(Path(batch_scoring.tempfile.gettempdir()).glob("mammolab-batch-*"))
    found = whole([archive(tmp_path / "all.zip", inside), images[2]])
    assert [row["file"] for row in found.rows] == [*(f"patient/{path.name}" for path in images[:2]), images[2].name]
    assert set(Path(batch_scoring.tempfile.gettempdir()).glob("mammolab-batch-*")) == before


def test_many_archives_together_are_bounded_as_one_is(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = images[0].stat().st_size
    monkeypatch.setattr(batch_scoring, "LIMITS", Limits(2 * size + 10, 9, "Send fewer."))
    sent = [archive(tmp_path / f"{number}.zip", {"a.png": images[0].read_bytes()}) for number in range(3)]
    assert len(whole(sent[:2]).rows) == 2
    with pytest.raises(LabError, match=r"once unpacked, got more\. Send fewer\."):
        whole(sent)


def test_an_upload_that_was_deleted_meanwhile_is_said(images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"gone\.png: the upload is no longer here"):
        whole([images[0], tmp_path / "gone.png"])


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "C:\\out.png"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(images: list[Path], tmp_path: Path, name: str) -> None:
    sent = archive(tmp_path / "evil.zip", {name: images[0].read_bytes()})
    with pytest.raises(LabError, match=r"evil\.zip: expected plain names of files"):
        whole([sent])
    assert not list(tmp_path.rglob("out.png"))


def test_what_cannot_be_scored_at_all_is_an_error_in_words(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabError, match="got none"):
        whole([archive(tmp_path / "tables.zip", {"labels.csv": b"a,b"})])
    with pytest.raises(LabError, match=r"'gone': there is no such run with a model\. Those there are: first"):
        whole(images, "gone")
    monkeypatch.setattr(batch_scoring, "MOST", 2)
    with pytest.raises(LabError, match="expected at most 2 images, got 3"):
        whole(images)


def test_test_images_are_recorded_before_any_is_scored(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[str] = []

    def record(run: object, path: Path) -> str:
        recorded.append(path.name)
        return "It is a test image." if path == images[1] else ""

    monkeypatch.setattr(batch_scoring, "record_scoring", record)
    for result in score_files("", [str(path) for path in images]):
        assert not result.rows or len(recorded) == 3
    assert result.warnings == [f"{images[1].name}: It is a test image."]
    assert "It is a test image." in batch_tab.table(result)


def test_the_table_says_what_came_of_all_and_holds_its_csv(images: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "<script>.png"
    broken.write_bytes(b"no image")
    shown = batch_tab.table(whole([*images, broken]), ended=True)
    assert "first: 4 of 4 files scored" in shown and "1 without a verdict" in shown
    assert "<script>" not in shown and "&lt;script&gt;.png" in shown
    content = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', shown)
    assert content is not None
    table = pd.read_csv(io.BytesIO(base64.b64decode(content[1])))
    assert list(table.columns) == list(COLUMNS) and len(table) == 4
    assert table["score"].notna().tolist() == [True, True, True, False]


def test_of_a_long_table_the_page_shows_the_first_rows_and_the_csv_all(
    images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_tab, "SHOWN", 2)
    shown = batch_tab.table(whole(images), ended=True)
    assert shown.count("<tr>") == 3 and "The first 2 of 3 are shown" in shown
