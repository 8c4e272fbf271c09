"""One datagram out, one answer back from that very peer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from posture.model import AbsentCause, NotSeen, NotThere
from posture.net.asset import Deadline
from posture.net.tcp import open_socket, unreachable

DATAGRAM_BYTES = 65_535


async def exchange(
    address: str, port: int, payload: bytes, deadline: Deadline, *, accept: Callable[[bytes], bool] | None = None
) -> bytes:
    """The first answer that ``accept`` (default: any) takes; others, such as forged ones, are passed over.

    The socket is connected, so that the kernel drops datagrams of anybody else.

    Raises:
        NotThere: CLOSED, ICMP port unreachable.
        NotSeen: TIMEOUT, DEADLINE, or VANTAGE_LIMITED when this machine has no way there.
    """
    loop = asyncio.get_running_loop()
    try:
        with open_socket(address, socket.SOCK_DGRAM) as opened:
            async with asyncio.timeout_at(deadline.at):
                opened.connect((address, port))
                opened.send(payload)
                while True:
                    answer = await loop.sock_recv(opened, DATAGRAM_BYTES)
                    if accept is None or accept(answer):
                        return answer
                    await asyncio.sleep(0)
    except ConnectionRefusedError as fault:
        raise NotThere(AbsentCause.CLOSED, f"{address} port {port}/udp") from fault
    except TimeoutError as fault:
        raise NotSeen(deadline.reason, f"no answer from {address} port {port}/udp") from fault
    except OSError as fault:
        raise unreachable(fault, address) from fault
