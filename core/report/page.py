"""A document to HTML: every text is escaped, everything is numbered, nothing comes from outside and nothing runs."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from core import __version__
from core.report.document import Document, Numbers

_HERE = Path(__file__).parent
_CODE = re.compile("`([^`]+)`")


def render(document: Document) -> str:
    """The report as one HTML text."""
    return _template().render(
        document=document,
        numbers=Numbers.of(document),
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        version=__version__,
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters["prose"] = prose
    return environment.from_string((_HERE / "template.html").read_text(encoding="utf-8"))


def prose(text: str) -> Markup:
    """Escaped text, with what stands between backquotes as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
