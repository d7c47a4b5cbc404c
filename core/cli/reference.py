"""docs/cli.md from the parser: `python -m core.cli.reference` writes it again.

It is laid out here and not by argparse, whose help depends on the terminal's width and on Python's version.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import core
from core.cli.output import note
from core.cli.parser import build_parser
from core.files.atomic import write_text

PAGE = Path(core.__file__).parents[1] / "docs" / "cli.md"
_WIDTH = 110  # characters of a usage line
_COMMAND = "python -m core.cli.reference"
_INTRODUCTION = f"""\
# The command line

Written from the commands' own help by `{_COMMAND}`: change a command's help, not this file.

Every command is `python -m core COMMAND ...`, in the project's folder; `--help` after any of them prints what stands here, and
`python -m core --version` the version. Results go to standard output, notes and progress to standard error. The exit code is 0
only where a command did what it says: 1 is an error that its message explains, 2 a call with wrong arguments, 130 an
interrupted command (a training that was stopped, too: its run can be resumed).

"""


def reference() -> str:
    """docs/cli.md: every command with its usage and arguments, the same on every Python and terminal."""
    commands = list(_commands(build_parser()))
    lines = [f"- [`{_name(parser)}`](#{_name(parser).replace(' ', '-')}): {_text(help_)}" for parser, help_ in commands]
    return "".join([_INTRODUCTION, "\n".join(lines), "\n", *(_section(parser, help_) for parser, help_ in commands)])


def main() -> int:
    """Write docs/cli.md."""
    write_text(PAGE, reference())
    note(f"written: {PAGE.as_posix()}")
    return 0


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Every command below `parser` that does something, with its line of help, in the order of `--help`; former names are left
    out, as they are there."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {each.dest: each.help or "" for each in action._choices_actions}
            for name, child in action.choices.items():
                if name not in texts:
                    continue
                below = list(_commands(child))
                yield from below or [(child, texts[name])]


def _section(parser: argparse.ArgumentParser, help_: str) -> str:
    actions = [each for each in parser._actions if not isinstance(each, argparse._HelpAction)]
    usage = "\n    ".join(_wrapped([parser.prog, *_usage(actions, parser._mutually_exclusive_groups)]))
    arguments = "".join(f"- `{_invocation(action)}`{_details(action)}\n" for action in actions)
    return f"\n## {_name(parser)}\n\n{_sentence(help_)}\n\n    {usage}\n" + (f"\n{arguments}" if arguments else "")


def _usage(actions: list[argparse.Action], exclusive: list[argparse._MutuallyExclusiveGroup]) -> Iterator[str]:
    """The call in parts: what has no option's name first, as it is written; alternatives are joined by |."""
    for action in sorted(actions, key=lambda each: bool(each.option_strings)):  # stable: otherwise in their own order
        group = next((each for each in exclusive if action in each._group_actions), None)
        if group is None:
            yield _call(action) if action.required else f"[{_call(action)}]"
        elif action is group._group_actions[0]:
            words = " | ".join(map(_call, group._group_actions))
            yield f"({words})" if group.required else f"[{words}]"


def _call(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return value
    return f"{action.option_strings[-1]} {value}".rstrip()


def _invocation(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return value
    return ", ".join(f"{name} {value}".rstrip() for name in action.option_strings)


def _value(action: argparse.Action) -> str:
    """What stands for the argument's value: its name, its choices; "" for a switch."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        name = action.metavar
    elif action.choices is not None:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    else:
        name = action.dest.upper()
    return {"+": f"{name} [{name} ...]", "*": f"[{name} ...]"}.get(str(action.nargs), name)


def _details(action: argparse.Action) -> str:
    if not action.help:
        return ""
    known = {name: value.as_posix() if isinstance(value, Path) else value for name, value in vars(action).items()}
    return f": {_text(' '.join((action.help % known).split()))}"


def _wrapped(parts: list[str]) -> list[str]:
    """The parts in lines, the first with the command, the others indented below it."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) < _WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return lines


def _sentence(text: str) -> str:
    return f"{_text(text[0].upper() + text[1:])}."


def _text(text: str) -> str:
    """Plain text as Markdown shows it unchanged; what stands between backticks is left as it is."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<|\\])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _name(parser: argparse.ArgumentParser) -> str:
    return parser.prog.removeprefix("python -m core ")


if __name__ == "__main__":
    sys.exit(main())
