from __future__ import annotations

import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from core.config import ModelConfig
from core.gradcam.heatmaps import Heatmap
from core.images.mammogram import ImageMeta
from core.metrics.placing import Reference
from core.model.card import ModelCard
from core.prediction import BreastImage, BreastPrediction, Prediction
from core.preprocessing import Prepared
from core.report.result_page import MARGIN, Picture, Result, _drawn, result_page

PIXELS = np.tile(np.arange(48, dtype=np.uint8) * 5, (64, 1))
PREPARED = Prepared(PIXELS, "abc", np.eye(2, 3), (0, 0, 64, 48))
HEAT = Heatmap(np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(64, 48), False, "gradcam", "layer4")
PREDICTION = Prediction(0.62, 0.41, "malignant", PREPARED, ImageMeta(), warnings=("It was trained on synthetic images.",))
REFERENCE = Reference.of(["benign", "malignant"] * 4, np.linspace(0.2, 0.9, 8))
PICTURE = Picture(PIXELS, HEAT, sha256="0123456789abcdef" * 4, outlines=(((5.0, 5.0), (20.0, 5.0), (20.0, 20.0)),))
RESULT = Result("first-run", ModelCard(model=ModelConfig()), PREDICTION, (PICTURE,), REFERENCE)


def words_of(results: list[Result], name: str = "") -> str:
    """What stands on the page, its lines joined."""
    return " ".join(text.get_text() for text in _drawn(results, name, 9.0)[0].texts).replace("\u00a0", " ")


def test_it_is_one_page_with_pictures_and_text_that_can_be_searched() -> None:
    content = result_page([RESULT])
    streams = [
        zlib.decompress(part) for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL) if part[:1] == b"x"
    ]
    assert content.startswith(b"%PDF-") and len(re.findall(rb"/Type /Page\b", content)) == 1
    assert len(re.findall(rb"/Subtype /Image\b", content)) >= 2 and b"/Subtype /Type0" in content
    assert any(b"BT" in stream for stream in streams)
    assert result_page([RESULT]) == content


def test_it_says_decision_place_threshold_and_that_it_is_no_diagnosis() -> None:
    said = words_of([RESULT])
    for words in (
        "The model calls this image malignant.",
        "Its score is higher than 75 % of the benign and 50 % of the malignant validation images.",
        "Score 0.620, threshold 0.410",
        "trained on synthetic images",
        "No calibrated probability is given.",
        "misses 1 of 4 malignant images and calls 2 of 4 benign ones malignant",
        "Research use only. Not a medical device, not a diagnosis.",
        "White line: lesion",
        "0123456789ab (first 12 digits of SHA-256)",
    ):
        assert words in said
    assert said.index("synthetic") < said.index("calls this image"), "warnings come first"


@pytest.mark.slow
def test_the_file_is_named_only_where_the_caller_says_so() -> None:
    assert "P7_L_CC.png" not in words_of([RESULT]) and "P7_L_CC.png" in words_of([RESULT], "P7_L_CC.png")


def test_a_score_without_a_verdict_is_marked_and_not_placed() -> None:
    refused = replace(PREDICTION, decision=None, refusal="no breast was found")
    said = words_of([replace(RESULT, prediction=refused)])
    assert "No verdict: no breast was found." in said and "scored anyway" in said
    assert "calls this" not in said and "validation images" not in said


@pytest.mark.slow
def test_two_models_stand_beside_each_other() -> None:
    other = replace(RESULT, run="second-run", prediction=replace(PREDICTION, decision="benign", score=0.2))
    said = words_of([RESULT, other])
    assert "first-run" in said and "second-run" in said and "image malignant" in said and "image benign" in said


def test_a_breast_has_a_row_for_each_view_and_a_reason_where_there_is_no_map() -> None:
    images = tuple(BreastImage(PREPARED, ImageMeta(), view) for view in ("CC", "MLO"))
    breast = BreastPrediction(0.62, 0.41, "malignant", images)
    pictures = (replace(PICTURE, view="CC"), Picture(PIXELS, None, "the map is empty", view="MLO"))
    said = words_of([replace(RESULT, prediction=breast, pictures=pictures)])
    assert "calls this breast malignant" in said and "CC: As the model sees it" in said
    assert "No heatmap: the map is empty." in said and "result of one breast" in said


@pytest.mark.slow_for("2")
@pytest.mark.parametrize("count", [1, 2])
def test_many_warnings_are_all_on_the_page_and_end_above_its_foot(count: int) -> None:
    many = tuple(f"Warning number {number} says something that takes a line or two on a narrow column." for number in range(9))
    results = [replace(RESULT, prediction=replace(PREDICTION, warnings=many))] * count
    sizes = [(size, _drawn(results, "", size)[1]) for size in (9.0, 5.5)]
    assert sizes[0][1] < sizes[1][1] and sizes[1][1] >= MARGIN
    assert words_of(results).count("Warning number 8") == count


@pytest.mark.parametrize("results", [[], [RESULT] * 3, [replace(RESULT, pictures=())]])
def test_what_is_not_one_or_two_results_is_refused(results: list[Result]) -> None:
    with pytest.raises(ValueError, match="one or two results"):
        result_page(results)
