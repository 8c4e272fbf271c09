"""The port sweep of one address, and what speaks on the ports that are open.

Task: subject and ``addresses[0]`` the address; params ``ports`` (numbers, the authorised part of the matrix and the
declared ones) and ``again_after`` (seconds until a silent port is asked a second time, 1.0).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from posture.facts import PortsFacts
from posture.facts.service import CLOSED, FILTERED, OPEN, UNASKED, PortAnswer
from posture.model import NotSeen, ProbeClass, Reason
from posture.probes.base import Door, Parts, Probe
from posture.probes.identify import BANNER_SECONDS, Place, identify
from posture.probes.matrix import ICS_PORTS
from posture.task import Task

AGAIN_AFTER = 1.0
# As many as the broker lets an address have anyway; more would only wait.
IDENTIFY_AT_ONCE = 2
# The asset's clock, or its bytes, ended: another host at the address has its own.
_CUT_SHORT = frozenset({Reason.DEADLINE, Reason.RATE_LIMITED})


async def observe(task: Task, door: Door) -> PortsFacts:
    """Sweeps twice where it is silent, then asks each open port what it is.

    An address that answers first and then no more has had enough of us: what it left unanswered is not filtered, and
    nothing of such a sweep is used.

    Raises:
        NotSeen: not one port could be asked, with the reason of the first; RATE_LIMITED.
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
    await _look_back(door, address, ports, states)
    answers = {port: _closed(port, states[port]) for port in ports if states[port] != OPEN}
    answers.update({port: PortAnswer(port, UNASKED, why=Reason.NOT_GRANTED) for port in _fragile(task)})
    answers.update(await _identified(task, door, [port for port in ports if states[port] == OPEN]))
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


async def _look_back(door: Door, address: str, ports: Sequence[int], states: dict[int, str | NotSeen]) -> None:
    """Asks the first port that answered again: unless it answers as before, so might those that did not.

    Raises:
        NotSeen: RATE_LIMITED, it does not, after a pause neither.
    """
    answered = next((port for port in ports if states[port] == OPEN), None)
    if answered is None:
        answered = next((port for port in ports if states[port] == CLOSED), None)
    doubtful = {FILTERED, CLOSED} - {CLOSED if answered is None or states[answered] == CLOSED else OPEN}
    if answered is None or doubtful.isdisjoint(state for state in states.values() if isinstance(state, str)):
        return
    for pause in (False, True):
        if pause:
            door.throttled(address)
        state = (await _sweep(door, address, [answered]))[answered]
        if state == states[answered]:
            return
        if isinstance(state, NotSeen):  # ours: nobody knows, then, why the others are silent
            states.update({port: state for port in ports if states[port] == FILTERED})
            return
    raise _throttled(address)


def _throttled(address: str) -> NotSeen:
    return NotSeen(Reason.RATE_LIMITED, f"{address} answered first, and then no more")


def _require_any(states: Iterable[str | NotSeen]) -> None:
    seen = list(states)
    unseen = [state for state in seen if isinstance(state, NotSeen)]
    if unseen and len(unseen) == len(seen):
        raise unseen[0]


def _closed(port: int, state: str | NotSeen) -> PortAnswer:
    if isinstance(state, NotSeen):
        return PortAnswer(port, UNASKED, why=state.reason)
    return PortAnswer(port, state)


async def _identified(task: Task, door: Door, ports: Sequence[int]) -> dict[int, PortAnswer]:
    """What speaks on each open port. Raises NotSeen(RATE_LIMITED) when nothing is open any more."""
    address = task.addresses[0]
    answers, shut = await _identify(task, door, ports)
    # A tarpit lets everybody in, so that silence alone does not make a port shut.
    if gone := await _gone(door, address, shut):
        door.throttled(address)
        shut = await _gone(door, address, gone)
        answers.update((await _identify(task, door, sorted(gone - shut)))[0])
        if shut and await _gone(door, address, sorted(set(ports) - gone)[:1] or shut):
            raise _throttled(address)
    return answers


async def _gone(door: Door, address: str, ports: Iterable[int]) -> set[int]:
    """Those that were open and are no longer."""
    return {port for port, state in (await _sweep(door, address, sorted(ports))).items() if state in (CLOSED, FILTERED)}


async def _identify(task: Task, door: Door, ports: Sequence[int]) -> tuple[dict[int, PortAnswer], set[int]]:
    """The answers, and the ports that let nobody in any more."""
    shut: set[int] = set()
    gate = asyncio.Semaphore(IDENTIFY_AT_ONCE)
    wait = float(task.params.get("banner_seconds", BANNER_SECONDS))

    async def one(port: int) -> PortAnswer:
        async with gate:
            return await identify(Place(door, task.addresses[0], port, task.name, wait, shut=shut))

    return {answer.port: answer for answer in await asyncio.gather(*(one(port) for port in ports))}, shut


# ---- one sweep for all names at an address


def _work(task: Task) -> tuple[str, ...]:
    return task.addresses


def _held(known: Sequence[PortsFacts]) -> dict[int, PortAnswer]:
    """The answers of ports that were really asked, and not cut short by what the host's asset had used up."""
    answers = [answer for facts in known for answer in facts.ports if answer.state != UNASKED]
    return {answer.port: answer for answer in answers if answer.why not in _CUT_SHORT}


def _left(task: Task, known: Sequence[PortsFacts]) -> Task | None:
    held = _held(known)
    ports = [port for port in task.params["ports"] if port not in held]
    return replace(task, params={**task.params, "ports": ports}) if set(ports) - ICS_PORTS else None


def _joined(task: Task, known: Sequence[PortsFacts]) -> PortsFacts:
    """The ports that the task names, and no others: what others were granted is not said in its name."""
    answers = {answer.port: answer for facts in known for answer in facts.ports} | _held(known)
    answers |= {port: PortAnswer(port, UNASKED, why=Reason.NOT_GRANTED) for port in _fragile(task)}
    own = [answers[port] for port in sorted({int(port) for port in task.params["ports"]})]
    return PortsFacts(task.addresses[0], tuple(own), alive=any(answer.state in (OPEN, CLOSED) for answer in own))


PROBE = Probe("ports", PortsFacts, ProbeClass.ACTIVE, observe, deadline=120.0, parts=Parts(_work, _left, _joined))
