"""Published results to stand beside a run's own, shown only where data set and protocol are the same.

Most published figures on these data sets come from splits of the authors' own: a figure on one's own split says nothing about
another's, so such rows are kept for reading and compare with nothing. A row enters this table only when its value could be
read in the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OFFICIAL = "official test split"
OWN = "the authors' own split"

Level = Literal["image", "breast", "patient"]


@dataclass(frozen=True)
class Baseline:
    """One published figure.

    `protocol` says on which images it was measured: OFFICIAL, or another that nobody else can repeat exactly. `spread` is
    what the source prints after the value, in its own words; "" where it prints nothing. `task` is what was told apart.
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


def comparable(dataset: str, protocol: str, level: Level | None = None) -> tuple[Baseline, ...]:
    """The rows measured on the same data set by the same protocol (and level, if given), best first; () where there is none.

    Only a protocol that fixes the test images can be the same: of the rows here, OFFICIAL.

    Args:
        dataset: as the importers are named ("cbis-ddsm", "vindr", "rsna", "inbreast"), in any case.
        protocol: OFFICIAL when the run kept the split that the data set came with.
    """
    if protocol != OFFICIAL:
        return ()
    rows = [
        row
        for row in BASELINES
        if row.dataset == dataset.strip().lower() and row.protocol == OFFICIAL and level in (None, row.level)
    ]
    return tuple(sorted(rows, key=lambda row: -row.value))


def known(dataset: str) -> tuple[Baseline, ...]:
    """Every row of a data set, comparable or not: to read, never to stand beside a run's figure."""
    return tuple(row for row in BASELINES if row.dataset == dataset.strip().lower())
