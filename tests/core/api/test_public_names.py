"""`import core`: what it costs, and what it offers."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import core

ROOT = Path(core.__file__).parents[1]
HEAVY = ("torch", "numpy", "pandas", "pydantic", "cv2", "streamlit")


def loaded_after(code: str) -> set[str]:
    """Which heavy libraries a fresh interpreter has loaded after `code`."""
    code += f"\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True)
    return set(found.stdout.split())


def test_import_core_loads_no_library() -> None:
    assert loaded_after("import core; core.errors.LabError; dir(core)") == set()


@pytest.mark.slow
def test_what_needs_no_network_loads_no_torch_when_it_is_asked_for() -> None:
    names = ("load_image", "open_run", "train", "evaluate_run", "Run", "read_evaluation")
    packages = "import core.evaluate, core.model.card, core.runs, core.training"  # reading runs and metrics
    assert "torch" not in loaded_after(f"import core; {'; '.join(f'core.{name}' for name in names)}; {packages}")


def test_every_public_name_is_there_and_described() -> None:
    for name in core.__all__:
        assert getattr(core, name) is not None
        assert name in dir(core)
        if name not in ("__version__", "RESEARCH_NOTICE"):
            assert inspect.getdoc(getattr(core, name)), name
            assert f"`{name}`" in (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), f"docs/python.md lacks {name}"


def test_a_name_that_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="trian"):
        core.trian  # noqa: B018
    with pytest.raises(ImportError):
        exec("from core import trian")
