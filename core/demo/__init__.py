"""The demo data set: synthetic mammograms that make the whole lab usable without any download.

What is what: `plan` decides who has which finding, split, scanner and file format; `anatomy` grows a breast; `lesions`
draws a finding into it; `render` exposes it; `files` writes it.
"""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.manifest import write_manifest
from core.demo import anatomy, files, lesions, render
from core.demo.files import NOTICE, Shot
from core.demo.plan import SIDES, VIEWS, Patient, plan_patients
from core.errors import BadConfig, BadManifest
from core.files.atomic import write_text
from core.files.untrusted import LARGE, read_bytes, read_json

__all__ = ["NOTICE", "make_demo"]

log = logging.getLogger(__name__)

# Raise it when a change alters pixels, so that an older demo set is written again.
VERSION = 1
ROWS = 1000  # pixel rows of an image
_WRITTEN = ("manifest.csv", "images", "demo.json", "README.txt")
_README = """SYNTHETIC MAMMOGRAMS - not patients

Every image in this folder was computed by MammoLab's demo generator (python -m core demo).
No patient, no real breast, no real finding. Use them to try and test the software, for nothing else:
a result on them says nothing about real mammograms.

manifest.csv  one row per image: label, split, finding, lesion boxes in pixels of the stored image
images/       DICOM (MONOCHROME1 and 2, part JPEG-LS) and PNG (8 and 16 bit, a few stored as negatives)
demo.json     the seed and size this set was made with

label is malignant where the image shows a malignant finding, else benign (a benign finding, or none).
"""


def make_demo(
    out: Path | str,
    *,
    patients: int = 80,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    rows: int = ROWS,
) -> Path:
    """Write the synthetic data set into the folder `out` and return the path of its manifest.csv.

    Four images a patient (left and right, CC and MLO), about 1000x800 pixels of 12 bits. The same `patients` and `seed`
    give the same files whatever the number of `workers`. A finished set of that size and seed is left as it is. The
    manifest is written last, so a folder without one holds an interrupted set, which is written again.

    `progress` is called with (images done, images in all) from the calling thread.

    Raises:
        BadConfig: `patients` is not positive or `seed` is negative.
        BadManifest: `out` holds something that is not a demo set, or cannot be written to.
    """
    if patients < 1 or seed < 0:
        raise BadConfig(f"demo: expected patients of at least 1 and a seed of at least 0, got patients={patients}, seed={seed}")
    out = Path(out)
    identity = {"synthetic": True, "version": VERSION, "patients": patients, "seed": seed, "rows": rows}
    manifest = out / "manifest.csv"
    try:
        if _is_finished(out, identity):
            return manifest
        _prepare_folder(out, identity)
        people = plan_patients(patients, seed)
        records = _write_images(people, out / "images", seed, rows, workers, progress)
        _remove_leftovers(out / "images", {Path(row["path"]).name for row in records})
    except OSError as error:
        raise BadManifest(f"{out}: the demo set cannot be written: {error}. Choose another folder.") from error
    write_manifest(pd.DataFrame(records), manifest)
    log.info("demo set: %d synthetic images of %d patients in %s", len(records), patients, out)
    return manifest


def _is_finished(out: Path, identity: dict[str, Any]) -> bool:
    """Whether a set of this identity stands there with its manifest and every image the manifest names."""
    manifest = out / "manifest.csv"
    if not manifest.is_file() or _identity(out) != identity:
        return False
    try:
        names = pd.read_csv(io.BytesIO(read_bytes(manifest, LARGE)), usecols=["path"], dtype=str, encoding="utf-8")["path"]
    except ValueError:  # damaged: the set is written again
        return False
    return len(names) == 4 * identity["patients"] and all((out / name).is_file() for name in names)


def _identity(out: Path) -> Any:
    try:
        return read_json(out / "demo.json")
    except (OSError, ValueError):
        return None


def _prepare_folder(out: Path, identity: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    known = _identity(out)
    ours = isinstance(known, dict) and known.get("synthetic") is True
    foreign = [path.name for path in sorted(out.iterdir()) if path.name in _WRITTEN]
    if foreign and not ours:
        raise BadManifest(
            f"{out}: expected an empty folder or an earlier demo set, found {', '.join(foreign)} that the demo did not write. "
            "Choose another folder."
        )
    if (out / "images").is_symlink():
        raise BadManifest(
            f"{out / 'images'}: expected a folder, got a symbolic link: images would be written and deleted where "
            "it leads. Choose another folder."
        )
    (out / "manifest.csv").unlink(missing_ok=True)
    write_text(out / "demo.json", json.dumps(identity) + "\n")
    write_text(out / "README.txt", _README)
    (out / "images").mkdir(exist_ok=True)


def _remove_leftovers(images: Path, wanted: set[str]) -> None:
    """Delete images of an earlier demo set of another seed or size; nothing else."""
    for path in images.glob("DEMO-*"):
        if path.name not in wanted and path.suffix in (".dcm", ".png"):
            path.unlink(missing_ok=True)


def _write_images(
    people: list[Patient],
    images: Path,
    seed: int,
    rows: int,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    total, done = 4 * len(people), 0
    records: dict[int, list[dict[str, Any]]] = {}
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1), thread_name_prefix="demo") as pool:
        futures = {pool.submit(_patient, person, images, seed, rows): person.number for person in people}
        try:
            for future in as_completed(futures):
                records[futures[future]] = future.result()
                done += 4
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [record for number in sorted(records) for record in records[number]]


def _patient(person: Patient, images: Path, seed: int, rows: int) -> list[dict[str, Any]]:
    build = anatomy.draw_build(person.density, _rng(seed, person.number, 0))
    records = []
    for i, side in enumerate(SIDES):
        for j, view in enumerate(VIEWS):
            rng = _rng(seed, person.number, 1 + 2 * i + j)
            records.append(_image(person, build, side, view, rng, images, seed, rows))
    return records


def _rng(seed: int, number: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, 2, number, stream]))


def _image(
    person: Patient, build: anatomy.Build, side: Any, view: str, rng: np.random.Generator, images: Path, seed: int, rows: int
) -> dict[str, Any]:
    scanner = render.SCANNERS[person.scanner]
    canvas = render.canvas(scanner, rows, reach=build.depth * 1.1 + 16.0)
    tissue = anatomy.grow(canvas, build, view, rng)
    found = person.findings[side]
    lesions.add_bystanders(tissue, rng)
    boxes = [lesions.add(tissue, lesion, rng) for lesion in found]
    grey = render.expose(tissue, scanner, rng)
    if rng.random() < 0.12:
        render.mark_nipple(grey, tissue)
    if side == "R":
        grey = np.ascontiguousarray(grey[:, ::-1])
        width = grey.shape[1]
        boxes = [(round(width - x1, 1), y0, round(width - x0, 1), y1) for x0, y0, x1, y1 in boxes]
    if rng.random() < 0.6:
        render.burn_label(grey, side + view, rng, on_left=side == "R")
    shot = Shot(person.identifier, side, view, person.scanner, person.age, build.thickness, canvas.spacing, seed)
    path = files.write(images, shot, render.quantise(grey), person.storage)
    return {
        "path": str(path.absolute()),
        "label": person.label(side),
        "patient_id": person.identifier,
        "laterality": side,
        "view": view,
        "split": person.split,
        "age": person.age,
        "density": build.density,
        "scanner": f"MammoLab Synthetic {person.scanner}",
        "finding": " + ".join(lesion.kind for lesion in found) or "none",
        "lesions": json.dumps([list(box) for box in boxes]) if boxes else "",
        "synthetic": 1,
    }
