"""The port sweep of one address, and what speaks on the ports that are open.

Task: subject and ``addresses[0]`` the address; params ``ports`` (numbers, the authorised part of the matrix and the
declared ones) and ``again_after`` (seconds until a silent port is asked a second time, 1.0).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence

from posture.facts import PortsFacts
from posture.facts.service import CLOSED, FILTERED, OPEN, UNASKED, PortAnswer
from posture.model import NotSeen, ProbeClass, Reason
from posture.probes.base import Door, Probe
from posture.probes.identify import BANNER_SECONDS, Place, identify
from posture.probes.matrix import ICS_PORTS
from posture.task import Task

AGAIN_AFTER = 1.0
# As many as the broker lets an address have anyway; more would only wait.
IDENTIFY_AT_ONCE = 2


async def observe(task: Task, door: Door) -> PortsFacts:
    """Sweeps twice where it is silent, then asks each open port what it is.

    Raises:
        NotSeen: not one port could be asked, with the reason of the first.
    """
    address = task.addresses[0]
    ports = _order(task)
    states = await _sweep(door, address, ports)
    silent = [port for port in ports if states[port] == FILTERED]
    if silent:
        await asyncio.sleep(float(task.params.get("again_after", AGAIN_AFTER)))
        # A second attempt that was not made leaves the port unasked: one silence is not evidence.
        states.update(await _sweep(door, address, silent))
    _require_any(states.values())
    answers = {port: _closed(port, states[port]) for port in ports if states[port] != OPEN}
    answers.update({port: PortAnswer(port, UNASKED, why=Reason.NOT_GRANTED) for port in _fragile(task)})
    answers.update(await _identify(task, door, [port for port in ports if states[port] == OPEN]))
    return PortsFacts(
        address=address,
        ports=tuple(answers[port] for port in sorted(answers)),
        alive=any(state in (OPEN, CLOSED) for state in states.values()),
    )


def _fragile(task: Task) -> Iterable[int]:
    return (port for port in task.params["ports"] if port in ICS_PORTS)


def _order(task: Task) -> list[int]:
    """The same every time for the same task, and not the ascending walk that intrusion detection bans at sight."""
    ports = sorted({int(port) for port in task.params["ports"]} - ICS_PORTS)
    random.Random(f"{task.asset} {task.subject}").shuffle(ports)  # noqa: S311 - an order, not a secret
    return ports


async def _sweep(door: Door, address: str, ports: Sequence[int]) -> dict[int, str | NotSeen]:
    """State per port; what could not be asked keeps its NotSeen. The broker paces the connects."""

    async def one(port: int) -> str | NotSeen:
        try:
            return await door.sweep(address, port)
        except NotSeen as unseen:
            return unseen

    return dict(zip(ports, await asyncio.gather(*(one(port) for port in ports)), strict=True))


def _require_any(states: Iterable[str | NotSeen]) -> None:
    seen = list(states)
    unseen = [state for state in seen if isinstance(state, NotSeen)]
    if unseen and len(unseen) == len(seen):
        raise unseen[0]


def _closed(port: int, state: str | NotSeen) -> PortAnswer:
    if isinstance(state, NotSeen):
        return PortAnswer(port, UNASKED, why=state.reason)
    return PortAnswer(port, state)


async def _identify(task: Task, door: Door, ports: Sequence[int]) -> dict[int, PortAnswer]:
    gate = asyncio.Semaphore(IDENTIFY_AT_ONCE)
    wait = float(task.params.get("banner_seconds", BANNER_SECONDS))

    async def one(port: int) -> PortAnswer:
        async with gate:
            return await identify(Place(door, task.addresses[0], port, task.name, wait))

    return {answer.port: answer for answer in await asyncio.gather(*(one(port) for port in ports))}


PROBE = Probe("ports", PortsFacts, ProbeClass.ACTIVE, observe, deadline=120.0)
