"""The model card, `model.json`: what belongs to a model's weights, typed, read and written here. Needs no torch.

A card may come from anywhere: it is read within bounds, and refused with the place of what is wrong. Objects of a later version
(an architecture, a recipe, a threshold rule) are kept as they are and refused by whoever needs them; fields that are not known
are kept as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import ModelConfig, Recipe
from core.errors import BadRun, RecipeMismatch
from core.files.typed import first_problem
from core.files.untrusted import read_json
from core.metrics.frozen import Foreign, Frozen
from core.wording import listed

WEIGHTS = "model.safetensors"
CARD = "model.json"
WAITING_CARD = "model.json.new"
FORMAT = 1
MOST_MEMBERS = 500  # of an ensemble: a study of 50 folds, repeated ten times
_OBJECTS = {"thresholds": "one a level", "view_thresholds": "one a view", "calibrations": "one a level"}


class ValidationMetrics(BaseModel):
    """Metrics on validation at the best epoch; None where one could not be computed. Others are kept as they come."""

    model_config = ConfigDict(frozen=True, extra="allow")

    loss: float | None = None
    auc: float | None = None
    partial_auc: float | None = None
    average_precision: float | None = None
    sensitivity_at_90_specificity: float | None = None
    specificity_at_90_sensitivity: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None


class StartingWeights(BaseModel):
    """Where training started, and what of that file was loaded.

    `source` is "none", "cache" (of the Hugging Face hub), "package", "hub", "file" or "run" (a fork's parent); `name` the
    repository, the package with its version, the file's name or the run, for "none" the reason where there is one. `sha256` is
    that of the file. `layout` is the library whose names its tensors have. `loaded` of the backbone's `wanted` tensors were in
    it (running counts and the head apart), some of the others are `missing`; `unused` tensors of the file have no place in the
    network. `head` is "new" (random), "loaded", or how it was made of another one.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    source: str = "none"
    name: str = ""
    licence: str = ""
    sha256: str = ""
    layout: str = ""
    loaded: int = 0
    wanted: int = 0
    missing: tuple[str, ...] = ()
    unused: int = 0
    unused_names: tuple[str, ...] = ()
    head: str = "new"

    @property
    def origin(self) -> str:
        """Where from, in a few words, without what was loaded."""
        if self.source == "none":
            return "random initialisation (trained from scratch)"
        licence = f", licence {self.licence}" if self.licence else ""
        place = {
            "cache": "from the Hugging Face cache",
            "hub": "from the Hugging Face hub",
            "package": "of an installed package",
        }
        if self.source in place:
            return f"weights pretrained on ImageNet: {self.name} ({place[self.source]}{licence})"
        return f"weights of the {'run' if self.source == 'run' else 'file'} {self.name}{licence}"

    @property
    def statement(self) -> str:
        """Where from, and what was and was not loaded, in a line."""
        words = self.name if self.source == "none" else self.loading
        return f"{self.origin}: {words}" if words else self.origin

    @property
    def loading(self) -> str:
        """What was and was not loaded of a file."""
        parts = [f"{self.loaded} of {self.wanted} tensors of the backbone loaded"]
        if self.layout not in ("", "timm"):
            parts[0] += f", converted from the names of {self.layout}"
        if self.missing:
            more = " and others" if self.wanted - self.loaded > len(self.missing) else ""
            parts.append(f"random: {', '.join(self.missing)}{more}")
        if self.unused:
            more = " and others" if self.unused > len(self.unused_names) else ""
            parts.append(f"{self.unused} tensors of the file not used: {', '.join(self.unused_names)}{more}")
        parts.append(
            {"new": "head new", "loaded": "head loaded"}.get(
                self.head, f"head: {self.head} of the file, the second minus the first as malignant"
            )
        )
        return "; ".join(parts)


class Member(BaseModel):
    """A model that an ensemble is the mean of: the run that trained it (of the study `study`, "" for none), with the epoch and
    the SHA-256 of its weights then, and its network."""

    model_config = ConfigDict(frozen=True, extra="allow")

    run: str = ""
    study: str = ""
    epoch: int | None = None
    weights_sha256: str = ""
    model: Annotated[ModelConfig | Foreign, Field(union_mode="left_to_right")]

    @property
    def architecture(self) -> str:
        """The network's name."""
        return _architecture(self.model)


class ModelCard(Frozen):
    """What model.json says: the network, how its images are prepared, what was frozen on validation, and where it comes from.

    `weights_sha256` names the weights it belongs to, "" before they are saved. `normalisation` has the "mean" and "std" that
    the network subtracts and divides by, `versions` those of the packages that trained it. `best_epoch` 0: before the end of
    the first. `recipe_hash` is that of the recipe when it trained. `starting_weights` is None where an earlier version wrote
    the card. `members` are those of an ensemble, in the order of their weights, where `model` is that of the first; None for
    any other model.
    """

    format: int = FORMAT
    created: str = ""
    run: str = ""
    labels: tuple[str, ...] = ("benign", "malignant")
    versions: dict[str, str] = Field(default_factory=dict)
    recipe: Annotated[Recipe | Foreign | None, Field(union_mode="left_to_right")] = None
    recipe_hash: str = ""
    model: Annotated[ModelConfig | Foreign, Field(union_mode="left_to_right")]
    starting_weights: StartingWeights | None = None
    best_epoch: int | None = None
    validation: ValidationMetrics | None = None
    synthetic: bool = False
    normalisation: dict[str, float] = Field(default_factory=dict)
    weights_sha256: str = ""
    members: Annotated[tuple[Member, ...], Field(min_length=2, max_length=MOST_MEMBERS)] | None = None

    @classmethod
    def of(cls, plain: Mapping[str, Any], source: Path | str = CARD) -> Self:
        """The card with these fields, as JSON has them; what could not be computed (NaN) becomes None.

        Raises:
            BadRun: a field is not what it should be, or no JSON.
        """
        try:
            return cls.model_validate_json(json.dumps(without_nan(plain), allow_nan=False))
        except ValidationError as error:
            raise BadRun(f"{source}: {first_problem(error, _OBJECTS)}. Restore the file, or train again") from error
        except (TypeError, ValueError) as error:
            raise BadRun(f"{source}: the card must hold plain JSON values: {error}") from error

    @property
    def architecture(self) -> str:
        """The network's name; of an ensemble how many there are of which."""
        if self.members is None:
            return _architecture(self.model)
        return f"mean of {len(self.members)} models ({listed([*dict.fromkeys(each.architecture for each in self.members)])})"

    @property
    def validation_words(self) -> str:
        """How an ensemble's validation images were scored, in words; "" for a single network."""
        if self.members is None:
            return ""
        return f"out-of-fold: each image is scored by those of the {len(self.members)} models that held it out"

    @property
    def cost(self) -> str:
        """What an ensemble costs, in words; "" for a single network."""
        if self.members is None:
            return ""
        count = len(self.members)
        return f"mean of {count} models: {count} times the time and the memory of one"

    @property
    def pretrained(self) -> bool:
        """Whether training started from weights."""
        if self.starting_weights is not None:
            return self.starting_weights.source != "none"
        start = self.model.weights if isinstance(self.model, ModelConfig) else self.model.get("weights", "none")
        return start != "none"

    def known_recipe(self, source: str = CARD) -> Recipe:
        """How the model's images are prepared. Raises BadRun: it is not a recipe that this version knows."""
        if isinstance(self.recipe, Recipe):
            return self.recipe
        try:
            return Recipe.model_validate(self.recipe)
        except ValidationError as error:
            raise BadRun(
                f"{source}: the recipe in {CARD} is not one this version knows ({error.error_count()} problems). "
                "Use the version that trained the model, or train again"
            ) from error

    def same_recipe(self, source: str = CARD) -> Recipe:
        """As `known_recipe`, and this version prepares as the one that trained the model did.

        Raises:
            BadRun: as `known_recipe`.
            RecipeMismatch: it prepares differently.
        """
        recipe = self.known_recipe(source)
        if recipe.hash != self.recipe_hash:
            raise RecipeMismatch(
                f"{source}: the model was trained on images prepared as {self.recipe_hash or None}, but this version of "
                f"MammoLab prepares the same recipe as {recipe.hash}: scores would not mean the same. Use the version that "
                "trained the model, or train again"
            )
        return recipe

    def written(self) -> dict[str, Any]:
        """The fields that were given, as plain values for JSON."""
        return plain_fields(self)


def _architecture(model: ModelConfig | Foreign) -> str:
    return model.name if isinstance(model, ModelConfig) else str(model.get("name", "a model"))


def plain_fields(part: Frozen) -> dict[str, Any]:
    """Those fields of a card that were given, as plain values for JSON."""
    found: dict[str, Any] = without_nan(part.model_dump(mode="json", exclude_unset=True))
    return found


def cost_of(folder: Path, card: ModelCard) -> str:
    """`ModelCard.cost` with the size of the weights in the run's folder; "" for a single network."""
    if not card.cost:
        return ""
    with suppress(OSError):
        return f"{card.cost}; weights {(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB"
    return card.cost


def has_model(folder: Path) -> bool:
    """Whether `folder` holds a saved model."""
    return (folder / WEIGHTS).is_file() and ((folder / CARD).is_file() or (folder / WAITING_CARD).is_file())


def read_card(folder: Path) -> ModelCard:
    """The card alone, quickly: its weights are not checked. Raises BadRun: it is missing or not a card of ours."""
    waiting = folder / WAITING_CARD
    if has_model(folder) and not (folder / CARD).is_file():
        # The very first save was cut between its two renames: the weights there are can only be this card's.
        with suppress(BadRun):  # or that save goes on, and has just renamed it
            return read_card_file(waiting)
    return read_card_file(folder / CARD)


def read_card_file(path: Path) -> ModelCard:
    """The card in this file. Raises BadRun as `read_card`."""
    return ModelCard.of(read_fields(path), path)


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of the card in this file as they are written there. Raises BadRun where it is missing or no card of ours."""
    try:
        card = read_json(path)
    except FileNotFoundError as error:
        raise BadRun(f"{path}: missing. The run has no saved model yet; train it first") from error
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise BadRun(f"{path}: damaged: {words}. Restore it, or train again") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        got = repr(card.get("format") if isinstance(card, dict) else type(card).__name__)[:40]
        raise BadRun(f"{path}: expected a model card of format {FORMAT}, got {got}. Was it written by another version?")
    lacking = [key for key in ("model", "weights_sha256") if not card.get(key)]
    if lacking or not isinstance(card["model"], dict):
        raise BadRun(f"{path}: the card lacks {', '.join(lacking) or 'a valid model'}. Restore it, or train again")
    return card


def card_text(card: Mapping[str, Any]) -> str:
    """A card's fields as model.json has them."""
    return json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def without_nan(value: Any) -> Any:
    """A metric that could not be computed is null in JSON, which has no NaN."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
