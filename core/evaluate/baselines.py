"""Published results to stand beside a run's own, shown only where data set and protocol are the same.

Most published results on these data sets come from splits of the authors' own: a metric on one's own split says nothing about
another's, so such rows are kept for reading and compare with nothing. A row enters this table only when its value could be
read in the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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


BASELINES: tuple[Baseline, ...] = (
    Baseline(
        dataset="cbis-ddsm",
        protocol=OFFICIAL,
        level="breast",
        metric="auc",
        value=0.8483,
        spread="",
        task="malignant against benign, CC and MLO together",
        model="two-view EfficientNet, started from a patch classifier",
        source="Petrini et al., Breast Cancer Diagnosis in Two-View Mammography Using End-to-End Trained EfficientNet-Based "
        "Convolutional Network, 2021",
        link="https://arxiv.org/abs/2110.01606",
    ),
    Baseline(
        dataset="cbis-ddsm",
        protocol="5-fold cross-validation",
        level="breast",
        metric="auc",
        value=0.9344,
        spread="",
        task="malignant against benign, CC and MLO together",
        model="two-view EfficientNet, started from a patch classifier",
        source="Petrini et al., Breast Cancer Diagnosis in Two-View Mammography Using End-to-End Trained EfficientNet-Based "
        "Convolutional Network, 2021",
        link="https://arxiv.org/abs/2110.01606",
    ),
    Baseline(
        dataset="cbis-ddsm",
        protocol=OWN,
        level="image",
        metric="auc",
        value=0.88,
        spread="",
        task="malignant against benign",
        model="best single all-convolutional model, four flips averaged",
        source="Shen, End-to-end Training for Whole Image Breast Cancer Diagnosis using An All Convolutional Design, 2017",
        link="https://arxiv.org/abs/1708.09427",
    ),
    Baseline(
        dataset="inbreast",
        protocol=OWN,
        level="image",
        metric="auc",
        value=0.96,
        spread="",
        task="malignant against benign, by BI-RADS",
        model="best single all-convolutional model, four flips averaged",
        source="Shen, End-to-end Training for Whole Image Breast Cancer Diagnosis using An All Convolutional Design, 2017",
        link="https://arxiv.org/abs/1708.09427",
    ),
    Baseline(
        dataset="vindr",
        protocol="independent test set, images cropped by the authors' model",
        level="image",
        metric="auc",
        value=0.840,
        spread="± 0.017",
        task="as defined by the authors",
        model="MamT4, four views with attention",
        source="Ibragimov et al., MamT4: Multi-view Attention Networks for Mammography Cancer Classification, 2024",
        link="https://www.researchgate.net/publication/385529025",
    ),
    Baseline(
        dataset="rsna",
        protocol="hidden Kaggle test set (private leaderboard)",
        level="breast",
        metric="probabilistic_f1",
        value=0.55,
        spread="",
        task="cancer against none",
        model="first place, as its author reports it",
        source="RSNA Screening Mammography Breast Cancer Detection, first place solution, Kaggle, 2023",
        link="https://www.kaggle.com/competitions/rsna-breast-cancer-detection/discussion/391676",
    ),
)


def comparable(dataset: str, protocol: str) -> tuple[Baseline, ...]:
    """The rows measured on the same data set by the same protocol, best first; () where there is none.

    Only a protocol that fixes the test images can be the same: of the rows here, OFFICIAL.

    Args:
        dataset: as the importers are named ("cbis-ddsm", "vindr", "rsna", "inbreast"), in any case.
        protocol: OFFICIAL when the run kept the split that the data set came with.
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
        f"split says nothing about another's; {len(read)} published results on {name} can be read in core/evaluate/baselines.py"
    )
