"""Whether something lies beside the breast: labels and markers count, skin, strips and specks do not."""

from __future__ import annotations

import numpy as np
import pytest
from builders.phantom import breast_pixels, mammogram

from core.config import Recipe
from core.preprocessing import analyse, has_objects


def found(pixels: np.ndarray, **recipe: object) -> bool:
    return has_objects(analyse(mammogram(pixels), Recipe(**recipe)))


@pytest.mark.parametrize("chest_wall", ["left", "right"])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_label_is_seen_on_either_side_and_on_inverted_images(chest_wall: str, inverted: bool) -> None:
    for label in (True, False):
        pixels = breast_pixels(chest_wall=chest_wall, label=label)
        assert found(1 - pixels if inverted else pixels) == label


def test_a_strip_along_the_edge_is_no_label() -> None:
    pixels = breast_pixels(label=False)
    pixels[:, -4:] = 1.0
    pixels[:6, -100:] = 1.0
    assert not found(pixels)


def test_a_bright_speck_is_no_label() -> None:
    pixels = breast_pixels(label=False)
    pixels[40, 260] = 1.0
    assert not found(pixels)


def test_an_image_without_a_breast_tells_nothing() -> None:
    assert not found(np.full((200, 150), 0.5, np.float32))
