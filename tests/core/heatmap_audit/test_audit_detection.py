"""Peaks of a map become marks that hit lesions or miss them."""

from __future__ import annotations

import numpy as np

from core.heatmap_audit.detection import MOST, detection_of, marks_of, peaks
from core.heatmap_audit.results import NO_NUMBERS, Case
from core.heatmap_audit.settings import AuditSettings


def bumps(*places: tuple[int, int, float]) -> np.ndarray:
    rows, columns = np.mgrid[:100, :80]
    values = np.zeros((100, 80), np.float32)
    for row, column, height in places:
        values = np.maximum(values, height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 20).astype(np.float32))
    return values


def test_peaks_are_found_from_the_highest_down_to_half_of_it() -> None:
    found = peaks(bumps((20, 20, 1.0), (70, 60, 0.7), (50, 10, 0.4)), distance=8)
    assert [(row, column) for row, column, _ in found] == [(20, 20), (70, 60)]
    assert np.allclose([share for *_, share in found], [1.0, 0.7])
    assert len(peaks(np.ones((100, 80), np.float32), distance=5)) == MOST


def test_a_mark_hits_the_lesion_that_it_is_within_reach_of_and_is_rated_by_score_and_height() -> None:
    lesions = np.zeros((100, 80), np.bool_)
    lesions[15:18, 18:23] = lesions[40:45, 40:45] = True
    marks, count = marks_of(bumps((20, 20, 1.0), (70, 60, 0.7)), lesions, score=0.8, tolerance=4)
    assert count == 2 and np.allclose(marks, [[0.8, 0], [0.56, -1]])
    assert marks_of(bumps((20, 20, 1.0)), lesions, 0.8, tolerance=2)[0] == [[0.8, -1.0]]
    assert marks_of(bumps((20, 20, 1.0)), None, 0.8, tolerance=4) == ([[0.8, -1.0]], 0)


def test_malignant_images_whose_lesion_is_not_known_are_in_no_curve() -> None:
    cases = [
        Case(f"{n}.png", f"p{n}", label, 0.5, True, marks=[[0.6, float(n % 3 - 1)]], lesions=lesions)
        for n, (label, lesions) in enumerate([("malignant", 2), ("benign", 0), ("malignant", 0)] * 6)
    ]
    found = detection_of(cases, AuditSettings(samples=50))
    assert (found.images, found.lesions, found.lesion_free) == (12, 12, 6)
    assert "expected images with lesions" in detection_of([case for case in cases if not case.lesions], AuditSettings())


def test_an_empty_map_is_an_image_without_marks_and_only_no_numbers_are_left_out() -> None:
    """Its area is that of counting pairs by hand: no mark ranks below every mark, and ties count a half."""
    empty = "nothing at this layer speaks for malignant"
    cases = [Case(f"m{n}", f"m{n}", "malignant", 0.5, True, marks=[[0.2 + n / 10, 0.0]], lesions=1) for n in range(6)]
    cases += [Case("m-empty", "m-empty", "malignant", 0.5, True, flagged=empty, lesions=1)]
    cases += [Case(f"b{n}", f"b{n}", "benign", 0.5, True, marks=[[0.15 + n / 10, -1.0]]) for n in range(6)]
    cases += [Case(f"b-empty{n}", f"b-empty{n}", "benign", 0.5, True, flagged=empty) for n in range(4)]
    cases += [Case("b-nan", "b-nan", "benign", 0.5, True, flagged=NO_NUMBERS)]
    found = detection_of(cases, AuditSettings(samples=50))
    assert (found.images, found.lesions, found.lesion_free) == (17, 7, 10)
    lesions = [0.2 + n / 10 for n in range(6)] + [-1.0]
    others = [0.15 + n / 10 for n in range(6)] + [-1.0] * 4
    area = np.mean([(one > two) + 0.5 * (one == two) for one in lesions for two in others])
    assert np.isclose(found.area.value, area)
