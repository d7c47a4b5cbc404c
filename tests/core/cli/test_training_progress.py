"""The bar of a training in a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from core.cli import training_progress


class Bar:
    def __init__(self, words: str, unit: str) -> None:
        self.words, self.unit, self.n, self.total = words, unit, 0, 0

    def update(self, count: int) -> None:
        assert count >= 0, "a bar that goes back"
        self.n += count

    def close(self) -> None:
        self.unit = "closed"


def test_what_comes_before_the_first_step_has_a_bar_each(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Bar] = []

    def open_bar(words: str, unit: str) -> Bar:
        bars.append(Bar(words, unit))
        return bars[-1]

    monkeypatch.setattr(training_progress, "open_bar", open_bar)
    printer = training_progress.ProgressPrinter()
    whats: list[dict[str, Any]] = [
        {},
        {"what": "hashes"},
        {"what": "features"},
        {"what": "gate"},
        {"what": "of a later version"},
    ]
    for what in whats:
        for done in (1, 7):
            printer.show({"type": "prepare", "done": done, "total": 7} | what)
    assert [bar.words for bar in bars] == ["preparing", "looking for copies", "backbone features", "input gate", "preparing"]
    assert [(bar.n, bar.total) for bar in bars] == [(7, 7)] * 5
    assert [bar.unit for bar in bars] == ["closed"] * 4 + ["image"]
