"""Train, validation and test splits by patient, and the checks for leakage between them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.data.identity import patient_doubts, spelling, without_patient
from core.data.manifest import LABELS, SPLITS, labelled, left_out_notes
from core.data.tables import shown
from core.errors import BadManifest, Leakage
from core.images.placeholder import is_placeholder
from core.wording import counted, first_few

log = logging.getLogger(__name__)

_WAYS_OUT = (
    "`data repair` writes a manifest with the split repaired, and `data check` lists all that leaks. With "
    "data.allow_leakage=true it trains, and every metric is marked."
)

_NAMED = 5  # patients named in a message
DRAWN = "split_drawn"  # in a frame's attrs: what assign_splits drew, and with what


@dataclass(frozen=True)
class _Patient:
    """What a split needs to know of one patient."""

    identifier: str
    images: int
    labels: frozenset[str]

    @property
    def malignant(self) -> bool:
        return "malignant" in self.labels


def assign_splits(frame: pd.DataFrame, val_fraction: float, test_fraction: float, seed: int) -> pd.DataFrame:
    """Give every row with a label a split; they keep their order. Others, and excluded rows, are left out, with a note.

    - No row has a split: patients go to train, val and test (no test when `test_fraction` is 0), as a whole, apart by
      their label (malignant if any image is), so that the numbers of images come close to the fractions. Identifiers that
      may be two ways to write one patient (P1 and p1, 0012 and 12) go together.
    - Every row has one: they are kept. When there is a train but no val (common in published sets), `val_fraction` of
      the train patients becomes val; the given test set stays as it is.
    - Some rows have one: refused. Filling the gaps would quietly change somebody's split.

    The result depends on the patients, their images' number and labels, the fractions and the seed, never on row order.
    What was decided stands in `frame.attrs["notes"]` (list of sentences) and in the log; what was drawn, with the seed and the
    fractions, in `frame.attrs[DRAWN]`, which a later call that finds the splits made leaves there.

    Raises:
        BadManifest: some rows have a split and others none; a class cannot be had in every split; or no row has a label.
    """
    _check_fractions(val_fraction, test_fraction)
    left_out = left_out_notes(frame)
    frame = labelled(frame)
    if frame.empty and left_out:
        raise BadManifest(f"no image has a label, so there is nothing to learn from or to measure: {'; '.join(left_out)}.")
    given = frame["split"].astype("str")
    empty = (given == "").to_numpy()
    result = frame.copy()
    notes = list(left_out)
    if empty.all():
        shares = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
        result["split"] = _split(frame, {name: share for name, share in shares.items() if share > 0}, seed)
        result.attrs[DRAWN] = {"how": "drawn", "seed": seed, "val_fraction": val_fraction, "test_fraction": test_fraction}
        notes.append(f"the split was made here: by patient, stratified by label, seed {seed}")
    elif empty.any():
        row = int(empty.argmax())
        raise BadManifest(
            f"{int(empty.sum())} of {len(frame)} rows {'has' if empty.sum() == 1 else 'have'} no split (first: "
            f"{frame['path'].iloc[row]}), the others have one. "
            "Give every row train, val or test, or empty the column to have all of them split by patient."
        )
    elif "val" not in set(given) and "train" in set(given):
        train = (given == "train").to_numpy()
        made = _split(frame[train], {"train": 1 - val_fraction, "val": val_fraction}, seed)
        moved = int((made == "val").sum())
        # A new column, because pandas 3 writes to a copy otherwise.
        splits = given.to_list()
        for position, split in zip(train.nonzero()[0], made, strict=True):
            splits[position] = split
        result["split"] = pd.Series(splits, index=frame.index, dtype="str")
        result.attrs[DRAWN] = {"how": "validation drawn", "seed": seed, "val_fraction": val_fraction}
        notes.append(f"the manifest has no val: {moved} of {int(train.sum())} train images became val, by patient, seed {seed}")
    for note in notes:
        log.info(note)
    doubts = patient_doubts(result["patient_id"].astype("str").to_list(), result["split"].astype("str").to_list())
    result.attrs["notes"] = [*notes, *(doubt.message for doubt in doubts)]
    return result


def leaking_patients(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Patients that stand in more than one split, with the splits; rows without a split do not count."""
    return _in_several_splits(frame, "patient_id")


@dataclass(frozen=True)
class WrittenApart:
    """A patient whose identifier is written in several ways (`names`), in several `splits`; `rows` are positions from 0."""

    names: tuple[str, ...]
    splits: tuple[str, ...]
    rows: tuple[int, ...]

    @property
    def words(self) -> str:
        """What is written how and stands where, for one patient."""
        ways, where = " and ".join(map(shown, self.names[:_NAMED])), " and ".join(self.splits)
        return f"{ways} (one patient, written in several ways) in {where}"


def patients_written_apart(frame: pd.DataFrame) -> list[WrittenApart]:
    """Patients that stand in several splits because their identifier is written in several ways, such as P-001 and p1.

    One that stands in several splits under one name is among `leaking_patients`. Files without a patient, and words for nobody,
    are compared with nothing.
    """
    rows = frame[frame["split"] != ""]
    names = rows["patient_id"].astype("str")
    keys = names.map({name: "" if is_placeholder(name) else spelling(name) for name in set(names)})
    several = rows.groupby(keys).agg({"patient_id": "nunique", "split": "nunique"}).min(axis=1) > 1
    doubtful = set(several.index[several]) - {""} - {spelling(name) for name in leaking_patients(frame)}
    if not doubtful:
        return []
    chosen = pd.Series(np.flatnonzero(keys.isin(doubtful).to_numpy() & ~without_patient(rows)))
    positions = np.flatnonzero((frame["split"] != "").to_numpy())
    found = []
    for _, own in chosen.groupby(keys.to_numpy()[chosen]):
        part = rows.iloc[own.to_list()]
        ways, there = sorted(set(part["patient_id"].astype("str"))), set(part["split"])
        if len(ways) > 1 and len(there) > 1:
            places = tuple(positions[own.to_list()].tolist())
            found.append(WrittenApart(tuple(ways), tuple(name for name in SPLITS if name in there), places))
    return found


def require_no_leakage(frame: pd.DataFrame) -> None:
    """Refuse a frame in which a patient, or (with a `content_hash` column) an identical file, is in two splits.

    Raises:
        Leakage: names the first few and counts all.
    """
    remedy = "Put all images of a patient in one split, or empty the split column to have it made by patient. " + _WAYS_OUT
    patients = leaking_patients(frame)
    if patients:
        named = first_few((f"{name} in {' and '.join(splits)}" for name, splits in patients.items()), _NAMED, "; ")
        images = int(frame["patient_id"].isin(list(patients)).sum())
        who = counted(len(patients), "patient stands", "patients stand")
        raise Leakage(f"{who} in more than one split ({images} images): {named}. {remedy}")
    contents = _in_several_splits(frame, "content_hash") if "content_hash" in frame.columns else {}
    if contents:
        first = next(iter(contents))
        twins = frame.loc[frame["content_hash"] == first, "path"].tolist()
        raise Leakage(
            f"{counted(len(contents), 'image file stands', 'image files stand')} in more than one split with identical "
            "content, for example "
            f"{' and '.join(str(path) for path in twins[:2])}. "
            f"Keep one copy of each. {_WAYS_OUT}"
        )


def require_trainable(frame: pd.DataFrame, *, allow_leakage: bool = False) -> None:
    """Refuse a frame with splits that a training cannot use.

    Raises:
        Leakage: see require_no_leakage, or a patient written in several ways stands in several splits; not where leakage is
            allowed.
        BadManifest: train or val lacks benign or malignant images.
    """
    if not allow_leakage:
        require_no_leakage(frame)
        _require_one_spelling(frame)
    for split in ("train", "val"):
        labels = set(frame.loc[frame["split"] == split, "label"])
        missing = [label for label in LABELS if label not in labels]
        if missing:
            raise BadManifest(
                f"{split} has no {' and no '.join(missing)} image; a training needs both labels in train and in val. "
                "Change the split column, or empty it to have all images split by patient."
            )


def _require_one_spelling(frame: pd.DataFrame) -> None:
    apart = patients_written_apart(frame)
    if not apart:
        return
    named = "; ".join(each.words for each in apart[:_NAMED])
    more = f"; and {len(apart) - _NAMED} more" if len(apart) > _NAMED else ""
    raise Leakage(
        f"{counted(len(apart), 'patient')} may stand in several splits under several spellings: {named}{more}. Write every "
        f"patient in one way. {_WAYS_OUT} If they are different people, the repair does no harm."
    )


def _in_several_splits(frame: pd.DataFrame, column: str) -> dict[str, list[str]]:
    rows = frame.loc[(frame["split"] != "") & (frame[column] != ""), [column, "split"]].drop_duplicates()
    rows = rows[rows[column].duplicated(keep=False)]  # few or none: groups of everybody would take seconds
    found: dict[str, list[str]] = {}
    for identifier, splits in rows.groupby(column, sort=True)["split"]:
        found[str(identifier)] = sorted(splits, key=lambda split: (*SPLITS, split).index(split))
    return found


def _check_fractions(val: float, test: float) -> None:
    if not (0 < val < 1 and 0 <= test < 1 and val + test < 1):
        raise BadManifest(
            f"val_fraction {val} and test_fraction {test}: expected val above 0, test at least 0, and something left for train"
        )


def _split(frame: pd.DataFrame, shares: Mapping[str, float], seed: int) -> pd.Series:
    """A split for each row of `frame`, by patient; `shares` sum to 1."""
    identifiers = frame["patient_id"].astype("str")
    together = identifiers.map(_first_of_alike(identifiers))
    patients = [_Patient(str(name), len(labels), frozenset(labels)) for name, labels in frame.groupby(together)["label"]]
    _require_enough(patients, list(shares))
    # A hash, not a generator: the order of a patient depends on nothing but the seed and its identifier.
    patients.sort(key=lambda patient: hashlib.sha256(f"{seed}\0{patient.identifier}".encode()).digest())
    assigned = _fill(patients, shares, reserved={})
    if not _complete(patients, assigned, shares):
        assigned = _fill(patients, shares, reserved=_reserve(patients, list(shares)))
    return together.map(assigned).astype("str")


def _first_of_alike(identifiers: pd.Series) -> dict[str, str]:
    """For each identifier the first, in their order as text, of those that may be the same patient written otherwise."""
    alike: dict[str, str] = {}
    return {name: alike.setdefault(spelling(name), name) for name in sorted(set(identifiers))}


def _require_enough(patients: Sequence[_Patient], splits: Sequence[str]) -> None:
    for label in LABELS:
        having = sum(label in patient.labels for patient in patients)
        if having < len(splits):
            raise BadManifest(
                f"{' and '.join(splits)} each need a patient with a {label} image, but only {having} of {len(patients)} "
                f"patients have one. Add patients, drop the test set (data.test_fraction=0), or fill the split column yourself."
            )


def _fill(patients: Sequence[_Patient], shares: Mapping[str, float], reserved: Mapping[str, str]) -> dict[str, str]:
    """Patient by patient into the split that is furthest behind its share of images, malignant and benign apart."""
    assigned = dict(reserved)
    for malignant in (True, False):
        stratum = [patient for patient in patients if patient.malignant is malignant]
        filled = dict.fromkeys(shares, 0)
        # The usual number of images, not this patient's: or large patients would gather in the large split.
        usual = sum(patient.images for patient in stratum) / max(1, len(stratum))
        for patient in stratum:
            if patient.identifier in reserved:
                filled[reserved[patient.identifier]] += patient.images
        for patient in stratum:
            if patient.identifier in reserved:
                continue
            behind = min(shares, key=lambda name: (filled[name] + usual) / shares[name])
            assigned[patient.identifier] = behind
            filled[behind] += patient.images
    return assigned


def _complete(patients: Sequence[_Patient], assigned: Mapping[str, str], shares: Mapping[str, float]) -> bool:
    there = {(assigned[patient.identifier], label) for patient in patients for label in patient.labels}
    return all((split, label) in there for split in shares for label in LABELS)


def _reserve(patients: Sequence[_Patient], splits: Sequence[str]) -> dict[str, str]:
    """For each split, a patient or two that bring both labels. Always possible once `_require_enough` has passed."""
    both = [patient for patient in patients if len(patient.labels) == len(LABELS)]
    only = {label: [patient for patient in patients if patient.labels == {label}] for label in LABELS}
    pairs = min(len(splits), *(len(group) for group in only.values()))
    reserved: dict[str, str] = {}
    for number, split in enumerate(splits):
        chosen = [only[label][number] for label in LABELS] if number < pairs else [both[number - pairs]]
        reserved |= {patient.identifier: split for patient in chosen}
    return reserved
