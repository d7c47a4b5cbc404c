"""Files to images."""

from __future__ import annotations

from pathlib import Path

from core.api import WHERE
from core.cli.access_recording import record_files
from core.cli.workspace import default_config
from core.images import Mammogram, read
from core.runs.test_set.accesses import IMAGES


def load_image(source: Path | str | bytes, *, frame: int | None = None, window: int = 1) -> Mammogram:
    """Read one mammogram (DICOM, PNG, JPEG, PGM, TIFF) from a file or from the bytes of one.

    A test image of a run in the runs folder (`checkpoints` in config.yaml), or of the data set in config.yaml, is recorded as
    an access to that test set, and a note on standard error says so.

    Args:
        frame: which one of a file with several, from 0; by default the middle one of a DICOM stack, the first page of a TIFF.
        window: which VOI LUT or window of a DICOM file, from 1; 0 for none.

    Returns:
        `.pixels`, float32 (height, width) in [0, 1], 0 = air; `.meta`, what the file says about itself; `.warnings`.

    Raises:
        UnreadableImage: missing, no image, damaged, too large, coloured, or without a decoder here.
        NotRecorded: it is a test image, and that cannot be written down.
    """
    lab = default_config()
    manifest = lab.data.manifest if lab.data.manifest.is_file() else None
    record_files([source], IMAGES, WHERE, root=lab.checkpoints.absolute(), manifest=manifest)
    return read(source, frame=frame, window=window)
