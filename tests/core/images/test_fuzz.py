"""The fuzz corpus: every hostile, broken or strange source gives a sound image or a refusal in plain words."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from builders.damage import Case, cases, crafted_cases, random_cases
from builders.damage_runner import run_cases
from builders.damage_worker import attempt

LIGHT = [case for case in crafted_cases() if case.light]
PAIRS = [case for case in LIGHT if case.name.startswith("dicom: syntax ") and ", frame of " in case.name]
CRAFTED = {
    kind: [case for case in LIGHT if case.name.partition(":")[0] == kind and case not in PAIRS]
    for kind in sorted({case.name.partition(":")[0] for case in LIGHT})
}
# Each transfer syntax with each of ten frames: a third of the pairs has each syntax three times, and each frame five times.
CRAFTED |= {f"dicom frames {part}": PAIRS[part::3] for part in range(3)}
QUICK = [case for case in random_cases(per_seed=3) if "misnamed" not in case.name]


def wrong(chosen: list[Case], root: Path) -> list[str]:
    found = []
    for number, case in enumerate(chosen):
        folder = root / str(number)
        folder.mkdir()
        outcome = attempt(case.make(folder))
        if outcome.outcome == "wrong":
            found.append(f"{case.name}: {outcome.words}")
    return found


@pytest.mark.slow_for("dicom", "dicom frames 0", "dicom frames 1", "dicom frames 2", "png", "tiff")
@pytest.mark.parametrize("kind", CRAFTED)
def test_crafted_sources_are_returned_or_refused(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert wrong(CRAFTED[kind], tmp_path) == []
    assert capfd.readouterr() == ("", "")  # C libraries write there, too


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_damaged_images_are_returned_or_refused(part: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert wrong(QUICK[part::4], tmp_path) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_sound_images_are_read_but_for_the_masks(tmp_path: Path) -> None:
    refused = [case.name for case in random_cases(0) if attempt(case.make(tmp_path)).outcome != "returned"]
    assert refused == [f"{name} {how}" for name in ("png-1bit", "tiff-1bit") for how in ("as it is", "misnamed")]


@pytest.mark.slow
def test_the_corpus_is_large_and_always_the_same(tmp_path: Path) -> None:
    first, second = cases(), cases()
    assert len(first) >= 2_000 and [case.name for case in first] == [case.name for case in second]
    assert max(Counter(case.name for case in first).values()) == 1
    for one, other in zip(random_cases(2), random_cases(2), strict=True):
        assert one.make(tmp_path) == other.make(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_corpus_in_processes_of_its_own() -> None:
    results = run_cases(patience_s=60)
    assert [f"{r.outcome}: {r.case.name}: {r.words}" for r in results if r.outcome not in ("returned", "refused")] == []
    assert len(results) == len(cases())
    if os.name == "posix":
        assert 0 < max(result.memory for result in results) < 3 * 2**30
