"""Manifests without one site each: its patients are tested on and never learned from, and the test set stays closed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.data import require_no_leakage
from core.data.leave_one_out import leave_one_out
from core.errors import BadManifest


def manifest() -> pd.DataFrame:
    """90 patients of three sites, two images each; patient 0 has one at another site, 1 one at none that is known."""
    patient = np.repeat(np.arange(90), 2)
    site = np.array(["a", "b", "c"])[patient % 3].astype(object)
    site[1], site[2] = "b", ""
    return pd.DataFrame(
        {
            "path": [f"{n}.png" for n in range(180)],
            "label": np.where(patient // 3 % 2, "malignant", "benign"),
            "patient_id": [f"p{n}" for n in patient],
            "split": np.array(["train", "train", "val", "test", "train"])[patient // 6 % 5],
            "site": site,
        }
    )


def test_each_site_is_tested_on_by_runs_that_never_saw_its_patients() -> None:
    frame = manifest()
    tests = set(frame.loc[frame["split"] == "test", "path"])
    found = leave_one_out(frame, "site")
    assert [each.value for each in found] == ["a", "b", "c"]
    for each in found:
        require_no_leakage(each.manifest)
        assert not set(each.manifest["path"]) & tests
        held = each.manifest["split"] == "test"
        assert set(each.manifest.loc[held, "site"]) == {each.value} and each.images == held.sum()
        assert each.value not in set(each.manifest.loc[~held, "site"]) and "" not in set(each.manifest["site"])
        kept = each.manifest[~held].merge(frame, on="path", suffixes=("", "_before"))
        assert (kept["split"] == kept["split_before"]).all()
    assert "p0" not in set(found[1].manifest.query("split != 'test'")["patient_id"])


def test_a_site_with_too_few_patients_is_named_with_the_reason() -> None:
    frame = manifest()
    frame["site"] = np.where(frame["patient_id"].isin(["p6", "p7", "p8"]), "small", frame["site"])
    small = next(each for each in leave_one_out(frame, "site") if each.value == "small")
    assert "too few for an AUC" in small.manifest


@pytest.mark.parametrize(("column", "words"), [("scanner", "expected a column scanner"), ("one", "at least two values of one")])
def test_a_column_that_holds_nothing_apart_is_refused(column: str, words: str) -> None:
    with pytest.raises(BadManifest, match=words):
        leave_one_out(manifest().assign(one="x"), column)
