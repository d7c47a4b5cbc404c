from __future__ import annotations

import pytest

from dashboard.access.gradio_gate import with_public_address


@pytest.mark.parametrize(
    ("sent", "mounted", "expected"),
    [
        ({"host": "lab.org"}, "/gradio", ("", "lab.org/gradio")),
        ({"host": "lab.org"}, "/base/gradio", ("", "lab.org/base/gradio")),
        ({"host": "lab.org", "x-forwarded-proto": "https"}, "/gradio", ("https", "lab.org/gradio")),
        # a proxy that takes a prefix away: the page around the tab, then the tab itself
        ({"host": "hub", "referer": "http://hub/me/33/test_image"}, "/gradio", ("http", "hub/me/33/gradio")),
        ({"host": "hub", "referer": "http://hub/me/33/gradio/?run=a"}, "/gradio", ("http", "hub/me/33/gradio")),
        # one that drops the host as well
        ({"host": "::1", "sec-fetch-site": "same-origin", "referer": "https://h/gradio/"}, "/gradio", ("https", "h/gradio")),
        # a folder that is named like the tab
        ({"host": "hub", "referer": "http://hub/gradio/test_image"}, "/gradio", ("http", "hub/gradio")),
        # pages of other sites, and nonsense, say nothing of ours
        ({"host": "lab.org", "referer": "http://evil.org/x/gradio/"}, "/gradio", ("", "lab.org/gradio")),
        ({"host": "lab.org", "sec-fetch-site": "cross-site", "referer": "http://evil.org/"}, "/gradio", ("", "lab.org/gradio")),
        ({"host": "lab.org", "referer": "http://lab.org/a b<c>/gradio/"}, "/gradio", ("", "lab.org/gradio")),
        ({"host": "lab.org", "referer": "http://[::1/gradio/"}, "/gradio", ("", "lab.org/gradio")),
        ({"host": "lab.org", "referer": "about:blank"}, "/gradio", ("", "lab.org/gradio")),
    ],
)  # fmt: skip
def test_gradio_hears_the_address_that_the_browser_sees(sent: dict[str, str], mounted: str, expected: tuple[str, str]) -> None:
    place, headers = with_public_address([(name.encode(), value.encode()) for name, value in sent.items()], mounted)
    found = dict(headers)
    assert (found.get(b"x-forwarded-proto", b"").decode(), found[b"x-forwarded-host"].decode()) == expected
    assert expected[1].endswith(place)


@pytest.mark.parametrize("name", ["X-Gradio-Server", "x-gradio-server", "X-Forwarded-Host"])
def test_a_request_does_not_choose_the_root_of_gradio(name: str) -> None:
    _, headers = with_public_address([(b"host", b"lab.org"), (name.encode(), b"http://evil.example/gradio")], "/gradio")
    assert not any(b"evil" in value for _, value in headers)
