"""`mini-mias`: the mini-MIAS films (PGM) with Info.txt."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.data.importers.base import Importer, ImportReport, Options, Progress, check_files, rows_to_frame, ticking
from core.data.importers.differing import Differing
from core.data.importers.folder_walk import walk
from core.errors import BadManifest
from core.files.untrusted import read_bytes
from core.wording import counted

_SIDE = 1024  # every film is 1024 × 1024 px
_LINE = re.compile(r"^(mdb[0-9]{3})[a-z]*\s+([FGD])\s+([A-Z]{4})\b\s*([BM]?)\b\s*(.*)$")
_TISSUE = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}


@dataclass
class _Film:
    tissue: str  # of the first line
    abnormalities: list[str] = field(default_factory=list)
    severities: set[str] = field(default_factory=set)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)
    circles: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)  # by severity
    unplaced: int = 0  # abnormalities without a position


def import_mini_mias(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """One row a film. A film with several abnormalities is malignant if any of them is, and has all their boxes."""
    normals = options.choice("normals", ("skip", "benign"))
    odd = options.choice("odd", ("left", "right"))[0].upper()
    info = source if source.is_file() else _info_file(source)
    differing = Differing()
    films = _parse(info, differing)
    walked = walk(info.parent, ticking(progress))
    images = {path.stem.lower(): path for path in walked.files if path.suffix.lower() in (".pgm", ".png", ".jpg")}
    abnormal = {name: film for name, film in films.items() if film.severities}
    chosen = films if normals == "benign" else abnormal
    present = [(name, film) for name, film in chosen.items() if name in images]
    rejected = walked.rejected()
    rejected += [(name, f"{name}.pgm: listed in {info.name}, no such file here") for name in chosen if name not in images]
    rejected += [
        (str(path), f"not listed in {info.name}") for name, path in images.items() if name not in films and name[:3] == "mdb"
    ]
    checked, how = check_files([images[name] for name, _ in present], "all", progress, options.require)
    rows = []
    for (name, film), found in zip(present, checked, strict=True):
        if found.reason:
            rejected.append((str(images[name]), found.reason))
        else:
            rows.append(_row(name, film, images[name], odd))
    return ImportReport(
        rows_to_frame(rows), [how, *walked.notes(), *_notes(films, images, normals, odd)], rejected, differing.notes()
    )


def _info_file(source: Path) -> Path:
    try:
        found = sorted(source.iterdir())
    except OSError as error:
        raise BadManifest(f"{source}: expected mini-MIAS's Info.txt or its folder: {error.strerror or error}") from error
    for path in found:
        if path.name.lower() in ("info.txt", "info"):
            return path
    raise BadManifest(
        f"{source}: expected Info.txt beside the films mdb001.pgm, mdb002.pgm ..., it is missing. Name that folder."
    )


def _parse(info: Path, differing: Differing) -> dict[str, _Film]:
    films: dict[str, _Film] = {}
    tissues: dict[str, list[str]] = {}
    try:
        content = read_bytes(Path(os.path.realpath(info)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadManifest(f"{info}: cannot be read: {reason}. Expected mini-MIAS's Info.txt.") from error
    for line in content.decode("utf-8", "replace").splitlines():
        match = _LINE.match(line.strip())
        if match is None:
            continue  # the explanations above the list
        name, tissue, abnormality, severity, rest = match.groups()
        film = films.setdefault(name, _Film(_TISSUE[tissue]))
        tissues.setdefault(name, []).append(_TISSUE[tissue])
        if abnormality == "NORM":
            continue
        film.abnormalities.append(abnormality)
        film.severities.add(severity)
        numbers = re.findall(r"[0-9]+", rest) if "NOTE" not in rest else []
        if len(numbers) == 3 and all(len(digits) <= len(str(_SIDE)) for digits in numbers):
            x, y_from_bottom, radius = map(int, numbers)
            film.boxes.append(_box(x, y_from_bottom, radius))
            film.circles.setdefault(severity, []).append((x + 0.5, _SIDE - y_from_bottom - 0.5, radius + 0.5))
        else:
            film.unplaced += 1
    for name, said in tissues.items():
        differing.first("density", name, said)
    if not films:
        raise BadManifest(
            f"{info}: expected lines such as 'mdb001 G CIRC B 535 425 197', got none. Is it mini-MIAS's Info.txt?"
        )
    return films


def _box(x: int, y_from_bottom: int, radius: int) -> tuple[int, int, int, int]:
    """The circle's bounding box in pixels, origin top left, cut at the film's edges."""
    y = _SIDE - 1 - y_from_bottom
    return max(0, x - radius), max(0, y - radius), min(_SIDE, x + radius + 1), min(_SIDE, y + radius + 1)


def _row(name: str, film: _Film, path: Path, odd: str) -> dict[str, Any]:
    number = int(name[3:])
    pair = (number + 1) // 2
    return {
        "path": str(path),
        "label": "malignant" if "M" in film.severities else "benign",
        "patient_id": f"mias{pair:03d}",
        "laterality": odd if number % 2 else "LR".replace(odd, ""),
        "view": "MLO",
        "split": "",
        "dataset": "mini-mias",
        "collection": "mini-mias",
        "label_source": "pathology",
        "density": film.tissue,
        "abnormality": " ".join(dict.fromkeys(film.abnormalities)) or "NORM",
        "lesions": json.dumps(film.boxes) if film.boxes else "",
        # Of what gave the film its label only: where a heatmap should be strong.
        "lesion_circles": json.dumps(film.circles.get("M" if "M" in film.severities else "B", [])) if film.boxes else "",
    }


def _notes(films: dict[str, _Film], images: dict[str, Path], normals: str, odd: str) -> list[str]:
    here = {name: film for name, film in films.items() if name in images}
    normal = sum(not film.severities for film in here.values())
    unplaced = sum(film.unplaced > 0 for film in here.values())
    absent = sum(name not in images for name, film in films.items() if film.severities or normals == "benign")
    side = (
        "odd films are left, even ones right: so say the markers on the films (all are stored mirrored); the set's README "
        "says the opposite, odd=right follows it"
        if odd == "L"
        else "odd films are taken as right, even ones as left, as the set's README says; markers on the films say the opposite"
    )
    notes = ["mdb(2n-1) and mdb(2n) are one patient; every film is MLO; density is MIAS's word for the tissue", side]
    if absent:
        notes.append(
            f"{counted(absent, 'film')} of the list {'is' if absent == 1 else 'are'} not here (a part of the set was "
            "downloaded)"
        )
    if normal and normals == "skip":
        notes.append(
            f"{counted(normal, 'normal film is', 'normal films are')} left out, because the labels are "
            "benign and malignant findings; "
            "normals=benign takes them in as benign"
        )
    elif normal:
        taken = counted(normal, "normal film is", "normal films are")
        notes.append(f"{taken} taken in as benign: the model will learn cancer against everything else")
    if unplaced:
        notes.append(f"{counted(unplaced, 'film has', 'films have')} an abnormality without a position: no lesion box for it")
    return notes


IMPORTER = Importer(
    "mini-mias",
    "mini-MIAS: mdb001.pgm ... with Info.txt",
    {
        "normals": "skip (default): normal films are left out; benign: they are taken in as benign",
        "odd": "breast of the films with odd numbers: left (default, as the markers on them say) or right (as the README says)",
    },
    import_mini_mias,
    lambda tree: (
        "films such as mdb001.pgm with Info.txt" if tree.named(r"mdb[0-9]{3}\.pgm") and tree.named(r"info(\.txt)?") else ""
    ),
)
