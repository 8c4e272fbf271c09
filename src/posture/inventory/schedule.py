"""Ports and weekly windows as people write them: ``1-1024``, ``8443/https``, ``Mon-Fri 08:00-17:00``. Parsers raise Fault."""

from __future__ import annotations

import re
from typing import NamedTuple

from posture.inventory.reading import Fault, meant
from posture.inventory.records import Port

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
HIGHEST_PORT = 65535
# What may stand behind a declared port's slash besides tcp and udp: how TLS starts there, or what answers.
SERVICES = (
    "https",
    "tls",
    "http",
    "ssh",
    "smtp",
    "imap",
    "pop3",
    "ftp",
    "dns",
    "ldap",
    "rdp",
    "sip",
    "xmpp",
    "postgres",
)

_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([a-z0-9]+))?")
_WINDOW = re.compile(r"([A-Za-z, -]+?)\s+([0-9]{2}):([0-9]{2})\s*-\s*([0-9]{2}):([0-9]{2})")


class Window(NamedTuple):
    """Weekdays (0 = Monday) and minutes of the day [start, end)."""

    weekdays: frozenset[int]
    start: int
    end: int


def parse_port(text: str) -> Port:
    """A declared port: ``443``, ``8443/https``, ``161/udp``.

    Raises:
        Fault: INV-026.
    """
    match = _RANGE.fullmatch(text.strip().lower())
    if match is None or match[2]:
        raise Fault("INV-026", f"is not a port: {text[:40]!r}.", 'Write 443, "8443/https" or "161/udp".')
    number, suffix = _number(match[1]), match[3] or "tcp"
    if suffix in ("tcp", "udp"):
        return Port(number, suffix)
    if suffix not in SERVICES:
        known = ("tcp", "udp", *SERVICES)
        raise Fault(
            "INV-026", f"has an unknown suffix: {text[:40]!r}.{meant(suffix, known)}", f"Known: {', '.join(known)}."
        )
    return Port(number, "tcp", suffix)


def parse_port_range(text: str) -> tuple[int, int, str]:
    """An authorised port or range, (low, high, protocol); protocol "" covers TCP and UDP.

    Raises:
        Fault: INV-026.
    """
    match = _RANGE.fullmatch(text.strip().lower())
    if match is None or match[3] not in (None, "tcp", "udp"):
        raise Fault("INV-026", f"is not a port or range: {text[:40]!r}.", 'Write "443", "1-1024" or "161/udp".')
    low = _number(match[1])
    high = _number(match[2]) if match[2] else low
    if high < low:
        raise Fault("INV-026", f"ends before it starts: {text!r}.", f'Write "{high}-{low}", if that is meant.')
    return low, high, match[3] or ""


def _number(text: str) -> int:
    number = int(text)
    if not 1 <= number <= HIGHEST_PORT:
        raise Fault("INV-026", f"{number} is not a port: they go from 1 to {HIGHEST_PORT}.", "Correct the number.")
    return number


def parse_windows(text: str) -> tuple[Window, ...]:
    """A weekly window; one that crosses midnight becomes two.

    Raises:
        Fault: INV-024.
    """
    advice = 'Write "Mon-Fri 08:00-17:00", "Sat,Sun 00:00-24:00" or "Daily 22:00-06:00".'
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise Fault("INV-024", f"is not a weekly window: {text[:60]!r}.", advice)
    weekdays = _weekdays(match[1], advice)
    start, end = _minutes(match[2], match[3], advice), _minutes(match[4], match[5], advice)
    if start in (end, DAY_MINUTES):
        raise Fault("INV-024", f"is an empty window: {text[:60]!r}.", advice)
    if start < end:
        return (Window(weekdays, start, end),)
    before = Window(weekdays, start, DAY_MINUTES)
    after = Window(frozenset((day + 1) % 7 for day in weekdays), 0, end)
    return (before, after) if end else (before,)


def _minutes(hours: str, minutes: str, advice: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > DAY_MINUTES:
        raise Fault("INV-024", f"{hours}:{minutes} is not a time of day.", advice)
    return total


def _weekdays(text: str, advice: str) -> frozenset[int]:
    if text.strip().lower() in ("daily", "every day"):
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = (word.strip().lower() for word in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise Fault("INV-024", f"{part.strip()!r} is not a day or a span of days.", advice)
        start = DAYS.index(first)
        length = (DAYS.index(last) - start) % 7 if dash else 0
        days.update((start + step) % 7 for step in range(length + 1))
    return frozenset(days)
