"""The sweep of an address: states, second attempts, and what could not be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from posture.facts import FACTS, PortsFacts, decode, encode
from posture.facts.service import CLOSED, FILTERED, OPEN, UNASKED
from posture.model import NotSeen, ProbeClass, Reason
from posture.probes.matrix import HINTS, ICS_PORTS, MUTE_PORTS, SWEEP_PORTS
from posture.probes.ports import observe as sweep
from posture.task import Task
from tests.doors import LoopbackDoor, scripted
from tests.probes.services.test_identify import ADDRESS, NAME, says, silent


def task(ports: list[int], **params: Any) -> Task:
    settings: Mapping[str, Any] = {"ports": ports, "again_after": 0, "banner_seconds": 0.2, **params}
    return Task(
        "finance",
        NAME,
        "host",
        "ports",
        "services",
        ProbeClass.ACTIVE,
        ADDRESS,
        NAME,
        "a-1",
        (ADDRESS,),
        None,
        settings,
    )


def observe(door: LoopbackDoor, ports: list[int]) -> PortsFacts:
    return asyncio.run(sweep(task(ports), door))


def test_open_closed_and_silent_ports_are_told_apart() -> None:
    async def run() -> tuple[PortsFacts, LoopbackDoor]:
        async with scripted(says(b"SSH-2.0-x\r\n")) as place:
            door = LoopbackDoor({(ADDRESS, 22): place}, silent=frozenset({(ADDRESS, 23)}))
            return await sweep(task([25, 23, 22]), door), door

    facts, door = asyncio.run(run())

    assert [(answer.port, answer.state) for answer in facts.ports] == [(22, OPEN), (23, FILTERED), (25, CLOSED)]
    assert facts.ports[0].service == "ssh"
    assert facts.alive
    assert sorted(port for _, port in door.sweeps) == [22, 22, 23, 23, 25]
    assert door.sweeps[-1] == (ADDRESS, 22), "the silent port is asked twice, and then whether anybody still answers"
    assert [port for _, port in door.connections] == [22], "only the open port is asked what it is"
    assert decode(encode(facts), FACTS) == facts


def test_a_host_that_never_answers_is_not_alive() -> None:
    facts = observe(LoopbackDoor(silent=frozenset({(ADDRESS, 22), (ADDRESS, 23)})), [22, 23])

    assert not facts.alive
    assert {answer.state for answer in facts.ports} == {FILTERED}


def test_a_host_that_refuses_everything_is_alive() -> None:
    assert observe(LoopbackDoor(), [22, 23]).alive


class Limited(LoopbackDoor):
    """A door that closes after some sweeps, as a stop or a deadline does."""

    def __init__(self, allowed: int) -> None:
        super().__init__(silent=frozenset((ADDRESS, port) for port in range(1024)))
        self.allowed = allowed

    async def sweep(self, address: str, port: int, *, timeout: float = 1.0) -> str:
        if len(self.sweeps) >= self.allowed:
            raise NotSeen(Reason.STOPPED)
        return await super().sweep(address, port, timeout=timeout)


def test_what_could_not_be_asked_twice_is_not_silent_but_unasked() -> None:
    facts = observe(Limited(allowed=5), [21, 22, 23])

    assert sorted((answer.state, answer.why) for answer in facts.ports) == [
        (FILTERED, ""),
        (FILTERED, ""),
        (UNASKED, "stopped"),
    ]


def test_a_sweep_that_could_ask_nothing_is_no_facts_at_all() -> None:
    with pytest.raises(NotSeen) as unseen:
        observe(Limited(allowed=0), [21, 22, 23])

    assert unseen.value.reason is Reason.STOPPED


def test_controllers_of_plants_are_never_touched_even_when_declared() -> None:
    door = LoopbackDoor()

    facts = observe(door, [22, 502])

    assert [(answer.port, answer.state) for answer in facts.ports] == [(22, CLOSED), (502, UNASKED)]
    assert (ADDRESS, 502) not in door.sweeps


def test_the_order_is_shuffled_and_the_same_every_time() -> None:
    first, second = LoopbackDoor(), LoopbackDoor()
    observe(first, list(SWEEP_PORTS))
    observe(second, list(SWEEP_PORTS))

    assert first.sweeps == second.sweeps
    assert first.sweeps != sorted(first.sweeps)


def test_two_open_ports_at_most_are_asked_at_once() -> None:
    async def run() -> int:
        now = most = 0

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await silent(reader, writer)
            now -= 1

        async with scripted(count) as place:
            door = LoopbackDoor({(ADDRESS, port): place for port in (22, 25, 110, 143)}, patience=0.2)
            door.sweep = lambda *_args, **_options: asyncio.sleep(0, OPEN)  # type: ignore[method-assign]
            await sweep(task([22, 25, 110, 143]), door)
        return most

    assert asyncio.run(run()) == 2


def test_the_matrix_is_whole() -> None:
    assert len(SWEEP_PORTS) == len(set(SWEEP_PORTS)) > 70
    assert not ICS_PORTS & set(SWEEP_PORTS)
    assert not (MUTE_PORTS | ICS_PORTS) & set(HINTS)
