from __future__ import annotations

import pytest

from core.model.weights import nearest

_FEW = ("resnet18", "resnet50", "resnet101", "densenet121", "efficientnet_b0", "tf_efficientnet_b0", "mobilenetv2_100")


@pytest.fixture(autouse=True)
def _few_candidates(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that does not fit is compared with a few architectures; building all takes ten seconds, and slow tests do it."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(nearest, "CANDIDATES", tuple(name for name in nearest.CANDIDATES if name in _FEW))
