from __future__ import annotations

import pytest

from core.config import Config
from core.errors import BadConfig
from core.studies.design import Design
from core.studies.study import configured

CLAHE = {"preprocessing.clahe": [True, False], "preprocessing.clip_limit": [1, 2, 4]}


def test_every_combination_is_compared_with_the_first_values_as_reference() -> None:
    cells = Design(factors=CLAHE).cells
    assert len(cells) == 6 and cells[0].settings == {"preprocessing.clahe": True, "preprocessing.clip_limit": 1}
    assert [cell.number for cell in cells] == list(range(6)) and cells[0].label == "clahe true, clip_limit 1"


def test_one_at_a_time_changes_one_setting_of_the_reference() -> None:
    cells = Design(factors=CLAHE, how="one at a time").cells
    assert [tuple(cell.settings.values()) for cell in cells] == [(True, 1), (False, 1), (True, 2), (True, 4)]


def test_without_settings_to_compare_it_is_a_cross_validation() -> None:
    design = Design(folds=4, repeats=2)
    assert [cell.label for cell in design.cells] == ["cross-validation"] and len(design.jobs) == 8


def test_settings_of_a_section_can_change_together() -> None:
    design = Design(factors={"preprocessing": [{}, {"clahe": False, "gamma": 1.2}], "training.epochs": [1, 2]})
    assert [cell.label for cell in design.cells] == [
        "configured settings, epochs 1",
        "configured settings, epochs 2",
        "clahe false + gamma 1.2, epochs 1",
        "clahe false + gamma 1.2, epochs 2",
    ]
    chosen = configured(Config(), design.cells[3])
    assert not chosen.preprocessing.clahe and chosen.preprocessing.gamma == 1.2 and chosen.training.epochs == 2
    assert configured(Config(), design.cells[0]).preprocessing == Config().preprocessing


def test_names_of_runs_are_folders_of_their_own() -> None:
    design = Design(
        factors={"model.name": ["small_cnn", "tf_efficientnet_lite0"], "preprocessing.size": [[512, 320], [640, 400]]}
    )
    names = [job.name for job in design.jobs]
    assert len(set(names)) == len(names) == 20 and all(len(name) <= 80 for name in names)
    assert names[0] == "01-name-small_cnn-size-512x320-r1f1"
    assert len({job.fold for job in design.jobs[:4]}) == 1, "a fold is trained with every setting before the next one begins"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"folds": 1}, "folds"),
        ({"factors": {"preprocessing": [1, 2]}}, "expected what each value sets"),
        ({"factors": {"training": [{}, {"seed": 1}]}}, "use repeats"),
        ({"factors": {"data": [{}, {"manifest": "x.csv"}]}}, "cannot be compared"),
        ({"factors": {"data.split_seed": [1, 2]}}, "data.split_seed cannot be compared"),
        ({"factors": {"training.seed": [1, 2]}}, "use repeats"),
        ({"factors": {"training.epochs": [1]}}, "at least two different values"),
        ({"factors": {"training.epochs": [1, 1]}}, "at least two different values"),
        ({"factors": {"training.epochs": list(range(1, 2000))}}, "expected at most 5,000 trainings, got 9,995"),
        ({"factors": {f"training.{name}": list(range(10)) for name in "abcdefghij"}}, "expected at most 5,000 trainings, got"),
        ({"fold": 5}, "fold"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(values: dict[str, object], said: str) -> None:
    with pytest.raises(BadConfig, match="study") as caught:
        Design.of(values, "study.yaml")
    assert said in str(caught.value)


def test_settings_of_one_name_are_told_apart() -> None:
    design = Design(
        factors={"training.lesions.patch_size": [64, 96], "preprocessing.patch_size": [1, 2], "model.name": ["a", "b"]}
    )
    assert design.cells[0].label == "training.lesions.patch_size 64, preprocessing.patch_size 1, name a"


@pytest.mark.parametrize("how", ["full", "one at a time"])
def test_further_values_leave_the_names_of_all_runs_as_they_are(how: str) -> None:
    design = Design.of({"factors": CLAHE, "how": how, "folds": 2}, "study")
    longer = design.extended(values={"preprocessing.clip_limit": [8], "preprocessing.clahe": ["auto"]})
    again = longer.extended(values={"preprocessing.clip_limit": [16]})
    for before, after in ((design, longer), (longer, again)):
        names = [job.name for job in before.jobs]
        assert set(names) < {job.name for job in after.jobs}
        assert [cell.settings for cell in after.cells][: len(before.cells)] == [cell.settings for cell in before.cells]
    every = Design.of({"factors": again.factors, "how": how, "folds": 2}, "study")
    assert sorted(map(repr, (cell.settings for cell in every.cells))) == sorted(
        map(repr, (cell.settings for cell in again.cells))
    )


def test_a_part_of_the_folds_can_be_trained_first_and_the_others_later() -> None:
    design = Design(folds=5, train_folds=2)
    assert {job.fold for job in design.jobs} == {0, 1}
    longer = design.extended(train_folds=4)
    assert [job.name for job in longer.jobs][:2] == [job.name for job in design.jobs] and len(longer.jobs) == 4
    assert longer.extended(train_folds=5) == Design(folds=5)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "more repeats, more folds"),
        ({"repeats": 2}, "more than 2 repeats"),
        ({"train_folds": 3}, "more than 3 folds"),
        ({"train_folds": 2}, "more than 3 folds"),
        ({"train_folds": 9}, "at most 5 folds to train"),
        ({"values": {"training.epochs": [3]}}, "does not compare it"),
        ({"values": {"preprocessing.clip_limit": [2]}}, "at least two different values"),
        ({"values": {"preprocessing.clip_limit": []}}, "expected further values, got none"),
    ],
)
def test_what_is_no_extension_is_refused_with_the_reason(asked: dict[str, object], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        Design(factors=CLAHE, repeats=2, train_folds=3).extended(**asked)  # type: ignore[arg-type]
