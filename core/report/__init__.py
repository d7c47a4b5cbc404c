"""A run as one HTML file that opens anywhere, offline, and says what a reviewer asks.

material    the run folder, read        notes        report.yaml, what only the authors can say
sections    material -> sections        checklists   TRIPOD+AI and CLAIM, item by item
figures     numbers -> drawings         heatmaps     cases -> pictures
document    what a report is made of    page         a document -> HTML
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.files.atomic import write_text
from core.report.checklists import CLAIM, TRIPOD, checklist, numbers_for, open_questions
from core.report.document import Block, Document, Numbers, Section, Text
from core.report.given import partly
from core.report.heatmaps import cases
from core.report.material import Material, read_material
from core.report.notes import FILE, Notes, keep_notes, write_questions
from core.report.page import render
from core.report.sections import (
    baselines,
    calibration,
    checks,
    closing,
    development,
    discussion,
    external,
    front,
    participants,
    performance,
    test_set_accesses,
    utility,
)
from core.report.sections.methods import methods, openness
from core.report.sections.reader import reader
from core.runs.folder import Presence, require_regular

if TYPE_CHECKING:
    from core.predict import Predictor
    from core.runs import Run

log = logging.getLogger(__name__)

__all__ = ["keep_notes", "report", "write_questions"]


def report(run: Run, *, predictor: Predictor | None = None) -> Path:
    """Write the run's report.html and return its path.

    The file holds everything it shows (figures, images); nothing is loaded from anywhere and no script runs. The same run
    gives the same bytes, whoever asks. It reads what `evaluate` and `audit` have written and opens no split itself: what is
    not there is said to be missing, with the command that makes it. What only the authors can say comes from the run's
    report.yaml.

    Args:
        predictor: the run's loaded model, where the caller has it; else it is loaded, when a picture has to be made.

    Raises:
        BadRun: the run has no model yet, its files are damaged, or it was deleted or renamed meanwhile.
        BadConfig: report.yaml is damaged.
        OSError: the file cannot be written.
    """
    require_regular(run.path)
    presence = Presence(run.path)
    path = run.path / "report.html"
    page = render(gather(run, predictor))
    presence.require()
    write_text(path, page)
    log.info("report written: %s", path)
    return path


def gather(run: Run, predictor: Predictor | None = None) -> Document:
    """The whole report of a run, before it is a page. Raises as `report` does."""
    material = read_material(run)
    parts = [
        front.introduction(material),
        methods(material),
        openness(material),
        Section(
            "results",
            "Results",
            sections=(
                participants.participants(material),
                development.development(material),
                performance.performance(material),
                *external.external_test(material),
                calibration.calibration(material),
                utility.utility(material),
                checks.subgroups(material),
                checks.shortcuts(material),
                checks.heatmap_audit(material),
                cases(material, predictor),
                test_set_accesses.accesses(material),
                reader(material),
                baselines.baselines(material),
            ),
        ),
        discussion.discussion(material),
        closing.model_card(material),
        closing.reproducibility(material),
        closing.configuration(material),
        Section("appendix-tripod", "TRIPOD+AI checklist"),
        Section("appendix-claim", "CLAIM 2024 checklist"),
        closing.references(),
    ]
    document = Document(
        kind="Model report",
        title=front.title(material),
        authors=material.notes.authors,
        about=f"Run {material.name} · model written {(material.card.created or '–').replace('T', ' ')}",
        synthetic=material.synthetic,
        abstract=front.abstract(material),
        headline=front.headline(material),
        warnings=front.warnings(material),
        sections=tuple(map(_with_items, parts)),
        items=("TRIPOD+AI 1, 2", "CLAIM 1, 2"),
    )
    return _with_checklists(document, material)


def _with_items(section: Section) -> Section:
    """The section and all below it, with the guidelines' numbers beside their headings."""
    return replace(section, items=numbers_for(section.id), sections=tuple(map(_with_items, section.sections)))


def _of(guideline: str, found: dict[str, str]) -> dict[str, str]:
    """What `partly` found of one guideline, by the number alone."""
    named = ((item.partition(" "), why) for item, why in found.items())
    return {number: why for (name, _, number), why in named if name == guideline}


def _with_checklists(document: Document, material: Material) -> Document:
    """The document with both checklists filled in: they tell where everything else stands."""
    everything, numbers = document.walk(), Numbers.of(document)
    answered = {key for key in Notes.model_fields if material.notes.answer(key)}
    waiting = open_questions(everything)
    text = (
        f"{len(waiting)} questions wait for the authors. {material.command('report {run} --questions')} writes an empty "
        f"{FILE} into the run's folder; {material.command('report {run} --notes FILE')} takes a filled one. Marked rows are "
        "open."
        if waiting
        else "Every question for the authors is answered."
    )
    about, found = (everything, numbers, answered), partly(material)
    tables: dict[str, tuple[Block, ...]] = {
        "appendix-tripod": (
            Text(text),
            checklist(TRIPOD, "TRIPOD+AI, item by item (Collins et al. 2024).", *about, _of("TRIPOD", found)),
        ),
        "appendix-claim": (checklist(CLAIM, "CLAIM 2024, item by item (Tejani et al. 2024).", *about, _of("CLAIM", found)),),
    }
    sections = tuple(replace(part, blocks=tables.get(part.id, part.blocks)) for part in document.sections)
    return replace(document, sections=sections)
