"""BI-RADS assessment categories as people and programs write them, and the order of suspicion in which they stand.

The categories (ACR BI-RADS Atlas, 5th edition, 2013): 0 incomplete, more images or earlier ones are needed; 1 negative;
2 benign; 3 probably benign; 4 suspicious (4A low, 4B moderate, 4C high suspicion); 5 highly suggestive of malignancy; 6 known,
biopsy-proven malignancy.

0 is no degree of suspicion, but a recall. It stands between 3 and 4: 1, 2 and 3 recall nobody at once, and a 0 turns out to be
cancer less often than a 4 (Timmers et al., Eur Radiol 2012;22:1717: 14 % of category 0, 39 % of 4, 93 % of 5). 4 without a
letter stands with 4A, the least that it says. 6 is no assessment: the cancer was known when the images were read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

ORDER: Mapping[str, float] = {"1": 1, "2": 2, "3": 3, "0": 3.5, "4": 4, "4A": 4, "4B": 4.3, "4C": 4.6, "5": 5}
KNOWN_CANCER = "6"
KNOWN_CANCER_REASON = "BI-RADS 6: the cancer was known when the images were read, so this is no assessment"
EMPTY = ("", "nan", "none", "null", "<na>", "n/a", "na", "-", "–", "?", "unknown", "missing")

_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5", "VI": "6"}
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_MARKS = dict.fromkeys(map(ord, "®™©"), None)
# What may stand before the category, each followed by anything that separates. Without one of these a dash is a minus sign.
_BEFORE = re.compile(
    r"(?:ACR|BI[\s_-]*RADS?|MAMMOGRAM|MAMMOGRAPHY|(?:FINAL|OVERALL)?\s*ASSESSMENT|CATEGORY|CAT|CLASS|GRADE|SCORE|CODE)(?![A-HJ-UW-Z])[\s_.:=#(-]*"
)
_LETTER_BEFORE = re.compile(r"BR?[\s_-]*(?=[0-9IV])")  # B4, BR-4
_CATEGORY = re.compile(
    r"(?P<number>[0-6]|VI|IV|V|I{1,3})(?:\.0+)?[\s(_-]*(?P<letter>[ABC](?![A-Z]))?(?P<rest>$|[\s:;,.()=/?<>-].*)"
)
# What may follow is the category in words. Another number or Roman numeral could be another category.
_OTHER = re.compile(r"[0-9?<>]|\b(?:VI|IV|V|I{1,3})\b")


def category(value: object) -> str:
    """`4A` of 4a, 4.0, BI-RADS 4A, birads-4a, Category 4 A, B4a, IVa or "4A - suspicious"; "" of an empty cell.

    Raises:
        ValueError: it is none of the categories 0 to 6, or more than one: the message is the reason.
    """
    text = (
        unicodedata.normalize("NFKC", "" if value is None else str(value).translate(_MARKS)).translate(_DASHES).strip(" \t\"'")
    )
    if text.lower() in EMPTY:
        return ""
    plain = " ".join(text.upper().split())
    if plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1].strip()
    while before := _BEFORE.match(plain):
        plain = plain[before.end() :]
    plain = _LETTER_BEFORE.sub("", plain, count=1) if _LETTER_BEFORE.match(plain) else plain
    found = _CATEGORY.fullmatch(plain)
    if found is None:
        raise ValueError("no BI-RADS category from 0 to 6")
    if _OTHER.search(found["rest"]):
        raise ValueError("more than one BI-RADS category, or one in doubt")
    number, letter = _ROMAN.get(found["number"], found["number"]), found["letter"] or ""
    if letter and number != "4":
        raise ValueError(f"no BI-RADS category: only 4 has a letter, not {number}")
    return number + letter
