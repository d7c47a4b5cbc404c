"""Published results on the same data set and split."""

from __future__ import annotations

from core.evaluate import AGAIN
from core.evaluate.baselines import known
from core.metrics import TITLES, Summary
from core.report.document import Section, Table, Text
from core.report.material import Material
from core.report.sections.evaluated import absent
from core.report.words import stated
from core.wording import counted


def baselines(material: Material) -> Section:
    """Published results on the same data set and split, if there are such."""
    title, evaluation = "Published results", material.test
    if evaluation is None:
        return Section("baselines", title, (Text("Nothing is compared before the test set has been evaluated."),))
    if evaluation.baselines == AGAIN:
        return Section("baselines", title, (absent(material, "Published results"),))
    if isinstance(evaluation.baselines, str) or not evaluation.baselines:
        why = evaluation.baselines if isinstance(evaluation.baselines, str) and evaluation.baselines else "none is known"
        return Section("baselines", title, (Text(f"{why[:1].upper()}{why[1:].rstrip('.')}."),))
    rows = []
    for row in evaluation.baselines:
        summary = evaluation.levels.get(row.level)
        own = summary.get(row.metric) if isinstance(summary, Summary) else None
        value = f"{row.value:.3f} {row.spread}".strip()
        rows.append(
            (
                row.model,
                row.level,
                TITLES.get(row.metric, row.metric),
                value,
                stated(own),
                f"{row.source}. {row.link.removeprefix('https://')}",
            )
        )
    head = ("Published model", "Level", "Metric", "Published", "This run", "Source")
    count = len(known(evaluation.baselines[0].dataset))
    are = f"{counted(count, 'result')} on this set {'is' if count == 1 else 'are'}"
    note = f"Same data set, same test split. {are} known to MammoLab."
    table = Table("Published results on the same images.", head, tuple(rows), note=note, words=frozenset({5}), small=True)
    return Section("baselines", title, (table,))
