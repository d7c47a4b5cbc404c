"""The column `lesions`: objects and boxes, written and read back, scaled and clamped."""

from __future__ import annotations

import pytest

from core.data.lesions import Lesion, lesion_boxes, lesions_of, lesions_text
from core.errors import BadManifest


def test_lesions_come_back_equal() -> None:
    lesions = [
        Lesion(type="mass", pathology="malignant", box=(1.5, 2.0, 30.0, 40.0), size=(200, 100)),
        Lesion(type="calcification", polygon=((3.0, 4.0),), birads="4a"),
        Lesion(mask="../masks/ä b.png", note="resized"),
    ]
    text = lesions_text(lesions)
    assert lesions_of({"lesions": text}) == lesions
    assert '"note": ""' not in text and "null" not in text
    assert lesions_text([]) == "" and lesions_of({"lesions": ""}) == [] and lesions_of({}) == []


def test_boxes_of_earlier_manifests_are_lesions_and_mix_with_objects() -> None:
    row = {"lesions": '[[1, 2, 3, 4], {"type": "mass", "polygon": [[10, 20], [30, 60], [5, 7]]}, {"mask": "m.png"}]'}
    assert lesions_of(row)[0] == Lesion(box=(1, 2, 3, 4))
    assert lesion_boxes(row) == [(1, 2, 3, 4), (5, 7, 30, 60)]


def test_a_spot_is_a_pixel() -> None:
    assert Lesion(polygon=((7.0, 9.0),)).bounds == (7, 9, 8, 10)


def test_boxes_follow_the_image_to_another_size() -> None:
    lesion = Lesion(box=(10, 20, 30, 40), polygon=((10, 20), (30, 40)), size=(100, 200))
    assert lesion.scaled(50, 400) == Lesion(box=(5, 40, 15, 80), polygon=((5, 40), (15, 80)), size=(50, 400))
    assert Lesion(box=(1, 2, 3, 4)).scaled(50, 400).box == (1, 2, 3, 4)
    assert lesion_boxes({"lesions": lesions_text([lesion])}, (50, 400)) == [(5, 40, 15, 80)]


def test_what_leaves_the_image_is_cut_and_what_is_outside_goes() -> None:
    assert Lesion(box=(-6, 5, 20, 300)).clamped(100, 200).box == (0, 5, 20, 200)
    assert Lesion(box=(120, 5, 130, 30)).clamped(100, 200).box is None
    assert Lesion(polygon=((-1.0, 5.0), (101.0, 7.0))).clamped(100, 200).polygon == ((0, 5), (100, 7))


@pytest.mark.parametrize(
    "cell",
    [
        "mass",
        "{}",
        "[{}]",
        '[{"colour": 1}]',
        '[{"box": [1, 2, 1, 4]}]',
        '[{"box": [1, 2, 3]}]',
        '[{"box": ["1", 2, 3, 4]}]',
        '[{"box": [1, 2, 3, 1e999]}]',
        '[{"polygon": [[1]]}]',
        '[{"mask": 3}]',
        '[{"size": [0, 5], "mask": "m.png"}]',
        "[[1, 2, true, 4]]",
    ],
)
def test_anything_else_is_refused_in_words(cell: str) -> None:
    with pytest.raises(BadManifest, match="expected a JSON list"):
        lesions_of({"lesions": cell})
