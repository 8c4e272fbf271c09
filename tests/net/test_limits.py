"""No window ever holds more than the limits, whatever is asked: the governor against an obvious oracle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from posture.inventory.records import Limits
from posture.model import NotSeen
from posture.net.governor import SMTP_PORTS, Governor, Traffic, effective, prefix
from tests.net.remembering import Ledger
from tests.net.warp import now, warped


@dataclass(frozen=True)
class Ask:
    """One request: when, what, where, for how long it is held."""

    at: float
    traffic: Traffic
    address: str
    port: int
    hold: float
    lab: bool = False


@dataclass(frozen=True)
class Held:
    """One lease as it was given."""

    ask: Ask
    given: float
    released: float


ADDRESSES = ("198.51.100.7", "198.51.100.8", "203.0.113.9")
LIMITS = st.builds(
    Limits,
    connections_per_address=st.integers(1, 4),
    new_connections_per_second=st.integers(1, 30),
    new_connections_burst=st.integers(1, 40),
    sweep_pending=st.integers(1, 40),
    sweep_per_second=st.integers(1, 100),
    prefix_per_second=st.integers(5, 200),
    prefix_burst=st.integers(1, 400),
    dns_per_second=st.integers(1, 40),
    dns_burst=st.integers(1, 80),
    smtp_per_minute=st.integers(1, 10),
    smtp_per_hour=st.integers(1, 30),
    connections=st.integers(1, 60),
)
ASKS = st.builds(
    Ask,
    at=st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 5.0, 61.0, 400.0]),
    traffic=st.sampled_from(Traffic),
    address=st.sampled_from(ADDRESSES),
    port=st.sampled_from([25, 53, 80, 443, 465]),
    hold=st.sampled_from([0.0, 0.0, 0.01, 0.3, 4.0]),
)
# Many of the same at once: only a crowd meets the larger limits.
CROWDS = st.lists(st.tuples(ASKS, st.integers(1, 150)), min_size=1, max_size=5)


def _everybody(crowds: Sequence[tuple[Ask, int]]) -> list[Ask]:
    return [ask for ask, count in crowds for _ in range(count)]


async def _played(asks: Sequence[Ask], limits: dict[str, Limits], processes: int = 1) -> list[Held]:
    """What was given; the requests are dealt out to several processes, one after the other."""
    ledger, held = Ledger(), list[Held]()

    async def one(governor: Governor, ask: Ask) -> None:
        await asyncio.sleep(ask.at)
        try:
            lease = await governor.admit(
                ask.traffic, ask.address, ask.port, limits[ask.address], lab=ask.lab, patience=5_000.0
            )
        except NotSeen:
            return
        given = now()
        await asyncio.sleep(ask.hold)
        held.append(Held(ask, given, now()))
        lease.release()

    for number in range(processes):
        governor = Governor(wall=lambda: 1e9 + now(), ledger=ledger)
        await asyncio.gather(*(one(governor, ask) for ask in asks[number::processes]))
        assert governor.open == 0
    return held


def _most_at_once(held: Sequence[Held]) -> int:
    """How many were held at the same time; what is released at an instant makes room at that instant."""
    lasting = [one for one in held if one.released > one.given]
    turns = sorted([(one.given, 1) for one in lasting] + [(one.released, -1) for one in lasting])
    return max(accumulate((turn for _, turn in turns), initial=0))


def _within(held: Sequence[Held], burst: float, rate: float) -> bool:
    """Whether every span of time holds at most a burst and what the rate allows in it."""
    times = sorted(one.given for one in held)
    return all(
        last - first + 1 <= burst + rate * (times[last] - start) + 1e-3
        for first, start in enumerate(times)
        for last in range(first, len(times))
    )


def _spaced(held: Sequence[Held], count: int, seconds: float) -> bool:
    """Whether no span of ``seconds`` holds more than ``count``."""
    times = sorted(one.given for one in held)
    return all(later - earlier >= seconds - 1e-6 for earlier, later in zip(times, times[count:], strict=False))


def _check(held: Sequence[Held], limits: dict[str, Limits]) -> None:
    def some(test: Callable[[Ask], bool]) -> list[Held]:
        return [one for one in held if test(one.ask)]

    for address, most in limits.items():
        mine = some(lambda ask, at=address: ask.address == at)  # type: ignore[misc]  # the loop's address
        connections = [one for one in mine if one.ask.traffic is Traffic.CONNECTION]
        sweeps = [one for one in mine if one.ask.traffic is Traffic.SWEEP]
        datagrams = [one for one in mine if one.ask.traffic is Traffic.DATAGRAM]
        mail = [one for one in (*connections, *sweeps) if one.ask.port in SMTP_PORTS]
        assert _most_at_once(connections) <= most.connections_per_address
        assert _within(connections, most.new_connections_burst, most.new_connections_per_second)
        assert _most_at_once(sweeps) <= most.sweep_pending
        assert _spaced(sweeps, most.sweep_per_second, 1.0)
        assert _within(datagrams, most.dns_burst, most.dns_per_second)
        assert _spaced(mail, most.smtp_per_minute, 60.0)
        assert _spaced(mail, most.smtp_per_hour, 3600.0)
    for shared in {prefix(address) for address in limits}:
        inside = [each for address, each in limits.items() if prefix(address) == shared]
        new = some(lambda ask, at=shared: ask.traffic is not Traffic.DATAGRAM and prefix(ask.address) == at)  # type: ignore[misc]
        highest = max(each.prefix_burst for each in inside), max(each.prefix_per_second for each in inside)
        assert _within(new, *highest)
    assert _most_at_once(held) <= max(each.connections for each in limits.values())


@settings(max_examples=60, deadline=None)
@given(crowds=CROWDS, limits=st.tuples(LIMITS, LIMITS, LIMITS), lab=st.booleans())
def test_no_window_ever_holds_more_than_the_limits(
    crowds: list[tuple[Ask, int]], limits: tuple[Limits, Limits, Limits], lab: bool
) -> None:
    first = limits[0]
    # What several addresses share is the same for all of them, so that it is exact here.
    shared = {name: getattr(first, name) for name in ("prefix_per_second", "prefix_burst", "connections")}
    asked = {address: replace(own, **shared) for address, own in zip(ADDRESSES, limits, strict=True)}
    asks = [replace(ask, lab=lab) for ask in _everybody(crowds)]
    held = warped(_played(asks, asked), settle=0.0)

    _check(held, {address: effective(each, lab=lab) for address, each in asked.items()})


@settings(max_examples=30, deadline=None)
@given(crowds=CROWDS, limits=LIMITS, processes=st.integers(2, 4))
def test_mail_and_sweeps_keep_to_their_limits_over_several_processes(
    crowds: list[tuple[Ask, int]], limits: Limits, processes: int
) -> None:
    asks = [replace(ask, at=0.0, hold=0.0) for ask in _everybody(crowds)]
    remembered = [replace(ask, traffic=Traffic.SWEEP if ask.port == 80 else Traffic.CONNECTION) for ask in asks]
    remembered = [replace(ask, port=25) if ask.traffic is Traffic.CONNECTION else ask for ask in remembered]
    asked = dict.fromkeys(ADDRESSES, limits)
    held = warped(_played(remembered, asked, processes), settle=0.0)

    for address in ADDRESSES:
        mine = [one for one in held if one.ask.address == address]
        most = effective(limits, lab=False)
        assert _spaced([one for one in mine if one.ask.port == 25], most.smtp_per_minute, 60.0)
        assert _spaced([one for one in mine if one.ask.port == 25], most.smtp_per_hour, 3600.0)
        assert _spaced([one for one in mine if one.ask.port == 80], most.sweep_per_second, 1.0)
