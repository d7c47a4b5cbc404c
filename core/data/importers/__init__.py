"""From a data set as it lies on the disk to a manifest's rows. Nothing is copied, renamed or changed.

One file an importer. To add one: write a function (source, options, progress) -> ImportReport and register it below.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.data.importers import folder, mini_mias, rsna, table
from core.data.importers.base import Importer, ImportReport, Options
from core.errors import BadManifest

__all__ = ["IMPORTERS", "ImportReport", "Importer", "import_data"]

IMPORTERS: dict[str, Importer] = {
    importer.name: importer for importer in (folder.IMPORTER, table.IMPORTER, rsna.IMPORTER, mini_mias.IMPORTER)
}


def import_data(
    name: str, source: Path | str, *, progress: Callable[[int, int], None] | None = None, **options: Any
) -> ImportReport:
    """Describe the images below `source` as a manifest's rows (see core.data.manifest; write it with write_manifest).

    Args:
        name: one of IMPORTERS.
        options: see the importer's `options`; text as from the command line, or Python values.
        progress: called with (files looked at, files).

    Raises:
        BadManifest: no such importer or option, a layout that is not the importer's, or no usable image.
    """
    importer = IMPORTERS.get(name)
    if importer is None:
        raise BadManifest(f"importer {name!r}: expected one of {', '.join(IMPORTERS)}")
    unknown = sorted(set(options) - set(importer.options))
    if unknown:
        raise BadManifest(f"importer {name}: unknown option {', '.join(unknown)}; it takes {', '.join(importer.options)}")
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise BadManifest(f"{path}: expected a data set to import, got a path where there is none. Check the path.")
    report = importer.function(path, Options(name, options), progress)
    if report.frame.empty:
        reasons = "; ".join(f"{rejected}: {reason}" for rejected, reason in report.rejected[:3])
        raise BadManifest(
            f"{path}: no usable image found" + (f" ({len(report.rejected)} left out, the first: {reasons})" if reasons else "")
        )
    return report
