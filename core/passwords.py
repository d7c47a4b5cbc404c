"""Passwords as salted scrypt hashes (RFC 7914): what `config.yaml` keeps instead of the password itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

from core.errors import BadConfig

SHORTEST = 8  # characters
LONGEST = 1024
_COST, _BLOCK, _PARALLEL = 2**15, 8, 1  # 32 MiB and about 0.1 s a try
_HASH = re.compile(r"scrypt\$(\d{1,2})\$(\d{1,2})\$(\d)\$([A-Za-z0-9_-]{22,64})\$([A-Za-z0-9_-]{43})")
_MEMORY = 128 * 1024 * 1024  # bytes; no hash in a configuration makes the server take more


def hash_password(password: str) -> str:
    """`scrypt$log2(n)$r$p$salt$key`, another one at each call.

    Raises:
        BadConfig: the password is shorter than SHORTEST or longer than LONGEST characters.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadConfig(f"expected a password of {SHORTEST} to {LONGEST} characters, got {len(password)}. Choose another one.")
    salt = secrets.token_bytes(16)
    key = _derive(password, salt, _COST, _BLOCK, _PARALLEL)
    return f"scrypt${_COST.bit_length() - 1}${_BLOCK}${_PARALLEL}${_text(salt)}${_text(key)}"


def is_hash(text: str) -> bool:
    """Whether `text` is a hash that `verify_password` can check within its memory limit."""
    found = _HASH.fullmatch(text)
    if found is None:
        return False
    power, block, parallel = int(found[1]), int(found[2]), int(found[3])
    return 10 <= power <= 20 and block >= 1 and parallel >= 1 and 128 * 2**power * block * parallel <= _MEMORY // 2


def verify_password(password: str, hashed: str) -> bool:
    """Whether `hashed` was made of this password; takes about 0.1 s and as long for a wrong one."""
    if not is_hash(hashed) or len(password) > LONGEST:
        return False
    _, power, block, parallel, salt, key = hashed.split("$")
    return hmac.compare_digest(_derive(password, _bytes(salt), 2 ** int(power), int(block), int(parallel)), _bytes(key))


def _derive(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    given = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=32)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
