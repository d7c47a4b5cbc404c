"""The threshold rule of a run that is trained on, or forked: the one that is frozen with its model, if that was changed."""

from __future__ import annotations

from core.config import Config
from core.errors import BadRun
from core.metrics.operating_points import settings_of
from core.runs.run import Run


def with_frozen_rule(config: Config, run: Run) -> Config:
    """`config` with the rule that is frozen with the run's model: `threshold` may have chosen another than was configured.

    Raises:
        BadRun: its model.json is damaged, or has a rule that is none of ours.
    """
    card = run.model_card() if run.has_model else None
    rule = card.rule if card is not None and card.threshold_rule else None
    if rule is None:
        return config
    changes = settings_of(rule)
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update=changes)})


def resumed_config(run: Run) -> Config:
    """The settings that a training of `run` goes by, now or after a pause."""
    config = run.config()
    try:
        return with_frozen_rule(config, run)
    except BadRun:  # a damaged model.json must not end a training, which will replace it
        return config
