"""Test-set access and external testing: how often the test set was evaluated, when, and what changed in between."""

from __future__ import annotations

from core.report.document import Block, Section, Table, Text, Warn
from core.report.material import Material
from core.report.sections import test_set
from core.wording import counted, times


def accesses(material: Material) -> Section:
    """How often the test set was looked at, when, and what changed in between; external tests."""
    test = material.test
    asked = material.ask("external")
    if test is None:
        return Section(
            "openings",
            "Test-set access, external testing",
            (
                Text("The test set has never been evaluated for this run."),
                *test_set.seen(material),
                *test_set.blocks(material),
                asked,
            ),
        )
    blocks: list[Block] = [
        Text(
            f"The test set was evaluated {times(test.opened)} for this run, last on {test.last_opened[:10]}. MammoLab counts; "
            "nobody can take one back."
        ),
        *test_set.seen(material),
    ]
    if material.parent is not None:
        before = f"had been evaluated {times(material.parent.opened)}" if material.parent.opened else "had not been evaluated"
        blocks.append(Text(f"Before this run was forked from {material.parent.run}, the same test set {before}."))
    if test.history:
        rows = tuple(
            (
                str(test.opened - len(test.history) + index),
                opening.when.replace("T", " "),
                opening.thresholds.told(6),
                f"`{opening.weights_sha256[:12]}`",
            )
            for index, opening in enumerate(test.history, start=1)
        )
        blocks.append(Table("Recorded evaluations of the test set.", ("No.", "When (UTC)", "Threshold", "Weights"), rows))
    blocks += [
        Warn(
            f"On {change.when[:10]}, after {counted(change.opened, 'evaluation')}, the threshold was chosen again "
            f"({change.rule}): "
            f"{' became '.join(each.told(6) for each in change.change)}. What follows was chosen with the test set in view."
        )
        for change in test.refrozen
    ]
    blocks += test_set.blocks(material)
    return Section("openings", "Test-set access, external testing", (*blocks, asked))
