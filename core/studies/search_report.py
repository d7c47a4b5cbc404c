"""What a study's report says of its search: how settings were looked for, and every trial."""

from __future__ import annotations

from core.report.document import Section, Table, Text
from core.studies.design import Design
from core.studies.search import IMPORTANCE, SearchResults, search_of, settings_text
from core.studies.study import Study
from core.wording import counted, listed

COMPARED = "The configuration, and the best settings of a search over {names}"


def compared(design: Design) -> str:
    """What is compared, for the abstract; "" without a search."""
    return "" if design.search is None else COMPARED.format(names=listed(list(design.search.space)))


def how_searched(design: Design) -> tuple[Text | Table, ...]:
    """The paragraph of the methods, and the table of what was searched; () without a search."""
    search = design.search
    if search is None:
        return ()
    sampler = "Optuna's tree-structured Parzen estimator (TPE)" if search.sampler == "tpe" else "Optuna at random"
    pruning = (
        " Trials whose best epoch so far was worse than the median of the others were stopped early." if search.pruning else ""
    )
    text = (
        f"{counted(search.trials, 'trial')} were trained with the first fold of the first repeat held out, with settings that "
        f"were proposed by {sampler}, seed {design.seed}.{pruning} The settings of the trial with the best metric were then "
        "trained over the other folds, as the configuration was; patients of the first fold are in no metric of either."
    )
    rows = tuple(
        (name, ", ".join(map(str, each)) if isinstance(each, list) else str(each)) for name, each in search.space.items()
    )
    return Text(text), Table("What was searched.", ("Setting", "Range or choices"), rows, words=frozenset({1}))


def trials(study: Study) -> tuple[Section, ...]:
    """The appendix with every trial; () without a search. Raises LabError: the database of the trials cannot be used."""
    found = search_of(study)
    return () if found is None else (Section("appendix-search", "Search", tuple(_blocks(found))),)


def _blocks(found: SearchResults) -> list[Text | Table]:
    blocks: list[Text | Table] = [Text(f"{found.summary}.")]
    best = found.best_trial
    if best is not None and best.value is not None:
        where = "on its validation fold, which is optimistic"
        blocks.append(
            Text(f"Best: trial {best.number}, {found.metric} {best.value:.3f} {where}: {settings_text(best.settings)}.")
        )
    if found.importance:
        rows = tuple((name, f"{share:.0%}") for name, share in found.importance.items())
        blocks.append(Table("Importance.", ("Setting", "Share"), rows, note=IMPORTANCE))
    if found.trials:
        heads = tuple(head if head == found.metric else head.capitalize() for head in found.heads)
        table = tuple(found.table_rows())
        blocks.append(Table("Every trial.", heads, table, words=frozenset({len(heads) - 1}), small=True))
    return blocks
