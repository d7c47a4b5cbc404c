"""What scripts and notebooks call as `core.train`, `core.Predictor` and so on; see docs/python.md.

Each function does what the command of its name does, by the same code, and keeps the same record of accesses to test sets.
"""

from __future__ import annotations

import os

WHERE = "Python"  # in the record of accesses, where others have their page or command

# Before torch is imported: threads that spin while they wait make a shared machine many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
