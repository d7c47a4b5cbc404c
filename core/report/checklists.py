"""TRIPOD+AI and CLAIM item by item: where the report answers it, and who has to.

Sources: Collins et al., BMJ 2024;385:e078378 (27 items, 52 with their parts). Tejani et al., Radiol Artif Intell 2024;6:e240300
(44 items). Topics are in our words; the guidelines' own texts count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from core.report.document import Author, Missing, Numbers, Section, Table

By = Literal["MammoLab", "authors", "both"]


@dataclass(frozen=True)
class Item:
    """One item: its number, topic, the section (by id) that answers it, who fills it, and the keys of report.yaml for it."""

    number: str
    topic: str
    section: str
    by: By
    keys: tuple[str, ...] = ()


TRIPOD: tuple[Item, ...] = (
    Item("1", "Title: development or evaluation, population, outcome", "abstract", "authors", ("title",)),
    Item("2", "Abstract", "abstract", "MammoLab"),
    Item("3a", "Healthcare context, rationale, existing models", "background", "authors", ("background",)),
    Item("3b", "Target population, purpose, intended users", "background", "authors", ("intended_use",)),
    Item("3c", "Known health inequalities", "background", "authors", ("inequalities",)),
    Item("4", "Objectives", "objectives", "authors", ("objectives",)),
    Item("5a", "Sources of data and whom they represent", "source", "both", ("source",)),
    Item("5b", "Dates of the data", "source", "authors", ("dates",)),
    Item("6a", "Setting, number and location of centres", "source", "authors", ("setting",)),
    Item("6b", "Eligibility", "source", "authors", ("eligibility",)),
    Item("6c", "Treatments", "source", "authors", ("treatments",)),
    Item("7", "Data preparation and quality checks", "preparation", "MammoLab"),
    Item("8a", "Outcome: definition, horizon, rationale", "outcome", "authors", ("outcome",)),
    Item("8b", "Outcome assessors", "outcome", "authors", ("assessors",)),
    Item("8c", "Blinding of the outcome's assessment", "outcome", "authors", ("blinding",)),
    Item("9a", "Choice of predictors", "preparation", "MammoLab"),
    Item("9b", "Definition of predictors and how they were measured", "preparation", "both", ("acquisition",)),
    Item("9c", "Assessors of predictors", "preparation", "MammoLab"),
    Item("10", "Sample size", "sample-size", "both", ("sample_size",)),
    Item("11", "Missing data", "missing", "MammoLab"),
    Item("12a", "Use and partition of the data", "partition", "MammoLab"),
    Item("12b", "Handling of predictors", "preparation", "MammoLab"),
    Item("12c", "Type of model, building steps, tuning, internal validation", "training", "MammoLab"),
    Item("12d", "Heterogeneity across clusters", "evaluation-methods", "MammoLab"),
    Item("12e", "Measures and plots of performance", "evaluation-methods", "MammoLab"),
    Item("12f", "Model updating (recalibration)", "evaluation-methods", "MammoLab"),
    Item("12g", "How predictions were calculated", "output", "MammoLab"),
    Item("13", "Class imbalance", "training", "MammoLab"),
    Item("14", "Fairness", "evaluation-methods", "both", ("fairness",)),
    Item("15", "Model output and thresholds", "output", "MammoLab"),
    Item("16", "Differences between development and evaluation data", "partition", "both", ("differences",)),
    Item("17", "Ethical approval", "ethics", "authors", ("ethics",)),
    Item("18a", "Funding", "openness", "authors", ("funding",)),
    Item("18b", "Conflicts of interest", "openness", "authors", ("conflicts",)),
    Item("18c", "Protocol", "openness", "authors", ("protocol",)),
    Item("18d", "Registration", "openness", "authors", ("registration",)),
    Item("18e", "Data sharing", "openness", "authors", ("data_sharing",)),
    Item("18f", "Code sharing", "openness", "authors", ("code_sharing",)),
    Item("19", "Patient and public involvement", "openness", "authors", ("involvement",)),
    Item("20a", "Flow of participants", "participants", "MammoLab"),
    Item("20b", "Characteristics of participants", "participants", "MammoLab"),
    Item("20c", "Comparison of development and evaluation data", "participants", "MammoLab"),
    Item("21", "Participants and events in each analysis", "participants", "MammoLab"),
    Item("22", "Full specification of the model", "reproducibility", "MammoLab"),
    Item("23a", "Performance with intervals, also of subgroups", "performance", "MammoLab"),
    Item("23b", "Heterogeneity of performance across clusters", "subgroups", "MammoLab"),
    Item("24", "Results of model updating", "calibration", "MammoLab"),
    Item("25", "Interpretation", "interpretation", "authors", ("interpretation",)),
    Item("26", "Limitations", "limits", "both", ("limitations",)),
    Item("27a", "Poor-quality or unavailable input", "usability", "MammoLab"),
    Item("27b", "Interaction and expertise of users", "usability", "both", ("usability",)),
    Item("27c", "Next steps", "usability", "authors", ("usability",)),
)

CLAIM: tuple[Item, ...] = (
    Item("1", "Title: a study of AI, and of which technology", "abstract", "authors", ("title",)),
    Item("2", "Abstract", "abstract", "MammoLab"),
    Item("3", "Background, intended use and role", "background", "authors", ("background", "intended_use")),
    Item("4", "Aims, objectives, hypotheses", "objectives", "authors", ("objectives",)),
    Item("5", "Prospective or retrospective", "objectives", "authors", ("design",)),
    Item("6", "Goal of the study", "objectives", "authors", ("design",)),
    Item("7", "Data sources", "source", "both", ("source",)),
    Item("8", "Inclusion and exclusion", "source", "both", ("eligibility",)),
    Item("9", "Preprocessing", "preparation", "MammoLab"),
    Item("10", "Selection of data subsets", "preparation", "MammoLab"),
    Item("11", "De-identification", "source", "both", ("deidentification",)),
    Item("12", "Missing data", "missing", "MammoLab"),
    Item("13", "Image acquisition", "preparation", "authors", ("acquisition",)),
    Item("14", "Reference standard: how it was obtained", "outcome", "authors", ("outcome",)),
    Item("15", "Reference standard: why this one", "outcome", "authors", ("outcome",)),
    Item("16", "Source of the annotations", "outcome", "authors", ("assessors",)),
    Item("17", "Annotation of the test set", "outcome", "authors", ("assessors",)),
    Item("18", "Variability between and within raters", "outcome", "authors", ("assessors",)),
    Item("19", "Assignment to partitions", "partition", "MammoLab"),
    Item("20", "Level at which partitions are disjoint", "partition", "MammoLab"),
    Item("21", "Intended sample size", "sample-size", "both", ("sample_size",)),
    Item("22", "Description of the model", "model", "MammoLab"),
    Item("23", "Software", "reproducibility", "MammoLab"),
    Item("24", "Initialisation", "model", "MammoLab"),
    Item("25", "Training", "training", "MammoLab"),
    Item("26", "Selection of the final model", "training", "MammoLab"),
    Item("27", "Ensembling", "training", "MammoLab"),
    Item("28", "Metrics", "evaluation-methods", "MammoLab"),
    Item("29", "Significance and uncertainty", "evaluation-methods", "MammoLab"),
    Item("30", "Robustness or sensitivity analysis", "shortcuts", "MammoLab"),
    Item("31", "Explainability and its validation", "heatmap-audit", "MammoLab"),
    Item("32", "Evaluation on internal data", "performance", "MammoLab"),
    Item("33", "Testing on external data", "test-set-access", "authors", ("external",)),
    Item("34", "Clinical trial registration", "openness", "authors", ("registration",)),
    Item("35", "Numbers included and excluded", "participants", "MammoLab"),
    Item("36", "Characteristics of each partition", "participants", "MammoLab"),
    Item("37", "Performance with uncertainty", "performance", "MammoLab"),
    Item("38", "Diagnostic accuracy and its precision", "performance", "MammoLab"),
    Item("39", "Failure analysis", "cases", "MammoLab"),
    Item("40", "Limitations", "limits", "both", ("limitations",)),
    Item("41", "Implications for practice", "background", "authors", ("intended_use",)),
    Item("42", "Protocol or further technical details", "openness", "both", ("protocol",)),
    Item("43", "Availability of software, model and data", "openness", "authors", ("code_sharing", "data_sharing")),
    Item("44", "Funding", "openness", "authors", ("funding",)),
)


def numbers_for(section: str) -> tuple[str, ...]:
    """What stands beside a heading: "TRIPOD+AI 7, 9a", "CLAIM 9"; () where no item points to the section."""
    found = []
    for name, items in (("TRIPOD+AI", TRIPOD), ("CLAIM", CLAIM)):
        here = [item.number for item in items if item.section == section]
        found += [f"{name} {', '.join(here)}"] if here else []
    return tuple(found)


def checklist(
    items: Iterable[Item],
    caption: str,
    sections: Iterable[Section],
    numbers: Numbers,
    answered: set[str],
    partly: Mapping[str, str],
) -> Table:
    """A row an item: where it stands, who fills it, and whether that is done.

    Args:
        answered: keys of report.yaml that have an answer.
        partly: by the item's number, what its text does not give (core.report.given).
    """
    waiting = {section.id for section in sections if any(isinstance(block, Missing) for block in section.blocks)}
    rows, marked = [], set()
    for index, item in enumerate(items):
        open_keys = [key for key in item.keys if key not in answered]
        state = []
        if item.by != "authors":
            if item.section in waiting:
                state.append("needs a command, see there")
            elif item.number in partly:
                state.append(f"in part: {partly[item.number]}")
            else:
                state.append("given")
        if item.keys:
            state.append(f"authors: open (`{'`, `'.join(open_keys)}`)" if open_keys else "authors: given")
        if open_keys or (item.by != "authors" and (item.section in waiting or item.number in partly)):
            marked.add(index)
        where = "Abstract" if item.section == "abstract" else numbers.headings[item.section]
        by = {"both": "MammoLab and authors", "authors": "authors", "MammoLab": "MammoLab"}[item.by]
        rows.append((item.number, item.topic, where, by, "; ".join(state)))
    head = ("Item", "Topic", "Section", "Filled by", "State")
    return Table(caption, head, tuple(rows), marked=frozenset(marked), words=frozenset({1, 4}), small=True)


def open_questions(sections: Iterable[Section]) -> list[str]:
    """Keys of report.yaml that the report asks for and that have no answer, in the order of the report."""
    asked = [block for section in sections for block in section.blocks if isinstance(block, Author)]
    return list(dict.fromkeys(block.key for block in asked if not block.answer))
