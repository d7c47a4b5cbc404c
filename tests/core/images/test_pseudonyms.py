"""Pseudonyms: stable, keyed, and silent about whom they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import LabError
from core.files.paths import home
from core.images.pseudonym import KEY_FILE, _key, pseudonym


def test_equal_identifiers_have_equal_pseudonyms_across_runs() -> None:
    first = pseudonym("4711")
    _key.cache_clear()  # as a new process would
    assert pseudonym("4711") == first == pseudonym(" 4711 \0")
    assert len(first) == 12 and first.isalnum() and first != pseudonym("4712")
    assert pseudonym("") == pseudonym("  ") == ""


def test_another_key_gives_other_pseudonyms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = pseudonym("4711")
    monkeypatch.setenv("MAMMOLAB_HOME", str(tmp_path / "other"))
    assert pseudonym("4711") != first
    assert (tmp_path / "other" / KEY_FILE).exists()


def test_a_damaged_key_is_never_replaced_in_silence() -> None:
    pseudonym("4711")
    (home() / KEY_FILE).write_text("torn", encoding="ascii")
    _key.cache_clear()
    with pytest.raises(LabError, match="damaged"):
        pseudonym("4711")


def test_a_home_that_cannot_be_written_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("", encoding="ascii")
    monkeypatch.setenv("MAMMOLAB_HOME", str(blocker / "below"))
    with pytest.raises(LabError, match="MAMMOLAB_HOME"):
        pseudonym("4711")
