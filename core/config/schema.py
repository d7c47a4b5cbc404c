"""`config.yaml` as pydantic models: every field is described, bounded and validated here, once.

The dashboard's forms, the CLI's `--set` and the comments in `config.yaml` all come from these
descriptions. `Recipe` (the preprocessing) is part of it, because a model is only valid together with it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from core.config.section import Section
from core.config.training import AugmentationConfig, ModelConfig, TrainingConfig

# Part of every recipe hash. Raise it when a change to core.images or core.preprocessing alters pixels.
RECIPE_VERSION = 2

Side = Annotated[int, Field(ge=32, le=4096)]


class Recipe(Section):
    """How a mammogram becomes what the model sees. Frozen and hashable."""

    voi_index: int = Field(1, validation_alias=AliasChoices("voi_index", "voi"), ge=0, le=16, title="VOI LUT / window index")
    """Which of a DICOM file's VOI LUTs or windows to apply: 1 is the first; 0 is none, the image's whole range. For a file with
    fewer, the last one."""
    polarity: Literal["auto", "keep", "invert"] = Field("auto", title="Polarity")
    """auto: find images stored inverted (white background) and turn them; keep: trust the file; invert: turn every image."""
    remove_background: bool = Field(True, title="Remove background")
    """Blacken everything outside the breast: burned-in labels, markers, film borders."""
    pectoral: bool = Field(False, title="Suppress the pectoral muscle")
    """Blacken the muscle above the breast on MLO-like views, where its edge is found."""
    crop: bool = Field(True, title="Crop to the breast")
    """Cut the image to the breast's bounding box."""
    crop_margin: float = Field(0.02, ge=0.0, le=0.25, title="Crop margin")
    """Added around the breast, as a share of its size."""
    orient: bool = Field(True, title="Common orientation")
    """Mirror the image where needed so that the chest wall is on the left."""
    window_low: float = Field(0.5, ge=0.0, le=49.0, title="Window low (%)")
    """Percentile of the breast's grey levels shown as black."""
    window_high: float = Field(99.8, ge=51.0, le=100.0, title="Window high (%)")
    """Percentile of the breast's grey levels shown as white."""
    gamma: float = Field(1.0, ge=0.2, le=5.0, title="Gamma")
    """Exponent on the windowed grey levels: below 1 brightens the mid-tones, above 1 darkens them."""
    clahe: bool = Field(True, title="CLAHE")
    """Contrast-limited adaptive histogram equalisation."""
    clip_limit: float = Field(2.0, ge=0.1, le=40.0, title="CLAHE clip limit")
    """How far local contrast may rise: 1 hardly changes the image, 4 is strong, above 10 mostly noise."""
    tile_grid: int = Field(8, ge=1, le=64, title="CLAHE tile grid")
    """Tiles along each side; more tiles follow smaller structures."""
    size: Side | tuple[Side, Side] = Field((512, 320), title="Input size (px)")
    """What the model sees: [height, width], or one number for a square. The breast keeps its aspect ratio and is padded with
    black; it is about 1.6 times as high as wide, so a square is a third padding. [320, 192] is 2.6 times quicker, and shows a
    centimetre with some 18 pixels instead of 28."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the prepared image in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def hash(self) -> str:
        """Twelve hex digits that change whenever the prepared pixels may change."""
        values = self.model_dump(mode="json")
        values["voi"] = values.pop("voi_index")  # its former name: the hashes of earlier versions stay the same
        content = json.dumps([RECIPE_VERSION, values], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


class DataConfig(Section):
    """Which images, and how they are split."""

    manifest: Path = Field(Path("data/demo/manifest.csv"), title="Manifest")
    """CSV with one row per image: path, label, patient_id, laterality, view, split. The built-in demo set is written when this
    is its path and it is missing."""
    val_fraction: float = Field(0.2, gt=0.0, lt=0.5, title="Validation share")
    """Share of patients for validation, where the manifest has no split."""
    test_fraction: float = Field(0.2, ge=0.0, lt=0.5, title="Test share")
    """Share of patients for the test set, where the manifest has no split."""
    split_seed: int = Field(0, ge=0, title="Split seed")
    """Seed of the split, where the manifest has no split."""
    allow_leakage: bool = Field(False, title="Allow leakage")
    """Train although a patient, or copies of an image, stand in several splits. Every metric of the run is then marked as too
    optimistic."""


class EvaluationConfig(Section):
    """How scores become metrics."""

    threshold_rule: Literal["sensitivity", "youden", "cost"] = Field("sensitivity", title="Threshold rule")
    """How the threshold is chosen on the validation set. sensitivity: the highest one that reaches the target; youden: the
    highest sensitivity + specificity; cost: the lowest expected cost."""
    target_sensitivity: float = Field(0.90, gt=0.0, le=1.0, title="Target sensitivity")
    """With the rule sensitivity: the threshold is the highest one that reaches this on the validation set."""
    cost_ratio: float = Field(10.0, gt=0.0, le=10_000.0, title="Cost of a missed cancer")
    """With the rule cost: how many false alarms one missed malignancy weighs."""
    prevalence: float = Field(0.0, ge=0.0, lt=1.0, title="Prevalence")
    """With the rule cost: share of malignant among those to be examined; 0 takes the validation set's, which is far above that
    of screening."""
    per_view_thresholds: bool = Field(False, title="Thresholds by view")
    """Choose, by the same rule, a threshold of its own for CC and for MLO images, where validation has ten patients of each
    class with such images; all other images keep the common one. Breasts and patients have their mean scores and thresholds
    either way."""
    calibration: Literal["temperature", "logistic", "isotonic", "none"] = Field("logistic", title="Calibration")
    """How scores become probabilities, fitted on the validation set. logistic: slope and shift, which class weights need;
    temperature: a slope alone, centred on 0.5; isotonic: steps; none. Decisions stay with the raw score."""
    bootstrap_samples: int = Field(2000, ge=100, le=100_000, title="Bootstrap samples")
    """Resamples of patients behind each interval. Above a confidence of 95% more are drawn, so that as many lie beyond each
    limit."""
    confidence: float = Field(0.95, gt=0.5, lt=1.0, title="Confidence")
    """Level of the intervals."""
    equivalence_margin: float = Field(0.05, gt=0.0, lt=1.0, title="Equivalence margin")
    """Differences of AUC, sensitivity or specificity up to this do not matter. A group counts as equivalent to the others only
    where the whole interval of its difference lies within. Choose it before the results are seen."""
    numeric_columns: tuple[str, ...] = Field((), title="Numeric columns")
    """Columns of the manifest, besides age, height and width, that measure something: the shortcut audit takes them for
    numbers, and subgroups are thirds of them. Known columns written in digits (scanner, site) stay categories."""
    category_columns: tuple[str, ...] = Field((), title="Category columns")
    """Columns of the manifest, besides the known ones, that name how or where an image was made: the shortcut audit takes them
    for categories, and they make subgroups. Columns named nowhere are audited by their names and values (see
    docs/evaluation.md), and make none."""


class DashboardConfig(Section):
    """Who may reach the dashboard, and which files its visitors may name. A run does not depend on it."""

    hosts: tuple[str, ...] = Field((), title="Host names")
    """Names under which browsers reach the dashboard, besides localhost: a reverse proxy's or a tunnel's (lab.example.org,
    *.example.org). Requests for any other name are refused."""
    roots: tuple[Path, ...] = Field((), title="Folders for visitors")
    """Folders from which files may be named on the pages, besides data and checkpoints. Empty: any file of this machine, as
    long as only this machine can reach the dashboard."""
    password: str = Field("", pattern=r"^(scrypt\$[0-9A-Za-z$_-]+)?$", title="Password")
    """The hash that `python -m core password` writes here; empty: no password."""
    allow_without_password: bool = Field(False, title="Allow everyone")
    """Let the dashboard listen on an address that other machines reach although there is no password."""
    upload_mb: int = Field(1000, ge=1, le=20_000, title="Largest upload")
    """MB of one file (a .zip, say) that is sent to the Data page. It is held in memory until it is unpacked."""
    upload_total_mb: int = Field(20_000, ge=1, title="Upload, unpacked")
    """MB of the files of one upload once they are unpacked below data/uploads."""
    upload_files: int = Field(50_000, ge=1, le=1_000_000, title="Files of an upload")
    """Files of one upload once it is unpacked."""


class Config(Section):
    """Everything a run depends on, and how the dashboard is reached."""

    checkpoints: Path = Field(Path("checkpoints"), title="Runs")
    """Folder that holds one folder per run."""
    data: DataConfig = DataConfig()
    preprocessing: Recipe = Recipe()
    augmentation: AugmentationConfig = AugmentationConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    dashboard: DashboardConfig = DashboardConfig()
