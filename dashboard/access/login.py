"""The password form, and the signed cookie that a browser gets for the right password.

The form stands at whatever address was asked for and posts to it, so that it works behind any path that a proxy adds. The
cookie is signed with a key made of the password's hash: it survives a restart of the server, and ends when the password
changes. Logging out ends it on the server, too, with its open websockets.

From one address guesses are taken one at a time, a wrong one costs a second, and few may wait; other addresses do not wait for
it. Addresses can be made up (X-Forwarded-For) or be many, so wrong guesses of all of them together are counted as well.
Browsers on this machine, which no proxy speaks for, and addresses that have known the password are beyond that count: whoever
uses it up keeps only strangers out.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote

from itsdangerous import BadData, TimestampSigner
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from core.passwords import verify_password

FIELD = "mammolab_password"
LASTS = 12 * 3600  # seconds after which the password is asked for again
PENALTY = 1.0  # seconds that a wrong password costs whoever waits
WAITING = 5  # guesses of one address that may wait; further ones are refused
ADDRESSES = 4096  # of which it is remembered who waits
OF_ONE = (20, 6.0)  # wrong guesses of one address: so many at once, then so many a minute
OF_ALL = (200, 30.0)  # and of all addresses together
AT_ONCE = 2  # passwords compared at a time: each takes 32 MiB and 0.1 s of a processor
LARGEST_FORM = 8192  # bytes
_PROXIES = ("x-forwarded-for", "x-real-ip", "forwarded")  # who sends one speaks for somebody else

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MammoLab: log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center; }}
form {{ width: min(22rem, 90vw); display: grid; gap: 12px; }}
h1 {{ font-size: 1.6rem; margin: 0; }} p {{ margin: 0; }}
input, button {{ font: inherit; padding: 10px 12px; border-radius: 8px; border: 1px solid #8a90a0; }}
button {{ background: #5146c9; border-color: #5146c9; color: #fff; cursor: pointer; }}
[role=alert] {{ color: #b3261e; }} @media (prefers-color-scheme: dark) {{ [role=alert] {{ color: #ffb4ab; }} }}
</style></head><body><form method="post" action="{action}">
<h1>MammoLab</h1>{content}
<p><small>For research only. Not a medical device, not for diagnosis.</small></p></form></body></html>"""
_ASK = """<p>This dashboard asks for a password.</p>{message}
<label for="p">Password</label>
<input id="p" name="{field}" type="password" autocomplete="current-password" required autofocus maxlength="1024">
<button>Log in</button>"""
_LEAVE = "<p>Log out of this dashboard?</p><button>Log out</button>"
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'self'; "
    "base-uri 'none'",
    "cache-control": "no-store",
}


class _Allowance:
    """So many at once, then so many a minute."""

    def __init__(self, most: float, a_minute: float) -> None:
        self._most, self._a_second = most, a_minute / 60
        self._left, self._since = most, time.monotonic()

    @property
    def left(self) -> bool:
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._since) * self._a_second)
        self._since = now
        return self._left >= 1

    def take(self, count: int = 1) -> None:
        self._left -= count


@dataclass
class _Door:
    """The guesses of one address. `counted`: whether they count among those of all addresses."""

    counted: bool = True
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    wrong: _Allowance = field(default_factory=lambda: _Allowance(*OF_ONE))


class Login:
    """Decides who has given the password whose scrypt hash is `hashed`."""

    def __init__(self, hashed: str, port: int | None) -> None:
        self._hashed = hashed
        self._signer = TimestampSigner(hashlib.sha256(f"mammolab\0{hashed}".encode()).digest(), salt="session")
        self.cookie = f"mammolab_{port or 0}"  # cookies do not know ports: two dashboards of one host keep theirs apart
        self._doors: OrderedDict[str, _Door] = OrderedDict()
        self._own = _Door(counted=False, wrong=_Allowance(math.inf, 0))  # that of browsers on this machine
        self._wrong = _Allowance(*OF_ALL)
        self._ended: dict[str, float] = {}  # cookies of browsers that logged out, and when they would have ended
        self._open: dict[str, set[asyncio.Event]] = {}  # by cookie: the events to set at its end
        self._comparing = asyncio.Semaphore(AT_ONCE)

    def accepts(self, cookies: dict[str, str]) -> bool:
        """Whether the browser has a cookie that was given for this password less than LASTS seconds ago, and not logged out."""
        given = cookies.get(self.cookie, "")
        try:
            name = self._signer.unsign(given, max_age=LASTS)
        except BadData:
            return False
        return name.decode("ascii") not in self._ended

    @contextmanager
    def watched(self, cookies: dict[str, str]) -> Iterator[asyncio.Event]:
        """An event that is set when the browser with this accepted cookie logs out."""
        name, event = self._name(cookies), asyncio.Event()
        self._open.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            left = self._open.get(name, set())
            left.discard(event)
            if not left:
                self._open.pop(name, None)

    def _name(self, cookies: dict[str, str]) -> str:
        """The random part of a cookie: signatures of one name differ from second to second."""
        return cookies.get(self.cookie, "").split(self._signer.sep.decode("ascii"))[0]

    async def answer(self, request: Request) -> Response:
        """The form, or what becomes of a filled-in one, for a request without a valid cookie."""
        path = request.scope["path"]
        here = "./" + quote(path.rpartition("/")[2], safe="")
        if path.rstrip("/").rpartition("/")[2] == "logout":
            here = "./"
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return self._form(here, 401)
        if request.method != "POST" or "application/x-www-form-urlencoded" not in request.headers.get("content-type", ""):
            return Response("Log in first: open the dashboard in a browser.\n", 401, media_type="text/plain")
        given = await self._given(request)
        if given is None:
            return self._form(here, 400, "Type the password.")
        door = self._door(request)
        if door.waiting >= WAITING:
            return self._form(here, 429, "Too many attempts at once. Wait a moment, then try again.")
        if not door.wrong.left or (door.counted and not self._wrong.left):
            return self._form(
                here, 429, "Too many wrong passwords. Wait some minutes, or log in on the machine that runs the dashboard."
            )
        if not await self._check(given, door):
            return self._form(here, 401, "This is not the password.")
        query = request.scope["query_string"].decode("latin-1")
        response = Response(status_code=303, headers={"location": here + (f"?{query}" if query else "")})
        secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").startswith("https")
        token = self._signer.sign(secrets.token_urlsafe(16)).decode("ascii")
        response.set_cookie(self.cookie, token, max_age=LASTS, httponly=True, samesite="lax", secure=secure, path="/")
        return response

    def goodbye(self, cookies: dict[str, str]) -> Response:
        """The form, and the end of the browser's accepted cookie: here, for its open connections, and in the browser."""
        now, name = time.time(), self._name(cookies)
        self._ended = {each: until for each, until in self._ended.items() if until > now} | {name: now + LASTS}
        for event in self._open.get(name, ()):
            event.set()
        response = self._form("./", 200, "You are logged out.")
        response.delete_cookie(self.cookie, path="/")
        return response

    def ask(self) -> Response:
        """A button that logs out, for whoever was led to the address by something else than a page of ours."""
        return HTMLResponse(_PAGE.format(action="./logout", content=_LEAVE), headers=_HEADERS)

    def _door(self, request: Request) -> _Door:
        """That of the address that asks; IPv6 gives everybody a whole /64, which counts as one."""
        address = (request.client.host if request.client else "").removeprefix("::ffff:")
        here = False
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
            # The server puts the address that a local proxy names in the place of the proxy's own.
            here = parsed.is_loopback and not any(name in request.headers for name in _PROXIES)
            if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
                address = str(ipaddress.ip_network((parsed, 64), strict=False))
        except ValueError:
            address = "no address"
        if here:
            return self._own
        door = self._doors.setdefault(address, _Door())
        self._doors.move_to_end(address)
        if len(self._doors) > ADDRESSES:
            old = (name for name, each in self._doors.items() if not each.waiting)
            self._doors.pop(next((name for name in old if self._doors[name].counted), address))
        return door

    async def _check(self, password: str, door: _Door) -> bool:
        door.waiting += 1
        counts = [door.wrong, self._wrong] if door.counted else [door.wrong]
        for count in counts:  # before it is known to be wrong: many come at a time
            count.take()
        try:
            async with door.turn:
                started = time.monotonic()
                async with self._comparing:
                    right = await asyncio.to_thread(verify_password, password, self._hashed)
                if right:
                    door.counted = False
                    for count in counts:
                        count.take(-1)
                else:
                    await asyncio.sleep(max(0.0, PENALTY - (time.monotonic() - started)))
                return right
        finally:
            door.waiting -= 1

    async def _given(self, request: Request) -> str | None:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_FORM:
                return None
        try:
            fields = parse_qs(body.decode("utf-8"), max_num_fields=4, strict_parsing=True)
        except ValueError:
            return None
        return fields.get(FIELD, [None])[0]

    def _form(self, action: str, status: int, message: str = "") -> HTMLResponse:
        alert = f'<p role="alert">{html.escape(message)}</p>' if message else ""
        content = _ASK.format(field=FIELD, message=alert)
        return HTMLResponse(_PAGE.format(action=html.escape(action), content=content), status, headers=_HEADERS)
