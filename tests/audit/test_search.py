"""Was it you? Found in any spelling, at any time, grouped; a trail that does not hold is read with a warning."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from ipaddress import ip_address
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.audit.answer import answer, whole_day
from posture.audit.records import START, written
from posture.audit.search import Asked, Found, search
from posture.net.decisions import Closing
from posture.net.governor import Traffic
from posture.reporters import render
from tests.audit import ADDRESS, Desk, decision


def found(desk: Desk, **asked: Any) -> Found:
    if "address" in asked:
        asked["address"] = ip_address(asked["address"])
    return search(io.BytesIO(desk.path.read_bytes()), Asked(**asked), remembered=None)


def sent(desk: Desk, **asked: Any) -> int:
    return sum(each.connections for each in found(desk, **asked).contacts if each.said["traffic"] != "endpoint")


def test_a_sweep_is_one_line(desk: Desk) -> None:
    with desk.scan() as trail:
        for port in range(1, 201):
            record = trail.decided(decision(desk.tick(), traffic=Traffic.SWEEP, port=port))
            trail.closed(record, Closing(desk.now, "closed" if port % 2 else "filtered"))
        desk.ask(trail, 3)
    sweep, plain = found(desk, address=ADDRESS).contacts

    assert (sweep.connections, len(sweep.ports), sweep.ends) == (200, 200, {"closed": 100, "filtered": 100})
    assert (plain.connections, plain.sent, plain.received) == (3, 1551, 9063)
    assert sweep.first_at == "2026-11-24T12:00:01.000Z"
    assert sweep.last_at == "2026-11-24T12:03:20.000Z"


@pytest.mark.parametrize(
    ("dialled", "asked"),
    [
        ("2001:db8::1", "2001:0DB8:0:0:0:0:0:1"),
        ("2001:db8::1", "2001:DB8::1"),
        ("198.51.100.7", "::ffff:198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("::FFFF:c633:6407", "198.51.100.7"),
    ],
)
def test_an_address_is_found_in_any_spelling(desk: Desk, dialled: str, asked: str) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 2, address=dialled)
        desk.ask(trail, 3, address="198.51.100.70")
        desk.ask(trail, 3, address="2001:db8::10")

    assert sent(desk, address=asked) == 2


def test_selectors_narrow(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 2, asset="www.finance.gov.example")
        desk.ask(trail, 3, asset="finance.gov.example", address="198.51.100.8")

    assert sent(desk) == 5
    assert sent(desk, asset="finance.gov.example") == 3
    assert sent(desk, asset="www.finance.gov.example", address="198.51.100.8") == 0
    assert sent(desk, asset="gov.example") == 0


def test_both_ends_of_the_time_are_included(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 10)

    assert sent(desk, first="2026-11-24T12:00:03.000Z", last="2026-11-24T12:00:05.000Z") == 3
    assert sent(desk, first="2026-11-24T12:00:05.001Z", last="2026-11-24T12:00:05.999Z") == 0
    assert sent(desk, last="2026-11-24T12:00:01.000Z") == 1


def test_an_end_after_the_time_asked_belongs_to_its_beginning(desk: Desk) -> None:
    with desk.scan() as trail:
        record = trail.decided(decision(desk.tick()))
        trail.closed(record, Closing(desk.tick(600), "timeout", 5, 0))
    (one,) = found(desk, address=ADDRESS, last="2026-11-24T12:01:00.000Z").contacts

    assert (one.ends, one.sent) == ({"timeout": 1}, 5)


def test_one_without_an_end_says_so(desk: Desk) -> None:
    with desk.scan() as trail:
        trail.decided(decision(desk.tick()))

    assert found(desk, address=ADDRESS).contacts[-1].ends == {"no end on record": 1}


def test_refusals_are_kept_apart(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail)
        trail.decided(decision(desk.tick(), allowed=False))
    allowed, refused = found(desk, address=ADDRESS).contacts

    assert (allowed.said["allowed"], refused.said["allowed"], refused.said["code"]) == (True, False, "E-SCOPE-020")
    assert refused.ends == {}


def test_answers_brought_by_another_connection_are_no_traffic(desk: Desk) -> None:
    with desk.scan() as trail:
        trail.decided(decision(desk.tick(), connections=0))

    assert (found(desk, address=ADDRESS).shared, found(desk, address=ADDRESS).contacts) == (1, [])


def test_our_own_resolver_was_asked_all_through_the_scan(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 60)
    desk.tick(3600)
    with desk.scan("R-2"):
        desk.tick()
    at = "2026-11-24T12:00:30.000Z"
    (one,) = found(desk, address="192.0.2.53", first=at, last=at).contacts

    assert (one.said["purpose"], one.said["run"][:4], one.ports) == ("resolver", "R-20", {53})
    assert one.last_at == "2026-11-24T12:01:00.000Z"
    assert len(found(desk, address="192.0.2.53").contacts) == 2
    between = "2026-11-24T12:30:00.000Z"
    assert found(desk, address="192.0.2.53", first=between, last=between).contacts == []
    assert found(desk, asset="www.finance.gov.example", first=between, last=between).contacts == []


def test_names_of_owners_come_with_it(desk: Desk) -> None:
    with desk.scan():
        pass

    assert found(desk).owners == {"lc-2026-001": "Ministry of Finance"}


@pytest.mark.parametrize("name", ['a"b', "a\\b", "é.gov.example", "a,b"])
def test_an_assets_name_is_found_as_it_is(desk: Desk, name: str) -> None:
    with desk.scan() as trail:
        desk.ask(trail, asset=name)

    assert sent(desk, asset=name) == 1


def test_a_broken_trail_is_read_to_its_end_and_says_so(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 5)
    desk.rewrite(lambda lines: lines.__setitem__(4, lines[4].replace(b"tcp", b"udp")))
    desk.rewrite(lambda lines: lines.insert(6, b'garbage,"hash":"' + b"0" * 64 + b'"}\n'))

    assert found(desk).broken.startswith("record 5 (line 5) does not follow")
    assert sent(desk, address=ADDRESS) == 5


def test_a_cut_trail_says_so(desk: Desk) -> None:
    with desk.scan():
        pass
    with desk.scan("R-2"):
        pass
    desk.rewrite(lambda lines: lines.__delitem__(slice(4, None)))
    whole = search(io.BytesIO(desk.path.read_bytes()), Asked(), remembered=desk.remembered[-1])

    assert "the end was cut off" in whole.broken
    assert whole.records == 4


def test_the_past_of_a_clock_that_was_set_back_is_found(desk: Desk) -> None:
    """Records stand in the order of writing; a search by time does not rely on the times' order."""
    with desk.scan() as trail:
        desk.ask(trail)
        desk.now = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
        desk.ask(trail)
        desk.now = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
        desk.ask(trail)

    assert sent(desk, first="2026-11-24T10:59:00.000Z", last="2026-11-24T11:01:00.000Z") == 1


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["run", "allowed", "address", "port", "protocol", "connections", "of", "end", "sent", "received", "authorisations",
     "previous", "purpose", "traffic", "asset", "key", "head", "records", "signature", "bytes", "sha256"]
)  # fmt: skip
KINDS = st.sampled_from(["start", "decision", "close", "endpoint", "end", "checkpoint", "torn", "nosuch"])
FORGED = st.lists(st.tuples(KINDS, st.text(max_size=30), st.dictionaries(NAMES, JUNK)), max_size=6)


@given(records=FORGED, noise=st.lists(st.binary(max_size=60), max_size=3))
def test_whatever_somebody_wrote_into_a_trail_it_is_read_and_told(
    records: list[tuple[str, str, dict[str, Any]]], noise: list[bytes]
) -> None:
    """A chain that holds can be made by anybody, as long as nothing in it is signed."""
    head, lines = START, list[bytes]()
    for kind, at, fields in records:
        line, head = written(head, at, kind, fields)
        lines.append(line)
    zone = ZoneInfo("America/St_Lucia")
    when = whole_day(date(2026, 11, 24), zone)
    for content in (b"".join(lines), b"\n".join(lines + noise), b"\n".join(noise) + b"".join(lines)):
        for asked in (Asked(), Asked(address=ip_address(ADDRESS), first="2026", last="2027")):
            told = search(io.BytesIO(content), asked)
            document = answer(told, asked, when, zone=zone, path="x", now=datetime(2027, 1, 1, tzinfo=UTC))
            for output in ("table", "json", "jsonl"):
                render(document, output, io.StringIO())


def test_records_are_what_the_file_says(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 3)
    everything = found(desk)

    assert everything.records == len(desk.lines)
    assert everything.head.seq == json.loads(desk.lines[-1])["seq"]
    assert replace(Asked(), asset="x").needles == ((b'"asset":"x",',),)
