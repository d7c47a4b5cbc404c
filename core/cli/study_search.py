"""What the commands `study ...` ask and say about a search."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from core.cli.output import note, print_table, printable
from core.errors import BadConfig
from core.wording import counted

if TYPE_CHECKING:
    from core.studies import SearchResults, Study


def search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="SETTING=LOW..HIGH",
        help="search a setting in place of comparing: a range (log:LOW..HIGH, LOW..HIGH step S) or choices [A,B]; repeatable",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="trainings that look for the best settings (default: 20)")
    parser.add_argument("--sampler", choices=("tpe", "random"), help="how settings are proposed (default: tpe)")
    parser.add_argument("--no-pruning", action="store_true", help="train every trial to its end")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="a database server for the trials, for workers on several machines (default: SQLite in the study's folder)",
    )


def search_values(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The fields of the design's search; None without one. Raises BadConfig: an option cannot be read, or needs --search."""
    from core.studies.search_space import parse_searched

    options = {"trials": arguments.trials, "sampler": arguments.sampler, "storage": arguments.storage}
    given = {name: value for name, value in options.items() if value is not None}
    if not arguments.search:
        if given or arguments.no_pruning:
            first = next(iter(given), "no-pruning")
            raise BadConfig(
                f"--{first} is about a search: say what is searched, e.g. --search training.learning_rate=1e-5..1e-2"
            )
        return None
    if arguments.one_at_a_time:
        raise BadConfig("--one-at-a-time is about --compare, and a search compares nothing by hand. Leave it out")
    space = dict(map(parse_searched, arguments.search))
    if len(space) < len(arguments.search):
        raise BadConfig("--search: a setting is named twice. Give one range, or all its choices at once")
    return {"space": space, "pruning": not arguments.no_pruning, **given}


def print_plan(study: Study) -> None:
    """What a new search will do."""
    search = study.design().search
    assert search is not None
    print(f"  {counted(search.trials, 'trial')} on the first fold, then config.yaml and the best settings on the other folds:")
    for name, allowed in search.space.items():
        print(
            f"    {printable(name)}: {printable(', '.join(map(str, allowed)) if isinstance(allowed, list) else str(allowed))}"
        )


def print_search(found: SearchResults | None) -> None:
    """The trials so far, the best one, and how much each setting matters; nothing for a study without a search."""
    from core.studies.search import IMPORTANCE, TOO_FEW, settings_text

    if found is None:
        return
    print(f"search: {printable(found.summary)}")
    if found.trials:
        print_table(found.table_rows(), found.heads)
    best = found.best_trial
    if best is not None and best.value is not None:
        settings = printable(settings_text(best.settings))
        print(f"best: trial {best.number}, {found.metric} {best.value:.3f} on its validation fold: {settings}")
    if found.importance:
        shares = ", ".join(f"{printable(name)} {share:.0%}" for name, share in found.importance.items())
        print(f"importance: {shares}")
        note(f"importance: {IMPORTANCE[0].lower()}{IMPORTANCE[1:]}")
    elif best is not None:
        note(TOO_FEW)
