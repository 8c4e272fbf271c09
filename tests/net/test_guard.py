"""The audit hook: in a scan nothing goes round the broker; outside of one it is idle."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posture.model import NotThere, Reason
from posture.net import tcp, udp
from posture.net.asset import Deadline
from posture.net.guard import UngrantedError, granted, guarding
from posture.net.sandbox import run_boxed
from tests.lab import free_port
from tests.net import desk, servers


def connect(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(10)
        sock.connect((address, port))


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def test_a_connection_without_a_grant_is_refused_logged_and_never_made(listener: Any, caplog: Any) -> None:
    with guarding(), caplog.at_level(logging.ERROR), pytest.raises(UngrantedError, match="no grant"):
        connect("127.0.0.1", port_of(listener))

    assert "bug of posture" in caplog.text
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_grant_is_for_one_address_and_port_and_ends(listener: Any) -> None:
    port = port_of(listener)
    with guarding():
        with granted("127.0.0.1", port):
            with granted("127.0.0.1", port):
                connect("127.0.0.1", port)
            connect("127.0.0.1", port)
            for address, other in (("127.0.0.2", port), ("127.0.0.1", port + 1), ("localhost", port)):
                with pytest.raises(UngrantedError):
                    connect(address, other)
        with pytest.raises(UngrantedError):
            connect("127.0.0.1", port)


def test_an_address_is_the_same_in_every_spelling() -> None:
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as server,
        guarding(),
        granted("0:0:0:0:0:0:0:1", port_of(server)),
    ):
        connect("::1", port_of(server))


def test_the_operators_endpoints_may_always_be_reached(listener: Any) -> None:
    with guarding(endpoints=[("127.0.0.1", port_of(listener))]):
        connect("127.0.0.1", port_of(listener))


def test_datagrams_are_judged_too() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with guarding():
            for send in (
                lambda: sock.sendto(b"x", ("127.0.0.1", 9)),
                lambda: sock.sendmsg([b"x"], [], 0, ("127.0.0.1", 9)),
                lambda: sock.connect(("127.0.0.1", 9)),
            ):
                with pytest.raises(UngrantedError):
                    send()
        sock.sendto(b"x", ("127.0.0.1", free_port(kind=socket.SOCK_DGRAM)))


@pytest.mark.parametrize(
    "look_up",
    [
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: socket.gethostbyname("localhost"),
        lambda: socket.gethostbyaddr("127.0.0.1"),
        lambda: socket.getnameinfo(("127.0.0.1", 80), 0),
        lambda: socket.create_connection(("localhost", 80)),
    ],
    ids=["getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo", "create_connection"],
)
def test_names_are_not_looked_up_by_the_system(look_up: Callable[[], object]) -> None:
    with guarding(), pytest.raises(UngrantedError):
        look_up()


def test_nor_from_a_thread_of_the_loops_pool() -> None:
    async def scenario() -> None:
        with guarding(), pytest.raises(UngrantedError):
            await asyncio.open_connection("localhost", 80)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run(["/bin/true"], check=True),
        lambda: os.system("true"),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        lambda: os.fork(),
        lambda: os.execv("/bin/true", ["true"]),
        lambda: os.spawnv(os.P_WAIT, "/bin/true", ["true"]),
        lambda: os.popen("true"),
    ],
    ids=["subprocess", "system", "posix_spawn", "fork", "exec", "spawn", "popen"],
)
def test_no_process_starts_outside_the_box(start: Callable[[], object]) -> None:
    with guarding(), pytest.raises(UngrantedError):
        start()


def test_the_box_may_start_one() -> None:
    async def scenario() -> bytes:
        with guarding():
            return (await run_boxed(["/bin/echo", "x"], deadline=asyncio.get_running_loop().time() + 30)).stdout

    assert asyncio.run(scenario()) == b"x\n"


def test_the_brokers_door_is_not_in_the_way() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.hang_up) as server, servers.udp_server(lambda data: [data]) as datagrams:
            with guarding():
                door = desk.broker().door(desk.task())
                assert await door.sweep("127.0.0.1", server.port) == "open"
                async with await door.connect("127.0.0.1", server.port) as stream:
                    assert await stream.read() == b""
                assert await door.ask_udp("127.0.0.1", datagrams, b"x") == b"x"
                with pytest.raises(NotThere):
                    await door.connect("127.0.0.1", free_port())
                for away in (
                    tcp.dial("127.0.0.1", server.port, _soon()),
                    udp.exchange("127.0.0.1", datagrams, b"x", _soon()),
                ):
                    with pytest.raises(UngrantedError):
                        await away
                assert server.connections == 2

    asyncio.run(scenario())


def _soon() -> Deadline:
    return Deadline(asyncio.get_running_loop().time() + 10, Reason.TIMEOUT)


def test_a_grant_of_one_task_ends_with_its_connection() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            with guarding() as guard:
                door = desk.broker().door(desk.task())
                stream = await door.connect("127.0.0.1", server.port)
                assert guard.permits(("127.0.0.1", server.port))
                door.close()
                assert not guard.permits(("127.0.0.1", server.port))
                async with stream:
                    pass

    asyncio.run(scenario())


def test_servers_beside_the_scan_may_answer_their_clients(tmp_path: Path) -> None:
    """The practice range answers datagrams and accepts connections in the same loop."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with servers.udp_server(lambda data: [data.upper()]) as port:
            with guarding(endpoints=[("127.0.0.1", port)]):
                assert await udp.exchange("127.0.0.1", port, b"abc", _soon()) == b"ABC"
                # What the loop and the store do inside themselves.
                assert await loop.run_in_executor(None, lambda: 1) == 1
                loop.call_soon_threadsafe(lambda: None)
                with sqlite3.connect(tmp_path / "x.db") as database:
                    database.execute("create table t (x)")
                database.close()
                new = asyncio.new_event_loop()
                new.close()

    asyncio.run(scenario())


def test_the_guard_holds_in_tasks_and_threads_of_the_scan(listener: Any) -> None:
    async def scenario() -> None:
        with guarding():

            async def away() -> None:
                connect("127.0.0.1", port_of(listener))

            for attempt in (asyncio.create_task(away()), asyncio.to_thread(connect, "127.0.0.1", port_of(listener))):
                with pytest.raises(UngrantedError):
                    await attempt

    asyncio.run(scenario())


def test_outside_a_scan_the_hook_is_idle(listener: Any) -> None:
    with guarding(), guarding():
        pass
    connect("127.0.0.1", port_of(listener))
    assert socket.getaddrinfo("localhost", 80)
    assert subprocess.run([sys.executable, "-c", ""], check=True).returncode == 0


def test_a_local_socket_is_no_network(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with guarding():
            client.connect(str(tmp_path / "s"))
            one, other = socket.socketpair()
            one.close()
            other.close()
