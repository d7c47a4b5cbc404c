"""Names of manifest columns as people read them."""

from __future__ import annotations

import pytest

from core.metrics.features import feature_title, feature_words


@pytest.mark.parametrize(
    ("name", "title", "words"),
    [
        ("density", "Breast density", "breast density"),
        ("kvp", "kVp", "kVp"),
        ("kVp", "kVp", "kVp"),
        ("exposure_mas", "Exposure mAs", "exposure mAs"),
        ("exam_id", "Exam ID", "exam ID"),
        ("BodyPartThickness", "BodyPartThickness", "BodyPartThickness"),
        ("compression_force", "Compression force", "compression force"),
        ("bmi", "BMI", "BMI"),
        ("birads", "BI-RADS", "BI-RADS"),
        ("", "", ""),
    ],
)
def test_a_column_is_called_as_the_field_writes_it(name: str, title: str, words: str) -> None:
    assert (feature_title(name), feature_words(name)) == (title, words)
