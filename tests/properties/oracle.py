"""Who may be asked what: the authorisation written down again, slowly, from its description and not from its code.

No caches, no early way out, addresses as integers and networks as ranges of them, times as text. Only the words of the
inventory are shared with what is tested.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# first address, last address: what is nobody's public server, and what hides an IPv4 address.
SPECIAL = (
    *("0.0.0.0-0.255.255.255", "10.0.0.0-10.255.255.255", "100.64.0.0-100.127.255.255", "127.0.0.0-127.255.255.255"),
    *("169.254.0.0-169.254.255.255", "172.16.0.0-172.31.255.255", "192.0.0.0-192.0.0.255", "192.0.2.0-192.0.2.255"),
    *("192.168.0.0-192.168.255.255", "198.18.0.0-198.19.255.255", "198.51.100.0-198.51.100.255"),
    *("203.0.113.0-203.0.113.255", "224.0.0.0-255.255.255.255", "168.63.129.16-168.63.129.16"),
    *(
        "::-::1",
        "::ffff:0:0-::ffff:ffff:ffff",
        "64:ff9b::-64:ff9b::ffff:ffff",
        "2001:db8::-2001:db8:ffff:" + "ffff:" * 4 + "ffff",
    ),
    *(
        "2002::-2002:" + "ffff:" * 6 + "ffff",
        "fc00::-fdff:" + "ffff:" * 6 + "ffff",
        "fe80::-febf:" + "ffff:" * 6 + "ffff",
    ),
    *("ff00::-ffff:" + "ffff:" * 6 + "ffff",),
)


@dataclass(frozen=True)
class Letter:
    """An authorisation in the words of the inventory."""

    id: str
    reference: str
    not_before: date
    not_after: date
    classes: tuple[str, ...]
    zones: tuple[str, ...]
    exclude: tuple[str, ...]
    networks: tuple[str, ...]
    hosted: bool
    ports: tuple[str, ...]
    lab: bool
    parties: tuple[tuple[str, tuple[str, ...]], ...]  # network, classes
    blackouts: tuple[tuple[str, tuple[str, ...]], ...]  # when, classes


@dataclass(frozen=True)
class Question:
    name: str
    address: str | None
    port: int | None
    protocol: str
    probe_class: str
    at: datetime
    nameserver_of: str | None = None
    mx_of: str | None = None


def may_be_asked(
    letters: Sequence[Letter], question: Question, timezone: str, *, lab: bool, stopped: Sequence[tuple[str, str]] = ()
) -> set[str]:
    """Ids of the letters that permit it; nothing permits what was stopped.

    Args:
        stopped: ("everything", ""), ("address", A) or ("authorisation", ID).
    """
    for kind, what in stopped:
        if kind == "everything":
            return set()
        if kind == "address" and number(what) in {number(question.address), number(question.name)}:
            return set()
    return {
        letter.id
        for letter in letters
        if ("authorisation", letter.id) not in stopped and permits(letter, question, timezone, lab=lab)
    }


def permits(letter: Letter, question: Question, timezone: str, *, lab: bool) -> bool:
    local = question.at.astimezone(ZoneInfo(timezone))
    today = local.strftime("%Y-%m-%d")
    conditions = [
        not letter.reference.upper().startswith("DRAFT"),
        str(letter.not_before) <= today <= str(letter.not_after),
        not any(question.probe_class in classes and blacked_out(when, local) for when, classes in letter.blackouts),
        question.probe_class in letter.classes,
        name_is_covered(letter, question),
        address_is_sound(letter, question, lab=lab),
        bool(basis(letter, question)),
        port_is_covered(letter, question),
    ]
    return all(conditions)


def number(text: str | None) -> tuple[int, int] | None:
    """(version, integer) of an address in its ordinary spelling; an IPv4 address inside IPv6 stays what it is written as."""
    if text is None:
        return None
    if re.fullmatch(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}", text):
        parts = [int(part) for part in text.split(".")]
        if max(parts) > 255:
            return None
        return 4, sum(part * 256 ** (3 - place) for place, part in enumerate(parts))
    return _number6(text)


def _number6(text: str) -> tuple[int, int] | None:
    if ":" not in text or "%" in text:
        return None
    head, dots, tail = text.rpartition(":")
    if "." in tail:
        v4 = number(tail)
        if v4 is None or v4[0] != 4:
            return None
        text = f"{head}{dots}{v4[1] >> 16:x}:{v4[1] & 0xFFFF:x}"
    halves = text.split("::")
    if len(halves) > 2:
        return None
    groups = [half.split(":") if half else [] for half in halves]
    missing = 8 - sum(map(len, groups))
    if (len(halves) == 1 and missing) or (len(halves) == 2 and missing < 1):
        return None
    whole = groups[0] + ["0"] * missing + (groups[1] if len(halves) == 2 else [])
    if not all(re.fullmatch(r"[0-9a-fA-F]{1,4}", group) for group in whole):
        return None
    return 6, sum(int(group, 16) << (16 * (7 - place)) for place, group in enumerate(whole))


def within(address: tuple[int, int], network: str) -> bool:
    base, _, length = network.partition("/")
    found = number(base)
    assert found is not None
    bits = 32 if found[0] == 4 else 128
    size = 2 ** (bits - int(length))
    return address[0] == found[0] and found[1] <= address[1] < found[1] + size


def is_special(address: tuple[int, int]) -> bool:
    for span in SPECIAL:
        first, last = (number(end) for end in span.split("-"))
        assert first is not None
        assert last is not None
        if address[0] == first[0] and first[1] <= address[1] <= last[1]:
            return True
    return False


def blacked_out(when: str, local: datetime) -> bool:
    """Whether a wall clock in the State shows a time of the window, or did before and will again within four hours.

    The second is the night on which clocks go back, and no other: windows of the tests are further apart.
    """
    if _shown(when, local):
        return True
    at = local.astimezone(UTC)
    offsets = {(at + timedelta(hours=hours)).astimezone(local.tzinfo).utcoffset() for hours in (-4, 4)}
    if len(offsets) == 1:
        return False
    around = [(at + timedelta(minutes=minutes)).astimezone(local.tzinfo) for minutes in range(-240, 241)]
    return any(_shown(when, each) for each in around[:240]) and any(_shown(when, each) for each in around[241:])


def _shown(when: str, local: datetime) -> bool:
    """One that ends before it starts ends the day after."""
    days, hours = when.split(" ")
    start, end = hours.split("-")
    clock = f"{local.hour:02d}:{local.minute:02d}"
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if start < end:
        return today in _days(days) and start <= clock < end
    return (today in _days(days) and clock >= start) or (yesterday in _days(days) and clock < end)


def _days(text: str) -> list[str]:
    if text == "Daily":
        return list(DAYS)
    found: list[str] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        day = DAYS.index(first)
        found.append(first)
        while last and DAYS[day % 7] != last:
            day += 1
            found.append(DAYS[day % 7])
    return found


def below(name: str, zones: Sequence[str]) -> bool:
    labels = name.lower().rstrip(".").split(".")
    return any(labels[-len(zone.split(".")) :] == zone.split(".") for zone in zones)


def _on_behalf_of(question: Question) -> str | None:
    """The zone whose name server (port 53) or mail exchanger (port 25) is asked."""
    if question.nameserver_of and question.port in (None, 53):
        return question.nameserver_of
    if question.mx_of and question.port in (None, 25):
        return question.mx_of
    return None


def name_is_covered(letter: Letter, question: Question) -> bool:
    own = number(question.name)
    if own is not None:  # an asset that is an address: it answers for itself and for nothing else
        return question.address is None or number(question.address) == own
    if below(question.name, letter.exclude):
        return False
    covered = _on_behalf_of(question) or question.name
    return below(covered, letter.zones) and not below(covered, letter.exclude)


def address_is_sound(letter: Letter, question: Question, *, lab: bool) -> bool:
    if question.address is not None and number(question.address) is None:
        return False
    literal = number(question.address) or number(question.name)
    return literal is None or not is_special(literal) or (lab and letter.lab)


def basis(letter: Letter, question: Question) -> str:
    """Why this address: "" for no reason at all."""
    literal = number(question.address) or number(question.name)
    if literal is None:
        return "resolver"
    if any(within(literal, network) for network in letter.networks):
        return "networks"
    if any(within(literal, network) and question.probe_class in classes for network, classes in letter.parties):
        return "third_party"
    if number(question.name) is not None:
        return ""
    if question.nameserver_of and question.port == 53 and question.probe_class == "passive":
        return "nameserver"
    return "hosted" if letter.hosted and question.probe_class == "client" else ""


def port_is_covered(letter: Letter, question: Question) -> bool:
    if question.address is None:
        return question.port is None
    if question.nameserver_of and question.port == 53 and question.probe_class == "passive":
        return True
    if question.port is None:
        return False
    for text in letter.ports:
        span, _, protocol = text.partition("/")
        low, _, high = span.partition("-")
        if int(low) <= question.port <= int(high or low) and protocol in ("", question.protocol):
            return True
    return False
