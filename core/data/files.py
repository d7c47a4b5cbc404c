"""Writing whole files or nothing, as `core.atomic` does it, under the name by which data and figures are written."""

from __future__ import annotations

from core.atomic import replacing, write_text

__all__ = ["replacing", "write_text"]
