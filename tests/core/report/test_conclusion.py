"""The abstract's conclusion says no more than the intervals and the report's own audits allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders.fake_run import FakePredictor, make_run

from core.evaluate import Evaluation, evaluate
from core.metrics import Interval, ShortcutAudit
from core.metrics.features import ALL
from core.metrics.omnibus import Omnibus
from core.metrics.shortcut_results import Metadata, Shortcut
from core.report.material import Material, read_material
from core.report.sections.front import abstract

ALWAYS = "One internal test set says nothing about other sources, and nothing here supports use in patients."


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    run = make_run(tmp_path_factory.mktemp("conclusion") / "run")
    evaluate(run, "test", predictor=FakePredictor(run.card))
    found = read_material(run)
    test = replace(found.evaluations["test"], shortcuts="not made", subgroups=(), omnibus=())
    return replace(found, evaluations={"test": test})


def conclusion(material: Material, **changes: object) -> str:
    """Of the test evaluation with `auc` and other parts as given."""
    test: Evaluation = material.evaluations["test"]
    auc = changes.pop("auc", interval(0.75, 0.85))
    image = replace(test.summary, metrics=test.summary.metrics | {"auc": auc})
    test = replace(test, levels=test.levels | {"image": image}, **changes)
    return dict(abstract(replace(material, evaluations={"test": test})))["Conclusion"]


@pytest.mark.slow
def test_no_choice_of_the_level_turns_what_is_concluded(material: Material) -> None:
    """Intervals of 50 % leave out 0.5 where those of 95 % do not: the conclusion is that of 95 %, and says so."""
    test = material.evaluations["test"]
    random = np.random.default_rng(5)
    frame = test.predictions.assign(score=0.1 * random.random(test.images))
    frame["score"] += 0.02 * (frame["label"] == "malignant")
    image = replace(test.summary, confidence=0.5, metrics=test.summary.metrics | {"auc": interval(0.55, 0.65)})
    test = replace(test, predictions=frame, levels=test.levels | {"image": image})
    text = dict(abstract(replace(material, evaluations={"test": test})))["Conclusion"]
    assert "cannot be distinguished from chance. That is decided by the 95% interval of the AUC by image, [" in text


def audit(feature: str, alone: Interval | str, within: Interval | str, metadata: Metadata | None = None) -> ShortcutAudit:
    return ShortcutAudit(interval(0.7, 0.8), (Shortcut(feature, alone, within),), (), 100, 50, 5, 0, metadata)


@pytest.mark.slow_for("auc0-clearly better than chance")
@pytest.mark.parametrize(
    ("auc", "said"),
    [
        (interval(0.70, 0.80), "clearly better than chance"),
        (interval(0.55, 0.65), "better than chance, and not by much for certain"),
        (interval(0.50, 0.65), "cannot be distinguished from chance"),
        (interval(0.40, 0.60), "cannot be distinguished from chance"),
        (interval(0.20, 0.49), "worse than chance: check that the labels are not swapped"),
    ],
)
def test_the_interval_of_the_auc_decides_what_is_claimed(material: Material, auc: Interval, said: str) -> None:
    text = conclusion(material, auc=auc)
    assert said in text and text.startswith("On these patients") and text.endswith(ALWAYS)


def test_without_an_auc_nothing_is_concluded(material: Material) -> None:
    assert conclusion(material, auc="only 2 malignant patients") == "None yet: too little data for an AUC."
    assert dict(abstract(replace(material, evaluations={})))["Conclusion"] == "None yet: too little data for an AUC."


def test_synthetic_images_allow_no_conclusion(material: Material) -> None:
    card = material.card.model_copy(update={"synthetic": True})
    assert conclusion(replace(material, card=card)) == "None about real mammograms: the images are synthetic."


@pytest.mark.parametrize(
    ("difference", "p", "repeated"),
    [
        (interval(-0.02, 0.06), 0.30, "not shown to tell more than"),
        (interval(-0.10, -0.02), 0.01, "The model tells less than"),
        ("too few patients", None, "not known whether the model tells more than"),
        (interval(0.02, 0.10), 0.01, ""),
        (interval(0.02, 0.10), 0.06, "not shown to tell more than"),  # an interval of a lower level than 95 %
    ],
)
def test_metadata_that_predict_as_well_as_the_model_are_part_of_the_conclusion(
    material: Material, difference: Interval | str, p: float | None, repeated: str
) -> None:
    metadata = Metadata(ALL, difference, p, "not computed", None, ("scanner", "view"))
    text = conclusion(material, shortcuts=audit(ALL, interval(0.45, 0.55), interval(0.6, 0.7), metadata))
    assert (repeated in text) if repeated else ("metadata" not in text)


@pytest.mark.parametrize(
    ("feature", "alone", "within", "named"),
    [
        ("scanner", interval(0.60, 0.80), interval(0.45, 0.60), True),
        ("scanner", interval(0.60, 0.80), interval(0.55, 0.60), False),
        ("scanner", interval(0.45, 0.60), interval(0.45, 0.60), False),
        ("images_of_patient", interval(0.60, 0.80), interval(0.45, 0.60), False),
    ],
)
def test_possible_shortcuts_are_named(material: Material, feature: str, alone: Interval, within: Interval, named: bool) -> None:
    text = conclusion(material, shortcuts=audit(feature, alone, within))
    assert ("Possible shortcuts (95% intervals): scanner." in text) is named and ("Possible shortcuts" in text) is named


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((Omnibus("site", "auc", 3, 9.0, 0.001, 0.004, 6),), " AUC differs between sites."),
        (
            (Omnibus("site", "auc", 3, 9.0, 0.001, 0.004, 6), Omnibus("origin", "sensitivity", 2, 9.0, 0.001, 0.004, 6)),
            " AUC and sensitivity differ between sites.",
        ),
        ((Omnibus("site", "auc", 3, 9.0, 0.01, 0.06, 6),), ""),
        ((Omnibus("view", "auc", 2, 9.0, 0.001, 0.004, 6),), ""),
    ],
)
def test_differences_between_sites_are_part_of_the_conclusion(material: Material, rows: tuple[Omnibus, ...], said: str) -> None:
    text = conclusion(material, omnibus=rows)
    assert (said in text) if said else ("between sites" not in text)


@pytest.mark.parametrize("model", [interval(0.45, 0.6), interval(0.1, 0.3), "too few patients"])
def test_a_model_no_better_than_chance_has_learned_no_shortcut_that_could_be_named(material: Material, model) -> None:
    found = replace(audit("scanner", interval(0.6, 0.8), interval(0.45, 0.6)), model=model)
    assert "Possible shortcuts" not in conclusion(material, shortcuts=found)
