"""Which images an audit takes when it may not take all, drawn by seed.

Patients with a malignant image and others take turns, or a screening set's sample would hold no cancer. Who comes when
depends on the seed and on the patients' ids alone.
"""

from __future__ import annotations

import hashlib

import pandas as pd


def sample(rows: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """At most `limit` rows, whole patients, in their order; at least one patient. None takes all."""
    if limit is None or len(rows) <= limit:
        return rows
    patients = rows["patient_id"].astype("str")
    images = patients.value_counts()
    chosen: list[str] = []
    taken = 0
    for patient in _in_turns(rows, seed):
        if taken + images[patient] <= limit or not chosen:
            chosen.append(patient)
            taken += int(images[patient])
    return rows[patients.isin(chosen)]


def spread(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """At most `count` rows, in their order: of every patient one image before a second of any, malignant ones first.

    Images of one patient resemble each other, so so many images tell most when they are of many patients.
    """
    if len(rows) <= count:
        return rows
    turn = {patient: number for number, patient in enumerate(_in_turns(rows, seed))}
    ranked = pd.DataFrame(
        {
            "turn": rows["patient_id"].astype("str").map(turn),
            "benign": rows["label"] != "malignant",
            "drawn": [_drawn(path, seed) for path in rows["path"].astype("str")],
        },
        index=rows.index,
    ).sort_values(["turn", "benign", "drawn"])
    ranked["round"] = ranked.groupby("turn").cumcount()
    chosen = ranked.sort_values(["round", "turn"]).index[:count]
    return rows[rows.index.isin(chosen)]


def _in_turns(rows: pd.DataFrame, seed: int) -> list[str]:
    """The patients in the order in which they are taken."""
    patients = rows["patient_id"].astype("str")
    malignant = set(patients[rows["label"] == "malignant"])
    queues: tuple[list[str], list[str]] = ([], [])
    for patient in sorted(patients.unique(), key=lambda name: _drawn(name, seed)):
        queues[0 if patient in malignant else 1].append(patient)
    both = min(map(len, queues))
    turns = [name for pair in zip(queues[0][:both], queues[1][:both], strict=True) for name in pair]
    return turns + queues[0][both:] + queues[1][both:]


def _drawn(name: str, seed: int) -> str:
    # A hash, not a generator: the order of one depends on nothing but the seed and its name.
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
