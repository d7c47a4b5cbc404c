"""Training, preview and prediction see the same pixels: the promise that a score rests on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
import streamlit as st

from core.config import ModelConfig, Recipe
from core.data.batches import batches
from core.data.cache import PreparedCache
from core.data.manifest import read_manifest
from core.demo import make_demo
from core.model import build_model, save_model
from core.predict import Predictor
from dashboard.cache import images as shown


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """DICOM of both polarities, compressed and not, PNG of 8 and 16 bit, some stored inverted."""
    found = read_manifest(make_demo(tmp_path_factory.mktemp("demo"), patients=12, rows=200))
    stored = found["path"].map(kind_of)
    assert stored.nunique() == 6
    return found[found.groupby(stored).cumcount() < 3].reset_index(drop=True)  # three of each kind


def kind_of(path: str) -> str:
    """How an image is stored."""
    if path.endswith(".dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return f"{header.PhotometricInterpretation} {header.file_meta.TransferSyntaxUID.name}"
    return f"PNG {cv2.imread(path, cv2.IMREAD_UNCHANGED).dtype}"


@pytest.mark.slow_but("default")
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(size=64),
        Recipe(size=(96, 48), clip_limit=6.0, tile_grid=4),
        Recipe(size=64, clahe=False, crop=False, orient=False, remove_background=False, polarity="keep"),
    ],
    ids=["default", "tall and strong", "nothing but window and size"],
)
def test_training_preview_and_prediction_get_pixel_identical_arrays(
    images: pd.DataFrame, recipe: Recipe, tmp_path: Path
) -> None:
    st.cache_resource.clear()
    config = ModelConfig(options={"width": 8})
    card = {"model": config.model_dump(mode="json"), "recipe": recipe.model_dump(mode="json"), "recipe_hash": recipe.hash}
    save_model(tmp_path / "run", build_model(config), card | {"threshold": 0.5, "calibration": None, "synthetic": True})
    predictor = Predictor.from_run(tmp_path / "run", device="cpu")
    cache = PreparedCache(tmp_path / "cache", recipe)
    source = batches(images, cache, recipe, batch_size=8, augmentation=None, seed=0, epoch=1, order="sequence")
    seen = np.concatenate([batch.images.numpy()[:, 0] for batch in source])
    for path, trained in zip(images["path"], seen, strict=True):
        preview = shown.prepared(shown.image_ref(path), recipe).pixels
        predicted = predictor.predict(path).prepared.pixels
        assert preview.shape == recipe.shape
        np.testing.assert_array_equal(preview, predicted, err_msg=path)
        np.testing.assert_array_equal(np.rint(trained * 255).astype(np.uint8), preview, err_msg=path)
        np.testing.assert_array_equal(trained, preview.astype(np.float32) / np.float32(255), err_msg=path)
