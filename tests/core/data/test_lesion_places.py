from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from core.data.lesion_masks import has_lesion
from core.data.lesion_places import boxes_of, lesion_outlines, with_lesions
from core.errors import BadManifest

ORIGINAL = (40, 60)  # height, width


def filled(points: object) -> np.ndarray:
    """Pixels whose centres lie inside, by an independent rule."""
    drawn = np.zeros(ORIGINAL, np.uint8)
    contour = np.asarray(points, np.float32).reshape(-1, 1, 2)
    for y in range(ORIGINAL[0]):
        for x in range(ORIGINAL[1]):
            drawn[y, x] = cv2.pointPolygonTest(contour, (x + 0.5, y + 0.5), False) >= 0
    return drawn > 0


def test_boxes_polygons_spots_and_circles_become_closed_lines() -> None:
    row = {
        "lesions": '[[1, 2, 5, 8], {"type": "mass", "pathology": "benign_without_callback", "birads": "3", "polygon": '
        '[[10, 10], [20, 10], [20, 30]], "size": [30, 20]}, {"polygon": [[7, 9]]}, {"type": "mass"}]'
    }
    box, polygon, spot = lesion_outlines(row, ORIGINAL)
    assert box.points == ((1, 2), (5, 2), (5, 8), (1, 8)) and box.words == ""
    assert polygon.points == ((20, 20), (40, 20), (40, 60)), "in pixels of the image, not of the size it was drawn on"
    assert polygon.words == "mass, benign without callback, BI-RADS 3"
    assert boxes_of([spot]) == [(7, 9, 8, 10)]
    (circle,) = lesion_outlines({"lesion_circles": "[[30, 20, 10]]", "lesions": "[[0, 0, 1, 1]]"}, ORIGINAL)
    assert boxes_of([circle]) == [pytest.approx((20, 10, 40, 30))]
    assert lesion_outlines({"lesion_circles": "[]", "lesions": "[[0, 0, 1, 1]]"}, ORIGINAL) == []
    assert lesion_outlines({}, ORIGINAL) == []


def test_a_mask_is_outlined_at_its_edge_and_files_are_asked_about_first(tmp_path: Path) -> None:
    mask = np.zeros(ORIGINAL, np.uint8)
    cv2.ellipse(mask, (30, 20), (14, 9), 20, 0, 360, 255, -1)
    mask[2:5, 50:58] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    asked: list[Path] = []
    for row in ({"lesion_masks": "m.png"}, {"lesions": '[{"mask": "m.png", "type": "mass"}]'}):
        outlines = lesion_outlines({"path": str(tmp_path / "a.png"), **row}, ORIGINAL, asked.append)
        assert len(outlines) == 2
        inside = np.logical_or.reduce([filled(outline.points) for outline in outlines])
        assert (inside ^ (mask > 0)).sum() <= 0.02 * (mask > 0).sum()
    assert asked == [tmp_path / "m.png"] * 2

    def refuse(path: Path) -> None:
        raise BadManifest("not from there")

    with pytest.raises(BadManifest, match="not from there"):
        lesion_outlines({"path": str(tmp_path / "a.png"), "lesion_masks": "m.png"}, ORIGINAL, refuse)
    with pytest.raises(BadManifest, match="expected a lesion mask of 10 x 10"):
        lesion_outlines({"path": str(tmp_path / "a.png"), "lesion_masks": "m.png"}, (10, 10))


def test_rows_with_lesions_are_found_as_the_audit_finds_them() -> None:
    rows = [
        {"lesions": "[[1, 2, 3, 4]]"},
        {"lesions": '[{"type": "mass"}]'},
        {"lesions": '[{"polygon": [[1, 2]]}]'},
        {"lesions": '[{"mask": "m.png"}]'},
        {"lesions": "[]"},
        {"lesions": "[[1, 2, 3, 4]]", "lesion_circles": "[]"},
        {"lesion_circles": "[[1, 2, 3]]"},
        {"lesion_masks": "m.png"},
        {},
    ]
    frame = pd.DataFrame(rows, columns=["lesions", "lesion_circles", "lesion_masks"]).fillna("").astype("str")
    assert with_lesions(frame).tolist() == [has_lesion(row) for row in rows]
    assert with_lesions(frame[["lesions"]].iloc[:1].drop(columns="lesions")).tolist() == [False]
