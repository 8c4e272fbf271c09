"""Children under a grant: every port decided and recorded before they start, held to one slot, dead with the door."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from posture.inventory.records import LabPort, Limits
from posture.model import NotSeen, Reason
from posture.net.broker import BrokerDoor
from posture.net.child import FRAGILE_PORTS, run_child
from posture.net.decisions import Closing, Decision
from posture.net.governor import Traffic
from posture.net.sandbox import End
from posture.scope import Grant, Refusal
from tests.lab import free_port
from tests.net import desk
from tests.net.processes import below

SLEEP = ["/bin/sleep", "600"]
ECHO = ["/bin/echo", "done"]


class Recorded:
    """A trail that keeps everything in order."""

    def __init__(self) -> None:
        self.events: list[Decision | tuple[int, Closing]] = []

    def decided(self, decision: Decision) -> int:
        self.events.append(decision)
        return len(self.decisions)

    def closed(self, record: int, closing: Closing) -> None:
        self.events.append((record, closing))

    @property
    def decisions(self) -> list[Decision]:
        return [event for event in self.events if isinstance(event, Decision)]

    @property
    def ends(self) -> dict[int, str]:
        return {event[0]: event[1].end for event in self.events if not isinstance(event, Decision)}


def said(*argv: str) -> Any:
    return lambda dialled: ["/bin/echo", *argv, *map(str, dialled)]


def test_each_port_has_a_record_with_its_budget_before_the_start_and_a_close_after_it() -> None:
    async def scenario() -> None:
        trail = Recorded()
        broker = desk.broker(trail=trail)
        started_with: list[int] = []

        def command(dialled: Sequence[int]) -> list[str]:
            started_with.append(len(trail.decisions))
            assert broker.governor.open == 1
            return ECHO

        ran = await run_child(broker.door(desk.task()), "127.0.0.1", {80: 3, 443: 7}, command)
        assert ran.stdout == b"done\n"
        assert started_with == [2]
        assert [(d.traffic, d.address, d.port, d.connections, d.allowed) for d in trail.decisions] == [
            (Traffic.CHILD, "127.0.0.1", 80, 3, True),
            (Traffic.CHILD, "127.0.0.1", 443, 7, True),
        ]
        assert trail.ends == {1: "closed", 2: "closed"}
        assert broker.governor.open == 0

    asyncio.run(scenario())


class OnePort(desk.Loopback):
    """Grants port 80 alone."""

    def decide(self, **request: Any) -> Grant | Refusal:
        if request["port"] not in (80, None):
            return Refusal("E-SCOPE-024", Reason.NOT_GRANTED, "the port is not in the ports", "lc-2026-001")
        return super().decide(**request)


def test_one_port_refused_and_nothing_starts() -> None:
    async def scenario() -> None:
        trail = Recorded()
        door = desk.broker(OnePort(), trail=trail).door(desk.task())
        with pytest.raises(NotSeen) as caught:
            await run_child(door, "127.0.0.1", {80: 1, 443: 1}, _never_called)
        assert caught.value.code == "E-SCOPE-024"
        assert [decision.allowed for decision in trail.decisions] == [True, False]
        assert trail.ends == {1: "not_granted"}

    asyncio.run(scenario())


def _never_called(dialled: Sequence[int]) -> list[str]:
    raise AssertionError("a command was asked for")


def test_an_address_that_was_not_vetted_is_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(NotSeen) as caught:
            await run_child(desk.broker().door(desk.task()), "127.0.0.2", {80: 1}, _never_called)
        assert caught.value.code == "E-SCOPE-023"

    asyncio.run(scenario())


@pytest.mark.parametrize("budget", [{}, {80: 0}, {25: 1}, *({port: 1} for port in sorted(FRAGILE_PORTS))])
def test_no_child_without_a_budget_nor_to_what_it_may_break(budget: dict[int, int]) -> None:
    async def scenario() -> None:
        trail = Recorded()
        door = desk.broker(trail=trail).door(desk.task())
        with pytest.raises(ValueError, match=r"budget|no child"):
            await run_child(door, "127.0.0.1", budget, _never_called)
        assert trail.events == []

    asyncio.run(scenario())


def test_a_lab_port_is_the_one_dialled_and_the_spoken_one_recorded() -> None:
    async def scenario() -> None:
        trail, spoken, real = Recorded(), 443, free_port()
        ports = (LabPort("127.0.0.1", spoken, real, "tcp"),)
        door = desk.broker(trail=trail, lab_ports=ports).door(desk.task())
        ran = await run_child(door, "127.0.0.1", {spoken: 1}, said())
        assert ran.stdout.decode().split() == [str(real)]
        assert trail.decisions[0].port == spoken

    asyncio.run(scenario())


async def begun(door: BrokerDoor, **options: Any) -> asyncio.Task[Any]:
    task = asyncio.create_task(run_child(door, "127.0.0.1", {80: 1}, lambda _: SLEEP, **options))
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(_sleeping):
            await asyncio.sleep(0.01)
    return task


def _sleeping() -> bool:
    """Whether a child of this very process, or one below it, sleeps."""
    return any(command == SLEEP for command in below())


@pytest.mark.parametrize("how", ["door", "caller"])
def test_the_kill_switch_and_a_cancelled_caller_kill_it(how: str) -> None:
    async def scenario() -> None:
        trail = Recorded()
        broker = desk.broker(trail=trail)
        door = broker.door(desk.task())
        task = await begun(door)
        assert door.engaged == [("lc-2026-001", "127.0.0.1")]
        if how == "door":
            door.close()
            with pytest.raises(NotSeen) as caught:
                await task
            assert caught.value.reason is Reason.STOPPED
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not _sleeping()
        assert broker.governor.open == 0
        assert trail.ends == {1: "stopped"}

    asyncio.run(scenario())


def test_a_closed_door_starts_nothing() -> None:
    async def scenario() -> None:
        door = desk.broker().door(desk.task())
        door.close()
        with pytest.raises(NotSeen) as caught:
            await run_child(door, "127.0.0.1", {80: 1}, _never_called)
        assert caught.value.reason is Reason.STOPPED

    asyncio.run(scenario())


def test_a_child_that_does_not_end_is_a_time_out() -> None:
    async def scenario() -> None:
        trail = Recorded()
        with pytest.raises(NotSeen) as caught:
            await run_child(
                desk.broker(trail=trail).door(desk.task()), "127.0.0.1", {80: 1}, lambda _: SLEEP, seconds=0.3
            )
        assert caught.value.reason is Reason.TIMEOUT
        assert trail.ends == {1: "timeout"}
        door = desk.broker().door(desk.task(), seconds=0.3)
        with pytest.raises(NotSeen) as caught:
            await run_child(door, "127.0.0.1", {80: 1}, lambda _: SLEEP)
        assert caught.value.reason is Reason.DEADLINE

    asyncio.run(scenario())


def test_a_child_holds_a_connections_slot_of_its_address() -> None:
    async def scenario() -> None:
        broker = desk.broker(desk.Loopback(limits=Limits(connections_per_address=1)), patience=0.3)
        first, second = broker.door(desk.task()), broker.door(desk.task())
        task = await begun(first)
        for attempt in (run_child(second, "127.0.0.1", {80: 1}, _never_called), second.connect("127.0.0.1", 80)):
            with pytest.raises(NotSeen) as caught:
                await attempt
            assert caught.value.reason is Reason.RATE_LIMITED
        first.close()
        with pytest.raises(NotSeen):
            await task
        assert (await run_child(second, "127.0.0.1", {80: 1}, lambda _: ECHO)).end is End.EXITED

    asyncio.run(scenario())
