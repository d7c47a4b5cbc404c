"""The command about a run's primary endpoint."""

from __future__ import annotations

import argparse

from core.cli.output import print_json, printable
from core.cli.thresholds import rule_asked_for
from core.cli.workspace import open_run
from core.errors import BadConfig
from core.files.typed import to_plain

METRICS = ("auc", "average_precision", "sensitivity", "specificity", "precision", "accuracy", "f1", "brier")


def endpoint(arguments: argparse.Namespace) -> int:
    """Declare which metric counts, before the test set is evaluated; without --metric, show what was declared."""
    from core.data.identity import patients_known
    from core.evaluate.endpoint import declare, read_declared

    run = open_run(arguments.run)
    given = {name: getattr(arguments, name) for name in ("rule", "target", "cost_ratio", "prevalence", "reason")}
    if arguments.metric is None:
        named = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
        if named or arguments.level is not None:
            raise BadConfig(
                f"{', '.join(named or ['--level'])}: expected --metric with it. Leave it out to see what was declared"
            )
        found = read_declared(run.path)
    else:
        asked = any(value is not None for name, value in given.items() if name != "reason")
        rule = rule_asked_for(run, arguments) if asked else None
        level = arguments.level or ("patient" if patients_known(run.manifest()) else "image")
        found = declare(run, arguments.metric, level, rule, arguments.reason or "")
    if arguments.json:
        plain = None if found.endpoint is None else to_plain(found.endpoint)
        changes = [to_plain(change) for change in found.changes]
        print_json({"run": run.name, "endpoint": plain, "declared_before": found.before, "changes": changes})
    else:
        print(printable(found.words))
    return 0
