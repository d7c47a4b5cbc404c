"""What a file name says: the patient once side and view are taken off its end."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
