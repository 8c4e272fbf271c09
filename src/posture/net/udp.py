"""One datagram out, one answer back from that very peer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from posture.model import AbsentCause, NotSeen, NotThere
from posture.net.asset import ByteBudget, Deadline
from posture.net.tcp import open_socket, unreachable

# Four times what we tell a name server that we take (RFC 6891 section 6.2.3).
DATAGRAM_BYTES = 16_384


async def exchange(
    address: str,
    port: int,
    payload: bytes,
    deadline: Deadline,
    *,
    accept: Callable[[bytes], bool] | None = None,
    budget: ByteBudget | None = None,
) -> bytes:
    """The first answer that ``accept`` (default: any) takes; others, such as forged ones, are passed over.

    The socket is connected, so that the kernel drops datagrams of anybody else.

    Args:
        budget: what the peer may still send; those passed over count too.

    Raises:
        NotThere: CLOSED, ICMP port unreachable.
        NotSeen: TIMEOUT, DEADLINE, VANTAGE_LIMITED when this machine has no way there, RATE_LIMITED by the budget.
    """
    loop = asyncio.get_running_loop()
    allowance = budget or ByteBudget()
    try:
        with open_socket(address, socket.SOCK_DGRAM) as opened:
            async with asyncio.timeout_at(deadline.at):
                opened.connect((address, port))
                opened.send(payload)
                while True:
                    answer = await _receive(loop, opened, allowance)
                    if accept is None or accept(answer):
                        return answer
                    await asyncio.sleep(0)
    except ConnectionRefusedError as fault:
        raise NotThere(AbsentCause.CLOSED, f"{address} port {port}/udp") from fault
    except TimeoutError as fault:
        raise NotSeen(deadline.reason, f"no answer from {address} port {port}/udp") from fault
    except OSError as fault:
        raise unreachable(fault, address) from fault


async def _receive(loop: asyncio.AbstractEventLoop, opened: socket.socket, budget: ByteBudget) -> bytes:
    granted = budget.set_aside(DATAGRAM_BYTES)
    answer = b""
    try:
        answer = await loop.sock_recv(opened, granted)
    finally:
        budget.give_back(granted - len(answer))
    return answer
