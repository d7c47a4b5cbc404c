"""Values of one image in which its rows differ and of which only one can stand: the first is taken, and the image is named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from core.data.manifest import number
from core.wording import counted, first_few, listed

_NAMED = 5


@dataclass
class Differing:
    """By the name of what differs: images (or patients) with what their rows say."""

    found: defaultdict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(dict))

    def first(self, what: str, image: str, values: Iterable[str]) -> str:
        """The first that is not empty; others are noted. 45 and 45.0 are the same, as are a and A."""
        given: dict[str | float, str] = {}
        for value in filter(None, values):
            amount = number(value)
            given.setdefault(value.casefold() if amount is None else amount, value)
        if len(given) > 1:
            self.found[what][image] = list(given.values())
        return next(iter(given.values()), "")

    def notes(self, taken: str = "the first is taken") -> list[str]:
        """A sentence for each thing that differs, with the first images and their values."""
        return [
            f"{counted(len(images), 'image has', 'images have')} rows with several values of {what}: {taken} "
            f"({first_few((f'{image}: {listed(values[:_NAMED])}' for image, values in images.items()), _NAMED, '; ')})"
            for what, images in self.found.items()
        ]
