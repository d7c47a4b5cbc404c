"""YAML from a file that somebody else may have written: bounded in size, depth and number of values, and never expanded.

A few hundred bytes of aliases stand for billions of values ("billion laughs"), and ten thousand brackets keep a parser busy for
seconds. Nothing of ours has an alias or more than a few levels, so both are refused where they stand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from core.errors import BadConfig
from core.files.untrusted import SMALL, TooLarge, read_text

DEEPEST = 20  # lists and mappings inside one another: ours have 4
MOST_VALUES = 5_000  # keys and values: a config.yaml has about 200
_LONGEST = 200  # characters of a refusal: a parser may quote a whole line

# What ruamel raises for scalars and tags that it cannot make a value of (2001-99-99, a number of 5,000 digits, !!binary x).
_REFUSED = (
    YAMLError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    Warning,
)


class _Bounded(Composer):
    """Composes nodes as ruamel does, but refuses aliases, deep nesting and too many values while it goes."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._level = self._values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            raise ComposerError(None, None, "aliases (*name) are not taken here: write the value itself", event.start_mark)
        self._values += 1
        if self._values > MOST_VALUES:
            raise ComposerError(None, None, f"expected at most {MOST_VALUES:,} keys and values, got more", event.start_mark)
        if self._level >= DEEPEST:
            raise ComposerError(
                None, None, f"expected at most {DEEPEST} levels of lists and mappings, got more", event.start_mark
            )
        self._level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._level -= 1


def plain_yaml() -> YAML:
    """A loader of plain values (dict, list, str, ...); tags that would make objects are refused."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Bounded
    return yaml


def commented_yaml() -> YAML:
    """A loader and dumper that keeps comments and line numbers (YAML 1.2)."""
    yaml = YAML()
    yaml.width = 120
    yaml.Composer = _Bounded
    return yaml


def read_yaml(path: Path, yaml: YAML, limit: int = SMALL) -> Any:
    """The document in a regular file of at most `limit` bytes; None when it is empty.

    Raises:
        FileNotFoundError: there is none.
        BadConfig: it cannot be read, or is not YAML within the bounds; with the line.
    """
    return parse_yaml(read_content(path, limit), str(path), yaml)


def read_content(path: Path, limit: int = SMALL) -> str:
    """The text of a regular file of at most `limit` bytes; raises as `read_yaml`."""
    try:
        return read_text(path, limit)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, TooLarge) as error:
        raise BadConfig(f"{path}: cannot be read as text: {getattr(error, 'strerror', None) or error}") from error


def parse_yaml(content: str, source: str, yaml: YAML) -> Any:
    """The document in `content`; `source` is said in front of what is wrong with it.

    Raises:
        BadConfig: it is not YAML within the bounds; with the line.
    """
    try:
        return yaml.load(content)
    except _REFUSED as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        where = f" line {mark.line + 1}" if mark else ""
        raise BadConfig(f"{source}{where}: not valid YAML: {_problem(error)}") from error


def _problem(error: BaseException) -> str:
    """The parser's words, in one line."""
    said = (error.problem if isinstance(error, MarkedYAMLError) else None) or str(error) or type(error).__name__
    line = " ".join(str(said).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
