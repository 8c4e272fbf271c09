"""An address that answers a sweep at first and then no more: what is left must not look filtered, closed or quiet."""

from __future__ import annotations

import asyncio

import pytest

from posture.facts import PortsFacts
from posture.facts.service import CLOSED, FILTERED, OPEN, UNASKED
from posture.model import NotSeen, Reason
from posture.probes.ports import observe as sweep
from tests.doors import LoopbackDoor, Place, scripted
from tests.probes.services.test_identify import ADDRESS, says, silent
from tests.probes.services.test_sweep import task

PORTS = [21, 22, 23, 25, 80, 443]


class Ips(LoopbackDoor):
    """A host behind a device that watches: after ``allowed`` connects it treats us as ``then`` says."""

    def __init__(self, place: Place, allowed: int, then: str, *, mercy: bool = False) -> None:
        super().__init__({(ADDRESS, port): place for port in PORTS}, patience=0.2)
        self.allowed, self.then, self.mercy = allowed, then, mercy

    @property
    def banned(self) -> bool:
        forgiven = self.mercy and bool(self.pushes)
        return len(self.sweeps) + len(self.connections) >= self.allowed and not forgiven

    async def sweep(self, address: str, port: int, *, timeout: float = 1.0) -> str:
        state = self.then if self.banned else OPEN
        self.sweeps.append((address, port))
        return state

    async def connect(self, address: str, port: int, *, timeout: float = 5.0, brisk: bool = False):  # type: ignore[no-untyped-def]  # as its base
        if self.banned:
            self.connections.append((address, port))
            if self.then == FILTERED:
                raise NotSeen(Reason.TIMEOUT)
            return await LoopbackDoor().connect(address, port)
        return await super().connect(address, port, timeout=timeout)


def meet(allowed: int, then: str, ports: list[int], *, mercy: bool = False) -> tuple[PortsFacts | NotSeen, Ips]:
    async def run() -> tuple[PortsFacts | NotSeen, Ips]:
        async with scripted(says(b"SSH-2.0-x\r\n")) as place:
            door = Ips(place, allowed, then, mercy=mercy)
            try:
                return await sweep(task(ports), door), door
            except NotSeen as unseen:
                return unseen, door

    return asyncio.run(run())


@pytest.mark.parametrize("then", [CLOSED, FILTERED])
@pytest.mark.parametrize("allowed", [1, 3, 5, 6, 7, 9, 11])
def test_of_a_sweep_that_is_cut_short_nothing_is_used(allowed: int, then: str) -> None:
    unseen, door = meet(allowed, then, PORTS)

    assert isinstance(unseen, NotSeen)
    assert (unseen.reason, unseen.code) == (Reason.RATE_LIMITED, None)
    assert door.pushes, "left alone before it is asked again"


@pytest.mark.parametrize("then", [CLOSED, FILTERED])
def test_a_ban_that_ends_with_the_pause_costs_no_port(then: str) -> None:
    facts, _ = meet(8, then, PORTS, mercy=True)

    assert isinstance(facts, PortsFacts)
    assert {answer.port: answer.state for answer in facts.ports} == dict.fromkeys(PORTS, OPEN)
    assert {answer.service for answer in facts.ports if answer.port in (22, 25)} == {"ssh"}


def test_the_only_open_port_that_shuts_after_us_is_no_answer() -> None:
    unseen, _ = meet(1, CLOSED, [22])

    assert isinstance(unseen, NotSeen)
    assert unseen.reason is Reason.RATE_LIMITED


def test_one_port_that_takes_a_single_connection_does_not_cost_the_others() -> None:
    class Single(LoopbackDoor):
        async def sweep(self, address: str, port: int, *, timeout: float = 1.0) -> str:
            self.sweeps.append((address, port))
            return CLOSED if port == 23 and self.sweeps.count((address, port)) > 1 else OPEN

    async def run() -> PortsFacts:
        async with scripted(says(b"SSH-2.0-x\r\n")) as place:
            return await sweep(task([22, 23]), Single({(ADDRESS, 22): place}))

    facts = asyncio.run(run())

    assert [(answer.port, answer.state, answer.service, answer.why) for answer in facts.ports] == [
        (22, OPEN, "ssh", ""),
        (23, OPEN, "", Reason.RESET),
    ]


def test_a_tarpit_is_no_ban() -> None:
    class Muted(LoopbackDoor):
        """The broker's memory of ports that let us in and said nothing."""

        async def connect(self, address: str, port: int, *, timeout: float = 5.0, brisk: bool = False):  # type: ignore[no-untyped-def]  # as its base
            if (address, port) in self.connections:
                raise NotSeen(Reason.TIMEOUT)
            return await super().connect(address, port, timeout=timeout)

    async def run() -> tuple[PortsFacts, LoopbackDoor]:
        async with scripted(silent) as place:
            door = Muted({(ADDRESS, 4443): place}, patience=0.1)
            return await sweep(task([4443]), door), door

    facts, door = asyncio.run(run())

    assert [(answer.state, answer.why) for answer in facts.ports] == [(OPEN, Reason.TIMEOUT)]
    assert not door.pushes


def test_silence_that_could_not_be_looked_into_is_unasked() -> None:
    class Late(LoopbackDoor):
        async def sweep(self, address: str, port: int, *, timeout: float = 1.0) -> str:
            if len(self.sweeps) == 3:
                raise NotSeen(Reason.DEADLINE)
            return await super().sweep(address, port, timeout=timeout)

    door = Late(silent=frozenset({(ADDRESS, 22)}))
    facts = asyncio.run(sweep(task([22, 23]), door))

    assert [(answer.port, answer.state, answer.why) for answer in facts.ports] == [
        (22, UNASKED, Reason.DEADLINE),
        (23, CLOSED, ""),
    ]
