"""Identical files within a set are counted in the report, by set."""

from __future__ import annotations

import pandas as pd

from core.report.sections.data import copies_words


def test_copies_are_counted_by_set_as_a_loop_counts_them() -> None:
    rows = pd.DataFrame(
        {
            "split": ["train"] * 6 + ["val"] * 2 + ["test"] * 4,
            "content_hash": ["a", "a", "b", "b", "b", "c", "d", "e", "f", "f", "", ""],
        }
    )
    files = dict.fromkeys(("train", "val", "test"), 0)
    for split in files:
        hashes = [one for one, where in zip(rows["content_hash"], rows["split"], strict=True) if where == split and one]
        files[split] = sum(hashes.count(one) > 1 for one in hashes)
    assert files == {"train": 5, "val": 0, "test": 2}
    said = copies_words(rows)
    assert "training 5 files of 2 contents, test 2 files of 1 content" in said and "validation" not in said
    assert "Of 2 images the content is not known" in said


def test_without_hashes_nothing_is_claimed() -> None:
    assert "not known" in copies_words(pd.DataFrame({"split": ["train"]}))
    assert copies_words(pd.DataFrame({"split": ["train", "test"], "content_hash": ["a", "a"]})).startswith("No two files")
