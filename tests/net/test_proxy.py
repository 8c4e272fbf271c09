"""The CONNECT proxy: one target, one secret, every tunnel through the door."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.inventory.records import Limits
from posture.model import NotSeen, Reason
from posture.net.decisions import Decision
from posture.net.governor import Traffic
from posture.net.proxy import ConnectProxy, connect_proxy
from posture.net.tunnel import End
from tests.lab import free_port
from tests.net import desk, servers

NAME = desk.TASK.name
ECHO_BYTES = 100_000


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def asked(proxy: ConnectProxy, head: bytes) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
    """The status of the proxy's answer, and the connection to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.listening)
    writer.write(head)
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b"\r\n\r\n")
    return int(answer.split()[1]), reader, writer


def head(proxy: ConnectProxy, target: str, method: str = "CONNECT", credentials: str | None = None) -> bytes:
    url = urlsplit(proxy.url)
    given = f"{url.username}:{url.password}" if credentials is None else credentials
    basic = base64.b64encode(given.encode()).decode()
    return f"{method} {target} HTTP/1.1\r\nProxy-Authorization: Basic {basic}\r\n\r\n".encode()


async def status(proxy: ConnectProxy, request: bytes) -> int:
    code, _, writer = await asked(proxy, request)
    writer.close()
    return code


@asynccontextmanager
async def standing(
    handler: servers.Handler = echo, *, budget: int = 5, scope: Any = None
) -> AsyncIterator[tuple[Any, ConnectProxy, servers.Seen, list[Decision]]]:
    records: list[Decision] = []
    async with servers.tcp_server(handler) as server:
        door = desk.broker(scope, on_decision=records.append).door(desk.task())
        async with connect_proxy(door, NAME, "127.0.0.1", server.port, budget=budget) as proxy:
            yield door, proxy, server, records


def test_bytes_go_both_ways_and_each_tunnel_is_on_record() -> None:
    async def scenario() -> None:
        async with standing() as (_, proxy, server, records):
            for target in (f"{NAME}:{server.port}", f"{NAME.upper()}:{server.port}", f"127.0.0.1:{server.port}"):
                code, reader, writer = await asked(proxy, head(proxy, target))
                assert code == 200
                writer.write(b"x" * ECHO_BYTES)
                assert await reader.readexactly(ECHO_BYTES) == b"x" * ECHO_BYTES
                writer.close()
            assert [(r.traffic, r.address, r.port, r.name, r.allowed) for r in records] == [
                (Traffic.CONNECTION, "127.0.0.1", server.port, NAME, True)
            ] * 3
            assert (proxy.tunnels, proxy.refused, server.connections) == (3, 0, 3)

    asyncio.run(scenario())


def test_the_last_words_of_a_target_arrive_at_a_client_that_is_slow() -> None:
    async def scenario() -> None:
        last = servers.saying(*[b"x" * ECHO_BYTES] * 15, ask=False)
        async with standing(last) as (_, proxy, server, _records):
            code, reader, writer = await asked(proxy, head(proxy, f"{NAME}:{server.port}"))
            assert code == 200
            await asyncio.sleep(0.5)
            heard = 0
            while data := await reader.read(4096):
                heard += len(data)
            assert heard == 15 * ECHO_BYTES
            writer.close()

    asyncio.run(scenario())


def test_other_targets_are_refused() -> None:
    async def scenario() -> None:
        async with standing() as (_, proxy, server, records), servers.tcp_server(echo) as other:
            for target in (
                f"{NAME}:{other.port}",
                f"127.0.0.1:{other.port}",
                f"127.0.0.2:{server.port}",
                f"localhost:{server.port}",
                f"{NAME}.:{server.port}",
                f"{NAME}:0{server.port}",
                f"x@{NAME}:{server.port}",
                NAME,
                "169.254.169.254:80",
            ):
                assert await status(proxy, head(proxy, target)) == 403, target
            assert (server.connections, other.connections, records) == (0, 0, [])

    asyncio.run(scenario())


@pytest.mark.parametrize("credentials", ["", "posture:", ":", "posture:0000", "other:SECRET", "posture:SECRETx"])
def test_nobody_else_may_use_it(credentials: str) -> None:
    async def scenario() -> None:
        async with standing() as (_, proxy, server, records):
            given = credentials.replace("SECRET", urlsplit(proxy.url).password or "")
            assert await status(proxy, head(proxy, f"{NAME}:{server.port}", credentials=given)) == 407
            assert await status(proxy, f"CONNECT {NAME}:{server.port} HTTP/1.1\r\n\r\n".encode()) == 407
            assert records == []

    asyncio.run(scenario())


def test_it_is_a_tunnel_and_no_other_proxy() -> None:
    async def scenario() -> None:
        async with standing() as (_, proxy, server, _records):
            target = f"{NAME}:{server.port}"
            assert await status(proxy, head(proxy, target, method="GET")) == 405
            assert await status(proxy, head(proxy, f"http://{target}/", method="GET")) == 405
            assert await status(proxy, head(proxy, target).replace(b"HTTP/1.1", b"HTTP/9")) == 400
            assert await status(proxy, b"X" * 100_000) == 400
            assert server.connections == 0

    asyncio.run(scenario())


@given(st.binary(max_size=200))
def test_no_head_at_all_opens_it_without_the_secret(junk: bytes) -> None:
    proxy = ConnectProxy(None, NAME, "127.0.0.1", 443, 5)  # type: ignore[arg-type]
    assert proxy._judge(b"CONNECT " + junk + b"\r\n\r\n") in (400, 407)
    assert proxy._judge(head(proxy, "x:1").replace(b"x:1", junk.replace(b"\r", b"").replace(b"\n", b""))) != 200


def test_the_budget_is_the_end_of_it() -> None:
    async def scenario() -> None:
        async with standing(budget=2) as (_, proxy, server, records):
            codes = [await status(proxy, head(proxy, f"{NAME}:{server.port}")) for _ in range(4)]
            assert codes == [200, 200, 429, 429]
            assert (server.connections, len(records)) == (2, 2)

    asyncio.run(scenario())


def test_what_the_door_says_is_what_the_client_hears() -> None:
    async def scenario() -> None:
        scope = desk.Loopback()
        async with standing(scope=scope) as (_, proxy, server, _records):
            scope.closed = True
            assert await status(proxy, head(proxy, f"{NAME}:{server.port}")) == 403
            assert [fault.code for fault in proxy.unseen] == ["E-SCOPE-011"]
            scope.closed = False
            proxy.port = free_port()
            assert await status(proxy, head(proxy, f"{NAME}:{proxy.port}")) == 502
            assert len(proxy.unseen) == 1, "a closed port has been seen"

    asyncio.run(scenario())


def test_a_tunnel_that_was_reset_ends_so_for_the_client_and_is_known() -> None:
    async def scenario() -> None:
        async with standing(servers.reset) as (_, proxy, server, _records):
            code, reader, writer = await asked(proxy, head(proxy, f"{NAME}:{server.port}"))
            assert code == 200
            writer.write(b"hello")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            assert [fault.reason for fault in proxy.unseen] == [Reason.RESET]
            assert [tunnel.end for tunnel in proxy.log] == [End.RESET]


@pytest.mark.parametrize(("handler", "end"), [(echo, End.CLIENT), (servers.saying(b"hello", ask=False), End.TARGET)])
def test_every_tunnel_is_logged_with_who_ended_it(handler: servers.Handler, end: End) -> None:
    async def scenario() -> None:
        async with standing(handler) as (_, proxy, server, _records):
            _, reader, writer = await asked(proxy, head(proxy, f"{NAME}:{server.port}"))
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            if end is End.CLIENT:
                writer.close()
            while not proxy.log:
                await asyncio.sleep(0.01)
            writer.close()
            assert [(tunnel.end, tunnel.answered) for tunnel in proxy.log] == [(end, True)]

    asyncio.run(scenario())


def test_a_target_that_says_nothing_is_asked_twice_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posture.net.tunnel.SILENT_SECONDS", 0.0)

    async def scenario() -> None:
        async with standing(servers.silent) as (_, proxy, server, records):
            target = head(proxy, f"{NAME}:{server.port}")
            for number in (1, 2):
                _, _, writer = await asked(proxy, target)
                writer.close()
                while len(proxy.log) < number:
                    await asyncio.sleep(0.01)
            assert await status(proxy, target) == 504
            assert (len(records), server.connections) == (2, 2)

    asyncio.run(scenario())


def test_a_greeting_comes_after_a_pause_where_one_is_asked_for() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"* OK ready", ask=False)) as server:
            door = desk.broker().door(desk.task())
            async with connect_proxy(door, NAME, "127.0.0.1", server.port, budget=1, pause=0.3) as proxy:
                started = asyncio.get_running_loop().time()
                _, reader, writer = await asked(proxy, head(proxy, f"{NAME}:{server.port}"))
                assert await reader.read(65_536) == b"* OK ready"
                assert asyncio.get_running_loop().time() - started >= 0.3
                writer.close()

    asyncio.run(scenario())

    asyncio.run(scenario())


def test_a_target_that_floods_is_cut_at_the_bytes_of_its_asset() -> None:
    async def scenario() -> None:
        async with standing(servers.saying(*[b"x" * ECHO_BYTES] * 200, ask=False)) as (_, proxy, server, _records):
            _code, reader, writer = await asked(proxy, head(proxy, f"{NAME}:{server.port}"))
            heard = 0
            while data := await reader.read(65_536):
                heard += len(data)
            writer.close()
            assert heard < 100 * ECHO_BYTES
            assert [fault.reason for fault in proxy.unseen] == [Reason.TRUNCATED]

    asyncio.run(scenario())


def test_an_address_that_was_not_vetted_gets_no_proxy() -> None:
    async def scenario() -> None:
        with pytest.raises(NotSeen) as caught:
            async with connect_proxy(desk.broker().door(desk.task()), NAME, "127.0.0.9", 443, budget=1):
                pass
        assert caught.value.code == "E-SCOPE-023"

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["door", "block"])
def test_it_ends_with_the_door_and_with_its_block(how: str) -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            broker = desk.broker()
            door = broker.door(desk.task())
            async with connect_proxy(door, NAME, "127.0.0.1", server.port, budget=9) as proxy:
                code, reader, writer = await asked(proxy, head(proxy, f"{NAME}:{server.port}"))
                assert code == 200
                if how == "door":
                    door.close()
                    assert await reader.read() == b""
                    with pytest.raises(OSError, match=r"refused|Connect"):
                        await asyncio.open_connection("127.0.0.1", proxy.listening)
            assert await reader.read() == b""
            writer.close()
            assert broker.governor.open == 0
            with pytest.raises(OSError, match=r"refused|Connect"):
                await asyncio.open_connection("127.0.0.1", proxy.listening)

    asyncio.run(scenario())


def test_a_client_that_leaves_while_it_waits_costs_no_connection() -> None:
    async def scenario() -> None:
        records: list[Decision] = []
        async with servers.tcp_server(servers.silent) as server:
            broker = desk.broker(desk.Loopback(limits=Limits(connections_per_address=1)), on_decision=records.append)
            holder = await broker.door(desk.task()).connect("127.0.0.1", server.port)
            door = broker.door(desk.task())
            async with connect_proxy(door, NAME, "127.0.0.1", server.port, budget=9) as proxy:
                _, writer = await asyncio.open_connection("127.0.0.1", proxy.listening)
                writer.write(head(proxy, f"{NAME}:{server.port}"))
                async with asyncio.timeout(30):
                    while not door.waited.running:
                        await asyncio.sleep(0.01)
                    writer.close()
                    while door.waited.running:
                        await asyncio.sleep(0.01)
                async with holder:
                    pass
            assert (len(records), server.connections) == (1, 1)

    asyncio.run(scenario())
