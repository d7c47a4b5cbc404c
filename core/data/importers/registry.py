"""Which importers there are: ours, and those that installed packages register.

A package registers one in its own pyproject.toml:

    [project.entry-points."mammolab.importers"]
    our-archive = "our_package.importer:IMPORTER"

where IMPORTER is a core.data.importers.base.Importer whose name is the entry point's.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from core.data.importers import (
    cbis_ddsm,
    cdd_cesm,
    cmmd,
    dmid,
    embed,
    folder,
    huang_lin,
    inbreast,
    kau_bcmd,
    mini_ddsm,
    mini_mias,
    rsna,
    table,
    vindr,
)
from core.data.importers.base import Importer

GROUP = "mammolab.importers"
_COLLECTIONS = (cbis_ddsm, inbreast, vindr, cmmd, huang_lin, mini_ddsm, embed, kau_bcmd, dmid, cdd_cesm)
IMPORTERS: dict[str, Importer] = {
    module.IMPORTER.name: module.IMPORTER for module in (folder, table, rsna, mini_mias, *_COLLECTIONS)
}
GENERAL = ("folder", "csv")  # what any folder or table is, where it is no collection


def importers() -> tuple[dict[str, Importer], dict[str, str]]:
    """Every importer by name, ours first; and by the name of its entry point each that cannot be used, with the reason."""
    found = dict(IMPORTERS)
    broken: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        loaded = _load(point, found)
        if isinstance(loaded, str):
            broken[point.name] = loaded
        else:
            found[point.name] = loaded
    return found, broken


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
