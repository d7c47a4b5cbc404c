"""Pages import in one thread what a background task imports in another: a module that waits for its own package deadlocks then.

Python resolves such a deadlock by handing out half a module ("cannot import name ... from partially initialized module").
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "core"
# Only one task imports these, never beside another import of them.
ALONE = {"cli", "demo", "report"}
PACKAGES = sorted(path.name for path in CORE.iterdir() if (path / "__init__.py").is_file() and path.name not in ALONE)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(CORE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_at_once(body: list[ast.stmt]) -> Iterator[ast.ImportFrom | ast.Import]:
    """Imports that run with the module itself: not those in functions, not those for the type checker."""
    for statement in body:
        if isinstance(statement, ast.ImportFrom | ast.Import):
            yield statement
        elif isinstance(statement, ast.Try):
            yield from imported_at_once(statement.body)


def waits_for(path: Path, known: set[str]) -> set[str]:
    """The modules whose import must have ended first; `from package import module` waits for the package as well."""
    found: set[str] = set()
    for statement in imported_at_once(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(statement, ast.Import):
            found |= {each.name for each in statement.names}
        elif statement.module:
            found |= {statement.module} | {f"{statement.module}.{each.name}" for each in statement.names}
    return (found & known) - {module_name(path)}


@pytest.mark.slow_for("training")
@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_waits_for_itself_so_that_threads_can_import_side_by_side(package: str) -> None:
    files = list((CORE / package).rglob("*.py"))
    known = {module_name(path) for path in files}
    graph = {module_name(path): waits_for(path, known) for path in files}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}; import from the module, not from its package")
    assert set(order) == known
