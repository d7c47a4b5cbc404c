"""Images that show the same picture, whatever was done to the file: `find_copies`.

image -> Fingerprint (fingerprint.py, stored by store.py)
      -> candidates: the images that share most codes of local features (search.py)
      -> pairs: candidates whose local features lie on one another (verify.py)
"""

from __future__ import annotations

from core.data.copies.find import Copies, find_copies

__all__ = ["Copies", "find_copies"]
