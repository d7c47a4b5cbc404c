"""The methods section names what is frozen with the model, not what the configuration asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders.fake_run import make_run
from builders.report_text import words_of

from core.report.material import Material, read_material
from core.report.sections.evaluation_methods import evaluation_methods


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return read_material(make_run(tmp_path_factory.mktemp("methods") / "run"))


def methods_text(material: Material) -> str:
    return " ".join(word for block in evaluation_methods(material).blocks for word in words_of(block))


@pytest.mark.parametrize(
    ("frozen", "asked", "said"),
    [
        (None, "logistic", "none is frozen with the model."),
        ({"method": "none", "note": "scores do not rise with malignancy"}, "logistic", "(scores do not rise with malignancy)."),
        ({"method": "logistic", "slope": 0.8, "intercept": -1.0}, "logistic", "logistic calibration is frozen with the model."),
        (
            {"method": "temperature", "slope": 0.8},
            "isotonic",
            "temperature calibration is frozen with the model; the configuration of the training asked for isotonic.",
        ),
    ],
)
def test_the_calibration_in_use_is_the_frozen_one_not_the_one_asked_for(
    material: Material, frozen: dict | None, asked: str, said: str
) -> None:
    card = type(material.card).of(material.card.model_dump(mode="json") | {"calibration": frozen})
    evaluation = material.config.evaluation.model_copy(update={"calibration": asked})
    config = material.config.model_copy(update={"evaluation": evaluation})
    assert said in methods_text(replace(material, card=card, config=config))
