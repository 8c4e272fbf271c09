"""Programs of others that talk to scanned systems themselves: decided, recorded and held like any connection of ours.

    ran = await run_child(door, "198.51.100.7", {443: 4}, lambda dialled: nmap_argv(...), stdin=b"198.51.100.7\\n", ...)

We do not see such a program's connections one by one. So each port of its one address is decided before it starts, and
its record carries a budget: how many connections the program makes at most, which is for its arguments to ensure. It
holds a connection's slot of the address while it runs, and dies with the door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

from posture.model import NotSeen, Reason
from posture.net.broker import BrokerDoor
from posture.net.decisions import Account, Request
from posture.net.governor import SMTP_PORTS, Traffic
from posture.net.sandbox import Box, End, Ran, run_boxed

T = TypeVar("T")

CHILD_SECONDS = 30.0
# Industrial control systems, printers that print what they are sent (9100-9107), building automation: a service scan
# may stop what they control. Never for a program whose words we do not choose.
FRAGILE_PORTS = frozenset({102, 502, 1911, 2404, 4840, *range(9100, 9108), 20000, 44818, 47808})


async def run_child(
    door: BrokerDoor,
    address: str,
    budget: Mapping[int, int],
    command: Callable[[tuple[int, ...]], Sequence[str]],
    *,
    stdin: bytes = b"",
    seconds: float = CHILD_SECONDS,
    box: Box | None = None,
) -> Ran:
    """Runs a program that may connect to TCP ports of one address of the door's task.

    Args:
        budget: port -> the most connections that the program makes to it.
        command: the argument list, from the ports to dial in the order of ``budget`` (a lab's may be others).
        seconds: from its start; then it is killed.

    Raises:
        ValueError: no port, a budget below 1, or a port that no child may be sent to.
        NotSeen: the refusal of any of the ports; DEADLINE, STOPPED, TOOL_MISSING, VANTAGE_LIMITED. Then there is no
            output at all.
    """
    if not budget or any(connections < 1 for connections in budget.values()):
        raise ValueError(f"a child needs ports, and a budget of connections for each: {dict(budget)}")
    if refused := (FRAGILE_PORTS | SMTP_PORTS).intersection(budget):
        raise ValueError(f"no child is sent to port {min(refused)}")
    door.must_be_ours(address)
    with ExitStack() as held:
        accounts: list[Account] = []
        try:
            dialled = await _turns(door, address, budget, held, accounts)
            _close(accounts, str(Reason.STOPPED))  # unless it ends otherwise
            deadline = door.clock.deadline(seconds)
            argv = command(dialled)
            running = run_boxed(argv, stdin=stdin, deadline=deadline.at, box=box)
            ran = await while_open(door, running, held)
        except NotSeen as fault:
            _close(accounts, str(fault.reason))
            raise
        if ran.end is End.DEADLINE:
            _close(accounts, str(deadline.reason))
            raise NotSeen(deadline.reason, f"{argv[0]} did not end in time")
        _close(accounts, "closed")
        return ran


async def _turns(
    door: BrokerDoor, address: str, budget: Mapping[int, int], held: ExitStack, accounts: list[Account]
) -> tuple[int, ...]:
    dialled = []
    for port, connections in budget.items():
        request = Request(Traffic.CHILD, door.task.name, address, port, "tcp", connections)
        turn = door.beside(request, held) if accounts else await door.turn(request, held, _never)
        dialled.append(turn[0])
        accounts.append(turn[1])
    return tuple(dialled)


async def while_open(door: BrokerDoor, work: Coroutine[Any, Any, T], held: ExitStack) -> T:
    """The result of work that is cancelled when the door is closed.

    Raises:
        NotSeen: STOPPED, the door was closed first.
    """
    task = asyncio.ensure_future(work)
    door.hold(_cancels(task), held)
    try:
        return await task
    except asyncio.CancelledError:
        ours = asyncio.current_task()
        if ours is not None and ours.cancelling():
            raise  # it is the caller that was cancelled
        raise NotSeen(Reason.STOPPED, "this task is over") from None


def _cancels(task: asyncio.Future[Any]) -> Callable[[], None]:
    def end() -> None:
        task.cancel()

    return end


def _close(accounts: Sequence[Account], end: str) -> None:
    """How all of them ended, for the record."""
    for account in accounts:
        account.end = end


def _never() -> bool:
    return False
