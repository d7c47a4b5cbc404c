"""Several manifests as one: patients kept apart, and warnings where the data set tells the label."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from core.data.composition import label_from_collection
from core.data.importers.differing import Differing
from core.errors import BadManifest
from core.wording import counted, listed

# Collections that hold images of one another, under ids that cannot be compared.
_RELATIVES = (
    frozenset(("cbis-ddsm", "cbis-ddsm-crop", "mini-ddsm", "ddsm", "huang-lin")),
    frozenset(("inbreast", "huang-lin")),
    frozenset(("mini-mias", "mias", "huang-lin")),
)


def merge_manifests(parts: Sequence[tuple[Path, pd.DataFrame]]) -> tuple[pd.DataFrame, list[str]]:
    """The rows of all manifests, and what to know of them.

    `patient_id` and `exam_id` get the collection in front, where they do not have it: cmmd:D1-0001. A manifest without the
    column `collection` is one named after its file. An image that stands in several with the same label, split and patient is
    kept once.

    Raises:
        BadManifest: fewer than two manifests; one image under two labels, patients or splits; crops among whole images.
    """
    if len(parts) < 2:
        raise BadManifest("merge: expected at least two manifests, got one. Name the others, too.")
    names = _names([path for path, _ in parts])
    frames = [_prefixed(frame, name) for name, (_, frame) in zip(names, parts, strict=True)]
    every = pd.concat(frames, ignore_index=True)
    text = [name for name in every.columns if name not in ("age", "synthetic")]
    every[text] = every[text].fillna("").astype("str")
    if "synthetic" in every.columns:
        every["synthetic"] = every["synthetic"].fillna(False).astype(bool)
    merged, repeated, differing = _once(every)
    crops = merged.get("subset", pd.Series("", index=merged.index)) == "crop"
    if crops.any() and not crops.all():
        what = counted(int(crops.sum()), "row is a crop around a lesion", "rows are crops around lesions")
        raise BadManifest(
            f"merge: {what}, the others whole images: a model would learn the size. Keep them in manifests of their own."
        )
    notes = [f"{counted(repeated, 'image')} in several manifests with the same label and split: kept once"] if repeated else []
    return merged, [*notes, *differing.notes(), *_warnings(merged)]


def related(first: str, second: str) -> bool:
    """Whether two collections may hold images of the same women; a collection is related to itself."""
    return first == second or any({first, second} <= relatives for relatives in _RELATIVES)


def without_collection(identifier: str, collection: str) -> str:
    """A patient's identifier without the collection that a merge put in front: `cmmd:D1-0001` is D1-0001."""
    before, colon, rest = identifier.partition(":")
    return rest if colon and rest and collection.startswith(before) else identifier


def _names(paths: Sequence[Path]) -> list[str]:
    """A name a manifest: its file's, with its folder's where two are called alike."""
    stems = [path.stem for path in paths]
    found = [f"{path.absolute().parent.name}-{path.stem}" if stems.count(path.stem) > 1 else path.stem for path in paths]
    return [f"{name}-{number}" if found.count(name) > 1 else name for number, name in enumerate(found, start=1)]


def _prefixed(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    given = frame["collection"].astype("str") if "collection" in frame.columns else pd.Series("", index=frame.index)
    given = given.where(given != "", name)
    frame = frame.assign(collection=given)
    for column in ("patient_id", "exam_id"):
        if column in frame.columns:
            pairs = zip(frame[column].astype("str"), given, strict=True)
            frame[column] = [_with_collection(identifier, collection) for identifier, collection in pairs]
    return frame


def _with_collection(identifier: str, collection: str) -> str:
    before = identifier.partition(":")[0]
    if not identifier or (":" in identifier and collection.startswith(before)):  # cbis-ddsm: is of cbis-ddsm-crop, too
        return identifier
    return f"{collection}:{identifier}"


def _once(every: pd.DataFrame) -> tuple[pd.DataFrame, int, Differing]:
    keys = every["path"].map(os.path.normcase)
    again = keys.duplicated(keep=False)
    compared = ["label", "split", "patient_id"]
    different = (
        every[again].groupby(keys[again])[compared].nunique().gt(1).any(axis=1) if again.any() else pd.Series(dtype=bool)
    )
    if different.any():
        first = str(different[different].index[0])
        raise BadManifest(
            f"merge: {counted(int(different.sum()), 'image stands', 'images stand')} in several manifests with another label, "
            f"split or patient (first: {first}). Correct one of them, or leave it out."
        )
    differing = Differing()
    described = [name for name in ("laterality", "view", "age", "density") if name in every.columns]
    for path, own in every[again].groupby(keys[again]) if again.any() else ():
        for name in described:
            differing.first(name, Path(str(path)).name, ("" if pd.isna(cell) else str(cell) for cell in own[name]))
    kept = every[~keys.duplicated()].reset_index(drop=True)
    return kept, len(every) - len(kept), differing


def _warnings(frame: pd.DataFrame) -> list[str]:
    there = sorted(set(frame["collection"]))
    notes = [
        f"warning: {one} and {other} hold images of the same women under other ids: with one in train and the other in test, "
        "nobody can see the leakage by ids. `python -m core data check` compares the images"
        for one, other in combinations(there, 2)
        if related(one, other)
    ]
    sources = _by_collection(frame, "label_source")
    if len({source for _, source in sources}) > 1:
        where: defaultdict[str, list[str]] = defaultdict(list)
        for name, source in sources:
            where[source or "not said"].append(name)
        said = "; ".join(f"{source} in {listed(names)}" for source, names in where.items())
        notes.append(f"warning: labels mean different things ({said}): look at the metrics of each collection")
    without = [str(name) for name, part in frame.groupby("collection") if (part["split"] == "").all()]
    if without and len(without) < len(there):
        have = "has" if len(without) == 1 else "have"
        rest = "the other has" if len(there) - len(without) == 1 else "the others have"
        notes.append(
            f"warning: {listed(without)} {have} no split and {rest} one: a training refuses that. Fill the split column, or "
            "empty it"
        )
    telling = label_from_collection(frame)
    return [*notes, f"warning: {telling}"] if telling else notes


def _by_collection(frame: pd.DataFrame, column: str) -> list[tuple[str, str]]:
    if column not in frame.columns:
        return []
    pairs: Iterable[tuple[str, str]] = zip(frame["collection"], frame[column], strict=True)
    return sorted(set(pairs))
