"""Every parser of scanned text is done at once, whatever the text: the loop that runs it keeps all other clocks too."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from posture.facts import parse_caa, parse_dmarc, parse_http, parse_securitytxt, parse_service, parse_spf

# A guard, of processor time: all texts together take a parser a second or two, and what this is about takes much longer.
GUARD_SECONDS = 5
LONG = 32_000


@contextmanager
def _guarded() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError("a parser holds up the whole scan")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, GUARD_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


PARSERS: tuple[Callable[[str], object], ...] = (
    parse_securitytxt.parse,
    parse_dmarc.parse_dmarc,
    parse_dmarc.resembles_dmarc,
    parse_spf.parse_spf,
    parse_caa.parse_issuer,
    lambda text: parse_http.hsts_max_age(text),
    lambda text: parse_http.steady("content-security-policy", text),
    lambda text: parse_service.recognise(text.encode()),
    lambda text: parse_service.telnet(text.encode()),
)
STARTS = ("", "a:", "v=DMARC1;p", "v=spf1 exists:", "220 ", "ca.example;a=", 'max-age="', "contact:")
REPEATED = (" ", "\t", "a", "a-", "1.", ";", " ;", "\\", "%{d", "/", "=", "'nonce-", "mailto:", " SMTP")


@pytest.mark.parametrize("parser", PARSERS)
def test_no_text_keeps_a_parser_busy(parser: Callable[[str], object]) -> None:
    with _guarded():
        for start in STARTS:
            for piece in REPEATED:
                for end in ("", "!", "\x00"):
                    with suppress(ValueError):
                        parser(start + piece * (LONG // len(piece)) + end)
