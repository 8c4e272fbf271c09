from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.model import NotSeen, Reason
from posture.net.location import parse_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.gov.example", ("https://www.gov.example/", "www.gov.example", 443)),
        ("HTTP://WWW.Gov.Example./a?b=c#d", ("http://www.gov.example/a?b=c", "www.gov.example", 80)),
        ("https://www.gov.example:8443/x", ("https://www.gov.example:8443/x", "www.gov.example", 8443)),
        ("http://198.51.100.7/", ("http://198.51.100.7/", "198.51.100.7", 80)),
        ("http://[2001:DB8::0:1]/", ("http://[2001:db8::1]/", "2001:db8::1", 80)),
        ("http://[::ffff:127.0.0.1]/", ("http://127.0.0.1/", "127.0.0.1", 80)),
        ("https://_dmarc.xn--9ca.example/", ("https://_dmarc.xn--9ca.example/", "_dmarc.xn--9ca.example", 443)),
    ],
)
def test_a_plain_url_is_read(url: str, expected: tuple[str, str, int]) -> None:
    location = parse_url(url)
    assert (location.url, location.host, location.port) == expected


@pytest.mark.parametrize(
    "url",
    [
        "ftp://www.gov.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//www.gov.example/",
        "/relative",
        "",
        "http://",
        "http://user@www.gov.example/",
        "http://www.gov.example@169.254.169.254/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.01/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://www.gov.example:99999/",
        "http://www.gov.example:x/",
        "http://www.gov.example\\@127.0.0.1/",
        "http://www.gov.example/\r\nHost: evil",
        "http://www.gov example/",
        "http://wwẃ.gov.example/",
        "http://-a.example/",
        "http://a..example/",
        "http://www.gov.example/" + "a" * 3000,
    ],
)
def test_an_odd_url_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(NotSeen) as caught:
        parse_url(url)
    assert caught.value.reason is Reason.OUT_OF_SCOPE
    assert caught.value.code == "E-SCOPE-022"


@given(st.text(max_size=60).map(lambda tail: "http://" + tail) | st.text(max_size=60))
def test_any_text_is_read_or_refused(url: str) -> None:
    try:
        location = parse_url(url)
    except NotSeen:
        return
    assert parse_url(location.url) == location
