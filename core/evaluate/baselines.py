"""Published results to stand beside a run's own, shown only where data set and protocol are the same.

Most published results on these data sets come from splits of the authors' own: a metric on one's own split says nothing about
another's, so such rows are there to be read and compare with nothing. A row enters the table, baselines.csv, only when its
value could be read in the source.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter

if TYPE_CHECKING:
    import pandas as pd

OFFICIAL = "official test split"
OWN = "the authors' own split"

Level = Literal["image", "breast", "patient"]


@dataclass(frozen=True)
class Baseline:
    """One published metric.

    `protocol` says on which images it was measured: OFFICIAL, or another that nobody else can repeat exactly. `spread` is
    what the source prints after the value, in its own words; "" where it prints nothing. `task` is the classes compared.
    """

    dataset: str
    protocol: str
    level: Level
    metric: str
    value: float
    spread: str
    task: str
    model: str
    source: str
    link: str


def _read() -> tuple[Baseline, ...]:
    with Path(__file__).with_name("baselines.csv").open(encoding="utf-8", newline="") as lines:
        return TypeAdapter(tuple[Baseline, ...]).validate_python(list(csv.DictReader(lines)))


BASELINES = _read()


def comparable(dataset: str, protocol: str) -> tuple[Baseline, ...]:
    """The rows measured on the same data set by the same protocol, best first; () where there is none.

    Only a protocol that fixes the test images can be the same: of the rows here, OFFICIAL.

    Args:
        dataset: as the importers are named ("cbis-ddsm", "vindr", "rsna", "inbreast"), in any case.
        protocol: OFFICIAL when the run has the split that the data set came with.
    """
    if protocol != OFFICIAL:
        return ()
    return tuple(sorted((row for row in known(dataset) if row.protocol == OFFICIAL), key=lambda row: -row.value))


def known(dataset: str) -> tuple[Baseline, ...]:
    """Every row of a data set, comparable or not: to read, never to stand beside a run's metric."""
    return tuple(row for row in BASELINES if row.dataset == dataset.strip().lower())


def for_rows(rows: pd.DataFrame) -> tuple[Baseline, ...] | str:
    """The published results that a run on these rows of a manifest may stand beside, or why there is none.

    The manifest has to say which data set it is (`collection`, or `dataset`) and that its split is the one that the set came
    with (`official_split`, true at every row); nothing is guessed from paths.
    """
    column = "collection" if "collection" in rows.columns else "dataset"
    names = sorted({str(name).strip().lower() for name in rows[column]} - {""}) if column in rows.columns else []
    if len(names) != 1:
        what = f"names several data sets ({', '.join(names)})" if names else "does not name its data set (column collection)"
        return f"none is comparable: the manifest {what}"
    name = names[0]
    read = known(name)
    if not read:
        return f"none is comparable: no published metric of {name} is in the table"
    official = "official_split" in rows.columns and all(
        str(value).strip().lower() in ("1", "true", "yes") for value in rows["official_split"]
    )
    found = comparable(name, OFFICIAL if official else OWN)
    if found:
        return found
    if official:
        return f"none is comparable: the {len(read)} published results on {name} in the table are of other protocols"
    return (
        f"none is comparable: the split is not the one that {name} came with (column official_split), and a metric on one "
        f"split says nothing about another's; {len(read)} published results on {name} can be read in "
        "core/evaluate/baselines.csv"
    )
