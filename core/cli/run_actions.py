"""The commands `run pause`, `run resume`, `run stop` ...: actions on a run, whichever process trains it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.cli.arguments import Commands, add_command, add_group, run_argument, set_option
from core.cli.output import printable
from core.cli.workspace import default_config, open_run
from core.errors import BadConfig, BadRun


def add_commands(commands: Commands) -> None:
    group = add_group(commands, "run", "pause, resume, stop, start, fork, rename, annotate or delete a run")
    run_argument(add_command(group, "pause", pause, "pause after the current step"))
    run_argument(add_command(group, "resume", resume, "resume a paused run", former="go-on"))
    run_argument(add_command(group, "stop", stop, "stop and keep the best model, or remove a waiting run from the queue"))
    run_argument(add_command(group, "start", start, "start or resume a run in a background process"))
    parser = add_command(group, "fork", fork, "make a new run from the weights and split of this one, with changed settings")
    run_argument(parser)
    parser.add_argument("--name", help="name of the new run")
    set_option(parser)
    parser = add_command(group, "rename", rename, "rename a run")
    run_argument(parser)
    parser.add_argument("name", metavar="NAME", help="the new name")
    parser = add_command(group, "note", note, "print or set the note of a run")
    run_argument(parser)
    parser.add_argument("text", nargs="?", help='the new note; "" removes it')
    parser = add_command(group, "delete", delete, "delete a run's folder with everything in it")
    run_argument(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument(
        "--everything", action="store_true", help="also delete files in the folder that do not belong to the run"
    )


def pause(arguments: argparse.Namespace) -> int:
    """Ask the training process to pause after its step."""
    run = open_run(arguments.run)
    if not run.status().live:
        raise BadRun(f"{run.name}: it is not in training (it is {run.status().state}); there is nothing to pause.")
    run.request("pause")
    print(f"{run.name}: will pause after its step; resume it with `python -m core run resume {run.name}`")
    return 0


def resume(arguments: argparse.Namespace) -> int:
    """Resume a paused run."""
    run = open_run(arguments.run)
    run.withdraw("pause")
    status = run.status()
    if status.live:
        print(f"{run.name}: resumed")
        return 0
    if status.waiting:
        raise BadRun(f"{run.name}: it is in the queue and starts automatically; there is nothing to resume.")
    run.require_startable(resume=True)
    raise BadRun(
        f"{run.name}: it is not in training (it is {status.state}); there is nothing to resume. "
        f"{'Resume' if run.begun else 'Start'} it with `python -m core run start {run.name}`."
    )


def stop(arguments: argparse.Namespace) -> int:
    """Ask the training process to stop and keep the best model, or remove a waiting run from the queue."""
    run = open_run(arguments.run)
    status = run.status()
    if not (status.live or status.waiting):
        raise BadRun(f"{run.name}: it is not in training (it is {status.state}); there is nothing to stop.")
    run.request("stop")
    print(f"{run.name}: will {'stop after its step and keep the best model' if status.live else 'be removed from the queue'}")
    return 0


def start(arguments: argparse.Namespace) -> int:
    """Train a run in a background process, from the beginning or from its last checkpoint."""
    from core.training.launchers import start_process

    run = open_run(arguments.run)
    pid = start_process(run, resume=run.begun)
    print(f"{run.name}: process {pid}")
    return 0


def fork(arguments: argparse.Namespace) -> int:
    """Make a new run from another one's weights, with changed settings; `run start` or `train --resume` trains it."""
    from core.runs import fork as fork_run
    from core.runs.forking import starting_point

    parent = open_run(arguments.run)
    child = fork_run(parent, starting_point(parent, arguments.set), name=arguments.name)
    which = child.name if Path(arguments.run).name == arguments.run else child.path.as_posix()  # named as the parent was
    print(f"{child.path.as_posix()}: queued; train it with `python -m core train --resume {which}`")
    return 0


def rename(arguments: argparse.Namespace) -> int:
    """Give it another name."""
    run = open_run(arguments.run)
    print(run.rename(arguments.name, keep=[default_config().checkpoints]).path.as_posix())
    return 0


def note(arguments: argparse.Namespace) -> int:
    """Print its note, or set one."""
    run = open_run(arguments.run)
    if arguments.text is not None:
        run.set_note(arguments.text)
    for line in run.note().splitlines() or [""]:
        print(printable(line))
    return 0


def delete(arguments: argparse.Namespace) -> int:
    """Delete the folder with everything in it, after the name has been typed again or with --yes."""
    from core.runs.removal import foreign, is_link, require_nothing_foreign, require_removable

    run = open_run(arguments.run, damaged=True)
    keep = [default_config().checkpoints]
    require_removable(run.path, "deleted", keep)
    if not arguments.everything:
        require_nothing_foreign(run.path)
    for name in foreign(run.path):
        print(f"does not belong to the run and is deleted with it: {printable(name)}")
    link, shown = is_link(run.path), printable(str(run.path))
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise BadConfig(f"deleting {run.name} cannot be undone: use --yes where nobody can be asked")
        what = (
            f"{shown} is a link to {printable(str(run.path.resolve()))}: delete the link, and leave what it leads to?"
            if link
            else f"Delete {shown} with its model and results? This cannot be undone."
        )
        typed = input(f"{what} Type its name to confirm: ")
        if typed.strip() != run.name:
            print("nothing was deleted")
            return 1
    leads = printable(str(run.path.resolve()))
    run.delete(keep, everything=arguments.everything)
    print(f"{printable(run.name)}: {f'the link is deleted; what it led to is still in {leads}' if link else 'deleted'}")
    return 0
