"""The lock files say the same as the requirements that people read and change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


@pytest.mark.parametrize(
    ("lock", "sources"),
    [
        ("requirements.lock", ["requirements.txt"]),
        ("requirements-dev.lock", ["requirements.txt", "requirements-dev.txt"]),
    ],
)
def test_every_pinned_version_is_locked(lock: str, sources: list[str]) -> None:
    locked, wanted = _pins(lock), {}
    for source in sources:
        wanted |= _pins(source)
    assert wanted
    assert {package: locked.get(package) for package in wanted} == wanted, "run `make lock`"
    held = _pins("constraints.txt")
    assert {package: version for package, version in locked.items() if held.get(package, version) != version} == {}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_a_hash_and_comes_from_no_named_place(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip())
    assert len(entries) > 100
    assert [entry.split("=")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "http" not in re.sub(r"httpx|httpcore|httptools|aiohttp|safehttpx", "", text)
