"""Planning the whole practice range sends nothing but DNS to our own resolver."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from posture.plan import Plan
from tests.range.standing import standing_range
from tests.scan.wiring import terms_of

pytestmark = pytest.mark.xdist_group("plan of the range")
_WATCHED: list[tuple[int, set[Any]]] = []


def _note(event: str, args: tuple[Any, ...]) -> None:
    """Where the watched thread goes; the range itself answers from a thread of its own."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        for thread, places in _WATCHED:
            if thread == threading.get_ident():
                places.add(args[1])


sys.addaudithook(_note)


@pytest.fixture
def places() -> Iterator[set[Any]]:
    found: set[Any] = set()
    _WATCHED.append((threading.get_ident(), found))
    yield found
    _WATCHED.clear()


def test_planning_asks_our_resolver_and_nobody_else(tmp_path: Path, places: set[Any]) -> None:
    async def scenario() -> Plan:
        terms = terms_of(inventory)
        resolver = terms.resolver()
        try:
            return await terms.plan(resolver, datetime.now(UTC))
        finally:
            await resolver.aclose()

    with standing_range() as standing:
        inventory = standing.practice.write(tmp_path)
        plan = asyncio.run(scenario())
        asked = standing.practice.resolver

    assert len(plan.tasks) > 100
    assert plan.refusals == ()
    # A connected datagram socket sends without an address.
    assert {tuple(place[:2]) for place in places if place is not None} == {asked}


def test_a_zone_brings_its_name_servers_and_mail_exchangers(tmp_path: Path) -> None:
    with standing_range() as standing:
        terms = terms_of(standing.practice.write(tmp_path))

        async def scenario() -> Plan:
            resolver = terms.resolver()
            try:
                return await terms.plan(resolver, datetime.now(UTC))
            finally:
                await resolver.aclose()

        plan = asyncio.run(scenario())
    of_zone = {(task.probe, task.subject, task.port) for task in plan.tasks if task.asset == "finance.gov.example"}

    assert of_zone == {
        *((probe, "", None) for probe in ("delegation", "dnssec", "caa", "mx", "spf", "dmarc")),
        *((probe, f"ns:ns{n}.gov.example", 53) for probe in ("nameserver", "axfr") for n in (1, 2)),
        *((probe, "mx:mail.finance.gov.example:25", 25) for probe in ("smtp", "tls", "tls_legacy")),
    }
    parked = [each for each in plan.settled if each.key.name == "budget2024.gov.example"]
    assert [(each.probe, each.subject) for each in parked] == [("smtp", "")]
