"""The map in CONTRIBUTING.md is the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HIDDEN = {"__init__.py", "__main__.py"}


def drawn() -> list[str]:
    """Paths of the map's entries below core and dashboard, in its order: folders end in "/"."""
    block = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Layout")[1].split("\n## ")[0]
    found: list[str] = []
    parents: list[str] = []
    for line in block.splitlines():
        entry = re.match(r"    ( *)([A-Za-z_.]+/?)  ", line)
        if entry is None:
            continue
        depth = len(entry[1]) // 2
        parents = [*parents[:depth], entry[2]]
        found.append("".join(parents))
    return [path for path in found if path.startswith(("core/", "dashboard/"))]


def there() -> set[str]:
    """Every package, and the modules that lie directly in core and dashboard."""
    packages = {path.parent for top in ("core", "dashboard") for path in (ROOT / top).rglob("__init__.py")}
    modules = {path for top in ("core", "dashboard") for path in (ROOT / top).glob("*.py") if path.name not in HIDDEN}
    return {f"{path.relative_to(ROOT).as_posix()}/" for path in packages} | {
        path.relative_to(ROOT).as_posix() for path in modules
    }


def test_the_map_names_every_package_once_and_nothing_else() -> None:
    assert sorted(drawn()) == sorted(there())


def test_core_stands_in_the_map_in_the_order_of_its_layers() -> None:
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split('containers = ["core"]')[1].split("]\n")[0]
    layers = [[name.strip() for name in line.split("|")] for line in re.findall(r'"([^"]+)"', contract)]
    rank = {name: number for number, names in enumerate(layers) for name in names}
    order = [path.removeprefix("core/").rstrip("/").removesuffix(".py") for path in drawn() if path.count("/") <= 2]
    ranks = [rank[name] for name in order if name in rank]
    assert len(ranks) == len(rank) - 1  # __main__
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("top", ["core", "dashboard"])
def test_tests_lie_where_what_they_test_lies(top: str) -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests" / top).rglob("test_*.py")}
    assert {path.as_posix() for path in folders if not (ROOT / path / "__init__.py").is_file()} == set()
