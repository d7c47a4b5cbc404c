"""The logic of the pages' JavaScript, run by Node's own test runner."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from dashboard.cache.envelope import envelope

NODE = shutil.which("node")
FOLDER = Path(__file__).parent / "frontend"


@pytest.mark.skipif(NODE is None, reason="node is not installed: the logic of dashboard/ui/frontend is not tested")
def test_the_logic_of_the_components_passes_its_own_tests(tmp_path: Path) -> None:
    assert NODE is not None
    message = tmp_path / "message"
    message.write_bytes(envelope({"text": "größer"}, [b"\x89PNG one", b"", b"three"]))
    archive = tmp_path / "charts.zip"
    done = subprocess.run(
        [NODE, "--test", str(FOLDER / "logic.test.mjs")],
        env={**os.environ, "MESSAGE": str(message), "ARCHIVE": str(archive)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        assert {name: packed.read(name) for name in packed.namelist()} == {"größe.csv": b"a,b\r\n", "leer.svg": b""}
