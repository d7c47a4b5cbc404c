"""From which folders a visitor may name files on the pages: see `Access.roots`.

The check comes before the file is looked at: that a file exists elsewhere is nobody's business either.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import NAMED_WEIGHTS, Config
from core.errors import LabError
from dashboard.access import settings

if TYPE_CHECKING:
    from core.data.importers import ImportReport


class NotAllowed(LabError):
    """A path outside of the folders that visitors may name files from."""


def require_allowed(path: Path | str) -> Path:
    """The path, when visitors may name it.

    Raises NotAllowed (it is, or leads through a symbolic link, outside of the allowed folders. Said alike of files that exist
    and of those that do not).
    """
    path = Path(path)
    if not is_allowed(path):
        raise NotAllowed(
            f"{path}: this dashboard does not open files from there. Expected a file in data/ or checkpoints/, or in a folder "
            "that whoever runs the dashboard has allowed: dashboard.roots in config.yaml, or `-- --allow-root FOLDER`."
        )
    return path


def is_allowed(path: Path) -> bool:
    """Whether visitors may name this path."""
    roots = settings.current().roots
    if roots is None:
        return True
    try:
        real = path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # a circle of links, a NUL, no such home
        return False
    return any(real == root or root in real.parents for root in roots)


def require_all_allowed(paths: Iterable[Path]) -> None:
    """Raises NotAllowed when one of these files lies outside of the allowed folders; which one, and what it is, is not said."""
    outside = sum(not is_allowed(path) for path in paths)
    if outside:
        raise NotAllowed(
            f"{outside} of the files that it names lie outside of the folders that this dashboard opens files from: data/, "
            "checkpoints/ and those that whoever runs it has allowed (dashboard.roots in config.yaml, or `-- --allow-root "
            "FOLDER`)."
        )


def require_allowed_import(found: ImportReport) -> None:
    """Raises NotAllowed when an import that a visitor asked for names files (images, masks) outside of the allowed folders.

    Nothing of it is shown then: what was wrong with a file would reveal something of it, too.
    """
    from core.data.lesions import lesions_of

    named = [Path(path) for path in found.frame["path"]]
    if "lesion_masks" in found.frame:
        masks = zip(named, found.frame["lesion_masks"], strict=True)
        named += [image.parent / name.strip() for image, names in masks for name in str(names).split("|") if name.strip()]
    if "lesions" in found.frame:
        with_mask = found.frame[found.frame["lesions"].str.contains('"mask"', regex=False)]
        drawn = ((Path(row["path"]).parent, lesions_of(row)) for row in with_mask.to_dict(orient="records"))
        named += [folder / lesion.mask for folder, lesions in drawn for lesion in lesions if lesion.mask]
    require_all_allowed([*named, *(Path(name) for name, _ in found.rejected if Path(name).is_absolute())])


def require_allowed_config(config: Config) -> None:
    """Raises NotAllowed when the weights that a visitor's training is to start from, or the manifest of its patches and its
    images, lie outside of the allowed folders."""
    if config.model.weights not in NAMED_WEIGHTS:
        require_allowed(config.model.weights)
    if config.training.lesions.patch_manifest:
        require_allowed(config.training.lesions.patch_manifest)
