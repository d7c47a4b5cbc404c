"""The worst case of refused images, against counting by hand: one unit at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.errors import NotEnoughData
from core.evaluate.result import REFUSED, UNREADABLE, Excluded
from core.evaluate.worst_case import worst_case


def a_set(seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Excluded, ...]]:
    """(manifest, predictions, excluded): patients with one or two sides, some images refused, some unreadable."""
    draw = np.random.default_rng(seed)
    rows = [
        (f"/d/{patient}{side}{view}.png", f"P{patient}", side, ("benign", "malignant")[(patient % 3 == 0) and side == "L"])
        for patient in range(40)
        for side in ("LR" if patient % 4 else "L")
        for view in ("CC", "MLO")
    ]
    manifest = pd.DataFrame(rows, columns=["path", "patient_id", "laterality", "label"])
    state = draw.choice(["scored", REFUSED, UNREADABLE], len(manifest), p=[0.8, 0.15, 0.05])
    predictions = manifest[state == "scored"].assign(score=draw.random(int((state == "scored").sum())))
    out = tuple(
        Excluded(path, "why", label, kind)
        for path, label, kind in zip(manifest["path"], manifest["label"], state, strict=True)
        if kind != "scored"
    )
    return manifest, predictions, out


@pytest.mark.parametrize("level", ["image", "breast", "patient"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_unit_with_a_refused_image_is_an_error(level: str, seed: int) -> None:
    manifest, predictions, excluded = a_set(seed)
    refused = {item.path for item in excluded if item.kind == REFUSED}
    scores = dict(zip(predictions["path"], predictions["score"], strict=True))
    units: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for path, patient, side, label in manifest.itertuples(index=False):
        if path in refused or path in scores:
            key = {"image": (path,), "breast": (patient, side), "patient": (patient,)}[level]
            units.setdefault(key, []).append((path, label))
    for case in worst_case(predictions, excluded, manifest, level, 0.5):
        ill = case.label == "malignant"
        own = [images for images in units.values() if ill == any(one == "malignant" for _, one in images)]
        touched = [images for images in own if any(path in refused for path, _ in images)]
        clean = [images for images in own if images not in touched]
        called = [np.mean([scores[path] for path, _ in images]) >= 0.5 for images in clean]
        assert case.units == len(own) and case.refused == len(touched) > 0
        assert case.wholly == sum(all(path in refused for path, _ in images) for images in touched)
        assert case.right == sum(each == ill for each in called)
        assert case.value == case.right / case.units


def test_a_patient_whose_only_malignant_image_was_refused_is_a_missed_cancer() -> None:
    manifest = pd.DataFrame(
        {"path": ["a", "b", "c"], "patient_id": ["P", "P", "Q"], "laterality": "L", "label": ["malignant", "benign", "benign"]}
    )
    predictions = manifest.iloc[1:].assign(score=0.1)
    malignant, benign = worst_case(predictions, (Excluded("a", "no breast", "malignant", REFUSED),), manifest, "patient", 0.5)
    assert (malignant.units, malignant.refused, malignant.wholly, malignant.right) == (1, 1, 0, 0) and malignant.value == 0
    assert (benign.units, benign.right) == (1, 1)


def test_what_cannot_be_counted_is_said() -> None:
    manifest, predictions, _ = a_set()
    with pytest.raises(NotEnoughData, match="0 of 1"):
        worst_case(predictions, (Excluded("elsewhere", "why", "benign", REFUSED),), manifest, "patient", 0.5)
    sideless = manifest.assign(laterality="")
    with pytest.raises(NotEnoughData, match="laterality"):
        worst_case(predictions.assign(laterality=""), (), sideless, "breast", 0.5)


def test_thresholds_by_view_decide_each_image_by_its_own() -> None:
    manifest, predictions, excluded = a_set()
    own = np.where(predictions["path"].str.contains("CC"), 0.8, 0.2)
    refused = manifest["path"].isin([item.path for item in excluded if item.kind == REFUSED])
    for case in worst_case(predictions, excluded, manifest, "image", own):
        ill = case.label == "malignant"
        mine = (predictions["label"] == case.label).to_numpy()
        assert case.right == sum((score >= at) == ill for score, at in zip(predictions["score"][mine], own[mine], strict=True))
        assert case.units == mine.sum() + (refused & (manifest["label"] == case.label)).sum()
    shuffled = np.random.default_rng(0).permutation(len(predictions))  # a threshold stays with its image
    assert worst_case(predictions.iloc[shuffled], excluded, manifest, "image", own[shuffled]) == worst_case(
        predictions, excluded, manifest, "image", own
    )
