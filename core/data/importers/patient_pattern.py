"""PatientPattern: a user's regular expression on many names, in bounded time.

Python's matcher tries every way to divide a text among repeats. For an expression such as (a+)+$ that takes longer than
anybody waits, and nothing can interrupt it in this process. So it runs in one of its own, which is ended after LIMIT.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from core.errors import BadManifest

LIMIT = 30.0  # seconds for all names of an import; a sound expression needs one for a million
_TICK = 0.2  # seconds
LONGEST = 1_000  # characters of an expression

_WORK = """
import json, re, sys
asked = json.load(sys.stdin.buffer)
pattern = re.compile(asked["pattern"])
group = "patient" if "patient" in pattern.groupindex else 1
found = (pattern.search(name) for name in asked["names"])
json.dump([(match.group(group) or "") if match else "" for match in found], sys.stdout)
"""


class PatientPattern:
    """An expression that finds the patient in a name: its group `patient`, or else its first group."""

    def __init__(self, text: str, where: str) -> None:
        """`where` begins every message: which importer's option it is.

        Raises:
            BadManifest: too long, not a regular expression, or one without a group.
        """
        self._text = text
        self._where = where
        if len(text) > LONGEST:
            raise BadManifest(f"{where}: expected at most {LONGEST:,} characters, got {len(text):,}")
        try:
            groups = re.compile(text).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise BadManifest(f"{where} {text!r}: not a regular expression: {error}") from error
        if not groups:
            raise BadManifest(f"{where} {text!r}: expected a group around the patient, such as ^(P[0-9]+)_")

    def find(self, names: Sequence[str], tick: Callable[[], None] | None = None) -> list[str]:
        """The patient in each name; "" where the expression does not match. `tick` is called meanwhile; it may raise.

        Raises:
            BadManifest: it takes longer than LIMIT.
        """
        if not names:
            return []
        # Names of another encoding hold half surrogates, which JSON carries as escapes.
        asked = json.dumps({"pattern": self._text, "names": list(names)}).encode("ascii")
        with subprocess.Popen(
            [sys.executable, "-I", "-c", _WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                found, errors = _communicate(process, asked, tick)
            except subprocess.TimeoutExpired as error:
                raise BadManifest(
                    f"{self._where} {self._text!r}: took more than {LIMIT:.0f} s on {len(names):,} names. A repeat inside a "
                    "repeat, such as (a+)+, can take for ever: write it without, for example ^(P[0-9]+)_"
                ) from error
            finally:
                process.kill()
        if process.returncode:
            lines = errors.decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit {process.returncode}"
            raise BadManifest(f"{self._where} {self._text!r}: could not be used: {reason}")
        return [str(patient) for patient in json.loads(found)]


def _communicate(process: subprocess.Popen[bytes], asked: bytes, tick: Callable[[], None] | None) -> tuple[bytes, bytes]:
    end = time.monotonic() + LIMIT
    given: bytes | None = asked
    while True:
        try:
            return process.communicate(given, timeout=_TICK)
        except subprocess.TimeoutExpired:
            given = None  # communicate goes on with what it was given
            if tick is not None:
                tick()
            if time.monotonic() > end:
                raise
