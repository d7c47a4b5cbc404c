"""File names: laterality and view at their end, and the patient in what is left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.wording import counted

_VIEWS = "XCCL|XCCM|XCC|MLO|LMO|CC|ML|LM|SIO|ISO|FB|AT|CV"
_SIDES = "LEFT|RIGHT|L|R"
# Separators are needed before a part, so that a name such as PAUL keeps its L; between side and view they are not.
_LAST = re.compile(
    rf"^(?P<rest>.*?)(?P<gap>^|[_\-. ]+)(?:(?P<side>{_SIDES})[_\-. ]?(?P<view>{_VIEWS})|(?P<side_alone>{_SIDES})|"
    rf"(?P<view_alone>{_VIEWS})[_\-. ]?(?P<side_last>LEFT|RIGHT|L|R)?)$",
    re.IGNORECASE,
)
_REPEAT = re.compile(r"^(?P<rest>.+?)[_\-. ]+\(?[0-9]{1,2}\)?$")


@dataclass(frozen=True)
class NameParts:
    """`patient` is what is left of the name ("" when nothing is); `laterality` "L", "R" or ""; `view` upper case or ""."""

    patient: str
    laterality: str
    view: str

    @property
    def stripped(self) -> bool:
        """Whether the name named a side or a view."""
        return bool(self.laterality or self.view)


def split_name(stem: str) -> NameParts:
    """Take side and view off the end of a file name without extension: P7_L_CC, P7-RMLO, P7 left cc, P7_LCC_2."""
    parts = _strip(stem)
    if not parts.stripped:
        repeat = _REPEAT.match(stem)  # a second film of the same view: P7_L_CC_2
        if repeat and _strip(repeat["rest"]).stripped:
            return _strip(repeat["rest"])
    return parts


def _strip(stem: str) -> NameParts:
    rest, side, view = stem, "", ""
    while (match := _LAST.match(rest)) is not None:
        new_side = (match["side"] or match["side_alone"] or match["side_last"] or "")[:1].upper()
        new_view = (match["view"] or match["view_alone"] or "").upper()
        if (new_side and side) or (new_view and view):
            break  # P_L_L_CC: the first L is part of the patient's name
        side, view, rest = side or new_side, view or new_view, match["rest"]
    return NameParts(rest.strip("_-. "), side, view)


_AUGMENTED = re.compile(r"(?P<original>.+?)(?:\.rf\.[0-9a-f]{8,64}|[_\-. ]aug(?:mented)?[_\-. ]?[0-9]{0,4})", re.IGNORECASE)


def original_of_copy(stem: str) -> str:
    """The image that a file is an augmented copy of by its name: x of x.rf.<hash> (Roboflow) and x_aug_3; "" for no copy."""
    found = _AUGMENTED.fullmatch(stem)
    return found["original"] if found else ""


# Where a name may hold the patient: what stands before or between separators, or the folder. Offered, never taken unasked.
_OFFERS = {
    "the first part of the name": r"(?:^|[/\\])([^/\\_]+)_[^/\\]*$",
    "the name up to the last underscore": r"(?:^|[/\\])([^/\\]+)_[^/\\_]*$",
    "the name up to the first dash": r"(?:^|[/\\])([^/\\\-]+)-[^/\\]*$",
    "the name up to the first blank": r"(?:^|[/\\])([^/\\ ]+) [^/\\]*$",
    "the second part of the name": r"(?:^|[/\\])[^/\\_]+_([^/\\_]+)_[^/\\]*$",
    "the folder": r"(?:^|[/\\])([^/\\]+)[/\\][^/\\]+$",
    "the folder above": r"(?:^|[/\\])([^/\\]+)[/\\][^/\\]+[/\\][^/\\]+$",
}
# What stands at these places in names that hold no patient.
_NOBODY = {
    *("benign", "malignant", "normal", "cancer", "benigno", "maligno", "left", "right", "mlo", "cc", "train", "val", "test"),
}
_MOST_IMAGES = 16  # of one patient on average; more are a site, a scanner or a label
_MOST_OFFERS = 2


def patient_offers(paths: Sequence[str]) -> list[str]:
    """What in these paths may be the patient, with counts and the option that would take it; [] where nothing repeats."""
    offers: list[tuple[float, str]] = []
    seen: set[tuple[int, ...]] = set()
    for what, pattern in _OFFERS.items():
        compiled = re.compile(pattern)
        found = [match.group(1) if (match := compiled.search(path)) else "" for path in paths]
        counts = Counter(found)
        without = counts.pop("", 0)
        several = sum(count for count in counts.values() if count > 1)
        matched = len(paths) - without
        key = tuple(sorted(counts.values()))
        if any(name.casefold() in _NOBODY for name in counts):
            continue
        if len(counts) < 2 or key in seen or 2 * several < len(paths) or matched > _MOST_IMAGES * len(counts):
            continue
        seen.add(key)
        example = next(name for name, count in counts.most_common() if name)
        offers.append(
            (
                several / len(paths),
                f"{matched:,} of {counted(len(paths), 'name')} without a patient share {what} among them: "
                f"{len(counts)} different ones, "
                f"{min(counts.values())} to {counted(max(counts.values()), 'image')} each, such as "
                f"{example!r}. If that is the patient, "
                f"import again with patient_pattern={pattern}",
            )
        )
    offers.sort(key=lambda offer: -offer[0])
    return [text for _, text in offers[:_MOST_OFFERS]]
