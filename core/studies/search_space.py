"""What a search may change: settings with their ranges or choices, and how many trials look for the best of them.

A range is `low..high`, whole numbers where the setting is one; on a log scale where it spans orders of magnitude. Nothing here
needs Optuna.
"""

from __future__ import annotations

import itertools
import math
import re
import types
import typing
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.config import Config
from core.config.section import section_of
from core.config.yaml_text import parse_yaml, plain_yaml
from core.errors import BadConfig
from core.files.typed import first_problem

SECTIONS = ("preprocessing", "model", "augmentation", "training")  # whose settings can be changed: the data are the same
FIXED = {  # what a study sets itself, or what its trials could not be compared with
    "training.seed": "the repeats of a study set it",
    "training.monitor": "it is what the trials are compared by",
    "training.device": "it changes no result that can be compared",
}
MOST_TRIALS = 1_000
STORAGE = "MAMMOLAB_STORAGE"  # in the environment: the URL of the database server that holds trials, with its password
LOG_SPAN = 20.0  # a learning rate or weight decay whose range spans a larger factor is searched on a log scale
DIGITS = 4  # significant ones of a proposed value: nobody needs a learning rate of 0.0031415926535

_RANGE = re.compile(r"(?:(log|linear):)?\s*([^\s:]+?)\.\.([^\s:]+?)(?:\s+step\s+(\S+))?")
_USUALLY_LOG = ("learning_rate", "weight_decay")

Value = bool | int | float | str | list[Any]


class Range(BaseModel):
    """Numbers from `low` to `high`, both included; `step` apart from `low` on, or on a log scale.

    `whole` says whether only whole numbers are meant; `Search` sets it from the setting.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = False
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    whole: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"expected a range from a smaller to a larger number, got {self}")
        if self.log and self.low <= 0:
            raise ValueError(f"expected a range above 0 for a log scale, got {self}")
        if self.log and self.step is not None:
            raise ValueError(f"expected either a log scale or a step, got both: {self}")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"expected a step within the range, got {self}")
        if self.whole and any(each is not None and each % 1 for each in (self.low, self.high, self.step)):
            raise ValueError(f"expected whole numbers, got {self}")
        return self

    def __str__(self) -> str:
        step = "" if self.step is None else f" step {self.step:g}"
        return f"{'log:' if self.log else ''}{self.low:g}..{self.high:g}{step}"

    @property
    def count(self) -> float:
        """How many values there are; infinite without a step."""
        if self.step is None and not self.whole:
            return math.inf
        return math.floor((self.high - self.low) / (self.step or 1.0) + 1e-9) + 1

    @property
    def ends(self) -> list[Value]:
        """The lowest and the highest value."""
        return [self.of(self.low), self.of(self.high)]

    def of(self, value: float) -> int | float:
        """The number as the setting has it: whole where that is meant."""
        return round(value) if self.whole else float(value)

    def rounded(self, value: float) -> int | float:
        """The value with few digits, within the range; as it is where values have a step."""
        if self.whole or self.step is not None:
            return self.of(value)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def contains(self, value: object) -> bool:
        """Whether a search can propose this value."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step is not None else value if self.whole else 0.0
        return abs(steps - round(steps)) < 1e-9


Choices = Annotated[list[Value], Field(min_length=2, max_length=50)]


class Winner(BaseModel):
    """The best trial: its number (from 1), its settings, and whether they are those of config.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial: int = Field(ge=1)
    settings: dict[str, Any]
    reference: bool = False


class Search(BaseModel):
    """A search for the best settings, as study.yaml has it.

    `space` has a range or choices for each setting. `storage` is the database of the trials: "" for a file in the study's
    folder, else the URL of a database server, without a password. `key` tells the trials of this study from those of others in
    the same database. `winner` is filled in when all trials are over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: dict[str, Range | Choices] = Field(min_length=1, max_length=30)
    trials: int = Field(20, ge=2, le=MOST_TRIALS)
    sampler: Literal["tpe", "random"] = "tpe"
    pruning: bool = True
    storage: str = Field("", max_length=500)
    key: str = Field(default_factory=lambda: uuid.uuid4().hex[:12], pattern=r"^[0-9a-f]{12}$")
    winner: Winner | None = None

    @model_validator(mode="before")
    @classmethod
    def _whole_where_the_setting_is(cls, values: Any) -> Any:
        space = values.get("space") if isinstance(values, Mapping) else None
        if not isinstance(space, Mapping):
            return values
        found = {}
        for name, each in space.items():
            if isinstance(each, Range):
                each = each.model_dump()
            ends = [each.get("low"), each.get("high")] if isinstance(each, Mapping) else []
            if ends:
                kind = _kind(str(name))
                if kind == "other":
                    raise ValueError(f"{name} has no range: give its choices, for example {name}=[a, b]")
                unknown = kind == "unknown" and all(isinstance(end, int | float) and end % 1 == 0 for end in ends)
                each = dict(each) | {"whole": kind == "whole" or unknown}
                try:
                    Range.model_validate(each)
                except ValidationError as error:
                    raise ValueError(f"{name}: {first_problem(error)}") from error
            elif isinstance(each, list) and len(each) < 2:
                raise ValueError(f"{name}: expected at least two choices, got {each}")
            found[name] = each
        return dict(values) | {"space": found}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, values in self.space.items():
            require_changeable(name, "searched")
            if name in FIXED:
                raise ValueError(f"{name} cannot be searched: {FIXED[name]}")
            if isinstance(values, list) and any(value in values[:place] for place, value in enumerate(values)):
                raise ValueError(f"{name}: expected different choices, got {values}")
        if self.trials > self.combinations:
            raise ValueError(f"expected at most {self.combinations:.0f} trials, as many as combinations, got {self.trials}")
        _require_storage(self.storage)
        return self

    @property
    def combinations(self) -> float:
        """How many different settings there are; infinite where one is a range without steps."""
        return math.prod(len(values) if isinstance(values, list) else values.count for values in self.space.values())

    def all_combinations(self) -> typing.Iterator[dict[str, Any]]:
        """Each of the finitely many combinations."""
        levels: list[list[Any]] = []
        for values in self.space.values():
            if isinstance(values, list):
                levels.append(values)
            else:
                levels.append([values.of(values.low + place * (values.step or 1.0)) for place in range(int(values.count))])
        for each in itertools.product(*levels):
            yield dict(zip(self.space, each, strict=True))


def require_changeable(name: str, done: str) -> None:
    """Raises ValueError: this is no setting that can be `done` ("compared", "searched")."""
    if name.split(".")[0] not in SECTIONS or "." not in name:
        raise ValueError(f"{name} cannot be {done}: expected a setting of {', '.join(SECTIONS)}")


def parse_searched(text: str, source: str = "--search") -> tuple[str, Range | list[Any]]:
    """A setting with its range or choices: `training.learning_rate=1e-5..1e-2`, `log:1..100`, `4..32 step 4`, `[a, b]`.

    Learning rates and weight decay are on a log scale where their range spans more than a factor of 20; `linear:` forbids it,
    `log:` asks for it.

    Raises:
        BadConfig: it is none.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    if equals and values.startswith("["):
        found = parse_yaml(values, f"{source} {name}", plain_yaml())
        if isinstance(found, list):
            return name, list(found)
    parts = _RANGE.fullmatch(values) if equals else None
    if parts is None:
        raise BadConfig(
            f"{source} {text}: expected SETTING=LOW..HIGH or SETTING=[A,B], for example training.learning_rate=1e-5..1e-2"
        )
    scale, *numbers = parts.groups()
    try:
        low, high, step = (None if each is None else float(each) for each in numbers)
        assert low is not None and high is not None
        return name, Range(
            low=low, high=high, step=step, log=scale == "log" or (scale is None and on_log_scale(name, low, high))
        )
    except ValueError as error:  # of pydantic, too
        said = first_problem(error) if isinstance(error, ValidationError) else "expected numbers"
        raise BadConfig(f"{source} {text}: {said}") from error


def on_log_scale(name: str, low: float, high: float) -> bool:
    """Whether a range of this setting is searched on a log scale where nobody says so."""
    return any(name.endswith(each) for each in _USUALLY_LOG) and low > 0 and high / low > LOG_SPAN


def _kind(name: str) -> Literal["whole", "number", "other", "unknown"]:
    """What numbers a setting takes; "unknown" for one that the configuration does not describe, as an option of timm."""
    model: type[BaseModel] | None = Config
    *sections, last = name.split(".")
    for part in sections:
        model = section_of(model.model_fields.get(part)) if model is not None else None
    field = model.model_fields.get(last) if model is not None else None
    if field is None:
        return "unknown"
    union = typing.get_origin(field.annotation) in (typing.Union, types.UnionType)
    kinds = [_bare(each) for each in (typing.get_args(field.annotation) if union else [field.annotation])]
    return "number" if float in kinds else "whole" if int in kinds else "other"


def _bare(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _require_storage(url: str) -> None:
    """Raises ValueError: no URL of a database server, or one with a password in it."""
    if not url:
        return
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?", scheme):
        raise ValueError("storage: expected the URL of a database, for example postgresql://user@server/database")
    if scheme.startswith("sqlite"):
        raise ValueError("storage: SQLite is used where storage is empty, in the study's folder. Leave it out")
    user = rest.split("/")[0].rpartition("@")[0]
    if ":" in user or re.search(r"[?&](password|passwd|pwd|sslpassword)=", rest, re.IGNORECASE):
        raise ValueError(
            "storage: expected a URL without a password, got one with it, for all readers of study.yaml. Leave it out, "
            f"and put the whole URL into {STORAGE} where `study run` is called"
        )
