"""What a plan is made from: the data set's fingerprint (Isensee et al. 2021, nnU-Net), and what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.config import Config
from core.data.breasts import breasts_of
from core.data.cache import PreparedCache, Rejected
from core.data.lesions import lesion_boxes
from core.data.manifest import is_synthetic
from core.errors import LabError, NotEnoughData
from core.files.paths import cache_root
from core.model.device import pick_device_config
from core.training.model_costs import ModelCosts, known_costs, measure_costs

SAMPLE = 60  # images that are looked at
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fingerprint:
    """A data set in numbers. The test split takes no part.

    `images` have a label; `malignant_patients` and `benign_patients` have an image with that label; `both_views` is the share
    of breasts with more than one view. Of a sample: `height` and `width` of the files, `breast_height` and `breast_width` of
    what preprocessing crops to (medians, pixels of the file), `spacing` mm a pixel (None: no file says), `lesion` the longer
    side of a lesion's box (median, pixels of the file; None: no lesions in the manifest), `seconds` to read and prepare one
    image here, `unreadable` how many of the sample could not be read.
    """

    images: int
    patients: int
    malignant_images: int
    malignant_patients: int
    benign_patients: int
    both_views: float
    synthetic: bool
    sample: int
    unreadable: int
    height: int
    width: int
    breast_height: int
    breast_width: int
    spacing: float | None
    lesion: float | None
    seconds: float


@dataclass(frozen=True)
class Machine:
    """The device that trainings use, and the `cores` that they compute with. `memory` is that of the GPU, or what the computer
    has free (bytes)."""

    device: str
    gpu: bool
    cores: int
    memory: int


def fingerprint(rows: pd.DataFrame, config: Config, progress: Progress | None = None) -> Fingerprint:
    """Look at a sample of the images, the same one each time; `rows` have a split, or none of them has.

    Raises:
        NotEnoughData: there is no image with a label outside the test split, or most of the sample cannot be read.
        LabError: the cache cannot be written to.
    """
    used = rows[(rows["split"] != "test") & (rows["label"] != "")].reset_index(drop=True)
    if used.empty:
        raise NotEnoughData("expected images with a label outside of the test split, got none")
    chosen = np.random.default_rng(0).permutation(len(used))[:SAMPLE]
    sample = used.iloc[np.sort(chosen)]
    cache = PreparedCache(cache_root(), config.preprocessing)
    sizes: list[tuple[int, int]] = []
    breasts: list[tuple[float, float]] = []
    spacings: list[float] = []
    lesions: list[float] = []
    reasons: list[str] = []
    read, began = 0, time.perf_counter()
    fresh = [path for path in sample["path"].astype("str") if not cache.has(path)]
    for number, found in enumerate(cache.iter_prepare(fresh), 1):
        read += not isinstance(found, Rejected)
        if progress is not None:
            progress(number, len(fresh))
    seconds = (time.perf_counter() - began) / read if read else 0.0
    for row in sample.to_dict("records"):
        try:
            image = cache.get(str(row["path"]))
        except LabError as error:
            reasons.append(str(error))
            continue
        height, width = image.original_shape
        scale = float(np.sqrt(abs(np.linalg.det(image.matrix[:2, :2])))) or 1.0
        x0, y0, x1, y1 = image.breast
        sizes.append((height, width))
        breasts.append(((y1 - y0) / scale, (x1 - x0) / scale))
        if image.image_meta.pixel_spacing:
            spacings.append(float(np.mean(image.image_meta.pixel_spacing)))
        lesions += [max(right - left, low - top) for left, top, right, low in lesion_boxes(row, (width, height))]
    if len(reasons) > len(sizes):
        raise NotEnoughData(f"{len(reasons)} of the {len(sample)} images looked at cannot be read, for example {reasons[0]}")
    files, crops = np.median(np.array(sizes), axis=0), np.median(np.array(breasts), axis=0)
    whole = breasts_of(used)
    several = [len(set(whole.views[own[own >= 0]])) > 1 for own in whole.members]
    malignant = (used["label"] == "malignant").to_numpy()
    patients = used["patient_id"].astype("str")
    return Fingerprint(
        images=len(used),
        patients=patients.nunique(),
        malignant_images=int(malignant.sum()),
        malignant_patients=patients[malignant].nunique(),
        benign_patients=patients[~malignant].nunique(),
        both_views=float(np.mean(several)),
        synthetic=is_synthetic(rows),
        sample=len(sizes),
        unreadable=len(reasons),
        height=int(files[0]),
        width=int(files[1]),
        breast_height=int(crops[0]),
        breast_width=int(crops[1]),
        spacing=float(np.median(spacings)) if spacings else None,
        lesion=float(np.median(lesions)) if lesions else None,
        seconds=seconds,
    )


def machine_of(config: Config) -> Machine:
    """What trainings with this configuration compute on. Raises BadConfig: the device is not here."""
    import psutil
    import torch

    from core.training.device import thread_count

    device = pick_device_config(config.training)
    gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device.device)[0] if gpu else psutil.virtual_memory().available
    return Machine(device.name, gpu, thread_count(config.training, shares_machine=False), int(free))


def costs_of(config: Config) -> ModelCosts:
    """What a training step costs here: as measured before, or measured now (up to a minute or two).

    Raises:
        LabError: the network cannot be built, or does not fit into the memory.
    """
    return known_costs(config) or measure_costs(config)
