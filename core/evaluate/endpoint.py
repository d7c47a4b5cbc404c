"""The primary endpoint of a run: which metric counts, at which level and by which threshold rule, declared before it is seen.

`endpoint.jsonl` in the run's folder has a line a declaration, appended and never changed: when, what, and how often the test
set had been accessed by then. What was declared last before the test set was evaluated stays the endpoint; a line that came
later is a change, and reported as one. Without a line before that, the first that came later is the endpoint, declared after.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import ConfigDict, Field

from core.data.identity import patients_known
from core.errors import BadConfig, BadRun
from core.files.atomic import replacing
from core.files.typed import from_plain, to_plain
from core.files.untrusted import parse_json, read_bytes
from core.metrics import TITLES, Interval, Level, Summary, ThresholdRule, rule_of
from core.runs.locks import EVALUATION, holding
from core.runs.test_set.access_log import now
from core.runs.test_set.accesses import access_counts
from core.runs.test_set.provenance import evaluation_count
from core.wording import times

if TYPE_CHECKING:
    from core.evaluate.result import Evaluation
    from core.runs import Run

FILE = "endpoint.jsonl"
LIMIT = 1 << 18  # bytes
LONGEST = 500  # characters of a reason
# Those that need no threshold; the others depend on the rule.
RANKING = ("auc", "average_precision", "brier")


Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Endpoint:
    """One declaration. `when`: UTC, ISO 8601. `metric` of core.metrics.TITLES, at `level`, with the threshold chosen by `rule`.

    `evaluations`: how often the run's test set had been evaluated by then, for its parents too; `accesses`: all accesses to
    its images on record by then, by whatever run or page.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    when: str
    metric: str
    level: str
    rule: dict[str, Any]
    evaluations: Annotated[Count, Field(alias="opened")]
    accesses: Count
    reason: str = ""

    @property
    def words(self) -> str:
        """`ROC AUC of patients`, `Sensitivity (recall) of images at the threshold for a sensitivity of 90%`."""
        at = "" if self.metric in RANKING else f" at {rule_words(ThresholdRule.from_dict(self.rule))}"
        return f"{TITLES[self.metric]} by {self.level}{at}"


@dataclass(frozen=True)
class Declared:
    """What a run's endpoint is: `endpoint`, None where nobody declared one; `changes` came after the test set was evaluated.

    `evaluations`: how often the test set has been evaluated by now, where there is no endpoint: it is then late for one, or
    not.
    """

    endpoint: Endpoint | None
    changes: tuple[Endpoint, ...] = ()
    evaluations: int = 0

    @property
    def before(self) -> bool:
        """Whether it was declared before the test set was evaluated for this run."""
        return self.endpoint is not None and not self.endpoint.evaluations

    @property
    def words(self) -> str:
        """In a sentence or two."""
        if self.endpoint is None:
            if not self.evaluations:
                return "No primary endpoint has been declared yet."
            return (
                "No primary endpoint was declared before the test set was evaluated: none of its metrics was named before they "
                "could be seen."
            )
        day = f"{self.endpoint.when.replace('T', ' ')[:16]} UTC"
        if not self.before:
            said = f"Primary endpoint, declared on {day}, AFTER the test set had been evaluated: {self.endpoint.words}."
        else:
            seen = self.endpoint.accesses
            early = f"; images of it had been accessed {times(seen)} by then" if seen else ""
            said = f"Primary endpoint, declared on {day}, before the test set was evaluated{early}: {self.endpoint.words}."
        for change in self.changes:
            said += (
                f" On {change.when.replace('T', ' ')[:16]} UTC, after that evaluation, another one was named: {change.words}."
            )
        return said

    def result(self, evaluation: Evaluation | None) -> Interval | str:
        """The metric of an evaluation that it is about, or why there is none."""
        if self.endpoint is None or evaluation is None:
            return "no endpoint was declared" if self.endpoint is None else "the test set has not been evaluated"
        summary = evaluation.levels.get(self.endpoint.level, "there is no such level")
        return summary[self.endpoint.metric] if isinstance(summary, Summary) else summary

    def other_rule(self, evaluation: Evaluation) -> str:
        """In words, that the threshold was not chosen by the declared rule; "" when it was, or plays no part."""
        if self.endpoint is None or self.endpoint.metric in RANKING or evaluation.rule is None:
            return ""
        if _decides(ThresholdRule.from_dict(self.endpoint.rule)) == _decides(evaluation.rule):
            return ""
        return f"The threshold was not chosen by the declared rule, but is {rule_words(evaluation.rule)}."


def _decides(rule: ThresholdRule) -> tuple[Any, ...]:
    """What of a rule decides the threshold: its kind and the options of this kind."""
    from core.evaluate.thresholds import OPTIONS

    return rule.kind, rule.per_view, *(getattr(rule, name) for name in OPTIONS[rule.kind])


def rule_words(rule: ThresholdRule) -> str:
    """A threshold rule in words."""
    return _rule_words(rule) + (", chosen by view for CC and MLO images" if rule.per_view else "")


def _rule_words(rule: ThresholdRule) -> str:
    if rule.kind == "youden":
        return "the threshold with the highest sensitivity + specificity - 1 on validation"
    if rule.kind == "cost":
        at = "" if rule.prevalence is None else f" at a prevalence of {_percent(rule.prevalence)}"
        weight = f"a missed cancer weighing as much as {rule.cost_ratio:g} false alarms"
        return f"the threshold of the lowest cost on validation, {weight}{at}"
    return f"the threshold for a sensitivity of {_percent(rule.target)} on validation"


def _percent(share: float) -> str:
    """A share in percent with as many digits as it has: two rules that differ must not read alike."""
    return f"{100 * share:.6g}%"


def read_declared(folder: Path) -> Declared:
    """The endpoint of the run in this folder.

    Raises:
        BadRun: endpoint.jsonl is damaged; that is never taken for "none". Or there is none, and the record of evaluations is.
    """
    path = folder / FILE
    try:
        content = read_bytes(path, LIMIT)
    except FileNotFoundError:
        return Declared(None, evaluations=evaluation_count(folder))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(getattr(error, "strerror", None) or error)) from error
    lines = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            lines.append(_endpoint(parse_json(line)))
        except (ValueError, TypeError, KeyError, BadRun) as error:
            raise _damaged(path, f"line {number}: {error}") from error
    early = [line for line in lines if not line.evaluations]
    late = [line for line in lines if line.evaluations]
    if early:
        return Declared(early[-1], tuple(late))
    return Declared(late[0], tuple(late[1:])) if late else Declared(None, evaluations=evaluation_count(folder))


def declare(run: Run, metric: str, level: str, rule: ThresholdRule | None = None, reason: str = "") -> Declared:
    """Declare the run's primary endpoint; after the test set was evaluated it is written down as a change.

    Args:
        metric: of core.metrics.TITLES.
        level: image, breast or patient.
        rule: of the threshold; None takes the one that is frozen with the model, or that the run is configured with.

    Raises:
        BadConfig: no such metric or level, or breasts or patients of a run whose manifest knows no patient.
        BadRun: the record of accesses is damaged, so that nobody can say whether this comes before one; it cannot be written.
    """
    if metric not in TITLES or level not in get_args(Level):
        raise BadConfig(
            f"endpoint {metric} by {level}: expected a metric of {', '.join(TITLES)} and a level of "
            f"{', '.join(get_args(Level))}"
        )
    if level != "image" and not patients_known(run.manifest()):
        raise BadConfig(f"endpoint {metric} by {level}: the manifest knows no patient, so that only images can be counted")
    chosen = rule or rule_of_run(run)
    with holding(run.path, EVALUATION):  # no evaluation is counted in between
        read_declared(run.path)  # a damaged file is never written over
        line = Endpoint(
            when=now(),
            metric=metric,
            level=level,
            rule=to_plain(chosen),
            evaluations=evaluation_count(run.path),
            accesses=sum(access_counts(run.path).values()),
            reason=" ".join(reason.split())[:LONGEST],
        )
        try:
            content = _content(run.path) + json.dumps(to_plain(line)).encode("ascii") + b"\n"
            if len(content) > LIMIT:
                raise OSError(f"it has more than {LIMIT:,} bytes")
            with replacing(run.path / FILE, durable=True) as stream:
                stream.write(content)
        except OSError as error:
            raise BadRun(f"{run.path / FILE}: cannot be written ({error.strerror or error}). Free some space.") from error
    return read_declared(run.path)


def rule_of_run(run: Run) -> ThresholdRule:
    """The rule that is frozen with the run's model, else the one it is configured with. Raises BadRun."""
    return (run.model_card().rule if run.has_model else None) or rule_of(run.config().evaluation)


def _content(folder: Path) -> bytes:
    try:
        content = read_bytes(folder / FILE, LIMIT)
    except FileNotFoundError:
        return b""
    return content if not content or content.endswith(b"\n") else content + b"\n"


def _endpoint(value: Any) -> Endpoint:
    found = from_plain(Endpoint, value)
    if found.metric not in TITLES or found.level not in get_args(Level):
        raise ValueError(f"{found.metric!r} by {found.level!r} is no endpoint")
    ThresholdRule.from_dict(found.rule)
    return found


def _damaged(path: Path, reason: str) -> BadRun:
    return BadRun(
        f"{path}: damaged: {reason}. It says which metric was declared before the test set was evaluated: restore it from a "
        "copy, or move it away and say in your report that the declaration was lost."
    )
