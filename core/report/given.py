"""Which items of the checklists the report's text answers only in part, found out from the run and not from the list."""

from __future__ import annotations

from core.evaluate import CalibrationReport
from core.metrics import ShortcutAudit
from core.report.material import Material
from core.report.sections.gaps import SITES, audited_columns, missing_metadata


def partly(material: Material) -> dict[str, str]:
    """By "TRIPOD 12a" or "CLAIM 19": what is missing there; items that are not named are answered in full or need a command."""
    found: dict[str, str] = {}

    def note(why: str, *items: str) -> None:
        for item in items:
            found[item] = f"{found[item]}; {why}" if item in found else why

    rows, shown, origin = material.rows, material.shown, material.split_origin
    if isinstance(origin, str) or origin.how == "unknown":
        note("how the sets were made is not recorded", "TRIPOD 12a", "CLAIM 19")
    elif origin.how != "drawn":
        note("how the sets that the manifest gave were made is not known here", "TRIPOD 12a", "CLAIM 19")
    if not material.patients_known:
        note("no patient is known: the sets are disjoint by image only", "TRIPOD 12a", "CLAIM 19", "CLAIM 20")
        note("participants are not known, images are counted", "TRIPOD 20a", "TRIPOD 20b", "TRIPOD 21", "CLAIM 35", "CLAIM 36")
    elif material.without_patient:
        note("for some images no patient is known", "TRIPOD 12a", "CLAIM 19", "CLAIM 20")
    if missing_metadata(rows, audited_columns(material)):
        note("why metadata are missing is not known here", "TRIPOD 11", "CLAIM 12")
    places = [name for name in SITES if name in rows.columns and rows[name].astype("str").str.strip().nunique() > 1]
    if not places:
        note("the manifest names no site, so nothing is reported across sites", "TRIPOD 12d", "TRIPOD 23b")
    else:
        note("groups are tested one at a time and all together, without a variance between sites", "TRIPOD 12d", "TRIPOD 23b")
    if shown is None:
        return found
    if not shown.subgroups:
        note("no subgroup could be made", "TRIPOD 23a", "TRIPOD 14")
    if not isinstance(shown.shortcuts, ShortcutAudit):
        note("the shortcut audit could not be made", "CLAIM 30")
    if not isinstance(shown.calibration, CalibrationReport):
        note("calibration could not be assessed", "TRIPOD 24")
    if material.test is None:
        note("validation only: the test set has not been evaluated", "TRIPOD 23a", "CLAIM 32", "CLAIM 37", "CLAIM 38")
    return found
