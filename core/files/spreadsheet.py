"""Tables that people open in a spreadsheet, which runs what looks like a formula.

Source: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection.
"""

from __future__ import annotations

import re

import pandas as pd

# A number with a sign is no formula.
FORMULA = re.compile(r"(?![+-]?[0-9.]+$)[=+\-@\t\r]")


def spreadsheet_csv(table: pd.DataFrame) -> str:
    """`table` without its index as CSV text, where a cell that a spreadsheet would run begins with an apostrophe: it is shown
    as the text that it is. Not for tables that MammoLab reads again: there a cell says what its source said."""
    return table.map(lambda cell: f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell).to_csv(index=False)
