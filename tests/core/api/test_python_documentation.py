"""docs/python.md as its reader runs it: every example, one after the other, in one session."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import core
from core.config import dump_config, load_config
from core.runs.test_set.accesses import accesses

ROOT = Path(__file__).parents[3]
SMALL = (
    "preprocessing.size=32",
    "preprocessing.clahe=false",
    "model.options={width: 8}",
    "training.epochs=1",
    "training.batch_size=8",
    "training.advanced.threads=1",
    "training.device=cpu",
    "evaluation.bootstrap_samples=100",
)
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[str]:
    """The Python blocks of a document, padded so that an error names the document's own line."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return ["\n" * (text.count("\n", 0, found.start(1))) + found[1] for found in _BLOCK.finditer(text)]


@pytest.fixture
def small_lab(in_tmp: Path, small_demo: Path) -> Path:
    """The demo set with few and coarse images where the examples expect it, and settings that train in a second."""
    shutil.copytree(small_demo, in_tmp / "data" / "demo")
    (in_tmp / "config.yaml").write_text(dump_config(load_config(None, SMALL)), encoding="utf-8")
    return in_tmp


def test_every_example_of_the_documentation_runs_and_shows_something(
    small_lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session: dict[str, object] = {}
    examples = blocks("docs/python.md")
    assert len(examples) == (ROOT / "docs/python.md").read_text(encoding="utf-8").count("```python")
    for number, code in enumerate(examples):
        exec(compile(code, "docs/python.md", "exec"), session)
        assert capsys.readouterr().out.strip() or "save(" in code, f"example {number + 1} shows nothing"
    assert (small_lab / "overlay.png").is_file()
    run = core.open_run("first")
    assert [each.where for each in accesses(run.path) if each.kind == "scored"] == ["Python"]


@pytest.mark.slow
def test_the_examples_of_the_readme_run(small_lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = blocks("README.md")
    assert len(examples) == 1
    shutil.copy(next((small_lab / "data" / "demo").rglob("*.png")), small_lab / "image.png")
    exec(compile(examples[0], "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()
