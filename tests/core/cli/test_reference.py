"""docs/cli.md says what the commands' own help says."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

import core
from core.cli import reference
from core.cli.parser import build_parser

PAGE = Path(core.__file__).parents[1] / "docs" / "cli.md"


def commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Every parser without commands below it, by argparse's own table of choices."""
    below = [child for action in parser._actions if isinstance(action.choices, dict) for child in action.choices.values()]
    return [each for child in below for each in commands(child)] if below else [parser]


def test_the_page_is_what_the_parser_says_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.reference(), (
        "docs/cli.md is stale: write it again with `python -m core.cli.reference`"
    )


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narrow = reference.reference()
    monkeypatch.setenv("COLUMNS", "300")
    assert narrow == reference.reference()


def test_writing_again_gives_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "PAGE", tmp_path / "cli.md")
    assert reference.main() == 0
    assert (tmp_path / "cli.md").read_bytes() == PAGE.read_bytes().replace(b"\r\n", b"\n")


@pytest.mark.parametrize("parser", commands(build_parser()), ids=lambda parser: parser.prog.removeprefix("python -m core "))
def test_every_command_and_option_of_the_help_stands_on_the_page(parser: argparse.ArgumentParser) -> None:
    name = parser.prog.removeprefix("python -m core ")
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    told = " ".join(section.replace("\\", "").split())
    for action in parser._actions:
        if action.dest != "help":
            assert action.help, f"{name}: {action.dest} has no help"
            for option in action.option_strings or [str(action.metavar or action.dest.upper())]:
                assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", section), option
            first = action.help.split("%")[0].split("(default")[0]
            assert " ".join(first.replace("*", "").split()).rstrip() in told.replace("*", ""), f"{name}: {action.dest}"


def test_characters_of_markdown_are_shown_as_they_are() -> None:
    parser = argparse.ArgumentParser(prog="python -m core")
    one = parser.add_subparsers().add_parser("one", help="a | b")
    text = "such as '*.png', 100 %% of <them>, `as *is*` (default: %(default)s)"
    one.add_argument("--pattern", help=text, default=Path("a/b"))
    both = one.add_mutually_exclusive_group(required=True)
    both.add_argument("--left", action="store_true", help="left")
    both.add_argument("--right", action="store_true", help="right")
    ((found, text),) = reference._commands(parser)
    section = reference._section(found, text)
    assert "A \\| b." in section
    assert "`--pattern PATTERN`: such as '\\*.png', 100 % of \\<them>, `as *is*` (default: a/b)" in section
    assert "    python -m core one [--pattern PATTERN] (--left | --right)\n" in section
