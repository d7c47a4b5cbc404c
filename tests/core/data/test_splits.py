"""Splits: no patient in two, everything assigned, the same whatever the order of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.data.identity import spelling
from core.data.splits import assign_splits, patients_written_apart, require_no_leakage, require_trainable
from core.errors import BadManifest, Leakage


def table(patients: dict[str, list[int]], split: str = "") -> pd.DataFrame:
    """Rows from {patient: [0 or 1 an image]}."""
    rows = [
        {"path": f"/d/{name}_{number}.png", "label": ("benign", "malignant")[label], "patient_id": name, "split": split}
        for name, labels in patients.items()
        for number, label in enumerate(labels)
    ]
    return pd.DataFrame(rows).astype("str")


def many(benign: int = 60, malignant: int = 30) -> pd.DataFrame:
    return table({f"b{i}": [0] * 4 for i in range(benign)} | {f"m{i}": [0, 0, 1, 1] for i in range(malignant)})


_patients = st.dictionaries(
    st.text("abc019", min_size=1, max_size=4), st.lists(st.integers(0, 1), min_size=1, max_size=6), min_size=1, max_size=30
)


@settings(deadline=None, max_examples=80)
@given(_patients, st.integers(0, 5), st.sampled_from([(0.2, 0.2), (0.1, 0.0), (0.4, 0.3)]), st.randoms(use_true_random=False))
def test_any_set_is_split_by_patient_or_refused_with_the_reason(patients, seed, fractions, random) -> None:
    frame = table(patients)
    wanted = 3 if fractions[1] else 2
    alike: dict[str, set[int]] = {}  # written in two ways, they count once
    for name, labels in patients.items():
        alike.setdefault(spelling(name), set()).update(labels)
    having = [sum(label in labels for labels in alike.values()) for label in (0, 1)]
    if min(having) < wanted:
        with pytest.raises(BadManifest, match="each need a patient"):
            assign_splits(frame, *fractions, seed)
        return
    result = assign_splits(frame, *fractions, seed)
    assert (result.groupby("patient_id")["split"].nunique() == 1).all()
    assert set(result["split"]) == ({"train", "val", "test"} if fractions[1] else {"train", "val"})
    assert set(zip(result["split"], result["label"], strict=True)) == {
        (split, label) for split in set(result["split"]) for label in ("benign", "malignant")
    }
    require_trainable(result)
    pd.testing.assert_frame_equal(result.drop(columns="split"), frame.drop(columns="split"))
    order = list(range(len(frame)))
    random.shuffle(order)
    again = assign_splits(frame.iloc[order], *fractions, seed)
    assert again.sort_index()["split"].tolist() == result["split"].tolist()


def test_sizes_follow_the_fractions_by_images_and_by_label() -> None:
    rng = np.random.default_rng(0)
    patients = {f"p{i}": ([1] if i % 4 == 0 else [0]) * int(rng.integers(1, 9)) for i in range(400)}
    result = assign_splits(table(patients), 0.2, 0.15, seed=3)
    for part in (result, result[result["label"] == "malignant"]):
        shares = part["split"].value_counts(normalize=True)
        assert shares["val"] == pytest.approx(0.2, abs=0.02)
        assert shares["test"] == pytest.approx(0.15, abs=0.02)
    by_patient = result.drop_duplicates("patient_id")["split"].value_counts(normalize=True)
    assert by_patient["val"] == pytest.approx(0.2, abs=0.04)


def test_the_seed_changes_the_split_and_nothing_else_does() -> None:
    frame = many()
    first = assign_splits(frame, 0.2, 0.2, seed=0)["split"].tolist()
    assert assign_splits(frame, 0.2, 0.2, seed=0)["split"].tolist() == first
    assert assign_splits(frame, 0.2, 0.2, seed=1)["split"].tolist() != first
    assert frame["split"].eq("").all(), "the caller's frame is left alone"


def test_given_splits_are_kept() -> None:
    frame = many()
    frame["split"] = ["train", "val", "test"] * (len(frame) // 3)  # leaking, but that is not ours to mend here
    result = assign_splits(frame, 0.2, 0.2, seed=0)
    assert result["split"].tolist() == frame["split"].tolist()
    assert result.attrs["notes"] == []


def test_gaps_are_refused_rather_than_filled() -> None:
    frame = many()
    frame["split"] = ["train"] * 10 + [""] * (len(frame) - 10)
    with pytest.raises(BadManifest, match=r"350 of 360 rows have no split .*b2_2\.png"):
        assign_splits(frame, 0.2, 0.2, seed=0)


def test_without_val_a_part_of_train_becomes_val_by_patient_and_test_is_untouched() -> None:
    frame = many()
    test = frame["patient_id"].isin([f"b{i}" for i in range(12)] + [f"m{i}" for i in range(6)])
    frame["split"] = ["test" if held else "train" for held in test]
    result = assign_splits(frame, 0.25, 0.2, seed=0)
    assert (result.loc[test, "split"] == "test").all()
    counts = Counter(result["split"])
    assert counts["val"] == pytest.approx(0.25 * (~test).sum(), abs=4)
    assert "became val" in result.attrs["notes"][0]
    require_trainable(result)


def test_a_test_set_alone_is_kept_for_evaluation() -> None:
    frame = table({"a": [0], "b": [1]}, split="test")
    assert set(assign_splits(frame, 0.2, 0.2, 0)["split"]) == {"test"}


@pytest.mark.parametrize("fractions", [(0.0, 0.2), (0.5, 0.5), (-0.1, 0.2), (0.2, float("nan"))])
def test_impossible_fractions_are_refused(fractions: tuple[float, float]) -> None:
    with pytest.raises(BadManifest, match="val_fraction"):
        assign_splits(many(), *fractions, 0)


def test_too_few_patients_says_which_label_and_what_to_do() -> None:
    frame = table({f"b{i}": [0] for i in range(10)} | {"m0": [1, 1, 1], "m1": [1]})
    with pytest.raises(BadManifest, match=r"malignant image, but only 2 of 12 patients.*test_fraction=0"):
        assign_splits(frame, 0.2, 0.2, 0)
    assert set(assign_splits(frame, 0.2, 0.0, 0)["split"]) == {"train", "val"}


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(_patients, st.lists(st.sampled_from(["train", "val", "test"]), min_size=200, max_size=200))
def test_leakage_is_found_exactly_when_a_patient_is_in_two_splits(patients, splits) -> None:
    frame = table(patients)
    assume(len(frame) <= 200)
    frame["split"] = splits[: len(frame)]
    leaking = {name for name in patients if frame.loc[frame["patient_id"] == name, "split"].nunique() > 1}
    if not leaking:
        require_no_leakage(frame)
        return
    with pytest.raises(Leakage, match=f"^{len(leaking)} patients? ") as caught:
        require_no_leakage(frame)
    assert any(f"{name} in " in str(caught.value) for name in leaking)


def test_identical_files_in_two_splits_are_leakage() -> None:
    frame = table({"a": [0], "b": [1], "c": [1]})
    frame["split"] = ["train", "val", "val"]
    frame["content_hash"] = ["1f", "1f", ""]
    with pytest.raises(Leakage, match=r"a_0\.png and .*b_0\.png"):
        require_no_leakage(frame)
    frame["content_hash"] = ["1f", "", ""]
    require_no_leakage(frame)


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_needs_both_labels_in_train_and_val(split: str) -> None:
    frame = table({"a": [0], "b": [1], "c": [0], "d": [1]})
    frame["split"] = ["train", "train", "val", "val"]
    require_trainable(frame)
    with pytest.raises(BadManifest, match=f"{split} has no malignant"):
        require_trainable(frame[~((frame["split"] == split) & (frame["label"] == "malignant"))])


@pytest.mark.parametrize(
    "write", [str.lower, lambda name: name.replace("P", "P0"), lambda name: f" {name}".replace(" P", "P-")]
)
def test_two_ways_to_write_a_patient_are_drawn_into_one_split_and_said(write: Callable[[str], str]) -> None:
    rows = [(f"{n}{side}.png", ("benign", "malignant")[n % 2], f"P{n}") for n in range(60) for side in "LR"]
    frame = pd.DataFrame(rows, columns=["path", "label", "patient_id"]).assign(split="")
    plain = assign_splits(frame, 0.2, 0.2, 0)
    twins = frame.assign(patient_id=[write(name) if row % 2 else name for row, name in enumerate(frame["patient_id"])])
    found = assign_splits(twins, 0.2, 0.2, 0)
    spelled = found["patient_id"].map(spelling)
    assert found.groupby(spelled)["split"].nunique().max() == 1
    assert any("60 patients may be written in more than one way" in note for note in found.attrs["notes"])
    assert not any("written" in note for note in plain.attrs["notes"])
    apart = found.assign(split=["train" if row % 2 else "test" for row in range(len(found))])
    notes = assign_splits(pd.concat([apart, apart.head(4).assign(split="val", patient_id="Q")]), 0.2, 0.2, 0).attrs["notes"]
    assert any("60 of them stand in different splits: leakage, if they are one person" in note for note in notes)


def test_images_without_a_label_are_in_no_split_and_change_none() -> None:
    frame = many()
    known = assign_splits(frame, 0.2, 0.2, 0)
    unknown = frame.head(5).assign(label="", path=[f"/u{number}.png" for number in range(5)])
    found = assign_splits(pd.concat([unknown, frame], ignore_index=True), 0.2, 0.2, 0)
    assert found["path"].tolist() == known["path"].tolist() and found["split"].tolist() == known["split"].tolist()
    assert found.attrs["notes"][0].startswith("5 images without a label are left out of training")
    with pytest.raises(BadManifest, match="no image has a label"):
        assign_splits(unknown, 0.2, 0.2, 0)


def test_a_patient_written_in_two_ways_in_two_splits_is_refused() -> None:
    rows = pd.DataFrame(
        {
            "path": [f"/{number}.png" for number in range(8)],
            "label": ["benign", "malignant"] * 4,
            "patient_id": ["P-001", "b", "c", "d", "p001", "P 1", "g", "h"],
            "split": ["train"] * 4 + ["val"] * 4,
        }
    )
    (apart,) = patients_written_apart(rows)
    assert (apart.names, apart.splits, apart.rows) == (("P 1", "P-001", "p001"), ("train", "val"), (0, 4, 5))
    with pytest.raises(Leakage, match=r"1 patient may stand in several splits.*'P 1' and 'P-001' and 'p001'.*data repair"):
        require_trainable(rows)
    require_trainable(rows, allow_leakage=True)
    assert patients_written_apart(rows.assign(split="train")) == []
    assert patients_written_apart(rows.assign(patient_id=["unknown", "b", "c", "d", "Unknown", "f", "g", "h"])) == []
    same = rows.assign(patient_id=["P-001", "b", "c", "d", "P-001", "p001", "g", "h"])
    assert patients_written_apart(same) == [], "it is among leaking_patients"


def test_files_without_a_patient_are_no_patient_in_two_ways() -> None:
    paths = ["/train/img-01.png", "/train/b.png", "/val/img01.png", "/val/d.png"]
    rows = pd.DataFrame(
        {
            "path": paths,
            "label": ["benign", "malignant"] * 2,
            "patient_id": ["img-01", "b", "img01", "d"],
            "split": ["train", "train", "val", "val"],
        }
    )
    assert patients_written_apart(rows) == []
    require_trainable(rows)
