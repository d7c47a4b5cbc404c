from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.duplicates import Duplicate
from core.errors import BadManifest, Leakage
from core.studies.folds import TEST, draw_folds, fold_rows, groups_of


def table(patients: list[tuple[int, bool, bool]], collection: str = "") -> pd.DataFrame:
    """A row an image, for patients with (images, malignant, test split)."""
    rows = [
        {
            "path": f"{number}-{image}.png",
            "patient_id": f"P{number}",
            "label": "malignant" if malignant and image == 0 else "benign",
            "split": "test" if test else "train",
            "collection": collection,
        }
        for number, (images, malignant, test) in enumerate(patients)
        for image in range(images)
    ]
    return pd.DataFrame(rows, columns=["path", "patient_id", "label", "split", "collection"])


SOME = [(1 + number % 3, number % 3 == 0, number % 7 == 6) for number in range(40)]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.integers(2, 6),
    st.integers(0, 3),
)
def test_each_patient_is_held_out_once_as_a_whole_or_the_set_is_refused(
    patients: list[tuple[int, bool, bool]], folds: int, seed: int
) -> None:
    rows = table(patients)
    try:
        found = draw_folds(rows, groups_of(rows, []), folds, seed)
    except BadManifest as error:
        assert "fold" in str(error)
        return
    assert ((rows["split"] == "test").to_numpy() == (found == TEST)).all()
    assert rows.assign(fold=found).groupby("patient_id")["fold"].nunique().max() == 1
    for fold in range(folds):
        assert set(rows["label"][found == fold]) == {"benign", "malignant"}
    assert (draw_folds(rows, groups_of(rows, []), folds, seed) == found).all()


def test_labels_are_spread_evenly_and_another_seed_draws_other_folds() -> None:
    rows = table(SOME)
    found = draw_folds(rows, groups_of(rows, []), 4, 0)
    malignant = Counter(found[(rows["label"] == "malignant").to_numpy()])
    assert max(malignant[fold] for fold in range(4)) - min(malignant[fold] for fold in range(4)) <= 1
    assert (draw_folds(rows, groups_of(rows, []), 4, 1) != found).any()


def test_collections_are_spread_evenly_as_far_as_they_have_patients_enough() -> None:
    rows = table(SOME)
    rows["collection"] = [f"{int(name[1:]) % 2}" for name in rows["patient_id"]]
    rows.loc[rows["patient_id"] == "P1", "collection"] = "rare"
    found = draw_folds(rows, groups_of(rows, []), 4, 0)
    for name in ("0", "1"):
        counts = Counter(found[(rows["collection"] == name).to_numpy() & (found != TEST)])
        assert max(counts.values()) <= 2 * min(counts.values())


def test_copies_of_images_are_held_out_together() -> None:
    rows = table([(1, number % 2 == 0, False) for number in range(20)])
    copies = [Duplicate("near", (0, 5), ()), Duplicate("pixels", (5, 11), ())]
    for seed in range(5):
        found = draw_folds(rows, groups_of(rows, copies), 4, seed)
        assert found[0] == found[5] == found[11]


def test_two_spellings_of_a_patient_are_held_out_together() -> None:
    rows = table([(1, number % 2 == 0, False) for number in range(20)])
    rows.loc[0, "patient_id"], rows.loc[1, "patient_id"] = "X-007", "x7"
    for seed in range(5):
        found = draw_folds(rows, groups_of(rows, []), 4, seed)
        assert found[0] == found[1]


def test_a_copy_of_a_test_image_is_refused() -> None:
    rows = table(SOME)
    test, train = int((rows["split"] == "test").argmax()), 0
    with pytest.raises(Leakage, match="data repair"):
        draw_folds(rows, groups_of(rows, [Duplicate("near", (train, test), ("test", "train"))]), 4, 0)


def test_a_training_has_its_fold_as_validation_and_never_touches_the_test_split() -> None:
    rows = table(SOME)
    manifest = rows.assign(
        fold_1=draw_folds(rows, groups_of(rows, []), 4, 0), fold_2=draw_folds(rows, groups_of(rows, []), 4, 1)
    )
    for repeat, column in ((0, "fold_1"), (1, "fold_2")):
        found = fold_rows(manifest.astype({column: "str"}), repeat, 2)
        assert ((found["split"] == "val") == (manifest[column] == 2)).all()
        assert ((found["split"] == "test") == (rows["split"] == "test")).all()
        assert not [name for name in found.columns if name.startswith("fold_")]
