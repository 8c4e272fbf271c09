from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.net import tcp
from posture.net.asset import Deadline
from tests.lab import free_port
from tests.net import servers
from tests.net.warp import now, warped


def _within(seconds: float) -> Deadline:
    return Deadline(now() + seconds, Reason.TIMEOUT)


@asynccontextmanager
async def _stream(
    handler: servers.Handler, *, lifetime: float = 20.0, idle: float = 10.0
) -> AsyncIterator[tcp.TcpStream]:
    async with servers.tcp_server(handler) as server:
        connection = await tcp.dial("127.0.0.1", server.port, _within(5))
        async with tcp.TcpStream(connection, _within(lifetime), idle=idle, on_close=lambda: None) as stream:
            yield stream


def test_a_closed_port_is_clearly_absent() -> None:
    with pytest.raises(NotThere) as caught:
        warped(_dial(free_port()))
    assert caught.value.cause is AbsentCause.CLOSED


async def _dial(port: int, address: str = "127.0.0.1") -> float:
    try:
        (await tcp.dial(address, port, _within(5))).close()
    except NotSeen as fault:
        assert now() == pytest.approx(5.0)
        raise fault from None
    return now()


def test_a_port_that_answers_no_syn_times_out_at_the_deadline() -> None:
    with servers.blackhole() as port, pytest.raises(NotSeen) as caught:
        warped(_dial(port))
    assert caught.value.reason is Reason.TIMEOUT


def test_a_name_is_never_looked_up() -> None:
    with pytest.raises(ValueError, match="localhost"):
        warped(_dial(80, "localhost"))


def test_ipv6_is_dialled_like_ipv4() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.hang_up, "::1") as server:
            await _dial(server.port, "::1")

    warped(scenario())


def test_a_tarpit_ends_after_the_idle_time() -> None:
    async def scenario() -> None:
        async with _stream(servers.silent) as stream:
            with pytest.raises(NotSeen) as caught:
                await stream.read()
            assert caught.value.reason is Reason.TIMEOUT
            assert now() == pytest.approx(10.0)

    warped(scenario())


def test_a_drip_ends_at_the_absolute_deadline() -> None:
    async def scenario() -> None:
        drip = servers.saying(*[b"x"] * 100, every=1.0, ask=False)
        async with _stream(drip) as stream:
            with pytest.raises(NotSeen) as caught:
                await stream.read_exactly(100)
            assert caught.value.reason is Reason.TIMEOUT
            assert now() == pytest.approx(20.0)

    warped(scenario())


async def _drain(stream: tcp.TcpStream) -> None:
    received = 0
    while received <= tcp.TOTAL_BYTES + tcp.READ_BYTES:
        received += len(await stream.read())


def test_a_flood_ends_at_the_byte_cap() -> None:
    async def scenario() -> None:
        async with _stream(servers.forever(b"", b"x" * 65536)) as stream:
            await stream.write(b"\r\n\r\n")
            with pytest.raises(NotSeen) as caught:
                await _drain(stream)
            assert caught.value.reason is Reason.TRUNCATED

    warped(scenario())


def test_a_flood_does_not_outlive_a_deadline_that_has_passed() -> None:
    async def scenario() -> None:
        async with _stream(servers.forever(b"", b"x" * 65536), lifetime=3.0) as stream:
            await stream.write(b"\r\n\r\n")
            await asyncio.sleep(4.0)
            with pytest.raises(NotSeen) as caught:
                await stream.read()
            assert caught.value.reason is Reason.TIMEOUT

    warped(scenario())


def test_a_reset_is_a_reset_and_not_an_end() -> None:
    async def scenario() -> None:
        async with _stream(servers.reset) as stream:
            await stream.write(b"hello")
            with pytest.raises(NotSeen) as caught:
                await stream.read()
            assert caught.value.reason is Reason.RESET

    warped(scenario())


def test_lines_and_counts_are_read_across_packets() -> None:
    async def scenario() -> None:
        async with _stream(servers.saying(b"220 re", b"ady\r\n25", b"0 ok\r\nabcd", every=1.0, ask=False)) as stream:
            assert await stream.read_line() == b"220 ready\r\n"
            assert await stream.read_line() == b"250 ok\r\n"
            assert await stream.read_exactly(3) == b"abc"
            assert await stream.read() == b"d"
            assert await stream.read_line() == b""

    warped(scenario())


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(b"x" * 3000, Reason.MALFORMED), (b"half a line", Reason.TRUNCATED), (b"x" * 2048 + b"\n", Reason.MALFORMED)],
)
def test_a_line_that_is_too_long_or_cut_short_is_no_line(sent: bytes, reason: Reason) -> None:
    async def scenario() -> None:
        async with _stream(servers.saying(sent, ask=False)) as stream:
            with pytest.raises(NotSeen) as caught:
                await stream.read_line(2048)
            assert caught.value.reason is reason

    warped(scenario())


def test_an_answer_that_ends_early_is_truncated() -> None:
    async def scenario() -> None:
        async with _stream(servers.saying(b"abc", ask=False)) as stream:
            with pytest.raises(NotSeen) as caught:
                await stream.read_exactly(4)
            assert caught.value.reason is Reason.TRUNCATED

    warped(scenario())


def test_a_lie_about_length_reserves_nothing() -> None:
    async def scenario() -> None:
        async with _stream(servers.silent) as stream:
            with pytest.raises(NotSeen) as caught:
                await stream.read_exactly(2**31)
            assert caught.value.reason is Reason.MALFORMED

    warped(scenario())


def test_a_reset_at_once_is_a_reset_and_no_silence() -> None:
    assert tcp.unreachable(ConnectionResetError(104, "reset"), "192.0.2.7").reason is Reason.RESET
    assert tcp.unreachable(OSError(113, "no route to host"), "192.0.2.7").reason is Reason.TIMEOUT


def test_a_refusal_whose_error_was_read_already_is_no_connection() -> None:
    """On a busy machine the loop reads it in the same round in which the time ends; it can be read only once."""
    with socket.socket() as refused:
        refused.setblocking(False)
        refused.connect_ex(("127.0.0.1", free_port()))
        select.select([], [refused], [], 10)
        assert refused.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED

        assert tcp._connect_state(refused) is None
