from __future__ import annotations

import pytest

from posture.inventory.reading import Fault
from posture.inventory.records import Port
from posture.inventory.schedule import Window, parse_port, parse_port_range, parse_windows


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("443", Port(443)),
        ("8443/https", Port(8443, "tcp", "https")),
        ("8443/TLS", Port(8443, "tcp", "tls")),
        ("161/udp", Port(161, "udp")),
        ("53/tcp", Port(53)),
    ],
)
def test_declared_ports(text: str, port: Port) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize(
    "text", ["0", "65536", "999999", "80-90", "http", "443/htps", "", "-1", "80/", "\uff14\uff14\uff13"]
)
def test_what_is_no_declared_port(text: str) -> None:
    with pytest.raises(Fault, match=r"port|suffix") as caught:
        parse_port(text)
    assert caught.value.code == "INV-026"


def test_a_misspelt_suffix_is_guessed() -> None:
    with pytest.raises(Fault, match="Did you mean 'https'"):
        parse_port("443/htps")


@pytest.mark.parametrize(
    ("text", "expected"), [("25", (25, 25, "")), ("1-1024", (1, 1024, "")), ("161/udp", (161, 161, "udp"))]
)
def test_authorised_ports(text: str, expected: tuple[int, int, str]) -> None:
    assert parse_port_range(text) == expected


@pytest.mark.parametrize("text", ["1024-1", "0-10", "1-70000", "443/https", "all", "1-2-3"])
def test_what_is_no_authorised_port(text: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_port_range(text)
    assert caught.value.code == "INV-026"


WORKDAYS = frozenset(range(5))


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("Mon-Fri 08:00-17:00", (Window(WORKDAYS, 480, 1020),)),
        ("Sat,Sun 00:00-24:00", (Window(frozenset({5, 6}), 0, 1440),)),
        ("sat, mon 09:30-10:00", (Window(frozenset({0, 5}), 570, 600),)),
        ("Fri-Mon 08:00-09:00", (Window(frozenset({4, 5, 6, 0}), 480, 540),)),
        ("Daily 01:00-02:00", (Window(frozenset(range(7)), 60, 120),)),
        ("Sun 22:00-06:00", (Window(frozenset({6}), 1320, 1440), Window(frozenset({0}), 0, 360))),
        ("Sun 22:00-00:00", (Window(frozenset({6}), 1320, 1440),)),
    ],
)
def test_weekly_windows(text: str, windows: tuple[Window, ...]) -> None:
    assert parse_windows(text) == windows


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mon",
        "Mon-Fri",
        "08:00-17:00",
        "Mon 8:00-17:00",
        "Mon 08:00-25:00",
        "Mon 08:60-09:00",
        "Mon 08:00-08:00",
        "Mon 24:00-06:00",
        "Foo 08:00-09:00",
        "Mon-Foo 08:00-09:00",
        "Mon,, 08:00-09:00",
        "Mon 08:00-24:01",
    ],
)
def test_what_is_no_weekly_window(text: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_windows(text)
    assert caught.value.code == "INV-024"
