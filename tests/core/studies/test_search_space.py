"""What may be searched, as it is written on the command line and in study.yaml."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import BadConfig
from core.studies import Design, Range, Search
from core.studies.search_space import parse_searched


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.learning_rate=1e-5..1e-2", Range(low=1e-5, high=1e-2, log=True)),
        ("training.learning_rate=1e-3..1e-2", Range(low=1e-3, high=1e-2)),  # not more than a factor of 20
        ("training.learning_rate=linear:1e-5..1e-2", Range(low=1e-5, high=1e-2)),
        ("training.advanced.weight_decay = 0..0.1", Range(low=0, high=0.1)),  # no logarithm of 0
        ("model.dropout=log:0.01..0.5", Range(low=0.01, high=0.5, log=True)),
        ("training.batch_size=4..32 step 4", Range(low=4, high=32, step=4)),
        ("augmentation.rotation=-3..4.5", Range(low=-3, high=4.5)),
        ("model.name=[small_cnn, resnet50]", ["small_cnn", "resnet50"]),
        ("preprocessing.size=[[512, 320], 640]", [[512, 320], 640]),
        ("preprocessing.clahe=[true, false]", [True, False]),
    ],
)
def test_a_setting_with_its_range_or_choices_is_read(text: str, expected: object) -> None:
    name, found = parse_searched(text)
    assert name == text.partition("=")[0].strip() and found == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.dropout", "expected SETTING=LOW..HIGH"),
        ("model.dropout=0.1", "expected SETTING=LOW..HIGH"),
        ("model.dropout=0.5..0.1", "from a smaller to a larger number"),
        ("model.dropout=a..b", "could not convert|expected numbers"),
        ("model.dropout=log:0..1", "above 0"),
        ("model.dropout=log:0.1..1 step 0.1", "either a log scale or a step"),
        ("model.dropout=0..nan", "finite|from a smaller"),
        ("model.dropout=0..0.5 step 2", "within the range"),
    ],
)
def test_what_is_no_range_is_refused_with_an_example(text: str, said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        parse_searched(text)


def test_numbers_are_whole_where_the_setting_is_one_and_only_there() -> None:
    names = (
        "training.epochs",
        "model.dropout",
        "preprocessing.size",
        "model.options.width",
        "training.advanced.accumulation_steps",
    )
    space = Search(space={name: Range(low=0, high=64) for name in names}, trials=2).space
    assert [name for name in names if space[name].whole] == [  # type: ignore[union-attr]
        "training.epochs",
        "preprocessing.size",
        "model.options.width",
        "training.advanced.accumulation_steps",
    ]
    assert Search(space={"model.options.drop": Range(low=0, high=0.5)}, trials=2).space["model.options.drop"].whole is False  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"space": {"training.epochs": Range(low=1, high=2.5)}}, "expected whole numbers"),
        ({"space": {"training.loss": Range(low=1, high=2)}}, "training.loss has no range: give its choices"),
        ({"space": {"preprocessing.clahe": Range(low=0, high=1)}}, "has no range"),
        ({"space": {"data.val_fraction": Range(low=0.1, high=0.2)}}, "data.val_fraction cannot be searched"),
        ({"space": {"training.seed": Range(low=0, high=9)}}, "training.seed cannot be searched"),
        ({"space": {"training.monitor": ["auc", "loss"]}}, "training.monitor cannot be searched"),
        ({"space": {"model.dropout": [0.1, 0.1]}}, "expected different choices"),
        ({"space": {}}, "space"),
        ({"space": {"model.dropout": [0.1, 0.2]}, "trials": 3}, "at most 2 trials"),
        ({"storage": "trials.db"}, "expected the URL of a database"),
        ({"storage": "sqlite:///trials.db"}, "Leave it out"),
        ({"storage": "postgresql://ann:s3cret@server/db"}, "without a password"),
        ({"storage": "postgresql://a:s3cret@server", "trials": 9}, "without a password"),
        ({"storage": "mysql+pymysql://server/db?password=s3cret"}, "without a password"),
    ],
)
def test_an_impossible_search_is_refused(values: dict[str, Any], said: str) -> None:
    search = {"space": {"model.dropout": Range(low=0, high=0.5)}} | values
    with pytest.raises(BadConfig, match=said) as error:
        Design.of({"search": search}, "study")
    assert "s3cret" not in str(error.value)


def test_a_search_needs_three_folds_and_excludes_a_comparison() -> None:
    search = Search(space={"model.dropout": Range(low=0, high=0.5)})
    with pytest.raises(BadConfig, match="at least 3 folds"):
        Design.of({"search": search, "folds": 2}, "study")
    with pytest.raises(BadConfig, match="Make two studies"):
        Design.of({"search": search, "factors": {"training.epochs": [1, 2]}}, "study")


def test_its_jobs_are_those_of_the_folds_that_it_does_not_look_at() -> None:
    design = Design(folds=3, repeats=2, search=Search(space={"model.dropout": Range(low=0, high=0.5)}))
    assert [job.name for job in design.jobs[:2]] == ["01-reference-r1f2", "02-winner-r1f2"]
    assert len(design.jobs) == 2 * 2 + 2 * 3 and (0, 0) not in {(job.repeat, job.fold) for job in design.jobs}


@pytest.mark.parametrize(("value", "inside"), [(8, True), (6, False), (34, False), (8.0, True), (True, False), ("8", False)])
def test_a_range_knows_its_values(value: object, inside: bool) -> None:
    assert Range(low=4, high=32, step=4, whole=True).contains(value) is inside


def test_proposals_have_few_digits_and_stay_within_the_range() -> None:
    area = Range(low=0.00012342, high=0.1)
    assert area.rounded(0.0314159265) == 0.03142 and area.rounded(0.00012342) == area.low
