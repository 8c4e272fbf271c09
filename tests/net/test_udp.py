from __future__ import annotations

import asyncio
import socket

import pytest

from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.net import udp
from posture.net.asset import Deadline
from tests.lab import free_port
from tests.net import servers
from tests.net.warp import now, warped


async def _ask(port: int, payload: bytes = b"ping", **options: object) -> bytes:
    return await udp.exchange("127.0.0.1", port, payload, Deadline(now() + 2.0, Reason.TIMEOUT), **options)  # type: ignore[arg-type]  # passes accept on


def test_the_answer_comes_back() -> None:
    async def scenario() -> bytes:
        async with servers.udp_server(lambda data: [data.upper()]) as port:
            return await _ask(port)

    assert warped(scenario()) == b"PING"


def test_icmp_port_unreachable_is_clearly_absent() -> None:
    with pytest.raises(NotThere) as caught:
        warped(_ask(free_port(kind=socket.SOCK_DGRAM)))
    assert caught.value.cause is AbsentCause.CLOSED


def test_silence_times_out() -> None:
    async def scenario() -> None:
        async with servers.udp_server(lambda _: []) as port:
            with pytest.raises(NotSeen) as caught:
                await _ask(port)
            assert caught.value.reason is Reason.TIMEOUT
            assert now() == pytest.approx(2.0)

    warped(scenario())


def test_an_unacceptable_datagram_is_passed_over() -> None:
    async def scenario() -> bytes:
        async with servers.udp_server(lambda _: [b"forged", b"true"]) as port:
            return await _ask(port, accept=lambda data: data == b"true")

    assert warped(scenario()) == b"true"


def test_a_datagram_from_somebody_else_is_not_the_answer() -> None:
    async def scenario() -> bytes:
        loop = asyncio.get_running_loop()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            server.bind(("127.0.0.1", 0))
            server.setblocking(False)
            asking = asyncio.create_task(_ask(server.getsockname()[1]))
            _, client = await loop.sock_recvfrom(server, 100)
            other.sendto(b"forged", client)
            server.sendto(b"true", client)
            return await asking

    assert warped(scenario()) == b"true"
