"""The logic of the pages' JavaScript, run by Node's own test runner."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dashboard.cache.envelope import envelope
from dashboard.cache.tiles import packed

NODE = shutil.which("node")
FOLDER = Path(__file__).parent / "frontend"


@pytest.mark.skipif(NODE is None, reason="node is not installed: the logic of dashboard/ui/frontend is not tested")
def test_the_logic_of_the_components_passes_its_own_tests(tmp_path: Path) -> None:
    assert NODE is not None
    message = tmp_path / "message"
    message.write_bytes(envelope({"text": "größer"}, [b"\x89PNG one", b"", b"three"]))
    archive = tmp_path / "charts.zip"
    tile = tmp_path / "tile"
    levels = np.random.default_rng(0).choice(np.array([0, 1, 257, 32_767, 32_768, 65_535], np.uint16), (7, 11))
    tile.write_bytes(gzip.decompress(packed(levels)))
    described = {"width": 11, "height": 7, "levels": levels.ravel().tolist()}
    tile.with_suffix(".json").write_text(json.dumps(described), encoding="utf-8")
    done = subprocess.run(
        [NODE, "--test", *map(str, sorted(FOLDER.glob("*.test.mjs")))],
        env={**os.environ, "MESSAGE": str(message), "ARCHIVE": str(archive), "TILE": str(tile)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(archive) as charts:
        assert charts.testzip() is None
        assert {name: charts.read(name) for name in charts.namelist()} == {"größe.csv": b"a,b\r\n", "leer.svg": b""}
