"""The primary endpoint: what was declared, when, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from core.metrics import TITLES
from core.metrics.levels import UNITS
from core.report.document import Block, Text, Warn
from core.report.material import Material
from core.report.sections import units
from core.report.words import stated


def blocks(material: Material) -> list[Block]:
    """What was declared, before or after the test set was evaluated, with its metric; a warning where it was not before."""
    declared = material.declared
    if isinstance(declared, str):
        return [Warn(f"Nobody can say which endpoint was declared: {declared}")]
    if declared.endpoint is None:
        if declared.evaluations or material.test is not None:
            return [Text(f"{declared.words} One that is declared now would stand here as declared afterwards.")]
        level = "patient" if material.patients_known else "image"
        command = material.command(f"endpoint {{run}} --metric auc --level {level}")
        return [Text(f"{declared.words} As long as the test set is closed, {command} declares one.")]
    found = declared.result(material.test)
    auc = material.headline_aucs.get(declared.endpoint.level) if declared.endpoint.metric == "auc" and material.test else None
    how = f" ({auc.rule}{units.balanced_words(auc)})" if auc is not None else ""
    reached = f" Result: {stated(found)}{how}." if not isinstance(found, str) else f" Result: none, {found}."
    reason = f" Reason given: {declared.endpoint.reason.rstrip('.')}." if declared.endpoint.reason else ""
    other = declared.other_rule(material.test) if material.test is not None else ""
    said = f"{declared.words}{reason}{reached}{f' {other}' if other else ''}"
    return [Text(said) if declared.before and not declared.changes and not other else Warn(said)]


@dataclass(frozen=True)
class Primary:
    """The primary endpoint that was declared before the test set was evaluated: `words` name it, `value` has its limits."""

    words: str
    value: str
    confidence: float
    auc: bool


def result(material: Material) -> Primary | None:
    """The primary endpoint of the test set with its value; None where none was declared in time, or it has no value."""
    declared = material.declared
    if material.test is None or isinstance(declared, str) or declared.endpoint is None or not declared.before:
        return None
    found = declared.result(material.test)
    if isinstance(found, str):
        return None
    level = declared.endpoint.level if material.patients_known else "image"
    words = f"{TITLES[declared.endpoint.metric]}, {UNITS[level]}, test"
    return Primary(words, stated(found), material.test.summary.confidence, declared.endpoint.metric == "auc")


def limit(material: Material) -> str:
    """What of it limits the study; "" when an endpoint was declared in time, or nothing was tested yet."""
    if material.test is None:
        return ""
    declared = material.declared
    if isinstance(declared, str):
        return "The declaration of the primary endpoint is damaged: which metric was to count cannot be said."
    if declared.endpoint is None:
        return "No primary endpoint was declared before the test set was evaluated: any of its metrics may have been picked."
    if not declared.before:
        return "The primary endpoint was declared after the test set had been evaluated: it may have been picked by its result."
    return (
        "Another endpoint was named after the test set had been evaluated: see model performance." if declared.changes else ""
    )
