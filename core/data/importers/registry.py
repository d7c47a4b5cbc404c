"""Which importers there are: ours, and those that installed packages register.

A package registers one in its own pyproject.toml:

    [project.entry-points."mammolab.importers"]
    our-archive = "our_package.importer:IMPORTER"

where IMPORTER is a core.data.importers.base.Importer whose name is the entry point's.
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points

from core.data.importers.base import Importer
from core.data.importers.cbis_ddsm import IMPORTER as CBIS_DDSM
from core.data.importers.cdd_cesm import IMPORTER as CDD_CESM
from core.data.importers.cmmd import IMPORTER as CMMD
from core.data.importers.dmid import IMPORTER as DMID
from core.data.importers.embed import IMPORTER as EMBED
from core.data.importers.folder import IMPORTER as FOLDER
from core.data.importers.huang_lin import IMPORTER as HUANG_LIN
from core.data.importers.inbreast import IMPORTER as INBREAST
from core.data.importers.kau_bcmd import IMPORTER as KAU_BCMD
from core.data.importers.mini_ddsm import IMPORTER as MINI_DDSM
from core.data.importers.mini_mias import IMPORTER as MINI_MIAS
from core.data.importers.rsna import IMPORTER as RSNA
from core.data.importers.table import IMPORTER as TABLE
from core.data.importers.vindr import IMPORTER as VINDR

GROUP = "mammolab.importers"
_OURS = (
    *(FOLDER, TABLE, RSNA, MINI_MIAS, CBIS_DDSM, INBREAST, VINDR, CMMD, HUANG_LIN),
    *(MINI_DDSM, EMBED, KAU_BCMD, DMID, CDD_CESM),
)
IMPORTERS: dict[str, Importer] = {importer.name: importer for importer in _OURS}
GENERAL = ("folder", "csv")  # what any folder or table is, where it is no collection


def importers() -> tuple[dict[str, Importer], dict[str, str]]:
    """Every importer by name, ours first; and by the name of its entry point each that cannot be used, with the reason."""
    found = dict(IMPORTERS)
    broken: dict[str, str] = {}
    for point in installed():
        loaded = _load(point, found)
        if isinstance(loaded, str):
            broken[point.name] = loaded
        else:
            found[point.name] = loaded
    return found, broken


@functools.cache  # looks into every installed package
def installed() -> tuple[EntryPoint, ...]:
    """The entry points of installed packages, as they were when the program started."""
    return tuple(entry_points(group=GROUP))


def _load(point: EntryPoint, found: dict[str, Importer]) -> Importer | str:
    if point.name in found:
        return f"{point.value}: an importer of this name is there already. Its package has to choose another name"
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  somebody else's code may raise anything when it is imported
        return f"{point.value}: cannot be loaded ({type(error).__name__}: {error}). Update the package, or remove it"
    if not isinstance(loaded, Importer):
        return f"{point.value}: expected a core.data.importers.base.Importer, got {type(loaded).__name__}"
    if loaded.name != point.name:
        return f"{point.value}: expected an importer called {point.name}, as its entry point, got {loaded.name}"
    return loaded
