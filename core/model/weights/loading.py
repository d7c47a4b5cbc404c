"""From a weights file into a network: whatever library its names are from, and with words on what was and was not loaded."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.errors import MissingWeights
from core.model.card import StartingWeights
from core.model.classifier import Classifier
from core.model.stored import DamagedFile, StoredTensor
from core.model.weight_files import StateDict, Stored, prefixes, state_dicts, usual, without_prefix
from core.model.weights import heads, layouts, nearest
from core.model.weights.sources import Source, fetched

_logger = logging.getLogger(__name__)

REQUIRED_SHARE = 0.9  # of the backbone's tensors, and of the file's own: fewer and it is another network's file
_MOST_BYTES = 4  # times the network's own, that a file of its weights may have
_ENOUGH_NAMES = 0.5  # of a network's names, to take a file's layout for one that is not timm's
_FEW = 5  # names that a statement gives

State = dict[str, Tensor]
Shapes = Mapping[str, Tensor | StoredTensor]


def load_weights(model: Classifier, config: ModelConfig, source: Source) -> StartingWeights:
    """Put the weights of `source`, which `config` asks for, into `model`, in place; what was loaded is
    `model.starting_weights`, too.

    A head of another size stays random; one of ours (one logit) is taken over, as are a saved run's mean and std, and of a head
    with two logits their difference.

    Raises:
        MissingWeights: they cannot be had or read, fit less than nine tenths of the backbone (or of the file), compute
            something else in their own library, are quantised (integers), or are those of several networks that fit equally
            well.
    """
    if source.kind == "none":
        model.pretrained, model.starting_weights = False, StartingWeights(source="none", name=source.name)
        return model.starting_weights
    path = fetched(source, config)
    with state_dicts(path) as found:
        file = _recognised(model, found, path)
        state = _loaded(model, file, path)
    skipped = [name for name in file.stored if name not in state]
    state = {file.names.get(name, name): tensor for name, tensor in state.items()}
    for name in ("mean", "std"):  # a run of ours: "backbone.*", mean, std
        value = state.pop(name, None)
        if value is not None and value.numel() == 1 and torch.isfinite(value).all():
            getattr(model, name).fill_(value.item())
    state = _filtered(model.backbone, state)
    _adapt_first_convolution(model.backbone, state)
    made = heads.adapt(model, state)
    match = _match(model, file, state, skipped)
    _require_fit(model, match, state, file, path)
    filled = _fill(model, state, path)
    loaded = bool(match.head) and match.head <= filled
    if match.missing:
        few = ", ".join(match.missing[:_FEW])
        _logger.warning("%s: %d of %d tensors stay random: %s", path, len(match.missing), len(match.body), few)
    record = StartingWeights(
        source=source.kind,
        name=source.name,
        licence=source.licence,
        sha256=_digest(path),
        layout=file.layout,
        loaded=len(match.matched),
        wanted=len(match.body),
        missing=tuple(match.missing[:_FEW]),
        unused=len(match.inner) + len(match.outer),
        unused_names=tuple([*match.inner, *match.outer][:_FEW]),
        head=(made or "loaded") if loaded else "new",
    )
    model.pretrained, model.starting_weights = True, record
    _logger.info("%s", record.statement)
    return record


def require_fit(outlined: Classifier, source: Source) -> None:
    """Raise as `load_weights` would for another network's file, by its tensors' names and shapes: before anything is made.

    `outlined`: the network on any device, torch's meta device too. Of families whose files timm converts, of tensors that are
    not in one precision and of values that are no numbers nothing is said here.

    Raises:
        MissingWeights: as `load_weights`.
    """
    if source.path is None or source.kind != "file":
        return
    with state_dicts(source.path) as found:
        file = _recognised(outlined, found, source.path)
        if _converter(outlined.backbone) is None:
            state = {file.names.get(name, name): tensor for name, tensor in file.stored.items()}
            _require_fit(outlined, _match(outlined, file, state, []), state, file, source.path)


@dataclass(frozen=True)
class _File:
    """What a file is for a network: its `layout`, that library's `names` -> timm's, its tensors without prefixes (`stored`),
    and `roots`, the first parts of the names that this library gives to parts of such a network."""

    layout: str
    names: layouts.Names
    stored: Stored
    roots: frozenset[str]
    hint: nearest.Hint


def _recognised(model: Classifier, found: list[StateDict], path: Path) -> _File:
    """Raises MissingWeights: several networks fit, or the tensors would compute something else than in their own library."""
    own = model.backbone.state_dict()
    tables = layouts.layouts(own.keys())
    layout, likeliest = _likeliest(found, tables)
    names = tables[layout]
    _require_one(found, likeliest, {theirs: own[ours] for theirs, ours in names.items()}, path)
    if problem := layouts.other_function(layout, model.name, model.backbone):
        raise MissingWeights(
            f"model.weights: {path}: its tensors have the names of {layout}, whose network pads and normalises differently "
            f"from {model.name}: the same weights would compute something else. {problem}"
        )
    head = heads.names(model)
    roots = frozenset(theirs.partition(".")[0] for theirs, ours in names.items() if ours not in head)
    hint = nearest.Hint(tuple(each.tensors for each in found))
    return _File(layout, names, without_prefix(likeliest.tensors, names.keys()), roots, hint)


def _likeliest(found: list[StateDict], names: Mapping[str, layouts.Names]) -> tuple[str, StateDict]:
    """The layout that most of the file's names are of, and the state dict that has most of them; timm's where none is."""
    best: tuple[int, str, StateDict] | None = None
    for layout, theirs in names.items():
        likeliest = max(found, key=lambda each: _common(each, theirs.keys()))
        common = _common(likeliest, theirs.keys())
        enough = layout == layouts.TIMM or common >= _ENOUGH_NAMES * len(theirs)
        if enough and (best is None or common > best[0]):
            best = common, layout, likeliest
    assert best is not None  # timm's is always among them
    return best[1], best[2]


def _common(found: StateDict, wanted: Set[str]) -> int:
    return len(wanted & without_prefix(found.tensors, wanted).keys())


def _require_one(found: list[StateDict], likeliest: StateDict, wanted: State, path: Path) -> None:
    """Raises MissingWeights where several networks in the file fit equally well, and nothing tells which one is meant."""
    enough = REQUIRED_SHARE * len(wanted)
    rivals: dict[str, Stored] = {}
    for each in found:
        if each.rank != likeliest.rank:
            continue
        common = [prefix for prefix, count in prefixes(each.tensors, wanted.keys()).items() if count >= enough]
        named = [prefix for prefix in common if usual(prefix)]
        for prefix in named if len(named) == 1 else common:
            place = f"{each.name}.{prefix}".strip(".") if len(common) > 1 else each.name
            rivals[place] = {name: each.tensors[prefix + name] for name in wanted if prefix + name in each.tensors}
    rivals = {place: fitting for place, fitting in rivals.items() if len(fitting) >= enough}
    if len(rivals) < 2:
        return
    first, *others = rivals.values()
    if all(_same(first, other, wanted, path) for other in others):
        return
    raise MissingWeights(
        f"model.weights: {path}: expected one network, got {len(rivals)} that fit: {', '.join(map(repr, rivals))}. Choose one "
        "and save its state dict alone, with torch.save or as safetensors"
    )


def _same(first: Stored, second: Stored, wanted: State, path: Path) -> bool:
    """Whether all tensors that fit are equal; only those of the network's own shapes are loaded for it."""
    try:
        for name, tensor in wanted.items():
            one, two = first.get(name), second.get(name)
            if one is None or two is None or one.shape != two.shape or one.dtype != two.dtype:
                return False
            if one.shape == tensor.shape and not torch.equal(one.load(), two.load()):
                return False
    except (DamagedFile, OSError) as error:
        raise MissingWeights(f"model.weights: {path}: damaged: {error}. Fetch it again") from error
    return True


def _loaded(model: Classifier, file: _File, path: Path) -> State:
    """The tensors in memory, where they are not far too large for the network."""
    stored: Mapping[str, StoredTensor] = file.stored
    own = sum(tensor.nbytes for tensor in model.backbone.state_dict().values())
    most = _MOST_BYTES * own + (64 << 20)  # double precision, other heads, colour and tables are less
    size = sum(tensor.nbytes for tensor in stored.values())
    if size > most and len(file.names.keys() & stored.keys()) >= REQUIRED_SHARE * len(file.names):  # beside a language model
        stored = {name: tensor for name, tensor in stored.items() if name in file.names}
        size = sum(tensor.nbytes for tensor in stored.values())
    if size > most:
        raise MissingWeights(
            f"model.weights: {path}: holds {size / 2**20:,.0f} MiB of tensors, {model.name} has {own / 2**20:,.0f}. "
            f"Is it another architecture's file? {file.hint.words(model.name)}"
        )
    try:
        return {name: tensor.load() for name, tensor in stored.items()}
    except (DamagedFile, OSError) as error:
        raise MissingWeights(f"model.weights: {path}: damaged: {error}. Fetch it again") from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ---------------------------------------------------------------------- fitting


def _converter(backbone: nn.Module) -> Callable[..., Mapping[str, Tensor]] | None:
    """timm's own for this family, where there is one (old names, position embeddings of another size)."""
    return getattr(sys.modules.get(type(backbone).__module__), "checkpoint_filter_fn", None)


def _filtered(backbone: nn.Module, state: State) -> State:
    """Through timm's converter."""
    convert = _converter(backbone)
    if convert is None:
        return state
    try:
        converted = convert(dict(state), backbone)
    except Exception as error:  # noqa: BLE001  a foreign layout: what fits by name is judged below
        _logger.info("timm's converter for %s does not take these weights: %s", type(backbone).__name__, error)
        return state
    return {name: tensor for name, tensor in converted.items() if isinstance(tensor, Tensor)}


def _adapt_first_convolution(backbone: nn.Module, state: State) -> None:
    """Colour weights -> grey ones. Summing over colours gives, for grey images, exactly what the colour network gives."""
    from timm.models import adapt_input_conv, get_model_traits

    first = get_model_traits(backbone).get("first_conv") or ()
    wanted = backbone.state_dict()
    for layer in (first,) if isinstance(first, str) else first:
        name = f"{layer}.weight"
        if name in state and name in wanted and state[name].ndim == 4 and state[name].shape != wanted[name].shape:
            # Of a number of channels that is none of colours, it stays as it is and counts as not fitting.
            with suppress(AssertionError, NotImplementedError, RuntimeError):
                state[name] = adapt_input_conv(1, state[name])


@dataclass(frozen=True)
class _Match:
    """Names of the backbone without its head (`body`), which of them the file has (`matched`), and what else it has: tensors of
    such a network that this one does not have (`inner`), and of something else (`outer`). `head`: names of the head's."""

    head: set[str]
    body: list[str]
    matched: list[str]
    inner: list[str]
    outer: list[str]

    @property
    def missing(self) -> list[str]:
        """Names that stay random."""
        found = set(self.matched)
        return [name for name in self.body if name not in found]


def _match(model: Classifier, file: _File, state: Shapes, skipped: list[str]) -> _Match:
    """Compare shapes; `skipped` are names in the file that are not in `state`."""
    wanted, head = model.backbone.state_dict(), heads.names(model)

    def counts(name: str) -> bool:
        return name not in head and not name.endswith("num_batches_tracked")

    body = [name for name in wanted if counts(name)]
    matched = [name for name in body if name in state and state[name].shape == wanted[name].shape]
    roots = file.roots | {name.partition(".")[0] for name in body}
    others = [name for name in (*state, *skipped) if name not in wanted and counts(name)]
    inner = [name for name in others if name.partition(".")[0] in roots]
    return _Match(head, body, matched, inner, [name for name in others if name.partition(".")[0] not in roots])


def _require_fit(model: Classifier, match: _Match, state: Shapes, file: _File, path: Path) -> None:
    """Raises MissingWeights where too little of the network is in the file, or of the file in the network."""
    if len(match.matched) < REQUIRED_SHARE * len(match.body):
        words = f"{_misfit(model, match, state)}. Is it another architecture's file? {file.hint.words(model.name)}"
        raise MissingWeights(f"model.weights: {path}: {words}")
    both = len(match.matched) + len(match.inner)
    if len(match.matched) < REQUIRED_SHARE * both:
        raise MissingWeights(
            f"model.weights: {path}: holds {both} tensors of such a network, of which {model.name} has {len(match.matched)}; "
            f"it has no {', '.join(match.inner[:3])}. Is it another architecture's file? {file.hint.words(model.name)}"
        )


def _misfit(model: Classifier, match: _Match, state: Shapes) -> str:
    wanted, lines = model.backbone.state_dict(), []
    for key in match.missing[:3]:
        got = f"shape {list(state[key].shape)}" if key in state else "missing"
        lines.append(f"{key} (expected {list(wanted[key].shape)}, {got})")
    unknown = [key for key in state if key not in wanted][:3]
    surplus = f"; the file has instead {', '.join(unknown)}" if unknown else ""
    return f"only {len(match.matched)} of {len(match.body)} tensors fit {model.name}, for example {'; '.join(lines)}{surplus}"


def _fill(model: Classifier, state: State, path: Path) -> set[str]:
    """Load what fits, and give its names; raises MissingWeights where it is no floating-point numbers."""
    wanted = model.backbone.state_dict()
    fitting = {name: state[name] for name in wanted if name in state and state[name].shape == wanted[name].shape}
    _require_numbers(fitting, wanted, path)
    model.backbone.load_state_dict(fitting, strict=False)
    return set(fitting)


def _require_numbers(fitting: State, wanted: State, path: Path) -> None:
    broken = next((name for name, t in fitting.items() if t.is_floating_point() and not torch.isfinite(t).all()), None)
    if broken is not None:
        raise MissingWeights(f"model.weights: {path}: {broken} has values that are no numbers (NaN, infinite). Fetch it again")
    quantised = next((n for n, t in fitting.items() if wanted[n].is_floating_point() and not t.is_floating_point()), None)
    if quantised is not None:
        kind = str(fitting[quantised].dtype).removeprefix("torch.")
        raise MissingWeights(
            f"model.weights: {path}: {quantised}: expected floating-point values, got {kind}: a quantised network, whose "
            "numbers mean nothing without their scales. Take the file from before quantisation"
        )
