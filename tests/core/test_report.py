"""The report: one file, nothing from outside, the same bytes for the same run, and nothing claimed that is not there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_run import FakePredictor, FakeRun, make_run

from core.errors import BadRun, UnreadableImage
from core.evaluate import evaluate, read_evaluation
from core.gradcam import Heatmap
from core.metrics import TITLES
from core.report import report
from core.report.data import split_fingerprint
from core.report.heatmaps import choose_cases

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Headings, text, addresses and ids of a page; fails on a tag that is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text += data
            if self.open[-1] == "h2":
                self.headings.append(data)


class ExplainingPredictor(FakePredictor):
    """A FakePredictor that also reads files and explains them."""

    def predict(self, path: Path):
        from core.images import read
        from core.preprocessing import prepare

        class Result:
            prepared = prepare(read(path), self.recipe)

        return Result

    def explain(self, prepared) -> Heatmap:
        values = np.linspace(0, 1, prepared.pixels.size, dtype=np.float32).reshape(prepared.pixels.shape)
        return Heatmap(values, False, "gradcam", "layer4")


def written(run: FakeRun) -> str:
    return report(run, predictor=ExplainingPredictor(run.card)).read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return make_run(tmp_path / "run")


@pytest.fixture
def evaluated(run: FakeRun) -> FakeRun:
    for split in ("val", "test"):
        evaluate(run, split, predictor=FakePredictor(run.card))
    return run


def test_the_file_is_whole_and_follows_the_order_of_a_report(evaluated: FakeRun) -> None:
    page = Page(written(evaluated))
    assert page.headings == [
        "Summary",
        "Purpose and intended use",
        "Data",
        "Model and training",
        "Evaluation methods",
        "Results: development",
        "Results: performance",
        "Results: heatmaps",
        "Limits",
        "Reproducibility",
    ]
    assert len(page.ids) == len(set(page.ids))
    assert "For research only" in page.text


def test_nothing_is_loaded_from_outside(evaluated: FakeRun) -> None:
    html = written(evaluated)
    assert all(address.startswith(("#", "data:image/")) for address in Page(html).addresses)
    assert "default-src 'none'" in html
    own = html.replace(plotly_js(), "")
    assert not re.search(r"https?://|//cdn|mathjax", own, re.IGNORECASE)
    assert html.count(plotly_js()) == 1


def plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def test_the_same_run_gives_the_same_bytes(evaluated: FakeRun) -> None:
    first = report(evaluated, predictor=ExplainingPredictor(evaluated.card)).read_bytes()
    assert report(evaluated, predictor=ExplainingPredictor(evaluated.card)).read_bytes() == first


def test_every_figure_stands_with_its_interval(evaluated: FakeRun) -> None:
    html = written(evaluated)
    for split in ("test", "val"):
        evaluation = read_evaluation(evaluated, split)
        for name, title in TITLES.items():
            cells = "".join(
                f"<td>{re.escape(str(summary[name])).replace(chr(92) + ' ', chr(160))}</td>"
                for summary in evaluation.levels.values()
            )
            assert re.search(f'<th scope="row">{re.escape(title)}</th>{cells}</tr>', html)
    for place in ("plot-loss", "plot-metrics", "plot-test-roc", "plot-val-confusion"):
        assert html.count(f'<div id="{place}"') == 1
        assert html.count(f'Plotly.newPlot("{place}"') == 1


def test_before_any_evaluation_it_says_so_and_opens_nothing(run: FakeRun) -> None:
    text = Page(written(run)).text
    assert "The test set has not been opened yet" in text
    assert "No split has been evaluated yet" in text
    assert not (run.path / "evaluation.json").exists()


def test_writing_a_report_is_not_an_opening_of_the_test_set(evaluated: FakeRun) -> None:
    before = (evaluated.path / "evaluation.json").read_bytes()
    written(evaluated)
    assert (evaluated.path / "evaluation.json").read_bytes() == before


def test_a_test_set_opened_twice_is_a_warning(evaluated: FakeRun) -> None:
    assert "has been evaluated 2 times" not in written(evaluated)
    evaluate(evaluated, "test", predictor=FakePredictor(evaluated.card))
    assert "The test set has been evaluated 2 times" in written(evaluated)


def test_figures_of_other_weights_are_a_warning(evaluated: FakeRun) -> None:
    evaluated.card["weights_sha256"] = "cd" * 32
    assert "belong to earlier weights" in written(evaluated)


@pytest.mark.parametrize(("state", "warned"), [("done", False), ("failed", True), ("stopped", True), ("running", True)])
def test_an_unfinished_training_is_a_warning(run: FakeRun, state: str, warned: bool) -> None:
    run.state, run.reason = state, "the loss became <NaN>"
    html = written(run)
    assert ("This training is not complete" in html) is warned
    assert "<NaN>" not in html


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_images_are_said_at_the_top_and_in_the_limits(tmp_path: Path, synthetic: bool) -> None:
    run = make_run(tmp_path / "run", synthetic=synthetic)
    html = written(run)
    assert ("<b>SYNTHETIC</b>" in html) is synthetic
    assert ("The images are synthetic" in html) is synthetic


def test_names_that_look_like_markup_stay_text(evaluated: FakeRun) -> None:
    attack = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
    evaluated.name = attack
    evaluated.card["model"]["name"] = attack
    for event in evaluated.log:
        if event["type"] == "epoch":
            event["val"] = {attack: 0.7, "auc": 0.6}
        if event["type"] == "phase":
            event["phase"] += attack
    html = written(evaluated)
    assert "<script>alert" not in html and "<img src=x" not in html
    assert not any("onerror" in script and "<img" in script for script in Page(html).scripts[1:])


def test_no_patient_no_file_and_no_folder_is_named(evaluated: FakeRun) -> None:
    paths = evaluated.manifest().query("split == 'test'")["path"].tolist()
    Path(paths[0]).write_bytes(b"broken")
    evaluate(evaluated, "test", predictor=FakePredictor(evaluated.card))
    html = written(evaluated).replace(plotly_js(), "")
    assert str(evaluated.path) not in html
    assert Path(paths[0]).name not in html and "test-3" not in html
    assert "<td>test</td>" in html  # the image that was left out, by its row


def test_excluded_images_of_training_and_evaluation_are_listed_once(evaluated: FakeRun) -> None:
    frame = evaluated.manifest()
    train = frame.loc[frame["split"] == "train", "path"].iloc[1]
    evaluated.log.append({"type": "excluded", "path": train, "reason": f"{train}: not an image"})
    evaluated.log.append({"type": "excluded", "path": train, "reason": f"{train}: not an image"})
    assert "the file: not an image" in written(evaluated)
    assert "1 of 60 images could not be used" in written(evaluated)


def test_too_few_patients_are_words_and_no_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", patients=4)
    evaluate(run, "test", predictor=FakePredictor(run.card))
    html = written(run)
    assert "Image level, not told: ROC AUC, " in html
    assert "only 2 patients with benign images: too few" in html
    assert 'id="plot-test-roc"' not in html
    assert 'id="plot-test-confusion"' in html


def test_heatmaps_are_inside_the_file(evaluated: FakeRun) -> None:
    evaluated.card["threshold"] = (
        evaluate(evaluated, "test", predictor=FakePredictor(evaluated.card)).predictions["score"].median()
    )
    evaluate(evaluated, "test", predictor=FakePredictor(evaluated.card))
    page = Page(written(evaluated))
    images = [address for address in page.addresses if address.startswith("data:image/jpeg;base64,")]
    assert 3 <= len(images) <= 5
    assert "does not outline a lesion" in page.text


def test_an_image_that_is_gone_costs_its_picture_only(evaluated: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self, path: Path):
        raise UnreadableImage(f"{path}: no such file")

    monkeypatch.setattr(ExplainingPredictor, "predict", gone)
    text = Page(written(evaluated)).text
    assert "could not be read or explained now" in text


def test_a_run_without_a_model_has_no_report(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self):
        raise BadRun("model.json: missing")

    monkeypatch.setattr(FakeRun, "model_card", missing)
    with pytest.raises(BadRun):
        report(run)
    assert not (run.path / "report.html").exists()


def test_cases_are_chosen_by_rule() -> None:
    frame = pd.DataFrame(
        {
            "path": list("abcdefgh"),
            "label": ["malignant"] * 4 + ["benign"] * 4,
            "score": [0.9, 0.6, 0.8, 0.1, 0.7, 0.2, 0.3, 0.55],
        }
    )
    assert choose_cases(frame, 0.5) == [(0, "hit"), (2, "hit"), (3, "miss"), (4, "alarm"), (5, "quiet")]
    assert choose_cases(frame.iloc[:1], 0.5) == [(0, "hit")]
    assert choose_cases(frame.iloc[:0], 0.5) == []


def test_fingerprints_follow_the_images_patients_and_labels_only(run: FakeRun) -> None:
    frame = run.manifest()
    before = split_fingerprint(frame, "test")
    assert split_fingerprint(frame.sample(frac=1, random_state=0), "test") == before
    assert split_fingerprint(frame.assign(path="/elsewhere/" + frame["path"].str.rsplit("/").str[-1]), "test") == before
    assert split_fingerprint(frame.assign(patient_id=frame["patient_id"].replace("test-0", "x")), "test") != before
    assert split_fingerprint(frame.assign(label="benign"), "test") != before
    assert split_fingerprint(frame[frame["split"] != "test"], "test") == "–"


@pytest.mark.browser
def test_in_a_browser_every_figure_is_drawn_and_nothing_is_asked_for(evaluated: FakeRun) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    import shutil

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    path = report(evaluated, predictor=ExplainingPredictor(evaluated.card))
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        asked, problems = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 10")
        drawn = page.evaluate("[...document.querySelectorAll('.plot > div')].map(d => d.querySelector('.main-svg') !== null)")
        wide = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert problems == []
    assert len(drawn) == 10 and all(drawn)
    assert wide
