"""What a report is made of: sections of paragraphs, facts, tables, figures and gaps, numbered in the order they stand.

Blocks hold plain text, never markup: the page escapes every one of them. In the words of MammoLab (not of the authors) a
`command` between backquotes is shown as code.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup


class Block:
    """What may stand in a section."""

    @property
    def kind(self) -> str:
        """What template.html knows it by: "points" for Points."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Text(Block):
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Points(Block):
    """A list of sentences."""

    points: tuple[str, ...]


@dataclass(frozen=True)
class Facts(Block):
    """Names and values side by side."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Warn(Block):
    """A sentence that nobody should miss."""

    text: str


@dataclass(frozen=True)
class Missing(Block):
    """A part that this run has no material for, and the command that makes it."""

    text: str


@dataclass(frozen=True)
class Author(Block):
    """A question that only the researcher can answer; `answer` is "" while report.yaml does not."""

    key: str
    question: str
    answer: str


@dataclass(frozen=True)
class Table(Block):
    """Text in rows; the first cell of a row names it. `marked` are rows (from 0) to stand out, `note` stands below.

    `words` are the columns (from 0) that hold sentences: they break anywhere and are set left; the others stay on a line.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    marked: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()
    small: bool = False


@dataclass(frozen=True)
class Figure(Block):
    """A drawing (SVG of our own making) with its caption; `text` says in words what it shows, for those who cannot see it."""

    name: str
    svg: Markup
    caption: str
    text: str


@dataclass(frozen=True)
class Row(Block):
    """Figures side by side, where the page is wide enough."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Picture:
    """An image as a data: address, with its caption and its size in pixels."""

    source: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures(Block):
    """Images side by side under one number and one caption."""

    pictures: tuple[Picture, ...]
    caption: str


@dataclass(frozen=True)
class Box:
    """A box of a flow diagram: a heading and lines."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Flow(Block):
    """A flow diagram: rows of boxes from top to bottom; `side` boxes (what left the flow) stand beside their row."""

    rows: tuple[tuple[Box, ...], ...]
    side: tuple[Box | None, ...]
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it. `id` is unique in the report; `items` are the guidelines' numbers it answers."""

    id: str
    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
    items: tuple[str, ...] = ()

    def walk(self) -> list[Section]:
        """The section and all below it, in order."""
        return [self, *(inner for section in self.sections for inner in section.walk())]


@dataclass(frozen=True)
class Document:
    """A whole report; `about` says in a line what of, and when that was made. `items` are the guidelines' numbers beside the
    abstract."""

    kind: str
    title: str
    authors: str
    about: str
    synthetic: bool
    abstract: tuple[tuple[str, str], ...]
    headline: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    items: tuple[str, ...] = ()

    def walk(self) -> list[Section]:
        """Every section, in order."""
        return [inner for section in self.sections for inner in section.walk()]


@dataclass
class Numbers:
    """Counts figures and tables while a page is made, and sections by level."""

    figures: int = 0
    tables: int = 0
    headings: dict[str, str] = field(default_factory=dict)

    def figure(self) -> int:
        self.figures += 1
        return self.figures

    def table(self) -> int:
        self.tables += 1
        return self.tables

    @classmethod
    def of(cls, document: Document) -> Numbers:
        """With the number of every section by its id: "1", "1.1", ..., and letters for appendices (id "appendix-...")."""
        numbers = cls()
        plain = letters = 0
        for section in document.sections:
            if section.id.startswith("appendix"):
                letters += 1
                own = chr(ord("A") + letters - 1)
            else:
                plain += 1
                own = str(plain)
            numbers.headings[section.id] = own
            for index, inner in enumerate(section.sections, start=1):
                numbers.headings[inner.id] = f"{own}.{index}"
        return numbers
