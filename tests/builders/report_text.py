"""The words of a report."""

from __future__ import annotations

from core.report.document import Document


def text_of(document: Document) -> str:
    """All words of a report, of tables too."""
    parts = [document.title, *(text for _, text in document.abstract), *document.warnings]
    for section in document.walk():
        for block in section.blocks:
            parts += words_of(block)
    return "\n".join(parts)


def words_of(block: object) -> list[str]:
    found: list[str] = []
    for value in vars(block).values():
        stack = [value]
        while stack:
            each = stack.pop()
            if isinstance(each, str):
                found.append(each)
            elif isinstance(each, (tuple, list)):
                stack += reversed(each)
            elif hasattr(each, "__dataclass_fields__"):
                found += words_of(each)
    return found
