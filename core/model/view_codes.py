"""Codes of the views, as a network that fuses the views of a breast receives them. Needs no torch."""

from __future__ import annotations

EITHER, CC, MLO = 0, 1, 2  # EITHER: nobody knows, or neither

# Seen from above, and from the side. Exaggerated and reversed craniocaudal images, and lateral and oblique ones of any angle,
# show the breast in nearly the projection of the standard view that they stand beside.
_FROM_ABOVE = frozenset(("CC", "XCC", "XCCL", "XCCM", "FB", "CV"))
_FROM_THE_SIDE = frozenset(("MLO", "ML", "LM", "LMO", "SIO", "ISO", "AT"))


def view_code(view: str) -> int:
    """CC for a view from above, MLO for one from the side, EITHER where the view ("MLO", "cc", "") does not say."""
    name = view.strip().upper()
    return CC if name in _FROM_ABOVE else MLO if name in _FROM_THE_SIDE else EITHER
