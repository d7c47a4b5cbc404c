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
            "test-set-access",
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
            f"The test set was evaluated {times(test.evaluations)} for this run, last on {test.last_evaluated[:10]}. MammoLab "
            "counts; nobody can take one back."
        ),
        *test_set.seen(material),
    ]
    if material.parent is not None:
        before = (
            f"had been evaluated {times(material.parent.evaluations)}"
            if material.parent.evaluations
            else "had not been evaluated"
        )
        blocks.append(Text(f"Before this run was forked from {material.parent.run}, the same test set {before}."))
    if test.history:
        rows = tuple(
            (
                str(test.evaluations - len(test.history) + index),
                each.when.replace("T", " "),
                each.thresholds.stated(6),
                f"`{each.weights_sha256[:12]}`",
            )
            for index, each in enumerate(test.history, start=1)
        )
        blocks.append(Table("Recorded evaluations of the test set.", ("No.", "When (UTC)", "Threshold", "Weights"), rows))
    blocks += [
        Warn(
            f"On {change.when[:10]}, after {counted(change.evaluations, 'evaluation')}, the threshold was chosen again "
            f"({change.rule}): "
            f"{' became '.join(each.stated(6) for each in change.change)}. What follows was chosen with the test set in view."
        )
        for change in test.refrozen
    ]
    blocks += test_set.blocks(material)
    return Section("test-set-access", "Test-set access, external testing", (*blocks, asked))
