"""Which Host and Origin headers belong to this dashboard.

A page of another site can make a browser send requests here: under its own name, once that name resolves to 127.0.0.1
(DNS rebinding), or across origins (CORS, forms, websockets, pictures). Browsers name that page in Host, Origin,
Referer (RFC 9110) and Sec-Fetch-Site (Fetch Metadata); programs that are no browsers send none of the last three.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")


def hostname(netloc: str) -> str:
    """The host of `host`, `host:port` or `[address]:port`, lower case, without a last dot; "" when it is none."""
    return _split(netloc)[0]


def matches(host: str, patterns: Iterable[str]) -> bool:
    """Whether `host` is one of the names; `*.example.org` stands for every name below it, `*` for every name."""
    return any(
        pattern == "*" or host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:])) for pattern in patterns
    )


def is_address(host: str) -> bool:
    """Whether the host is a literal IP address: no name server can point it elsewhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def same_origin(origin: str, host: str) -> bool:
    """Whether the page that sent `origin` was loaded from `host` (a Host header): equal names and equal ports."""
    scheme, netloc = _origin(origin)
    page, page_port = _split(netloc)
    here, here_port = _split(host)
    default = _PORTS.get(scheme)
    return bool(page) and page == here and (page_port or default) == (here_port or default)


def refusal(headers: Sequence[tuple[bytes, bytes]], method: str, allowed: Iterable[str], local_address: str = "") -> str:
    """Why a request with these headers is not answered, in words; "" when it is.

    `allowed` are the names that are ours; `local_address` is the address at which the connection arrived where the server
    listens on all of them: it is ours too, being no name that somebody else could own.
    """
    ours = tuple(allowed)
    given = _values(headers)
    named = [*given.get(b"host", [b""]), *given.get(b"x-forwarded-host", [])]
    if len(given.get(b"host", [])) > 1 or len(given.get(b"origin", [])) > 1:
        return "expected one Host and one Origin header, got several"
    for name in named:
        for each in name.decode("latin-1").split(","):  # proxies append theirs
            host = hostname(each.strip())
            if not matches(host, ours) and not (host and host == local_address):
                return (
                    f"this dashboard does not answer to the host name {each.strip()[:100]!r}. If it is yours, allow it: "
                    "dashboard.hosts in config.yaml, or `-- --allow-host NAME` behind the command that starts the dashboard"
                )
    origin = _first(given, b"origin")
    if origin:
        return "" if _is_ours(origin, named, ours) else f"requests of pages from {origin[:100]!r} are not answered"
    site, mode = _first(given, b"sec-fetch-site"), _first(given, b"sec-fetch-mode")
    if site in ("cross-site", "same-site") and not (mode == "navigate" and method in ("GET", "HEAD")):
        return "requests of another site's pages are not answered"
    return ""


def as_the_browser_sees(headers: Sequence[tuple[bytes, bytes]], public: Iterable[str]) -> list[tuple[bytes, bytes]]:
    """The headers with the Host and scheme that the browser used, where a proxy has dropped or not said them.

    Streamlit compares Origin with Host, and Gradio builds absolute addresses from Host and scheme. The page's own Origin
    or Referer has both; Host is only replaced by a name in `public`, which somebody has configured.
    """
    given = _values(headers)
    scheme, netloc = _origin(_first(given, b"origin") or _first(given, b"referer"))
    page, _ = _split(netloc)
    if not page:
        return list(headers)
    changed = list(headers)
    host = _first(given, b"host")
    if page != hostname(host) and not matches(page, public):
        return changed
    if netloc != host:
        changed = [(name, value) for name, value in changed if name not in (b"host", b"x-forwarded-host")]
        changed.append((b"host", netloc.encode("latin-1")))
    if scheme == "https" and b"x-forwarded-proto" not in given:
        changed.append((b"x-forwarded-proto", b"https"))
    return changed


def _is_ours(origin: str, named: Sequence[bytes], ours: Sequence[str]) -> bool:
    if any(same_origin(origin, name.decode("latin-1")) for name in named):
        return True
    # A proxy that drops Host sends its own name for this machine (127.0.0.1:8501), which no name of ours can equal.
    host = hostname(named[0].decode("latin-1"))
    page, _ = _split(_origin(origin)[1])
    public = [pattern for pattern in ours if pattern not in ("*", host) and not _is_local(pattern)]
    return bool(page) and (_is_local(host) or is_address(host)) and matches(page, public)


def _is_local(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def _origin(origin: str) -> tuple[str, str]:
    """(scheme, netloc) of an Origin or Referer; ("", "") for "null" and what is none."""
    try:
        parts = urlsplit(origin.strip())
    except ValueError:
        return "", ""
    return (parts.scheme, parts.netloc) if parts.scheme in _PORTS else ("", "")


def _split(netloc: str) -> tuple[str, int | None]:
    if not netloc or any(mark in netloc for mark in "/\\@?# \t"):
        return "", None
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", None
    if is_address(host):
        return str(ipaddress.ip_address(host)), port
    return (host, port) if _NAME.fullmatch(host) else ("", None)


def _values(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def _first(given: dict[bytes, list[bytes]], name: bytes) -> str:
    return given[name][0].decode("latin-1") if name in given else ""
