from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest) -> None:
    """Only tests that look at drawings, and ask for `drawn`, wait for them."""
    if "drawn" not in request.fixturenames:
        request.getfixturevalue("undrawn")


@pytest.fixture
def drawn() -> None:
    """Figures are drawn."""
