"""A random authorisation and a random question: the scope decides as the slow, obvious oracle does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posture.inventory.records import Authorisation, Blackout, Inventory, Ministry, Operator, State, ThirdParty
from posture.inventory.schedule import parse_port_range, parse_windows
from posture.model import ProbeClass
from posture.scope import Grant, Scope
from posture.stop import Order, Orders
from tests.properties import oracle
from tests.properties.oracle import Letter, Question

# Zones with a change of the clock in either half of the year, by half an hour, and without one.
ZONES = ("America/St_Lucia", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Europe/London", "UTC")
CLASSES = ("passive", "client", "active", "intrusive")
NAMES = (
    "finance.gov.example",
    "www.finance.gov.example",
    "WWW.Finance.GOV.example.",
    "hr.finance.gov.example",
    "a.hr.finance.gov.example",
    "nothr.finance.gov.example",
    "evilfinance.gov.example",
    "gov.example",
    "health.gov.example",
    "mx.provider.example",
    "11.22.33.44",
    "2a00:1450::7",
)
ADDRESSES = (
    "11.22.33.44",
    "11.22.33.200",
    "11.22.34.1",
    "44.55.66.77",
    "2a00:1450::7",
    "2a00:1450:1::9",
    "127.0.0.1",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "192.168.7.7",
    "198.51.100.7",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.251",
    "168.63.129.16",
    "::",
    "::1",
    "::ffff:11.22.33.44",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::11.22.33.44",
    "2002:0b16:212c::1",
    "fd00:ec2::254",
    "fe80::1",
    "2001:db8::1",
    # Spellings that some resolver or library somewhere takes for an address.
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.1",
    "11.22.33.44.",
    "11.22.33.044",
    "fe80::1%eth0",
    "[::1]",
    "11.22.33.44:80",
    "",
    "localhost",
)
NETWORKS = (
    "11.22.33.0/24",
    "11.22.33.44/32",
    "44.55.0.0/16",
    "2a00:1450::/48",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "::ffff:0:0/96",
)
PORTS = ("53", "25", "80", "443", "1-1024", "161/udp", "8000-8100/tcp")
WINDOWS = ("Mon-Fri 08:00-17:00", "Daily 22:00-06:00", "Sat,Sun 00:00-24:00", "Fri-Mon 01:30-02:30", "Sun 23:00-03:00")

some_classes = st.lists(st.sampled_from(CLASSES), unique=True).map(tuple)
# Few days, so that a question often falls on the first or the last one of a letter.
DAYS = (date(2026, 3, 7), date(2026, 3, 8), date(2026, 6, 30), date(2026, 11, 1))
dates = st.sampled_from(DAYS)
# Mostly within the letter's dates, often at an edge of a day, of a window, or of a change of the clock.
instants = st.one_of(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.builds(
        lambda day, hours, minutes: (
            datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours, minutes=minutes - 1)
        ),
        dates,
        st.integers(-14, 14),
        st.sampled_from([0, 1, 59, 60, 61, 90, 91, 150, 151, 180, 360, 361, 480, 481, 1020, 1021, 1320, 1381, 1440]),
    ),
)
letters = st.builds(
    Letter,
    id=st.just(""),
    reference=st.sampled_from(["Letter 41", "Letter 41", "Letter 41", "DRAFT", "draft 7"]),
    not_before=st.one_of(st.just(date(2026, 1, 1)), dates),
    not_after=st.one_of(st.just(date(2027, 12, 31)), dates),
    classes=some_classes,
    zones=st.lists(st.sampled_from(["finance.gov.example", "gov.example", "health.gov.example"]), unique=True).map(
        tuple
    ),
    exclude=st.lists(st.sampled_from(["hr.finance.gov.example", "health.gov.example"]), unique=True).map(tuple),
    networks=st.lists(st.sampled_from(NETWORKS), unique=True).map(tuple),
    hosted=st.booleans(),
    ports=st.lists(st.sampled_from(PORTS), unique=True).map(tuple),
    lab=st.booleans(),
    parties=st.lists(st.tuples(st.sampled_from(NETWORKS), some_classes), max_size=2).map(tuple),
    blackouts=st.lists(st.tuples(st.sampled_from(WINDOWS), some_classes), max_size=2).map(tuple),
)
questions = st.builds(
    Question,
    name=st.sampled_from(NAMES),
    address=st.one_of(st.none(), st.sampled_from(ADDRESSES), st.sampled_from(ADDRESSES[:6])),
    port=st.one_of(st.none(), st.sampled_from([25, 53, 80, 161, 443, 1024, 1025, 8000, 8101])),
    protocol=st.sampled_from(["tcp", "udp"]),
    probe_class=st.sampled_from(CLASSES),
    at=instants,
    nameserver_of=st.sampled_from([None, None, "finance.gov.example", "elsewhere.example"]),
    mx_of=st.sampled_from([None, None, "finance.gov.example", "elsewhere.example"]),
)
orders = st.lists(
    st.one_of(
        st.just(("everything", "")),
        st.tuples(st.just("address"), st.sampled_from(ADDRESSES[:6])),
        st.tuples(st.just("authorisation"), st.sampled_from(["letter-0", "letter-1"])),
    ),
    max_size=1,
)


def authorisation(letter: Letter) -> Authorisation:
    """The letter as the inventory would read it."""
    return Authorisation(
        id=letter.id,
        owner="Ministry",
        officer="Permanent Secretary",
        basis="consent",
        reference=letter.reference,
        not_before=letter.not_before,
        not_after=letter.not_after,
        classes=_classes(letter.classes),
        zones=letter.zones,
        exclude=letter.exclude,
        networks=tuple(map(ip_network, letter.networks)),
        hosted_classes=frozenset({ProbeClass.CLIENT}) if letter.hosted else frozenset(),
        ports=tuple(map(parse_port_range, letter.ports)),
        lab=letter.lab,
        third_parties=tuple(
            ThirdParty("CloudCo", (ip_network(network),), _classes(classes), "ticket")
            for network, classes in letter.parties
        ),
        blackouts=tuple(
            Blackout(when, window.weekdays, window.start, window.end, _classes(classes))
            for when, classes in letter.blackouts
            for window in parse_windows(when)
        ),
    )


def _classes(names: Sequence[str]) -> frozenset[ProbeClass]:
    return frozenset(map(ProbeClass, names))


def scope_of(written: Sequence[Letter], timezone: str, *, lab: bool, stopped: Sequence[tuple[str, str]] = ()) -> Scope:
    given_orders = tuple(
        Order(
            "test", authorisation=what if kind == "authorisation" else None, address=what if kind == "address" else None
        )
        for kind, what in stopped
    )
    inventory = Inventory(
        path=Path("inventory.toml"),
        state=State("ZZ", "Example Islands", timezone),
        operator=Operator("CERT", "soc@cert.gov.example"),
        authorisations={letter.id: authorisation(letter) for letter in written},
        ministries=(Ministry("finance", "Finance", tuple(letter.id for letter in written)),),
        assets=(),
    )
    return Scope(inventory, lab=lab, orders=lambda: Orders(given_orders))


def decided(scope: Scope, question: Question) -> str | None:
    """The id of the authorisation that grants, None when refused."""
    outcome = scope.decide(
        ministry="finance",
        name=question.name,
        address=question.address,
        port=question.port,
        protocol=question.protocol,
        probe_class=ProbeClass(question.probe_class),
        at=question.at,
        nameserver_of=question.nameserver_of,
        mx_of=question.mx_of,
    )
    return outcome.authorisation if isinstance(outcome, Grant) else None


def _numbered(written: Sequence[Letter]) -> list[Letter]:
    return [replace(letter, id=f"letter-{place}") for place, letter in enumerate(written)]


@settings(max_examples=800, deadline=None)
@given(
    written=st.lists(letters, max_size=2).map(_numbered),
    question=questions,
    timezone=st.sampled_from(ZONES),
    lab=st.booleans(),
    stopped=orders,
)
def test_the_scope_decides_as_the_oracle(
    written: list[Letter], question: Question, timezone: str, lab: bool, stopped: list[tuple[str, str]]
) -> None:
    expected = oracle.may_be_asked(written, question, timezone, lab=lab, stopped=stopped)

    given_by = decided(scope_of(written, timezone, lab=lab, stopped=stopped), question)

    assert (given_by in expected) if given_by else not expected


GENEROUS = Letter(
    id="letter-0",
    reference="Letter 41",
    not_before=date(2026, 1, 1),
    not_after=date(2027, 12, 31),
    classes=CLASSES,
    zones=("gov.example",),
    exclude=("hr.finance.gov.example",),
    # Also where nobody may look: special-purpose addresses are refused in any network.
    networks=("11.22.33.0/24", "2a00:1450::/48", "0.0.0.0/1", "128.0.0.0/1", "::/3"),
    hosted=False,
    ports=("1-1024",),
    lab=False,
    parties=(("44.55.0.0/16", ("client",)),),
    blackouts=(),
)


@settings(max_examples=600, deadline=None)
@given(
    question=questions,
    lab=st.booleans(),
    permissive=st.booleans(),
    first=st.one_of(st.just(date(2026, 1, 1)), dates),
    last=st.one_of(st.just(date(2027, 12, 31)), dates),
    timezone=st.sampled_from(ZONES),
)
@example(
    question=Question("www.gov.example", "11.22.33.44", 443, "tcp", "client", datetime(2026, 3, 8, 1, tzinfo=UTC)),
    lab=False,
    permissive=False,
    first=date(2026, 3, 8),
    last=date(2026, 3, 8),
    timezone="UTC",
)
def test_a_generous_letter_grants_what_it_says_and_no_more(
    question: Question, lab: bool, permissive: bool, first: date, last: date, timezone: str
) -> None:
    """Random letters refuse nearly everything; this one grants a good part of what it is asked."""
    letter = replace(GENEROUS, lab=permissive, hosted=permissive, not_before=first, not_after=last)
    expected = oracle.may_be_asked([letter], question, timezone, lab=lab)

    assert ({decided(scope_of([letter], timezone, lab=lab), question)} - {None}) == expected


@pytest.mark.parametrize("span", oracle.SPECIAL)
def test_special_addresses_are_refused_from_the_first_to_the_last(span: str) -> None:
    """In any network, unless both the letter and the command line say that it is a lab; their neighbours are not."""
    first, last = map(ip_address, span.split("-"))
    inside = [first, first + (int(last) - int(first)) // 2, last]
    beside = (
        [each for each in (first - 1, last + 1) if each.version == 4]
        if int(first) > 0 and int(last) < 2**32 - 1
        else []
    )

    for address in [*inside, *beside]:
        question = Question("www.gov.example", str(address), 443, "tcp", "client", datetime(2026, 6, 1, tzinfo=UTC))
        for lab in (False, True):
            letter = replace(GENEROUS, lab=lab, networks=("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"))
            expected = oracle.may_be_asked([letter], question, "UTC", lab=lab)
            assert bool(decided(scope_of([letter], "UTC", lab=lab), question)) == bool(expected), address
            assert decided(scope_of([letter], "UTC", lab=False), question) is None or not oracle.is_special(
                oracle.number(str(address)) or (4, 0)
            )


@pytest.mark.parametrize("address", [each for each in ADDRESSES if oracle.number(each) is None])
def test_odd_spellings_are_no_addresses_even_in_a_lab(address: str) -> None:
    letter = replace(GENEROUS, lab=True, networks=("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"))
    question = Question("www.gov.example", address, 443, "tcp", "client", datetime(2026, 6, 1, tzinfo=UTC))

    assert decided(scope_of([letter], "UTC", lab=True), question) is None


@pytest.mark.parametrize("timezone", ["America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Europe/London"])
@pytest.mark.parametrize("when", ["Sun 01:30-02:30", "Sat,Sun 23:30-00:30", "Daily 02:00-03:00", "Sun 00:00-24:00"])
def test_a_blackout_follows_the_wall_clock_through_every_change_of_it(timezone: str, when: str) -> None:
    """Minute by minute through the days on which the clock of that place jumps."""
    letter = replace(GENEROUS, blackouts=((when, CLASSES),))
    scope = scope_of([letter], timezone, lab=False)
    changes = _changes(timezone)
    assert len(changes) >= 2

    for change in changes:
        for minutes in range(-26 * 60, 27 * 60, 7):
            at = change + timedelta(minutes=minutes)
            question = Question("www.gov.example", "11.22.33.44", 443, "tcp", "client", at)
            assert (decided(scope, question) is None) == oracle.blacked_out(when, at.astimezone(ZoneInfo(timezone))), at


def _changes(timezone: str) -> list[datetime]:
    """The hours of 2026 in which the offset from UTC changes."""
    zone = ZoneInfo(timezone)
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(365 * 24)]
    return [
        late
        for early, late in pairwise(hours)
        if early.astimezone(zone).utcoffset() != late.astimezone(zone).utcoffset()
    ]
