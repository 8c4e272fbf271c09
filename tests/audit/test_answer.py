"""The sentence: yes by whom and under which letter, no for which time, or that the trail cannot tell."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from posture.audit.answer import When, answer, around, limits, whole_day
from posture.audit.records import Head
from posture.audit.search import Asked, search
from posture.net.decisions import Closing
from posture.net.governor import Traffic
from tests.audit import ADDRESS, RUN, Desk, decision
from tests.cli.line import valid

ZONE = ZoneInfo("America/St_Lucia")  # UTC-4 all year
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def told(
    desk: Desk, when: When | None = None, *, address: str | None = ADDRESS, asset: str | None = None, **options: Any
) -> dict[str, Any]:
    first, last = limits(when)
    asked = Asked(asset, ip_address(address) if address else None, first, last)
    found = search(io.BytesIO(desk.path.read_bytes()), asked, remembered=options.pop("remembered", None))
    document = answer(found, asked, when, zone=ZONE, path="posture.db.audit.jsonl", now=NOW)
    valid({**document, "contacts": [{**row, "name": "", "address": ""} for row in document["contacts"]]})
    return document


@pytest.fixture
def kept(desk: Desk) -> Desk:
    with desk.scan() as trail:
        desk.ask(trail, 3)
        for port in (22, 23, 80):
            trail.closed(
                trail.decided(decision(desk.tick(), traffic=Traffic.SWEEP, port=port)), Closing(desk.now, "open")
            )
        trail.decided(decision(desk.tick(), allowed=False))
    return desk


def test_yes_in_one_sentence(kept: Desk) -> None:
    assert told(kept)["answer"] == (
        "Yes: 3 connections and 3 port-sweep connections to 198.51.100.7 by run R-20261124T120000Z-4f2a under "
        "lc-2026-001 of Ministry of Finance, from 2026-11-24 08:00:01 to 08:00:06 (America/St_Lucia). "
        "1 attempt was refused by posture itself and not sent."
    )


def test_no_in_one_sentence(kept: Desk) -> None:
    assert told(kept, whole_day(date(2026, 11, 24), ZONE), address="198.51.100.99")["answer"].startswith(
        "No: nothing was sent to 198.51.100.99 on 2026-11-24 (America/St_Lucia); "
        "the trail covers from 2026-11-24 08:00:00 to 08:00:07."
    )


def test_only_refused_is_no(kept: Desk) -> None:
    at = around(datetime(2026, 11, 24, 8, 0, 7), 0, ZONE)
    document = told(kept, When(at.words, at.first, at.first))

    assert document["answer"].startswith("No: nothing was sent to 198.51.100.7 between 2026-11-24 08:00:07 and ")
    assert document["answer"].endswith("1 attempt was refused by posture itself and not sent.")
    assert [row["allowed"] for row in document["contacts"]] == [False]


def test_after_the_last_record_nothing_was_sent(kept: Desk) -> None:
    said = told(kept, whole_day(date(2026, 11, 28), ZONE))["answer"]

    assert said == (
        "No: nothing was sent to 198.51.100.7 on 2026-11-28 (America/St_Lucia); "
        "no scan has begun since the trail's last record, at 2026-11-24 08:00:07."
    )


def test_before_the_first_record_the_trail_cannot_tell(kept: Desk) -> None:
    said = told(kept, whole_day(date(2026, 11, 23), ZONE))["answer"]

    assert said == (
        "This trail cannot tell: it begins at 2026-11-24 08:00:00 (America/St_Lucia), after the time that was asked."
    )


def test_partly_before_the_first_record(kept: Desk) -> None:
    said = told(kept, around(datetime(2026, 11, 24, 7, 58), 10, ZONE))["answer"]

    assert said.startswith("Yes: ")
    assert said.endswith("Of the time before 2026-11-24 08:00:00 this trail says nothing.")


def test_a_trail_that_was_moved_away_is_pointed_to(desk: Desk) -> None:
    desk.remembered.append(Head(41, "ab" * 32))
    with desk.scan():
        pass
    said = told(desk, whole_day(date(2026, 11, 1), ZONE))["answer"]

    assert said.endswith("An older one, up to record 41, was moved away: ask it with --audit FILE.")


def test_without_a_time_too_a_trail_that_was_moved_away_is_pointed_to(desk: Desk) -> None:
    desk.remembered.append(Head(41, "ab" * 32))
    with desk.scan():
        pass
    said = told(desk)["answer"]

    assert said.startswith("No: nothing was sent to 198.51.100.7 (America/St_Lucia); the trail covers ")
    assert said.endswith(
        "this trail says nothing. An older one, up to record 41, was moved away: ask it with --audit FILE."
    )


def test_a_trail_of_one_moment(desk: Desk) -> None:
    with desk.scan():
        pass

    assert "; the trail covers 2026-11-24 08:0" in told(desk)["answer"]


def test_a_time_to_come(kept: Desk) -> None:
    said = told(kept, whole_day(date(2027, 1, 1), ZONE))["answer"]

    assert said == "That time has not come yet: nothing can be told of 2027-01-01 (America/St_Lucia)."


def test_an_empty_trail(desk: Desk) -> None:
    desk.path.touch()

    assert told(desk)["answer"] == "The trail is empty: it can tell nothing."


def test_our_own_resolver(kept: Desk) -> None:
    said = told(kept, address="192.0.2.53")["answer"]

    assert said == (
        f"The operator's own resolver (192.0.2.53) served run {RUN}, from 2026-11-24 08:00:00 to 08:00:07 "
        "(America/St_Lucia)."
    )


def test_a_broken_trail_warns_first(kept: Desk) -> None:
    kept.rewrite(lambda lines: lines.pop(3))
    document = told(kept)

    assert document["answer"].startswith("This trail does not hold: record 4 (line 4) ")
    assert "not proof" in document["answer"]
    assert document["trail"]["broken"].startswith("record 4")


def test_several_runs(desk: Desk) -> None:
    for number in range(5):
        with desk.scan(f"R-{number}") as trail:
            desk.ask(trail)
            desk.tick(86_400)
    said = told(desk)["answer"]

    assert "by 5 runs (R-0 to R-4) under lc-2026-001 of" in said
    assert "from 2026-11-24 08:00:01 to 2026-11-28 08:00:05 (" in said


def test_one_asset_anybody_and_nobody(kept: Desk) -> None:
    assert "to 198.51.100.7 for www.finance.gov.example by" in told(kept, asset="www.finance.gov.example")["answer"]
    assert told(kept, address=None)["answer"].startswith("Yes: 3 connections and 3 port-sweep connections by run ")
    assert "sent to wwww.finance.gov.example" in told(kept, address=None, asset="wwww.finance.gov.example")["answer"]


def test_one_child(desk: Desk) -> None:
    with desk.scan() as trail:
        trail.closed(trail.decided(decision(desk.tick(), connections=28)), Closing(desk.now, "exit 0"))

    assert told(desk)["answer"].startswith("Yes: 28 connections to ")


def test_an_answer_that_another_connection_brought(desk: Desk) -> None:
    with desk.scan() as trail:
        trail.decided(decision(desk.tick(), connections=0))

    assert "another asset's connection" in told(desk)["answer"]


# ---- time as people mean it


def test_a_day_is_local_and_has_as_many_hours_as_it_has() -> None:
    day = whole_day(date(2026, 11, 24), ZONE)
    short = whole_day(date(2026, 3, 29), ZoneInfo("Europe/London"))

    assert limits(day) == ("2026-11-24T04:00:00.000Z", "2026-11-25T03:59:59.999Z")
    assert short.last - short.first == timedelta(hours=23) - timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-24T21:03", "2026-11-25T00:58:00.000Z", "2026-11-25T01:08:59.999Z"),
        ("2026-11-24 21:03:10", "2026-11-25T00:58:10.000Z", "2026-11-25T01:08:10.000Z"),
        ("2026-11-25T01:03Z", "2026-11-25T00:58:00.000Z", "2026-11-25T01:08:59.999Z"),
        ("2026-11-24T20:03-05:00", "2026-11-25T00:58:00.000Z", "2026-11-25T01:08:59.999Z"),
    ],
)
def test_a_time_is_local_unless_it_says_otherwise(text: str, first: str, last: str) -> None:
    assert limits(around(datetime.fromisoformat(text), 5, ZONE)) == (first, last)


def test_an_hour_that_the_clocks_show_twice_is_both() -> None:
    """Bermuda, 2026-11-01: 01:30 comes at 04:30 and at 05:30 UTC."""
    when = around(datetime(2026, 11, 1, 1, 30, 1), 0, ZoneInfo("Atlantic/Bermuda"))

    assert limits(when) == ("2026-11-01T04:30:01.000Z", "2026-11-01T05:30:01.000Z")
