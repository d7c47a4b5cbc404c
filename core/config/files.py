"""Configuration files: read with the line of every mistake, written with every field's description."""

from __future__ import annotations

import copy
import functools
import io
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from core.config.deprecated import former_name, present_name, with_present_names
from core.config.schema import Config
from core.config.section import section_of
from core.config.yaml_text import commented_yaml, parse_yaml, plain_yaml, read_content
from core.errors import BadConfig
from core.files.atomic import write_text

COMMENT_WIDTH = 110
_LONGEST = 300  # characters of what came, in a message
_MOST_LINES = 50  # mistakes in a message


def load_config(
    path: Path | str | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    warn: bool = True,
    called: str = "overrides",
) -> Config:
    """Read a configuration file and apply overrides to it.

    `path` None starts from the built-in defaults. Overrides are `section.field=value`, whose values are YAML (`[512, 256]`,
    `true`, `1e-4`), or {"section.field": value} with values of Python; {"section": {"field": value}} says the same.
    Names of version 0.1 are read, and logged with `warn`. Messages name what is wrong in a mapping of overrides after `called`.

    Raises:
        BadConfig: the file is missing or not YAML; a field is unknown or its value impossible. The message
            names every such field, its line, what came and what is allowed.
    """
    document: CommentedMap = CommentedMap()
    source = "config"
    if path is not None:
        source = str(path)
        document = _document(Path(path))
    option, given = (called, _fields(overrides)) if isinstance(overrides, Mapping) else ("--set", map(_parsed, overrides))
    values = with_present_names(_plain(document), source, warn=warn)
    set_here = {}
    for name, value in given:
        present = present_name(name, option, warn=warn)
        section = isinstance(value, Mapping) and "." not in present
        _put(values, present, with_present_names({present: value}, option, warn=warn)[present] if section else value)
        set_here[present] = option
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_explain(detail, document, source, set_here) for detail in error.errors()]
        raise BadConfig(_lines(lines)) from error


def dump_config(config: Config, *, skip: Collection[str] = ()) -> str:
    """The configuration as YAML, each field under its description; `load_config` reads it back equal.

    `skip` are sections to leave out: who may reach the dashboard is no part of a run.
    """
    return _dumped(config.model_dump_json(), tuple(skip))


@functools.lru_cache(maxsize=16)  # each start of a training, and each of a study's runs, writes much the same
def _dumped(fields: str, skip: tuple[str, ...]) -> str:
    document = _commented(Config.model_validate_json(fields), indent=0)
    for section in skip:
        del document[section]
    stream = io.StringIO()
    commented_yaml().dump(document, stream)
    return stream.getvalue()


def save_section(path: Path, section: str, values: Mapping[str, Any]) -> None:
    """Write `values` into one section of a configuration file, keeping everything else and all comments.

    Raises:
        BadConfig: the file with these values would not be a valid configuration (it is left as it was).
    """
    document = copy.deepcopy(_document(path)) if path.exists() else _commented(Config(), indent=0)
    existing = document.setdefault(section, CommentedMap())
    for key, value in values.items():
        existing[key] = _to_yaml(value)
    try:
        Config.model_validate(with_present_names(_plain(document), str(path), warn=False))
    except ValidationError as error:
        raise BadConfig(_lines([_explain(detail, document, str(path)) for detail in error.errors()])) from error
    stream = io.StringIO()
    commented_yaml().dump(document, stream)
    write_text(path, stream.getvalue())


@functools.cache  # the JSON schema of a whole model takes a form's sixty fields longer than everything else
def describe_allowed(model: type[BaseModel], name: str) -> str:
    """In words, what a field accepts: 'a whole number, at least 1, at most 1000'."""
    field = model.model_fields.get(name)
    if field is None:
        return "one of " + ", ".join(model.model_fields)
    schema = model.model_json_schema()
    return _allowed(schema["properties"][name], schema.get("$defs", {}))


def _content(path: Path) -> str:
    try:
        return read_content(path)
    except FileNotFoundError as error:
        raise BadConfig(f"{path}: no such file. Give the path of a config.yaml (the repository has one).") from error


def _document(path: Path) -> CommentedMap:
    """What is in a file; not to be changed."""
    content = _content(path)
    try:
        return _parse(content)
    except BadConfig as error:
        raise BadConfig(f"{path}{error}") from error


@functools.lru_cache(maxsize=64)  # a run's configuration is asked for again and again
def _parse(content: str) -> CommentedMap:
    document = parse_yaml(content, "", commented_yaml())
    if document is None:
        return CommentedMap()
    if not isinstance(document, CommentedMap):
        raise BadConfig(f": expected sections ({', '.join(Config.model_fields)}), got {type(document).__name__}")
    return document


def _parsed(override: str) -> tuple[str, Any]:
    """Name and value of `section.field=value`."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise BadConfig(f"--set {override}: expected section.field=value, for example training.epochs=5")
    try:
        return key.strip(), parse_yaml(text, "", plain_yaml())
    except BadConfig as error:
        raise BadConfig(f"--set {_cut(override)}: the value is not valid YAML") from error


def _fields(overrides: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of each field; a section that is given as a mapping is taken apart, so that its other fields stay."""
    for name, value in overrides.items():
        path = f"{section}{name}"
        if isinstance(value, Mapping) and _is_section(path):
            yield from _fields(value, f"{path}.")
        else:
            yield path, value


def _is_section(path: str) -> bool:
    model: type[BaseModel] | None = Config
    for part in path.split("."):
        model = section_of(model.model_fields.get(part)) if model is not None else None
    return model is not None


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node = values
    for parent in parents:
        if not isinstance(node.get(parent), dict):
            node[parent] = {}
        node = node[parent]
    node[last] = value


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_plain(value) for value in node]
    return node


def _explain(detail: Any, document: CommentedMap, source: str, set_here: Mapping[str, str] = MappingProxyType({})) -> str:
    """One mistake in words; `set_here` says by which option a field was set that is not from the file."""
    location = [part for part in detail["loc"] if isinstance(part, str)]
    model: type[BaseModel] = Config
    known: list[str] = []
    for part in location:
        section = section_of(model.model_fields.get(part))
        known.append(part)
        if section is None:
            break
        model = section
    name = ".".join(known)
    former = former_name(name).split(".")
    line = _line(document, former if _has(document, former) else known)
    where = set_here.get(name) or (f"{source} line {line}" if line else source)
    if detail["type"] == "extra_forbidden":
        return f"{where}: {_cut(name)}: unknown field; allowed here: {', '.join(model.model_fields)}"
    if name == "dashboard.password":  # what came may be the password itself: it is shown nowhere
        return f"{where}: {name}: expected the hash that `python -m core password` writes here, got something else"
    allowed = describe_allowed(model, known[-1]) if known and known[-1] in model.model_fields else "a section of fields"
    return f"{where}: {_cut(name)}: got {_quoted(detail['input'])}; allowed: {allowed}"


def _lines(mistakes: Iterable[str]) -> str:
    """Each mistake once, a line each; of thousands the first few and how many more."""
    lines = list(dict.fromkeys(mistakes))
    more = [f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return "\n".join(lines[:_MOST_LINES] + more)


def _quoted(value: Any) -> str:
    """A value as it came, cut where it is long."""
    try:
        return _cut(repr(value))
    except (ValueError, RecursionError):  # a whole number of thousands of digits, which Python does not write out
        return f"a {type(value).__name__} too long to show"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _has(document: Any, path: Iterable[str]) -> bool:
    for part in path:
        if not isinstance(document, Mapping) or part not in document:
            return False
        document = document[part]
    return True


def _line(document: CommentedMap, path: Iterable[str]) -> int | None:
    node: Any = document
    line = None
    for part in path:
        if not isinstance(node, CommentedMap) or part not in node:
            break
        try:
            line = node.lc.key(part)[0] + 1
        except (KeyError, TypeError, AttributeError):
            return None  # set by an override: it has no line
        node = node[part]
    return line


def _allowed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return "a section of fields: " + ", ".join(definitions[schema["$ref"].rsplit("/", 1)[-1]]["properties"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_allowed(option, definitions) for option in schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kind = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "text",
        "array": "a list",
        "object": "fields with plain values",
    }[schema["type"]]
    if schema["type"] == "array" and "prefixItems" in schema:
        kind = f"[{', '.join(_allowed(item, definitions) for item in schema['prefixItems'])}]"
    bounds = [
        f"{words} {schema[key]}"
        for key, words in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
            ("pattern", "matching"),
        )
        if key in schema
    ]
    return ", ".join([kind, *bounds])


def _commented(section: BaseModel, indent: int) -> CommentedMap:
    node = CommentedMap()
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        node[name] = _commented(value, indent + 2) if isinstance(value, BaseModel) else _to_yaml(value)
        comment = field.description or (type(value).__doc__ if isinstance(value, BaseModel) else None)
        if comment:
            lines = textwrap.wrap(comment, width=COMMENT_WIDTH - indent)
            node.yaml_set_comment_before_after_key(name, before="\n".join(lines), indent=indent)
    return node


def _to_yaml(value: Any) -> Any:
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, (list, tuple)):
        sequence = CommentedSeq(value)
        sequence.fa.set_flow_style()
        return sequence
    if isinstance(value, Mapping):
        mapping = CommentedMap(value)
        mapping.fa.set_flow_style()
        return mapping
    return value
