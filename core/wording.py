"""How values, numbers, times and sizes are written, and sentences that several places share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}
OPTIMISTIC = "optimistic: it chose the epoch and the threshold"
EPOCHS = (
    "validation metrics are optimistic: they choose the epoch and the threshold. Only the test set shows how good the model is"
)


def number(value: float | None, digits: int = 3) -> str:
    """A number as text: at most `digits` decimals (in powers of ten where it is huge, or would read as 0), a dash when there
    is none."""
    if value is None or value != value:
        return "–"
    far = abs(value) >= 1e5 or 0 < abs(value) < 0.5 * 10.0**-digits
    return f"{value:.1e}" if far else f"{value:.{digits}f}"


def p_value(p: float | None) -> str:
    """A p value as text: three decimals, `< 0.001` below that, a dash where there was no test."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """Seconds as `42 s`, `3 min 05 s` or `2 h 07 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(amount: int) -> str:
    """Bytes as `0 MB`, `12 MB` or `3.4 GB`."""
    return f"{amount / 1e9:.1f} GB" if amount >= 1e9 else f"{amount / 1e6:.0f} MB"


def setting(value: Any) -> str:
    """The value of a setting as text: `on`, `320 × 192`, `0.0003`, a dash for nothing."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {setting(item)}" for key, item in value.items()) or "–"
    if isinstance(value, tuple | list):
        return " × ".join(map(setting, value)) or "–"
    return "–" if value in (None, "") else str(value)


def shortened(text: str, longest: int) -> str:
    """Text on one line, of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def plain(text: str) -> str:
    """Text that Markdown shows as it is: file names have underscores, messages have lines."""
    for mark in "\\`*_[]$~<>:#":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", "  \n")


def counted(count: int, noun: str, plural: str = "") -> str:
    """The count with its noun: `1 patient`, `2,000 patients`. Without `plural` the noun takes an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def sentences(parts: Iterable[str]) -> str:
    """Remarks one after the other, each with a full stop and, unless it begins with a file's name, a capital."""
    found = (upper_first(part) if re.match(r"[a-z]+[ ,]", part) else part for part in parts if part)
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in found)


def upper_first(text: str) -> str:
    """The text with its first letter as a capital and the rest as it is: `kVp` within it stays."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """`age`, `age and view`, `age, view and side`."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def first_few(names: Iterable[str], most: int, separator: str = ", ") -> str:
    """The first `most` of the names, and how many more there are: `a, b and 3 more`, or `a; b; and 3 more`."""
    found = list(names)
    shown, more = separator.join(found[:most]), len(found) - most
    return f"{shown}{' ' if separator == ', ' else separator}and {more:,} more" if more > 0 else shown


def times(count: int) -> str:
    """`once`, `2 times`."""
    return "once" if count == 1 else f"{count:,} times"
