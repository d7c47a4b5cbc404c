"""Notes that stand in place of metrics, where no patient is known: they count images, since each is a patient of its own."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

_PATTERNS = (
    (re.compile(r"\bonly 1 patient with (benign|malignant) (?:images|breasts)"), r"only 1 \1 image"),
    (re.compile(r"\bonly (\d+) patients with (benign|malignant) (?:images|breasts)"), r"only \1 \2 images"),
    (re.compile(r"\bno patient with (benign|malignant) (?:images|breasts)"), r"no \1 image"),
    (re.compile(r"\btwo patients with (benign|malignant) images"), r"two \1 images"),
    (re.compile(r"\btoo few patients in the group"), "too few images in the group"),
)


def in_images(part: Any) -> Any:
    """The part (metrics in dataclasses, tuples, lists and dictionaries) with the words of its notes about images."""
    if isinstance(part, str):
        for pattern, words in _PATTERNS:
            part = pattern.sub(words, part)
        return part
    if isinstance(part, dict):
        return {name: in_images(value) for name, value in part.items()}
    if isinstance(part, (tuple, list)):
        return type(part)(map(in_images, part))
    if is_dataclass(part) and not isinstance(part, type):
        values = {field.name: getattr(part, field.name) for field in fields(part) if field.init}
        changed = {name: stated for name, value in values.items() if (stated := in_images(value)) is not value}
        return replace(part, **changed) if changed else part
    return part
