"""What an audit was asked for, stored with its result: two audits are comparable when these are the same."""

from __future__ import annotations

from dataclasses import dataclass

# 15 px on the Pascal VOC images of the original game, whose longer side has 500 px.
# Zhang et al., Top-down Neural Attention by Excitation Backprop, IJCV 2018;126:1084.
TOLERANCE = 15 / 500


@dataclass(frozen=True)
class AuditSettings:
    """`limit`: at most so many images, whole patients, None for all. `perturbed`: of those, so many are also deleted,
    inserted, shifted and seen by shuffled weights. `steps`: parts in which the breast is deleted and inserted. `blur`:
    standard deviation of what deleted pixels become, as a share of the longer side. `tolerance` of the pointing game:
    as a share of the longer side. `seed`: of the samples, the shuffled weights, the random maps and the bootstrap.
    """

    limit: int | None = None
    perturbed: int = 24
    steps: int = 10
    blur: float = 1 / 16
    tolerance: float = TOLERANCE
    seed: int = 0
    samples: int = 2000
    confidence: float = 0.95  # an audit takes the level of the run's evaluation where nobody names another
