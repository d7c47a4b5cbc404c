from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.access.hosts import as_the_browser_sees, hostname, matches, refusal, same_origin

LOCAL = ("localhost", "127.0.0.1", "::1")
Headers = dict[str, str]


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


@pytest.mark.parametrize(
    ("netloc", "host"),
    [
        ("localhost:8501", "localhost"),
        ("LOCALHOST.", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:8501", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("lab.example.org:443", "lab.example.org"),
        ("", ""),
        ("localhost@evil.example", ""),
        ("evil.example/localhost", ""),
        ("evil.example#localhost", ""),
        ("localhost:99999", ""),
        ("localhost:port", ""),
        ("local host", ""),
        ("evil.example\\localhost", ""),
    ],
)
def test_a_host_header_is_read_strictly(netloc: str, host: str) -> None:
    assert hostname(netloc) == host


@given(st.text(max_size=40))
def test_any_host_header_is_a_name_or_nothing(netloc: str) -> None:
    assert isinstance(hostname(netloc), str)
    assert isinstance(refusal([(b"host", netloc.encode("utf-8", "replace"))], "GET", LOCAL), str)


def test_patterns_stand_for_names_below_and_not_for_lookalikes() -> None:
    assert matches("a.lab.example", ["*.lab.example"])
    assert not matches("lab.example", ["*.lab.example"])
    assert not matches("evil-lab.example", ["*.lab.example"])
    assert not matches("lab.example.evil.example", ["lab.example", "*.lab.example"])


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8501", "localhost:8501", True),
        ("https://lab.example.org", "lab.example.org", True),
        ("https://lab.example.org", "lab.example.org:443", True),
        ("http://localhost:3000", "localhost:8501", False),
        ("http://localhost", "localhost:8501", False),
        ("https://lab.example.org", "lab.example.org:80", False),
        ("null", "localhost:8501", False),
        ("file://", "localhost:8501", False),
        ("http://localhost:8501.evil.example", "localhost:8501", False),
    ],
)
def test_an_origin_is_compared_with_its_port(origin: str, host: str, same: bool) -> None:
    assert same_origin(origin, host) is same


ANSWERED = [
    ({"host": "localhost:8501"}, "GET"),
    ({"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8501"}, "POST"),
    ({"host": "[::1]:8501", "origin": "http://[::1]:8501"}, "GET"),
    ({"host": "localhost:8501", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, "GET"),
    ({"host": "localhost:8501", "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, "GET"),
    # A link on another site that leads here.
    ({"host": "localhost:8501", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "GET"),
    # Another port through an SSH tunnel.
    ({"host": "localhost:9000", "origin": "http://localhost:9000"}, "POST"),
]
REFUSED = [
    ({"host": "evil.example:8501", "origin": "http://evil.example:8501"}, "POST"),  # DNS rebinding
    ({"host": "evil.example:8501"}, "GET"),
    ({"host": "192.168.1.5:8501"}, "GET"),
    ({}, "GET"),
    ({"host": "localhost:8501", "origin": "http://evil.example"}, "POST"),
    ({"host": "localhost:8501", "origin": "http://evil.example"}, "OPTIONS"),
    ({"host": "localhost:8501", "origin": "http://localhost:3000"}, "POST"),  # another program of this machine
    ({"host": "localhost:8501", "origin": "null"}, "POST"),  # a sandboxed frame
    ({"host": "localhost:8501", "origin": "https://localhost.evil.example"}, "GET"),
    ({"host": "localhost:8501", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, "GET"),
    ({"host": "localhost:8501", "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, "GET"),
    ({"host": "localhost:8501", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "POST"),  # a form
    ({"host": "localhost:8501", "x-forwarded-host": "evil.example"}, "GET"),
    ({"host": "localhost:8501", "x-forwarded-host": "localhost, evil.example"}, "GET"),
]


@pytest.mark.parametrize(("headers", "method"), ANSWERED)
def test_our_own_pages_and_plain_programs_are_answered(headers: Headers, method: str) -> None:
    assert refusal(_raw(headers), method, LOCAL) == ""


@pytest.mark.parametrize(("headers", "method"), REFUSED)
def test_foreign_hosts_and_pages_are_refused(headers: Headers, method: str) -> None:
    assert refusal(_raw(headers), method, LOCAL) != ""


def test_a_second_host_or_origin_header_is_refused() -> None:
    twice = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert refusal(twice, "GET", LOCAL) != ""
    twice = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"origin", b"http://evil.example")]
    assert refusal(twice, "POST", LOCAL) != ""


PUBLIC = ("lab.example.org",)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "lab.example.org", "origin": "https://lab.example.org"},
        {"host": "lab.example.org:8443", "origin": "https://lab.example.org:8443"},
        # nginx without `proxy_set_header Host`: its own name for this machine arrives.
        {"host": "127.0.0.1:8501", "origin": "https://lab.example.org"},
        {"host": "127.0.0.1:8501", "x-forwarded-host": "lab.example.org", "origin": "https://lab.example.org"},
    ],
)
def test_a_proxy_in_front_of_an_allowed_host_works_with_and_without_passing_host(headers: Headers) -> None:
    assert refusal(_raw(headers), "POST", (*LOCAL, *PUBLIC)) == ""
    seen = dict(as_the_browser_sees(_raw(headers), PUBLIC))
    assert seen[b"host"].decode() == headers["origin"].removeprefix("https://")
    assert seen[b"x-forwarded-proto"] == b"https"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "lab.example.org", "origin": "https://lab.example.org:9999"},  # another program of that host
        {"host": "127.0.0.1:8501", "origin": "https://evil.example"},
        {"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:3000"},
    ],
)
def test_allowing_a_host_allows_no_other_page(headers: Headers) -> None:
    assert refusal(_raw(headers), "POST", (*LOCAL, *PUBLIC)) != ""


def test_the_address_of_the_connection_counts_only_where_it_is_given() -> None:
    headers = _raw({"host": "192.168.1.5:8501", "origin": "http://192.168.1.5:8501"})
    assert refusal(headers, "GET", LOCAL) != ""
    assert refusal(headers, "GET", LOCAL, "192.168.1.5") == ""
    assert refusal(_raw({"host": "evil.example"}), "GET", LOCAL, "192.168.1.5") != ""


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({"host": "lab.example.org", "origin": "https://lab.example.org"}, b"https"),
        ({"host": "lab.example.org", "referer": "https://lab.example.org/test_image"}, b"https"),
        ({"host": "lab.example.org", "origin": "http://lab.example.org"}, None),
        ({"host": "lab.example.org", "referer": "https://elsewhere.example"}, None),
        ({"host": "lab.example.org", "origin": "https://lab.example.org", "x-forwarded-proto": "http"}, b"http"),
        ({"host": "lab.example.org"}, None),
    ],
)
def test_the_scheme_the_browser_used_is_passed_on(headers: Headers, scheme: bytes | None) -> None:
    assert dict(as_the_browser_sees(_raw(headers), ())).get(b"x-forwarded-proto") == scheme


def test_a_referer_of_a_foreign_page_changes_nothing() -> None:
    headers = _raw({"host": "127.0.0.1:8501", "referer": "https://evil.example/"})
    assert as_the_browser_sees(headers, PUBLIC) == headers
